//! Golden samples: lines that come with the levels a plugin must give them, run through a real instance.

use super::bindings::exports::ostler::plugin::classifier::LineBatch;
use super::instance::{CallError, Instance, Sample};
use super::registry::Plugin;

/// The letters of `info.sample.levels`, by the level's number.
const LETTERS: &[u8] = b"-tdiwef";

/// The bit beside a level that says that the line continues the event before.
const CONTINUES: u8 = 1 << 7;

/// A line that was given another level than its sample says, or another place in its event: `|` where it continues
/// the one before, else `-`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sample {sample}, line {line}: expected {expected}, got {found}: {text}")]
pub struct Mismatch {
    /// Counted from 1.
    pub sample: usize,
    /// Counted from 1.
    pub line: usize,
    pub text: String,
    pub expected: char,
    pub found: char,
}

/// What running the samples showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampleReport {
    pub samples: usize,
    pub lines: usize,
    pub mismatches: Vec<Mismatch>,
    /// Samples whose `levels`, or `events`, has not one letter a line, counted from 1.
    pub malformed: Vec<usize>,
}

/// Runs all samples of a plugin, each in a session of its own, once as one batch and once line by line: how lines
/// are batched must not matter.
pub fn run_samples(plugin: &Plugin) -> Result<SampleReport, CallError> {
    let mut instance = plugin.instantiate()?;
    let mut report = SampleReport { samples: plugin.info.samples.len(), ..SampleReport::default() };
    for (number, sample) in (1..).zip(&plugin.info.samples) {
        let counts = |letters: &str| letters.len() == sample.lines.len();
        if !counts(&sample.levels) || !(sample.events.is_empty() || counts(&sample.events)) {
            report.malformed.push(number);
            continue;
        }
        report.lines += sample.lines.len();
        for batch_lines in [sample.lines.len().max(1), 1] {
            let levels = levels(&mut instance, sample, batch_lines)?;
            let found = levels.iter().map(|code| {
                let level = LETTERS.get(usize::from(code & !CONTINUES)).copied().unwrap_or(b'?');
                (level, if code & CONTINUES == 0 { b'-' } else { b'|' })
            });
            for (line, (level, event)) in found.enumerate() {
                let wanted_event = sample.events.as_bytes().get(line).copied().unwrap_or(event);
                for (expected, found) in [(sample.levels.as_bytes()[line], level), (wanted_event, event)] {
                    if found != expected {
                        report.mismatches.push(Mismatch {
                            sample: number,
                            line: line + 1,
                            text: sample.lines[line].chars().filter(|c| !c.is_control()).take(200).collect(),
                            expected: expected.into(),
                            found: found.into(),
                        });
                    }
                }
            }
        }
    }
    report.mismatches.dedup();
    Ok(report)
}

fn levels(instance: &mut Instance, sample: &Sample, batch_lines: usize) -> Result<Vec<u8>, CallError> {
    let session = instance.open("sample", &[], "")?;
    let mut levels = Vec::new();
    for lines in sample.lines.chunks(batch_lines) {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for line in lines {
            text.extend_from_slice(line.as_bytes());
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        let batch = LineBatch { text: &text, ends: &ends, stream: 1, first_line: levels.len() as u64 };
        levels.extend(instance.push(session, batch)?.levels);
    }
    instance.finish(session)?;
    Ok(levels)
}
