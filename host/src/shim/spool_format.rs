//! The bytes of spool files, shared by writer and reader.
//!
//! A spool is a row of files `spool.000000`, `spool.000001` …; all of them together are one run-global row of
//! bytes, headers included. Each file is
//!
//! ```text
//! header   magic 8 · version u32 · index u32 · base u64 · bytes u64 · lines u64          40 bytes
//! frame*   length u32 · stream u8 · kind u8 · 0 u16 · time i64 · payload                 16 bytes + payload
//! ```
//!
//! `base` is the run-global place of the header's first byte; `bytes` and `lines` count the output that the frames
//! of all files before tell of, as data or as missing. The last frame of a closed file is of the kind `End` and has
//! the same counts as they are behind it: when files in between are dropped, the next header less this end is
//! exactly what went with them. Numbers are little-endian.

use std::path::{Path, PathBuf};

use super::wire::Fields;
use crate::bounds;
use crate::model::{Stream, Time};

pub(super) const FILE_HEADER: usize = 40;
pub(super) const FRAME_HEADER: usize = 16;
pub(super) const COUNT_BYTES: usize = 16;

const MAGIC: &[u8; 8] = b"OSTLSPOL";
const VERSION: u32 = 1;

/// An amount of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    pub bytes: u64,
    /// Newline characters.
    pub lines: u64,
}

impl Count {
    /// Counts a piece of output.
    pub fn of(payload: &[u8]) -> Self {
        // Sums of up to 255 fit into a byte, which lets the compiler count many bytes at once.
        let lines = payload
            .chunks(255)
            .map(|chunk| u64::from(chunk.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>()))
            .sum();
        Self { bytes: payload.len() as u64, lines }
    }

    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), lines: self.lines.saturating_add(other.lines) }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_sub(other.bytes), lines: self.lines.saturating_sub(other.lines) }
    }

    pub(super) fn to_bytes(self) -> [u8; COUNT_BYTES] {
        let mut out = [0; COUNT_BYTES];
        out[..8].copy_from_slice(&self.bytes.to_le_bytes());
        out[8..].copy_from_slice(&self.lines.to_le_bytes());
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        Some(Self { bytes: fields.u64()?, lines: fields.u64()? })
    }
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Output as it was read.
    Data = 1,
    /// The [`Count`] of output that could not be written.
    Gap = 2,
    /// The file ends here; the [`Count`] of all output so far.
    End = 3,
}

impl Kind {
    fn from_u8(number: u8) -> Option<Self> {
        [Self::Data, Self::Gap, Self::End].into_iter().find(|kind| *kind as u8 == number)
    }
}

/// The front of a spool file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) index: u32,
    pub(super) base: u64,
    pub(super) told: Count,
}

impl FileHeader {
    pub(super) fn encode(&self) -> [u8; FILE_HEADER] {
        let mut out = [0; FILE_HEADER];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.index.to_le_bytes());
        out[16..24].copy_from_slice(&self.base.to_le_bytes());
        out[24..].copy_from_slice(&self.told.to_bytes());
        out
    }

    /// Reads a header; an error is the sentence that says what is wrong with it.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut fields = Fields(bytes);
        if fields.take(MAGIC.len()) != Some(MAGIC) {
            return Err("is not a spool file".to_owned());
        }
        match fields.u32() {
            Some(VERSION) => {}
            found => return Err(format!("has version {found:?}, this daemon reads {VERSION}")),
        }
        let read = |fields: &mut Fields<'_>| {
            let (index, base) = (fields.u32()?, fields.u64()?);
            Some(Self { index, base, told: Count::from_bytes(fields.0)? })
        };
        read(&mut fields).ok_or_else(|| "has a header cut short".to_owned())
    }
}

/// The front of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) length: usize,
    pub(super) stream: Stream,
    pub(super) kind: Kind,
    pub(super) time: Time,
}

impl FrameHeader {
    pub(super) fn encode(&self) -> [u8; FRAME_HEADER] {
        let mut out = [0; FRAME_HEADER];
        // A payload is at most SPOOL_FRAME_BYTES long.
        out[..4].copy_from_slice(&(self.length as u32).to_le_bytes());
        out[4] = self.stream as u8;
        out[5] = self.kind as u8;
        out[8..].copy_from_slice(&self.time.0.to_le_bytes());
        out
    }

    /// Reads a header from at least [`FRAME_HEADER`] bytes; `None` when these are not the bytes of one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let length = fields.u32()? as usize;
        let stream = Stream::from_u8(fields.u8()?)?;
        let kind = Kind::from_u8(fields.u8()?)?;
        fields.take(2)?;
        let time = Time(fields.i64()?);
        let fits = match kind {
            Kind::Data => stream != Stream::Ostler && length <= bounds::SPOOL_FRAME_BYTES,
            Kind::Gap | Kind::End => length == COUNT_BYTES,
        };
        fits.then_some(Self { length, stream, kind, time })
    }
}

/// Returns the path of the spool file with this index.
pub(super) fn spool_path(run_dir: &Path, index: u32) -> PathBuf {
    run_dir.join(format!("spool.{index:06}"))
}

/// Returns the indices of the spool files in `run_dir`, in order.
pub(super) fn spool_indices(run_dir: &Path) -> std::io::Result<Vec<u32>> {
    let mut indices = Vec::new();
    for entry in std::fs::read_dir(run_dir)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix("spool."));
        indices.extend(digits.and_then(|digits| digits.parse::<u32>().ok()));
    }
    indices.sort_unstable();
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn newlines_are_counted_like_the_plain_way(payload in proptest::collection::vec(9u8..12, 0..2000)) {
            let lines = payload.iter().filter(|byte| **byte == b'\n').count() as u64;
            prop_assert_eq!(Count::of(&payload), Count { bytes: payload.len() as u64, lines });
        }

        #[test]
        fn headers_come_back_as_they_went(index: u32, base: u64, bytes: u64, lines: u64, time: i64, length in 0..=bounds::SPOOL_FRAME_BYTES) {
            let header = FileHeader { index, base, told: Count { bytes, lines } };
            prop_assert_eq!(FileHeader::decode(&header.encode()), Ok(header));
            let frame = FrameHeader { length, stream: Stream::Stderr, kind: Kind::Data, time: Time(time) };
            prop_assert_eq!(FrameHeader::decode(&frame.encode()), Some(frame));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = FileHeader::decode(&bytes);
            let _ = FrameHeader::decode(&bytes);
        }
    }

    #[test]
    fn a_chunk_of_newlines_only_does_not_overflow() {
        assert_eq!(Count::of(&[b'\n'; 70_000]).lines, 70_000);
    }
}
