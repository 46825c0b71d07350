//! The whole way of a line: from what a shim has spooled to lines in the store, facts, counted requests and events.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::model::Stream;
use crate::plugins::PluginEngine;
use crate::shim::{SpoolLimits, SpoolWriter};
use crate::store::{Catalogue, LogQuery};

/// Longest wait for anything; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(120);
const RUN: RunId = RunId(1);

/// A pipeline with the built-in classifier, and one run that has begun.
struct Way {
    dir: TempDir,
    pipeline: Pipeline,
    store: Arc<Store>,
    facts: Receiver<Fact>,
    events: Receiver<Event>,
    spool: SpoolWriter,
}

impl Way {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [log, cache, run] = ["log", "cache", "run"].map(|part| dir.path().join(part));
        std::fs::create_dir(&run).unwrap();
        let store = Arc::new(Store::open(&log).unwrap().0);
        let catalogue = Arc::new(Catalogue::open(&dir.path().join("catalogue.sqlite")).unwrap());
        let (fact, facts) = channel();
        let (event, events) = channel();
        let (fact, event) = (Mutex::new(fact), Mutex::new(event));
        let load = move || Registry::load(&PluginEngine::new().unwrap(), &cache, &[], &BTreeMap::new());
        let pipeline = Pipeline::start(
            Arc::clone(&store),
            1,
            load,
            Arc::new(move |seen: &Fact| drop(fact.lock().unwrap().send(seen.clone()))),
            Arc::new(move |over: &Event| drop(event.lock().unwrap().send(over.clone()))),
            Alerts::start(catalogue, Vec::new()).unwrap(),
            RulesInForce::default(),
        )
        .unwrap();
        let limits = SpoolLimits { file_bytes: 1 << 20, max_bytes: 1 << 24, min_free_bytes: 0 };
        let spool = SpoolWriter::create(run, limits);
        Self { dir, pipeline, store, facts, events, spool }
    }

    fn prints(&mut self, stream: Stream, text: &str) {
        self.spool.space()[..text.len()].copy_from_slice(text.as_bytes());
        assert!(self.spool.append(stream, text.len()));
    }

    fn begins(&self) {
        self.pipeline.began(Source {
            run: RUN,
            process: process(),
            command: vec!["python".to_owned(), "manage.py".to_owned()],
            dir: self.dir.path().join("run"),
            arm: Box::new(|_| {}),
        });
    }

    fn fact(&self) -> Fact {
        self.facts.recv_timeout(PATIENCE).expect("a fact")
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("an event")
    }
}

fn process() -> ProcessName {
    ProcessName::new("api").unwrap()
}

const TRACE: &str = "\
Internal Server Error: /boom
Traceback (most recent call last):
  File \"/srv/shop/views.py\", line 12, in boom
    raise ValueError(\"no such cart\")
ValueError: no such cart
";

#[test]
fn what_is_spooled_ends_as_lines_facts_requests_and_events() {
    let mut way = Way::new();
    way.prints(Stream::Stderr, "Starting development server at http://127.0.0.1:8123/\n");
    way.prints(Stream::Stderr, TRACE);
    way.prints(Stream::Stdout, "between the two\n");
    way.prints(Stream::Stderr, "[20/Nov/2026 08:29:25] \"GET /boom/17?x=1 HTTP/1.1\" 500 57421\n");
    way.begins();

    let listening = way.fact();
    assert_eq!(
        (listening.kind.as_str(), listening.field("url")),
        ("listening", Some("http://127.0.0.1:8123/"))
    );
    assert_eq!(way.fact().kind, "ready");
    let request = way.fact();
    assert_eq!((request.kind.as_str(), request.field("status")), (requests::KIND, Some("500")));

    let event = way.event();
    assert_eq!((event.run, event.process.clone(), event.stream), (RUN, process(), Stream::Stderr));
    assert_eq!((event.level, event.text.as_str()), (Level::Error, TRACE.trim_end()));
    // Its lines are in the store already, and the line of the other stream is not among them.
    let query = LogQuery { run: Some(RUN), limit: 100, ..LogQuery::default() };
    let lines = way.store.query(&query).lines;
    let of_event: Vec<&str> = lines
        .iter()
        .filter(|line| (event.first..=event.last).contains(&line.seq) && line.stream == event.stream)
        .map(|line| line.text.as_str())
        .collect();
    assert_eq!(of_event.join("\n"), event.text);
    assert_eq!(event.lines as usize, of_event.len());

    // The request stands in the log as the error it is, and is counted.
    let access = way.event();
    assert!(access.text.contains("GET /boom/17") && access.level == Level::Error, "{access:?}");
    let summary = way.pipeline.requests(&process()).expect("a request");
    assert_eq!((summary.last_minute.count, summary.last_minute.errors), (1, 1));
    assert_eq!(summary.routes[0].route, "GET /boom/:id");
    assert_eq!(summary.last_minute.p95_ms, None, "Django tells no durations");
    let kept: Vec<String> = way.pipeline.facts(RUN).into_iter().map(|fact| fact.kind).collect();
    assert_eq!(kept, ["listening", "ready"], "requests are counted and not kept");
}

#[test]
fn an_event_that_the_end_of_the_run_cuts_off_is_handed_on_before_all_is_taken_in() {
    let mut way = Way::new();
    way.prints(Stream::Stderr, TRACE.trim_end());
    way.begins();
    way.pipeline.ended(RUN);
    let (reply, drained) = oneshot::channel();
    way.pipeline.drained(RUN, reply);
    drained.blocking_recv().expect("all is taken in");
    let event = way.events.try_recv().expect("it was handed on before");
    assert_eq!((event.text.as_str(), event.lines), (TRACE.trim_end(), 5));
    assert!(!way.dir.path().join("run").exists());
}
