//! `check_process_health`: makes the checks of processes now, and says what they saw.

use serde_json::{Map, Value, json};

use crate::api::{Api, Caller, CheckView, HealthView};

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::reply::{Failure, Reply, bounded};
use super::super::text::grouped;
use super::super::{budget, lines, view};
use super::{Effect, Id, Spec, Toolset};

/// Earlier results shown when one process is asked for.
const RECENT: usize = 5;

pub const SPEC: Spec = Spec {
    id: Id::CheckProcessHealth,
    name: "check_process_health",
    title: "Check the health of processes",
    description: "Make the health check of a process now (its readiness check where it has no other), or of all: what \
                  was seen, how long it took, the last results; and doubts where its output speaks against it (a failed \
                  build, requests answered with 5xx).",
    toolset: Toolset::Processes,
    effect: Effect::Reads,
    arguments: &[Argument::optional("name", Kind::Text, "Default all")],
    output: || {
        let checked = json!({
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "state": {"type": "string"},
                "health": {"type": "string", "enum": ["healthy", "unhealthy", "unchecked", "down"]},
                "check": {"type": "string"},
                "saw": {"type": "string"},
                "latency_ms": {"type": "number"},
                "recent": {"type": "array", "items": {"type": "string"}},
                "doubts": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["name", "state", "health", "saw"],
        });
        view::object([("processes", json!({"type": "array", "items": checked}))], [("hint", view::string())])
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let names: Vec<String> = arguments.text("name").map(str::to_owned).into_iter().collect();
    Ok(render(&api.health(caller, &names).await?, !names.is_empty()))
}

pub(super) fn render(views: &[HealthView], with_recent: bool) -> Reply {
    const HINT_TOKENS: usize = 60;
    let mut left = Reply::default().left(HINT_TOKENS);
    let mut shown: Vec<Value> = Vec::new();
    for view in views {
        let checked = one(view, with_recent);
        let cost = budget::json_tokens(&checked) + 1;
        if cost > left {
            break;
        }
        left -= cost;
        shown.push(checked);
    }
    let hint = match views.len() - shown.len() {
        0 => None,
        missing => {
            Some(format!("{} more processes are not shown; ask for one by its name", grouped(missing)))
        }
    };
    Reply::default().with("processes", shown).with_some("hint", hint)
}

fn one(view: &HealthView, with_recent: bool) -> Value {
    let mut object = Map::new();
    object.insert("name".to_owned(), view.process.name.as_str().into());
    object.insert("state".to_owned(), view.process.state.as_str().into());
    object.insert("health".to_owned(), view.verdict.as_str().into());
    object.insert("saw".to_owned(), bounded(&view.saw).into());
    if let Some(check) = &view.check {
        object.insert("check".to_owned(), bounded(check).into());
    }
    if let Some(latency) = view.latency_ms {
        object.insert("latency_ms".to_owned(), latency.into());
    }
    if !view.doubts.is_empty() {
        let doubts: Vec<String> = view.doubts.iter().map(|doubt| bounded(doubt)).collect();
        object.insert("doubts".to_owned(), doubts.into());
    }
    if with_recent && !view.recent.is_empty() {
        let from = view.recent.len().saturating_sub(RECENT);
        let recent: Vec<String> = view.recent[from..].iter().map(recent).collect();
        object.insert("recent".to_owned(), recent.into());
    }
    Value::Object(object)
}

/// One result in a line: `2026-11-20T08:29:25Z health failed in 2.1ms: GET … answered 503`.
fn recent(check: &CheckView) -> String {
    let word = if check.ok { "ok" } else { "failed" };
    let (time, purpose) = (lines::seconds(check.time), &check.purpose);
    bounded(&format!("{time} {purpose} {word} in {:.1}ms: {}", check.latency_ms, check.saw))
}

#[cfg(test)]
mod tests {
    use super::super::super::view::tests::view;
    use super::*;
    use crate::api::Verdict;
    use crate::bounds;
    use crate::model::Time;

    fn health(saw: &str) -> HealthView {
        let check = CheckView {
            time: Time(1_795_163_365_000_000_000),
            purpose: "health".to_owned(),
            ok: false,
            saw: saw.to_owned(),
            latency_ms: 2.12,
        };
        HealthView {
            process: view("api", "unhealthy"),
            verdict: Verdict::Unhealthy,
            check: Some("GET http://127.0.0.1:8000/up".to_owned()),
            saw: saw.to_owned(),
            latency_ms: Some(2.12),
            recent: vec![check; 20],
            doubts: vec!["its last build failed".to_owned()],
        }
    }

    #[test]
    fn what_was_seen_is_told_with_what_was_seen_before() {
        let mut one = health("GET http://127.0.0.1:8000/up answered 503");
        one.recent.truncate(1);
        insta::assert_snapshot!(render(&[one], true).into_value(), @r#"{"processes":[{"check":"GET http://127.0.0.1:8000/up","doubts":["its last build failed"],"health":"unhealthy","latency_ms":2.12,"name":"api","recent":["2026-11-20T08:29:25Z health failed in 2.1ms: GET http://127.0.0.1:8000/up answered 503"],"saw":"GET http://127.0.0.1:8000/up answered 503","state":"unhealthy"}]}"#);
    }

    #[test]
    fn many_processes_stay_within_the_budget() {
        let long = "{\"k\": [1, 2]} ".repeat(10_000);
        let reply = render(&vec![health(&long); 300], true).into_value();
        assert!(budget::json_tokens(&reply) <= bounds::REPLY_TOKENS, "{}", budget::json_tokens(&reply));
        assert!(reply["hint"].as_str().unwrap().contains("more processes are not shown"));
    }
}
