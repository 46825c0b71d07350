//! Walks by cursor while the log is sealed, packed and cleared under the reader; filters on fields; counts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::store::{Buckets, FieldFilter, Pattern, ProcessTally, Runs};

const PROCESSES: [&str; 3] = ["api", "web", "db"];
const TEXTS: [&str; 7] = [
    r#"{"status":500,"ms":12,"user":{"id":7}}"#,
    "GET /x status=500 ms=3",
    "GET /y status=200",
    "the status of 500",
    r#"INFO done {"status": 200, "ms": 40}"#,
    "",
    "plain words",
];
/// Filters, and which of the texts pass them.
const FILTERS: [(&[&str], &[usize]); 7] = [
    (&["status"], &[0, 1, 2, 4]),
    (&["status=500"], &[0, 1]),
    (&["status!=500"], &[2, 4]),
    (&["ms>=10"], &[0, 4]),
    (&["status~^[45]", "ms<10"], &[1]),
    (&["user.id=7"], &[0]),
    (&["nothing=1"], &[]),
];

#[derive(Debug, Clone)]
struct Wanted {
    process: Option<usize>,
    min_level: Option<u8>,
    fields: Option<usize>,
    pattern: bool,
}

impl Wanted {
    fn query(&self) -> LogQuery {
        let filters = self.fields.map_or(&[][..], |which| FILTERS[which].0);
        LogQuery {
            processes: self.process.map(|which| vec![name(PROCESSES[which])]),
            min_level: self.min_level.map(Level::from_u8),
            fields: filters.iter().map(|text| FieldFilter::parse(text).unwrap()).collect(),
            pattern: self.pattern.then(|| Pattern::new("0").unwrap()),
            ..LogQuery::default()
        }
    }

    fn admits(&self, line: &Line) -> bool {
        let text = TEXTS.iter().position(|text| *text == line.text).unwrap();
        self.process.is_none_or(|which| line.process == name(PROCESSES[which]))
            && self.min_level.is_none_or(|level| line.level >= Level::from_u8(level))
            && self.fields.is_none_or(|which| FILTERS[which].1.contains(&text))
            && (!self.pattern || line.text.contains('0'))
    }
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let fields = prop::option::weighted(0.7, 0..FILTERS.len());
    let process = prop::option::weighted(0.3, 0..PROCESSES.len());
    (process, prop::option::weighted(0.3, 0..7u8), fields, prop::bool::weighted(0.3))
        .prop_map(|(process, min_level, fields, pattern)| Wanted { process, min_level, fields, pattern })
}

/// What happens to the log between two pages.
#[derive(Debug, Clone)]
enum Event {
    Append(Sample),
    /// Seals and packs what there is.
    Settle,
    Clear(usize),
    Nothing,
}

fn sample() -> impl Strategy<Value = Sample> {
    let line = (0..TEXTS.len(), 0..7u8, 1..3u8, 0..1000i64);
    (0..PROCESSES.len(), 1..4u64, prop::collection::vec(line, 0..30)).prop_map(|(process, run, lines)| {
        lines.into_iter().fold(Sample::new(PROCESSES[process], run), |sample, (text, level, stream, time)| {
            let stream = Stream::from_u8(stream).unwrap();
            sample.full_line(TEXTS[text], Level::from_u8(level), stream, time, false)
        })
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => sample().prop_map(Event::Append),
        2 => Just(Event::Settle),
        1 => (0..PROCESSES.len()).prop_map(Event::Clear),
        3 => Just(Event::Nothing),
    ]
}

/// A log with small segments, and the lines that were put into it, as long as they are there.
struct Told {
    _directory: TempDir,
    store: Store,
    lines: BTreeMap<Seq, Line>,
    /// Those that were deleted.
    gone: BTreeMap<Seq, Line>,
}

impl Told {
    fn new(segment_bytes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let limits = Limits { segment_bytes, log_bytes: u64::MAX, pack: true };
        let (store, _) = Store::open_with(directory.path(), limits).unwrap();
        Self { _directory: directory, store, lines: BTreeMap::new(), gone: BTreeMap::new() }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Append(sample) => {
                let (first, _) = sample.append(&self.store).unwrap();
                self.lines.extend(sample.expected(first).into_iter().map(|line| (line.seq, line)));
            }
            Event::Settle => self.store.settle(),
            Event::Clear(which) => {
                let process = name(PROCESSES[*which]);
                self.store.clear(Some(std::slice::from_ref(&process))).unwrap();
                let gone = self.lines.extract_if(.., |_, line| line.process == process);
                self.gone.extend(gone);
            }
            Event::Nothing => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_walk_gives_each_matching_line_once_whatever_happens_to_the_log_meanwhile(
        before in prop::collection::vec(event(), 0..20),
        meanwhile in prop::collection::vec(event(), 0..20),
        wanted in wanted(),
        limit in 1..9usize,
        segment_bytes in 800..4_000u64,
    ) {
        let mut told = Told::new(segment_bytes);
        before.iter().for_each(|event| told.happen(event));
        let mut meanwhile = meanwhile.iter();
        let (mut walked, mut missing, mut after) = (Vec::new(), 0, Seq(0));
        loop {
            let page = told.store.query(&LogQuery {
                after: Some(after), limit, take: Take::Oldest, ..wanted.query()
            });
            prop_assert!(page.next >= after && page.lines.len() <= limit);
            prop_assert!(page.lines.iter().all(|line| line.seq > after && line.seq <= page.next));
            walked.extend(page.lines);
            missing += page.missing;
            after = page.next;
            match meanwhile.next() {
                Some(event) => told.happen(event),
                None if !page.more => break,
                None => {}
            }
        }
        prop_assert_eq!(after, told.store.newest());
        prop_assert!(walked.windows(2).all(|pair| pair[0].seq < pair[1].seq), "given twice, or out of order");
        // What was deleted may have been given before.
        let known = |line: &Line| told.lines.get(&line.seq).or_else(|| told.gone.get(&line.seq));
        prop_assert!(walked.iter().all(|line| known(line) == Some(line) && wanted.admits(line)));
        let there: Vec<_> = walked.iter().filter(|line| told.lines.contains_key(&line.seq)).collect();
        let expected: Vec<_> = told.lines.values().filter(|line| wanted.admits(line)).collect();
        prop_assert_eq!(there, expected);
        prop_assert!(missing <= told.gone.len() as u64);
    }

    #[test]
    fn bounds_in_time_and_place_are_kept_from_both_ends(
        events in prop::collection::vec(event(), 0..30),
        wanted in wanted(),
        (since, until) in (0..1000i64, 0..1000i64),
        (after, before) in (0..300u64, 0..300u64),
    ) {
        let mut told = Told::new(2_000);
        events.iter().for_each(|event| told.happen(event));
        let query = LogQuery {
            since: Some(Time(since)), until: Some(Time(until)),
            after: Some(Seq(after)), before: Some(Seq(before)),
            ..wanted.query()
        };
        let expected: Vec<_> = told.lines.values().filter(|line| {
            wanted.admits(line) && (since..=until).contains(&line.time.0) && line.seq.0 > after && line.seq.0 < before
        }).cloned().collect();
        for take in [Take::Oldest, Take::Newest] {
            let page = told.store.query(&LogQuery { take, limit: usize::MAX, ..query.clone() });
            prop_assert_eq!(&page.lines, &expected);
        }
        prop_assert_eq!(told.store.tally(&query, &Runs::All, Buckets::ONE).processes, counted(&expected, Buckets::ONE));
    }

    #[test]
    fn counts_are_those_of_the_lines(
        events in prop::collection::vec(event(), 0..30),
        wanted in wanted(),
        width in 1..400i64,
        begin in 0..500i64,
        run in 1..4u64,
    ) {
        let mut told = Told::new(3_000);
        events.iter().for_each(|event| told.happen(event));
        let buckets = Buckets { begin: Time(begin), width, count: 5 };
        let query = wanted.query();
        for runs in [Runs::All, Runs::From(RunId(run)), Runs::Only([RunId(run)].into())] {
            let lines: Vec<_> = told.lines.values()
                .filter(|line| wanted.admits(line) && runs.contains(line.run)).cloned().collect();
            let tally = told.store.tally(&query, &runs, buckets);
            prop_assert!(tally.is_whole && tally.damaged == 0);
            prop_assert_eq!(tally.processes, counted(&lines, buckets));
        }
    }
}

/// Counts lines in the plainest way.
fn counted(lines: &[Line], buckets: Buckets) -> BTreeMap<ProcessName, ProcessTally> {
    let mut processes = BTreeMap::new();
    for line in lines {
        let tally = processes.entry(line.process.clone()).or_insert_with(|| ProcessTally {
            levels: [0; 7],
            text_bytes: 0,
            first: line.time,
            last: line.time,
            buckets: vec![0; buckets.count],
        });
        tally.levels[line.level as usize] += 1;
        tally.text_bytes += line.text.len() as u64;
        tally.first = tally.first.min(line.time);
        tally.last = tally.last.max(line.time);
        let bucket = (line.time.0 - buckets.begin.0).div_euclid(buckets.width);
        tally.buckets[bucket.clamp(0, buckets.count as i64 - 1) as usize] += 1;
    }
    processes
}

#[test]
fn a_damaged_place_is_not_counted_and_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_with(directory.path(), SMALL).unwrap();
    for number in 0..200 {
        Sample::new("api", 1).line(format!("line {number} status={number}")).append(&store).unwrap();
    }
    drop(store);
    let path = segments(directory.path()).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(7).position(|window| window == b"line 5 ").unwrap();
    bytes[place] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (store, _) = Store::open_with(directory.path(), SMALL).unwrap();
    let count = |query: &LogQuery| {
        let tally = store.tally(query, &Runs::All, Buckets::ONE);
        (tally.processes[&name("api")].lines(), tally.damaged)
    };
    // Heads are whole; texts are looked at only where something is searched for.
    assert_eq!(count(&LogQuery::default()), (200, 0));
    let fields = vec![FieldFilter::parse("status>=0").unwrap()];
    assert_eq!(count(&LogQuery { fields, ..LogQuery::default() }), (199, 1));
    assert_eq!(store.damage().len(), 1);
}

#[test]
fn of_too_much_log_the_newest_is_counted_and_the_rest_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_with(directory.path(), Limits { log_bytes: u64::MAX, ..SMALL }).unwrap();
    for number in 0..500 {
        let process = if number < 250 { "api" } else { "web" };
        Sample::new(process, 1).line(format!("line {number}")).append(&store).unwrap();
    }
    let count = |most| store.tally_within(most, &LogQuery::default(), &Runs::All, Buckets::ONE);
    let some = count(5_000);
    assert!(!some.is_whole && some.processes.keys().eq([&name("web")]), "{some:?}");
    assert!((10..250).contains(&some.processes[&name("web")].lines()), "{some:?}");
    let all = count(u64::MAX);
    assert!(all.is_whole && all.processes.values().all(|tally| tally.lines() == 250), "{all:?}");
    // What cannot hold what is asked for is not looked at, and so is no reason to give up.
    let query = LogQuery { processes: Some(vec![name("api")]), after: Some(Seq(240)), ..LogQuery::default() };
    let few = store.tally_within(20_000, &query, &Runs::All, Buckets::ONE);
    assert_eq!((few.is_whole, few.processes[&name("api")].lines()), (true, 10), "{few:?}");
}
