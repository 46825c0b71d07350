//! `watch`: what a change of files leads to.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::harness::Project;

/// Says that it is up, with the first line of a file that it reads at its start.
const SERVER: &str = r#"
[process.api]
command = "echo up $(cat src/app.py); exec sleep 1000"
shell = true
ready = { log = "^up" }
"#;

fn server(watch: &str) -> Project {
    let project = Project::new(&format!("{SERVER}watch = {watch}\n"));
    project.write("src/app.py", "1");
    project.write(".gitignore", "*.log\n");
    project.ok(&["up", "-d"]);
    project.ok(&["wait", "api"]);
    project
}

/// Writes a file now and then: because a watch takes a moment to stand, or what was written before is still to be told
/// of; and so rarely that no change is left over.
fn now_and_then<'p>(project: &'p Project, file: &'p str, text: &'p str) -> impl FnMut() + 'p {
    let mut written: Option<Instant> = None;
    move || {
        if written.is_none_or(|at| at.elapsed() > Duration::from_secs(10)) {
            project.write(file, text);
            written = Some(Instant::now());
        }
    }
}

/// Changes `file` until the process has been restarted.
fn change_until_restarted(project: &Project, file: &str) {
    let run = project.process("api")["run"].as_u64().unwrap();
    let is_so = |view: &Value| view["run"].as_u64() != Some(run) && view["state"] == "ready";
    project.until("api", is_so, now_and_then(project, file, "2"));
}

#[test]
fn a_file_that_counts_restarts_once_and_one_that_does_not_never() {
    let project = server("{ paths = [\"src/**\"], ignore = [\"src/tests/**\"], debounce = \"1s\" }");
    change_until_restarted(&project, "src/app.py");
    project.write("src/tests/test_app.py", "x");
    project.write("src/server.log", "x");
    project.write("src/node_modules/a.js", "x");
    project.write("README", "x");
    project.write("src/other.py", "x");
    let remark = project.until_remark("api", "src/other.py changed");
    assert_eq!(remark, "restarted: src/other.py changed");
    let remarks = project.remarks("api");
    assert!(remarks.iter().all(|remark| !remark.contains("log") && !remark.contains("test")), "{remarks:?}");
    let reasons = project.reasons("api");
    assert_eq!(reasons[0], "watch: src/other.py changed");
    let is_audited = |_: &Value| {
        let act = project.until_audited("watch", "restart", "api");
        act.detail == "src/other.py changed" && act.outcome == "ok"
    };
    project.until("api", is_audited, || {});
}

#[test]
fn a_process_that_has_failed_is_started_again_once_files_change() {
    let project = Project::new(
        r#"
        [process.api]
        command = "grep -q fixed src/app.py || exit 1; echo up; exec sleep 1000"
        shell = true
        ready = { log = "^up" }
        restart = "never"
        watch = ["src/*.py"]
        [process.other]
        command = "sleep 1000"
        watch = ["src/*.py"]
        "#,
    );
    project.write("src/app.py", "broken");
    project.ok(&["up", "-d"]);
    project.until("api", |view| view["state"] == "failed", || {});
    project.until("api", |view| view["state"] == "ready", now_and_then(&project, "src/app.py", "fixed"));
    // What was stopped by hand is left alone. That the change was seen is shown by another process.
    project.ok(&["stop", "api"]);
    let run = project.process("other")["run"].clone();
    project.until("other", |view| view["run"] != run, now_and_then(&project, "src/app.py", "fixed again"));
    assert_eq!(project.process("api")["state"], "stopped");
}

#[test]
fn ten_thousand_files_make_few_restarts_and_a_short_line() {
    let project = server("[\"src/**\"]");
    change_until_restarted(&project, "src/app.py");
    let before = project.process("api")["run"].as_u64().unwrap();
    for index in 0..10_000 {
        std::fs::write(project.file(&format!("src/{index}.py")), "x").unwrap();
    }
    project.until_remark("api", " more");
    project.until("api", |view| view["state"] == "ready", || {});
    // The end of the burst may take this one with it.
    let is_told =
        |_: &Value| project.remarks("api").iter().any(|remark| remark == "restarted: src/last.py changed");
    project.until("api", is_told, now_and_then(&project, "src/last.py", "x"));
    let restarts = project.process("api")["run"].as_u64().unwrap() - before;
    // One burst is one restart, unless writing it takes longer than a burst may.
    assert!(restarts <= 12, "{restarts} restarts");
    assert!(project.remarks("api").iter().all(|remark| remark.len() < 400));
}

#[test]
fn a_process_that_writes_what_is_watched_is_not_restarted_for_ever() {
    let project = Project::new(
        r#"
        [process.api]
        command = "echo up; echo started >> src/server.log; exec sleep 1000"
        shell = true
        watch = { paths = ["src/*"], debounce = "20ms" }
        "#,
    );
    project.write("src/app.py", "1");
    project.ok(&["up", "-d"]);
    project.until("api", |view| view["pid"].is_number(), || {});
    // The first start may be over before the watch stands.
    project.ok(&["restart", "api"]);
    let remark = project.until_remark("api", "watching is paused");
    assert!(remark.contains("src/server.log") && remark.contains("watch.ignore"), "{remark}");
    let view = project.process("api");
    assert!(view["pid"].is_number(), "{view}");
    let status = project.json(&["status", "--json"]);
    assert!(status["daemon"]["warnings"].to_string().contains("api: watching is paused"), "{status}");

    // Started by hand it is watched again, and so ends up where it was.
    project.ok(&["restart", "api"]);
    let pauses = || project.remarks("api").iter().filter(|remark| remark.contains("paused")).count();
    project.until("api", |_| pauses() == 2, || {});
}

#[test]
fn a_change_may_reload_or_signal_instead() {
    let config = |action: &str| {
        format!(
            r#"
            [process.api]
            command = "trap 'echo got hup' HUP; trap 'echo got usr2' USR2; echo up; while :; do sleep 0.05; done"
            shell = true
            ready = {{ log = "^up" }}
            reload = "SIGHUP"
            watch = {{ paths = ["*.conf"], action = "{action}" }}
            "#
        )
    };
    for (action, got, told, (verb, detail)) in [
        ("reload", "got hup", "reloading: a.conf changed", ("reload", "a.conf changed")),
        ("SIGUSR2", "got usr2", "SIGUSR2 sent: a.conf changed", ("signal", "SIGUSR2: a.conf changed")),
    ] {
        let project = Project::new(&config(action));
        project.ok(&["up", "-d"]);
        project.ok(&["wait", "api"]);
        let pid = project.process("api")["pid"].clone();
        let has_got_it = |_: &Value| project.ok(&["logs", "api"]).contains(got);
        project.until("api", has_got_it, now_and_then(&project, "a.conf", "x"));
        project.until_remark("api", told);
        assert_eq!(project.process("api")["pid"], pid);
        let act = project.until_audited("watch", verb, "api");
        assert_eq!((act.detail.as_str(), act.outcome.as_str()), (detail, "ok"));
    }
}

#[test]
fn a_reload_that_writes_what_is_watched_does_not_go_on_for_ever() {
    let project = Project::new(
        r#"
        [process.api]
        command = "trap 'echo x >> a.conf' HUP; echo up; while :; do sleep 0.05; done"
        shell = true
        ready = { log = "^up" }
        reload = "SIGHUP"
        watch = { paths = ["*.conf"], action = "reload", debounce = "20ms" }
        "#,
    );
    project.ok(&["up", "-d"]);
    project.ok(&["wait", "api"]);
    let is_paused =
        |_: &Value| project.remarks("api").iter().any(|remark| remark.contains("watching is paused"));
    project.until("api", is_paused, now_and_then(&project, "a.conf", "x"));
}
