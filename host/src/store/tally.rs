//! Counting lines without giving them: how many each process wrote, of which level, and when.
//!
//! Looks at heads and columns, and at text only where the query searches it: a frame all of whose lines count and have
//! one level costs no more than its head. Bounded: the newest [`bounds::TALLY_BYTES`] are counted, and what is older is
//! told as not counted. Gives no line; never takes the writer's lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::bounds;
use crate::model::{Level, ProcessName, RunId, Time};

use super::columns::Lines;
use super::conditions::Conditions;
use super::frame::Head;
use super::frames::{self, Part};
use super::index::{Extent, Segment};
use super::reader::{LogQuery, threads};
use super::view::{View, ViewBuffer};
use super::writer::Store;

/// Extents that one thread counts before another is asked to help.
const EXTENTS_ALONE: usize = 8;

/// Which runs count, besides what the query says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Runs {
    #[default]
    All,
    /// This one and all after it.
    From(RunId),
    Only(BTreeSet<RunId>),
}

impl Runs {
    /// Returns whether lines of `run` count.
    pub fn contains(&self, run: RunId) -> bool {
        match self {
            Self::All => true,
            Self::From(first) => run >= *first,
            Self::Only(runs) => runs.contains(&run),
        }
    }

    fn may_be_in(&self, extent: &Extent) -> bool {
        match self {
            Self::All => true,
            Self::From(first) => extent.max_run >= first.0,
            Self::Only(runs) => runs.range(RunId(extent.min_run)..=RunId(extent.max_run)).next().is_some(),
        }
    }
}

/// Stretches of time of one length, in which lines are counted apart. What lies before the first or behind the last
/// counts as in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    pub begin: Time,
    /// Nanoseconds; at least 1.
    pub width: i64,
    /// At least 1.
    pub count: usize,
}

impl Buckets {
    /// One for all lines, for who only wants to know how many there are.
    pub const ONE: Self = Self { begin: Time(0), width: i64::MAX, count: 1 };

    fn of(&self, time: i64) -> usize {
        let place = time.saturating_sub(self.begin.0) / self.width.max(1);
        usize::try_from(place).unwrap_or(0).min(self.count.saturating_sub(1))
    }
}

/// How many lines there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Those who wrote any.
    pub processes: BTreeMap<ProcessName, ProcessTally>,
    /// All that were asked for have been counted; otherwise there are older ones.
    pub is_whole: bool,
    /// Lines that could not be read; which of them were wanted is not known.
    pub damaged: u64,
}

/// How many lines a process wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessTally {
    /// By number of level.
    pub levels: [u64; Level::ALL.len()],
    /// Bytes of their text, without line ends.
    pub text_bytes: u64,
    /// When the earliest and the latest line were seen.
    pub first: Time,
    pub last: Time,
    pub buckets: Vec<u64>,
}

impl ProcessTally {
    fn new(buckets: usize) -> Self {
        Self {
            levels: [0; Level::ALL.len()],
            text_bytes: 0,
            first: Time(i64::MAX),
            last: Time(i64::MIN),
            buckets: vec![0; buckets],
        }
    }

    /// Returns how many lines there are of all levels.
    pub fn lines(&self) -> u64 {
        self.levels.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        self.levels.iter_mut().zip(other.levels).for_each(|(sum, count)| *sum += count);
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, count)| *sum += count);
        self.text_bytes += other.text_bytes;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl Store {
    /// Counts the lines that `query` asks for, whatever its limit, and that are of `runs`.
    ///
    /// Reads files, so it belongs on a blocking thread.
    pub fn tally(&self, query: &LogQuery, runs: &Runs, buckets: Buckets) -> Tally {
        self.tally_within(bounds::TALLY_BYTES, query, runs, buckets)
    }

    /// As [`Store::tally`], but no further back than it takes to look at `most` unpacked bytes.
    pub(super) fn tally_within(&self, most: u64, query: &LogQuery, runs: &Runs, buckets: Buckets) -> Tally {
        let snapshot = self.snapshot();
        let wanted = Conditions::new(query, snapshot.newest);
        let (mut extents, mut bytes) = (Vec::new(), 0);
        let mut is_whole = true;
        for (segment, extent) in snapshot.extents(wanted.lower, wanted.upper).rev() {
            if !wanted.admit_extent(extent) || !runs.may_be_in(extent) {
                continue;
            }
            if bytes >= most {
                is_whole = false;
                break;
            }
            bytes += u64::from(extent.image_bytes.unwrap_or(extent.bytes));
            extents.push((segment, extent));
        }
        let count = Count { wanted, runs, buckets, epoch: self.log.epoch };
        let parts = self.count_side_by_side(&count, &extents);
        let mut tally = Tally { is_whole, ..Tally::default() };
        for part in parts {
            tally.damaged += part.damaged;
            for (name, counted) in part.processes {
                let Ok(name) = ProcessName::parse(&name) else { continue };
                let sum =
                    tally.processes.entry(name).or_insert_with(|| ProcessTally::new(buckets.count.max(1)));
                sum.add(&counted);
            }
        }
        tally
    }

    fn count_side_by_side(&self, count: &Count<'_>, extents: &[(&Segment, &Extent)]) -> Vec<Counted> {
        let workers = threads().min(extents.len().div_ceil(EXTENTS_ALONE)).max(1);
        let stretches: Vec<_> = extents.chunks(extents.len().div_ceil(workers).max(1)).collect();
        let read = |stretch: &[(&Segment, &Extent)]| {
            let (mut counted, mut buffer) = (Counted::default(), ViewBuffer::default());
            for (segment, extent) in stretch {
                if !count.read_extent(segment, extent, &mut buffer, &mut counted) {
                    self.log.seen.note(segment, extent);
                }
            }
            counted
        };
        std::thread::scope(|scope| {
            let mut work = stretches.iter();
            let own = work.next();
            let helpers: Vec<_> = work
                .map(|stretch| {
                    let builder = std::thread::Builder::new().name("log-search".into());
                    (stretch, builder.spawn_scoped(scope, move || read(stretch)))
                })
                .collect();
            let mut parts: Vec<Counted> = own.map(|stretch| read(stretch)).into_iter().collect();
            for (stretch, helper) in helpers {
                // Without a thread the stretch is counted here.
                let counted = helper.ok().and_then(|helper| helper.join().ok());
                parts.push(counted.unwrap_or_else(|| read(stretch)));
            }
            parts
        })
    }
}

/// What is counted.
struct Count<'q> {
    wanted: Conditions<'q>,
    runs: &'q Runs,
    buckets: Buckets,
    epoch: u32,
}

/// What one thread has counted.
#[derive(Default)]
struct Counted {
    processes: HashMap<Box<str>, ProcessTally>,
    damaged: u64,
    matches: Vec<usize>,
}

impl Counted {
    fn of(&mut self, process: &str, buckets: usize) -> &mut ProcessTally {
        self.processes.entry(process.into()).or_insert_with(|| ProcessTally::new(buckets.max(1)))
    }
}

impl Count<'_> {
    /// Counts an extent; returns whether all of it could be read.
    fn read_extent(
        &self,
        segment: &Segment,
        extent: &Extent,
        buffer: &mut ViewBuffer,
        counted: &mut Counted,
    ) -> bool {
        let before = counted.damaged;
        match View::of(segment, extent, self.epoch, None, buffer) {
            Ok(mut view) => self.read_frames(&mut view, extent, counted),
            Err(_) => counted.damaged += u64::from(extent.lines),
        }
        counted.damaged == before
    }

    fn read_frames(&self, view: &mut View<'_>, extent: &Extent, counted: &mut Counted) {
        let mut frames = Vec::new();
        let unread = frames::walk(view, extent, self.epoch, |offset, head| {
            if !self.wanted.admit_frame(head) || !self.runs.contains(head.run) {
                return;
            }
            if !self.count_by_head(head, counted) {
                frames.push((offset, head.lines));
            }
        });
        counted.damaged += unread.lines;
        for (offset, lines) in frames {
            if self.count_by_line(view, offset, counted).is_none() {
                counted.damaged += u64::from(lines);
            }
        }
    }

    /// Counts a frame whose head says it all; returns whether it does.
    fn count_by_head(&self, head: &Head<'_>, counted: &mut Counted) -> bool {
        let bucket = self.buckets.of(head.min_time);
        let is_one = head.levels.count_ones() == 1 && bucket == self.buckets.of(head.max_time);
        if !is_one || !self.wanted.admit_all(head) {
            return false;
        }
        let lines = u64::from(head.lines);
        let tally = counted.of(head.process, self.buckets.count);
        tally.levels[usize::from(level(head.levels.trailing_zeros() as u8))] += lines;
        tally.buckets[bucket] += lines;
        tally.text_bytes += u64::from(head.text_bytes).saturating_sub(lines);
        tally.first = tally.first.min(Time(head.min_time));
        tally.last = tally.last.max(Time(head.max_time));
        true
    }

    fn count_by_line(&self, view: &mut View<'_>, offset: usize, counted: &mut Counted) -> Option<()> {
        let part = if self.wanted.search_text() { Part::Whole } else { Part::Columns };
        let (head, lines) = frames::open(view, offset, self.epoch, part)?;
        if self.wanted.admit_all(&head) {
            let tally = counted.of(head.process, self.buckets.count);
            (0..lines.len()).for_each(|index| self.count_line(tally, &lines, index));
            return Some(());
        }
        let mut matches = std::mem::take(&mut counted.matches);
        matches.clear();
        self.wanted.find(&head, &lines, &mut matches);
        if !matches.is_empty() {
            let tally = counted.of(head.process, self.buckets.count);
            matches.iter().for_each(|&index| self.count_line(tally, &lines, index));
        }
        counted.matches = matches;
        Some(())
    }

    fn count_line(&self, tally: &mut ProcessTally, lines: &Lines<'_>, index: usize) {
        let time = lines.time(index);
        tally.levels[usize::from(level(lines.level(index)))] += 1;
        tally.buckets[self.buckets.of(time)] += 1;
        tally.text_bytes += lines.range(index).len() as u64;
        tally.first = tally.first.min(Time(time));
        tally.last = tally.last.max(Time(time));
    }
}

/// Returns the number of a level that exists.
fn level(number: u8) -> u8 {
    Level::from_u8(number) as u8
}
