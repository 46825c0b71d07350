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
use outcome::{CONTINUES, Outcome};
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
            let mut own = self.find(line.index, line.bytes, verdicts);
            if own.is_some_and(|own| own.level == CONTINUES) && !follow.takes_frames() {
                // It looks like a stack frame and is none: its words count.
                own = self.defaults.find_floating(line.bytes);
            }
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
    use ostler_sdk::testing::{assert_samples, classify, push};
    use ostler_sdk::{Fact, Stream};

    use super::*;

    #[test]
    fn golden_samples_get_their_levels() {
        assert_samples::<RegexClassifier>();
    }

    #[test]
    fn each_stream_has_its_own_state() {
        let mut session = RegexClassifier::open(&Run::default(), "").unwrap();
        let frame = "  File \"/srv/app.py\", line 3, in f";
        assert_eq!(push(&mut session, Stream::Stderr, &["Traceback (most recent call last):"]).levels, "e");
        assert_eq!(push(&mut session, Stream::Stdout, &[frame, "Gone: x"]).levels, "--");
        assert_eq!(push(&mut session, Stream::Stderr, &[frame, "Gone: x"]).levels, "ee");
    }

    #[test]
    fn standard_error_alone_is_no_error() {
        let mut session = RegexClassifier::open(&Run::default(), "").unwrap();
        assert_eq!(push(&mut session, Stream::Stderr, &["just saying"]).levels, "-");
    }

    #[test]
    fn facts_come_with_the_lines_of_known_frameworks() {
        let facts = |line: &str| -> Vec<Fact> {
            classify::<RegexClassifier>(&[line]).notes.into_iter().map(|note| note.fact).collect()
        };
        let listening = |url: &str| Fact::listening(url);
        let in_use = |port: &str| vec![Fact::port_in_use().field("port", port)];
        assert_eq!(
            facts("Starting development server at http://127.0.0.1:8123/"),
            [listening("http://127.0.0.1:8123/"), Fact::ready()]
        );
        assert_eq!(
            facts(" * Running on http://127.0.0.1:5000"),
            [listening("http://127.0.0.1:5000"), Fact::ready()]
        );
        assert_eq!(facts("INFO:     Application startup complete."), [Fact::ready()]);
        assert_eq!(
            facts("INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)"),
            [listening("http://127.0.0.1:8000")]
        );
        assert_eq!(facts("  VITE v8.3.8  ready in 304 ms"), [Fact::ready()]);
        assert_eq!(facts("  ➜  Local:   http://localhost:5173/"), [listening("http://localhost:5173/")]);
        assert_eq!(facts("   - Local:        http://localhost:3000"), [listening("http://localhost:3000")]);
        assert_eq!(facts(" ✓ Ready in 490ms"), [Fact::ready()]);
        assert_eq!(facts("Error: That port is already in use."), [Fact::port_in_use()]);
        assert_eq!(facts("Error: Port 5173 is already in use"), in_use("5173"));
        assert_eq!(facts("Error: listen EADDRINUSE: address already in use :::8201"), in_use("8201"));
        assert_eq!(facts("Port 5000 is in use by another program. Either identify"), in_use("5000"));
        assert_eq!(facts("INFO: nothing special"), []);
    }
}
