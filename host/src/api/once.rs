//! Running a process once, as `ostler run` does: its dependencies first, its input fed, its end waited for.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};

use super::gate::Act;
use super::order;
use super::types::{ApiError, Caller, ErrorKind, ProcessView};
use super::{Api, view};
use crate::bounds;
use crate::model::{Exit, ProcessName, RunId};
use crate::supervisor::{Handle, SendError, Snapshot, StartError};

/// Most arguments, and bytes of all of them together; the kernel has limits of its own beyond.
const ARGUMENTS: usize = 4096;
const ARGUMENT_BYTES: usize = 1 << 20;
/// Pause before input that was not taken is offered again.
const FEED_AGAIN: Duration = Duration::from_millis(10);

/// A process to run once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    pub name: String,
    /// Put behind the words of its command.
    #[serde(default)]
    pub arguments: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunReply {
    pub process: ProcessView,
    pub run: RunId,
    /// What it depends on and was started for it, or ran already.
    pub dependencies: Vec<ProcessView>,
    /// Reads the output of this run.
    pub cursor: String,
}

/// Which run to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEndRequest {
    pub name: String,
    pub run: RunId,
    /// Milliseconds; at most 50,000 in one call.
    pub timeout_ms: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunEndReply {
    /// All it printed is in the log by now; false when time ran out first.
    pub ended: bool,
    pub exit: Option<Exit>,
    /// The end in words.
    pub how: String,
}

/// Input for a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedRequest {
    pub name: String,
    pub run: RunId,
    /// Passed on as they are.
    pub bytes: Vec<u8>,
    /// Closes standard input afterwards.
    pub eof: bool,
    /// Milliseconds to wait for the process to read; at most 50,000 in one call.
    pub timeout_ms: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FeedReply {
    /// Bytes that were taken. With fewer than were given the process is slow: offer the rest again.
    pub taken: usize,
    /// It reads no more: its input is closed, or it has ended.
    pub closed: bool,
}

impl Api {
    /// Runs a process that does not run, once, whatever its restart policy. Returns as soon as it runs.
    pub async fn run_once(&self, caller: &Caller, request: RunRequest) -> Result<RunReply, ApiError> {
        let handle = self.handle(&request.name)?;
        let bytes: usize = request.arguments.iter().map(String::len).sum();
        if request.arguments.len() > ARGUMENTS || bytes > ARGUMENT_BYTES {
            let message = format!("{} arguments of {bytes} bytes are too many", request.arguments.len());
            return Err(ApiError::new(ErrorKind::Invalid, message).hint("pass them in a file"));
        }
        if request.arguments.iter().any(|argument| argument.contains('\0')) {
            return Err(ApiError::new(ErrorKind::Invalid, "an argument holds a NUL character"));
        }
        let act = Act {
            verb: "run",
            target: request.name.clone(),
            // They may be secrets: the audit log keeps how many, not what.
            detail: format!("{} arguments", request.arguments.len()),
        };
        let (api, reason) = (self.clone(), caller.surface.as_str());
        let running = async move {
            if !handle.snapshot().state.is_final() {
                return Err(not_once(&handle, &StartError::Running));
            }
            let dependencies = api.bring_up_dependencies(&handle, reason).await?;
            let started =
                handle.run_once(request.arguments).await.map_err(|error| not_once(&handle, &error))?;
            Ok(RunReply {
                process: view::of(handle.snapshot()).await,
                run: started.run,
                dependencies,
                cursor: api.cursor_before_run(started.run).await,
            })
        };
        self.gate.pass(caller, act, running).await
    }

    /// Waits for the end of a run.
    pub async fn run_end(&self, _caller: &Caller, request: RunEndRequest) -> Result<RunEndReply, ApiError> {
        let handle = self.handle(&request.name)?;
        let run = request.run;
        let deadline = Instant::now() + Duration::from_millis(request.timeout_ms).min(bounds::MCP_WAIT);
        let mut snapshots = handle.snapshots();
        let is_over = |snapshot: &Snapshot| snapshot.run != Some(run) || !snapshot.state.is_alive();
        if timeout_at(deadline, snapshots.wait_for(is_over)).await.is_err() {
            return Ok(RunEndReply { ended: false, exit: None, how: "it still runs".to_owned() });
        }
        self.drained(run).await;
        let catalogue = self.parts.catalogue.clone();
        let record = tokio::task::spawn_blocking(move || catalogue.run(run)).await;
        let record = record.ok().and_then(Result::ok).flatten();
        let snapshot = handle.snapshot();
        // A full disk may keep the catalogue behind; the driver knows then.
        let exit = record.as_ref().and_then(|record| record.exit).or(snapshot.exit);
        let how = match (record.and_then(|record| record.spawn_error.or(record.note)), exit) {
            (Some(note), Some(exit)) => format!("{exit}; {note}"),
            (Some(note), None) => note,
            (None, Some(exit)) => exit.to_string(),
            (None, None) => "exit status lost".to_owned(),
        };
        Ok(RunEndReply { ended: true, exit, how })
    }

    /// Writes to the standard input of a run, and waits a while for it to read what does not fit.
    pub async fn feed(&self, caller: &Caller, request: FeedRequest) -> Result<FeedReply, ApiError> {
        let handle = self.handle(&request.name)?;
        let detail =
            format!("{} bytes{}", request.bytes.len(), if request.eof { " and end of input" } else { "" });
        let act = Act { verb: "send", target: request.name.clone(), detail };
        self.gate.pass(caller, act, async move { Ok(feed(&handle, request).await) }).await
    }

    async fn bring_up_dependencies(
        &self,
        handle: &Handle,
        reason: &'static str,
    ) -> Result<Vec<ProcessView>, ApiError> {
        let config = handle.config();
        let mut others = Vec::new();
        for dependency in &config.depends_on {
            let replicas = self.parts.fleet.replicas(&dependency.process);
            others.extend(replicas.into_iter().map(|other| (dependency.condition, other)));
        }
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let not_started = |name: &ProcessName, why: &str| {
            let message =
                format!("`{}` is not run, because `{name}`, which it depends on, {why}", handle.name());
            ApiError::new(ErrorKind::Failed, message).hint(format!("`ostler diagnose {name}` says more"))
        };
        let handles: Vec<Handle> = others.iter().map(|(_, other)| other.clone()).collect();
        let (started, failed) = order::told(&self.start_in_order(reason, &handles, false).await).await;
        if let Some(failure) = failed.first() {
            return Err(not_started(&failure.name, &format!("was not started: {}", failure.reason)));
        }
        for (condition, other) in others {
            let waited = order::wait_for_condition(condition, &other).await;
            waited.map_err(|why| not_started(&other.name(), &why))?;
        }
        Ok(started)
    }
}

async fn feed(handle: &Handle, request: FeedRequest) -> FeedReply {
    let deadline = Instant::now() + Duration::from_millis(request.timeout_ms).min(bounds::MCP_WAIT);
    let FeedRequest { run, bytes, eof, .. } = request;
    let mut taken = 0;
    loop {
        if handle.snapshot().run != Some(run) {
            return FeedReply { taken, closed: true };
        }
        let piece = &bytes[taken..bytes.len().min(taken + bounds::STDIN_PENDING_BYTES / 2)];
        let offered = piece.len();
        let accepted = match handle.send(piece.to_vec(), false).await {
            Ok(accepted) | Err(SendError::Full { accepted, .. }) => accepted,
            Err(_) => return FeedReply { taken, closed: true },
        };
        taken += accepted;
        if taken == bytes.len() {
            let closed = eof && handle.send(Vec::new(), true).await.is_err();
            return FeedReply { taken, closed };
        }
        if Instant::now() >= deadline {
            return FeedReply { taken, closed: false };
        }
        if accepted < offered {
            sleep(FEED_AGAIN).await;
        }
    }
}

fn not_once(handle: &Handle, error: &StartError) -> ApiError {
    let name = handle.name();
    match error {
        StartError::Running => ApiError::new(ErrorKind::Failed, format!("`{name}` runs already")).hint(
            format!("stop it first with `ostler stop {name}`, or read its output with `ostler logs {name}`"),
        ),
        StartError::Arguments(why) => {
            ApiError::new(ErrorKind::Invalid, format!("`{name}` cannot be given arguments: {why}"))
        }
        error => ApiError::new(ErrorKind::Failed, format!("cannot start `{name}`: {error}")),
    }
}
