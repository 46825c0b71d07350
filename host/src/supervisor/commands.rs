//! Runs a command on behalf of a process: its `reload`, its `stop`. What it prints goes where the caller says.
//!
//! Owns how such a command is put together out of the process's configuration, and what its end means. It is run by
//! `exec`, and so leaves nothing behind: what it was for does not outlive the daemon either.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use tokio::time::Instant;

use super::exec::{self, Task};
use super::launch;
use super::preflight::{StartProblem, check_directory, resolve_program};
use super::printed::Told;
use crate::config::{Command, DEFAULT_PATH, ProcessConfig};
use crate::model::Exit;

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
    let task = match tokio::task::spawn_blocking(move || prepare(&errand)).await {
        Ok(Ok(task)) => task,
        Ok(Err(problem)) => return Err(ErrandError::NotRun(problem.to_string())),
        Err(panic) => return Err(ErrandError::NotRun(panic.to_string())),
    };
    let mut told = Told::new(tell);
    // Started here and not on the thread that has prepared it: the command dies with the thread that started it.
    let left = deadline.saturating_duration_since(Instant::now());
    let ended = exec::run(&task, left, |bytes| told.take(bytes)).await;
    told.end();
    match ended {
        Ok(Some(exit)) if exit.is_success() => Ok(()),
        Ok(Some(exit)) => Err(ErrandError::Ended(exit)),
        Ok(None) => Err(ErrandError::TimedOut(limit)),
        Err(error) => Err(ErrandError::NotRun(error.to_string())),
    }
}

fn prepare(errand: &Errand) -> Result<Task, StartProblem> {
    let cwd = errand.config.cwd.clone();
    check_directory(&cwd)?;
    let mut own = errand.own.clone();
    own.extend(errand.main_pid.map(|pid| ("MAINPID", OsString::from(pid.to_string()))));
    let env = errand.config.environment(std::env::vars_os(), &own);
    let env = env.map_err(|error| StartProblem::Environment(error.to_string()))?;
    let mut words: Vec<OsString> =
        launch::words_of(&errand.command).into_iter().map(OsString::from).collect();
    // The loader refuses an empty command.
    if let Some(program) = words.first_mut() {
        let path = env.get("PATH").unwrap_or(OsStr::new(DEFAULT_PATH));
        *program = resolve_program(program, &cwd, path)?.into_os_string();
    }
    Ok(Task { words, cwd, env: env.into_pairs() })
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
        let (ended, lines) =
            sh("echo $MAINPID $OSTLER_PROCESS; printf 'no end\\033[2J' >&2; exit 3", Duration::from_secs(60))
                .await;
        assert_eq!(ended, Err(ErrandError::Ended(Exit { code: Some(3), signal: None })));
        assert_eq!(lines, ["4711 api", "no end[2J"]);
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_what_it_started() {
        let (ended, lines) = sh("sleep 1000 & echo $!; wait", Duration::from_secs(4)).await;
        assert_eq!(ended, Err(ErrandError::TimedOut(Duration::from_secs(4))));
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
            "yes | head -n 100000; head -c 100000 /dev/zero | tr '\\0' x; sleep 1000 >&2 &",
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
