//! The last look at a reply: whatever a tool made, no more tokens leave than a reply may have.
//!
//! Tools choose themselves what they tell, because they know what matters; what they choose fits. This holds where one
//! of them was wrong, or met with data nobody thought of: it shortens what is longest, and says so. It changes nothing
//! that fits.

use serde_json::{Map, Value};

use super::budget::{json_string_tokens, json_tokens};
use super::text::{clean_within, grouped};

/// Estimated tokens that are kept for the remark that something was left out.
const REMARK_TOKENS: usize = 60;
/// Most steps of shortening; each makes the longest part shorter.
const STEPS: usize = 64;
/// Lists whose last entries are the newest.
const NEWEST_LAST: [&str; 3] = ["lines", "tail", "errors"];
/// What a reader needs to go on, and is never cut.
const WHOLE: &str = "next_cursor";

/// Returns `fields` within `limit` estimated tokens; `hint` tells of what is missing.
pub fn within(mut fields: Map<String, Value>, limit: usize) -> Map<String, Value> {
    if cost(&fields) <= limit {
        return fields;
    }
    let mut left_out = 0;
    for _ in 0..STEPS {
        let over = (cost(&fields) + REMARK_TOKENS).saturating_sub(limit);
        if over == 0 {
            break;
        }
        left_out += shorten_longest(&mut fields, over);
    }
    let remark = match left_out {
        0 => "texts were shortened to keep this reply small".to_owned(),
        count => format!(
            "{} entries were left out to keep this reply small: ask for less at a time",
            grouped(count)
        ),
    };
    add_hint(&mut fields, &remark);
    fields
}

/// Returns a text, as it stands within JSON, within `limit` estimated tokens.
pub fn text_within(text: String, limit: usize) -> String {
    if json_string_tokens(&text) <= limit { text } else { clean_within(&text, limit) }
}

/// Adds a remark to what a reply has to say on how to go on.
pub fn add_hint(fields: &mut Map<String, Value>, remark: &str) {
    if let Some(Value::Array(hints)) = fields.get_mut("hints") {
        hints.push(remark.into());
        return;
    }
    let hint = match fields.get("hint").and_then(Value::as_str) {
        Some(hint) => format!("{hint}; {remark}"),
        None => remark.to_owned(),
    };
    fields.insert("hint".to_owned(), hint.into());
}

fn cost(fields: &Map<String, Value>) -> usize {
    super::budget::tokens(&serde_json::to_string(fields).unwrap_or_default())
}

/// Takes about `over` tokens off the member that has most, and returns how many entries that cost.
fn shorten_longest(fields: &mut Map<String, Value>, over: usize) -> usize {
    let members = fields.iter_mut().filter(|(name, _)| *name != WHOLE);
    let longest =
        members.map(|(name, value)| (json_tokens(value), name, value)).max_by_key(|(cost, ..)| *cost);
    let Some((cost, name, value)) = longest else { return 0 };
    let newest_last = NEWEST_LAST.contains(&name.as_str());
    // What is longest is not all that is too long.
    shorten(value, cost.saturating_sub(over).max(cost / 2), newest_last)
}

/// Makes a value take at most about `limit` tokens, and returns how many entries of lists are gone.
fn shorten(value: &mut Value, limit: usize, newest_last: bool) -> usize {
    match value {
        Value::String(text) => {
            *text = clean_within(text, limit);
            0
        }
        Value::Array(entries) => shorten_list(entries, limit, newest_last),
        Value::Object(fields) => {
            let over = cost(fields).saturating_sub(limit);
            shorten_longest(fields, over)
        }
        _ => 0,
    }
}

fn shorten_list(entries: &mut Vec<Value>, limit: usize, newest_last: bool) -> usize {
    let given = entries.len();
    if newest_last && entries.iter().all(Value::is_string) {
        entries.reverse();
    }
    let mut left = limit;
    let fits = |entry: &Value| {
        let cost = json_tokens(entry) + 1;
        let fits = cost <= left;
        left = left.saturating_sub(cost);
        fits
    };
    let kept = entries.iter().map(fits).take_while(|fits| *fits).count();
    // A part of one is better than nothing.
    if kept == 0
        && let Some(first) = entries.first_mut()
    {
        shorten(first, limit, false);
        entries.truncate(usize::from(json_tokens(&entries[0]) <= limit));
    } else {
        entries.truncate(kept);
    }
    if newest_last && entries.iter().all(Value::is_string) {
        entries.reverse();
    }
    given - entries.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::tokens::tests::real_tokens;
    use super::*;

    fn fields(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn what_fits_is_left_alone() {
        let reply = fields(json!({"lines": ["a", "b"], "next_cursor": "c-1"}));
        assert_eq!(within(reply.clone(), 100), reply);
    }

    #[test]
    fn the_longest_list_loses_its_least_important_entries() {
        let lines: Vec<String> = (1..=100).map(|line| format!("line {line} of the log")).collect();
        let reply = fields(json!({"lines": lines, "names": lines, "next_cursor": "c-1"}));
        let short = within(reply, 800);
        let names: Vec<&str> = short["names"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let lines: Vec<&str> = short["lines"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(names.len() > 5 && names[0] == "line 1 of the log", "{names:?}");
        assert!(lines.len() > 5 && lines[lines.len() - 1] == "line 100 of the log", "{lines:?}");
        let hint = short["hint"].as_str().unwrap();
        assert!(
            hint.starts_with(&format!("{} entries were left out", 200 - names.len() - lines.len())),
            "{hint}"
        );
        assert_eq!(short["next_cursor"], "c-1");
        assert!(cost(&short) <= 800);
    }

    #[test]
    fn a_single_long_text_is_shortened_where_it_is() {
        let reply = fields(json!({"process": {"name": "api", "status": "so ".repeat(9000)}, "hint": "look"}));
        let short = within(reply, 300);
        assert_eq!(short["process"]["name"], "api");
        assert_eq!(short["hint"], "look; texts were shortened to keep this reply small");
        assert!(short["process"]["status"].as_str().unwrap().len() > 100);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "\\PC{0,40}",
            "(?s).{0,200}",
            Just("{\"k\": [1, 2]}\u{1b}[2J\u{202e}".repeat(200)),
            Just("\u{1f980}\u{4e00}\u{fffd}".repeat(100)),
            Just("\"\\\n\u{0}".repeat(100)),
        ];
        let leaf =
            prop_oneof![Just(Value::Null), any::<u64>().prop_map(Value::from), text.prop_map(Value::from)];
        leaf.prop_recursive(3, 60, 30, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..30).prop_map(Value::from),
                prop::collection::vec(("[a-z_]{1,12}", inner), 0..8)
                    .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_reply_is_longer_than_it_may_be(
            members in prop::collection::vec(("hint|lines|tail|process|[a-z]{1,9}", any_value()), 0..8),
            limit in 600usize..4000,
        ) {
            let reply: Map<String, Value> = members.into_iter().collect();
            let short = within(reply, limit);
            prop_assert!(cost(&short) <= limit, "{} > {limit}", cost(&short));
            let real = real_tokens(&serde_json::to_string(&short).unwrap());
            prop_assert!(real <= limit, "{real} > {limit}");
        }
    }
}
