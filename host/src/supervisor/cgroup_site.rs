//! Where in the cgroup hierarchy (version 2, Linux only) this daemon may make cgroups, and with what.
//!
//! Owns the look at mounts, delegation and the kernel's rules, from `Documentation/admin-guide/cgroup-v2.rst` and
//! systemd's `CGROUP_DELEGATION`; makes nothing but a cgroup that it removes again, to see whether one can be entered.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};

use super::machine::Systemd;
use crate::shim::Cgroup;

/// Controllers that limits need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Controllers {
    pub memory: bool,
    pub cpu: bool,
    pub pids: bool,
}

impl Controllers {
    /// Reads a list as the kernel writes it: `cpu memory pids`.
    pub(super) fn parse(text: &str) -> Self {
        let has = |name| text.split_ascii_whitespace().any(|word| word == name);
        Self { memory: has("memory"), cpu: has("cpu"), pids: has("pids") }
    }

    /// Returns the names of those there are.
    pub fn names(self) -> Vec<&'static str> {
        let named = [(self.memory, "memory"), (self.cpu, "cpu"), (self.pids, "pids")];
        named.into_iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name).collect()
    }

    /// Returns those that this has and `other` has not.
    pub(super) fn without(self, other: Self) -> Self {
        Self {
            memory: self.memory && !other.memory,
            cpu: self.cpu && !other.cpu,
            pids: self.pids && !other.pids,
        }
    }
}

/// Where the daemon itself and its processes would be moved, so that their cgroup is free of processes, as it must be
/// before its children can get controllers.
const LEAF: &str = "ostler-daemon";
/// Rounds over processes that are to be moved, for those forked meanwhile.
const ROUNDS: usize = 8;

/// Why there are no cgroups for runs, or not all that limits need.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Hindrance {
    #[error("this kernel has no cgroups of version 2")]
    NoVersion2,
    #[error("cgroups of version 2 are not mounted here")]
    NotMounted,
    #[error("the cgroup {} of this process cannot be seen from here", .0.display())]
    Unseen(PathBuf),
    #[error("the cgroups at {} are mounted read-only", .0.display())]
    ReadOnly(PathBuf),
    #[error("the cgroup {} belongs to another user", .0.display())]
    Foreign(PathBuf),
    #[error("other processes are in the cgroup {}, which is not delegated to Ostler", .0.display())]
    Shared(PathBuf),
    #[error("the kernel is older than 5.14 and has no `cgroup.kill`")]
    OldKernel,
    #[error("the cgroup {} has no controllers for {missing} to give away", dir.display())]
    NoControllers { dir: PathBuf, missing: String },
    #[error("{0}")]
    Other(String),
}

impl Hindrance {
    /// Returns what a user can do about it on a machine that systemd looks after, or not.
    pub fn remedy(&self, systemd: Systemd) -> &'static str {
        const DELEGATE: &str = "start the daemon in a scope that systemd delegates to it: `ostler down`, then \
             `systemd-run --user --scope -p Delegate=yes ostler up -d` (root without `--user`); or let systemd start it, \
             by a unit with `Delegate=yes`";
        const GIVE_ONE: &str = "as root, make one below the root of cgroups, give it to this user (`chown -R`), move the \
             shell into it (`echo $$ > …/cgroup.procs`), and start the daemon there: `ostler down`, `ostler up -d`";
        match self {
            Self::NoVersion2 | Self::OldKernel => "boot a kernel of 5.14 or later with cgroups of version 2",
            Self::NotMounted => {
                "mount them: `mount -t cgroup2 none /sys/fs/cgroup`, or boot with systemd, which does"
            }
            Self::Unseen(_) | Self::ReadOnly(_) => {
                "in a container, give it a cgroup namespace and writable cgroups of its own (Docker: \
                 `--cgroupns=private --privileged`; Podman does so with `--systemd=always`)"
            }
            Self::Foreign(_) | Self::Shared(_) if systemd == Systemd::Absent => GIVE_ONE,
            Self::Foreign(_) | Self::Shared(_) => DELEGATE,
            Self::NoControllers { .. } => {
                "take the controllers from version 1 (kernel command line: `cgroup_no_v1=all`), or have systemd pass \
                 them on to users (`systemctl edit user@.service`: `[Service]`, `Delegate=cpu memory pids`)"
            }
            Self::Other(_) => "see the daemon's log for more",
        }
    }
}

/// The cgroup under which a daemon may make its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) dir: PathBuf,
    /// Somebody has said that all of it is ours: systemd by `Delegate=yes`, or all in it are Ostler's own.
    is_ours: bool,
}

impl Site {
    /// Finds it from the cgroup that this process is in.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn find() -> Result<Self, Hindrance> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let (mount, dir) = own_dir(&mounts, &own)?;
        Ok(Self::above(&mount, dir))
    }

    fn above(mount: &Path, own: PathBuf) -> Self {
        let name = own.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let parent = own.parent().filter(|parent| parent.starts_with(mount)).map(Path::to_owned);
        match parent {
            // Of an earlier daemon, or of this one before it was renewed in place.
            Some(parent) if name == LEAF => Self { is_ours: true, dir: parent },
            _ if is_delegated(&own) => Self { dir: own, is_ours: true },
            // `DelegateSubgroup=` puts the daemon one deeper; a unit below a user's own systemd is that one's.
            Some(parent) if !is_unit(name) && is_delegated(&parent) => Self { dir: parent, is_ours: true },
            _ => Self { is_ours: holds_only_ostler(&own), dir: own },
        }
    }

    /// Returns which controllers there are.
    pub(super) fn controllers(&self) -> Controllers {
        controllers_in(&self.dir, "cgroup.controllers")
    }

    /// Returns which controllers its children have.
    pub(super) fn enabled(&self) -> Controllers {
        controllers_in(&self.dir, "cgroup.subtree_control")
    }

    /// Gives its children what controllers there are, and returns which they have then, with the reason when some are
    /// missing. Moves the processes in it into a leaf where the kernel demands that and they are ours to move.
    pub(super) fn enable(&self) -> (Controllers, Option<Hindrance>) {
        let missing = self.controllers().without(self.enabled());
        let mut problem = None;
        for name in missing.names() {
            let enabled = match enable_in(&self.dir, name) {
                Err(error) if is_busy(&error) && self.is_ours => {
                    self.evacuate().and_then(|()| enable_in(&self.dir, name))
                }
                enabled => enabled,
            };
            if let Err(error) = enabled {
                problem.get_or_insert_with(|| self.cannot_enable(&error));
            }
        }
        (self.enabled(), problem)
    }

    fn cannot_enable(&self, error: &io::Error) -> Hindrance {
        if is_busy(error) {
            return Hindrance::Shared(self.dir.clone());
        }
        Hindrance::Other(format!("{}/cgroup.subtree_control cannot be written: {error}", self.dir.display()))
    }

    /// Returns whether [`Site::enable`] would have to move processes that are not ours.
    pub(super) fn is_shared(&self) -> bool {
        // The root of all is excepted from the rule, and it alone has no `cgroup.events`.
        !self.is_ours && self.dir.join("cgroup.events").exists() && !pids_in(&self.dir).is_empty()
    }

    fn evacuate(&self) -> io::Result<()> {
        let leaf = self.dir.join(LEAF);
        make_dir(&leaf)?;
        for _ in 0..ROUNDS {
            let pids = pids_in(&self.dir);
            if pids.is_empty() {
                return Ok(());
            }
            for pid in pids {
                match fs::write(leaf.join("cgroup.procs"), pid.to_string()) {
                    Err(error) if error.raw_os_error() != Some(libc::ESRCH) => return Err(error),
                    _ => {}
                }
            }
        }
        Err(io::Error::from_raw_os_error(libc::EBUSY))
    }
}

/// Gives the children of `dir` a controller.
pub(super) fn enable_in(dir: &Path, controller: &str) -> io::Result<()> {
    fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"))
}

/// Returns the controllers named in one of the files of `dir`.
pub(super) fn controllers_in(dir: &Path, file: &str) -> Controllers {
    Controllers::parse(&fs::read_to_string(dir.join(file)).unwrap_or_default())
}

/// Makes a directory unless it is there.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Tries whether a process of this user may enter a cgroup below `home` and be killed there.
///
/// # Errors
/// Why not.
pub(super) fn try_out(home: &Path) -> Result<(), Hindrance> {
    let dir = home.join(format!("trial-{}", std::process::id()));
    let cannot = |what: &str, error| Hindrance::Other(format!("{what} {}: {error}", home.display()));
    make_dir(&dir).map_err(|error| cannot("no cgroup can be made in", error))?;
    let tried = Cgroup::at(&dir).door().and_then(|door| enter_in_a_child(&door));
    let tried = tried.map_err(|error| cannot("no process can be moved into a cgroup below", error));
    let can_kill = dir.join("cgroup.kill").exists();
    let _ = fs::remove_dir(&dir);
    tried?;
    if can_kill { Ok(()) } else { Err(Hindrance::OldKernel) }
}

/// Forks a child that does nothing but enter.
fn enter_in_a_child(door: &fs::File) -> io::Result<()> {
    let number = door.as_raw_fd();
    // SAFETY: other threads may exist, so the child calls only what `signal-safety(7)` allows, and ends.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        // SAFETY: as said.
        0 => unsafe {
            let entered = libc::write(number, c"0".as_ptr().cast(), 1) == 1;
            libc::_exit(if entered { 0 } else { *libc::__errno_location() })
        },
        pid => pid,
    };
    let mut status = 0;
    // SAFETY: the status is valid for writing, and the child is ours and ends by itself.
    while unsafe { libc::waitpid(pid, &mut status, 0) } == -1 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
        (true, 0) => Ok(()),
        (true, errno) => Err(io::Error::from_raw_os_error(errno)),
        (false, _) => Err(io::Error::other("the child that tried was killed")),
    }
}

/// Returns where version 2 is mounted, and the directory of the cgroup that a process is in.
fn own_dir(mountinfo: &str, cgroups: &str) -> Result<(PathBuf, PathBuf), Hindrance> {
    let own = cgroups.lines().find_map(|line| line.strip_prefix("0::"));
    let own = own.ok_or(Hindrance::NoVersion2)?;
    let own = Path::new(own.strip_suffix(" (deleted)").unwrap_or(own));
    let mut mounts = mountinfo.lines().filter_map(mount_of_version_2).peekable();
    if mounts.peek().is_none() {
        return Err(Hindrance::NotMounted);
    }
    let below = |(root, mount): (PathBuf, PathBuf)| {
        let below = own.strip_prefix(&root).ok()?;
        // A cgroup outside of this namespace is shown as `/../x`.
        let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
        // Joined only if there is something to join, which would leave a slash at the end.
        let dir = if below.as_os_str().is_empty() { mount.clone() } else { mount.join(below) };
        is_plain.then_some((mount, dir))
    };
    mounts.find_map(below).ok_or_else(|| Hindrance::Unseen(own.to_owned()))
}

/// Reads a line of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`): the root of the mount in its file system, and
/// where it is mounted.
fn mount_of_version_2(line: &str) -> Option<(PathBuf, PathBuf)> {
    let (fields, kind) = line.split_once(" - ")?;
    let mut fields = fields.split_ascii_whitespace().skip(3);
    let (root, mount) = (fields.next()?, fields.next()?);
    kind.starts_with("cgroup2 ").then(|| (unescape(root), unescape(mount)))
}

/// Undoes the octal escapes of blanks, tabs, newlines and backslashes.
fn unescape(text: &str) -> PathBuf {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
        .into()
}

/// systemd marks what it has given away by an extended attribute: `user.delegate`, and `trusted.delegate` before it.
fn is_delegated(dir: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].into_iter().any(|name| {
        let mut value = [0; 8];
        rustix::fs::getxattr(dir, name, &mut value[..]).is_ok_and(|length| value[..length] == *b"1")
    })
}

fn is_unit(name: &str) -> bool {
    [".scope", ".service", ".slice"].into_iter().any(|kind| name.ends_with(kind))
}

/// As in a container that runs nothing else.
fn holds_only_ostler(dir: &Path) -> bool {
    let Ok(own) = std::env::current_exe() else { return false };
    let is_ostler = |pid: &i32| {
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        program == own || program == own.with_file_name(crate::shim::program::NAME)
    };
    pids_in(dir).iter().all(is_ostler)
}

/// Returns the processes in a cgroup; one that cannot be seen from here is told as 0.
fn pids_in(dir: &Path) -> Vec<i32> {
    /// Far more than a cgroup has that anybody would empty.
    const BYTES: u64 = 1 << 20;
    let mut text = String::new();
    if let Ok(file) = fs::File::open(dir.join("cgroup.procs")) {
        let _ = file.take(BYTES).read_to_string(&mut text);
    }
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";

    fn dir(mountinfo: &str, cgroups: &str) -> Result<String, Hindrance> {
        own_dir(mountinfo, cgroups).map(|(_, dir)| dir.display().to_string())
    }

    #[test]
    fn the_own_cgroup_is_found_in_every_kind_of_mount() {
        let own = "0::/user.slice/user-1000.slice/session-3.scope\n";
        assert_eq!(dir(UNIFIED, own).unwrap(), "/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope");
        let hybrid = "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup rw";
        assert_eq!(dir(hybrid, "4:memory:/x\n0::/\n").unwrap(), "/sys/fs/cgroup/unified");
        // A container without a namespace of its own sees a part of the tree.
        let part = "30 24 0:26 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw";
        assert_eq!(dir(part, "0::/docker/ab/x\n").unwrap(), "/sys/fs/cgroup/x");
        let odd = "30 24 0:26 / /mnt/a\\040b rw - cgroup2 none rw";
        assert_eq!(dir(odd, "0::/x (deleted)\n").unwrap(), "/mnt/a b/x");
    }

    #[test]
    fn why_there_is_none_is_told() {
        let old = "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        assert_eq!(dir(old, "4:memory:/\n"), Err(Hindrance::NoVersion2));
        assert_eq!(dir(old, "0::/\n"), Err(Hindrance::NotMounted));
        assert_eq!(dir(UNIFIED, "0::/../other\n"), Err(Hindrance::Unseen("/../other".into())));
        let part = "30 24 0:26 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw";
        assert!(dir(part, "0::/docker/cd\n").is_err());
    }

    #[test]
    fn a_leaf_of_an_earlier_daemon_is_not_nested_in() {
        let mount = tempfile::tempdir().unwrap();
        let site = |own: &str| Site::above(mount.path(), mount.path().join(own));
        assert_eq!(site("a/ostler-daemon").dir, mount.path().join("a"));
        assert_eq!(site("a/app-x.scope").dir, mount.path().join("a/app-x.scope"));
    }

    /// With the kernel's own cgroups, where this machine lets the tests have them.
    #[test]
    fn processes_are_moved_out_of_the_way_of_controllers() {
        let skip = |why: &str| {
            // Past the test runner, which shows nothing of tests that pass.
            let _ =
                io::Write::write_fmt(&mut io::stderr(), format_args!("\nSKIPPED moving processes: {why}\n"));
        };
        let Ok(site) = Site::find() else { return skip("there are no cgroups") };
        let dir = site.dir.join(format!("ostler-test-leaf-{}", std::process::id()));
        if let Err(error) = fs::create_dir(&dir) {
            return skip(&error.to_string());
        }
        // Any controller will do, and the place is left as it was.
        let words = |file: &str| fs::read_to_string(site.dir.join(file)).unwrap_or_default();
        let lent = words("cgroup.controllers").split_whitespace().next().map(str::to_owned);
        let lent =
            lent.filter(|lent| !words("cgroup.subtree_control").split_whitespace().any(|word| word == lent));
        let lent = lent.filter(|lent| enable_in(&site.dir, lent).is_ok());
        let above = site.dir.clone();
        let mut sleeper = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let moved = fs::write(dir.join("cgroup.procs"), sleeper.id().to_string());
        let controllers = fs::read_to_string(dir.join("cgroup.controllers")).unwrap();
        let site = Site { dir: dir.clone(), is_ours: true };
        let seen = controllers.split_whitespace().next().filter(|_| moved.is_ok()).map(|controller| {
            let before = enable_in(&dir, controller).map_err(|error| is_busy(&error));
            let is_shared = Site { is_ours: false, ..site.clone() }.is_shared();
            let evacuated = site.evacuate().is_ok() && pids_in(&dir).is_empty();
            let leaf = pids_in(&dir.join(LEAF));
            let after = enable_in(&dir, controller).is_ok();
            (before, is_shared, evacuated, leaf, after)
        });
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        let _ = fs::remove_dir(dir.join(LEAF));
        fs::remove_dir(&dir).unwrap();
        if let Some(lent) = lent {
            let _ = fs::write(above.join("cgroup.subtree_control"), format!("-{lent}"));
        }
        match seen {
            Some(seen) => {
                let sleeper = i32::try_from(sleeper.id()).unwrap();
                assert_eq!(seen, (Err(true), true, true, vec![sleeper], true));
            }
            None => skip("no controller, or no process may be moved"),
        }
    }

    #[test]
    fn controllers_are_told_apart() {
        let some = Controllers::parse("cpuset cpu io memory\n");
        assert_eq!(some.names(), ["memory", "cpu"]);
        assert_eq!(some.without(Controllers::parse("memory")).names(), ["cpu"]);
    }
}
