//! Tests of counting requests: what facts lead to, and what it costs.

use super::*;

const NOW: Time = Time(1_795_163_365_000_000_000);

fn seconds_later(seconds: u64) -> Time {
    Time(NOW.0 + 1_000_000_000 * seconds as i64)
}

fn name(name: &str) -> ProcessName {
    ProcessName::new(name).unwrap()
}

fn fact(process: &str, run: u64, fields: &[(&str, &str)]) -> Fact {
    let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Fact { run: RunId(run), process: name(process), time: NOW, kind: KIND.to_owned(), fields }
}

fn request(path: &str, status: &str, ms: &str) -> Fact {
    fact("api", 1, &[("method", "GET"), ("path", path), ("status", status), ("ms", ms)])
}

fn taken(facts: &[Fact]) -> RequestSummary {
    let requests = Requests::default();
    facts.iter().for_each(|fact| requests.take(fact, NOW));
    requests.of(&name("api"), NOW).expect("there are requests")
}

#[test]
fn requests_are_counted_by_how_they_ended_and_by_route() {
    let summary = taken(&[
        request("/orders/1", "200", "10"),
        request("/orders/2?page=3", "200", "12.5"),
        request("/orders/3", "503", "2000"),
        request("/missing", "404", "1"),
    ]);
    let Window { count, client_errors, errors, timed, p50_ms, p95_ms, .. } = summary.last_minute;
    assert_eq!((count, client_errors, errors, timed), (4, 1, 1, 4));
    assert!(p50_ms.is_some_and(|ms| (ms - 10.0).abs() <= 0.5), "{p50_ms:?}");
    assert!(p95_ms.is_some_and(|ms| (ms - 2000.0).abs() <= 100.0), "{p95_ms:?}");
    assert_eq!(summary.last_15_minutes.count, 4);
    let routes: Vec<_> = summary.routes.iter().map(|r| (r.route.as_str(), r.count, r.errors)).collect();
    assert_eq!(routes, [("GET /orders/:id", 3, 1), ("GET /missing", 1, 0)]);
}

#[test]
fn a_flood_counts_in_full_though_only_some_of_it_is_told() {
    let counted = |status: &str, count: &str| fact("api", 1, &[("status", status), ("count", count)]);
    let summary = taken(&[
        request("/a", "200", "1"),
        counted("2xx", "4000"),
        counted("4xx", "30"),
        counted("5xx", "7"),
    ]);
    let window = summary.last_minute;
    assert_eq!((window.count, window.client_errors, window.errors, window.timed), (4038, 30, 7, 1));
    assert_eq!(summary.routes[0].count, 1);
}

#[test]
fn a_program_that_prints_no_durations_has_no_percentiles() {
    let plain = fact("api", 1, &[("method", "GET"), ("path", "/"), ("status", "200")]);
    let summary = taken(&[plain]);
    assert_eq!((summary.last_minute.p50_ms, summary.last_minute.p95_ms), (None, None));
    assert_eq!(summary.routes[0].p95_ms, None);
}

#[test]
fn restarts_do_not_begin_anew_and_the_present_run_is_counted_apart() {
    let of_run = |run: u64, status: &str| fact("api", run, &[("status", status)]);
    // The last line of the first run comes late.
    let summary = taken(&[of_run(1, "500"), of_run(2, "200"), of_run(1, "500"), of_run(2, "200")]);
    assert_eq!((summary.last_minute.count, summary.last_minute.errors), (4, 2));
    assert_eq!((summary.run, summary.run_count, summary.run_errors), (RunId(2), 2, 0));
}

#[test]
fn whatever_a_plugin_says_is_one_request_at_least_and_a_batch_at_most() {
    let nonsense = |key: &str, value: &str| fact("api", 1, &[(key, value)]);
    for (fact, count) in [
        (nonsense("count", "99999999999999999999"), 1),
        (nonsense("count", "4000000000"), bounds::BATCH_LINES as u64),
        (nonsense("count", "-5"), 1),
        (nonsense("count", "0"), 1),
        (nonsense("ms", "NaN"), 1),
        (nonsense("ms", "-1"), 1),
        (nonsense("ms", "inf"), 1),
        (nonsense("status", "\u{fffd}"), 1),
    ] {
        let window = taken(std::slice::from_ref(&fact)).last_minute;
        assert_eq!((window.count, window.timed, window.errors), (count, 0, 0), "{fact:?}");
    }
}

#[test]
fn what_is_long_past_is_not_told() {
    let requests = Requests::default();
    requests.take(&request("/", "200", "1"), NOW);
    let later = |minutes: u64| seconds_later(60 * minutes);
    assert!(requests.of(&name("api"), later(14)).is_some_and(|summary| summary.last_minute.count == 0));
    assert_eq!(requests.of(&name("api"), later(17)), None);
    assert_eq!(requests.of(&name("web"), NOW), None);
}

#[test]
fn the_name_without_requests_for_longest_makes_room() {
    let requests = Requests::default();
    for number in 0..=bounds::REQUEST_PROCESSES {
        let process = format!("p{number}");
        let now = Time(NOW.0 + number as i64);
        requests.take(&fact(&process, 1, &[]), now);
    }
    assert_eq!(requests.of_process.read().unwrap().len(), bounds::REQUEST_PROCESSES);
    assert_eq!(requests.of(&name("p0"), NOW), None);
    assert!(requests.of(&name("p1"), NOW).is_some());
}

#[test]
fn fifty_busy_processes_take_less_than_a_mebibyte() {
    let mut tally = Tally::default();
    for second in 0..2000_u64 {
        let now = seconds_later(second);
        for number in 0..60 {
            let path = format!("/{}/{}", "long".repeat(30), "abc".repeat(number % 40));
            let path = if number % 2 == 0 { path } else { format!("/{}", "x".repeat(number)) };
            let mut request = request(&path, "200", &(1 << (number % 20)).to_string());
            request.time = now;
            tally.take(&request, now);
        }
    }
    assert!(tally.bytes() * 50 < 1 << 20, "{} bytes each", tally.bytes());
}
