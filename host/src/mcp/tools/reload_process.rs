//! `reload_process`: makes a process read its own configuration again.

use crate::api::{Api, Caller};

use super::super::arguments::{Argument, Arguments};
use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::{Effect, Id, Spec, Toolset};

pub const SPEC: Spec = Spec {
    id: Id::ReloadProcess,
    name: "reload_process",
    title: "Reload a process",
    description: "Make a running process read its own configuration again without a restart, by the signal or command \
                  its `reload` in ostler.toml names. Returns next_cursor to read what it says to that.",
    toolset: Toolset::Processes,
    effect: Effect::Acts { destructive: false },
    arguments: &[Argument::NAME],
    output: || {
        view::object(
            [("process", view::process_brief()), ("how", view::string()), ("next_cursor", view::string())],
            [],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let reloaded = api.reload(caller, arguments.required("name")).await?;
    Ok(Reply::default()
        .with("process", view::process(&reloaded.process))
        .with("how", bounded(&reloaded.how))
        .with("next_cursor", bounded(&reloaded.cursor)))
}
