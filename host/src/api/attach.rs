//! Attaching: following what a process prints byte for byte, and typing to it, for as long as it runs.
//!
//! Not a verb that is answered and done, so that only surfaces with a connection of its own for it offer it. Attaching
//! and leaving pass the gate; what is typed in between is counted and not written down.

use super::gate::Act;
use super::types::{ApiError, AttachReply, Caller, ErrorKind};
use super::{Api, view};
use crate::bounds;
use crate::model::{Exit, TerminalSize};
use crate::supervisor::{Handle, Piece, SendError, Snapshot, Tail, recent_output};

/// Lines of log shown when the output itself is not there any more.
const LINES: usize = 24;

/// A process somebody is attached to.
pub struct Attachment {
    pub output: AttachedOutput,
    pub input: AttachedInput,
}

/// What it prints.
pub struct AttachedOutput {
    /// The last it printed before, as it was printed.
    pub recent: Vec<u8>,
    tail: Tail,
    handle: Handle,
}

/// What is typed to it.
pub struct AttachedInput {
    api: Api,
    caller: Caller,
    handle: Handle,
    typed: u64,
}

/// How an attached process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub exit: Option<Exit>,
    /// The end in words, and what follows: `exit code 1; starting again in 200ms`.
    pub how: String,
}

impl Api {
    /// Attaches to a process that runs.
    pub async fn attach(&self, caller: &Caller, name: &str) -> Result<(AttachReply, Attachment), ApiError> {
        let (api, handle) = (self.clone(), self.handle(name)?);
        let act = Act { verb: "attach", target: name.to_owned(), detail: String::new() };
        let follower = caller.clone();
        let attaching = async move { api.attached(follower, handle).await };
        self.gate.pass(caller, act, attaching).await
    }

    async fn attached(self, caller: Caller, handle: Handle) -> Result<(AttachReply, Attachment), ApiError> {
        let name = handle.name();
        let tail = handle.tail().await.map_err(|error| {
            let hint = match error {
                SendError::NoTail => format!("`ostler restart {name}` gives it a new one"),
                _ => format!("`ostler start {name}` starts it, `ostler logs {name}` shows what it printed"),
            };
            ApiError::new(ErrorKind::Failed, format!("`{name}` {error}")).hint(hint)
        })?;
        let snapshot = handle.snapshot();
        let recent = self.recent(&snapshot, &tail).await;
        let reply = AttachReply { terminal: snapshot.terminal, process: view::of(snapshot).await };
        let output = AttachedOutput { recent, tail, handle: handle.clone() };
        let input = AttachedInput { api: self, caller, handle, typed: 0 };
        Ok((reply, Attachment { output, input }))
    }

    /// Returns what the run printed last: as it was printed while the spool has it, else as the log has it.
    async fn recent(&self, snapshot: &Snapshot, tail: &Tail) -> Vec<u8> {
        let (dir, end) = (self.parts.fleet.context().run_dir(tail.run), tail.start);
        let look = move || recent_output(&dir, end, bounds::TAIL_RECENT_BYTES).unwrap_or_default();
        let recent = tokio::task::spawn_blocking(look).await.unwrap_or_default();
        if !recent.is_empty() {
            return recent;
        }
        let line_end = if snapshot.terminal { "\r\n" } else { "\n" };
        let lines = self.tail(tail.run, LINES).await;
        let text: String = lines.into_iter().map(|line| harmless(&line.text) + line_end).collect();
        text.into_bytes()
    }
}

/// Returns a line of the log with nothing in it that a terminal acts on.
fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

impl AttachedOutput {
    /// Returns what it prints next, or `None` once the run has ended. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Piece> {
        self.tail.next().await
    }

    /// Returns how the run ended. To be called once [`AttachedOutput::next`] has said that it has.
    pub async fn ended(&self) -> Ended {
        let mut snapshots = self.handle.snapshots();
        let run = self.tail.run;
        let over = |snapshot: &Snapshot| snapshot.run != Some(run) || !snapshot.state.is_alive();
        let snapshot = match snapshots.wait_for(over).await {
            Ok(snapshot) => snapshot.clone(),
            Err(_) => self.handle.snapshot(),
        };
        let how = match (&snapshot.reason, snapshot.exit) {
            (Some(reason), _) => reason.clone(),
            (None, Some(exit)) => exit.to_string(),
            (None, None) => "it is not known how".to_owned(),
        };
        Ended { exit: snapshot.exit, how }
    }
}

impl AttachedInput {
    /// Types to it. Waits for its turn, and a bounded time for a process that does not read.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), ApiError> {
        self.typed += bytes.len() as u64;
        let name = self.handle.name();
        let sent = self.handle.send(bytes, false).await;
        sent.map(drop).map_err(|error| ApiError::new(ErrorKind::Failed, format!("`{name}` {error}")))
    }

    /// Gives its terminal another size.
    pub fn resize(&self, size: TerminalSize) {
        self.handle.resize(size);
    }

    /// Writes down that somebody has left.
    pub async fn leave(self) {
        let detail = format!("{} bytes typed", self.typed);
        let act = Act { verb: "detach", target: self.handle.name().to_string(), detail };
        let _ = self.api.gate.pass(&self.caller, act, async { Ok(()) }).await;
    }
}
