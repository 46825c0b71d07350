//! Arguments of tools: one table says what a tool takes; the schema sent to clients and the check of a call are both
//! made from it, so that they cannot part.
//!
//! Never knows what an argument is for.

use serde_json::{Map, Value, json};

use super::suggest::closest;

/// One argument a tool takes.
#[derive(Debug)]
pub struct Argument {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// A few words; every turn of every conversation pays for them. Empty when the name says it all.
    pub description: &'static str,
}

/// What an argument may be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Text,
    /// A list of strings, of at most [`TEXTS`].
    Texts,
    Flag {
        default: bool,
    },
    Number {
        least: u64,
        most: u64,
        default: Option<u64>,
    },
    Choice {
        options: &'static [&'static str],
        default: Option<&'static str>,
    },
}

impl Argument {
    /// The argument that names a process.
    pub const NAME: Self = Self { name: "name", kind: Kind::Text, required: true, description: "" };

    /// Makes an argument that a call may leave out.
    pub const fn optional(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, kind, required: false, description }
    }

    fn schema(&self) -> Value {
        let mut schema = match self.kind {
            Kind::Text => json!({"type": "string"}),
            Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Kind::Flag { default: true } => json!({"type": "boolean", "default": true}),
            Kind::Flag { default: false } => json!({"type": "boolean"}),
            Kind::Number { least, most, default } => {
                let mut schema = json!({"type": "integer", "minimum": least});
                // A number past 2^53 is not safe in every client's JSON.
                if most < u64::MAX {
                    schema["maximum"] = most.into();
                }
                if let Some(default) = default {
                    schema["default"] = default.into();
                }
                schema
            }
            Kind::Choice { options, default } => {
                let mut schema = json!({"type": "string", "enum": options});
                if let Some(default) = default {
                    schema["default"] = default.into();
                }
                schema
            }
        };
        if !self.description.is_empty() {
            schema["description"] = self.description.into();
        }
        schema
    }

    /// Says what is expected, in words.
    fn expectation(&self) -> String {
        match self.kind {
            Kind::Text => "a string".to_owned(),
            Kind::Texts => format!("a list of at most {TEXTS} strings"),
            Kind::Flag { .. } => "true or false".to_owned(),
            // The greatest number stands for no bound at all.
            Kind::Number { least, most: u64::MAX, .. } => format!("a number from {least}"),
            Kind::Number { least, most, .. } => format!("a number from {least} to {most}"),
            Kind::Choice { options, .. } => format!("one of {}", options.join(", ")),
        }
    }

    fn check(&self, value: &Value) -> Result<Value, String> {
        let refused =
            |got: String| Err(format!("`{}`: expected {}, got {got}", self.name, self.expectation()));
        match self.kind {
            Kind::Text | Kind::Choice { .. } if !value.is_string() => refused(describe(value)),
            Kind::Text => Ok(value.clone()),
            Kind::Texts => match value.as_array() {
                Some(list) if list.len() <= TEXTS && list.iter().all(Value::is_string) => Ok(value.clone()),
                _ => refused(describe(value)),
            },
            Kind::Flag { .. } if !value.is_boolean() => refused(describe(value)),
            Kind::Flag { .. } => Ok(value.clone()),
            Kind::Number { least, most, .. } => match whole(value) {
                Some(number) if (least..=most).contains(&number) => Ok(number.into()),
                _ => refused(describe(value)),
            },
            Kind::Choice { options, .. } => {
                let word = value.as_str().unwrap_or_default();
                if options.contains(&word) {
                    return Ok(value.clone());
                }
                let hint = closest(word, options.iter().copied());
                refused(format!("{}{}", describe(value), did_you_mean(hint)))
            }
        }
    }
}

/// Returns the input schema of a tool that takes `arguments`: flat, and without what some clients choke on.
pub fn schema(arguments: &[Argument]) -> Map<String, Value> {
    let properties: Map<String, Value> =
        arguments.iter().map(|argument| (argument.name.to_owned(), argument.schema())).collect();
    let required: Vec<&str> =
        arguments.iter().filter(|argument| argument.required).map(|argument| argument.name).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema.insert("additionalProperties".to_owned(), false.into());
    schema
}

/// Most strings in a list.
const TEXTS: usize = 256;

/// Most problems told of one call.
const PROBLEMS: usize = 5;

/// Arguments of one call that fit what the tool takes.
#[derive(Debug)]
pub struct Arguments {
    table: &'static [Argument],
    given: Map<String, Value>,
}

impl Arguments {
    /// Checks what a client sent against what `tool` takes. `null` counts as left out.
    ///
    /// # Errors
    /// A text for the agent that names each argument which is missing, unknown or of the wrong kind, and what the
    /// tool takes.
    pub fn check(
        tool: &str,
        table: &'static [Argument],
        sent: Option<Map<String, Value>>,
    ) -> Result<Self, String> {
        let mut given = sent.unwrap_or_default();
        given.retain(|_, value| !value.is_null());
        let mut problems = Vec::new();
        for name in given.keys() {
            if !table.iter().any(|argument| argument.name == name) {
                let hint = closest(name, table.iter().map(|argument| argument.name));
                problems.push(format!("`{}` is not an argument{}", clipped(name), did_you_mean(hint)));
            }
        }
        for argument in table {
            match given.get_mut(argument.name) {
                Some(value) => match argument.check(value) {
                    Ok(checked) => *value = checked,
                    Err(problem) => problems.push(problem),
                },
                None if argument.required => {
                    problems.push(format!(
                        "`{}` is missing: expected {}",
                        argument.name,
                        argument.expectation()
                    ));
                }
                None => {}
            }
        }
        if problems.is_empty() { Ok(Self { table, given }) } else { Err(refusal(tool, table, &problems)) }
    }

    /// Returns a text, or nothing when it was left out.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// Returns the text of an argument the table calls required.
    pub fn required(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    /// Returns a list of texts; an empty one when it was left out.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let list = self.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Returns a flag, or nothing when it was left out.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(Value::as_bool)
    }

    /// Returns a number, or nothing when it was left out.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(Value::as_u64)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        debug_assert!(self.table.iter().any(|argument| argument.name == name), "{name} is not in the table");
        self.given.get(name)
    }
}

/// Returns the text that tells an agent what is wrong with its arguments.
pub fn refusal(tool: &str, table: &[Argument], problems: &[String]) -> String {
    let mut text = format!("{tool} was not called:");
    for problem in problems.iter().take(PROBLEMS) {
        text.push_str("\n- ");
        text.push_str(problem);
    }
    if problems.len() > PROBLEMS {
        text.push_str(&format!("\n- and {} more", problems.len() - PROBLEMS));
    }
    text.push('\n');
    text.push_str(&usage(tool, table));
    text
}

fn usage(tool: &str, table: &[Argument]) -> String {
    if table.is_empty() {
        return format!("{tool} takes no arguments");
    }
    let arguments: Vec<String> = table
        .iter()
        .map(|argument| {
            let mark = if argument.required { "" } else { "?" };
            format!("{}{mark} ({})", argument.name, argument.expectation())
        })
        .collect();
    format!("{tool} takes: {}", arguments.join("; "))
}

fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        // Some clients send every number as a float.
        let float = value.as_f64()?;
        let exact = float.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&float);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked in the line above"
        )]
        exact.then_some(float as u64)
    })
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("the string \"{}\"", clipped(text)),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn clipped(text: &str) -> String {
    super::text::clean_within(text, 40)
}

fn did_you_mean(hint: Option<&str>) -> String {
    hint.map(|hint| format!("; did you mean `{hint}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Argument] = &[
        Argument::NAME,
        Argument::optional("level", Kind::Choice { options: &["warn", "error"], default: None }, ""),
        Argument::optional("limit", Kind::Number { least: 1, most: 500, default: Some(50) }, "Most lines"),
        Argument::optional("wait", Kind::Flag { default: false }, ""),
    ];

    fn check(sent: Value) -> Result<Arguments, String> {
        Arguments::check("get_logs", TABLE, sent.as_object().cloned())
    }

    #[test]
    fn what_fits_is_taken() {
        let arguments =
            check(json!({"name": "api", "limit": 7.0, "level": null, "wait": true})).expect("they fit");
        assert_eq!(arguments.required("name"), "api");
        assert_eq!(arguments.number("limit"), Some(7));
        assert_eq!(arguments.text("level"), None);
        assert_eq!(arguments.flag("wait"), Some(true));
    }

    #[test]
    fn lists_hold_strings_only() {
        const TABLE: &[Argument] = &[Argument::optional("names", Kind::Texts, "")];
        let check = |sent: Value| Arguments::check("add", TABLE, sent.as_object().cloned());
        assert_eq!(check(json!({"names": ["a", "b"]})).unwrap().texts("names"), ["a", "b"]);
        assert!(check(json!({})).unwrap().texts("names").is_empty());
        for bad in [json!("a"), json!(["a", 1]), json!(vec!["a"; 257])] {
            assert!(check(json!({"names": bad})).unwrap_err().contains("a list of at most 256 strings"));
        }
    }

    #[test]
    fn every_problem_is_named_with_its_remedy() {
        let refused = check(json!({"nmae": "api", "limit": "5", "level": "eror", "wait": 1})).unwrap_err();
        insta::assert_snapshot!(refused, @r#"
        get_logs was not called:
        - `nmae` is not an argument; did you mean `name`?
        - `name` is missing: expected a string
        - `level`: expected one of warn, error, got the string "eror"; did you mean `error`?
        - `limit`: expected a number from 1 to 500, got the string "5"
        - `wait`: expected true or false, got 1
        get_logs takes: name (a string); level? (one of warn, error); limit? (a number from 1 to 500); wait? (true or false)
        "#);
    }

    #[test]
    fn numbers_outside_their_range_are_refused() {
        for bad in [json!(0), json!(501), json!(-1), json!(1.5), json!(1e300), json!([1])] {
            assert!(check(json!({"name": "api", "limit": bad})).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn a_flood_of_unknown_arguments_is_answered_briefly() {
        let sent: Map<String, Value> =
            (0..1000).map(|index| (format!("{index}{}", "x".repeat(1000)), json!(1))).collect();
        let refused = Arguments::check("get_logs", TABLE, Some(sent)).unwrap_err();
        assert!(refused.len() < 2000, "{refused}");
        assert!(refused.contains("and 996 more"), "{refused}");
    }

    #[test]
    fn the_schema_is_made_of_the_same_table() {
        insta::assert_snapshot!(
            Value::Object(schema(TABLE)),
            @r#"{"additionalProperties":false,"properties":{"level":{"enum":["warn","error"],"type":"string"},"limit":{"default":50,"description":"Most lines","maximum":500,"minimum":1,"type":"integer"},"name":{"type":"string"},"wait":{"type":"boolean"}},"required":["name"],"type":"object"}"#
        );
    }
}
