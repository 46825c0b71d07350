//! What the kernel says of process trees: who descends from whom, who listens where. Linux only.
//!
//! Only reads `/proc`; never signals anybody.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

/// Returns the start time of a process in clock ticks since boot, which tells it from a later one with the same pid
/// (field 22 of `proc_pid_stat(5)`).
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    after_name(&stat)?.split_ascii_whitespace().nth(19)?.parse().ok()
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

/// Returns a process and all its descendants.
pub fn tree(root: u32) -> Vec<u32> {
    let descendants = i32::try_from(root).map(crate::shim::tree::descendants).unwrap_or_default();
    let pids = descendants.into_iter().filter_map(|process| u32::try_from(process.pid).ok());
    std::iter::once(root).chain(pids).collect()
}

/// Returns the TCP ports that each of these processes or its descendants listen on, sorted. One look at the kernel's
/// table of listeners serves all.
pub fn ports_of_trees(roots: &[u32]) -> HashMap<u32, Vec<u16>> {
    let listeners = if roots.is_empty() { Vec::new() } else { listeners() };
    let ports = |root: &u32| (*root, ports_of(&tree(*root), &listeners).into_iter().collect());
    if listeners.is_empty() { HashMap::new() } else { roots.iter().map(ports).collect() }
}

/// Returns the TCP ports that any of these processes listens on.
pub fn listening_ports(pids: &[u32]) -> BTreeSet<u16> {
    ports_of(pids, &listeners())
}

fn ports_of(pids: &[u32], listeners: &[Listener]) -> BTreeSet<u16> {
    if listeners.is_empty() {
        return BTreeSet::new();
    }
    let sockets: HashSet<u64> = pids.iter().flat_map(|pid| socket_inodes(*pid)).collect();
    listeners
        .iter()
        .filter(|listener| sockets.contains(&listener.inode))
        .map(|listener| listener.port)
        .collect()
}

/// Returns whether anybody listens on this TCP port.
pub fn is_listening(port: u16) -> bool {
    listeners().iter().any(|listener| listener.port == port)
}

/// Returns a process that listens on this TCP port, as far as this user may see it.
pub fn port_owner(port: u16) -> Option<(u32, String)> {
    let inodes: HashSet<u64> =
        listeners().into_iter().filter(|listener| listener.port == port).map(|l| l.inode).collect();
    let owner = pids().find(|pid| socket_inodes(*pid).any(|inode| inodes.contains(&inode)))?;
    let command = fs::read(format!("/proc/{owner}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    Some((owner, command.trim().to_owned()))
}

struct Listener {
    port: u16,
    inode: u64,
}

fn listeners() -> Vec<Listener> {
    /// `TCP_LISTEN` in the kernel's `tcp_states.h`, as `/proc/net/tcp` prints it.
    const LISTEN: &str = "0A";
    let mut listeners = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(text) = fs::read_to_string(table) else { continue };
        for line in text.lines().skip(1) {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (Some(local), Some(state)) = (fields.next(), fields.nth(1)) else { continue };
            if state != LISTEN {
                continue;
            }
            let Some(inode) = fields.nth(5).and_then(|inode| inode.parse().ok()) else { continue };
            let Some(port) = parse_port(local) else { continue };
            listeners.push(Listener { port, inode });
        }
    }
    listeners
}

/// Parses the port of `0100007F:1F90`: an address and a port in hexadecimal.
fn parse_port(text: &str) -> Option<u16> {
    u16::from_str_radix(text.rsplit_once(':')?.1, 16).ok()
}

fn socket_inodes(pid: u32) -> impl Iterator<Item = u64> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    fds.filter_map(|fd| {
        let target = fs::read_link(fd.ok()?.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Returns what follows the command's name, which may itself hold blanks and parentheses.
fn after_name(stat: &str) -> Option<&str> {
    stat.rfind(')').map(|end| &stat[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_listener_is_found_through_the_tree() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let me = std::process::id();
        assert!(tree(me).contains(&me));
        assert!(listening_ports(&[me]).contains(&port));
        assert_eq!(port_owner(port).unwrap().0, me);
        drop(socket);
        assert!(!listening_ports(&[me]).contains(&port));
    }

    #[test]
    fn start_times_are_known_for_the_living_only() {
        assert!(start_ticks(std::process::id()).is_some());
        assert_eq!(start_ticks(u32::MAX), None);
    }

    #[test]
    fn ports_are_read_as_the_kernel_prints_them() {
        assert_eq!(parse_port("0100007F:1F90"), Some(8080));
        assert_eq!(parse_port("00000000000000000000000001000000:0050"), Some(80));
        assert_eq!(parse_port("xyz"), None);
    }
}
