//! One flooding child, end to end: through shim, pipeline, classifier and store, until the last line is queryable;
//! and how long the child itself takes, against writing to a file.

mod support;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ostler::api::{LogsRequest, Request, Response};

use support::{Project, figure, quick};

const LINE_BYTES: usize = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|argument| argument == "--flood") {
        return flood(arguments[2].parse().expect("a count"), &arguments[3]);
    }
    let lines: u64 = if quick() { 1_000_000 } else { 5_000_000 };
    let own = std::env::current_exe().expect("the path of this benchmark");
    let own = own.display();

    let dir = tempfile::tempdir().expect("a temporary directory");
    let to_file = dir.path().join("file.time");
    let out = File::create(dir.path().join("out")).expect("a file");
    let status = Command::new(own.to_string())
        .args(["--flood", &lines.to_string(), &to_file.display().to_string()])
        .stdout(Stdio::from(out))
        .status();
    assert!(status.expect("the flood runs").success());
    let file_time = seconds(&to_file);

    let under = dir.path().join("ostler.time");
    let config = format!(
        "[process.flood]\ncommand = [\"{own}\", \"--flood\", \"{lines}\", \"{}\"]\nautostart = false\n",
        under.display()
    );
    let mut project = Project::start(&config);
    // The first start of all compiles the classifier; that is not what is measured here.
    project.ask(&Request::Plugins {});
    let begun = Instant::now();
    let started = project.ask(&Request::Start { name: "flood".into() });
    assert!(matches!(started, Response::Start(_)), "{started:?}");
    let last = format!("{lines:010} ");
    while !newest(&mut project).is_some_and(|text| text.starts_with(&last)) {
        assert!(begun.elapsed() < Duration::from_secs(300), "the flood never arrived");
        std::thread::sleep(Duration::from_millis(2));
    }
    let elapsed = begun.elapsed().as_secs_f64();
    let counted = count(&mut project, lines);
    let child_time = seconds(&under);

    figure("ingest_lines_per_second", lines as f64 / elapsed, "lines/s");
    figure("ingest_bytes_per_second", lines as f64 * LINE_BYTES as f64 / elapsed / 1e6, "MB/s");
    figure("flood_lines_missing", lines as f64 - counted as f64, "lines");
    figure("child_to_file", file_time, "s");
    figure("child_under_ostler", child_time, "s");
    figure("child_ratio", child_time / file_time, "x");
}

/// The child: numbered lines as fast as it can, in the levels and shapes of ordinary logs; then its own time.
fn flood(lines: u64, time_file: &str) {
    const SHAPES: [&str; 5] = [
        "INFO  request handled method=GET path=/api/items status=200 duration=12ms",
        "DEBUG cache lookup key=user:1234 hit=true",
        "127.0.0.1 - - [20/Nov/2026 08:29:25] \"GET /items/42 HTTP/1.1\" 200 5742",
        "WARN  slow query took 812 ms: select from orders where customer",
        "worker 7 finished batch without remarks",
    ];
    let begun = Instant::now();
    let mut out = BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    let mut line = Vec::with_capacity(LINE_BYTES);
    for number in 1..=lines {
        line.clear();
        write!(line, "{number:010} {}", SHAPES[(number % 5) as usize]).expect("memory");
        line.resize(LINE_BYTES - 1, b'.');
        line.push(b'\n');
        out.write_all(&line).expect("standard output");
    }
    out.flush().expect("standard output");
    std::fs::write(time_file, begun.elapsed().as_secs_f64().to_string()).expect("the time file");
}

fn seconds(file: &std::path::Path) -> f64 {
    std::fs::read_to_string(file).expect("the child's time").parse().expect("a number")
}

fn newest(project: &mut Project) -> Option<String> {
    let request = LogsRequest { names: vec!["flood".into()], limit: Some(1), ..LogsRequest::default() };
    match project.ask(&Request::Logs(request)) {
        Response::Logs(reply) => reply.lines.last().map(|line| line.text.clone()),
        other => panic!("{other:?}"),
    }
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
