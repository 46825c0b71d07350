//! `schedule`: what the clock starts. A minute is the shortest there is, so one test waits for one minute's end.

use std::path::Path;

use super::harness::Project;

#[test]
fn when_the_minute_is_full_what_is_due_runs_unless_it_still_runs() {
    let project = Project::new(
        r#"
        [process.quick]
        command = "echo ran"
        schedule = "* * * * *"
        [process.left]
        command = "sleep 1000"
        schedule = "* * * * *"
        [process.replaced]
        command = "sleep 1000"
        schedule = { cron = "* * * * *", overlap = "replace" }
        [process.stopped]
        command = "echo ran"
        schedule = "* * * * *"
        [process.broken]
        command = "/no/such/program"
        schedule = "* * * * *"
        "#,
    );
    project.ok(&["up", "-d"]);
    project.ok(&["start", "left", "replaced"]);
    project.ok(&["stop", "stopped"]);
    let (left, replaced) = (project.process("left"), project.process("replaced"));

    // The clock may have started them already; what follows comes after at most one more minute.
    project.until("quick", |view| view["exit"]["code"] == 0, || {});
    assert_eq!(project.reasons("quick")[0], "schedule");
    assert_eq!(project.process("quick")["restarts"], 0);
    project.until_remark("left", "left out: this one is still going");
    assert_eq!(project.process("left")["pid"], left["pid"]);
    project.until("replaced", |view| view["pid"].is_number() && view["pid"] != replaced["pid"], || {});
    assert!(!Path::new(&format!("/proc/{}", replaced["pid"])).exists(), "the first one still runs");
    assert!(project.process("stopped")["run"].is_null(), "a stop suspends the schedule");

    // Nobody asked for any of that; it is in the audit log all the same, and what was left out is not.
    assert_eq!(project.until_audited("schedule", "start", "quick").outcome, "ok");
    assert_eq!(project.until_audited("schedule", "restart", "replaced").outcome, "ok");
    let failed = project.until_audited("schedule", "start", "broken").outcome;
    assert!(failed.starts_with("failed: program /no/such/program does not exist"), "{failed}");
    for (verb, process) in [("restart", "left"), ("start", "stopped")] {
        assert_eq!(project.audited("schedule", verb, process), None);
    }
}

#[test]
fn ps_says_when_a_process_is_due_and_a_stop_suspends_that() {
    let project = Project::new("[process.clean]\ncommand = \"true\"\nschedule = \"0 4 1 1 *\"\n");
    project.ok(&["up", "-d"]);
    let view = project.until("clean", |view| view["next"].is_string(), || {});
    assert_eq!((view["state"].as_str(), view["pid"].is_null()), (Some("stopped"), true), "{view}");
    let shown = project.ok(&["ps"]);
    assert!(shown.contains("NEXT") && shown.contains("in "), "{shown}");
    // It can be run by hand as well.
    assert_eq!(project.run(&["run", "clean"]).code, 0);
    assert!(project.process("clean")["next"].is_string());
    project.ok(&["stop", "clean"]);
    assert!(project.process("clean")["next"].is_null());
    project.ok(&["start", "clean"]);
    assert!(project.process("clean")["next"].is_string());
}
