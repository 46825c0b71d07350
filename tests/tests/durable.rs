//! What is added while Ostler runs — processes, groups, scales — outlives the daemon, and ends with `ostler down`.

use std::fs;
use std::path::PathBuf;

use ostler::store::{Addition, Catalogue};
use ostler_tests::project::{Finished, Project, eventually, is_alive};
use serde_json::{Value, json};

const MISBEHAVE: &str = env!("CARGO_BIN_EXE_misbehave");

/// What can be seen of what there is: names, pids and states, and the groups.
#[derive(Debug, PartialEq)]
struct Seen {
    processes: Vec<(String, Option<u64>, String)>,
    groups: Value,
}

fn seen(project: &Project) -> Seen {
    let views: Vec<Value> = project.ok(&["ps", "--json"]).json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let processes =
        views.iter().map(|view| (text(&view["name"]), view["pid"].as_u64(), text(&view["state"]))).collect();
    Seen { processes, groups: project.ok(&["group", "list", "--json"]).json() }
}

fn names(project: &Project) -> Vec<String> {
    seen(project).processes.into_iter().map(|(name, ..)| name).collect()
}

fn groups(project: &Project) -> Vec<(String, Vec<String>)> {
    let groups: Vec<Value> = project.ok(&["group", "list", "--json"]).json();
    let texts = |value: &Value| serde_json::from_value(value.clone()).expect("a list of names");
    groups
        .iter()
        .map(|group| (group["name"].as_str().unwrap().to_owned(), texts(&group["members"])))
        .collect()
}

/// Three processes of the file, of which one is there twice, and a group.
fn project() -> Project {
    Project::new(MISBEHAVE)
        .process("api", "stdin-deaf", "groups = [\"web\"]")
        .process("grow", "stdin-deaf", "")
        .process("shrink", "stdin-deaf", "replicas = 2")
}

/// Adds a process that runs and one that does not, makes a group and changes one, scales one process up and one down.
fn add_things(project: &Project) {
    project.ok(&["up", "-d"]);
    let script = "echo hello $WHO; exec sleep 1000";
    let runs = ["add", "runs", "--shell", "--env", "WHO=\"you\"", "--restart", "always", "--", script];
    project.ok(&runs);
    project.wait_log("runs", "^hello \"you\"$");
    project.ok(&["add", "idle", "--no-start", "--", "sleep", "1000"]);
    let made = ["group", "create", "own", "runs", "api", "--start-delay", "30ms", "--stop", "sequential"];
    project.ok(&made);
    project.ok(&["group", "add", "web", "idle"]);
    project.ok(&["scale", "grow", "3"]);
    project.ok(&["scale", "shrink", "1"]);
    for name in ["api", "grow", "grow#2", "grow#3", "shrink"] {
        project.wait_log(name, "^ready$");
    }
}

/// Returns the project's catalogue, to be looked into and tampered with while no daemon runs.
fn catalogue(project: &Project) -> Catalogue {
    let status: Value = project.ok(&["status", "--json"]).json();
    let state: PathBuf = status["state_dir"].as_str().expect("it has a state directory").into();
    Catalogue::open(&state.join("catalogue.sqlite")).expect("a catalogue")
}

fn row(kind: &str, name: &str, text: &str) -> Addition {
    Addition { kind: kind.into(), name: name.into(), text: text.into() }
}

#[test]
fn all_that_was_added_outlives_a_killed_daemon() {
    let project = project();
    add_things(&project);
    let before = seen(&project);
    let all = ["api", "grow", "grow#2", "grow#3", "shrink", "runs", "idle"];
    assert_eq!(names(&project), all);
    project.kill_daemon();
    assert_eq!(seen(&project), before);
    assert_eq!(project.warnings(), Vec::<String>::new());

    // It is more than a run that was found: its policy starts it again, as it was described.
    let pid = project.pid("runs");
    project.ok(&["signal", "runs", "KILL"]);
    eventually("it is started again", || match project.view("runs").pid {
        Some(other) if other != pid => Ok(()),
        other => Err(format!("{other:?}")),
    });
    eventually("it has its environment", || {
        let hello = project.lines("runs").iter().filter(|line| line.text == "hello \"you\"").count();
        if hello == 2 { Ok(()) } else { Err(format!("{hello} times")) }
    });
    project.ok(&["start", "idle"]);
    project.ok(&["stop", "own"]);
    assert_eq!((project.view("runs").pid, project.view("api").pid), (None, None));

    // And what happens to it under this daemon is known to the next.
    project.ok(&["remove", "runs"]);
    project.ok(&["scale", "grow", "2"]);
    let before = seen(&project);
    project.kill_daemon();
    assert_eq!(seen(&project), before);
    let expected = [("own", vec!["api"]), ("web", vec!["api", "idle"])];
    let expected =
        expected.map(|(name, members)| (name.to_owned(), members.into_iter().map(str::to_owned).collect()));
    assert_eq!(groups(&project), expected);
    assert_eq!(names(&project), ["api", "grow", "grow#2", "shrink", "idle"]);
}

#[test]
fn all_that_was_added_is_there_after_an_upgrade() {
    let project = project();
    add_things(&project);
    let before = seen(&project);
    let started = project.daemon()["started"].clone();
    project.ok(&["upgrade"]);
    assert_ne!(project.daemon()["started"], started, "there was no upgrade");
    assert_eq!(seen(&project), before);
    assert_eq!(project.warnings(), Vec::<String>::new());
    let own = &before.groups[0];
    assert_eq!((&own["start_delay_ms"], &own["stop"]), (&json!(30), &json!("sequential")), "{own}");
}

#[test]
fn down_forgets_all_that_was_added() {
    let project = project();
    add_things(&project);
    project.ok(&["down"]);
    let file = ["api", "grow", "shrink", "shrink#2"];
    assert_eq!(names(&project), file);
    assert_eq!(groups(&project), [("web".to_owned(), vec!["api".to_owned()])]);
    project.kill_daemon();
    assert_eq!(names(&project), file);

    // Also when the daemon that had it is dead, and nothing runs that would have to be stopped.
    project.ok(&["add", "idle", "--no-start", "--", "sleep", "1000"]);
    project.kill_daemon();
    assert!(Catalogue::additions(&catalogue(&project)).expect("rows").iter().any(|row| row.name == "idle"));
    project.ok(&["down"]);
    assert_eq!(names(&project), file);
}

#[test]
fn what_the_file_has_by_now_and_what_is_broken_is_dropped_with_a_warning_and_costs_nothing_else() {
    let project = project();
    add_things(&project);
    let pids = [project.pid("runs"), project.pid("grow#3")];
    project.kill_daemon();
    let file = project.config_file();
    let text = fs::read_to_string(&file).expect("the file");
    let taken = "[process.idle]\ncommand = \"sleep 2000\"\n";
    fs::write(&file, format!("{text}{taken}")).expect("a write");
    let mut rows = catalogue(&project).additions().expect("rows");
    rows.insert(0, row("process", "broken", "[process.broken]\ncommand = \"a | b\"\n"));
    rows.insert(1, row("group", "torn", "{\"members\""));
    rows.push(row("scale", "nobody", "{\"replicas\": 2, \"configured\": 1}"));
    rows.push(row("dream", "x", ""));
    catalogue(&project).record_additions(&rows).expect("rows can be written");

    assert_eq!([project.pid("runs"), project.pid("grow#3")], pids);
    let warnings = project.warnings().join("\n");
    for (what, why) in [
        ("`idle`", "ostler.toml has a process of that name now"),
        ("`broken`", "needs a shell"),
        ("`torn`", "cannot be understood"),
        ("`nobody`", "no such process"),
        ("`x`", "does not know"),
    ] {
        let told = warnings.lines().any(|line| line.contains(what) && line.contains(why));
        assert!(told, "nothing tells of {what} that {why}:\n{warnings}");
    }
    assert_eq!(warnings.lines().count(), 5, "{warnings}");
    let refused = project.run(&["remove", "idle"]).expect_code(2);
    assert!(refused.stderr.contains("ostler.toml"), "{}", refused.stderr);
    // It is told once: the next daemon has nothing to drop.
    project.kill_daemon();
    assert_eq!([project.pid("runs"), project.pid("grow#3")], pids);
    assert_eq!(project.warnings(), Vec::<String>::new());
}

#[test]
fn replicas_that_were_to_go_when_the_daemon_died_go_with_the_next() {
    let project = Project::new(MISBEHAVE).process("api", "stdin-deaf", "");
    project.ok(&["up", "-d"]);
    project.ok(&["scale", "api", "4"]);
    let pids = ["api", "api#2", "api#3", "api#4"].map(|name| project.pid(name));
    project.kill_daemon();
    // Written down, and nobody told to stop yet.
    let scaled = row("scale", "api", "{\"replicas\": 2, \"configured\": 1}");
    catalogue(&project).record_additions(&[scaled]).expect("rows can be written");
    eventually("the others are gone", || {
        let names = names(&project);
        if names == ["api", "api#2"] { Ok(()) } else { Err(names.join(", ")) }
    });
    assert_eq!(["api", "api#2"].map(|name| project.pid(name)), pids[..2]);
    assert!(!is_alive(pids[2]) && !is_alive(pids[3]));

    // The file's number counts once it is another than when the process was scaled.
    project.ok(&["scale", "api", "3"]);
    project.kill_daemon();
    let file = project.config_file();
    let text = fs::read_to_string(&file).expect("the file");
    fs::write(&file, format!("{text}replicas = 2\n")).expect("a write");
    eventually("the third is gone", || {
        let names = names(&project);
        if names == ["api", "api#2"] { Ok(()) } else { Err(names.join(", ")) }
    });
    let told: Finished = project.ok(&["status"]);
    let all = format!("{}{}", told.stdout, told.stderr);
    assert!(all.contains("`api` was scaled to is forgotten: its configuration says 2"), "{all}");
    assert_eq!(["api", "api#2"].map(|name| project.pid(name)), pids[..2]);
}

#[test]
fn where_there_is_no_file_what_was_added_is_all_there_is() {
    let project = Project::new(MISBEHAVE);
    fs::remove_file(project.config_file()).expect("the empty file");
    project.ok(&["add", "first", "--", "sleep", "1000"]);
    project.ok(&["add", "second", "--no-start", "--", "sleep", "1000"]);
    let before = seen(&project);
    project.kill_daemon();
    assert_eq!(seen(&project), before);
    project.ok(&["up", "-d"]);
    assert!(project.view("second").pid.is_some());
    // The file takes the name over: nothing is restarted, and it is not added any more.
    let pid = project.pid("first");
    fs::write(project.config_file(), "[process.first]\ncommand = \"sleep 1000\"\n").expect("a write");
    project.ok(&["reload-config"]);
    let rows = catalogue(&project).additions().expect("rows");
    assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["second"]);
    project.kill_daemon();
    assert_eq!(project.pid("first"), pid);
    assert_eq!(names(&project), ["first", "second"]);
    assert_eq!(project.warnings(), Vec::<String>::new());
}
