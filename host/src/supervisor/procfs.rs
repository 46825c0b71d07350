//! What the kernel says of processes: who descends from whom, since when, started how. Linux only.
//!
//! Only reads `/proc`; never signals anybody. Everything in there is the process's own word, so it is bounded.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

pub use super::listeners::{holder, listening_ports, port_owner, ports_of_trees};

/// Most bytes read of a command line or an environment; Linux allows megabytes.
const TEXT_BYTES: u64 = 256 << 10;
/// Most generations looked at on the way up.
const GENERATIONS: usize = 64;

/// Returns the start time of a process in clock ticks since boot, which tells it from a later one with the same pid
/// (field 22 of `proc_pid_stat(5)`).
pub fn start_ticks(pid: u32) -> Option<u64> {
    stat_fields(pid)?.get(19)?.parse().ok()
}

/// Returns the fields of `/proc/PID/stat` that follow the name, the first being the state, which is field 3 of
/// `proc_pid_stat(5)`.
pub(super) fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    Some(after_name(&stat)?.split_ascii_whitespace().map(str::to_owned).collect())
}

/// Returns a process that was started with exactly this argument.
pub fn with_argument(argument: &OsStr) -> Option<u32> {
    let has = |pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|found| found == argument.as_bytes())
    };
    pids().find(has)
}

/// Returns when the system was booted, in seconds since the Unix epoch (`btime` of `proc_stat(5)`).
pub fn boot_seconds() -> Option<i64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Returns a process and all its descendants, parents before their children.
pub fn tree(root: u32) -> Vec<u32> {
    let descendants = i32::try_from(root).map(crate::shim::tree::descendants).unwrap_or_default();
    let pids = descendants.into_iter().filter_map(|process| u32::try_from(process.pid).ok());
    std::iter::once(root).chain(pids).collect()
}

/// Returns the parent of a process.
pub fn parent(pid: u32) -> Option<u32> {
    stat_fields(pid)?.get(1)?.parse().ok().filter(|parent| *parent != 0)
}

/// Returns the ancestors of a process, its parent first.
pub fn ancestors(pid: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(parent(pid), |pid| parent(*pid)).take(GENERATIONS)
}

/// Returns the words a process was started with; none for one that may not be looked at, or has ended.
pub fn command_line(pid: u32) -> Vec<String> {
    let text = bounded(&format!("/proc/{pid}/cmdline"));
    let text = text.strip_suffix(b"\0").unwrap_or(&text);
    if text.is_empty() {
        return Vec::new();
    }
    text.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Returns what the environment that a process was started with has for each of these names.
pub fn variables<const N: usize>(pid: u32, names: [&str; N]) -> [Option<String>; N] {
    let text = bounded(&format!("/proc/{pid}/environ"));
    names.map(|name| {
        let value = |entry: &[u8]| Some(entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.to_owned());
        let value = text.split(|byte| *byte == 0).find_map(value)?;
        Some(OsString::from_vec(value).to_string_lossy().into_owned())
    })
}

/// Returns the pids of all processes that can be seen.
pub(super) fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn bounded(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What was read before an error counts too.
        let _ = file.take(TEXT_BYTES).read_to_end(&mut bytes);
    }
    bytes
}

/// Returns what follows the command's name, which may itself hold blanks and parentheses.
fn after_name(stat: &str) -> Option<&str> {
    stat.rfind(')').map(|end| &stat[end + 1..])
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn start_times_are_known_for_the_living_only() {
        assert!(start_ticks(std::process::id()).is_some());
        assert_eq!(start_ticks(u32::MAX), None);
    }

    #[test]
    fn a_child_tells_its_words_its_variables_and_where_it_comes_from() {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "echo; read line", "", "last word"])
            .env("OSTLER_PROCESS", "web=1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        // Its words are known a moment after it was spawned.
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        assert_eq!(command_line(pid), ["/bin/sh", "-c", "echo; read line", "", "last word"]);
        let [process, other] = variables(pid, ["OSTLER_PROCESS", "OSTLER_PROC"]);
        assert_eq!((process.as_deref(), other), (Some("web=1"), None));
        assert_eq!(ancestors(pid).next(), Some(std::process::id()));
        assert!(ancestors(pid).count() <= GENERATIONS);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(command_line(pid).is_empty());
    }
}
