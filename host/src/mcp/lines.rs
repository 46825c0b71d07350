//! Log lines as an agent reads them: one short string each, repeats folded, bounded in tokens.
//!
//! A line is `[time ][level][ process][ run N]| text`. The first line's time is a full one in UTC; after it a time is
//! given only when the second changed, and with its date when that changed. A level no classifier decided is left
//! out, `ostler` stands there for a remark of Ostler's own. The process is named when more than one occurs, the run
//! where it changes. `(×37)` after the text says how often it came in a row, `(×37 alike)` how many there were that differ
//! in numbers alone, `… 12 lines left out` what is missing between two lines. Owns this form and the fitting of lines into
//! a budget; never reads a log. Which lines are folded into one is for `fold.rs`.

use std::collections::HashMap;

use crate::model::{Level, Line, ProcessName, RunId, Seq, Stream, Time};

use super::budget::{self, Candidate, Cut, Weight};
use super::fold::{Entry, Look, Mark, fold};
use super::text::grouped;

/// Tokens that one line may always take, however many there are.
const LINE_TOKENS_MIN: usize = 120;
/// Estimated tokens of what stands before a line's text; the exact cost is known once its neighbours are.
const PREFIX_TOKENS: usize = 8;

/// Lines ready to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    pub lines: Vec<String>,
    /// How many of the given lines are neither among them nor folded into one that is.
    pub left_out: usize,
    /// The last line that is among them, or folded into one that is.
    pub last: Option<Seq>,
    /// Something is told in fewer words than there are, and a full look tells it whole.
    pub shortened: bool,
}

/// Renders `lines`, given in order, within `budget` estimated tokens. With [`Cut::End`] at least one line is kept,
/// however small the budget, so that a reader always gets on.
pub fn render(lines: &[Line], budget: usize, cut: Cut) -> Rendered {
    render_as(lines, budget, cut, Look::default())
}

/// As [`render`], with a word on how much is told of what repeats, and of traces.
pub fn render_as(lines: &[Line], budget: usize, cut: Cut, look: Look<'_>) -> Rendered {
    let folded = fold(lines, text_limit(lines.len(), budget), look);
    let naming = Naming::of(lines);
    let candidates: Vec<Candidate> = folded.iter().map(candidate).collect();
    // Costs are estimates until the neighbours are known; when the result is too long, less is chosen.
    let mut attempt = budget;
    loop {
        let kept = chosen(&candidates, attempt, cut);
        let rendered = write(&folded, &kept, &naming);
        let cost: usize = rendered.lines.iter().map(|line| budget::json_string_tokens(line)).sum();
        if cost <= budget || attempt == 0 {
            return rendered;
        }
        attempt = attempt.saturating_sub((cost - budget).max(1));
    }
}

/// Renders one line by itself, within `budget` estimated tokens for its text.
pub fn render_one(line: &Line, budget: usize) -> String {
    render(std::slice::from_ref(line), budget, Cut::End).lines.pop().unwrap_or_default()
}

/// Returns the estimated tokens of one line's text: few lines may be long ones, many may not. What is longer is elided
/// in its middle.
fn text_limit(lines: usize, budget: usize) -> usize {
    (2 * budget / lines.max(1)).max(LINE_TOKENS_MIN).min(budget * 3 / 4)
}

fn candidate(entry: &Entry<'_>) -> Candidate {
    let cost = budget::json_string_tokens(&entry.text) + budget::tokens(&entry.mark.words()) + PREFIX_TOKENS;
    Candidate { cost, weight: weight(entry.first) }
}

fn chosen(candidates: &[Candidate], budget: usize, cut: Cut) -> Vec<bool> {
    let mut kept = budget::choose(candidates, budget, cut);
    if let (Cut::End, Some(first)) = (cut, kept.first_mut()) {
        *first = true;
    }
    kept
}

fn weight(line: &Line) -> Weight {
    match line.level {
        Level::Error | Level::Fatal => Weight::Error,
        Level::Warn => Weight::Warning,
        _ if line.stream == Stream::Ostler => Weight::Warning,
        _ => Weight::Usual,
    }
}

/// What every line has to say of where it came from.
struct Naming {
    processes: bool,
    runs: bool,
}

impl Naming {
    fn of(lines: &[Line]) -> Self {
        let differs = |what: fn(&Line, &Line) -> bool| lines.windows(2).any(|pair| what(&pair[0], &pair[1]));
        let mut runs = HashMap::<&ProcessName, RunId>::new();
        Self {
            processes: differs(|one, other| one.process != other.process),
            runs: lines.iter().any(|line| *runs.entry(&line.process).or_insert(line.run) != line.run),
        }
    }
}

fn write(folded: &[Entry<'_>], kept: &[bool], naming: &Naming) -> Rendered {
    let mut rendered = Rendered::default();
    let mut runs = HashMap::<&ProcessName, RunId>::new();
    let mut time = None;
    let mut missing = 0;
    for (entry, kept) in folded.iter().zip(kept) {
        if !kept {
            missing += entry.lines;
            rendered.left_out += entry.lines;
            continue;
        }
        // What is missing before the first line is told by the reply itself.
        if missing > 0 && !rendered.lines.is_empty() {
            rendered.lines.push(format!("… {} lines left out", grouped(missing)));
        }
        missing = 0;
        let mut text = String::new();
        write_time(&mut text, time, entry.first.time);
        time = Some(entry.first.time);
        write_source(&mut text, entry.first, naming, &mut runs);
        text.push_str(&entry.text);
        text.push_str(&entry.mark.words());
        rendered.lines.push(text);
        rendered.last = Some(entry.last);
        rendered.shortened |= matches!(entry.mark, Mark::Alike(_) | Mark::Libraries);
    }
    rendered
}

fn write_time(text: &mut String, before: Option<Time>, time: Time) {
    const SECOND: i64 = 1_000_000_000;
    const DAY: i64 = 86_400 * SECOND;
    let full = seconds(time);
    match before {
        Some(before) if before.0.div_euclid(SECOND) == time.0.div_euclid(SECOND) => return,
        // `2026-11-20T08:29:25Z` without its date and zone.
        Some(before) if before.0.div_euclid(DAY) == time.0.div_euclid(DAY) => {
            text.push_str(full.get(11..19).unwrap_or(&full));
        }
        _ => text.push_str(&full),
    }
    text.push(' ');
}

/// Returns a time in UTC to the second: `2026-11-20T08:29:25Z`.
pub fn seconds(time: Time) -> String {
    let full = time.to_string();
    match full.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => full,
    }
}

fn write_source<'a>(
    text: &mut String,
    line: &'a Line,
    naming: &Naming,
    runs: &mut HashMap<&'a ProcessName, RunId>,
) {
    let mut words = Vec::new();
    if line.stream == Stream::Ostler {
        words.push("ostler".to_owned());
    } else if line.level != Level::Unknown {
        words.push(line.level.to_string());
    }
    if naming.processes {
        words.push(line.process.to_string());
    }
    if naming.runs && runs.insert(&line.process, line.run) != Some(line.run) {
        words.push(format!("run {}", line.run));
    }
    text.push_str(&words.join(" "));
    text.push_str("| ");
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-20T08:29:25Z.
    const EIGHT: i64 = 1_795_163_365;

    pub(in crate::mcp) fn line(seq: u64, second: i64, level: Level, text: &str) -> Line {
        Line {
            seq: Seq(seq),
            time: Time((EIGHT + second) * 1_000_000_000 + 123_000_000),
            process: ProcessName::new("api").unwrap(),
            run: RunId(1),
            stream: Stream::Stdout,
            level,
            text: text.to_owned(),
            partial: false,
            continues: false,
        }
    }

    /// A word of its own for each number, without one in it.
    pub(in crate::mcp) fn word(number: u64) -> String {
        number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
    }

    #[test]
    fn a_line_says_only_what_its_neighbours_do_not() {
        let mut lines = vec![
            line(1, 0, Level::Info, "Starting development server at http://127.0.0.1:8123/"),
            line(2, 0, Level::Unknown, "Quit the server with CONTROL-C."),
            line(3, 2, Level::Error, "\u{1b}[31mInternal Server Error\u{1b}[0m: /boom"),
            line(4, 2, Level::Error, "ValueError: boom"),
            line(5, 86_400, Level::Unknown, "exited with exit code 1"),
        ];
        lines[4].stream = Stream::Ostler;
        insta::assert_snapshot!(render(&lines, 1000, Cut::OldestAndMildest).lines.join("\n"), @r"
        2026-11-20T08:29:25Z info| Starting development server at http://127.0.0.1:8123/
        | Quit the server with CONTROL-C.
        08:29:27 error| Internal Server Error: /boom
        error| ValueError: boom
        2026-11-21T08:29:25Z ostler| exited with exit code 1
        ");
    }

    #[test]
    fn processes_and_runs_are_named_where_there_are_several() {
        let mut lines: Vec<Line> =
            (1..=4).map(|seq| line(seq, 0, Level::Info, &format!("line {seq}"))).collect();
        lines[1].process = ProcessName::new("web").unwrap();
        lines[3].run = RunId(2);
        insta::assert_snapshot!(render(&lines, 1000, Cut::OldestAndMildest).lines.join("\n"), @r"
        2026-11-20T08:29:25Z info api run 1| line 1
        info web run 1| line 2
        info api| line 3
        info api run 2| line 4
        ");
    }

    #[test]
    fn repeats_are_folded_and_still_counted() {
        let mut lines: Vec<Line> = (1..=37).map(|seq| line(seq, 0, Level::Warn, "retrying")).collect();
        lines.push(line(38, 0, Level::Error, "gave up"));
        let rendered = render(&lines, 1000, Cut::End);
        assert_eq!(rendered.lines, ["2026-11-20T08:29:25Z warn| retrying (×37)", "error| gave up"]);
        assert_eq!(rendered.last, Some(Seq(38)));
    }

    #[test]
    fn holes_are_shown_and_errors_survive_them() {
        let mut lines: Vec<Line> = (1..=500)
            .map(|seq| line(seq, 0, Level::Info, &format!("request {seq} was answered in {}", word(seq))))
            .collect();
        lines[100].level = Level::Error;
        let rendered = render(&lines, 1000, Cut::OldestAndMildest);
        let text = rendered.lines.join("\n");
        assert!(text.contains("error| request 101 was"), "{text}");
        assert!(text.ends_with(&word(500)), "{text}");
        assert_eq!(rendered.lines[1], format!("… {} lines left out", rendered.left_out - 100));
    }

    #[test]
    fn a_reader_gets_on_even_when_one_line_is_too_much() {
        let lines = [line(7, 0, Level::Info, &"{\"a\":1}".repeat(100_000)), line(8, 0, Level::Info, "next")];
        let rendered = render(&lines, 300, Cut::End);
        assert_eq!(rendered.last.map(|seq| seq.0 >= 7), Some(true));
        assert!(rendered.lines[0].contains(" bytes … "), "{:?}", rendered.lines);
    }

    fn any_lines() -> impl Strategy<Value = Vec<Line>> {
        let text = prop_oneof![
            4 => "[ -~\u{4e00}\u{1b}\r]{0,120}",
            1 => Just("x".repeat(3000)),
            1 => Just("\"\\".repeat(500)),
            2 => Just("the same again".to_owned()),
        ];
        let one = (0i64..5, 0u8..7, 0u64..3, text);
        prop::collection::vec(one, 0..60).prop_map(|parts| {
            parts
                .into_iter()
                .enumerate()
                .map(|(index, (second, level, run, text))| Line {
                    run: RunId(run),
                    ..line(index as u64 + 1, second * 50_000, Level::from_u8(level), &text)
                })
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_budget_is_never_exceeded_for_any_lines(lines in any_lines(), budget in 400usize..4000) {
            for cut in [Cut::End, Cut::OldestAndMildest] {
                let rendered = render(&lines, budget, cut);
                let cost = budget::json_tokens(&serde_json::json!(rendered.lines));
                prop_assert!(cost <= budget + 2, "{cost} > {budget}");
                let shown = lines.len() - rendered.left_out;
                prop_assert!(lines.is_empty() || shown > 0, "nothing was shown");
            }
        }

        #[test]
        fn a_cut_at_the_end_neither_skips_nor_repeats(lines in any_lines(), budget in 200usize..4000) {
            let mut rest = &lines[..];
            let mut shown = 0;
            while !rest.is_empty() {
                let rendered = render(rest, budget, Cut::End);
                let last = rendered.last.expect("a reader gets on");
                let count = rest.iter().take_while(|line| line.seq <= last).count();
                prop_assert_eq!(count, rest.len() - rendered.left_out);
                shown += count;
                rest = &rest[count..];
            }
            prop_assert_eq!(shown, lines.len());
        }
    }
}
