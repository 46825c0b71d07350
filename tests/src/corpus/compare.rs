//! Holds what a classifier says of a log against what is expected of it.
//!
//! Lines take the way they take in the daemon: the splitter cuts each stream's bytes and strips ANSI codes, and lines
//! of one stream that follow each other are classified together, up to a given number. That number must not matter,
//! but for what the contract (`wit/ostler.wit`) says of floods: of many requests in one batch some are only counted.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use ostler::model::Stream;
use ostler::pipeline::lines::{LineSplitter, Lines};
use ostler::plugins::{ChainVerdicts, Note, Packed};

use super::{Case, Expected, Fact};

/// Requests of one batch that are told one by one; the plugin's `requests::SINGLE`.
const SINGLE_REQUESTS: usize = 4;
/// Notes of one batch after which changes and fields are left out; the plugin's `report::FLOOD_NOTES`.
const FLOOD_NOTES: usize = 8;
/// Fields told of one line, and bytes of each; the plugin's `fields::FIELDS` and `VALUE_BYTES`.
const FIELDS: usize = 16;
const VALUE_BYTES: usize = 512;
/// Differences that a report shows.
const SHOWN: usize = 400;
/// Characters of a line that a report shows.
const SHOWN_TEXT: usize = 110;

/// Who gives the lines of one run their levels: a fresh one for each log.
pub trait Classify {
    /// Says of a batch what the chain of classifiers would say.
    fn classify(&mut self, batch: Packed<'_>) -> ChainVerdicts;
}

/// A line that means something else to the classifier than is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The log, such as `django/serve`.
    pub case: String,
    /// The line's number in the expectation.
    pub place: usize,
    /// The line as people see it.
    pub text: String,
    pub what: What,
    pub expected: String,
    pub found: String,
}

/// What of a line differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Level,
    /// Its place in its event.
    Event,
    Facts,
    Fields,
}

/// Classifies one log in batches of at most `batch` lines, and returns each difference.
///
/// # Panics
/// When the splitter does not make one line of each line of the log.
pub fn compare(case: &Case, batch: usize, classifier: &mut dyn Classify) -> Vec<Difference> {
    let lines = split(case);
    let mut found = Vec::new();
    let mut wanted = Vec::new();
    let mut first = 0;
    while first < lines.len() {
        let stream = case.lines[first].stream;
        let together = case.lines[first..].iter().take(batch).take_while(|line| line.stream == stream);
        let last = first + together.count();
        let packed = pack(&lines[first..last]);
        let (text, ends) = (&packed.text[..], &packed.ends[..]);
        let answer = classifier.classify(Packed { text, ends, stream, first_line: first as u64 });
        assert_eq!(answer.levels.len(), last - first, "{}: not one level for each line", case.name);
        found.extend(said(&answer));
        wanted.extend(wanted_notes(&case.expected[first..last]));
        first = last;
    }
    let marks = marks(case, &lines, &found);
    let mut differences = Vec::new();
    for (index, (expected, found)) in case.expected.iter().zip(found).enumerate() {
        let mut differs = |what, expected_of: String, found_of: String| {
            if expected_of != found_of {
                differences.push(Difference {
                    case: case.name.clone(),
                    place: expected.place,
                    text: expected.text.clone(),
                    what,
                    expected: expected_of,
                    found: found_of,
                });
            }
        };
        let wanted: &Wanted = &wanted[index];
        differs(What::Level, expected.level.into(), found.level.into());
        differs(What::Event, expected.mark.into(), marks[index].into());
        differs(What::Facts, told(&wanted.facts), told(&found.facts));
        let (wanted, told) = comparable_fields(&wanted.fields, found.fields);
        differs(What::Fields, wanted, told);
    }
    differences
}

/// Returns the lines as classifiers get them, in the order of the log.
fn split(case: &Case) -> Vec<Vec<u8>> {
    let mut of_stream = [Stream::Stdout, Stream::Stderr].map(|stream| {
        let (mut splitter, mut lines) = (LineSplitter::default(), Lines::default());
        let mut taken = 0;
        for line in case.lines.iter().filter(|line| line.stream == stream) {
            let mut bytes = line.bytes.clone();
            bytes.extend(line.ended.then_some(b'\n'));
            splitter.push(&bytes, taken, &mut lines);
            taken += bytes.len() as u64;
        }
        splitter.finish(&mut lines);
        let printed = case.lines.iter().filter(|line| line.stream == stream).count();
        assert_eq!(lines.len(), printed, "{}: lines were joined or cut", case.name);
        lines.iter().map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter()
    });
    let next = |line: &super::LogLine| of_stream[usize::from(line.stream == Stream::Stderr)].next();
    case.lines.iter().filter_map(next).collect()
}

fn pack(lines: &[Vec<u8>]) -> Lines {
    let mut packed = Lines::default();
    for line in lines {
        packed.push(line, false, 0);
    }
    packed
}

/// What a classifier said of one line.
#[derive(Debug, Clone)]
struct Said {
    level: char,
    continues: bool,
    facts: Vec<Fact>,
    fields: Vec<(String, String)>,
}

fn said(answer: &ChainVerdicts) -> Vec<Said> {
    let mut all: Vec<Said> = answer
        .levels
        .iter()
        .zip(&answer.continues)
        .map(|(level, continues)| Said {
            level: b"-tdiwef".get(usize::from(*level)).map_or('?', |letter| char::from(*letter)),
            continues: *continues,
            facts: Vec::new(),
            fields: Vec::new(),
        })
        .collect();
    for Note { line, kind, fields } in &answer.notes {
        let said = &mut all[*line as usize];
        let mut fields = fields.clone();
        fields.sort();
        match kind.as_str() {
            "fields" => said.fields = fields,
            _ => said.facts.push(Fact { kind: kind.clone(), fields }),
        }
        said.facts.sort();
    }
    all
}

/// What a batch is to bring with one of its lines.
#[derive(Debug, Clone, Default)]
struct Wanted {
    facts: Vec<Fact>,
    fields: Vec<(String, String)>,
}

/// Returns what the lines of one batch bring: what is expected of each, but for what the contract leaves out of floods.
fn wanted_notes(batch: &[Expected]) -> Vec<Wanted> {
    let mut wanted = vec![Wanted::default(); batch.len()];
    let (mut notes, mut requests) = (0, 0);
    // By the kind of status: the last line and the count.
    let mut rest: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (index, line) in batch.iter().enumerate() {
        let before = notes;
        for fact in &line.facts {
            if fact.kind == "request" && requests == SINGLE_REQUESTS {
                let status = match line.level {
                    'e' | 'f' => "5xx",
                    'w' => "4xx",
                    _ => "2xx",
                };
                let (last, count) = rest.entry(status).or_default();
                (*last, *count) = (index, *count + 1);
            } else if fact.kind != "reload" || before < FLOOD_NOTES {
                requests += usize::from(fact.kind == "request");
                notes += 1;
                wanted[index].facts.push(fact.clone());
            }
        }
        // Fields are of the event that a line begins, and told from a warning on.
        if !line.fields.is_empty() && "wef".contains(line.level) && line.mark == '+' && before < FLOOD_NOTES {
            notes += 1;
            wanted[index].fields = line.fields.clone();
        }
    }
    for (status, (last, count)) in rest {
        let field = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let fields = vec![field("count", &count.to_string()), field("status", status)];
        wanted[last].facts.push(Fact { kind: "request".to_owned(), fields });
    }
    wanted.iter_mut().for_each(|wanted| wanted.facts.sort());
    wanted
}

/// Returns both sides of a line's fields, within the bounds of what is told. Of more than those which ones are told is
/// the plugin's choice.
fn comparable_fields(wanted: &[(String, String)], found: Vec<(String, String)>) -> (String, String) {
    let cut = |text: &String| text[..text.floor_char_boundary(VALUE_BYTES)].to_owned();
    let mut wanted: Vec<_> = wanted.iter().map(|(key, value)| (cut(key), cut(value))).collect();
    if wanted.len() > FIELDS && found.len() == FIELDS {
        wanted.retain(|field| found.contains(field));
    }
    wanted.sort();
    (pairs(&wanted), pairs(&found))
}

/// Returns the mark of each line as an expectation has it, from what was said to continue.
fn marks(case: &Case, lines: &[Vec<u8>], found: &[Said]) -> Vec<char> {
    let is_blank = |index: usize| lines[index].trim_ascii().is_empty();
    let mark = |index: usize| {
        // A blank line is of the event when what follows it continues.
        let of_stream = |other: &usize| case.lines[*other].stream == case.lines[index].stream;
        let next = (index..lines.len()).filter(of_stream).find(|other| !is_blank(*other));
        match (is_blank(index), next.is_some_and(|next| found[next].continues)) {
            (_, true) => '.',
            (true, false) => '_',
            (false, false) => '+',
        }
    };
    (0..lines.len()).map(mark).collect()
}

fn told(facts: &[Fact]) -> String {
    let told: Vec<String> =
        facts.iter().map(|fact| format!("{} {}", fact.kind, pairs(&fact.fields))).collect();
    told.join("; ")
}

fn pairs(fields: &[(String, String)]) -> String {
    let told: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
    told.join(" ")
}

/// Returns differences grouped by log, each with its line, within bounds.
pub fn report(differences: &[Difference]) -> String {
    let mut text = String::new();
    let mut last = "";
    for difference in differences.iter().take(SHOWN) {
        if difference.case != last {
            last = &difference.case;
            let _ = writeln!(text, "{last}");
        }
        let _ = writeln!(text, "  {difference}");
    }
    if differences.len() > SHOWN {
        let _ = writeln!(text, "… and {} more", differences.len() - SHOWN);
    }
    text
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, what, expected, found, .. } = self;
        let text: String = self.text.chars().take(SHOWN_TEXT).collect();
        let what = match what {
            What::Level => "level",
            What::Event => "event",
            What::Facts => "facts",
            What::Fields => "fields",
        };
        write!(f, "{place}: {what} {expected:?} was expected, {found:?} found: {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{expectation, log};
    use super::*;

    /// Says the same of every line.
    struct Same(u8, bool, Vec<Note>);

    impl Classify for Same {
        fn classify(&mut self, batch: Packed<'_>) -> ChainVerdicts {
            let lines = batch.ends.len();
            ChainVerdicts {
                levels: vec![self.0; lines],
                continues: vec![self.1; lines],
                notes: self.2.iter().filter(|note| (note.line as usize) < lines).cloned().collect(),
            }
        }
    }

    fn case(lines: &[&str], expect: &str) -> Case {
        let records: Vec<String> = lines.iter().map(|line| format!("{{\"out\":{line:?}}}\n")).collect();
        let expected = expectation(expect).unwrap();
        Case { name: "a/b".to_owned(), lines: log(&records.concat()).unwrap(), expected }
    }

    fn differing(case: &Case, same: &mut Same) -> Vec<(usize, What, String)> {
        let differences = compare(case, 256, same);
        differences.into_iter().map(|is| (is.place, is.what, is.found)).collect()
    }

    #[test]
    fn what_differs_is_told_with_its_place() {
        let case = case(&["x", "", "y"], "o e + |x\n      * ready\no - . |\no e . |y\n");
        let ready = Note { line: 0, kind: "ready".to_owned(), fields: vec![] };
        let found = differing(&case, &mut Same(3, false, vec![]));
        assert_eq!(
            found,
            [
                (1, What::Level, "i".to_owned()),
                (1, What::Facts, String::new()),
                (3, What::Level, "i".to_owned()),
                (3, What::Event, "_".to_owned()),
                (4, What::Level, "i".to_owned()),
                (4, What::Event, "+".to_owned()),
            ]
        );
        let found = differing(&case, &mut Same(5, true, vec![ready]));
        assert_eq!(found, [(1, What::Event, ".".to_owned()), (3, What::Level, "e".to_owned())]);
    }

    #[test]
    fn of_a_flood_of_requests_some_are_only_counted() {
        let request = "o i + |x\n      * request method=GET path=/ status=200\n";
        let wanted = wanted_notes(&expectation(&request.repeat(7)).unwrap());
        assert!(wanted[..SINGLE_REQUESTS].iter().all(|wanted| wanted.facts[0].fields.len() == 3));
        assert_eq!(wanted[4..6].iter().map(|wanted| wanted.facts.len()).sum::<usize>(), 0);
        assert_eq!(told(&wanted[6].facts), "request count=3 status=2xx");
    }

    #[test]
    fn a_report_is_bounded() {
        let long = "x".repeat(1000);
        let expect = format!("o e + |{long}\n").repeat(SHOWN + 5);
        let case = case(&vec![&long[..]; SHOWN + 5], &expect);
        let text = report(&compare(&case, 7, &mut Same(3, false, vec![])));
        assert!(text.starts_with("a/b\n  1: level \"e\" was expected, \"i\" found: xxx"), "{text}");
        assert!(text.ends_with("… and 5 more\n") && text.len() < SHOWN * 200, "{}", text.len());
    }
}
