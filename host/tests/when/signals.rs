//! `ostler signal`, `ostler reload`, stop commands, and the tools of agents for them.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use super::harness::Project;

const TRAPS: &str = r#"
[process.api]
command = "trap 'echo got usr1' USR1; trap 'echo got hup' HUP; echo up; while :; do sleep 0.05; done"
shell = true
ready = { log = "^up" }
reload = "SIGHUP"
restart = { policy = "on-failure", backoff = "10ms..10ms" }
"#;

#[test]
fn signals_go_by_name_or_number_and_a_kill_leads_to_the_restart_policy() {
    let project = Project::new(TRAPS);
    project.ok(&["up", "-d"]);
    project.ok(&["wait", "api"]);
    let told = project.ok(&["signal", "api", "usr1"]);
    assert!(told.contains("SIGUSR1 sent to its main process"), "{told}");
    project.ok(&["wait", "api", "--log", "got usr1"]);
    project.ok(&["signal", "api", "1"]);
    project.ok(&["wait", "api", "--log", "got hup"]);

    let first = project.process("api")["pid"].as_i64().unwrap();
    let told = project.ok(&["signal", "api", "SIGKILL"]);
    assert!(told.contains("SIGKILL sent to ") && told.contains("process"), "{told}");
    let view = project.until("api", |view| view["pid"].as_i64().is_some_and(|pid| pid != first), || {});
    assert_eq!(view["exit"]["signal"], 9);

    let done = project.run(&["signal", "api", "SIGNOPE"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    project.ok(&["stop", "api"]);
    let done = project.run(&["signal", "api", "HUP"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("`api` is not running"), "{}", done.stderr);
}

#[test]
fn a_signal_to_the_tree_reaches_what_left_the_group() {
    let project = Project::new(
        r#"
        [process.api]
        command = "setsid sh -c 'trap \"echo child got it\" USR1; echo up; while :; do sleep 0.05; done' & wait"
        shell = true
        ready = { log = "^up" }
        "#,
    );
    project.ok(&["up", "-d"]);
    project.ok(&["wait", "api"]);
    // To the sleeping grandchild it is deadly, which nobody minds.
    let told = project.ok(&["signal", "api", "CONT", "--to", "tree"]);
    let reached: u32 = told.split("sent to ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(reached >= 2, "{told}");
}

#[test]
fn a_reload_is_a_signal_or_a_command_and_says_what_is_missing() {
    let commands = r#"
        [process.cmd]
        command = "echo main $$; exec sleep 1000"
        shell = true
        reload = { command = ["sh", "-c", "echo reloading $MAINPID; echo oops >&2"] }
        [process.fails]
        command = "sleep 1000"
        reload = { command = "false" }
        [process.none]
        command = "sleep 1000"
    "#;
    let project = Project::new(&format!("{TRAPS}\n{commands}"));
    project.ok(&["up", "-d"]);
    project.ok(&["wait", "api"]);
    assert!(project.ok(&["reload", "api"]).contains("SIGHUP was sent"));
    project.ok(&["wait", "api", "--log", "got hup"]);

    let pid = project.process("cmd")["pid"].as_i64().unwrap();
    assert!(project.ok(&["reload", "cmd"]).contains("ended with exit code 0"));
    project.until_remark("cmd", &format!("reload: reloading {pid}"));
    project.until_remark("cmd", "reload: oops");
    project.until_remark("cmd", "reloaded");

    let done = project.run(&["reload", "fails", "none"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("its reload command ended with exit code 1"), "{}", done.stderr);
    assert!(done.stderr.contains("add `reload = \"SIGHUP\"`"), "{}", done.stderr);
    project.ok(&["stop", "cmd"]);
    let done = project.run(&["reload", "cmd"]);
    assert!(done.code == 1 && done.stderr.contains("is not running"), "{}", done.stderr);
}

#[test]
fn a_stop_command_stands_in_for_the_signal_and_the_signal_for_one_that_fails() {
    let project = Project::new(
        r#"
        [process.asks]
        command = "trap 'echo term; exit 4' TERM; trap 'echo usr2; exit 5' USR2; echo up; while :; do sleep 0.05; done"
        shell = true
        ready = { log = "^up" }
        stop = { command = ["sh", "-c", "echo stopping $MAINPID; kill -USR2 $MAINPID"] }
        [process.fails]
        command = "trap 'echo term; exit 4' TERM; echo up; while :; do sleep 0.05; done"
        shell = true
        ready = { log = "^up" }
        stop = { command = "false", grace = "10m" }
        [process.deaf]
        command = "trap '' TERM; echo up; while :; do sleep 0.05; done"
        shell = true
        ready = { log = "^up" }
        stop = { command = "true", grace = "100ms" }
        "#,
    );
    project.ok(&["up", "-d"]);
    for (name, exit) in [("asks", "exit code 5"), ("fails", "exit code 4"), ("deaf", "killed by SIGKILL")] {
        project.ok(&["wait", name]);
        let told = project.ok(&["stop", name]);
        assert!(told.contains(exit), "{told}");
    }
    project.until_remark("asks", "stop: stopping");
    project.until_remark("fails", "its stop command ended with exit code 1; it gets the stop signal");
}

#[test]
fn agents_kill_and_reload_with_tools_of_their_own() {
    let project = Project::new(TRAPS);
    project.ok(&["up", "-d"]);
    project.ok(&["wait", "api"]);
    let mut child = project
        .command(&["mcp", "--toolsets", "core,processes"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut last = 0;
    let mut ask = |method: &str, params: Value| {
        last += 1;
        writeln!(input, "{}", json!({"jsonrpc": "2.0", "id": last, "method": method, "params": params}))
            .unwrap();
        loop {
            let mut line = String::new();
            assert!(output.read_line(&mut line).unwrap() > 0, "the answer to {method} is missing");
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == last {
                return message["result"].clone();
            }
        }
    };
    ask(
        "initialize",
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}),
    );
    let tools = ask("tools/list", json!({}));
    let names: Vec<&str> =
        tools["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"kill_process") && names.contains(&"reload_process"), "{names:?}");

    let reloaded = ask("tools/call", json!({"name": "reload_process", "arguments": {"name": "api"}}));
    assert_eq!(reloaded["structuredContent"]["how"], "SIGHUP was sent to its main process", "{reloaded}");
    let killed = ask("tools/call", json!({"name": "kill_process", "arguments": {"name": "api"}}));
    let content = &killed["structuredContent"];
    assert_eq!(
        (content["signal"].as_str(), content["to"].as_str()),
        (Some("SIGKILL"), Some("tree")),
        "{killed}"
    );
    assert!(content["reached"].as_u64().unwrap() >= 1);
    let unknown =
        ask("tools/call", json!({"name": "kill_process", "arguments": {"name": "api", "signal": "x"}}));
    assert_eq!(unknown["isError"], true);
    drop(input);
    child.wait().unwrap();
}
