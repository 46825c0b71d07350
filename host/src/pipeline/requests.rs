//! The requests that processes have answered, as their access lines tell them: how many, how they ended, how long they
//! took, and which routes.
//!
//! # Theory of operation
//!
//! A classifier notes a fact `request` for an access line; of a flood it notes some with all their fields, and the rest
//! as a count for each kind of status. Of each process, by its name and so over restarts, a [`Tally`] keeps sums for
//! slots of time and for the routes asked for most. It has a fixed size, below 20 KiB however many requests there are,
//! and is lost with the daemon: what counts is how requests end now.
//!
//! Counting is on the way of every line. It takes the lock of one tally and allocates for a new route alone.

mod histogram;
mod routes;
mod window;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use routes::Route;
pub use window::Window;

use super::Fact;
use crate::bounds;
use crate::model::{ProcessName, RunId, Time};
use crate::traces::write_route;
use histogram::Bucket;
use routes::Routes;
use window::{Counts, Ring};

/// The kind of fact that is counted here.
pub(super) const KIND: &str = "request";

/// The requests that one process has answered lately.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestSummary {
    pub last_minute: Window,
    pub last_15_minutes: Window,
    /// Those of the last 15 minutes that are asked for most, the first the most.
    pub routes: Vec<Route>,
    /// The latest run that has answered any, how many it has answered, and how many of them with a status from 500 on.
    pub run: RunId,
    pub run_count: u64,
    pub run_errors: u64,
}

/// The requests of all processes.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    of_process: RwLock<HashMap<ProcessName, Arc<Mutex<Tally>>>>,
}

impl Requests {
    /// Counts what a fact tells of.
    pub(crate) fn take(&self, fact: &Fact, now: Time) {
        let known =
            self.of_process.read().unwrap_or_else(PoisonError::into_inner).get(&fact.process).cloned();
        let tally = known.unwrap_or_else(|| self.begin(&fact.process));
        tally.lock().unwrap_or_else(PoisonError::into_inner).take(fact, now);
    }

    /// Sums up the requests of a process; nothing when there was none within the last 15 minutes.
    pub(crate) fn of(&self, process: &ProcessName, now: Time) -> Option<RequestSummary> {
        let tally = self.of_process.read().unwrap_or_else(PoisonError::into_inner).get(process).cloned()?;
        tally.lock().unwrap_or_else(PoisonError::into_inner).summary(now)
    }

    fn begin(&self, process: &ProcessName) -> Arc<Mutex<Tally>> {
        let mut of_process = self.of_process.write().unwrap_or_else(PoisonError::into_inner);
        if of_process.len() >= bounds::REQUEST_PROCESSES && !of_process.contains_key(process) {
            let latest = |tally: &Mutex<Tally>| tally.lock().unwrap_or_else(PoisonError::into_inner).latest;
            let quiet =
                of_process.iter().min_by_key(|(_, tally)| latest(tally)).map(|(name, _)| name.clone());
            quiet.map(|name| of_process.remove(&name));
        }
        Arc::clone(of_process.entry(process.clone()).or_default())
    }
}

/// The requests of one process.
#[derive(Debug)]
struct Tally {
    short: Ring<{ bounds::REQUEST_SLOTS }>,
    long: Ring<{ bounds::REQUEST_LONG_SLOTS }>,
    routes: Routes,
    run: RunId,
    run_count: u64,
    run_errors: u64,
    /// When the last request was counted.
    latest: Time,
    /// Reused for the route of one request.
    route: String,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            short: Ring::new(bounds::REQUEST_SLOT),
            long: Ring::new(bounds::REQUEST_LONG_SLOT),
            routes: Routes::default(),
            run: RunId(0),
            run_count: 0,
            run_errors: 0,
            latest: Time(0),
            route: String::new(),
        }
    }
}

impl Tally {
    fn take(&mut self, fact: &Fact, now: Time) {
        let told = Told::read(fact);
        self.short.add(fact.time, now, told.counts, told.duration);
        self.long.add(fact.time, now, told.counts, told.duration);
        if let Some((method, path)) = told.what {
            write_route(method, path, &mut self.route);
            self.routes.add(fact.time, now, &self.route, told.counts, told.duration);
        }
        // What is left of a run's output may come while the next one runs already.
        if fact.run > self.run {
            (self.run, self.run_count, self.run_errors) = (fact.run, 0, 0);
        }
        if fact.run == self.run {
            self.run_count = self.run_count.saturating_add(told.counts.all.into());
            self.run_errors = self.run_errors.saturating_add(told.counts.errors.into());
        }
        self.latest = now;
    }

    fn summary(&self, now: Time) -> Option<RequestSummary> {
        let last_15_minutes = self.long.window(now);
        (last_15_minutes.count > 0).then(|| RequestSummary {
            last_minute: self.short.window(now),
            last_15_minutes,
            routes: self.routes.told(now),
            run: self.run,
            run_count: self.run_count,
            run_errors: self.run_errors,
        })
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        let inside = self.short.heap_bytes() + self.long.heap_bytes() + self.routes.heap_bytes();
        size_of::<Self>() + inside + self.route.capacity()
    }
}

/// What a fact tells of one request, or of several that ended alike.
struct Told<'f> {
    counts: Counts,
    duration: Option<Bucket>,
    /// Method and path.
    what: Option<(&'f str, &'f str)>,
}

impl<'f> Told<'f> {
    /// Reads a plugin's fact. A batch has no more requests than lines, whatever the plugin says.
    fn read(fact: &'f Fact) -> Self {
        let all = fact.field("count").and_then(|count| count.parse().ok()).unwrap_or(1);
        let all: u32 = all.clamp(1, bounds::BATCH_LINES as u32);
        let (client_errors, errors) = match fact.field("status").and_then(|status| status.bytes().next()) {
            Some(b'4') => (all, 0),
            Some(b'5') => (0, all),
            _ => (0, 0),
        };
        let ms = fact.field("ms").and_then(|ms| ms.parse::<f64>().ok());
        let ms = ms.filter(|ms| ms.is_finite() && *ms >= 0.0 && all == 1);
        Self {
            counts: Counts { all, client_errors, errors },
            duration: ms.map(histogram::bucket),
            what: fact.field("method").zip(fact.field("path")),
        }
    }
}

#[cfg(test)]
mod tests;
