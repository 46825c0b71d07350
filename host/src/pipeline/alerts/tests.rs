//! What raises an alert, what is said of it, and what stays true over daemons and changes; with made-up moments.

use std::sync::Arc;

use tempfile::TempDir;

use super::super::events::Stored;
use super::rules::tests::rule;
use super::*;

/// Alerts with a catalogue of their own, and no thread: what is to be said and written is taken from them.
struct Place {
    shared: Shared,
    dir: TempDir,
}

fn at(seconds: i64) -> Time {
    Time((1_700_000_000 + seconds) * 1_000_000_000)
}

fn name(text: &str) -> ProcessName {
    ProcessName::parse(text).unwrap()
}

fn errors() -> AlertRule {
    AlertRule { level: Some(Level::Error), ..rule("errors") }
}

fn event(process: &str, level: Level, text: &str, seconds: i64) -> Event {
    Event {
        run: RunId(3),
        process: name(process),
        stream: Stream::Stderr,
        first: Seq(10),
        last: Seq(12),
        time: at(seconds),
        level,
        lines: 1,
        text: text.to_owned(),
        fields: Vec::new(),
    }
}

impl Place {
    fn new(rules: Vec<AlertRule>) -> Self {
        Self::in_dir(tempfile::tempdir().unwrap(), rules, at(0))
    }

    fn in_dir(dir: TempDir, rules: Vec<AlertRule>, now: Time) -> Self {
        let catalogue = Arc::new(Catalogue::open(&dir.path().join("catalogue.sqlite")).unwrap());
        Self { shared: Shared::new(catalogue, rules, now).unwrap(), dir }
    }

    fn event(&self, process: &str, level: Level, text: &str, seconds: i64) {
        self.shared.take_event(&event(process, level, text, seconds), at(seconds));
    }

    /// Takes lines of one stream that are a second apart.
    fn lines(&self, process: &str, stream: Stream, lines: &[&str], from: i64) {
        let text = lines.concat().into_bytes();
        let mut end = 0;
        let ends: Vec<u32> = lines
            .iter()
            .map(|line| {
                end += line.len() as u32;
                end
            })
            .collect();
        let times: Vec<i64> = (0..lines.len()).map(|index| at(from + index as i64).0).collect();
        let batch = Stored {
            first: Seq(100),
            text: &text,
            ends: &ends,
            levels: &vec![0; lines.len()],
            streams: &vec![stream as u8; lines.len()],
            flags: &vec![0; lines.len()],
            times: &times,
            fields: &[],
        };
        let now = Time(*times.last().unwrap());
        self.shared.take_lines(&mut Alerted::default(), RunId(3), &name(process), &batch, now);
    }

    /// Returns what is to be put into logs since the last time: `run process: text`.
    fn said(&self) -> Vec<String> {
        let said = std::mem::take(&mut lock(&self.shared.watching).to_say);
        assert!(said.iter().all(|remark| remark.level == Level::Warn));
        said.iter().map(|remark| format!("{} {}: {}", remark.run, remark.process, remark.text)).collect()
    }

    fn over(&self, seconds: i64) -> Vec<String> {
        lock(&self.shared.watching).tell_over(at(seconds));
        self.said()
    }

    fn written(&self) -> Vec<AlertRecord> {
        self.shared.write().unwrap();
        let query = AlertQuery { limit: 100, ..AlertQuery::default() };
        self.shared.catalogue.alerts(&query).unwrap().0
    }
}

#[test]
fn the_first_error_is_told_the_others_are_counted_and_told_when_the_window_is_over() {
    let place = Place::new(vec![errors()]);
    place.event("api", Level::Warn, "careful", 0);
    assert_eq!(place.said(), [""; 0]);
    let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1, in b\nValueError: no cart";
    place.event("api", Level::Error, trace, 1);
    place.event("api", Level::Fatal, "worse", 2);
    place.event("api", Level::Error, "again", 300);
    assert_eq!(place.said(), ["3 api: alert errors: an event at error: ValueError: no cart"]);
    assert_eq!(place.over(300), [""; 0]);
    assert_eq!(place.over(301), ["3 api: alert errors: 2 more in the 5m after it"]);
    let written = place.written();
    assert_eq!(written.len(), 1);
    let alert = &written[0];
    assert_eq!((alert.id, alert.seq, alert.level, alert.more), (1, Seq(10), Level::Error, 2));
    assert_eq!((alert.time, alert.until), (at(1), at(301)));
    // What came is told with the next one, when nobody has told of it before.
    place.event("api", Level::Error, "new", 302);
    place.event("api", Level::Error, "newer", 303);
    place.event("api", Level::Error, "newest", 603);
    assert_eq!(
        place.said(),
        [
            "3 api: alert errors: an event at error: new",
            "3 api: alert errors: an event at error (1 more since the last alert): newest"
        ]
    );
    let more: Vec<_> = place.written().iter().map(|alert| (alert.id, alert.more, alert.meanwhile)).collect();
    assert_eq!(more, [(1, 2, 0), (2, 1, 0), (3, 0, 1)]);
}

#[test]
fn a_rate_is_of_a_process_with_all_its_replicas_and_of_no_other() {
    let within = Duration::from_secs(60);
    let rate = AlertRule { count: 3, within, message: Some("look at the shop".into()), ..errors() };
    let place = Place::new(vec![rate]);
    for (process, second) in [("api", 0), ("db", 1), ("api#2", 2), ("db", 3), ("api", 70), ("api#2", 71)] {
        place.event(process, Level::Error, "no", second);
    }
    assert_eq!(place.said(), [""; 0]);
    place.event("api#3", Level::Error, "no cart", 72);
    assert_eq!(
        place.said(),
        ["3 api#3: alert errors: look at the shop; 3 events at error within 1m: no cart"]
    );
    assert_eq!(lock(&place.shared.watching).watches.len(), 2);
}

#[test]
fn lines_that_match_count_as_lines_and_what_ostler_says_counts_for_nothing() {
    let slow = AlertRule { pattern: Some("^slow query".into()), ..rule("slow") };
    let flood = AlertRule { count: 4, within: Duration::from_secs(10), ..rule("flood") };
    let place = Place::new(vec![slow, flood]);
    place.lines("api", Stream::Ostler, &["slow query", "alert slow: a line that matches: slow query"], 0);
    place.lines("api", Stream::Stdout, &["fast", "a slow query", "\u{1b}slow query\r: 3s", "slow query"], 1);
    assert_eq!(
        place.said(),
        [
            "3 api: alert flood: 4 lines within 10s: slow query",
            "3 api: alert slow: a line that matches: slow query"
        ]
    );
}

#[test]
fn a_pattern_with_a_level_narrows_the_events() {
    let place = Place::new(vec![AlertRule { pattern: Some("^Pay.*Error".into()), ..errors() }]);
    place.event("api", Level::Error, "CartError: PaymentError", 0);
    assert_eq!(place.said(), [""; 0]);
    place.event("api", Level::Error, "it broke\nPaymentError: no", 1);
    assert_eq!(place.said().len(), 1);
    // Lines by themselves are no events.
    place.lines("db", Stream::Stdout, &["PaymentError"], 2);
    assert_eq!(place.said(), [""; 0]);
}

#[test]
fn what_an_earlier_daemon_has_raised_is_not_raised_again() {
    let place = Place::new(vec![errors()]);
    place.event("api", Level::Error, "one", 0);
    place.event("api", Level::Error, "two", 1);
    lock(&place.shared.watching).note_counts();
    assert_eq!(place.written()[0].more, 1);
    let next = Place::in_dir(place.dir, vec![errors()], at(10));
    next.event("api", Level::Error, "three", 11);
    assert_eq!(next.said(), [""; 0]);
    next.event("db", Level::Error, "other", 12);
    next.event("api", Level::Error, "four", 300);
    assert_eq!(
        next.said(),
        [
            "3 db: alert errors: an event at error: other",
            "3 api: alert errors: an event at error (1 more since the last alert): four"
        ]
    );
    let more: Vec<_> = next.written().iter().map(|alert| (alert.id, alert.more)).collect();
    assert_eq!(more, [(1, 2), (2, 0), (3, 0)]);
}

#[test]
fn other_rules_keep_what_was_raised_under_the_same_name() {
    let count = AlertRule { count: 2, within: Duration::from_secs(60), ..rule("lines") };
    let place = Place::new(vec![errors(), count.clone()]);
    place.event("api", Level::Error, "one", 0);
    place.lines("api", Stream::Stdout, &["a"], 0);
    place.said();
    // Something else is counted now, so what was counted before counts no more.
    let other = AlertRule { within: Duration::from_secs(50), ..count };
    place.shared.set_rules(vec![other.clone(), errors()]);
    place.event("api", Level::Error, "two", 1);
    place.lines("api", Stream::Stdout, &["b"], 1);
    assert_eq!(place.said(), [""; 0]);
    place.lines("api", Stream::Stdout, &["c"], 2);
    assert_eq!(place.said(), ["3 api: alert lines: 2 lines within 50s: c"]);
    place.shared.set_rules(vec![other]);
    place.event("api", Level::Error, "three", 400);
    assert_eq!(place.said(), [""; 0]);
    assert_eq!(place.written().iter().map(|alert| alert.more).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn a_run_looks_at_its_lines_by_the_rules_in_force() {
    let place = Place::new(Vec::new());
    let mut alerted = Alerted::default();
    let batch = Stored {
        first: Seq(1),
        text: b"boom",
        ends: &[4],
        levels: &[0],
        streams: &[Stream::Stdout as u8],
        flags: &[0],
        times: &[at(0).0],
        fields: &[],
    };
    let mut take = || {
        place.shared.take_lines(&mut alerted, RunId(1), &name("api"), &batch, at(0));
        place.said().len()
    };
    assert_eq!(take(), 0);
    place.shared.set_rules(vec![AlertRule { pattern: Some("boom".into()), ..rule("boom") }]);
    assert_eq!(take(), 1);
    place.shared.set_rules(Vec::new());
    assert_eq!(take(), 0);
}

#[test]
fn what_is_remembered_is_bounded_however_many_processes_there_are() {
    let place = Place::new(vec![errors()]);
    for process in 0..bounds::ALERT_WATCHED + 100 {
        place.event(&format!("p{process}"), Level::Error, &"long ".repeat(1000), 0);
    }
    let said = place.said();
    assert_eq!(said.len(), bounds::ALERT_WATCHED);
    assert!(said.iter().all(|said| said.chars().count() < bounds::ALERT_TEXT + 100));
    let watching = lock(&place.shared.watching);
    assert_eq!(watching.watches.len(), bounds::ALERT_WATCHED);
    drop(watching);
    // Once they are long past there is room again.
    place.over(301);
    place.event("late", Level::Error, "x", 10_000);
    assert_eq!(place.said().len(), 1);
}

#[test]
fn who_waits_is_told_once_an_alert_is_in_the_catalogue_and_only_the_newest_are_kept() {
    let place = Place::new(vec![errors()]);
    let newest = place.shared.newest.subscribe();
    for second in 0..bounds::ALERTS_KEPT as i64 + 5 {
        place.event("api", Level::Error, "x", second * 1000);
    }
    assert_eq!(*newest.borrow(), 0);
    place.shared.write().unwrap();
    assert_eq!(*newest.borrow(), bounds::ALERTS_KEPT as u64 + 5);
    let query = AlertQuery { limit: usize::MAX, ..AlertQuery::default() };
    let (kept, more) = place.shared.catalogue.alerts(&query).unwrap();
    assert_eq!((kept.len(), kept[0].id, more), (bounds::ALERTS_KEPT, 6, false));
}

#[test]
fn the_thread_writes_what_is_raised_and_ends_with_the_last_clone() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = Arc::new(Catalogue::open(&dir.path().join("catalogue.sqlite")).unwrap());
    let alerts = Alerts::start(Arc::clone(&catalogue), vec![errors()]).unwrap();
    let mut newest = alerts.subscribe();
    let now = Time::now();
    alerts.take_event(&Event { time: now, ..event("api", Level::Error, "x", 0) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let told = newest.wait_for(|newest| *newest == 1);
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), told).await }).unwrap().unwrap();
    assert_eq!(alerts.open().len(), 1);
    alerts.take_event(&Event { time: now, ..event("api", Level::Error, "y", 0) });
    drop((alerts, newest));
    // What was counted is written at the end too.
    let (kept, _) = catalogue.alerts(&AlertQuery { limit: 9, ..AlertQuery::default() }).unwrap();
    assert_eq!((kept.len(), kept[0].more), (1, 1));
}
