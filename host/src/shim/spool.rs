//! The spool writer: puts what a child prints onto disk, within its limits, and never lets the child wait for it.
//!
//! Owns the spool files' growth. When they take too much room together, whole files are dropped from the middle; when
//! the file system has no room, output is counted instead of written, and a gap frame tells the count once there
//! is room again. Every error counts as "no room": nothing here ends a shim or blocks a child.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use super::spec::SpoolLimits;
use super::spool_format::{
    COUNT_BYTES, Count, FILE_HEADER, FRAME_HEADER, FileHeader, FrameHeader, Kind, spool_path,
};
use crate::bounds;
use crate::model::{Stream, Time};

/// Bytes written between two looks at the free space, and what must be free beyond the floor to begin again.
const ROOM_CHECK_BYTES: u64 = 1 << 20;
const COUNT_FRAME: u64 = (FRAME_HEADER + COUNT_BYTES) as u64;

/// Writes one run's spool.
#[derive(Debug)]
pub struct SpoolWriter {
    run_dir: PathBuf,
    limits: SpoolLimits,
    /// Space for one frame, so that a chunk is read behind its header and written with one system call.
    buffer: Box<[u8]>,
    /// `None` until the first file, and when a file was closed and the next could not be made yet.
    file: Option<OpenFile>,
    next_index: u32,
    /// Closed files that were on disk when last looked.
    closed: Vec<ClosedFile>,
    /// The run-global place of the next byte.
    end: u64,
    /// What frames tell of, as data or as gaps.
    told: Count,
    /// What was read and could not be written, and no frame tells yet.
    missing: Count,
    /// Bytes written since the free space was last looked at.
    unchecked: u64,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    index: u32,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct ClosedFile {
    index: u32,
    bytes: u64,
}

impl SpoolWriter {
    /// Returns a writer for an empty run directory. The first file is made at once if there is room for it.
    pub fn create(run_dir: impl Into<PathBuf>, limits: SpoolLimits) -> Self {
        let mut writer = Self {
            run_dir: run_dir.into(),
            limits,
            buffer: vec![0; FRAME_HEADER + bounds::SPOOL_FRAME_BYTES].into_boxed_slice(),
            file: None,
            next_index: 0,
            closed: Vec::new(),
            end: 0,
            told: Count::default(),
            missing: Count::default(),
            unchecked: ROOM_CHECK_BYTES,
        };
        // Without room the next append tries again.
        let _ = writer.make_room(0);
        writer
    }

    /// Returns the space to read output into; [`SpoolWriter::append`] then writes the front of it.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[FRAME_HEADER..]
    }

    /// Writes the first `length` bytes of [`SpoolWriter::space`] as output of `stream`, or counts them as missing.
    /// Returns whether they were written.
    pub fn append(&mut self, stream: Stream, length: usize) -> bool {
        let count = Count::of(&self.space()[..length]);
        let written = self.try_append(stream, length, count).is_ok();
        if !written {
            self.missing = self.missing.plus(count);
        }
        written
    }

    /// Returns the run-global place behind the last byte written.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Tries once more to write the gap frame that is due, and returns what no frame tells of.
    pub fn finish(&mut self) -> Count {
        if !self.missing.is_zero() {
            let _ = self.make_room(COUNT_FRAME).and_then(|()| self.write_gap());
        }
        self.missing
    }

    fn try_append(&mut self, stream: Stream, length: usize, count: Count) -> io::Result<()> {
        let gap_bytes = if self.missing.is_zero() { 0 } else { COUNT_FRAME };
        self.make_room(gap_bytes + (FRAME_HEADER + length) as u64)?;
        if !self.missing.is_zero() {
            self.write_gap()?;
        }
        let header = FrameHeader { length, stream, kind: Kind::Data, time: Time::now() };
        self.buffer[..FRAME_HEADER].copy_from_slice(&header.encode());
        let Some(open) = &mut self.file else { return Err(no_file()) };
        let frame = &self.buffer[..FRAME_HEADER + length];
        if let Err(error) = open.write(frame) {
            self.give_up_torn_file();
            return Err(error);
        }
        self.grow(frame_bytes(length));
        self.told = self.told.plus(count);
        Ok(())
    }

    /// Makes sure that there is a file that may take `bytes` more, on a file system with room for them.
    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        if self.unchecked >= ROOM_CHECK_BYTES || !self.missing.is_zero() {
            self.check_free_space()?;
            self.unchecked = 0;
        }
        // The end frame is counted in, so that a file keeps its size; a file takes one frame at least.
        let full = |open: &OpenFile| {
            open.bytes > FILE_HEADER as u64 && open.bytes + bytes + COUNT_FRAME > self.limits.file_bytes
        };
        if self.file.as_ref().is_some_and(full) {
            self.close_file()?;
        }
        if self.file.is_none() {
            self.open_next_file()?;
        }
        Ok(())
    }

    fn check_free_space(&self) -> io::Result<()> {
        let stat = rustix::fs::statvfs(&self.run_dir)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        // Beginning again takes more room than going on, so that the edge is not crossed with every line.
        let margin = if self.missing.is_zero() { 0 } else { ROOM_CHECK_BYTES };
        match free >= self.limits.min_free_bytes.saturating_add(margin) {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn write_gap(&mut self) -> io::Result<()> {
        self.write_count(Kind::Gap, self.missing)?;
        self.told = self.told.plus(self.missing);
        self.missing = Count::default();
        Ok(())
    }

    fn write_count(&mut self, kind: Kind, count: Count) -> io::Result<()> {
        let header = FrameHeader { length: COUNT_BYTES, stream: Stream::Ostler, kind, time: Time::now() };
        let mut frame = [0; FRAME_HEADER + COUNT_BYTES];
        frame[..FRAME_HEADER].copy_from_slice(&header.encode());
        frame[FRAME_HEADER..].copy_from_slice(&count.to_bytes());
        let Some(open) = &mut self.file else { return Err(no_file()) };
        if let Err(error) = open.write(&frame) {
            self.give_up_torn_file();
            return Err(error);
        }
        self.grow(COUNT_FRAME);
        Ok(())
    }

    /// Accounts for a frame that was written.
    fn grow(&mut self, bytes: u64) {
        if let Some(open) = &mut self.file {
            open.bytes += bytes;
        }
        self.end += bytes;
        self.unchecked += bytes;
    }

    /// Cuts off the half of a frame that a failed write left behind. Where even that fails the file is closed as
    /// it is: readers pass over its torn end once there is a next file.
    fn give_up_torn_file(&mut self) {
        let Some(open) = &self.file else { return };
        if open.file.set_len(open.bytes).is_err() {
            self.closed.push(ClosedFile { index: open.index, bytes: open.bytes });
            self.file = None;
        }
    }

    fn close_file(&mut self) -> io::Result<()> {
        self.write_count(Kind::End, self.told)?;
        if let Some(open) = self.file.take() {
            self.closed.push(ClosedFile { index: open.index, bytes: open.bytes });
        }
        Ok(())
    }

    fn open_next_file(&mut self) -> io::Result<()> {
        self.drop_files_beyond_limit();
        let index = self.next_index;
        let path = spool_path(&self.run_dir, index);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let mut open = OpenFile { file, index, bytes: 0 };
        let header = FileHeader { index, base: self.end, told: self.told };
        if let Err(error) = open.write(&header.encode()) {
            // An empty file would be taken for the newest one by readers.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        self.next_index += 1;
        self.file = Some(open);
        self.grow(FILE_HEADER as u64);
        Ok(())
    }

    /// Drops files until another fits below the limit.
    ///
    /// The oldest file stays as long as there are others: a reader that has stopped for a while stands in it, and
    /// counts exactly what is missing from there to the next file that is left.
    fn drop_files_beyond_limit(&mut self) {
        let run_dir = &self.run_dir;
        self.closed.retain(|closed| spool_path(run_dir, closed.index).exists());
        let mut bytes: u64 = self.closed.iter().map(|closed| closed.bytes).sum();
        while !self.closed.is_empty() && bytes + self.limits.file_bytes > self.limits.max_bytes {
            let dropped = self.closed.remove(1.min(self.closed.len() - 1));
            bytes -= dropped.bytes;
            let _ = std::fs::remove_file(spool_path(run_dir, dropped.index));
        }
    }
}

impl OpenFile {
    /// Writes at the file's end. After an error anything from nothing to all of `bytes` may be there.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.bytes)
    }
}

fn frame_bytes(length: usize) -> u64 {
    (FRAME_HEADER + length) as u64
}

fn no_file() -> io::Error {
    io::Error::other("there is no spool file")
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::spool_reader::tests::{Piece, read_all};
    use super::*;

    fn small() -> SpoolLimits {
        SpoolLimits { file_bytes: 400, max_bytes: 1200, min_free_bytes: 0 }
    }

    pub(crate) fn append(writer: &mut SpoolWriter, stream: Stream, text: &[u8]) -> bool {
        writer.space()[..text.len()].copy_from_slice(text);
        writer.append(stream, text.len())
    }

    fn one_file() -> SpoolLimits {
        SpoolLimits { file_bytes: 1 << 20, max_bytes: 4 << 20, min_free_bytes: 0 }
    }

    fn bytes_on_disk(dir: &std::path::Path) -> u64 {
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    #[test]
    fn files_stay_below_their_size_and_all_together_below_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::create(dir.path(), small());
        for number in 0..200 {
            assert!(append(&mut writer, Stream::Stdout, format!("line {number:04}\n").as_bytes()));
            assert!(bytes_on_disk(dir.path()) <= 1200);
        }
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            assert!(entry.unwrap().metadata().unwrap().len() <= 400);
        }
        assert!(dir.path().join("spool.000000").exists(), "the oldest file was dropped first");
    }

    #[test]
    fn what_was_dropped_from_the_middle_is_counted_exactly() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::create(dir.path(), small());
        let mut all = Count::default();
        for number in 0..200 {
            let line = format!("line {number:04}\n");
            all = all.plus(Count::of(line.as_bytes()));
            append(&mut writer, Stream::Stdout, line.as_bytes());
        }
        let pieces = read_all(dir.path());
        let told = pieces.iter().fold(Count::default(), |sum, piece| match piece {
            Piece::Data(_, data) => sum.plus(Count::of(data)),
            Piece::Gap(count) => sum.plus(*count),
        });
        assert_eq!(told, all);
        assert_eq!(pieces.iter().filter(|piece| matches!(piece, Piece::Gap(_))).count(), 1);
        assert_eq!(pieces.last(), Some(&Piece::Data(Stream::Stdout, b"line 0199\n".to_vec())));
    }

    #[test]
    fn without_free_space_output_is_counted_and_the_gap_is_told_when_there_is_room_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::create(dir.path(), one_file());
        append(&mut writer, Stream::Stdout, b"before\n");
        writer.limits.min_free_bytes = u64::MAX;
        writer.unchecked = ROOM_CHECK_BYTES;
        assert!(!append(&mut writer, Stream::Stdout, b"lost 1\nlost 2\n"));
        assert!(!append(&mut writer, Stream::Stderr, b"lost"));
        writer.limits.min_free_bytes = 0;
        assert!(append(&mut writer, Stream::Stderr, b"after\n"));
        assert_eq!(writer.finish(), Count::default());
        assert_eq!(
            read_all(dir.path()),
            [
                Piece::Data(Stream::Stdout, b"before\n".to_vec()),
                Piece::Gap(Count { bytes: 18, lines: 2 }),
                Piece::Data(Stream::Stderr, b"after\n".to_vec()),
            ]
        );
    }

    #[test]
    fn a_full_device_neither_stops_the_writer_nor_loses_the_count() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::create(dir.path(), one_file());
        append(&mut writer, Stream::Stdout, b"before\n");
        let end = writer.end();
        // Every write to /dev/full fails with ENOSPC, and it cannot be cut: the file is given up.
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        writer.file.as_mut().unwrap().file = full;
        assert!(!append(&mut writer, Stream::Stdout, b"lost\n"));
        assert_eq!(writer.end(), end);
        assert!(append(&mut writer, Stream::Stdout, b"after\n"));
        assert_eq!(
            read_all(dir.path()),
            [
                Piece::Data(Stream::Stdout, b"before\n".to_vec()),
                Piece::Gap(Count { bytes: 5, lines: 1 }),
                Piece::Data(Stream::Stdout, b"after\n".to_vec()),
            ]
        );
    }

    #[test]
    fn what_no_frame_could_tell_is_left_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let limits = SpoolLimits { min_free_bytes: u64::MAX, ..small() };
        let mut writer = SpoolWriter::create(dir.path(), limits);
        assert!(!append(&mut writer, Stream::Stdout, b"a\nb\n"));
        assert_eq!(writer.finish(), Count { bytes: 4, lines: 2 });
        assert_eq!(writer.end(), 0);
    }

    #[test]
    fn a_vanished_directory_is_no_reason_to_die() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::create(dir.path().join("gone"), small());
        assert!(!append(&mut writer, Stream::Stdout, b"a\n"));
        assert_eq!(writer.finish(), Count { bytes: 2, lines: 1 });
    }
}
