//! `diagnose_process`: everything needed to see why a process is as it is, in one call.

use crate::api::{Api, Caller, Diagnosis, RunView};
use crate::model::{Line, Time};

use super::super::arguments::{Argument, Arguments};
use super::super::reply::{Failure, Reply, bounded};
use super::super::{lines, view};
use super::{Effect, Id, Spec, Toolset};

/// Most runs shown; older ones seldom tell more.
const RUNS: usize = 5;
/// Most hints shown.
const HINTS: usize = 5;

pub const SPEC: Spec = Spec {
    id: Id::DiagnoseProcess,
    name: "diagnose_process",
    title: "Diagnose a process",
    description: "Explain why a process is as it is: summary with the exit in words, command, recent runs, last error \
                  lines, last lines, and hints what to do next. Call it when something failed, before reading logs.",
    toolset: Toolset::Core,
    effect: Effect::Reads,
    arguments: &[Argument::NAME],
    output: || {
        view::object(
            [
                ("summary", view::string()),
                ("process", view::process_brief()),
                ("command", view::string()),
                ("cwd", view::string()),
                ("next_cursor", view::string()),
            ],
            [
                ("runs", view::strings()),
                ("errors", view::strings()),
                ("tail", view::strings()),
                ("hints", view::strings()),
            ],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    Ok(render(&api.diagnose(caller, arguments.required("name")).await?))
}

pub(super) fn render(diagnosis: &Diagnosis) -> Reply {
    let runs: Vec<String> = diagnosis.runs.iter().take(RUNS).map(run).collect();
    let hints: Vec<String> = diagnosis.hints.iter().take(HINTS).map(|hint| bounded(hint)).collect();
    let reply = Reply::default()
        .with("summary", bounded(&diagnosis.summary))
        .with("process", view::process(&diagnosis.process))
        .with("command", bounded(&diagnosis.command))
        .with("cwd", bounded(&diagnosis.cwd))
        .with("next_cursor", bounded(&diagnosis.cursor))
        .with_some("runs", (!runs.is_empty()).then_some(runs))
        .with_some("hints", (!hints.is_empty()).then_some(hints));
    let errors = before_the_tail(&diagnosis.errors, &diagnosis.tail);
    let half = reply.left(0) / 2;
    let reply = reply.with_lines("errors", errors, half);
    let left = reply.left(0);
    reply.with_lines("tail", &diagnosis.tail, left)
}

/// Errors that the tail shows anyway need not be told twice.
fn before_the_tail<'a>(errors: &'a [Line], tail: &[Line]) -> &'a [Line] {
    let Some(first) = tail.first() else { return errors };
    &errors[..errors.partition_point(|error| error.seq < first.seq)]
}

/// One run in a line: `#12 by mcp at 2026-11-20T08:29:25Z for 3.2s: exit code 1`.
fn run(run: &RunView) -> String {
    let lasted = run.ended.map(|ended| format!(" for {}", lasted(run.started, ended))).unwrap_or_default();
    bounded(&format!(
        "#{} by {} at {}{lasted}: {}",
        run.run,
        run.reason,
        lines::seconds(run.started),
        run.how
    ))
}

fn lasted(started: Time, ended: Time) -> String {
    let duration = ended.since(started);
    match duration.as_secs() {
        0 => format!("{}ms", duration.as_millis()),
        seconds @ 1..60 => format!("{seconds}.{}s", duration.subsec_millis() / 100),
        seconds @ 60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        seconds => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::budget;
    use super::super::super::lines::tests::line;
    use super::super::super::view::tests::view;
    use super::*;
    use crate::bounds;
    use crate::model::{Level, RunId};

    fn diagnosis() -> Diagnosis {
        let started = line(1, 0, Level::Info, "").time;
        Diagnosis {
            process: view("api", "failed"),
            summary: "failed: exit code 1, 812 ms after its start; port 8000 is in use".to_owned(),
            command: "python manage.py runserver 8000".to_owned(),
            cwd: "/srv/shop/backend".to_owned(),
            runs: vec![RunView {
                run: RunId(12),
                reason: "mcp".to_owned(),
                started,
                ended: Some(Time(started.0 + 812_000_000)),
                exit: None,
                how: "exit code 1".to_owned(),
            }],
            errors: vec![line(3, 0, Level::Error, "early"), line(9, 1, Level::Error, "late")],
            tail: vec![line(8, 1, Level::Info, "before"), line(9, 1, Level::Error, "late")],
            hints: vec!["free port 8000".to_owned()],
            cursor: "c9".to_owned(),
        }
    }

    #[test]
    fn nothing_is_told_twice() {
        let value = serde_json::to_string_pretty(&render(&diagnosis()).into_value()).unwrap();
        insta::assert_snapshot!(value, @r##"
        {
          "command": "python manage.py runserver 8000",
          "cwd": "/srv/shop/backend",
          "errors": [
            "2026-11-20T08:29:25Z error| early"
          ],
          "hints": [
            "free port 8000"
          ],
          "next_cursor": "c9",
          "process": {
            "name": "api",
            "ready": false,
            "state": "failed"
          },
          "runs": [
            "#12 by mcp at 2026-11-20T08:29:25Z for 812ms: exit code 1"
          ],
          "summary": "failed: exit code 1, 812 ms after its start; port 8000 is in use",
          "tail": [
            "2026-11-20T08:29:26Z info| before",
            "error| late"
          ]
        }
        "##);
    }

    #[test]
    fn a_diagnosis_is_bounded_whatever_it_holds() {
        let long = "{\"k\": [1, 2]} ".repeat(10_000);
        let lines =
            |from: u64| (from..from + 200).map(|seq| line(seq, seq as i64, Level::Error, &long)).collect();
        let mut big = diagnosis();
        big.runs = std::iter::repeat_n(&big.runs[0], 100).cloned().collect();
        big.runs.iter_mut().for_each(|run| run.how = long.clone());
        (big.summary, big.command, big.cwd, big.cursor) =
            (long.clone(), long.clone(), long.clone(), long.clone());
        big.hints = vec![long.clone(); 100];
        (big.errors, big.tail) = (lines(1), lines(500));
        let value = render(&big).into_value();
        assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS, "{}", budget::json_tokens(&value));
    }

    #[test]
    fn durations_are_short() {
        let seconds = |seconds: i64| lasted(Time(0), Time(seconds * 1_000_000_000));
        assert_eq!([3, 75, 7300].map(seconds), ["3.0s", "1m15s", "2h1m"]);
        assert_eq!(lasted(Time(5_000_000), Time(0)), "0ms");
    }
}
