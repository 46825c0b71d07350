//! The requests that a process has answered, as agents read them.
//!
//! Owns the words and what is left out: percentiles that are not known, counts of zero, routes beyond a few. Routes
//! with errors come before those asked for most.

use serde_json::{Map, Value, json};

use crate::api::{RequestStats, RequestWindow, RouteStats};

use super::reply::bounded;

/// Returns the requests with at most so many routes.
pub fn requests(stats: &RequestStats, routes: usize) -> Value {
    let mut object = Map::new();
    if stats.last_minute.count > 0 {
        object.insert("last_minute".to_owned(), window(&stats.last_minute));
    }
    object.insert("last_15_minutes".to_owned(), window(&stats.last_15_minutes));
    if stats.last_15_minutes.timed == 0 {
        object.insert("durations".to_owned(), "not in its output".into());
    }
    let mut listed: Vec<&RouteStats> = stats.routes.iter().collect();
    listed.sort_by_key(|route| std::cmp::Reverse((route.errors, route.count)));
    let listed: Vec<String> = listed.into_iter().take(routes).map(route).collect();
    if !listed.is_empty() {
        object.insert("routes".to_owned(), listed.into());
    }
    Value::Object(object)
}

/// Returns the requests of a while.
pub fn window(window: &RequestWindow) -> Value {
    let mut object = Map::new();
    object.insert("count".to_owned(), window.count.into());
    object.insert("per_second".to_owned(), window.per_second.into());
    if window.errors > 0 {
        object.insert("errors_5xx".to_owned(), window.errors.into());
        object.insert("percent_5xx".to_owned(), window.error_percent.into());
    }
    if window.client_errors > 0 {
        object.insert("errors_4xx".to_owned(), window.client_errors.into());
    }
    if let (Some(p50), Some(p95)) = (window.p50_ms, window.p95_ms) {
        object.insert("p50_ms".to_owned(), json!(p50));
        object.insert("p95_ms".to_owned(), json!(p95));
    }
    Value::Object(object)
}

/// Returns `GET /orders/:id: 380, 10 with 5xx, 2 with 4xx, p95 12 ms`.
fn route(route: &RouteStats) -> String {
    let mut shown = format!("{}: {}", route.route, route.count);
    if route.errors > 0 {
        shown.push_str(&format!(", {} with 5xx", route.errors));
    }
    if route.client_errors > 0 {
        shown.push_str(&format!(", {} with 4xx", route.client_errors));
    }
    if let Some(p95) = route.p95_ms {
        shown.push_str(&format!(", p95 {p95:.0} ms"));
    }
    bounded(&shown)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns the requests of a process whose output tells no durations.
    pub(crate) fn stats() -> RequestStats {
        let window = json!({
            "seconds": 64.0, "count": 40, "per_second": 0.625, "client_errors": 2, "errors": 0, "error_percent": 0.0,
            "timed": 0, "p50_ms": null, "p95_ms": null,
        });
        let route = json!({"route": "GET /", "count": 40, "client_errors": 2, "errors": 0, "p95_ms": null});
        serde_json::from_value(json!({
            "last_minute": window, "last_15_minutes": window, "routes": [route],
            "run": {"run": 3, "count": 40, "errors": 0},
        }))
        .unwrap()
    }

    #[test]
    fn only_what_is_known_is_told() {
        insta::assert_snapshot!(
            requests(&stats(), 5),
            @r#"{"durations":"not in its output","last_15_minutes":{"count":40,"errors_4xx":2,"per_second":0.625},"last_minute":{"count":40,"errors_4xx":2,"per_second":0.625},"routes":["GET /: 40, 2 with 4xx"]}"#
        );
    }

    #[test]
    fn routes_that_fail_come_first() {
        let mut stats = stats();
        let failing = RouteStats {
            route: "POST /pay\u{1b}[2J".to_owned(),
            count: 3,
            client_errors: 0,
            errors: 1,
            p95_ms: Some(812.4),
        };
        stats.routes.push(failing);
        stats.last_minute.count = 0;
        let window = &mut stats.last_15_minutes;
        (window.errors, window.error_percent, window.timed) = (1, 2.5, 3);
        (window.p50_ms, window.p95_ms) = (Some(20.5), Some(812.4));
        insta::assert_snapshot!(
            requests(&stats, 1),
            @r#"{"last_15_minutes":{"count":40,"errors_4xx":2,"errors_5xx":1,"p50_ms":20.5,"p95_ms":812.4,"per_second":0.625,"percent_5xx":2.5},"routes":["POST /pay: 3, 1 with 5xx, p95 812 ms"]}"#
        );
    }
}
