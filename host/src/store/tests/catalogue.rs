//! The catalogue: runs, wishes, migrations, foreign files.

use std::path::Path;

use rusqlite::Connection;

use crate::model::{Exit, ProcessName, RunId, Time};
use crate::store::catalogue::{MIGRATIONS, format, migrate};
use crate::store::{Catalogue, KnownReady, Memo, NewRun, ProcessId, RunRecord, Wanted};

fn open() -> (tempfile::TempDir, Catalogue) {
    let directory = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::open(&directory.path().join("catalogue.sqlite")).unwrap();
    (directory, catalogue)
}

fn name(text: &str) -> ProcessName {
    ProcessName::new(text).unwrap()
}

fn begin(catalogue: &Catalogue, process: &str) -> RunId {
    let command = ["python".to_owned(), "a \"b\" ä".to_owned()];
    catalogue
        .begin_run(NewRun {
            process: &name(process),
            command: &command,
            cwd: Path::new("/srv/shop"),
            reason: "cli",
            started_at: Time(7),
            boot: Some("b-1"),
        })
        .unwrap()
}

#[test]
fn a_run_is_found_as_it_was_entered_also_after_reopening() {
    let (directory, catalogue) = open();
    let run = begin(&catalogue, "api");
    let child = ProcessId { pid: 11, start: u64::MAX };
    catalogue.run_spawned(run, child).unwrap();
    drop(catalogue);

    let catalogue = Catalogue::open(&directory.path().join("catalogue.sqlite")).unwrap();
    let expected = RunRecord {
        run,
        process: name("api"),
        command: vec!["python".into(), "a \"b\" ä".into()],
        cwd: "/srv/shop".into(),
        reason: "cli".into(),
        started_at: Time(7),
        child: Some(child),
        ended_at: None,
        exit: None,
        spawn_error: None,
        note: None,
        memo: Memo { boot: Some("b-1".into()), ..Memo::default() },
    };
    assert_eq!(catalogue.open_runs().unwrap(), [expected]);
}

#[test]
fn a_run_ends_once() {
    let (_directory, catalogue) = open();
    let run = begin(&catalogue, "api");
    let killed = Exit { code: None, signal: Some(9) };
    catalogue.end_run(run, Time(9), killed, Some("out of memory")).unwrap();
    catalogue.end_run(run, Time(10), Exit { code: Some(0), signal: None }, None).unwrap();
    let record = catalogue.run(run).unwrap().unwrap();
    assert_eq!((record.ended_at, record.exit), (Some(Time(9)), Some(killed)));
    assert_eq!(record.note.as_deref(), Some("out of memory"));
    assert!(catalogue.open_runs().unwrap().is_empty());
}

#[test]
fn a_run_that_was_not_spawned_has_an_error_and_no_exit() {
    let (_directory, catalogue) = open();
    let run = begin(&catalogue, "api");
    catalogue.run_not_spawned(run, Time(8), "no such program: pyton").unwrap();
    let record = catalogue.run(run).unwrap().unwrap();
    assert_eq!(record.exit, None);
    assert_eq!(record.spawn_error.as_deref(), Some("no such program: pyton"));
    assert!(catalogue.open_runs().unwrap().is_empty());
}

#[test]
fn runs_of_a_process_come_newest_first() {
    let (_directory, catalogue) = open();
    let runs: Vec<_> = ["api", "web", "api", "api"].map(|process| begin(&catalogue, process)).into();
    let found: Vec<_> = catalogue.runs_of(&name("api"), 2).unwrap().iter().map(|record| record.run).collect();
    assert_eq!(found, [runs[3], runs[2]]);
    assert_eq!(catalogue.run(RunId(99)).unwrap(), None);
}

#[test]
fn an_unknown_run_is_an_error_that_names_it() {
    let (_directory, catalogue) = open();
    let error = catalogue.run_spawned(RunId(5), ProcessId { pid: 1, start: 1 }).unwrap_err();
    assert!(error.to_string().contains("run 5"), "{error}");
}

#[test]
fn what_is_wanted_is_replaced_and_forgotten() {
    let (_directory, catalogue) = open();
    let wanted = |process: &str, up| Wanted { process: name(process), up, updated_at: Time(1) };
    for entry in [wanted("web", true), wanted("api", true), wanted("api", false), wanted("old", true)] {
        catalogue.set_wanted(&entry).unwrap();
    }
    catalogue.forget_wanted(&name("old")).unwrap();
    assert_eq!(catalogue.wanted_all().unwrap(), [wanted("api", false), wanted("web", true)]);
}

#[test]
fn a_newer_format_is_declined_and_left_alone() {
    let (directory, catalogue) = open();
    begin(&catalogue, "api");
    drop(catalogue);
    let path = directory.path().join("catalogue.sqlite");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Catalogue::open(&path).unwrap_err().to_string();
    assert!(error.contains("format 99") && error.contains(&format!("up to {}", MIGRATIONS.len())), "{error}");
    let checked = Catalogue::check(&path).unwrap_err().to_string();
    assert_eq!(checked, error);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn migrations_take_only_the_missing_steps_and_each_wholly() {
    let mut connection = Connection::open_in_memory().unwrap();
    let steps = ["CREATE TABLE one (x)", "CREATE TABLE two (x)", "CREATE TABLE three (x); nonsense"];
    migrate(&mut connection, &steps[..1]).unwrap();
    migrate(&mut connection, &steps[..2]).unwrap();
    assert_eq!(format(&connection).unwrap(), 2);
    migrate(&mut connection, &steps).unwrap_err();
    assert_eq!(format(&connection).unwrap(), 2);
    connection.execute("INSERT INTO two VALUES (1)", ()).unwrap();
    connection.execute("INSERT INTO three VALUES (1)", ()).unwrap_err();
}

#[test]
fn a_file_that_is_no_database_is_named_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalogue.sqlite");
    std::fs::write(&path, "not a database at all, only a text".repeat(100)).unwrap();
    let error = Catalogue::open(&path).unwrap_err().to_string();
    assert!(error.contains("catalogue.sqlite") && error.contains("move the file away"), "{error}");
}

#[test]
fn the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, catalogue) = open();
    begin(&catalogue, "api");
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

#[test]
fn what_the_next_daemon_must_know_is_kept_with_the_run() {
    let (_directory, catalogue) = open();
    let run = begin(&catalogue, "api");
    catalogue.stop_asked(run, Time(9)).unwrap();
    catalogue.known_ready(run, KnownReady::Listening).unwrap();
    catalogue.left_at_rest(run, "restarted 5 times").unwrap();
    let memo = catalogue.run(run).unwrap().unwrap().memo;
    let expected = Memo {
        boot: Some("b-1".into()),
        stop_asked: Some(Time(9)),
        ready: KnownReady::Listening,
        rest: Some("restarted 5 times".into()),
    };
    assert_eq!(memo, expected);
    catalogue.known_ready(run, KnownReady::No).unwrap();
    assert_eq!(catalogue.run(run).unwrap().unwrap().memo.ready, KnownReady::No);
}

#[test]
fn runs_of_the_first_format_are_kept_and_have_nothing_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalogue.sqlite");
    let mut connection = Connection::open(&path).unwrap();
    migrate(&mut connection, &MIGRATIONS[..1]).unwrap();
    let old = "INSERT INTO runs (process, command, cwd, reason, started_at, pid, pid_start)
               VALUES ('api', '[\"true\"]', '/srv', 'cli', 7, 11, 12)";
    connection.execute(old, ()).unwrap();
    drop(connection);
    let catalogue = Catalogue::open(&path).unwrap();
    let record = catalogue.open_runs().unwrap().pop().unwrap();
    assert_eq!((record.child, record.memo), (Some(ProcessId { pid: 11, start: 12 }), Memo::default()));
}
