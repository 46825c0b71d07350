//! What was added, across a restart of the machine, and when the daemon died while it was taken away.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Project, eventually, kill, lives, parent_of};

const STILL: &str = "[process.still]\ncommand = \"sleep 1000\"\n";

fn names(project: &Project) -> Vec<String> {
    let views = project.json(&["ps", "--json"]);
    views.as_array().unwrap().iter().map(|view| view["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn after_a_restart_of_the_machine_it_is_there_and_waits_for_up() {
    let project = Project::new(STILL);
    project.ok(&["up", "-d"]);
    project.ok(&["add", "extra", "--", "sleep", "1000"]);
    let pids = ["still", "extra"].map(|name| project.pid_of(name));
    project.crash();
    for pid in pids {
        for gone in [parent_of(pid), pid] {
            kill(gone, Signal::KILL);
            eventually("it is gone", || (!lives(gone)).then_some(()));
        }
    }
    assert_eq!(project.catalogue().execute("UPDATE runs SET boot = 'another'", ()).unwrap(), 2);
    assert_eq!(project.process("extra")["state"], "stopped");
    project.ok(&["up", "-d"]);
    project.pid_of("extra");
}

#[test]
fn a_removal_that_the_daemon_died_in_is_finished() {
    let project = Project::new(STILL);
    project.ok(&["up", "-d"]);
    let script = "trap 'echo no thanks' TERM; echo up; while [ ! -e go ]; do sleep 0.1; done";
    project.ok(&["add", "extra", "--shell", "--", script]);
    project.until_logged("up");
    let pid = project.pid_of("extra");
    let mut remove = project.command(&["remove", "extra"]).stderr(Stdio::null()).spawn().unwrap();
    project.until_logged("no thanks");
    project.crash();
    remove.wait().unwrap();
    assert!(lives(pid), "it ended too soon for this test");
    assert_eq!(names(&project), ["still", "extra"]);
    project.touch("go");
    eventually("it is removed", || (names(&project) == ["still"]).then_some(()));
    assert!(!lives(pid));
}

#[test]
fn an_agent_that_adds_it_again_finds_that_it_is_there() {
    let project = Project::new(STILL);
    let mut agent = project.agent(&[]);
    agent.initialize("2025-11-25");
    let worker = json!({"name": "worker", "command": "exec sleep 1000", "shell": true, "env": ["A=b"]});
    let added = agent.call("add_process", worker.clone());
    let pid = added["structuredContent"]["process"]["pid"].clone();
    assert!(pid.is_i64(), "{added}");
    kill(project.daemon().unwrap(), Signal::KILL);
    // The call that was in hand when the daemon died is answered with an error; this one is for the next.
    let again = eventually("the next daemon answers", || {
        let again = agent.call("add_process", worker.clone());
        again["structuredContent"].is_object().then_some(again)
    });
    let again = &again["structuredContent"];
    assert_eq!((&again["existed"], &again["process"]["pid"]), (&json!(true), &pid), "{again}");
}
