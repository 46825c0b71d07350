//! One segment file: its header, its own index at the end, and the walk over its frames.
//!
//! Reads only; `writer` writes what the functions here lay out. Never decides what becomes of damage: it says where
//! it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::memmem;

use crate::model::{RunId, Seq, SpoolPosition, Time};

use super::block;
use super::frame::{
    self, HEAD_BYTES, HEAD_MAX_BYTES, Head, Kind, MAGIC, checksum, put_u32, put_u64, u32_at, u64_at,
};
use super::index::{Extent, Shares, decode_extents, decode_packed};

/// The newest format of segments this program writes and reads: packed, with steps for numbers. Without steps it was
/// the second; each block says itself which it is.
pub(super) const FORMAT: u32 = 3;
/// The format of plain segments.
const PLAIN_FORMAT: u32 = 1;
/// Bytes of a segment's header.
pub(super) const HEADER_BYTES: u64 = 40;
/// What the name of a segment file ends with.
const SUFFIX: &str = ".seg";
/// How a segment file begins.
const FILE_MAGIC: [u8; 8] = *b"ostler\xf5\n";
/// How a sealed segment ends, after the place of its index.
const END_MAGIC: [u8; 8] = *b"index\xf5\r\n";
/// Bytes of a spool position in a positions frame.
const POSITION_BYTES: usize = 32;
/// Bytes read at a time when only frame heads matter.
const HEADS_WINDOW: usize = 16 << 10;
/// Bytes read at a time when everything is checked.
const CHECK_WINDOW: usize = 1 << 20;

/// Returns the file name of the segment that begins with `first`.
pub(super) fn file_name(first: Seq) -> String {
    format!("{:016x}{SUFFIX}", first.0)
}

/// Returns the sequence number in a segment's file name; `None` for any other name.
pub(super) fn first_of_name(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 16)?;
    let first = u64::from_str_radix(digits, 16).ok()?;
    // A file of that name is not ours, and counting on from it would overflow.
    (first <= u64::MAX / 2).then_some(Seq(first))
}

/// What stands at the beginning of a segment file.
pub(super) enum Header {
    Known { epoch: u32, packed: bool },
    Newer { format: u32 },
    Damaged,
}

impl Header {
    pub fn read(file: &File) -> io::Result<Self> {
        let mut bytes = [0; HEADER_BYTES as usize];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Self::Damaged),
            other => other?,
        }
        let format = u32_at(&bytes, 8);
        Ok(if bytes[..8] != FILE_MAGIC || u32_at(&bytes, 36) != checksum(0, &[&bytes[..36]]) {
            Self::Damaged
        } else if format > FORMAT {
            Self::Newer { format }
        } else {
            Self::Known { epoch: u32_at(&bytes, 12), packed: format > PLAIN_FORMAT }
        })
    }

    /// Appends the header of a segment that begins with `first`, plain or packed.
    ///
    /// Magic, format, epoch, first sequence number, time of creation, zero, checksum: later formats keep the first
    /// two and the last, so that this program can tell them from damage.
    pub fn encode(out: &mut Vec<u8>, epoch: u32, first: Seq, packed: bool) {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&FILE_MAGIC);
        put_u32(&mut bytes, 8, if packed { FORMAT } else { PLAIN_FORMAT });
        put_u32(&mut bytes, 12, epoch);
        put_u64(&mut bytes, 16, first.0);
        put_u64(&mut bytes, 24, Time::now().0 as u64);
        let sum = checksum(0, &[&bytes[..36]]);
        put_u32(&mut bytes, 36, sum);
        out.extend_from_slice(&bytes);
    }
}

/// Returns whether the segment begins with a block, as packed ones do; for those whose header is damaged.
pub(super) fn begins_with_block(file: &File, epoch: u32) -> bool {
    let mut bytes = [0; HEAD_BYTES];
    file.read_exact_at(&mut bytes, HEADER_BYTES).is_ok()
        && Head::parse(&bytes, epoch).is_some_and(|head| head.kind == Kind::Block)
}

/// Appends the frame with the spool positions of all runs, which follows the header of a plain segment, and the
/// blocks of a packed one.
pub(super) fn encode_positions(
    out: &mut Vec<u8>,
    epoch: u32,
    first: Seq,
    positions: impl Iterator<Item = (RunId, SpoolPosition)>,
) {
    let most = frame::BODY_BYTES / POSITION_BYTES;
    frame::encode_other(out, epoch, Kind::Positions, first, |body| {
        for (run, position) in positions.take(most) {
            let numbers = [run.0, position.stdout, position.stderr, position.lines];
            numbers.iter().for_each(|number| body.extend_from_slice(&number.to_le_bytes()));
        }
    });
}

/// Reads the data of a positions frame.
pub(super) fn decode_positions(data: &[u8]) -> impl Iterator<Item = (RunId, SpoolPosition)> {
    data.chunks_exact(POSITION_BYTES).map(|entry| {
        let number = |index: usize| u64_at(entry, 8 * index);
        (RunId(number(0)), SpoolPosition { stdout: number(1), stderr: number(2), lines: number(3) })
    })
}

/// Appends a sealed segment's own index, which is to stand at `offset` and to end the file.
pub(super) fn encode_index(
    out: &mut Vec<u8>,
    epoch: u32,
    next: Seq,
    offset: u64,
    extents: impl FnOnce(&mut Vec<u8>),
) {
    frame::encode_other(out, epoch, Kind::Index, next, |body| {
        extents(body);
        body.extend_from_slice(&offset.to_le_bytes());
        body.extend_from_slice(&END_MAGIC);
    });
}

/// A sealed segment's own index.
pub(super) struct SealedIndex {
    pub extents: Vec<Extent>,
    pub shares: Shares,
    /// The sequence number after the segment's last line.
    pub next: Seq,
}

impl SealedIndex {
    /// Reads the index at the end of the file; `None` when there is none or it does not check.
    pub fn read(file: &File, file_bytes: u64, epoch: u32, packed: bool) -> Option<Self> {
        let mut trailer = [0; 16];
        file.read_exact_at(&mut trailer, file_bytes.checked_sub(16)?).ok()?;
        let offset = u64_at(&trailer, 0);
        let bytes = usize::try_from(file_bytes.checked_sub(offset)?).ok()?;
        if trailer[8..] != END_MAGIC || bytes > HEAD_BYTES + frame::BODY_BYTES {
            return None;
        }
        let mut frame = vec![0; bytes];
        file.read_exact_at(&mut frame, offset).ok()?;
        let head = Head::parse(&frame, epoch)
            .filter(|head| head.kind == Kind::Index && head.frame_bytes() == bytes)?;
        let data = head.data(&frame, epoch)?;
        let data = &data[..data.len().checked_sub(16)?];
        let (extents, shares) = if packed {
            decode_packed(data, offset)?
        } else {
            (decode_extents(data, offset)?, Shares::new())
        };
        Some(Self { extents, shares, next: head.first })
    }
}

/// How much of each frame a walk checks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Heads only; the rest is checked when it is read.
    Heads,
    Everything,
}

/// What a walk comes upon.
pub(super) enum Found<'a> {
    /// A whole frame at `offset`; `frame` are its bytes when everything is checked, else only its head's.
    Frame { head: Head<'a>, offset: u64, frame: &'a [u8] },
    /// Bytes that are no frame, with a frame after them.
    Damage { offset: u64, bytes: u64 },
}

/// Walks over the frames of a segment of the log `epoch`, and returns where the last whole one ends.
///
/// Damaged bytes are skipped up to the next frame that checks wholly and whose lines come later than those before
/// it. Errors are those of reading the file.
pub(super) fn walk(
    file: &File,
    file_bytes: u64,
    epoch: u32,
    check: Check,
    mut found: impl FnMut(Found<'_>),
) -> io::Result<u64> {
    let window = if check == Check::Heads { HEADS_WINDOW } else { CHECK_WINDOW };
    let mut window = Window { file, file_bytes, size: window, buffer: Vec::new(), start: 0 };
    let mut good_end = HEADER_BYTES.min(file_bytes);
    let mut next = Seq::default();
    let mut offset = good_end;
    while offset < file_bytes {
        // After damage nothing is believed that does not check wholly.
        let check = if offset == good_end { check } else { Check::Everything };
        match frame_at(&mut window, offset, epoch, check, next)? {
            Ok(bytes) => {
                if offset > good_end {
                    found(Found::Damage { offset: good_end, bytes: offset - good_end });
                }
                let frame = window.at(offset, if check == Check::Heads { HEAD_MAX_BYTES } else { bytes })?;
                let Some(head) = Head::parse(frame, epoch) else {
                    return Err(io::Error::other("the file changed while it was read"));
                };
                next = head.next();
                found(Found::Frame { head, offset, frame });
                offset += bytes as u64;
                good_end = offset;
            }
            Err(skip) => offset = window.find_magic(offset + skip as u64)?,
        }
    }
    Ok(good_end)
}

/// Returns the size of the frame at `offset`, or how far to skip when there is none that checks.
fn frame_at(
    window: &mut Window<'_>,
    offset: u64,
    epoch: u32,
    check: Check,
    next: Seq,
) -> io::Result<Result<usize, usize>> {
    let left = window.file_bytes - offset;
    let Some(head) = Head::parse(window.at(offset, HEAD_MAX_BYTES)?, epoch) else { return Ok(Err(1)) };
    let bytes = head.frame_bytes();
    if bytes as u64 > left || head.first < next {
        return Ok(Err(1));
    }
    if check == Check::Heads {
        return Ok(Ok(bytes));
    }
    let frame = window.at(offset, bytes)?;
    let whole = Head::parse(frame, epoch).is_some_and(|head| match head.kind {
        Kind::Block => block::is_whole(frame, epoch),
        _ => head.is_whole(frame, epoch),
    });
    // The head checks, so its length is right, and what lies in the damaged body is not searched for frames.
    Ok(if whole { Ok(bytes) } else { Err(bytes) })
}

/// A stretch of a file in memory that follows the walk.
struct Window<'f> {
    file: &'f File,
    file_bytes: u64,
    size: usize,
    buffer: Vec<u8>,
    start: u64,
}

impl Window<'_> {
    /// Returns `bytes` bytes from `offset` on, fewer where the file ends.
    fn at(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.file_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let bytes = bytes.min(left);
        let inside = offset >= self.start && offset + bytes as u64 <= self.start + self.buffer.len() as u64;
        if !inside {
            self.buffer.resize(bytes.max(self.size).min(left), 0);
            self.start = offset;
            self.file.read_exact_at(&mut self.buffer, offset)?;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.buffer[from..from + bytes])
    }

    /// Returns where a frame may begin at or after `offset`: the end of the file when nowhere.
    fn find_magic(&mut self, mut offset: u64) -> io::Result<u64> {
        while offset < self.file_bytes {
            let stretch = self.at(offset, self.size)?;
            if let Some(place) = memmem::find(stretch, &MAGIC) {
                return Ok(offset + place as u64);
            }
            // The magic may lie across the border of two stretches.
            let step = stretch.len().saturating_sub(MAGIC.len() - 1).max(1);
            offset += step as u64;
        }
        Ok(self.file_bytes)
    }
}
