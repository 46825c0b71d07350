//! Owns how processes look in `ps`, and one of them after something was done to it.

use std::time::Duration;

use super::duration::duration;
use super::style::{self, FAINT, Palette};
use super::table::{Cell, table};
use super::text::visible;
use crate::api::{ProcessView, StartReply, Why};
use crate::model::Time;

/// Returns the table of `ostler ps`.
pub fn processes(palette: Palette, views: &[ProcessView]) -> String {
    const HEADINGS: [&str; 7] = ["NAME", "STATE", "PID", "UPTIME", "RESTARTS", "PORTS", "LAST EXIT"];
    let has_next = views.iter().any(|view| view.next.is_some());
    let has_status = views.iter().any(|view| view.status.is_some());
    let has_alerts = views.iter().any(|view| !view.alerts.is_empty());
    let rows: Vec<_> = views.iter().map(row).collect();
    if !has_next && !has_status && !has_alerts {
        return table(palette, HEADINGS, &rows);
    }
    // Few processes have a schedule, say anything of themselves, or raise alerts: a column is there when one does.
    let now = Time::now();
    let next = |view: &ProcessView| {
        let due = or_dash(view.next.map(|next| format!("in {}", duration(next.since(now)))));
        if has_next { due } else { "".into() }
    };
    let status = |view: &ProcessView| -> Cell {
        view.status.as_deref().map_or_else(String::new, |status| visible(status).to_string()).into()
    };
    let alerts =
        |view: &ProcessView| Cell::styled(visible(&view.alerts.join(",")).into_owned(), style::WARNING);
    let wider = |[a, b, c, d, e, f, g]: [Cell; 7], view: &ProcessView| {
        [a, b, c, d, next(view), e, f, g, alerts(view), status(view)]
    };
    let rows: Vec<_> = rows.into_iter().zip(views).map(|(row, view)| wider(row, view)).collect();
    let [a, b, c, d, e, f, g] = HEADINGS;
    let heading = |is_there: bool, heading: &'static str| if is_there { heading } else { "" };
    let (next, alerts) = (heading(has_next, "NEXT"), heading(has_alerts, "ALERTS"));
    table(palette, [a, b, c, d, next, e, f, g, alerts, heading(has_status, "STATUS")], &rows)
}

fn row(view: &ProcessView) -> [Cell; 7] {
    let exit_style = if view.exit.is_some_and(|exit| !exit.is_success()) { style::WARNING } else { FAINT };
    [
        view.name.as_str().into(),
        Cell::styled(view.state.as_str(), style::of_state(view.state)),
        or_dash(view.pid),
        or_dash(view.uptime_ms.map(|millis| duration(Duration::from_millis(millis)))),
        view.restarts.to_string().into(),
        or_dash(ports_or_given(view)),
        view.exit.map_or_else(|| Cell::styled("-", FAINT), |exit| Cell::styled(exit.to_string(), exit_style)),
    ]
}

/// Returns a process in one line: `api  ready  pid 4711, port 8000`.
pub fn one_line(palette: Palette, view: &ProcessView) -> String {
    let state = palette.paint(style::of_state(view.state), view.state.as_str());
    let mut details = Vec::new();
    details.extend(view.pid.map(|pid| format!("pid {pid}")));
    match view.ports.len() {
        0 => {}
        1 => details.push(format!("port {}", ports(view))),
        _ => details.push(format!("ports {}", ports(view))),
    }
    if view.pid.is_none() {
        details.extend(view.exit.map(|exit| exit.to_string()));
    }
    let details = details.join(", ");
    format!("{}  {state}  {details}", view.name).trim_end().to_owned()
}

/// Returns what a start has started, a line for each: what was named, and what it needed besides.
pub fn started(palette: Palette, reply: &StartReply) -> String {
    let line = |view: &ProcessView, already: bool, remark: &str| {
        let already = if already { " (ran already)" } else { "" };
        format!("{}{already}{remark}\n", one_line(palette, view))
    };
    let mut text = line(&reply.process, reply.already_running, "");
    for also in &reply.also {
        let remark = match also.why {
            Why::Named => "",
            Why::Dependency => " (it is depended on)",
        };
        text.push_str(&line(&also.process, also.already_running, remark));
    }
    text
}

fn ports(view: &ProcessView) -> String {
    view.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

/// Ports it listens on; in parentheses the one it was given and does not listen on.
fn ports_or_given(view: &ProcessView) -> Option<String> {
    let given = view.port.filter(|port| !view.ports.contains(port)).map(|port| format!("({port})"));
    match (view.ports.is_empty(), given) {
        (true, given) => given,
        (false, None) => Some(ports(view)),
        (false, Some(given)) => Some(format!("{},{given}", ports(view))),
    }
}

fn or_dash(value: Option<impl ToString>) -> Cell {
    value.map_or_else(|| Cell::styled("-", FAINT), |value| value.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Exit, ProcessName, RunId};
    use crate::supervisor::State;

    fn view(name: &str, state: State) -> ProcessView {
        ProcessView {
            name: ProcessName::new(name).unwrap(),
            state,
            pid: None,
            run: None,
            ready: false,
            uptime_ms: None,
            restarts: 0,
            exit: None,
            ports: Vec::new(),
            status: None,
            next: None,
            port: None,
            alerts: Vec::new(),
        }
    }

    fn views() -> [ProcessView; 4] {
        let api = ProcessView {
            pid: Some(4711),
            run: Some(RunId(3)),
            ready: true,
            uptime_ms: Some(754_000),
            ports: vec![8000, 8001],
            ..view("api", State::Ready)
        };
        let killed = Exit { code: None, signal: Some(9) };
        let worker = ProcessView {
            pid: Some(4712),
            port: Some(20_117),
            uptime_ms: Some(90),
            restarts: 2,
            exit: Some(killed),
            ..view("worker", State::Running)
        };
        let failed =
            ProcessView { exit: Some(Exit { code: Some(1), signal: None }), ..view("web", State::Failed) };
        [api, worker, failed, view("db", State::Stopped)]
    }

    #[test]
    fn ps_is_a_table() {
        insta::assert_snapshot!(processes(Palette::PLAIN, &views()), @r"
        NAME    STATE    PID   UPTIME   RESTARTS  PORTS      LAST EXIT
        api     ready    4711  12m 34s  0         8000,8001  -
        worker  running  4712  90ms     2         (20117)    killed by SIGKILL (9)
        web     failed   -     -        0         -          exit code 1
        db      stopped  -     -        0         -          -
        ");
    }

    #[test]
    fn what_a_process_says_of_itself_is_shown_when_it_does() {
        let mut views = views();
        views[0].status = Some("Processing \u{1b}[31mrequests".into());
        insta::assert_snapshot!(processes(Palette::PLAIN, &views[..2]), @"
        NAME    STATE    PID   UPTIME   RESTARTS  PORTS      LAST EXIT              STATUS
        api     ready    4711  12m 34s  0         8000,8001  -                      Processing ␛[31mrequests
        worker  running  4712  90ms     2         (20117)    killed by SIGKILL (9)
        ");
    }

    #[test]
    fn a_schedule_adds_a_column() {
        let due = ProcessView { next: Some(Time(i64::MAX)), ..view("clean", State::Exited) };
        let shown = processes(Palette::PLAIN, &[due, view("db", State::Stopped)]);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].contains("UPTIME  NEXT "), "{shown}");
        assert!(lines[1].contains(" in ") && !lines[2].contains(" in "), "{shown}");
    }

    #[test]
    fn alerts_add_a_column_too() {
        let mut views = views();
        views[1].alerts = vec!["errors".into(), "slow".into()];
        insta::assert_snapshot!(processes(Palette::PLAIN, &views[..2]), @"
        NAME    STATE    PID   UPTIME   RESTARTS  PORTS      LAST EXIT              ALERTS
        api     ready    4711  12m 34s  0         8000,8001  -
        worker  running  4712  90ms     2         (20117)    killed by SIGKILL (9)  errors,slow
        ");
    }

    #[test]
    fn a_process_fits_one_line() {
        let lines = views().map(|view| one_line(Palette::PLAIN, &view)).join("\n");
        insta::assert_snapshot!(lines, @r"
        api  ready  pid 4711, ports 8000,8001
        worker  running  pid 4712
        web  failed  exit code 1
        db  stopped
        ");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let coloured = processes(Palette::COLOURED, &views());
        let plain = processes(Palette::PLAIN, &views());
        let mut stripped = String::new();
        for piece in coloured.split("\x1b[") {
            stripped.push_str(
                piece
                    .split_once('m')
                    .filter(|(code, _)| code.bytes().all(|b| b.is_ascii_digit()))
                    .map_or(piece, |(_, rest)| rest),
            );
        }
        assert_eq!(stripped, plain);
    }

    #[test]
    fn ps_json_has_exactly_the_promised_keys() {
        let json = serde_json::to_value(views()).unwrap();
        let keys: Vec<_> = json[0].as_object().unwrap().keys().cloned().collect();
        let mut promised = ["name", "state", "pid", "run", "ready", "uptime_ms", "restarts", "exit", "ports"];
        promised.sort_unstable();
        assert_eq!(keys, promised);
        // One that was given a port says so besides.
        assert_eq!(json[1]["port"], 20_117);
        assert_eq!(json[1]["exit"], serde_json::json!({"code": null, "signal": 9}));
        assert!(json[3]["exit"].is_null());
    }
}
