//! What requests a process has answered lately: how many, how they ended, how long they took, which routes.
//!
//! All of it is what access lines told. A program that prints no durations, such as Django's development server and
//! uvicorn, has no percentiles; one that prints no access lines has no requests.

use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::model::RunId;
use crate::pipeline::{RequestSummary, Route, Window};

/// The requests that a process has answered, over its restarts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestStats {
    pub last_minute: RequestWindow,
    pub last_15_minutes: RequestWindow,
    /// Those of the last 15 minutes that were asked for most, the first the most.
    pub routes: Vec<RouteStats>,
    /// What the latest run that answered any has answered so far.
    pub run: RunRequests,
}

/// The requests of a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestWindow {
    /// How long the while is.
    pub seconds: f64,
    pub count: u64,
    pub per_second: f64,
    /// Answered with a status of 400 to 499.
    pub client_errors: u64,
    /// Answered with a status from 500 on.
    pub errors: u64,
    /// `errors` in percent of `count`.
    pub error_percent: f64,
    /// Those whose duration is known: none where the program prints no durations, and of a flood a sample.
    pub timed: u64,
    /// What half of these took at most, within 5 %; absent when none is known.
    pub p50_ms: Option<f64>,
    /// What 95 of a hundred took at most.
    pub p95_ms: Option<f64>,
}

/// The requests of one route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteStats {
    /// Method and path, with `:id` for what names one of many: `GET /orders/:id`.
    pub route: String,
    /// At least so many: of a flood only a sample is told with its path.
    pub count: u64,
    pub client_errors: u64,
    pub errors: u64,
    /// Of its last requests whose duration is known.
    pub p95_ms: Option<f64>,
}

/// How many requests a run has answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequests {
    pub run: RunId,
    pub count: u64,
    pub errors: u64,
}

impl From<RequestSummary> for RequestStats {
    fn from(summary: RequestSummary) -> Self {
        Self {
            last_minute: summary.last_minute.into(),
            last_15_minutes: summary.last_15_minutes.into(),
            routes: summary.routes.into_iter().map(RouteStats::from).collect(),
            run: RunRequests { run: summary.run, count: summary.run_count, errors: summary.run_errors },
        }
    }
}

impl From<Window> for RequestWindow {
    fn from(window: Window) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "three digits of it are shown")]
        let [count, errors] = [window.count as f64, window.errors as f64];
        let seconds = window.length.as_secs_f64();
        Self {
            seconds: to_the(10.0, seconds),
            count: window.count,
            per_second: to_the(1000.0, count / seconds),
            client_errors: window.client_errors,
            errors: window.errors,
            error_percent: if window.count == 0 { 0.0 } else { to_the(10.0, 100.0 * errors / count) },
            timed: window.timed,
            p50_ms: window.p50_ms.map(|ms| to_the(100.0, ms)),
            p95_ms: window.p95_ms.map(|ms| to_the(100.0, ms)),
        }
    }
}

impl From<Route> for RouteStats {
    fn from(route: Route) -> Self {
        let Route { route, count, client_errors, errors, p95_ms } = route;
        Self { route, count, client_errors, errors, p95_ms: p95_ms.map(|ms| to_the(100.0, ms)) }
    }
}

/// Returns a number to one part in `parts` of the whole ones.
fn to_the(parts: f64, number: f64) -> f64 {
    (number * parts).round() / parts
}

/// Returns in a sentence that many requests of a process were answered with an error, when the run did so and still does.
pub(super) fn hint(name: &str, run: RunId, requests: &RequestStats) -> Option<String> {
    // A run that was started with the mending has none any more.
    if requests.run.run != run || requests.run.errors == 0 {
        return None;
    }
    let (minute, quarter) = (&requests.last_minute, &requests.last_15_minutes);
    let failing = |window: &RequestWindow| {
        window.errors > 0 && window.errors * 100 >= window.count * bounds::REQUEST_ERROR_PERCENT
    };
    let (window, words) = match (failing(minute), failing(quarter)) {
        (true, _) => (minute, "minute"),
        (false, true) if minute.count == 0 => (quarter, "15 minutes"),
        _ => return None,
    };
    let worst = requests.routes.iter().filter(|route| route.errors > 0).max_by_key(|route| route.errors);
    let worst = worst.map(|route| format!(", most of them {}", route.route)).unwrap_or_default();
    Some(format!(
        "{} of {} requests of the last {words} were answered with a status from 500 on ({:.0} %){worst}: \
         see get_errors {{\"name\": \"{name}\"}} or `ostler errors {name}`",
        window.errors, window.count, window.error_percent
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(count: u64, errors: u64) -> RequestWindow {
        let length = std::time::Duration::from_secs(64);
        Window { length, count, errors, ..Window::default() }.into()
    }

    fn stats(minute: (u64, u64), quarter: (u64, u64), run_errors: u64) -> RequestStats {
        let route = |route: &str, count: u64, errors: u64| RouteStats {
            route: route.to_owned(),
            count,
            client_errors: 0,
            errors,
            p95_ms: None,
        };
        RequestStats {
            last_minute: window(minute.0, minute.1),
            last_15_minutes: window(quarter.0, quarter.1),
            routes: vec![route("GET /", 30, 1), route("GET /boom/:id", 10, 9)],
            run: RunRequests { run: RunId(3), count: 40, errors: run_errors },
        }
    }

    #[test]
    fn figures_are_short() {
        let window = RequestWindow::from(Window {
            length: std::time::Duration::from_millis(63_456),
            count: 700,
            errors: 9,
            client_errors: 1,
            timed: 2,
            p50_ms: Some(12.345_678),
            p95_ms: None,
        });
        assert_eq!((window.seconds, window.per_second, window.error_percent), (63.5, 11.031, 1.3));
        assert_eq!((window.p50_ms, window.p95_ms), (Some(12.35), None));
    }

    #[test]
    fn a_share_of_errors_that_is_not_small_is_worth_a_sentence() {
        insta::assert_snapshot!(
            hint("api", RunId(3), &stats((40, 10), (100, 10), 10)).unwrap(),
            @r#"10 of 40 requests of the last minute were answered with a status from 500 on (25 %), most of them GET /boom/:id: see get_errors {"name": "api"} or `ostler errors api`"#
        );
        assert!(
            hint("api", RunId(3), &stats((0, 0), (100, 10), 10))
                .is_some_and(|hint| hint.contains("15 minutes"))
        );
    }

    #[test]
    fn what_is_mended_or_rare_is_not_told() {
        assert_eq!(hint("api", RunId(3), &stats((40, 0), (100, 10), 10)), None, "none in the last minute");
        assert_eq!(hint("api", RunId(3), &stats((40, 10), (100, 10), 0)), None, "none in this run");
        assert_eq!(hint("api", RunId(4), &stats((40, 10), (100, 10), 10)), None, "an earlier run");
        assert_eq!(hint("api", RunId(3), &stats((100, 4), (100, 4), 4)), None, "one in 25");
    }
}
