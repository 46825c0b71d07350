//! Owns reaching the project's daemon, and starting one when none answers.
//!
//! ```text
//!  command ──spawns──▶ launcher (`daemon --detach`) ──spawns──▶ daemon (`daemon --report`)
//!     ▲                own session, ends at once                 │ orphaned, so that whoever kills the command's
//!     └───────────── pipe: one StartReport line ─────────────────┘ process tree or group does not get it
//! ```
//!
//! Never talks to the daemon beyond connecting: `client` does.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::exit::{CliError, Code};
use super::startup::{self, StartReport};
use crate::daemon::{Paths, open_runs};
use crate::store::Catalogue;

/// How long a daemon may take until it listens. A first start compiles plugins; one that dies is noticed at once.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How often a socket is tried again while another command's daemon comes up, or one that is ending goes.
pub const RETRY_EVERY: Duration = Duration::from_millis(20);
/// Longest report that is read, in bytes.
const REPORT_BYTES: u64 = 1 << 20;
/// Size beyond which a daemon's log is put aside before the next daemon appends to it, in bytes.
const LOG_BYTES: u64 = 4 << 20;
/// Bytes of the log that are looked at for the last words of a daemon that died.
const LAST_WORDS_BYTES: u64 = 4096;

/// Why there is no daemon to talk to.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("the daemon's socket {socket} cannot be used: {source}")]
    Connect { socket: PathBuf, source: io::Error },
    #[error("the daemon's log {log} cannot be written: {source}")]
    Log { log: PathBuf, source: io::Error },
    #[error("the daemon cannot be started: {0}")]
    Spawn(io::Error),
    #[error("{0}")]
    BadConfig(String),
    #[error("the daemon cannot start: {0}")]
    Failed(String),
    #[error("the daemon ended while it was starting{last_words}")]
    Died { log: PathBuf, last_words: String },
    #[error("the daemon does not answer after {} s", START_DEADLINE.as_secs())]
    Late { log: PathBuf },
}

impl From<LaunchError> for CliError {
    fn from(error: LaunchError) -> Self {
        let told = Self::new(Code::Unreachable, "unreachable", error.to_string());
        match error {
            LaunchError::BadConfig(message) => startup::bad_config(message),
            LaunchError::Died { log, .. } | LaunchError::Late { log } => {
                told.hint(format!("its log is {}", log.display()))
            }
            LaunchError::Log { .. } => told.hint("`OSTLER_STATE_DIR` puts logs and state elsewhere"),
            _ => told,
        }
    }
}

/// Connects to the daemon; `None` when none answers.
pub async fn connect(paths: &Paths) -> Result<Option<UnixStream>, LaunchError> {
    let socket = paths.socket();
    let deadline = Instant::now() + START_DEADLINE;
    loop {
        match UnixStream::connect(&socket).await {
            Ok(stream) => return Ok(Some(stream)),
            Err(error) if is_nobody(&error) => return Ok(None),
            // More connections wait than the daemon has room for.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                tokio::time::sleep(RETRY_EVERY).await;
            }
            Err(source) => return Err(LaunchError::Connect { socket, source }),
        }
    }
}

/// Returns whether a connection failed because there is no daemon, or because it was just dying: what it had not
/// accepted by then is reset.
fn is_nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset)
}

/// Returns whether a daemon that died has left runs, or something that was added: an end in order forgets that.
pub fn left_anything_behind(paths: &Paths) -> bool {
    open_runs(&paths.state_dir).next().is_some() || Catalogue::holds_additions(&paths.catalogue())
}

/// Connects to the daemon, and starts one when none answers.
pub async fn connect_or_start(paths: &Paths) -> Result<UnixStream, LaunchError> {
    let deadline = Instant::now() + START_DEADLINE;
    loop {
        if let Some(stream) = connect(paths).await? {
            return Ok(stream);
        }
        if Instant::now() >= deadline {
            return Err(LaunchError::Late { log: paths.daemon_log() });
        }
        match start(paths, deadline).await? {
            StartReport::Ready { .. } => {}
            // It has the lock but does not listen: it is coming up, or on its way out.
            StartReport::AlreadyRunning { .. } => tokio::time::sleep(RETRY_EVERY).await,
            StartReport::BadConfig { message } => return Err(LaunchError::BadConfig(message)),
            StartReport::Failed { message } => return Err(LaunchError::Failed(message)),
        }
    }
}

/// Starts a daemon in the background and returns what it tells.
async fn start(paths: &Paths, deadline: Instant) -> Result<StartReport, LaunchError> {
    let path = paths.daemon_log();
    let (log, begin) = open_log(&path).map_err(|source| LaunchError::Log { log: path.clone(), source })?;
    let program = std::env::current_exe().map_err(LaunchError::Spawn)?;
    let mut launcher = tokio::process::Command::new(program)
        .arg("-C")
        .arg(&paths.project_dir)
        .args(["daemon", "--detach"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(LaunchError::Spawn)?;
    let mut line = Vec::new();
    if let Some(stdout) = launcher.stdout.take() {
        let mut report = BufReader::new(stdout.take(REPORT_BYTES));
        tokio::time::timeout_at(deadline, report.read_until(b'\n', &mut line))
            .await
            .map_err(|_| LaunchError::Late { log: path.clone() })?
            .map_err(LaunchError::Spawn)?;
    }
    launcher.wait().await.map_err(LaunchError::Spawn)?;
    StartReport::read(&line)
        .ok_or_else(|| LaunchError::Died { last_words: last_words(&path, begin), log: path.clone() })
}

/// Opens the daemon's log for appending; returns it with its length, where this daemon's words begin.
fn open_log(path: &Path) -> io::Result<(File, u64)> {
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    if path.metadata().is_ok_and(|metadata| metadata.len() > LOG_BYTES) {
        std::fs::rename(path, path.with_extension("log.old"))?;
    }
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let length = log.metadata()?.len();
    Ok((log, length))
}

/// Returns the end of what a daemon that died has logged, ready to follow the error: empty when it said nothing.
fn last_words(path: &Path, begin: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut log = File::open(path)?;
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(begin.max(length.saturating_sub(LAST_WORDS_BYTES))))?;
        let mut bytes = Vec::new();
        log.take(LAST_WORDS_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let words: Vec<String> = text.lines().map(|line| format!("\n  {line}")).collect();
    if words.is_empty() { String::new() } else { format!(":{}", words.concat()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_words_are_those_of_this_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/daemon.log");
        let (mut log, begin) = open_log(&path).unwrap();
        assert_eq!(begin, 0);
        writeln!(log, "an earlier daemon").unwrap();
        let (mut log, begin) = open_log(&path).unwrap();
        assert_eq!(last_words(&path, begin), "");
        writeln!(log, "panicked at store\nnote: no space").unwrap();
        assert_eq!(last_words(&path, begin), ":\n  panicked at store\n  note: no space");
    }

    #[test]
    fn a_log_that_has_grown_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.log");
        File::create(&path).unwrap().set_len(LOG_BYTES + 1).unwrap();
        let (_, begin) = open_log(&path).unwrap();
        assert_eq!(begin, 0);
        assert!(dir.path().join("daemon.log.old").exists());
    }

    #[test]
    fn a_configuration_error_ends_with_the_usage_code() {
        let error = CliError::from(LaunchError::BadConfig("ostler.toml:1:1: no".into()));
        assert_eq!(error.code(), Code::Usage);
        let error = CliError::from(LaunchError::Failed("no".into()));
        assert_eq!(error.code(), Code::Unreachable);
    }
}
