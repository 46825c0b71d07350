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
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
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

    /// Returns the run-global place behind everything handed out so far.
    pub fn position(&self) -> u64 {
        self.file.as_ref().map_or(0, ReadFile::position)
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
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::spec::SpoolLimits;
    use super::super::spool::SpoolWriter;
    use super::super::spool::tests::append;
    use super::*;

    /// An owned chunk without its time and place.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) enum Piece {
        Data(Stream, Vec<u8>),
        Gap(Count),
    }

    /// Reads the whole spool from the start.
    pub(crate) fn read_all(run_dir: &Path) -> Vec<Piece> {
        read_rest(&mut SpoolReader::open(run_dir, SpoolPosition::default()).unwrap())
    }

    fn read_rest(reader: &mut SpoolReader) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while let Some(chunk) = reader.next_chunk().unwrap() {
            pieces.push(match chunk.kind {
                ChunkKind::Data(data) => Piece::Data(chunk.stream, data.to_vec()),
                ChunkKind::Gap(count) => Piece::Gap(count),
            });
        }
        pieces
    }

    fn limits(file_bytes: u64) -> SpoolLimits {
        SpoolLimits { file_bytes, max_bytes: 1 << 20, min_free_bytes: 0 }
    }

    fn all_of(stream: Stream, pieces: &[Piece]) -> Vec<u8> {
        let mut all = Vec::new();
        for piece in pieces {
            if let Piece::Data(from, data) = piece
                && *from == stream
            {
                all.extend_from_slice(data);
            }
        }
        all
    }

    /// Every byte of a stream with its run-global place.
    fn places(run_dir: &Path, stream: Stream) -> Vec<(u64, u8)> {
        let mut reader = SpoolReader::open(run_dir, SpoolPosition::default()).unwrap();
        let mut places = Vec::new();
        while let Some(chunk) = reader.next_chunk().unwrap() {
            if let ChunkKind::Data(data) = chunk.kind
                && chunk.stream == stream
            {
                places.extend(data.iter().enumerate().map(|(i, byte)| (chunk.start + i as u64, *byte)));
            }
        }
        places
    }

    #[test]
    fn reading_resumes_at_every_byte_for_each_stream_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::create(dir.path(), limits(150));
        for number in 0..6 {
            append(
                &mut writer,
                Stream::Stdout,
                format!(
                    "out {number}
"
                )
                .as_bytes(),
            );
            append(
                &mut writer,
                Stream::Stderr,
                format!(
                    "err {number}
"
                )
                .as_bytes(),
            );
        }
        let (out, err) = (places(dir.path(), Stream::Stdout), places(dir.path(), Stream::Stderr));
        for stdout in 0..=writer.end() {
            for stderr in (0..=writer.end()).step_by(7) {
                let taken = SpoolPosition { stdout, stderr, lines: 0 };
                let pieces = read_rest(&mut SpoolReader::open(dir.path(), taken).unwrap());
                let rest = |places: &[(u64, u8)], from| -> Vec<u8> {
                    places.iter().filter(|(place, _)| *place >= from).map(|(_, byte)| *byte).collect()
                };
                assert_eq!(all_of(Stream::Stdout, &pieces), rest(&out, stdout));
                assert_eq!(all_of(Stream::Stderr, &pieces), rest(&err, stderr));
                assert!(!pieces.iter().any(|piece| matches!(piece, Piece::Gap(_))));
            }
        }
    }

    #[test]
    fn a_spool_cut_anywhere_gives_whole_frames_and_then_the_rest() {
        let whole = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::create(whole.path(), limits(1 << 20));
        append(
            &mut writer,
            Stream::Stdout,
            b"first
",
        );
        append(
            &mut writer,
            Stream::Stdout,
            b"second
",
        );
        let bytes = std::fs::read(spool_path(whole.path(), 0)).unwrap();
        for cut in 0..bytes.len() {
            let dir = tempfile::tempdir().unwrap();
            let path = spool_path(dir.path(), 0);
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let mut reader = SpoolReader::open(dir.path(), SpoolPosition::default()).unwrap();
            let mut all = all_of(Stream::Stdout, &read_rest(&mut reader));
            assert!(
                all.is_empty()
                    || all
                        == b"first
",
                "cut at {cut}: {all:?}"
            );
            std::fs::write(&path, &bytes).unwrap();
            all.extend(all_of(Stream::Stdout, &read_rest(&mut reader)));
            assert_eq!(
                all,
                b"first
second
",
                "cut at {cut}"
            );
            assert_eq!(reader.position(), writer.end());
        }
    }

    #[test]
    fn a_reader_follows_a_writer_over_files_and_releases_what_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let mut reader = SpoolReader::open(dir.path(), SpoolPosition::default()).unwrap();
        assert_eq!(reader.next_chunk().unwrap(), None);
        let mut writer = SpoolWriter::create(dir.path(), limits(200));
        for number in 0..100 {
            let line = format!(
                "line {number}
"
            );
            append(&mut writer, Stream::Stdout, line.as_bytes());
            assert_eq!(read_rest(&mut reader), [Piece::Data(Stream::Stdout, line.into_bytes())]);
            assert_eq!(reader.position(), writer.end());
            reader.release(reader.position()).unwrap();
            assert_eq!(spool_indices(dir.path()).unwrap().len(), 1);
        }
        let mut again =
            SpoolReader::open(dir.path(), SpoolPosition { stdout: writer.end(), stderr: 0, lines: 0 })
                .unwrap();
        assert_eq!(read_rest(&mut again), []);
    }

    #[test]
    fn a_gap_is_told_once_however_often_the_reader_is_reopened() {
        let dir = tempfile::tempdir().unwrap();
        let small = SpoolLimits { file_bytes: 200, max_bytes: 600, min_free_bytes: 0 };
        let mut writer = SpoolWriter::create(dir.path(), small);
        for number in 0..100 {
            append(
                &mut writer,
                Stream::Stdout,
                format!(
                    "line {number}
"
                )
                .as_bytes(),
            );
        }
        let mut reader = SpoolReader::open(dir.path(), SpoolPosition::default()).unwrap();
        let (mut gaps, mut last_start) = (0, 0);
        while let Some(chunk) = reader.next_chunk().unwrap() {
            gaps += u32::from(matches!(chunk.kind, ChunkKind::Gap(_)));
            last_start = chunk.start;
        }
        assert_eq!(gaps, 1);
        // Standard error holds back an unfinished line from before the gap.
        let taken = SpoolPosition { stdout: last_start, stderr: 60, lines: 0 };
        let pieces = read_rest(&mut SpoolReader::open(dir.path(), taken).unwrap());
        assert_eq!(
            pieces,
            [Piece::Data(
                Stream::Stdout,
                b"line 99
"
                .to_vec()
            )]
        );
    }

    #[test]
    fn a_live_reader_in_a_dropped_file_reads_it_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let small = SpoolLimits { file_bytes: 200, max_bytes: 600, min_free_bytes: 0 };
        let mut writer = SpoolWriter::create(dir.path(), small);
        let mut written = Count::default();
        let mut write = |writer: &mut SpoolWriter| {
            append(
                writer,
                Stream::Stdout,
                b"a line of text
",
            );
            written = written.plus(Count::of(
                b"a line of text
",
            ));
        };
        (0..8).for_each(|_| write(&mut writer));
        let mut reader = SpoolReader::open(dir.path(), SpoolPosition::default()).unwrap();
        let mut told = Count::default();
        let mut add = |chunk: Chunk<'_>| {
            told = told.plus(match chunk.kind {
                ChunkKind::Data(data) => Count::of(data),
                ChunkKind::Gap(count) => count,
            });
        };
        while reader.file.as_ref().is_none_or(|file| file.header.index < 1) {
            add(reader.next_chunk().unwrap().unwrap());
        }
        (0..100).for_each(|_| write(&mut writer));
        assert!(!spool_path(dir.path(), 1).exists());
        while let Some(chunk) = reader.next_chunk().unwrap() {
            add(chunk);
        }
        assert_eq!(told, written);
    }

    #[test]
    fn foreign_files_are_an_error_that_names_file_and_place() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::create(dir.path(), limits(1 << 20));
        append(
            &mut writer,
            Stream::Stdout,
            b"first
",
        );
        let path = spool_path(dir.path(), 0);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(&[0xff; 40]);
        std::fs::write(&path, &bytes).unwrap();
        let mut reader = SpoolReader::open(dir.path(), SpoolPosition::default()).unwrap();
        reader.next_chunk().unwrap();
        let error = reader.next_chunk().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("spool.000000 has no frame at byte 62"), "{error}");
        std::fs::write(&path, [0; 64]).unwrap();
        assert!(SpoolReader::open(dir.path(), SpoolPosition::default()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            writes in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 1..300)), 0..40),
            file_bytes in 100u64..5000,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut writer = SpoolWriter::create(dir.path(), limits(file_bytes));
            let mut expected = Vec::new();
            for (is_err, data) in writes {
                let stream = if is_err { Stream::Stderr } else { Stream::Stdout };
                prop_assert!(append(&mut writer, stream, &data));
                expected.push(Piece::Data(stream, data));
            }
            prop_assert_eq!(read_all(dir.path()), expected);
        }
    }
}
