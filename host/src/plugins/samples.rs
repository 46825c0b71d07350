//! Golden samples: lines that come with what a plugin must say of them, run through a real instance.

use super::contract::{CONTINUES, LineSample, Note, Packed};
use super::instance::{CallError, Instance};
use super::registry::Plugin;
use crate::model::Stream;

/// The letters of a sample's levels, by the level's number.
const LETTERS: &[u8] = b"-tdiwef";

/// A line of which something else was said than its sample says: its level's letter; `|` where it continues the event
/// before and `-` where not; its facts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sample {sample}, line {line}: expected {expected}, got {found}: {text}")]
pub struct Mismatch {
    /// Counted from 1.
    pub sample: usize,
    /// Counted from 1.
    pub line: usize,
    pub text: String,
    pub expected: String,
    pub found: String,
}

/// What running the samples showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampleReport {
    pub samples: usize,
    pub lines: usize,
    pub mismatches: Vec<Mismatch>,
    /// Samples whose `levels`, `events` or `streams` has not one letter a line, or whose facts are of lines that are not
    /// there, counted from 1.
    pub malformed: Vec<usize>,
    /// Samples of what this Ostler does not use yet.
    pub untried: usize,
}

/// Runs all samples of a plugin, each in a session of its own, once as one batch, once in batches of three lines and
/// once line by line: how lines are batched must not matter.
pub fn run_samples(plugin: &Plugin) -> Result<SampleReport, CallError> {
    let mut report = SampleReport { untried: plugin.info.other_samples, ..SampleReport::default() };
    if !plugin.kinds.classifier {
        report.untried += plugin.info.samples.len();
        return Ok(report);
    }
    report.samples = plugin.info.samples.len();
    let mut instance = plugin.instantiate()?;
    for (number, sample) in (1..).zip(&plugin.info.samples) {
        if !is_well_formed(sample) {
            report.malformed.push(number);
            continue;
        }
        report.lines += sample.lines.len();
        for batch_lines in [sample.lines.len().max(1), 3, 1] {
            let said = Said::of(&mut instance, sample, batch_lines)?;
            said.compare(number, sample, &mut report.mismatches);
        }
    }
    report.mismatches.dedup();
    Ok(report)
}

fn is_well_formed(sample: &LineSample) -> bool {
    let lines = sample.lines.len();
    let counts = |letters: &str| letters.len() == lines;
    let counts_if_any = |letters: &str| letters.is_empty() || counts(letters);
    let is_there = |note: &Note| (note.line as usize) < lines;
    counts(&sample.levels)
        && counts_if_any(&sample.events)
        && counts_if_any(&sample.streams)
        && sample.facts.iter().flatten().all(is_there)
}

/// What a plugin says of a sample.
struct Said {
    levels: Vec<u8>,
    notes: Vec<Note>,
}

impl Said {
    /// Gives the lines to a session of their own, at most `batch_lines` at once; a batch is of one stream.
    fn of(instance: &mut Instance, sample: &LineSample, batch_lines: usize) -> Result<Self, CallError> {
        let session = instance.open(&sample.run, &sample.config)?;
        let mut said = Self { levels: Vec::new(), notes: Vec::new() };
        let numbers: Vec<usize> = (0..sample.lines.len()).collect();
        let of_one_stream = |a: &usize, b: &usize| stream_of(sample, *a) == stream_of(sample, *b);
        for batch in numbers.chunk_by(of_one_stream).flat_map(|lines| lines.chunks(batch_lines)) {
            let (mut text, mut ends) = (Vec::new(), Vec::new());
            for line in batch {
                text.extend_from_slice(sample.lines[*line].as_bytes());
                ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
            }
            let first = said.levels.len();
            let stream = stream_of(sample, first);
            let packed = Packed { text: &text, ends: &ends, stream, first_line: first as u64 };
            let verdicts = instance.push(session, packed)?;
            said.levels.extend(verdicts.levels);
            let shift = u32::try_from(first).unwrap_or(u32::MAX);
            let shifted = |note: Note| Note { line: note.line.saturating_add(shift), ..note };
            said.notes.extend(verdicts.notes.into_iter().map(shifted));
        }
        instance.finish(session)?;
        said.notes.sort_by_key(|note| note.line);
        Ok(said)
    }

    fn compare(&self, number: usize, sample: &LineSample, mismatches: &mut Vec<Mismatch>) {
        for (line, code) in self.levels.iter().enumerate() {
            let letter = |letters: &str, found: u8| letters.as_bytes().get(line).copied().unwrap_or(found);
            let level = LETTERS.get(usize::from(code & !CONTINUES)).copied().unwrap_or(b'?');
            let event = if code & CONTINUES == 0 { b'-' } else { b'|' };
            let facts = |notes: &[Note]| shown(notes, line);
            let mut pairs = vec![
                (char::from(letter(&sample.levels, level)).to_string(), char::from(level).to_string()),
                (char::from(letter(&sample.events, event)).to_string(), char::from(event).to_string()),
            ];
            pairs.extend(sample.facts.as_deref().map(|expected| (facts(expected), facts(&self.notes))));
            let text = || sample.lines[line].chars().filter(|c| !c.is_control()).take(200).collect();
            let wrong = pairs.into_iter().filter(|(expected, found)| expected != found);
            mismatches.extend(wrong.map(|(expected, found)| Mismatch {
                sample: number,
                line: line + 1,
                text: text(),
                expected,
                found,
            }));
        }
    }
}

fn stream_of(sample: &LineSample, line: usize) -> Stream {
    if sample.streams.as_bytes().get(line) == Some(&b'e') { Stream::Stderr } else { Stream::Stdout }
}

/// Returns the facts of a line as a person reads them.
fn shown(notes: &[Note], line: usize) -> String {
    let of_line = notes.iter().filter(|note| note.line as usize == line);
    let facts: Vec<String> = of_line
        .map(|note| {
            let fields = note.fields.iter().map(|(key, value)| format!(" {key}={value}"));
            let text = note.kind.clone() + &fields.collect::<String>();
            text.chars().filter(|c| !c.is_control()).take(200).collect()
        })
        .collect();
    if facts.is_empty() { "no fact".to_owned() } else { facts.join(", ") }
}
