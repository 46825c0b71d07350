//! What is gathered of one kind of error until it is written down: counts by hour and run, and the newest events.
//!
//! Owns the counting and its bounds. Never touches the catalogue.

use std::collections::{BTreeMap, VecDeque};

use crate::bounds;
use crate::model::{Level, ProcessName, RunId, Seq, Stream, Time};

pub(super) const NANOS_PER_HOUR: i64 = 3_600_000_000_000;

/// A time at which an error happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorSeen {
    pub time: Time,
    /// The first line of it.
    pub seq: Seq,
    pub run: RunId,
}

/// One happening of an error, by the lines that tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorEvent {
    pub process: ProcessName,
    pub run: RunId,
    pub stream: Stream,
    pub level: Level,
    pub first: Seq,
    pub last: Seq,
    pub time: Time,
}

/// What is gathered of one kind of error until it is written down.
#[derive(Debug, Clone)]
pub struct ErrorTally {
    pub version: u32,
    /// Without the number of a replica.
    pub process: ProcessName,
    pub level: Level,
    pub kind: String,
    pub message: String,
    pub place: Option<String>,
    /// The text of the last one.
    pub sample: String,
    pub count: u64,
    pub(super) first: ErrorSeen,
    pub(super) last: ErrorSeen,
    /// By the hour since the Unix epoch.
    pub(super) hours: BTreeMap<i64, Hour>,
    pub(super) runs: BTreeMap<RunId, u64>,
    /// The newest last, and no more than are kept.
    pub(super) events: VecDeque<ErrorEvent>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Hour {
    pub(super) count: u64,
    pub(super) first_seq: Seq,
    pub(super) first_time: Time,
}

impl ErrorTally {
    /// Begins with one event, whose words are filled in by the caller.
    pub fn new(version: u32, event: ErrorEvent) -> Self {
        let seen = ErrorSeen { time: event.time, seq: event.first, run: event.run };
        let mut tally = Self {
            version,
            process: event.process.base(),
            level: event.level,
            kind: String::new(),
            message: String::new(),
            place: None,
            sample: String::new(),
            count: 0,
            first: seen,
            last: seen,
            hours: BTreeMap::new(),
            runs: BTreeMap::new(),
            events: VecDeque::new(),
        };
        tally.add(event);
        tally
    }

    /// Counts another event.
    pub fn add(&mut self, event: ErrorEvent) {
        let seen = ErrorSeen { time: event.time, seq: event.first, run: event.run };
        self.count += 1;
        self.level = self.level.max(event.level);
        self.see(seen);
        add_hour(
            &mut self.hours,
            event.time.0.div_euclid(NANOS_PER_HOUR),
            Hour { count: 1, first_seq: seen.seq, first_time: seen.time },
        );
        *self.runs.entry(event.run).or_default() += 1;
        self.keep(event);
    }

    /// Takes in what was gathered later, because this could not be written.
    pub fn merge(&mut self, later: Self) {
        self.count += later.count;
        self.level = self.level.max(later.level);
        self.see(later.first);
        self.see(later.last);
        for (hour, counted) in later.hours {
            add_hour(&mut self.hours, hour, counted);
        }
        for (run, count) in later.runs {
            *self.runs.entry(run).or_default() += count;
        }
        for event in later.events {
            self.keep(event);
        }
        (self.message, self.place, self.sample) = (later.message, later.place, later.sample);
    }

    /// Events of different streams need not come in their order.
    fn see(&mut self, seen: ErrorSeen) {
        if seen.seq < self.first.seq {
            self.first = seen;
        }
        if seen.seq > self.last.seq {
            self.last = seen;
        }
    }

    fn keep(&mut self, event: ErrorEvent) {
        if self.events.len() == bounds::ERROR_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
        // Nothing keeps a clock from jumping about.
        while self.hours.len() > bounds::ERROR_HOURS {
            self.hours.pop_first();
        }
        while self.runs.len() > bounds::ERROR_RUNS {
            self.runs.pop_first();
        }
    }
}

fn add_hour(hours: &mut BTreeMap<i64, Hour>, hour: i64, more: Hour) {
    let counted = hours.entry(hour).or_insert(Hour { count: 0, ..more });
    counted.count += more.count;
    counted.first_seq = counted.first_seq.min(more.first_seq);
    counted.first_time = counted.first_time.min(more.first_time);
}
