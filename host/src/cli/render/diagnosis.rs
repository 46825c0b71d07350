//! Owns how a diagnosis looks: the summary first, the evidence below, what to do at the end.

use std::fmt::Write;

use super::duration::duration;
use super::line::{Clock, LineFormat};
use super::style::{FAINT, HEADING, Palette};
use super::text::visible;
use crate::api::{Diagnosis, RunView, without_libraries};
use crate::model::Line;

/// Returns everything known of why a process is as it is.
pub fn diagnosis(palette: Palette, clock: &Clock, diagnosis: &Diagnosis) -> String {
    let mut shown = format!(
        "{}\n\n{}{}\n{}{}\n",
        palette.paint(HEADING, visible(&diagnosis.summary)),
        palette.paint(FAINT, "command  "),
        visible(&diagnosis.command),
        palette.paint(FAINT, "folder   "),
        visible(&diagnosis.cwd),
    );
    if !diagnosis.runs.is_empty() {
        heading(&mut shown, palette, "runs, newest first");
        for run in &diagnosis.runs {
            let _ = writeln!(shown, "  {}", one_run(clock, run));
        }
    }
    lines(&mut shown, palette, clock, "errors", &diagnosis.errors);
    lines(&mut shown, palette, clock, "last lines", &diagnosis.tail);
    if !diagnosis.hints.is_empty() {
        heading(&mut shown, palette, "what to do");
        for hint in &diagnosis.hints {
            let _ = writeln!(shown, "  - {}", visible(hint));
        }
    }
    shown
}

fn heading(shown: &mut String, palette: Palette, text: &str) {
    let _ = writeln!(shown, "\n{}", palette.paint(HEADING, text));
}

fn lines(shown: &mut String, palette: Palette, clock: &Clock, title: &str, lines: &[Line]) {
    if lines.is_empty() {
        return;
    }
    heading(shown, palette, title);
    let format = LineFormat::of_lines(palette, clock.clone(), lines);
    for line in &without_libraries(lines) {
        shown.push_str("  ");
        shown.push_str(&format.show(line));
    }
}

/// Returns `#3  08:29:25  by restart, 12s: exit code 1`.
fn one_run(clock: &Clock, run: &RunView) -> String {
    let length =
        run.ended.map(|ended| format!(", {}", duration(ended.since(run.started)))).unwrap_or_default();
    format!(
        "#{}  {}  by {}{length}: {}",
        run.run,
        clock.show(run.started),
        visible(&run.reason),
        visible(&run.how)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ProcessView;
    use crate::cli::render::line::tests::line;
    use crate::model::{Exit, Level, ProcessName, RunId, Stream, Time};
    use crate::supervisor::State;

    #[test]
    fn the_summary_comes_first_and_the_remedy_last() {
        let error = line(Stream::Stderr, Level::Error, "Error: That port is already in use.");
        let exit = Some(Exit { code: Some(1), signal: None });
        let started = Time(error.time.0 - 1_500_000_000);
        let reply = Diagnosis {
            process: ProcessView {
                name: ProcessName::new("api").unwrap(),
                state: State::Failed,
                pid: None,
                run: Some(RunId(3)),
                ready: false,
                uptime_ms: None,
                restarts: 0,
                exit,
                ports: Vec::new(),
                status: None,
                next: None,
                port: None,
                alerts: Vec::new(),
            },
            summary: "`api` failed with exit code 1 after 1.5 s; port 8000 is taken.".into(),
            command: "python manage.py runserver 8000".into(),
            cwd: "/srv/shop/backend".into(),
            runs: vec![RunView {
                run: RunId(3),
                reason: "cli".into(),
                started,
                ended: Some(error.time),
                exit,
                how: "exit code 1".into(),
            }],
            errors: vec![error.clone()],
            tail: vec![line(Stream::Stdout, Level::Info, "Performing system checks..."), error],
            hints: vec!["stop what listens on port 8000, or choose another port".into()],
            cursor: "c1".into(),
        };
        let clock = Clock::utc(jiff::civil::date(2026, 11, 20));
        insta::assert_snapshot!(diagnosis(Palette::PLAIN, &clock, &reply), @r"
        `api` failed with exit code 1 after 1.5 s; port 8000 is taken.

        command  python manage.py runserver 8000
        folder   /srv/shop/backend

        runs, newest first
          #3  08:29:23  by cli, 1s: exit code 1

        errors
          08:29:25 api | Error: That port is already in use.

        last lines
          08:29:25 api | Performing system checks...
          08:29:25 api | Error: That port is already in use.

        what to do
          - stop what listens on port 8000, or choose another port
        ");
    }
}
