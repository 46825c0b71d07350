//! What `ostler wait`, `up` and `health` say of processes that do not come up, or do not stay well.

mod common;

use serde_json::{Value, json};

use common::Project;

fn wait(project: &Project, name: &str, arguments: &[&str]) -> Value {
    project.told(&[&["wait", name, "--json"], arguments].concat())
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
    let waited = wait(&project, "exits", &[]);
    assert_eq!(waited["outcome"], "impossible");
    contains(&waited["reason"], "has failed: exit code 3");
    assert_eq!(tail(&waited), ["no database"]);

    project.run(&["start", "flaps"]);
    let waited = loop {
        let waited = wait(&project, "flaps", &[]);
        if waited["process"]["state"] == "failed" {
            break waited;
        }
    };
    contains(&waited["reason"], "exit code 4; restarted 2 times within 60s, then ended again");
    assert_eq!((&waited["process"]["restarts"], tail(&waited)), (&json!(2), vec!["no queue"]));

    assert_eq!(project.run(&["start", "missing"]).code, 1);
    let waited = wait(&project, "missing", &[]);
    assert_eq!(waited["outcome"], "impossible");
    contains(&waited["reason"], "has failed: program `no-such-program` was not found in PATH");

    project.run(&["start", "late"]);
    let waited = wait(&project, "late", &[]);
    assert_eq!(waited["outcome"], "impossible");
    contains(&waited["reason"], "not ready within 200ms: nothing accepts connections at 127.0.0.1:1");
    assert_eq!(tail(&waited), ["listening nowhere"]);

    project.run(&["start", "sick"]);
    let checked = loop {
        let checked = project.told(&["health", "sick", "--json"]);
        if checked[0]["process"]["state"] == "unhealthy" {
            break checked;
        }
    };
    assert_eq!(checked[0]["verdict"], "unhealthy");
    contains(&checked[0]["saw"], "ended with exit code 1: no heartbeat");
    let waited = wait(&project, "sick", &["--timeout", "100ms"]);
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
    assert_eq!(up.code, 1, "{told}");
    let expected = "not started, because `db`, which it depends on, is not ready within 200ms: \
                    nothing accepts connections at 127.0.0.1:1";
    assert!(told.split_whitespace().collect::<Vec<_>>().join(" ").contains(expected), "{told}");
    let views = project.told(&["ps", "--json"]);
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
        project.ok(&["start", name]);
    }
    let shown = project.ok(&["health"]);
    let row = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(
        row("well").contains("healthy") && row("well").contains("ended with exit code 0: pong"),
        "{shown}"
    );
    assert!(row("plain").contains("unchecked"), "{shown}");
    assert!(row("down").contains("has not been started"), "{shown}");
    // Who names it wants it up.
    assert_eq!(project.run(&["health", "down"]).code, 1);
    assert_eq!(project.run(&["health", "nobody"]).code, 3);

    let mut agent = project.agent(&["--toolsets", "processes"]);
    agent.initialize("2025-06-18");
    let answer = agent.ok("check_process_health", json!({"name": "well"}));
    let checked = &answer["processes"][0];
    assert_eq!((&checked["health"], &checked["name"]), (&json!("healthy"), &json!("well")), "{answer}");
    contains(&checked["saw"], "exit code 0: pong");
    assert_eq!(agent.leave(), Some(0));
}
