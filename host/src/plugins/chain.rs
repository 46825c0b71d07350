//! The chain of classifiers one worker asks: the project's, the user's, the default.
//!
//! The first that decides a line's level wins; the next sees only what is left; facts add up. A link that fails
//! loses its instance and the batch goes on without its opinion: lines are never lost here.
//!
//! With the level comes whether the line continues the event before. A link sees its own lines and those that earlier
//! links left: where an earlier link has decided the line before, a later one cannot know what it continues, and so
//! can neither break nor prolong an event that an earlier link groups.

use std::collections::HashMap;
use std::sync::Arc;

use tracing::debug;

use super::contract::{CONTINUES, Note, Packed, RunInfo, Verdicts, Version};
use super::instance::{CallError, Instance, SessionId};
use super::registry::{Plugin, Registry};
use crate::bounds;
use crate::model::{ProcessName, RunId, Stream};

/// What the chain says of a batch: one level a line (as `model::Level` numbers them), whether the line continues the
/// event of the stream's last line that is not blank, and facts.
#[derive(Debug, Default)]
pub struct ChainVerdicts {
    pub levels: Vec<u8>,
    pub continues: Vec<bool>,
    pub notes: Vec<Note>,
}

/// One worker's instances of all classifiers, with a session for each of its runs.
pub struct Chain {
    links: Vec<Link>,
    rest: Rest,
    /// By run and stream: which link decided the last line that is not blank.
    tails: HashMap<(RunId, Stream), usize>,
    /// By line of the batch: which link decided it, or at least what it continues.
    deciders: Vec<usize>,
}

/// Stands for "no link".
const UNDECIDED: usize = usize::MAX;

struct Link {
    plugin: Arc<Plugin>,
    instance: Option<Instance>,
    sessions: HashMap<RunId, SessionId>,
}

/// Who a session is opened for.
#[derive(Debug, Clone)]
pub struct Subject {
    pub run: RunId,
    pub process: ProcessName,
    /// Its words; secrets in them are masked.
    pub command: Vec<String>,
}

impl Subject {
    fn run_info(&self) -> RunInfo {
        let about = [("contract", Version::NEWEST.name()), ("os", std::env::consts::OS)];
        RunInfo {
            process: self.process.as_str().to_owned(),
            command: self.command.clone(),
            directory: String::new(),
            about: about.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
        }
    }
}

impl Chain {
    /// Makes a chain of the registry's classifiers; instances are made when first asked.
    pub fn new(registry: &Registry) -> Self {
        let link = |plugin: &Arc<Plugin>| Link {
            plugin: Arc::clone(plugin),
            instance: None,
            sessions: HashMap::new(),
        };
        Self {
            links: registry.classifiers().map(link).collect(),
            rest: Rest::default(),
            tails: HashMap::new(),
            deciders: Vec::new(),
        }
    }

    /// Classifies a batch of at most [`bounds::BATCH_LINES`] lines into `verdicts`.
    pub fn classify(&mut self, subject: &Subject, batch: Packed<'_>, verdicts: &mut ChainVerdicts) {
        verdicts.levels.clear();
        verdicts.levels.resize(batch.ends.len(), 0);
        verdicts.continues.clear();
        verdicts.continues.resize(batch.ends.len(), false);
        verdicts.notes.clear();
        self.deciders.clear();
        self.deciders.resize(batch.ends.len(), UNDECIDED);
        let tail = self.tails.get(&(subject.run, batch.stream)).copied();
        for (number, link) in self.links.iter_mut().enumerate() {
            let whole = verdicts.levels.iter().all(|level| *level == 0);
            if whole {
                if let Some(answer) = link.ask(subject, batch) {
                    let lines = 0..batch.ends.len();
                    take_levels(verdicts, &mut self.deciders, number, lines.zip(&answer.levels));
                    forget_unfounded(verdicts, &self.deciders, number, batch, tail);
                    take_notes(&mut verdicts.notes, answer, Some, batch.ends.len());
                }
            } else {
                self.rest.gather(batch, &verdicts.levels);
                if self.rest.lines.is_empty() {
                    break;
                }
                let Some(answer) = link.ask(subject, self.rest.packed(batch)) else { continue };
                let rest = self.rest.lines.iter().map(|line| *line as usize);
                take_levels(verdicts, &mut self.deciders, number, rest.zip(&answer.levels));
                forget_unfounded(verdicts, &self.deciders, number, batch, tail);
                let lines = &self.rest.lines;
                let original = |line: u32| lines.get(line as usize).copied();
                take_notes(&mut verdicts.notes, answer, original, batch.ends.len());
            }
        }
        let last = (0..batch.ends.len()).rev().find(|line| !batch.is_blank(*line));
        if let Some(last) = last {
            self.tails.insert((subject.run, batch.stream), self.deciders[last]);
        }
    }

    /// Ends a run's sessions and returns the facts they were still gathering.
    pub fn finish(&mut self, run: RunId) -> Vec<Note> {
        self.tails.retain(|(of, _), _| *of != run);
        let mut notes = Vec::new();
        for link in &mut self.links {
            let Some(session) = link.sessions.remove(&run) else { continue };
            let Some(instance) = &mut link.instance else { continue };
            match instance.finish(session) {
                Ok(answer) => take_notes(&mut notes, answer, |_| Some(0), 1),
                Err(error) => link.fail(&error),
            }
        }
        notes
    }
}

impl Link {
    fn ask(&mut self, subject: &Subject, batch: Packed<'_>) -> Option<Verdicts> {
        if self.plugin.is_quarantined() {
            self.instance = None;
            self.sessions.clear();
            return None;
        }
        match self.try_ask(subject, batch) {
            Ok(verdicts) => Some(verdicts),
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    fn try_ask(&mut self, subject: &Subject, batch: Packed<'_>) -> Result<Verdicts, CallError> {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            None => self.instance.insert(self.plugin.instantiate()?),
        };
        let session = match self.sessions.get(&subject.run) {
            Some(session) => *session,
            None => {
                let config = &self.plugin.settings.config;
                let session = instance.open(&subject.run_info(), config)?;
                self.sessions.insert(subject.run, session);
                session
            }
        };
        instance.push(session, batch)
    }

    /// Drops the instance: after an error its memory may be in any state. Its sessions begin anew.
    fn fail(&mut self, error: &CallError) {
        self.plugin.record_failure(error);
        self.instance = None;
        debug!(plugin = %self.plugin.info.name, sessions = self.sessions.len(), "sessions begin anew");
        self.sessions.clear();
    }
}

/// The lines of a batch that are still undecided, packed for the next link.
#[derive(Default)]
struct Rest {
    text: Vec<u8>,
    ends: Vec<u32>,
    lines: Vec<u32>,
}

impl Rest {
    fn gather(&mut self, batch: Packed<'_>, levels: &[u8]) {
        self.text.clear();
        self.ends.clear();
        self.lines.clear();
        let mut start = 0;
        for (line, (end, level)) in (0_u32..).zip(batch.ends.iter().zip(levels)) {
            if *level == 0 {
                self.text.extend_from_slice(&batch.text[start as usize..*end as usize]);
                // The rest is never longer than the batch, whose ends are `u32` already.
                self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
                self.lines.push(line);
            }
            start = *end;
        }
    }

    fn packed<'a>(&'a self, batch: Packed<'_>) -> Packed<'a> {
        Packed { text: &self.text, ends: &self.ends, ..batch }
    }
}

impl Packed<'_> {
    fn is_blank(&self, line: usize) -> bool {
        let start = if line == 0 { 0 } else { self.ends[line - 1] as usize };
        self.text[start..self.ends[line] as usize].trim_ascii().is_empty()
    }
}

/// A level is a guest's byte: what is no level is no decision.
fn clamp(level: u8) -> u8 {
    crate::model::Level::from_u8(level) as u8
}

/// Takes a link's answer for the lines it was asked about. The bit counts beside a level, and by itself where no later
/// link decides the line; beside what is no level it says nothing.
fn take_levels<'a>(
    verdicts: &mut ChainVerdicts,
    deciders: &mut [usize],
    link: usize,
    answers: impl Iterator<Item = (usize, &'a u8)>,
) {
    for (line, answer) in answers {
        let level = clamp(*answer & !CONTINUES);
        if level != 0 {
            verdicts.levels[line] = level;
            verdicts.continues[line] = *answer & CONTINUES != 0;
            deciders[line] = link;
        } else if *answer == CONTINUES && !verdicts.continues[line] {
            verdicts.continues[line] = true;
            deciders[line] = link;
        }
    }
}

/// Takes back what a link says of continuing where the line before is none of those it saw, or there is none.
fn forget_unfounded(
    verdicts: &mut ChainVerdicts,
    deciders: &[usize],
    link: usize,
    batch: Packed<'_>,
    tail: Option<usize>,
) {
    let mut unseen = tail.is_none_or(|decider| decider < link);
    if !unseen && link == 0 {
        return;
    }
    for (line, decider) in deciders.iter().enumerate() {
        if *decider == link && unseen {
            verdicts.continues[line] = false;
        }
        if !batch.is_blank(line) {
            unseen = *decider < link;
            if link == 0 {
                return;
            }
        }
    }
}

fn take_notes(notes: &mut Vec<Note>, answer: Verdicts, original: impl Fn(u32) -> Option<u32>, lines: usize) {
    let room = bounds::PLUGIN_NOTES.saturating_sub(notes.len());
    let mapped = answer.notes.into_iter().take(room).filter_map(|note| {
        let line = original(note.line).filter(|line| (*line as usize) < lines)?;
        let fields = note.fields.into_iter().take(16).collect();
        Some(Note { line, fields, ..note })
    });
    notes.extend(mapped);
}
