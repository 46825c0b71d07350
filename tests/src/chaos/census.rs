//! Who of a project lives, by `/proc`, and signals to them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ledger::Token;
use crate::project::Project;

/// What a process of a project is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Daemon,
    Shim,
    /// A child that keeps a record, or its descendant.
    Child,
    /// A command, or the launcher of a daemon.
    Other,
}

/// A living process of a project.
#[derive(Debug, Clone)]
pub struct Member {
    pub token: Token,
    pub role: Role,
    pub parent: u32,
    pub command: String,
}

/// Returns the living processes of a project, however they detached themselves. Shims have no environment, but their
/// run's directory among their arguments.
pub fn members(project: &Project) -> Vec<Member> {
    let (mark, state) = (project.mark() + "\0", project.state_dir().display().to_string());
    let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let member = |pid: u32| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let command = read("cmdline");
        if pid == std::process::id() || !(has(&command, &state) || has(&read("environ"), &mark)) {
            return None;
        }
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let token = Token::of(pid).filter(|token| lives(*token))?;
        let role = match () {
            () if command.starts_with("ostler-shim ") => Role::Shim,
            () if command.contains("teller ") => Role::Child,
            () if command.contains(" daemon --report") => Role::Daemon,
            () => Role::Other,
        };
        Some(Member { token, role, parent: parent_of(pid)?, command: command.trim().to_owned() })
    };
    pids.filter_map(member).collect()
}

/// Returns whether a process is there and more than a zombie.
pub fn lives(token: Token) -> bool {
    Token::of(token.pid) == Some(token) && crate::project::is_alive(token.pid)
}

/// Returns the parent of a process.
pub fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Returns the dead children of a process that it has not taken leave of.
pub fn zombies_of(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent) && !crate::project::is_alive(*pid)).collect()
}

/// Sends a signal to a process that lives still; tells whether it did.
pub fn signal(token: Token, signal: i32) -> bool {
    // SAFETY: takes numbers only.
    lives(token) && unsafe { libc::kill(token.pid.cast_signed(), signal) } == 0
}

/// Sends a signal with a value, by which children take orders.
pub fn order(token: Token, signal: i32, value: u32) -> bool {
    let value = libc::sigval { sival_ptr: value as usize as *mut libc::c_void };
    // SAFETY: takes numbers only; nobody takes the value for a pointer.
    lives(token) && unsafe { libc::sigqueue(token.pid.cast_signed(), signal, value) } == 0
}

/// Returns what a process has open, counted by kind. Of files below `but`, which come and go with the log, nothing is
/// said.
pub fn descriptors(pid: u32, but: &Path) -> io::Result<BTreeMap<String, usize>> {
    let mut kinds = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        if target.starts_with(but) {
            continue;
        }
        let target = target.display().to_string();
        let kind = target.split_once(":[").map_or(target.as_str(), |(kind, _)| kind).to_owned();
        *kinds.entry(kind).or_insert(0) += 1;
    }
    Ok(kinds)
}

/// Returns the cgroup that Ostler has made for a process, where it did.
pub fn cgroup_of(pid: u32) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    let dir = Path::new(mount.split(' ').nth(1)?).join(path);
    dir.parent()?.file_name()?.to_str()?.starts_with("ostler-").then_some(dir)
}
