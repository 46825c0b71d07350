//! Ostler's default classifier: gives lines the levels TRACE to FATAL by prioritised patterns.
//!
//! A line's bytes are walked through at most two tables, however many patterns there are: one of patterns bound to
//! the line's start, where headers are, and only where that finds none, one of words that may stand anywhere.

mod defaults;
mod follow;
mod lazy;
mod matcher;
mod outcome;
mod patterns;
mod reduce;
mod report;
mod samples;
mod table;
mod user;
mod walk;

use std::rc::Rc;

use ostler_sdk::prelude::*;

use follow::Follow;
use matcher::Matcher;
use outcome::Outcome;
pub use patterns::{Opens, Pattern, patterns};
use user::User;

/// One run's reading of its output.
pub struct RegexClassifier {
    defaults: Matcher,
    user: Rc<User>,
    /// One for each stream.
    follow: [Follow; 2],
}

impl Classifier for RegexClassifier {
    fn info() -> Info {
        let description = "Levels of lines by prioritised patterns, with your own beside the built-in ones.";
        samples::add_to(
            Info::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), description)
                .config_schema(user::SCHEMA),
        )
    }

    fn open(_run: &Run, config: &str) -> Result<Self, String> {
        let user = user::compile(config)?;
        Ok(Self { defaults: defaults::matcher(), user, follow: Default::default() })
    }

    fn push(&mut self, batch: &Batch<'_>, verdicts: &mut Verdicts) {
        let mut follow = self.follow[batch.stream() as usize - 1];
        for line in batch.lines() {
            let own = self.find(line.index, line.bytes, verdicts);
            verdicts.codes_mut()[line.index] = follow.level(line.bytes, own);
        }
        self.follow[batch.stream() as usize - 1] = follow;
    }
}

impl RegexClassifier {
    /// Returns what a line's own words say, and notes the facts that come with it.
    #[inline]
    fn find(&self, index: usize, line: &[u8], verdicts: &mut Verdicts) -> Option<Outcome> {
        let theirs = match &self.user.matcher {
            None => None,
            Some(matcher) => matcher.find(line),
        };
        let beats_all = theirs.is_some_and(|(_, outcome)| outcome.priority >= self.defaults.best_priority());
        let ours = match self.user.defaults && !beats_all {
            true => self.defaults.find(line),
            false => None,
        };
        match (theirs, ours) {
            (Some((number, theirs)), ours)
                if ours.is_none_or(|(_, ours)| theirs.priority >= ours.priority) =>
            {
                if let Some((name, Some(category))) = self.user.names.get(usize::from(number)) {
                    report::note_match(name, category, index, verdicts);
                }
                Some(theirs)
            }
            (_, Some((_, ours))) => {
                if ours.facts != 0 {
                    report::note(ours.facts, index, line, verdicts);
                }
                Some(ours)
            }
            _ => None,
        }
    }
}

export_classifier!(RegexClassifier);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_samples_get_their_levels() {
        ostler_sdk::testing::assert_samples::<RegexClassifier>();
    }
}
