//! `clear_logs`: deletes lines of log for good.

use crate::api::{Api, Caller, ClearLogsRequest};

use super::super::arguments::{Argument, Arguments};
use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::{Effect, Id, Spec, Toolset};

pub const SPEC: Spec = Spec {
    id: Id::ClearLogs,
    name: "clear_logs",
    title: "Clear logs",
    description: "Delete the log lines of a process or group, or all, from the disk: they cannot be had back. What is \
                  printed from now on is kept. To see only new lines, read from a cursor instead.",
    toolset: Toolset::Logs,
    effect: Effect::Acts { destructive: true },
    arguments: &[Argument {
        required: false,
        description: "Process or group; everything when left out",
        ..Argument::NAME
    }],
    output: || {
        view::object(
            [("lines", view::integer()), ("freed_bytes", view::integer()), ("next_cursor", view::string())],
            [],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let names = arguments.text("name").map(str::to_owned).into_iter().collect();
    let cleared = api.clear_logs(caller, ClearLogsRequest { names }).await?;
    Ok(Reply::default()
        .with("lines", cleared.lines)
        .with("freed_bytes", cleared.freed_bytes)
        .with("next_cursor", bounded(&cleared.cursor)))
}
