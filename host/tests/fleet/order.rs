//! Dependencies: started before, not run again when they have done their work, and told.

use crate::harness::{Project, speaker};

#[test]
fn what_a_process_depends_on_is_started_before_it() {
    let project = Project::bare();
    project.write(&format!("{}{}depends_on = {{ db = \"ready\" }}\n", speaker("db"), speaker("api")));
    let told = project.ok(&["start", "api"]);
    assert!(told.lines().any(|line| line.starts_with("db") && line.contains("depended on")), "{told}");
    let run = |name: &str| project.view(name).unwrap()["run"].as_i64().unwrap();
    assert!(run("db") < run("api"));
    assert_eq!(project.view("db").unwrap()["ready"], true);

    let told = project.ok(&["start", "api"]);
    assert!(!told.contains("db") && told.contains("ran already"), "{told}");
}

#[test]
fn a_restart_leaves_dependents_and_dependencies_alone() {
    let project =
        Project::up(&format!("{}{}depends_on = {{ db = \"ready\" }}\n", speaker("db"), speaker("api")));
    let (db, api) = (project.pid_of("db"), project.pid_of("api"));
    project.ok(&["restart", "db"]);
    assert_ne!(project.pid_of("db"), db);
    assert_eq!(project.pid_of("api"), api);
    let db = project.pid_of("db");
    project.ok(&["restart", "api"]);
    assert_eq!(project.pid_of("db"), db);
}

#[test]
fn work_that_is_done_is_not_done_again_by_up() {
    let project = Project::up(&format!(
        "[process.migrate]\ncommand = \"true\"\nrestart = \"never\"\n\
         {}depends_on = {{ migrate = \"exited-ok\" }}\n",
        speaker("api")
    ));
    assert_eq!(project.runs("migrate"), 1);
    project.ok(&["up", "-d"]);
    project.ok(&["stop", "api"]);
    project.ok(&["start", "api"]);
    assert_eq!(project.runs("migrate"), 1, "it was run again");
    project.ok(&["start", "migrate"]);
    assert_eq!(project.runs("migrate"), 2, "it was not run though it was named");
}

#[test]
fn a_dependency_that_fails_is_named() {
    let project = Project::bare();
    project.write(&format!(
        "[process.migrate]\ncommand = \"false\"\nrestart = \"never\"\n\
         {}depends_on = {{ migrate = \"exited-ok\" }}\n",
        speaker("api")
    ));
    let done = project.run(&["start", "api"]);
    assert_eq!(done.code, 1, "{}", done.stdout);
    assert!(done.stderr.contains("`migrate`") && done.stderr.contains("exit code 1"), "{}", done.stderr);
}

#[test]
fn a_project_comes_down_in_reverse() {
    let project =
        Project::up(&format!("{}depends_on = {{ db = \"ready\" }}\n{}", speaker("api"), speaker("db")));
    let told = project.ok(&["down"]);
    let place = |name: &str| told.lines().position(|line| line.starts_with(name)).unwrap();
    assert!(place("api") < place("db"), "{told}");
    let log = project.ok(&["logs"]);
    assert!(log.find("down api").unwrap() < log.find("down db").unwrap(), "{log}");
}
