//! The line that says what was raised: `TypeError: x is not a function`.
//!
//! Owns how such a line is found among timestamps, levels and names of loggers, in any language.

use super::{Shape, clip};

/// How the last part of a type's name ends, when it is one of an error.
const ENDINGS: [&str; 8] =
    ["Error", "Exception", "Fault", "Failure", "Interrupt", "Errno", "Warning", "Rejection"];

/// Words in front of a message that say how serious it is, or belong to a time, in lower case.
const LEVELS: [&str; 19] = [
    "error",
    "err",
    "fatal",
    "critical",
    "crit",
    "warn",
    "warning",
    "severe",
    "panic",
    "alert",
    "emerg",
    "emergency",
    "e",
    "w",
    "f",
    "fail",
    "failed",
    "am",
    "pm",
];

/// Reads a text that is no trace: the first line with something on it, without what comes before its message.
pub(super) fn lone(lines: &[&str]) -> Shape {
    let line = lines.iter().map(|line| line.trim()).find(|line| !line.is_empty()).unwrap_or_default();
    let message = without_prefix(line);
    let (kind, message) = match typed(message) {
        Some(head) => head,
        None => (String::new(), message.to_owned()),
    };
    Shape { kind: clip(&kind), message: clip(&message), ..Shape::default() }
}

/// Returns the type and message of the nearest line above `before` that has both, or else the nearest with anything on
/// it as a message. Lines before `from` are not looked at.
pub(super) fn above(lines: &[&str], from: usize, before: usize) -> (String, String) {
    /// A message may have many lines, but the type stands on the first of them.
    const LINES: usize = 40;
    let near = || lines[from..before].iter().rev().take(LINES).map(|line| line.trim());
    if let Some(head) = near().find_map(typed) {
        return head;
    }
    let line = near().find(|line| !line.is_empty()).unwrap_or_default();
    match split(line) {
        Some((kind, message)) if is_name(kind) && kind.starts_with(|c: char| c.is_ascii_uppercase()) => {
            (kind.to_owned(), message.to_owned())
        }
        _ => (String::new(), without_prefix(line).to_owned()),
    }
}

/// Finds `SomeError: message`, `SomeError [CODE]: message` or a lone `SomeError` in a line; what stands before it is
/// left out.
pub(super) fn typed(line: &str) -> Option<(String, String)> {
    let mut from = 0;
    while let Some(at) = line[from..]
        .find(": ")
        .map(|at| from + at)
        .or_else(|| line[from..].ends_with(':').then(|| line.len() - 1))
    {
        let before = &line[..at];
        let (name_end, code) = match before.strip_suffix(']').and_then(|inner| inner.rsplit_once(" [")) {
            Some((name, code)) if is_name(code) => (name, Some(code)),
            _ => (before, None),
        };
        let start = name_end
            .rfind(|c: char| !is_of_name(c))
            .map_or(0, |at| at + name_end[at..].chars().next().map_or(1, char::len_utf8));
        let name = &name_end[start..];
        if is_error_name(name) {
            let kind = code.map_or_else(|| name.to_owned(), |code| format!("{name} [{code}]"));
            return Some((kind, line[at + 1..].trim().to_owned()));
        }
        from = at + 1;
    }
    let name = without_prefix(line);
    (is_name(name) && is_error_name(name)).then(|| (name.to_owned(), String::new()))
}

/// Splits `name: message` at the first colon that ends a name; a name alone has no message.
pub(super) fn split(line: &str) -> Option<(&str, &str)> {
    match line.split_once(": ").or_else(|| line.strip_suffix(':').map(|name| (name, ""))) {
        Some((name, message)) if is_name(name) => Some((name, message.trim())),
        Some(_) => None,
        None => is_name(line).then_some((line, "")),
    }
}

/// Returns whether `text` may be a type's name: letters, digits, and what separates its parts.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 200 && text.chars().all(is_of_name)
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '$' | '\\' | ':')
}

fn is_error_name(name: &str) -> bool {
    let last = name.rsplit(['.', '\\', ':', '$']).next().unwrap_or_default();
    // `ERROR: …` is a level.
    last.starts_with(|c: char| c.is_ascii_uppercase())
        && last.len() <= 120
        && ENDINGS.iter().any(|ending| last.ends_with(ending))
        && last != "Warning"
}

/// Returns a line of log without the time, the level, the pid and the like in front of its message. A line that is
/// nothing else stays as it is.
pub(super) fn without_prefix(line: &str) -> &str {
    /// As many as `[TIME] LEVEL [PID] [THREAD] LOGGER -` has, and some more.
    const PARTS: usize = 8;
    let mut rest = line.trim();
    for _ in 0..PARTS {
        match prefix(rest) {
            Some(after) if !after.is_empty() => rest = after,
            _ => break,
        }
    }
    rest
}

/// Returns what follows one part in front of a message.
fn prefix(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix(['-', '|', '•', '⨯', '✘', '✗', '✖', '×', '❌', '→', '>', '*', '!'])
    {
        return Some(rest.trim_start());
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (_, after) = rest.split_at_checked(rest.find(']').filter(|end| *end <= 60)?)?;
        return Some(after[1..].trim_start_matches([':', ' ']));
    }
    let word = text.split_whitespace().next()?;
    let after = text[word.len()..].trim_start();
    let bare = word.trim_end_matches([':', ',', '|']).trim_matches(['(', ')', '<', '>']);
    // `Error:` is a type of JavaScript.
    let is_level = bare != "Error"
        && LEVELS.contains(&bare.to_ascii_lowercase().as_str())
        && (word.ends_with(':') || bare.chars().all(|c| c.is_ascii_uppercase()));
    // Times, dates, pids: digits and what separates them.
    let is_time = bare.starts_with(|c: char| c.is_ascii_digit())
        && bare
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, ':' | '-' | '/' | '.' | ',' | 'T' | 'Z' | '+'))
        && (bare.len() >= 5 || word.ends_with(':'));
    (is_level || is_time).then_some(after)
}

/// Returns the first line that names a type before `before`, or the first line with something on it as a message.
pub(super) fn typed_or_first(lines: &[&str], before: usize) -> (String, String) {
    let mut told = lines[..before].iter().map(|line| line.trim()).filter(|line| !line.is_empty());
    let first = told.clone().next().unwrap_or_default();
    told.find_map(typed).unwrap_or_else(|| (String::new(), without_prefix(first).to_owned()))
}
