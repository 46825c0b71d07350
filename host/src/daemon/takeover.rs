//! Taking over in place: a daemon becomes another program without letting go of its lock and its socket.
//!
//! ```text
//!  old program ── execve, same pid; lock, socket and itself stay open ──▶ new program ──▶ adopts all runs
//!       ▲                                                                     │ cannot start
//!       └──────────── execve; lock and socket stay open ──────────────────────┘
//! ```
//!
//! Nobody can start a second daemon meanwhile, since the lock is never free, and who connects waits, since the socket
//! never closes; also when the new program gives up. The numbers of the descriptors are handed on in a variable, which is believed only from the process
//! itself, and only after a look at what the descriptors are. Decides nothing: who runs the daemon does.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::{Pid, WaitOptions, waitpid};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{debug, warn};

/// Hands on what the next program needs to know.
const VARIABLE: &str = "OSTLER_TAKEOVER";
/// The program that runs now, whatever has become of its file.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The value of the variable.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Note {
    /// Only the process that wrote it is meant, not its children.
    pid: u32,
    /// The version that it comes from.
    from: String,
    lock: Option<RawFd>,
    socket: Option<RawFd>,
    /// The old program, to go back to.
    program: Option<RawFd>,
    /// Why the program in between could not take over.
    failure: Option<String>,
}

/// What an earlier program has left to this one in the same process.
#[derive(Debug)]
pub struct Inherited {
    pub from: String,
    lock: Option<OwnedFd>,
    socket: Option<OwnedFd>,
    program: Option<OwnedFd>,
    /// Why the upgrade failed that this program was to be replaced in.
    pub failure: Option<String>,
    children: Vec<Pid>,
}

impl Inherited {
    /// Takes what an earlier program left, if this process was another one before. To be called before there is a
    /// second thread or a child.
    pub fn from_environment() -> Option<Self> {
        let note: Note = serde_json::from_str(take_variable(VARIABLE)?.to_str()?).ok()?;
        if note.pid != std::process::id() {
            return None;
        }
        Some(Self {
            from: note.from,
            lock: note.lock.and_then(claim),
            socket: note.socket.and_then(claim),
            program: note.program.and_then(claim),
            failure: note.failure,
            children: children(),
        })
    }

    /// Returns the lock as well, for a daemon that may yet fail to start: then it is still here to be given back.
    pub fn lock(&self) -> Option<OwnedFd> {
        self.lock.as_ref()?.try_clone().ok()
    }

    /// Returns the listening socket, if it is the one at `path`.
    pub fn listener(&mut self, path: &Path) -> Option<UnixListener> {
        let listener = UnixListener::from(self.socket.take()?);
        let is_it = rustix::net::sockopt::socket_acceptconn(&listener).unwrap_or(false)
            && listener.local_addr().is_ok_and(|address| address.as_pathname() == Some(path))
            && path.symlink_metadata().is_ok();
        if !is_it {
            warn!("what was handed on is not the daemon's socket");
            return None;
        }
        listener.set_nonblocking(true).ok()?;
        Some(listener)
    }

    /// Reaps the children of the earlier program, of which this one has no handles, as they end.
    pub fn bury_children(&mut self) {
        let mut children = std::mem::take(&mut self.children);
        tokio::spawn(async move {
            let Ok(mut deaths) = signal(SignalKind::child()) else { return };
            loop {
                // An error means that it is nobody's child of ours any more.
                children.retain(|child| matches!(waitpid(Some(*child), WaitOptions::NOHANG), Ok(None)));
                if children.is_empty() || deaths.recv().await.is_none() {
                    return;
                }
            }
        });
    }

    /// Becomes the earlier program again, because this one cannot start for the reason given. Returns when that
    /// does not work either.
    pub fn go_back(self, arguments: &[OsString], variables: &[(&'static str, OsString)], failure: &str) {
        let Some(program) = self.program else { return };
        let failure = failure.chars().take(500).collect();
        let note = Note {
            pid: std::process::id(),
            from: self.from,
            lock: self.lock.as_ref().map(AsRawFd::as_raw_fd),
            socket: self.socket.as_ref().map(AsRawFd::as_raw_fd),
            program: None,
            failure: Some(failure),
        };
        for descriptor in [&self.lock, &self.socket].into_iter().flatten() {
            // One that is lost on the way is had anew.
            let _ = fcntl_setfd(descriptor, FdFlags::empty());
        }
        let path = format!("/proc/self/fd/{}", program.as_raw_fd());
        let error = exec(Path::new(&path), arguments, variables, &note);
        warn!(%error, "the earlier program cannot be started again");
    }
}

/// What the next program in this process gets.
#[derive(Debug)]
pub struct Legacy<'a> {
    pub lock: BorrowedFd<'a>,
    pub socket: BorrowedFd<'a>,
    pub version: &'a str,
}

impl Legacy<'_> {
    /// Becomes `program`. Returns only when that is not possible; all is as before then.
    pub fn hand_on(
        &self,
        program: &Path,
        arguments: &[OsString],
        variables: &[(&'static str, OsString)],
    ) -> io::Error {
        let own = match File::open(OWN_PROGRAM) {
            Ok(own) => own,
            Err(error) => return error,
        };
        let kept = [self.lock, self.socket, own.as_fd()];
        let note = Note {
            pid: std::process::id(),
            from: self.version.to_owned(),
            lock: Some(self.lock.as_raw_fd()),
            socket: Some(self.socket.as_raw_fd()),
            program: Some(own.as_raw_fd()),
            failure: None,
        };
        for descriptor in kept {
            if let Err(error) = fcntl_setfd(descriptor, FdFlags::empty()) {
                return error.into();
            }
        }
        let error = exec(program, arguments, variables, &note);
        for descriptor in kept {
            // A child that is started in between would keep it open; it is only a lock and a socket.
            let _ = fcntl_setfd(descriptor, FdFlags::CLOEXEC);
        }
        error
    }
}

fn exec(
    program: &Path,
    arguments: &[OsString],
    variables: &[(&'static str, OsString)],
    note: &Note,
) -> io::Error {
    let note = match serde_json::to_string(note) {
        Ok(note) => note,
        Err(error) => return error.into(),
    };
    let variables = variables.iter().map(|(name, value)| (name, value));
    Command::new(program).args(arguments).envs(variables).env(VARIABLE, note).exec()
}

/// Takes a variable out of the environment. To be called before there is a second thread.
pub(super) fn take_variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    // SAFETY: no other thread reads the environment, because there is none yet: see above.
    unsafe { std::env::remove_var(name) };
    Some(value)
}

/// Takes ownership of a descriptor that an earlier program has left open, and keeps it from children.
fn claim(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: only looked at, and not closed.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    // Whoever is not to be inherited cannot have been.
    if fcntl_getfd(borrowed).ok()?.contains(FdFlags::CLOEXEC) {
        return None;
    }
    fcntl_setfd(borrowed, FdFlags::CLOEXEC).ok()?;
    // SAFETY: it is open, and nobody in this program knows of it: what this program opens is close-on-exec.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Returns the children of this process.
fn children() -> Vec<Pid> {
    let pid = std::process::id();
    let list = std::fs::read_to_string(format!("/proc/self/task/{pid}/children")).unwrap_or_else(|error| {
        debug!(%error, "children of the earlier program stay zombies when they end");
        String::new()
    });
    list.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_that_were_not_handed_on_are_not_claimed() {
        let own = File::open("/dev/null").unwrap();
        assert!(claim(own.as_raw_fd()).is_none(), "this program's own");
        assert!(claim(1).is_none() && claim(-1).is_none() && claim(1_000_000).is_none());
        let handed = rustix::io::dup(&own).unwrap();
        let claimed = claim(std::os::fd::IntoRawFd::into_raw_fd(handed)).unwrap();
        assert!(fcntl_getfd(&claimed).unwrap().contains(FdFlags::CLOEXEC));
    }

    #[test]
    fn only_the_socket_that_is_meant_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("daemon"), dir.path().join("other"));
        let inherited = |socket: OwnedFd| Inherited {
            from: "0".into(),
            lock: None,
            socket: Some(socket),
            program: None,
            failure: None,
            children: Vec::new(),
        };
        let listener = UnixListener::bind(&path).unwrap();
        assert!(inherited(listener.try_clone().unwrap().into()).listener(&other).is_none());
        assert!(inherited(File::open("/dev/null").unwrap().into()).listener(&path).is_none());
        assert!(inherited(listener.into()).listener(&path).is_some());
    }
}
