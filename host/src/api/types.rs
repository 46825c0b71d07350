//! What goes into the verbs and comes out: plain data, the same for the terminal, agents and browsers.

use serde::{Deserialize, Serialize};

use super::alerts::{AlertView, AlertsReply, AlertsRequest};
use super::clear::{ClearLogsReply, ClearLogsRequest};
use super::doctor::Check;
use super::error_types::{
    ErrorView, ErrorsReply, ErrorsRequest, LatestErrorsReply, LatestErrorsRequest, MarkError,
};
use super::fleet_types::{
    AddReply, AddRequest, Also, CreateGroup, GroupReply, GroupView, ReloadConfigReply, RemoveReply,
    ScaleReply,
};
use super::inspect::Inspection;
use super::once::{FeedReply, FeedRequest, RunEndReply, RunEndRequest, RunReply, RunRequest};
use super::search::SearchReply;
use super::signals::{ReloadReply, SignalReply, SignalRequest};
use super::stats::{StatsReply, StatsRequest};
use super::summary_types::{LogSummary, LogSummaryRequest};
use super::tail::TailRequest;
use super::upgrade::UpgradeReply;
use crate::model::{Exit, Level, Line, ProcessName, RunId, Stream, Time};
use crate::plugins::PluginStatus;
use crate::supervisor::State;

pub use super::health::{CheckView, HealthView, Verdict};

/// Who asks, and through what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub surface: Surface,
    /// What the client calls itself: `claude-code 2.1`, `cli`; bounded and without control characters.
    pub client: String,
}

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Surface {
    Cli,
    Mcp,
    /// The daemon itself: restarts and adoption.
    Daemon,
}

impl Surface {
    /// Returns the word used in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Mcp => "mcp",
            Self::Daemon => "daemon",
        }
    }
}

/// A process as `ps` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessView {
    pub name: ProcessName,
    pub state: State,
    /// The child's pid while it lives.
    pub pid: Option<u32>,
    /// The current run, or the last one.
    pub run: Option<RunId>,
    pub ready: bool,
    /// Milliseconds since the current run began; absent while nothing runs.
    pub uptime_ms: Option<u64>,
    /// Restarts nobody asked for, since the last manual start.
    pub restarts: u32,
    /// How the last run ended; absent while the first one lives.
    pub exit: Option<Exit>,
    /// TCP ports that the process or its descendants listen on.
    pub ports: Vec<u16>,
    /// What it says of itself, by `STATUS=` of `sd_notify(3)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// When its schedule starts it next; absent without one, and while it is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Time>,
    /// The port it was given, whether it listens there or not; absent when it was given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The alerts about it that were raised lately and keep quiet since; told in lists alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<String>,
}

/// A request on the daemon's socket: one JSON object a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Every process.
    List {},
    /// Starts the named processes, or all with `autostart`, dependencies first.
    Up {
        names: Vec<String>,
    },
    /// Stops everything, dependents first; with `shutdown` the daemon ends afterwards, and
    /// what was added is forgotten.
    Down {
        shutdown: bool,
    },
    Start {
        name: String,
    },
    Stop {
        name: String,
    },
    Restart {
        name: String,
    },
    /// Restarts every process that runs.
    RestartAll {},
    Logs(LogsRequest),
    /// Lines, and how many there are of each process.
    SearchLogs(LogsRequest),
    /// Waits for lines.
    TailLogs(TailRequest),
    /// What is in a stretch of the log, in numbers and examples.
    LogSummary(LogSummaryRequest),
    /// Deletes lines of log.
    ClearLogs(ClearLogsRequest),
    Wait(WaitRequest),
    Send(SendRequest),
    /// The connection is given over to what the process prints and is told; see [`Api::attach`](super::Api::attach).
    Attach {
        name: String,
    },
    Signal(SignalRequest),
    /// Makes a process read its own configuration again.
    ReloadProcess {
        name: String,
    },
    /// Runs a process once, with what it depends on.
    RunOnce(RunRequest),
    /// Waits for the end of a run.
    RunEnd(RunEndRequest),
    /// Writes to the standard input of a run, waiting for it to read.
    Feed(FeedRequest),
    Diagnose {
        name: String,
    },
    /// Makes the checks of the named processes now, or of all.
    Health {
        names: Vec<String>,
    },
    /// Everything about a process; with `secrets` unmasked.
    Inspect {
        name: String,
        secrets: bool,
    },
    Stats(StatsRequest),
    /// The kinds of errors.
    Errors(ErrorsRequest),
    /// One kind of error, by its id or the beginning of it.
    ErrorGroup {
        id: String,
    },
    /// The errors that happened last.
    LatestErrors(LatestErrorsRequest),
    ResolveError(MarkError),
    ReopenError(MarkError),
    /// The alerts that were raised.
    Alerts(AlertsRequest),
    Plugins {},
    Status {},
    /// What is in force on this machine.
    Doctor {},
    /// Adds a process until it is removed or everything is taken down.
    Add(AddRequest),
    /// Takes away a process that was added.
    Remove {
        name: String,
    },
    /// Says how many replicas of a process there are.
    Scale {
        name: String,
        replicas: u32,
    },
    Groups {},
    CreateGroup(CreateGroup),
    AddToGroup {
        group: String,
        names: Vec<String>,
    },
    StartGroup {
        name: String,
    },
    StopGroup {
        name: String,
    },
    /// Reads the configuration file again, and does what its changes ask for.
    ReloadConfig {},
    /// Puts another program in the daemon's place: the one named, or the present one as it is on disk now.
    Upgrade {
        program: Option<String>,
    },
}

/// An answer on the daemon's socket: one JSON object a line, in the order of the requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    List(Vec<ProcessView>),
    Up(UpReply),
    Down(DownReply),
    Start(StartReply),
    Stop(StopReply),
    Restart(StartReply),
    RestartAll(UpReply),
    Logs(LogsReply),
    SearchLogs(SearchReply),
    TailLogs(LogsReply),
    LogSummary(Box<LogSummary>),
    ClearLogs(ClearLogsReply),
    Wait(Box<WaitReply>),
    Send(SendReply),
    Attach(AttachReply),
    Signal(SignalReply),
    ReloadProcess(ReloadReply),
    RunOnce(RunReply),
    RunEnd(RunEndReply),
    Feed(FeedReply),
    Diagnose(Box<Diagnosis>),
    Health(Vec<HealthView>),
    Inspect(Box<Inspection>),
    Stats(Box<StatsReply>),
    Errors(ErrorsReply),
    ErrorGroup(Box<ErrorView>),
    LatestErrors(LatestErrorsReply),
    ResolveError(Box<ErrorView>),
    ReopenError(Box<ErrorView>),
    Alerts(AlertsReply),
    Plugins(Vec<PluginStatus>),
    Status(StatusReply),
    Doctor(Vec<Check>),
    Add(Box<AddReply>),
    Remove(RemoveReply),
    Scale(ScaleReply),
    Groups(Vec<GroupView>),
    CreateGroup(GroupView),
    AddToGroup(GroupView),
    StartGroup(GroupReply),
    StopGroup(GroupReply),
    ReloadConfig(ReloadConfigReply),
    Upgrade(UpgradeReply),
    Error(ApiError),
}

/// Which lines to read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogsRequest {
    /// Processes; none means all.
    pub names: Vec<String>,
    pub run: Option<RunId>,
    /// Lines at least this serious; lines of unknown level are left out then.
    pub level: Option<Level>,
    pub stream: Option<Stream>,
    /// A regular expression (crate `regex` syntax) the text must match.
    pub grep: Option<String>,
    /// A text that must be in the text as it stands here; not together with `grep`.
    pub contains: Option<String>,
    /// Filters on fields of JSON lines and of pairs `key=value`, all of which must hold: `status=500`, `ms>=200`,
    /// `user.id!=7`, `path~^/api`, or a key alone; see [`crate::store::FieldFilter`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// A cursor of an earlier reply, `now`, a duration such as `10m`, or a time such as `2026-11-20T08:00:00Z`.
    pub since: Option<String>,
    /// As `since`: nothing later than this.
    pub until: Option<String>,
    /// Without a cursor in `since`: the oldest lines that match, not the newest.
    pub oldest: bool,
    /// Besides each line, so many lines that the same run printed before it, whether they match or not; at most 100.
    pub before: usize,
    /// The same for lines after it.
    pub after: usize,
    /// At most this many lines: the newest ones, or with a cursor in `since` the oldest after it. Default 100.
    pub limit: Option<usize>,
    /// Waits up to this many milliseconds for a first line when there is none yet; at most 50,000.
    pub wait_ms: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogsReply {
    /// In order of their sequence numbers.
    pub lines: Vec<Line>,
    /// Give it as `since` to read on: nothing twice, nothing skipped.
    pub cursor: String,
    /// Whether more lines match than were returned: after the last one when reading from a cursor, before the first
    /// one otherwise.
    pub more: bool,
    /// Lines after the cursor that retention has deleted since.
    pub missing: u64,
}

/// What to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitRequest {
    pub name: String,
    pub until: Until,
    /// Milliseconds; at most 50,000 in one call.
    pub timeout_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// The process is ready.
    Ready,
    /// The current run has ended, or none is running.
    Exit,
    /// A line of the process matches this regular expression; lines from the start of its current run count, or
    /// those after `since` when given.
    Log { pattern: String, since: Option<String> },
    /// An alert about the process is raised, of this name when one is given; those of its current run count, or those
    /// after `since`.
    Alert { alert: Option<String>, since: Option<String> },
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WaitOutcome {
    /// What was waited for has happened.
    Met,
    /// Time ran out first; the same call can be made again.
    TimedOut,
    /// It cannot happen any more without a new start: the process ended.
    Impossible,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WaitReply {
    pub outcome: WaitOutcome,
    /// The outcome in words: `ready after 812 ms`, `exited with exit code 1 before it was ready`.
    pub reason: String,
    pub process: ProcessView,
    /// The line that matched.
    pub line: Option<Line>,
    /// The alert that was raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertView>,
    /// The last lines of the run, when the outcome is not `met`: the most serious kept first.
    pub tail: Vec<Line>,
    /// Reads on after what this reply has seen.
    pub cursor: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendRequest {
    pub name: String,
    /// Written to standard input as it is.
    pub text: String,
    /// Ends the text as the enter key does: with what the process takes for a line end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enter: bool,
    /// Keys to press then, by the names of [`Key::named`](super::keys::Key::named).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Closes standard input afterwards; of a terminal, which cannot be closed, the key for that is pressed.
    pub eof: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendReply {
    pub process: ProcessView,
    pub bytes: usize,
    /// Reads what the process answers.
    pub cursor: String,
    /// Signals that were sent for keys, because the process has no terminal to make them: `SIGINT`.
    #[serde(default)]
    pub signals: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttachReply {
    pub process: ProcessView,
    /// It has a terminal, to which every key is passed on as it is pressed.
    pub terminal: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartReply {
    pub process: ProcessView,
    /// It ran already, and nothing was done: that is a success.
    pub already_running: bool,
    /// Reads the output of this run.
    pub cursor: String,
    /// What the caller should know besides: the configuration has changed since the daemon read it.
    #[serde(default)]
    pub warning: Option<String>,
    /// What was started besides: further replicas, members of the group, dependencies that did not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Also>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StopReply {
    pub process: ProcessView,
    pub was_running: bool,
    /// The end in words: `exit code 0`, `killed by SIGKILL (9) after a grace of 10s`.
    pub how: Option<String>,
    /// Further replicas, or members of the group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<StopReply>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpReply {
    /// In the order they were started.
    pub started: Vec<ProcessView>,
    pub failed: Vec<Failure>,
    /// As in [`StartReply`].
    #[serde(default)]
    pub warning: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DownReply {
    pub stopped: Vec<ProcessView>,
    pub failed: Vec<Failure>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    pub name: ProcessName,
    pub reason: String,
}

/// Everything known of why a process is as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Diagnosis {
    pub process: ProcessView,
    /// One or two sentences: state, exit in words, likely cause.
    pub summary: String,
    /// The command as it is run.
    pub command: String,
    pub cwd: String,
    /// The last runs, newest first.
    pub runs: Vec<RunView>,
    /// The last lines of level error or fatal of the last run.
    pub errors: Vec<Line>,
    /// The last lines of the last run, whatever their level.
    pub tail: Vec<Line>,
    /// What to do next, most helpful first.
    pub hints: Vec<String>,
    pub cursor: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunView {
    pub run: RunId,
    /// Why it was started: `cli`, `mcp`, `restart`, `run`, `schedule`, `watch: FILE changed`.
    pub reason: String,
    pub started: Time,
    pub ended: Option<Time>,
    pub exit: Option<Exit>,
    /// The exit in words, or what is known instead.
    pub how: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusReply {
    pub version: String,
    pub pid: u32,
    pub project: String,
    pub dir: std::path::PathBuf,
    pub state_dir: std::path::PathBuf,
    pub config: Option<std::path::PathBuf>,
    /// When this daemon was started; absent before 0.2.
    #[serde(default)]
    pub started: Option<Time>,
    /// What is wrong with Ostler itself, such as a full disk.
    pub warnings: Vec<String>,
    /// The alerts that were raised lately and keep quiet since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertView>,
}

/// What kind of refusal or failure it was; surfaces map it to their own codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// No such process, run or cursor.
    NotFound,
    /// An argument makes no sense.
    Invalid,
    /// A rule, scope or validator said no.
    Denied,
    /// It was tried and did not work.
    Failed,
    /// Ostler itself cannot, just now: the disk is full, it is ending.
    Unavailable,
}

/// A refusal or failure, with the remedy.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    pub kind: ErrorKind,
    pub message: String,
    pub hint: Option<String>,
    /// The last lines of the run that failed.
    pub lines: Vec<Line>,
}

impl ApiError {
    /// Makes an error without hint or lines.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, lines: Vec::new() }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
