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

/// The facts of the last runs.
#[derive(Default)]
pub(crate) struct Facts {
    runs: Mutex<(HashMap<RunId, VecDeque<Fact>>, VecDeque<RunId>)>,
}

impl Facts {
    pub(crate) fn add(&self, fact: Fact) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let (facts, order) = &mut *runs;
        if !facts.contains_key(&fact.run) {
            order.push_back(fact.run);
            if order.len() > RUNS
                && let Some(oldest) = order.pop_front()
            {
                facts.remove(&oldest);
            }
        }
        let of_run = facts.entry(fact.run).or_default();
        if of_run.len() == PER_RUN {
            of_run.pop_front();
        }
        of_run.push_back(fact);
    }

    pub(crate) fn of(&self, run: RunId) -> Vec<Fact> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.0.get(&run).map(|facts| facts.iter().cloned().collect()).unwrap_or_default()
    }
}
