//! The index in memory: which stretch of which segment may hold what a query looks for.
//!
//! Plain data; it says "may hold" or "cannot hold" and never reads a file. `writer` and `recovery` build it, `reader`
//! walks a snapshot of it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Level, ProcessName, RunId, Seq, SpoolPosition};

use super::frame::{Head, u32_at, u64_at};

/// Most bytes of several frames in one extent; a larger frame is an extent of its own.
const EXTENT_BYTES: u32 = 256 << 10;
/// Bytes of an extent in a plain segment's own index.
const EXTENT_ENCODED_BYTES: usize = 80;
/// Bytes of an extent in a packed segment's own index: lines and bytes of the image follow.
const BLOCK_ENCODED_BYTES: usize = EXTENT_ENCODED_BYTES + 8;

/// Consecutive frames of one segment: in a plain one their lines have consecutive sequence numbers, in a packed one,
/// where they are one block, lines may have been taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    /// Where the first frame, or the block, begins in the file, in bytes.
    pub offset: u64,
    /// How many bytes it has in the file.
    pub bytes: u32,
    /// How many bytes a block has once unpacked; none for plain frames.
    pub image_bytes: Option<u32>,
    /// How many lines it has, from `first` to `last`.
    pub lines: u32,
    pub first: Seq,
    pub last: Seq,
    pub min_time: i64,
    pub max_time: i64,
    pub min_run: u64,
    pub max_run: u64,
    /// A bit for each process name.
    names: u64,
    /// A bit for each pair of process name and level.
    pairs: u64,
    /// Bit `n` is set when a line has level number `n`.
    pub levels: u8,
    /// Bit `n` is set when a line is of stream number `n`.
    pub streams: u8,
}

impl Extent {
    /// Returns the extent of a single frame of lines.
    pub fn of(head: &Head<'_>, offset: u64) -> Self {
        Self {
            offset,
            bytes: head.frame_bytes() as u32,
            image_bytes: None,
            lines: head.lines,
            first: head.first,
            // A head without lines at the very beginning is no extent, but may be read.
            last: Seq(head.next().0.saturating_sub(1)),
            min_time: head.min_time,
            max_time: head.max_time,
            min_run: head.run.0,
            max_run: head.run.0,
            names: name_bit(head.process),
            pairs: pair_bits(head.process, head.levels),
            levels: head.levels,
            streams: head.streams,
        }
    }

    /// Returns the extent of a block, whose head leaves some of it to its data; `None` when the two do not agree.
    pub fn of_block(
        head: &Head<'_>,
        offset: u64,
        last: Seq,
        runs: RangeInclusive<u64>,
        (names, pairs): (u64, u64),
        image_bytes: usize,
    ) -> Option<Self> {
        let image_bytes = Some(u32::try_from(image_bytes).ok()?);
        let (min_run, max_run) = runs.into_inner();
        let extent = Self { image_bytes, last, min_run, max_run, names, pairs, ..Self::of(head, offset) };
        extent.is_sane().then_some(extent)
    }

    fn is_sane(&self) -> bool {
        let span = self.last.0.checked_sub(self.first.0);
        self.last.0 < u64::MAX && self.lines > 0 && span.is_some_and(|span| span >= u64::from(self.lines) - 1)
    }

    /// Returns whether there are numbers from `first` to `last` that no line has.
    pub fn has_holes(&self) -> bool {
        self.last.0 - self.first.0 >= self.lines.into()
    }

    /// Returns the bits of the names in it.
    pub fn names(&self) -> u64 {
        self.names
    }

    /// Returns the bits of the pairs of name and level in it.
    pub fn pairs(&self) -> u64 {
        self.pairs
    }

    /// Returns whether lines of `process` may be in here.
    pub fn may_name(&self, process: &ProcessName) -> bool {
        self.names & name_bit(process.as_str()) != 0
    }

    /// Takes the frame in when it follows directly and fits; returns whether it did.
    fn absorb(&mut self, next: &Self) -> bool {
        let follows = self.offset + u64::from(self.bytes) == next.offset && self.last.0 + 1 == next.first.0;
        if !follows || self.bytes.saturating_add(next.bytes) > EXTENT_BYTES {
            return false;
        }
        self.bytes += next.bytes;
        self.widen(next);
        true
    }

    /// Takes in what is said of the lines of a frame that comes later.
    pub fn widen(&mut self, next: &Self) {
        self.lines = self.lines.saturating_add(next.lines);
        self.last = next.last;
        self.min_time = self.min_time.min(next.min_time);
        self.max_time = self.max_time.max(next.max_time);
        self.min_run = self.min_run.min(next.min_run);
        self.max_run = self.max_run.max(next.max_run);
        self.names |= next.names;
        self.pairs |= next.pairs;
        self.levels |= next.levels;
        self.streams |= next.streams;
    }

    /// Returns whether a line of one of `processes` at one of the levels in the mask may be in here.
    pub fn may_hold(&self, processes: &[ProcessName], levels: u8) -> bool {
        processes.iter().any(|process| {
            self.names & name_bit(process.as_str()) != 0
                && self.pairs & pair_bits(process.as_str(), levels & self.levels) != 0
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&[self.levels, self.streams, 0, 0]);
        let numbers = [
            self.first.0,
            self.last.0,
            self.min_time as u64,
            self.max_time as u64,
            self.min_run,
            self.max_run,
            self.names,
            self.pairs,
        ];
        numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        if let Some(image_bytes) = self.image_bytes {
            out.extend_from_slice(&self.lines.to_le_bytes());
            out.extend_from_slice(&image_bytes.to_le_bytes());
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |index: usize| u64_at(bytes, 16 + 8 * index);
        let is_block = bytes.len() == BLOCK_ENCODED_BYTES;
        let span = number(1).checked_sub(number(0))?.checked_add(1)?;
        let lines = if is_block { u32_at(bytes, EXTENT_ENCODED_BYTES) } else { u32::try_from(span).ok()? };
        let extent = Self {
            offset: u64_at(bytes, 0),
            bytes: u32_at(bytes, 8),
            image_bytes: is_block.then(|| u32_at(bytes, EXTENT_ENCODED_BYTES + 4)),
            lines,
            levels: bytes[12],
            streams: bytes[13],
            first: Seq(number(0)),
            last: Seq(number(1)),
            min_time: number(2) as i64,
            max_time: number(3) as i64,
            min_run: number(4),
            max_run: number(5),
            names: number(6),
            pairs: number(7),
        };
        extent.is_sane().then_some(extent)
    }
}

/// One segment file and its extents in order.
///
/// The file stays readable through its descriptor after retention has deleted its name.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// Different for every file that is opened or written.
    pub id: u64,
    pub path: PathBuf,
    pub file: Arc<File>,
    /// The sequence number the segment was begun at; also its file name.
    pub first: Seq,
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// Its frames are in blocks.
    pub packed: bool,
    pub extents: Vec<Extent>,
    /// Of a packed segment: how many bytes of it are each process's, by its share of the text.
    pub shares: Shares,
}

/// Bytes by process.
pub(super) type Shares = BTreeMap<ProcessName, u64>;

impl Segment {
    /// Returns a number no segment has had.
    pub fn new_id() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes in a frame of lines that stands at `offset`; frames without lines need no index.
    pub fn push(&mut self, head: &Head<'_>, offset: u64) {
        if head.lines == 0 {
            return;
        }
        let extent = Extent::of(head, offset);
        if !self.extents.last_mut().is_some_and(|last| last.absorb(&extent)) {
            self.extents.push(extent);
        }
    }

    /// Appends the extents, and of a packed segment the shares, in the form they have at the end of a sealed one.
    pub fn encode_index(&self, out: &mut Vec<u8>) {
        self.extents.iter().for_each(|extent| extent.encode(out));
        if self.packed {
            let begin = out.len();
            for (process, bytes) in &self.shares {
                out.extend_from_slice(&bytes.to_le_bytes());
                out.push(process.as_str().len() as u8);
                out.extend_from_slice(process.as_str().as_bytes());
            }
            let length = (out.len() - begin) as u32;
            out.extend_from_slice(&length.to_le_bytes());
        }
    }

    /// Returns the moment of its earliest line and that of its latest; `None` when it has no lines.
    pub fn times(&self) -> Option<(i64, i64)> {
        let min = self.extents.iter().map(|extent| extent.min_time).min()?;
        Some((min, self.extents.iter().map(|extent| extent.max_time).max()?))
    }

    /// Returns how many lines it has.
    pub fn lines(&self) -> u64 {
        self.extents.iter().map(|extent| u64::from(extent.lines)).sum()
    }
}

/// Reads extents and shares at the end of a packed segment, as `decode_extents` does those of a plain one.
pub(super) fn decode_packed(bytes: &[u8], end: u64) -> Option<(Vec<Extent>, Shares)> {
    let (rest, length) = bytes.split_last_chunk::<4>()?;
    let (extents, mut rest) = rest.split_at(rest.len().checked_sub(u32::from_le_bytes(*length) as usize)?);
    let mut shares = Shares::new();
    while !rest.is_empty() {
        let (bytes, after) = rest.split_first_chunk::<8>()?;
        let (length, after) = after.split_first()?;
        let (name, after) = after.split_at_checked(usize::from(*length))?;
        let process = ProcessName::parse(std::str::from_utf8(name).ok()?).ok()?;
        shares.insert(process, u64::from_le_bytes(*bytes));
        rest = after;
    }
    Some((decode(extents, BLOCK_ENCODED_BYTES, end)?, shares))
}

/// Reads the extents at the end of a plain segment, all of which must lie before `end`; `None` when they do not.
pub(super) fn decode_extents(bytes: &[u8], end: u64) -> Option<Vec<Extent>> {
    decode(bytes, EXTENT_ENCODED_BYTES, end)
}

fn decode(bytes: &[u8], size: usize, end: u64) -> Option<Vec<Extent>> {
    let chunks = bytes.chunks_exact(size);
    if !chunks.remainder().is_empty() {
        return None;
    }
    let extents: Vec<_> = chunks.map(Extent::decode).collect::<Option<_>>()?;
    let inside =
        |extent: &Extent| extent.offset.checked_add(extent.bytes.into()).is_some_and(|last| last <= end);
    let ordered = extents.windows(2).all(|pair| pair[0].last < pair[1].first);
    (ordered && extents.iter().all(inside)).then_some(extents)
}

/// What readers see: published by the writer after each batch.
#[derive(Debug, Default)]
pub(super) struct State {
    /// All segments, the oldest first; the last one may be growing.
    pub segments: VecDeque<Arc<Segment>>,
    /// The last stored line, 0 when there was none yet.
    pub newest: Seq,
    pub positions: HashMap<RunId, SpoolPosition>,
    /// Lines for each level number since the store was opened.
    pub counts: HashMap<ProcessName, [u64; Level::ALL.len()]>,
}

impl State {
    /// Returns the oldest line that is still there, or the one to come when there is none.
    pub fn oldest(&self) -> Seq {
        let first = self.segments.iter().find_map(|segment| segment.extents.first());
        first.map_or(Seq(self.newest.0 + 1), |extent| extent.first)
    }

    /// Returns what there is at this moment; appends and retention do not change it any more.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { segments: self.segments.iter().cloned().collect(), newest: self.newest }
    }
}

/// The log at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub segments: Vec<Arc<Segment>>,
    pub newest: Seq,
}

impl Snapshot {
    /// Returns the extents that have a line from `lower` to `upper`, both included, in order.
    pub fn extents(&self, lower: u64, upper: u64) -> impl DoubleEndedIterator<Item = (&Segment, &Extent)> {
        // The last segment that begins at or before `lower` is the first that can have it.
        let from = self.segments.partition_point(|segment| segment.first.0 <= lower).saturating_sub(1);
        let to = self.segments.partition_point(|segment| segment.first.0 <= upper).max(from);
        self.segments[from..to].iter().flat_map(move |segment| {
            let extents = &segment.extents;
            let from = extents.partition_point(|extent| extent.last.0 < lower);
            let to = extents.partition_point(|extent| extent.first.0 <= upper).max(from);
            extents[from..to].iter().map(move |extent| (&**segment, extent))
        })
    }
}

/// FNV-1a, mixed so that names that differ only in their last character share no bits. The bits are stored in files,
/// hence no hash of the standard library's.
fn hash(process: &str) -> u64 {
    let hash = process.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let hash = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ hash >> 32
}

fn name_bit(process: &str) -> u64 {
    1 << (hash(process) & 63)
}

fn pair_bits(process: &str, levels: u8) -> u64 {
    let base = hash(process) >> 6;
    (0..8).filter(|level| levels & 1 << level != 0).fold(0, |bits, level| {
        // Steps of an odd number, so that the levels of one name never share a bit.
        bits | 1 << ((base + 11 * level) & 63)
    })
}
