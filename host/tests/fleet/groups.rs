//! Groups: start order, delays, and the ways to stop.

use crate::harness::{Project, speaker};

fn three() -> Project {
    let project = Project::bare();
    project.write(&["a", "b", "c"].map(speaker).concat());
    project
}

/// Returns the farewells in the order of the log.
fn farewells(project: &Project) -> Vec<String> {
    let log = project.ok(&["logs", "--grep", "^down "]);
    log.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn members_start_in_their_order_and_stop_in_reverse() {
    let project = three();
    project.ok(&["group", "create", "web", "c", "a", "b"]);
    project.ok(&["start", "web"]);
    let run = |name: &str| project.view(name).unwrap()["run"].as_i64().unwrap();
    assert!(run("c") < run("a") && run("a") < run("b"));
    project.ok(&["wait", "web", "--ready"]);
    project.ok(&["stop", "web"]);
    assert_eq!(farewells(&project), ["b", "a", "c"]);
}

#[test]
fn the_strategy_says_in_which_order_they_stop() {
    let project = three();
    project.ok(&["group", "create", "web", "c", "a", "b", "--stop", "sequential"]);
    project.ok(&["up", "-d", "web"]);
    project.ok(&["wait", "web", "--ready"]);
    project.ok(&["stop", "web"]);
    assert_eq!(farewells(&project), ["c", "a", "b"]);

    let project = three();
    project.ok(&["group", "create", "all", "a", "b", "c", "--stop", "parallel"]);
    project.ok(&["start", "all"]);
    project.ok(&["wait", "all", "--ready"]);
    project.ok(&["stop", "all"]);
    let mut said = farewells(&project);
    said.sort();
    assert_eq!(said, ["a", "b", "c"]);
}

#[test]
fn a_delay_keeps_starts_apart() {
    let project = three();
    project.ok(&["group", "create", "web", "b", "a", "--start-delay", "400ms"]);
    project.ok(&["start", "web"]);
    let started = |name: &str| -> jiff::Timestamp {
        let runs = project.json(&["diagnose", name, "--json"]);
        runs["runs"][0]["started"].as_str().unwrap().parse().unwrap()
    };
    let apart = started("a").as_millisecond() - started("b").as_millisecond();
    assert!(apart >= 390, "{apart} ms apart");
}

#[test]
fn a_member_that_cannot_start_does_not_keep_the_others_from_it() {
    let project = Project::bare();
    project.write(&format!("[process.bad]\ncommand = \"no-such-program-anywhere\"\n{}", speaker("good")));
    project.ok(&["group", "create", "web", "bad", "good"]);
    let done = project.run(&["start", "web"]);
    assert_eq!(done.code, 1, "{}", done.stdout);
    assert!(
        done.stderr.contains("no-such-program") && done.stderr.contains("started were: good"),
        "{}",
        done.stderr
    );
    project.pid_of("good");
}

#[test]
fn names_mean_one_thing_and_near_misses_are_told() {
    let project = three();
    let done = project.run(&["group", "create", "a", "b"]);
    assert!(done.code == 2 && done.stderr.contains("`a` is a process"), "{}", done.stderr);
    let done = project.run(&["group", "create", "web", "nobody"]);
    assert!(done.code == 3 && done.stderr.contains("a, b, c"), "{}", done.stderr);
    project.ok(&["group", "create", "workers", "b"]);
    let done = project.run(&["stop", "workres"]);
    assert!(done.code == 3 && done.stderr.contains("did you mean `workers`?"), "{}", done.stderr);
    let done = project.run(&["diagnose", "workers"]);
    assert!(done.code == 2 && done.stderr.contains("name one of its members: b"), "{}", done.stderr);
    project.ok(&["group", "add", "workers", "c", "b"]);
    let groups = project.json(&["group", "list", "--json"]);
    assert_eq!(groups[0]["members"], serde_json::json!(["b", "c"]));
    let done = project.run(&["start", "workers"]);
    assert!(done.code == 0 && done.stdout.lines().count() == 2, "{}{}", done.stdout, done.stderr);
}

#[test]
fn groups_of_the_file_follow_it() {
    let project = three();
    let base = ["a", "b", "c"].map(speaker).concat();
    project.write(&format!("{base}[group.web]\nprocesses = [\"c\", \"a\"]\nstop = \"sequential\"\n"));
    project.ok(&["start", "web"]);
    assert_eq!(project.names().len(), 3);
    assert_eq!(project.view("b").unwrap()["state"], "stopped");
    project.ok(&["wait", "web", "--ready"]);
    project.ok(&["stop", "web"]);
    assert_eq!(farewells(&project), ["c", "a"]);
    project.write(&format!("{base}[group.web]\nprocesses = [\"b\"]\n"));
    project.ok(&["reload-config"]);
    let groups = project.json(&["group", "list", "--json"]);
    assert_eq!(groups[0]["members"], serde_json::json!(["b"]));
}
