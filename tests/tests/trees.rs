//! Stopping a tree and limiting it, under the built programs: the ports are free, nobody is left, and a limit that does
//! not hold or is hit is told of.
//!
//! What this machine can do, `ostler doctor` says; where it cannot limit memory the tests that need that say on standard
//! error that they were skipped.

use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ostler_tests::project::{Project, eventually, is_alive};
use ostler_tests::shown::{Exit, whole};
use serde_json::Value;

const MISBEHAVE: &str = env!("CARGO_BIN_EXE_misbehave");

const SIGTERM: Exit = Exit { code: None, signal: Some(libc::SIGTERM) };

fn up(name: &str, how: &str, settings: &str) -> Project {
    let project = Project::new(MISBEHAVE).process(name, how, settings);
    project.ok(&["up", "-d"]);
    project
}

fn checks(project: &Project) -> Vec<Value> {
    let report: Value = project.run(&["doctor", "--json"]).json();
    report["checks"].as_array().expect("checks").clone()
}

fn check(project: &Project, name: &str) -> Option<Value> {
    checks(project).into_iter().find(|check| check["name"] == name)
}

/// Returns the directory that the runs of this project have their cgroups in.
fn cgroup_home(project: &Project) -> Option<PathBuf> {
    let check = check(project, "cgroups")?;
    let text = check["text"].as_str()?;
    let dir = text.strip_prefix("each run has a cgroup below ")?.split(',').next()?;
    Some(dir.into())
}

fn limits_memory(project: &Project) -> bool {
    check(project, "controllers").is_some_and(|check| check["text"].as_str().unwrap().contains("on memory"))
}

/// Says that a test is skipped, past the test runner, which shows nothing of tests that pass.
fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(io::stderr(), "\nSKIPPED {test}: {why}");
}

#[test]
fn the_port_of_a_server_that_has_escaped_is_free_after_stop() {
    let script = "misbehave serve-escaped 0; exec misbehave stdin-deaf";
    let project = Project::new(MISBEHAVE).script("web", script, "");
    project.ok(&["up", "-d"]);
    project.wait_log("web", "^ready$");
    project.wait_log("web", "^listening on");
    let lines = whole(&project.lines("web"));
    let url = lines.iter().find_map(|line| line.strip_prefix("listening on http://")).expect("an address");
    let address = url.trim_end_matches('/').to_owned();
    TcpListener::bind(&address).expect_err("somebody listens there");
    project.ok(&["stop", "web"]);
    TcpListener::bind(&address).expect("the port is free once the stop is answered");
    let left: Vec<u32> = project.pids("web").into_iter().filter(|pid| is_alive(*pid)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_stopped_process_ends_by_sigterm_and_not_after_its_grace() {
    let project = up("ice", "freeze", "stop = { grace = \"60s\" }");
    project.wait_log("ice", "^ready$");
    let pid = project.pid("ice");
    eventually("it is stopped", || match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) if stat.contains(") T ") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let begun = Instant::now();
    project.ok(&["stop", "ice"]);
    assert!(begun.elapsed() < Duration::from_secs(50), "it was left to its grace");
    assert_eq!(project.view("ice").exit, Some(SIGTERM));
}

#[test]
fn who_escapes_goes_when_the_shim_is_killed_where_there_are_cgroups() {
    let script = "misbehave setsid-escape; exec misbehave stdin-deaf";
    let project = Project::new(MISBEHAVE).script("jailer", script, "");
    project.ok(&["up", "-d"]);
    project.wait_log("jailer", "^ready$");
    let Some(home) = cgroup_home(&project) else { return skip("this machine has no cgroups for it") };
    let pids = project.pids("jailer");
    let run = project.view("jailer").run.expect("a run");
    let cgroup = home.join(format!("r{run}"));
    assert!(cgroup.is_dir(), "{} does not exist", cgroup.display());
    // The escapee descends from nobody but the shim.
    let escapee = pids[1];
    let stat = fs::read_to_string(format!("/proc/{escapee}/stat")).expect("it lives");
    let parent =
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
    // SAFETY: a plain signal to the process that looks after this test's own.
    unsafe { libc::kill(parent.expect("a parent"), libc::SIGKILL) };
    eventually("nobody is left", || match pids.iter().filter(|pid| is_alive(**pid)).count() {
        0 => Ok(()),
        left => Err(format!("{left} of {pids:?}")),
    });
    eventually("its cgroup is removed", || if cgroup.exists() { Err("it is there".into()) } else { Ok(()) });
    eventually("the last run has taken the project's directory with it", || match home.exists() {
        true => Err(format!("{} is there", home.display())),
        false => Ok(()),
    });
}

#[test]
fn limits_of_setrlimit_hold_and_one_that_is_too_low_is_named() {
    let project = Project::new(MISBEHAVE).script("files", "ulimit -n", "limits = { nofile = 77 }").process(
        "tiny",
        "stdin-deaf",
        "limits = { as = \"1MiB\" }",
    );
    project.run(&["up", "-d"]);
    project.wait_exit("files");
    assert_eq!(whole(&project.lines("files")), ["77"]);
    let tiny = eventually("it has ended", || match project.view("tiny") {
        view if view.state == "failed" => Ok(view),
        view => Err(format!("{view:?}")),
    });
    assert_eq!(tiny.pid, None);
    let diagnosis = project.ok(&["diagnose", "tiny"]).stdout;
    assert!(diagnosis.contains("limit") && diagnosis.contains("raise it"), "{diagnosis}");
}

#[test]
fn limits_that_cannot_be_kept_are_told_at_the_start_in_status_and_in_diagnose() {
    let project =
        Project::new(MISBEHAVE).process("hog", "stdin-deaf", "limits = { memory = \"64MiB\", pids = 64 }");
    let told = project.ok(&["start", "hog"]);
    if limits_memory(&project) {
        assert!(project.warnings().is_empty());
        return skip("this machine keeps them");
    }
    const WORDS: &str = "the limits on memory, pids are not in force, because";
    assert!(told.stderr.contains(WORDS), "{}{}", told.stdout, told.stderr);
    assert_eq!(project.view("hog").state, "running");
    assert!(project.warnings().iter().any(|warning| warning.contains(WORDS)), "{:?}", project.warnings());
    let diagnosis = project.ok(&["diagnose", "hog"]).stdout;
    assert!(diagnosis.contains(WORDS), "{diagnosis}");
    let limits = check(&project, "limits").expect("doctor tells of them too");
    assert_eq!(limits["health"], "warn");
}

#[test]
fn an_end_for_want_of_memory_is_named_with_its_limit() {
    let settings = "limits = { memory = \"16MiB\" }";
    let project = Project::new(MISBEHAVE).script("hog", "exec tail -n 1 /dev/zero", settings);
    // Without a limit it would take all the memory there is.
    if !limits_memory(&project) {
        return skip("this machine cannot limit memory");
    }
    project.run(&["up", "-d"]);
    project.wait_exit("hog");
    let diagnosis = project.ok(&["diagnose", "hog"]).stdout;
    assert!(diagnosis.contains("killed by SIGKILL (9): out of memory, limit 16 MiB"), "{diagnosis}");
}

#[test]
fn the_doctor_needs_no_daemon_and_fails_when_something_does() {
    let project = Project::new(MISBEHAVE).process("calm", "stdin-deaf", "");
    let before = project.ok(&["doctor"]).stdout;
    assert!(before.contains("does not run") && before.contains("pidfd"), "{before}");
    assert_eq!(project.daemon(), Value::Null, "it has started one");
    project.ok(&["up", "-d"]);
    for check in checks(&project) {
        let is_ok = check["health"] == "ok";
        assert_eq!(is_ok, check["remedy"].is_null(), "{check}");
    }
    assert!(check(&project, "plugins").is_some(), "the daemon was not asked");
    fs::write(project.config_file(), "[process.calm]\ncomand = \"x\"\n").expect("a write to a small file");
    let failed = project.run(&["doctor"]).expect_code(1);
    assert!(failed.stdout.contains("1 failed"), "{}", failed.stdout);
}
