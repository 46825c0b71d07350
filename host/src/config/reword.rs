//! Owns the wording of what serde and the TOML parser find: their terms are Rust's, ours are the reader's.
//!
//! Works on the text of their messages, which the snapshots in `tests` hold still. Values are never repeated, only
//! their types: a value may be a secret.

use toml::de::DeValue;

use super::recover::{Place, Step};
use super::source::shown;
use super::suggest;

/// Keys of the design that this version does not have, by the table they will be in.
const PLANNED: [(&str, &[&str]); 2] = [("process", &["adapter"]), ("", &["daemon", "rules"])];

/// Tables of the top level.
const SECTIONS: [&str; 7] = ["project", "process", "group", "logs", "alert", "secrets", "plugin"];

/// Returns message and hint for an error of shape at a place.
pub(super) fn shape_error(message: &str, place: &Place) -> (String, Option<String>) {
    let message = message.trim_end();
    if message.starts_with("unknown field `") {
        return unknown_key(message, &place.path);
    }
    if let Some((_, expected)) = split_expected(message) {
        let what = subject(&place.path);
        if message.starts_with("invalid value: ") {
            return (format!("{what} must be {}", plain(expected)), None);
        }
        return (
            format!("{what} must be {}, found {}", plain(expected), place.kind),
            quote_hint(expected, place),
        );
    }
    // Overflow of a number is the one kind left; its text would repeat the value.
    (format!("{} is not valid here", subject(&place.path)), None)
}

/// Returns the type of a value in the reader's words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Returns the parser's message as one lowercase line.
pub(super) fn syntax_error(message: &str) -> String {
    format!("not valid TOML: {}", shown(&message.trim_end().replace('\n', ", ")))
}

/// Returns the start of a sentence about a definition: ``process `api` is defined``.
pub(super) fn definition(path: &[Step]) -> String {
    match path {
        [Step::Key(section), Step::Key(name)]
            if matches!(section.as_str(), "process" | "group" | "alert" | "plugin") =>
        {
            format!("{section} `{}` is defined", shown(name))
        }
        [Step::Key(key)] if SECTIONS.contains(&key.as_str()) => format!("[{key}] is defined"),
        [Step::Key(key)] => format!("`{}` is set", shown(key)),
        _ => format!("{} is set", subject(path)),
    }
}

fn unknown_key(message: &str, path: &[Step]) -> (String, Option<String>) {
    let (parents, key) = match path {
        [parents @ .., Step::Key(key)] => (parents, key.as_str()),
        _ => (path, ""),
    };
    let table = match parents {
        [] => "",
        [Step::Key(section), _] if section == "process" => "process",
        [.., Step::Key(last)] => last.as_str(),
        _ => "",
    };
    if PLANNED.iter().any(|(planned_in, keys)| *planned_in == table && keys.contains(&key)) {
        let hint = "remove it; `ostler.toml` of this version has no such key";
        return (format!("`{key}` is not supported by this version"), Some(hint.to_owned()));
    }
    let known: Vec<&str> = message.split('`').skip(2).filter(|part| is_key(part)).collect();
    let hint = suggest::did_you_mean(key, known.iter().copied())
        .unwrap_or_else(|| format!("the keys here are {}", suggest::listed(known.iter().copied())));
    (format!("unknown key `{}` {}", shown(key), location(parents)), Some(hint))
}

fn is_key(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'))
}

/// Splits `invalid type: integer, expected a string` in two; the value in the first half may hold anything.
fn split_expected(message: &str) -> Option<(&str, &str)> {
    let invalid = message.starts_with("invalid type: ") || message.starts_with("invalid value: ");
    invalid.then(|| message.rsplit_once(", expected ")).flatten()
}

/// Serde's words for what it expected, in the reader's.
fn plain(expected: &str) -> &str {
    match expected {
        "a map" => "a table",
        "a sequence" => "a list",
        "i32" => "an integer from -2147483648 to 2147483647",
        "u32" => "an integer from 0 to 4294967295",
        "i64" => "an integer",
        "f64" => "a number",
        other => other,
    }
}

/// Numbers without quotes are the usual slip where a text is wanted.
fn quote_hint(expected: &str, place: &Place) -> Option<String> {
    // Where a table would do as well, the string has a form of its own.
    let wants_text =
        expected.contains("string") && !expected.contains("integer") && !expected.contains("table");
    let is_scalar = matches!(place.kind, "an integer" | "a float" | "a boolean" | "a date");
    let is_float = expected.contains("integer") && expected.contains("string") && place.kind == "a float";
    ((wants_text && is_scalar) || is_float).then(|| "put the value in quotes".to_owned())
}

/// Returns the name of a value in messages: `` `command` ``, `` `restart.max` ``, `[process.api]`.
fn subject(path: &[Step]) -> String {
    let (section, rest) = split_section(path);
    if rest.is_empty() { format!("[{}]", dotted(section)) } else { format!("`{}`", dotted(rest)) }
}

/// Returns where a key stands: `in [process.api]`, `` in `restart` of [process.api] ``, `at the top level`.
fn location(path: &[Step]) -> String {
    let (section, rest) = split_section(path);
    match (section, rest) {
        ([], _) => "at the top level".to_owned(),
        ([Step::Key(list), Step::Index(_)], []) => format!("in [[{}]]", shown(list)),
        (_, []) => format!("in [{}]", dotted(section)),
        _ => format!("in `{}` of [{}]", dotted(rest), dotted(section)),
    }
}

/// Splits a path into the part that is a `[section]` and the part that is a key in it.
fn split_section(path: &[Step]) -> (&[Step], &[Step]) {
    let length = match path.first() {
        Some(Step::Key(first))
            if matches!(first.as_str(), "process" | "group" | "alert" | "plugin" | "pattern") =>
        {
            2
        }
        _ => 1,
    };
    path.split_at(length.min(path.len()))
}

fn dotted(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(&shown(key)),
            Step::Key(key) => text.push_str(&format!(".{}", shown(key))),
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}
