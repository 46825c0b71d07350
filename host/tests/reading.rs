//! Reading the log as people and agents do: filters on fields, counts, waiting for lines, and summaries, of a running
//! daemon and a process that prints what it is told to.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest wait for anything; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A speaker that says what it hears, and another.
const CONFIG: &str = r#"
[process.api]
command = "sh -c 'echo listening; exec cat'"
ready = { log = "listening" }

[process.web]
command = "sh -c 'echo listening; exec cat'"
ready = { log = "listening" }
"#;

/// What `api` says in most tests.
const LINES: [&str; 5] = [
    r#"{"level":"info","msg":"order 7 done","status":200,"ms":12,"user":{"id":7}}"#,
    r#"{"level":"error","msg":"order 8 failed","status":500,"ms":340,"user":{"id":8}}"#,
    "level=info msg=\"order 9 done\" status=200 ms=90 path=/api/orders",
    "the status of 500 is not a field",
    "the end",
];

/// A project with a daemon of its own.
struct Project {
    dir: TempDir,
}

impl Project {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("ost").tempdir_in("/tmp").unwrap();
        for part in ["project", "state", "run"] {
            fs::create_dir(dir.path().join(part)).unwrap();
        }
        let project = Self { dir };
        project.configure(CONFIG);
        project
    }

    fn configure(&self, config: &str) {
        fs::write(self.dir.path().join("project/ostler.toml"), config).unwrap();
    }

    /// Starts both processes, and has `api` say its lines.
    fn talking() -> Self {
        let project = Self::new();
        project.ok(&["start", "api", "web", "--wait"]);
        project.say("api", &LINES.join("\n"));
        project.ok(&["wait", "api", "--log", "^the end$"]);
        project
    }

    fn say(&self, process: &str, text: &str) {
        self.ok(&["send", process, text]);
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

    /// Runs a command that is to succeed, and returns what it printed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// Returns the texts of the lines that `ostler logs` shows.
    fn texts(&self, arguments: &[&str]) -> Vec<String> {
        let shown = self.ok(&[&["logs", "--json"], arguments].concat());
        let text =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
        shown.lines().map(text).collect()
    }

    fn agent(&self) -> Agent {
        let mut child = self
            .ostler(&["mcp", "--toolsets", "core,logs,processes"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut agent = Agent { child, input, output, last_id: 0 };
        let client = json!({"name": "t", "version": "1"});
        agent.ask(
            "initialize",
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}),
        );
        agent.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        agent
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
    }
}

/// A conversation over MCP.
struct Agent {
    child: std::process::Child,
    input: Option<std::process::ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
    last_id: u64,
}

impl Agent {
    fn write(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        self.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "it ended before it answered");
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == id {
                return answer["result"].clone();
            }
        }
    }

    /// Calls a tool and returns what it gives back.
    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let result = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        assert_ne!(result["isError"], true, "{tool}: {result}");
        result["structuredContent"].clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.input.take();
        let _ = self.child.wait();
    }
}

#[test]
fn lines_are_filtered_by_their_fields_and_counted() {
    let project = Project::talking();
    assert_eq!(project.texts(&["--field", "status=500"]), [LINES[1]]);
    assert_eq!(project.texts(&["--field", "ms>=90"]), [LINES[1], LINES[2]]);
    assert_eq!(project.texts(&["--field", "status", "--field", "ms<100"]), [LINES[0], LINES[2]]);
    assert_eq!(project.texts(&["--field", "user.id=7", "-g", "done"]), [LINES[0]]);
    assert_eq!(project.texts(&["--field", "path~^/api"]), [LINES[2]]);
    assert_eq!(project.texts(&["web", "--field", "status"]), [""; 0]);
    // Pages are walked to their end, whatever is left out of them.
    let cursor = project.run(&["logs", "-n", "1", "--show-cursor", "--field", "status"]);
    let cursor = String::from_utf8(cursor.stderr).unwrap();
    let cursor = cursor.rsplit_once("cursor ").expect("a cursor").1.trim().to_owned();
    project.say("api", "ms=7\nms=8\nthe very end");
    project.ok(&["wait", "api", "--log", "^the very end$"]);
    assert_eq!(project.texts(&["--since", &cursor, "--field", "ms"]), ["ms=7", "ms=8"]);

    let counts = project.json(&["logs", "--count", "--field", "status", "--json"]);
    assert_eq!((&counts["lines"], &counts["counts"][0]["process"]), (&json!(3), &json!("api")), "{counts}");
    assert_eq!(counts["counts"][0]["levels"]["error"], 1, "{counts}");
    let table = project.ok(&["logs", "--count"]);
    assert!(table.contains("PROCESS") && table.contains("web") && table.contains("all"), "{table}");

    let refused = project.run(&["logs", "--field", "ms>="]);
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("`ms>=` is no filter of fields: nothing stands behind `>=`"), "{complaint}");
    assert!(complaint.contains("status=500"), "{complaint}");
}

#[test]
fn an_agent_searches_all_processes_and_walks_in_both_directions() {
    let project = Project::talking();
    project.say("web", "status=500 in web\nlast of web");
    project.ok(&["wait", "web", "--log", "last of web"]);
    let mut agent = project.agent();
    let found = agent.call("get_logs", json!({"fields": ["status=500"], "name": "api"}));
    assert_eq!(found["lines"].as_array().unwrap().len(), 1, "{found}");

    let found = agent.call("search_logs", json!({"fields": ["status=500"], "before": 1, "after": 1}));
    assert_eq!((&found["matched"], &found["more"]), (&json!(2), &json!(false)), "{found}");
    let of = |found: &Value, name: &str| -> Vec<String> {
        let processes = found["processes"].as_array().unwrap();
        let process = processes.iter().find(|process| process["name"] == name).unwrap_or(&Value::Null);
        let lines = process["lines"].as_array().cloned().unwrap_or_default();
        lines.iter().map(|line| line.as_str().unwrap().split_once("| ").unwrap().1.to_owned()).collect()
    };
    assert_eq!(of(&found, "api"), [LINES[0], LINES[1], LINES[2]], "{found}");
    assert_eq!(of(&found, "web"), ["listening", "status=500 in web", "last of web"], "{found}");

    // The newest first: further back until there is nothing older.
    let (mut back, mut until) = (Vec::new(), Value::Null);
    loop {
        let page = agent.call("search_logs", json!({"contains": "order", "limit": 1, "until": until}));
        back.extend(of(&page, "api"));
        until = page["older_cursor"].clone();
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(back, [LINES[2], LINES[1], LINES[0]]);
    // And on from the oldest.
    let mut page = agent.call("search_logs", json!({"contains": "order", "limit": 1, "order": "oldest"}));
    let mut onward = of(&page, "api");
    while page["more"] == true {
        page =
            agent.call("search_logs", json!({"contains": "order", "limit": 1, "since": page["next_cursor"]}));
        onward.extend(of(&page, "api"));
    }
    assert_eq!(onward, [LINES[0], LINES[1], LINES[2]]);
    let nothing = agent.call("search_logs", json!({"grep": "never said"}));
    assert_eq!((&nothing["matched"], &nothing["processes"]), (&json!(0), &json!([])));
    let both =
        agent.ask("tools/call", json!({"name": "search_logs", "arguments": {"grep": "a", "contains": "a"}}));
    assert_eq!(both["isError"], true, "{both}");
}

#[test]
fn an_agent_waits_for_lines_and_gets_each_of_them_once() {
    let project = Project::talking();
    let mut agent = project.agent();
    let idle = agent.call("tail_logs", json!({"wait_s": 1}));
    assert_eq!((&idle["lines"], &idle["more"]), (&json!([]), &json!(false)), "{idle}");
    assert!(idle["hint"].as_str().unwrap().contains("since=next_cursor"), "{idle}");
    let again = agent.call("tail_logs", json!({"wait_s": 0, "since": idle["next_cursor"]}));
    assert_eq!((&again["lines"], &again["next_cursor"]), (&json!([]), &idle["next_cursor"]), "{again}");

    // The call is on its way, or waits already, while these are said; others are said in between.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..6 {
                project.say("api", &format!("wanted {number}\nnot this {number}"));
                project.say("web", &format!("wanted of web {number}"));
            }
        });
        let (mut cursor, mut got) = (idle["next_cursor"].clone(), Vec::new());
        let begun = Instant::now();
        while got.len() < 6 && begun.elapsed() < PATIENCE {
            let arguments =
                json!({"names": ["api"], "grep": "^wanted", "since": cursor, "wait_s": 20, "limit": 2});
            let reply = agent.call("tail_logs", arguments);
            cursor = reply["next_cursor"].clone();
            let lines = reply["lines"].as_array().unwrap().clone();
            got.extend(
                lines.iter().map(|line| line.as_str().unwrap().split_once("| ").unwrap().1.to_owned()),
            );
        }
        assert_eq!(got, (0..6).map(|number| format!("wanted {number}")).collect::<Vec<_>>());
    });
    // On the command line: what was said is there at once, what comes is waited for.
    let cursor = idle["next_cursor"].as_str().unwrap();
    let shown = project.texts(&["--since", cursor, "--wait", "20s", "-n", "3", "-g", "wanted", "web"]);
    assert_eq!(shown, ["wanted of web 0", "wanted of web 1", "wanted of web 2"]);
    assert_eq!(project.texts(&["--wait", "0s"]), [""; 0]);
    assert_eq!(project.run(&["logs", "--wait", "2m"]).status.code(), Some(2));
}

#[test]
fn a_stretch_of_the_log_is_summed_up() {
    let project = Project::talking();
    for number in 0..9 {
        project.say("web", &format!("INFO served /orders/{number} in {number} ms"));
    }
    project.ok(&["wait", "web", "--log", "orders/8 "]);
    let summary = project.json(&["summary", "--json"]);
    let names: Vec<&str> =
        summary["processes"].as_array().unwrap().iter().map(|one| one["process"].as_str().unwrap()).collect();
    // Who has errors comes first.
    assert_eq!(names, ["api", "web"], "{summary}");
    let (api, web) = (&summary["processes"][0], &summary["processes"][1]);
    assert_eq!((&api["levels"]["error"], &web["lines"]), (&json!(1), &json!(10)), "{summary}");
    assert_eq!(web["bytes"], 9 + 9 * "INFO served /orders/0 in 0 ms".len(), "{summary}");
    let trend = web["trend"].as_array().unwrap();
    assert_eq!(trend.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 10, "{summary}");
    let top = &summary["messages"][0];
    assert_eq!(
        (&top["template"], &top["count"]),
        (&json!("INFO served <path> in <n> ms"), &json!(9)),
        "{summary}"
    );
    let order =
        summary["messages"].as_array().unwrap().iter().find(|one| one["template"] == "order <n> done");
    assert_eq!(order.map(|order| &order["count"]), Some(&json!(2)), "{summary}");
    // The cursor stands in front of the last one.
    let sample = project.texts(&["--since", top["cursor"].as_str().unwrap(), "-n", "1"]);
    assert_eq!(sample, ["INFO served /orders/8 in 8 ms"]);
    let shown = project.ok(&["summary", "web"]);
    assert!(shown.contains("INFO served <path> in <n> ms") && !shown.contains("api"), "{shown}");

    // Since its restart it has said nothing but one line; from a cursor on nothing at all.
    project.ok(&["restart", "web", "--wait"]);
    let summary = project.json(&["summary", "web", "--since", "restart", "--json"]);
    assert_eq!(summary["processes"][0]["lines"], 1, "{summary}");
    let cursor = summary["cursor"].as_str().unwrap();
    let nothing = project.json(&["summary", "--since", cursor, "--json"]);
    assert_eq!((&nothing["processes"], &nothing["lines"]), (&json!([]), &json!(0)), "{nothing}");

    let mut agent = project.agent();
    let told = agent.call("get_log_summary", json!({"names": ["api"]}));
    assert_eq!(told["processes"][0]["levels"]["error"], 1, "{told}");
    assert!(
        told["messages"].as_array().unwrap().iter().any(|one| one["message"] == "order <n> done"),
        "{told}"
    );
    let bad =
        agent.ask("tools/call", json!({"name": "get_log_summary", "arguments": {"since": "yesterday"}}));
    assert_eq!(bad["isError"], true, "{bad}");
}

#[test]
fn a_change_of_how_much_log_is_kept_is_told() {
    let project = Project::new();
    project.ok(&["ps"]);
    let mut agent = project.agent();
    project.configure(&format!("{CONFIG}\n[logs]\nkeep_for = \"3d\"\n"));
    // Each time the daemon may have taken the change up by itself before it is asked.
    let (begun, mut days) = (Instant::now(), 3);
    let mut told = || {
        days += 1;
        project.configure(&format!("{CONFIG}\n[logs]\nkeep_for = \"{days}d\"\n"));
        days
    };
    while told() > 0 && !project.ok(&["reload-config"]).contains("changed how much log is kept") {
        assert!(begun.elapsed() < PATIENCE, "it is not told");
    }
    while told() > 0 && agent.call("reload_config", json!({}))["settings"] != json!(["how much log is kept"])
    {
        assert!(begun.elapsed() < 2 * PATIENCE, "agents are not told");
    }
}
