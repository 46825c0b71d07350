//! Tests of the spool reader: resuming anywhere, torn ends, dropped files.

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
        SpoolReader::open(dir.path(), SpoolPosition { stdout: writer.end(), stderr: 0, lines: 0 }).unwrap();
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
