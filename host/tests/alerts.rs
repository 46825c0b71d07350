//! Alerts of a running daemon: raised once, told to everybody who asks, waits or follows, over daemons and reloads.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Says what it is told.
const PROCESS: &str = "[process.api]\ncommand = \"sh -c 'echo up; while read line; do echo \\\"$line\\\"; done'\"\nready = { log = \"up\" }\n";
const ALERTS: &str = "[alert.errors]\nlevel = \"error\"\nwindow = \"1h\"\n\
    [alert.slow]\nprocess = \"api\"\npattern = 'slow query'\nrate = \"3/1h\"\nwindow = \"1h\"\nmessage = \"look at it\"\n";
/// Longer than anything takes that is not stuck.
const LONG: Duration = Duration::from_secs(60);

struct Project {
    dir: TempDir,
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
        self.lines.recv_timeout(LONG).expect("an alert")
    }
}

impl Project {
    fn new(config: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("ost").tempdir_in("/tmp").unwrap();
        for part in ["project", "state", "run"] {
            fs::create_dir(dir.path().join(part)).unwrap();
        }
        let project = Self { dir };
        project.configure(config);
        project
    }

    fn configure(&self, config: &str) {
        fs::write(self.dir.path().join("project/ostler.toml"), config).unwrap();
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

    /// Says what came out, and fails when the exit code is another.
    fn shown(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {shown}");
        shown
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {arguments:?} {}", String::from_utf8_lossy(&output.stderr))
        })
    }

    fn say(&self, words: &str) {
        self.shown(&["send", "api", words], 0);
    }

    fn follow(&self, arguments: &[&str]) -> Follower {
        let mut child = self.ostler(arguments).stdout(Stdio::piped()).spawn().unwrap();
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
        let begun = Instant::now();
        loop {
            let counts = self.counts();
            if counts == wanted {
                return;
            }
            assert!(begun.elapsed() < LONG, "{counts:?}, not {wanted:?}");
        }
    }

    /// Calls a tool and returns its result.
    fn call(&self, tool: &str, arguments: Value) -> Value {
        let mut agent = self.ostler(&["mcp"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = agent.stdin.take().unwrap();
        let client = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        for message in [
            json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}),
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
            json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}),
        ] {
            writeln!(input, "{message}").unwrap();
        }
        let answer = BufReader::new(agent.stdout.take().unwrap())
            .lines()
            .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
            .find(|answer| answer["id"] == 2)
            .unwrap();
        drop(input);
        agent.wait().unwrap();
        answer["result"]["structuredContent"].clone()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
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
    let begun = Instant::now();
    let logged = loop {
        let logged = project.shown(&["logs", "api", "--grep", "^alert "], 0);
        if logged.contains("alert slow: ") {
            break logged;
        }
        assert!(begun.elapsed() < LONG, "{logged}");
    };
    assert_eq!(logged.matches("alert errors: an event at error: ").count(), 1, "{logged}");
    project.wait_for_counts(&[(1, 1), (2, 0)]);

    // The next daemon knows what was raised.
    let pid = project.json(&["status", "--json"])["daemon"]["pid"].as_i64().unwrap();
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
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
    let waiting = project.ostler(&["wait", "api", "--alert=boom"]).output();
    assert!(waiting.unwrap().status.success());
    project.shown(&["stop", "api"], 0);
    let ended = project.call(
        "wait_for",
        json!({"name": "api", "until": "alert", "since": "alert:1", "timeout_seconds": 50}),
    );
    assert_eq!(ended["outcome"], "impossible", "{ended}");
    let audit = project.shown(&["logs", "--grep", "^alert "], 0);
    assert_eq!(audit.matches("alert boom").count(), 1, "{audit}");
}
