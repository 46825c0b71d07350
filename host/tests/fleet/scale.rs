//! Replicas: scaling up keeps what runs, and scaling down takes the last ones away.

use crate::harness::{Project, lives, speaker, until};

/// Prints its number as the configuration and as the environment have it.
const NUMBERED: &str = r#"
[process.api]
command = "echo number {index} is $OSTLER_REPLICA in $NAME; while read line; do echo $line; done"
shell = true
env = { NAME = "n{index}" }
"#;

#[test]
fn scaling_keeps_what_runs_and_numbers_the_rest() {
    let project = Project::up(NUMBERED);
    let first = project.pid_of("api");
    project.ok(&["scale", "api", "3"]);
    assert_eq!(project.names(), ["api", "api#2", "api#3"]);
    assert_eq!(project.pid_of("api"), first);
    for number in 1..=3 {
        let said = format!("number {number} is {number} in n{number}");
        assert!(project.ok(&["wait", "api", "--log", &said]).contains(&said));
    }
    let log = project.ok(&["logs", "api"]);
    assert!(log.contains("number 1 is") && log.contains("number 3 is"), "{log}");
    assert!(!project.ok(&["logs", "api#2"]).contains("number 3 is"));

    let third = project.pid_of("api#3");
    project.ok(&["scale", "api", "2"]);
    assert_eq!(project.names(), ["api", "api#2"]);
    assert!(!lives(third));
    assert_eq!(project.pid_of("api"), first);
    let done = project.run(&["start", "api#3"]);
    assert_eq!(done.code, 3, "{}", done.stderr);
}

#[test]
fn a_name_stands_for_all_replicas_and_a_number_for_one() {
    let project = Project::up(&speaker("api"));
    project.ok(&["scale", "api", "3"]);
    project.ok(&["wait", "api", "--ready"]);
    let pids = ["api", "api#2", "api#3"].map(|name| project.pid_of(name));
    project.ok(&["stop", "api#1"]);
    assert_eq!(project.view("api").unwrap()["state"], "stopped");
    assert_eq!(project.pid_of("api#2"), pids[1]);
    let told = project.ok(&["restart", "api"]);
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(["api", "api#2", "api#3"].iter().zip(pids).all(|(name, pid)| project.pid_of(name) != pid));
    let told = project.ok(&["stop", "api"]);
    assert_eq!(told.lines().filter(|line| line.contains("stopped")).count(), 3, "{told}");
    assert!(pids.iter().all(|pid| !lives(*pid)));
}

#[test]
fn a_killed_daemon_loses_no_replica() {
    let project = Project::up(&speaker("api"));
    project.ok(&["scale", "api", "3"]);
    let pids = ["api", "api#2", "api#3"].map(|name| project.pid_of(name));
    project.crash();
    assert_eq!(["api", "api#2", "api#3"].map(|name| project.pid_of(name)), pids);
    project.ok(&["scale", "api", "1"]);
    assert_eq!(project.names(), ["api"]);
    until("the others are gone", || !lives(pids[1]) && !lives(pids[2]));
    assert_eq!(project.pid_of("api"), pids[0]);
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let project = Project::up(NUMBERED);
    for bad in ["0", "65", "4000000000"] {
        let done = project.run(&["scale", "api", bad]);
        assert_eq!(done.code, 2, "{bad}: {}", done.stderr);
        assert!(done.stderr.contains("from 1 to 64"), "{bad}: {}", done.stderr);
    }
    assert_eq!(project.run(&["scale", "nobody", "2"]).code, 3);
    project.ok(&["stop", "api"]);
    let done = project.run(&["scale", "api", "2"]);
    assert!(done.stderr.contains("does not run"), "{}", done.stderr);
    assert_eq!(project.view("api#2").unwrap()["state"], "stopped");
}

#[test]
fn dependents_wait_for_every_replica() {
    let project = Project::bare();
    project.write(&format!("{}{}depends_on = {{ db = \"ready\" }}\n", speaker("db"), speaker("api")));
    project.ok(&["scale", "db", "2"]);
    project.ok(&["start", "api"]);
    for name in ["db", "db#2"] {
        assert_eq!(project.view(name).unwrap()["ready"], true, "{name}");
    }
}

#[test]
fn the_file_says_how_many_there_are_and_a_change_touches_only_the_difference() {
    let project = Project::up(&speaker("api"));
    let first = project.pid_of("api");
    project.write(&format!("{}replicas = 3\n", speaker("api")));
    let reply = project.json(&["reload-config", "--json"]);
    assert_eq!(reply["started"], serde_json::json!(["api#2", "api#3"]), "{reply}");
    let pids = ["api", "api#2", "api#3"].map(|name| project.pid_of(name));
    assert_eq!(pids[0], first);
    project.write(&format!("{}replicas = 2\n", speaker("api")));
    let reply = project.json(&["reload-config", "--json"]);
    assert_eq!(reply["removed"], serde_json::json!(["api#3"]), "{reply}");
    assert_eq!(["api", "api#2"].map(|name| project.pid_of(name)), pids[..2]);
    assert!(!lives(pids[2]));
}
