//! What happens to a process without anybody's request: its files have changed, or the clock says that it is due.
//! Each such act is told once it is known how it went, for the audit log.
//!
//! A restart by policy is no act of anybody's: it follows from the end of a run, and is in the history of runs.

use tokio::sync::oneshot;

use super::Driver;
use crate::model::ProcessName;
use crate::supervisor::RunEvent;

/// What is said of an act whose run was told to stop before its child ran.
pub(super) const STOPPED_FIRST: &str = "it was told to stop before it had started";
/// What is said of an act that another one came after before its child ran.
const OVERTAKEN: &str = "something else restarted it before it had started";
/// What is said of a signal or a reload that nobody answers for any more.
const NOBODY_THERE: &str = "it ended meanwhile";

/// Something done to a process by what its configuration names, and by no caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnAct {
    pub actor: Actor,
    /// As in the audit log: `start`, `restart`, `reload`, `signal`.
    pub verb: &'static str,
    pub process: ProcessName,
    /// What led to it, or what exactly was done; one line.
    pub detail: String,
    /// Done, or why not.
    pub outcome: Result<(), String>,
}

/// Who acts without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// Files that have changed.
    Watch,
    /// The clock.
    Schedule,
}

impl Actor {
    /// Returns the word used in the audit log, which is also the key of `ostler.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Schedule => "schedule",
        }
    }
}

/// A start that is under way.
pub(super) struct Begun {
    actor: Actor,
    verb: &'static str,
    detail: String,
}

impl Driver {
    /// Notes that a start is made without a caller; [`Driver::end_act`] tells of it.
    pub(super) fn begin_act(&mut self, actor: Actor, verb: &'static str, detail: impl Into<String>) {
        self.end_act(Err(OVERTAKEN));
        self.when.act = Some(Begun { actor, verb, detail: detail.into() });
    }

    /// Tells of the start that is under way, if it was made without a caller.
    pub(super) fn end_act(&mut self, outcome: Result<(), &str>) {
        let Some(Begun { actor, verb, detail }) = self.when.act.take() else { return };
        let outcome = outcome.map_err(str::to_owned);
        let act = OwnAct { actor, verb, process: self.name.clone(), detail, outcome };
        let _ = self.context.events.send(RunEvent::Acted(act));
    }

    /// Tells of an act of the watch's once `outcome` comes; without one nobody was there any more.
    pub(super) fn tell_act<T, E>(
        &self,
        verb: &'static str,
        detail: String,
        outcome: oneshot::Receiver<Result<T, E>>,
    ) where
        T: Send + 'static,
        E: ToString + Send + 'static,
    {
        let (events, process) = (self.context.events.clone(), self.name.clone());
        tokio::spawn(async move {
            let outcome = match outcome.await {
                Ok(outcome) => outcome.map(drop).map_err(|error| error.to_string()),
                Err(_) => Err(NOBODY_THERE.to_owned()),
            };
            let act = OwnAct { actor: Actor::Watch, verb, process, detail, outcome };
            let _ = events.send(RunEvent::Acted(act));
        });
    }
}
