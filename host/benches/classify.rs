//! The default classifier in its sandbox, epoch interruption on, against native code with the same patterns: a
//! `regex::RegexSet` that finds which of them match, of which the one with the highest priority wins. One run
//! measures both, alternating, because these figures only mean something beside each other.

mod support;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use ostler::model::{ProcessName, RunId, Stream};
use ostler::plugins::{Chain, ChainVerdicts, Packed, PluginEngine, Registry, Subject};
use regex::bytes::RegexSet;
use regex_classifier::{Pattern, patterns};

use support::{figure, quick};

/// Lines of one batch, as the contract's measurements had it.
const BATCH: usize = 256;

fn main() {
    let rounds = if quick() { 8 } else { 40 };
    let lines = corpus(100_000);
    let bytes: usize = lines.iter().map(String::len).sum();
    let batches: Vec<Batch> = lines.chunks(BATCH).map(Batch::new).collect();

    let engine = PluginEngine::new().expect("an engine");
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let begun = Instant::now();
    let registry = Registry::load(&engine, &cache, &[], &BTreeMap::new());
    let load = begun.elapsed();
    let mut chain = Chain::new(&registry);
    let mut native = Native::new();
    disagreements(&mut chain, &mut native, &batches);

    let (mut guest_best, mut native_best) = (f64::MAX, f64::MAX);
    for _ in 0..rounds {
        guest_best = guest_best.min(time(|| batches.iter().for_each(|b| drop(black_box(b.ask(&mut chain))))));
        native_best = native_best.min(time(|| batches.iter().for_each(|b| drop(black_box(native.ask(b))))));
    }
    let rate = |seconds: f64| lines.len() as f64 / seconds;
    println!("{} lines of {:.1} bytes on average", lines.len(), bytes as f64 / lines.len() as f64);
    figure("classifier_load", load.as_secs_f64() * 1e3, "ms");
    figure("classifier_guest", rate(guest_best), "lines/s");
    figure("classifier_guest_bytes", bytes as f64 / guest_best / 1e6, "MB/s");
    figure("classifier_native_regexset", rate(native_best), "lines/s");
    figure("classifier_ratio", native_best / guest_best, "x");
}

fn time(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

struct Batch {
    text: Vec<u8>,
    ends: Vec<u32>,
}

impl Batch {
    fn new(lines: &[String]) -> Self {
        let mut batch = Self { text: Vec::new(), ends: Vec::new() };
        for line in lines {
            batch.text.extend_from_slice(line.as_bytes());
            batch.ends.push(u32::try_from(batch.text.len()).expect("a small batch"));
        }
        batch
    }

    fn ask(&self, chain: &mut Chain) -> Vec<u8> {
        let subject = Subject {
            run: RunId(1),
            process: ProcessName::new("bench").expect("a name"),
            command: Vec::new(),
        };
        let packed = Packed { text: &self.text, ends: &self.ends, stream: Stream::Stdout, first_line: 0 };
        let mut verdicts = ChainVerdicts::default();
        chain.classify(&subject, packed, &mut verdicts);
        verdicts.levels
    }
}

/// The same patterns outside any sandbox.
struct Native {
    set: RegexSet,
    patterns: Vec<Pattern>,
}

impl Native {
    fn new() -> Self {
        let patterns = patterns();
        let regexes = patterns.iter().map(|pattern| format!("(?-u){}", pattern.regex));
        // Room for the lazy DFA's cache, so that the rival is not held back by its default.
        let set = regex::bytes::RegexSetBuilder::new(regexes).dfa_size_limit(64 << 20).build();
        Self { set: set.expect("the patterns compile"), patterns }
    }

    fn ask(&self, batch: &Batch) -> Vec<u8> {
        let mut start = 0;
        let lines = batch.ends.iter().map(|end| {
            let line = &batch.text[start..*end as usize];
            start = *end as usize;
            line
        });
        lines
            .map(|line| {
                let matching = self.set.matches(line).into_iter().map(|index| &self.patterns[index]);
                matching
                    .max_by_key(|pattern| pattern.priority)
                    .map_or(0, |pattern| pattern.level.map_or(0, |level| level as u8))
            })
            .collect()
    }
}

/// Both sides must do the same work. The guest also follows tracebacks over lines, which a set of patterns cannot.
fn disagreements(chain: &mut Chain, native: &mut Native, batches: &[Batch]) {
    let (mut lines, mut differing) = (0, 0);
    for batch in batches {
        let (guest, native) = (batch.ask(chain), native.ask(batch));
        lines += guest.len();
        differing += guest.iter().zip(&native).filter(|(guest, native)| guest != native).count();
    }
    println!("{differing} of {lines} lines differ between the two (state over lines is the guest's alone)");
    assert!(differing * 20 < lines, "the two do not do the same work");
}

/// Ordinary lines of the frameworks that the default patterns know, some with levels, many without.
fn corpus(count: usize) -> Vec<String> {
    const SHAPES: [&str; 16] = [
        "[20/Nov/2026 08:29:25] \"GET /items/{} HTTP/1.1\" 200 57421",
        "INFO:     127.0.0.1:46162 - \"GET /items/{} HTTP/1.1\" 200 OK",
        "2026-11-20 08:29:25,{} ERROR shop.views could not reach the payment provider",
        "{\"level\":\"info\",\"time\":1795163365,\"msg\":\"request {} completed\"}",
        "level=warn ts=2026-11-20T08:29:25Z msg=\"slow query\" took={}ms",
        "  compiled module {} in 12 ms",
        "2026-11-20T08:29:25.123Z  INFO tower_http::trace: finished processing request latency={} ms",
        "GET /static/app.{}.js 304 1.2 ms - -",
        "worker {} is waiting for jobs",
        "DEBUG cache lookup key=user:{} hit=true",
        "I, [2026-11-20T08:29:25.{} #123]  INFO -- : Completed 200 OK in 12ms",
        "[vite] (client) hmr update /src/components/Item{}.vue",
        "Watching for file changes with StatReloader, generation {}",
        "11-20 08:29:25.123  123  456 W Tag{}: low memory",
        "cart {} has 3 items and a total of 42.00",
        "127.0.0.1 - - [20/Nov/2026 08:29:25] \"POST /orders/{} HTTP/1.1\" 500 -",
    ];
    // A simple generator with a fixed seed: the same lines in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let shape = SHAPES[(state >> 33) as usize % SHAPES.len()];
            shape.replacen("{}", &(state % 100_000).to_string(), 1)
        })
        .collect()
}
