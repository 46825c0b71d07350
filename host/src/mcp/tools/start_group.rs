//! `start_group`: starts a group's members in their order.

use serde_json::{Map, Value, json};

use crate::api::{Api, Caller, GroupReply};

use super::super::arguments::Arguments;
use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::create_group::GROUP;
use super::{Effect, Id, Spec, Toolset, in_time, outcome};

pub const SPEC: Spec = Spec {
    id: Id::StartGroup,
    name: "start_group",
    title: "Start a group",
    description: "Start a group's processes in its order, each after what it depends on. What runs is left alone. \
                  Returns them, and in failed those that could not be started and why.",
    toolset: Toolset::Groups,
    effect: Effect::Ensures { destructive: false },
    arguments: &[GROUP],
    output,
};

/// Returns the output schema of starting and stopping a group.
pub fn output() -> Map<String, Value> {
    view::object(
        [("processes", json!({"type": "array", "items": {"type": "object"}}))],
        [("others", view::strings()), ("failed", view::strings()), ("hint", view::string())],
    )
}

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    render(&in_time(arguments.required("group"), api.start_group(caller, arguments.required("group"))).await?)
}

/// Renders the members as they are now; that none could be started is a failure.
pub fn render(reply: &GroupReply) -> Result<Reply, Failure> {
    let failed = outcome::failures(&reply.failed);
    if let (true, Some(failed)) = (reply.processes.is_empty(), &failed) {
        let message = format!("nothing of `{}` was started: {}", reply.group.name, failed.join("; "));
        return Err(Failure::with_lines(&message, Some("diagnose_process tells more of each"), &[]));
    }
    // What failed is kept whole, because it is what has to be dealt with.
    let told =
        Reply::default().with_some("failed", failed).with_some("hint", reply.warning.as_deref().map(bounded));
    Ok(outcome::with_processes(told, "processes", &reply.processes))
}
