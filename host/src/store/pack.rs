//! Rewriting a sealed segment: its frames go into blocks, and what is to go is left out.
//!
//! Writes a new file beside the old one and brings it to the device; never touches the old one, and never gives the
//! new one its name: that is `keeper`'s to do.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zstd::bulk::Decompressor;

use crate::model::{ProcessName, RunId, Seq, SpoolPosition};

use super::block::{self, Packer};
use super::columns::{Batch, Lines, encode_lines, number_columns};
use super::frame::{Head, Kind};
use super::index::{Extent, Segment, Shares};
use super::segment::{self, Check, Found, Header};
use super::steps::Numbers;

/// Most bytes of several frames in one block; a larger frame is a block of its own.
const BLOCK_BYTES: usize = 256 << 10;
/// Consecutive frames of one run are made one up to this size of text, because each costs a head.
const MERGED_BYTES: usize = 128 << 10;
/// Frames further apart than this, in nanoseconds, are not made one, so that age can tell them apart.
const MERGED_SPAN: i64 = 600_000_000_000;
/// Bytes written at a time.
const WRITE_BYTES: usize = 1 << 20;

/// Which lines are left out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Doomed<'a> {
    None,
    /// Those of these processes.
    Of(&'a [ProcessName]),
    /// Those of frames that are wholly earlier, in nanoseconds since the Unix epoch.
    Before(i64),
}

impl Doomed<'_> {
    fn takes(&self, head: &Head<'_>) -> bool {
        match self {
            Self::None => false,
            Self::Of(processes) => processes.iter().any(|process| process.as_str() == head.process),
            Self::Before(time) => head.max_time < *time,
        }
    }

    /// Returns whether it may take lines of this extent.
    pub fn may_take(&self, extent: &Extent) -> bool {
        match self {
            Self::None => false,
            Self::Of(processes) => processes.iter().any(|process| extent.may_name(process)),
            Self::Before(time) => extent.min_time < *time,
        }
    }
}

/// What is to be rewritten.
pub(super) struct Task<'a> {
    pub epoch: u32,
    pub segment: &'a Segment,
    /// Where the next segment begins.
    pub next: Seq,
    pub doomed: Doomed<'a>,
    /// Ends the work early.
    pub stop: &'a AtomicBool,
}

/// What came of it.
pub(super) struct Rewritten {
    /// The new segment, with the name of the old; `None` when no line is left, and there is no new file then.
    pub segment: Option<Segment>,
    /// Damaged places in the old one, whose lines are not in the new one.
    pub damaged: u64,
}

/// Writes the new segment at `path`.
///
/// # Errors
/// Those of reading and writing, `Interrupted` when it was to stop. What was written is left there.
pub(super) fn rewrite(task: &Task<'_>, path: &Path) -> io::Result<Rewritten> {
    let mut output = Output::create(task, path)?;
    let mut positions = HashMap::new();
    let mut damaged = 0;
    let mut result = Ok(());
    let Task { segment, epoch, .. } = *task;
    segment::walk(&segment.file, segment.bytes, epoch, Check::Everything, |found| {
        if result.is_err() {
            return;
        }
        result = match found {
            _ if task.stop.load(Ordering::Relaxed) => Err(io::ErrorKind::Interrupted.into()),
            Found::Damage { .. } => {
                damaged += 1;
                Ok(())
            }
            Found::Frame { head, frame, .. } => match head.kind {
                Kind::Lines => {
                    positions.insert(head.run, head.position);
                    output.frame(&head, frame, task.doomed)
                }
                Kind::Block => output.block(frame, task.doomed),
                Kind::Positions => {
                    let data = head.data(frame, epoch).unwrap_or_default();
                    positions.extend(segment::decode_positions(data));
                    Ok(())
                }
                Kind::Index => Ok(()),
            },
        };
    })?;
    result?;
    damaged += output.damaged;
    Ok(Rewritten { segment: output.finish(task, positions)?, damaged })
}

/// The segment that is being written.
struct Output {
    epoch: u32,
    file: File,
    /// How many bytes of the file are written; what is in `buffer` follows.
    written: u64,
    buffer: Vec<u8>,
    packer: Packer,
    decompressor: Decompressor<'static>,
    /// The frames of the block to come.
    image: Vec<u8>,
    /// Columns of numbers in them.
    columns: Vec<Numbers>,
    /// What sums them up.
    extent: Option<Extent>,
    extents: Vec<Extent>,
    /// Bytes of text by process.
    text: Shares,
    merged: Merged,
    damaged: u64,
}

impl Output {
    fn create(task: &Task<'_>, path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut buffer = Vec::new();
        Header::encode(&mut buffer, task.epoch, task.segment.first, true);
        Ok(Self {
            epoch: task.epoch,
            file,
            written: 0,
            buffer,
            packer: Packer::new()?,
            decompressor: Decompressor::new()?,
            image: Vec::new(),
            columns: Vec::new(),
            extent: None,
            extents: Vec::new(),
            text: Shares::new(),
            merged: Merged::default(),
            damaged: 0,
        })
    }

    /// Takes in a frame of lines, unless it is to go.
    fn frame(&mut self, head: &Head<'_>, frame: &[u8], doomed: Doomed<'_>) -> io::Result<()> {
        if head.lines == 0 || doomed.takes(head) {
            return Ok(());
        }
        let (Some(lines), Ok(process)) = (Lines::parse(head, frame), ProcessName::parse(head.process)) else {
            self.damaged += 1;
            return Ok(());
        };
        *self.text.entry(process.clone()).or_default() += lines.text.len() as u64;
        let is_large = lines.text.len() > MERGED_BYTES / 2;
        if is_large || !self.merged.has_room(head) {
            self.close_merged()?;
        }
        if is_large {
            return self.add_to_image(head, frame);
        }
        self.merged.take(head, process, &lines);
        Ok(())
    }

    /// Takes in a block: as it is when nothing of it is to go.
    fn block(&mut self, block: &[u8], doomed: Doomed<'_>) -> io::Result<()> {
        let Some(extent) = block::extent(block, 0, self.epoch) else {
            self.damaged += 1;
            return Ok(());
        };
        if !doomed.may_take(&extent) {
            self.close_block()?;
            let start = self.buffer.len();
            self.buffer.extend_from_slice(block);
            return self.put(extent, start);
        }
        let mut image = Vec::new();
        if block::unpack(block, &mut self.decompressor, self.epoch, &mut image).is_none() {
            self.damaged += 1;
            return Ok(());
        }
        let mut rest = image.as_slice();
        while let Some(head) = Head::parse(rest, self.epoch) {
            let Some((frame, after)) = rest.split_at_checked(head.frame_bytes()) else { break };
            self.frame(&head, frame, doomed)?;
            rest = after;
        }
        self.damaged += u64::from(!rest.is_empty());
        Ok(())
    }

    /// Ends the frame that grows.
    fn close_merged(&mut self) -> io::Result<()> {
        let merged = std::mem::take(&mut self.merged);
        let frame = merged.encode(self.epoch)?;
        if let Some(head) = Head::parse(&frame, self.epoch) {
            self.add_to_image(&head, &frame)?;
        }
        self.merged = merged.emptied();
        Ok(())
    }

    /// Puts a frame into the block to come, or into the next when that is full.
    fn add_to_image(&mut self, head: &Head<'_>, frame: &[u8]) -> io::Result<()> {
        if self.image.len() + frame.len() > BLOCK_BYTES {
            self.close_image()?;
        }
        let extent = Extent::of(head, 0);
        match &mut self.extent {
            Some(sum) => sum.widen(&extent),
            None => self.extent = Some(extent),
        }
        let offset = self.image.len();
        self.columns.extend(number_columns(head).map(|(from, count)| Numbers {
            offset: u32::try_from(offset + from).unwrap_or(u32::MAX),
            count,
        }));
        self.image.extend_from_slice(frame);
        Ok(())
    }

    fn close_image(&mut self) -> io::Result<()> {
        let Some(mut extent) = self.extent.take() else { return Ok(()) };
        extent.image_bytes = u32::try_from(self.image.len()).ok();
        let start = self.buffer.len();
        self.packer.encode(&mut self.buffer, self.epoch, &self.image, &self.columns, &extent)?;
        self.image.clear();
        self.columns.clear();
        self.put(extent, start)
    }

    fn close_block(&mut self) -> io::Result<()> {
        self.close_merged()?;
        self.close_image()
    }

    /// Notes the block that the buffer has from `start` on.
    fn put(&mut self, mut extent: Extent, start: usize) -> io::Result<()> {
        extent.offset = self.written + start as u64;
        extent.bytes = u32::try_from(self.buffer.len() - start).map_err(io::Error::other)?;
        self.extents.push(extent);
        if self.buffer.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Ends the file and brings it to the device.
    fn finish(
        mut self,
        task: &Task<'_>,
        positions: HashMap<RunId, SpoolPosition>,
    ) -> io::Result<Option<Segment>> {
        self.close_block()?;
        if self.extents.is_empty() {
            return Ok(None);
        }
        segment::encode_positions(&mut self.buffer, self.epoch, task.next, positions.into_iter());
        let shares = self.shares(task);
        let mut segment = Segment {
            id: Segment::new_id(),
            path: task.segment.path.clone(),
            file: Arc::new(self.file.try_clone()?),
            first: task.segment.first,
            bytes: 0,
            packed: true,
            extents: std::mem::take(&mut self.extents),
            shares,
        };
        let offset = self.written + self.buffer.len() as u64;
        segment::encode_index(&mut self.buffer, self.epoch, task.next, offset, |body| {
            segment.encode_index(body);
        });
        self.write()?;
        self.file.sync_data()?;
        segment.bytes = self.written;
        Ok(Some(segment))
    }

    /// Divides the bytes of the blocks by the processes' shares of the text. Of blocks taken over as they are only
    /// the old shares are known; those shrink with the file.
    fn shares(&self, task: &Task<'_>) -> Shares {
        let blocks: u64 = self.extents.iter().map(|extent| u64::from(extent.bytes)).sum();
        let known = if task.segment.packed {
            let mut shares = task.segment.shares.clone();
            if let Doomed::Of(processes) = task.doomed {
                shares.retain(|process, _| !processes.contains(process));
            }
            shares
        } else {
            self.text.clone()
        };
        let all: u64 = known.values().sum();
        let share = |bytes: u64| u128::from(bytes) * u128::from(blocks) / u128::from(all.max(1));
        known.into_iter().map(|(process, bytes)| (process, share(bytes) as u64)).collect()
    }
}

/// Lines of consecutive frames of one run that become one frame.
#[derive(Default)]
struct Merged {
    of: Option<(RunId, ProcessName, Seq, SpoolPosition)>,
    text: Vec<u8>,
    ends: Vec<u32>,
    levels: Vec<u8>,
    streams: Vec<u8>,
    flags: Vec<u8>,
    times: Vec<i64>,
}

impl Merged {
    /// Returns whether the lines of this frame can follow.
    fn has_room(&self, head: &Head<'_>) -> bool {
        self.of.as_ref().is_none_or(|(run, process, first, _)| {
            *run == head.run
                && process.as_str() == head.process
                && first.0 + self.ends.len() as u64 == head.first.0
                && self.text.len() + head.text_bytes as usize <= MERGED_BYTES
                && self.times.first().is_none_or(|time| head.max_time.saturating_sub(*time) <= MERGED_SPAN)
        })
    }

    fn take(&mut self, head: &Head<'_>, process: ProcessName, lines: &Lines<'_>) {
        let first = self.of.as_ref().map_or(head.first, |(_, _, first, _)| *first);
        self.of = Some((head.run, process, first, head.position));
        for index in 0..lines.len() {
            self.text.extend_from_slice(lines.line(index));
            self.ends.push(self.text.len() as u32);
            self.levels.push(lines.level(index));
            self.streams.push(lines.stream(index));
            self.flags.push(lines.flag_bits(index));
            self.times.push(lines.time(index));
        }
    }

    /// Returns the frame; no bytes when there are no lines.
    fn encode(&self, epoch: u32) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let Some((run, process, first, position)) = &self.of else { return Ok(out) };
        let batch = Batch {
            run: *run,
            process,
            text: &self.text,
            ends: &self.ends,
            levels: &self.levels,
            streams: &self.streams,
            flags: &self.flags,
            times: &self.times,
            position: *position,
        };
        encode_lines(&mut out, epoch, *first, &batch).map_err(io::Error::other)?;
        Ok(out)
    }

    /// Returns it without lines, keeping its memory.
    fn emptied(mut self) -> Self {
        self.of = None;
        self.text.clear();
        self.ends.clear();
        for column in [&mut self.levels, &mut self.streams, &mut self.flags] {
            column.clear();
        }
        self.times.clear();
        self
    }
}
