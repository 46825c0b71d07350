//! Runs a short command beside a process — a check, a reload, a stop — in a process group of its own, for a bounded
//! time. The one place where that is done.
//!
//! Owns the command from its start to the last member of its group; whoever gives up waiting ends it by that. It is
//! a child of the daemon and not of a shim, and dies with it, because nobody misses it then. What it prints is handed
//! on piece by piece, both of its outputs in the order they were written: what of that is kept or told is the affair
//! of `printed`. Linux only (pidfd).

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::model::Exit;

/// Time for the kernel to let a killed command go.
const REAP: Duration = Duration::from_secs(1);
/// Bytes read at once.
const READ_BYTES: usize = 4096;
/// Reads in a row before others have their turn, and at most that many after its end: who escaped from its group may
/// go on writing.
const READS: usize = 64;

/// A command to run.
#[derive(Debug)]
pub(super) struct Task {
    /// The program and its arguments. A program without a slash is looked for along the `PATH` of `env`.
    pub(super) words: Vec<OsString>,
    pub(super) cwd: PathBuf,
    /// The whole environment; nothing is inherited.
    pub(super) env: Vec<(OsString, OsString)>,
}

/// Runs a command to its end, or until `limit` is over; then it is killed. What it has left behind in its group goes
/// with it either way. `printed` gets what it prints. Dropping the future kills it too.
///
/// Returns how it ended; nothing when its time was over.
///
/// # Errors
/// When it cannot be started, or nobody can say how it ended.
pub(super) async fn run(
    task: &Task,
    limit: Duration,
    printed: impl FnMut(&[u8]),
) -> std::io::Result<Option<Exit>> {
    let (reader, writer) = std::io::pipe()?;
    let mut output = Output { pipe: Some(pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?), printed };
    let mut child = start(task, writer)?;
    // Declared after the child, so that it is dropped before it: as long as the child is not reaped, the number of
    // its group cannot be another's.
    let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let ended = timeout(limit, async {
        tokio::select! {
            ended = died(&group, &mut child) => ended,
            never = output.read() => match never {},
        }
    });
    let ended = ended.await;
    drop(group);
    let status = match ended {
        Ok(Some(status)) => Some(status),
        Ok(None) => Some(timeout(REAP, child.wait()).await??),
        Err(_) => {
            let _ = timeout(REAP, child.wait()).await;
            None
        }
    };
    output.read_rest();
    Ok(status.map(|status| Exit { code: status.code(), signal: status.signal() }))
}

fn start(task: &Task, writer: std::io::PipeWriter) -> std::io::Result<Child> {
    let mut words = task.words.iter();
    let mut command = Command::new(words.next().map_or(OsStr::new(""), OsString::as_os_str));
    command
        .args(words)
        .current_dir(&task.cwd)
        .env_clear()
        .envs(task.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .kill_on_drop(true);
    // SAFETY: the forked half makes one system call that takes numbers only.
    unsafe { command.pre_exec(die_with_the_daemon) };
    // The command holds the pipe's writing ends, and goes with this function.
    command.spawn()
}

/// Has the kernel kill the command when the thread that has started it is gone (`PR_SET_PDEATHSIG`): one of the
/// runtime's workers, which live as long as the daemon.
fn die_with_the_daemon() -> std::io::Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Returns once the child has ended: with its status where the kernel has no pidfd, else before it is reaped.
async fn died(group: &Group, child: &mut Child) -> Option<ExitStatus> {
    let watch = group.0.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    // SAFETY: the descriptor is owned by what it is registered as, and so stays open until that is dropped.
    match watch.and_then(|pidfd| unsafe { AsyncFd::register(pidfd) }.ok()) {
        Some(pidfd) => {
            let _ = pidfd.readable().await;
            None
        }
        None => child.wait().await.ok(),
    }
}

/// The process group of a command that has not been reaped; killed when dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// What the command prints: read at once, whatever becomes of it, so that it never waits.
struct Output<F> {
    pipe: Option<pipe::Receiver>,
    printed: F,
}

impl<F: FnMut(&[u8])> Output<F> {
    /// Reads until it is dropped.
    async fn read(&mut self) -> std::convert::Infallible {
        loop {
            match &self.pipe {
                Some(pipe) if pipe.readable().await.is_ok() => self.read_rest(),
                _ => std::future::pending().await,
            }
        }
    }

    /// Reads what is there, up to a bound.
    fn read_rest(&mut self) {
        let mut chunk = [0; READ_BYTES];
        for _ in 0..READS {
            let Some(pipe) = &self.pipe else { return };
            match pipe.try_read(&mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(count) => (self.printed)(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::printed::LastWords;
    use super::*;
    use crate::shim::tree::Process;

    /// Far longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Task {
        let env =
            vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()), ("COLOUR".into(), "red".into())];
        Task { words: vec!["sh".into(), "-c".into(), script.into()], cwd: "/".into(), env }
    }

    async fn code(script: &str) -> (Option<i32>, Option<String>) {
        let mut words = LastWords::default();
        let ended = run(&shell(script), PATIENCE, |bytes| words.take(bytes)).await.unwrap();
        (ended.and_then(|exit| exit.code), words.told(str::to_owned))
    }

    #[tokio::test]
    async fn the_exit_code_and_the_last_words_are_told() {
        assert_eq!(code("exit 0").await, (Some(0), None));
        assert_eq!(
            code("echo first; echo \"no $COLOUR db\" >&2; echo; exit 2").await,
            (Some(2), Some("no red db".into()))
        );
        let flood =
            code("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; printf '\\033[31mlast'").await;
        assert_eq!(flood, (Some(0), Some("[31mlast".into())));
    }

    #[tokio::test]
    async fn what_cannot_be_run_is_an_error() {
        let missing = Task { words: vec!["/no/such/program".into()], cwd: "/".into(), env: Vec::new() };
        let error = run(&missing, PATIENCE, |_| {}).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_hanging_command_is_killed_with_all_it_has_started() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("trap '' TERM; sleep 1000 & echo $! > {}; wait", file.display());
        let ended = run(&shell(&script), Duration::from_secs(4), |_| {}).await.unwrap();
        assert_eq!(ended, None);
        let pid = std::fs::read_to_string(file).expect("it got that far").trim().parse().unwrap();
        gone(pid).await;
    }

    #[tokio::test]
    async fn what_a_command_leaves_in_its_group_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        // The sleeper holds the pipe, which is not waited for.
        let script = format!("sleep 1000 & echo $! > {}; exit 3", file.display());
        assert_eq!(code(&script).await.0, Some(3));
        gone(std::fs::read_to_string(file).unwrap().trim().parse().unwrap()).await;
    }

    #[tokio::test]
    async fn giving_up_kills_the_command() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let task = shell(&format!("echo $$ > {}; exec sleep 1000", file.display()));
        let running = tokio::spawn(async move { run(&task, PATIENCE, |_| {}).await });
        let pid = loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Some(pid) = text.strip_suffix('\n') {
                break pid.parse().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        running.abort();
        gone(pid).await;
    }

    /// Waits until a process has ended; a zombie that nobody has reaped has.
    async fn gone(pid: i32) {
        let begun = std::time::Instant::now();
        while Process::with_pid(pid).is_some() {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{pid} still lives");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
