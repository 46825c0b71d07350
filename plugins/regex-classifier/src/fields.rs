//! The fields of a line of JSON or logfmt, for the event that the line begins.
//!
//! Only such lines from a warning on are read, and only once each, so a flood of structured lines costs nothing more.

use ostler_sdk::{Fact, Line, Verdicts};
use serde_json::Value;

/// Fields told of one line.
const FIELDS: usize = 16;
/// Longest key or value told, in bytes.
const VALUE_BYTES: usize = 512;
/// Longest line that is read, in bytes.
const LINE_BYTES: usize = 64 << 10;
/// How deep members of members are looked for.
const DEPTH: usize = 4;
/// Members that say most, by the names that pino, bunyan, winston, structlog, zerolog, logrus, slog and Serilog give
/// them; they are told whatever stands before them.
const FIRST: [&str; 16] = [
    "msg",
    "message",
    "event",
    "@m",
    "level",
    "severity",
    "logger",
    "name",
    "error",
    "err",
    "exception",
    "exc_info",
    "stack",
    "@x",
    "caller",
    "component",
];

/// Notes the fields of a line.
#[cold]
pub fn note(line: Line<'_>, verdicts: &mut Verdicts) {
    let mut found = read(line.bytes);
    // Stable, so that all others keep their order.
    found.sort_by_key(|(key, _)| {
        let first = key.split('.').next().unwrap_or(key);
        FIRST.iter().position(|name| *name == first).unwrap_or(FIRST.len())
    });
    found.truncate(FIELDS);
    if !found.is_empty() {
        let fact =
            found.into_iter().fold(Fact::fields(), |fact, (key, value)| fact.field(cut(key), cut(value)));
        verdicts.note(line.index, fact);
    }
}

/// Returns the fields of a structured line in their order; none of a line that is too long to be read.
pub fn read(line: &[u8]) -> Vec<(String, String)> {
    let text = Some(line).filter(|line| line.len() <= LINE_BYTES);
    let Some(text) = text.and_then(|line| std::str::from_utf8(line).ok()) else { return Vec::new() };
    of_json(text).unwrap_or_else(|| of_logfmt(text))
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(VALUE_BYTES));
    text
}

/// Reads the one object that a line is, or that it ends with.
fn of_json(text: &str) -> Option<Vec<(String, String)>> {
    let object = &text[text.find('{')?..];
    let Value::Object(members) = serde_json::from_str(object).ok()? else { return None };
    let mut found = Vec::new();
    flatten("", &members, DEPTH, &mut found);
    Some(found)
}

/// Members of inner objects go by their path.
fn flatten(
    path: &str,
    members: &serde_json::Map<String, Value>,
    depth: usize,
    found: &mut Vec<(String, String)>,
) {
    for (key, value) in members {
        let key = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Object(members) if depth > 1 => flatten(&key, members, depth - 1, found),
            Value::String(text) => found.push((key, text.clone())),
            other => found.push((key, other.to_string())),
        }
    }
}

/// Reads pairs such as `level=error msg="it broke"`, and of a line that begins with a pair also keys alone.
fn of_logfmt(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    let whole = text.split(' ').next().is_some_and(|word| word.contains('='));
    let keys = |words: &str, found: &mut Vec<(String, String)>| {
        let alone = words.split(' ').filter(|word| whole && is_key(word));
        found.extend(alone.take(FIELDS).map(|key| (key.to_owned(), "true".to_owned())));
    };
    while let Some(at) = rest.find('=') {
        let key = rest[..at].rsplit([' ', '\t', ',', '{']).next().unwrap_or_default();
        keys(&rest[..at - key.len()], &mut found);
        rest = &rest[at + 1..];
        let value = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (value, length) = unquote(quoted);
                rest = &quoted[length..];
                value
            }
            None => {
                let length = rest.find([' ', '\t']).unwrap_or(rest.len());
                let (value, after) = rest.split_at(length);
                rest = after;
                value.to_owned()
            }
        };
        if is_key(key) {
            found.push((key.to_owned(), value));
        }
        // Far more than is told: a line of nothing but pairs costs no more than that.
        if found.len() >= 8 * FIELDS {
            return found;
        }
    }
    keys(rest, &mut found);
    found
}

fn is_key(word: &str) -> bool {
    let is_of_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@');
    !word.is_empty() && word.bytes().all(is_of_key)
}

/// Returns what stands up to the closing quote, and where it ends.
fn unquote(text: &str) -> (String, usize) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, at + 1),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, other)) => value.push(other),
                None => {}
            },
            other => value.push(other),
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use ostler_sdk::testing::classify;

    use super::*;
    use crate::RegexClassifier;

    fn fields(line: &str) -> Vec<(String, String)> {
        let notes = classify::<RegexClassifier>(&[line]).notes;
        notes
            .into_iter()
            .filter(|note| note.fact.kind == "fields")
            .flat_map(|note| note.fact.fields)
            .collect()
    }

    fn pairs(found: &[(String, String)]) -> Vec<(&str, &str)> {
        found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    #[test]
    fn json_is_told_from_warnings_on_with_paths_for_inner_objects() {
        let line =
            r#"{"level":50,"pid":7,"err":{"type":"Gone","stack":"a\n b"},"msg":"boom","kinds":[1,"x"]}"#;
        assert_eq!(
            pairs(&fields(line)),
            [
                ("msg", "boom"),
                ("level", "50"),
                ("err.stack", "a\n b"),
                ("err.type", "Gone"),
                ("kinds", "[1,\"x\"]"),
                ("pid", "7"),
            ]
        );
        assert!(fields(r#"{"level":30,"msg":"fine"}"#).is_empty());
    }

    #[test]
    fn words_beside_pairs_are_keys_only_where_the_line_is_logfmt() {
        let line = "it went wrong: level=error code=7 badly";
        assert_eq!(pairs(&fields(line)), [("level", "error"), ("code", "7")]);
        assert_eq!(
            pairs(&fields("level=error code=7 badly")),
            [("level", "error"), ("code", "7"), ("badly", "true")]
        );
    }

    #[test]
    fn logfmt_is_told_with_its_quotes_undone() {
        let line = r#"time=2026 level=error urgent msg="it \"broke\"\nagain" empty= tail="open"#;
        assert_eq!(
            pairs(&fields(line)),
            [
                ("msg", "it \"broke\"\nagain"),
                ("level", "error"),
                ("time", "2026"),
                ("urgent", "true"),
                ("empty", ""),
                ("tail", "open"),
            ]
        );
    }

    #[test]
    fn what_is_told_is_bounded() {
        let many: String = (0..5000).map(|number| format!("k{number}=v ")).collect();
        assert_eq!(fields(&format!("level=error {many}")).len(), FIELDS);
        let long = format!("level=error msg={}", "é".repeat(5000));
        assert!(fields(&long).iter().all(|(_, value)| value.len() <= VALUE_BYTES));
        assert!(fields(&format!(r#"{{"level":"error","x":{}1"#, "[".repeat(50_000))).len() <= FIELDS);
    }
}
