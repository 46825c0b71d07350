//! `scale_process`: says how many replicas of a process there are.

use serde_json::json;

use crate::api::{Api, Caller, ScaleReply};
use crate::bounds;
use crate::model::ProcessName;

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::{Effect, Id, Spec, Toolset, outcome};

pub const SPEC: Spec = Spec {
    id: Id::ScaleProcess,
    name: "scale_process",
    title: "Scale a process",
    description: "Set how many replicas of a process there are: name, name#2, name#3 and so on. Missing ones are started \
                  when the process runs, the last ones are stopped; the others are not touched. Returns what was started \
                  and removed.",
    toolset: Toolset::Processes,
    effect: Effect::Ensures { destructive: true },
    arguments: &[
        Argument::NAME,
        Argument {
            name: "replicas",
            kind: Kind::Number { least: 1, most: bounds::REPLICAS_MAX as u64, default: None },
            required: true,
            description: "",
        },
    ],
    output: || {
        view::object(
            [
                ("name", view::string()),
                ("replicas", view::integer()),
                ("started", json!({"type": "array", "items": {"type": "object"}})),
            ],
            [("removed", view::strings()), ("failed", view::strings()), ("hint", view::string())],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let replicas = arguments.number("replicas").and_then(|replicas| u32::try_from(replicas).ok());
    let scaled = api.scale(caller, arguments.required("name"), replicas.unwrap_or_default()).await?;
    Ok(render(&scaled))
}

pub(super) fn render(scaled: &ScaleReply) -> Reply {
    const FAILED: &str = "diagnose_process tells more of what failed";
    let failed = outcome::failures(&scaled.failed);
    let hint = scaled.note.as_deref().map(bounded).or_else(|| failed.as_ref().map(|_| FAILED.to_owned()));
    let reply = Reply::default()
        .with("name", scaled.name.as_str())
        .with("replicas", scaled.replicas)
        .with_some("failed", failed)
        .with_some("hint", hint);
    let removed: Vec<ProcessName> = scaled.removed.iter().map(|view| view.name.clone()).collect();
    let reply = outcome::with_names(reply, "removed", &removed, 2);
    outcome::with_processes(reply, "started", &scaled.started)
}

#[cfg(test)]
mod tests {
    use super::super::super::budget;
    use super::super::super::view::tests::view;
    use super::*;
    use crate::api;

    fn name(name: &str) -> ProcessName {
        ProcessName::parse(name).unwrap()
    }

    #[test]
    fn what_came_and_went_is_told() {
        let mut scaled = ScaleReply {
            name: name("web"),
            replicas: 2,
            started: vec![view("web#2", "running")],
            removed: Vec::new(),
            failed: Vec::new(),
            note: None,
        };
        insta::assert_snapshot!(render(&scaled).into_value(), @r#"{"name":"web","replicas":2,"started":[{"name":"web#2","ready":false,"state":"running"}]}"#);
        scaled.started.clear();
        scaled.removed = vec![view("web#3", "stopped")];
        scaled.failed = vec![api::Failure { name: name("web#2"), reason: "no such program".to_owned() }];
        insta::assert_snapshot!(render(&scaled).into_value(), @r#"{"failed":["web#2: no such program"],"hint":"diagnose_process tells more of what failed","name":"web","removed":["web#3"],"replicas":2,"started":[]}"#);
    }

    #[test]
    fn as_many_replicas_as_there_may_be_stay_within_the_budget() {
        let long = "w".repeat(60);
        let names = || (2..=64).map(|index| format!("{long}#{index}"));
        let scaled = ScaleReply {
            name: name(&long),
            replicas: 64,
            started: names().map(|name| view(&name, "ready")).collect(),
            removed: names().map(|name| view(&name, "stopped")).collect(),
            failed: names()
                .map(|of| api::Failure { name: name(&of), reason: "{\"x\": [1]}".repeat(1000) })
                .collect(),
            note: Some("{\"x\": [1]}".repeat(1000)),
        };
        let value = render(&scaled).into_value();
        assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS, "{}", budget::json_tokens(&value));
        assert!(value["removed"].as_array().is_some_and(|removed| removed.len() > 3), "{value}");
    }
}
