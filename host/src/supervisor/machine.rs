//! What this machine has that Ostler uses, for `doctor` (Linux only): each a look that changes nothing.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::{Pid, PidfdFlags, Resource, getpid, getrlimit, pidfd_open};

/// Returns whether a process can be held on to by a descriptor (`pidfd_open(2)`, Linux 5.3).
pub fn has_pidfd() -> bool {
    pidfd_open(getpid(), PidfdFlags::empty()).is_ok()
}

/// Returns whether a process can adopt the orphans among its descendants (`PR_SET_CHILD_SUBREAPER`, Linux 3.4).
pub fn has_subreaper() -> bool {
    let mut is_one: libc::c_int = 0;
    // SAFETY: the kernel writes an int to where it is told, which is one.
    unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &mut is_one, 0, 0, 0) == 0 }
}

/// Returns whether the kernel tells a process's children without a walk over all processes (`CONFIG_PROC_CHILDREN`).
pub fn has_children_file() -> bool {
    let pid = Pid::as_raw(Some(getpid()));
    Path::new(&format!("/proc/{pid}/task/{pid}/children")).exists()
}

/// Returns how many files this process may have open, and how many it may allow itself; `None` is without limit.
pub fn open_files() -> (Option<u64>, Option<u64>) {
    let limit = getrlimit(Resource::Nofile);
    (limit.current, limit.maximum)
}

/// Returns how many directories a user may watch, and how many watchers there may be (`inotify(7)`).
pub fn watches() -> Option<(u64, u64)> {
    let number = |name| fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok();
    Some((number("max_user_watches")?, number("max_user_instances")?))
}

/// Returns the bytes free for this user on the file system of `path`.
///
/// # Errors
/// When it cannot be looked at.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Returns whether this user may make files in a directory.
pub fn is_writable(dir: &Path) -> bool {
    access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// How far systemd looks after this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Systemd {
    /// The machine was booted by something else (`sd_booted(3)`).
    Absent,
    /// It runs the machine, but no manager of this user's can be reached.
    NoUserManager,
    /// This user's manager answers; with `lingers` it stays when the user logs out.
    UserManager { lingers: bool },
}

/// Looks for systemd and this user's manager.
pub fn systemd() -> Systemd {
    if !Path::new("/run/systemd/system").is_dir() {
        return Systemd::Absent;
    }
    let uid = rustix::process::getuid().as_raw();
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime_dir = runtime_dir.unwrap_or_else(|| format!("/run/user/{uid}").into());
    if UnixStream::connect(runtime_dir.join("systemd/private")).is_err() {
        return Systemd::NoUserManager;
    }
    let lingers = user_name(uid).is_some_and(|name| Path::new("/var/lib/systemd/linger").join(name).exists());
    Systemd::UserManager { lingers }
}

fn user_name(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, found) = (fields.next()?, fields.nth(1)?);
        (found.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_agree_with_what_the_tests_need_anyway() {
        assert!(has_subreaper());
        assert_eq!(has_pidfd(), pidfd_open(getpid(), PidfdFlags::empty()).is_ok());
        let dir = tempfile::tempdir().unwrap();
        assert!(is_writable(dir.path()) && free_bytes(dir.path()).unwrap() > 0);
        assert!(!is_writable(&dir.path().join("missing")));
        let (soft, hard) = open_files();
        assert!(soft.unwrap_or(u64::MAX) <= hard.unwrap_or(u64::MAX));
    }
}
