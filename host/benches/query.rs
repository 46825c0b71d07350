//! How fast the log takes lines in, opens, and answers.
//!
//! `cargo bench -p ostler --bench query [-- --quick]`: ten million lines of about 100 bytes, one million when quick,
//! from ten processes, with one error in 10,000 lines. Each figure is the median of several rounds. Every answer is
//! checked before its time counts. The log is asked packed, as all but its newest stretch is after a moment.
//!
//! `stored_bytes_per_byte` is what ordinary log takes on the disk for each byte of it.

#[path = "support/ordinary.rs"]
mod ordinary;

use std::time::{Duration, Instant};

use ostler::model::{Level, ProcessName, RunId, Seq, SpoolPosition, Time};
use ostler::store::{
    Batch, Buckets, FieldFilter, Limits, LogPage, LogQuery, Pattern, ProcessTally, Runs, Store, Take,
};

use ordinary::Ordinary;

const BATCH: usize = 4096;
const PROCESSES: usize = 10;
const ERROR_EVERY: usize = 10_000;
const ROUNDS: usize = 9;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let lines = if quick { 1_000_000 } else { 10_000_000 };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (store, _) = Store::open(directory.path()).expect("a new log");

    let took = fill(&store, lines);
    figure("append", lines as f64 / took.as_secs_f64() / 1e6, "Mlines/s");
    store.settle();
    drop(store);
    ordinary_log(lines / 4);

    let took = median(|| drop(Store::open(directory.path()).expect("the log")));
    figure("open", milliseconds(took), "ms");
    let (store, recovery) = Store::open(directory.path()).expect("the log");
    assert_eq!((recovery.damaged_places, store.newest()), (0, Seq(lines as u64)));

    let process = ProcessName::new("process-3").expect("a name");
    let errors = lines / ERROR_EVERY;
    ask(&store, "last_100_lines", &LogQuery::default(), |page| page.lines.len() == 100);
    let query = LogQuery { limit: 10_000, ..LogQuery::default() };
    ask(&store, "last_10000_lines", &query, |page| page.lines.len() == 10_000);
    let query =
        LogQuery { processes: Some(vec![process]), min_level: Some(Level::Error), ..LogQuery::default() };
    let expected = (errors / PROCESSES).min(100);
    ask(&store, "last_100_errors_of_one_process", &query, |page| page.lines.len().abs_diff(expected) <= 10);

    let all = LogQuery { limit: 100_000, take: Take::Oldest, ..LogQuery::default() };
    for (name, pattern, found) in [
        ("regex_literal", "connection refused", errors),
        ("regex_ignoring_case", "(?i)connection REFUSED", errors),
        ("regex_classes", r"user=\d+ status=50[0-9]", 0),
        ("regex_without_literals", r"[A-Z]{3}\d{7}[xyz]", 0),
        ("regex_no_match", "never printed", 0),
    ] {
        let query = LogQuery { pattern: Some(Pattern::new(pattern).expect("a pattern")), ..all.clone() };
        ask(&store, name, &query, |page| page.lines.len() == found && !page.more);
    }
    // The first is in every line and the second in none, so that all lines are taken apart, and none.
    for (name, filter) in [("fields_in_every_line", "status>=500"), ("fields_in_no_line", "tenant=7")] {
        let query = LogQuery { fields: vec![FieldFilter::parse(filter).expect("a filter")], ..all.clone() };
        ask(&store, name, &query, |page| page.lines.is_empty() && !page.more);
    }
    let query = LogQuery { min_level: Some(Level::Error), ..all };
    ask(&store, "all_errors", &query, |page| page.lines.len() == errors);

    let buckets = Buckets { begin: Time(0), width: lines as i64 * 1_000 / 600 + 1, count: 600 };
    let count = || store.tally(&LogQuery::default(), &Runs::All, buckets);
    assert_eq!(count().processes.values().map(ProcessTally::lines).sum::<u64>(), lines as u64);
    figure("tally_of_all", milliseconds(median(|| drop(count()))), "ms");
}

/// Prints how well ordinary log is packed, how fast, and how fast it is searched then.
fn ordinary_log(lines: usize) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Nothing is packed but when it is asked for, so that the time is that of packing alone.
    let limits = Limits { pack: false, ..Limits::default() };
    let (store, _) = Store::open_with(directory.path(), limits).expect("a new log");
    let (mut source, mut bytes, mut errors) = (Ordinary::new(), 0, 0);
    let process = ProcessName::new("shop").expect("a name");
    for done in (0..lines).step_by(512) {
        let (mut text, mut ends, mut levels) = (Vec::new(), Vec::new(), Vec::new());
        for _ in done..lines.min(done + 512) {
            let (line, level) = source.next_line();
            errors += usize::from(line.contains("Traceback"));
            text.extend_from_slice(line.as_bytes());
            ends.push(text.len() as u32);
            levels.push(level as u8);
        }
        // Lines that were read together have one time.
        let times: Vec<_> = (0..ends.len()).map(|number| ((done + number) / 8) as i64 * 100_003).collect();
        bytes += text.len() + ends.len();
        let batch = Batch {
            run: RunId(1),
            process: &process,
            text: &text,
            ends: &ends,
            levels: &levels,
            streams: &vec![1; ends.len()],
            flags: &vec![0; ends.len()],
            times: &times,
            position: SpoolPosition::default(),
        };
        store.append(&batch).expect("room for the log");
    }
    drop(store);
    let (store, _) = Store::open_with(directory.path(), limits).expect("the log");
    // The last segment grows and is not packed; clearing what is not there seals it.
    let nobody = ProcessName::new("nobody").expect("a name");
    let begun = Instant::now();
    store.clear(Some(&[nobody])).expect("room for the log");
    figure("pack", bytes as f64 / begun.elapsed().as_secs_f64() / 1e6, "MB/s");
    figure("stored_bytes_per_byte", store.bytes() as f64 / bytes as f64, "bytes");
    let all = LogQuery { limit: 100_000, take: Take::Oldest, ..LogQuery::default() };
    for (name, pattern, found) in [
        ("ordinary_regex_literal", "Traceback", errors),
        ("ordinary_regex_classes", r"user=\d+ status=50[0-9]", 0),
    ] {
        let query = LogQuery { pattern: Some(Pattern::new(pattern).expect("a pattern")), ..all.clone() };
        ask(&store, name, &query, |page| page.lines.len() == found && !page.more);
    }
}

/// Appends `lines` lines in batches and returns how long that took.
fn fill(store: &Store, lines: usize) -> Duration {
    let processes: Vec<_> = (0..PROCESSES)
        .map(|number| ProcessName::new(&format!("process-{number}")).expect("a name"))
        .collect();
    let mut took = Duration::ZERO;
    let mut done = 0;
    while done < lines {
        let count = BATCH.min(lines - done);
        let which = done / BATCH % PROCESSES;
        let (mut text, mut ends, mut levels) = (Vec::new(), Vec::new(), Vec::new());
        for number in done..done + count {
            let is_error = number % ERROR_EVERY == ERROR_EVERY / 2;
            let line = if is_error {
                format!(
                    "2026-11-20 08:29:25,123 ERROR shop.db: connection refused by 127.0.0.1:5432 request {number}"
                )
            } else {
                format!(
                    "2026-11-20 08:29:25,123 INFO shop.views: GET /api/orders/{number} user={} status=200 in 12 ms ok",
                    number % 997
                )
            };
            text.extend_from_slice(line.as_bytes());
            ends.push(text.len() as u32);
            levels.push(if is_error { Level::Error } else { Level::Info } as u8);
        }
        let (streams, flags) = (vec![1; count], vec![0; count]);
        let times: Vec<_> = (done..done + count).map(|number| number as i64 * 1_000).collect();
        let batch = Batch {
            run: RunId(which as u64),
            process: &processes[which],
            text: &text,
            ends: &ends,
            levels: &levels,
            streams: &streams,
            flags: &flags,
            times: &times,
            position: SpoolPosition::default(),
        };
        let start = Instant::now();
        store.append(&batch).expect("room for the log");
        took += start.elapsed();
        done += count;
    }
    took
}

fn ask(store: &Store, name: &str, query: &LogQuery, is_right: impl Fn(&LogPage) -> bool) {
    let page = store.query(query);
    assert!(is_right(&page), "{name}: {} lines, more: {}", page.lines.len(), page.more);
    figure(name, milliseconds(median(|| drop(store.query(query)))), "ms");
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[ROUNDS / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("figure {name} {value:.3} {unit}");
}
