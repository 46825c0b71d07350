//! What `ostler wait`, `up` and `health` say of processes that do not come up, or do not stay well.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A project with a daemon of its own.
struct Project {
    dir: TempDir,
}

impl Project {
    fn new(config: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("ost").tempdir_in("/tmp").unwrap();
        for part in ["project", "state", "run"] {
            fs::create_dir(dir.path().join(part)).unwrap();
        }
        fs::write(dir.path().join("project/ostler.toml"), config).unwrap();
        Self { dir }
    }

    fn ostler(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ostler"));
        command
            .args(arguments)
            .current_dir(self.dir.path().join("project"))
            .env("OSTLER_STATE_DIR", self.dir.path().join("state"))
            .env("XDG_RUNTIME_DIR", self.dir.path().join("run"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.ostler(arguments).output().unwrap()
    }

    /// Runs a command that prints JSON, whatever its exit code.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {arguments:?} {}", String::from_utf8_lossy(&output.stderr))
        })
    }

    fn wait(&self, name: &str, arguments: &[&str]) -> Value {
        self.json(&[&["wait", name, "--json"], arguments].concat())
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
    }
}

fn contains(value: &Value, text: &str) {
    assert!(value.as_str().is_some_and(|found| found.contains(text)), "{text} is not in {value}");
}

fn tail(waited: &Value) -> Vec<&str> {
    waited["tail"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect()
}

#[test]
fn a_wait_in_vain_returns_the_reason_and_the_last_lines() {
    let project = Project::new(
        r#"
        [process.exits]
        command = "sh -c 'echo no database >&2; exit 3'"
        restart = "never"
        ready = { tcp = "127.0.0.1:1" }

        [process.flaps]
        command = "sh -c 'echo no queue >&2; exit 4'"
        restart = { policy = "always", backoff = "1ms..2ms", max = 2 }

        [process.missing]
        command = "no-such-program --now"

        [process.late]
        command = "sh -c 'echo listening nowhere; exec sleep 1000'"
        ready = { tcp = "127.0.0.1:1", timeout = "200ms" }

        [process.sick]
        command = "sh -c 'echo up; exec sleep 1000'"
        ready = { log = "up" }
        health = { exec = ["sh", "-c", "echo no heartbeat; exit 1"], every = "100ms", failures = 2, restart = false }
        "#,
    );
    project.run(&["start", "exits"]);
    let waited = project.wait("exits", &[]);
    assert_eq!(waited["outcome"], "impossible");
    contains(&waited["reason"], "has failed: exit code 3");
    assert_eq!(tail(&waited), ["no database"]);

    project.run(&["start", "flaps"]);
    let waited = loop {
        let waited = project.wait("flaps", &[]);
        if waited["process"]["state"] == "failed" {
            break waited;
        }
    };
    contains(&waited["reason"], "exit code 4; restarted 2 times within 60s, then ended again");
    assert_eq!((&waited["process"]["restarts"], tail(&waited)), (&json!(2), vec!["no queue"]));

    assert_eq!(project.run(&["start", "missing"]).status.code(), Some(1));
    let waited = project.wait("missing", &[]);
    assert_eq!(waited["outcome"], "impossible");
    contains(&waited["reason"], "has failed: program `no-such-program` was not found in PATH");

    project.run(&["start", "late"]);
    let waited = project.wait("late", &[]);
    assert_eq!(waited["outcome"], "impossible");
    contains(&waited["reason"], "not ready within 200ms: nothing accepts connections at 127.0.0.1:1");
    assert_eq!(tail(&waited), ["listening nowhere"]);

    project.run(&["start", "sick"]);
    let checked = loop {
        let checked = project.json(&["health", "sick", "--json"]);
        if checked[0]["process"]["state"] == "unhealthy" {
            break checked;
        }
    };
    assert_eq!(checked[0]["verdict"], "unhealthy");
    contains(&checked[0]["saw"], "ended with exit code 1: no heartbeat");
    let waited = project.wait("sick", &["--timeout", "100ms"]);
    assert_eq!(waited["outcome"], "timed-out");
    contains(
        &waited["reason"],
        "it runs but is not healthy: health check failed 2 times: `sh -c echo no heartbeat",
    );
    assert_eq!(tail(&waited), ["up"]);
}

#[test]
fn a_dependency_that_never_gets_ready_is_told_with_what_was_seen() {
    let project = Project::new(
        r#"
        [process.db]
        command = "sleep 1000"
        ready = { tcp = "127.0.0.1:1", timeout = "200ms" }

        [process.api]
        command = "sleep 1000"
        depends_on = { db = "ready" }
        "#,
    );
    let up = project.run(&["up", "-d"]);
    let told = [up.stdout, up.stderr].concat();
    let told = String::from_utf8(told).unwrap();
    assert_eq!(up.status.code(), Some(1), "{told}");
    let expected = "not started, because `db`, which it depends on, is not ready within 200ms: \
                    nothing accepts connections at 127.0.0.1:1";
    assert!(told.split_whitespace().collect::<Vec<_>>().join(" ").contains(expected), "{told}");
    let views = project.json(&["ps", "--json"]);
    let states: Vec<_> = views.as_array().unwrap().iter().map(|view| &view["state"]).collect();
    assert_eq!(states, ["unhealthy", "stopped"].map(Value::from).iter().collect::<Vec<_>>(), "{views}");
}

#[test]
fn health_is_told_to_people_programs_and_agents() {
    let project = Project::new(
        r#"
        [process.well]
        command = "sleep 1000"
        health = { exec = ["sh", "-c", "echo pong"], every = "1h" }

        [process.plain]
        command = "sleep 1000"

        [process.down]
        command = "sleep 1000"
        ready = { log = "never" }
        "#,
    );
    for name in ["well", "plain"] {
        assert!(project.run(&["start", name]).status.success());
    }
    let checked = project.run(&["health"]);
    assert_eq!(checked.status.code(), Some(0));
    let shown = String::from_utf8(checked.stdout).unwrap();
    let row = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(
        row("well").contains("healthy") && row("well").contains("ended with exit code 0: pong"),
        "{shown}"
    );
    assert!(row("plain").contains("unchecked"), "{shown}");
    assert!(row("down").contains("has not been started"), "{shown}");
    // Who names it wants it up.
    assert_eq!(project.run(&["health", "down"]).status.code(), Some(1));
    assert_eq!(project.run(&["health", "nobody"]).status.code(), Some(3));

    let mut agent = project
        .ostler(&["mcp", "--toolsets", "processes"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = agent.stdin.take().unwrap();
    let client = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let call = json!({"name": "check_process_health", "arguments": {"name": "well"}});
    for message in [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}),
    ] {
        writeln!(input, "{message}").unwrap();
    }
    let answers = BufReader::new(agent.stdout.take().unwrap());
    let answer = answers
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .find(|answer| answer["id"] == 2)
        .unwrap();
    let checked = &answer["result"]["structuredContent"]["processes"][0];
    assert_eq!((&checked["health"], &checked["name"]), (&json!("healthy"), &json!("well")), "{answer}");
    contains(&checked["saw"], "exit code 0: pong");
    drop(input);
    agent.wait().unwrap();
}
