//! Owns the wire values that may be written in more than one shape: a word or a table, a number or a text.
//!
//! A shape that a key does not take is refused in the words of its `expected`, which `reword` puts into a sentence.
//! Nothing is checked here beyond shape.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::file::{RESTART_WORDS, ReloadTable, RestartTable, ScheduleTable, WatchTable};

/// Words that `depends` reads itself, to suggest the nearest; here they are for the schema.
const CONDITION_WORDS: [&str; 3] = ["started", "ready", "exited-ok"];

/// Reads a type from whichever of the given shapes is there.
macro_rules! shapes {
    ($name:ident, $expected:literal, { $($shape:ident $value:ident => $made:expr),+ $(,)? }) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Shape;
                impl<'de> Visitor<'de> for Shape {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    $(shapes!(@$shape $value => $made);)+
                }
                deserializer.deserialize_any(Shape)
            }
        }
    };
    (@text $text:ident => $made:expr) => {
        fn visit_str<E>(self, $text: &str) -> Result<Self::Value, E> {
            Ok($made)
        }
    };
    (@integer $number:ident => $made:expr) => {
        fn visit_i64<E>(self, $number: i64) -> Result<Self::Value, E> {
            Ok($made)
        }
    };
    (@flag $flag:ident => $made:expr) => {
        fn visit_bool<E>(self, $flag: bool) -> Result<Self::Value, E> {
            Ok($made)
        }
    };
    (@list $list:ident => $made:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            let $list = Deserialize::deserialize(SeqAccessDeserializer::new(list))?;
            Ok($made)
        }
    };
    (@table $table:ident => $made:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
            let $table = Deserialize::deserialize(MapAccessDeserializer::new(table))?;
            Ok($made)
        }
    };
}

/// Gives a type a schema that stands where it is used, as an object literal.
macro_rules! inline_schema {
    ($name:ident, $schema:tt) => {
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

/// A string or a list of strings.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum StringOrList {
    String(String),
    List(#[schemars(with = "Vec<String>")] Vec<Spanned<String>>),
}
shapes!(StringOrList, "a string or a list of strings", {
    text text => StringOrList::String(text.to_owned()),
    list list => StringOrList::List(list),
});

impl StringOrList {
    /// Returns the strings with their places; `span` is that of the value itself.
    pub fn into_list(self, span: Range<usize>) -> Vec<Spanned<String>> {
        match self {
            Self::String(text) => vec![Spanned::new(span, text)],
            Self::List(texts) => texts,
        }
    }
}

/// The value of a variable as the process will see it.
pub(super) struct EnvValue(pub String);
shapes!(EnvValue, "a string, an integer or a boolean", {
    text text => EnvValue(text.to_owned()),
    integer number => EnvValue(number.to_string()),
    flag flag => EnvValue(flag.to_string()),
});
inline_schema!(EnvValue, { "type": ["string", "integer", "boolean"] });

/// Names of processes, or what to wait for by name.
pub(super) enum DependsOnValue {
    List(Vec<Spanned<String>>),
    Table(BTreeMap<Spanned<String>, Spanned<String>>),
}
shapes!(DependsOnValue, "a list of names or a table", {
    list list => DependsOnValue::List(list),
    table table => DependsOnValue::Table(table),
});
inline_schema!(DependsOnValue, {
    "anyOf": [
        { "type": "array", "items": { "type": "string" } },
        { "type": "object", "additionalProperties": { "type": "string", "enum": CONDITION_WORDS } },
    ]
});

impl Default for DependsOnValue {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// A policy's name or its details.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum RestartValue {
    Word(#[schemars(with = "String", extend("enum" = RESTART_WORDS))] String),
    Table(RestartTable),
}
shapes!(RestartValue, "a string or a table", {
    text word => RestartValue::Word(word.to_owned()),
    table table => RestartValue::Table(table),
});

/// A signal's name, or a table.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum ReloadValue {
    Signal(String),
    Table(ReloadTable),
}
shapes!(ReloadValue, "a string or a table", {
    text signal => ReloadValue::Signal(signal.to_owned()),
    table table => ReloadValue::Table(table),
});

/// A line of cron, or a table.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum ScheduleValue {
    Cron(String),
    Table(ScheduleTable),
}
shapes!(ScheduleValue, "a string or a table", {
    text cron => ScheduleValue::Cron(cron.to_owned()),
    table table => ScheduleValue::Table(table),
});

/// Globs, or a table.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum WatchValue {
    Paths(StringOrList),
    Table(WatchTable),
}
shapes!(WatchValue, "a string, a list of strings or a table", {
    text glob => WatchValue::Paths(StringOrList::String(glob.to_owned())),
    list globs => WatchValue::Paths(StringOrList::List(globs)),
    table table => WatchValue::Table(table),
});

/// All, none, or some variables.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum InheritEnvValue {
    All(bool),
    Only(#[schemars(with = "Vec<String>")] Vec<Spanned<String>>),
}
shapes!(InheritEnvValue, "a boolean or a list of names", {
    flag all => InheritEnvValue::All(all),
    list names => InheritEnvValue::Only(names),
});

/// An integer or a text, to be read by whoever knows the key.
pub(super) enum NumberOrText {
    Number(i64),
    Text(String),
}

/// A type of its own for each kind of value that is a number or a text, so that each is expected and completed in
/// its own words.
macro_rules! number_or_text {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $number:tt, $text:tt) => {
        $(#[$doc])*
        pub(super) struct $name(pub NumberOrText);
        shapes!($name, $expected, {
            integer number => $name(NumberOrText::Number(number)),
            text text => $name(NumberOrText::Text(text.to_owned())),
        });
        inline_schema!($name, { "anyOf": [$number, $text] });
    };
}

number_or_text!(
    /// A port of this machine, or a host with a port.
    TcpValue, "an integer or a string such as \"127.0.0.1:8000\"",
    { "type": "integer", "minimum": 1, "maximum": 65535 }, { "type": "string" }
);
number_or_text!(
    /// The port a process is to listen on.
    PortValue, "an integer or \"auto\"",
    { "type": "integer", "minimum": 1, "maximum": 65535 }, { "type": "string", "enum": ["auto"] }
);
number_or_text!(
    /// One status code of HTTP, or a range.
    StatusValue, "an integer or a string such as \"200..299\"",
    { "type": "integer", "minimum": 100, "maximum": 599 }, { "type": "string" }
);
number_or_text!(
    /// A number of bytes, or a size with its unit.
    SizeValue, "an integer or a string such as \"1GiB\"",
    { "type": "integer", "minimum": 0 }, { "type": "string" }
);
number_or_text!(
    /// How many, or no limit.
    CountValue, "an integer or \"unlimited\"",
    { "type": "integer", "minimum": 0 }, { "type": "string", "enum": ["unlimited"] }
);
number_or_text!(
    /// A number of seconds, or a duration with its unit.
    SecondsValue, "an integer or a string such as \"10m\"",
    { "type": "integer", "minimum": 1 }, { "type": "string" }
);
number_or_text!(
    /// A group of a regular expression, by its number or its name.
    CaptureValue, "an integer or a string",
    { "type": "integer", "minimum": 0 }, { "type": "string" }
);
