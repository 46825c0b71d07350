//! Runs a command on behalf of a process: its `reload`, its `stop`. Short-lived, a child of the daemon's own, bounded
//! in time and in what it may print; what it prints goes where the caller says.
//!
//! Such a command has no shim: it dies with its time-out, and what it was for does not outlive the daemon either.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::time::{Instant, timeout, timeout_at};

use super::launch;
use super::preflight::{StartProblem, check_directory, resolve_program};
use super::printed::Told;
use crate::bounds;
use crate::config::{Command, DEFAULT_PATH, ProcessConfig};
use crate::model::Exit;

/// Bytes read at once.
const READ_BYTES: usize = 4096;

/// A command to run for a process.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) command: Command,
    /// What the process has from Ostler itself in its environment.
    pub(super) own: Vec<(&'static str, OsString)>,
    /// Gives it the directory and the environment of the process.
    pub(super) config: std::sync::Arc<ProcessConfig>,
    /// The main process, handed over as `MAINPID`.
    pub(super) main_pid: Option<u32>,
    /// After this it is killed with its process group.
    pub(super) limit: Duration,
}

/// A command that did not do its work; reads after "its reload command".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ErrandError {
    #[error("cannot be run: {0}")]
    NotRun(String),
    #[error("ended with {0}")]
    Ended(Exit),
    #[error("did not end within {0:?} and was killed")]
    TimedOut(Duration),
}

/// Runs the command to its end. `tell` gets its output, line by line.
pub(super) async fn run(errand: Errand, tell: impl Fn(String) + Send) -> Result<(), ErrandError> {
    let limit = errand.limit;
    let deadline = Instant::now() + limit;
    let ready = tokio::task::spawn_blocking(move || prepare(&errand)).await;
    let mut child = match ready {
        Ok(Ok(mut command)) => command.spawn().map_err(|error| ErrandError::NotRun(error.to_string()))?,
        Ok(Err(problem)) => return Err(ErrandError::NotRun(problem.to_string())),
        Err(panic) => return Err(ErrandError::NotRun(panic.to_string())),
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut told = Told::new(tell);
    let status = {
        let output = read(stdout, stderr, &mut told);
        tokio::pin!(output);
        let mut is_read = false;
        let status = tokio::select! {
            status = timeout_at(deadline, child.wait()) => status,
            () = &mut output => {
                is_read = true;
                timeout_at(deadline, child.wait()).await
            }
        };
        if status.is_err() {
            kill_group(&child);
            let _ = child.wait().await;
        }
        // What it left behind may hold the pipes; its last words are in them already.
        if !is_read {
            let _ = timeout(bounds::DRAIN_GRACE, output).await;
        }
        status
    };
    told.end();
    match status {
        Err(_) => Err(ErrandError::TimedOut(limit)),
        Ok(Err(error)) => Err(ErrandError::NotRun(error.to_string())),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => {
            use std::os::unix::process::ExitStatusExt;
            Err(ErrandError::Ended(Exit { code: status.code(), signal: status.signal() }))
        }
    }
}

fn prepare(errand: &Errand) -> Result<tokio::process::Command, StartProblem> {
    let cwd: &PathBuf = &errand.config.cwd;
    check_directory(cwd)?;
    let mut own = errand.own.clone();
    own.extend(errand.main_pid.map(|pid| ("MAINPID", OsString::from(pid.to_string()))));
    let env = errand.config.environment(std::env::vars_os(), &own);
    let env = env.map_err(|error| StartProblem::Environment(error.to_string()))?;
    let mut words = launch::words_of(&errand.command).into_iter();
    // The loader refuses an empty command.
    let program = OsString::from(words.next().unwrap_or_default());
    let program = resolve_program(&program, cwd, env.get("PATH").unwrap_or(OsStr::new(DEFAULT_PATH)))?;
    let mut command = tokio::process::Command::new(program);
    command.args(words).current_dir(cwd).env_clear().envs(env.into_pairs());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    Ok(command)
}

/// Kills the command with its group; the pid is its own, because it has not been waited for.
fn kill_group(child: &Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

async fn read(
    mut stdout: Option<impl AsyncRead + Unpin>,
    mut stderr: Option<impl AsyncRead + Unpin>,
    told: &mut Told<impl Fn(String)>,
) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (mut out_bytes, mut err_bytes) = ([0; READ_BYTES], [0; READ_BYTES]);
    while stdout.is_some() || stderr.is_some() {
        tokio::select! {
            read = read_some(&mut stdout, &mut out_bytes), if stdout.is_some() => match read {
                0 => stdout = None,
                length => told.take(&mut out, &out_bytes[..length]),
            },
            read = read_some(&mut stderr, &mut err_bytes), if stderr.is_some() => match read {
                0 => stderr = None,
                length => told.take(&mut err, &err_bytes[..length]),
            },
        }
        told.flush_if(stdout.is_none(), &mut out);
        told.flush_if(stderr.is_none(), &mut err);
    }
}

async fn read_some(source: &mut Option<impl AsyncRead + Unpin>, bytes: &mut [u8]) -> usize {
    match source {
        Some(source) => source.read(bytes).await.unwrap_or(0),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::printed::LINES;
    use super::*;

    async fn sh(script: &str, limit: Duration) -> (Result<(), ErrandError>, Vec<String>) {
        let command = Command::Shell(script.to_owned());
        let config = Arc::new(ProcessConfig::new(command.clone(), std::env::temp_dir()));
        let own = vec![("OSTLER_PROCESS", "api".into())];
        let errand = Errand { command, own, config, main_pid: Some(4711), limit };
        let lines = Mutex::new(Vec::new());
        let ended = run(errand, |line| lines.lock().unwrap().push(line)).await;
        (ended, lines.into_inner().unwrap())
    }

    #[tokio::test]
    async fn output_and_end_are_told_and_the_main_pid_is_known() {
        let (ended, mut lines) =
            sh("echo $MAINPID $OSTLER_PROCESS; printf 'no end\\033[2J' >&2; exit 3", Duration::from_secs(60))
                .await;
        assert_eq!(ended, Err(ErrandError::Ended(Exit { code: Some(3), signal: None })));
        lines.sort();
        assert_eq!(lines, ["4711 api", "no end[2J"]);
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_what_it_started() {
        let (ended, lines) = sh("sleep 1000 & echo $!; wait", Duration::from_millis(500)).await;
        assert_eq!(ended, Err(ErrandError::TimedOut(Duration::from_millis(500))));
        let grandchild: u32 = lines[0].parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let lives = || crate::supervisor::procfs::tree(grandchild).contains(&grandchild);
        while lives() && !is_zombie(grandchild) {
            assert!(Instant::now() < deadline, "{grandchild} lives on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn is_zombie(pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    }

    #[tokio::test]
    async fn a_flood_is_bounded_and_a_background_child_is_not_waited_for() {
        let (ended, lines) = sh(
            "yes | head -n 100000; head -c 100000 /dev/zero | tr '\\0' x; sleep 5 >&2 &",
            Duration::from_secs(60),
        )
        .await;
        assert_eq!(ended, Ok(()));
        assert_eq!(lines.len(), LINES + 1);
        assert!(lines[LINES].starts_with('('), "{}", lines[LINES]);
        let (ended, _) = sh("pkill_is_not_there_12345", Duration::from_secs(60)).await;
        assert_eq!(ended, Err(ErrandError::Ended(Exit { code: Some(127), signal: None })));
    }
}
