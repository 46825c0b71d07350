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
    Lazy(Box<Lazy>),
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
            found = better(found, self.walk_floating(line), &self.outcomes);
        }
        self.outcomes.get(usize::from(found)).map(|outcome| (found, *outcome))
    }

    /// Returns what wins among the patterns that may match anywhere.
    pub fn find_floating(&self, line: &[u8]) -> Option<Outcome> {
        self.outcomes.get(usize::from(self.walk_floating(line))).copied()
    }

    #[inline]
    fn walk_floating(&self, line: &[u8]) -> u16 {
        match &self.floating {
            Some(Floating::Table(table)) => table.walk(line, &self.outcomes),
            Some(Floating::Lazy(lazy)) => lazy.walk(line, &self.outcomes),
            None => NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::CONTINUES;
    use crate::patterns::patterns;
    use crate::table::{Anchor, Rule, anchor};
    use crate::{defaults, samples};
    use ostler_sdk::Info;

    /// What a line's winner says, told apart as far as the tables do.
    fn says(found: Option<(u16, Outcome)>) -> Option<(i32, u8, u8, u8)> {
        found.map(|(_, outcome)| (outcome.priority, outcome.level, outcome.facts, outcome.opens))
    }

    /// The default patterns in the engine that reduces nothing, anchored and floating apart as they are in use.
    fn reference() -> (Vec<Outcome>, Lazy, Lazy) {
        let patterns = patterns();
        let outcomes = patterns
            .iter()
            .map(|pattern| Outcome {
                priority: pattern.priority,
                level: pattern.level.map_or(CONTINUES, |level| level.code()),
                facts: pattern.facts,
                opens: pattern.opens as u8,
            })
            .collect();
        let rules = |wanted: Anchor| {
            let rules: Vec<Rule<'_>> = (0..)
                .zip(&patterns)
                .filter(|(_, pattern)| anchor(&pattern.regex).unwrap() == wanted)
                .map(|(outcome, pattern)| Rule { regex: &pattern.regex, outcome, priority: pattern.priority })
                .collect();
            Lazy::new(&rules).unwrap()
        };
        (outcomes, rules(Anchor::Start), rules(Anchor::Anywhere))
    }

    #[test]
    fn reduced_tables_say_what_the_unreduced_patterns_say() {
        let (outcomes, anchored, floating) = reference();
        let defaults = defaults::matcher();
        let info = samples::add_to(Info::new("x", "0", "x"));
        let lines: Vec<String> = info.samples.into_iter().flat_map(|sample| sample.lines).collect();
        // Heads of lines with tails of others meet the states that whole lines do not.
        let mut checked = 0;
        for (index, head) in lines.iter().enumerate() {
            let tail = &lines[(index * 37 + 11) % lines.len()];
            for cut in 0..=head.len() {
                let line = [&head.as_bytes()[..cut], tail.as_bytes()].concat();
                for line in [&line[..], &line[..cut]] {
                    let first = anchored.walk(line, &outcomes);
                    let found = better(first, floating.walk(line, &outcomes), &outcomes);
                    let expected = outcomes.get(usize::from(found)).map(|outcome| (found, *outcome));
                    let text = String::from_utf8_lossy(line);
                    assert_eq!(says(defaults.find(line)), says(expected), "line: {text}");
                    checked += 1;
                }
            }
        }
        assert!(checked > 10_000, "only {checked} lines were compared");
    }

    #[test]
    fn bytes_of_any_encoding_are_walked() {
        let defaults = defaults::matcher();
        for line in [&b"\xff\xfe ERROR \0"[..], b"\xc3 error", &[0x80; 300]] {
            let level = defaults.find(line).map(|(_, outcome)| outcome.level);
            assert_eq!(level, line.windows(5).any(|w| w.eq_ignore_ascii_case(b"error")).then_some(5));
        }
    }
}
