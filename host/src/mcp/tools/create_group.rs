//! `create_group`: a set of processes to start and stop together.

use serde_json::{Map, Value, json};

use crate::api::{Api, Caller, CreateGroup, GroupView};

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::{Effect, Id, Spec, Toolset};

/// The argument that names a group.
pub const GROUP: Argument = Argument { name: "group", kind: Kind::Text, required: true, description: "" };

/// The argument that names the members of a group.
pub const MEMBERS: Argument =
    Argument { name: "names", kind: Kind::Texts, required: true, description: "Processes, in start order" };

pub const SPEC: Spec = Spec {
    id: Id::CreateGroup,
    name: "create_group",
    title: "Create a group",
    description: "Make a group of processes to start and stop together. It is kept until `ostler down`; [group.NAME] \
                  in ostler.toml makes one that stays.",
    toolset: Toolset::Groups,
    effect: Effect::Ensures { destructive: false },
    arguments: &[
        GROUP,
        MEMBERS,
        Argument::optional(
            "start_delay_seconds",
            Kind::Number { least: 0, most: 600, default: Some(0) },
            "Pause between two starts",
        ),
        Argument::optional(
            "stop",
            Kind::Choice { options: &["reverse", "parallel", "sequential"], default: Some("reverse") },
            "Order of a stop",
        ),
    ],
    output,
};

/// Returns the output schema of what makes and changes groups.
pub fn output() -> Map<String, Value> {
    view::object([("group", json!({"type": "object"}))], [])
}

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let request = CreateGroup {
        name: arguments.required("group").to_owned(),
        members: arguments.texts("names"),
        start_delay_ms: arguments.number("start_delay_seconds").unwrap_or(0).saturating_mul(1000),
        stop: arguments.text("stop").map(str::to_owned),
    };
    Ok(Reply::default().with("group", group(&api.create_group(caller, request).await?)))
}

/// Returns a group as agents read it.
pub fn group(group: &GroupView) -> Value {
    /// Members shown; there may be as many as there are processes.
    const SHOWN: usize = 100;
    let members: Vec<&str> = group.members.iter().take(SHOWN).map(|member| member.as_str()).collect();
    let mut value = json!({"name": bounded(&group.name), "members": members, "stop": group.stop});
    if group.start_delay_ms > 0 {
        value["start_delay_ms"] = group.start_delay_ms.into();
    }
    if let Some(more @ 1..) = group.members.len().checked_sub(SHOWN) {
        value["more_members"] = more.into();
    }
    value
}
