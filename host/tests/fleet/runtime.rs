//! Processes and groups that agents add while the daemon runs.

use serde_json::json;

use crate::harness::{Project, lives, speaker, until};

#[test]
fn an_agent_adds_a_process_where_there_is_no_configuration() {
    let project = Project::bare();
    let mut agent = project.agent();
    let added = agent.ok(
        "add_process",
        json!({"name": "worker", "command": "echo hello $WHO; exec cat", "shell": true, "env": ["WHO=world"], "ready": "log:^hello"}),
    );
    let pid = added["process"]["pid"].as_i64().unwrap();
    let waited = agent.ok("wait_for", json!({"name": "worker"}));
    assert_eq!(waited["outcome"], "met", "{waited}");
    let lines =
        agent.ok("get_logs", json!({"name": "worker", "since": added["next_cursor"]}))["lines"].to_string();
    assert!(lines.contains("hello world"), "{lines}");
    let again = agent.ok(
        "add_process",
        json!({"name": "worker", "command": "echo hello $WHO; exec cat", "shell": true, "env": ["WHO=world"], "ready": "log:^hello"}),
    );
    assert_eq!((&again["existed"], &again["process"]["pid"]), (&json!(true), &json!(pid)));
    let told = agent.failed("add_process", json!({"name": "worker", "command": "cat"}));
    assert!(told.contains("already") && told.contains("remove_process"), "{told}");

    // What it says to write into the file to keep it leaves it as it is.
    project.write(added["keep"].as_str().unwrap());
    assert_eq!(project.ok(&["reload-config"]), "nothing has changed\n");
    assert_eq!(project.pid_of("worker"), pid);
    let told = agent.failed("remove_process", json!({"name": "worker"}));
    assert!(told.contains("ostler.toml"), "{told}");
}

#[test]
fn what_was_added_can_be_removed_and_nothing_else_can() {
    let project = Project::up(&speaker("api"));
    let mut agent = project.agent();
    agent.ok("add_process", json!({"name": "worker", "command": "sleep 1000"}));
    let pid = project.pid_of("worker");
    let removed = agent.ok("remove_process", json!({"name": "worker"}));
    assert_eq!(removed["was_running"], true, "{removed}");
    assert!(!lives(pid));
    assert_eq!(project.names(), ["api"]);
    let told = agent.failed("remove_process", json!({"name": "api"}));
    assert!(told.contains("[process.api]"), "{told}");
    project.pid_of("api");
}

#[test]
fn what_is_added_waits_for_a_start_where_it_is_told_to() {
    let project = Project::up(&speaker("api"));
    project.ok(&["add", "idle", "--no-start", "--env", "A=b", "--", "sh", "-c", "echo it is $A; exec cat"]);
    assert_eq!(project.view("idle").unwrap()["state"], "stopped");
    project.ok(&["start", "idle"]);
    project.ok(&["wait", "idle", "--log", "^it is b$"]);
}

#[test]
fn what_makes_no_sense_is_not_added() {
    let project = Project::up(&speaker("api"));
    let mut agent = project.agent();
    for (arguments, expected) in [
        (json!({"name": "x", "command": "a | b"}), "needs a shell"),
        (json!({"name": "x#2", "command": "a"}), "is not a name"),
        (json!({"name": "../x", "command": "a"}), "is not a name"),
        (json!({"name": "api", "command": "a"}), "ostler.toml"),
        (json!({"name": "x", "command": "a", "env": ["secret"]}), "NAME=value"),
        (json!({"name": "x", "command": "a", "ready": "nowhere"}), "is not an address"),
    ] {
        let told = agent.failed("add_process", arguments);
        assert!(told.contains(expected) && !told.contains("secret"), "{told}");
    }
    let told = agent.failed("add_process", json!({"name": "x", "command": "no-such-program-anywhere"}));
    assert!(told.contains("added all the same"), "{told}");
    assert_eq!(project.names(), ["api", "x"]);
}

#[test]
fn an_added_process_outlives_a_killed_daemon_and_can_still_be_removed() {
    let project = Project::up(&speaker("api"));
    project.ok(&["add", "worker", "--", "sleep", "1000"]);
    let pid = project.pid_of("worker");
    project.crash();
    assert_eq!(project.pid_of("worker"), pid);
    project.ok(&["remove", "worker"]);
    until("it is gone", || !lives(pid));
    assert_eq!(project.names(), ["api"]);
}

#[test]
fn an_agent_makes_and_uses_a_group() {
    let project = Project::bare();
    project.write(&["a", "b", "c"].map(speaker).concat());
    let mut agent = project.agent();
    agent.ok("create_group", json!({"group": "pair", "names": ["b", "a"]}));
    let changed = agent.ok("add_to_group", json!({"group": "pair", "names": ["c", "a"]}));
    assert_eq!(changed["group"]["members"], json!(["b", "a", "c"]));
    let started = agent.ok("start_group", json!({"group": "pair"}));
    let names: Vec<&str> =
        started["processes"].as_array().unwrap().iter().map(|view| view["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["b", "a", "c"]);
    let listed = agent.ok("list_processes", json!({}));
    assert_eq!(listed["groups"], json!(["pair: b, a, c"]));
    agent.ok("stop_group", json!({"group": "pair"}));
    for name in ["a", "b", "c"] {
        assert_eq!(project.view(name).unwrap()["state"], "stopped");
    }
    let told = agent.failed("start_group", json!({"group": "pear"}));
    assert!(told.contains("the groups are: pair"), "{told}");
}
