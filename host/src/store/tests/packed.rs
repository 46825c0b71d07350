//! Packed segments: they answer as plain ones do, survive crashes between the steps of packing, and damage costs a
//! block and no more.

use std::fs;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::store::{Pattern, Retention};

/// Small segments, packed only when a test says so or when the store's thread gets to it, so tests settle first.
const PACKED: Limits = Limits { segment_bytes: 4 << 10, log_bytes: 1 << 30, pack: true };

/// Writes lines of two processes, now one by one and now many at once, into several segments; packs them.
fn fill(directory: &TempDir, limits: Limits) -> (Store, Vec<Line>) {
    let (store, _) = Store::open_with(directory.path(), limits).unwrap();
    let mut expected = Vec::new();
    for number in 0..400u64 {
        let process = ["api", "web"][(number / 5 % 2) as usize];
        let level = if number % 40 == 0 { Level::Error } else { Level::Info };
        let mut sample = Sample::new(process, number / 100 + 1).at(number);
        for part in 0..number % 7 {
            let text = format!("{number}.{part} {}", "lorem ipsum ".repeat((number % 9) as usize));
            sample = sample.full_line(text, level, Stream::Stdout, number as i64 * 1000, part == 3);
        }
        let first = sample.append(&store).unwrap().0;
        expected.extend(sample.expected(first));
    }
    store.settle();
    (store, expected)
}

fn packed_files(directory: &Path) -> Vec<PathBuf> {
    let is_packed = |path: &PathBuf| fs::read(path).unwrap()[8] == 2;
    segments(directory).into_iter().filter(is_packed).collect()
}

#[test]
fn packed_lines_are_those_that_went_in_also_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let (store, expected) = fill(&directory, PACKED);
    let files = segments(directory.path());
    assert_eq!(packed_files(directory.path()), files[..files.len() - 1]);
    let check = |store: &Store| {
        assert_eq!(store.query(&everything()).lines, expected);
        let page = store.query(&LogQuery { after: Some(Seq(0)), ..everything() });
        assert_eq!((page.lines.len(), page.missing), (expected.len(), 0));
        let errors = LogQuery { min_level: Some(Level::Error), ..everything() };
        let is_error = |line: &&Line| line.level == Level::Error;
        assert_eq!(store.query(&errors).lines, expected.iter().filter(is_error).cloned().collect::<Vec<_>>());
        let grep = LogQuery { pattern: Some(Pattern::new(r"^399\.\d").unwrap()), ..everything() };
        assert_eq!(store.query(&grep).lines.len(), 0);
        let grep = LogQuery { pattern: Some(Pattern::new(r"^12\.\d").unwrap()), ..everything() };
        assert_eq!(store.query(&grep).lines.len(), 5);
        assert_eq!(store.position(RunId(4)), Some(Sample::new("x", 0).at(399).position));
        assert_eq!(store.position(RunId(1)), Some(Sample::new("x", 0).at(99).position));
    };
    check(&store);
    drop(store);
    let (store, recovery) = Store::open_with(directory.path(), PACKED).unwrap();
    assert_eq!(recovery, Recovery::default());
    check(&store);
    drop(store);
    // Without their own index packed segments are walked.
    for path in packed_files(directory.path()) {
        let bytes = fs::read(&path).unwrap();
        let end = u64::from_le_bytes(bytes[bytes.len() - 16..bytes.len() - 8].try_into().unwrap());
        fs::write(&path, &bytes[..end as usize]).unwrap();
    }
    let (store, recovery) = Store::open_with(directory.path(), PACKED).unwrap();
    assert_eq!(recovery, Recovery::default());
    check(&store);
}

#[test]
fn ordinary_segments_shrink_and_readers_of_the_old_file_read_on() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { segment_bytes: 256 << 10, ..PACKED };
    let (store, _) = Store::open_with(directory.path(), Limits { pack: false, ..limits }).unwrap();
    while segments(directory.path()).len() < 3 {
        let sample = (0..50).fold(Sample::new("api", 1), |sample, number| {
            sample.line(format!("GET /api/orders/{number} 200 in {} ms", number * 7 % 31))
        });
        sample.append(&store).unwrap();
    }
    let before = store.bytes();
    drop(store);
    // Plain segments of an earlier program are packed by the next.
    let (store, _) = Store::open_with(directory.path(), Limits { pack: false, ..limits }).unwrap();
    let (snapshot, lines) = (store.snapshot(), store.query(&everything()));
    drop(store);
    let (store, _) = Store::open_with(directory.path(), limits).unwrap();
    store.settle();
    assert!(store.bytes() < before * 2 / 3, "{} of {before}", store.bytes());
    assert_eq!(store.query_snapshot(&everything(), &snapshot), lines);
    assert_eq!(store.query(&everything()), lines);
}

#[test]
fn a_crash_between_any_steps_of_packing_leaves_the_old_or_the_new() {
    let (plain, packed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, expected) = fill(&plain, Limits { pack: false, ..PACKED });
    drop(store);
    drop(fill(&packed, PACKED).0);
    let new = segments(packed.path());
    // Cut off while it is written, under the name it has until it is whole.
    let half = fs::read(&new[0]).unwrap();
    for cut in [0, 1, 40, 41, half.len() / 2, half.len() - 1, half.len()] {
        let copy = tempfile::tempdir().unwrap();
        for path in segments(plain.path()) {
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        let name = new[0].with_extension("pack.new");
        fs::write(copy.path().join(name.file_name().unwrap()), &half[..cut]).unwrap();
        // Without packing at first, which would use that name again.
        let plain = Limits { pack: false, ..PACKED };
        let (store, recovery) = Store::open_with(copy.path(), plain).unwrap();
        assert_eq!((recovery, texts(&store).len()), (Recovery::default(), expected.len()), "cut at {cut}");
        assert!(!copy.path().join(name.file_name().unwrap()).exists());
        drop(store);
        let (store, _) = Store::open_with(copy.path(), PACKED).unwrap();
        store.settle();
        assert_eq!(store.query(&everything()).lines, expected, "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_packed_segment_costs_a_block_at_most_and_never_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let (store, expected) = fill(&directory, PACKED);
    let mut blocks = Vec::new();
    for segment in store.snapshot().segments.iter().filter(|segment| segment.packed) {
        blocks.extend(segment.extents.iter().map(|extent| u64::from(extent.lines)));
    }
    let largest = *blocks.iter().max().unwrap();
    drop(store);
    let path = packed_files(directory.path()).remove(1);
    let intact = fs::read(&path).unwrap();
    for place in (0..intact.len()).step_by(3).chain(intact.len() - 40..intact.len()) {
        let mut bytes = intact.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&path, bytes).unwrap();
        let (store, _) = Store::open_with(directory.path(), Limits { pack: false, ..PACKED })
            .unwrap_or_else(|error| panic!("flip at {place}: {error}"));
        for take in [Take::Oldest, Take::Newest] {
            let page = store.query(&LogQuery { after: Some(Seq(0)), take, ..everything() });
            assert_eq!(page.lines.len() as u64 + page.missing, expected.len() as u64, "flip at {place}");
            assert!(page.missing <= largest, "flip at {place}: {}", page.missing);
            assert!(page.lines.iter().all(|line| *line == expected[line.seq.0 as usize - 1]));
            assert_eq!(page.missing > 0, !store.damage().is_empty(), "flip at {place}");
            let pattern = Some(Pattern::new("lorem").unwrap());
            let found = store.query(&LogQuery { after: Some(Seq(0)), take, pattern, ..everything() });
            assert!(found.lines.iter().all(|line| *line == expected[line.seq.0 as usize - 1]));
        }
        assert_eq!(store.newest(), Seq(expected.len() as u64), "flip at {place}");
    }
}

#[test]
fn a_packed_segment_cut_anywhere_costs_what_was_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let (store, expected) = fill(&directory, PACKED);
    drop(store);
    let path = packed_files(directory.path()).remove(1);
    let intact = fs::read(&path).unwrap();
    for cut in (0..intact.len()).step_by(17) {
        fs::write(&path, &intact[..cut]).unwrap();
        let (store, _) = Store::open_with(directory.path(), Limits { pack: false, ..PACKED }).unwrap();
        let page = store.query(&LogQuery { after: Some(Seq(0)), ..everything() });
        assert_eq!(page.lines.len() as u64 + page.missing, expected.len() as u64, "cut at {cut}");
        assert!(page.lines.iter().all(|line| *line == expected[line.seq.0 as usize - 1]));
    }
}

#[test]
fn a_damaged_plain_segment_is_not_packed_so_that_its_damage_is_told_again() {
    let directory = tempfile::tempdir().unwrap();
    let (store, expected) = fill(&directory, Limits { pack: false, ..PACKED });
    drop(store);
    let path = segments(directory.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.windows(6).position(|window| window == b"ipsum ").unwrap();
    bytes[place] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (store, _) = Store::open_with(directory.path(), PACKED).unwrap();
    store.settle();
    let files = segments(directory.path());
    assert_eq!(packed_files(directory.path()), files[1..files.len() - 1]);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let page = store.query(&LogQuery { after: Some(Seq(0)), ..everything() });
    assert!(page.missing > 0);
    assert_eq!(page.lines.len() as u64 + page.missing, expected.len() as u64);
}

#[test]
fn cleared_lines_are_gone_from_the_disk_and_the_holes_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (store, mut expected) = fill(&directory, PACKED);
    let secret = Sample::new("api", 9).line("the-secret-in-the-active-segment");
    expected.extend(secret.expected(secret.append(&store).unwrap().0));
    let all = expected.len() as u64;
    let api = expected.iter().filter(|line| line.process == name("api")).count() as u64;
    assert_eq!(store.clear(Some(&[name("api")])).unwrap(), api);
    expected.retain(|line| line.process != name("api"));
    let check = |store: &Store| {
        assert_eq!(store.query(&everything()).lines, expected);
        assert_eq!(store.query(&everything()).missing, 0, "nothing was promised without a cursor");
        let after = |seq| store.query(&LogQuery { after: Some(Seq(seq)), ..everything() });
        assert_eq!((after(0).missing, after(0).next), (api, Seq(all)));
        for seq in (0..all).step_by(13) {
            let page = after(seq);
            assert_eq!(page.lines.len() as u64 + page.missing, all - seq, "after {seq}");
        }
        assert_eq!(store.newest(), Seq(all));
        assert_eq!(store.position(RunId(9)), Some(secret.position));
    };
    check(&store);
    drop(store);
    for path in segments(directory.path()) {
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(10).any(|window| window == b"the-secret"), "{}", path.display());
    }
    let (store, recovery) = Store::open_with(directory.path(), PACKED).unwrap();
    assert_eq!(recovery, Recovery::default());
    check(&store);

    assert_eq!(store.clear(None).unwrap(), all - api);
    assert_eq!((texts(&store).len(), store.newest()), (0, Seq(all)));
    assert_eq!(segments(directory.path()).len(), 1);
    assert_eq!(Sample::new("api", 1).line("new").append(&store).unwrap().0, Seq(all + 1));
    drop(store);
    let (store, recovery) = Store::open_with(directory.path(), PACKED).unwrap();
    assert_eq!((recovery, texts(&store)), (Recovery::default(), vec!["new".to_owned()]));
    assert_eq!(store.position(RunId(9)), Some(secret.position));
}

#[test]
fn appending_and_reading_go_on_while_segments_are_packed_and_cleared() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open_with(directory.path(), PACKED).unwrap().0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..1500 {
                let process = if number % 3 == 0 { "noise" } else { "api" };
                Sample::new(process, 1).line(format!("{process} {number}")).append(&store).unwrap();
            }
        });
        while !writer.is_finished() {
            store.clear(Some(&[name("noise")])).unwrap();
            let page = store.query(&LogQuery { after: Some(Seq(0)), ..everything() });
            assert_eq!(page.lines.len() as u64 + page.missing, page.next.0);
            assert!(page.lines.is_sorted_by_key(|line| line.seq));
        }
    });
    store.clear(Some(&[name("noise")])).unwrap();
    let page = store.query(&LogQuery { after: Some(Seq(0)), ..everything() });
    assert_eq!((page.lines.len(), page.missing), (1000, 500));
    assert!(page.lines.iter().all(|line| line.process == name("api")));
}

#[test]
fn lines_that_are_too_old_go_also_from_the_segment_that_grows() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_with(directory.path(), PACKED).unwrap();
    let day = std::time::Duration::from_secs(86_400);
    let long_ago = Time::now().minus(day * 20).0;
    let today = Time::now().0;
    Sample::new("api", 1)
        .full_line("old", Level::Info, Stream::Stdout, long_ago, false)
        .append(&store)
        .unwrap();
    Sample::new("web", 2).full_line("new", Level::Info, Stream::Stdout, today, false).append(&store).unwrap();
    store.set_retention(Retention { age: Some(day * 30), ..Retention::default() });
    store.settle();
    assert_eq!(texts(&store), ["old", "new"]);
    store.set_retention(Retention { age: Some(day * 14), ..Retention::default() });
    store.settle();
    assert_eq!(texts(&store), ["new"]);
    let page = store.query(&LogQuery { after: Some(Seq(0)), ..everything() });
    assert_eq!((page.missing, page.next), (1, Seq(2)));
}

#[test]
fn a_process_that_has_too_much_loses_its_oldest_lines_and_others_none() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_with(directory.path(), PACKED).unwrap();
    for number in 0..300 {
        Sample::new("chatty", 1).line(format!("{number} {}", "blah ".repeat(30))).append(&store).unwrap();
        if number % 10 == 0 {
            Sample::new("quiet", 2).line(format!("quiet {number}")).append(&store).unwrap();
        }
    }
    store.settle();
    let share = |store: &Store| -> u64 {
        let segments = store.snapshot().segments;
        segments.iter().filter_map(|segment| segment.shares.get(&name("chatty"))).sum()
    };
    let before = share(&store);
    let of = std::collections::BTreeMap::from([(name("chatty"), before / 2)]);
    store.set_retention(Retention { age: None, of, ..Retention::default() });
    store.settle();
    assert!(share(&store) <= before / 2 && share(&store) > before / 4, "{} of {before}", share(&store));
    let texts = texts(&store);
    assert_eq!(texts.iter().filter(|text| text.starts_with("quiet")).count(), 30);
    assert!(texts.last().unwrap().starts_with("299 ") && !texts.iter().any(|text| text.starts_with("0 ")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_place_of_some_never_bring_it_down_nor_give_a_wrong_line(
        place in 0..10_000usize,
        rubbish in prop::collection::vec(any::<u8>(), 1..300),
        which in 0..4usize,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (store, expected) = fill(&directory, PACKED);
        drop(store);
        let files = segments(directory.path());
        let path = &files[which % files.len()];
        let mut bytes = fs::read(path).unwrap();
        let place = place % bytes.len();
        let end = bytes.len().min(place + rubbish.len());
        bytes[place..end].copy_from_slice(&rubbish[..end - place]);
        fs::write(path, bytes).unwrap();
        let (store, _) = Store::open_with(directory.path(), PACKED).unwrap();
        store.settle();
        let page = store.query(&LogQuery { after: Some(Seq(0)), ..everything() });
        prop_assert_eq!(page.lines.len() as u64 + page.missing, page.next.0);
        prop_assert!(page.lines.iter().all(|line| *line == expected[line.seq.0 as usize - 1]));
        store.clear(Some(&[name("api")])).unwrap();
        prop_assert!(store.query(&everything()).lines.iter().all(|line| line.process != name("api")));
    }
}
