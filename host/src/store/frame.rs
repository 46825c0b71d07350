//! The bytes of one frame: a head, data, and text, each with checksums of its own.
//!
//! Pure: bytes in, bytes out, no files. Bytes that do not check are `None`, never a panic.
//!
//! All numbers are little-endian:
//!
//! ```text
//!  0 magic            4     24 run            8     64 spool position:
//!  4 head checksum    4     32 first sequence 8        stdout  8
//!  8 data checksum    4     40 lines          4        stderr  8
//! 12 body length      4     44 text length    4        lines   8
//! 16 kind             1     48 earliest time  8     88 process name
//! 17 name length      1     56 latest time    8     .. body: data, then text
//! 18 mask of levels   1
//! 19 mask of streams  1     data of lines: ends u32; then levels u8, streams u8, flags u8 and
//! 20 columns          1       times, each only where lines differ; then a checksum u32 for each
//! 21 zero             3       block of text. Each line of the text is followed by '\n'.
//! ```
//!
//! Data comes before text, and text is checked by block, so that a few lines of a large frame can be found and given
//! without reading all of it.
//!
//! Checksums start from the log's epoch, so that a frame of another log, or one printed by a child into this one, is
//! never taken for a frame of this log.

use std::ops::Range;

use crate::bounds;
use crate::model::{RunId, Seq, SpoolPosition};

/// Most bytes of a frame's body; larger lengths are damage.
pub(super) const BODY_BYTES: usize = 32 << 20;
/// Bytes of text under one checksum.
pub(super) const TEXT_BLOCK_BYTES: usize = 16 << 10;
/// Bytes of a head before the process name.
pub(super) const HEAD_BYTES: usize = 88;
/// Most bytes of a head with the process name.
pub(super) const HEAD_MAX_BYTES: usize = HEAD_BYTES + bounds::PROCESS_NAME_MAX + bounds::REPLICA_SUFFIX_MAX;
/// How a frame begins; the first byte never occurs in UTF-8, which makes searching for it cheap.
pub(super) const MAGIC: [u8; 4] = [0xf5, b'O', b'L', b'F'];

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lines of one run.
    Lines,
    /// The spool positions of all runs at the segment's beginning.
    Positions,
    /// The extents of the segment that ends with it.
    Index,
    /// Compressed frames: see `block`.
    Block,
}

impl Kind {
    fn from_u8(number: u8) -> Option<Self> {
        [Self::Lines, Self::Positions, Self::Index, Self::Block]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// A frame's head, checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    pub kind: Kind,
    pub process: &'a str,
    pub run: RunId,
    pub first: Seq,
    pub lines: u32,
    /// Bit `n` is set when a line has level number `n`.
    pub levels: u8,
    /// Bit `n` is set when a line is of stream number `n`.
    pub streams: u8,
    pub min_time: i64,
    pub max_time: i64,
    pub position: SpoolPosition,
    pub columns: u8,
    pub text_bytes: u32,
    body_bytes: u32,
    data_checksum: u32,
}

impl<'a> Head<'a> {
    /// Reads the head at the start of `bytes`; `None` when it is not a whole and undamaged one of the log `epoch`.
    pub fn parse(bytes: &'a [u8], epoch: u32) -> Option<Self> {
        let fixed = bytes.get(..HEAD_BYTES)?;
        let name = bytes.get(HEAD_BYTES..HEAD_BYTES + usize::from(fixed[17]))?;
        if fixed[..4] != MAGIC || u32_at(fixed, 4) != checksum(epoch, &[&fixed[8..], name]) {
            return None;
        }
        let head = Self {
            kind: Kind::from_u8(fixed[16])?,
            process: std::str::from_utf8(name).ok()?,
            run: RunId(u64_at(fixed, 24)),
            first: Seq(u64_at(fixed, 32)),
            lines: u32_at(fixed, 40),
            levels: fixed[18],
            streams: fixed[19],
            min_time: u64_at(fixed, 48) as i64,
            max_time: u64_at(fixed, 56) as i64,
            position: SpoolPosition {
                stdout: u64_at(fixed, 64),
                stderr: u64_at(fixed, 72),
                lines: u64_at(fixed, 80),
            },
            columns: fixed[20],
            text_bytes: u32_at(fixed, 44),
            body_bytes: u32_at(fixed, 12),
            data_checksum: u32_at(fixed, 8),
        };
        let sane = head.body_bytes as usize <= BODY_BYTES
            && head.text_bytes <= head.body_bytes
            && head.first.0.checked_add(head.lines.into()).is_some();
        sane.then_some(head)
    }

    /// Returns how many bytes the head takes.
    pub fn head_bytes(&self) -> usize {
        HEAD_BYTES + self.process.len()
    }

    /// Returns how many bytes the whole frame takes.
    pub fn frame_bytes(&self) -> usize {
        self.head_bytes() + self.body_bytes as usize
    }

    /// Returns the sequence number after the frame's last line.
    pub fn next(&self) -> Seq {
        Seq(self.first.0 + u64::from(self.lines))
    }

    /// Returns where the data lies in the frame.
    pub fn data_range(&self) -> Range<usize> {
        self.head_bytes()..self.frame_bytes() - self.text_bytes as usize
    }

    /// Returns where the text lies in the frame.
    pub fn text_range(&self) -> Range<usize> {
        self.data_range().end..self.frame_bytes()
    }

    /// Returns the data out of `frame`, whose head this is; `None` when it is cut short or damaged.
    pub fn data<'f>(&self, frame: &'f [u8], epoch: u32) -> Option<&'f [u8]> {
        let data = frame.get(self.data_range())?;
        (checksum(epoch, &[data]) == self.data_checksum).then_some(data)
    }

    /// Returns whether the blocks of text that have a byte of `range` check; the data was checked before.
    pub fn text_checks(&self, frame: &[u8], range: Range<usize>, epoch: u32) -> bool {
        let (Some(data), Some(text)) = (frame.get(self.data_range()), frame.get(self.text_range())) else {
            return false;
        };
        let Some(sums) = data.len().checked_sub(4 * text.len().div_ceil(TEXT_BLOCK_BYTES)) else {
            return false;
        };
        let blocks = text.chunks(TEXT_BLOCK_BYTES).enumerate();
        blocks
            .take(range.end.div_ceil(TEXT_BLOCK_BYTES))
            .skip(range.start / TEXT_BLOCK_BYTES)
            .all(|(number, block)| checksum(epoch, &[block]) == u32_at(data, sums + 4 * number))
    }

    /// Returns whether all of `frame`, whose head this is, is there and undamaged.
    pub fn is_whole(&self, frame: &[u8], epoch: u32) -> bool {
        self.data(frame, epoch).is_some() && self.text_checks(frame, 0..self.text_bytes as usize, epoch)
    }
}

/// Appends a frame that belongs to no run: `kind` with the bytes that `write` appends as its body.
pub(super) fn encode_other(
    out: &mut Vec<u8>,
    epoch: u32,
    kind: Kind,
    first: Seq,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let start = begin(out, "");
    write(out);
    let head = &mut out[start..start + HEAD_BYTES];
    head[16] = kind as u8;
    put_u64(head, 32, first.0);
    finish(out, start, 0, epoch);
}

/// Makes room for a head and appends the name; returns where the frame starts.
pub(super) fn begin(out: &mut Vec<u8>, process: &str) -> usize {
    let start = out.len();
    out.resize(start + HEAD_BYTES, 0);
    out[start..start + 4].copy_from_slice(&MAGIC);
    out[start + 17] = process.len() as u8;
    out.extend_from_slice(process.as_bytes());
    start
}

/// Fills in the lengths and the checksums, once all else stands and the last `text_bytes` bytes are the text.
pub(super) fn finish(out: &mut [u8], start: usize, text_bytes: usize, epoch: u32) {
    let frame = &mut out[start..];
    let name_bytes = usize::from(frame[17]);
    let (head, body) = frame.split_at_mut(HEAD_BYTES + name_bytes);
    put_u32(head, 12, body.len() as u32);
    put_u32(head, 44, text_bytes as u32);
    put_u32(head, 8, checksum(epoch, &[&body[..body.len() - text_bytes]]));
    let sum = checksum(epoch, &[&head[8..]]);
    put_u32(head, 4, sum);
}

/// Returns the CRC-32 of `parts` one after the other, starting from `epoch`.
pub(super) fn checksum(epoch: u32, parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(epoch);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

/// Reads a number; zero where `bytes` is too short, which a checksum has ruled out.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// Reads a number; zero where `bytes` is too short, which a checksum has ruled out.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

pub(super) fn put_u32(bytes: &mut [u8], offset: usize, number: u32) {
    bytes[offset..offset + 4].copy_from_slice(&number.to_le_bytes());
}

pub(super) fn put_u64(bytes: &mut [u8], offset: usize, number: u64) {
    bytes[offset..offset + 8].copy_from_slice(&number.to_le_bytes());
}
