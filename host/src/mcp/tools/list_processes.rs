//! `list_processes`: every process with its state.

use serde_json::json;

use crate::api::{Api, Caller, GroupView, ProcessView};

use super::super::reply::{Failure, Reply};
use super::super::text::clean_within;
use super::super::view;
use super::{Effect, Id, Spec, Toolset, outcome};

pub const SPEC: Spec = Spec {
    id: Id::ListProcesses,
    name: "list_processes",
    title: "List processes",
    description: "List the project's processes: state, readiness, pid, uptime, ports, restarts, last exit. \
                  Call it first to learn the names.",
    toolset: Toolset::Core,
    effect: Effect::Reads,
    arguments: &[],
    output: || {
        view::object(
            [("processes", json!({"type": "array", "items": view::process_schema()}))],
            [("others", view::strings()), ("groups", view::strings()), ("hint", view::string())],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller) -> Result<Reply, Failure> {
    Ok(render(&api.list(caller).await?, &api.groups(caller).await?))
}

/// What to do where there is nothing.
const NONE: &str =
    "no processes are defined: call add_process, or add [process.NAME] with a command to ostler.toml";

pub(super) fn render(processes: &[ProcessView], groups: &[GroupView]) -> Reply {
    let hint = processes.is_empty().then_some(NONE);
    let reply = Reply::default().with_some("groups", told(groups)).with_some("hint", hint);
    outcome::with_processes(reply, "processes", processes)
}

/// Tells each group in a line: `web: api, worker`.
fn told(groups: &[GroupView]) -> Option<Vec<String>> {
    /// Groups shown, and the estimated tokens of each.
    const SHOWN: usize = 20;
    const TOKENS: usize = 60;
    let line = |group: &GroupView| {
        let members: Vec<&str> = group.members.iter().map(|member| member.as_str()).collect();
        clean_within(&format!("{}: {}", group.name, members.join(", ")), TOKENS)
    };
    (!groups.is_empty()).then(|| groups.iter().take(SHOWN).map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::super::super::budget;
    use super::super::super::view::tests::view;
    use super::*;
    use crate::bounds;
    use crate::model::ProcessName;

    #[test]
    fn an_empty_project_is_told_what_to_do() {
        insta::assert_snapshot!(render(&[], &[]).into_value(), @r#"{"hint":"no processes are defined: call add_process, or add [process.NAME] with a command to ostler.toml","processes":[]}"#);
    }

    #[test]
    fn groups_are_told_in_a_line_each() {
        let group = GroupView {
            name: "web".to_owned(),
            members: ["api", "worker"].map(|name| ProcessName::new(name).unwrap()).to_vec(),
            start_delay_ms: 0,
            stop: "reverse".to_owned(),
        };
        let reply = render(&[view("api", "ready")], &[group]).into_value();
        assert_eq!(reply["groups"], json!(["web: api, worker"]));
    }

    #[test]
    fn hundreds_of_processes_stay_within_the_budget() {
        let processes: Vec<ProcessView> =
            (0..600).map(|index| view(&format!("worker-with-a-long-name-{index}"), "ready")).collect();
        let reply = render(&processes, &[]).into_value();
        assert!(budget::json_tokens(&reply) <= bounds::REPLY_TOKENS);
        let shown = reply["processes"].as_array().unwrap().len();
        assert!(shown > 30, "{shown}");
        let others = reply["others"].as_array().unwrap();
        assert!(others.len() > 50 && others[0] == format!("worker-with-a-long-name-{shown}"), "{others:?}");
        assert_eq!(others[others.len() - 1], format!("and {} more", 601 - shown - others.len()));
        assert!(
            reply["hint"].as_str().unwrap().starts_with(&format!("{} more processes", 600 - shown)),
            "{}",
            reply["hint"]
        );
    }
}
