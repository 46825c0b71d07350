//! From lines with levels and continuation bits to events: one happening each, for the levels from warning on.
//!
//! One builder for each run, fed with batches that are in the store already, so that an event names lines that can be
//! read. Streams do not mix. An event is over when its stream goes on with something else, when nothing more has come
//! for [`bounds::EVENT_WAIT`], or with the run; then it is handed on, once. What is open when the daemon dies is not
//! handed on: the next daemon makes an event of the lines that are left, if any are.

use std::collections::VecDeque;
use std::time::Instant;

use crate::bounds;
use crate::model::{Event, Level, ProcessName, RunId, Seq, Stream, Time};

/// The bit of a line's flags: its end had not been seen.
pub(super) const PARTIAL: u8 = 1;
/// The bit of a line's flags: it continues the event of the line before.
pub(super) const CONTINUES: u8 = 2;

/// How a line of Ostler's own begins that stands where output is missing.
pub(super) const MISSING_MARK: &[u8] = b"[ostler] ";

/// A batch of one run's lines as it was stored.
pub(super) struct Stored<'a> {
    pub first: Seq,
    pub text: &'a [u8],
    pub ends: &'a [u32],
    pub levels: &'a [u8],
    pub streams: &'a [u8],
    pub flags: &'a [u8],
    pub times: &'a [i64],
    /// By index of the line, ascending: what a classifier read in it.
    pub fields: &'a [(usize, Vec<(String, String)>)],
}

/// Builds the events of one run.
pub(super) struct EventBuilder {
    run: RunId,
    process: ProcessName,
    /// Of standard output and standard error.
    open: [Option<Open>; 2],
}

/// An event that may go on.
struct Open {
    first: Seq,
    last: Seq,
    time: Time,
    level: u8,
    lines: u32,
    /// Blank lines behind `last`: part of the event if it goes on behind them.
    blanks: u32,
    /// Its last line has no end yet: the next piece goes on in it.
    partial: bool,
    text: EventText,
    fields: Vec<(String, String)>,
    /// When its last line was taken.
    touched: Instant,
}

/// One line of a batch.
struct Line<'a> {
    seq: Seq,
    text: &'a [u8],
    level: u8,
    flags: u8,
    time: i64,
}

impl EventBuilder {
    pub(super) fn new(run: RunId, process: ProcessName) -> Self {
        Self { run, process, open: [None, None] }
    }

    /// Takes a batch, and hands on each event that it shows to be over.
    pub(super) fn take(&mut self, batch: &Stored<'_>, now: Instant, deliver: &mut impl FnMut(&Event)) {
        let notable = batch.levels.iter().any(|level| *level >= Level::Warn as u8);
        if !notable && self.open.iter().all(Option::is_none) {
            return;
        }
        let mut fields = batch.fields.iter().peekable();
        let mut start = 0;
        for (index, end) in batch.ends.iter().enumerate() {
            let text = &batch.text[start..*end as usize];
            start = *end as usize;
            let Some(stream) = Stream::from_u8(batch.streams[index]) else { continue };
            let line = Line {
                seq: Seq(batch.first.0 + index as u64),
                text,
                level: batch.levels[index],
                flags: batch.flags[index],
                time: batch.times[index],
            };
            let begun = self.take_line(stream, &line, now, deliver);
            while let Some((_, found)) = fields.next_if(|(at, _)| *at <= index) {
                if let Some(open) = self.open[place(stream)].as_mut().filter(|_| begun) {
                    let room = bounds::EVENT_FIELDS.saturating_sub(open.fields.len());
                    open.fields.extend(found.iter().take(room).cloned());
                }
            }
        }
    }

    /// Takes one line, and returns whether an event begins with it.
    fn take_line(
        &mut self,
        stream: Stream,
        line: &Line<'_>,
        now: Instant,
        deliver: &mut impl FnMut(&Event),
    ) -> bool {
        if stream == Stream::Ostler {
            // Where output is missing the end of what was open is too. Other remarks come between, and end nothing.
            if line.text.starts_with(MISSING_MARK) {
                self.hand_on_all(deliver);
            }
            return false;
        }
        let slot = &mut self.open[place(stream)];
        if let Some(open) = slot {
            if line.flags & CONTINUES != 0 || open.partial {
                open.add(line, now);
                return false;
            }
            if line.level == Level::Unknown as u8 && line.text.trim_ascii().is_empty() {
                open.blanks = open.blanks.saturating_add(1);
                return false;
            }
            let over = slot.take();
            self.hand_on(stream, over, deliver);
        }
        if line.level < Level::Warn as u8 {
            return false;
        }
        self.open[place(stream)] = Some(Open::new(line, now));
        true
    }

    /// Hands on what has been quiet for long enough, and returns when to look again, if at all.
    pub(super) fn hand_on_quiet(
        &mut self,
        now: Instant,
        deliver: &mut impl FnMut(&Event),
    ) -> Option<Instant> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let over = self.open[place(stream)].take_if(|open| now >= open.touched + bounds::EVENT_WAIT);
            self.hand_on(stream, over, deliver);
        }
        self.open.iter().flatten().map(|open| open.touched + bounds::EVENT_WAIT).min()
    }

    /// Hands on what is left: the run has ended.
    pub(super) fn hand_on_all(&mut self, deliver: &mut impl FnMut(&Event)) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let over = self.open[place(stream)].take();
            self.hand_on(stream, over, deliver);
        }
    }

    fn hand_on(&self, stream: Stream, over: Option<Open>, deliver: &mut impl FnMut(&Event)) {
        let Some(open) = over else { return };
        deliver(&Event {
            run: self.run,
            process: self.process.clone(),
            stream,
            first: open.first,
            last: open.last,
            time: open.time,
            level: Level::from_u8(open.level),
            lines: open.lines,
            text: open.text.finish(),
            fields: open.fields,
        });
    }
}

/// Returns which slot a stream has; only the two of the child are asked for.
fn place(stream: Stream) -> usize {
    usize::from(stream == Stream::Stderr)
}

impl Open {
    fn new(line: &Line<'_>, now: Instant) -> Self {
        let mut text = EventText::default();
        text.push(line.text);
        Self {
            first: line.seq,
            last: line.seq,
            time: Time(line.time),
            level: line.level,
            lines: 1,
            blanks: 0,
            partial: line.flags & PARTIAL != 0,
            text,
            fields: Vec::new(),
            touched: now,
        }
    }

    fn add(&mut self, line: &Line<'_>, now: Instant) {
        for _ in 0..self.blanks {
            self.text.push(b"");
        }
        if self.partial {
            self.text.append(line.text);
        } else {
            self.text.push(line.text);
        }
        self.lines = self.lines.saturating_add(self.blanks).saturating_add(1);
        self.blanks = 0;
        self.last = line.seq;
        self.level = self.level.max(line.level);
        self.partial = line.flags & PARTIAL != 0;
        self.touched = now;
    }
}

/// The first and the last lines of an event, within bounds.
#[derive(Default)]
struct EventText {
    head: VecDeque<String>,
    head_bytes: usize,
    /// `head` takes no more.
    full: bool,
    tail: VecDeque<String>,
    tail_bytes: usize,
}

impl EventText {
    /// Half of an event's text, for its first lines, and again for its last.
    const HALF_BYTES: usize = bounds::EVENT_TEXT_BYTES / 2;

    /// Adds a line.
    fn push(&mut self, line: &[u8]) {
        let line = cut(line, Self::HALF_BYTES - 1);
        let bytes = line.len() + 1;
        self.full |=
            self.head.len() == bounds::EVENT_TEXT_LINES || self.head_bytes + bytes > Self::HALF_BYTES;
        if !self.full {
            self.head_bytes += bytes;
            return self.head.push_back(line);
        }
        self.tail_bytes += bytes;
        self.tail.push_back(line);
        while self.tail.len() > bounds::EVENT_TEXT_LINES || self.tail_bytes > Self::HALF_BYTES {
            self.tail_bytes -= self.tail.pop_front().map_or(0, |line| line.len() + 1);
        }
    }

    /// Goes on in the last line; what does not fit is left out.
    fn append(&mut self, piece: &[u8]) {
        let (lines, bytes) = match self.tail.is_empty() {
            true => (&mut self.head, &mut self.head_bytes),
            false => (&mut self.tail, &mut self.tail_bytes),
        };
        let Some(line) = lines.back_mut() else { return };
        let piece = cut(piece, Self::HALF_BYTES.saturating_sub(*bytes));
        *bytes += piece.len();
        line.push_str(&piece);
    }

    fn finish(self) -> String {
        let lines: Vec<String> = self.head.into_iter().chain(self.tail).collect();
        lines.join("\n")
    }
}

/// Returns a line as text of at most so many bytes.
fn cut(line: &[u8], bytes: usize) -> String {
    let mut text = String::from_utf8_lossy(&line[..line.len().min(bytes)]).into_owned();
    // A character that stands for what is not UTF-8 has three bytes in the place of one.
    text.truncate(text.floor_char_boundary(bytes));
    text
}

#[cfg(test)]
mod tests;
