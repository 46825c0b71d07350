//! Who listens on which TCP port of this machine, as the kernel tells it. Linux only: asks for the network namespace
//! Ostler is in, or reads `/proc/net/tcp`; and reads `/proc/PID/fd`, which it may look into for processes of its user.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::inet_diag;
use super::procfs::{ancestors, command_line, pids, tree, variables};
use crate::shim::program;

/// Longest command of another process that is shown, in characters.
const COMMAND_CHARS: usize = 120;

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

/// The listeners of this machine as somebody has seen them.
#[derive(Debug, Default)]
pub struct Sighting {
    /// Another number than that of the sighting before as soon as one listener more, or one less, is there.
    pub generation: u64,
    listeners: Vec<Listener>,
}

impl Sighting {
    /// Returns whether anybody listens on one of these ports.
    pub fn has_any(&self, ports: &[u16]) -> bool {
        self.listeners.iter().any(|listener| ports.contains(&listener.port))
    }

    /// Returns the ports that one of these processes listens on.
    pub fn ports_of(&self, pids: &[u32]) -> BTreeSet<u16> {
        ports_of(pids, &self.listeners)
    }

    fn inodes(&self) -> HashSet<u64> {
        self.listeners.iter().map(|listener| listener.inode).collect()
    }
}

/// Looks for the listeners of this machine on behalf of many, who pay for one look together.
#[derive(Debug, Default)]
pub struct Lookout {
    latest: Mutex<Option<(Instant, Arc<Sighting>)>>,
    /// Held by who looks.
    looking: Mutex<()>,
}

impl Lookout {
    /// Returns the listeners as they are, or were not longer than `age` ago.
    pub async fn sighting(self: &Arc<Self>, age: Duration) -> Arc<Sighting> {
        if let Some(known) = self.known(age) {
            return known;
        }
        let lookout = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || {
            // One at a time: who waited for another's look takes that.
            let _turn = lookout.looking.lock().unwrap_or_else(PoisonError::into_inner);
            lookout.known(age).unwrap_or_else(|| lookout.look())
        });
        looked.await.unwrap_or_default()
    }

    fn known(&self, age: Duration) -> Option<Arc<Sighting>> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().filter(|(when, _)| when.elapsed() <= age).map(|(_, sighting)| Arc::clone(sighting))
    }

    fn look(&self) -> Arc<Sighting> {
        let (now, listeners) = (Instant::now(), listeners());
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let before = latest.take().map(|(_, sighting)| sighting).unwrap_or_default();
        let mut sighting = Sighting { generation: before.generation, listeners };
        if sighting.inodes() != before.inodes() {
            sighting.generation += 1;
        }
        let sighting = Arc::new(sighting);
        *latest = Some((now, Arc::clone(&sighting)));
        sighting
    }
}

/// Returns the process that listens on this TCP port, with its command, when it is one that may be looked at.
pub fn port_owner(port: u16) -> Option<(u32, String)> {
    let inodes: HashSet<u64> =
        listeners().into_iter().filter(|listener| listener.port == port).map(|l| l.inode).collect();
    let owner = owner(&inodes)?;
    Some((owner, shown(&command_line(owner).join(" "))))
}

/// Returns who listens on this port at an address that a server of this machine would ask for as well: a loopback
/// address or all of them. Nobody else is in the way of one.
pub fn holder(port: u16) -> Option<Holder> {
    let held: Vec<Listener> = listeners()
        .into_iter()
        .filter(|listener| listener.port == port)
        .filter(|listener| listener.address.is_loopback() || listener.address.is_unspecified())
        .collect();
    let uid = held.first()?.uid;
    let inodes = held.iter().map(|listener| listener.inode).collect();
    Some(match owner(&inodes) {
        Some(pid) => Holder::Visible {
            pid,
            command: shown(&command_line(pid).join(" ")),
            supervised: Supervised::of(pid),
        },
        None => Holder::Hidden { uid },
    })
}

/// Who listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    Visible {
        pid: u32,
        command: String,
        /// When the process was started by an Ostler.
        supervised: Option<Supervised>,
    },
    /// A process that may not be looked at: of another user, or in another container.
    Hidden { uid: u32 },
}

/// What a process of some Ostler's says of itself in its environment, or one of its ancestors does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervised {
    pub process: String,
    pub project: PathBuf,
    /// A shim is among its ancestors. Without one it was left behind, and no Ostler can stop it.
    pub has_shim: bool,
}

impl Supervised {
    fn of(pid: u32) -> Option<Self> {
        let line: Vec<u32> = std::iter::once(pid).chain(ancestors(pid)).collect();
        let (process, project) = line.iter().find_map(|pid| {
            let [process, project] = variables(*pid, ["OSTLER_PROCESS", "OSTLER_PROJECT"]);
            Some((process?, PathBuf::from(project?)))
        })?;
        let is_shim = |pid: &u32| {
            command_line(*pid).first().is_some_and(|word| Path::new(word).ends_with(program::NAME))
        };
        Some(Self { process: shown(&process), project, has_shim: line.iter().any(is_shim) })
    }
}

impl Holder {
    /// Returns who it is and what to do about it, for a project in `home`: `pid 4242 (node server.js), process `web`
    /// of this project; stop it with `ostler stop web``.
    pub fn described(&self, home: &Path) -> String {
        match self {
            Self::Hidden { uid } if *uid == rustix::process::getuid().as_raw() => {
                "a process that cannot be seen from here, perhaps in a container; stop it, or choose another port"
                    .to_owned()
            }
            Self::Hidden { uid } => format!(
                "a process of another user (uid {uid}), which may not be looked at; stop it, or choose another port"
            ),
            Self::Visible { pid, command, supervised } => {
                let who = Described { pid: *pid, command };
                match supervised {
                    None => format!("{who}; stop it, or choose another port"),
                    Some(Supervised { process, project, has_shim: false }) => format!(
                        "{who}, left behind by process `{process}` of {}; end it with `kill {pid}`",
                        whose(project, home)
                    ),
                    Some(Supervised { process, project, .. }) if project == home => {
                        format!("{who}, process `{process}` of this project; stop it with `ostler stop {process}`")
                    }
                    Some(Supervised { process, project, .. }) => {
                        let dir = shown(&project.to_string_lossy());
                        format!(
                            "{who}, process `{process}` of the project in {dir}; stop it with `ostler -C {dir} stop \
                             {process}`"
                        )
                    }
                }
            }
        }
    }
}

struct Described<'a> {
    pid: u32,
    command: &'a str,
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} ({})", self.pid, self.command)
    }
}

fn whose(project: &Path, home: &Path) -> String {
    if project == home {
        "this project".to_owned()
    } else {
        format!("the project in {}", shown(&project.to_string_lossy()))
    }
}

/// Returns foreign text fit for a message: bounded, on one line.
fn shown(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.trim().chars().take(COMMAND_CHARS).map(clean).collect();
    if text.trim().chars().nth(COMMAND_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

fn owner(inodes: &HashSet<u64>) -> Option<u32> {
    pids().find(|pid| socket_inodes(*pid).any(|inode| inodes.contains(&inode)))
}

/// A TCP socket that listens.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) uid: u32,
    pub(super) inode: u64,
}

fn listeners() -> Vec<Listener> {
    inet_diag::listening().unwrap_or_else(|_| from_table())
}

/// Reads the kernel's table of all sockets, which works everywhere and takes long.
pub(super) fn from_table() -> Vec<Listener> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines().skip(1).filter_map(listener)).collect()
}

/// Reads one line of `/proc/net/tcp` (`proc_net(5)`); none when it is not a listener's.
fn listener(line: &str) -> Option<Listener> {
    /// `TCP_LISTEN` in the kernel's `tcp_states.h`, as the table prints it.
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?;
    fields.nth(1).filter(|state| *state == LISTEN)?;
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let (address, port) = parse_address(local)?;
    Some(Listener { address, port, uid, inode })
}

/// Reads `0100007F:1F90`: an address as words of 32 bits, each printed as this machine's number, and a port.
fn parse_address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| {
        let word = u32::from_str_radix(address.get(index * 8..index * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, place) in bytes.chunks_exact_mut(4).enumerate() {
                place.copy_from_slice(&word(index)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some((address, port))
}

fn socket_inodes(pid: u32) -> impl Iterator<Item = u64> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    fds.filter_map(|fd| {
        let target = fs::read_link(fd.ok()?.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn the_own_listener_is_found_through_the_tree() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let me = std::process::id();
        assert!(tree(me).contains(&me));
        assert!(listening_ports(&[me]).contains(&port));
        assert_eq!(port_owner(port).unwrap().0, me);
        assert!(matches!(holder(port), Some(Holder::Visible { pid, .. }) if pid == me));
        drop(socket);
        assert!(!listening_ports(&[me]).contains(&port));
        assert_eq!(holder(port), None);
    }

    #[tokio::test]
    async fn a_sighting_tells_whether_anything_has_changed() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let lookout = Arc::new(Lookout::default());
        let with = lookout.sighting(Duration::ZERO).await;
        assert!(with.has_any(&[1, port]) && with.ports_of(&[std::process::id()]).contains(&port));
        assert!(Arc::ptr_eq(&with, &lookout.sighting(Duration::from_secs(3600)).await));
        drop(socket);
        let without = lookout.sighting(Duration::ZERO).await;
        assert!(without.generation > with.generation);
        assert!(!without.has_any(&[port]));
    }

    #[test]
    fn an_address_that_no_server_here_asks_for_is_in_nobodys_way() {
        let socket = TcpListener::bind("127.0.0.2:0").unwrap();
        // All of 127/8 is loopback, so that address is in the way; this one of the kernel's own table is not.
        assert!(holder(socket.local_addr().unwrap().port()).is_some());
        let foreign =
            "0: 010AA8C0:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1 0 100";
        assert!(!listener(foreign).unwrap().address.is_loopback());
    }

    #[test]
    fn lines_are_read_as_the_kernel_prints_them() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 54321 1 0 100 0 0 10 0";
        let found = listener(line).unwrap();
        assert_eq!((found.port, found.uid, found.inode), (8080, 1000, 54321));
        assert!(listener(&line.replace(" 0A ", " 01 ")).is_none());
        for broken in ["", "0:", "0: zz:1F90 0:0 0A", &line[..60]] {
            assert!(listener(broken).is_none(), "{broken}");
        }
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn addresses_are_read_as_the_kernel_prints_them() {
        let read = |text: &str| parse_address(text).map(|(address, port)| format!("{address} {port}"));
        assert_eq!(read("0100007F:1F90").as_deref(), Some("127.0.0.1 8080"));
        assert_eq!(read("00000000000000000000000001000000:0050").as_deref(), Some("::1 80"));
        assert_eq!(read("0000000000000000FFFF00000100007F:0050").as_deref(), Some("127.0.0.1 80"));
        assert_eq!(read("0100:0050"), None);
        assert_eq!(read("xyz"), None);
    }

    #[test]
    fn a_holder_is_told_with_what_to_do_about_it() {
        let home = Path::new("/srv/shop");
        let told = |supervised: Option<(&str, bool)>| {
            let supervised = supervised.map(|(project, has_shim)| Supervised {
                process: "web".to_owned(),
                project: project.into(),
                has_shim,
            });
            Holder::Visible { pid: 42, command: "node server.js".to_owned(), supervised }.described(home)
        };
        assert_snapshot!(told(None), @"pid 42 (node server.js); stop it, or choose another port");
        assert_snapshot!(
            told(Some(("/srv/shop", true))),
            @"pid 42 (node server.js), process `web` of this project; stop it with `ostler stop web`"
        );
        assert_snapshot!(
            told(Some(("/srv/blog", true))),
            @"pid 42 (node server.js), process `web` of the project in /srv/blog; stop it with `ostler -C /srv/blog stop web`"
        );
        assert_snapshot!(
            told(Some(("/srv/blog", false))),
            @"pid 42 (node server.js), left behind by process `web` of the project in /srv/blog; end it with `kill 42`"
        );
        assert_snapshot!(
            Holder::Hidden { uid: u32::MAX - 1 }.described(home),
            @"a process of another user (uid 4294967294), which may not be looked at; stop it, or choose another port"
        );
    }

    #[test]
    fn foreign_text_is_bounded_and_keeps_to_its_line() {
        assert_eq!(shown(" a\u{1b}[2J\nb "), "a [2J b");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), COMMAND_CHARS + 1);
    }
}
