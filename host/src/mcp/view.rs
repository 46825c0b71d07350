//! Processes as an agent reads them, and the schemas of what tools give back.

use serde_json::{Map, Value, json};

use super::text::clean_within;
use crate::api::ProcessView;

/// Returns a process with only what is known and worth a word of it.
pub fn process(view: &ProcessView) -> Value {
    let mut object = Map::new();
    object.insert("name".to_owned(), view.name.as_str().into());
    object.insert("state".to_owned(), view.state.as_str().into());
    object.insert("ready".to_owned(), view.ready.into());
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            object.insert(name.to_owned(), value);
        }
    };
    add("pid", view.pid.map(Value::from));
    add("run", view.run.map(|run| run.0.into()));
    add("uptime_s", view.uptime_ms.map(|milliseconds| (milliseconds / 1000).into()));
    add("restarts", (view.restarts > 0).then(|| view.restarts.into()));
    add("exit", view.exit.map(|exit| exit.to_string().into()));
    // Where it listens, that says it all.
    add("port", view.port.filter(|port| !view.ports.contains(port)).map(Value::from));
    add("ports", (!view.ports.is_empty()).then(|| json!(view.ports.iter().take(PORTS).collect::<Vec<_>>())));
    add("status", view.status.as_deref().map(|status| clean_within(status, STATUS_TOKENS).into()));
    add("next", view.next.map(|next| next.to_string().into()));
    add(
        "alerts",
        (!view.alerts.is_empty()).then(|| json!(view.alerts.iter().take(ALERTS).collect::<Vec<_>>())),
    );
    Value::Object(object)
}

/// Tokens of what a process says of itself.
const STATUS_TOKENS: usize = 60;
/// Most alerts named of one process.
const ALERTS: usize = 5;
/// Most ports shown of one process.
const PORTS: usize = 20;

/// Returns the schema of a process.
pub fn process_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "state": {
                "type": "string",
                "enum": [
                    "stopped", "starting", "running", "ready", "unhealthy", "stopping", "backoff", "failed",
                    "exited",
                ],
            },
            "ready": {"type": "boolean"},
            "pid": {"type": "integer"},
            "run": {"type": "integer"},
            "uptime_s": {"type": "integer"},
            "restarts": {"type": "integer"},
            "exit": {"type": "string"},
            "ports": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["name", "state", "ready"],
    })
}

/// Returns the schema of a process in short; that of `list_processes` tells what it holds.
pub fn process_brief() -> Value {
    json!({"type": "object"})
}

/// Returns the schema of an array of strings.
pub fn strings() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

/// Returns the schema of a string.
pub fn string() -> Value {
    json!({"type": "string"})
}

/// Returns the schema of a boolean.
pub fn boolean() -> Value {
    json!({"type": "boolean"})
}

/// Returns the schema of a whole number.
pub fn integer() -> Value {
    json!({"type": "integer"})
}

/// Returns the schema of a string out of a closed set.
pub fn one_of(options: &[&str]) -> Value {
    json!({"type": "string", "enum": options})
}

/// Returns the output schema of a tool: fields that are always there, and fields that may be.
pub fn object(
    always: impl IntoIterator<Item = (&'static str, Value)>,
    maybe: impl IntoIterator<Item = (&'static str, Value)>,
) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema) in always {
        required.push(name);
        properties.insert(name.to_owned(), schema);
    }
    properties.extend(maybe.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    schema.insert("required".to_owned(), json!(required));
    schema
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::mcp) fn view(name: &str, state: &str) -> ProcessView {
        serde_json::from_value(json!({
            "name": name, "state": state, "ready": state == "ready", "restarts": 0, "ports": [],
            "pid": null, "run": null, "uptime_ms": null, "exit": null,
        }))
        .expect("a process")
    }

    #[test]
    fn a_process_says_only_what_there_is_to_say() {
        assert_eq!(
            process(&view("api", "stopped")),
            json!({"name": "api", "state": "stopped", "ready": false})
        );
        let running: ProcessView = serde_json::from_value(json!({
            "name": "api", "state": "ready", "ready": true, "restarts": 2, "ports": [8000],
            "pid": 41, "run": 3, "uptime_ms": 12_900, "exit": {"code": null, "signal": 9},
        }))
        .expect("a process");
        insta::assert_snapshot!(
            process(&running),
            @r#"{"exit":"killed by SIGKILL (9)","name":"api","pid":41,"ports":[8000],"ready":true,"restarts":2,"run":3,"state":"ready","uptime_s":12}"#
        );
    }

    #[test]
    fn the_schema_names_states_that_exist() {
        let schema = process_schema();
        let states = schema["properties"]["state"]["enum"].as_array().expect("an enum");
        for state in states {
            assert_eq!(&process(&view("api", state.as_str().unwrap()))["state"], state);
        }
    }
}
