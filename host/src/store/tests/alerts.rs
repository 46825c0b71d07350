//! Alerts in the catalogue: found by process and by place, walked through without gaps, bounded, and added to old formats.

use rusqlite::Connection;
use tempfile::TempDir;

use super::name;
use crate::model::{Level, RunId, Seq, Time};
use crate::store::catalogue::{MIGRATIONS, migrate};
use crate::store::{AlertQuery, AlertRecord, AlertsSince, Catalogue};

fn record(id: u64, process: &str) -> AlertRecord {
    AlertRecord {
        id,
        name: "errors".into(),
        process: name(process),
        run: RunId(id / 3),
        seq: Seq(id * 10),
        time: Time(id as i64 * 1000),
        level: Level::Error,
        what: "an event at error".into(),
        text: "no cart".into(),
        message: Some("look".into()),
        meanwhile: 1,
        more: 0,
        until: Time(id as i64 * 1000 + 500),
    }
}

fn filled(dir: &TempDir, count: u64) -> Catalogue {
    let catalogue = Catalogue::open(&dir.path().join("catalogue.sqlite")).unwrap();
    for id in 1..=count {
        catalogue.add_alert(&record(id, if id % 2 == 0 { "db" } else { "api" })).unwrap();
    }
    catalogue
}

fn ids(catalogue: &Catalogue, processes: &[&str], since: AlertsSince, limit: usize) -> (Vec<u64>, bool) {
    let processes = processes.iter().map(|process| name(process)).collect();
    let (alerts, more) = catalogue.alerts(&AlertQuery { processes, since, limit }).unwrap();
    (alerts.iter().map(|alert| alert.id).collect(), more)
}

#[test]
fn alerts_are_found_by_process_and_by_place() {
    let dir = TempDir::new().unwrap();
    let catalogue = filled(&dir, 9);
    let all = catalogue.alerts(&AlertQuery { limit: 99, ..AlertQuery::default() }).unwrap().0;
    assert_eq!(all[0], record(1, "api"));
    assert_eq!(ids(&catalogue, &[], AlertsSince::Ever, 3), (vec![7, 8, 9], true));
    assert_eq!(ids(&catalogue, &["db"], AlertsSince::Ever, 4), (vec![2, 4, 6, 8], false));
    assert_eq!(ids(&catalogue, &[], AlertsSince::Line(Seq(70)), 9), (vec![8, 9], false));
    assert_eq!(ids(&catalogue, &[], AlertsSince::Time(Time(8000)), 9), (vec![8, 9], false));
    assert_eq!(ids(&catalogue, &["api"], AlertsSince::Run(RunId(2)), 9), (vec![7, 9], false));
    assert_eq!(catalogue.newest_alert().unwrap(), 9);
}

#[test]
fn a_walk_from_alert_to_alert_meets_each_once() {
    let dir = TempDir::new().unwrap();
    let catalogue = filled(&dir, 9);
    let (mut met, mut place) = (Vec::new(), 0);
    loop {
        let (page, more) = ids(&catalogue, &[], AlertsSince::Alert(place), 2);
        place = page.last().copied().unwrap_or(place);
        met.extend(page);
        if !more {
            break;
        }
    }
    assert_eq!(met, (1..=9).collect::<Vec<u64>>());
}

#[test]
fn counts_are_noted_and_what_is_there_is_not_written_twice() {
    let dir = TempDir::new().unwrap();
    let catalogue = filled(&dir, 1);
    catalogue.set_alert_more(1, 37).unwrap();
    catalogue.set_alert_more(99, 1).unwrap();
    catalogue.add_alert(&record(1, "db")).unwrap();
    let (alerts, _) = catalogue.alerts(&AlertQuery { limit: 9, ..AlertQuery::default() }).unwrap();
    assert_eq!(alerts, [AlertRecord { more: 37, ..record(1, "api") }]);
}

#[test]
fn a_catalogue_of_the_format_before_has_no_alerts_and_takes_them() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("catalogue.sqlite");
    let mut connection = Connection::open(&path).unwrap();
    migrate(&mut connection, &MIGRATIONS[..5]).unwrap();
    drop(connection);
    let catalogue = Catalogue::open(&path).unwrap();
    assert_eq!(catalogue.newest_alert().unwrap(), 0);
    catalogue.add_alert(&record(1, "api")).unwrap();
    assert_eq!(catalogue.newest_alert().unwrap(), 1);
}
