//! `remove_process`: takes away what was added.

use crate::api::{Api, Caller};

use super::super::arguments::{Argument, Arguments};
use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::{Effect, Id, Spec, Toolset};

pub const SPEC: Spec = Spec {
    id: Id::RemoveProcess,
    name: "remove_process",
    title: "Remove a process",
    description: "Stop a process that was added with add_process, and take it away. Processes of ostler.toml are \
                  taken away by editing that file.",
    toolset: Toolset::Processes,
    effect: Effect::Acts { destructive: true },
    arguments: &[Argument::NAME],
    output: || {
        view::object([("name", view::string()), ("was_running", view::boolean())], [("how", view::string())])
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let removed = api.remove(caller, arguments.required("name")).await?;
    Ok(Reply::default()
        .with("name", removed.name.as_str())
        .with("was_running", removed.was_running)
        .with_some("how", removed.how.as_deref().map(bounded)))
}
