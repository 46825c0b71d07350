//! Version 0.2 of the contract: what is generated from `wit/released/0.2.0`, and the way between that and plain words.
//!
//! Its only kind is the classifier. It knows of a run's process and command alone, and of a sample neither name nor
//! streams nor facts. Judges nothing.

wasmtime::component::bindgen!({
    world: "classifier-plugin",
    path: "../wit/released/0.2.0",
    ownership: Borrowing { duplicate_if_necessary: true },
});

use wasmtime::Store;
use wasmtime::component::{HasSelf, Instance, InstancePre, Linker, ResourceAny};

use self::exports::ostler::plugin::{classifier, info};
use self::ostler::plugin::{log, types};
use super::words::CONTINUES;
use super::{Described, LineSample, Note, Packed, RunInfo, Verdicts};
use crate::model::Level;
use crate::plugins::limits::GuestState;

impl types::Host for GuestState {}

impl log::Host for GuestState {
    fn write(&mut self, level: types::Level, message: String) {
        self.guest_log(plain_level(level), &message);
    }
}

/// Gives guests of this version what a pure plugin may import.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    log::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

/// Where a component has what it exports.
#[derive(Clone)]
pub(crate) struct Indices {
    info: info::GuestIndices,
    classifier: classifier::GuestIndices,
}

impl Indices {
    /// Looks up the functions.
    ///
    /// # Errors
    /// Names one that is not there.
    pub(super) fn new(pre: &InstancePre<GuestState>) -> wasmtime::Result<Self> {
        Ok(Self { info: info::GuestIndices::new(pre)?, classifier: classifier::GuestIndices::new(pre)? })
    }

    /// Binds the functions of one instance, and holds their types against the contract's.
    pub(super) fn load(&self, store: &mut Store<GuestState>, instance: &Instance) -> wasmtime::Result<Guest> {
        Ok(Guest {
            info: self.info.load(&mut *store, instance)?,
            classifier: self.classifier.load(&mut *store, instance)?,
        })
    }
}

/// The functions of one instance.
pub(crate) struct Guest {
    info: info::Guest,
    classifier: classifier::Guest,
}

impl Guest {
    pub(super) fn describe(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Described> {
        self.info.call_describe(store).map(plain_info)
    }

    pub(super) fn open(
        &self,
        store: &mut Store<GuestState>,
        run: &RunInfo,
        config: &str,
    ) -> wasmtime::Result<Result<ResourceAny, String>> {
        let command: Vec<&str> = run.command.iter().map(String::as_str).collect();
        let info = classifier::RunInfo { process: &run.process, command: &command };
        self.classifier.session().call_open(store, info, config)
    }

    pub(super) fn push(
        &self,
        store: &mut Store<GuestState>,
        session: ResourceAny,
        batch: Packed<'_>,
    ) -> wasmtime::Result<Verdicts> {
        let batch = classifier::LineBatch {
            text: batch.text,
            ends: batch.ends,
            stream: batch.stream as u8,
            first_line: batch.first_line,
        };
        self.classifier.session().call_push(store, session, batch).map(plain_verdicts)
    }

    pub(super) fn flush(
        &self,
        store: &mut Store<GuestState>,
        session: ResourceAny,
    ) -> wasmtime::Result<Verdicts> {
        self.classifier.session().call_flush(store, session).map(plain_verdicts)
    }
}

fn plain_info(info: info::PluginInfo) -> Described {
    let mut kinds = info.kinds;
    kinds.retain(|kind| kind == "classifier");
    Described {
        name: info.name,
        version: info.version,
        description: info.description,
        kinds,
        config_schema: info.config_schema,
        wants: Vec::new(),
        samples: info.samples.into_iter().map(plain_sample).collect(),
        other_samples: 0,
    }
}

fn plain_sample(sample: info::Sample) -> LineSample {
    LineSample {
        run: RunInfo { process: "sample".to_owned(), ..RunInfo::default() },
        lines: sample.lines,
        levels: sample.levels,
        events: sample.events,
        ..LineSample::default()
    }
}

fn plain_verdicts(verdicts: classifier::Verdicts) -> Verdicts {
    let plain = |note: classifier::Note| Note {
        line: note.line,
        kind: note.fact.kind,
        fields: note.fact.fields.into_iter().map(|field| (field.key, field.value)).collect(),
    };
    let mut levels = verdicts.levels;
    // Here the bit that groups lines counted only beside a level.
    levels.iter_mut().filter(|level| **level == CONTINUES).for_each(|level| *level = 0);
    Verdicts { levels, notes: verdicts.notes.into_iter().map(plain).collect() }
}

fn plain_level(level: types::Level) -> Level {
    match level {
        types::Level::Trace => Level::Trace,
        types::Level::Debug => Level::Debug,
        types::Level::Info => Level::Info,
        types::Level::Warn => Level::Warn,
        types::Level::Error => Level::Error,
        types::Level::Fatal => Level::Fatal,
    }
}
