//! Which port each process gets, and whether it can have it. Linux only, for the look at who listens.
//!
//! # Ports that Ostler chooses
//!
//! `port = "auto"` takes a port of [`bounds::PORT_RANGE`], which lies below what the kernel itself hands out for
//! outgoing connections and for port 0 (`ip_local_port_range`, 32768 to 60999 by default), so that nobody comes by one
//! by chance. A process begins at a place that project and name decide, and keeps what it got: the catalogue remembers
//! it. It is not given to two processes of one project, because one table knows all; nor to two projects of one user,
//! because each daemon holds a lock on the port's byte of a shared file (`F_OFD_SETLK` of `fcntl(2)`), which the kernel
//! drops when the daemon dies. At each start it is made sure of that nobody listens there, by binding to it.
//!
//! What remains: between that look and the moment the child itself listens, some other program that asks for exactly
//! this port can have it; the child then fails as with any port. The socket cannot be held open over that time, since
//! a child that does not set `SO_REUSEADDR` could not bind then.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use tracing::warn;

use super::listeners::holder;
use super::preflight::StartProblem;
use super::probe::is_local;
use crate::bounds::PORT_RANGE;
use crate::config::{Check, Endpoint, HttpUrl, PortChoice, ProcessConfig};
use crate::model::ProcessName;
use crate::store::{Catalogue, CatalogueError};

/// The ports of one project's processes. Shared; its methods wait for files, so they belong on blocking threads.
pub struct Ports {
    /// The project's directory.
    home: PathBuf,
    catalogue: Arc<Catalogue>,
    table: Mutex<Table>,
    claims: Claims,
}

struct Table {
    /// What each process has, or had when it last ran.
    given: BTreeMap<ProcessName, u16>,
    /// What the catalogue remembers: ports that were chosen here.
    remembered: BTreeMap<ProcessName, u16>,
}

impl Ports {
    /// Returns the ports of the project in `home`; `claims` is the file that all daemons of the user share.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn new(home: &Path, catalogue: Arc<Catalogue>, claims: &Path) -> Result<Self, CatalogueError> {
        let remembered = catalogue.ports()?;
        let table = Mutex::new(Table { given: BTreeMap::new(), remembered });
        Ok(Self { home: home.to_owned(), catalogue, table, claims: Claims::open(claims) })
    }

    /// Returns the project's directory.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the port that a process has, or had when it last ran.
    pub fn of(&self, name: &ProcessName) -> Option<u16> {
        let table = self.table();
        table.given.get(name).or_else(|| table.remembered.get(name)).copied()
    }

    /// Returns the port that a process with this choice has, or would get if that is free.
    pub fn expected(&self, name: &ProcessName, choice: PortChoice) -> Option<u16> {
        match choice {
            PortChoice::Fixed(port) => Some(port),
            PortChoice::Auto => self.of(name).or_else(|| candidates(&self.home, name).next()),
        }
    }

    /// Gives a process the port it is about to be started with; none when it wants none.
    pub(super) fn give(
        &self,
        name: &ProcessName,
        choice: Option<PortChoice>,
    ) -> Result<Option<u16>, StartProblem> {
        match choice {
            None => {
                self.take_back(name);
                Ok(None)
            }
            Some(PortChoice::Fixed(port)) => {
                if let Some(holder) = holder(port) {
                    return Err(StartProblem::PortTaken { port, holder: holder.described(&self.home) });
                }
                self.keep(name, port);
                Ok(Some(port))
            }
            Some(PortChoice::Auto) => self.choose(name).map(Some),
        }
    }

    /// Notes the port of a run that an earlier daemon started.
    pub(super) fn keep(&self, name: &ProcessName, port: u16) {
        let mut table = self.table();
        // Another daemon's claim on a port that is configured, or that a run listens on, changes nothing.
        self.claims.claim(port);
        if let Some(old) = table.given.insert(name.clone(), port).filter(|old| *old != port) {
            self.claims.release(old);
        }
    }

    fn take_back(&self, name: &ProcessName) {
        if let Some(port) = self.table().given.remove(name) {
            self.claims.release(port);
        }
    }

    fn choose(&self, name: &ProcessName) -> Result<u16, StartProblem> {
        let mut table = self.table();
        let last = table.given.get(name).or_else(|| table.remembered.get(name)).copied();
        let candidates = last.into_iter().chain(candidates(&self.home, name));
        let taken_here = |port: u16| table.given.iter().any(|(other, given)| *given == port && other != name);
        let chosen = candidates.into_iter().find(|port| {
            if taken_here(*port) || !self.claims.claim(*port) {
                return false;
            }
            let free = is_free(*port);
            if !free {
                self.claims.release(*port);
            }
            free
        });
        let port = chosen.ok_or(StartProblem::NoFreePort)?;
        if let Some(old) = table.given.insert(name.clone(), port).filter(|old| *old != port) {
            self.claims.release(old);
        }
        if table.remembered.insert(name.clone(), port) != Some(port)
            && let Err(error) = self.catalogue.remember_port(name, port)
        {
            warn!(process = %name, port, %error, "cannot remember a port");
        }
        Ok(port)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what should be known when somebody else listens where a process's readiness is to be looked for. The port
/// it was given is not looked at again.
pub(super) fn ready_warning(config: &ProcessConfig, port: Option<u16>, home: &Path) -> Option<String> {
    let endpoint = match config.ready.check.as_ref()? {
        Check::Tcp(text) => Endpoint::parse(&text.with_port(port))?,
        Check::Http(check) => HttpUrl::parse(&check.url.with_port(port))?.endpoint,
        Check::Log(_) | Check::Exec(_) | Check::Notify => return None,
    };
    if !is_local(&endpoint) || Some(endpoint.port) == port {
        return None;
    }
    let holder = holder(endpoint.port)?.described(home);
    Some(format!("port {}, where its readiness is looked for, is taken by {holder}", endpoint.port))
}

/// Returns the ports to try for a process: all of the range, from a place of its own.
fn candidates(home: &Path, name: &ProcessName) -> impl Iterator<Item = u16> {
    let (first, count) = (*PORT_RANGE.start(), PORT_RANGE.end() - PORT_RANGE.start() + 1);
    // FNV-1a: the place must be the same tomorrow, which the standard library's hashes do not promise.
    let bytes = home.as_os_str().as_bytes().iter().chain(b"\0").chain(name.as_str().as_bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let place = u16::try_from(hash % u32::from(count)).unwrap_or(0);
    (0..count).map(move |step| first + (place + step) % count)
}

/// Returns whether nobody listens on the port at any address, by binding to it. Does not listen itself.
fn is_free(port: u16) -> bool {
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    // A machine without one of the two families has nobody listening there.
    let is_taken = |address| matches!(try_bind(&address), Err(rustix::io::Errno::ADDRINUSE));
    !is_taken(v4) && !is_taken(v6)
}

fn try_bind(address: &SocketAddr) -> rustix::io::Result<()> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // What servers do: connections of an earlier one that are still being closed do not matter.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, address)
}

/// Locks on ports that keep the daemons of one user from choosing the same. One byte of the file is one port.
struct Claims(Option<File>);

impl Claims {
    /// Opens the file; without it every claim succeeds, and what protects is the look at who listens.
    fn open(path: &Path) -> Self {
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        if let Err(error) = &opened {
            warn!(path = %path.display(), %error, "ports are chosen without a look at other projects");
        }
        Self(opened.ok())
    }

    /// Returns whether the port is this daemon's now; it may have been before.
    fn claim(&self, port: u16) -> bool {
        self.lock(port, libc::F_WRLCK).is_ok()
    }

    fn release(&self, port: u16) {
        let _ = self.lock(port, libc::F_UNLCK);
    }

    fn lock(&self, port: u16, kind: libc::c_int) -> io::Result<()> {
        let Some(file) = &self.0 else { return Ok(()) };
        // SAFETY: all bytes zero is a lock of no kind on the whole file; the fields that matter are set below, and the
        // kernel wants `l_pid` to be zero.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = kind.try_into().unwrap_or_default();
        lock.l_whence = libc::SEEK_SET.try_into().unwrap_or_default();
        lock.l_start = port.into();
        lock.l_len = 1;
        // SAFETY: the descriptor is open, and the kernel reads the structure during the call only.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::{Command, PortText, Ready};

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// Makes the ports of a project, as its daemon does when it starts.
        fn ports(&self, project: &str) -> Ports {
            let catalogue = Catalogue::open(&self.0.path().join(format!("{project}.sqlite"))).unwrap();
            Ports::new(&Path::new("/srv").join(project), Arc::new(catalogue), &self.0.path().join("ports"))
                .unwrap()
        }
    }

    fn name(text: &str) -> ProcessName {
        ProcessName::new(text).unwrap()
    }

    fn auto(ports: &Ports, process: &str) -> u16 {
        ports.give(&name(process), Some(PortChoice::Auto)).unwrap().unwrap()
    }

    #[test]
    fn a_chosen_port_is_kept_while_it_is_free_and_over_restarts_of_the_daemon() {
        let place = Place::new();
        let ports = place.ports("shop");
        let first = auto(&ports, "api");
        assert!(PORT_RANGE.contains(&first));
        assert_eq!(auto(&ports, "api"), first);
        drop(ports);
        let ports = place.ports("shop");
        assert_eq!(ports.of(&name("api")), Some(first));
        let squatter = TcpListener::bind(("127.0.0.1", first)).unwrap();
        let second = auto(&ports, "api");
        assert_ne!(second, first);
        drop(squatter);
        assert_eq!(auto(&ports, "api"), second, "it stays where it is");
    }

    #[test]
    fn no_two_processes_get_one_port_whatever_project_they_are_of() {
        let place = Place::new();
        // The same place to begin with, so that they would all choose the same.
        let projects: Vec<Ports> = (0..3)
            .map(|index| {
                let ports = place.ports(&format!("p{index}"));
                Ports { home: "/srv/shop".into(), ..ports }
            })
            .collect();
        let mut given = BTreeSet::new();
        for ports in &projects {
            for process in ["api", "web", "db"] {
                assert!(given.insert(auto(ports, process)), "given twice");
            }
        }
        // Once a daemon is gone its claims are, and once a process wants none its port is free again.
        let first = projects[0].of(&name("api")).unwrap();
        projects[0].give(&name("api"), None).unwrap();
        assert!(projects[1].claims.claim(first));
    }

    #[test]
    fn a_configured_port_that_is_taken_names_who_has_it() {
        let place = Place::new();
        let ports = place.ports("shop");
        let squatter = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = squatter.local_addr().unwrap().port();
        let give = || ports.give(&name("api"), Some(PortChoice::Fixed(port)));
        let problem = give().unwrap_err().to_string();
        let expected = format!("port {port} is taken by pid {} (", std::process::id());
        assert!(problem.starts_with(&expected), "{problem}");
        assert!(problem.ends_with("choose another port"), "{problem}");
        drop(squatter);
        assert_eq!(give(), Ok(Some(port)));
    }

    #[test]
    fn connections_that_are_still_being_closed_take_no_port() {
        let place = Place::new();
        let ports = place.ports("shop");
        // Of the port that is chosen, as a server would have had it.
        let port = auto(&ports, "api");
        let server = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (accepted, _) = server.accept().unwrap();
        // Whoever closes first keeps the port for a minute (TIME_WAIT of `tcp(7)`).
        drop(accepted);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop((client, server));
        assert_eq!(ports.give(&name("api"), Some(PortChoice::Fixed(port))), Ok(Some(port)));
        assert_eq!(auto(&ports, "api"), port);
    }

    #[test]
    fn only_a_ready_address_of_this_machine_that_is_not_its_own_is_worth_a_warning() {
        let squatter = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = squatter.local_addr().unwrap().port();
        let warning = |check: Check, own| {
            let mut config = ProcessConfig::new(Command::from_line("true").unwrap(), "/".into());
            config.ready = Ready { check: Some(check), ..Ready::default() };
            ready_warning(&config, own, Path::new("/srv/shop"))
        };
        let tcp = |host: &str| Check::Tcp(PortText::new(format!("{host}:{port}")));
        let told = warning(tcp("localhost"), None).unwrap();
        assert!(
            told.starts_with(&format!("port {port}, where its readiness is looked for, is taken by pid "))
        );
        assert_eq!(warning(tcp("localhost"), Some(port)), None);
        assert_eq!(warning(tcp("db.example"), None), None);
        assert_eq!(warning(Check::Log("x".to_owned()), None), None);
        drop(squatter);
        assert_eq!(warning(tcp("localhost"), None), None);
    }

    #[test]
    fn every_port_of_the_range_is_tried_once() {
        let tried: Vec<u16> = candidates(Path::new("/srv/shop"), &name("api")).collect();
        assert_eq!(tried.len(), PORT_RANGE.count());
        assert_eq!(tried.iter().collect::<BTreeSet<_>>().len(), tried.len());
        assert_ne!(tried[0], candidates(Path::new("/srv/blog"), &name("api")).next().unwrap());
    }
}
