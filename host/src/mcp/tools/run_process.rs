//! `run_process`: runs a process once, with arguments of the call's own, and tells how it ended.

use std::time::Instant;

use crate::api::{Api, Caller, LogsReply, LogsRequest, RunEndReply, RunEndRequest, RunReply, RunRequest};

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::{Effect, Id, Spec, Toolset, in_time, wait_ms};

/// How long a call waits that does not say, in seconds.
const TIMEOUT_SECONDS: u64 = 30;
/// Lines of output that are told; get_logs has the others.
const LINES: usize = 50;

pub const SPEC: Spec = Spec {
    id: Id::RunProcess,
    name: "run_process",
    title: "Run a process once",
    description: "Run a process that does not run once, such as a migration or a test: after what it depends on, with \
                  arguments behind its command, without restarts. Waits for its end and returns exit and last lines; it \
                  goes on when the time is over.",
    toolset: Toolset::Processes,
    effect: Effect::Acts { destructive: false },
    arguments: &[
        Argument::NAME,
        Argument::optional("arguments", Kind::Texts, "Put behind its command"),
        Argument::optional(
            "timeout_seconds",
            Kind::Number { least: 1, most: 50, default: Some(TIMEOUT_SECONDS) },
            "",
        ),
    ],
    output: || {
        view::object(
            [
                ("ended", view::boolean()),
                ("how", view::string()),
                ("run", view::integer()),
                ("next_cursor", view::string()),
            ],
            [("exit_code", view::integer()), ("tail", view::strings()), ("hint", view::string())],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let name = arguments.required("name");
    let begun = Instant::now();
    let request = RunRequest { name: name.to_owned(), arguments: arguments.texts("arguments") };
    let started = in_time(name, api.run_once(caller, request)).await?;
    let asked = wait_ms(arguments.number("timeout_seconds").unwrap_or(TIMEOUT_SECONDS));
    // What the start took is missing at the end of the call.
    let spent = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let timeout_ms = asked.min(wait_ms(u64::MAX).saturating_sub(spent));
    let end = RunEndRequest { name: name.to_owned(), run: started.run, timeout_ms };
    let ended = api.run_end(caller, end).await?;
    let logs = LogsRequest { run: Some(started.run), limit: Some(LINES), ..LogsRequest::default() };
    Ok(render(&started, &ended, &api.logs(caller, logs).await?))
}

pub(super) fn render(started: &RunReply, ended: &RunEndReply, logs: &LogsReply) -> Reply {
    let hint = match (ended.ended, logs.more) {
        (false, _) => Some("it goes on: wait_for with until=exit waits for its end, stop_process ends it"),
        (true, true) => Some("there were more lines: get_logs with since=next_cursor has all of them"),
        (true, false) => None,
    };
    let reply = Reply::default()
        .with("ended", ended.ended)
        .with("how", bounded(&ended.how))
        .with_some("exit_code", ended.exit.and_then(|exit| exit.code))
        .with("run", started.run.0)
        .with("next_cursor", bounded(&started.cursor))
        .with_some("hint", hint);
    let left = reply.left(0);
    reply.with_lines("tail", &logs.lines, left)
}

#[cfg(test)]
mod tests {
    use super::super::super::budget;
    use super::super::super::lines::tests::line;
    use super::super::super::view::tests::view;
    use super::*;
    use crate::bounds;
    use crate::model::{Exit, Level, RunId};

    fn started() -> RunReply {
        RunReply {
            process: view("migrate", "running"),
            run: RunId(7),
            dependencies: Vec::new(),
            cursor: "c1".to_owned(),
        }
    }

    fn logs(lines: Vec<crate::model::Line>) -> LogsReply {
        LogsReply { lines, cursor: "c9".to_owned(), more: false, missing: 0 }
    }

    #[test]
    fn an_end_is_told_with_its_code_and_the_last_lines() {
        let exit = Exit { code: Some(2), signal: None };
        let ended = RunEndReply { ended: true, exit: Some(exit), how: exit.to_string() };
        let value =
            render(&started(), &ended, &logs(vec![line(1, 0, Level::Error, "no table")])).into_value();
        insta::assert_snapshot!(value, @r#"{"ended":true,"exit_code":2,"how":"exit code 2","next_cursor":"c1","run":7,"tail":["2026-11-20T08:29:25Z error| no table"]}"#);
    }

    #[test]
    fn what_still_runs_is_told_how_to_wait_on_and_stays_within_the_budget() {
        let ended = RunEndReply { ended: false, exit: None, how: "it still runs".to_owned() };
        let lines = (0..50).map(|seq| line(seq, 0, Level::Info, &"{\"x\": [1]}".repeat(500))).collect();
        let value = render(&started(), &ended, &logs(lines)).into_value();
        assert!(value["hint"].as_str().unwrap().contains("until=exit"));
        assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS, "{}", budget::json_tokens(&value));
    }
}
