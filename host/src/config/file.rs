//! Owns the wire types: `ostler.toml` and files of log patterns exactly as they are written.
//!
//! The doc comments here are the reference: the JSON schema for editors is made from them. Nothing is checked here
//! beyond shape; `check` turns these types into those of `types`. Every value keeps its place for messages.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

/// Words that `check` and `patterns` read themselves, to suggest the nearest; here they are for the schema.
const RESTART_WORDS: [&str; 3] = ["on-failure", "always", "never"];
const CONDITION_WORDS: [&str; 3] = ["started", "ready", "exited-ok"];
const LEVEL_WORDS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];

/// Configuration of Ostler for one project.
///
/// Relative paths start from the directory of this file. Durations are written `200ms`, `30s`, `1m30s`, `2h`.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct ConfigFile {
    /// About the project as a whole.
    pub project: ProjectTable,
    /// The processes, each by its name: letters, digits, `-`, `_` and `.`, at most 64.
    #[schemars(with = "BTreeMap<String, ProcessTable>")]
    pub process: BTreeMap<Spanned<String>, ProcessTable>,
    /// About reading the output of processes.
    pub logs: LogsTable,
    /// Settings of plugins, each by the plugin's name.
    #[schemars(with = "BTreeMap<String, PluginTable>")]
    pub plugin: BTreeMap<Spanned<String>, PluginTable>,
}

/// About the project as a whole.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct ProjectTable {
    /// What the project is called in messages and lists. Default: the name of the directory.
    #[schemars(with = "String")]
    pub name: Option<Spanned<String>>,
}

/// A process to supervise.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
#[schemars(extend("required" = ["command"]))]
pub(super) struct ProcessTable {
    /// What to execute: a line, split into words as a shell would but run without one, or a list of words. Required.
    #[schemars(with = "StringOrList")]
    pub command: Option<Spanned<StringOrList>>,
    /// Run `command`, which must be a string then, with `/bin/sh -c`. Default: false.
    #[schemars(extend("default" = false))]
    pub shell: bool,
    /// The directory to run in. Default: the project's.
    #[schemars(with = "String", extend("default" = "."))]
    pub cwd: Option<Spanned<String>>,
    /// Variables added to the environment Ostler was started with; they win over `env_file`. Default: none, but
    /// `PYTHONUNBUFFERED=1` is set for every process unless something else sets that variable, because Python
    /// otherwise holds back its output for seconds.
    #[schemars(with = "BTreeMap<String, EnvValue>")]
    pub env: BTreeMap<Spanned<String>, Spanned<EnvValue>>,
    /// One or several files of `NAME=value` lines, read at each start; later files win. A file that does not exist is
    /// an error, unless its name ends in `?`. Default: none.
    #[schemars(with = "StringOrList")]
    pub env_file: Option<Spanned<StringOrList>>,
    /// `ostler up` starts it. Default: true.
    #[schemars(with = "bool", extend("default" = true))]
    pub autostart: Option<bool>,
    /// Processes that come first: a list of names, or a table of names with what to wait for: `"started"`, `"ready"`
    /// (which the list means) or `"exited-ok"`. Default: none.
    pub depends_on: DependsOnValue,
    /// When to start it again after it ended by itself: `"on-failure"`, `"always"`, `"never"`, or a table. Default:
    /// `"on-failure"`.
    pub restart: RestartValue,
    /// How to tell that it serves. Default: it is ready when it runs, or when a plugin recognises its output.
    pub ready: ReadyTable,
    /// How to stop it. Default: SIGTERM, and SIGKILL ten seconds later.
    pub stop: StopTable,
}

/// When to start a process again.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a string or a table")]
pub(super) struct RestartTable {
    /// `"on-failure"`: after a signal or an exit code other than 0. `"always"`: after every exit. `"never"`. Default:
    /// `"on-failure"`.
    #[schemars(with = "String", extend("enum" = RESTART_WORDS, "default" = "on-failure"))]
    pub policy: Option<Spanned<String>>,
    /// Pause before the first restart and longest pause; it doubles in between. Default: `"200ms..30s"`.
    #[schemars(with = "String", extend("default" = "200ms..30s"))]
    pub backoff: Option<Spanned<String>>,
    /// Restarts within `window` after which it is left alone as failed. Default: 5.
    #[schemars(with = "u32", extend("default" = 5))]
    pub max: Option<u32>,
    /// The stretch of time in which `max` counts. Default: `"60s"`.
    #[schemars(with = "String", extend("default" = "60s"))]
    pub window: Option<Spanned<String>>,
}

/// How to tell that a process serves: at most one of `log`, `tcp` and `http`.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct ReadyTable {
    /// A regular expression; a line of output that matches it means ready.
    #[schemars(with = "String")]
    pub log: Option<Spanned<String>>,
    /// Ready when a connection is accepted: `"127.0.0.1:8000"`, or a port of this machine.
    #[schemars(with = "TcpValue")]
    pub tcp: Option<Spanned<TcpValue>>,
    /// Ready when a GET of this URL, plain `http://`, is answered with a status below 400.
    #[schemars(with = "String")]
    pub http: Option<Spanned<String>>,
    /// How long a start may take until waiting for it is given up. Default: `"30s"`.
    #[schemars(with = "String", extend("default" = "30s"))]
    pub timeout: Option<Spanned<String>>,
}

/// How to stop a process.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct StopTable {
    /// The first signal, to the whole process group. Default: `"SIGTERM"`.
    #[schemars(with = "String", extend("default" = "SIGTERM"))]
    pub signal: Option<Spanned<String>>,
    /// Time until SIGKILL follows. Default: `"10s"`.
    #[schemars(with = "String", extend("default" = "10s"))]
    pub grace: Option<Spanned<String>>,
}

/// About reading the output of processes.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct LogsTable {
    /// One or several files of patterns that give lines their level, before the built-in ones. Default: none.
    #[schemars(with = "StringOrList")]
    pub patterns: Option<Spanned<StringOrList>>,
}

/// Settings of one plugin.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct PluginTable {
    /// Whether the plugin is used. Default: true.
    #[schemars(with = "bool", extend("default" = true))]
    pub enabled: Option<bool>,
    /// Handed to the plugin as JSON; the plugin's own schema says what it takes. Default: nothing.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub config: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Patterns that give lines of log their level.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct PatternsFile {
    /// The patterns. Where several match a line the highest `priority` wins, then the first.
    #[schemars(with = "Vec<PatternTable>")]
    pub pattern: Vec<Spanned<PatternTable>>,
}

/// A pattern that gives lines of log their level.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
#[schemars(extend("required" = ["name", "regex", "level"]))]
pub(super) struct PatternTable {
    /// What the pattern is called; unique. Required.
    #[schemars(with = "String")]
    pub name: Option<Spanned<String>>,
    /// A regular expression over bytes that matches somewhere in the line: `\w`, `\d` and `(?i)` at its start, which
    /// ignores case, mean ASCII. Required.
    #[schemars(with = "String")]
    pub regex: Option<Spanned<String>>,
    /// The level of lines that match. Required.
    #[schemars(with = "String", extend("enum" = LEVEL_WORDS))]
    pub level: Option<Spanned<String>>,
    /// Higher wins; the built-in patterns have 20 to 90. Default: 100.
    #[schemars(with = "i32", extend("default" = 100))]
    pub priority: Option<i32>,
    /// A word to group what the pattern finds, such as `database`. Default: none.
    #[schemars(with = "String")]
    pub category: Option<Spanned<String>>,
}

/// A string or a list of strings.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum StringOrList {
    String(String),
    List(#[schemars(with = "Vec<String>")] Vec<Spanned<String>>),
}

/// The value of a variable as the process will see it.
pub(super) struct EnvValue(pub String);

/// Names of processes, or what to wait for by name.
pub(super) enum DependsOnValue {
    List(Vec<Spanned<String>>),
    Table(BTreeMap<Spanned<String>, Spanned<String>>),
}

impl Default for DependsOnValue {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// A policy's name or its details.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum RestartValue {
    Word(#[schemars(with = "String", extend("enum" = RESTART_WORDS))] Spanned<String>),
    Table(RestartTable),
}

impl Default for RestartValue {
    fn default() -> Self {
        Self::Table(RestartTable::default())
    }
}

/// A port of this machine, or a host with a port.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum TcpValue {
    Port(#[schemars(with = "u16")] i64),
    Address(String),
}

impl JsonSchema for EnvValue {
    fn schema_name() -> Cow<'static, str> {
        "EnvValue".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer", "boolean"] })
    }
}

impl JsonSchema for DependsOnValue {
    fn schema_name() -> Cow<'static, str> {
        "DependsOn".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "array", "items": { "type": "string" } },
                { "type": "object", "additionalProperties": { "type": "string", "enum": CONDITION_WORDS } },
            ]
        })
    }
}

impl<'de> Deserialize<'de> for StringOrList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = StringOrList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E>(self, text: &str) -> Result<StringOrList, E> {
                Ok(StringOrList::String(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<StringOrList, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(list)).map(StringOrList::List)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl Visitor<'_> for Shape {
            type Value = EnvValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an integer or a boolean")
            }

            fn visit_str<E>(self, text: &str) -> Result<EnvValue, E> {
                Ok(EnvValue(text.to_owned()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<EnvValue, E> {
                Ok(EnvValue(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<EnvValue, E> {
                Ok(EnvValue(number.to_string()))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<EnvValue, E> {
                Ok(EnvValue(flag.to_string()))
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl<'de> Deserialize<'de> for DependsOnValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = DependsOnValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names or a table")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<DependsOnValue, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(list)).map(DependsOnValue::List)
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<DependsOnValue, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(table)).map(DependsOnValue::Table)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl<'de> Deserialize<'de> for RestartValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A place can be asked for only before the shape is known, so it is taken along for both.
        let (span, shape) = {
            let spanned = Spanned::<RestartShape>::deserialize(deserializer)?;
            (spanned.span(), spanned.into_inner())
        };
        Ok(match shape {
            RestartShape::Word(word) => Self::Word(Spanned::new(span, word)),
            RestartShape::Table(table) => Self::Table(table),
        })
    }
}

enum RestartShape {
    Word(String),
    Table(RestartTable),
}

impl<'de> Deserialize<'de> for RestartShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = RestartShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a table")
            }

            fn visit_str<E>(self, word: &str) -> Result<RestartShape, E> {
                Ok(RestartShape::Word(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RestartShape, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(table)).map(RestartShape::Table)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl<'de> Deserialize<'de> for TcpValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl Visitor<'_> for Shape {
            type Value = TcpValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port number or a string such as \"127.0.0.1:8000\"")
            }

            fn visit_str<E>(self, text: &str) -> Result<TcpValue, E> {
                Ok(TcpValue::Address(text.to_owned()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<TcpValue, E> {
                Ok(TcpValue::Port(number))
            }
        }
        deserializer.deserialize_any(Shape)
    }
}
