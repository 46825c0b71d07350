//! The last facts of each run, for diagnosis. Bounded: a plugin decides how many facts there are.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::model::{ProcessName, RunId, Time};
use crate::plugins::Note;

/// Facts kept for one run.
const PER_RUN: usize = 64;
/// Facts of one kind kept for one run, so that a kind that never ends does not push out the others.
const PER_KIND: usize = 8;
/// Runs whose facts are kept.
const RUNS: usize = 256;
/// Longest kind, key or value kept, in bytes.
const TEXT_BYTES: usize = 512;

/// Something typed that a classifier saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub run: RunId,
    pub process: ProcessName,
    /// When the line was printed.
    pub time: Time,
    pub kind: String,
    pub fields: Vec<(String, String)>,
}

impl Fact {
    /// Takes over a plugin's note, shortened to what is kept and without control characters.
    pub(super) fn new(run: RunId, process: &ProcessName, time: Time, note: &Note) -> Self {
        let fields = note.fields.iter().map(|(key, value)| (clean(key), clean(value))).collect();
        Self { run, process: process.clone(), time, kind: clean(&note.kind), fields }
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
    /// Keeps a fact that is no request: these would push out all others, and are counted instead.
    pub(crate) fn add(&self, fact: Fact) {
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
        let mut alike = (0..of_run.len()).filter(|index| of_run[*index].kind == fact.kind);
        match (alike.next(), alike.nth(PER_KIND - 2)) {
            (Some(oldest), Some(_)) => drop(of_run.remove(oldest)),
            _ if of_run.len() == PER_RUN => drop(of_run.pop_front()),
            _ => {}
        }
        of_run.push_back(fact);
    }

    pub(crate) fn of(&self, run: RunId) -> Vec<Fact> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.of_run.get(&run).map(|facts| facts.iter().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(kind: &str, number: usize) -> Fact {
        let process = ProcessName::new("api").unwrap();
        let fields = vec![("number".to_owned(), number.to_string())];
        Fact { run: RunId(1), process, time: Time(0), kind: kind.to_owned(), fields }
    }

    #[test]
    fn a_kind_that_never_ends_does_not_push_out_the_others() {
        let facts = Facts::default();
        facts.add(fact("port-in-use", 0));
        (0..1000).for_each(|number| facts.add(fact("match", number)));
        let kept = facts.of(RunId(1));
        assert_eq!(kept[0].kind, "port-in-use");
        let numbers: Vec<&str> = kept[1..].iter().filter_map(|fact| fact.field("number")).collect();
        assert_eq!(numbers, ["992", "993", "994", "995", "996", "997", "998", "999"]);
    }

    #[test]
    fn the_oldest_of_many_kinds_go_first() {
        let facts = Facts::default();
        (0..100).for_each(|number| facts.add(fact(&format!("kind-{number}"), number)));
        let kept = facts.of(RunId(1));
        assert_eq!((kept.len(), kept[0].kind.as_str()), (PER_RUN, "kind-36"));
    }
}
