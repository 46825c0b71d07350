//! Every example in `config/examples/` loads, none is without a header that says what it shows, and no key is without
//! an example.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::{config_schema, load, load_text};

fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples");
    let entries = root.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut examples: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    examples.sort();
    examples
}

#[test]
fn every_example_loads() {
    let names: Vec<String> = examples()
        .iter()
        .map(|dir| {
            let file = dir.join("ostler.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("# "), "{} has no header", file.display());
            let project = load(&file).unwrap_or_else(|error| panic!("{error}"));
            assert!(!project.processes.is_empty(), "{} has no process", file.display());
            dir.file_name().unwrap().to_string_lossy().into_owned()
        })
        .collect();
    assert_eq!(
        names,
        ["alerts", "django", "fleet", "guarded", "jobs", "log-patterns", "node", "shop", "vite"]
    );
}

#[test]
fn the_example_of_log_patterns_has_some() {
    let dir = examples().into_iter().find(|dir| dir.ends_with("log-patterns")).unwrap();
    assert!(!load(&dir.join("ostler.toml")).unwrap().patterns.is_empty());
}

#[test]
fn every_key_is_shown_in_an_example() {
    let schema: Value = serde_json::from_str(&config_schema()).unwrap();
    let mut shown = BTreeSet::new();
    for dir in examples() {
        let text = std::fs::read_to_string(dir.join("ostler.toml")).unwrap();
        let value = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
        follow(&schema, &schema, "", &value, &mut shown);
    }
    let mut missing = keys_of(&schema, "");
    for (name, definition) in schema["definitions"].as_object().unwrap() {
        missing.extend(keys_of(definition, name));
    }
    missing.retain(|key| !shown.contains(key));
    assert!(missing.is_empty(), "no example shows {missing:?}");
}

fn keys_of(schema: &Value, table: &str) -> Vec<String> {
    let properties = schema["properties"].as_object();
    properties.into_iter().flatten().map(|(key, _)| format!("{table}.{key}")).collect()
}

/// Notes each key that a value has, with the table of the schema it belongs to.
fn follow(root: &Value, schema: &Value, table: &str, value: &Value, shown: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/definitions/")) {
        return follow(root, &root["definitions"][name], name, value, shown);
    }
    for list in ["allOf", "anyOf"] {
        for alternative in schema[list].as_array().into_iter().flatten() {
            follow(root, alternative, table, value, shown);
        }
    }
    for item in value.as_array().into_iter().flatten() {
        follow(root, &schema["items"], table, item, shown);
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(key) {
            Some(property) => {
                shown.insert(format!("{table}.{key}"));
                follow(root, property, table, value, shown);
            }
            None => follow(root, &schema["additionalProperties"], table, value, shown),
        }
    }
}

/// What README and comments of the examples promise about wrong values holds for each of them.
#[test]
fn an_example_with_a_slip_is_refused_with_its_place() {
    for dir in examples() {
        let file = dir.join("ostler.toml");
        let text = std::fs::read_to_string(&file).unwrap().replacen("command = ", "comand = ", 1);
        let error = load_text(&file, &text).unwrap_err();
        let problem = &error.problems()[0];
        assert_eq!(problem.hint.as_deref(), Some("did you mean `command`?"), "{error}");
        assert!(text.lines().nth(problem.line as usize - 1).unwrap().starts_with("comand"), "{error}");
    }
}
