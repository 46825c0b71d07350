//! Requests, builds and migrations as people and agents see them: of a running daemon, and a process that prints what
//! it is told to.

mod common;

use std::ops::Deref;
use std::time::Instant;

use serde_json::{Value, json};

use common::PATIENCE;

const CONFIG: &str =
    "[process.api]\ncommand = \"sh -c 'echo up; exec cat' manage.py\"\nready = { log = \"up\" }\n";

struct Project(common::Project);

impl Deref for Project {
    type Target = common::Project;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Project {
    fn new() -> Self {
        let project = Self(common::Project::new(CONFIG));
        project.shown(&["start", "api"]);
        project.shown(&["wait", "api"]);
        project
    }

    /// Returns what came out of a command that succeeds.
    fn shown(&self, arguments: &[&str]) -> String {
        self.0.shown(arguments, 0)
    }

    /// Has the process print lines.
    fn prints(&self, lines: &[&str]) {
        lines.iter().for_each(|line| drop(self.shown(&["send", "api", line])));
    }

    /// Asks until the answer is as it should be.
    fn until<T: std::fmt::Debug>(&self, ask: impl Fn() -> T, is_right: impl Fn(&T) -> bool) -> T {
        let begun = Instant::now();
        loop {
            let answer = ask();
            if is_right(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "{answer:?}");
        }
    }

    /// Calls a tool and returns its result.
    fn call(&self, tool: &str, arguments: Value) -> Value {
        let mut agent = self.agent(&["--toolsets", "core,processes"]);
        agent.initialize("2025-06-18");
        agent.call(tool, arguments)["structuredContent"].clone()
    }
}

#[test]
fn requests_are_counted_over_restarts_and_failing_ones_are_told() {
    let project = Project::new();
    let stats = || project.json(&["stats", "api", "--json"])["processes"][0]["requests"].clone();
    assert_eq!(stats(), Value::Null);
    project.prints(&[
        "GET /orders/17 200 12.5 ms - 30",
        "GET /orders/18?page=2 200 13 ms - 30",
        "POST /pay 500 250 ms - 30",
        "GET /none 404 1 ms - 3",
    ]);
    let requests = project.until(stats, |requests| requests["last_minute"]["count"] == 4);
    let minute = &requests["last_minute"];
    assert_eq!((&minute["errors"], &minute["client_errors"]), (&json!(1), &json!(1)), "{requests}");
    assert_eq!((&minute["error_percent"], &minute["timed"]), (&json!(25.0), &json!(4)), "{requests}");
    let p95 = minute["p95_ms"].as_f64().unwrap();
    assert!((p95 - 250.0).abs() <= 12.5, "{p95}");
    assert_eq!(
        (&requests["routes"][0]["route"], &requests["routes"][0]["count"]),
        (&json!("GET /orders/:id"), &json!(2))
    );

    let shown = project.shown(&["stats", "api"]);
    assert!(
        shown.contains("REQUESTS") && shown.contains("/min), 1 with 5xx (25%), 1 with 4xx, p50"),
        "{shown}"
    );
    assert!(project.shown(&["inspect", "api"]).contains("GET /orders/:id"));
    let hint = "1 of 4 requests of the last minute were answered with a status from 500 on (25 %), most of them POST /pay";
    assert!(project.shown(&["diagnose", "api"]).contains(hint));
    assert!(project.shown(&["health", "api"]).contains(hint));

    let told = &project.call("get_process_stats", json!({"name": "api"}))["processes"][0]["requests"];
    assert_eq!(told["last_minute"]["errors_5xx"], 1, "{told}");
    assert!(told["routes"][0].as_str().unwrap().starts_with("POST /pay: 1, 1 with 5xx, p95 2"), "{told}");
    let told = project.call("get_process_info", json!({"name": "api"}));
    assert_eq!(told["requests"]["last_15_minutes"]["count"], 4, "{told}");
    let told = project.call("diagnose_process", json!({"name": "api"}));
    assert!(told["hints"].to_string().contains(hint), "{told}");
    let told = project.call("check_process_health", json!({"name": "api"}));
    assert!(told["processes"][0]["doubts"].to_string().contains(hint), "{told}");

    // The run after that has answered nothing yet: what failed before speaks no more against it.
    project.shown(&["restart", "api"]);
    assert_eq!(stats()["last_15_minutes"]["count"], 4);
    assert!(!project.shown(&["diagnose", "api"]).contains("answered with a status"));
    project.prints(&["\"GET /a HTTP/1.1\" 200 -"]);
    let requests = project.until(stats, |requests| requests["last_15_minutes"]["count"] == 5);
    assert_eq!((&requests["run"]["count"], &requests["run"]["errors"]), (&json!(1), &json!(0)), "{requests}");
}

#[test]
fn migrations_failed_builds_and_taken_ports_are_told_until_a_reload() {
    let project = Project::new();
    let diagnosis = || project.json(&["diagnose", "api", "--json"])["hints"].to_string();
    project.prints(&[
        "You have 18 unapplied migration(s). Your project may not work properly.",
        "webpack 5.99.0 compiled with 2 errors in 467 ms",
    ]);
    let hints = project.until(diagnosis, |hints| hints.contains("its last build failed with 2 errors"));
    assert!(
        hints.contains("its database waits for 18 migrations: run `python manage.py migrate`"),
        "{hints}"
    );
    assert!(project.shown(&["health", "api"]).contains("its last build failed with 2 errors"));

    project.prints(&["webpack 5.99.0 compiled successfully in 400 ms"]);
    let hints = project.until(diagnosis, |hints| !hints.contains("its last build failed"));
    assert!(hints.contains("18 migrations"), "{hints}");
    project.prints(&["/srv/shop/views.py changed, reloading."]);
    project.until(diagnosis, |hints| !hints.contains("18 migrations"));
}

#[test]
fn the_holder_of_a_port_that_was_taken_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let project = Project::new();
    let config = format!(
        "[process.api]\ncommand = \"sh -c 'echo up; exec cat'\"\nready = {{ log = \"up\" }}\n\
         [process.web]\ncommand = \"sh -c 'echo Error: listen EADDRINUSE: address already in use :::{port} >&2; exit 1'\"\n\
         restart = {{ policy = \"never\" }}\n"
    );
    project.write("ostler.toml", &config);
    project.shown(&["reload-config"]);
    let _ = project.run(&["start", "web"]);
    let hints = project.until(
        || project.json(&["diagnose", "web", "--json"])["hints"].to_string(),
        |hints| hints.contains(&format!("port {port} is held by pid {}", std::process::id())),
    );
    assert!(hints.contains("stop it, or choose another port"), "{hints}");
}
