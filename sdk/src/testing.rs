//! Runs a classifier natively, for `cargo test`: no wasm toolchain, no host.

use crate::{Batch, Classifier, Level, Note, Run, Sample, Stream, Verdicts};

/// Lines packed as the host packs them.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    text: Vec<u8>,
    ends: Vec<u32>,
}

impl Packed {
    /// Packs lines.
    ///
    /// # Panics
    /// When they come to more than 4 GiB.
    pub fn new<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Self {
        let mut packed = Self::default();
        for line in lines {
            packed.text.extend_from_slice(line.as_ref());
            packed.ends.push(u32::try_from(packed.text.len()).expect("a batch is shorter than 4 GiB"));
        }
        packed
    }

    /// Borrows the lines as a batch.
    pub fn batch(&self, stream: Stream, first_line: u64) -> Batch<'_> {
        Batch::new(&self.text, &self.ends, stream, first_line).expect("packed lines ascend")
    }
}

/// What a classifier said about some lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// One letter per line: `t d i w e f`, or `-` for undecided.
    pub levels: String,
    /// One character per line: `|` where it continues the event before, else `-`.
    pub events: String,
    /// The facts, in the order they were noted.
    pub notes: Vec<Note>,
}

/// Opens a session without configuration and gives it `lines` of standard output in one batch.
///
/// # Panics
/// When the classifier does not open.
pub fn classify<C: Classifier>(lines: &[&str]) -> Outcome {
    classify_with::<C>("", Stream::Stdout, lines)
}

/// Opens a session with `config` and gives it `lines` of one stream in one batch.
///
/// # Panics
/// When the classifier does not open.
pub fn classify_with<C: Classifier>(config: &str, stream: Stream, lines: &[&str]) -> Outcome {
    match C::open(&Run::default(), config) {
        Ok(mut session) => push(&mut session, stream, lines),
        Err(reason) => panic!("the classifier does not open: {reason}"),
    }
}

/// Gives an open session some more lines.
pub fn push<C: Classifier>(session: &mut C, stream: Stream, lines: &[&str]) -> Outcome {
    push_batch(session, &Packed::new(lines).batch(stream, 0))
}

fn push_batch<C: Classifier>(session: &mut C, lines: &Batch<'_>) -> Outcome {
    let mut verdicts = Verdicts::undecided(lines.len());
    session.push(lines, &mut verdicts);
    let levels = (0..lines.len()).map(|line| verdicts.level(line).map_or('-', Level::letter)).collect();
    let events = (0..lines.len()).map(|line| if verdicts.is_continued(line) { '|' } else { '-' }).collect();
    Outcome { levels, events, notes: verdicts.into_parts().1 }
}

/// Checks that the classifier says of the samples of its own description what they promise, in batches as large as they
/// get, of three lines and of one, because where a batch ends must not matter.
///
/// # Panics
/// With every line that differs, or when a sample has not one letter per line.
pub fn assert_samples<C: Classifier>() {
    let mut wrong = String::new();
    for sample in C::info().samples {
        let count = sample.lines.len();
        assert_eq!(count, sample.levels.chars().count(), "not one letter per line: {sample:?}");
        let fits = |letters: &str| letters.is_empty() || letters.len() == count;
        assert!(fits(&sample.events), "`events` has not one character per line: {sample:?}");
        assert!(fits(&sample.streams), "`streams` has not one letter per line: {sample:?}");
        for (lines, how) in [(count.max(1), "in one batch"), (3, "in batches of three"), (1, "line by line")]
        {
            let got = classify_sample::<C>(&sample, lines);
            for (expected, got) in [(&sample.levels, &got.levels), (&sample.events, &got.events)] {
                for ((line, expected), got) in sample.lines.iter().zip(expected.chars()).zip(got.chars()) {
                    if expected != got {
                        wrong.push_str(&format!("\n  expected {expected}, got {got} {how}: {line}"));
                    }
                }
            }
            if sample.facts.as_ref().is_some_and(|facts| *facts != got.notes) {
                wrong.push_str(&format!("\n  expected {:?}, got {:?} {how}", sample.facts, got.notes));
            }
        }
    }
    assert!(wrong.is_empty(), "samples differ:{wrong}");
}

/// Gives a sample's lines to a session of their own, at most `size` at once; a batch is of one stream. Facts are
/// numbered as the sample's lines are, and come in their order.
fn classify_sample<C: Classifier>(sample: &Sample, size: usize) -> Outcome {
    let mut session = match C::open(&sample.run, &sample.config) {
        Ok(session) => session,
        Err(reason) => panic!("the classifier does not open: {reason}"),
    };
    let mut all = Outcome { levels: String::new(), events: String::new(), notes: Vec::new() };
    let numbers: Vec<usize> = (0..sample.lines.len()).collect();
    for of_one_stream in numbers.chunk_by(|a, b| sample.stream(*a) == sample.stream(*b)) {
        for batch in of_one_stream.chunks(size) {
            let first = batch[0];
            let packed = Packed::new(batch.iter().map(|line| &sample.lines[*line]));
            let batch = packed.batch(sample.stream(first), first as u64);
            let outcome = push_batch(&mut session, &batch);
            all.levels += &outcome.levels;
            all.events += &outcome.events;
            all.notes.extend(
                outcome.notes.into_iter().map(|note| Note { line: note.line + first as u32, ..note }),
            );
        }
    }
    all.notes.sort_by_key(|note| note.line);
    all
}

/// Checks the levels of lines, given to one session in one batch:
/// `assert_classifies!(Plugin, "BOOM" => Level::Error, "fine" => None)`.
#[macro_export]
macro_rules! assert_classifies {
    ($classifier:ty, $($line:expr => $level:expr),+ $(,)?) => {{
        let lines = [$($line),+];
        let expected = [$(::std::option::Option::<$crate::Level>::from($level)),+];
        let outcome = $crate::testing::classify::<$classifier>(&lines);
        for ((line, expected), got) in lines.iter().zip(expected).zip(outcome.levels.chars()) {
            ::std::assert_eq!($crate::Level::from_letter(got), expected, "line: {line}");
        }
    }};
}
