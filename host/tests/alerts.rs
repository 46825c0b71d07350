//! Alerts of a running daemon: raised once, told to everybody who asks, waits or follows, over daemons and reloads.

mod common;

use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use common::{PATIENCE, eventually, until};

/// Says what it is told.
const PROCESS: &str = "[process.api]\ncommand = \"sh -c 'echo up; while read line; do echo \\\"$line\\\"; done'\"\nready = { log = \"up\" }\n";
const ALERTS: &str = "[alert.errors]\nlevel = \"error\"\nwindow = \"1h\"\n\
    [alert.slow]\nprocess = \"api\"\npattern = 'slow query'\nrate = \"3/1h\"\nwindow = \"1h\"\nmessage = \"look at it\"\n";

struct Project(common::Project);

impl Deref for Project {
    type Target = common::Project;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// A command that goes on, and the lines it prints.
struct Follower {
    child: Child,
    lines: Receiver<Value>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Follower {
    fn next(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).expect("an alert")
    }
}

impl Project {
    fn new(config: &str) -> Self {
        Self(common::Project::new(config))
    }

    fn configure(&self, config: &str) {
        self.write("ostler.toml", config);
    }

    fn say(&self, words: &str) {
        self.shown(&["send", "api", words], 0);
    }

    fn follow(&self, arguments: &[&str]) -> Follower {
        let mut child = self.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Follower { child, lines }
    }

    /// Returns how many came after each alert, by its number.
    fn counts(&self) -> Vec<(u64, u64)> {
        let alerts = self.json(&["alerts", "--json"])["alerts"].as_array().unwrap().clone();
        let number = |alert: &Value, key: &str| alert[key].as_u64().unwrap();
        alerts.iter().map(|alert| (number(alert, "id"), number(alert, "more"))).collect()
    }

    fn wait_for_counts(&self, wanted: &[(u64, u64)]) {
        until(&format!("{wanted:?}"), || self.counts() == wanted);
    }

    /// Calls a tool and returns its result.
    fn call(&self, tool: &str, arguments: Value) -> Value {
        let mut agent = self.agent(&[]);
        agent.initialize("2025-06-18");
        agent.call(tool, arguments)["structuredContent"].clone()
    }
}

#[test]
fn an_alert_is_told_once_to_everybody_and_by_every_daemon() {
    let project = Project::new(&format!("{PROCESS}{ALERTS}"));
    project.shown(&["start", "api", "--wait"], 0);
    assert!(project.shown(&["alerts"], 0).contains("no such alert was raised"));
    let follower = project.follow(&["alerts", "--follow", "--json"]);

    project.say("ERROR cart 12 is gone");
    let waited = project.shown(&["wait", "api", "--alert=errors"], 0);
    assert!(waited.contains("api errors: an event at error: "), "{waited}");
    project.say("ERROR cart 13 is gone");
    project.wait_for_counts(&[(1, 1)]);
    let first = follower.next();
    assert_eq!(
        (&first["id"], &first["name"], &first["process"]),
        (&json!(1), &json!("errors"), &json!("api"))
    );
    let ps = project.shown(&["ps"], 0);
    assert!(ps.contains("ALERTS") && ps.contains("errors"), "{ps}");
    let status = project.shown(&["status"], 0);
    assert!(status.contains("alert    api errors, 1 more since, quiet until"), "{status}");

    for _ in 0..3 {
        project.say("a slow query");
    }
    let waited = project.call("wait_for", json!({"name": "api", "until": "alert", "pattern": "slow"}));
    assert_eq!(waited["outcome"], "met", "{waited}");
    assert_eq!(waited["alert"], "slow: look at it; 3 lines that match within 1h: a slow query");
    assert_eq!(waited["hint"], "wait for the next one with since=alert:2");
    assert_eq!(follower.next()["id"], 2);
    let listed = project.call("list_processes", json!({}));
    assert_eq!(listed["processes"][0]["alerts"], json!(["errors", "slow"]));

    // In the log each stands once, as a line of Ostler's own that raises nothing.
    let logged = eventually("the alert in the log", || {
        let logged = project.shown(&["logs", "api", "--grep", "^alert "], 0);
        logged.contains("alert slow: ").then_some(logged)
    });
    assert_eq!(logged.matches("alert errors: an event at error: ").count(), 1, "{logged}");
    project.wait_for_counts(&[(1, 1), (2, 0)]);

    // The next daemon knows what was raised.
    project.crash();
    project.say("ERROR cart 14 is gone");
    project.wait_for_counts(&[(1, 2), (2, 0)]);
    assert!(project.shown(&["alerts", "api", "--since", "alert:1"], 0).contains("api slow: look at it; "));
    assert!(follower.lines.try_recv().is_err(), "told twice");
}

#[test]
fn alerts_change_with_the_configuration_and_nothing_is_restarted() {
    let project = Project::new(PROCESS);
    project.shown(&["start", "api", "--wait"], 0);
    let run = project.json(&["ps", "--json"])[0]["run"].clone();
    project.say("ERROR nobody asked for alerts");
    let refused = project.shown(&["wait", "api", "--alert"], 3);
    assert!(refused.contains("no alert is configured"), "{refused}");

    project.configure(&format!("{PROCESS}[alert.boom]\npattern = 'boom'\n"));
    let told = project.shown(&["reload-config"], 0);
    project.say("boom");
    let waited = project.shown(&["wait", "api", "--alert"], 0);
    assert!(waited.contains("api boom: a line that matches: boom"), "{told}{waited}");
    let refused = project.shown(&["wait", "api", "--alert=bom"], 3);
    assert!(refused.contains("there is no alert `bom`") && refused.contains("boom"), "{refused}");
    assert_eq!(project.json(&["ps", "--json"])[0]["run"], run);
    assert_eq!(project.counts(), [(1, 0)]);

    // Who waits for the next one is told that there cannot be one any more.
    project.shown(&["wait", "api", "--alert=boom"], 0);
    project.shown(&["stop", "api"], 0);
    let ended = project.call(
        "wait_for",
        json!({"name": "api", "until": "alert", "since": "alert:1", "timeout_seconds": 50}),
    );
    assert_eq!(ended["outcome"], "impossible", "{ended}");
    let audit = project.shown(&["logs", "--grep", "^alert "], 0);
    assert_eq!(audit.matches("alert boom").count(), 1, "{audit}");
}
