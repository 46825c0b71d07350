//! Version 0.9 of the contract, the newest: what is generated from `wit/`, and the way between that and plain words.
//!
//! Judges nothing: what a guest answers is moved from one shape into the other, as it is.

wasmtime::component::bindgen!({
    world: "host",
    path: "../wit",
    ownership: Borrowing { duplicate_if_necessary: true },
});

use wasmtime::Store;
use wasmtime::component::{HasSelf, Instance, InstancePre, Linker, ResourceAny};

use self::exports::ostler::plugin::{adapter, classifier, info, validator};
use self::ostler::plugin::{log, types};
use super::{Described, Kinds, LineSample, Note, Packed, RunInfo, Verdicts, Want};
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
    classifier: Option<classifier::GuestIndices>,
    validator: Option<validator::GuestIndices>,
    adapter: Option<adapter::GuestIndices>,
}

impl Indices {
    /// Looks up the functions of each kind the component exports.
    ///
    /// # Errors
    /// Names a function that is not there.
    pub(super) fn new(pre: &InstancePre<GuestState>, kinds: Kinds) -> wasmtime::Result<Self> {
        Ok(Self {
            info: info::GuestIndices::new(pre)?,
            classifier: kinds.classifier.then(|| classifier::GuestIndices::new(pre)).transpose()?,
            validator: kinds.validator.then(|| validator::GuestIndices::new(pre)).transpose()?,
            adapter: kinds.adapter.then(|| adapter::GuestIndices::new(pre)).transpose()?,
        })
    }

    /// Binds the functions of one instance, and holds their types against the contract's: also of the kinds that nobody
    /// asks yet, so that what will not fit is told today.
    pub(super) fn load(&self, store: &mut Store<GuestState>, instance: &Instance) -> wasmtime::Result<Guest> {
        if let Some(validator) = &self.validator {
            validator.load(&mut *store, instance)?;
        }
        if let Some(adapter) = &self.adapter {
            adapter.load(&mut *store, instance)?;
        }
        let classifier = self.classifier.as_ref();
        Ok(Guest {
            info: self.info.load(&mut *store, instance)?,
            classifier: classifier.map(|indices| indices.load(&mut *store, instance)).transpose()?,
        })
    }
}

/// The functions of one instance.
pub(crate) struct Guest {
    info: info::Guest,
    classifier: Option<classifier::Guest>,
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
        let about: Vec<_> = run.about.iter().map(|(key, value)| types::FieldParam { key, value }).collect();
        let info = types::ProcessInfoParam {
            process: &run.process,
            command: &command,
            directory: &run.directory,
            about: &about,
        };
        self.classifier()?.session().call_open(store, info, config)
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
        self.classifier()?.session().call_push(store, session, batch).map(plain_verdicts)
    }

    pub(super) fn flush(
        &self,
        store: &mut Store<GuestState>,
        session: ResourceAny,
    ) -> wasmtime::Result<Verdicts> {
        self.classifier()?.session().call_flush(store, session).map(plain_verdicts)
    }

    fn classifier(&self) -> wasmtime::Result<&classifier::Guest> {
        self.classifier.as_ref().ok_or_else(|| wasmtime::format_err!("the plugin is no classifier"))
    }
}

fn plain_info(info: info::PluginInfo) -> Described {
    let samples = info.samples;
    Described {
        name: info.name,
        version: info.version,
        description: info.description,
        kinds: info.kinds,
        config_schema: info.config_schema,
        wants: info.wants.into_iter().map(plain_want).collect(),
        other_samples: samples.actions.len() + samples.projects.len() + samples.failures.len(),
        samples: samples.lines.into_iter().map(plain_sample).collect(),
    }
}

fn plain_want(want: info::Want) -> Want {
    Want { capability: want.capability, scope: want.scope, reason: want.reason }
}

fn plain_sample(sample: info::LineSample) -> LineSample {
    let process = sample.process;
    LineSample {
        name: sample.name,
        run: RunInfo {
            process: process.process,
            command: process.command,
            directory: process.directory,
            about: plain_fields(process.about),
        },
        config: sample.config,
        lines: sample.lines,
        streams: sample.streams,
        levels: sample.levels,
        events: sample.events,
        facts: sample.facts.map(plain_notes),
    }
}

fn plain_verdicts(verdicts: classifier::Verdicts) -> Verdicts {
    Verdicts { levels: verdicts.levels, notes: plain_notes(verdicts.notes) }
}

fn plain_notes(notes: Vec<types::Note>) -> Vec<Note> {
    let plain = |note: types::Note| Note {
        line: note.line,
        kind: note.fact.kind,
        fields: plain_fields(note.fact.fields),
    };
    notes.into_iter().map(plain).collect()
}

fn plain_fields(fields: Vec<types::FieldResult>) -> Vec<(String, String)> {
    fields.into_iter().map(|field| (field.key, field.value)).collect()
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
