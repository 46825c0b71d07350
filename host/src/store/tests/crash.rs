//! Torn tails and damage: what a crash, a disk or a stranger may leave in the files.

use std::fs;

use super::*;

/// Writes batches of one line each and returns where each frame ends in the only segment.
fn write_batches(directory: &TempDir, count: u64) -> Vec<u64> {
    let store = open(directory);
    let mut ends = Vec::new();
    for number in 1..=count {
        let process = if number % 2 == 0 { "api" } else { "web" };
        Sample::new(process, number % 2)
            .line(format!("line {number}"))
            .at(number * 10)
            .append(&store)
            .unwrap();
        ends.push(store.bytes());
    }
    ends
}

/// Copies a log with its only segment changed.
fn changed_copy(directory: &TempDir, change: impl FnOnce(&mut Vec<u8>)) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let path = &segments(directory.path())[0];
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
    copy
}

fn position_at(number: u64) -> Option<SpoolPosition> {
    (number > 0).then(|| Sample::new("x", 0).at(number * 10).position)
}

#[test]
fn a_crash_at_any_byte_leaves_whole_batches_and_the_right_positions() {
    let directory = tempfile::tempdir().unwrap();
    let ends = write_batches(&directory, 6);
    let bytes = *ends.last().unwrap();
    for cut in ends[1]..=bytes {
        let copy = changed_copy(&directory, |bytes| bytes.truncate(cut as usize));
        let whole = ends.iter().filter(|&&end| end <= cut).count() as u64;
        let (store, recovery) = Store::open(copy.path()).unwrap();
        assert_eq!(recovery.torn_bytes, cut - ends[whole as usize - 1], "cut at {cut}");
        assert_eq!((recovery.damaged_places, store.newest()), (0, Seq(whole)), "cut at {cut}");
        let expected: Vec<_> = (1..=whole).map(|number| format!("line {number}")).collect();
        assert_eq!(texts(&store), expected, "cut at {cut}");
        for run in [0, 1] {
            let last = (1..=whole).rev().find(|number| number % 2 == run).unwrap_or(0);
            assert_eq!(store.position(RunId(run)), position_at(last), "cut at {cut}");
        }
        // The next batch takes the torn one's place, and the log is in order again.
        assert_eq!(Sample::new("api", 0).line("new").append(&store).unwrap().0, Seq(whole + 1));
        drop(store);
        let (store, recovery) = Store::open(copy.path()).unwrap();
        assert_eq!(recovery, Recovery::default(), "cut at {cut}");
        assert_eq!(texts(&store).last().unwrap(), "new");
    }
}

#[test]
fn a_tail_of_zeros_or_rubbish_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    write_batches(&directory, 3);
    let mut magic_rubbish = b"\xf5OLF".repeat(100);
    magic_rubbish.extend([0xff; 200]);
    for tail in [vec![0; 5000], vec![0xf5; 3], magic_rubbish] {
        let copy = changed_copy(&directory, |bytes| bytes.extend_from_slice(&tail));
        let (store, recovery) = Store::open(copy.path()).unwrap();
        assert_eq!((recovery.torn_bytes, recovery.damaged_places), (tail.len() as u64, 0));
        assert_eq!(texts(&store).len(), 3);
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_frame_costs_that_frame_alone() {
    let directory = tempfile::tempdir().unwrap();
    let ends = write_batches(&directory, 6);
    for place in ends[2]..ends[3] {
        let copy = changed_copy(&directory, |bytes| bytes[place as usize] ^= 1 << (place % 8));
        let (store, recovery) = Store::open(copy.path()).unwrap();
        let file = segments(copy.path()).remove(0);
        let damage = crate::store::Damage { file, offset: ends[2], bytes: ends[3] - ends[2] };
        assert_eq!((recovery.torn_bytes, recovery.damage), (0, vec![damage]), "flip at {place}");
        assert_eq!(texts(&store), ["line 1", "line 2", "line 3", "line 5", "line 6"], "flip at {place}");
        assert_eq!(store.position(RunId(0)), position_at(6));
        let page = store.query(&LogQuery { after: Some(Seq(0)), ..everything() });
        assert_eq!((page.missing, page.next), (1, Seq(6)), "flip at {place}");
        assert_eq!(Sample::new("api", 0).line("new").append(&store).unwrap().0, Seq(7));
    }
}

#[test]
fn a_flipped_bit_anywhere_before_the_lines_costs_no_line() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_with(directory.path(), SMALL).unwrap();
    Sample::new("silent", 9).line("silent").at(90).append(&store).unwrap();
    while segments(directory.path()).len() < 3 {
        Sample::new("api", 1).line("x".repeat(200)).at(10).append(&store).unwrap();
    }
    let all = texts(&store);
    drop(store);
    let last = segments(directory.path()).pop().unwrap();
    let intact = fs::read(&last).unwrap();
    // The header has 40 bytes; the head and the two positions behind it 88 and 64.
    for place in 0..40 + 88 + 64 {
        let mut bytes = intact.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&last, bytes).unwrap();
        let (store, recovery) = Store::open_with(directory.path(), SMALL).unwrap();
        assert!(recovery.damaged_places == 1, "flip at {place}: {recovery:?}");
        assert_eq!(texts(&store), all, "flip at {place}");
        assert_eq!(store.position(RunId(9)), Some(Sample::new("x", 0).at(90).position), "flip at {place}");
    }
}

#[test]
fn damage_in_a_sealed_segment_is_found_when_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_with(directory.path(), SMALL).unwrap();
    while segments(directory.path()).len() < 3 {
        Sample::new("api", 1).line("x".repeat(200)).line("y").append(&store).unwrap();
    }
    let newest = store.newest().0;
    drop(store);
    let first = segments(directory.path()).remove(0);
    let intact = fs::read(&first).unwrap();
    let text = intact.windows(200).position(|window| window.iter().all(|&byte| byte == b'x')).unwrap();
    let head = intact.windows(4).skip(1000).position(|window| window == b"\xf5OLF").unwrap() + 1000;
    for place in [text, head + 30] {
        let mut bytes = intact.clone();
        bytes[place] ^= 1;
        fs::write(&first, bytes).unwrap();
        let (store, recovery) = Store::open_with(directory.path(), SMALL).unwrap();
        assert_eq!(recovery, Recovery::default());
        for take in [Take::Oldest, Take::Newest] {
            let page = store.query(&LogQuery { after: Some(Seq(0)), take, ..everything() });
            assert!(page.missing >= 2, "flip at {place}: {}", page.missing);
            assert_eq!(page.lines.len() as u64 + page.missing, newest, "flip at {place}");
        }
    }
}

#[test]
fn a_frame_of_another_log_printed_into_this_one_is_no_frame() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_batches(&one, 3);
    let foreign = fs::read(&segments(one.path())[0]).unwrap();
    let store = open(&other);
    Sample::new("api", 1).line(foreign).append(&store).unwrap();
    Sample::new("api", 1).line("after").append(&store).unwrap();
    drop(store);
    // The head of the first frame is damaged, so its text is searched for the next frame.
    let copy = changed_copy(&other, |bytes| {
        let head = bytes.windows(4).rposition(|window| window == b"\xf5OLF").unwrap();
        let first = bytes.windows(4).position(|window| window == b"\xf5OLF").unwrap();
        let second =
            first + 4 + bytes[first + 4..head].windows(4).position(|window| window == b"\xf5OLF").unwrap();
        bytes[second + 20] ^= 0x80;
    });
    let (store, recovery) = Store::open(copy.path()).unwrap();
    assert_eq!((texts(&store), recovery.damaged_places), (vec!["after".to_owned()], 1));
}

#[test]
fn a_damaged_header_costs_nothing_while_another_segment_tells_the_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_with(directory.path(), SMALL).unwrap();
    while segments(directory.path()).len() < 3 {
        Sample::new("api", 1).line("x".repeat(200)).append(&store).unwrap();
    }
    let (count, cursor) = (store.newest().0, store.cursor(store.newest()));
    drop(store);
    for path in segments(directory.path()).into_iter().skip(1) {
        let intact = fs::read(&path).unwrap();
        let mut bytes = intact.clone();
        bytes[3] ^= 1;
        fs::write(&path, bytes).unwrap();
        let (store, recovery) = Store::open_with(directory.path(), SMALL).unwrap();
        assert_eq!((recovery.damaged_places, recovery.damaged_bytes), (1, 40));
        assert_eq!(texts(&store).len() as u64, count);
        assert_eq!(store.resolve(cursor), Ok(Seq(count)));
        drop(store);
        fs::write(&path, intact).unwrap();
    }
}

#[test]
fn a_log_without_any_readable_header_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    write_batches(&directory, 3);
    let path = segments(directory.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[3] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (store, recovery) = Store::open(directory.path()).unwrap();
    assert_eq!(recovery.damaged_bytes, bytes.len() as u64);
    assert_eq!((store.newest(), texts(&store)), (Seq(0), vec![]));
    assert_eq!(fs::read(path.with_extension("damaged")).unwrap(), bytes);
}

#[test]
fn an_empty_file_and_strangers_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    write_batches(&directory, 3);
    fs::write(directory.path().join("0000000000000004.seg"), "").unwrap();
    fs::write(directory.path().join("0000000000000009.seg.new"), "half a segment").unwrap();
    fs::write(directory.path().join("ffffffffffffffff.seg"), "not ours").unwrap();
    fs::write(directory.path().join("README"), "not ours").unwrap();
    let (store, _) = Store::open(directory.path()).unwrap();
    assert_eq!(Sample::new("api", 0).line("new").append(&store).unwrap(), (Seq(4), Seq(4)));
    drop(store);
    let (store, recovery) = Store::open(directory.path()).unwrap();
    assert_eq!((texts(&store).len(), recovery), (4, Recovery::default()));
    assert!(directory.path().join("README").exists());
}

#[test]
fn a_newer_format_is_declined_with_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    write_batches(&directory, 1);
    let copy = changed_copy(&directory, |bytes| {
        bytes[8] = 7;
        let sum = crc32fast::hash(&bytes[..36]);
        bytes[36..40].copy_from_slice(&sum.to_le_bytes());
    });
    let before = fs::read(&segments(copy.path())[0]).unwrap();
    let error = Store::open(copy.path()).unwrap_err().to_string();
    assert!(error.contains("log format 7, this one knows 3"), "{error}");
    assert_eq!(fs::read(&segments(copy.path())[0]).unwrap(), before);
}

#[test]
fn a_crash_between_sealing_and_beginning_goes_on_in_the_sealed_segment() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_with(directory.path(), SMALL).unwrap();
    while segments(directory.path()).len() < 2 {
        Sample::new("api", 1).line("x".repeat(200)).at(1).append(&store).unwrap();
    }
    drop(store);
    fs::remove_file(segments(directory.path()).pop().unwrap()).unwrap();
    let (store, recovery) = Store::open(directory.path()).unwrap();
    assert_eq!(recovery, Recovery::default());
    let newest = store.newest();
    assert_eq!(Sample::new("api", 1).line("new").append(&store).unwrap().0, Seq(newest.0 + 1));
    drop(store);
    let (store, recovery) = Store::open(directory.path()).unwrap();
    assert_eq!((texts(&store).len() as u64, recovery), (newest.0 + 1, Recovery::default()));
}
