//! Owns how the requests that a process has answered look.

use std::fmt::Write;

use super::style::{BAD, FAINT, HEADING, Palette};
use super::table::{Cell, table};
use super::text::visible;
use crate::api::{RequestStats, RequestWindow, RouteStats};

/// Most routes shown.
const ROUTES: usize = 10;

/// Returns a line for each window and the routes asked for most.
pub fn requests(palette: Palette, requests: &RequestStats) -> String {
    let mut shown = format!("{}\n", palette.paint(HEADING, "requests"));
    let windows =
        [("last minute    ", &requests.last_minute), ("last 15 minutes", &requests.last_15_minutes)];
    for (title, window) in windows {
        let _ = writeln!(shown, "  {}  {}", palette.paint(FAINT, title), one_window(palette, window));
    }
    if requests.last_15_minutes.timed == 0 {
        let _ = writeln!(shown, "  {}", palette.paint(FAINT, "its output does not tell how long they took"));
    }
    if !requests.routes.is_empty() {
        let rows: Vec<_> = requests.routes.iter().take(ROUTES).map(route).collect();
        let table = table(palette, ["ROUTE", "COUNT", "4XX", "5XX", "P95"], &rows);
        table.lines().for_each(|line| {
            let _ = writeln!(shown, "  {line}");
        });
    }
    shown
}

/// Returns `40 (0.6/s), 10 with 5xx (25%), 2 with 4xx, p50 12ms, p95 80ms`.
pub fn one_window(palette: Palette, window: &RequestWindow) -> String {
    if window.count == 0 {
        return "none".to_owned();
    }
    let mut shown = format!("{} ({})", window.count, rate(window.per_second));
    if window.errors > 0 {
        let errors = format!("{} with 5xx ({})", window.errors, percent(window.error_percent));
        let _ = write!(shown, ", {}", palette.paint(BAD, errors));
    }
    if window.client_errors > 0 {
        let _ = write!(shown, ", {} with 4xx", window.client_errors);
    }
    if let (Some(p50), Some(p95)) = (window.p50_ms, window.p95_ms) {
        let _ = write!(shown, ", p50 {}, p95 {}", milliseconds(p50), milliseconds(p95));
    }
    shown
}

fn route(route: &RouteStats) -> [Cell; 5] {
    let unless_none = |count: u64| match count {
        0 => Cell::styled("-", FAINT),
        count => count.to_string().into(),
    };
    [
        visible(&route.route).to_string().into(),
        route.count.to_string().into(),
        unless_none(route.client_errors),
        unless_none(route.errors),
        route.p95_ms.map_or_else(|| Cell::styled("-", FAINT), |ms| milliseconds(ms).into()),
    ]
}

/// Returns `120/s`, `0.6/s`, `3.8/min`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "0/s".to_owned(),
        rate if rate < 0.1 => format!("{:.1}/min", rate * 60.0),
        rate if rate < 10.0 => format!("{rate:.1}/s"),
        rate => format!("{rate:.0}/s"),
    }
}

/// Returns `2.5%`, `25%`.
pub fn percent(percent: f64) -> String {
    let digits = usize::from(percent > 0.0 && percent < 10.0);
    format!("{percent:.digits$}%")
}

/// Returns `0.4ms`, `12ms`, `1.2s`.
pub fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1}ms"),
        ms if ms < 1000.0 => format!("{ms:.0}ms"),
        ms => format!("{:.1}s", ms / 1000.0),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// Returns what a process with and one without durations in its output have answered.
    pub(crate) fn stats(has_durations: bool) -> RequestStats {
        let ms = |ms: f64| has_durations.then_some(ms);
        serde_json::from_value(json!({
            "last_minute": {
                "seconds": 64.0, "count": 40, "per_second": 0.625, "client_errors": 2, "errors": 10,
                "error_percent": 25.0, "timed": if has_durations { 40 } else { 0 }, "p50_ms": ms(12.3), "p95_ms": ms(1234.5),
            },
            "last_15_minutes": {
                "seconds": 904.0, "count": 400, "per_second": 0.442, "client_errors": 0, "errors": 10,
                "error_percent": 2.5, "timed": if has_durations { 400 } else { 0 }, "p50_ms": ms(2.3), "p95_ms": ms(80.0),
            },
            "routes": [
                {"route": "GET /orders/:id", "count": 380, "client_errors": 0, "errors": 0, "p95_ms": ms(12.0)},
                {"route": "GET /b\u{1b}oom", "count": 20, "client_errors": 2, "errors": 10, "p95_ms": null},
            ],
            "run": {"run": 3, "count": 40, "errors": 10},
        }))
        .unwrap()
    }

    #[test]
    fn windows_come_first_and_then_the_routes() {
        insta::assert_snapshot!(requests(Palette::PLAIN, &stats(true)), @r"
        requests
          last minute      40 (0.6/s), 10 with 5xx (25%), 2 with 4xx, p50 12ms, p95 1.2s
          last 15 minutes  400 (0.4/s), 10 with 5xx (2.5%), p50 2.3ms, p95 80ms
          ROUTE            COUNT  4XX  5XX  P95
          GET /orders/:id  380    -    -    12ms
          GET /b␛oom       20     2    10   -
        ");
    }

    #[test]
    fn missing_durations_are_explained() {
        let mut quiet = stats(false);
        quiet.routes.clear();
        quiet.last_minute.count = 0;
        insta::assert_snapshot!(requests(Palette::PLAIN, &quiet), @r"
        requests
          last minute      none
          last 15 minutes  400 (0.4/s), 10 with 5xx (2.5%)
          its output does not tell how long they took
        ");
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([0.0, 0.015, 0.6, 120.4].map(rate), ["0/s", "0.9/min", "0.6/s", "120/s"]);
        assert_eq!([0.0, 0.5, 25.0].map(percent), ["0%", "0.5%", "25%"]);
        assert_eq!([0.05, 9.96, 12.3, 61_000.0].map(milliseconds), ["0.1ms", "10.0ms", "12ms", "61.0s"]);
    }
}
