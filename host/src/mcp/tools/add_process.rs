//! `add_process`: a process beside those of the file, until everything is taken down.

use serde_json::json;

use crate::api::{AddReply, AddRequest, Api, Caller};

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::{Effect, Id, Spec, Toolset, in_time};

pub const SPEC: Spec = Spec {
    id: Id::AddProcess,
    name: "add_process",
    title: "Add a process",
    description: "Add a process and start it. It is used like any other, until `ostler down`; keep is what to write into \
                  ostler.toml to have it for longer.",
    toolset: Toolset::Core,
    effect: Effect::Ensures { destructive: false },
    arguments: &[
        Argument::NAME,
        Argument { name: "command", kind: Kind::Text, required: true, description: "Run without a shell" },
        Argument::optional("shell", Kind::Flag { default: false }, "An sh script"),
        Argument::optional("cwd", Kind::Text, ""),
        Argument::optional("env", Kind::Texts, "NAME=value each"),
        Argument::optional("ready", Kind::Text, "http://…, host:port or log:regex"),
        Argument::optional(
            "restart",
            Kind::Choice { options: &["on-failure", "always", "never"], default: None },
            "",
        ),
        Argument::optional("autostart", Kind::Flag { default: true }, ""),
        Argument::optional("start", Kind::Flag { default: true }, ""),
    ],
    output: || {
        view::object(
            [
                ("process", json!({"type": "object"})),
                ("next_cursor", view::string()),
                ("keep", view::string()),
            ],
            [("existed", view::boolean()), ("hint", view::string())],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let mut env = std::collections::BTreeMap::new();
    for pair in arguments.texts("env") {
        // A value may be a secret, so it is not repeated.
        let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Failure::new("add_process was not called:\n- `env`: each string is NAME=value"));
        };
        env.insert(name.to_owned(), value.to_owned());
    }
    let text = |name: &str| arguments.text(name).map(str::to_owned);
    let request = AddRequest {
        name: arguments.required("name").to_owned(),
        command: arguments.required("command").to_owned(),
        shell: arguments.flag("shell").unwrap_or(false),
        cwd: text("cwd"),
        env,
        ready: text("ready"),
        restart: text("restart"),
        autostart: arguments.flag("autostart"),
        start: arguments.flag("start").unwrap_or(true),
    };
    render(&in_time(arguments.required("name"), api.add(caller, request)).await?)
}

pub(super) fn render(added: &AddReply) -> Result<Reply, Failure> {
    if let Some(failure) = &added.failure {
        let hint = "it was added all the same: start_process tries again, diagnose_process tells more, \
                    remove_process takes it away";
        return Err(Failure::with_lines(failure, Some(hint), &[]));
    }
    let cursor = added.started.as_ref().map_or(&added.cursor, |started| &started.cursor);
    Ok(Reply::default()
        .with("process", view::process(&added.process))
        .with("next_cursor", bounded(cursor))
        .with("keep", bounded(&added.keep))
        .with_some("existed", added.existed.then_some(true)))
}

#[cfg(test)]
mod tests {
    use super::super::super::view::tests::view;
    use super::*;

    fn added(failure: Option<&str>) -> AddReply {
        AddReply {
            process: view("worker", "running"),
            existed: false,
            started: None,
            failure: failure.map(str::to_owned),
            cursor: "c7".to_owned(),
            keep: "[process.\"worker\"]\ncommand = \"work\"\n".to_owned(),
        }
    }

    #[test]
    fn what_was_added_says_how_to_keep_it() {
        insta::assert_snapshot!(render(&added(None)).unwrap().into_value(), @r#"{"keep":"[process.\"worker\"]\ncommand = \"work\"\n","next_cursor":"c7","process":{"name":"worker","ready":false,"state":"running"}}"#);
    }

    #[test]
    fn what_was_added_and_does_not_start_is_a_failure_with_ways_out() {
        let failure =
            render(&added(Some("cannot start `worker`: program `work` was not found"))).unwrap_err();
        insta::assert_snapshot!(failure.text(), @r"
        cannot start `worker`: program `work` was not found
        hint: it was added all the same: start_process tries again, diagnose_process tells more, remove_process takes it away
        ");
    }
}
