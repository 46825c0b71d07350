//! Whole calls, on any log: walking with the cursor, the bound, and what stays when something has to go.

use proptest::prelude::*;
use serde_json::Value;

use super::super::super::lines::tests::line;
use super::super::super::tokens::tests::real_tokens;
use super::*;
use crate::bounds;
use crate::model::{Line, Seq};

const CURSOR: &str = "3fa9c1-0";

/// A log whose place in a cursor is the number of a line, as the store keeps it.
#[derive(Debug)]
struct Log(Vec<Line>);

impl Log {
    /// Answers as the store does: at most `limit` of the oldest lines after a place.
    fn after(&self, seq: Seq, limit: usize) -> LogsReply {
        let rest: Vec<Line> = self.0.iter().filter(|line| line.seq > seq).cloned().collect();
        let more = rest.len() > limit;
        let lines: Vec<Line> = rest.into_iter().take(limit).collect();
        let last = lines.last().map_or(seq, |line| line.seq);
        LogsReply { lines, cursor: api::cursor_at(CURSOR, last), more, missing: 0 }
    }
}

/// Returns which line a cursor stands after.
fn place(reply: &Value, log: &Log) -> Seq {
    let cursor = reply["next_cursor"].as_str().expect("a cursor");
    let seqs = std::iter::once(Seq(0)).chain(log.0.iter().map(|line| line.seq));
    let mut seqs = seqs.filter(|seq| api::cursor_at(CURSOR, *seq) == cursor);
    seqs.next().expect("the cursor of a line")
}

/// Every line has a word of its own, but those that are made to be folded.
fn any_log() -> impl Strategy<Value = Log> {
    let piece = prop_oneof![
        4 => "[ -~]{0,60}".prop_map(|text| vec![(text, Level::Info, false, false)]),
        2 => (1usize..40).prop_map(|times| vec![("the same again".to_owned(), Level::Info, false, false); times]),
        2 => (1usize..40).prop_map(|count| {
            (0..count).map(|job| (format!("job {job} took {}ms", job * 7), Level::Info, false, false)).collect()
        }),
        2 => (1usize..8).prop_map(|states| {
            (0..states).map(|state| (format!("\r{state}0%"), Level::Unknown, false, state + 1 < states)).collect()
        }),
        2 => (0usize..30).prop_map(trace),
        1 => Just(vec![("{\"a\":[1]}".repeat(2000), Level::Warn, false, false)]),
        1 => "\\PC{0,80}".prop_map(|text| vec![(text, Level::Error, false, false)]),
    ];
    let pieces = prop::collection::vec((piece, any::<bool>()), 0..40);
    pieces.prop_map(|pieces| {
        let mut lines = Vec::new();
        for (piece, is_stderr) in pieces {
            for (text, level, continues, partial) in piece {
                // Places are not in a row: other processes print too.
                let seq = lines.len() as u64 * 3 + 2;
                let stream = if is_stderr { Stream::Stderr } else { Stream::Stdout };
                lines.push(Line { stream, continues, partial, ..line(seq, 0, level, &text) });
            }
        }
        Log(lines)
    })
}

/// A trace with so many frames of libraries between two of the project's own.
fn trace(frames: usize) -> Vec<(String, Level, bool, bool)> {
    let own = "    at cart (/srv/shop/src/cart.js:3:9)".to_owned();
    let libraries = (0..frames).map(|frame| format!("    at f{frame} (/srv/node_modules/x/a.js:{frame}:5)"));
    let lines = std::iter::once("TypeError: x".to_owned()).chain([own.clone()]).chain(libraries).chain([own]);
    lines.enumerate().map(|(index, text)| (text, Level::Error, index > 0, false)).collect()
}

/// Returns how many lines one told line stands for, by its own words.
fn stands_for(told: &str) -> Option<usize> {
    if let Some((_, count)) =
        told.strip_suffix(" frames of libraries left out").and_then(|told| told.rsplit_once("… "))
    {
        return count.parse().ok();
    }
    let (_, mark) = told.strip_suffix(')')?.rsplit_once(" (×")?;
    mark.trim_end_matches(" alike").replace(',', "").parse().ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_walk_with_the_cursor_covers_every_line_once(log in any_log(), limit in 1usize..500, full: bool) {
        let look = Look { project: Some("/srv/shop"), whole_traces: full, every_line: full };
        let (mut at, mut calls) = (Seq(0), 0);
        loop {
            let given = log.after(at, limit);
            let reply = render(&given, Direction::Onward, false, look).into_value();
            let next = place(&reply, &log);
            let covered = given.lines.iter().filter(|line| line.seq <= next).count();
            prop_assert!(covered > 0 || given.lines.is_empty(), "the reader does not get on");
            // What is shown says itself for how many lines it stands, but for pieces of a line that is drawn anew.
            let told: Vec<&str> = reply["lines"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            let counted: usize = told.iter().map(|told| stands_for(told).unwrap_or(1)).sum();
            let pieces = given.lines.iter().filter(|line| line.seq <= next && line.partial).count();
            prop_assert!(counted <= covered && counted + pieces >= covered, "{counted} of {covered}: {told:#?}");
            // More is promised when there is more, and only then.
            let is_more = log.0.iter().any(|line| line.seq > next);
            prop_assert_eq!(&reply["more"], is_more);
            prop_assert_eq!(reply.get("hint").is_some_and(|hint| hint.as_str().unwrap().contains("more lines follow")), is_more);
            if given.lines.is_empty() || !is_more {
                break;
            }
            prop_assert!(next > at);
            at = next;
            calls += 1;
            prop_assert!(calls <= log.0.len());
        }
    }

    #[test]
    fn any_log_is_read_within_the_bound_of_a_reply(log in any_log(), onward: bool, full: bool) {
        let direction = if onward { Direction::Onward } else { Direction::Newest };
        let look = Look { project: None, whole_traces: full, every_line: full };
        let reply = render(&log.after(Seq(0), 500), direction, true, look).into_value();
        let real = real_tokens(&reply.to_string());
        prop_assert!(real <= bounds::REPLY_TOKENS, "{real} tokens");
        let told = reply["lines"].as_array().unwrap().len();
        prop_assert!(told > 0 || log.0.is_empty());
    }

    #[test]
    fn lines_of_their_own_are_told_once_on_any_walk(count in 1usize..400, limit in 1usize..500) {
        // No numbers: nothing is like another.
        let name = |index: usize| format!("item {} ended", index.to_string().replace(|c: char| c.is_ascii_digit(), "x") + &"ab".repeat(index % 7) + &"q".repeat(index / 7));
        let log = Log((0..count).map(|index| line(index as u64 + 1, 0, Level::Info, &name(index))).collect());
        let (mut at, mut told) = (Seq(0), 0);
        while at.0 < count as u64 {
            let reply = render(&log.after(at, limit), Direction::Onward, false, Look::default()).into_value();
            for shown in reply["lines"].as_array().unwrap() {
                prop_assert!(shown.as_str().unwrap().contains(" bytes … ") || shown.as_str().unwrap().ends_with(&name(told)), "{shown}");
                told += 1;
            }
            at = place(&reply, &log);
        }
        prop_assert_eq!(told, count);
    }
}

#[test]
fn old_errors_and_the_newest_lines_stay_in_the_whole_call() {
    let mut lines: Vec<Line> = (1..=500)
        .map(|seq| {
            line(
                seq,
                seq as i64,
                Level::Info,
                &format!("answered a request for {} in time", "x".repeat(seq as usize % 40 + 30)),
            )
        })
        .collect();
    for error in [3, 4, 250] {
        lines[error].level = Level::Error;
        lines[error].text = format!("error {error} happened");
    }
    let log = Log(lines);
    let reply = render(&log.after(Seq(0), 500), Direction::Newest, false, Look::default()).into_value();
    let told: Vec<&str> = reply["lines"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for error in [3, 4, 250] {
        assert!(told.iter().any(|told| told.ends_with(&format!("error {error} happened"))), "{error}");
    }
    assert!(told[told.len() - 1].ends_with(&log.0[499].text), "{told:?}");
    assert!(reply["left_out"].as_u64().unwrap() > 300, "{}", reply["left_out"]);
    assert!(reply["hint"].as_str().unwrap().contains("narrow with level or grep"));
}

#[test]
fn a_trace_is_told_without_libraries_and_with_them_when_asked() {
    let lines = (1..)
        .zip(trace(20))
        .map(|(seq, (text, level, continues, _))| Line { continues, ..line(seq, 0, level, &text) });
    let log = Log(lines.collect());
    let reply = render(&log.after(Seq(0), 50), Direction::Newest, false, Look::default()).into_value();
    assert_eq!(reply["lines"].as_array().unwrap().len(), 4);
    assert_eq!(reply["lines"][2], "error|     … 20 frames of libraries left out");
    assert_eq!(reply["hint"], "full=true shows frames of libraries, and lines that are alike");
    let full = Look { whole_traces: true, every_line: true, project: None };
    let reply = render(&log.after(Seq(0), 50), Direction::Newest, false, full).into_value();
    assert_eq!((reply["lines"].as_array().unwrap().len(), reply.get("hint")), (23, None));
}
