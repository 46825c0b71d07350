//! What process trees and the system use, as the kernel tells it. Linux only: reads `/proc`.
//!
//! One look, no memory: what changed between two looks is `sampler`'s business.

use std::fs;
use std::path::Path;

use super::procfs::{stat_fields, tree};

/// What a process and all its descendants use at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TreeUsage {
    pub processes: u32,
    pub threads: u32,
    /// Processor time, in milliseconds: of those that live, and of their children that have ended.
    pub cpu_ms: u64,
    /// Resident memory, in bytes. What several processes share counts for each.
    pub rss: u64,
    /// Open descriptors, of those that may be looked at.
    pub fds: u32,
    /// Bytes read from disks and other devices, of those that live.
    pub read: u64,
    /// Bytes written to them.
    pub written: u64,
}

impl TreeUsage {
    /// Looks at the tree below `root`; none when that has ended. Costs a few reads for each process in it.
    pub fn of(root: u32) -> Option<Self> {
        let mut usage = Self::default();
        for pid in tree(root) {
            let Some(one) = Self::of_one(pid) else { continue };
            usage.processes += 1;
            usage.threads = usage.threads.saturating_add(one.threads);
            usage.cpu_ms = usage.cpu_ms.saturating_add(one.cpu_ms);
            usage.rss = usage.rss.saturating_add(one.rss);
            usage.fds = usage.fds.saturating_add(one.fds);
            usage.read = usage.read.saturating_add(one.read);
            usage.written = usage.written.saturating_add(one.written);
        }
        (usage.processes > 0).then_some(usage)
    }

    /// Looks at one process.
    pub fn of_one(pid: u32) -> Option<Self> {
        let fields = stat_fields(pid)?;
        // Numbers as in `proc_pid_stat(5)`, where the first of `fields` is 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        // A zombie uses nothing any more but its entry; whoever waits for it gets its time.
        if fields.first().is_none_or(|state| state == "Z" || state == "X") {
            return None;
        }
        let ticks = field(14)? + field(15)? + field(16)? + field(17)?;
        let (read, written) = io_bytes(pid);
        Some(Self {
            processes: 1,
            threads: field(20)?.try_into().unwrap_or(u32::MAX),
            cpu_ms: ticks.saturating_mul(1000) / ticks_per_second(),
            rss: field(24)?.saturating_mul(page_bytes()),
            fds: fs::read_dir(format!("/proc/{pid}/fd"))
                .map_or(0, |entries| entries.count().try_into().unwrap_or(u32::MAX)),
            read,
            written,
        })
    }
}

/// Returns the processor time of a tree, in milliseconds, and its resident bytes: what a history needs, at the price of
/// one read for each process.
pub fn time_and_memory(root: u32) -> Option<(u64, u64)> {
    let mut total = None;
    for pid in tree(root) {
        let Some(fields) = stat_fields(pid) else { continue };
        let field =
            |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let ticks = field(14) + field(15) + field(16) + field(17);
        let (cpu_ms, rss) = total.unwrap_or((0, 0));
        total = Some((
            cpu_ms + ticks.saturating_mul(1000) / ticks_per_second(),
            rss + field(24).saturating_mul(page_bytes()),
        ));
    }
    total
}

/// Returns the proportional set size of a tree, in bytes: shared memory counts for each by its share. None when none
/// of it may be looked at. The kernel walks all page tables for it: milliseconds for a large process.
pub fn proportional_memory(root: u32) -> Option<u64> {
    let of_one = |pid: u32| kibibytes(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:");
    tree(root).into_iter().filter_map(of_one).reduce(u64::saturating_add)
}

/// What the whole machine, or container, uses at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SystemUsage {
    pub cores: u32,
    /// Processor time of all cores since boot in clock ticks: all of it, and that in which nothing was to do.
    pub ticks: u64,
    pub idle_ticks: u64,
    /// Load over one, five and fifteen minutes.
    pub load: [f64; 3],
    /// Bytes.
    pub memory: u64,
    /// Bytes that programs could still get without swapping.
    pub memory_available: u64,
    pub swap: u64,
    pub swap_free: u64,
    pub uptime_s: u64,
    /// The file system of the directory asked for, in bytes.
    pub disk: u64,
    pub disk_free: u64,
}

impl SystemUsage {
    /// Looks at the system, and at the file system that `dir` is on. What cannot be read is zero.
    pub fn look(dir: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let memory = read("/proc/meminfo");
        let memory = |name: &str| kibibytes(&memory, name).unwrap_or(0);
        let (ticks, idle_ticks) = all_ticks(&read("/proc/stat"));
        let disk = rustix::fs::statvfs(dir).ok();
        let bytes = |blocks: u64| blocks.saturating_mul(disk.as_ref().map_or(0, |disk| disk.f_frsize));
        Self {
            cores: std::thread::available_parallelism()
                .map_or(1, |cores| cores.get().try_into().unwrap_or(u32::MAX)),
            ticks,
            idle_ticks,
            load: loads(&read("/proc/loadavg")),
            memory: memory("MemTotal:"),
            memory_available: memory("MemAvailable:"),
            swap: memory("SwapTotal:"),
            swap_free: memory("SwapFree:"),
            uptime_s: seconds(&read("/proc/uptime")),
            disk: bytes(disk.as_ref().map_or(0, |disk| disk.f_blocks)),
            disk_free: bytes(disk.as_ref().map_or(0, |disk| disk.f_bavail)),
        }
    }
}

/// Returns the bytes of the line `NAME: 123 kB`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns `read_bytes` and `write_bytes` of `/proc/PID/io` (`proc_pid_io(5)`).
fn io_bytes(pid: u32) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let value = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    };
    (value("read_bytes:"), value("write_bytes:"))
}

/// Returns all ticks and the idle ones of the first line of `/proc/stat`: user, nice, system, idle, iowait, irq,
/// softirq, steal; guests are in user already (`proc_stat(5)`).
fn all_ticks(text: &str) -> (u64, u64) {
    let line = text.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().take(8).map(|number| number.parse().unwrap_or(0)).collect();
    let idle = ticks.iter().skip(3).take(2).sum();
    (ticks.iter().sum(), idle)
}

fn loads(text: &str) -> [f64; 3] {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse().unwrap_or(0.0));
    std::array::from_fn(|_| words.next().unwrap_or(0.0))
}

fn seconds(text: &str) -> u64 {
    text.split('.').next().and_then(|whole| whole.trim().parse().ok()).unwrap_or(0)
}

fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}

fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_tree_counts_all_its_processes() {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "sleep 1000 & echo; read line; kill $!; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut line).unwrap();
        let usage = TreeUsage::of(shell.id()).unwrap();
        assert_eq!((usage.processes, usage.threads), (2, 2));
        assert!(usage.rss > 100 << 10, "{usage:?}");
        assert!(usage.fds >= 5, "{usage:?}");
        let (_, rss) = time_and_memory(shell.id()).unwrap();
        assert!(rss > 100 << 10);
        assert!(proportional_memory(shell.id()).unwrap() > 0);
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert_eq!(TreeUsage::of(shell.id()), None);
        assert_eq!(proportional_memory(shell.id()), None);
    }

    #[test]
    fn the_time_of_children_that_have_ended_is_kept() {
        let me = std::process::id();
        let before = TreeUsage::of_one(me).unwrap().cpu_ms;
        // Work that takes well over a clock tick.
        let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        assert!(Command::new("/bin/sh").args(["-c", script]).status().unwrap().success());
        assert!(TreeUsage::of_one(me).unwrap().cpu_ms > before);
    }

    #[test]
    fn the_system_is_read_as_the_kernel_prints_it() {
        assert_eq!(all_ticks("cpu  10 1 5 80 4 0 0 0 3 0\ncpu0 1"), (100, 84));
        assert_eq!(all_ticks("nonsense"), (0, 0));
        assert_eq!(loads("0.52 1.48 2.40 1/234 5678"), [0.52, 1.48, 2.40]);
        assert_eq!(seconds("1234.56 99.0"), 1234);
        assert_eq!(kibibytes("MemTotal:   8 kB\n", "MemTotal:"), Some(8192));
        assert_eq!(kibibytes("MemTotal: x", "MemTotal:"), None);
        let usage = SystemUsage::look(Path::new("/"));
        assert!(
            usage.cores > 0 && usage.memory > 0 && usage.disk > 0 && usage.ticks > usage.idle_ticks,
            "{usage:?}"
        );
        assert!(usage.memory_available <= usage.memory && usage.disk_free <= usage.disk);
    }
}
