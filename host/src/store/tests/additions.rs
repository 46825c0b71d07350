//! What was added: kept in its order, replaced as a whole, and each row for itself.

use std::path::PathBuf;

use rusqlite::Connection;

use crate::model::{RunId, Time};
use crate::store::catalogue::{MIGRATIONS, migrate};
use crate::store::{Addition, Catalogue, Wanted};

use super::name;

impl Catalogue {
    /// Makes the catalogue take no further additions, as on a full disk, or take them again.
    pub(crate) fn refuse_additions(&self, refuse: bool) {
        let refusing = "CREATE TRIGGER refusing BEFORE INSERT ON additions
                        BEGIN SELECT RAISE(ABORT, 'refused by a test'); END";
        let sql = if refuse { refusing } else { "DROP TRIGGER refusing" };
        self.with(|connection| connection.execute_batch(sql)).unwrap();
    }
}

fn open() -> (tempfile::TempDir, PathBuf, Catalogue) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalogue.sqlite");
    let catalogue = Catalogue::open(&path).unwrap();
    (directory, path, catalogue)
}

fn addition(kind: &str, name: &str, text: &str) -> Addition {
    Addition { kind: kind.to_owned(), name: name.to_owned(), text: text.to_owned() }
}

fn ids(path: &PathBuf) -> Vec<i64> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT id FROM additions ORDER BY id").unwrap();
    statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_is_recorded_is_all_there_is_in_its_order_also_after_reopening() {
    let (_directory, path, catalogue) = open();
    let all = [
        addition("process", "z", "[process.z]\ncommand = \"ä\"\n"),
        addition("process", "a", ""),
        addition("scale", "z", "3"),
    ];
    catalogue.record_additions(&all).unwrap();
    assert_eq!(catalogue.additions().unwrap(), all);
    drop(catalogue);
    let catalogue = Catalogue::open(&path).unwrap();
    assert_eq!(catalogue.additions().unwrap(), all);

    let fewer = [all[0].clone(), addition("scale", "z", "2")];
    catalogue.record_additions(&fewer).unwrap();
    assert_eq!(catalogue.additions().unwrap(), fewer);
    catalogue.record_additions(&[]).unwrap();
    assert_eq!(catalogue.additions().unwrap(), []);
}

#[test]
fn what_stands_there_already_is_not_written_again() {
    let (_directory, path, catalogue) = open();
    let mut all = vec![addition("process", "a", "1"), addition("process", "b", "1")];
    catalogue.record_additions(&all).unwrap();
    let before = ids(&path);
    all.push(addition("process", "c", "1"));
    catalogue.record_additions(&all).unwrap();
    assert_eq!(ids(&path)[..2], before);
    // Nobody could write now; nothing has to be.
    catalogue.refuse_additions(true);
    catalogue.record_additions(&all).unwrap();
}

#[test]
fn what_cannot_be_recorded_changes_nothing() {
    let (_directory, path, catalogue) = open();
    let all = [addition("process", "a", "1"), addition("process", "b", "1")];
    catalogue.record_additions(&all).unwrap();
    let barred = "CREATE TRIGGER no_d BEFORE INSERT ON additions WHEN new.name = 'd'
                  BEGIN SELECT RAISE(ABORT, 'no room for d'); END";
    Connection::open(&path).unwrap().execute_batch(barred).unwrap();
    let others = [addition("process", "c", "1"), addition("process", "d", "1")];
    let error = catalogue.record_additions(&others).unwrap_err().to_string();
    assert!(error.contains("no room for d"), "{error}");
    assert_eq!(catalogue.additions().unwrap(), all);
}

#[test]
fn a_row_that_is_no_text_costs_no_other() {
    let (_directory, path, catalogue) = open();
    let good = addition("process", "good", "x");
    catalogue.record_additions(std::slice::from_ref(&good)).unwrap();
    let broken = "INSERT INTO additions (kind, name, text) VALUES
                  ('process', CAST(x'ff00fe' AS TEXT), CAST(x'c0' AS TEXT)), ('', '', '')";
    Connection::open(&path).unwrap().execute_batch(broken).unwrap();
    let found = catalogue.additions().unwrap();
    assert_eq!((found.len(), &found[0]), (3, &good));
    assert!(found[1].name.contains('\u{fffd}'), "{found:?}");
    catalogue.record_additions(std::slice::from_ref(&good)).unwrap();
    assert_eq!(ids(&path).len(), 1);
}

#[test]
fn what_is_forgotten_is_gone_from_the_file() {
    let (_directory, path, catalogue) = open();
    let has = |secret: &[u8]| std::fs::read(&path).unwrap().windows(secret.len()).any(|part| part == secret);
    for (rows, expected) in [(vec![addition("process", "a", "hunter2")], true), (Vec::new(), false)] {
        let catalogue = Catalogue::open(&path).unwrap();
        catalogue.record_additions(&rows).unwrap();
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        catalogue.with(|connection| connection.query_row(sql, (), |_| Ok(()))).unwrap();
        assert_eq!(has(b"hunter2"), expected);
    }
    drop(catalogue);
}

#[test]
fn a_look_from_outside_tells_whether_there_is_any() {
    let (directory, path, catalogue) = open();
    assert!(!Catalogue::holds_additions(&path));
    catalogue.record_additions(&[addition("scale", "a", "2")]).unwrap();
    assert!(Catalogue::holds_additions(&path));
    let absent = directory.path().join("absent.sqlite");
    assert!(!Catalogue::holds_additions(&absent) && !absent.exists());
    let nonsense = directory.path().join("nonsense");
    std::fs::write(&nonsense, "no database").unwrap();
    assert!(!Catalogue::holds_additions(&nonsense));
}

#[test]
fn a_catalogue_of_the_format_before_keeps_runs_and_wishes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalogue.sqlite");
    let mut connection = Connection::open(&path).unwrap();
    migrate(&mut connection, &MIGRATIONS[..3]).unwrap();
    let old =
        "INSERT INTO runs (process, command, cwd, reason, started_at, pid, pid_start, shim_pid, shim_start)
               VALUES ('api', '[\"true\"]', '/srv', 'cli', 7, 11, 12, 13, 14);
               INSERT INTO wanted (process, up, restarts, updated_at) VALUES ('api', 1, 3, 8);";
    connection.execute_batch(old).unwrap();
    drop(connection);
    assert!(!Catalogue::holds_additions(&path), "it has no such table yet");
    let catalogue = Catalogue::open(&path).unwrap();
    assert_eq!(catalogue.open_runs().unwrap()[0].run, RunId(1));
    let wanted = Wanted { process: name("api"), up: true, updated_at: Time(8) };
    assert_eq!(catalogue.wanted_all().unwrap(), [wanted]);
    assert_eq!(catalogue.additions().unwrap(), []);
}
