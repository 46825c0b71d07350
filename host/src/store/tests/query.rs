//! Queries, held against a model that knows nothing of files.

use proptest::prelude::*;

use super::*;
use crate::store::{LogPage, Pattern};

const PROCESSES: [&str; 3] = ["api", "web", "db"];
const TEXTS: [&[u8]; 8] = [
    b"",
    b"GET / 200",
    b"error: boom",
    b"ERROR boom",
    b"caf\xe9 \0 boom\r",
    b"boo",
    b"m",
    b"Traceback (most recent call last):",
];
const PATTERNS: [&str; 9] =
    ["boom", "^$", "(?i)^error", "oo$", "", r"\bboom\b", r"o\s*m", "(?Rm)m$", "200|last"];

#[derive(Debug, Clone)]
struct Filter {
    processes: Option<Vec<usize>>,
    run: Option<u64>,
    min_level: Option<u8>,
    stream: Option<u8>,
    since: Option<i64>,
    until: Option<i64>,
    pattern: Option<usize>,
}

impl Filter {
    fn query(&self) -> LogQuery {
        LogQuery {
            processes: self
                .processes
                .as_ref()
                .map(|all| all.iter().map(|&which| name(PROCESSES[which])).collect()),
            run: self.run.map(RunId),
            min_level: self.min_level.map(Level::from_u8),
            stream: self.stream.and_then(Stream::from_u8),
            since: self.since.map(Time),
            until: self.until.map(Time),
            pattern: self.pattern.map(|which| Pattern::new(PATTERNS[which]).unwrap()),
            ..LogQuery::default()
        }
    }

    /// Says it again in the plainest way.
    fn admits(&self, line: &Line, raw: &[u8]) -> bool {
        self.processes
            .as_ref()
            .is_none_or(|all| all.iter().any(|&which| PROCESSES[which] == line.process.as_str()))
            && self.run.is_none_or(|run| line.run.0 == run)
            && self.min_level.is_none_or(|level| line.level >= Level::from_u8(level))
            && self.stream.is_none_or(|stream| line.stream as u8 == stream)
            && self.since.is_none_or(|since| line.time.0 >= since)
            && self.until.is_none_or(|until| line.time.0 <= until)
            && self
                .pattern
                .is_none_or(|which| regex::bytes::Regex::new(PATTERNS[which]).unwrap().is_match(raw))
    }
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let line = (0..TEXTS.len(), 0..7u8, 0..3u8, 0..1000i64, any::<bool>());
    let batch = (0..PROCESSES.len(), 1..4u64, prop::collection::vec(line, 0..12));
    type Columns = (usize, u8, u8, i64, bool);
    let build = |(process, run, lines): (usize, u64, Vec<Columns>)| {
        lines.into_iter().fold(
            Sample::new(PROCESSES[process], run),
            |sample, (text, level, stream, time, partial)| {
                let stream = Stream::from_u8(stream).unwrap();
                sample.full_line(TEXTS[text], Level::from_u8(level), stream, time, partial)
            },
        )
    };
    prop::collection::vec(batch.prop_map(build), 0..40)
}

fn filters() -> impl Strategy<Value = Filter> {
    let option = prop::option::weighted::<std::ops::Range<i64>>;
    (
        prop::option::weighted(0.4, prop::collection::vec(0..PROCESSES.len(), 0..3)),
        prop::option::weighted(0.2, 1..4u64),
        prop::option::weighted(0.4, 0..7u8),
        prop::option::weighted(0.2, 0..3u8),
        option(0.2, 0..1000),
        option(0.2, 0..1000),
        prop::option::weighted(0.5, 0..PATTERNS.len()),
    )
        .prop_map(|(processes, run, min_level, stream, since, until, pattern)| Filter {
            processes,
            run,
            min_level,
            stream,
            since,
            until,
            pattern,
        })
}

/// Appends all samples and returns their lines with their bytes.
fn fill(store: &Store, samples: &[Sample]) -> Vec<(Line, Vec<u8>)> {
    let mut model = Vec::new();
    for sample in samples {
        let (first, _) = sample.append(store).unwrap();
        let mut from = 0;
        for (line, &end) in sample.expected(first).into_iter().zip(&sample.ends) {
            model.push((line, sample.text[from..end as usize].to_vec()));
            from = end as usize;
        }
    }
    model
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn walking_by_cursor_gives_what_matches_exactly_once(
        samples in samples(),
        filter in filters(),
        limit in 1..20usize,
        segment_bytes in 1_000..6_000u64,
        reopen in any::<bool>(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let limits = Limits { segment_bytes, log_bytes: u64::MAX, pack: false };
        let (mut store, _) = Store::open_with(directory.path(), limits).unwrap();
        let model = fill(&store, &samples);
        if reopen {
            drop(store);
            store = Store::open_with(directory.path(), limits).unwrap().0;
        }
        let expected: Vec<_> =
            model.iter().filter(|(line, raw)| filter.admits(line, raw)).map(|(line, _)| line.clone()).collect();

        let mut walked = Vec::new();
        let mut after = Seq(0);
        loop {
            let page = store.query(&LogQuery { after: Some(after), limit, take: Take::Oldest, ..filter.query() });
            prop_assert!(page.lines.len() <= limit && page.missing == 0);
            prop_assert!(!page.more || (page.lines.len() == limit && page.next == page.lines[limit - 1].seq));
            walked.extend(page.lines);
            after = page.next;
            if !page.more {
                break;
            }
        }
        prop_assert_eq!(after, store.newest());
        prop_assert_eq!(&walked, &expected);

        let page = store.query(&LogQuery { limit, ..filter.query() });
        let newest = expected[expected.len().saturating_sub(limit)..].to_vec();
        prop_assert!(page.more || newest.len() == expected.len());
        prop_assert_eq!((page.lines, page.next, page.missing), (newest, store.newest(), 0));
    }

    #[test]
    fn paging_backwards_by_before_gives_the_same(
        samples in samples(),
        filter in filters(),
        limit in 1..20usize,
        after in 0..100u64,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = Store::open_with(directory.path(), Limits { log_bytes: u64::MAX, ..SMALL }).unwrap();
        let model = fill(&store, &samples);
        let expected: Vec<_> = model
            .iter()
            .filter(|(line, raw)| line.seq.0 > after && filter.admits(line, raw))
            .map(|(line, _)| line.clone())
            .collect();
        let mut pages: Vec<LogPage> = Vec::new();
        loop {
            let before = pages.last().and_then(|page| page.lines.first()).map(|line| line.seq);
            let page = store.query(&LogQuery { after: Some(Seq(after)), before, limit, ..filter.query() });
            let more = page.more;
            pages.push(page);
            if !more {
                break;
            }
        }
        let walked: Vec<_> = pages.into_iter().rev().flat_map(|page| page.lines).collect();
        prop_assert_eq!(walked, expected);
    }
}

fn ten() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    for number in 1..=10 {
        Sample::new("api", 1).line(format!("line {number}")).append(&store).unwrap();
    }
    (directory, store)
}

#[test]
fn bounds_that_leave_nothing_give_an_empty_page_and_never_lead_backwards() {
    let (_directory, store) = ten();
    for take in [Take::Oldest, Take::Newest] {
        let ask = |after: u64, before: u64| {
            store.query(&LogQuery {
                after: Some(Seq(after)),
                before: Some(Seq(before)),
                take,
                ..everything()
            })
        };
        for (after, before) in [(5, 5), (5, 6), (5, 0), (5, 1), (8, 2)] {
            let page = ask(after, before);
            assert_eq!((page.lines.len(), page.next, page.more, page.missing), (0, Seq(after), false, 0));
        }
        assert_eq!(ask(5, 7).lines[0].text, "line 6");
        assert_eq!(ask(5, 7).next, Seq(6));
        // A cursor from before a loss of power goes on from the end.
        assert_eq!(ask(u64::MAX, u64::MAX).next, Seq(10));
        assert_eq!(ask(10, u64::MAX).next, Seq(10));
    }
}

#[test]
fn a_limit_of_zero_gives_a_place_to_go_on_from() {
    let (_directory, store) = ten();
    let page = store.query(&LogQuery { limit: 0, ..LogQuery::default() });
    assert_eq!((page.lines.len(), page.next), (0, Seq(10)));
    let page =
        store.query(&LogQuery { limit: 0, after: Some(Seq(4)), take: Take::Oldest, ..LogQuery::default() });
    assert_eq!((page.lines.len(), page.next, page.more), (0, Seq(4), true));
}

#[test]
fn an_empty_log_answers() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    for take in [Take::Oldest, Take::Newest] {
        let page = store.query(&LogQuery { after: Some(Seq(0)), take, ..everything() });
        assert_eq!(page, LogPage { lines: vec![], next: Seq(0), more: false, missing: 0 });
    }
    assert_eq!((store.newest(), store.oldest()), (Seq(0), Seq(1)));
}

#[test]
fn undecided_lines_are_below_every_level() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let sample = Level::ALL.iter().fold(Sample::new("api", 1), |sample, &level| {
        sample.full_line(level.as_str(), level, Stream::Stdout, 1, false)
    });
    sample.append(&store).unwrap();
    let at_least = |level| -> Vec<String> {
        let page = store.query(&LogQuery { min_level: Some(level), ..everything() });
        page.lines.into_iter().map(|line| line.text).collect()
    };
    assert_eq!(at_least(Level::Unknown).len(), 7);
    assert_eq!(at_least(Level::Trace).len(), 6);
    assert_eq!(at_least(Level::Error), ["error", "fatal"]);
}

/// A frame of many blocks of text, with an error in each hundredth line.
fn large() -> Sample {
    (0..4000).fold(Sample::new("api", 1), |sample, number| {
        let level = if number % 100 == 0 { Level::Error } else { Level::Info };
        let text = format!("{number} {}", "x".repeat(number % 300));
        sample.full_line(text, level, Stream::Stdout, number as i64, false)
    })
}

#[test]
fn a_few_lines_of_a_large_frame_are_given_as_all_are() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let expected = large().expected(large().append(&store).unwrap().0);
    assert_eq!(store.query(&everything()).lines, expected);
    let errors: Vec<_> = expected.iter().filter(|line| line.level == Level::Error).cloned().collect();
    let query = LogQuery { min_level: Some(Level::Error), limit: 7, ..LogQuery::default() };
    assert_eq!(store.query(&query).lines, errors[33..]);
    assert_eq!(store.query(&LogQuery { take: Take::Oldest, ..query.clone() }).lines, errors[..7]);
    let pattern = Some(Pattern::new("^[0-9]*00 x*$").unwrap());
    let query = LogQuery { pattern, limit: 100, ..query };
    assert_eq!(store.query(&query).lines, errors[1..]);
    assert_eq!(store.query(&LogQuery { min_level: None, ..query }).lines, errors[1..]);
}

#[test]
fn a_damaged_block_of_a_large_frame_costs_the_lines_in_it_and_never_gives_a_wrong_one() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { segment_bytes: 1 << 20, log_bytes: 1 << 30, pack: false };
    let (store, _) = Store::open_with(directory.path(), limits).unwrap();
    let expected = large().expected(large().append(&store).unwrap().0);
    large().append(&store).unwrap();
    drop(store);
    // The frame is in a sealed segment, which is not read when the log is opened.
    assert_eq!(segments(directory.path()).len(), 2);
    let path = segments(directory.path()).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(6).position(|window| window == b"\n2000 ").unwrap();
    bytes[place + 3] = b'9';
    std::fs::write(&path, bytes).unwrap();

    let (store, recovery) = Store::open_with(directory.path(), limits).unwrap();
    assert_eq!(recovery, Recovery::default());
    let query = LogQuery { after: Some(Seq(0)), before: Some(Seq(4001)), ..everything() };
    let errors = LogQuery { min_level: Some(Level::Error), ..query.clone() };
    for take in [Take::Oldest, Take::Newest] {
        let page = store.query(&LogQuery { take, ..errors.clone() });
        // Errors are 15 kB apart, blocks have 16 KiB.
        assert!((1..=2).contains(&page.missing), "{}", page.missing);
        assert_eq!(page.lines.len() as u64 + page.missing, 40);
        assert!(page.lines.iter().all(|line| expected.contains(line) && line.seq != Seq(2001)));
        let page = store.query(&LogQuery { take, ..query.clone() });
        assert_eq!(page.lines.len() as u64 + page.missing, 4000);
        assert!(page.missing < 250, "{}", page.missing);
        assert!(page.lines.iter().all(|line| *line == expected[line.seq.0 as usize - 1]));
        // A search needs the whole text, so it loses the whole frame.
        let pattern = Some(Pattern::new("2900").unwrap());
        let page = store.query(&LogQuery { take, pattern, ..query.clone() });
        assert_eq!((page.lines.len(), page.missing), (0, 4000));
    }
}

#[test]
fn a_page_is_bounded_in_bytes_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let line = vec![b'x'; 1 << 20];
    for _ in 0..70 {
        Sample::new("api", 1).line(&line).append(&store).unwrap();
    }
    let first = store.query(&LogQuery { after: Some(Seq(0)), ..everything() });
    assert_eq!((first.lines.len(), first.next, first.more), (64, Seq(64), true));
    let second = store.query(&LogQuery { after: Some(first.next), ..everything() });
    assert_eq!((second.lines.len(), second.next, second.more), (6, Seq(70), false));
}
