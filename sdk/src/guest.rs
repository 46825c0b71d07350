//! Between the generated bindings and [`Classifier`]: what `export_classifier!` exports. Only for wasm.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Once;

use crate::bindings::exports::ostler::plugin::{classifier, info};
use crate::bindings::ostler::plugin::{log, types};
use crate::{Batch, Classifier, Level, Note, Run, Sample, Stream, Verdicts};

/// The component that serves classifier `C`.
pub struct Component<C>(PhantomData<C>);

impl<C: Classifier> info::Guest for Component<C> {
    fn describe() -> info::PluginInfo {
        report_panics();
        let info = C::info();
        info::PluginInfo {
            name: info.name,
            version: info.version,
            description: info.description,
            kinds: vec!["classifier".to_owned()],
            config_schema: info.config_schema,
            wants: Vec::new(),
            samples: info::Samples {
                lines: info.samples.into_iter().map(lower_sample).collect(),
                actions: Vec::new(),
                projects: Vec::new(),
                failures: Vec::new(),
            },
            about: lower_fields(vec![("sdk".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
        }
    }
}

impl<C: Classifier> classifier::Guest for Component<C> {
    type Session = Session<C>;
}

/// One run's session; the bindings hand out shared references, the trait takes exclusive ones.
pub struct Session<C>(RefCell<C>);

impl<C: Classifier> classifier::GuestSession for Session<C> {
    fn open(run: types::ProcessInfo, config: String) -> Result<classifier::Session, String> {
        report_panics();
        let about = run.about.into_iter().map(|field| (field.key, field.value)).collect();
        let run = Run { process: run.process, command: run.command, directory: run.directory, about };
        let session = C::open(&run, &config)?;
        Ok(classifier::Session::new(Self(RefCell::new(session))))
    }

    fn push(&self, batch: classifier::LineBatch) -> classifier::Verdicts {
        let stream = Stream::from_number(batch.stream);
        let batch = Batch::new(&batch.text, &batch.ends, stream, batch.first_line)
            .expect("the host packs lines in order");
        let mut verdicts = Verdicts::undecided(batch.len());
        self.0.borrow_mut().push(&batch, &mut verdicts);
        lower(verdicts)
    }

    fn flush(&self) -> classifier::Verdicts {
        let mut verdicts = Verdicts::undecided(0);
        self.0.borrow_mut().flush(&mut verdicts);
        lower(verdicts)
    }
}

fn lower(verdicts: Verdicts) -> classifier::Verdicts {
    let (levels, notes) = verdicts.into_parts();
    classifier::Verdicts { levels, notes: notes.into_iter().map(lower_note).collect() }
}

fn lower_note(note: Note) -> types::Note {
    let fact = types::Fact { kind: note.fact.kind, fields: lower_fields(note.fact.fields) };
    types::Note { line: note.line, fact }
}

fn lower_fields(fields: Vec<(String, String)>) -> Vec<types::Field> {
    fields.into_iter().map(|(key, value)| types::Field { key, value }).collect()
}

fn lower_sample(sample: Sample) -> info::LineSample {
    let run = sample.run;
    info::LineSample {
        name: sample.name,
        process: types::ProcessInfo {
            process: run.process,
            command: run.command,
            directory: run.directory,
            about: lower_fields(run.about),
        },
        config: sample.config,
        lines: sample.lines,
        streams: sample.streams,
        levels: sample.levels,
        events: sample.events,
        facts: sample.facts.map(|facts| facts.into_iter().map(lower_note).collect()),
    }
}

/// Writes one message to the host's log.
pub(crate) fn write_log(level: Level, message: &str) {
    let level = match level {
        Level::Trace => types::Level::Trace,
        Level::Debug => types::Level::Debug,
        Level::Info => types::Level::Info,
        Level::Warn => types::Level::Warn,
        Level::Error => types::Level::Error,
        Level::Fatal => types::Level::Fatal,
    };
    log::write(level, message);
}

/// Makes panics tell the host their message and place before they trap: a trap alone says neither.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| write_log(Level::Error, &panic.to_string())));
    });
}
