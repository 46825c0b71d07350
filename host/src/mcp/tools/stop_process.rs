//! `stop_process`: stops a process and all it spawned.

use crate::api::{Api, Caller, StopReply};
use crate::model::ProcessName;

use super::super::arguments::{Argument, Arguments};
use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::{Effect, Id, Spec, Toolset, outcome};

pub const SPEC: Spec = Spec {
    id: Id::StopProcess,
    name: "stop_process",
    title: "Stop a process",
    description: "Stop a process with everything it spawned: its stop signal, a grace, then SIGKILL. It stays stopped \
                  until started again. Returns how it ended.",
    toolset: Toolset::Core,
    effect: Effect::Ensures { destructive: true },
    arguments: &[Argument::NAME],
    output: || {
        view::object(
            [("process", view::process_brief()), ("was_running", view::boolean())],
            [("how", view::string()), ("also_stopped", view::strings())],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    Ok(render(&api.stop(caller, arguments.required("name")).await?))
}

pub(super) fn render(stopped: &StopReply) -> Reply {
    let also = stopped.also.iter().filter(|also| also.was_running);
    let also: Vec<ProcessName> = also.map(|also| also.process.name.clone()).collect();
    let reply = Reply::default()
        .with("process", view::process(&stopped.process))
        .with("was_running", stopped.was_running)
        .with_some("how", stopped.how.as_deref().map(bounded));
    outcome::with_names(reply, "also_stopped", &also, 1)
}

#[cfg(test)]
mod tests {
    use super::super::super::view::tests::view;
    use super::*;

    #[test]
    fn a_stop_says_how_it_ended() {
        let stopped = StopReply {
            process: view("api", "stopped"),
            was_running: true,
            how: Some("killed by SIGKILL (9) after a grace of 10s".to_owned()),
            also: Vec::new(),
        };
        insta::assert_snapshot!(render(&stopped).into_value(), @r#"{"how":"killed by SIGKILL (9) after a grace of 10s","process":{"name":"api","ready":false,"state":"stopped"},"was_running":true}"#);
    }
}
