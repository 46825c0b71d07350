//! `wait_for`: returns when a process is ready, has ended, has printed something, or has raised an alert.

use crate::api::{AlertView, Api, Caller, Until, WaitOutcome, WaitReply, WaitRequest};

use super::super::arguments::{self, Argument, Arguments, Kind};
use super::super::lines;
use super::super::reply::{Failure, Reply, TEXT_TOKENS, bounded};
use super::super::view;
use super::{Effect, Id, Spec, Toolset, wait_ms};

/// How long a call waits that does not say, in seconds.
const TIMEOUT_SECONDS: u64 = 30;

pub const SPEC: Spec = Spec {
    id: Id::WaitFor,
    name: "wait_for",
    title: "Wait for a process",
    description: "Wait until a process is ready, has exited, prints a line that matches pattern, or raises an alert. Returns outcome met, \
                  timed-out (call again) or impossible (it ended first), with the matching line or the last ones.",
    toolset: Toolset::Core,
    effect: Effect::Reads,
    arguments: &[
        Argument::NAME,
        Argument::optional(
            "until",
            Kind::Choice { options: &["ready", "exit", "log", "alert"], default: Some("ready") },
            "",
        ),
        Argument::optional("pattern", Kind::Text, "Regex for until=log; name for until=alert, default any"),
        Argument::optional(
            "since",
            Kind::Text,
            "Cursor for until=log and alert: what is later counts; default the current run",
        ),
        Argument::optional(
            "timeout_seconds",
            Kind::Number { least: 1, most: 50, default: Some(TIMEOUT_SECONDS) },
            "",
        ),
    ],
    output: || {
        view::object(
            [
                ("outcome", view::one_of(&["met", "timed-out", "impossible"])),
                ("reason", view::string()),
                ("process", view::process_brief()),
                ("next_cursor", view::string()),
            ],
            [
                ("line", view::string()),
                ("alert", view::string()),
                ("tail", view::strings()),
                ("hint", view::string()),
            ],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    Ok(render(&api.wait(caller, request(arguments)?).await?))
}

fn request(arguments: &Arguments) -> Result<WaitRequest, Failure> {
    let refused =
        |problem: &str| Failure::new(arguments::refusal(SPEC.name, SPEC.arguments, &[problem.to_owned()]));
    let pattern = arguments.text("pattern");
    // Who gives a pattern and nothing else can only mean one thing.
    let until = arguments.text("until").unwrap_or(if pattern.is_some() { "log" } else { "ready" });
    let until = match (until, pattern) {
        ("log", Some(pattern)) => {
            Until::Log { pattern: pattern.to_owned(), since: arguments.text("since").map(str::to_owned) }
        }
        ("alert", name) => {
            Until::Alert { alert: name.map(str::to_owned), since: arguments.text("since").map(str::to_owned) }
        }
        ("log", None) => return Err(refused("`pattern` is missing: until=log needs a regular expression")),
        (_, Some(_)) => return Err(refused("`pattern` only goes with until=log and until=alert")),
        ("exit", None) => Until::Exit,
        _ => Until::Ready,
    };
    Ok(WaitRequest {
        name: arguments.required("name").to_owned(),
        until,
        timeout_ms: wait_ms(arguments.number("timeout_seconds").unwrap_or(TIMEOUT_SECONDS)),
    })
}

pub(super) fn render(waited: &WaitReply) -> Reply {
    let hint = match waited.outcome {
        WaitOutcome::Met => None,
        WaitOutcome::TimedOut => Some("call wait_for again to go on waiting, or diagnose_process"),
        WaitOutcome::Impossible if waited.process.state.is_alive() => Some("diagnose_process tells more"),
        WaitOutcome::Impossible => Some("diagnose_process tells why it ended"),
    };
    let hint = match &waited.alert {
        Some(alert) => Some(format!("wait for the next one with since=alert:{}", alert.id)),
        None => hint.map(str::to_owned),
    };
    let reply = Reply::default()
        .with("outcome", outcome_word(waited.outcome))
        .with("reason", bounded(&waited.reason))
        .with("process", view::process(&waited.process))
        .with("next_cursor", bounded(&waited.cursor))
        .with_some("line", waited.line.as_ref().map(|line| lines::render_one(line, 4 * TEXT_TOKENS)))
        .with_some("alert", waited.alert.as_ref().map(alert))
        .with_some("hint", hint);
    let left = reply.left(0);
    reply.with_lines("tail", &waited.tail, left)
}

/// Tells an alert in a line: `errors: the shop is down; 10 events at error within 1m: ValueError: no cart`.
fn alert(view: &AlertView) -> String {
    let message = view.message.as_ref().map(|message| format!("{message}; ")).unwrap_or_default();
    bounded(&format!("{}: {message}{}: {}", view.name, view.what, view.text))
}

/// Returns the word for an outcome, as the schema spells it.
pub fn outcome_word(outcome: WaitOutcome) -> &'static str {
    match outcome {
        WaitOutcome::Met => "met",
        WaitOutcome::TimedOut => "timed-out",
        WaitOutcome::Impossible => "impossible",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::lines::tests::line;
    use super::super::super::view::tests::view;
    use super::super::super::{budget, reply};
    use super::*;
    use crate::bounds;
    use crate::model::Level;

    fn read(sent: serde_json::Value) -> Result<WaitRequest, reply::Failure> {
        request(&Arguments::check(SPEC.name, SPEC.arguments, sent.as_object().cloned()).expect("they fit"))
    }

    #[test]
    fn ready_is_waited_for_unless_a_pattern_is_given() {
        let request = read(json!({"name": "api"})).unwrap();
        assert_eq!((request.until, request.timeout_ms), (Until::Ready, 30_000));
        let request = read(json!({"name": "api", "pattern": "a+", "since": "c1"})).unwrap();
        assert_eq!(request.until, Until::Log { pattern: "a+".to_owned(), since: Some("c1".to_owned()) });
        assert_eq!(read(json!({"name": "api", "until": "exit"})).unwrap().until, Until::Exit);
    }

    #[test]
    fn a_pattern_in_the_wrong_place_is_refused() {
        insta::assert_snapshot!(read(json!({"name": "api", "until": "log"})).unwrap_err().text(), @r"
        wait_for was not called:
        - `pattern` is missing: until=log needs a regular expression
        wait_for takes: name (a string); until? (one of ready, exit, log, alert); pattern? (a string); since? (a string); timeout_seconds? (a number from 1 to 50)
        ");
        let refused = read(json!({"name": "api", "until": "ready", "pattern": "x"})).unwrap_err();
        assert!(refused.text().contains("`pattern` only goes with until=log and until=alert"));
    }

    #[test]
    fn a_long_tail_stays_within_the_budget() {
        let waited = WaitReply {
            outcome: WaitOutcome::Impossible,
            reason: "exited with exit code 1".to_owned(),
            process: view("api", "failed"),
            line: Some(line(1, 0, Level::Info, &"<x/>".repeat(100_000))),
            alert: None,
            tail: (2..300)
                .map(|seq| line(seq, seq as i64, Level::Error, &format!("{seq}{}", "a.b(c)".repeat(500))))
                .collect(),
            cursor: "c9".to_owned(),
        };
        let value = render(&waited).into_value();
        assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS, "{}", budget::json_tokens(&value));
        assert!(value["tail"].as_array().unwrap().len() > 5);
        assert_eq!(value["hint"], "diagnose_process tells why it ended");
    }

    #[test]
    fn the_words_are_those_of_the_wire() {
        for outcome in [WaitOutcome::Met, WaitOutcome::TimedOut, WaitOutcome::Impossible] {
            assert_eq!(json!(outcome), outcome_word(outcome));
        }
    }
}
