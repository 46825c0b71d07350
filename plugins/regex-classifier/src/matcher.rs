//! A set of patterns made ready: those bound to the line's start apart from those that may match anywhere.
//!
//! The first kind costs a few bytes of walk per line, and where it finds a header the second is not asked.

use crate::lazy::Lazy;
use crate::outcome::Outcome;
use crate::table::{NONE, Table};
use crate::walk::better;

/// The engine for patterns that may match anywhere.
#[derive(Debug)]
pub enum Floating {
    /// All of them in one table.
    Table(Table<'static>),
    /// They need too large a table.
    Lazy(Lazy),
}

/// A set of patterns made ready.
#[derive(Debug)]
pub struct Matcher {
    outcomes: Vec<Outcome>,
    anchored: Option<Table<'static>>,
    floating: Option<Floating>,
    /// The highest priority that the floating patterns can yield.
    floating_best: i32,
    /// The highest priority of all.
    best: i32,
}

impl Matcher {
    /// Puts engines together whose outcomes are numbers in `outcomes`.
    pub fn new(outcomes: Vec<Outcome>, anchored: Option<Table<'static>>, floating: Option<Floating>) -> Self {
        let priority = |&number: &u16| outcomes.get(usize::from(number)).map(|outcome| outcome.priority);
        let floating_best = match &floating {
            Some(Floating::Table(table)) => {
                table.outcome.iter().chain(table.last.iter()).filter_map(priority).max().unwrap_or(i32::MIN)
            }
            Some(Floating::Lazy(lazy)) => {
                lazy.outcomes().iter().filter_map(priority).max().unwrap_or(i32::MIN)
            }
            None => i32::MIN,
        };
        let best = outcomes.iter().map(|outcome| outcome.priority).max().unwrap_or(i32::MIN);
        Self { outcomes, anchored, floating, floating_best, best }
    }

    /// Returns the highest priority that any pattern has.
    pub fn best_priority(&self) -> i32 {
        self.best
    }

    /// Returns the number of the outcome that wins the line and the outcome, or `None` when nothing matches.
    #[inline]
    pub fn find(&self, line: &[u8]) -> Option<(u16, Outcome)> {
        let mut found = match &self.anchored {
            Some(table) => table.walk(line, &self.outcomes),
            None => NONE,
        };
        let settled = self
            .outcomes
            .get(usize::from(found))
            .is_some_and(|outcome| outcome.priority >= self.floating_best);
        if !settled {
            let other = match &self.floating {
                Some(Floating::Table(table)) => table.walk(line, &self.outcomes),
                Some(Floating::Lazy(lazy)) => lazy.walk(line, &self.outcomes),
                None => NONE,
            };
            found = better(found, other, &self.outcomes);
        }
        self.outcomes.get(usize::from(found)).map(|outcome| (found, *outcome))
    }
}
