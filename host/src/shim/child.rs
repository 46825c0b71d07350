//! Starting the child: pipes, fork, a clean slate, `execve`, and a precise answer when that fails.
//!
//! Owns everything up to the child's first instruction and nothing after. Written out rather than left to
//! `std::process::Command`, because it must tell a missing directory from a missing program from a missing
//! interpreter.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::ptr;

use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};

use super::cgroup::Cgroup;
use super::control::{SpawnFailure, SpawnFault};
use super::spec::{LaunchSpec, Rlimit};
use super::tree::Process;

/// Where programs are looked up when the environment has no `PATH`, as in `execvp(3)`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A child that runs, and our ends of its pipes, which never block.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) process: Process,
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Starts the child in a session of its own and in its cgroup, with its limits set, every signal at its default and
/// none blocked.
///
/// Must be called while the process has one thread only, because the forked half uses what it inherited.
pub(super) fn spawn(spec: &LaunchSpec) -> Result<Child, SpawnFailure> {
    let image = Image::new(spec).map_err(|()| failure(SpawnFault::BadSpec, libc::EINVAL))?;
    let pipes = Pipes::open().map_err(|error| system(&error))?;
    let pid = fork(&image, &pipes, spec.cgroup.as_deref())?;
    let ours = pipes.keep_ours().map_err(|error| system(&error))?;
    let mut report = Vec::new();
    // Ends at once: the other end is closed by `execve`, by the child's death, or after it wrote.
    File::from(ours.failure).read_to_end(&mut report).map_err(|error| system(&error))?;
    if let Some(failure) = child_failure(spec, &report) {
        wait_for(pid);
        return Err(failure);
    }
    let process = Process::with_pid(pid).unwrap_or(Process { pid, start_ticks: 0 });
    Ok(Child { process, stdin: ours.stdin, stdout: ours.stdout, stderr: ours.stderr })
}

/// Forks the child, into its cgroup when it has one.
fn fork(image: &Image, pipes: &Pipes, cgroup: Option<&Path>) -> Result<libc::pid_t, SpawnFailure> {
    let mut door = None;
    if let Some(dir) = cgroup {
        let cgroup = Cgroup::at(dir);
        let refused =
            |error: io::Error| failure(SpawnFault::Cgroup, error.raw_os_error().unwrap_or(libc::EIO));
        // SAFETY: as below.
        match unsafe { fork_into(&File::open(dir).map_err(refused)?) } {
            0 => become_child(image, pipes, None),
            pid if pid > 0 => return Ok(pid),
            // Some sandboxes do not know that call: the child can move by itself, which takes longer.
            _ => door = Some(cgroup.door().map_err(refused)?),
        }
    }
    // SAFETY: this process has a single thread (documented at `spawn`), so the copy is whole; the child goes on only in
    // `become_child`, which allocates nothing and never returns.
    match unsafe { libc::fork() } {
        -1 => Err(system(&io::Error::last_os_error())),
        0 => become_child(image, pipes, door.as_ref()),
        pid => Ok(pid),
    }
}

/// Forks a child that begins in the cgroup whose directory this is (`CLONE_INTO_CGROUP` of `clone3(2)`, Linux 5.7):
/// moving it later makes the kernel wait for all processors, which takes milliseconds. Returns what `fork` would.
///
/// # Safety
/// As for `fork`; the C library does not notice, so that the child may call nothing that asks it who it is.
unsafe fn fork_into(cgroup: &File) -> libc::pid_t {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    // The kernel's `struct clone_args`: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls,
    // set_tid, set_tid_size, cgroup. Without a stack of its own the child goes on with a copy of ours.
    let mut args = [0u64; 11];
    args[0] = CLONE_INTO_CGROUP;
    args[4] = libc::SIGCHLD.cast_unsigned().into();
    args[10] = cgroup.as_raw_fd().cast_unsigned().into();
    // SAFETY: the structure is as long as said and outlives the call, and no pointer in it is set.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, args.as_ptr(), size_of_val(&args)) };
    libc::pid_t::try_from(pid).unwrap_or(-1)
}

/// Everything the forked half needs, made before the fork.
struct Image {
    /// The paths to try, in order.
    programs: Vec<CString>,
    cwd: CString,
    umask: Option<libc::mode_t>,
    rlimits: Vec<Rlimit>,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    /// Owns what `argv` and `envp` point to.
    _texts: Vec<CString>,
}

impl Image {
    fn new(spec: &LaunchSpec) -> Result<Self, ()> {
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(drop);
        let args = std::iter::once(&spec.program).chain(&spec.args).map(|arg| text(arg));
        let env = spec.env.iter().map(|(name, value)| {
            text(&OsString::from_vec([name.as_bytes(), b"=", value.as_bytes()].concat()))
        });
        let args = args.collect::<Result<Vec<_>, ()>>()?;
        let env = env.collect::<Result<Vec<_>, ()>>()?;
        let pointers = |texts: &[CString]| -> Vec<_> {
            texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
        };
        Ok(Self {
            programs: candidates(spec).iter().map(|path| text(path)).collect::<Result<_, _>>()?,
            cwd: text(spec.cwd.as_os_str())?,
            umask: spec.umask,
            rlimits: spec.rlimits.clone(),
            argv: pointers(&args),
            envp: pointers(&env),
            // Moving a `CString` leaves its bytes where they are.
            _texts: args.into_iter().chain(env).collect(),
        })
    }
}

/// Returns the paths that the program's name can mean, as `execvp(3)` would try them.
fn candidates(spec: &LaunchSpec) -> Vec<OsString> {
    if spec.program.is_empty() || spec.program.as_bytes().contains(&b'/') {
        return vec![spec.program.clone()];
    }
    let path = spec.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH)))
        .map(|dir| match dir.as_os_str().is_empty() {
            true => Path::new(".").join(&spec.program).into_os_string(),
            false => dir.join(&spec.program).into_os_string(),
        })
        .collect()
}

/// Both ends of the child's pipes, and of the one on which it tells why it could not start.
struct Pipes {
    stdin: (OwnedFd, OwnedFd),
    stdout: (OwnedFd, OwnedFd),
    stderr: (OwnedFd, OwnedFd),
    failure: (OwnedFd, OwnedFd),
}

struct OurEnds {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    failure: OwnedFd,
}

impl Pipes {
    fn open() -> io::Result<Self> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC);
        Ok(Self { stdin: pipe()?, stdout: pipe()?, stderr: pipe()?, failure: pipe()? })
    }

    /// Closes the child's ends, and makes ours non-blocking (the two ends of a pipe have flags of their own).
    fn keep_ours(self) -> io::Result<OurEnds> {
        let ours = OurEnds {
            stdin: self.stdin.1,
            stdout: self.stdout.0,
            stderr: self.stderr.0,
            failure: self.failure.0,
        };
        for end in [&ours.stdin, &ours.stdout, &ours.stderr] {
            rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK)?;
        }
        Ok(ours)
    }
}

/// The steps of the forked half that can fail, as it reports them.
const FAILED_SETUP: u8 = 0;
const FAILED_CHDIR: u8 = 1;
const FAILED_EXEC: u8 = 2;
const FAILED_CGROUP: u8 = 3;
const FAILED_RLIMIT: u8 = 4;

/// Turns the forked half into the child; reports and ends when that fails. Calls nothing but what `signal-safety(7)`
/// allows.
fn become_child(image: &Image, pipes: &Pipes, door: Option<&File>) -> ! {
    let report_to = pipes.failure.1.as_raw_fd();
    // SAFETY: called right after a fork in the child only. Plain system calls on numbers, and on C strings that `image`
    // owns and this half has a copy of.
    unsafe {
        // Before anything else, so that nothing it does is outside; `0` is whoever writes it.
        if let Some(door) = door
            && libc::write(door.as_raw_fd(), c"0".as_ptr().cast(), 1) != 1
        {
            fail(report_to, FAILED_CGROUP);
        }
        libc::setsid();
        let ends = [(&pipes.stdin.0, 0), (&pipes.stdout.1, 1), (&pipes.stderr.1, 2)];
        for (end, number) in ends {
            if libc::dup2(end.as_raw_fd(), number) == -1 {
                fail(report_to, FAILED_SETUP);
            }
        }
        reset_signals();
        if let Some(umask) = image.umask {
            libc::umask(umask);
        }
        if libc::chdir(image.cwd.as_ptr()) == -1 {
            fail(report_to, FAILED_CHDIR);
        }
        for Rlimit { resource, value } in &image.rlimits {
            let limit = libc::rlimit64 { rlim_cur: *value, rlim_max: *value };
            if libc::setrlimit64(*resource as _, &limit) == -1 {
                fail(report_to, FAILED_RLIMIT);
            }
        }
        // A file that is there and may not be run counts more than one that is not there, as in `execvp(3)`.
        let mut denied = false;
        for program in &image.programs {
            libc::execve(program.as_ptr(), image.argv.as_ptr(), image.envp.as_ptr());
            match *libc::__errno_location() {
                libc::EACCES => denied = true,
                libc::ENOENT | libc::ENOTDIR => {}
                _ => fail(report_to, FAILED_EXEC),
            }
        }
        *libc::__errno_location() = if denied { libc::EACCES } else { libc::ENOENT };
        fail(report_to, FAILED_EXEC)
    }
}

/// Sets every signal to its default and unblocks all: what the shim ignores, and what it was started with, must not
/// be inherited. By system call, because the C library keeps two signals to itself and would leave those as they are.
///
/// # Safety
/// In the forked half only.
unsafe fn reset_signals() {
    // The kernel's `struct sigaction` and `sigset_t`, all zero: default action, no flags, an empty mask.
    const NOTHING: [u64; 4] = [0; 4];
    let (nothing, set_bytes) = (NOTHING.as_ptr(), size_of::<u64>());
    let no_result = ptr::null_mut::<u64>();
    // SAFETY: `nothing` is at least as long as either structure; signals that cannot be set are refused without effect.
    unsafe {
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, nothing, no_result, set_bytes);
        }
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, nothing, no_result, set_bytes);
    }
}

/// Writes the step and `errno` to the shim and ends.
///
/// # Safety
/// In the forked half only.
unsafe fn fail(report_to: RawFd, step: u8) -> ! {
    // SAFETY: the buffer outlives the call; `_exit` runs nothing of the parent's.
    unsafe {
        let [a, b, c, d] = (*libc::__errno_location()).to_le_bytes();
        let report = [step, a, b, c, d];
        libc::write(report_to, report.as_ptr().cast(), report.len());
        libc::_exit(127)
    }
}

/// Reads what [`fail`] wrote; nothing was written when the child runs.
fn child_failure(spec: &LaunchSpec, report: &[u8]) -> Option<SpawnFailure> {
    let (step, errno) = report.split_first()?;
    let errno = i32::from_le_bytes(errno.try_into().ok()?);
    let what = match (*step, errno) {
        (FAILED_CHDIR, _) => SpawnFault::BadCwd,
        (FAILED_CGROUP, _) => SpawnFault::Cgroup,
        (FAILED_RLIMIT, _) => SpawnFault::Limit,
        // What `nproc`, `as` and `data` leave too little of.
        (FAILED_EXEC, libc::EAGAIN | libc::ENOMEM) if !spec.rlimits.is_empty() => SpawnFault::Limit,
        (FAILED_EXEC, libc::ENOENT | libc::ENOTDIR) if program_exists(spec) => SpawnFault::NoInterpreter,
        (FAILED_EXEC, libc::ENOENT | libc::ENOTDIR) => SpawnFault::ProgramNotFound,
        (FAILED_EXEC, libc::EACCES | libc::EPERM) => SpawnFault::NotExecutable,
        (FAILED_EXEC, libc::ENOEXEC) => SpawnFault::UnknownFormat,
        _ => SpawnFault::System,
    };
    Some(SpawnFailure { what, errno })
}

/// `execve` says ENOENT for a missing interpreter too: then the program itself is there.
fn program_exists(spec: &LaunchSpec) -> bool {
    candidates(spec).iter().any(|path| spec.cwd.join(path).is_file())
}

fn wait_for(pid: i32) {
    // SAFETY: a null status is allowed; the child is ours and has called `_exit`.
    while unsafe { libc::waitpid(pid, ptr::null_mut(), 0) } == -1
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

fn failure(what: SpawnFault, errno: i32) -> SpawnFailure {
    SpawnFailure { what, errno }
}

fn system(error: &io::Error) -> SpawnFailure {
    failure(SpawnFault::System, error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_in_the_childs_own_path() {
        let mut spec = LaunchSpec::new("tool", "/work");
        assert_eq!(candidates(&spec), ["/bin/tool", "/usr/bin/tool"]);
        spec.env.push(("PATH".into(), "/a::rel".into()));
        assert_eq!(candidates(&spec), ["/a/tool", "./tool", "rel/tool"]);
        spec.program = "./tool".into();
        assert_eq!(candidates(&spec), ["./tool"]);
    }
}
