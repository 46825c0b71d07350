//! Hot reload: only what changed is touched, and a file that makes no sense changes nothing.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::harness::{Project, lives, until};

/// Set in the environment of a child that is this program.
const CHILD: &str = "OSTLER_TEST_CHILD";

fn sleeper(name: &str, seconds: u32) -> String {
    format!("[process.{name}]\ncommand = \"sleep {seconds}\"\n")
}

fn sleepers(all: &[(&str, u32)]) -> String {
    all.iter().map(|(name, seconds)| sleeper(name, *seconds)).collect()
}

#[test]
fn only_what_changed_is_touched_and_nobody_has_to_ask() {
    let project = Project::up(&sleepers(&[("same", 1001), ("other", 1002), ("gone", 1003)]));
    let [same, other, gone] = ["same", "other", "gone"].map(|name| project.pid_of(name));
    project.write(&sleepers(&[("same", 1001), ("other", 2002), ("new", 1004)]));

    until("the new process runs", || project.view("new").is_some_and(|view| view["pid"].is_i64()));
    until("the changed one has another pid", || {
        project.view("other").is_some_and(|view| view["pid"].as_i64().is_some_and(|pid| pid != other))
    });
    assert_eq!(project.pid_of("same"), same, "an unchanged process was touched");
    assert_eq!(project.names(), ["same", "other", "new"]);
    assert!(!lives(gone) && !lives(other), "the old ones live on");
}

#[test]
fn a_broken_file_changes_nothing_and_says_where() {
    let good = sleepers(&[("api", 1001), ("web", 1002)]);
    let project = Project::up(&good);
    let pids = ["api", "web"].map(|name| project.pid_of(name));
    project.write(&good.replace("command = \"sleep 1002\"", "comand = \"sleep 1002\""));

    let done = project.run(&["reload-config"]);
    assert_eq!(done.code, 2, "{}{}", done.stdout, done.stderr);
    assert!(done.stderr.contains("ostler.toml:4:1: unknown key `comand`"), "{}", done.stderr);
    assert!(done.stderr.contains("did you mean `command`?"), "{}", done.stderr);
    assert!(project.warnings().contains("ostler.toml:4:1"), "{}", project.warnings());
    let done = project.run(&["start", "api"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("unknown key `comand`"), "{}", done.stderr);
    let done = project.run(&["up", "-d"]);
    assert!(done.code == 0 && done.stderr.contains("unknown key `comand`"), "{}", done.stderr);
    assert_eq!(["api", "web"].map(|name| project.pid_of(name)), pids, "a broken file touched something");

    project.write(&good);
    assert_eq!(project.ok(&["reload-config"]), "nothing has changed\n");
    assert_eq!(project.warnings(), "[]");
    assert_eq!(["api", "web"].map(|name| project.pid_of(name)), pids);
}

#[test]
fn the_daemon_notices_a_broken_file_by_itself() {
    let project = Project::up(&sleeper("api", 1001));
    project.write("[process.api\n");
    until("status warns", || project.warnings().contains("ostler.toml:1:"));
}

#[test]
fn up_takes_up_what_was_just_written() {
    let project = Project::up(&sleeper("api", 1001));
    let pid = project.pid_of("api");
    project.write(&sleepers(&[("api", 1001), ("web", 1002)]));
    project.ok(&["up", "-d"]);
    assert_eq!(project.pid_of("api"), pid);
    project.pid_of("web");
}

#[test]
fn policies_and_checks_change_under_a_running_process() {
    let speaker = crate::harness::speaker("api");
    let project = Project::up(&speaker);
    let pid = project.pid_of("api");
    project.write(&speaker.replace("log = \"^up\"", "log = \"never said\""));
    let reply = project.json(&["reload-config", "--json"]);
    assert_eq!(
        (&reply["updated"], &reply["restarted"]),
        (&serde_json::json!(["api"]), &serde_json::json!([]))
    );
    until("it is not ready by the new check", || project.view("api").unwrap()["ready"] == false);

    project.write(&format!("{}stop = {{ grace = \"1s\" }}\nrestart = \"never\"\n", speaker));
    project.ok(&["reload-config"]);
    project.ok(&["wait", "api", "--ready"]);
    assert_eq!(project.pid_of("api"), pid);
}

/// Not a test: a process that says that it is well where somebody listens, and waits for its end.
#[test]
fn as_a_child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    println!("up with watchdog {:?}", std::env::var("WATCHDOG_USEC").ok());
    let socket = std::env::var_os("NOTIFY_SOCKET");
    loop {
        if let Some(socket) = &socket {
            let words = b"READY=1\nWATCHDOG=1";
            UnixDatagram::unbound().unwrap().send_to(words, socket).unwrap();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_process_that_is_to_say_how_it_is_from_now_on_is_restarted_with_a_socket_to_say_it_to() {
    let me = std::env::current_exe().unwrap();
    let child = format!(
        "[process.api]\ncommand = [{:?}, \"--exact\", \"reload::as_a_child\", \"--nocapture\"]\n\
         env = {{ {CHILD} = \"1\" }}\n",
        me.display().to_string()
    );
    let project = Project::up(&child);
    let mut pid = project.pid_of("api");
    let restarted = serde_json::json!(["api"]);
    let ready = "ready = { notify = true }\n";
    // Another interval is told to a process once, at its start.
    for keys in [
        ready.to_owned(),
        format!("{ready}health = {{ watchdog = \"30s\" }}\n"),
        format!("{ready}health = {{ watchdog = \"60s\" }}\n"),
        "health = { watchdog = \"60s\" }\n".to_owned(),
    ] {
        project.write(&format!("{child}{keys}"));
        let reply = project.json(&["reload-config", "--json"]);
        if keys.contains("notify") {
            assert_eq!(reply["restarted"], restarted, "{keys}: {reply}");
            assert_ne!(project.pid_of("api"), pid, "{keys}");
            project.ok(&["wait", "api", "--ready", "--timeout", "60s"]);
        } else {
            // It has all it needs.
            assert_eq!(reply["restarted"], serde_json::json!([]), "{reply}");
            assert_eq!(project.pid_of("api"), pid, "{keys}");
        }
        pid = project.pid_of("api");
    }
    for interval in ["None", "Some(\"30000000\")", "Some(\"60000000\")"] {
        let line = format!("up with watchdog {interval}");
        until(&line, || project.ok(&["logs", "api"]).contains(&line));
    }
}

#[test]
fn a_file_that_is_taken_away_or_emptied_stops_nothing() {
    let good = sleeper("api", 1001);
    let project = Project::up(&good);
    let pid = project.pid_of("api");
    fs::write(project.file("ostler.toml"), "").unwrap();
    until("status tells of the empty file", || project.warnings().contains("is empty"));
    fs::remove_file(project.file("ostler.toml")).unwrap();
    until("status tells of the missing file", || project.warnings().contains("is gone"));
    assert_eq!(project.pid_of("api"), pid);
    project.write(&good);
    until("all is well again", || project.warnings() == "[]");
    assert_eq!(project.pid_of("api"), pid);
}

#[test]
fn what_could_not_start_is_started_once_the_file_is_mended() {
    let project = Project::bare();
    project.write("[process.api]\ncommand = \"no-such-program-anywhere\"\n");
    assert_eq!(project.run(&["up", "-d"]).code, 1);
    assert_eq!(project.view("api").unwrap()["state"], "failed");
    project.write(&sleeper("api", 1001));
    let reply = project.json(&["reload-config", "--json"]);
    assert_eq!(reply["started"], serde_json::json!(["api"]), "{reply}");
    project.pid_of("api");
}

#[test]
fn what_is_new_starts_only_where_the_project_is_up() {
    let project = Project::up(&sleeper("api", 1001));
    project.ok(&["stop", "api"]);
    project.write(&sleepers(&[("api", 2001), ("web", 1002)]));
    let reply = project.json(&["reload-config", "--json"]);
    assert_eq!(reply["started"], serde_json::json!(["web"]), "{reply}");
    assert_eq!(project.view("api").unwrap()["state"], "stopped", "what was stopped came back");

    let project = Project::bare();
    project.write(&sleeper("api", 1001));
    project.ok(&["start", "api"]);
    project.write(&sleepers(&[("api", 1001), ("web", 1002)]));
    let reply = project.json(&["reload-config", "--json"]);
    assert_eq!((&reply["added"], &reply["started"]), (&serde_json::json!(["web"]), &serde_json::json!([])));
}

#[test]
fn changes_are_in_the_audit_log() {
    let project = Project::up(&sleeper("api", 1001));
    project.write(&sleepers(&[("api", 1001), ("web", 1002)]));
    until("the daemon has seen it", || project.names().len() == 2);
    let log = project.daemon_log();
    assert!(log.contains("the configuration has changed") && log.contains("added web"), "{log}");
    until("the audit log has it", || {
        project.audit().iter().any(|entry| {
            let who_and_what = (entry.surface.as_str(), entry.verb.as_str(), entry.detail.as_str());
            who_and_what == ("daemon", "reload-config", "added web") && entry.outcome == "ok"
        })
    });
}

#[test]
fn what_only_the_next_daemon_can_take_up_is_told() {
    let base = sleeper("api", 1001);
    let project = Project::up(&base);
    let pid = project.pid_of("api");
    project.write(&format!("{base}[logs]\npatterns = \"levels.toml\"\n"));
    assert_eq!(project.run(&["reload-config"]).code, 2, "a file that is missing was taken");
    let pattern = "[[pattern]]\nname = \"slow\"\nregex = \"slow query\"\nlevel = \"warn\"\n";
    fs::write(project.file("ostler.toml").with_file_name("levels.toml"), pattern).unwrap();
    project.write(&format!("{base}[logs]\npatterns = [\"levels.toml\"]\n"));
    let done = project.run(&["reload-config"]);
    assert!(done.code == 0 && done.stderr.contains("next daemon"), "{}{}", done.stdout, done.stderr);
    assert!(project.warnings().contains("log patterns have changed"), "{}", project.warnings());
    project.write(&base);
    project.ok(&["reload-config"]);
    assert_eq!((project.warnings().as_str(), project.pid_of("api")), ("[]", pid));
}

#[test]
fn a_start_that_never_comes_does_not_keep_the_next_change_out() {
    let project = Project::up(&sleeper("api", 1001));
    let waits = format!(
        "{}[process.build]\ncommand = \"sleep 1000\"\nrestart = \"never\"\n\
         [process.web]\ncommand = \"sleep 1002\"\ndepends_on = {{ build = \"exited-ok\" }}\n",
        sleeper("api", 1001)
    );
    project.write(&waits);
    until("it waits", || project.view("build").is_some_and(|view| view["pid"].is_i64()));
    project.write(&waits.replace("sleep 1000", "true"));
    until("the mended one lets it start", || project.view("web").is_some_and(|view| view["pid"].is_i64()));
}
