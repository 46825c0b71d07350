//! One live guest: a store, its bindings, the sessions in it; every call bounded.
//!
//! After an error the instance is spent and must be dropped: a trap leaves a guest's memory in any state.

use std::time::Duration;

use wasmtime::component::{InstancePre, ResourceAny};
use wasmtime::{Store, Trap};

use super::contract::{Described, Guest, Indices, Packed, RunInfo, Verdicts};
use super::engine::{PluginEngine, ticks};
use super::limits::GuestState;
use crate::bounds;

/// Why a call into a guest gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    #[error("took longer than {0:?}")]
    TimedOut(Duration),
    #[error("hit a limit: {0}")]
    Limit(&'static str),
    #[error("trapped: {0}")]
    Trapped(String),
    #[error("does not fit the contract: {0}")]
    Misfit(String),
    #[error("answered {levels} levels for {lines} lines")]
    WrongCount { levels: usize, lines: usize },
    #[error("refused its configuration: {0}")]
    BadConfig(String),
}

/// A session within one instance.
#[derive(Debug, Clone, Copy)]
pub struct SessionId(ResourceAny);

/// A compiled plugin, ready to be instantiated in microseconds.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) engine: PluginEngine,
    pub(super) pre: InstancePre<GuestState>,
    pub(super) indices: Indices,
    pub(super) name: String,
}

/// One live guest.
pub struct Instance {
    engine: PluginEngine,
    store: Store<GuestState>,
    guest: Guest,
}

impl Instance {
    pub(super) fn new(prepared: &Prepared) -> Result<Self, CallError> {
        let engine = prepared.engine.clone();
        let mut store = Store::new(engine.wasmtime(), GuestState::new(&prepared.name));
        store.limiter(|state| state);
        store.set_hostcall_fuel(bounds::PLUGIN_HOSTCALL_BYTES);
        store.set_max_component_handles(bounds::PLUGIN_HANDLES);
        store.epoch_deadline_trap();
        // Start functions run guest code too, so the deadline stands before instantiation.
        store.set_epoch_deadline(ticks(bounds::PLUGIN_OPEN));
        let instantiated = {
            let _running = engine.running();
            prepared.pre.instantiate(&mut store)
        };
        let instance = instantiated.map_err(|error| explain(&error, &store, bounds::PLUGIN_OPEN))?;
        let guest = prepared.indices.load(&mut store, &instance);
        let guest = guest.map_err(|error| CallError::Misfit(format!("{error:#}")))?;
        Ok(Self { engine, store, guest })
    }

    /// Asks the guest who it is.
    pub fn describe(&mut self) -> Result<Described, CallError> {
        let Self { engine, store, guest } = self;
        bounded(engine, store, bounds::PLUGIN_OPEN, |store| guest.describe(store))
    }

    /// Opens a session for a run; `config` is JSON, or empty.
    pub fn open(&mut self, run: &RunInfo, config: &str) -> Result<SessionId, CallError> {
        let Self { engine, store, guest } = self;
        bounded(engine, store, bounds::PLUGIN_OPEN, |store| guest.open(store, run, config))?
            .map(SessionId)
            .map_err(CallError::BadConfig)
    }

    /// Hands a batch to a session; the answer has exactly one level a line.
    pub fn push(&mut self, session: SessionId, batch: Packed<'_>) -> Result<Verdicts, CallError> {
        let Self { engine, store, guest } = self;
        let lines = batch.ends.len();
        let verdicts =
            bounded(engine, store, bounds::PLUGIN_CALL, |store| guest.push(store, session.0, batch))?;
        if verdicts.levels.len() == lines {
            Ok(verdicts)
        } else {
            Err(CallError::WrongCount { levels: verdicts.levels.len(), lines })
        }
    }

    /// Ends a session: its last facts, and its memory given back.
    pub fn finish(&mut self, session: SessionId) -> Result<Verdicts, CallError> {
        let Self { engine, store, guest } = self;
        let verdicts = bounded(engine, store, bounds::PLUGIN_CALL, |store| guest.flush(store, session.0))?;
        bounded(engine, store, bounds::PLUGIN_CALL, |store| session.0.resource_drop(store))?;
        Ok(verdicts)
    }

    /// Returns the bytes of linear memory in use; they never shrink while the instance lives.
    pub fn memory_bytes(&self) -> usize {
        self.store.data().memory_bytes()
    }
}

/// Runs one call under its deadline and with fresh host-call fuel.
fn bounded<T>(
    engine: &PluginEngine,
    store: &mut Store<GuestState>,
    limit: Duration,
    call: impl FnOnce(&mut Store<GuestState>) -> wasmtime::Result<T>,
) -> Result<T, CallError> {
    store.set_epoch_deadline(ticks(limit));
    store.data_mut().hit = None;
    let result = {
        let _running = engine.running();
        call(store)
    };
    result.map_err(|error| explain(&error, store, limit))
}

fn explain(error: &wasmtime::Error, store: &Store<GuestState>, limit: Duration) -> CallError {
    if matches!(error.downcast_ref::<Trap>(), Some(Trap::Interrupt)) {
        return CallError::TimedOut(limit);
    }
    if let Some(name) = store.data().hit {
        return CallError::Limit(name);
    }
    // The whole chain holds the guest's backtrace; the first lines of it are what a report needs.
    let text = format!("{error:#}");
    CallError::Trapped(text.chars().take(2000).collect())
}
