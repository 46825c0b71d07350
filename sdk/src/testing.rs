//! Runs a classifier natively, for `cargo test`: no wasm toolchain, no host.

use crate::{Batch, Classifier, Level, Note, Run, Stream, Verdicts};

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
    let packed = Packed::new(lines);
    let mut verdicts = Verdicts::undecided(lines.len());
    session.push(&packed.batch(stream, 0), &mut verdicts);
    let levels = (0..lines.len()).map(|line| verdicts.level(line).map_or('-', Level::letter)).collect();
    let events = (0..lines.len()).map(|line| if verdicts.is_continued(line) { '|' } else { '-' }).collect();
    Outcome { levels, events, notes: verdicts.into_parts().1 }
}

/// Checks that the classifier gives the samples of its own description the levels and events it promises, whole and
/// line by line, because where a batch ends must not matter.
///
/// # Panics
/// With every line that differs, or when a sample has not one letter per line.
pub fn assert_samples<C: Classifier>() {
    let mut wrong = String::new();
    for sample in C::info().samples {
        let lines: Vec<&str> = sample.lines.iter().map(String::as_str).collect();
        assert_eq!(lines.len(), sample.levels.chars().count(), "not one letter per line: {sample:?}");
        let same_length = sample.events.is_empty() || sample.events.len() == lines.len();
        assert!(same_length, "`events` has not one character per line: {sample:?}");
        let whole = classify::<C>(&lines);
        let mut session = C::open(&Run::default(), "").expect("it opened a moment ago");
        let mut single = Outcome { levels: String::new(), events: String::new(), notes: Vec::new() };
        for line in &lines {
            let outcome = push(&mut session, Stream::Stdout, &[line]);
            single.levels += &outcome.levels;
            single.events += &outcome.events;
        }
        for (how, got) in [("in one batch", whole), ("line by line", single)] {
            for (expected, got) in [(&sample.levels, &got.levels), (&sample.events, &got.events)] {
                for ((line, expected), got) in lines.iter().zip(expected.chars()).zip(got.chars()) {
                    if expected != got {
                        wrong.push_str(&format!("\n  expected {expected}, got {got} {how}: {line}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "samples differ:{wrong}");
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
