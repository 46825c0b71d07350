//! `get_logs`: the lines that matter, in few tokens.

use crate::api::{self, Api, Caller, LogsReply, LogsRequest};
use crate::model::{Level, RunId, Stream};

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::budget::Cut;
use super::super::fold::Look;
use super::super::lines::{self, Rendered};
use super::super::reply::{Failure, Reply, bounded};
use super::super::text::grouped;
use super::super::view;
use super::{Effect, Id, Spec, Toolset};

/// Lines asked for by a call that does not say.
const LIMIT: u64 = 50;
/// Tokens kept for the hint and the fields after the lines.
const RESERVE_TOKENS: usize = 160;

pub const SPEC: Spec = Spec {
    id: Id::GetLogs,
    name: "get_logs",
    title: "Get logs",
    description: "Read the newest log lines, or with a cursor in since the ones after it, nothing twice or skipped. \
                  Lines read `time level process| text`; the time shows when the second changes, ×N marks repeats. \
                  Pass next_cursor as since to read on.",
    toolset: Toolset::Core,
    effect: Effect::Reads,
    arguments: &[
        Argument { required: false, description: "Process name; all when left out", ..Argument::NAME },
        Argument::optional(
            "level",
            Kind::Choice { options: &["trace", "debug", "info", "warn", "error", "fatal"], default: None },
            "At least this serious",
        ),
        Argument::optional("grep", Kind::Text, "Regex the text must match"),
        Argument::optional("fields", Kind::Texts, "status=500, ms>=200, path~^/api"),
        Argument::optional("stream", Kind::Choice { options: &["stdout", "stderr"], default: None }, ""),
        Argument::optional("since", Kind::Text, "A next_cursor, a duration like 10m, or an RFC 3339 time"),
        Argument::optional("limit", Kind::Number { least: 1, most: 500, default: Some(LIMIT) }, "Most lines"),
        Argument::optional(
            "run",
            Kind::Number { least: 1, most: u64::MAX, default: None },
            "One run only; default all",
        ),
        Argument::optional(
            "full",
            Kind::Flag { default: false },
            "With frames of libraries, alike lines unfolded",
        ),
    ],
    output: || {
        view::object(
            [("lines", view::strings()), ("next_cursor", view::string()), ("more", view::boolean())],
            [("left_out", view::integer()), ("missing", view::integer()), ("hint", view::string())],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let request = request(arguments);
    let direction = Direction::of(&request);
    let narrowed = request.level.is_some()
        || request.grep.is_some()
        || request.stream.is_some()
        || !request.fields.is_empty();
    let full = arguments.flag("full").unwrap_or(false);
    let project = api.project_dir();
    // Lines that were searched for are not whole traces, and wanted.
    let look =
        Look { project: project.as_deref(), whole_traces: full || request.grep.is_some(), every_line: full };
    Ok(render(&api.logs(caller, request).await?, direction, narrowed, look))
}

fn request(arguments: &Arguments) -> LogsRequest {
    LogsRequest {
        names: arguments.text("name").map(str::to_owned).into_iter().collect(),
        run: arguments.number("run").map(RunId),
        level: arguments.text("level").and_then(Level::parse),
        stream: match arguments.text("stream") {
            Some("stdout") => Some(Stream::Stdout),
            Some("stderr") => Some(Stream::Stderr),
            _ => None,
        },
        grep: arguments.text("grep").map(str::to_owned),
        fields: arguments.texts("fields"),
        since: arguments.text("since").map(str::to_owned),
        limit: Some(usize::try_from(arguments.number("limit").unwrap_or(LIMIT)).unwrap_or(usize::MAX)),
        ..LogsRequest::default()
    }
}

/// Which way a reader goes, and so which lines it can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// On from a cursor: what is cut off is read by the next call.
    Onward,
    /// Back from now: the newest and the most serious lines count.
    Newest,
}

impl Direction {
    fn of(request: &LogsRequest) -> Self {
        match &request.since {
            Some(since) if api::is_cursor(since) => Self::Onward,
            _ => Self::Newest,
        }
    }
}

fn render(logs: &LogsReply, direction: Direction, narrowed: bool, look: Look<'_>) -> Reply {
    let head = Reply::default()
        .with("next_cursor", bounded(&logs.cursor))
        .with_some("missing", (logs.missing > 0).then_some(logs.missing));
    let cut = match direction {
        Direction::Onward => Cut::End,
        Direction::Newest => Cut::OldestAndMildest,
    };
    let rendered = lines::render_as(&logs.lines, head.left(RESERVE_TOKENS), cut, look);
    let left_out = rendered.left_out;
    let hint = hint(logs, direction, narrowed, &rendered);
    let head = match (direction, rendered.last) {
        // The next call has to begin after the last line shown, not after the last one read.
        (Direction::Onward, Some(last)) if left_out > 0 => {
            head.with("next_cursor", bounded(&api::cursor_at(&logs.cursor, last)))
        }
        (Direction::Newest, _) => head.with_some("left_out", (left_out > 0).then_some(left_out)),
        _ => head,
    };
    head.with("lines", rendered.lines).with("more", logs.more || left_out > 0).with_some("hint", hint)
}

fn hint(logs: &LogsReply, direction: Direction, narrowed: bool, rendered: &Rendered) -> Option<String> {
    let left_out = rendered.left_out;
    let mut hints = Vec::new();
    if logs.missing > 0 {
        hints.push(format!("{} lines after the cursor were deleted to save space", logs.missing));
    }
    match direction {
        Direction::Onward if logs.more || left_out > 0 => {
            hints.push("more lines follow: call again with since=next_cursor, or narrow with level or grep".to_owned());
        }
        Direction::Newest if left_out > 0 => hints.push(format!(
            "{} lines were left out to keep this short, the newest and most serious stayed: narrow with level or grep",
            grouped(left_out)
        )),
        Direction::Newest if logs.more => hints.push(
            "older lines match too: narrow with level or grep, raise limit, or give since, such as 10m".to_owned(),
        ),
        Direction::Newest if logs.lines.is_empty() && narrowed => {
            hints.push("no line matches: drop level, grep, fields or stream to see everything".to_owned());
        }
        _ => {}
    }
    if rendered.shortened {
        hints.push("full=true shows frames of libraries, and lines that are alike".to_owned());
    }
    (!hints.is_empty()).then(|| hints.join("; "))
}

#[cfg(test)]
mod walk_tests;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::budget;
    use super::super::super::lines::tests::{line, word};
    use super::*;
    use crate::bounds;
    use crate::model::Line;

    fn logs(lines: Vec<Line>, more: bool) -> LogsReply {
        LogsReply { lines, cursor: "c500".to_owned(), more, missing: 0 }
    }

    fn many() -> Vec<Line> {
        (1..=500)
            .map(|seq| {
                line(
                    seq,
                    seq as i64,
                    Level::Info,
                    &format!("GET /api/v1/items/{} HTTP/1.1 200 OK", word(seq)),
                )
            })
            .collect()
    }

    #[test]
    fn arguments_become_a_request() {
        let sent = json!({"name": "api", "level": "warn", "grep": "boom", "fields": ["status=500"], "stream": "stderr", "since": "10m", "run": 3});
        let arguments = Arguments::check(SPEC.name, SPEC.arguments, sent.as_object().cloned()).unwrap();
        assert_eq!(
            request(&arguments),
            LogsRequest {
                names: vec!["api".to_owned()],
                run: Some(RunId(3)),
                level: Some(Level::Warn),
                stream: Some(Stream::Stderr),
                grep: Some("boom".to_owned()),
                fields: vec!["status=500".to_owned()],
                since: Some("10m".to_owned()),
                limit: Some(50),
                ..LogsRequest::default()
            }
        );
    }

    #[test]
    fn every_level_of_the_table_is_one() {
        let Kind::Choice { options, .. } = SPEC.arguments[1].kind else { panic!("level is a choice") };
        assert!(
            options.iter().all(|level| Level::parse(level).is_some_and(|parsed| parsed.as_str() == *level))
        );
    }

    #[test]
    fn few_lines_are_given_without_ado() {
        let reply = render(
            &logs(vec![line(1, 0, Level::Error, "boom")], false),
            Direction::Newest,
            false,
            Look::default(),
        );
        insta::assert_snapshot!(reply.into_value(), @r#"{"lines":["2026-11-20T08:29:25Z error| boom"],"more":false,"next_cursor":"c500"}"#);
    }

    #[test]
    fn the_newest_lines_stay_when_not_all_fit() {
        let value = render(&logs(many(), false), Direction::Newest, false, Look::default()).into_value();
        assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS, "{}", budget::json_tokens(&value));
        let lines = value["lines"].as_array().unwrap();
        assert!(
            lines.last().unwrap().as_str().unwrap().contains(&format!("/items/{} ", word(500))),
            "{lines:?}"
        );
        assert_eq!(value["left_out"].as_u64().unwrap() as usize + lines.len(), 500);
        assert_eq!((&value["more"], &value["next_cursor"]), (&json!(true), &json!("c500")));
    }

    #[test]
    fn a_reader_with_a_cursor_goes_on_after_the_last_line_shown() {
        let value = render(&logs(many(), true), Direction::Onward, false, Look::default()).into_value();
        assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS);
        let shown = value["lines"].as_array().unwrap().len() as u64;
        assert!((50..500).contains(&shown), "{shown}");
        let expected = api::cursor_at("c500", crate::model::Seq(shown));
        assert_eq!(value["next_cursor"], expected);
        assert!(value["hint"].as_str().unwrap().starts_with("more lines follow"));
    }

    #[test]
    fn a_cursor_read_that_fits_keeps_the_cursor_it_was_given() {
        let value = render(&logs(many()[..5].to_vec(), false), Direction::Onward, false, Look::default())
            .into_value();
        assert_eq!((&value["next_cursor"], &value["more"]), (&json!("c500"), &json!(false)));
        assert_eq!(value.get("hint"), None);
    }

    #[test]
    fn nothing_found_says_why() {
        let value = render(&logs(Vec::new(), false), Direction::Newest, true, Look::default()).into_value();
        assert_eq!(value["lines"], json!([]));
        assert!(value["hint"].as_str().unwrap().starts_with("no line matches"));
        let missing = LogsReply { missing: 12, ..logs(Vec::new(), false) };
        let value = render(&missing, Direction::Onward, false, Look::default()).into_value();
        assert_eq!(value["missing"], 12);
        assert!(value["hint"].as_str().unwrap().starts_with("12 lines after the cursor were deleted"));
    }
}
