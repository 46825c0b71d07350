//! `get_errors`: which kinds of errors there are, each told once however often it happened.

use serde_json::{Map, Value, json};

use crate::api::{Api, Caller, ErrorState, ErrorView, ErrorsReply, ErrorsRequest};
use crate::model::Level;
use crate::traces;

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::reply::{Failure, Reply, bounded};
use super::super::text::{clean_within, grouped};
use super::super::{budget, lines, view};
use super::{Effect, Id, Spec, Toolset};

/// Kinds told of by a call that does not say how many.
const LIMIT: u64 = 20;
/// Tokens of the words of one error in a list.
const WORDS_TOKENS: usize = 90;

/// The argument that says how serious an error must be at least.
pub const LEVEL: Argument = Argument::optional(
    "level",
    Kind::Choice { options: &["warn", "error", "fatal"], default: Some("error") },
    "",
);

pub const SPEC: Spec = Spec {
    id: Id::GetErrors,
    name: "get_errors",
    title: "Get errors",
    description: "List kinds of errors, each once: id, count, place, state, last seen. since=restart tells what is wrong \
                  with the present runs; new ones are marked. With id: that one with its trace.",
    toolset: Toolset::Core,
    effect: Effect::Reads,
    arguments: &[
        Argument { required: false, description: "", ..Argument::NAME },
        Argument::optional("since", Kind::Text, "restart, file:PATH (its last change), a next_cursor, 10m"),
        Argument::optional(
            "state",
            Kind::Choice {
                options: &["unresolved", "regressed", "resolved", "all"],
                default: Some("unresolved"),
            },
            "",
        ),
        LEVEL,
        Argument::optional("limit", Kind::Number { least: 1, most: 100, default: Some(LIMIT) }, ""),
        Argument::optional("id", Kind::Text, ""),
        Argument::optional("full", Kind::Flag { default: false }, "With id: with frames of libraries"),
    ],
    output: || {
        let errors = json!({"type": "array", "items": {"type": "object"}});
        view::object(
            [("errors", errors), ("next_cursor", view::string())],
            [("new", view::integer()), ("more", view::integer()), ("hint", view::string())],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    if let Some(id) = arguments.text("id") {
        let mut view = api.error(caller, id).await?;
        if let (Some(sample), false) = (&mut view.sample, arguments.flag("full").unwrap_or(false)) {
            *sample = traces::reduce(sample, api.project_dir().as_deref()).into_owned();
        }
        return Ok(render_one(&view));
    }
    Ok(render(&api.error_groups(caller, request(arguments)).await?))
}

fn request(arguments: &Arguments) -> ErrorsRequest {
    ErrorsRequest {
        names: arguments.text("name").map(str::to_owned).into_iter().collect(),
        states: match arguments.text("state") {
            Some("regressed") => vec![ErrorState::Regressed],
            Some("resolved") => vec![ErrorState::Resolved],
            Some("all") => ErrorState::ALL.to_vec(),
            _ => Vec::new(),
        },
        level: arguments.text("level").and_then(Level::parse),
        since: arguments.text("since").map(str::to_owned),
        limit: Some(usize::try_from(arguments.number("limit").unwrap_or(LIMIT)).unwrap_or(usize::MAX)),
        trend: false,
    }
}

pub(super) fn render(reply: &ErrorsReply) -> Reply {
    const RESERVE_TOKENS: usize = 120;
    let start = Reply::default().with("next_cursor", bounded(&reply.cursor));
    let mut left = start.left(RESERVE_TOKENS);
    let mut shown: Vec<Value> = Vec::new();
    for view in &reply.errors {
        let told = Value::Object(error(view));
        let cost = budget::json_tokens(&told) + 1;
        if cost > left {
            break;
        }
        left -= cost;
        shown.push(told);
    }
    let more = reply.more + reply.errors.len() - shown.len();
    let hint = match (shown.len(), more) {
        (0, 0) => Some("no such errors; state=all and level=warn show more".to_owned()),
        (_, 0) => None,
        (_, more) => Some(format!("{} more are older: narrow with name, since or level", grouped(more))),
    };
    start
        .with("errors", shown)
        .with_some("new", (reply.new > 0).then_some(reply.new))
        .with_some("more", (more > 0).then_some(more))
        .with_some("hint", hint)
}

/// One kind of error with the text of the last one, as much of it as fits.
pub(super) fn render_one(view: &ErrorView) -> Reply {
    const RESERVE_TOKENS: usize = 60;
    let mut told = error(view);
    told.insert("runs".to_owned(), view.runs.into());
    told.insert("first".to_owned(), lines::seconds(view.first.time).into());
    if view.trend.iter().any(|count| *count > 0) {
        told.insert("last_24_hours".to_owned(), json!(view.trend));
    }
    let start = Reply::default().with("next_cursor", bounded(&view.last.cursor));
    let left = start.left(RESERVE_TOKENS).saturating_sub(budget::json_tokens(&Value::Object(told.clone())));
    if let Some(sample) = &view.sample {
        told.insert("trace".to_owned(), clean_within(sample, left).into());
    }
    start.with("errors", vec![Value::Object(told)])
}

/// Returns a kind of error with only what there is to say of it.
pub fn error(view: &ErrorView) -> Map<String, Value> {
    let words = match (view.kind.as_str(), view.message.as_str()) {
        ("", message) => message.to_owned(),
        (kind, "") => kind.to_owned(),
        (kind, message) => format!("{kind}: {message}"),
    };
    let mut told = Map::new();
    let mut add = |name: &str, value: Value| {
        told.insert(name.to_owned(), value);
    };
    add("id", bounded(&view.id).into());
    add("process", view.process.as_str().into());
    add("error", clean_within(&words, WORDS_TOKENS).into());
    if let Some(place) = &view.place {
        add("at", clean_within(place, WORDS_TOKENS).into());
    }
    if view.level != Level::Error {
        add("level", view.level.as_str().into());
    }
    add("count", view.count.into());
    if let Some(since) = view.since {
        let plus = if since.at_least { "+" } else { "" };
        add("since", format!("{}{plus}", since.count).into());
        if since.new {
            add("new", true.into());
        }
    }
    if view.state != ErrorState::Open {
        add("state", view.state.as_str().into());
    }
    add("last", lines::seconds(view.last.time).into());
    if let Some(note) = view.changed.as_ref().and_then(|change| change.note.as_deref()) {
        add("note", clean_within(note, WORDS_TOKENS).into());
    }
    told
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::{ChangeView, SeenView, SinceView};
    use crate::bounds;
    use crate::model::{ProcessName, RunId, Time};

    pub fn view() -> ErrorView {
        let time = Time(1_795_163_365_000_000_000);
        let seen = SeenView { time, run: RunId(3), cursor: "3fa9c1-1k7z".into() };
        ErrorView {
            id: "5f3a01c2d4e6".into(),
            version: 1,
            process: ProcessName::new("api").unwrap(),
            level: Level::Error,
            kind: "ValueError".into(),
            message: "cart is gone".into(),
            place: Some("shop/views.py:12 in cart".into()),
            state: ErrorState::Open,
            count: 37,
            since: None,
            runs: 2,
            first: seen.clone(),
            last: seen,
            changed: None,
            trend: Vec::new(),
            sample: None,
        }
    }

    #[test]
    fn each_kind_is_told_once_and_briefly() {
        let mut other = view();
        (other.state, other.level, other.kind, other.place) =
            (ErrorState::Regressed, Level::Fatal, String::new(), None);
        other.since = Some(SinceView { count: 20, at_least: true, new: true });
        let note = Some("pinned".to_owned());
        other.changed = Some(ChangeView { time: other.last.time, by: None, note });
        let reply = ErrorsReply { errors: vec![view(), other], more: 0, new: 1, cursor: "c-1".into() };
        insta::assert_snapshot!(render(&reply).into_value(), @r#"{"errors":[{"at":"shop/views.py:12 in cart","count":37,"error":"ValueError: cart is gone","id":"5f3a01c2d4e6","last":"2026-11-20T08:29:25Z","process":"api"},{"count":37,"error":"cart is gone","id":"5f3a01c2d4e6","last":"2026-11-20T08:29:25Z","level":"fatal","new":true,"note":"pinned","process":"api","since":"20+","state":"regressed"}],"new":1,"next_cursor":"c-1"}"#);
    }

    #[test]
    fn many_and_long_ones_stay_within_the_budget() {
        let long = "{\"k\": [1, 2]} ".repeat(10_000);
        let mut one = view();
        (one.kind, one.message, one.place) = (long.clone(), long.clone(), Some(long.clone()));
        let time = one.last.time;
        one.changed = Some(ChangeView { time, by: Some(long.clone()), note: Some(long.clone()) });
        one.sample = Some(long.clone());
        one.trend = vec![u64::MAX; 24];
        let cost = |value: &Value| budget::json_tokens(value);
        let alone = render_one(&one).into_value();
        assert!(cost(&alone) <= bounds::REPLY_TOKENS, "{}", cost(&alone));
        assert!(alone["errors"][0]["trace"].as_str().unwrap().len() > 1000);
        let reply = ErrorsReply { errors: vec![one; 300], more: 7, new: 300, cursor: long };
        let value = render(&reply).into_value();
        assert!(cost(&value) <= bounds::REPLY_TOKENS, "{}", cost(&value));
        let shown = value["errors"].as_array().unwrap().len();
        assert!(shown > 3 && value["more"] == 307 - shown, "{value}");
    }

    #[test]
    fn nothing_is_told_with_where_else_to_look() {
        let reply = ErrorsReply { errors: Vec::new(), more: 0, new: 0, cursor: "c-1".into() };
        assert!(render(&reply).into_value()["hint"].as_str().unwrap().contains("state=all"));
    }
}
