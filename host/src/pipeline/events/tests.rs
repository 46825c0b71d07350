//! What events come of which lines.

use super::*;

/// Lines of one run, and the events that came of them.
struct Log {
    builder: EventBuilder,
    next: u64,
    now: Instant,
    events: Vec<Event>,
}

/// What the default classifier would say: `e` and `i` begin, `|` continues as an error, `-` is undecided.
type Given<'a> = (Stream, char, &'a str);

impl Log {
    fn new() -> Self {
        let process = ProcessName::new("api").unwrap();
        Self {
            builder: EventBuilder::new(RunId(1), process),
            next: 1,
            now: Instant::now(),
            events: Vec::new(),
        }
    }

    fn take(&mut self, lines: &[Given<'_>]) {
        self.take_with(lines, &[]);
    }

    fn take_with(&mut self, lines: &[Given<'_>], fields: &[(usize, Vec<(String, String)>)]) {
        let mut text = Vec::new();
        let (mut ends, mut levels, mut streams, mut flags) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (stream, mark, line) in lines {
            text.extend_from_slice(line.as_bytes());
            ends.push(u32::try_from(text.len()).unwrap());
            streams.push(*stream as u8);
            let (level, flag) = match mark {
                'i' => (Level::Info, 0),
                'w' => (Level::Warn, 0),
                'e' => (Level::Error, 0),
                '|' => (Level::Error, CONTINUES),
                'p' => (Level::Error, PARTIAL),
                _ => (Level::Unknown, 0),
            };
            levels.push(level as u8);
            flags.push(flag);
        }
        let times: Vec<i64> = (0..lines.len()).map(|index| (self.next as i64 + index as i64) * 10).collect();
        let batch = Stored {
            first: Seq(self.next),
            text: &text,
            ends: &ends,
            levels: &levels,
            streams: &streams,
            flags: &flags,
            times: &times,
            fields,
        };
        let events = &mut self.events;
        self.builder.take(&batch, self.now, &mut |event| events.push(event.clone()));
        self.next += lines.len() as u64;
    }

    fn quiet(&mut self) -> Option<Instant> {
        let events = &mut self.events;
        self.builder.hand_on_quiet(self.now, &mut |event| events.push(event.clone()))
    }

    fn end(mut self) -> Vec<Event> {
        let events = &mut self.events;
        self.builder.hand_on_all(&mut |event| events.push(event.clone()));
        self.events
    }
}

use Stream::{Ostler, Stderr, Stdout};

#[test]
fn an_event_is_the_lines_that_continue_it_and_the_blank_ones_between() {
    let mut log = Log::new();
    let head: [Given; 3] = [(Stdout, 'i', "starting"), (Stdout, 'e', "Traceback"), (Stdout, '|', "  frame")];
    log.take(&head);
    let rest: [Given; 5] = [
        (Stdout, '-', ""),
        (Stdout, '|', "KeyError: 'x'"),
        (Stdout, '-', "  "),
        (Stdout, 'i', "going on"),
        (Stdout, 'e', "another"),
    ];
    log.take(&rest);
    assert_eq!(log.events.len(), 1, "the last one may go on: {:?}", log.events);
    let events = log.end();
    let [first, second] = &events[..] else { panic!("two events were expected: {events:?}") };
    assert_eq!((first.first, first.last, first.lines), (Seq(2), Seq(5), 4));
    assert_eq!(first.text, "Traceback\n  frame\n\nKeyError: 'x'");
    assert_eq!((first.time, first.level, first.run), (Time(20), Level::Error, RunId(1)));
    assert_eq!((second.first, second.lines, second.text.as_str()), (Seq(8), 1, "another"));
}

#[test]
fn streams_and_remarks_do_not_mix() {
    let mut log = Log::new();
    log.take(&[
        (Stdout, 'e', "out"),
        (Stderr, 'e', "err"),
        (Stdout, '|', " out 2"),
        (Ostler, 'w', "a remark"),
        (Stderr, '|', " err 2"),
        (Stdout, 'i', "fine"),
        (Stderr, '|', " err 3"),
    ]);
    let events = log.end();
    let texts: Vec<_> = events.iter().map(|event| (event.stream, event.text.as_str())).collect();
    assert_eq!(texts, [(Stdout, "out\n out 2"), (Stderr, "err\n err 2\n err 3")]);
}

#[test]
fn where_output_is_missing_what_was_open_ends() {
    let mut log = Log::new();
    log.take(&[
        (Stderr, 'e', "Traceback"),
        (Stderr, '|', "  frame"),
        (Ostler, 'w', "[ostler] 12 lines (480 bytes) of output were dropped here"),
        (Stderr, '|', "  frame of another"),
    ]);
    let texts: Vec<String> = log.end().into_iter().map(|event| event.text).collect();
    assert_eq!(texts, ["Traceback\n  frame", "  frame of another"]);
}

#[test]
fn what_has_been_quiet_is_handed_on_once() {
    let mut log = Log::new();
    log.take(&[(Stdout, 'e', "Traceback")]);
    let due = log.quiet().expect("it is waited for");
    assert!(log.events.is_empty());
    log.now += bounds::EVENT_WAIT / 2;
    log.take(&[(Stdout, '|', "  frame")]);
    log.now = due;
    assert!(log.quiet().is_some_and(|later| later > due), "a new line keeps it open");
    log.now += bounds::EVENT_WAIT;
    assert_eq!(log.quiet(), None);
    assert_eq!(log.events.len(), 1);
    // What comes too late is an event of its own.
    log.take(&[(Stdout, '|', "KeyError"), (Stdout, 'i', "fine")]);
    assert_eq!(log.quiet(), None);
    let texts: Vec<String> = log.end().into_iter().map(|event| event.text).collect();
    assert_eq!(texts, ["Traceback\n  frame", "KeyError"]);
}

#[test]
fn information_is_no_event_and_a_bit_without_a_beginning_begins_one() {
    let mut log = Log::new();
    log.take(&[
        (Stdout, '|', "on the first line"),
        (Stdout, 'i', "x"),
        (Stdout, '|', "y"),
        (Stdout, '-', "z"),
    ]);
    let texts: Vec<String> = log.end().into_iter().map(|event| event.text).collect();
    assert_eq!(texts, ["on the first line", "y"]);
}

#[test]
fn the_pieces_of_a_line_are_one_line_of_the_event() {
    let mut log = Log::new();
    log.take(&[(Stdout, 'p', "Error: no")]);
    log.take(&[(Stdout, '-', " end"), (Stdout, '|', "  at x"), (Stdout, 'i', "fine")]);
    assert_eq!(log.end()[0].text, "Error: no end\n  at x");
}

#[test]
fn fields_belong_to_the_event_their_line_begins() {
    let field = |value: &str| vec![("msg".to_owned(), value.to_owned())];
    let mut log = Log::new();
    let lines: [Given; 4] =
        [(Stdout, 'i', "{}"), (Stdout, 'e', "{\"msg\""), (Stdout, '|', " x"), (Stdout, 'e', "y")];
    log.take_with(&lines, &[(0, field("a")), (1, field("b")), (2, field("c"))]);
    let events = log.end();
    assert_eq!((&events[0].fields, events[1].fields.len()), (&field("b"), 0));
}

#[test]
fn a_huge_event_keeps_its_first_and_last_lines() {
    let mut log = Log::new();
    log.take(&[(Stdout, 'e', "line 0")]);
    let lines: Vec<String> = (1..1000).map(|number| format!("line {number}")).collect();
    for chunk in lines.chunks(37) {
        let chunk: Vec<Given> = chunk.iter().map(|line| (Stdout, '|', line.as_str())).collect();
        log.take(&chunk);
    }
    let long = "é\u{1}".repeat(40_000);
    log.take(&[(Stdout, '|', &long)]);
    let event = log.end().remove(0);
    assert_eq!((event.lines, event.last), (1001, Seq(1001)));
    assert!(event.text.starts_with("line 0\nline 1\n") && event.text.contains("\nline 99\n"));
    assert!(!event.text.contains("\nline 100\n") && event.text.ends_with(['é', '\u{1}']));
    assert!(event.text.len() <= bounds::EVENT_TEXT_BYTES, "{}", event.text.len());
}

#[test]
fn bytes_of_any_encoding_stay_within_bounds() {
    let mut text = EventText::default();
    for _ in 0..10 {
        text.push(&[0xff; 50_000]);
        text.append(&[0xff; 50_000]);
    }
    assert!(text.finish().len() <= bounds::EVENT_TEXT_BYTES);
}
