//! `get_latest_errors`: the errors that happened last, each with its trace.

use serde_json::{Map, Value, json};

use crate::api::{Api, Caller, ErrorState, LatestError, LatestErrorsReply, LatestErrorsRequest};
use crate::model::Level;

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::reply::{Failure, Reply, bounded};
use super::super::text::{clean_within, grouped};
use super::super::{budget, lines, view};
use super::get_errors::LEVEL;
use super::{Effect, Id, Spec, Toolset};

/// Errors told of by a call that does not say how many.
const LIMIT: u64 = 3;
/// Tokens that the text of one error may always take.
const TEXT_TOKENS_MIN: usize = 150;

pub const SPEC: Spec = Spec {
    id: Id::GetLatestErrors,
    name: "get_latest_errors",
    title: "Get the latest errors",
    description: "Read the errors that happened last, newest first, each with its whole text; of traces the frames of \
                  libraries are left out unless full. get_errors lists kinds instead.",
    toolset: Toolset::Logs,
    effect: Effect::Reads,
    arguments: &[
        Argument { required: false, description: "", ..Argument::NAME },
        Argument::optional("since", Kind::Text, "As in get_errors"),
        LEVEL,
        Argument::optional("limit", Kind::Number { least: 1, most: 20, default: Some(LIMIT) }, ""),
        Argument::optional("full", Kind::Flag { default: false }, "With frames of libraries"),
    ],
    output: || {
        let errors = json!({"type": "array", "items": {"type": "object"}});
        view::object([("errors", errors), ("next_cursor", view::string())], [("hint", view::string())])
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let request = LatestErrorsRequest {
        names: arguments.text("name").map(str::to_owned).into_iter().collect(),
        level: arguments.text("level").and_then(Level::parse),
        since: arguments.text("since").map(str::to_owned),
        limit: Some(usize::try_from(arguments.number("limit").unwrap_or(LIMIT)).unwrap_or(usize::MAX)),
        full: arguments.flag("full").unwrap_or(false),
    };
    Ok(render(&api.latest_errors(caller, request).await?))
}

pub(super) fn render(reply: &LatestErrorsReply) -> Reply {
    const RESERVE_TOKENS: usize = 60;
    let start = Reply::default().with("next_cursor", bounded(&reply.cursor));
    let mut left = start.left(RESERVE_TOKENS);
    let mut shown: Vec<Value> = Vec::new();
    for (index, error) in reply.errors.iter().enumerate() {
        // What a short one leaves is for those after it.
        let share = left / (reply.errors.len() - index);
        let told = one(error, share.max(TEXT_TOKENS_MIN));
        let cost = budget::json_tokens(&told) + 1;
        if cost > left {
            break;
        }
        left -= cost;
        shown.push(told);
    }
    let hint = match (shown.len(), reply.errors.len() - shown.len()) {
        (0, _) => Some("no such errors; level=warn tells of warnings too".to_owned()),
        (_, 0) => None,
        (_, missing) => Some(format!("{} older ones do not fit; ask for fewer", grouped(missing))),
    };
    start.with("errors", shown).with_some("hint", hint)
}

fn one(error: &LatestError, tokens: usize) -> Value {
    const FIELDS_TOKENS: usize = 90;
    let mut told = Map::new();
    let mut add = |name: &str, value: Value| {
        told.insert(name.to_owned(), value);
    };
    add("id", bounded(&error.id).into());
    add("process", error.process.as_str().into());
    add("run", error.run.0.into());
    add("time", lines::seconds(error.time).into());
    if error.level != Level::Error {
        add("level", error.level.as_str().into());
    }
    add("count", error.count.into());
    if error.state != ErrorState::Open {
        add("state", error.state.as_str().into());
    }
    if error.is_sample {
        add("text_of", "another one, because these lines are deleted".into());
    }
    add("text", clean_within(&error.text, tokens.saturating_sub(FIELDS_TOKENS)).into());
    Value::Object(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds;
    use crate::model::{ProcessName, RunId, Stream, Time};

    fn error(text: &str) -> LatestError {
        LatestError {
            id: "5f3a01c2d4e6".into(),
            process: ProcessName::new("api").unwrap(),
            run: RunId(3),
            stream: Stream::Stderr,
            time: Time(1_795_163_365_000_000_000),
            level: Level::Error,
            state: ErrorState::Open,
            count: 4,
            text: text.into(),
            is_sample: false,
            cursor: "c-1".into(),
        }
    }

    #[test]
    fn an_error_comes_with_its_text() {
        let reply = LatestErrorsReply { errors: vec![error("a\nb\x1b[0m")], cursor: "c-2".into() };
        insta::assert_snapshot!(render(&reply).into_value(), @r#"{"errors":[{"count":4,"id":"5f3a01c2d4e6","process":"api","run":3,"text":"a\nb","time":"2026-11-20T08:29:25Z"}],"next_cursor":"c-2"}"#);
    }

    #[test]
    fn long_texts_share_the_budget() {
        let long = "{\"k\": [1, 2]} ".repeat(10_000);
        let mut errors = vec![error(&long); 20];
        errors[0].text = "short".into();
        let value = render(&LatestErrorsReply { errors, cursor: long }).into_value();
        assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS, "{}", budget::json_tokens(&value));
        assert_eq!(value["errors"][0]["text"], "short");
        assert!(value["errors"].as_array().unwrap().len() > 10, "{value}");
    }
}
