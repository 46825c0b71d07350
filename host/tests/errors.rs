//! Kinds of errors as people and agents see them, of a running daemon and a process that prints a trace when it is told.

mod common;

use serde_json::{Value, json};

use common::{Project, until};

const TRACE: &str = "\
Traceback (most recent call last):
  File \"/usr/lib/python3.13/site-packages/flask/app.py\", line 9, in dispatch
    return view()
  File \"shop/views.py\", line 12, in cart
    raise ValueError(\"cart 12\")
ValueError: cart 12 is gone";

/// A process that prints a trace for each line of input.
const CONFIG: &str = r#"
[process.api]
command = "sh -c 'echo up; while read line; do cat trace.txt >&2; done'"
ready = { log = "up" }
"#;

fn project() -> Project {
    let project = Project::new(CONFIG);
    project.write("trace.txt", &format!("{TRACE}\n"));
    project
}

/// Has the process print its trace, and waits until that is known as an error of this run.
fn happened(project: &Project) {
    project.shown(&["send", "api", "again"], 0);
    let known = || project.json(&["errors", "api", "--since", "restart", "--json"])["errors"] != json!([]);
    until("an error is known", known);
}

/// Calls a tool and returns its result.
fn call(project: &Project, tool: &str, arguments: Value) -> Value {
    let mut agent = project.agent(&["--toolsets", "core,logs"]);
    agent.initialize("2025-06-18");
    agent.call(tool, arguments)
}

#[test]
fn an_error_is_listed_resolved_and_told_as_regressed_when_it_comes_again() {
    let project = project();
    project.shown(&["start", "api"], 0);
    project.shown(&["wait", "api"], 0);
    assert!(project.shown(&["errors"], 0).contains("there are no such errors"));
    happened(&project);

    let errors = project.json(&["errors", "api", "--since", "restart", "--json"]);
    let error = &errors["errors"][0];
    assert_eq!(
        (&error["kind"], &error["count"], &error["state"]),
        (&json!("ValueError"), &json!(1), &json!("open"))
    );
    assert_eq!((&error["place"], &error["since"]["new"]), (&json!("shop/views.py:12 in cart"), &json!(true)));
    assert_eq!(error["trend"].as_array().unwrap().len(), 24);
    let id = error["id"].as_str().unwrap();
    let table = project.shown(&["errors"], 0);
    assert!(
        table.contains(id) && table.contains("ValueError: cart 12 is gone (shop/views.py:12 in cart)"),
        "{table}"
    );
    assert!(project.shown(&["errors", "show", &id[..5]], 0).contains("raise ValueError"));
    let diagnosis = project.shown(&["diagnose", "api"], 0);
    assert!(diagnosis.contains("1 new kind of errors since this start; the newest"), "{diagnosis}");

    // The text is that of the log, without the frames of libraries.
    let latest = project.shown(&["errors", "latest", "api"], 0);
    assert!(latest.contains("1 frame of libraries left out") && latest.contains("in cart"), "{latest}");
    assert!(project.shown(&["errors", "latest", "--full"], 0).contains("flask/app.py"));
    let reply = call(&project, "get_latest_errors", json!({"name": "api"}));
    let text = reply["structuredContent"]["errors"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("1 frame of libraries left out") && text.ends_with("ValueError: cart 12 is gone"),
        "{text}"
    );

    let reply = call(&project, "mark_error_resolved", json!({"id": id, "note": "pinned it"}));
    assert_eq!(reply["structuredContent"]["error"]["state"], "resolved", "{reply}");
    assert!(project.shown(&["errors"], 0).contains("there are no such errors"));
    assert!(project.shown(&["errors", "--all"], 0).contains("resolved"));

    // In a run that begins afterwards it happens again.
    project.shown(&["restart", "api"], 0);
    project.shown(&["wait", "api"], 0);
    happened(&project);
    let reply = call(&project, "get_errors", json!({"since": "restart"}));
    let error = &reply["structuredContent"]["errors"][0];
    assert_eq!((&error["state"], &error["note"]), (&json!("regressed"), &json!("pinned it")), "{reply}");
    assert_eq!(
        (&error["count"], &error["since"], &error["new"]),
        (&json!(2), &json!("1"), &Value::Null),
        "{reply}"
    );

    assert!(project.shown(&["errors", "resolve", id], 0).contains(" resolved: ValueError"));
    assert!(project.shown(&["errors", "reopen", &id[..4], "--note", "no"], 0).contains(" open: ValueError"));
    let shown = project.json(&["errors", "show", id, "--json"]);
    let by = shown["changed"]["by"].as_str().unwrap();
    assert!(by.starts_with("cli") && shown["changed"]["note"] == "no", "{shown}");
}

#[test]
fn what_makes_no_sense_is_answered_with_what_would() {
    let project = project();
    project.shown(&["ps"], 0);
    for (arguments, code, words) in [
        (&["errors", "resolve", "abcdef"][..], 3, "there is no kind of error `abcdef`"),
        (&["errors", "show", "x"], 3, "get_errors list their ids"),
        (&["errors", "nobody"], 3, "nobody"),
        (&["errors", "--since", "yesterday"], 2, "file:PATH"),
        (&["errors", "--since", "run:x"], 2, "run:7"),
        (&["errors", "--since", "change"], 3, "no watch has restarted"),
        (&["errors", "--since", "file:../state"], 3, "outside of the project"),
        (&["errors", "--state", "broken"], 2, "open, resolved and regressed"),
        (&["errors", "-n", "0"], 2, "between 1 and"),
    ] {
        let shown = project.shown(arguments, code);
        assert!(shown.contains(words), "{arguments:?}: {shown}");
    }
    assert!(project.shown(&["errors", "--since", "file:trace.txt"], 0).contains("no such errors"));
    let refused = call(&project, "mark_error_resolved", json!({"id": "abcdef"}));
    assert_eq!(refused["isError"], true);
}
