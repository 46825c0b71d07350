//! `ostler upgrade`, and connections that outlive daemons.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Project, TELLER, eventually, kill, lives, parent_of};

/// Prints a line, and then one for each it reads.
const ECHO: &str =
    "[process.echo]\ncommand = \"echo hello; while read line; do echo got $line; done\"\nshell = true\n";

/// Puts the programs elsewhere, as an installation would, and returns the path of `ostler`.
fn installed(project: &Project, dir: &str) -> PathBuf {
    let dir = project.path(dir);
    fs::create_dir_all(&dir).unwrap();
    for program in [env!("CARGO_BIN_EXE_ostler"), env!("CARGO_BIN_EXE_ostler-shim")] {
        let there = dir.join(PathBuf::from(program).file_name().unwrap());
        if fs::hard_link(program, &there).is_err() {
            fs::copy(program, &there).unwrap();
        }
    }
    dir.join("ostler")
}

fn script(project: &Project, text: &str) -> PathBuf {
    let path = project.path("script");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[test]
fn another_program_takes_over_and_nobody_notices() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    let (daemon, pid) = (project.daemon().unwrap(), project.pid_of("echo"));
    let shim = parent_of(pid);
    let mut agent = project.agent(&[]);
    agent.initialize("2025-11-25");
    let mut follower =
        project.command(&["logs", "-f"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("hello")));
    let waiter = project
        .command(&["wait", "echo", "--log", "got the end", "--timeout", "60s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();

    let mut looker = project
        .command(&["attach", "echo", "--no-stdin"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut seen = BufReader::new(looker.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(seen.any(|line| line.contains("hello")));

    let new = installed(&project, "new");
    let done = project.json(&["upgrade", "--json", "--binary", new.to_str().unwrap()]);
    assert_eq!((&done["pid"], &done["running"]), (&daemon.into(), &1.into()), "{done}");
    assert_eq!(fs::read_link(format!("/proc/{daemon}/exe")).unwrap(), new);
    assert_eq!(project.daemon(), Some(daemon));
    let view = project.process("echo");
    assert_eq!((view["pid"].as_i64(), &view["run"]), (Some(pid), &1.into()), "{view}");

    assert_eq!(agent.call("list_processes", json!({}))["isError"], false);
    project.ok(&["send", "echo", "the end"]);
    assert!(lines.any(|line| line.contains("got the end")), "the follower was lost");
    assert!(seen.any(|line| line.contains("got the end")), "the one attached was lost");
    assert!(waiter.wait_with_output().unwrap().status.success(), "the waiter was lost");
    // Its shim is the child of a program that knows nothing of it.
    project.ok(&["stop", "echo"]);
    eventually("no zombie is left", || (!PathBuf::from(format!("/proc/{shim}")).exists()).then_some(()));
    // And once more, back.
    project.ok(&["start", "echo"]);
    assert!(project.ok(&["upgrade"]).contains("1 process runs on"));
    project.ok(&["down"]);
    assert!(!lives(daemon));
    let _ = follower.wait();
    let _ = looker.wait();
}

#[test]
fn a_program_that_cannot_take_over_changes_nothing() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    let before = project.status()["daemon"]["started"].clone();
    let refuses = script(&project, "echo 'no plugins here' >&2; exit 1");
    for (program, says) in [
        (PathBuf::from("/bin/true"), "does not understand `daemon --check`"),
        (project.path("project/ostler.toml"), "ermission denied"),
        (refuses, "no plugins here"),
    ] {
        let done = project.run(&["upgrade", "--binary", program.to_str().unwrap()]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(done.stderr.contains(says) && done.stderr.contains("goes on"), "{}", done.stderr);
    }
    let done = project.run(&["upgrade", "--binary", "/nonexistent"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    // The present program could not start any more with this.
    let config = fs::read_to_string(project.path("project/ostler.toml")).unwrap();
    fs::write(project.path("project/ostler.toml"), "nonsense").unwrap();
    let done = project.run(&["upgrade"]);
    assert!(done.stderr.contains("ostler.toml:1"), "{}", done.stderr);
    fs::write(project.path("project/ostler.toml"), config).unwrap();
    assert_eq!(project.status()["daemon"]["started"], before);
}

#[test]
fn a_program_that_cannot_be_executed_after_all_leaves_the_old_one_at_work() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    let pid = project.pid_of("echo");
    // Says that it could, and is gone when it is to be executed.
    let vanishes = script(&project, "echo '{\"version\":\"9.0.0\"}'; rm \"$0\"");
    let done = project.run(&["upgrade", "--binary", vanishes.to_str().unwrap()]);
    assert_eq!(done.code, 1, "{}{}", done.stdout, done.stderr);
    assert!(
        done.stderr.contains("the upgrade to") && done.stderr.contains("No such file"),
        "{}",
        done.stderr
    );
    project.ok(&["send", "echo", "still there"]);
    project.ok(&["wait", "echo", "--log", "got still there"]);
    assert_eq!(project.pid_of("echo"), pid);
}

/// Returns a program that passes every check and cannot start: it asks the catalogue for a table that is not there.
fn flawed(project: &Project) -> PathBuf {
    let program = installed(project, "flawed");
    let mut bytes = fs::read(&program).unwrap();
    let (asked, asks) = (b"SELECT * FROM ports", b"SELECT * FROM pirts");
    let places: Vec<usize> = memchr::memmem::find_iter(&bytes, asked).collect();
    assert!(!places.is_empty(), "the program asks for its ports in other words");
    for at in places {
        bytes[at..at + asks.len()].copy_from_slice(asks);
    }
    // It may be a second name of the real one.
    fs::remove_file(&program).unwrap();
    fs::write(&program, bytes).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    program
}

#[test]
fn a_program_that_fails_after_it_took_over_gives_the_project_back() {
    let project = Project::new(TELLER);
    project.ok(&["up", "-d"]);
    let (daemon, pid) = (project.daemon().unwrap(), project.pid_of("teller"));
    let mut agent = project.agent(&[]);
    agent.initialize("2025-11-25");
    let flawed = flawed(&project);
    // Commands that come meanwhile wait for whoever it is, and do not start a daemon of their own.
    let is_over = AtomicBool::new(false);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                project.run(&["ps"]);
            }
        });
        let done = project.run(&["upgrade", "--binary", flawed.to_str().unwrap()]);
        is_over.store(true, Ordering::Relaxed);
        done
    });
    assert_eq!(done.code, 1, "{}{}", done.stdout, done.stderr);
    assert!(
        done.stderr.contains("the upgrade of this daemon failed")
            && done.stderr.contains("no such table: pirts"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("the old one goes on"), "{}", done.stderr);
    let old = fs::canonicalize(env!("CARGO_BIN_EXE_ostler")).unwrap();
    assert_eq!(project.daemon(), Some(daemon));
    assert_eq!(fs::read_link(format!("/proc/{daemon}/exe")).unwrap(), old);
    let warnings = project.status()["daemon"]["warnings"].to_string();
    assert!(warnings.contains("no such table: pirts"), "{warnings}");
    let outcomes = "SELECT outcome FROM audit WHERE verb = 'upgrade' ORDER BY id DESC LIMIT 1";
    let outcome: String = project.catalogue().query_row(outcomes, (), |row| row.get(0)).unwrap();
    assert!(outcome.starts_with("failed: ") && outcome.contains("no such table: pirts"), "{outcome}");
    expect_untouched(&project, pid);
    assert_eq!(agent.call("list_processes", json!({}))["isError"], false);

    // It holds its project as before: nobody else starts, and the next upgrade works.
    let refused = project.run(&["daemon"]);
    assert!(refused.code != 0 && refused.stderr.contains("another daemon"), "{}", refused.stderr);
    let new = installed(&project, "new");
    assert!(project.ok(&["upgrade", "--binary", new.to_str().unwrap()]).contains("1 process runs on"));
    assert_eq!(project.status()["daemon"]["warnings"], json!([]));
    expect_untouched(&project, pid);
}

#[test]
fn a_program_that_dies_after_it_took_over_costs_the_daemon_and_nothing_else() {
    let project = Project::new(TELLER);
    project.ok(&["up", "-d"]);
    let pid = project.pid_of("teller");
    // As soon as it is to be the daemon.
    let dies = script(&project, "[ \"$4\" = --check ] && echo '{\"version\":\"9.0.0\"}' && exit 0; exit 1");
    let done = project.run(&["upgrade", "--binary", dies.to_str().unwrap()]);
    assert_eq!(done.code, 1, "{}{}", done.stdout, done.stderr);
    assert!(done.stderr.contains("starts a daemon that takes them up"), "{}", done.stderr);
    assert_eq!(project.daemon(), None);
    assert!(lives(pid));
    expect_untouched(&project, pid);

    // In the middle of its start, with all that it was left in hand.
    let (daemon, new) = (project.daemon().unwrap(), installed(&project, "new"));
    let upgrade = ["upgrade", "--binary", new.to_str().unwrap()];
    let mut upgrade = project.command(&upgrade).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("it is the new program", || {
        fs::read_link(format!("/proc/{daemon}/exe")).is_ok_and(|program| program == new).then_some(())
    });
    kill(daemon, Signal::KILL);
    let _ = upgrade.wait();
    eventually("it is dead", || (!lives(daemon)).then_some(()));
    assert!(lives(pid));
    expect_untouched(&project, pid);
}

/// Asserts that the teller is the same run as ever, tells on, and that nothing of what it told is missing.
fn expect_untouched(project: &Project, pid: i64) {
    let view = project.process("teller");
    assert_eq!(
        (view["pid"].as_i64(), &view["run"], &view["restarts"]),
        (Some(pid), &1.into(), &0.into()),
        "{view}"
    );
    let before = project.count("teller");
    eventually("it tells on", || (project.count("teller") > before + 5).then_some(()));
}

#[test]
fn a_daemon_whose_program_was_replaced_says_so() {
    let project = Project::new(ECHO);
    let program = installed(&project, "bin");
    assert!(project.command_of(&program, &["up", "-d"]).output().unwrap().status.success());
    assert_eq!(project.status()["daemon"]["warnings"], json!([]));
    fs::remove_file(&program).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_ostler"), &program).unwrap();
    let warnings = project.status()["daemon"]["warnings"].to_string();
    assert!(warnings.contains("was replaced") && warnings.contains("ostler upgrade"), "{warnings}");
    assert!(project.command_of(&program, &["upgrade"]).output().unwrap().status.success());
    assert_eq!(project.status()["daemon"]["warnings"], json!([]));
}

#[test]
fn without_a_daemon_there_is_nothing_to_upgrade() {
    let project = Project::new(ECHO);
    assert!(project.ok(&["upgrade"]).contains("no daemon runs"));
    assert!(project.json(&["upgrade", "--json"]).is_null());
}

#[test]
fn an_agent_goes_on_after_its_daemon_was_killed() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    let pid = project.pid_of("echo");
    let mut agent = project.agent(&[]);
    agent.initialize("2025-11-25");
    assert_eq!(agent.call("list_processes", json!({}))["isError"], false);
    let arguments = json!({"name": "echo", "pattern": "never said", "timeout_seconds": 50});
    let waiting = agent.send("tools/call", json!({"name": "wait_for", "arguments": arguments}));
    // So that the wait is the daemon's before it dies: answers come in any order, but requests are taken in order.
    assert_eq!(agent.call("list_processes", json!({}))["isError"], false);
    let killed = project.daemon().unwrap();
    kill(killed, Signal::KILL);
    // A wait changes nothing, so that a daemon is started for it and told it again.
    eventually("the next daemon", || project.daemon().filter(|daemon| *daemon != killed));
    project.ok(&["send", "echo", "never said"]);
    let waited = agent.answer(waiting);
    assert_eq!(waited["result"]["structuredContent"]["outcome"], "met", "{waited}");
    let listed = agent.call("list_processes", json!({}));
    assert!(listed["structuredContent"].to_string().contains(&pid.to_string()), "{listed}");
    // One that is taken down on purpose stays down until the agent wants something.
    project.ok(&["down"]);
    assert_eq!(project.daemon(), None);
    assert_eq!(agent.call("list_processes", json!({}))["isError"], false);
    assert!(project.daemon().is_some());
}

#[test]
fn a_call_that_a_daemon_had_not_wholly_got_is_the_next_ones() {
    let project = Project::new("[process.sink]\ncommand = \"exec cat >/dev/null\"\nshell = true\n");
    project.ok(&["up", "-d"]);
    let mut agent = project.agent(&[]);
    agent.initialize("2025-11-25");
    assert_eq!(agent.call("list_processes", json!({}))["isError"], false);
    let killed = project.daemon().unwrap();
    // It takes no more than its socket holds, which is less than this call.
    kill(killed, Signal::STOP);
    let text = "x".repeat(900_000);
    let typed = json!({"name": "send_input", "arguments": {"name": "sink", "text": text}});
    let typing = agent.send("tools/call", typed);
    kill(killed, Signal::KILL);
    let sent = agent.answer(typing);
    assert_eq!(sent["result"]["structuredContent"]["bytes"], text.len() + 1, "{sent}");
}
