//! `kill_process`: sends a signal to a process.

use crate::api::{Api, Caller, SignalReply, SignalRequest, Target};

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::{Effect, Id, Spec, Toolset};

pub const SPEC: Spec = Spec {
    id: Id::KillProcess,
    name: "kill_process",
    title: "Send a signal",
    description: "Send a signal, by default SIGKILL to the whole tree. What is wanted stays as it is: its restart \
                  policy may start it again; to end it for good use stop_process. Returns how many it reached.",
    toolset: Toolset::Processes,
    effect: Effect::Acts { destructive: true },
    arguments: &[
        Argument::NAME,
        Argument::optional("signal", Kind::Text, "Name or number: SIGHUP, USR1, 9; default SIGKILL"),
        Argument::optional(
            "to",
            Kind::Choice { options: &["main", "group", "tree"], default: None },
            "Main process, its group, or all it started; default tree for SIGKILL, else main",
        ),
    ],
    output: || {
        view::object(
            [
                ("process", view::process_brief()),
                ("signal", view::string()),
                ("to", view::one_of(&["main", "group", "tree"])),
                ("reached", view::integer()),
            ],
            [],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    Ok(render(&api.signal(caller, request(arguments)).await?))
}

fn request(arguments: &Arguments) -> SignalRequest {
    let to = arguments.text("to").and_then(|to| Target::WORDS.into_iter().find(|(word, _)| *word == to));
    SignalRequest {
        name: arguments.required("name").to_owned(),
        signal: arguments.text("signal").unwrap_or("SIGKILL").to_owned(),
        to: to.map(|(_, target)| target),
    }
}

fn render(sent: &SignalReply) -> Reply {
    Reply::default()
        .with("process", view::process(&sent.process))
        .with("signal", bounded(&sent.signal))
        .with("to", sent.to.as_str())
        .with("reached", sent.reached)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn without_a_word_it_kills_and_leaves_whom_to_the_default() {
        let read = |sent: serde_json::Value| {
            request(
                &Arguments::check(SPEC.name, SPEC.arguments, sent.as_object().cloned()).expect("they fit"),
            )
        };
        let killed = SignalRequest { name: "api".to_owned(), signal: "SIGKILL".to_owned(), to: None };
        assert_eq!(read(json!({"name": "api"})), killed);
        let told = read(json!({"name": "api", "signal": "hup", "to": "group"}));
        assert_eq!((told.signal.as_str(), told.to), ("hup", Some(Target::Group)));
    }
}
