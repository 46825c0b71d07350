//! Lines in columns: how a batch becomes the data and text of a frame, and how readers get lines out of it again.
//!
//! Pure, like `frame`, whose layout this fills in. A column in which all lines agree is not written.

use std::ops::Range;

use crate::model::{Level, ProcessName, RunId, Seq, SpoolPosition, Stream};

use super::error::StoreError;
use super::frame::{
    BODY_BYTES, HEAD_BYTES, Head, Kind, TEXT_BLOCK_BYTES, begin, checksum, finish, put_u32, put_u64, u32_at,
    u64_at,
};

/// The flag of a line whose end had not been seen.
const PARTIAL: u8 = 1;
/// The flag of a line that continues the event of the line before.
const CONTINUES: u8 = 2;
/// All flags there are.
const FLAGS: u8 = PARTIAL | CONTINUES;
const COLUMN_FLAGS: u8 = 1;
const COLUMN_TIMES_DELTA: u8 = 2;
const COLUMN_TIMES_PLAIN: u8 = 4;

/// Lines of one run in columns, as the pipeline hands them over.
///
/// Line `i` is `text[ends[i - 1]..ends[i]]`, from 0 for the first: raw bytes without a line end. All columns have one
/// entry for each line. A batch without lines only moves the spool position.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub run: RunId,
    pub process: &'a ProcessName,
    pub text: &'a [u8],
    pub ends: &'a [u32],
    /// Numbers of [`Level`]; any other number is stored as unknown.
    pub levels: &'a [u8],
    /// Numbers of [`Stream`].
    pub streams: &'a [u8],
    /// Bit 0: the line is partial. Bit 1: it continues the event of its stream's last line that is not blank.
    pub flags: &'a [u8],
    /// Nanoseconds since the Unix epoch.
    pub times: &'a [i64],
    /// The place in the run's spool once these lines are stored.
    pub position: SpoolPosition,
}

impl Batch<'_> {
    fn check(&self) -> Result<(), StoreError> {
        let lines = self.ends.len();
        let same = [self.levels.len(), self.streams.len(), self.flags.len(), self.times.len()];
        if same.iter().any(|&length| length != lines) {
            return Err(StoreError::MalformedBatch("its columns differ in length"));
        }
        if !self.ends.is_sorted() || self.ends.last().map_or(0, |&end| end as usize) != self.text.len() {
            return Err(StoreError::MalformedBatch("its line ends do not divide its text"));
        }
        if self.streams.iter().any(|&stream| Stream::from_u8(stream).is_none()) {
            return Err(StoreError::MalformedBatch("it names a stream that does not exist"));
        }
        // The most a line can cost besides its text: '\n', end, level, stream, flags and a plain time; and far more
        // than the checksums of the blocks of text.
        let bytes = lines.saturating_mul(16).saturating_add(self.text.len() + self.text.len() / 1024 + 64);
        if bytes > BODY_BYTES {
            return Err(StoreError::BatchTooLarge { bytes, limit: BODY_BYTES });
        }
        Ok(())
    }
}

/// The lines of one frame, in columns over the frame's own bytes.
pub(super) struct Lines<'a> {
    pub text: &'a [u8],
    ends: &'a [u8],
    levels: Column<'a>,
    streams: Column<'a>,
    flags: Column<'a>,
    times: Times<'a>,
}

/// One byte for each line, or the same one for all.
enum Column<'a> {
    Same(u8),
    Each(&'a [u8]),
}

enum Times<'a> {
    Same(i64),
    Delta(i64, &'a [u8]),
    Plain(&'a [u8]),
}

impl<'a> Lines<'a> {
    /// Divides the data of `frame`, whose head this is, into its columns; `None` when the lengths do not add up.
    ///
    /// Checks no checksum: the data has been checked, and the text is before it is looked at.
    pub fn parse(head: &Head<'_>, frame: &'a [u8]) -> Option<Self> {
        let lines = head.lines as usize;
        let text = frame.get(head.text_range())?;
        let mut rest = frame.get(head.data_range())?;
        let mut take = |bytes: usize| {
            let (column, after) = rest.split_at_checked(bytes)?;
            rest = after;
            Some(column)
        };
        let ends = take(lines.checked_mul(4)?)?;
        let mut mask_column = |mask: u8| {
            Some(if mask.count_ones() > 1 {
                Column::Each(take(lines)?)
            } else {
                Column::Same(mask.checked_ilog2().unwrap_or(0) as u8)
            })
        };
        let levels = mask_column(head.levels)?;
        let streams = mask_column(head.streams)?;
        let flags =
            if head.columns & COLUMN_FLAGS != 0 { Column::Each(take(lines)?) } else { Column::Same(0) };
        let times = if head.columns & COLUMN_TIMES_PLAIN != 0 {
            Times::Plain(take(lines.checked_mul(8)?)?)
        } else if head.columns & COLUMN_TIMES_DELTA != 0 {
            Times::Delta(head.min_time, take(lines.checked_mul(4)?)?)
        } else {
            Times::Same(head.min_time)
        };
        let sums = 4 * text.len().div_ceil(TEXT_BLOCK_BYTES);
        (rest.len() == sums).then_some(Self { text, ends, levels, streams, flags, times })
    }

    /// Returns how many lines there are.
    pub fn len(&self) -> usize {
        self.ends.len() / 4
    }

    /// Returns where line `index` begins in the packed text.
    pub fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |previous| self.end(previous) + 1)
    }

    /// Returns where line `index` ends in the packed text: the place of its '\n'.
    fn end(&self, index: usize) -> usize {
        u32_at(self.ends, index * 4) as usize
    }

    /// Returns where line `index` lies in the packed text.
    pub fn range(&self, index: usize) -> Range<usize> {
        self.start(index)..self.end(index)
    }

    /// Returns the bytes of line `index`, without a line end.
    pub fn line(&self, index: usize) -> &'a [u8] {
        self.text.get(self.range(index)).unwrap_or_default()
    }

    /// Returns the line that the byte at `offset` of the packed text belongs to, searching from line `from` on.
    pub fn line_at(&self, offset: usize, from: usize) -> usize {
        let (mut low, mut step) = (from, 1);
        while low + step < self.len() && self.end(low + step - 1) < offset {
            low += step;
            step *= 2;
        }
        let mut high = (low + step).min(self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.end(middle) < offset { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Returns the number of the level of line `index`, below eight.
    pub fn level(&self, index: usize) -> u8 {
        self.levels.get(index) & 7
    }

    /// Returns the number of the stream of line `index`, below eight.
    pub fn stream(&self, index: usize) -> u8 {
        self.streams.get(index) & 7
    }

    /// Returns the flags of line `index`, as the batch had them.
    pub fn flag_bits(&self, index: usize) -> u8 {
        self.flags.get(index)
    }

    /// Returns whether the end of line `index` had not been seen.
    pub fn is_partial(&self, index: usize) -> bool {
        self.flags.get(index) & PARTIAL != 0
    }

    /// Returns whether line `index` continues the event of the line before.
    pub fn is_continued(&self, index: usize) -> bool {
        self.flags.get(index) & CONTINUES != 0
    }

    /// Returns when line `index` was seen, in nanoseconds since the Unix epoch.
    pub fn time(&self, index: usize) -> i64 {
        match self.times {
            Times::Same(time) => time,
            Times::Delta(base, deltas) => base.saturating_add(u32_at(deltas, index * 4).into()),
            Times::Plain(times) => u64_at(times, index * 8) as i64,
        }
    }
}

impl Column<'_> {
    fn get(&self, index: usize) -> u8 {
        match self {
            Self::Same(value) => *value,
            Self::Each(values) => values.get(index).copied().unwrap_or(0),
        }
    }
}

/// Returns the columns of a frame whose numbers mostly grow from line to line: where each begins in the frame, and how
/// many u32 it has.
pub(super) fn number_columns(head: &Head<'_>) -> impl Iterator<Item = (usize, u32)> {
    let data = head.data_range();
    let sums = 4 * (head.text_bytes as usize).div_ceil(TEXT_BLOCK_BYTES);
    // Times are the last column.
    let times = (head.columns & (COLUMN_TIMES_DELTA | COLUMN_TIMES_PLAIN) == COLUMN_TIMES_DELTA)
        .then(|| data.end.checked_sub(sums + 4 * head.lines as usize))
        .flatten();
    [Some(data.start), times].into_iter().flatten().map(|from| (from, head.lines))
}

/// Appends the frame of `batch` to `out`, and leaves `out` as it was when the batch is refused.
pub(super) fn encode_lines(
    out: &mut Vec<u8>,
    epoch: u32,
    first: Seq,
    batch: &Batch<'_>,
) -> Result<(), StoreError> {
    batch.check()?;
    let level = |&number: &u8| Level::from_u8(number) as u8;
    let levels = batch.levels.iter().fold(0u8, |mask, number| mask | 1 << level(number));
    let streams = batch.streams.iter().fold(0u8, |mask, number| mask | 1 << number);
    let flags = batch.flags.iter().fold(0u8, |all, flag| all | flag) & FLAGS;
    let min_time = batch.times.iter().copied().min().unwrap_or(0);
    let max_time = batch.times.iter().copied().max().unwrap_or(0);
    let times = match max_time.checked_sub(min_time) {
        Some(0) => 0,
        Some(spread) if u32::try_from(spread).is_ok() => COLUMN_TIMES_DELTA,
        _ => COLUMN_TIMES_PLAIN,
    };

    let start = begin(out, batch.process.as_str());
    // Each line before has added one '\n'.
    out.extend(batch.ends.iter().zip(0u32..).flat_map(|(end, index)| (end + index).to_le_bytes()));
    if levels.count_ones() > 1 {
        out.extend(batch.levels.iter().map(level));
    }
    if streams.count_ones() > 1 {
        out.extend_from_slice(batch.streams);
    }
    if flags != 0 {
        out.extend(batch.flags.iter().map(|flag| flag & FLAGS));
    }
    match times {
        COLUMN_TIMES_DELTA => {
            out.extend(batch.times.iter().flat_map(|time| ((time - min_time) as u32).to_le_bytes()));
        }
        COLUMN_TIMES_PLAIN => out.extend(batch.times.iter().flat_map(|time| time.to_le_bytes())),
        _ => {}
    }
    let text_bytes = encode_text(out, epoch, batch);

    let head = &mut out[start..start + HEAD_BYTES];
    head[16] = Kind::Lines as u8;
    head[18] = levels;
    head[19] = streams;
    head[20] = if flags != 0 { COLUMN_FLAGS } else { 0 } | times;
    put_u64(head, 24, batch.run.0);
    put_u64(head, 32, first.0);
    put_u32(head, 40, batch.ends.len() as u32);
    put_u64(head, 48, min_time as u64);
    put_u64(head, 56, max_time as u64);
    put_u64(head, 64, batch.position.stdout);
    put_u64(head, 72, batch.position.stderr);
    put_u64(head, 80, batch.position.lines);
    finish(out, start, text_bytes, epoch);
    Ok(())
}

/// Appends the checksums of the text and the text itself, and returns the length of the text.
fn encode_text(out: &mut Vec<u8>, epoch: u32, batch: &Batch<'_>) -> usize {
    let text_bytes = batch.text.len() + batch.ends.len();
    let sums = out.len();
    out.resize(sums + 4 * text_bytes.div_ceil(TEXT_BLOCK_BYTES), 0);
    let text = out.len();
    let mut from = 0;
    for &end in batch.ends {
        out.extend_from_slice(&batch.text[from..end as usize]);
        out.push(b'\n');
        from = end as usize;
    }
    let (data, text) = out.split_at_mut(text);
    for (number, block) in text.chunks(TEXT_BLOCK_BYTES).enumerate() {
        put_u32(data, sums + 4 * number, checksum(epoch, &[block]));
    }
    text_bytes
}
