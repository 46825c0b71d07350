//! From the writing of a line to a follower's seeing it.

use std::time::Duration;

use ostler::api::{LogsRequest, Request, Response};

use super::children::nanoseconds;
use super::start;
use super::support::{Client, Project, figure, percentile, quick};

/// Milliseconds between two lines of a quiet child.
const PERIOD: u64 = 10;
/// More than the flood can print while it is measured beside.
const ENDLESS: u64 = 10_000_000_000;
/// Two of them: runs are divided between the pipeline's threads, and one of these shares its thread with the flood.
const CLOCKS: [&str; 2] = ["clock-a", "clock-b"];

fn lines() -> u64 {
    if quick() { 200 } else { 1500 }
}

pub fn config(own: &str) -> String {
    let clock = |name: &&str| {
        format!(
            "[process.{name}]\ncommand = [\"{own}\", \"--clock\", \"{}\", \"{PERIOD}\"]\nautostart = false\n",
            lines()
        )
    };
    let endless =
        format!("[process.endless]\ncommand = [\"{own}\", \"--flood\", \"{ENDLESS}\"]\nautostart = false\n");
    CLOCKS.iter().map(clock).collect::<String>() + &endless
}

/// Prints how late a follower sees the lines of a child when nothing else happens.
pub fn idle(project: &mut Project) {
    let mut late = follow_clocks(project, &CLOCKS[..1]);
    figure("follower_idle_p50", percentile(&mut late, 0.5), "ms");
    figure("follower_idle_p99", percentile(&mut late, 0.99), "ms");
    figure("follower_idle_max", percentile(&mut late, 1.0), "ms");
}

/// Prints the same for children beside one that floods.
pub fn beside_a_flood(project: &mut Project) {
    start(project, "endless");
    let mut late = follow_clocks(project, &CLOCKS);
    figure("follower_beside_flood_p50", percentile(&mut late, 0.5), "ms");
    figure("follower_beside_flood_p99", percentile(&mut late, 0.99), "ms");
    figure("follower_beside_flood_max", percentile(&mut late, 1.0), "ms");
    project.ask(&Request::Stop { name: "endless".into() });
}

/// Starts clocks and returns how late each of their lines was seen.
fn follow_clocks(project: &mut Project, names: &[&'static str]) -> Vec<Duration> {
    let followers: Vec<_> = names
        .iter()
        .map(|&name| {
            let mut client = project.connect();
            std::thread::spawn(move || follow(&mut client, name))
        })
        .collect();
    names.iter().for_each(|name| start(project, name));
    followers.into_iter().flat_map(|follower| follower.join().expect("a follower")).collect()
}

fn follow(client: &mut Client, name: &str) -> Vec<Duration> {
    let mut late = Vec::new();
    let mut since = cursor_at_the_end(client);
    while (late.len() as u64) < lines() {
        let request = LogsRequest {
            names: vec![name.into()],
            since: Some(since),
            wait_ms: 20_000,
            ..LogsRequest::default()
        };
        let Response::Logs(reply) = client.ask(&Request::Logs(request)) else { panic!("no lines") };
        assert!(!reply.lines.is_empty(), "{name} fell silent after {} lines", late.len());
        let seen = nanoseconds();
        let written =
            reply.lines.iter().filter_map(|line| line.text.split_once(" written ")?.1.parse::<u64>().ok());
        late.extend(written.map(|written| Duration::from_nanos(seen.saturating_sub(written))));
        since = reply.cursor;
    }
    late
}

fn cursor_at_the_end(client: &mut Client) -> String {
    match client.ask(&Request::Logs(LogsRequest { limit: Some(1), ..LogsRequest::default() })) {
        Response::Logs(reply) => reply.cursor,
        other => panic!("{other:?}"),
    }
}
