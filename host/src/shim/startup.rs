//! What a shim does to its own process before it starts a child: a session, signals, descriptors, subreaper.
//!
//! Owns process-wide settings, each set once, before there is anything to supervise.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Signals that must not end or stop a shim; SIGKILL does, and SIGSEGV and its like mean that it is broken.
const IGNORED: [libc::c_int; 15] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGPIPE,
    libc::SIGALRM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGVTALRM,
    libc::SIGPROF,
];

/// Leaves the daemon's session and ignores what a terminal or a shutdown might send.
pub(super) fn detach() {
    // Fails for the leader of a process group, who is in no terminal's foreground of the daemon's either.
    let _ = rustix::process::setsid();
    for signal in IGNORED {
        // SAFETY: installs no handler, only a disposition.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    close_inherited();
}

/// Makes this process the parent of every descendant whose own parent dies (`PR_SET_CHILD_SUBREAPER`, Linux 3.4).
pub(super) fn become_subreaper() -> io::Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes the connection that the daemon left as descriptor 0, and puts `/dev/null` in its place.
pub(super) fn take_control() -> io::Result<UnixStream> {
    // SAFETY: where descriptor 0 is closed the call fails.
    let moved = match unsafe { libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 3) } {
        -1 => return Err(io::Error::last_os_error()),
        // SAFETY: the kernel made it just now, for us alone.
        number => unsafe { OwnedFd::from_raw_fd(number) },
    };
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(UnixStream::from(moved))
}

/// Makes new files readable by their owner only, and returns the mask there was, which is the child's.
pub(super) fn keep_files_private() -> u32 {
    // SAFETY: takes and returns numbers only.
    unsafe { libc::umask(0o077) }
}

/// Listens on the control socket.
pub(super) fn listen(socket_path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    let listener = UnixListener::bind(socket_path)?;
    // The mask kept others out meanwhile.
    std::fs::set_permissions(socket_path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Makes the deaths of children readable from a descriptor instead of interrupting.
#[derive(Debug)]
pub(super) struct ChildSignals(OwnedFd);

impl ChildSignals {
    pub(super) fn open() -> io::Result<Self> {
        // SAFETY: the set is initialised by `sigemptyset` before it is used, and lives across the calls.
        let number = unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGCHLD);
            libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        match number {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: the kernel made it just now, for us alone.
            number => Ok(Self(unsafe { OwnedFd::from_raw_fd(number) })),
        }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Forgets the signals so far; several deaths may share one.
    pub(super) fn clear(&self) {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        while rustix::io::read(&self.0, &mut info).is_ok_and(|count| count > 0) {}
    }
}

/// Closes what a careless ancestor left open, so that no pipe of somebody else's is held for as long as the child
/// lives. Kernels before 5.9 do not know how, and then it stays.
fn close_inherited() {
    // SAFETY: runs before this process has opened anything beyond the standard three.
    unsafe { libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, 0 as libc::c_uint) };
}
