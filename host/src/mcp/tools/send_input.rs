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
    description: "Type text into a running process, such as the answer to a prompt, then press keys. Returns \
                  next_cursor: since for wait_for or get_logs to read the answer.",
    toolset: Toolset::Core,
    effect: Effect::Acts { destructive: true },
    arguments: &[
        Argument::NAME,
        Argument::optional("text", Kind::Text, ""),
        Argument::optional("keys", Kind::Texts, "enter, ctrl-c, up, …"),
        Argument::optional("enter", Kind::Flag { default: true }, "End the text with enter; not with keys"),
        Argument::optional("eof", Kind::Flag { default: false }, "Then close standard input"),
    ],
    output: || {
        view::object(
            [("process", view::process_brief()), ("bytes", view::integer()), ("next_cursor", view::string())],
            [("note", view::string())],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    Ok(render(&api.send(caller, request(arguments)?).await?))
}

fn request(arguments: &Arguments) -> Result<SendRequest, Failure> {
    let (given, keys) = (arguments.text("text"), arguments.texts("keys"));
    let eof = arguments.flag("eof").unwrap_or(false);
    if given.is_none() && keys.is_empty() && !eof {
        return Err(Failure::new("there is nothing to send: give text, keys, or eof"));
    }
    let text = given.unwrap_or_default().to_owned();
    // Who presses keys presses enter too if it is wanted; who only closes the input did not ask for an empty line
    // before that.
    let closes_only = eof && text.is_empty();
    let by_default = given.is_some() && keys.is_empty() && !closes_only;
    let enter = arguments.flag("enter").unwrap_or(by_default);
    Ok(SendRequest { name: arguments.required("name").to_owned(), text, enter, keys, eof })
}

pub(super) fn render(sent: &SendReply) -> Reply {
    let signals = sent.signals.join(", ");
    let note = (!signals.is_empty()).then(|| {
        format!("{} was sent: without a terminal (pty = false) no key becomes one", bounded(&signals))
    });
    Reply::default()
        .with("process", view::process(&sent.process))
        .with("bytes", sent.bytes)
        .with("next_cursor", bounded(&sent.cursor))
        .with_some("note", note)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(sent: serde_json::Value) -> Result<SendRequest, Failure> {
        request(&Arguments::check(SPEC.name, SPEC.arguments, sent.as_object().cloned()).expect("they fit"))
    }

    fn sent(sent: serde_json::Value) -> (String, bool, bool) {
        let request = read(sent).expect("there is something to send");
        (request.text, request.enter, request.eof)
    }

    #[test]
    fn text_is_ended_like_a_typed_line() {
        assert_eq!(sent(json!({"name": "api", "text": "yes"})), ("yes".into(), true, false));
        assert_eq!(sent(json!({"name": "api", "text": ""})), (String::new(), true, false));
        assert_eq!(sent(json!({"name": "api", "text": "yes", "enter": false})), ("yes".into(), false, false));
    }

    #[test]
    fn closing_the_input_sends_nothing_else() {
        assert_eq!(sent(json!({"name": "api", "text": "", "eof": true})), (String::new(), false, true));
        assert_eq!(sent(json!({"name": "api", "eof": true})), (String::new(), false, true));
        assert_eq!(sent(json!({"name": "api", "text": "bye", "eof": true})), ("bye".into(), true, true));
    }

    #[test]
    fn keys_are_pressed_as_they_are() {
        let request = read(json!({"name": "api", "text": "yes", "keys": ["enter"]})).expect("keys");
        assert_eq!((request.enter, request.keys), (false, vec!["enter".to_owned()]));
        assert_eq!(sent(json!({"name": "api", "keys": ["ctrl-c"]})), (String::new(), false, false));
        assert!(read(json!({"name": "api"})).unwrap_err().text().contains("give text, keys, or eof"));
    }
}
