//! Errors in lines of JSON and the like, whose trace is one of the fields.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{Shape, head, read};
use crate::bounds;

/// Names of fields that hold a whole trace, in lower case.
const TRACES: [&str; 12] = [
    "stack",
    "stacktrace",
    "stack_trace",
    "stack-trace",
    "exc_info",
    "exception",
    "traceback",
    "backtrace",
    "error.stack",
    "error.stack_trace",
    "err.stack",
    "exception.stacktrace",
];
/// Names of fields that hold the message.
const MESSAGES: [&str; 6] = ["message", "msg", "event", "error.message", "err.message", "error"];
/// Names of fields that hold the type.
const KINDS: [&str; 6] =
    ["error.type", "err.type", "exception.type", "error.kind", "error.name", "exception.class"];

/// Reads the text of an event together with the fields that a classifier found in it; a line of JSON has fields even
/// when none did.
pub fn read_structured(text: &str, fields: &[(String, String)], project: Option<&str>) -> Shape {
    let fields = if fields.is_empty() { Cow::Owned(json_fields(text)) } else { Cow::Borrowed(fields) };
    let field = |names: &[&str]| {
        let found = |name: &&str| {
            fields.iter().find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.trim().is_empty())
        };
        names.iter().find_map(found).map(|(_, value)| value.as_str())
    };
    if let Some(trace) = field(&TRACES) {
        let mut shape = read(trace, project);
        if !shape.frames.is_empty() {
            if shape.message.is_empty() {
                shape.message = field(&MESSAGES).map(super::clip).unwrap_or_default();
            }
            return shape;
        }
    }
    // What is a trace already says more than its fields.
    let whole = read(text, project);
    match field(&MESSAGES) {
        Some(message) if whole.frames.is_empty() => {
            let mut shape = head::lone(&[message]);
            if let Some(kind) = field(&KINDS) {
                shape.kind = super::clip(kind);
            }
            shape
        }
        _ => whole,
    }
}

/// Returns the fields of a line of JSON, those of the objects in it as `error.stack`.
fn json_fields(text: &str) -> Vec<(String, String)> {
    let text = text.trim();
    if !text.starts_with('{') || text.len() > bounds::TRACE_BYTES {
        return Vec::new();
    }
    let Ok(object) = serde_json::from_str::<Map<String, Value>>(text) else { return Vec::new() };
    let mut fields = Vec::new();
    for (key, value) in object {
        match value {
            Value::String(text) => fields.push((key, text)),
            Value::Object(inner) => {
                let texts = inner.into_iter().filter_map(|(name, value)| match value {
                    Value::String(text) => Some((format!("{key}.{name}"), text)),
                    _ => None,
                });
                fields.extend(texts);
            }
            _ => {}
        }
    }
    fields
}
