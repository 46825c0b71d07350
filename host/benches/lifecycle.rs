//! What supervision costs, with fifty other children running: from `start` to the child's first instruction, from
//! `kill -9` of a child to its successor's, the end of a tree of a hundred, a daemon's death to its successor's first
//! full answer; and what all of it takes of memory and, idle, of the processor.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use ostler::api::{Request, Response};

use support::{Project, figure, percentile, quick};

/// Children that run beside the one that is measured.
const NEIGHBOURS: usize = 50;
/// The tree that is stopped: its root, branches below that, leaves below each branch.
const BRANCHES: usize = 9;
const LEAVES: usize = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--stamp") => return stamp(&arguments[2]),
        Some("--idle") => return idle(),
        Some("--tree") => return tree(&arguments[2], BRANCHES),
        Some("--branch") => return tree(&arguments[2], LEAVES),
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
    let grown = dir.path().join("grown");
    std::fs::create_dir(&grown).expect("a directory");
    config.push_str(&format!(
        "[process.tree]\ncommand = [\"{own}\", \"--tree\", \"{}\"]\nautostart = false\n",
        grown.display()
    ));
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

    let mut stops: Vec<Duration> =
        (0..if quick() { 5 } else { 30 }).map(|_| stop_tree(&mut project, &grown)).collect();
    figure("stop_tree_of_100_p50", percentile(&mut stops, 0.5), "ms");
    figure("stop_tree_of_100_max", percentile(&mut stops, 1.0), "ms");

    let mut returns: Vec<Duration> =
        (0..if quick() { 5 } else { 30 }).map(|_| daemon_to_daemon(&mut project)).collect();
    figure("daemon_restart_p50", percentile(&mut returns, 0.5), "ms");
    figure("daemon_restart_p99", percentile(&mut returns, 0.99), "ms");
    figure("daemon_restart_max", percentile(&mut returns, 1.0), "ms");
    // This daemon has found its plugins compiled, as all do but the very first.
    memory(&project);
    // What has just begun is looked at often, until it is clear that it listens nowhere.
    std::thread::sleep(Duration::from_secs(if quick() { 10 } else { 35 }));
    idle_cpu(&project, Duration::from_secs(if quick() { 10 } else { 60 }));
}

/// A process with `children` below it, each of which says that it is there.
#[expect(clippy::zombie_processes, reason = "the stop of the whole tree is what is measured")]
fn tree(grown: &str, children: usize) {
    let own = std::env::current_exe().expect("the path of this benchmark");
    for _ in 0..children {
        let mut child = std::process::Command::new(&own);
        match children {
            BRANCHES => child.arg("--branch"),
            _ => child.arg("--stamp"),
        };
        child.arg(grown).spawn().expect("a child");
    }
    stamp(grown);
}

/// Starts the tree, waits until it has grown, and returns how long its stop took.
fn stop_tree(project: &mut Project, grown: &Path) -> Duration {
    project.ask(&Request::Start { name: "tree".into() });
    let all = 1 + BRANCHES + BRANCHES * LEAVES;
    let is_stamp = |entry: &std::fs::DirEntry| !entry.file_name().to_string_lossy().ends_with(".new");
    poll(|| (std::fs::read_dir(grown).ok()?.flatten().filter(is_stamp).count() == all).then_some(()));
    let before = Instant::now();
    let reply = project.ask(&Request::Stop { name: "tree".into() });
    let took = before.elapsed();
    assert!(matches!(&reply, Response::Stop(reply) if reply.was_running), "{reply:?}");
    for stamp in std::fs::read_dir(grown).expect("the directory").flatten() {
        let pid: i32 = stamp.file_name().to_string_lossy().parse().expect("a pid");
        let gone = rustix::process::Pid::from_raw(pid).map(rustix::process::test_kill_process);
        assert_eq!(gone, Some(Err(rustix::io::Errno::SRCH)), "{pid} outlived its tree's stop");
        std::fs::remove_file(stamp.path()).expect("a stamp");
    }
    took
}

/// Kills the daemon and returns how long it took until its successor knew every child by its pid.
fn daemon_to_daemon(project: &mut Project) -> Duration {
    let before = Instant::now();
    project.replace_daemon();
    match project.ask(&Request::List {}) {
        Response::List(processes) => {
            let alive = processes.iter().filter(|process| process.pid.is_some()).count();
            assert_eq!(alive, NEIGHBOURS, "{processes:?}");
        }
        other => panic!("{other:?}"),
    }
    before.elapsed()
}

/// What the daemon and its shims take of one core while nobody asks them anything.
fn idle_cpu(project: &Project, over: Duration) {
    let shims = shims(project);
    let used = |pids: &[u32]| pids.iter().filter_map(|pid| cpu_ticks(*pid)).sum::<u64>();
    let daemon = [project.daemon_pid()];
    let before = (used(&daemon), used(&shims));
    std::thread::sleep(over);
    let after = (used(&daemon), used(&shims));
    let percent = |ticks: u64| 100.0 * ticks as f64 / TICKS_PER_SECOND / over.as_secs_f64();
    figure("idle_daemon_cpu", percent(after.0 - before.0), "%");
    figure("idle_shims_cpu", percent(after.1 - before.1), "%");
}

/// `USER_HZ`, which is 100 on every Linux there is (`proc_pid_stat(5)`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Fields 14 and 15 of `/proc/PID/stat`.
fn cpu_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
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
    let pid = started(project);
    let executed = wait_for_stamp(stamps, pid);
    project.ask(&Request::Stop { name: "subject".into() });
    std::fs::remove_file(stamps.join(pid.to_string())).expect("the stamp");
    executed - before
}

/// Starts the subject and returns its pid.
fn started(project: &mut Project) -> u32 {
    match project.ask(&Request::Start { name: "subject".into() }) {
        Response::Start(reply) => reply.process.pid.unwrap_or_else(|| panic!("it does not run: {reply:?}")),
        other => panic!("{other:?}"),
    }
}

fn kill_to_successor(project: &mut Project, stamps: &Path, rounds: usize) -> Vec<Duration> {
    let mut pid = started(project);
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
    let shims: Vec<u64> = shims(project).into_iter().filter_map(pss).collect();
    let all: u64 = shims.iter().sum();
    figure("daemon_pss", daemon as f64 / 1024.0, "MiB");
    figure("shims", shims.len() as f64, "processes");
    figure("shim_pss_mean", all as f64 / shims.len().max(1) as f64, "KiB");
    figure("daemon_and_shims_pss", (daemon + all) as f64 / 1024.0, "MiB");
}

/// The pids of the project's shims.
fn shims(project: &Project) -> Vec<u32> {
    let ours = project.dir.path().to_string_lossy().into_owned();
    let is_shim = |pid: &u32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        command.contains("ostler-shim") && command.contains(&ours)
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_shim).collect()
}

/// In KiB, from `smaps_rollup` of `proc(5)`.
fn pss(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}
