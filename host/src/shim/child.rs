//! Starting the child: pipes or a terminal, fork, a clean slate, `execve`, and a precise answer when that fails.
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
use super::pty::{self, Terminal};
use super::spec::{LaunchSpec, Rlimit};
use super::tree::Process;
use crate::model::TerminalSize;

/// Where programs are looked up when the environment has no `PATH`, as in `execvp(3)`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A child that runs, and our ends of its streams, which never block.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) process: Process,
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    /// Of a child with a terminal there is no telling which of its streams it prints on.
    pub(super) stderr: Option<OwnedFd>,
    pub(super) terminal: Option<Terminal>,
}

/// Starts the child in a session of its own and in its cgroup, with its limits set, every signal at its default and
/// none blocked.
///
/// Must be called while the process has one thread only, because the forked half uses what it inherited.
pub(super) fn spawn(spec: &LaunchSpec) -> Result<Child, SpawnFailure> {
    let image = Image::new(spec).map_err(|()| failure(SpawnFault::BadSpec, libc::EINVAL))?;
    let pipes = Pipes::open(spec.terminal)?;
    let pid = fork(&image, &pipes, spec.cgroup.as_deref())?;
    let ours = pipes.keep_ours();
    let mut report = Vec::new();
    // Ends at once: the other end is closed by `execve`, by the child's death, or after it wrote.
    File::from(ours.failure).read_to_end(&mut report).map_err(|error| system(&error))?;
    if let Some(failure) = child_failure(spec, &report) {
        wait_for(pid);
        return Err(failure);
    }
    let process = Process::with_pid(pid).unwrap_or(Process { pid, start_ticks: 0 });
    let OurEnds { stdin, stdout, stderr, terminal, .. } = ours;
    Ok(Child { process, stdin, stdout, stderr, terminal })
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
    /// Where the child writes its own pid, for a watchdog that is its own and nobody else's.
    watchdog_pid: Option<*mut u8>,
    /// Own what `argv`, `envp` and `watchdog_pid` point to.
    _texts: Vec<CString>,
    _watchdog: Vec<u8>,
}

impl Image {
    fn new(spec: &LaunchSpec) -> Result<Self, ()> {
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(drop);
        let args = std::iter::once(&spec.program).chain(&spec.args).map(|arg| text(arg));
        let env = spec.env.iter().map(|(name, value)| {
            text(&OsString::from_vec([name.as_bytes(), b"=", value.as_bytes()].concat()))
        });
        let args = args.collect::<Result<Vec<_>, ()>>()?;
        let mut env = env.collect::<Result<Vec<_>, ()>>()?;
        for variable in notify_variables(spec) {
            env.push(CString::new(variable).map_err(drop)?);
        }
        let pointers = |texts: &[CString]| -> Vec<_> {
            texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
        };
        let mut watchdog = [WATCHDOG_PID, &[0; PID_BYTES]].concat();
        let has_watchdog = spec.notify.as_ref().is_some_and(|notify| notify.watchdog.is_some());
        let mut envp = pointers(&env);
        // Moving a `Vec` leaves its bytes where they are, as it does with a `CString`.
        let watchdog_pid = has_watchdog.then(|| {
            envp.insert(0, watchdog.as_ptr().cast());
            watchdog[WATCHDOG_PID.len()..].as_mut_ptr()
        });
        Ok(Self {
            programs: candidates(spec).iter().map(|path| text(path)).collect::<Result<_, _>>()?,
            cwd: text(spec.cwd.as_os_str())?,
            umask: spec.umask,
            rlimits: spec.rlimits.clone(),
            argv: pointers(&args),
            envp,
            watchdog_pid,
            _texts: args.into_iter().chain(env).collect(),
            _watchdog: watchdog,
        })
    }
}

/// What stands before the pid in the variable that names the watchdog's process.
const WATCHDOG_PID: &[u8] = b"WATCHDOG_PID=";
/// Room for the digits of any pid and the NUL behind them.
const PID_BYTES: usize = 12;

/// Returns the variables that tell the child where and how often to say how it is (`sd_notify(3)`,
/// `sd_watchdog_enabled(3)`); `WATCHDOG_PID` is the forked half's to write.
fn notify_variables(spec: &LaunchSpec) -> Vec<Vec<u8>> {
    let Some(notify) = &spec.notify else { return Vec::new() };
    let socket = [b"NOTIFY_SOCKET=", notify.path.as_os_str().as_bytes()].concat();
    let watchdog = notify.watchdog.map(|every| format!("WATCHDOG_USEC={}", every.as_micros()).into_bytes());
    std::iter::once(socket).chain(watchdog).collect()
}

/// Writes a positive number in decimal digits.
///
/// # Safety
/// `at` points to `PID_BYTES` bytes that may be written. Calls nothing, so that the forked half may.
unsafe fn write_digits(at: *mut u8, number: u32) {
    let mut digits = [0u8; PID_BYTES];
    let (mut rest, mut first) = (number, PID_BYTES - 1);
    while rest > 0 && first > 0 {
        first -= 1;
        // Always below ten.
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    // SAFETY: the caller vouches for the place; the last byte of `digits` is the NUL.
    unsafe { ptr::copy_nonoverlapping(digits.as_ptr().add(first), at, PID_BYTES - first) };
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

/// Both ends of the child's streams, and of the pipe on which it tells why it could not start.
struct Pipes {
    /// Its ends, by the number it has them under.
    theirs: [OwnedFd; 3],
    ours: OurEnds,
    failure: OwnedFd,
}

struct OurEnds {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: Option<OwnedFd>,
    terminal: Option<Terminal>,
    failure: OwnedFd,
}

impl Pipes {
    fn open(terminal: Option<TerminalSize>) -> Result<Self, SpawnFailure> {
        match terminal {
            Some(size) => Self::with_terminal(size).map_err(|error| SpawnFailure {
                what: SpawnFault::NoTerminal,
                errno: error.raw_os_error().unwrap_or(libc::EIO),
            }),
            None => Self::without_terminal().map_err(|error| system(&error)),
        }
    }

    fn without_terminal() -> io::Result<Self> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC);
        let (stdin, stdout, stderr, failure) = (pipe()?, pipe()?, pipe()?, pipe()?);
        let ours = OurEnds {
            stdin: stdin.1,
            stdout: stdout.0,
            stderr: Some(stderr.0),
            terminal: None,
            failure: failure.0,
        };
        // The two ends of a pipe have flags of their own.
        for end in [&ours.stdin, &ours.stdout].into_iter().chain(&ours.stderr) {
            rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK)?;
        }
        Ok(Self { theirs: [stdin.0, stdout.1, stderr.1], ours, failure: failure.1 })
    }

    fn with_terminal(size: TerminalSize) -> io::Result<Self> {
        let pair = pty::open(size)?;
        let failure = pipe_with(PipeFlags::CLOEXEC)?;
        let theirs = [pair.theirs.try_clone()?, pair.theirs.try_clone()?, pair.theirs.try_clone()?];
        let ours = OurEnds {
            stdin: pair.ours.try_clone()?,
            stdout: pair.ours.try_clone()?,
            stderr: None,
            terminal: Some(Terminal::new(pair.ours, pair.theirs, size)),
            failure: failure.0,
        };
        Ok(Self { theirs, ours, failure: failure.1 })
    }

    /// Closes the child's ends.
    fn keep_ours(self) -> OurEnds {
        self.ours
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
    let report_to = pipes.failure.as_raw_fd();
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
        if pipes.ours.terminal.is_some() && pty::take_control(pipes.theirs[0].as_raw_fd()) == -1 {
            fail(report_to, FAILED_SETUP);
        }
        for (end, number) in pipes.theirs.iter().zip(0..) {
            if libc::dup2(end.as_raw_fd(), number) == -1 {
                fail(report_to, FAILED_SETUP);
            }
        }
        reset_signals();
        if let Some(umask) = image.umask {
            libc::umask(umask);
        }
        if let Some(place) = image.watchdog_pid {
            write_digits(place, libc::getpid().unsigned_abs());
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
    fn digits_are_written_as_text() {
        for number in [1, 4711, 4_194_304, u32::MAX] {
            let mut place = [b'x'; PID_BYTES];
            // SAFETY: the place is as long as it has to be.
            unsafe { write_digits(place.as_mut_ptr(), number) };
            let text = std::ffi::CStr::from_bytes_until_nul(&place).unwrap();
            assert_eq!(text.to_str().unwrap(), number.to_string());
        }
    }

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
