//! The way out: queries over a snapshot of the log.
//!
//! Skips what the index rules out, reads the rest extent by extent into one buffer, and filters on the packed bytes.
//! Files are read and not mapped, because a mapped file that shrinks or fails kills the reader. Never takes the
//! writer's lock.

use std::ops::{ControlFlow, Range, RangeInclusive};
use std::sync::OnceLock;

use crate::bounds;
use crate::model::{Level, Line, ProcessName, RunId, Seq, Stream, Time};

use super::columns::Lines;
use super::conditions::Conditions;
use super::fields::FieldFilter;
use super::frame::{Head, TEXT_BLOCK_BYTES};
use super::frames::{self, Part, Unread};
use super::index::{Extent, Segment, Snapshot};
use super::pattern::Pattern;
use super::seen::SeenDamage;
use super::unpacked::Unpacked;
use super::view::{View, ViewBuffer};
use super::writer::{Log, Store};

/// Most bytes of text one page holds; a page that reaches it ends early, as if it had reached its limit.
const PAGE_BYTES: usize = 64 << 20;

/// Extents that are read before other threads are asked to help.
const ROUND_EXTENTS: usize = 4;
/// Most extents that are read at once before it is looked at whether they were enough.
const ROUND_EXTENTS_MOST: usize = 256;

/// Which lines are wanted. All conditions must hold; those left out hold for every line.
#[derive(Debug, Clone)]
pub struct LogQuery {
    pub processes: Option<Vec<ProcessName>>,
    pub run: Option<RunId>,
    /// At least this serious. Lines no classifier decided on are below every level but `Unknown`.
    pub min_level: Option<Level>,
    pub stream: Option<Stream>,
    /// Not earlier than this.
    pub since: Option<Time>,
    /// Not later than this.
    pub until: Option<Time>,
    /// Only lines after this one.
    pub after: Option<Seq>,
    /// Only lines before this one.
    pub before: Option<Seq>,
    pub pattern: Option<Pattern>,
    /// All of them must hold.
    pub fields: Vec<FieldFilter>,
    /// Most lines of the page; at most [`bounds::QUERY_LINES`].
    pub limit: usize,
    pub take: Take,
}

/// Which lines are given when more match than the page may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Take {
    #[default]
    Newest,
    Oldest,
}

impl Default for LogQuery {
    /// Returns the query for the newest hundred lines.
    fn default() -> Self {
        Self {
            processes: None,
            run: None,
            min_level: None,
            stream: None,
            since: None,
            until: None,
            after: None,
            before: None,
            pattern: None,
            fields: Vec::new(),
            limit: 100,
            take: Take::Newest,
        }
    }
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// In the order they were stored.
    pub lines: Vec<Line>,
    /// Ask `after` this to go on: nothing is given twice, and in the order of `Oldest` nothing is skipped.
    pub next: Seq,
    /// The page was full before everything was examined: more lines may match.
    pub more: bool,
    /// Lines between `after` and `next` that are no longer there, deleted by retention or lost to damage. Which
    /// process wrote them is not known.
    pub missing: u64,
}

impl Store {
    /// Answers `query` from the log as it is at this moment.
    ///
    /// Reads files, so it belongs on a blocking thread. What cannot be read is counted as missing.
    pub fn query(&self, query: &LogQuery) -> LogPage {
        self.query_snapshot(query, &self.snapshot())
    }

    /// Answers `query` from the log as it was.
    pub(super) fn query_snapshot(&self, query: &LogQuery, snapshot: &Snapshot) -> LogPage {
        let mut scan = Scan::new(query, &self.log, snapshot.newest);
        let extents = snapshot.extents(scan.wanted.lower, scan.wanted.upper);
        _ = match query.take {
            Take::Oldest => scan.walk(extents),
            Take::Newest => scan.walk(extents.rev()),
        };
        scan.finish(snapshot)
    }
}

/// A query on its way through the log.
struct Scan<'q> {
    wanted: Conditions<'q>,
    take: Take,
    epoch: u32,
    unpacked: Option<&'q Unpacked>,
    seen: &'q SeenDamage,
    limit: usize,
    lines: Vec<Line>,
    text_bytes: usize,
    more: bool,
    damaged: u64,
    /// All it was given has been read.
    is_done: bool,
    buffer: ViewBuffer,
    /// Memory of threads that have ended.
    spare: Vec<ViewBuffer>,
    matches: Vec<usize>,
}

impl<'q> Scan<'q> {
    fn new(query: &'q LogQuery, log: &'q Log, newest: Seq) -> Self {
        let wanted = Conditions::new(query, newest);
        Self {
            wanted,
            take: query.take,
            epoch: log.epoch,
            // A search goes through everything once, and would only push out what others come back to.
            unpacked: (!wanted.search_text()).then_some(&log.unpacked),
            seen: &log.seen,
            limit: query.limit.min(bounds::QUERY_LINES),
            lines: Vec::new(),
            text_bytes: 0,
            more: false,
            damaged: 0,
            is_done: false,
            buffer: ViewBuffer::default(),
            spare: Vec::new(),
            matches: Vec::new(),
        }
    }

    /// Goes through the extents in the order given, until the page is full: the first few alone, because most questions
    /// are answered by them, then more and more at once.
    fn walk<'s>(&mut self, mut extents: impl Iterator<Item = (&'s Segment, &'s Extent)>) -> ControlFlow<()> {
        let mut count = ROUND_EXTENTS;
        loop {
            let wanted = extents.by_ref().filter(|(_, extent)| self.wanted.admit_extent(extent));
            let round: Vec<_> = wanted.take(count).collect();
            if round.len() <= ROUND_EXTENTS {
                self.read_extents(&round)?;
            } else {
                self.read_side_by_side(&round)?;
            }
            if round.len() < count {
                return ControlFlow::Continue(());
            }
            count = (count * 2).min(ROUND_EXTENTS_MOST);
        }
    }

    fn read_extents(&mut self, extents: &[(&Segment, &Extent)]) -> ControlFlow<()> {
        for (segment, extent) in extents {
            self.check_room()?;
            self.read_extent(segment, extent)?;
        }
        self.is_done = true;
        ControlFlow::Continue(())
    }

    /// Reads extents on several threads, each of which has a stretch of them to itself. Where a stretch fills the page
    /// it is read again, alone, so that the page ends where it would have ended otherwise.
    fn read_side_by_side(&mut self, extents: &[(&Segment, &Extent)]) -> ControlFlow<()> {
        let stretches: Vec<_> = extents.chunks(extents.len().div_ceil(threads())).collect();
        let mut scans: Vec<_> = stretches.iter().map(|_| self.beginning_here()).collect();
        std::thread::scope(|scope| {
            let mut work = scans.iter_mut().zip(&stretches);
            let own = work.next();
            for (scan, stretch) in work {
                let read = move || _ = scan.read_extents(stretch);
                // Without a thread the stretch stays unread, and is read below.
                if std::thread::Builder::new().name("log-search".into()).spawn_scoped(scope, read).is_err() {
                    tracing::debug!("no thread to search the log with");
                }
            }
            if let Some((scan, stretch)) = own {
                _ = scan.read_extents(stretch);
            }
        });
        for (scan, stretch) in scans.into_iter().zip(stretches) {
            let fits = scan.is_done
                && self.lines.len() + scan.lines.len() < self.limit
                && self.text_bytes + scan.text_bytes < PAGE_BYTES;
            if fits {
                self.lines.extend(scan.lines);
                self.text_bytes += scan.text_bytes;
                self.damaged += scan.damaged;
            } else {
                self.read_extents(stretch)?;
            }
            self.spare.push(scan.buffer);
        }
        ControlFlow::Continue(())
    }

    /// Returns a scan for the same query that has found nothing yet.
    fn beginning_here(&mut self) -> Self {
        Self {
            limit: self.limit - self.lines.len(),
            lines: Vec::new(),
            text_bytes: 0,
            more: false,
            damaged: 0,
            is_done: false,
            buffer: self.spare.pop().unwrap_or_default(),
            spare: Vec::new(),
            matches: Vec::new(),
            ..*self
        }
    }

    /// Ends the walk when the page is full although there is something left to look at.
    fn check_room(&mut self) -> ControlFlow<()> {
        self.more = self.lines.len() >= self.limit || self.text_bytes >= PAGE_BYTES;
        if self.more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn read_extent(&mut self, segment: &Segment, extent: &Extent) -> ControlFlow<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let damaged = self.damaged;
        let flow = match View::of(segment, extent, self.epoch, self.unpacked, &mut buffer) {
            Ok(mut view) => self.read_frames(&mut view, extent),
            Err(_) => {
                self.note_lost(extent, extent.first.0, extent.lines.into());
                ControlFlow::Continue(())
            }
        };
        self.buffer = buffer;
        if self.damaged > damaged {
            self.seen.note(segment, extent);
        }
        flow
    }

    fn read_frames(&mut self, view: &mut View<'_>, extent: &Extent) -> ControlFlow<()> {
        // Where the frames begin that are wanted, found by their heads.
        let mut frames = Vec::new();
        let unread = frames::walk(view, extent, self.epoch, |offset, head| {
            if self.wanted.admit_frame(head) {
                frames.push(offset);
            }
        });
        self.note_lost(extent, unread.first, unread.lines);
        match self.take {
            Take::Oldest => frames.into_iter().try_for_each(|offset| self.read_frame(view, offset)),
            Take::Newest => frames.into_iter().rev().try_for_each(|offset| self.read_frame(view, offset)),
        }
    }

    /// Reads the frame at `offset` of the view, whose head has been loaded and checked.
    fn read_frame(&mut self, view: &mut View<'_>, offset: usize) -> ControlFlow<()> {
        self.check_room()?;
        let mut matches = std::mem::take(&mut self.matches);
        matches.clear();
        let found = self.find(view, offset, &mut matches);
        let flow = match found {
            None => {
                let head = Head::parse(view.bytes(offset..view.len()), self.epoch);
                if let Some((first, next)) = head.map(|head| (head.first.0, head.next().0)) {
                    self.note_damage(first, next - 1);
                }
                ControlFlow::Continue(())
            }
            Some(process) => self.give_all(view, offset, &process, &matches),
        };
        self.matches = matches;
        flow
    }

    /// Finds the lines of a frame that match, in order, and returns whose they are; `None` when it is damaged.
    ///
    /// Loads and checks the text only where something has to be looked for in it.
    fn find(&self, view: &mut View<'_>, offset: usize, matches: &mut Vec<usize>) -> Option<ProcessName> {
        let part = if self.wanted.search_text() { Part::Whole } else { Part::Columns };
        let (head, lines) = frames::open(view, offset, self.epoch, part)?;
        self.wanted.find(&head, &lines, matches);
        ProcessName::parse(head.process).ok()
    }

    /// Gives the lines that match, in the order asked for, until the page is full.
    fn give_all(
        &mut self,
        view: &mut View<'_>,
        offset: usize,
        process: &ProcessName,
        matches: &[usize],
    ) -> ControlFlow<()> {
        let mut rest = matches;
        while !rest.is_empty() {
            self.check_room()?;
            let room = rest.len().min(self.limit - self.lines.len());
            let chosen = match self.take {
                Take::Oldest => rest.split_off(..room),
                Take::Newest => rest.split_off(rest.len() - room..),
            };
            self.give_some(view, offset, process, chosen.unwrap_or_default())?;
        }
        ControlFlow::Continue(())
    }

    /// Gives lines there is room for. Their text is loaded and checked here, unless it has been searched.
    fn give_some(
        &mut self,
        view: &mut View<'_>,
        offset: usize,
        process: &ProcessName,
        chosen: &[usize],
    ) -> ControlFlow<()> {
        let damaged =
            if self.wanted.search_text() { Vec::new() } else { self.load_text(view, offset, chosen) };
        let Some((head, lines)) = frames::lines_at(view, offset, self.epoch) else {
            return ControlFlow::Continue(());
        };
        let take = self.take;
        let mut give = |&index: &usize| {
            self.check_room()?;
            if damaged.iter().any(|block| blocks_of(lines.range(index)).contains(block)) {
                self.damaged += 1;
            } else {
                self.give(&head, &lines, process, index);
            }
            ControlFlow::Continue(())
        };
        match take {
            Take::Oldest => chosen.iter().try_for_each(&mut give),
            Take::Newest => chosen.iter().rev().try_for_each(&mut give),
        }
    }

    /// Loads the blocks of text that the chosen lines are in, and returns the numbers of those that are damaged.
    fn load_text(&self, view: &mut View<'_>, offset: usize, chosen: &[usize]) -> Vec<usize> {
        let Some((head, lines)) = frames::lines_at(view, offset, self.epoch) else { return Vec::new() };
        let text = head.text_range();
        let mut runs: Vec<RangeInclusive<usize>> = Vec::new();
        for &index in chosen {
            let blocks = blocks_of(lines.range(index));
            match runs.last_mut() {
                Some(last) if *blocks.start() <= last.end() + 1 => *last = *last.start()..=*blocks.end(),
                _ => runs.push(blocks),
            }
        }
        let begin = offset + text.start;
        for run in &runs {
            // A block that cannot be loaded does not check below.
            _ = view.load(begin + run.start() * TEXT_BLOCK_BYTES..begin + (run.end() + 1) * TEXT_BLOCK_BYTES);
        }
        let frame = view.bytes(offset..offset + text.end);
        if view.is_checked() {
            let is_lost = |&block: &usize| {
                let bytes = begin + block * TEXT_BLOCK_BYTES..begin + (block + 1) * TEXT_BLOCK_BYTES;
                !view.is_loaded(bytes.start..bytes.end.min(offset + text.end))
            };
            return runs.into_iter().flatten().filter(is_lost).collect();
        }
        let Some(head) = Head::parse(frame, self.epoch) else { return Vec::new() };
        let is_damaged = |&block: &usize| {
            let bytes = block * TEXT_BLOCK_BYTES..(block + 1) * TEXT_BLOCK_BYTES;
            !head.text_checks(frame, bytes, self.epoch)
        };
        runs.into_iter().flatten().filter(is_damaged).collect()
    }

    fn give(&mut self, head: &Head<'_>, lines: &Lines<'_>, process: &ProcessName, index: usize) {
        let text = String::from_utf8_lossy(lines.line(index)).into_owned();
        self.text_bytes += text.len();
        self.lines.push(Line {
            seq: Seq(head.first.0 + index as u64),
            time: Time(lines.time(index)),
            process: process.clone(),
            run: head.run,
            stream: Stream::from_u8(lines.stream(index)).unwrap_or(Stream::Ostler),
            level: Level::from_u8(lines.level(index)),
            text,
            partial: lines.is_partial(index),
            continues: lines.is_continued(index),
        });
    }

    /// Counts the wanted lines from `first` to `last` as lost.
    fn note_damage(&mut self, first: u64, last: u64) {
        self.damaged += overlap((first, last), (self.wanted.lower, self.wanted.upper));
    }

    /// Counts the wanted lines of an extent from number `first` on as lost: no more than `lines`, as other numbers may
    /// be those of lines that were taken out.
    fn note_lost(&mut self, extent: &Extent, first: u64, lines: u64) {
        self.damaged += overlap((first, extent.last.0), (self.wanted.lower, self.wanted.upper)).min(lines);
    }

    fn finish(mut self, snapshot: &Snapshot) -> LogPage {
        let everything = self.wanted.upper.max(self.wanted.lower - 1);
        let next = match (self.take, self.more) {
            (Take::Oldest, true) => self.lines.last().map_or(self.wanted.lower - 1, |line| line.seq.0),
            _ => everything,
        };
        if self.take == Take::Newest {
            self.lines.reverse();
        }
        let missing = self.damaged + self.gaps(snapshot, next);
        LogPage { lines: self.lines, next: Seq(next), more: self.more, missing }
    }

    /// Returns how many lines up to `next` are in no extent. Without a cursor nothing was promised, so what was deleted
    /// does not count then, only what damage has taken.
    fn gaps(&mut self, snapshot: &Snapshot, next: u64) -> u64 {
        let wanted = (self.wanted.lower, next);
        if self.wanted.query.after.is_none() {
            let pairs = snapshot.segments.iter().filter(|segment| !segment.packed);
            let pairs = pairs.flat_map(|segment| segment.extents.windows(2));
            return pairs.map(|pair| overlap((pair[0].last.0 + 1, pair[1].first.0 - 1), wanted)).sum();
        }
        let there: u64 = snapshot
            .extents(self.wanted.lower, next)
            .map(|(segment, extent)| {
                let inside = wanted.0 <= extent.first.0 && extent.last.0 <= wanted.1;
                match extent.has_holes() {
                    false => overlap((extent.first.0, extent.last.0), wanted),
                    true if inside => extent.lines.into(),
                    true => self.count(segment, extent, wanted),
                }
            })
            .sum();
        overlap(wanted, wanted) - there
    }

    /// Returns how many lines of an extent are wanted, by the heads of its frames.
    fn count(&mut self, segment: &Segment, extent: &Extent, wanted: (u64, u64)) -> u64 {
        let mut lines = 0;
        let mut unread = Unread { first: extent.first.0, lines: extent.lines.into() };
        if let Ok(mut view) = View::of(segment, extent, self.epoch, self.unpacked, &mut self.buffer) {
            unread = frames::walk(&mut view, extent, self.epoch, |_, head| {
                lines += overlap((head.first.0, head.next().0.saturating_sub(1)), wanted);
            });
        }
        // What is damaged is counted where it is looked at.
        lines + overlap((unread.first, extent.last.0), wanted).min(unread.lines)
    }
}

/// Returns how many threads search the log for one query.
pub(super) fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| {
        std::thread::available_parallelism().map_or(1, usize::from).min(bounds::QUERY_THREADS)
    })
}

/// Returns the numbers of the blocks that a line and its '\n' are in.
fn blocks_of(line: Range<usize>) -> RangeInclusive<usize> {
    line.start / TEXT_BLOCK_BYTES..=line.end / TEXT_BLOCK_BYTES
}

/// Returns how many numbers two ranges, ends included, have in common.
fn overlap(one: (u64, u64), other: (u64, u64)) -> u64 {
    (one.1.min(other.1) + 1).saturating_sub(one.0.max(other.0))
}
