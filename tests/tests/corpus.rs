//! The corpus in `tests/corpus`: what real programs printed means to the default classifier exactly what people decided
//! that it means. Natively, which is quick and precise, and as the component that is embedded.

use std::collections::BTreeMap;
use std::path::Path;

use ostler::model::{ProcessName, RunId};
use ostler::plugins::{Chain, ChainVerdicts, Note, Packed, PluginEngine, Registry, Subject};
use ostler_sdk::{Batch, CONTINUES, Classifier, Run, Stream, Verdicts};
use ostler_tests::corpus::{Case, Classify, Difference, What, compare, corpus, report};
use regex_classifier::{RegexClassifier, fields_of};

/// Lines that are classified together: where a batch ends must not matter.
const BATCHES: [usize; 3] = [1, 7, 256];

fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let cases = corpus(&directory).unwrap();
    let lines: usize = cases.iter().map(|case| case.lines.len()).sum();
    assert!(cases.len() >= 80 && lines >= 2700, "only {} logs with {lines} lines are left", cases.len());
    cases
}

/// The plugin's own code.
struct Native(RegexClassifier);

impl Classify for Native {
    fn classify(&mut self, batch: Packed<'_>) -> ChainVerdicts {
        let stream = Stream::from_number(batch.stream as u8);
        let lines = Batch::new(batch.text, batch.ends, stream, batch.first_line).unwrap();
        let mut verdicts = Verdicts::undecided(lines.len());
        self.0.push(&lines, &mut verdicts);
        let (codes, notes) = verdicts.into_parts();
        ChainVerdicts {
            levels: codes.iter().map(|code| code & !CONTINUES).collect(),
            continues: codes.iter().map(|code| code & CONTINUES != 0).collect(),
            notes: notes
                .into_iter()
                .map(|note| Note { line: note.line, kind: note.fact.kind, fields: note.fact.fields })
                .collect(),
        }
    }
}

/// The component in its sandbox, as the daemon's pipeline asks it.
struct Component<'c> {
    chain: &'c mut Chain,
    subject: Subject,
}

impl Classify for Component<'_> {
    fn classify(&mut self, batch: Packed<'_>) -> ChainVerdicts {
        let mut verdicts = ChainVerdicts::default();
        self.chain.classify(&self.subject, batch, &mut verdicts);
        verdicts
    }
}

/// What cannot be as expected, each with the reason. It fails both ways: what is not here, and what is here in vain.
const KNOWN: &[(&str, usize, What, &str)] =
    &[("java/log", 3, What::Level, JAVA_HEAD), ("java/log", 5, What::Level, JAVA_HEAD)];

/// java.util.logging prints two lines, of which the second has the level. A line has its level as soon as it is
/// printed, so the first one is taken for information, which it is most often; the event has the second one's.
const JAVA_HEAD: &str = "the level comes with the next line";

/// Fails with all differences that are not known, and with those that are known and are none.
fn assert_as_expected(differences: &[Difference], batch: usize) {
    let is = |difference: &Difference, (case, place, what, _): &(&str, usize, What, &str)| {
        difference.case == *case && difference.place == *place && difference.what == *what
    };
    let (known, new): (Vec<_>, Vec<_>) =
        differences.iter().cloned().partition(|difference| KNOWN.iter().any(|known| is(difference, known)));
    assert!(
        new.is_empty(),
        "{} differences in batches of {batch}, {} known ones apart:\n{}",
        new.len(),
        known.len(),
        report(&new)
    );
    let gone: Vec<_> =
        KNOWN.iter().filter(|gone| !known.iter().any(|difference| is(difference, gone))).collect();
    assert!(
        gone.is_empty(),
        "in batches of {batch}, these are as expected now, so take them out of `KNOWN`: {gone:?}"
    );
}

#[test]
fn the_classifier_takes_every_line_as_people_do() {
    let cases = cases();
    for batch in BATCHES {
        let differences: Vec<Difference> = cases
            .iter()
            .flat_map(|case| {
                let session = RegexClassifier::open(&Run::default(), "").unwrap();
                compare(case, batch, &mut Native(session))
            })
            .collect();
        assert_as_expected(&differences, batch);
    }
}

#[test]
fn the_fields_of_structured_lines_are_read_whatever_their_level() {
    let mut wrong = String::new();
    let mut read = 0;
    for case in cases() {
        let structured =
            case.lines.iter().zip(&case.expected).filter(|(_, expected)| !expected.fields.is_empty());
        for (line, expected) in structured {
            read += 1;
            let mut found = fields_of(&line.bytes);
            found.sort();
            if found != expected.fields {
                wrong +=
                    &format!("{}:{}:\n  {:?}\n  {found:?}\n", case.name, expected.place, expected.fields);
            }
        }
    }
    assert!(read >= 35, "only {read} structured lines are left");
    assert!(wrong.is_empty(), "expected and found:\n{wrong}");
}

#[test]
fn the_embedded_component_takes_every_line_as_people_do() {
    let engine = PluginEngine::new().unwrap();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let registry = Registry::load(&engine, &cache, &[], &BTreeMap::new());
    let mut chain = Chain::new(&registry);
    let mut run = 0;
    for batch in BATCHES {
        let mut differences = Vec::new();
        for case in cases() {
            run += 1;
            let process = ProcessName::new("corpus").unwrap();
            let subject = Subject { run: RunId(run), process, command: Vec::new() };
            differences.extend(compare(&case, batch, &mut Component { chain: &mut chain, subject }));
            chain.finish(RunId(run));
        }
        assert_as_expected(&differences, batch);
    }
}
