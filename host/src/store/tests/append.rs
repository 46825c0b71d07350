//! Appending, rotation, retention, following, and readers beside it all.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn lines_come_back_as_they_went_in_also_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let long = vec![b'x'; 1 << 20];
    let samples = [
        Sample::new("api", 1).line("one").line("").line("three"),
        Sample::new("web", 2)
            .full_line(b"\xff\xfe not utf-8 \xc3", Level::Error, Stream::Stderr, -5, false)
            .full_line(b"nul \0 cr \r", Level::Fatal, Stream::Stdout, i64::MAX, true)
            .full_line("ä€😀", Level::Trace, Stream::Ostler, i64::MIN, false),
        Sample::new("api", 3).line(&long).full_line("$ ", Level::Info, Stream::Stdout, 1_500, true),
        Sample::new("api", 3).line(""),
        Sample::new("api", 3).line("").line("").line(""),
    ];
    let mut expected = Vec::new();
    for sample in &samples {
        let (first, last) = sample.append(&store).unwrap();
        assert_eq!(first, Seq(expected.len() as u64 + 1));
        expected.extend(sample.expected(first));
        assert_eq!(last, Seq(expected.len() as u64));
    }
    assert_eq!(store.query(&everything()).lines, expected);
    drop(store);
    let store = open(&directory);
    assert_eq!(store.query(&everything()).lines, expected);
    assert_eq!(samples[0].append(&store).unwrap().0, Seq(expected.len() as u64 + 1));
}

#[test]
fn a_line_that_continues_an_event_says_so_and_no_other_flag_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let mut sample = Sample::new("api", 1).line("Traceback").line("  frame").line("prompt").line("x");
    sample.flags = vec![0, 2, 3, 0xfc];
    sample.append(&store).unwrap();
    drop(store);
    let lines = open(&directory).query(&everything()).lines;
    let flags: Vec<_> = lines.iter().map(|line| (line.continues, line.partial)).collect();
    assert_eq!(flags, [(false, false), (true, false), (true, true), (false, false)]);
}

#[test]
fn positions_are_those_of_the_last_batch_also_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    Sample::new("api", 1).line("a").at(10).append(&store).unwrap();
    Sample::new("web", 2).line("b").at(20).append(&store).unwrap();
    let (first, last) = Sample::new("api", 1).at(30).append(&store).unwrap();
    assert_eq!((first, last, store.newest()), (Seq(3), Seq(2), Seq(2)));
    let check = |store: &Store| {
        assert_eq!(store.position(RunId(1)), Some(Sample::new("x", 0).at(30).position));
        assert_eq!(store.position(RunId(2)), Some(Sample::new("x", 0).at(20).position));
        assert_eq!(store.position(RunId(3)), None);
    };
    check(&store);
    drop(store);
    check(&open(&directory));
}

#[test]
fn malformed_batches_are_refused_and_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let good = Sample::new("api", 1).line("one").line("two");
    let mut cases = vec![good.clone(); 5];
    cases[0].levels.pop();
    cases[1].ends[0] = 5;
    cases[1].ends[1] = 4;
    cases[2].text.push(b'x');
    cases[3].streams[1] = 3;
    cases[4].ends[1] = 99;
    for case in &cases {
        assert!(matches!(case.append(&store), Err(StoreError::MalformedBatch(_))), "{case:?}");
    }
    let large = Sample::new("api", 1).line(vec![0; 33 << 20]);
    assert!(matches!(large.append(&store), Err(StoreError::BatchTooLarge { .. })));
    assert_eq!((store.newest(), store.position(RunId(1))), (Seq(0), None));
    assert_eq!(segments(directory.path()).len(), 0);

    // A level no guest should have written is no reason to lose the line.
    let mut odd = good;
    odd.levels[0] = 200;
    odd.append(&store).unwrap();
    assert_eq!(store.query(&everything()).lines[0].level, Level::Unknown);
}

#[test]
fn followers_and_counts_see_each_batch() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let newest = store.subscribe();
    assert_eq!(*newest.borrow(), Seq(0));
    let sample = Sample::new("api", 1)
        .full_line("a", Level::Error, Stream::Stderr, 1, false)
        .full_line("b", Level::Error, Stream::Stderr, 1, false)
        .line("c");
    sample.append(&store).unwrap();
    assert!(newest.has_changed().unwrap());
    assert_eq!(*newest.borrow(), Seq(3));
    assert_eq!(store.counts(&name("api")), [1, 0, 0, 0, 0, 2, 0]);
    assert_eq!(store.counts(&name("web")), [0; 7]);
}

#[test]
fn a_cursor_leads_back_and_one_of_another_log_does_not() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(&one);
    Sample::new("api", 1).line("a").append(&store).unwrap();
    let cursor = store.cursor(store.newest());
    drop(store);
    let store = open(&one);
    assert_eq!(store.resolve(cursor.to_string().parse().unwrap()), Ok(Seq(1)));
    let error = open(&other).resolve(cursor).unwrap_err().to_string();
    assert!(error.contains("another log"), "{error}");
}

#[test]
fn the_log_stays_within_its_bound_and_says_what_it_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_with(directory.path(), SMALL).unwrap();
    Sample::new("silent", 7).line("first").at(70).append(&store).unwrap();
    for number in 1..1000 {
        Sample::new("api", 1).line(format!("line {number}")).line("more").at(number).append(&store).unwrap();
    }
    let on_disk =
        |paths: &[PathBuf]| -> u64 { paths.iter().map(|path| path.metadata().unwrap().len()).sum() };
    assert!(on_disk(&segments(directory.path())) <= SMALL.log_bytes);
    assert_eq!(on_disk(&segments(directory.path())), store.bytes());

    let check = |store: &Store| {
        let oldest = store.oldest();
        assert!(oldest > Seq(1));
        let page = store.query(&everything());
        assert_eq!((page.lines[0].seq, page.next, page.missing), (oldest, store.newest(), 0));
        let page = store.query(&LogQuery { after: Some(Seq(10)), ..everything() });
        assert_eq!(page.missing, oldest.0 - 11);
        assert_eq!(page.lines.len() as u64, store.newest().0 - oldest.0 + 1);
        let page = store.query(&LogQuery { after: Some(Seq(oldest.0 - 1)), limit: 3, ..everything() });
        assert_eq!((page.missing, page.lines.len()), (0, 3));
        // The run whose lines are all gone is not taken in again from its spool.
        assert_eq!(store.position(RunId(7)), Some(Sample::new("x", 0).at(70).position));
        assert_eq!(store.position(RunId(1)), Some(Sample::new("x", 0).at(999).position));
    };
    check(&store);
    drop(store);
    let (store, recovery) = Store::open_with(directory.path(), SMALL).unwrap();
    assert_eq!(recovery, Recovery::default());
    check(&store);
}

#[test]
fn positions_nobody_needs_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_with(directory.path(), SMALL).unwrap();
    for run in 1..100 {
        Sample::new("api", run).line("x".repeat(100)).at(run).append(&store).unwrap();
    }
    store.retain_positions(|run| run == RunId(1));
    for _ in 0..100 {
        Sample::new("web", 100).line("x".repeat(100)).at(5).append(&store).unwrap();
    }
    drop(store);
    let (store, _) = Store::open_with(directory.path(), SMALL).unwrap();
    assert!(store.position(RunId(1)).is_some());
    assert_eq!(store.position(RunId(2)), None);
}

#[test]
fn a_segment_of_positions_alone_is_replaced_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_with(directory.path(), SMALL).unwrap();
    for position in 0..1000 {
        Sample::new("api", 1).at(position).append(&store).unwrap();
    }
    assert_eq!(segments(directory.path()).len(), 1);
    assert!(store.bytes() <= SMALL.segment_bytes);
    drop(store);
    let (store, _) = Store::open_with(directory.path(), SMALL).unwrap();
    assert_eq!(store.position(RunId(1)), Some(Sample::new("x", 0).at(999).position));
    assert_eq!(Sample::new("api", 1).line("a").append(&store).unwrap(), (Seq(1), Seq(1)));
}

#[test]
fn the_index_is_the_same_whether_kept_written_or_gathered() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { segment_bytes: 16 << 10, log_bytes: 1 << 20, pack: false };
    let (store, _) = Store::open_with(directory.path(), limits).unwrap();
    for number in 0..300 {
        let process = ["api", "web", "db"][number % 3];
        Sample::new(process, number as u64).line("x".repeat(number)).append(&store).unwrap();
    }
    let extents = |store: &Store| -> Vec<_> {
        store.snapshot().segments.iter().map(|segment| (segment.first, segment.extents.clone())).collect()
    };
    let kept = extents(&store);
    assert!(kept.len() > 3);
    drop(store);
    let (store, _) = Store::open_with(directory.path(), limits).unwrap();
    assert_eq!(extents(&store), kept);
    drop(store);
    // Without their own index at the end, segments are walked.
    let paths = segments(directory.path());
    for path in &paths[..paths.len() - 1] {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let bytes = std::fs::read(path).unwrap();
        let end = u64::from_le_bytes(bytes[bytes.len() - 16..bytes.len() - 8].try_into().unwrap());
        file.set_len(end).unwrap();
    }
    let (store, recovery) = Store::open_with(directory.path(), limits).unwrap();
    assert_eq!((extents(&store), recovery), (kept, Recovery::default()));
}

#[test]
fn readers_beside_writers_see_whole_batches_in_order_and_miss_nothing_uncounted() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_with(directory.path(), SMALL).unwrap();
    let done = AtomicBool::new(false);
    let write = |process: &str, run: u64| {
        for number in 0..600 {
            let text = format!("{process} {number}");
            Sample::new(process, run).line(&text).line(&text).line(&text).append(&store).unwrap();
        }
    };
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut after, mut seen) = (Seq(0), 0);
            loop {
                let last_round = done.load(Ordering::Acquire);
                let page = store.query(&LogQuery { after: Some(after), limit: 50, ..everything() });
                seen += page.lines.len() as u64 + page.missing;
                assert_eq!(seen, page.next.0);
                assert!(page.lines.is_sorted_by_key(|line| line.seq));
                after = page.next;
                if last_round && !page.more {
                    return seen;
                }
            }
        });
        let writers = [scope.spawn(|| write("api", 1)), scope.spawn(|| write("web", 2))];
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Release);
        assert_eq!(reader.join().unwrap(), 3600);
    });
    let page = store.query(&everything());
    let whole = page.lines.iter().position(|line| (line.seq.0 - 1) % 3 == 0).unwrap();
    assert!(page.lines[whole..].chunks(3).all(|batch| batch.iter().all(|line| line.text == batch[0].text)));
}

#[test]
fn a_snapshot_outlives_retention() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_with(directory.path(), SMALL).unwrap();
    Sample::new("api", 1).line("kept by the reader").append(&store).unwrap();
    let snapshot = store.snapshot();
    for _ in 0..1000 {
        Sample::new("web", 2).line("x".repeat(100)).append(&store).unwrap();
    }
    assert!(!snapshot.segments[0].path.exists());
    assert_eq!(snapshot.extents(1, snapshot.newest.0).count(), 1);
    let page = store.query_snapshot(&everything(), &snapshot);
    assert_eq!((page.lines[0].text.as_str(), page.missing), ("kept by the reader", 0));
}
