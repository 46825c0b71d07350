//! What the checks of a process have seen lately: a short, bounded memory for whoever asks how it is.
//!
//! Owns the results and nothing else; who looks, and what follows from it, is not its business.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::bounds;
use crate::model::Time;

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    pub ok: bool,
    /// In words: `GET http://127.0.0.1:8000/ answered 503`.
    pub what: String,
}

impl Sight {
    /// Makes a sight of what is as it should be.
    pub fn good(what: impl Into<String>) -> Self {
        Self { ok: true, what: what.into() }
    }

    /// Makes a sight of what is not as it should be.
    pub fn bad(what: impl Into<String>) -> Self {
        Self { ok: false, what: what.into() }
    }
}

/// What a look was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Ready,
    Health,
}

impl Purpose {
    /// Returns the word used in JSON and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Health => "health",
        }
    }
}

/// A look that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    pub time: Time,
    pub purpose: Purpose,
    pub sight: Sight,
    /// How long it took.
    pub took: Duration,
}

/// The last looks at one process. Cheap to clone: all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Looks(Arc<Mutex<VecDeque<Looked>>>);

impl Looks {
    /// Remembers a look, and forgets the oldest one beyond the bound. Looks for readiness come many a second: of
    /// those that saw the same in a row the last is kept.
    pub fn add(&self, looked: Looked) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let repeats = |last: &Looked| {
            looked.purpose == Purpose::Ready && last.purpose == Purpose::Ready && last.sight == looked.sight
        };
        if looks.back().is_some_and(repeats) {
            looks.pop_back();
        }
        looks.push_back(looked);
        while looks.len() > bounds::CHECK_RESULTS {
            looks.pop_front();
        }
    }

    /// Returns them, the oldest first.
    pub fn all(&self) -> Vec<Looked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_bounded_and_does_not_repeat_itself() {
        let looks = Looks::default();
        let look = |purpose, what: String| {
            let sight = Sight::bad(what);
            looks.add(Looked { time: Time(0), purpose, sight, took: Duration::ZERO });
        };
        (0..100).for_each(|_| look(Purpose::Ready, "nothing".into()));
        assert_eq!(looks.all().len(), 1);
        (0..100).for_each(|_| look(Purpose::Health, "the same".into()));
        assert_eq!(looks.all().len(), bounds::CHECK_RESULTS);
        look(Purpose::Ready, "last".into());
        assert_eq!(looks.all().last().unwrap().sight.what, "last");
    }
}
