//! One flooding child: how fast its lines become queryable, and how long it takes itself, against a file.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ostler::api::{LogsRequest, Request, Response};

use super::children::LINE_BYTES;
use super::support::{Project, cpu_seconds, figure, quick};
use super::{newest, start};

fn lines() -> u64 {
    if quick() { 1_000_000 } else { 5_000_000 }
}

pub fn config(own: &str, dir: &Path) -> String {
    let under = dir.join("ostler.time");
    format!(
        "[process.flood]\ncommand = [\"{own}\", \"--flood\", \"{}\", \"{}\"]\nautostart = false\n",
        lines(),
        under.display()
    )
}

pub fn measure(project: &mut Project, own: &str, dir: &Path) {
    let to_file = dir.join("file.time");
    let out = File::create(dir.join("out")).expect("a file");
    let status = Command::new(own)
        .args(["--flood", &lines().to_string(), &to_file.display().to_string()])
        .stdout(Stdio::from(out))
        .status();
    assert!(status.expect("the flood runs").success());
    let file_time = seconds(&to_file);

    let before = cpu_seconds(project.daemon_pid());
    let begun = Instant::now();
    start(project, "flood");
    while newest(project, "flood") != Some(lines()) {
        assert!(begun.elapsed() < Duration::from_secs(300), "the flood never arrived");
        std::thread::sleep(Duration::from_millis(2));
    }
    let elapsed = begun.elapsed().as_secs_f64();
    let mut after = cpu_seconds(project.daemon_pid());
    let counted = count(project, lines());
    // Shim and child count once they are gone.
    project.ask(&Request::Stop { name: "flood".into() });
    after.extend(cpu_seconds(project.daemon_pid()).remove_entry("children"));
    let child_time = seconds(&dir.join("ostler.time"));

    figure("ingest_lines_per_second", lines() as f64 / elapsed, "lines/s");
    figure("ingest_bytes_per_second", lines() as f64 * LINE_BYTES as f64 / elapsed / 1e6, "MB/s");
    figure("flood_lines_missing", lines() as f64 - counted as f64, "lines");
    figure("child_to_file", file_time, "s");
    figure("child_under_ostler", child_time, "s");
    figure("child_ratio", child_time / file_time, "x");
    // Where the time goes, as nanoseconds of a processor for each line.
    for (thread, seconds) in after {
        let took = seconds - before.get(&thread).copied().unwrap_or(0.0);
        if took >= 0.05 {
            figure(&format!("cpu_a_line_{thread}"), took * 1e9 / lines() as f64, "ns");
        }
    }
}

fn seconds(file: &Path) -> f64 {
    std::fs::read_to_string(file).expect("the child's time").parse().expect("a number")
}

/// Counts the stored lines by their numbers: every hundredth is looked at, through a regular expression.
fn count(project: &mut Project, lines: u64) -> u64 {
    let request = LogsRequest {
        names: vec!["flood".into()],
        grep: Some("^[0-9]{8}00 ".into()),
        limit: Some(100_000),
        ..LogsRequest::default()
    };
    match project.ask(&Request::Logs(request)) {
        Response::Logs(reply) => (reply.lines.len() as u64 * 100).min(lines),
        other => panic!("{other:?}"),
    }
}
