//! `list_processes`: every process with its state.

use serde_json::{Value, json};

use crate::api::{Api, Caller, ProcessView};

use super::super::reply::{Failure, Reply};
use super::super::text::grouped;
use super::super::{budget, view};
use super::{Effect, Id, Spec, Toolset};

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
            [("hint", view::string())],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller) -> Result<Reply, Failure> {
    Ok(render(&api.list(caller).await?))
}

fn render(processes: &[ProcessView]) -> Reply {
    const HINT_TOKENS: usize = 60;
    let mut left = Reply::default().left(HINT_TOKENS);
    let mut shown: Vec<Value> = Vec::new();
    for process in processes {
        let process = view::process(process);
        let cost = budget::json_tokens(&process) + 1;
        if cost > left {
            break;
        }
        left -= cost;
        shown.push(process);
    }
    let hint = match processes.len() - shown.len() {
        0 if processes.is_empty() => {
            Some("no processes are defined: add [process.NAME] with a command to ostler.toml".to_owned())
        }
        0 => None,
        missing => Some(format!(
            "{} more processes are not shown; ask for one by its name with diagnose_process",
            grouped(missing)
        )),
    };
    Reply::default().with("processes", shown).with_some("hint", hint)
}

#[cfg(test)]
mod tests {
    use super::super::super::view::tests::view;
    use super::*;
    use crate::bounds;

    #[test]
    fn an_empty_project_is_told_what_to_do() {
        insta::assert_snapshot!(render(&[]).into_value(), @r#"{"hint":"no processes are defined: add [process.NAME] with a command to ostler.toml","processes":[]}"#);
    }

    #[test]
    fn hundreds_of_processes_stay_within_the_budget() {
        let processes: Vec<ProcessView> =
            (0..600).map(|index| view(&format!("worker-with-a-long-name-{index}"), "ready")).collect();
        let reply = render(&processes).into_value();
        assert!(budget::json_tokens(&reply) <= bounds::REPLY_TOKENS);
        let shown = reply["processes"].as_array().unwrap().len();
        assert!(shown > 50);
        assert!(
            reply["hint"].as_str().unwrap().starts_with(&format!("{} more", 600 - shown)),
            "{}",
            reply["hint"]
        );
    }
}
