//! Owns how kinds of errors look: a line for each, and one with all there is to say of it.

use std::fmt::Write;

use anstyle::Style;

use super::line::Clock;
use super::style::{self, FAINT, HEADING, Palette};
use super::table::{Cell, table};
use super::text::{visible, visible_lines};
use crate::api::{ErrorState, ErrorView, LatestError};

/// Characters of an error's words in the table.
const WORDS: usize = 100;

/// Returns the table of `ostler errors`.
pub fn errors(palette: Palette, clock: &Clock, views: &[ErrorView]) -> String {
    let rows: Vec<_> = views.iter().map(|view| row(clock, view)).collect();
    // A column without a heading and without a cell is not there.
    let since = if views.iter().any(|view| view.since.is_some()) { "SINCE" } else { "" };
    table(palette, ["ID", "PROCESS", "STATE", "COUNT", since, "LAST", "ERROR"], &rows)
}

fn row(clock: &Clock, view: &ErrorView) -> [Cell; 7] {
    let since = view.since.map_or_else(String::new, |since| {
        let plus = if since.at_least { "+" } else { "" };
        let new = if since.new { " new" } else { "" };
        format!("{}{plus}{new}", since.count)
    });
    let since = if view.since.is_some_and(|since| since.new) {
        Cell::styled(since, style::BAD)
    } else {
        Cell::from(since)
    };
    [
        view.id.as_str().into(),
        view.process.as_str().into(),
        Cell::styled(view.state.as_str(), of_state(view.state)),
        view.count.to_string().into(),
        since,
        Cell::styled(clock.show(view.last.time), FAINT),
        Cell::styled(words(view), style::of_level(view.level)),
    ]
}

/// Returns a kind of error in a line: `5f3a… resolved: ValueError: cart is gone (shop/views.py:12 in cart)`.
pub fn error_line(view: &ErrorView) -> String {
    format!("{} {}: {}", visible(&view.id), view.state.as_str(), words(view))
}

/// Returns one kind of error with its last text.
pub fn error_group(palette: Palette, clock: &Clock, view: &ErrorView) -> String {
    let mut shown = format!("{}\n\n", palette.paint(HEADING, words(view)));
    let mut field = |name: &str, value: String| {
        let _ = writeln!(shown, "{} {value}", palette.paint(FAINT, format!("{name:8}")));
    };
    field("id", visible(&view.id).into_owned());
    field(
        "process",
        format!("{}, in {} {}", view.process, view.runs, if view.runs == 1 { "run" } else { "runs" }),
    );
    field("count", view.count.to_string());
    field("first", format!("{} in run {}", clock.show(view.first.time), view.first.run));
    field("last", format!("{} in run {}", clock.show(view.last.time), view.last.run));
    let mut state = view.state.as_str().to_owned();
    if let Some(change) = &view.changed {
        let _ = write!(state, " since {}", clock.show(change.time));
        if let Some(by) = &change.by {
            let _ = write!(state, ", last changed by {}", visible(by));
        }
        if let Some(note) = &change.note {
            let _ = write!(state, ": {}", visible(note));
        }
    }
    field("state", state);
    if view.trend.iter().any(|count| *count > 0) {
        field("24 hours", trend(&view.trend));
    }
    if let Some(sample) = &view.sample {
        let _ = writeln!(shown, "\n{}", visible_lines(sample.trim_end()));
    }
    shown
}

/// Returns errors that happened, the newest last, as a terminal scrolls.
pub fn latest_errors(palette: Palette, clock: &Clock, errors: &[LatestError]) -> String {
    let mut shown = String::new();
    for error in errors.iter().rev() {
        if !shown.is_empty() {
            shown.push('\n');
        }
        let state = match error.state {
            ErrorState::Open => String::new(),
            state => format!(", {}", state.as_str()),
        };
        let head = format!("{} {} run {}", clock.show(error.time), error.process, error.run);
        let _ = writeln!(
            shown,
            "{}{}",
            palette.paint(HEADING, head),
            palette.paint(FAINT, format!("  {} ×{}{state}", visible(&error.id), error.count))
        );
        if error.is_sample {
            let _ = writeln!(shown, "{}", palette.paint(FAINT, "its lines are deleted; another one said:"));
        }
        let text = visible_lines(error.text.trim_end()).into_owned();
        let _ = writeln!(shown, "{}", palette.paint(style::of_level(error.level), text));
    }
    shown
}

fn of_state(state: ErrorState) -> Style {
    match state {
        ErrorState::Open => Style::new(),
        ErrorState::Resolved => style::GOOD,
        ErrorState::Regressed => style::BAD,
    }
}

/// Returns `ValueError: cart is gone (shop/views.py:12 in cart)`, no longer than a line.
fn words(view: &ErrorView) -> String {
    let said = match (view.kind.as_str(), view.message.as_str()) {
        ("", message) => message.to_owned(),
        (kind, "") => kind.to_owned(),
        (kind, message) => format!("{kind}: {message}"),
    };
    let mut said: String = match said.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", &said[..end]),
        None => said,
    };
    if let Some(place) = &view.place {
        let _ = write!(said, " ({place})");
    }
    visible(&said).into_owned()
}

/// Returns a column for each hour, the highest that with the most.
fn trend(counts: &[u64]) -> String {
    const COLUMNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let column = |count: &u64| match count {
        0 => ' ',
        count => COLUMNS[usize::try_from((count * 7).div_ceil(most)).unwrap_or(7).min(7)],
    };
    format!("{}│ now", counts.iter().map(column).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ChangeView, SeenView, SinceView};
    use crate::model::{Level, ProcessName, RunId, Stream, Time};

    const TIME: Time = Time(1_795_163_365_000_000_000);

    fn view(state: ErrorState) -> ErrorView {
        let seen = SeenView { time: TIME, run: RunId(3), cursor: "c".into() };
        ErrorView {
            id: "5f3a01c2d4e6".into(),
            version: 1,
            process: ProcessName::new("api").unwrap(),
            level: Level::Error,
            kind: "ValueError".into(),
            message: "cart \x1b[31m12 is gone".into(),
            place: Some("shop/views.py:12 in cart".into()),
            state,
            count: 37,
            since: None,
            runs: 2,
            first: seen.clone(),
            last: seen,
            changed: None,
            trend: Vec::new(),
            sample: None,
        }
    }

    fn clock() -> Clock {
        Clock::utc(jiff::civil::date(2026, 11, 20))
    }

    #[test]
    fn a_line_for_each_kind() {
        let mut regressed = view(ErrorState::Regressed);
        (regressed.id, regressed.kind) = ("aa".into(), String::new());
        insta::assert_snapshot!(errors(Palette::PLAIN, &clock(), &[view(ErrorState::Open), regressed.clone()]), @r"
        ID            PROCESS  STATE      COUNT  LAST      ERROR
        5f3a01c2d4e6  api      open       37     08:29:25  ValueError: cart ␛[31m12 is gone (shop/views.py:12 in cart)
        aa            api      regressed  37     08:29:25  cart ␛[31m12 is gone (shop/views.py:12 in cart)
        ");
        regressed.since = Some(SinceView { count: 20, at_least: true, new: true });
        assert!(errors(Palette::PLAIN, &clock(), &[regressed]).contains("  20+ new  08:29:25"));
    }

    #[test]
    fn one_kind_with_all_there_is_to_say() {
        let mut view = view(ErrorState::Resolved);
        let (by, note) = (Some("claude-code 2.1".into()), Some("pinned the \nversion".into()));
        view.changed = Some(ChangeView { time: TIME, by, note });
        view.trend = vec![0, 1, 8];
        view.sample = Some("Traceback:\n  \x1b[2Jx\nValueError: cart\n".into());
        insta::assert_snapshot!(error_group(Palette::PLAIN, &clock(), &view), @r"
        ValueError: cart ␛[31m12 is gone (shop/views.py:12 in cart)

        id       5f3a01c2d4e6
        process  api, in 2 runs
        count    37
        first    08:29:25 in run 3
        last     08:29:25 in run 3
        state    resolved since 08:29:25, last changed by claude-code 2.1: pinned the ␊version
        24 hours  ▂█│ now

        Traceback:
          ␛[2Jx
        ValueError: cart
        ");
    }

    #[test]
    fn the_newest_comes_last() {
        let error = |text: &str| LatestError {
            id: "5f3a01c2d4e6".into(),
            process: ProcessName::new("api").unwrap(),
            run: RunId(3),
            stream: Stream::Stderr,
            time: TIME,
            level: Level::Error,
            state: ErrorState::Regressed,
            count: 4,
            text: text.into(),
            is_sample: text == "old",
            cursor: "c".into(),
        };
        insta::assert_snapshot!(latest_errors(Palette::PLAIN, &clock(), &[error("new\x07"), error("old")]), @r"
        08:29:25 api run 3  5f3a01c2d4e6 ×4, regressed
        its lines are deleted; another one said:
        old

        08:29:25 api run 3  5f3a01c2d4e6 ×4, regressed
        new␇
        ");
    }
}
