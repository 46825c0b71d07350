//! The one gate every verb passes: scope, rules, validators — then the act, then the audit entry.
//!
//! No rules exist yet, so it lets everything through; what it already does is to write every act that changes
//! something into the audit log, refused ones too. What the daemon does by itself has no caller to be asked after, and
//! is only written down.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::error;

use super::types::{ApiError, Caller, ErrorKind};
use crate::mask::RulesInForce;
use crate::model::Time;
use crate::store::{AuditEntry, Catalogue, CatalogueError};

/// Something a caller wants to change.
#[derive(Debug, Clone)]
pub(super) struct Act {
    pub(super) verb: &'static str,
    /// The process, or `*` for all.
    pub(super) target: String,
    pub(super) detail: String,
}

/// Entries that may wait for a catalogue that cannot be written; the oldest is lost beyond it, and that is logged.
const UNWRITTEN: usize = 1000;

/// Admits acts and writes them down.
#[derive(Clone)]
pub(super) struct Gate {
    catalogue: Arc<Catalogue>,
    /// What is to be written, in order: more than one only while the disk is full.
    unwritten: Arc<Mutex<VecDeque<Entry>>>,
    /// What is masked in entries: what callers say is theirs, and what failed may tell more than it should.
    secrets: RulesInForce,
}

/// An audit entry that owns its texts.
struct Entry {
    time: Time,
    caller: Caller,
    act: Act,
    outcome: String,
}

impl Gate {
    pub(super) fn new(catalogue: Arc<Catalogue>, secrets: RulesInForce) -> Self {
        Self { catalogue, unwritten: Arc::default(), secrets }
    }

    /// Runs `act` if the caller may, and writes the outcome into the audit log. What has begun goes on, and is
    /// written down, even when the caller has gone before its end.
    pub(super) async fn pass<T: Send + 'static>(
        &self,
        caller: &Caller,
        act: Act,
        run: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (gate, caller) = (self.clone(), caller.clone());
        let passed = tokio::spawn(async move {
            let result = run.await;
            let outcome = result.as_ref().map(drop).map_err(ToString::to_string);
            gate.record(caller, act, outcome).await;
            result
        });
        passed.await.unwrap_or_else(|error| Err(ApiError::new(ErrorKind::Failed, error.to_string())))
    }

    /// Writes down an act that is over, and how it went.
    pub(super) async fn record(&self, caller: Caller, act: Act, outcome: Result<(), String>) {
        let gate = self.clone();
        let outcome = match outcome {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("failed: {error}"),
        };
        let rules = self.secrets.current();
        let Act { verb, target, detail } = act;
        let act = Act { verb, target: rules.mask(&target), detail: rules.mask(&detail) };
        let (caller, outcome) =
            (Caller { client: rules.mask(&caller.client), ..caller }, rules.mask(&outcome));
        let entry = Entry { time: Time::now(), caller, act, outcome };
        let written = tokio::task::spawn_blocking(move || gate.write_in_order(entry)).await;
        if let Ok(Err(error)) = written {
            error!(%error, "the audit log cannot be written; its entries wait");
        }
    }

    fn write_in_order(&self, entry: Entry) -> Result<(), CatalogueError> {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.push_back(entry);
        if unwritten.len() > UNWRITTEN {
            unwritten.pop_front();
            error!("an audit entry is lost: too many wait");
        }
        while let Some(entry) = unwritten.front() {
            self.catalogue.append_audit(AuditEntry {
                time: entry.time,
                caller: &entry.caller.client,
                surface: entry.caller.surface.as_str(),
                verb: entry.act.verb,
                target: &entry.act.target,
                detail: &entry.act.detail,
                outcome: &entry.outcome,
            })?;
            unwritten.pop_front();
        }
        Ok(())
    }
}
