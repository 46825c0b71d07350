//! `get_log_summary`: a stretch of the log in numbers and examples, for who wants to know where to look.

use serde_json::{Map, Value, json};

use crate::api::{AlertView, Api, Caller, LogSummary, LogSummaryRequest, MessageSummary, ProcessSummary};
use crate::model::Level;

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::reply::{Failure, Reply, bounded};
use super::super::text::{clean_within, grouped};
use super::super::{budget, lines, requests, view};
use super::get_errors;
use super::log_filters::{NAME, NAMES};
use super::{Effect, Id, Spec, Toolset};

/// Kinds of errors and messages told of by a call that does not say.
const LIMIT: u64 = 8;
/// Tokens of one message.
const MESSAGE_TOKENS: usize = 60;
/// Tokens kept for what comes after the lists.
const RESERVE_TOKENS: usize = 160;

pub const SPEC: Spec = Spec {
    id: Id::GetLogSummary,
    name: "get_log_summary",
    title: "Sum up logs",
    description: "Sum up the log since a time or restart: of each process lines by level, rate, peak and trend; kinds of \
                  errors with ids for get_errors; alerts, newest first; what was printed most often, with a cursor in front of the last one. \
                  Cheaper than reading lines.",
    toolset: Toolset::Logs,
    effect: Effect::Reads,
    arguments: &[
        NAME,
        NAMES,
        Argument::optional(
            "since",
            Kind::Text,
            "restart, 10m, a time, a next_cursor, file:PATH; default 15m",
        ),
        Argument::optional(
            "limit",
            Kind::Number { least: 1, most: 50, default: Some(LIMIT) },
            "Most of each list",
        ),
    ],
    output: || {
        let objects = || json!({"type": "array", "items": {"type": "object"}});
        view::object(
            [
                ("from", view::string()),
                ("lines", view::integer()),
                ("processes", objects()),
                ("next_cursor", view::string()),
            ],
            [
                ("errors", objects()),
                ("new_errors", view::integer()),
                ("messages", objects()),
                ("messages_of", view::string()),
                ("trend_step_s", view::integer()),
                ("at_least", view::boolean()),
                ("missing", view::integer()),
                ("alerts", objects()),
                ("hint", view::string()),
            ],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let mut names = arguments.texts("names");
    names.extend(arguments.text("name").map(str::to_owned));
    let request = LogSummaryRequest {
        names,
        since: arguments.text("since").map(str::to_owned),
        limit: Some(usize::try_from(arguments.number("limit").unwrap_or(LIMIT)).unwrap_or(usize::MAX)),
    };
    Ok(render(&api.log_summary(caller, request).await?))
}

fn render(summary: &LogSummary) -> Reply {
    let mut reply = Reply::default()
        .with("from", lines::seconds(summary.from))
        .with("lines", summary.lines)
        .with("next_cursor", bounded(&summary.cursor))
        .with_some("at_least", summary.counts_are_least.then_some(true))
        .with_some("missing", (summary.missing > 0).then_some(summary.missing))
        .with_some("new_errors", (summary.new_errors > 0).then_some(summary.new_errors));
    if !summary.processes.is_empty() {
        reply = reply.with("trend_step_s", summary.trend_step_ms / 1000);
    }
    let mut left_out = summary.more_errors;
    let mut add = |reply: Reply, name: &str, told: Vec<Value>, part: usize| {
        let budget = reply.left(RESERVE_TOKENS) / part;
        let count = told.len();
        let fitting = fitting(told, budget);
        left_out += count - fitting.len();
        reply.with_some(name, (!fitting.is_empty() || name == "processes").then_some(fitting))
    };
    reply = add(reply, "processes", summary.processes.iter().map(process).collect(), 2);
    reply = add(reply, "alerts", summary.alerts.iter().rev().map(alert).collect(), 3);
    let errors = summary.errors.iter().map(|error| Value::Object(get_errors::error(error))).collect();
    reply = add(reply, "errors", errors, 2);
    reply = add(reply, "messages", summary.messages.iter().map(message).collect(), 1);
    if summary.sampled < summary.lines && !summary.messages.is_empty() {
        let (sampled, lines) = (whole(summary.sampled), whole(summary.lines));
        reply = reply.with("messages_of", format!("the newest {sampled} of {lines} lines"));
    }
    let hint = match (summary.lines, left_out) {
        (0, _) => Some("no lines since then: give an earlier since, such as 1h".to_owned()),
        (_, 0) => None,
        (_, more) => Some(format!("{} more are not shown: narrow with name or since", grouped(more))),
    };
    reply.with_some("hint", hint)
}

fn whole(number: u64) -> String {
    grouped(usize::try_from(number).unwrap_or(usize::MAX))
}

/// Returns as many from the beginning as fit.
fn fitting(told: Vec<Value>, budget: usize) -> Vec<Value> {
    let mut left = budget;
    let fits = |value: &Value| {
        let cost = budget::json_tokens(value) + 1;
        let fits = cost <= left;
        left = left.saturating_sub(cost);
        fits
    };
    told.into_iter().take_while(fits).collect()
}

fn process(summary: &ProcessSummary) -> Value {
    let mut told = Map::new();
    told.insert("name".to_owned(), summary.process.as_str().into());
    told.insert("lines".to_owned(), summary.lines.into());
    let levels = summary.levels.iter().filter(|(level, _)| **level != Level::Unknown);
    let levels: Map<String, Value> =
        levels.map(|(level, count)| (level.as_str().to_owned(), (*count).into())).collect();
    if !levels.is_empty() {
        told.insert("levels".to_owned(), levels.into());
    }
    told.insert("per_second".to_owned(), summary.per_second.into());
    told.insert("peak_per_second".to_owned(), summary.peak_per_second.into());
    told.insert("trend".to_owned(), json!(summary.trend));
    told.insert("bytes".to_owned(), summary.bytes.into());
    told.insert("first".to_owned(), lines::seconds(summary.first).into());
    told.insert("last".to_owned(), lines::seconds(summary.last).into());
    if summary.dropped > 0 {
        told.insert("dropped".to_owned(), summary.dropped.into());
    }
    if let Some(window) = &summary.requests {
        told.insert("requests_15m".to_owned(), requests::window(window));
    }
    Value::Object(told)
}

fn alert(view: &AlertView) -> Value {
    let mut told = Map::new();
    told.insert("alert".to_owned(), clean_within(&view.name, MESSAGE_TOKENS).into());
    told.insert("name".to_owned(), view.process.as_str().into());
    told.insert("time".to_owned(), lines::seconds(view.time).into());
    told.insert("what".to_owned(), clean_within(&view.what, MESSAGE_TOKENS).into());
    told.insert("text".to_owned(), clean_within(&view.text, MESSAGE_TOKENS).into());
    if view.more > 0 {
        told.insert("more".to_owned(), view.more.into());
    }
    told.insert("cursor".to_owned(), bounded(&view.cursor).into());
    Value::Object(told)
}

fn message(summary: &MessageSummary) -> Value {
    let mut told = Map::new();
    told.insert("name".to_owned(), summary.process.as_str().into());
    if summary.level != Level::Unknown {
        told.insert("level".to_owned(), summary.level.as_str().into());
    }
    told.insert("count".to_owned(), summary.count.into());
    told.insert("message".to_owned(), clean_within(&summary.template, MESSAGE_TOKENS).into());
    told.insert("cursor".to_owned(), bounded(&summary.cursor).into());
    Value::Object(told)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::bounds;
    use crate::model::{ProcessName, RunId, Time};

    const EIGHT: Time = Time(1_795_163_365_000_000_000);

    fn summary() -> LogSummary {
        LogSummary {
            from: EIGHT,
            to: EIGHT,
            lines: 12_345,
            processes: vec![ProcessSummary {
                process: ProcessName::new("api").unwrap(),
                lines: 12_345,
                levels: BTreeMap::from([(Level::Unknown, 345), (Level::Info, 11_998), (Level::Error, 2)]),
                bytes: 1_000_000,
                per_second: 13.7,
                peak_per_second: 200.0,
                trend: vec![1, 2, 3],
                first: EIGHT,
                last: EIGHT,
                dropped: 7,
                requests: Some(requests::tests::stats().last_15_minutes),
            }],
            trend_step_ms: 75_000,
            counts_are_least: false,
            missing: 0,
            errors: vec![get_errors::tests::view()],
            more_errors: 0,
            new_errors: 1,
            messages: vec![MessageSummary {
                process: ProcessName::new("api").unwrap(),
                level: Level::Info,
                template: "GET <path> <n>".into(),
                count: 4000,
                sample: "GET /x 200".into(),
                cursor: "3fa9c1-1".into(),
            }],
            sampled: 5000,
            alerts: vec![AlertView {
                id: 7,
                name: "errors".into(),
                process: ProcessName::new("api").unwrap(),
                run: RunId(3),
                time: EIGHT,
                level: Some(Level::Error),
                what: "10 events at error within 1m".into(),
                text: "ValueError: cart is gone".into(),
                message: None,
                meanwhile: 0,
                more: 37,
                open_until: None,
                cursor: "3fa9c1-3".into(),
            }],
            cursor: "3fa9c1-2".into(),
        }
    }

    #[test]
    fn a_stretch_is_told_in_numbers_and_examples() {
        insta::assert_snapshot!(render(&summary()).into_value(), @r#"{"alerts":[{"alert":"errors","cursor":"3fa9c1-3","more":37,"name":"api","text":"ValueError: cart is gone","time":"2026-11-20T08:29:25Z","what":"10 events at error within 1m"}],"errors":[{"at":"shop/views.py:12 in cart","count":37,"error":"ValueError: cart is gone","id":"5f3a01c2d4e6","last":"2026-11-20T08:29:25Z","process":"api"}],"from":"2026-11-20T08:29:25Z","lines":12345,"messages":[{"count":4000,"cursor":"3fa9c1-1","level":"info","message":"GET <path> <n>","name":"api"}],"messages_of":"the newest 5,000 of 12,345 lines","new_errors":1,"next_cursor":"3fa9c1-2","processes":[{"bytes":1000000,"dropped":7,"first":"2026-11-20T08:29:25Z","last":"2026-11-20T08:29:25Z","levels":{"error":2,"info":11998},"lines":12345,"name":"api","peak_per_second":200.0,"per_second":13.7,"requests_15m":{"count":40,"errors_4xx":2,"per_second":0.625},"trend":[1,2,3]}],"trend_step_s":75}"#);
    }

    #[test]
    fn any_number_of_anything_stays_within_the_budget() {
        let mut much = summary();
        let long = "{\"k\": [1, 2]} ".repeat(5000);
        much.messages[0].template = long.clone();
        much.messages[0].cursor = long.clone();
        much.errors[0].message = long.clone();
        (much.alerts[0].name, much.alerts[0].what, much.alerts[0].text) =
            (long.clone(), long.clone(), long.clone());
        much.alerts[0].cursor = long.clone();
        much.alerts = vec![much.alerts[0].clone(); 50];
        much.cursor = long;
        much.processes[0].trend = vec![u64::MAX; 12];
        much.processes = vec![much.processes[0].clone(); 300];
        much.errors = vec![much.errors[0].clone(); 50];
        much.messages = vec![much.messages[0].clone(); 50];
        (much.missing, much.counts_are_least) = (u64::MAX, true);
        let value = render(&much).into_value();
        assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS, "{}", budget::json_tokens(&value));
        for list in ["processes", "alerts", "errors", "messages"] {
            assert!(!value[list].as_array().unwrap().is_empty(), "{list}: {value}");
        }
        assert!(value["hint"].as_str().unwrap().contains("more are not shown"), "{value}");
    }

    #[test]
    fn silence_says_where_to_look() {
        let mut silent = summary();
        (silent.lines, silent.sampled) = (0, 0);
        (silent.processes, silent.errors, silent.messages) = (Vec::new(), Vec::new(), Vec::new());
        let value = render(&silent).into_value();
        assert_eq!((&value["processes"], &value["lines"]), (&json!([]), &json!(0)));
        assert!(value["hint"].as_str().unwrap().contains("no lines since then"));
    }
}
