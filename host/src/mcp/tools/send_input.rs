//! `send_input`: writes to a process's standard input.

use crate::api::{Api, Caller, SendReply, SendRequest};

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::{Effect, Id, Spec, Toolset};

pub const SPEC: Spec = Spec {
    id: Id::SendInput,
    name: "send_input",
    title: "Send input to a process",
    description: "Write text to a running process's standard input, such as the answer to a prompt. Returns \
                  next_cursor: pass it as since to wait_for or get_logs to read what the process answers.",
    toolset: Toolset::Core,
    effect: Effect::Acts { destructive: true },
    arguments: &[
        Argument::NAME,
        Argument { name: "text", kind: Kind::Text, required: true, description: "" },
        Argument::optional("enter", Kind::Flag { default: true }, "End the text with a newline"),
        Argument::optional("eof", Kind::Flag { default: false }, "Then close standard input"),
    ],
    output: || {
        view::object(
            [("process", view::process_brief()), ("bytes", view::integer()), ("next_cursor", view::string())],
            [],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    Ok(render(&api.send(caller, request(arguments)).await?))
}

fn request(arguments: &Arguments) -> SendRequest {
    let mut text = arguments.required("text").to_owned();
    let eof = arguments.flag("eof").unwrap_or(false);
    // Who only closes the input did not ask for an empty line before that.
    let closes_only = eof && text.is_empty();
    if arguments.flag("enter").unwrap_or(!closes_only) {
        text.push('\n');
    }
    SendRequest { name: arguments.required("name").to_owned(), text, eof }
}

fn render(sent: &SendReply) -> Reply {
    Reply::default()
        .with("process", view::process(&sent.process))
        .with("bytes", sent.bytes)
        .with("next_cursor", bounded(&sent.cursor))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(sent: serde_json::Value) -> SendRequest {
        request(&Arguments::check(SPEC.name, SPEC.arguments, sent.as_object().cloned()).expect("they fit"))
    }

    #[test]
    fn text_is_ended_like_a_typed_line() {
        assert_eq!(read(json!({"name": "api", "text": "yes"})).text, "yes\n");
        assert_eq!(read(json!({"name": "api", "text": ""})).text, "\n");
        assert_eq!(read(json!({"name": "api", "text": "yes", "enter": false})).text, "yes");
    }

    #[test]
    fn closing_the_input_sends_nothing_else() {
        let request = read(json!({"name": "api", "text": "", "eof": true}));
        assert_eq!((request.text.as_str(), request.eof), ("", true));
        assert_eq!(read(json!({"name": "api", "text": "bye", "eof": true})).text, "bye\n");
    }
}
