//! One live guest of any version of the contract. Bounds nothing: the instance that holds it does.

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre, Linker, ResourceAny};

use super::{Described, Kinds, Packed, RunInfo, Verdicts, Version, v0_1, v0_2, v0_9};
use crate::plugins::engine::PluginEngine;
use crate::plugins::limits::GuestState;

/// Returns the linker with everything that a pure plugin of this version gets: `log`.
pub(crate) fn linker(engine: &PluginEngine, version: Version) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine.wasmtime());
    match version {
        Version::V0_1 => v0_1::add_to_linker(&mut linker)?,
        Version::V0_2 => v0_2::add_to_linker(&mut linker)?,
        Version::V0_9 => v0_9::add_to_linker(&mut linker)?,
    }
    Ok(linker)
}

/// Where a compiled component has what it exports.
#[derive(Clone)]
pub(crate) enum Indices {
    V0_1(v0_1::Indices),
    V0_2(v0_2::Indices),
    V0_9(v0_9::Indices),
}

impl Indices {
    /// Looks up the functions of all `kinds`.
    ///
    /// # Errors
    /// Names a function that is not there.
    pub(crate) fn new(
        pre: &InstancePre<GuestState>,
        version: Version,
        kinds: Kinds,
    ) -> wasmtime::Result<Self> {
        Ok(match version {
            Version::V0_1 => Self::V0_1(v0_1::Indices::new(pre)?),
            Version::V0_2 => Self::V0_2(v0_2::Indices::new(pre)?),
            Version::V0_9 => Self::V0_9(v0_9::Indices::new(pre, kinds)?),
        })
    }

    /// Binds the functions of one instance.
    ///
    /// # Errors
    /// Names a function whose type is not the contract's.
    pub(crate) fn load(&self, store: &mut Store<GuestState>, instance: &Instance) -> wasmtime::Result<Guest> {
        Ok(match self {
            Self::V0_1(indices) => Guest::V0_1(indices.load(store, instance)?),
            Self::V0_2(indices) => Guest::V0_2(indices.load(store, instance)?),
            Self::V0_9(indices) => Guest::V0_9(indices.load(store, instance)?),
        })
    }
}

/// The functions of one instance.
pub(crate) enum Guest {
    V0_1(v0_1::Guest),
    V0_2(v0_2::Guest),
    V0_9(v0_9::Guest),
}

impl Guest {
    /// Asks who it is.
    pub(crate) fn describe(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Described> {
        match self {
            Self::V0_1(guest) => guest.describe(store),
            Self::V0_2(guest) => guest.describe(store),
            Self::V0_9(guest) => guest.describe(store),
        }
    }

    /// Opens a session; the inner error is the guest's own word on its configuration.
    pub(crate) fn open(
        &self,
        store: &mut Store<GuestState>,
        run: &RunInfo,
        config: &str,
    ) -> wasmtime::Result<Result<ResourceAny, String>> {
        match self {
            Self::V0_1(guest) => guest.open(store, run, config),
            Self::V0_2(guest) => guest.open(store, run, config),
            Self::V0_9(guest) => guest.open(store, run, config),
        }
    }

    /// Hands over a batch.
    pub(crate) fn push(
        &self,
        store: &mut Store<GuestState>,
        session: ResourceAny,
        batch: Packed<'_>,
    ) -> wasmtime::Result<Verdicts> {
        match self {
            Self::V0_1(guest) => guest.push(store, session, batch),
            Self::V0_2(guest) => guest.push(store, session, batch),
            Self::V0_9(guest) => guest.push(store, session, batch),
        }
    }

    /// Asks for what a session was still gathering.
    pub(crate) fn flush(
        &self,
        store: &mut Store<GuestState>,
        session: ResourceAny,
    ) -> wasmtime::Result<Verdicts> {
        match self {
            Self::V0_1(guest) => guest.flush(store, session),
            Self::V0_2(guest) => guest.flush(store, session),
            Self::V0_9(guest) => guest.flush(store, session),
        }
    }
}
