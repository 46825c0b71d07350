//! Owns how the results of checks look.

use std::fmt::Write;

use super::line::Clock;
use super::style::{self, FAINT, Palette};
use super::table::{Cell, table};
use super::text::visible;
use crate::api::{CheckView, HealthView, Verdict};

/// Returns the table of `ostler health`; with what was seen earlier, when `with_recent`.
pub fn health(palette: Palette, clock: &Clock, views: &[HealthView], with_recent: bool) -> String {
    let rows: Vec<_> = views.iter().map(row).collect();
    let mut shown = table(palette, ["NAME", "HEALTH", "TOOK", "CHECK", "SAW"], &rows);
    for view in views.iter().filter(|view| !view.doubts.is_empty()) {
        let _ = writeln!(
            shown,
            "\n{}",
            palette.paint(style::HEADING, format!("{} all the same", view.process.name))
        );
        for doubt in &view.doubts {
            let _ = writeln!(shown, "  - {}", visible(doubt));
        }
    }
    for view in views.iter().filter(|view| with_recent && !view.recent.is_empty()) {
        let _ = writeln!(
            shown,
            "\n{}",
            palette.paint(style::HEADING, format!("last checks of {}", view.process.name))
        );
        for check in &view.recent {
            let _ = writeln!(shown, "  {}", one_check(palette, clock, check));
        }
    }
    shown
}

fn row(view: &HealthView) -> [Cell; 5] {
    let verdict_style = match view.verdict {
        Verdict::Healthy => style::GOOD,
        Verdict::Unhealthy => style::BAD,
        Verdict::Unchecked | Verdict::Down => FAINT,
    };
    let or_dash = |text: Option<String>| text.map_or_else(|| Cell::styled("-", FAINT), Cell::from);
    [
        view.process.name.as_str().into(),
        Cell::styled(view.verdict.as_str(), verdict_style),
        or_dash(view.latency_ms.map(took)),
        or_dash(view.check.as_deref().map(|check| visible(check).to_string())),
        visible(&view.saw).to_string().into(),
    ]
}

/// Returns `08:29:25  health  ok    1.2ms  GET http://127.0.0.1:8000/ answered 200`.
fn one_check(palette: Palette, clock: &Clock, check: &CheckView) -> String {
    let (word, word_style) = if check.ok { ("ok    ", style::GOOD) } else { ("failed", style::BAD) };
    format!(
        "{}  {:6}  {}  {:>7}  {}",
        palette.paint(FAINT, clock.show(check.time)),
        visible(&check.purpose),
        palette.paint(word_style, word),
        took(check.latency_ms),
        visible(&check.saw)
    )
}

fn took(milliseconds: f64) -> String {
    if milliseconds < 1000.0 {
        format!("{milliseconds:.1}ms")
    } else {
        format!("{:.1}s", milliseconds / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;

    #[test]
    fn what_was_seen_stands_beside_the_check() {
        let view = |name: &str, verdict: Verdict, check: Option<&str>, saw: &str, latency_ms: Option<f64>| {
            let state = if verdict == Verdict::Down { "stopped" } else { "ready" };
            let process = serde_json::json!({
                "name": name, "state": state, "ready": verdict != Verdict::Down, "restarts": 0, "ports": [],
                "pid": null, "run": null, "uptime_ms": null, "exit": null,
            });
            let recent = latency_ms.map(|latency_ms| CheckView {
                time: Time(1_795_163_365_000_000_000),
                purpose: "health".into(),
                ok: verdict == Verdict::Healthy,
                saw: saw.into(),
                latency_ms,
            });
            HealthView {
                process: serde_json::from_value(process).unwrap(),
                verdict,
                check: check.map(str::to_owned),
                saw: saw.into(),
                latency_ms,
                recent: recent.into_iter().collect(),
                doubts: if name == "api" { vec!["its last build failed".to_owned()] } else { Vec::new() },
            }
        };
        let get = Some("GET http://127.0.0.1:8000/up");
        let views = [
            view("api", Verdict::Healthy, get, "GET http://127.0.0.1:8000/up answered 200", Some(1.25)),
            view("web", Verdict::Unhealthy, Some("run `check`"), "it \u{1b}[31mhung", Some(5003.0)),
            view("db", Verdict::Down, None, "it is stopped", None),
        ];
        let clock = Clock::utc(jiff::civil::date(2026, 11, 20));
        insta::assert_snapshot!(health(Palette::PLAIN, &clock, &views, false), @"
        NAME  HEALTH     TOOK   CHECK                         SAW
        api   healthy    1.2ms  GET http://127.0.0.1:8000/up  GET http://127.0.0.1:8000/up answered 200
        web   unhealthy  5.0s   run `check`                   it ␛[31mhung
        db    down       -      -                             it is stopped

        api all the same
          - its last build failed
        ");
        insta::assert_snapshot!(health(Palette::PLAIN, &clock, &views[..1], true), @"
        NAME  HEALTH   TOOK   CHECK                         SAW
        api   healthy  1.2ms  GET http://127.0.0.1:8000/up  GET http://127.0.0.1:8000/up answered 200

        api all the same
          - its last build failed

        last checks of api
          08:29:25  health  ok        1.2ms  GET http://127.0.0.1:8000/up answered 200
        ");
    }
}
