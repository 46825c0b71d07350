//! The children: this benchmark itself, started with an argument.

use std::io::{BufWriter, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of a line of a flood, line end included.
pub const LINE_BYTES: usize = 100;

/// Does a child's work when this was started as one, and returns whether it was.
pub fn is_one() -> bool {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--flood") => {
            let took = flood(arguments[2].parse().expect("a count"));
            if let Some(path) = arguments.get(3) {
                std::fs::write(path, took.as_secs_f64().to_string()).expect("the time file");
            }
        }
        Some("--flood-after") => {
            while !std::path::Path::new(&arguments[2]).exists() {
                std::thread::sleep(Duration::from_millis(2));
            }
            flood(arguments[3].parse().expect("a count"));
        }
        Some("--clock") => {
            clock(arguments[2].parse().expect("a count"), arguments[3].parse().expect("a time"))
        }
        _ => return false,
    }
    true
}

/// Prints numbered lines as fast as it can, in the levels and shapes of ordinary logs, and returns how long that took.
fn flood(lines: u64) -> Duration {
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
    begun.elapsed()
}

/// Prints numbered lines with the nanosecond of their writing, one every so many milliseconds.
fn clock(lines: u64, milliseconds: u64) {
    for number in 1..=lines {
        std::thread::sleep(Duration::from_millis(milliseconds));
        let line = format!("{number:010} written {}\n", nanoseconds());
        std::io::stdout().lock().write_all(line.as_bytes()).expect("standard output");
    }
}

/// Returns the time by the system's clock, in nanoseconds since the Unix epoch.
pub fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970");
    u64::try_from(since.as_nanos()).expect("a clock before 2554")
}
