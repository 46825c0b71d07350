//! The spool reader: hands a run's output to the daemon in order, from any place, while the shim still writes.
//!
//! Owns the reading position and the deletion of files that are wholly taken in. It tells of everything that is
//! missing and never waits: at the end of what is there it says `None`, and asked again it looks again.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::spool_format::{
    Count, FILE_HEADER, FRAME_HEADER, FileHeader, FrameHeader, Kind, spool_indices, spool_path,
};
use crate::model::{SpoolPosition, Stream, Time};

/// Bytes read at once; at least one whole frame.
const BUFFER_BYTES: usize = 256 << 10;
/// How often a file may vanish between being listed and being opened before the reader leaves it for the next time.
const OPEN_TRIES: usize = 8;

/// One piece of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The stream of the data; a gap belongs to none ([`Stream::Ostler`]).
    pub stream: Stream,
    /// When the shim read the data, or about when the gap began.
    pub time: Time,
    /// The run-global place of the data's first byte, or of the gap.
    pub start: u64,
    pub kind: ChunkKind<'a>,
}

/// What a [`Chunk`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkKind<'a> {
    Data(&'a [u8]),
    /// Output that was dropped here.
    Gap(Count),
}

/// Reads one run's spool.
#[derive(Debug)]
pub struct SpoolReader {
    run_dir: PathBuf,
    taken: SpoolPosition,
    file: Option<ReadFile>,
    /// Files that are read to their end, and a place at or behind which they end.
    passed: VecDeque<(u32, u64)>,
    /// Empty until something is read, and after [`SpoolReader::rest`].
    buffer: Box<[u8]>,
    /// The part of the buffer that is not taken yet; it begins at a frame.
    window: Range<usize>,
    last_time: Time,
}

#[derive(Debug)]
struct ReadFile {
    file: File,
    path: PathBuf,
    header: FileHeader,
    /// The place within the file of the next frame, which is the first byte of the window.
    at: u64,
    /// The counts of the end frame, once it is read.
    ended: Option<Count>,
    /// There is no end frame, and a later file was seen.
    given_up: bool,
}

/// A [`Chunk`] whose data is still a part of the buffer.
enum Found {
    Data { stream: Stream, time: Time, start: u64, part: Range<usize> },
    Gap { time: Time, start: u64, count: Count },
}

enum Step {
    Frame(FrameHeader, Range<usize>),
    /// No more whole frame is there now.
    Dry,
}

impl SpoolReader {
    /// Returns a reader that hands out what comes after `taken`, for each stream by itself. There may be no spool
    /// file yet.
    ///
    /// Where the file that holds the place `taken` was dropped, the first gap may count up to one file's output too
    /// much.
    pub fn open(run_dir: &Path, taken: SpoolPosition) -> io::Result<Self> {
        let mut reader = Self {
            run_dir: run_dir.to_owned(),
            taken,
            file: None,
            passed: VecDeque::new(),
            buffer: Box::default(),
            window: 0..0,
            last_time: Time::now(),
        };
        for index in spool_indices(run_dir)? {
            match ReadFile::open(run_dir, index)? {
                Some(file) if file.header.base <= taken.low() => reader.replace_file(file),
                Some(_) => break,
                None => {}
            }
        }
        Ok(reader)
    }

    /// Returns the next piece of output, or `None` when there is no more now.
    ///
    /// # Errors
    /// When a file cannot be read or holds what no shim wrote; the message names the file and the place.
    pub fn next_chunk(&mut self) -> io::Result<Option<Chunk<'_>>> {
        Ok(self.next_found()?.map(|found| match found {
            Found::Data { stream, time, start, part } => {
                Chunk { stream, time, start, kind: ChunkKind::Data(&self.buffer[part]) }
            }
            Found::Gap { time, start, count } => {
                Chunk { stream: Stream::Ostler, time, start, kind: ChunkKind::Gap(count) }
            }
        }))
    }

    /// Gives its memory back until there is more to read.
    pub fn rest(&mut self) {
        self.buffer = Box::default();
        self.window = 0..0;
    }

    /// Returns the run-global place behind everything handed out so far.
    pub fn position(&self) -> u64 {
        self.file.as_ref().map_or(0, ReadFile::position)
    }

    /// Returns whether there was a spool file: then there was a shim that read output.
    pub fn has_begun(&self) -> bool {
        self.file.is_some()
    }

    /// Deletes the files that end at or before the run-global place `below`; never the one being read.
    pub fn release(&mut self, below: u64) -> io::Result<()> {
        while let Some((index, end)) = self.passed.front().copied()
            && end <= below
        {
            match std::fs::remove_file(spool_path(&self.run_dir, index)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.passed.pop_front(),
            };
        }
        Ok(())
    }

    fn next_found(&mut self) -> io::Result<Option<Found>> {
        loop {
            let found = match self.step()? {
                Step::Frame(header, part) => self.judge(header, part),
                Step::Dry => match self.after_dry()? {
                    AfterDry::Wait => return Ok(None),
                    AfterDry::ReadAgain => None,
                    AfterDry::GoOn => match self.next_file()? {
                        Some(file) => self.go_on_with(file),
                        None => return Ok(None),
                    },
                },
            };
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Takes the next whole frame, reading on if need be.
    fn step(&mut self) -> io::Result<Step> {
        let Some(file) = &mut self.file else { return Ok(Step::Dry) };
        let mut refilled = false;
        loop {
            let window = &self.buffer[self.window.clone()];
            if window.len() >= FRAME_HEADER {
                let header = FrameHeader::decode(window).ok_or_else(|| file.broken())?;
                if window.len() - FRAME_HEADER >= header.length {
                    let start = self.window.start + FRAME_HEADER;
                    let part = start..start + header.length;
                    self.window.start = part.end;
                    file.at += (FRAME_HEADER + header.length) as u64;
                    return Ok(Step::Frame(header, part));
                }
            }
            if refilled || file.ended.is_some() {
                return Ok(Step::Dry);
            }
            if self.buffer.is_empty() {
                self.buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
            }
            // Always from the frame's first byte: the writer may have cut off a torn frame and written another.
            self.window = 0..read_full(&file.file, &mut self.buffer, file.at)?;
            refilled = true;
        }
    }

    /// Returns what is to be handed out of a frame, if anything.
    fn judge(&mut self, header: FrameHeader, part: Range<usize>) -> Option<Found> {
        let FrameHeader { stream, time, .. } = header;
        let start = self.position() - part.len() as u64;
        self.last_time = time;
        match header.kind {
            Kind::Data => {
                let taken = if stream == Stream::Stderr { self.taken.stderr } else { self.taken.stdout };
                let skipped = usize::try_from(taken.saturating_sub(start)).unwrap_or(usize::MAX);
                (skipped < part.len()).then(|| Found::Data {
                    stream,
                    time,
                    start: start + skipped as u64,
                    part: part.start + skipped..part.end,
                })
            }
            Kind::Gap => {
                let count = Count::from_bytes(&self.buffer[part])?;
                self.is_new(start).then_some(Found::Gap { time, start, count })
            }
            Kind::End => {
                let count = Count::from_bytes(&self.buffer[part]);
                if let Some(file) = &mut self.file {
                    file.ended = count;
                }
                None
            }
        }
    }

    /// Whether a gap at this place was not told of before the reader was opened: output is taken in order, so
    /// whatever lies before the farther stream has been seen.
    fn is_new(&self, place: u64) -> bool {
        place >= self.taken.stdout.max(self.taken.stderr)
    }

    /// Decides what to do when there is no whole frame: a file is over when it has its end frame, or when it has a
    /// successor all the same, because the writer could not go on in it. Then it is read once more after the
    /// successor was seen.
    fn after_dry(&mut self) -> io::Result<AfterDry> {
        let Some(file) = &mut self.file else { return Ok(AfterDry::GoOn) };
        if file.ended.is_some() || file.given_up {
            return Ok(AfterDry::GoOn);
        }
        if spool_indices(&self.run_dir)?.last().is_some_and(|last| *last > file.header.index) {
            file.given_up = true;
            return Ok(AfterDry::ReadAgain);
        }
        Ok(AfterDry::Wait)
    }

    /// Opens the file behind the present one, which is not the next by number where files were dropped.
    fn next_file(&self) -> io::Result<Option<ReadFile>> {
        let from = self.file.as_ref().map_or(0, |file| file.header.index.saturating_add(1));
        if let Some(file) = ReadFile::open(&self.run_dir, from)? {
            return Ok(Some(file));
        }
        for _ in 0..OPEN_TRIES {
            let indices = spool_indices(&self.run_dir)?;
            let Some(index) = indices.into_iter().find(|index| *index >= from) else { return Ok(None) };
            if let Some(file) = ReadFile::open(&self.run_dir, index)? {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Goes on with `file`; returns the gap if files before it are missing.
    fn go_on_with(&mut self, file: ReadFile) -> Option<Found> {
        let start = file.header.base;
        let count = self.missing_before(&file.header);
        self.replace_file(file);
        (!count.is_zero() && self.is_new(start)).then_some(Found::Gap { time: self.last_time, start, count })
    }

    fn missing_before(&self, next: &FileHeader) -> Count {
        match &self.file {
            Some(ReadFile { ended: Some(ended), .. }) => next.told.minus(*ended),
            // A writer that could not go on in a file tells of what it could not write
            // in the next.
            Some(file) if file.header.index + 1 == next.index => Count::default(),
            Some(file) => estimate(file.position(), next),
            None => estimate(self.taken.low(), next),
        }
    }

    fn replace_file(&mut self, file: ReadFile) {
        let end = file.header.base;
        self.window = 0..0;
        if let Some(older) = self.file.replace(file) {
            self.passed.push_back((older.header.index, end));
        }
    }
}

enum AfterDry {
    Wait,
    ReadAgain,
    GoOn,
}

impl ReadFile {
    /// Opens a spool file; `None` when it is not there or its header is not written yet.
    fn open(run_dir: &Path, index: u32) -> io::Result<Option<Self>> {
        let path = spool_path(run_dir, index);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = [0; FILE_HEADER];
        if read_full(&file, &mut bytes, 0)? < FILE_HEADER {
            return Ok(None);
        }
        let header = FileHeader::decode(&bytes).map_err(|why| invalid(&path, &why))?;
        Ok(Some(Self { file, path, header, at: FILE_HEADER as u64, ended: None, given_up: false }))
    }

    fn position(&self) -> u64 {
        self.header.base.saturating_add(self.at)
    }

    fn broken(&self) -> io::Error {
        invalid(&self.path, &format!("has no frame at byte {}", self.at))
    }
}

/// Estimates what is missing between a place and a file when the counts at the place are not known: the distance in
/// bytes, at the mean length of the run's lines.
fn estimate(place: u64, next: &FileHeader) -> Count {
    let bytes = next.base.saturating_sub(place).min(next.told.bytes);
    let lines = u128::from(bytes) * u128::from(next.told.lines) / u128::from(next.told.bytes.max(1));
    Count { bytes, lines: u64::try_from(lines).unwrap_or(u64::MAX) }
}

fn invalid(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("spool file {} {why}", path.display()))
}

/// Reads from `at` until the buffer is full or the file ends, and returns how much there was.
fn read_full(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
pub(super) mod tests;
