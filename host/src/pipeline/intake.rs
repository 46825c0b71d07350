//! One run on its way from the spool into the store, in bounded steps.

use std::path::PathBuf;
use std::time::Instant;

use tracing::warn;

use super::alerts::Alerted;
use super::events::{self, EventBuilder, Stored};
use super::lines::{LineSplitter, Lines};
use super::masking::Masking;
use super::requests;
use super::{Fact, Remark, Shared, Source};
use crate::bounds;
use crate::model::{Event, SpoolPosition, Stream, Time};
use crate::plugins::{Chain, ChainVerdicts, Packed, Subject};
use crate::shim::{ChunkKind, Count, DoneRecord, SpoolReader, read_done};
use crate::store::{Batch, LogQuery};

/// What stands at the end of a run's output whose shim was killed, or frozen for good. How much it had not read nobody
/// knows.
const UNSEEN: &str = "[ostler] output may be missing here: the shim of this run did not get to its end";
/// How a line ends that stands where output was dropped.
const DROPPED: &str = "of output were dropped here";

/// What a step has achieved.
pub(super) enum Stepped {
    /// There may be more in the spool.
    More,
    /// The spool is read to its end for now; `unfinished` says whether a line still waits for its end.
    Dry { unfinished: bool },
    /// The store would not take the batch, for this reason. It is kept, and tried again at the next step.
    Refused(String),
}

/// What becomes of a line whose end has not come when the spool is read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// It waits.
    Keep,
    /// It has waited long enough (a prompt): it is stored as partial, and what comes later continues it.
    StorePartial,
    /// Its end will never come: it is stored as it is.
    Finish,
}

/// The intake of one run.
pub(super) struct Intake {
    subject: Subject,
    dir: PathBuf,
    reader: SpoolReader,
    arm: Box<dyn Fn(u64) + Send>,
    stdout: LineSplitter,
    stderr: LineSplitter,
    /// Lines of the run that are in the store or in `pending`.
    lines: u64,
    pending: Pending,
    /// The line that tells what the shim lost at the end of the run is in the store or in `pending`.
    told_lost: bool,
    masking: Masking,
    events: EventBuilder,
    alerted: Alerted,
    /// An earlier daemon has stored some of it.
    resumed: bool,
}

/// Memory that a worker's runs use one after the other: batches are large, and between steps a run has none.
#[derive(Default)]
pub(super) struct Scratch {
    columns: Columns,
    verdicts: ChainVerdicts,
    /// The line ends of one call, which count from its own first line.
    ends: Vec<u32>,
}

/// A batch on its way into the store.
#[derive(Default)]
struct Pending {
    columns: Columns,
    position: SpoolPosition,
    /// The position has moved, or there are lines.
    dirty: bool,
}

/// The columns of a batch.
#[derive(Default)]
struct Columns {
    lines: Lines,
    levels: Vec<u8>,
    streams: Vec<u8>,
    flags: Vec<u8>,
    times: Vec<i64>,
    facts: Vec<Fact>,
    /// By line: what a classifier read in it.
    fields: Vec<(usize, Vec<(String, String)>)>,
}

impl Intake {
    pub(super) fn open(source: Source, shared: &Shared) -> std::io::Result<Self> {
        let stored = shared.store.position(source.run);
        let taken = stored.unwrap_or_default();
        let mut masking = Masking::of_run(&source.dir, shared.secrets.clone());
        let command = masking.words(&source.command);
        Ok(Self {
            reader: SpoolReader::open(&source.dir, taken)?,
            masking,
            events: EventBuilder::new(source.run, source.process.clone()),
            alerted: Alerted::default(),
            subject: Subject { run: source.run, process: source.process, command },
            dir: source.dir,
            arm: source.arm,
            stdout: LineSplitter::default(),
            stderr: LineSplitter::default(),
            lines: taken.lines,
            pending: Pending { position: taken, ..Pending::default() },
            told_lost: false,
            resumed: stored.is_some(),
        })
    }

    /// Asks the shim to say when there is more than has been read.
    pub(super) fn arm(&self) {
        (self.arm)(self.reader.position());
    }

    /// Adds a line of Ostler's own; the next step stores it. While the store refuses batches only some are kept.
    pub(super) fn remark(&mut self, remark: &Remark) {
        let columns = &mut self.pending.columns;
        if columns.levels.len() >= bounds::BATCH_LINES {
            return warn!(run = %remark.run, text = remark.text, "a remark is left out of the log");
        }
        let text = self.masking.text(&remark.text);
        columns.lines.push(text.as_bytes(), false, self.reader.position());
        columns.stamp(Stream::Ostler, remark.time);
        columns.levels.push(remark.level as u8);
        self.lines += 1;
        self.pending.position = self.position();
        self.pending.dirty = true;
    }

    /// Takes in about `bytes` of spool at most.
    pub(super) fn step(
        &mut self,
        chain: &mut Chain,
        shared: &Shared,
        scratch: &mut Scratch,
        bytes: usize,
        unfinished: Unfinished,
    ) -> std::io::Result<Stepped> {
        if self.pending.columns.levels.is_empty() {
            std::mem::swap(&mut self.pending.columns, &mut scratch.columns);
        }
        let stepped = self.step_with(chain, shared, scratch, bytes, unfinished);
        if self.pending.columns.levels.is_empty() {
            scratch.columns = std::mem::take(&mut self.pending.columns);
        }
        if matches!(stepped, Ok(Stepped::Dry { .. })) {
            self.reader.rest();
        }
        stepped
    }

    fn step_with(
        &mut self,
        chain: &mut Chain,
        shared: &Shared,
        scratch: &mut Scratch,
        bytes: usize,
        unfinished: Unfinished,
    ) -> std::io::Result<Stepped> {
        if self.pending.dirty
            && let Err(problem) = self.store(shared)
        {
            return Ok(Stepped::Refused(problem));
        }
        let dry = self.read(chain, scratch, bytes)?;
        if dry && unfinished != Unfinished::Keep {
            self.take_unfinished(unfinished, chain, scratch);
        }
        if dry && unfinished == Unfinished::Finish {
            self.tell_lost(chain, shared, scratch);
        }
        self.pending.position = self.position();
        if let Err(problem) = self.store(shared) {
            return Ok(Stepped::Refused(problem));
        }
        if dry {
            // What could not be stored now, such as a lone carriage return, waits for output and not for time.
            Ok(Stepped::Dry { unfinished: unfinished == Unfinished::Keep && self.is_unfinished() })
        } else {
            Ok(Stepped::More)
        }
    }

    /// Hands on events that nothing was added to for long enough; returns when to look again, if at all.
    pub(super) fn hand_on_quiet(&mut self, shared: &Shared) -> Option<Instant> {
        self.events.hand_on_quiet(Instant::now(), &mut |event: &Event| (shared.on_event)(event))
    }

    /// Ends the run: last events and facts, and its directory removed.
    pub(super) fn finish(mut self, chain: &mut Chain, shared: &Shared) {
        self.events.hand_on_all(&mut |event: &Event| (shared.on_event)(event));
        for note in chain.finish(self.subject.run) {
            report(shared, Fact::new(self.subject.run, &self.subject.process, Time::now(), &note));
        }
        match std::fs::remove_dir_all(&self.dir) {
            // Only now is it certain that nobody will read this spool again.
            Ok(()) => shared.store.retain_positions(|run| run != self.subject.run),
            Err(error) => warn!(dir = %self.dir.display(), %error, "cannot remove a run's directory"),
        }
    }

    /// Returns whether the spool was read to its end.
    fn read(&mut self, chain: &mut Chain, scratch: &mut Scratch, bytes: usize) -> std::io::Result<bool> {
        let mut taken = 0;
        // Lines of one stream that follow each other are classified together.
        let mut unclassified = Unclassified { first: 0, stream: Stream::Stdout };
        let dry = loop {
            if taken >= bytes {
                break false;
            }
            let Some(chunk) = self.reader.next_chunk()? else { break true };
            let (time, stream) = (chunk.time, chunk.stream);
            if stream != unclassified.stream {
                let Self { masking, subject, lines, pending, .. } = self;
                masking.mask(unclassified.stream, &mut pending.columns.lines, unclassified.first);
                pending.columns.classify(&mut unclassified, subject, lines, chain, scratch);
                unclassified.stream = stream;
            }
            match chunk.kind {
                ChunkKind::Data(data) => {
                    taken += data.len();
                    let splitter = if stream == Stream::Stderr { &mut self.stderr } else { &mut self.stdout };
                    splitter.push(data, chunk.start, &mut self.pending.columns.lines);
                    self.pending.columns.stamp(stream, time);
                }
                ChunkKind::Gap(count) => {
                    let place = chunk.start;
                    // The ends of unfinished lines are in the gap.
                    self.take_unfinished(Unfinished::Finish, chain, scratch);
                    unclassified.first = self.pending.columns.levels.len();
                    self.pending.columns.push_gap(count, place, time);
                }
            }
        };
        self.classify(&mut unclassified, chain, scratch);
        Ok(dry)
    }

    fn take_unfinished(&mut self, unfinished: Unfinished, chain: &mut Chain, scratch: &mut Scratch) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let splitter = if stream == Stream::Stderr { &mut self.stderr } else { &mut self.stdout };
            let columns = &mut self.pending.columns;
            let mut unclassified = Unclassified { first: columns.levels.len(), stream };
            if unfinished == Unfinished::Finish {
                splitter.finish(&mut columns.lines);
            } else {
                splitter.flush_partial(&mut columns.lines);
            }
            columns.stamp(stream, Time::now());
            self.classify(&mut unclassified, chain, scratch);
        }
    }

    /// Tells once of what no frame of the spool could tell. For what was lost because there was no room until the end
    /// `done`, whose room was kept free, has the count. Without a `done` the shim was killed, and nobody can say
    /// whether the pipes were empty.
    fn tell_lost(&mut self, chain: &mut Chain, shared: &Shared, scratch: &mut Scratch) {
        if std::mem::replace(&mut self.told_lost, true) {
            return;
        }
        let place = self.reader.position();
        let mut unclassified =
            Unclassified { first: self.pending.columns.levels.len(), stream: Stream::Ostler };
        match read_done(&self.dir) {
            Ok(Some(DoneRecord::Ended { lost_bytes, lost_lines, .. })) if lost_bytes > 0 => {
                let lost = Count { bytes: lost_bytes, lines: lost_lines };
                self.pending.columns.push_gap(lost, place, Time::now());
            }
            Ok(Some(_)) => return,
            Ok(None) | Err(_) if self.reader.has_begun() && !self.has_told_unseen(shared) => {
                self.pending.columns.push_mark(UNSEEN, place, Time::now());
            }
            Ok(None) | Err(_) => return,
        }
        self.classify(&mut unclassified, chain, scratch);
    }

    /// Returns whether a daemon told of it that died before it could remove the run's directory.
    fn has_told_unseen(&self, shared: &Shared) -> bool {
        let query =
            LogQuery { run: Some(self.subject.run), stream: Some(Stream::Ostler), ..LogQuery::default() };
        self.resumed && shared.store.query(&query).lines.iter().any(|line| line.text == UNSEEN)
    }

    /// Masks what no classifier has seen yet, and asks the chain for its levels.
    fn classify(&mut self, unclassified: &mut Unclassified, chain: &mut Chain, scratch: &mut Scratch) {
        let Self { masking, subject, lines, pending, .. } = self;
        masking.mask(unclassified.stream, &mut pending.columns.lines, unclassified.first);
        pending.columns.classify(unclassified, subject, lines, chain, scratch);
    }

    fn is_unfinished(&self) -> bool {
        self.stdout.unfinished_from().is_some() || self.stderr.unfinished_from().is_some()
    }

    fn position(&self) -> SpoolPosition {
        let read = self.reader.position();
        SpoolPosition {
            stdout: self.stdout.unfinished_from().unwrap_or(read),
            stderr: self.stderr.unfinished_from().unwrap_or(read),
            lines: self.lines,
        }
    }

    fn store(&mut self, shared: &Shared) -> Result<(), String> {
        let pending = &mut self.pending;
        let stored = shared.store.position(self.subject.run);
        if pending.columns.lines.ends.is_empty() && stored == Some(pending.position) {
            return Ok(());
        }
        pending.dirty = true;
        let columns = &mut pending.columns;
        let batch = Batch {
            run: self.subject.run,
            process: &self.subject.process,
            text: &columns.lines.text,
            ends: &columns.lines.ends,
            levels: &columns.levels,
            streams: &columns.streams,
            flags: &columns.flags,
            times: &columns.times,
            position: pending.position,
        };
        let (first, _) = shared.store.append(&batch).map_err(|error| error.to_string())?;
        for fact in columns.facts.drain(..) {
            report(shared, fact);
        }
        // Each classifier of the chain has noted its own, in any order.
        columns.fields.sort_by_key(|(line, _)| *line);
        let stored = Stored {
            first,
            text: batch.text,
            ends: batch.ends,
            levels: batch.levels,
            streams: batch.streams,
            flags: batch.flags,
            times: batch.times,
            fields: &columns.fields,
        };
        self.events.take(&stored, Instant::now(), &mut |event: &Event| (shared.on_event)(event));
        shared.alerts.take_lines(&mut self.alerted, self.subject.run, &self.subject.process, &stored);
        columns.clear();
        pending.dirty = false;
        if let Err(error) = self.reader.release(pending.position.low()) {
            warn!(dir = %self.dir.display(), %error, "cannot delete a spool file");
        }
        Ok(())
    }
}

/// Stores a line of Ostler's own in the log of a run that has been taken in to its end.
pub(super) fn remark_after_end(shared: &Shared, remark: &Remark) {
    let text = shared.secrets.mask(&remark.text);
    let text = text.as_bytes();
    let batch = Batch {
        run: remark.run,
        process: &remark.process,
        text,
        ends: &[u32::try_from(text.len()).unwrap_or(u32::MAX)],
        levels: &[remark.level as u8],
        streams: &[Stream::Ostler as u8],
        flags: &[0],
        times: &[remark.time.0],
        position: shared.store.position(remark.run).unwrap_or_default(),
    };
    let known = shared.store.position(remark.run).is_some();
    match shared.store.append(&batch) {
        // There is no spool that the position could be of.
        Ok(_) if !known => shared.store.retain_positions(|run| run != remark.run),
        Ok(_) => {}
        Err(error) => warn!(run = %remark.run, text = remark.text, %error, "a remark is left out of the log"),
    }
}

/// Returns how many lines were dropped where a remark of Ostler's stands, if it is one of those.
pub fn dropped_lines(remark: &str) -> Option<u64> {
    let said = remark.strip_prefix("[ostler] ")?.strip_suffix(DROPPED)?;
    said.split_once(" lines ")?.0.parse().ok()
}

fn report(shared: &Shared, fact: Fact) {
    (shared.on_fact)(&fact);
    if fact.kind == requests::KIND {
        shared.requests.take(&fact, Time::now());
    } else {
        shared.facts.add(fact);
    }
}

/// The lines of one stream at the end of a batch that no classifier has seen yet.
struct Unclassified {
    first: usize,
    stream: Stream,
}

impl Columns {
    /// Adds the line that stands where output is missing.
    fn push_gap(&mut self, count: Count, after: u64, time: Time) {
        let Count { lines, bytes } = count;
        self.push_mark(&format!("[ostler] {lines} lines ({bytes} bytes) {DROPPED}"), after, time);
    }

    /// Adds a line that is to be told from what the child has printed also where streams are not shown, and that
    /// ends what was open.
    fn push_mark(&mut self, text: &str, after: u64, time: Time) {
        debug_assert!(text.as_bytes().starts_with(events::MISSING_MARK), "{text}");
        self.lines.push(text.as_bytes(), false, after);
        self.stamp(Stream::Ostler, time);
    }

    /// Gives the lines that were just added their stream and time.
    fn stamp(&mut self, stream: Stream, time: Time) {
        let count = self.lines.len();
        let partial = self.lines.partial[self.flags.len()..].iter();
        self.flags.extend(partial.map(|partial| u8::from(*partial)));
        self.streams.resize(count, stream as u8);
        self.times.resize(count, time.0);
    }

    /// Asks the chain for the levels of what it has not seen.
    fn classify(
        &mut self,
        unclassified: &mut Unclassified,
        subject: &Subject,
        run_lines: &mut u64,
        chain: &mut Chain,
        scratch: &mut Scratch,
    ) {
        let Scratch { verdicts, ends, .. } = scratch;
        let count = self.lines.ends.len();
        while unclassified.first < count {
            let first = unclassified.first;
            let last = count.min(first + bounds::BATCH_LINES);
            if unclassified.stream == Stream::Ostler {
                // Ostler's own remarks are of gaps.
                self.levels.resize(last, crate::model::Level::Warn as u8);
            } else {
                let start = if first == 0 { 0 } else { self.lines.ends[first - 1] };
                let end = self.lines.ends[last - 1];
                ends.clear();
                ends.extend(self.lines.ends[first..last].iter().map(|end| end - start));
                let packed = Packed {
                    text: &self.lines.text[start as usize..end as usize],
                    ends,
                    stream: unclassified.stream,
                    first_line: *run_lines,
                };
                chain.classify(subject, packed, verdicts);
                self.levels.extend_from_slice(&verdicts.levels);
                for (flags, continues) in self.flags[first..last].iter_mut().zip(&verdicts.continues) {
                    *flags |= u8::from(*continues) * events::CONTINUES;
                }
                for note in &verdicts.notes {
                    let time =
                        self.times.get(first + note.line as usize).map_or_else(Time::now, |time| Time(*time));
                    let fact = Fact::new(subject.run, &subject.process, time, note);
                    match fact.kind.as_str() {
                        // They are of the line's event, not of the run.
                        "fields" => self.fields.push((first + note.line as usize, fact.fields)),
                        _ => self.facts.push(fact),
                    }
                }
            }
            *run_lines += (last - first) as u64;
            unclassified.first = last;
        }
    }

    fn clear(&mut self) {
        self.lines.clear();
        self.levels.clear();
        self.streams.clear();
        self.flags.clear();
        self.times.clear();
        self.fields.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_of_dropped_output_says_how_many_lines_it_was() {
        let mut columns = Columns::default();
        columns.push_gap(Count { lines: 12, bytes: 3456 }, 0, Time(1));
        let remark = String::from_utf8(columns.lines.text.clone()).unwrap();
        assert_eq!(dropped_lines(&remark), Some(12), "{remark}");
        for other in [
            UNSEEN,
            "12 lines of output were dropped here",
            "[ostler] x lines of output were dropped here",
            "",
        ] {
            assert_eq!(dropped_lines(other), None, "{other}");
        }
    }
}
