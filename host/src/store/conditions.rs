//! The conditions of a query, made ready to be held against extents, frames and lines.
//!
//! Reads no file and gives no line: it says which may hold what is wanted, and which lines of a frame do.

use memchr::memmem::Finder;

use crate::model::{ProcessName, Seq};

use super::columns::Lines;
use super::fields::FieldFilter;
use super::frame::Head;
use super::index::Extent;
use super::pattern::Pattern;
use super::reader::LogQuery;

/// The conditions of one query over one snapshot.
#[derive(Clone, Copy)]
pub(super) struct Conditions<'q> {
    pub query: &'q LogQuery,
    /// The first and the last sequence number that may be given.
    pub lower: u64,
    pub upper: u64,
    /// Bit `n` is set when lines of level number `n` are wanted.
    levels: u8,
    streams: u8,
    since: i64,
    until: i64,
}

/// What all lines of a frame are searched for at once, so that only those it is in are looked at by themselves.
enum Searched<'q> {
    Pattern(&'q Pattern),
    Letters(&'q Finder<'static>),
}

impl Searched<'_> {
    /// Returns a place in the first line that may match, at or after the line that begins at `from`.
    fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        match self {
            Self::Pattern(pattern) => pattern.find_packed(text, from),
            Self::Letters(letters) => letters.find(text.get(from..)?).map(|place| from + place),
        }
    }
}

impl<'q> Conditions<'q> {
    /// Makes the conditions of `query` in a log whose last line is `newest`.
    pub fn new(query: &'q LogQuery, newest: Seq) -> Self {
        // A cursor past the end is from before a loss of power; going on from the end is all that can be done.
        let after = query.after.unwrap_or_default().min(newest);
        let before = query.before.map_or(u64::MAX, |before| before.0.saturating_sub(1));
        Self {
            query,
            lower: after.0 + 1,
            upper: newest.0.min(before),
            levels: query.min_level.map_or(u8::MAX, |level| u8::MAX << level as u8),
            streams: query.stream.map_or(u8::MAX, |stream| 1 << stream as u8),
            since: query.since.map_or(i64::MIN, |time| time.0),
            until: query.until.map_or(i64::MAX, |time| time.0),
        }
    }

    /// Returns whether lines have to be read to know which are wanted.
    pub fn search_text(&self) -> bool {
        self.query.pattern.is_some() || !self.query.fields.is_empty()
    }

    /// Returns whether an extent may have lines that are wanted.
    pub fn admit_extent(&self, extent: &Extent) -> bool {
        extent.levels & self.levels != 0
            && extent.streams & self.streams != 0
            && extent.min_time <= self.until
            && extent.max_time >= self.since
            && self.query.run.is_none_or(|run| (extent.min_run..=extent.max_run).contains(&run.0))
            && self.query.processes.as_ref().is_none_or(|names| extent.may_hold(names, self.levels))
    }

    /// Returns whether a frame may have lines that are wanted.
    pub fn admit_frame(&self, head: &Head<'_>) -> bool {
        head.lines > 0
            && head.first.0 <= self.upper
            && head.next().0 > self.lower
            && head.levels & self.levels != 0
            && head.streams & self.streams != 0
            && head.min_time <= self.until
            && head.max_time >= self.since
            && self.query.run.is_none_or(|run| head.run == run)
            && self
                .query
                .processes
                .as_ref()
                .is_none_or(|names| names.iter().any(|name: &ProcessName| name.as_str() == head.process))
    }

    /// Returns whether every line of an admitted frame is wanted, by its head alone.
    pub fn admit_all(&self, head: &Head<'_>) -> bool {
        let whole = self.lower <= head.first.0 && head.next().0 - 1 <= self.upper;
        whole && self.fit_all(head) && !self.search_text()
    }

    /// Adds the lines of an admitted frame that are wanted to `matches`, in order.
    pub fn find(&self, head: &Head<'_>, lines: &Lines<'_>, matches: &mut Vec<usize>) {
        let from = self.lower.saturating_sub(head.first.0) as usize;
        let to = lines.len().min((self.upper - head.first.0 + 1) as usize);
        let all_fit = self.fit_all(head);
        let fits = |&index: &usize| all_fit || self.fit(lines, index);
        if !self.search_text() {
            return matches.extend((from..to).filter(fits));
        }
        match self.searched() {
            // Where other conditions thin the lines out, searching the few that are left is cheaper.
            Some(searched) if all_fit => {
                let mut index = from;
                while index < to {
                    let Some(place) = searched.find(lines.text, lines.start(index)) else { break };
                    index = lines.line_at(place, index);
                    if index < to && self.fit_text(lines.line(index), &searched) {
                        matches.push(index);
                    }
                    index += 1;
                }
            }
            _ => matches.extend((from..to).filter(|index| {
                let line = lines.line(*index);
                fits(index)
                    && self.query.pattern.as_ref().is_none_or(|pattern| pattern.is_match(line))
                    && self.fit_fields(line)
            })),
        }
    }

    fn searched(&self) -> Option<Searched<'q>> {
        match &self.query.pattern {
            Some(pattern) if pattern.is_packed() => Some(Searched::Pattern(pattern)),
            _ => self.query.fields.iter().find_map(FieldFilter::needle).map(Searched::Letters),
        }
    }

    /// Returns whether a line in which something was found is wanted for all of its text.
    fn fit_text(&self, line: &[u8], found: &Searched<'_>) -> bool {
        let matches = match (found, &self.query.pattern) {
            (Searched::Letters(_), Some(pattern)) => pattern.is_match(line),
            _ => true,
        };
        matches && self.fit_fields(line)
    }

    fn fit_fields(&self, line: &[u8]) -> bool {
        self.query.fields.iter().all(|filter| filter.is_match(line))
    }

    fn fit_all(&self, head: &Head<'_>) -> bool {
        head.levels & !self.levels == 0
            && head.streams & !self.streams == 0
            && head.min_time >= self.since
            && head.max_time <= self.until
    }

    fn fit(&self, lines: &Lines<'_>, index: usize) -> bool {
        self.levels & 1 << lines.level(index) != 0
            && self.streams & 1 << lines.stream(index) != 0
            && (self.since..=self.until).contains(&lines.time(index))
    }
}
