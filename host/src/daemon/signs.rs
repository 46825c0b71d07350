//! Signs of readiness on their way from classifiers to drivers.
//!
//! What a child prints decides how many there are, and a driver takes them one by one: so what is said again is not
//! passed on, and of what is said in a flood only the first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::bounds;
use crate::model::{ProcessName, RunId};
use crate::pipeline::{Fact, OnFact};
use crate::supervisor::{Fleet, Sign};

/// Passes signs of readiness that classifiers see on to the drivers.
pub(super) fn signs_to(fleet: Arc<OnceLock<Arc<Fleet>>>) -> OnFact {
    let passed: Mutex<HashMap<ProcessName, Passed>> = Mutex::default();
    Arc::new(move |fact: &Fact| {
        if !matches!(fact.kind.as_str(), "ready" | "listening") {
            return;
        }
        let Some(handle) = fleet.get().and_then(|fleet| fleet.get(&fact.process)) else { return };
        let sign = Sign { kind: fact.kind.clone(), url: fact.field("url").map(str::to_owned) };
        let mut passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = passed.entry(fact.process.clone()).or_insert_with(|| Passed::new(fact.run));
        if passed.is_news(fact.run, &sign, Instant::now()) {
            handle.sign(fact.run, sign);
        }
    })
}

/// What was passed on to the driver of one process.
struct Passed {
    run: RunId,
    /// The last one of each kind.
    last: HashMap<String, Sign>,
    /// Since when `count` counts.
    since: Instant,
    count: u32,
}

impl Passed {
    fn new(run: RunId) -> Self {
        Self { run, last: HashMap::new(), since: Instant::now(), count: 0 }
    }

    /// Returns whether the driver has yet to hear of a sign, and may just now.
    fn is_news(&mut self, run: RunId, sign: &Sign, now: Instant) -> bool {
        if run != self.run {
            *self = Self { since: now, ..Self::new(run) };
        }
        if self.last.get(&sign.kind) == Some(sign) {
            return false;
        }
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.count) = (now, 0);
        }
        self.count += 1;
        let may_pass = self.count <= bounds::SIGNS_PER_SECOND;
        if may_pass {
            self.last.insert(sign.kind.clone(), sign.clone());
        }
        may_pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(kind: &str, url: Option<&str>) -> Sign {
        Sign { kind: kind.to_owned(), url: url.map(str::to_owned) }
    }

    #[test]
    fn what_is_said_again_is_passed_on_once_a_run() {
        let now = Instant::now();
        let mut passed = Passed::new(RunId(1));
        let (ready, here, there) =
            (sign("ready", None), sign("listening", Some("http://a/")), sign("listening", Some("http://b/")));
        let news =
            [&ready, &here, &ready, &here, &there, &ready].map(|sign| passed.is_news(RunId(1), sign, now));
        assert_eq!(news, [true, true, false, false, true, false]);
        assert!(passed.is_news(RunId(2), &ready, now), "another run begins anew");
    }

    #[test]
    fn of_a_flood_the_first_are_passed_on_and_later_ones_again() {
        let mut passed = Passed::new(RunId(1));
        let now = passed.since;
        let mut flood = |from: u64, now: Instant| {
            let signs =
                (from..from + 100_000).map(|port| sign("listening", Some(&format!("http://h:{port}/"))));
            signs.filter(|sign| passed.is_news(RunId(1), sign, now)).count()
        };
        assert_eq!(flood(0, now), bounds::SIGNS_PER_SECOND as usize);
        assert_eq!(flood(500_000, now + Duration::from_secs(1)), bounds::SIGNS_PER_SECOND as usize);
    }
}
