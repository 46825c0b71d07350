//! `ostler mcp` as its clients see it: JSON-RPC by hand over the binary's standard input and output.

mod common;

use std::process::Stdio;

use serde_json::{Value, json};

use common::Project;

/// A speaker that says what it hears, a child that dies with a reason, and one that talks a lot.
const CONFIG: &str = r#"
[process.echo]
command = "sh -c 'echo listening; exec cat'"
ready = { log = "listening" }

[process.broken]
command = "sh -c 'echo \"ERROR: no database\" >&2; exit 3'"
ready = { log = "never" }
restart = { policy = "never" }

[process.chatty]
command = "sh -c 'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo \"GET /items/$i?q=[$i] 200\"; done; echo done; exec cat'"
ready = { log = "done" }
"#;

fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "by-hand", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

#[test]
fn both_eras_are_served_on_one_connection_in_any_order() {
    let project = Project::new(CONFIG);
    let mut client = project.agent(&[]);
    let discovered = client.request("server/discover", json!({"_meta": meta()}));
    let versions = discovered["result"]["supportedVersions"].as_array().unwrap();
    for version in ["2025-06-18", "2025-11-25", "2026-07-28"] {
        assert!(versions.contains(&json!(version)), "{versions:?}");
    }
    let modern = client.request("tools/list", json!({"_meta": meta()}))["result"].clone();
    assert_eq!(modern["resultType"], "complete");
    assert!(modern["ttlMs"].as_u64().unwrap() > 0);
    let initialized = client.initialize("2025-11-25");
    assert_eq!(initialized["protocolVersion"], "2025-11-25");
    assert_eq!(initialized["serverInfo"]["name"], "ostler");
    assert_eq!(initialized["capabilities"], json!({"tools": {}}));
    let bare = client.request("tools/list", json!({}))["result"].clone();
    assert_eq!((&bare["tools"], bare.get("resultType")), (&modern["tools"], None));
    assert_eq!(client.request("ping", json!({}))["result"], json!({}));
    let modern = client.request("tools/list", json!({"_meta": meta()}))["result"].clone();
    assert_eq!(modern["resultType"], "complete");
    assert_eq!(client.leave(), Some(0));
}

#[test]
fn one_call_starts_and_waits_and_the_cursor_reads_on() {
    let project = Project::new(CONFIG);
    let mut client = project.agent(&[]);
    client.initialize("2025-06-18");
    let started = client.ok("start_process", json!({"name": "echo", "wait_ready": true}));
    assert_eq!(
        (&started["outcome"], &started["process"]["ready"]),
        (&json!("met"), &json!(true)),
        "{started}"
    );
    let again = client.ok("start_process", json!({"name": "echo"}));
    assert_eq!(again["already_running"], true, "{again}");

    let sent = client.ok("send_input", json!({"name": "echo", "text": "grüße"}));
    assert_eq!(sent["bytes"], "grüße\n".len());
    let waited = client.ok(
        "wait_for",
        json!({"name": "echo", "pattern": "^grüße$", "since": sent["next_cursor"], "timeout_seconds": 20}),
    );
    assert_eq!(waited["outcome"], "met", "{waited}");
    assert!(waited["line"].as_str().unwrap().ends_with("| grüße"), "{waited}");

    let unknown = client.failed("send_input", json!({"name": "echo", "keys": ["entr"]}));
    assert!(unknown.contains("did you mean `enter`?") && unknown.contains("ctrl-a to ctrl-z"), "{unknown}");
    let useless = client.failed("send_input", json!({"name": "echo", "keys": ["enter", "up"]}));
    assert!(useless.contains("`up` means nothing") && useless.contains("pty = true"), "{useless}");

    let logs = client.ok("get_logs", json!({"name": "echo", "since": sent["next_cursor"]}));
    assert!(logs["lines"].to_string().contains("grüße"), "{logs}");
    let rest = client.ok("get_logs", json!({"name": "echo", "since": logs["next_cursor"]}));
    assert_eq!((&rest["lines"], &rest["more"]), (&json!([]), &json!(false)));

    let interrupted = client.ok("send_input", json!({"name": "echo", "keys": ["ctrl-c"]}));
    assert!(interrupted["note"].as_str().unwrap().contains("SIGINT was sent"), "{interrupted}");
    let ended = client.ok("wait_for", json!({"name": "echo", "until": "exit", "timeout_seconds": 20}));
    assert!(ended["reason"].as_str().unwrap().contains("SIGINT"), "{ended}");
}

#[test]
fn a_start_that_dies_tells_why() {
    let project = Project::new(CONFIG);
    let mut client = project.agent(&[]);
    client.initialize("2025-11-25");
    let told = client.failed("start_process", json!({"name": "broken", "wait_ready": true}));
    assert!(told.contains("exit code 3") && told.contains("no database"), "{told}");
    let diagnosis = client.ok("diagnose_process", json!({"name": "broken"}));
    let seen = diagnosis.to_string();
    assert!(seen.contains("exit code 3") && seen.contains("no database"), "{seen}");
}

#[test]
fn a_long_log_is_read_in_pieces_without_loss_or_repeat() {
    let project = Project::new(CONFIG);
    let mut client = project.agent(&[]);
    client.initialize("2025-11-25");
    let started = client.ok("start_process", json!({"name": "chatty", "wait_ready": true}));
    let mut cursor = started["next_cursor"].clone();
    let mut seen = Vec::new();
    while !seen.iter().any(|line: &String| line == "done") {
        let logs =
            client.ok("get_logs", json!({"name": "chatty", "since": cursor, "limit": 500, "full": true}));
        assert!(logs.to_string().len() < 25_000, "a reply of {} bytes", logs.to_string().len());
        cursor = logs["next_cursor"].clone();
        let lines = logs["lines"].as_array().unwrap();
        assert!(!lines.is_empty(), "the reader does not get on: {logs}");
        let texts = lines.iter().map(|line| line.as_str().unwrap().split_once("| ").unwrap());
        // Ostler's own remarks are no lines of the process.
        seen.extend(texts.filter(|(head, _)| !head.ends_with("ostler")).map(|(_, text)| text.to_owned()));
    }
    let expected: Vec<String> = (1..=2000).map(|i| format!("GET /items/{i}?q=[{i}] 200")).collect();
    assert_eq!(seen[..2000], expected[..]);
    // Without being asked for all, what differs in numbers alone is told in few words.
    let logs = client.ok("get_logs", json!({"name": "chatty", "since": started["next_cursor"], "limit": 90}));
    let lines = logs["lines"].to_string();
    assert!(lines.contains("| GET /items/1?q=[1] 200 (×") && lines.contains(" alike)"), "{lines}");
}

#[test]
fn calls_run_side_by_side_and_can_be_taken_back() {
    let project = Project::new(CONFIG);
    let mut client = project.agent(&[]);
    client.initialize("2025-11-25");
    client.ok("start_process", json!({"name": "echo", "wait_ready": true}));
    let wait = json!({"name": "wait_for", "arguments": {"name": "echo", "pattern": "^awaited$", "timeout_seconds": 50}});
    let taken_back = client.send("tools/call", wait.clone());
    let waiting = client.send("tools/call", wait);
    // Neither holds up the others.
    client.ok("list_processes", json!({}));
    client.notify("notifications/cancelled", json!({"requestId": taken_back, "reason": "enough"}));
    client.ok("send_input", json!({"name": "echo", "text": "awaited"}));
    let answer = client.answer(waiting);
    assert_eq!(answer["result"]["structuredContent"]["outcome"], "met", "{answer}");
    client.ok("list_processes", json!({}));
    assert!(client.kept.iter().all(|message| message["id"] != taken_back), "{:?}", client.kept);
}

#[test]
fn wrong_calls_are_answered_with_what_would_be_right() {
    let project = Project::new(CONFIG);
    let mut client = project.agent(&[]);
    client.initialize("2025-11-25");
    let told = client.failed("get_logs", json!({"nmae": "echo", "limit": "5"}));
    assert!(told.contains("did you mean `name`?") && told.contains("expected a number"), "{told}");
    let told = client.failed("start_process", json!({"name": "ehco"}));
    for name in ["ehco", "echo", "broken", "chatty"] {
        assert!(told.contains(name), "{told}");
    }
    let error = client.request("tools/call", json!({"name": "get_log"}))["error"].clone();
    assert_eq!(error["code"], -32602);
    assert!(error["message"].as_str().unwrap().contains("did you mean `get_logs`?"), "{error}");
    let error = client.request("tools/call", json!({"name": "get_logs", "arguments": []}))["error"].clone();
    assert_eq!(error["code"], -32602);
    assert_eq!(client.request("make/coffee", json!({}))["error"]["code"], -32601);
    client.write("this is not JSON");
    assert_eq!(client.next()["error"]["code"], -32700);
    client.ok("list_processes", json!({}));
}

#[test]
fn an_oversized_request_ends_the_connection_with_a_word() {
    let project = Project::new(CONFIG);
    let mut client = project.agent(&[]);
    client.initialize("2025-11-25");
    let flood = vec![b'x'; 5 << 20];
    // The other end may close before it has taken everything.
    let _ = client.write_bytes(&flood);
    let error = client.next()["error"].clone();
    assert_eq!(error["code"], -32600);
    assert!(error["message"].as_str().unwrap().contains("longer than"), "{error}");
    assert!(client.ended().is_some_and(|code| code != 0), "it ended as if nothing had happened");
}

#[test]
fn an_unknown_toolset_is_refused_before_anything_starts() {
    let project = Project::new(CONFIG);
    let output = project.command(&["mcp", "--toolsets", "cor"]).stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("did you mean `core`?") && told.contains("all"), "{told}");
    assert!(output.stdout.is_empty());
}

#[test]
fn an_agent_that_asks_for_it_can_clear_the_log_of_a_process() {
    let project = Project::new(CONFIG);
    let mut client = project.agent(&["--toolsets", "core,logs"]);
    client.initialize("2025-11-25");
    client.ok("start_process", json!({"name": "chatty"}));
    client.ok("wait_for", json!({"name": "chatty", "pattern": "^done$", "timeout_seconds": 20}));
    let cleared = client.ok("clear_logs", json!({"name": "chatty"}));
    assert!(cleared["lines"].as_u64().unwrap() >= 2001, "{cleared}");
    let left = client.ok("get_logs", json!({"name": "chatty"}));
    assert_eq!(left["lines"], json!([]), "{left}");
    let failed = client.failed("clear_logs", json!({"name": "chaty"}));
    assert!(failed.contains("did you mean `chatty`?"), "{failed}");
}

#[test]
fn an_agent_learns_how_a_process_is_set_up_and_what_it_uses_but_no_secret() {
    let project = Project::new(CONFIG);
    let config = format!("{CONFIG}env = {{ API_TOKEN = \"hunter2\", MODE = \"x\" }}\nport = \"auto\"\n");
    std::fs::write(project.path("project/ostler.toml"), config).unwrap();
    let mut client = project.agent(&["--toolsets", "core,processes"]);
    client.initialize("2025-11-25");
    client.ok("start_process", json!({"name": "chatty", "wait_ready": true}));
    let info = client.ok("get_process_info", json!({"name": "chatty"}));
    assert!(!info.to_string().contains("hunter2"), "{info}");
    let env = info["env"].as_array().unwrap();
    assert!(env.contains(&json!("API_TOKEN=**** (env)")) && env.contains(&json!("MODE=x (env)")), "{info}");
    let port = info["process"]["port"].as_u64().unwrap();
    assert!(env.contains(&json!(format!("PORT={port} (ostler)"))), "{info}");
    assert!(info["tree"][0].as_str().unwrap().ends_with(": cat"), "{info}");
    let stats = client.ok("get_process_stats", json!({"name": "chatty"}));
    let chatty = &stats["processes"][0];
    assert!(chatty["memory_mib"].as_f64().unwrap() > 0.0 && chatty["fds"].as_u64().unwrap() >= 3, "{stats}");
    let system = client.ok("get_system_stats", json!({}));
    assert!(system["cores"].as_u64().unwrap() > 0 && system["project"]["running"] == 1, "{system}");
    let failed = client.failed("get_process_info", json!({"name": "chaty"}));
    assert!(failed.contains("did you mean `chatty`?"), "{failed}");
    // Who asks for no toolset has none of these.
    let mut plain = project.agent(&[]);
    plain.initialize("2025-11-25");
    let tools = plain.request("tools/list", json!({}))["result"]["tools"].to_string();
    assert!(!tools.contains("get_process_info"), "{tools}");
}

#[test]
fn an_agent_scales_reloads_runs_once_and_checks_the_set_up() {
    let project = Project::new(CONFIG);
    let once = "\n[process.once]\ncommand = \"sh -c 'echo doing $0 $1; echo oops >&2; exit 4'\"\nautostart = false\n";
    std::fs::write(project.path("project/ostler.toml"), format!("{CONFIG}{once}")).unwrap();
    let mut client = project.agent(&["--toolsets", "core,processes"]);
    client.initialize("2025-11-25");
    client.ok("start_process", json!({"name": "echo", "wait_ready": true}));

    let scaled = client.ok("scale_process", json!({"name": "echo", "replicas": 2}));
    assert_eq!((&scaled["replicas"], &scaled["started"][0]["name"]), (&json!(2), &json!("echo#2")));
    let scaled = client.ok("scale_process", json!({"name": "echo", "replicas": 1}));
    assert_eq!(scaled["removed"], json!(["echo#2"]), "{scaled}");
    let refused = client.failed("scale_process", json!({"name": "echo", "replicas": 65}));
    assert!(refused.contains("a number from 1 to 64"), "{refused}");

    let ran = client.ok("run_process", json!({"name": "once", "arguments": ["this", "that"]}));
    assert_eq!((&ran["ended"], &ran["exit_code"]), (&json!(true), &json!(4)), "{ran}");
    let tail = ran["tail"].to_string();
    assert!(tail.contains("| doing this that") && tail.contains("| oops"), "{ran}");
    let busy = client.failed("run_process", json!({"name": "echo"}));
    assert!(busy.contains("`echo` runs already"), "{busy}");

    assert_eq!(client.ok("reload_config", json!({}))["changed"], false);
    let more = "\n[process.more]\ncommand = \"sleep 1000\"\n";
    std::fs::write(project.path("project/ostler.toml"), format!("{CONFIG}{once}{more}")).unwrap();
    // The daemon may have been faster, and then there is nothing left to tell.
    let reloaded = client.ok("reload_config", json!({}));
    assert!(reloaded["changed"] == false || reloaded["added"] == json!(["more"]), "{reloaded}");
    assert!(client.ok("list_processes", json!({})).to_string().contains("\"more\""));
    std::fs::write(project.path("project/ostler.toml"), "[process.more]\ncomand = \"x\"\n").unwrap();
    let broken = client.failed("reload_config", json!({}));
    assert!(broken.contains("comand"), "{broken}");

    let diagnosis = client.ok("diagnose_system", json!({}));
    assert!(diagnosis["in_order"].as_str().unwrap().contains("daemon"), "{diagnosis}");
    let problems = diagnosis["problems"].as_array().unwrap();
    assert!(
        problems.iter().any(|problem| problem.as_str().unwrap().starts_with("fail config: ")),
        "{diagnosis}"
    );
}
