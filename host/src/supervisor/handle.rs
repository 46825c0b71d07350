//! What others hold of a process: requests to its driver, and its current snapshot.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::looks::{Looked, Looks, Purpose};
use super::preflight::StartProblem;
use super::ready::Sign;
use super::snapshot::Snapshot;
use super::tail::{Followed, Tail};
use crate::config::ProcessConfig;
use crate::model::{Exit, ProcessName, RunId, TerminalSize};
use crate::shim::control::Scope;

/// Time for a shim to answer that it reports output; one of an older version never does.
const TAIL_WAIT: Duration = Duration::from_secs(5);

/// A start that worked, or was not needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    pub run: RunId,
    pub already_running: bool,
}

/// A start that did not work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Problem(#[from] StartProblem),
    #[error("it was told to stop before it had started")]
    Superseded,
    #[error("it runs already")]
    Running,
    #[error("{0}")]
    Arguments(String),
    #[error("it has been removed")]
    Removed,
    #[error("Ostler is ending")]
    Ending,
}

/// A stop that worked, or was not needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    pub was_running: bool,
    pub exit: Option<Exit>,
    /// The end in words.
    pub how: Option<String>,
}

/// Input that could not be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("is not running")]
    NotRunning,
    #[error("has closed its standard input")]
    Closed,
    #[error("does not read its input: {accepted} of {given} bytes were taken")]
    Full { accepted: usize, given: usize },
    #[error("does not read its input: {waiting} others wait already, and nothing was taken")]
    QueueFull { waiting: usize },
    #[error("could not be reached: its shim is gone")]
    ShimGone,
    #[error("cannot be followed: its shim does not answer, or is of an older version")]
    NoTail,
}

/// A check that was made because somebody asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Which of the configured checks it is.
    pub purpose: Purpose,
    /// The check in words.
    pub check: String,
    /// What was seen; nothing when the process does not run.
    pub looked: Option<Looked>,
}

/// A signal that reached nobody, as it reads after the process's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    #[error("is not running")]
    NotRunning,
    #[error("could not be signalled: {0}")]
    Refused(String),
    #[error("could not be reached: its shim is gone")]
    ShimGone,
}

/// What a reload has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloaded {
    /// This signal was sent to the main process.
    Signalled(i32),
    /// The configured command ended with exit code 0.
    Ran,
}

/// A reload that was not made, or failed, as it reads after the process's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    #[error("has no `reload`, so there is no way to make it read its configuration again")]
    NotConfigured,
    #[error("is being reloaded already")]
    Busy,
    #[error(transparent)]
    Signal(#[from] SignalError),
    #[error("was not reloaded: its reload command {0}")]
    Command(String),
}

/// A request to a driver.
#[derive(Debug)]
pub(super) enum Command {
    Start {
        reason: String,
        reply: oneshot::Sender<Result<Started, StartError>>,
    },
    Restart {
        reason: String,
        reply: oneshot::Sender<Result<Started, StartError>>,
    },
    Stop {
        reply: oneshot::Sender<Stopped>,
    },
    Send {
        bytes: Vec<u8>,
        eof: bool,
        reply: oneshot::Sender<Result<usize, SendError>>,
    },
    /// Presses a key that means a signal, in a process without a terminal to make one of it.
    Interrupt {
        signal: i32,
        reply: oneshot::Sender<Result<(), SendError>>,
    },
    Resize {
        size: TerminalSize,
    },
    Tail {
        reply: oneshot::Sender<Result<(RunId, oneshot::Receiver<Followed>), SendError>>,
    },
    /// Somebody follows the run no longer.
    TailLeft {
        run: RunId,
    },
    Sign {
        run: RunId,
        sign: Sign,
    },
    Check {
        reply: oneshot::Sender<Option<Checked>>,
    },
    Once {
        arguments: Vec<String>,
        reply: oneshot::Sender<Result<Started, StartError>>,
    },
    Signal {
        signal: i32,
        scope: Scope,
        reply: oneshot::Sender<Result<u32, SignalError>>,
    },
    Reload {
        reply: oneshot::Sender<Result<Reloaded, ReloadError>>,
    },
    Reconfigure {
        config: Arc<ProcessConfig>,
    },
    Retire {
        reply: oneshot::Sender<Stopped>,
    },
    Ping {
        reply: oneshot::Sender<()>,
    },
}

/// Reaches the driver of one process. Cheap to clone; dropping it stops nothing.
#[derive(Clone)]
pub struct Handle {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) snapshots: watch::Receiver<Snapshot>,
    pub(super) config: watch::Receiver<Arc<ProcessConfig>>,
    pub(super) looks: Looks,
}

impl Handle {
    /// Returns the process's name.
    pub fn name(&self) -> ProcessName {
        self.snapshots.borrow().name.clone()
    }

    /// Returns the configuration it is started with.
    pub fn config(&self) -> Arc<ProcessConfig> {
        Arc::clone(&self.config.borrow())
    }

    /// Returns the present state.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshots.borrow().clone()
    }

    /// Returns a receiver of every later state.
    pub fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.snapshots.clone()
    }

    /// Starts the process unless it runs; `reason` is kept with the run (`cli`, `mcp`). Returns once the child
    /// executes its program.
    pub async fn start(&self, reason: &str) -> Result<Started, StartError> {
        let reason = reason.to_owned();
        self.ask(|reply| Command::Start { reason, reply }).await.unwrap_or(Err(StartError::Ending))
    }

    /// Stops the process if it runs, and starts it.
    pub async fn restart(&self, reason: &str) -> Result<Started, StartError> {
        let reason = reason.to_owned();
        self.ask(|reply| Command::Restart { reason, reply }).await.unwrap_or(Err(StartError::Ending))
    }

    /// Stops the process: its stop signal, its grace, then SIGKILL to the whole tree. Returns once the tree is gone.
    pub async fn stop(&self) -> Stopped {
        let stopped = self.ask(|reply| Command::Stop { reply }).await;
        stopped.unwrap_or(Stopped { was_running: false, exit: None, how: None })
    }

    /// Writes to the child's standard input, and closes it afterwards when `eof`. Waits a bounded time for a child that
    /// does not read, and behind others who send; what was taken of a text that did not fit is in the error.
    pub async fn send(&self, bytes: Vec<u8>, eof: bool) -> Result<usize, SendError> {
        self.ask(|reply| Command::Send { bytes, eof, reply }).await.unwrap_or(Err(SendError::NotRunning))
    }

    /// Sends a signal to the child's process group, as a terminal does when its key is pressed.
    pub async fn interrupt(&self, signal: i32) -> Result<(), SendError> {
        self.ask(|reply| Command::Interrupt { signal, reply }).await.unwrap_or(Err(SendError::NotRunning))
    }

    /// Gives the child's terminal another size; without a terminal nothing happens.
    pub fn resize(&self, size: TerminalSize) {
        let _ = self.commands.send(Command::Resize { size });
    }

    /// Follows what the present run prints from now on.
    pub async fn tail(&self) -> Result<Tail, SendError> {
        let asked = self.ask(|reply| Command::Tail { reply }).await;
        let (run, followed) = asked.unwrap_or(Err(SendError::NotRunning))?;
        match tokio::time::timeout(TAIL_WAIT, followed).await {
            Ok(Ok(followed)) => Ok(followed.into_tail(run, self.commands.clone())),
            // It ended meanwhile.
            Ok(Err(_)) => Err(SendError::NotRunning),
            Err(_) => Err(SendError::NoTail),
        }
    }

    /// Makes the configured health check now, or the readiness check where there is no other; nothing when there is
    /// neither. Takes no longer than the check may.
    pub async fn check(&self) -> Option<Checked> {
        self.ask(|reply| Command::Check { reply }).await.flatten()
    }

    /// Returns what checks have seen lately, the oldest first.
    pub fn looks(&self) -> Vec<Looked> {
        self.looks.all()
    }

    /// Runs the process once, with `arguments` behind those of its command: whatever its end is, it is not started
    /// again. One that runs is left alone, and that is an error.
    pub async fn run_once(&self, arguments: Vec<String>) -> Result<Started, StartError> {
        self.ask(|reply| Command::Once { arguments, reply }).await.unwrap_or(Err(StartError::Ending))
    }

    /// Sends a signal, and returns how many processes it reached. It changes nothing of what is wanted: after a
    /// SIGKILL the restart policy decides.
    pub async fn signal(&self, signal: i32, scope: Scope) -> Result<u32, SignalError> {
        // A run that ends meanwhile takes the reply with it.
        self.ask(|reply| Command::Signal { signal, scope, reply })
            .await
            .unwrap_or(Err(SignalError::NotRunning))
    }

    /// Makes the process read its own configuration again, as its `reload` says.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let reloaded = self.ask(|reply| Command::Reload { reply }).await;
        reloaded.unwrap_or(Err(ReloadError::Signal(SignalError::NotRunning)))
    }

    /// Tells the driver what a classifier saw.
    pub fn sign(&self, run: RunId, sign: Sign) {
        let _ = self.commands.send(Command::Sign { run, sign });
    }

    /// Gives the driver another configuration. What runs goes on with what it was started with, until it is restarted;
    /// checks and policies change at once.
    pub(super) fn reconfigure(&self, config: Arc<ProcessConfig>) {
        let _ = self.commands.send(Command::Reconfigure { config });
    }

    /// Stops the process for good, as [`Handle::stop`] does: it is not started again, and its driver ends.
    pub async fn retire(&self) -> Stopped {
        let stopped = self.ask(|reply| Command::Retire { reply }).await;
        stopped.unwrap_or(Stopped { was_running: false, exit: None, how: None })
    }

    /// Returns once the driver has dealt with everything it was told before; at once when there is none any more.
    pub async fn ping(&self) {
        let _ = self.ask(|reply| Command::Ping { reply }).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).ok()?;
        answer.await.ok()
    }
}
