//! Owns the JSON schemas of `ostler.toml` and of files of log patterns, made from the wire types for editors.
//!
//! `config/schema/` holds what this renders, and a test here keeps the two equal. To write the files anew:
//! `UPDATE_SCHEMA=1 cargo test -p ostler --lib config::schema`.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::Value;

use super::file::{ConfigFile, PatternsFile};

/// Returns the JSON schema of `ostler.toml`, indented, with a newline at the end.
pub fn config_schema() -> String {
    render::<ConfigFile>("ostler.toml")
}

/// Returns the JSON schema of a file of log patterns, indented, with a newline at the end.
pub fn patterns_schema() -> String {
    render::<PatternsFile>("log patterns for Ostler")
}

/// Draft 7, which is what TOML editors read.
fn render<T: schemars::JsonSchema>(title: &str) -> String {
    let generator = SchemaSettings::draft07().with_transform(Plain).into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    schema.insert("title".to_owned(), Value::from(title));
    format!("{:#}\n", schema.to_value())
}

/// Takes out what is true of the wire types but not of the file: there is no null in TOML, the defaults are those in
/// the descriptions, editors know no Rust integers, and lines end where the source's margin is.
#[derive(Debug, Clone)]
struct Plain;

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        if schema.get("default").is_some_and(|default| default.is_null() || default.is_object()) {
            schema.remove("default");
        }
        schema.remove("format");
        if let Some(Value::String(text)) = schema.get_mut("description") {
            let paragraphs: Vec<String> = text.split("\n\n").map(|part| part.replace('\n', " ")).collect();
            *text = paragraphs.join("\n\n");
        }
        transform_subschemas(self, schema);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::Level;

    fn assert_file_is(name: &str, schema: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/schema").join(name);
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, schema).unwrap();
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            file == schema,
            "config/schema/{name} is not what the wire types give; write it anew with \
             `UPDATE_SCHEMA=1 cargo test -p ostler --lib config::schema` and commit it"
        );
    }

    #[test]
    fn the_committed_schemas_are_those_of_the_wire_types() {
        assert_file_is("ostler.schema.json", &config_schema());
        assert_file_is("log-patterns.schema.json", &patterns_schema());
    }

    #[test]
    fn the_words_offered_are_those_that_are_read() {
        use super::super::process::{Condition, Overlap, RestartWhen, Rlimit, StopStrategy};
        let schema: Value = serde_json::from_str(&config_schema()).unwrap();
        let process = &schema["definitions"]["ProcessTable"]["properties"];
        let words = |words: Vec<&str>| serde_json::json!(words);
        assert_eq!(
            process["depends_on"]["anyOf"][1]["additionalProperties"]["enum"],
            words(Condition::WORDS.map(|(word, _)| word).into())
        );
        assert_eq!(
            process["restart"]["anyOf"][0]["enum"],
            words(RestartWhen::WORDS.map(|(word, _)| word).into())
        );
        let definitions = &schema["definitions"];
        assert_eq!(
            definitions["RestartTable"]["properties"]["policy"]["enum"],
            words(RestartWhen::WORDS.map(|(word, _)| word).into())
        );
        assert_eq!(
            definitions["ScheduleTable"]["properties"]["overlap"]["enum"],
            words(Overlap::WORDS.map(|(word, _)| word).into())
        );
        assert_eq!(
            definitions["GroupTable"]["properties"]["stop"]["enum"],
            words(StopStrategy::WORDS.map(|(word, _)| word).into())
        );
        for (key, _) in Rlimit::WORDS {
            assert!(definitions["LimitsTable"]["properties"].get(key).is_some(), "{key}");
        }
        assert_eq!(process["replicas"]["maximum"], crate::bounds::REPLICAS_MAX);
        let patterns: Value = serde_json::from_str(&patterns_schema()).unwrap();
        let levels = Level::ALL[1..].iter().map(|level| level.as_str()).collect();
        assert_eq!(patterns["definitions"]["PatternTable"]["properties"]["level"]["enum"], words(levels));
        assert_eq!(schema["definitions"]["ProcessTable"]["required"], words(vec!["command"]));
    }

    /// Every key an editor completes has an explanation.
    #[test]
    fn every_key_is_described_and_none_may_be_null() {
        fn check(schema: &Value) {
            if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
                assert_eq!(schema["additionalProperties"], false);
                for (key, property) in properties {
                    assert!(property.get("description").is_some(), "`{key}` has no description");
                }
            }
            match schema {
                Value::Object(map) => map.values().for_each(check),
                Value::Array(list) => list.iter().for_each(check),
                other => assert_ne!(*other, "null"),
            }
        }
        check(&serde_json::from_str(&config_schema()).unwrap());
        check(&serde_json::from_str(&patterns_schema()).unwrap());
    }
}
