//! The last facts of each run, for diagnosis. Bounded: a plugin decides how many facts there are.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::model::{ProcessName, RunId};
use crate::plugins::Note;

/// Facts kept for one run.
const PER_RUN: usize = 64;
/// Runs whose facts are kept.
const RUNS: usize = 256;
/// Longest kind, key or value kept, in bytes.
const TEXT_BYTES: usize = 512;

/// Something typed that a classifier saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub run: RunId,
    pub process: ProcessName,
    pub kind: String,
    pub fields: Vec<(String, String)>,
}

impl Fact {
    /// Takes over a plugin's note, shortened to what is kept and without control characters.
    pub(super) fn new(run: RunId, process: &ProcessName, note: &Note) -> Self {
        let fields = note.fields.iter().map(|(key, value)| (clean(key), clean(value))).collect();
        Self { run, process: process.clone(), kind: clean(&note.kind), fields }
    }

    /// Returns the value of a field.
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

fn clean(text: &str) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
    let mut end = text.len().min(TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[derive(Default)]
struct Kept {
    of_run: HashMap<RunId, VecDeque<Fact>>,
    /// The runs in the order of their first facts.
    order: VecDeque<RunId>,
}

/// The facts of the last runs.
#[derive(Default)]
pub(crate) struct Facts {
    kept: Mutex<Kept>,
}

impl Facts {
    /// Keeps a fact. Requests are told to who listens and not kept: they would push out all others.
    pub(crate) fn add(&self, fact: Fact) {
        if fact.kind == "request" {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.of_run.contains_key(&fact.run) {
            kept.order.push_back(fact.run);
            if kept.order.len() > RUNS
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.of_run.remove(&oldest);
            }
        }
        let of_run = kept.of_run.entry(fact.run).or_default();
        if of_run.len() == PER_RUN {
            of_run.pop_front();
        }
        of_run.push_back(fact);
    }

    pub(crate) fn of(&self, run: RunId) -> Vec<Fact> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.of_run.get(&run).map(|facts| facts.iter().cloned().collect()).unwrap_or_default()
    }
}
