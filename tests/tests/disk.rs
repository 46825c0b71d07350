//! A full disk and a read-only one, under the built programs: children run on, Ostler says what is wrong, and what is
//! missing in the log is counted where it is missing.
//!
//! The disks are small ones of the tests' own, mounted where nobody else sees them. That takes root; without it the
//! tests say on standard error that they were skipped.

use ostler_tests::disk::{Disk, Filler};
use ostler_tests::project::{Follower, Project, eventually, is_alive};
use ostler_tests::shown::{Exit, Line};
use serde_json::Value;

const MISBEHAVE: &str = env!("CARGO_BIN_EXE_misbehave");

/// Size of the disks, in bytes: somewhat more than the 128 MiB that Ostler leaves free for others.
const DISK_BYTES: u64 = 192 << 20;

const SIGTERM: Exit = Exit { code: None, signal: Some(libc::SIGTERM) };

#[test]
fn on_a_full_disk_children_run_on_and_what_is_missing_is_counted_in_place() {
    let Some(disk) = Disk::tmpfs(DISK_BYTES) else { return };
    let project = project_on(&disk);
    let mut follower = project.follow("ticker");
    project.ok(&["up", "-d"]);
    let pid = project.pid("ticker");
    let mut lines = Vec::new();
    read_beyond(&mut follower, &mut lines, 10);

    let filler = fill_until_output_is_lost(&disk, &project);
    tells_of(&project.warnings(), "full").expect("a warning says that the disk is full");
    let refused = project.run(&["start", "other"]).expect_code(1);
    assert!(refused.stderr.contains("other") && refused.stderr.contains("space"), "{}", refused.stderr);
    assert_eq!((project.view("other").pid, project.view("other").restarts), (None, 0));
    assert_eq!(project.pid("ticker"), pid, "it was hurt by it");

    drop(filler);
    read_beyond_gap(&mut follower, &mut lines);
    assert_whole_or_counted(&lines);
    eventually("nothing is warned of any more", || match project.warnings() {
        warnings if warnings.is_empty() => Ok(()),
        warnings => Err(warnings.join("\n")),
    });
    project.ok(&["start", "other"]);
    project.wait_log("other", "^ready$");
    assert_eq!(project.pid("ticker"), pid, "it was started again");
}

#[test]
fn on_a_full_disk_what_is_missing_at_the_end_of_a_run_is_counted_too() {
    let Some(disk) = Disk::tmpfs(DISK_BYTES) else { return };
    let project = project_on(&disk);
    let mut follower = project.follow("ticker");
    project.ok(&["up", "-d"]);
    let mut lines = Vec::new();
    read_beyond(&mut follower, &mut lines, 10);

    let filler = fill_until_output_is_lost(&disk, &project);
    tells_of(&project.warnings(), "full").expect("a warning says that the disk is full");
    project.ok(&["stop", "ticker"]);
    let view = project.view("ticker");
    assert_eq!((view.state.as_str(), view.pid, view.exit), ("stopped", None, Some(SIGTERM)), "{view:?}");

    drop(filler);
    eventually("the log tells that output is missing", || {
        lines.extend(follower.next_page());
        if lines.last().is_some_and(|line| dropped(line).is_some()) { Ok(()) } else { Err(last(&lines)) }
    });
    assert_whole_or_counted(&lines);
    eventually("how it ended is written down", || {
        let diagnosis: Value = project.ok(&["diagnose", "ticker", "--json"]).json();
        let ended = &diagnosis["runs"][0]["ended"];
        if ended.is_string() { Ok(()) } else { Err(diagnosis["runs"].to_string()) }
    });
    eventually("what the user wants is written down", || {
        let log = project.daemon_log();
        if log.contains("recorded what is wanted process=ticker up=false") { Ok(()) } else { Err(log) }
    });
    project.kill_daemon();
    let view = project.view("ticker");
    assert_eq!((view.state.as_str(), view.exit), ("stopped", Some(SIGTERM)), "the next daemon does not know");
    assert!(follower.next_page().is_empty(), "the next daemon has told again what is missing");
}

#[test]
fn a_daemon_that_dies_on_a_full_disk_is_followed_by_one_that_says_so_and_then_by_one_that_works() {
    let Some(disk) = Disk::tmpfs(DISK_BYTES) else { return };
    let project = project_on(&disk);
    let mut follower = project.follow("ticker");
    project.ok(&["up", "-d"]);
    let pid = project.pid("ticker");
    let mut lines = Vec::new();
    read_beyond(&mut follower, &mut lines, 10);

    let filler = fill_until_output_is_lost(&disk, &project);
    tells_of(&project.warnings(), "full").expect("a warning says that the disk is full");
    project.kill_daemon();
    // Whether a daemon can start depends on what room its files have left within their blocks.
    let list = project.run(&["ps", "--json"]);
    if list.code != Some(0) {
        let finished = list.expect_code(4);
        assert!(finished.stderr.contains("space"), "{}", finished.stderr);
    }
    assert!(is_alive(pid), "the child died");

    drop(filler);
    assert_eq!(project.pid("ticker"), pid, "it was started again");
    read_beyond_gap(&mut follower, &mut lines);
    assert_whole_or_counted(&lines);
    project.ok(&["stop", "ticker"]);
    assert_eq!(project.view("ticker").exit, Some(SIGTERM));
}

#[test]
fn what_is_added_on_a_full_disk_is_written_down_once_there_is_room() {
    let Some(disk) = Disk::tmpfs(DISK_BYTES) else { return };
    let project = project_on(&disk);
    project.ok(&["up", "-d"]);
    project.wait_log("ticker", "^line 10$");
    let filler = fill_until_output_is_lost(&disk, &project);
    // More than the catalogue has room for in what it has of the disk.
    let large: Vec<String> = (0..6).map(|number| format!("LARGE{number}={}", "x".repeat(100_000))).collect();
    let mut add = vec!["add", "late", "--no-start"];
    add.extend(large.iter().flat_map(|variable| ["--env", variable]));
    add.extend(["--", "sleep", "1000"]);
    project.ok(&add);
    assert_eq!(project.view("late").state, "stopped");
    tells_of(&project.warnings(), "not written down").expect("a warning says what would be lost");

    drop(filler);
    eventually("nothing is warned of any more", || match project.warnings() {
        warnings if warnings.is_empty() => Ok(()),
        warnings => Err(warnings.join("\n")),
    });
    project.kill_daemon();
    assert_eq!(project.view("late").state, "stopped", "the next daemon does not know of it");
}

#[test]
fn a_daemon_that_cannot_write_its_state_says_so_and_starts_nothing() {
    let Some(disk) = Disk::tmpfs(DISK_BYTES) else { return };
    let project = project_on(&disk);
    disk.remount("ro");
    for args in [&["up", "-d"][..], &["start", "ticker"], &["ps"]] {
        let refused = project.run(args).expect_code(4);
        let path = disk.path().display().to_string();
        for words in ["Read-only file system", path.as_str()] {
            assert!(refused.stderr.contains(words), "{args:?}: no {words:?} in {}", refused.stderr);
        }
    }
    assert!(project.pids("ticker").is_empty(), "it was started");
    disk.remount("rw");
    project.ok(&["up", "-d"]);
    project.wait_log("ticker", "^line 10$");
}

#[test]
fn when_the_disk_becomes_read_only_children_run_on_and_can_be_stopped() {
    let Some(disk) = Disk::ext4(2 * DISK_BYTES) else { return };
    let project = project_on(&disk);
    let mut follower = project.follow("ticker");
    project.ok(&["up", "-d"]);
    let pid = project.pid("ticker");
    read_beyond(&mut follower, &mut Vec::new(), 10);

    // What the kernel does to a disk that gives errors: from here on every write fails, of open files too.
    disk.remount("abort");
    eventually("a warning says that the disk is read-only", || tells_of(&project.warnings(), "ead-only"));
    let refused = project.run(&["start", "other"]).expect_code(1);
    assert!(refused.stderr.contains("other"), "{}", refused.stderr);
    assert_eq!(project.view("other").pid, None);
    assert_eq!(project.pid("ticker"), pid, "it was hurt by it");
    project.ok(&["stop", "ticker"]);
    let view = project.view("ticker");
    assert_eq!((view.state.as_str(), view.pid, view.exit), ("stopped", None, Some(SIGTERM)), "{view:?}");
    assert!(!is_alive(pid));
}

/// Makes a project whose state is on `disk`: `ticker` prints numbered lines, `other` waits to be started.
fn project_on(disk: &Disk) -> Project {
    Project::with_state(MISBEHAVE, disk.path()).process("ticker", "count 1", "").process(
        "other",
        "stdin-deaf",
        "autostart = false",
    )
}

/// Fills the disk, and returns once `ticker` has printed more than fits into what is left of a block.
fn fill_until_output_is_lost(disk: &Disk, project: &Project) -> Filler {
    const BLOCK: u64 = 4096;
    let mut filler = disk.filler();
    let io = format!("/proc/{}/io", project.pid("ticker"));
    let written = || -> u64 {
        let text = std::fs::read_to_string(&io).expect("it runs");
        text.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok()).expect("see proc_pid_io(5)")
    };
    let mut before = written();
    eventually("more is printed than fits", || {
        // Others give room back now and then.
        if filler.grow() {
            before = written();
        }
        match written() - before {
            bytes if bytes > BLOCK => Ok(()),
            bytes => Err(format!("{bytes} bytes")),
        }
    });
    filler
}

fn tells_of(warnings: &[String], words: &str) -> Result<(), String> {
    if warnings.iter().any(|warning| warning.contains(words)) { Ok(()) } else { Err(format!("{warnings:?}")) }
}

/// Reads on until there is a line with a number beyond `least`.
fn read_beyond(follower: &mut Follower<'_>, lines: &mut Vec<Line>, least: u64) {
    eventually("output is stored", || {
        lines.extend(follower.next_page());
        if lines.last().and_then(number) > Some(least) { Ok(()) } else { Err(last(lines)) }
    });
}

/// Reads on until there are lines behind one that tells of missing ones.
fn read_beyond_gap(follower: &mut Follower<'_>, lines: &mut Vec<Line>) {
    eventually("output is stored again, and what is missing is told of", || {
        lines.extend(follower.next_page());
        let gap = lines.iter().position(|line| dropped(line).is_some());
        if gap.is_some_and(|gap| lines.len() > gap + 100) { Ok(()) } else { Err(last(lines)) }
    });
}

fn last(lines: &[Line]) -> String {
    format!("{:?}", lines.last())
}

fn number(line: &Line) -> Option<u64> {
    line.text.strip_prefix("line ")?.parse().ok()
}

/// Returns how many lines are missing where `line` stands.
fn dropped(line: &Line) -> Option<u64> {
    let rest = line.text.strip_prefix("[ostler] ").filter(|_| line.stream == "ostler")?;
    rest.split_once(" lines (")?.0.parse().ok()
}

/// Asserts that lines count up from 0, and that each that is missing is told of where it would be.
#[track_caller]
fn assert_whole_or_counted(lines: &[Line]) {
    let mut next = 0;
    for line in lines {
        match (number(line), dropped(line)) {
            (Some(number), _) => {
                assert_eq!(number, next, "at {line:?}");
                next += 1;
            }
            (None, Some(count)) => next += count,
            (None, None) => panic!("neither a number nor a gap: {line:?}"),
        }
    }
}
