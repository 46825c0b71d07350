//! Finding and signalling the descendants of a process, through `/proc` (Linux only).
//!
//! Owns the rule that no signal may reach a stranger: a process is known by its pid *and* its start time, both are
//! compared after its pidfd was opened, and when in doubt nothing is sent.

use std::collections::HashMap;
use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A process that cannot be mistaken for another one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since boot (`proc_pid_stat(5)`).
    pub start_ticks: u64,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Delivered,
    /// The process had gone before.
    Gone,
}

#[derive(Debug, Clone, Copy)]
struct Stat {
    parent: i32,
    start_ticks: u64,
    zombie: bool,
}

impl Process {
    /// Returns the process that has this pid now.
    pub fn with_pid(pid: i32) -> Option<Self> {
        Some(Self { pid, start_ticks: stat(pid)?.start_ticks })
    }

    /// Sends `signal` to this very process.
    ///
    /// # Errors
    /// When the process is there and may not be signalled (`EPERM`), or the signal does not exist (`EINVAL`).
    pub fn signal(self, signal: i32) -> io::Result<Sent> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(Sent::Gone) };
        let sent = match pidfd_open(pid, PidfdFlags::empty()) {
            // The descriptor holds on to whoever has the pid now; the start time tells whether it is the one meant.
            Ok(pidfd) if self.is_still_there() => send_through_pidfd(&pidfd, signal),
            // Kernels before 5.3: the remaining gap between comparing and sending is that of every other program.
            Err(rustix::io::Errno::NOSYS) if self.is_still_there() => send_by_pid(self.pid, signal),
            Ok(_) | Err(rustix::io::Errno::NOSYS | rustix::io::Errno::SRCH) => return Ok(Sent::Gone),
            Err(error) => Err(error.into()),
        };
        match sent {
            Ok(()) => Ok(Sent::Delivered),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(Sent::Gone),
            Err(error) => Err(error),
        }
    }

    fn is_still_there(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks)
    }
}

/// Returns the living descendants of the process `root`, parents before their children; zombies are left out.
///
/// The tree may change meanwhile: whoever needs all of it looks again until nobody new appears.
pub fn descendants(root: i32) -> Vec<Process> {
    if fs::exists(format!("/proc/{root}/task/{root}/children")).unwrap_or(false) {
        descendants_by_children(root)
    } else {
        descendants_by_scan(root)
    }
}

/// Asks the kernel for each process's children: costs as much as the tree is large, needs `CONFIG_PROC_CHILDREN`.
fn descendants_by_children(root: i32) -> Vec<Process> {
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for pid in children(parent) {
            // The parent is compared, because the list and the look at the child are two moments.
            if let Some(stat) = stat(pid).filter(|stat| stat.parent == parent) {
                parents.push(pid);
                if !stat.zombie {
                    found.push(Process { pid, start_ticks: stat.start_ticks });
                }
            }
        }
    }
    found
}

/// Looks at every process of the system: costs as much as the system is busy, works everywhere.
fn descendants_by_scan(root: i32) -> Vec<Process> {
    let mut by_parent: HashMap<i32, Vec<(i32, Stat)>> = HashMap::new();
    for pid in numbers_in("/proc") {
        if let Some(stat) = stat(pid) {
            by_parent.entry(stat.parent).or_default().push((pid, stat));
        }
    }
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for (pid, stat) in by_parent.remove(&parent).unwrap_or_default() {
            parents.push(pid);
            if !stat.zombie {
                found.push(Process { pid, start_ticks: stat.start_ticks });
            }
        }
    }
    found
}

/// Returns the children of all threads of a process, since each thread has those that it forked.
fn children(parent: i32) -> Vec<i32> {
    let mut children = Vec::new();
    for thread in numbers_in(&format!("/proc/{parent}/task")) {
        let text = fs::read_to_string(format!("/proc/{parent}/task/{thread}/children")).unwrap_or_default();
        children.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    children
}

fn numbers_in(dir: &str) -> Vec<i32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Returns the parent of a process; nothing when there is no such process.
pub(super) fn parent(pid: i32) -> Option<i32> {
    stat(pid).map(|stat| stat.parent)
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `/proc/PID/stat`. The second field is the program's name in parentheses and may itself hold spaces,
/// parentheses and newlines, so that counting begins behind the last one.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let name_end = text.iter().rposition(|byte| *byte == b')')?;
    let text = std::str::from_utf8(&text[name_end + 1..]).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    // State is field 3 and the parent field 4, so the start time (22) is the 18th behind.
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some(Stat { parent, start_ticks, zombie: matches!(state, "Z" | "X") })
}

fn send_through_pidfd(pidfd: &impl std::os::fd::AsRawFd, signal: i32) -> io::Result<()> {
    let (no_info, no_flags) = (std::ptr::null::<libc::siginfo_t>(), 0);
    // SAFETY: the descriptor is open during the call, and a null siginfo means "as kill(2) would send it".
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, no_flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends a signal by pid (or, negative, by process group); the caller has made sure whose it is.
pub(super) fn send_by_pid(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes plain numbers and touches no memory of ours.
    if unsafe { libc::kill(pid, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_full_of_parentheses_and_newlines_does_not_confuse() {
        let text = b"42 (a) Z 1 (b\n) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.parent, stat.start_ticks, stat.zombie), (7, 987_654, false));
        assert!(parse_stat(b"42 (cut) S 7").is_none());
        assert!(parse_stat(b"").is_none());
    }

    #[test]
    fn grandchildren_are_found_both_ways_and_a_stale_identity_is_not_signalled() {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "sleep 1000 & echo $!; read line; kill $!"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let grandchild = Process::with_pid(line.trim().parse().unwrap()).unwrap();
        let root = i32::try_from(std::process::id()).unwrap();
        assert!(descendants(root).contains(&grandchild));
        assert!(descendants_by_scan(root).contains(&grandchild));

        let stale = Process { start_ticks: grandchild.start_ticks + 1, ..grandchild };
        assert_eq!(stale.signal(libc::SIGKILL).unwrap(), Sent::Gone);
        assert!(grandchild.is_still_there());
        assert_eq!(grandchild.signal(0).unwrap(), Sent::Delivered);
        assert!(grandchild.signal(1000).is_err());
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}
