//! What has changed since somebody last asked: a count and the first few names, however many files there were.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use crate::model::Time;

/// Names that are kept; of the others only the number is.
const NAMES: usize = 3;
/// Different names that are told apart; more count as this many.
const COUNTED: usize = 1 << 16;
/// Longest name that is kept, in characters.
const NAME_CHARS: usize = 200;

/// Files that have changed.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    names: Vec<String>,
    /// Hashes of all names, because a file that is written makes several events.
    seen: HashSet<u64>,
    hasher: RandomState,
    /// The kernel had more to tell than it could keep.
    unknown: bool,
    first: Option<Time>,
}

impl Changes {
    /// Adds a file by its path below the project's directory.
    pub fn add(&mut self, name: &str) {
        self.first.get_or_insert_with(Time::now);
        if self.seen.len() < COUNTED
            && self.seen.insert(self.hasher.hash_one(name))
            && self.names.len() < NAMES
        {
            let shown = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
            self.names.push(shown.take(NAME_CHARS).collect());
        }
    }

    /// Adds files that nobody knows the names of.
    pub fn add_unknown(&mut self) {
        self.first.get_or_insert_with(Time::now);
        self.unknown = true;
    }

    /// Returns whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.unknown
    }

    /// Returns when the first change was seen.
    pub fn first_seen(&self) -> Option<Time> {
        self.first
    }

    /// Returns the first names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Tells it in words: `backend/views.py changed (+3 more)`.
    pub fn describe(&self) -> String {
        let more = self.seen.len().saturating_sub(1);
        match (self.names.first(), self.unknown, more) {
            (None, ..) => "more files changed than can be told".to_owned(),
            (Some(name), false, 0) => format!("{name} changed"),
            (Some(name), false, more) => format!("{name} changed (+{more} more)"),
            (Some(name), true, more) => format!("{name} changed (+{more} more or many more)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_changes_are_a_count_and_a_name() {
        let mut changes = Changes::default();
        assert!(changes.is_empty());
        for _ in 0..3 {
            changes.add("a.py");
        }
        assert_eq!(changes.describe(), "a.py changed");
        for index in 0..10_000 {
            changes.add(&format!("src/{index}.py"));
        }
        assert_eq!(changes.describe(), "a.py changed (+10000 more)");
        assert_eq!(changes.names().len(), NAMES);
        changes.add_unknown();
        assert_eq!(changes.describe(), "a.py changed (+10000 more or many more)");
    }

    #[test]
    fn memory_is_bounded_and_names_are_harmless() {
        let mut changes = Changes::default();
        changes.add(&format!("x\u{1b}[2J{}", "y".repeat(10_000)));
        for index in 0..COUNTED + 10 {
            changes.add(&index.to_string());
        }
        assert_eq!(changes.seen.len(), COUNTED);
        assert!(changes.describe().len() < 1000 && !changes.describe().contains('\u{1b}'));
    }
}
