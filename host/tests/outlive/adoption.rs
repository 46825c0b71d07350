//! What the next daemon makes of what a dead one left, wherever it stood when it died.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Project, TELLER, eventually, kill, lives, parent_of, start_of};

/// Prints a line and waits for ever.
const STILL: &str = "[process.still]\ncommand = \"echo up; exec sleep 1000\"\nshell = true\n";

/// Runs until there is a file `go`, and ends with 7.
const BRIEF: &str = "[process.brief]\n\
    command = \"echo up; while [ ! -e go ]; do sleep 0.05; done; echo last words; exit 7\"\n\
    shell = true\nrestart = \"never\"\n";

#[test]
fn the_exit_of_a_child_that_ended_while_nobody_looked_is_known() {
    let project = Project::new(BRIEF);
    project.ok(&["up", "-d"]);
    let (pid, state) = (project.pid_of("brief"), project.state());
    project.crash();
    project.touch("go");
    eventually("its shim is done", || state.join("runs/1/done").exists().then_some(()));
    assert!(!lives(pid));
    let view = project.process("brief");
    assert_eq!((&view["state"], &view["exit"]["code"]), (&"failed".into(), &7.into()), "{view}");
    project.until_logged("last words");
}

#[test]
fn what_a_child_left_behind_is_cleared_away_across_the_daemons_death() {
    let project = Project::new(
        "[process.messy]\n\
         command = \"(trap '' TERM; echo left $$; while [ ! -e never ]; do sleep 0.1; done) & \
         while [ ! -e go ]; do sleep 0.05; done; exit 5\"\n\
         shell = true\nrestart = \"never\"\nstop = { grace = \"3s\" }\n",
    );
    project.ok(&["up", "-d"]);
    let (pid, state) = (project.pid_of("messy"), project.state());
    project.until_logged("left");
    project.touch("go");
    eventually("the main child has ended", || state.join("runs/1/exit").exists().then_some(()));
    project.crash();
    assert!(!state.join("runs/1/done").exists(), "the leftovers were gone too soon for this test");
    let shown = project.process("messy");
    assert_eq!((&shown["state"], shown["pid"].as_i64()), (&"stopping".into(), None), "{shown}");
    assert!(!lives(pid));
    let view = project.until("messy", "failed");
    assert_eq!(view["exit"]["code"], 5, "{view}");
    assert!(project.ok(&["diagnose", "messy"]).contains("left behind"), "the leftovers are not told of");
}

#[test]
fn a_start_that_the_daemon_died_in_is_made_by_the_next() {
    for stage in ["only a record", "a directory without a shim"] {
        let project = Project::new(STILL);
        project.ok(&["up", "-d"]);
        project.ok(&["stop", "still"]);
        let state = project.state();
        project.crash();
        let catalogue = project.catalogue();
        catalogue.execute("UPDATE wanted SET up = 1", ()).unwrap();
        let insert = "INSERT INTO runs (process, command, cwd, reason, started_at, boot)
                      SELECT process, command, cwd, reason, started_at, boot FROM runs WHERE id = 1";
        assert_eq!(catalogue.execute(insert, ()).unwrap(), 1);
        if stage != "only a record" {
            fs::create_dir(state.join("runs/2")).unwrap();
            fs::write(state.join("runs/2/spec"), "half a sp").unwrap();
        }
        let view = eventually(stage, || Some(project.process("still")).filter(|view| view["pid"].is_i64()));
        assert_eq!(view["run"], 3, "{view}");
        let told = project.ok(&["diagnose", "still"]);
        assert!(told.contains("the daemon died before it could start it"), "{told}");
    }
}

#[test]
fn a_stop_that_the_daemon_died_in_is_finished() {
    let project = Project::new(
        "[process.stubborn]\n\
         command = \"trap 'echo no thanks' TERM; echo up; while [ ! -e never ]; do sleep 0.1; done\"\n\
         shell = true\nrestart = \"always\"\nstop = { grace = \"2s\" }\n",
    );
    project.ok(&["up", "-d"]);
    project.until_logged("up");
    let pid = project.pid_of("stubborn");
    let mut stop = project.command(&["stop", "stubborn"]).stderr(Stdio::null()).spawn().unwrap();
    project.until_logged("no thanks");
    project.crash();
    stop.wait().unwrap();
    let view = project.until("stubborn", "stopped");
    assert!(!lives(pid), "{view}");
    assert_eq!((&view["run"], &view["exit"]["signal"]), (&1.into(), &9.into()), "{view}");

    project.ok(&["start", "stubborn"]);
    let mut restart = project.command(&["restart", "stubborn"]).stderr(Stdio::null()).spawn().unwrap();
    eventually("the second is told to stop", || {
        (project.ok(&["logs"]).matches("no thanks").count() > 2
            || project.process("stubborn")["state"] == "stopping")
            .then_some(())
    });
    project.crash();
    restart.wait().unwrap();
    let view = eventually("its successor runs", || {
        Some(project.process("stubborn")).filter(|view| view["run"] == 3 && view["pid"].is_i64())
    });
    assert_eq!(view["restarts"], 0, "{view}");
}

#[test]
fn a_restart_that_was_due_is_made_by_the_next_daemon() {
    let project = Project::new(
        "[process.flappy]\ncommand = \"[ -e fixed ] && exec sleep 1000; exit 3\"\nshell = true\n\
         restart = { policy = \"on-failure\", backoff = \"1s..1s\" }\n",
    );
    project.ok(&["up", "-d"]);
    project.until("flappy", "backoff");
    project.crash();
    project.touch("fixed");
    eventually("it runs", || Some(project.process("flappy")).filter(|view| view["pid"].is_i64()));
}

#[test]
fn what_was_given_up_stays_given_up() {
    let project = Project::new(
        "[process.hopeless]\ncommand = \"echo tried; exit 3\"\nshell = true\n\
         restart = { policy = \"on-failure\", backoff = \"10ms..10ms\", max = 2, window = \"60s\" }\n",
    );
    project.ok(&["up", "-d"]);
    let run = project.until("hopeless", "failed")["run"].clone();
    eventually("that is written down", || {
        let rest = "SELECT count(*) FROM runs WHERE rest IS NOT NULL";
        let count: i64 = project.catalogue().query_row(rest, (), |row| row.get(0)).unwrap();
        (count == 1).then_some(())
    });
    project.crash();
    let view = project.process("hopeless");
    assert_eq!((&view["state"], &view["run"]), (&"failed".into(), &run), "{view}");
    assert!(project.ok(&["diagnose", "hopeless"]).contains("restarted 2 times within"));
}

#[test]
fn a_dead_shim_is_told_of_everywhere() {
    let project = Project::new(&format!("{STILL}restart = \"never\"\n"));
    project.ok(&["up", "-d"]);
    let mut pid = project.pid_of("still");
    for run in 1..=2 {
        let shim = parent_of(pid);
        if run == 2 {
            project.crash();
        }
        kill(shim, Signal::KILL);
        eventually("the shim is gone", || (!lives(shim)).then_some(()));
        let view = eventually("that is noticed", || {
            Some(project.process("still")).filter(|view| view["pid"].is_null())
        });
        assert_eq!((&view["state"], &view["run"]), (&"failed".into(), &run.into()), "{view}");
        assert!(!lives(pid), "its child stayed as a ghost");
        let told = project.ok(&["diagnose", "still"]);
        assert!(told.contains("its shim died, so its exit status is not known"), "{told}");
        let remark = eventually("a line of log", || {
            let logs = project.ok(&["logs", "--json"]);
            let of_run = format!("\"run\":{run},");
            let remark = logs.lines().find(|line| line.contains("its shim died") && line.contains(&of_run));
            remark.map(str::to_owned)
        });
        assert!(remark.contains("\"stream\":\"ostler\""), "{remark}");
        if run == 1 {
            project.ok(&["start", "still"]);
            pid = project.pid_of("still");
        }
    }
}

#[test]
fn where_a_killed_shim_may_have_lost_output_the_log_says_so_once() {
    let project = Project::new(TELLER);
    let told = || fs::read_to_string(project.path("project/told")).unwrap_or_default().trim().parse().ok();
    let until_told = |more: u64| eventually("it has told more", || told().filter(|told| *told >= more));
    project.ok(&["up", "-d"]);
    let runs = project.state().join("runs");
    project.ok(&["stop", "teller"]);
    for (run, is_crash) in [(2, false), (3, true)] {
        let _ = fs::remove_file(project.path("project/told"));
        project.ok(&["start", "teller"]);
        until_told(20);
        let shim = parent_of(project.pid_of("teller"));
        if is_crash {
            project.crash();
        }
        // From now on what is told stays in the pipe.
        kill(shim, Signal::STOP);
        let lost_from: u64 = eventually("it tells something", told);
        until_told(lost_from + 10);
        if is_crash {
            copy_files(&runs.join("3"), &project.path("copy")).unwrap();
        }
        kill(shim, Signal::KILL);
        project.until("teller", "failed");
        let lines = eventually("the log says what it knows", || {
            let lines: Vec<Value> =
                project.lines("teller").into_iter().filter(|line| line["run"] == run).collect();
            lines
                .iter()
                .any(|line| line["text"].as_str().unwrap().contains("may be missing here"))
                .then_some(lines)
        });
        let stored = lines.iter().filter(|line| line["stream"] == "stdout").count() as u64;
        assert!(stored < lost_from + 10 && stored > 0, "{stored} lines are stored, {lost_from} were told");
        let is_mark =
            |line: &Value| line["text"].as_str().unwrap().starts_with("[ostler] output may be missing");
        let marks: Vec<usize> = (0..lines.len()).filter(|index| is_mark(&lines[*index])).collect();
        let last = lines.iter().rposition(|line| line["stream"] == "stdout").unwrap();
        assert!(marks.len() == 1 && marks[0] > last, "{marks:?} behind {last}");
        let mark = &lines[marks[0]];
        assert_eq!((&mark["stream"], &mark["level"]), (&"ostler".into(), &"warn".into()), "{mark}");
        let diagnosis = project.ok(&["diagnose", "teller"]);
        assert!(diagnosis.contains("the last of its output may be missing"), "{diagnosis}");
    }
    // Nobody says so of a run that has ended in order.
    project.ok(&["start", "teller"]);
    project.ok(&["stop", "teller"]);
    let is_told = |line: &Value| line["run"] == 4 && line["stream"] == "ostler";
    assert!(!project.lines("teller").iter().any(is_told));
    // Nor does a daemon that comes later, though the one before it died before it could remove the directory.
    project.crash();
    copy_files(&project.path("copy"), &runs.join("3")).unwrap();
    project.ok(&["ps"]);
    eventually("the directory is gone", || (!runs.join("3").exists()).then_some(()));
    let marks =
        project.lines("teller").into_iter().filter(|line| line["text"].as_str().unwrap().contains("here:"));
    assert_eq!(marks.count(), 2);
}

/// Copies a directory of files.
fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)?.flatten() {
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

#[test]
fn a_run_that_cannot_say_what_it_is_asked_for_since_is_told_of() {
    let project = Project::new(STILL);
    project.ok(&["up", "-d"]);
    let pid = project.pid_of("still");
    let warning = || project.json(&["inspect", "still", "--json"])["warning"].to_string();
    assert_eq!(warning(), "null");
    project.crash();
    let config = project.path("project/ostler.toml");
    fs::write(&config, format!("{STILL}ready = {{ notify = true }}\n")).unwrap();
    // A child is not ended because its daemon was.
    assert_eq!(project.pid_of("still"), pid);
    assert!(warning().contains("started without NOTIFY_SOCKET"), "{}", warning());
    project.ok(&["restart", "still"]);
    assert_eq!(warning(), "null");
}

#[test]
fn a_frozen_shim_costs_its_child_nothing() {
    let project = Project::new(STILL);
    project.ok(&["up", "-d"]);
    project.until_logged("up");
    let pid = project.pid_of("still");
    let shim = parent_of(pid);
    project.crash();
    kill(shim, Signal::STOP);
    let view = project.until("still", "unhealthy");
    assert_eq!((view["pid"].as_i64(), &view["run"]), (Some(pid), &1.into()), "{view}");
    assert!(project.ok(&["diagnose", "still"]).contains("its shim does not answer"));
    kill(shim, Signal::CONT);
    project.until("still", "running");
    assert_eq!(project.pid_of("still"), pid);
}

#[test]
fn readiness_without_a_port_outlives_the_daemon() {
    let project = Project::new(
        "[process.ready]\ncommand = \"echo 'INFO:     Application startup complete.'; exec sleep 1000\"\n\
         shell = true\n",
    );
    project.ok(&["up", "-d"]);
    project.ok(&["wait", "ready"]);
    eventually("that is written down", || {
        let count: i64 =
            project.catalogue().query_row("SELECT sum(ready) FROM runs", (), |row| row.get(0)).unwrap();
        (count == 1).then_some(())
    });
    project.crash();
    let view = project.process("ready");
    assert_eq!((&view["state"], &view["ready"]), (&"ready".into(), &true.into()), "{view}");
}

#[test]
fn after_a_restart_of_the_machine_nobody_is_signalled_and_nothing_starts_by_itself() {
    let project = Project::new(STILL);
    project.ok(&["up", "-d"]);
    let pid = project.pid_of("still");
    let shim = parent_of(pid);
    project.crash();
    for gone in [shim, pid] {
        kill(gone, Signal::KILL);
        eventually("it is gone", || (!lives(gone)).then_some(()));
    }
    // Somebody else has the pid by now, and was started at the very tick, as far as the record can tell.
    let mut innocent = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let id = i64::from(innocent.id());
    let take = "UPDATE runs SET pid = ?1, pid_start = ?2, boot = 'another'";
    assert_eq!(project.catalogue().execute(take, (id, start_of(id))).unwrap(), 1);
    let view = project.process("still");
    assert_eq!((&view["state"], view["pid"].as_i64()), (&"stopped".into(), None), "{view}");
    let told = project.ok(&["diagnose", "still"]);
    assert!(told.contains("the machine was restarted"), "{told}");
    assert!(lives(id), "a pid of another boot was signalled");
    // The daemon after that one must not take it for a crash.
    project.crash();
    assert_eq!(project.process("still")["state"], "stopped");
    project.ok(&["up", "-d"]);
    project.pid_of("still");
    innocent.kill().unwrap();
    innocent.wait().unwrap();
}

#[test]
fn state_of_a_newer_ostler_is_declined_with_a_sentence() {
    let project = Project::new(STILL);
    project.ok(&["up", "-d"]);
    project.ok(&["down"]);
    let file = project.state().join("project.json");
    let old = fs::read_to_string(&file).unwrap();
    fs::write(&file, r#"{"format": 99, "version": "9.0.0"}"#).unwrap();
    let done = project.run(&["ps"]);
    assert_eq!(done.code, 4, "{}{}", done.stdout, done.stderr);
    assert!(done.stderr.contains("newer Ostler (version 9.0.0, state format 99"), "{}", done.stderr);
    fs::write(&file, old).unwrap();
    project.ok(&["ps"]);
}
