//! `restart_process`: stops what runs and starts it anew.

use crate::api::{Api, Caller};

use super::super::arguments::{Argument, Arguments};
use super::super::reply::{Failure, Reply};
use super::super::view;
use super::start_process::{self, WAIT_READY};
use super::{Effect, Id, Spec, Toolset, in_time};

pub const SPEC: Spec = Spec {
    id: Id::RestartProcess,
    name: "restart_process",
    title: "Restart a process",
    description: "Stop a process with everything it spawned, and start it anew; one that does not run is started. For \
                  changed configuration, or code that is not reloaded. Returns what start_process returns.",
    toolset: Toolset::Core,
    effect: Effect::Acts { destructive: true },
    arguments: &[Argument::NAME, WAIT_READY],
    output: || view::object([("process", view::process_brief()), ("next_cursor", view::string())], []),
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let started =
        in_time(arguments.required("name"), api.restart(caller, arguments.required("name"))).await?;
    start_process::finish(api, caller, arguments, started).await
}
