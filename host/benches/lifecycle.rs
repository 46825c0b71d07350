//! From `start` to the child's first instruction, and from `kill -9` of a child to its successor's, with fifty
//! other children running.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use ostler::api::{Request, Response};

use support::{Project, figure, percentile, quick};

/// Children that run beside the one that is measured.
const NEIGHBOURS: usize = 50;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--stamp") => return stamp(&arguments[2]),
        Some("--idle") => return idle(),
        _ => {}
    }
    let rounds = if quick() { 50 } else { 300 };
    let own = std::env::current_exe().expect("the path of this benchmark").display().to_string();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let stamps = dir.path().join("stamps");
    std::fs::create_dir(&stamps).expect("a directory");

    let mut config = format!(
        "[process.subject]\ncommand = [\"{own}\", \"--stamp\", \"{}\"]\nautostart = false\n\
         restart = {{ policy = \"always\", backoff = \"0ms..0ms\", max = 100000, window = \"1s\" }}\n",
        stamps.display()
    );
    for neighbour in 0..NEIGHBOURS {
        config.push_str(&format!("[process.idle{neighbour}]\ncommand = [\"{own}\", \"--idle\"]\n"));
    }
    let mut project = Project::start(&config);
    let up = project.ask(&Request::Up { names: Vec::new() });
    assert!(matches!(&up, Response::Up(reply) if reply.started.len() == NEIGHBOURS), "{up:?}");

    let mut starts: Vec<Duration> = (0..rounds).map(|_| start_to_exec(&mut project, &stamps)).collect();
    let mut kills: Vec<Duration> = kill_to_successor(&mut project, &stamps, rounds);
    figure("start_to_execve_p50", percentile(&mut starts, 0.5), "ms");
    figure("start_to_execve_p99", percentile(&mut starts, 0.99), "ms");
    figure("kill_to_successor_p50", percentile(&mut kills, 0.5), "ms");
    figure("kill_to_successor_p99", percentile(&mut kills, 0.99), "ms");
    memory(&project);
}

/// The measured child: leaves the moment of its first instruction under its pid, and lives until it is killed.
fn stamp(dir: &str) {
    let now = monotonic();
    let name = Path::new(dir).join(std::process::id().to_string());
    let temporary = name.with_extension("new");
    std::fs::write(&temporary, now.as_nanos().to_string()).expect("a stamp");
    std::fs::rename(temporary, name).expect("a stamp");
    idle();
}

fn idle() {
    loop {
        std::thread::park();
    }
}

/// The clock that all processes share, so that a child's moment can be compared with this one's.
fn monotonic() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(
        time.tv_sec.try_into().expect("a positive time"),
        time.tv_nsec.try_into().expect("nanoseconds"),
    )
}

fn start_to_exec(project: &mut Project, stamps: &Path) -> Duration {
    let before = monotonic();
    let pid = match project.ask(&Request::Start { name: "subject".into() }) {
        Response::Start(reply) => reply.process.pid.expect("it runs"),
        other => panic!("{other:?}"),
    };
    let executed = wait_for_stamp(stamps, pid);
    project.ask(&Request::Stop { name: "subject".into() });
    std::fs::remove_file(stamps.join(pid.to_string())).expect("the stamp");
    executed - before
}

fn kill_to_successor(project: &mut Project, stamps: &Path, rounds: usize) -> Vec<Duration> {
    let mut pid = match project.ask(&Request::Start { name: "subject".into() }) {
        Response::Start(reply) => reply.process.pid.expect("it runs"),
        other => panic!("{other:?}"),
    };
    wait_for_stamp(stamps, pid);
    let samples = (0..rounds)
        .map(|_| {
            let victim = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
            let before = monotonic();
            rustix::process::kill_process(victim, rustix::process::Signal::KILL).expect("it can be killed");
            let (successor, executed) = wait_for_another(stamps, pid);
            pid = successor;
            executed - before
        })
        .collect();
    project.ask(&Request::Stop { name: "subject".into() });
    samples
}

fn wait_for_stamp(stamps: &Path, pid: u32) -> Duration {
    let file = stamps.join(pid.to_string());
    poll(|| std::fs::read_to_string(&file).ok()?.parse().ok().map(Duration::from_nanos))
}

/// Waits for the stamp of a child other than `pid`, and removes all stamps.
fn wait_for_another(stamps: &Path, pid: u32) -> (u32, Duration) {
    let _ = std::fs::remove_file(stamps.join(pid.to_string()));
    let found = poll(|| {
        std::fs::read_dir(stamps).ok()?.flatten().find_map(|entry| {
            let successor: u32 = entry.file_name().to_str()?.parse().ok()?;
            (successor != pid).then_some(successor)
        })
    });
    (found, wait_for_stamp(stamps, found))
}

fn poll<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "waited too long");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The proportional set size of the daemon and of its shims.
fn memory(project: &Project) {
    let daemon = pss(project.daemon_pid()).expect("the daemon's memory");
    let mut shims = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let ours = project.dir.path().to_string_lossy().into_owned();
        let command = String::from_utf8_lossy(&command).into_owned();
        if command.contains("ostler-shim") && command.contains(&ours) {
            shims.extend(pss(pid));
        }
    }
    let all: u64 = shims.iter().sum();
    figure("daemon_pss", daemon as f64 / 1024.0, "MiB");
    figure("shims", shims.len() as f64, "processes");
    figure("shim_pss_mean", all as f64 / shims.len().max(1) as f64, "KiB");
    figure("daemon_and_shims_pss", (daemon + all) as f64 / 1024.0, "MiB");
}

/// In KiB, from `smaps_rollup` of `proc(5)`.
fn pss(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}
