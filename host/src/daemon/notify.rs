//! What the daemon tells the service manager that started it: the protocol of `sd_notify(3)`, without the library.
//!
//! Only tells; what the daemon is worth telling of is decided by who runs it. Without a service manager it does
//! nothing. The variables are taken out of the environment, because processes of the project are not the service.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use super::takeover::take_variable;

const SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG_TIME: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// Variables that are meant for the daemon alone and are of no use to it.
const OTHERS: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// Speaks to the service manager, if there is one.
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    peer: Option<Arc<(UnixDatagram, SocketAddr)>>,
    watchdog: Option<Duration>,
    variables: Vec<(&'static str, OsString)>,
}

impl Notifier {
    /// Takes what a service manager has put into the environment. To be called before there is a second thread.
    pub fn from_environment() -> Self {
        for name in OTHERS {
            take_variable(name);
        }
        let taken = [SOCKET, WATCHDOG_TIME, WATCHDOG_PID]
            .into_iter()
            .filter_map(|name| take_variable(name).map(|value| (name, value)));
        Self::of(taken.collect(), std::process::id())
    }

    fn of(variables: Vec<(&'static str, OsString)>, own_pid: u32) -> Self {
        let value = |name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_os_str());
        let number = |name| value(name).and_then(OsStr::to_str).and_then(|text| text.parse::<u64>().ok());
        let peer = value(SOCKET).and_then(|name| match connect(name) {
            Ok(peer) => Some(Arc::new(peer)),
            Err(error) => {
                debug!(%error, "the service manager cannot be told anything");
                None
            }
        });
        let is_ours = value(WATCHDOG_PID).is_none() || number(WATCHDOG_PID) == Some(u64::from(own_pid));
        let watchdog = number(WATCHDOG_TIME).filter(|time| *time > 0 && is_ours).map(Duration::from_micros);
        Self { peer, watchdog, variables }
    }

    /// Returns whether there is a service manager.
    pub fn is_heard(&self) -> bool {
        self.peer.is_some()
    }

    /// Returns after how long without `WATCHDOG=1` the service manager takes the daemon for dead.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.peer.is_some())
    }

    /// Returns the variables that were taken, for the program that takes this one's place.
    pub fn variables(&self) -> &[(&'static str, OsString)] {
        &self.variables
    }

    /// Tells a state such as `READY=1`; several stand on lines of their own. Nobody waits for an answer, and a
    /// service manager that does not read changes nothing.
    pub fn tell(&self, state: &str) {
        let Some((socket, address)) = self.peer.as_deref() else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            debug!(%error, "the service manager was not told");
        }
    }
}

/// Opens the way to a socket as `NOTIFY_SOCKET` names it: a path, or `@` and a name outside the file system.
fn connect(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().split_first() {
        Some((b'@', rest)) => SocketAddr::from_abstract_name(rest)?,
        Some((b'/', _)) => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notifier(socket: &OsStr, time: &str, pid: &str) -> Notifier {
        let values = [(SOCKET, socket.to_owned()), (WATCHDOG_TIME, time.into()), (WATCHDOG_PID, pid.into())];
        Notifier::of(values.to_vec(), 42)
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn sockets_in_and_outside_the_file_system_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        notifier(path.as_os_str(), "", "").tell("READY=1\nSTATUS=up");
        assert_eq!(heard(&by_path), "READY=1\nSTATUS=up");

        let name = format!("ostler-test-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        notifier(OsStr::new(&format!("@{name}")), "", "").tell("STOPPING=1");
        assert_eq!(heard(&by_name), "STOPPING=1");
    }

    #[test]
    fn a_watchdog_is_kept_only_when_it_is_ours_and_makes_sense() {
        let watchdog = |time, pid| notifier(OsStr::new("/x"), time, pid).watchdog();
        assert_eq!(watchdog("2000000", "42"), Some(Duration::from_secs(2)));
        for (time, pid) in [("2000000", "43"), ("2000000", "x"), ("0", "42"), ("-1", "42"), ("", "42")] {
            assert_eq!(watchdog(time, pid), None, "{time} {pid}");
        }
        let without_pid = [(SOCKET, "/x".into()), (WATCHDOG_TIME, "1000".into())];
        assert_eq!(Notifier::of(without_pid.to_vec(), 42).watchdog(), Some(Duration::from_millis(1)));
    }

    #[test]
    fn without_a_service_manager_nothing_happens() {
        Notifier::default().tell("READY=1");
        for nonsense in ["", "relative", "@", "/nobody/listens/here"] {
            notifier(OsStr::new(nonsense), "", "").tell("READY=1");
        }
    }
}
