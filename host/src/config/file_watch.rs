//! Owns the wire types of what is looked for in output: `[alert.NAME]` and `[secrets]`, as they are written.
//!
//! As in `file`, of which this is a part: the doc comments are the reference, and nothing is checked beyond shape.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::shapes::{CaptureValue, StringOrList};

/// Words that `check_alerts` reads itself; here they are for the schema.
const LEVEL_WORDS: [&str; 3] = ["warn", "error", "fatal"];

/// When to tell of what processes print. What matches both `level` and `pattern` counts; at least one of `level`,
/// `pattern` and `rate` is needed.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct AlertTable {
    /// One or several processes or groups. Default: all processes, those that are added while Ostler runs too.
    #[schemars(with = "StringOrList")]
    pub process: Option<Spanned<StringOrList>>,
    /// Events at least this serious count; a traceback of many lines is one event. Default: any line counts.
    #[schemars(with = "String", extend("enum" = LEVEL_WORDS))]
    pub level: Option<Spanned<String>>,
    /// A regular expression: lines that match it count, with `level` events whose text does. What is masked is no more
    /// to be matched. Default: none.
    #[schemars(with = "String")]
    pub pattern: Option<Spanned<String>>,
    /// How many of them, at most 1000, within what time: `"10/1m"`. Without it the first one raises the alert.
    #[schemars(with = "String")]
    pub rate: Option<Spanned<String>>,
    /// How long the alert keeps quiet about a process once it was raised; what comes meanwhile is counted, and told
    /// afterwards. Default: `"5m"`.
    #[schemars(with = "String", extend("default" = "5m"))]
    pub window: Option<Spanned<String>>,
    /// What to say besides, at most 200 characters. Default: nothing.
    #[schemars(with = "String")]
    pub message: Option<Spanned<String>>,
}

/// What is masked besides what is masked anyway.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct SecretsTable {
    /// What else looks like a secret, at most 64 patterns. Default: none.
    #[schemars(with = "Vec<SecretTable>")]
    pub patterns: Vec<Spanned<SecretTable>>,
    /// Variables whose values are secrets though their names do not say so. Values of at least eight characters are
    /// looked for. Default: none.
    #[schemars(with = "Vec<String>")]
    pub env: Vec<Spanned<String>>,
    /// Variables whose values are no secrets though their names say so. Default: none.
    #[schemars(with = "Vec<String>")]
    pub not_env: Vec<Spanned<String>>,
}

/// What a secret looks like.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
#[schemars(extend("required" = ["name", "regex"]))]
pub(super) struct SecretTable {
    /// What is shown in its place, as `[masked:NAME]`: letters, digits, `-`, `_` and `.`, at most 64. Required.
    #[schemars(with = "String")]
    pub name: Option<Spanned<String>>,
    /// A regular expression that matches within a line. Required.
    #[schemars(with = "String")]
    pub regex: Option<Spanned<String>>,
    /// Which group of it is the secret, by its number or its name. Default: 0, all that matches.
    #[schemars(with = "CaptureValue", extend("default" = 0))]
    pub group: Option<Spanned<CaptureValue>>,
}
