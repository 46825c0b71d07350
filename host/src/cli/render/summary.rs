//! Owns how a summary of the log looks: a row for each process, kinds of errors, messages; and counts of lines.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::alerts::alert;
use super::errors::errors;
use super::line::Clock;
use super::requests::one_window;
use super::stats::bytes;
use super::style::{self, FAINT, HEADING, Palette};
use super::table::{Cell, table};
use super::text::visible;
use crate::api::{LineCount, LogSummary, MessageSummary, ProcessSummary};
use crate::model::Level;

/// Characters of a message.
const WORDS: usize = 120;
/// From nothing to the most there was.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Returns what `ostler summary` shows.
pub fn summary(palette: Palette, clock: &Clock, summary: &LogSummary) -> String {
    let step = summary.trend_step_ms as f64 / 1000.0;
    let lines = if summary.lines == 1 { "line" } else { "lines" };
    let mut shown = format!("{} {lines} since {}\n\n", summary.lines, clock.show(summary.from));
    let rows: Vec<_> = summary.processes.iter().map(|process| row(clock, process)).collect();
    let dropped = if summary.processes.iter().any(|process| process.dropped > 0) { "DROPPED" } else { "" };
    let headings =
        ["PROCESS", "LINES", "ERRORS", "WARNINGS", "LINES/S", "PEAK", "BYTES", dropped, "LAST", "TREND"];
    shown.push_str(&table(palette, headings, &rows));
    let _ = writeln!(shown, "{}", palette.paint(FAINT, format!("a step of the trend is {step} s")));
    for (process, requests) in
        summary.processes.iter().filter_map(|process| Some((&process.process, process.requests.as_ref()?)))
    {
        let _ =
            writeln!(shown, "{process}: requests in the last 15 minutes: {}", one_window(palette, requests));
    }
    if !summary.alerts.is_empty() {
        let _ = writeln!(shown, "\n{}", palette.paint(HEADING, "alerts"));
        for view in &summary.alerts {
            let _ = writeln!(shown, "  {}", alert(palette, clock, view));
        }
    }
    if !summary.errors.is_empty() {
        shown.push('\n');
        shown.push_str(&errors(palette, clock, &summary.errors));
        if summary.more_errors > 0 {
            let _ = writeln!(
                shown,
                "{}",
                palette.paint(FAINT, format!("and {} more kinds", summary.more_errors))
            );
        }
    }
    if !summary.messages.is_empty() {
        shown.push('\n');
        let rows: Vec<_> = summary.messages.iter().map(message).collect();
        shown.push_str(&table(palette, ["COUNT", "PROCESS", "LEVEL", "MESSAGE"], &rows));
        if summary.sampled < summary.lines {
            let remark = format!("of the newest {} lines", summary.sampled);
            let _ = writeln!(shown, "{}", palette.paint(FAINT, remark));
        }
    }
    shown
}

/// Returns the table of `ostler logs --count`.
pub fn line_counts(palette: Palette, counts: &[LineCount]) -> String {
    let shown = [Level::Fatal, Level::Error, Level::Warn, Level::Info];
    let headings = ["PROCESS", "LINES", "FATAL", "ERROR", "WARN", "INFO", "OTHER"];
    let row = |name: String, lines: u64, levels: &BTreeMap<Level, u64>| {
        let of = |level: &Level| levels.get(level).copied().unwrap_or(0);
        let [fatal, error, warn, info] = shown.each_ref().map(of);
        let other = lines.saturating_sub(fatal + error + warn + info);
        [
            Cell::from(name),
            lines.to_string().into(),
            count(fatal),
            count(error),
            count(warn),
            count(info),
            count(other),
        ]
    };
    let mut rows: Vec<_> =
        counts.iter().map(|count| row(count.process.to_string(), count.lines, &count.levels)).collect();
    if counts.len() > 1 {
        let mut levels = BTreeMap::new();
        for (level, lines) in counts.iter().flat_map(|count| &count.levels) {
            *levels.entry(*level).or_insert(0) += lines;
        }
        rows.push(row("all".to_owned(), counts.iter().map(|count| count.lines).sum(), &levels));
    }
    table(palette, headings, &rows)
}

fn count(lines: u64) -> Cell {
    if lines == 0 { "".into() } else { lines.to_string().into() }
}

fn row(clock: &Clock, process: &ProcessSummary) -> [Cell; 10] {
    let of = |level: Level| process.levels.get(&level).copied().unwrap_or(0);
    let errors = of(Level::Error) + of(Level::Fatal);
    let errors = if errors > 0 { Cell::styled(errors.to_string(), style::BAD) } else { "".into() };
    [
        process.process.as_str().into(),
        process.lines.to_string().into(),
        errors,
        count(of(Level::Warn)),
        rate(process.per_second).into(),
        rate(process.peak_per_second).into(),
        bytes(process.bytes).into(),
        count(process.dropped),
        Cell::styled(clock.show(process.last), FAINT),
        bars(&process.trend).into(),
    ]
}

fn message(message: &MessageSummary) -> [Cell; 4] {
    let words: String = message.template.chars().take(WORDS).collect();
    let level = if message.level == Level::Unknown { "" } else { message.level.as_str() };
    [
        message.count.to_string().into(),
        message.process.as_str().into(),
        Cell::styled(level, style::of_level(message.level)),
        visible(&words).into_owned().into(),
    ]
}

fn rate(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

/// Returns a bar for each step, the highest for the one with most lines.
fn bars(trend: &[u64]) -> String {
    let most = trend.iter().max().copied().unwrap_or(0).max(1);
    let bar = |count: &u64| BARS[(count.saturating_mul(8).div_ceil(most)).min(8) as usize];
    trend.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::super::requests;
    use super::*;
    use crate::model::{ProcessName, Time};

    fn process(name: &str, levels: &[(Level, u64)]) -> ProcessSummary {
        ProcessSummary {
            process: ProcessName::new(name).unwrap(),
            lines: levels.iter().map(|(_, lines)| lines).sum(),
            levels: levels.iter().copied().collect(),
            bytes: 2048,
            per_second: 1.25,
            peak_per_second: 40.0,
            trend: vec![0, 1, 4, 8],
            first: Time(1_795_163_365_123_000_000),
            last: Time(1_795_163_365_123_000_000),
            dropped: 0,
            requests: None,
        }
    }

    #[test]
    fn a_summary_shows_who_said_how_much_of_what() {
        let told = LogSummary {
            from: Time(1_795_163_365_123_000_000),
            to: Time(1_795_163_365_123_000_000),
            lines: 105,
            processes: vec![
                ProcessSummary {
                    requests: Some(requests::tests::stats(true).last_15_minutes),
                    ..process("api", &[(Level::Info, 100), (Level::Error, 2)])
                },
                process("web", &[(Level::Warn, 3)]),
            ],
            trend_step_ms: 75_000,
            counts_are_least: false,
            missing: 0,
            errors: Vec::new(),
            more_errors: 0,
            new_errors: 0,
            messages: vec![MessageSummary {
                process: ProcessName::new("api").unwrap(),
                level: Level::Info,
                template: "GET <path>\u{1b}[0m <n>".into(),
                count: 90,
                sample: String::new(),
                cursor: String::new(),
            }],
            sampled: 50,
            alerts: Vec::new(),
            cursor: String::new(),
        };
        let clock = Clock::utc(jiff::civil::date(2026, 11, 20));
        insta::assert_snapshot!(summary(Palette::PLAIN, &clock, &told), @r"
        105 lines since 08:29:25

        PROCESS  LINES  ERRORS  WARNINGS  LINES/S  PEAK  BYTES    LAST      TREND
        api      102    2                 1.2      40    2.0 KiB  08:29:25   ▁▄█
        web      3              3         1.2      40    2.0 KiB  08:29:25   ▁▄█
        a step of the trend is 75 s
        api: requests in the last 15 minutes: 400 (0.4/s), 10 with 5xx (2.5%), p50 2.3ms, p95 80ms

        COUNT  PROCESS  LEVEL  MESSAGE
        90     api      info   GET <path>␛[0m <n>
        of the newest 50 lines
        ");
    }

    #[test]
    fn counts_are_told_by_process_and_level_with_their_sum() {
        let count = |name: &str, levels: &[(Level, u64)]| LineCount {
            process: ProcessName::new(name).unwrap(),
            lines: levels.iter().map(|(_, lines)| lines).sum(),
            levels: levels.iter().copied().collect(),
        };
        let counts =
            [count("api", &[(Level::Error, 2), (Level::Unknown, 5)]), count("web", &[(Level::Error, 1)])];
        insta::assert_snapshot!(line_counts(Palette::PLAIN, &counts), @r"
        PROCESS  LINES  FATAL  ERROR  WARN  INFO  OTHER
        api      7             2                  5
        web      1             1
        all      8             3                  5
        ");
    }
}
