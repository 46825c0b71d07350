//! `tail_logs`: waits for lines and returns them together, from cursor to cursor.

use crate::api::{self, Api, Caller, LogsReply, TailRequest};

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::budget::Cut;
use super::super::lines;
use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::log_filters::{self, FIELDS, GREP, LEVEL, NAME, NAMES, STREAM};
use super::{Effect, Id, Spec, Toolset, wait_ms};

/// Most lines of a call that does not say.
const LIMIT: u64 = 100;
/// How long a call waits that does not say, in seconds.
const WAIT_SECONDS: u64 = 20;
/// How long nothing must follow until lines are returned, in milliseconds.
const LINGER_MS: u64 = 200;
/// Tokens kept for the hint and the fields after the lines.
const RESERVE_TOKENS: usize = 120;

pub const SPEC: Spec = Spec {
    id: Id::TailLogs,
    name: "tail_logs",
    title: "Follow logs",
    description: "Wait until lines are printed that fit, and return them: those after since, else from now on. Pass \
                  next_cursor as since to go on: nothing twice, nothing skipped. Lines read as in get_logs. An empty \
                  list means that none came in time.",
    toolset: Toolset::Logs,
    effect: Effect::Reads,
    arguments: &[
        NAME,
        NAMES,
        LEVEL,
        GREP,
        FIELDS,
        STREAM,
        Argument::optional("since", Kind::Text, "A next_cursor, also of start_process; or 10m, or a time"),
        Argument::optional("wait_s", Kind::Number { least: 0, most: 50, default: Some(WAIT_SECONDS) }, ""),
        Argument::optional("limit", Kind::Number { least: 1, most: 500, default: Some(LIMIT) }, "Most lines"),
    ],
    output: || {
        view::object(
            [("lines", view::strings()), ("next_cursor", view::string()), ("more", view::boolean())],
            [("missing", view::integer()), ("hint", view::string())],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    Ok(render(&api.tail_logs(caller, request(arguments)).await?))
}

fn request(arguments: &Arguments) -> TailRequest {
    let mut logs = log_filters::request(arguments);
    logs.limit = Some(log_filters::count(arguments, "limit", LIMIT));
    logs.wait_ms = wait_ms(arguments.number("wait_s").unwrap_or(WAIT_SECONDS));
    TailRequest { logs, linger_ms: LINGER_MS }
}

fn render(logs: &LogsReply) -> Reply {
    let head = Reply::default()
        .with("next_cursor", bounded(&logs.cursor))
        .with_some("missing", (logs.missing > 0).then_some(logs.missing));
    let rendered = lines::render(&logs.lines, head.left(RESERVE_TOKENS), Cut::End);
    // The next call has to begin after the last line shown, not after the last one read.
    let head = match rendered.last {
        Some(last) if rendered.left_out > 0 => {
            head.with("next_cursor", bounded(&api::cursor_at(&logs.cursor, last)))
        }
        _ => head,
    };
    let more = logs.more || rendered.left_out > 0;
    let hint = match (logs.lines.is_empty(), more) {
        (true, _) => Some("no line came: call again with since=next_cursor to go on waiting"),
        (_, true) => Some("more lines are there: call again with since=next_cursor"),
        _ => None,
    };
    head.with("lines", rendered.lines).with("more", more).with_some("hint", hint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::budget;
    use super::super::super::lines::tests::line;
    use super::*;
    use crate::bounds;
    use crate::model::{Level, Line, Seq};

    fn logs(lines: Vec<Line>, more: bool) -> LogsReply {
        LogsReply { lines, cursor: "3fa9c1-dw".to_owned(), more, missing: 0 }
    }

    #[test]
    fn arguments_become_a_request() {
        let sent =
            json!({"name": "api", "names": ["web"], "fields": ["ms>=200"], "wait_s": 0, "level": "warn"});
        let arguments = Arguments::check(SPEC.name, SPEC.arguments, sent.as_object().cloned()).unwrap();
        let request = request(&arguments);
        assert_eq!(
            (request.logs.names, request.logs.fields),
            (vec!["web".into(), "api".into()], vec!["ms>=200".into()])
        );
        assert_eq!((request.logs.wait_ms, request.logs.limit, request.linger_ms), (0, Some(100), 200));
        assert_eq!(request.logs.level, Some(Level::Warn));
    }

    #[test]
    fn nothing_keeps_the_cursor_and_says_how_to_go_on() {
        insta::assert_snapshot!(render(&logs(Vec::new(), false)).into_value(), @r#"{"hint":"no line came: call again with since=next_cursor to go on waiting","lines":[],"more":false,"next_cursor":"3fa9c1-dw"}"#);
    }

    #[test]
    fn what_does_not_fit_is_read_by_the_next_call() {
        // No two in a row are alike, so that none are folded.
        let method = |seq: u64| if seq.is_multiple_of(2) { "GET" } else { "POST" };
        let text = |seq| format!("{} /api/v1/items/{seq} HTTP/1.1 200 OK", method(seq));
        let lines: Vec<Line> = (1..=500).map(|seq| line(seq, seq as i64, Level::Info, &text(seq))).collect();
        let value = render(&logs(lines, false)).into_value();
        assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS, "{}", budget::json_tokens(&value));
        let shown = value["lines"].as_array().unwrap().len() as u64;
        assert!((50..500).contains(&shown), "{shown}");
        assert_eq!(
            (&value["next_cursor"], &value["more"]),
            (&json!(api::cursor_at("3fa9c1-dw", Seq(shown))), &json!(true))
        );
    }
}
