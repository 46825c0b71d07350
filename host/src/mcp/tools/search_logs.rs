//! `search_logs`: what matches in the log of all processes, by process, with how much there is in all.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::api::{self, Api, Caller, LogsRequest, SearchReply};
use crate::model::{Line, ProcessName};

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::budget::{self, Cut};
use super::super::lines;
use super::super::reply::{Failure, Reply, bounded};
use super::super::text::grouped;
use super::super::view;
use super::log_filters::{self, FIELDS, GREP, LEVEL, NAME, NAMES, STREAM};
use super::{Effect, Id, Spec, Toolset};

/// Lines asked for by a call that does not say.
const LIMIT: u64 = 50;
/// Most lines shown around each.
const CONTEXT: u64 = 20;
/// Tokens kept for the hint, the cursors and the fields after the lines.
const RESERVE_TOKENS: usize = 220;
/// Processes that are told of without a line of theirs.
const OTHERS: usize = 20;

pub const SPEC: Spec = Spec {
    id: Id::SearchLogs,
    name: "search_logs",
    title: "Search logs",
    description: "Search the log of all processes. Returns the newest matches by process, and how many match in all; \
                  before and after add lines around each. until=older_cursor goes further back, since=next_cursor reads \
                  on. Lines read as in get_logs.",
    toolset: Toolset::Logs,
    effect: Effect::Reads,
    arguments: &[
        NAME,
        NAMES,
        Argument::optional("contains", Kind::Text, "Text, as it stands there"),
        GREP,
        FIELDS,
        LEVEL,
        STREAM,
        Argument::optional("since", Kind::Text, "A next_cursor, 10m, or a time"),
        Argument::optional("until", Kind::Text, "An older_cursor, 10m, or a time"),
        Argument::optional("before", Kind::Number { least: 0, most: CONTEXT, default: Some(0) }, ""),
        Argument::optional("after", Kind::Number { least: 0, most: CONTEXT, default: Some(0) }, ""),
        Argument::optional(
            "order",
            Kind::Choice { options: &["newest", "oldest"], default: Some("newest") },
            "Which ones when not all fit; with a cursor in since always the oldest",
        ),
        Argument::optional(
            "limit",
            Kind::Number { least: 1, most: 500, default: Some(LIMIT) },
            "Most matches",
        ),
    ],
    output: || {
        let processes = json!({"type": "array", "items": {"type": "object"}});
        view::object(
            [
                ("processes", processes),
                ("matched", view::integer()),
                ("next_cursor", view::string()),
                ("more", view::boolean()),
            ],
            [
                ("older_cursor", view::string()),
                ("missing", view::integer()),
                ("at_least", view::boolean()),
                ("hint", view::string()),
            ],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let request = request(arguments);
    let direction = Direction::of(&request);
    Ok(render(&api.search_logs(caller, request).await?, direction))
}

fn request(arguments: &Arguments) -> LogsRequest {
    LogsRequest {
        contains: arguments.text("contains").map(str::to_owned),
        until: arguments.text("until").map(str::to_owned),
        before: log_filters::count(arguments, "before", 0),
        after: log_filters::count(arguments, "after", 0),
        oldest: arguments.text("order") == Some("oldest"),
        limit: Some(log_filters::count(arguments, "limit", LIMIT)),
        ..log_filters::request(arguments)
    }
}

/// Which way a reader goes, and so which matches the next call gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Onward,
    Back,
}

impl Direction {
    fn of(request: &LogsRequest) -> Self {
        let from_cursor = request.since.as_deref().is_some_and(api::is_cursor);
        if request.oldest || from_cursor { Self::Onward } else { Self::Back }
    }
}

fn render(reply: &SearchReply, direction: Direction) -> Reply {
    let matched: u64 = reply.counts.iter().map(|count| count.lines).sum();
    let head = Reply::default()
        .with("matched", matched)
        .with_some("at_least", reply.counts_are_least.then_some(true))
        .with_some("missing", (reply.missing > 0).then_some(reply.missing));
    let budget = head.left(RESERVE_TOKENS);
    let (shown, told) = fitting(reply, direction, budget);
    let cut = reply.found.len() - shown;
    let more = reply.more || cut > 0;
    let head = match direction {
        // The next call has to begin after the last match shown, not after the last one found.
        Direction::Onward => match shown.checked_sub(1).and_then(|last| reply.found.get(last)) {
            Some(last) if cut > 0 => head.with("next_cursor", bounded(&api::cursor_at(&reply.cursor, *last))),
            _ => head.with("next_cursor", bounded(&reply.cursor)),
        },
        Direction::Back => {
            let first = reply.found.get(cut).filter(|_| more);
            head.with("next_cursor", bounded(&reply.cursor)).with_some(
                "older_cursor",
                first.map(|first| bounded(&api::cursor_before(&reply.cursor, *first))),
            )
        }
    };
    head.with("processes", told).with("more", more).with_some("hint", hint(reply, direction, more))
}

fn hint(reply: &SearchReply, direction: Direction, more: bool) -> Option<String> {
    let mut hints = Vec::new();
    if reply.missing > 0 {
        hints.push(format!("{} lines after the cursor were deleted to save space", reply.missing));
    }
    match direction {
        _ if reply.found.is_empty() => {
            hints.push(
                "nothing matches: contains looks for the text as it is, grep for a regex; (?i) ignores case"
                    .to_owned(),
            );
        }
        Direction::Onward if more => hints.push("more match: call again with since=next_cursor".to_owned()),
        Direction::Back if more => {
            hints.push("older ones match too: call again with until=older_cursor".to_owned())
        }
        _ => {}
    }
    (!hints.is_empty()).then(|| hints.join("; "))
}

/// Returns how many matches fit, and the processes with their lines: the first ones going onward, the last ones going
/// back, and one at least, if need be without what stands around it.
fn fitting(reply: &SearchReply, direction: Direction, budget: usize) -> (usize, Vec<Value>) {
    let all = reply.found.len();
    if let Some(told) = told(reply, lines_of(reply, direction, all), budget) {
        return (all, told);
    }
    let (mut fits, mut too_many, mut best) = (0, all, None);
    while fits + 1 < too_many {
        let middle = fits + (too_many - fits) / 2;
        match told(reply, lines_of(reply, direction, middle), budget) {
            Some(told) => (fits, best) = (middle, Some(told)),
            None => too_many = middle,
        }
    }
    best.map_or_else(|| (1, alone(reply, direction, budget)), |told| (fits, told))
}

/// Returns the lines of so many matches with what stands around them.
fn lines_of(reply: &SearchReply, direction: Direction, matches: usize) -> &[Line] {
    match direction {
        Direction::Onward => {
            let next = reply.found.get(matches).copied();
            let end = reply.lines.partition_point(|line| next.is_none_or(|next| line.seq < next));
            &reply.lines[..end]
        }
        Direction::Back => {
            let before = reply.found.len().checked_sub(matches + 1).map(|index| reply.found[index]);
            &reply.lines
                [reply.lines.partition_point(|line| before.is_some_and(|before| line.seq <= before))..]
        }
    }
}

/// Returns the one match that is to be shown first, as much of it as fits.
fn alone(reply: &SearchReply, direction: Direction, budget: usize) -> Vec<Value> {
    let seq = match direction {
        Direction::Onward => reply.found.first(),
        Direction::Back => reply.found.last(),
    };
    let line = reply.lines.iter().find(|line| Some(&line.seq) == seq);
    let told = |line: &Line| json!({"name": line.process, "lines": [lines::render_one(line, budget / 2)]});
    line.map(told).into_iter().collect()
}

/// Returns the processes with these lines; nothing when they do not fit.
fn told(reply: &SearchReply, shown: &[Line], budget: usize) -> Option<Vec<Value>> {
    let mut groups: BTreeMap<&ProcessName, Vec<Line>> = BTreeMap::new();
    for line in shown {
        groups.entry(&line.process).or_default().push(line.clone());
    }
    let matched = |name: &ProcessName| reply.counts.iter().find(|count| count.process == *name);
    let mut left = budget;
    let mut lines_left = shown.len();
    let mut told = Vec::new();
    for (name, lines) in &groups {
        let mut process = Map::new();
        process.insert("name".to_owned(), name.as_str().into());
        if let Some(count) = matched(name) {
            process.insert("matched".to_owned(), count.lines.into());
        }
        let frame = budget::json_tokens(&Value::Object(process.clone())) + 8;
        // What a process does not need of its share is for those after it.
        let share = left.checked_sub(frame)? * lines.len() / lines_left.max(1);
        lines_left -= lines.len();
        let rendered = lines::render(lines, share, Cut::End);
        let cost: usize = rendered.lines.iter().map(|line| budget::json_string_tokens(line)).sum();
        if rendered.left_out > 0 || cost > share {
            return None;
        }
        left -= frame + cost;
        process.insert("lines".to_owned(), rendered.lines.into());
        told.push(Value::Object(process));
    }
    let others = reply.counts.iter().filter(|count| !groups.contains_key(&count.process));
    for count in others.take(OTHERS) {
        let process = json!({"name": count.process, "matched": count.lines});
        let cost = budget::json_tokens(&process) + 1;
        if cost > left {
            break;
        }
        left -= cost;
        told.push(process);
    }
    let others = reply.counts.len().saturating_sub(told.len());
    if others > 0 && left > 20 {
        told.push(json!({"name": format!("and {} more", grouped(others))}));
    }
    Some(told)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::lines::tests::line;
    use super::*;
    use crate::api::LineCount;
    use crate::bounds;
    use crate::model::{Level, Seq};

    const CURSOR: &str = "3fa9c1-rs";

    fn reply(lines: Vec<Line>, found: impl Fn(&Line) -> bool) -> SearchReply {
        let found: Vec<Seq> = lines.iter().filter(|line| found(line)).map(|line| line.seq).collect();
        let mut counts: BTreeMap<ProcessName, u64> = BTreeMap::new();
        for line in lines.iter().filter(|line| found.contains(&line.seq)) {
            *counts.entry(line.process.clone()).or_default() += 1;
        }
        let counts = counts
            .into_iter()
            .map(|(process, lines)| LineCount { process, lines, levels: BTreeMap::new() })
            .collect();
        SearchReply {
            lines,
            found,
            cursor: CURSOR.to_owned(),
            more: false,
            missing: 0,
            counts,
            counts_are_least: false,
        }
    }

    fn of(process: &str, line: Line) -> Line {
        Line { process: ProcessName::new(process).unwrap(), ..line }
    }

    #[test]
    fn arguments_become_a_request() {
        let sent = json!({"contains": "boom", "fields": ["status=500"], "order": "oldest", "before": 2, "until": "1m"});
        let arguments = Arguments::check(SPEC.name, SPEC.arguments, sent.as_object().cloned()).unwrap();
        let expected = LogsRequest {
            contains: Some("boom".into()),
            fields: vec!["status=500".into()],
            oldest: true,
            before: 2,
            until: Some("1m".into()),
            limit: Some(50),
            ..LogsRequest::default()
        };
        assert_eq!(request(&arguments), expected);
        assert_eq!(Direction::of(&expected), Direction::Onward);
        assert_eq!(
            Direction::of(&LogsRequest { since: Some("1m".into()), ..LogsRequest::default() }),
            Direction::Back
        );
        assert_eq!(
            Direction::of(&LogsRequest { since: Some("3fa9c1-1".into()), ..LogsRequest::default() }),
            Direction::Onward
        );
    }

    #[test]
    fn lines_are_told_by_process_with_how_many_match() {
        let lines = vec![
            line(1, 0, Level::Error, "boom 1"),
            of("web", line(2, 1, Level::Warn, "boom 2")),
            line(3, 2, Level::Error, "boom 3"),
            line(4, 2, Level::Error, "around"),
        ];
        let mut found = reply(lines, |line| line.text.starts_with("boom"));
        found.counts[0].lines = 40;
        found.counts.push(LineCount {
            process: ProcessName::new("zoo").unwrap(),
            lines: 3,
            levels: BTreeMap::new(),
        });
        found.more = true;
        insta::assert_snapshot!(render(&found, Direction::Back).into_value(), @r#"{"hint":"older ones match too: call again with until=older_cursor","matched":44,"more":true,"next_cursor":"3fa9c1-rs","older_cursor":"3fa9c1-0","processes":[{"lines":["2026-11-20T08:29:25Z error| boom 1","08:29:27 error| boom 3","error| around"],"matched":40,"name":"api"},{"lines":["2026-11-20T08:29:26Z warn| boom 2"],"matched":1,"name":"web"},{"matched":3,"name":"zoo"}]}"#);
    }

    #[test]
    fn nothing_found_says_what_was_looked_for() {
        let value = render(&reply(Vec::new(), |_| true), Direction::Back).into_value();
        assert_eq!(
            (&value["matched"], &value["processes"], &value["more"]),
            (&json!(0), &json!([]), &json!(false))
        );
        assert!(value["hint"].as_str().unwrap().starts_with("nothing matches"));
    }

    #[test]
    fn a_match_is_shown_even_where_what_stands_around_it_is_too_much() {
        let long = "[{\"k\": 1}]".repeat(500);
        let mut lines: Vec<Line> =
            (1..=40).map(|seq| line(seq, 0, Level::Info, &format!("{seq} {long}"))).collect();
        lines.push(line(41, 0, Level::Error, &format!("needle {long}")));
        lines.push(line(42, 0, Level::Error, "needle too"));
        for direction in [Direction::Onward, Direction::Back] {
            let found = reply(lines.clone(), |line| line.text.starts_with("needle"));
            let value = render(&found, direction).into_value();
            assert!(value.to_string().contains("needle"), "{value}");
            assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS);
        }
    }

    fn any_lines() -> impl Strategy<Value = Vec<(Line, bool)>> {
        let text =
            prop_oneof![4 => "[ -~ä]{0,120}", 1 => Just("\"\\".repeat(600)), 1 => Just("same".to_owned())];
        let process = prop::sample::select(vec!["api", "web", "a-process-with-a-long-name"]);
        prop::collection::vec((text, process, any::<bool>()), 1..150).prop_map(|parts| {
            let line = |(index, (text, process, found)): (usize, (String, &str, bool))| {
                (of(process, line(index as u64 + 1, index as i64, Level::Info, &text)), found)
            };
            parts.into_iter().enumerate().map(line).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn walking_either_way_shows_each_match_once_within_the_budget(lines in any_lines(), back: bool) {
            let direction = if back { Direction::Back } else { Direction::Onward };
            let mut left = lines.clone();
            let mut shown = 0;
            while left.iter().any(|(_, found)| *found) {
                let found: Vec<Seq> = left.iter().filter(|(_, found)| *found).map(|(line, _)| line.seq).collect();
                let all = reply(left.iter().map(|(line, _)| line.clone()).collect(), |line| found.contains(&line.seq));
                let value = render(&all, direction).into_value();
                prop_assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS, "{}", budget::json_tokens(&value));
                let (count, _) = fitting(&all, direction, bounds::REPLY_TOKENS - RESERVE_TOKENS - 60);
                prop_assert!(count > 0);
                let cursor = |name: &str| value[name].as_str().map(str::to_owned);
                let at = |seq: Seq| api::cursor_at(CURSOR, seq);
                let before = left.len();
                match direction {
                    Direction::Onward => {
                        let next = cursor("next_cursor").unwrap();
                        let until = left.iter().find(|(line, _)| at(line.seq) == next).map(|(line, _)| line.seq);
                        prop_assert_eq!(until.is_some(), value["more"] == true);
                        left.retain(|(line, _)| until.is_some_and(|until| line.seq > until));
                    }
                    Direction::Back => {
                        let older = cursor("older_cursor");
                        prop_assert_eq!(older.is_some(), value["more"] == true);
                        left.retain(|(line, _)| older.as_ref().is_some_and(|older| {
                            let begin = lines.iter().find(|(line, _)| api::cursor_before(CURSOR, line.seq) == *older);
                            begin.is_some_and(|(begin, _)| line.seq < begin.seq)
                        }));
                    }
                }
                prop_assert!(left.len() < before, "no progress");
                shown += found.len() - left.iter().filter(|(_, found)| *found).count();
            }
            prop_assert_eq!(shown, lines.iter().filter(|(_, found)| *found).count());
        }
    }
}
