//! What everybody may know of a process: plain data, published by its driver.

use serde::{Deserialize, Serialize};

use crate::model::{Exit, ProcessName, RunId, Time};

/// The state of a process, drawn in the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not running because nobody wants it to.
    Stopped,
    /// Being spawned, or spawned and not yet ready by its readiness check.
    Starting,
    /// Running; nothing says yet that it is ready.
    Running,
    /// Running, and its readiness check holds.
    Ready,
    /// Running, but its readiness check has failed or was never met in time.
    Unhealthy,
    /// Told to stop, and given its grace.
    Stopping,
    /// Ended, and about to be started again.
    Backoff,
    /// Ended badly or could not be started, and is left so.
    Failed,
    /// Ended by itself with exit code 0, and is left so.
    Exited,
}

impl State {
    /// Returns the word used in JSON and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Unhealthy => "unhealthy",
            Self::Stopping => "stopping",
            Self::Backoff => "backoff",
            Self::Failed => "failed",
            Self::Exited => "exited",
        }
    }

    /// Returns whether a child lives in this state.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Ready | Self::Unhealthy | Self::Stopping)
    }

    /// Returns whether nothing more happens in this state without somebody's request.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed | Self::Exited)
    }
}

/// One moment of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub name: ProcessName,
    pub state: State,
    /// The current run, or the last one; none when it never ran, or could not be started at all when it last should.
    pub run: Option<RunId>,
    /// The child's pid while it lives.
    pub pid: Option<u32>,
    pub ready: bool,
    /// The current run's standard streams are a terminal.
    pub terminal: bool,
    /// The terminal's cursor keys are told by the application's codes. Of a run that a shim of an earlier version looks
    /// after this is not known.
    pub application_keys: bool,
    /// When the current run began.
    pub started: Option<Time>,
    /// Restarts that nobody asked for, since the last manual start.
    pub restarts: u32,
    /// How the last ended run ended.
    pub exit: Option<Exit>,
    /// What it says of itself (`STATUS=` of `sd_notify(3)`); one line, bounded.
    pub status: Option<String>,
    /// Why it is in this state, when that is not plain from the state: a failed start, a time-out, giving up.
    pub reason: Option<String>,
    /// When its schedule starts it next.
    pub next_due: Option<Time>,
    /// Why changes of files are not seen, or not all of them.
    pub watch_trouble: Option<String>,
    /// The port it was given, or is about to be.
    pub port: Option<u16>,
    /// What was odd about the last start, though it went on.
    pub warning: Option<String>,
}

impl Snapshot {
    /// Returns the snapshot of a process that never ran.
    pub fn new(name: ProcessName) -> Self {
        Self {
            name,
            state: State::Stopped,
            run: None,
            pid: None,
            ready: false,
            terminal: false,
            application_keys: false,
            started: None,
            restarts: 0,
            exit: None,
            status: None,
            reason: None,
            next_due: None,
            watch_trouble: None,
            port: None,
            warning: None,
        }
    }
}
