//! `start_process`: starts a process, and waits for it to be ready when asked to.

use serde_json::{Map, Value};

use crate::api::{Api, Caller, StartReply, Until, WaitOutcome, WaitReply, WaitRequest};
use crate::model::ProcessName;

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::wait_for::outcome_word;
use super::{Effect, Id, Spec, Toolset, in_time, outcome, wait_ms};

/// The argument that makes one call of start and wait.
pub const WAIT_READY: Argument =
    Argument::optional("wait_ready", Kind::Flag { default: false }, "Also wait up to 30 s until it is ready");

/// How long `wait_ready` waits, in seconds.
const WAIT_SECONDS: u64 = 30;

pub const SPEC: Spec = Spec {
    id: Id::StartProcess,
    name: "start_process",
    title: "Start a process",
    description: "Start a process, after what it depends on; one that runs already is left alone. Returns its state and \
                  next_cursor, from where get_logs reads this run. With wait_ready a failed start returns its exit \
                  and last lines.",
    toolset: Toolset::Core,
    effect: Effect::Ensures { destructive: false },
    arguments: &[Argument::NAME, WAIT_READY],
    output,
};

/// Returns the output schema that starting and restarting share.
pub fn output() -> Map<String, Value> {
    view::object(
        [("process", view::process_brief()), ("next_cursor", view::string())],
        [
            ("already_running", view::boolean()),
            ("outcome", view::one_of(&["met", "timed-out"])),
            ("reason", view::string()),
            ("tail", view::strings()),
            ("hint", view::string()),
            ("also_started", view::strings()),
        ],
    )
}

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let started = in_time(arguments.required("name"), api.start(caller, arguments.required("name"))).await?;
    finish(api, caller, arguments, started).await
}

/// Waits when `wait_ready` says so, and renders the reply.
pub async fn finish(
    api: &Api,
    caller: &Caller,
    arguments: &Arguments,
    started: StartReply,
) -> Result<Reply, Failure> {
    if !arguments.flag("wait_ready").unwrap_or(false) {
        return Ok(render(&started));
    }
    let request = WaitRequest {
        name: arguments.required("name").to_owned(),
        until: Until::Ready,
        timeout_ms: wait_ms(WAIT_SECONDS),
    };
    render_waited(&started, &api.wait(caller, request).await?)
}

pub(super) fn render(started: &StartReply) -> Reply {
    let reply = Reply::default()
        .with("process", view::process(&started.process))
        .with_some("already_running", started.already_running.then_some(true))
        .with("next_cursor", bounded(&started.cursor))
        .with_some("hint", started.warning.as_deref().map(bounded));
    also_started(reply, started)
}

/// Names what was started besides: dependencies, further replicas, members of a group.
fn also_started(reply: Reply, started: &StartReply) -> Reply {
    /// What is left is for the last lines, and a warning.
    const PARTS: usize = 2;
    let fresh = started.also.iter().filter(|also| !also.already_running);
    let names: Vec<ProcessName> = fresh.map(|also| also.process.name.clone()).collect();
    outcome::with_names(reply, "also_started", &names, PARTS)
}

pub(super) fn render_waited(started: &StartReply, waited: &WaitReply) -> Result<Reply, Failure> {
    let reply = Reply::default()
        .with("process", view::process(&waited.process))
        .with_some("already_running", started.already_running.then_some(true))
        // The lines of the start are still to be read.
        .with("next_cursor", bounded(&started.cursor))
        .with("outcome", outcome_word(waited.outcome))
        .with("reason", bounded(&waited.reason));
    let reply = also_started(reply, started);
    match waited.outcome {
        WaitOutcome::Met => Ok(reply.with_some("hint", started.warning.as_deref().map(bounded))),
        WaitOutcome::TimedOut => {
            let reply = reply.with(
                "hint",
                "it runs but is not ready yet: call wait_for to go on waiting, or diagnose_process",
            );
            let left = reply.left(0);
            Ok(reply.with_lines("tail", &waited.tail, left))
        }
        WaitOutcome::Impossible => Err(Failure::with_lines(
            &format!("`{}` did not get ready: {}", waited.process.name, waited.reason),
            Some("diagnose_process tells more; after a fix call start_process again"),
            &waited.tail,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::lines::tests::line;
    use super::super::super::view::tests::view;
    use super::*;
    use crate::model::Level;

    fn started(already_running: bool) -> StartReply {
        StartReply {
            process: view("api", "starting"),
            already_running,
            cursor: "c7".to_owned(),
            warning: None,
            also: Vec::new(),
        }
    }

    fn waited(outcome: WaitOutcome, reason: &str) -> WaitReply {
        WaitReply {
            outcome,
            reason: reason.to_owned(),
            process: view("api", if outcome == WaitOutcome::Met { "ready" } else { "failed" }),
            line: None,
            alert: None,
            tail: vec![line(1, 0, Level::Error, "Error: That port is already in use.")],
            cursor: "c9".to_owned(),
        }
    }

    #[test]
    fn starting_what_runs_is_a_success() {
        insta::assert_snapshot!(render(&started(true)).into_value(), @r#"{"already_running":true,"next_cursor":"c7","process":{"name":"api","ready":false,"state":"starting"}}"#);
    }

    #[test]
    fn a_start_that_got_ready_says_so() {
        let reply = render_waited(&started(false), &waited(WaitOutcome::Met, "ready after 812 ms")).unwrap();
        insta::assert_snapshot!(reply.into_value(), @r#"{"next_cursor":"c7","outcome":"met","process":{"name":"api","ready":true,"state":"ready"},"reason":"ready after 812 ms"}"#);
    }

    #[test]
    fn a_start_that_died_is_a_failure_with_its_last_lines() {
        let failure = render_waited(
            &started(false),
            &waited(WaitOutcome::Impossible, "exited with exit code 1 before it was ready"),
        )
        .unwrap_err();
        insta::assert_snapshot!(failure.text(), @r"
        `api` did not get ready: exited with exit code 1 before it was ready
        hint: diagnose_process tells more; after a fix call start_process again
        last lines:
        2026-11-20T08:29:25Z error| Error: That port is already in use.
        ");
    }

    #[test]
    fn a_start_that_takes_long_is_no_failure() {
        let reply =
            render_waited(&started(false), &waited(WaitOutcome::TimedOut, "not ready after 30 s")).unwrap();
        let value = reply.into_value();
        assert_eq!(value["outcome"], "timed-out");
        assert_eq!(value["tail"][0], "2026-11-20T08:29:25Z error| Error: That port is already in use.");
    }
}
