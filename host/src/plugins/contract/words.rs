//! The host's own words for what passes between it and a plugin, whatever version of the contract that was built for.
//!
//! They say what the newest version says. What an older one has no word for is empty.

use crate::model::Stream;

/// The bit beside a level that says that the line continues the event before.
pub(crate) const CONTINUES: u8 = 1 << 7;

/// Everything a plugin tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Described {
    pub name: String,
    pub version: String,
    /// One sentence for people.
    pub description: String,
    /// The kinds it serves, by its own word.
    pub kinds: Vec<String>,
    /// JSON schema of the configuration it takes, or empty.
    pub config_schema: String,
    /// What it asks to be granted.
    pub wants: Vec<Want>,
    /// Lines and what must be said of them.
    pub samples: Vec<LineSample>,
    /// How many samples it has of actions, projects and failures, which this host does not try yet.
    pub other_samples: usize,
}

/// Something a plugin cannot do without, beyond computing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    pub capability: String,
    pub scope: Vec<String>,
    /// What for, in its own words.
    pub reason: String,
}

/// Lines and what a classifier must say of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineSample {
    /// What it shows; empty where nothing is told.
    pub name: String,
    /// What the session is opened with.
    pub run: RunInfo,
    /// The same: JSON, or empty.
    pub config: String,
    pub lines: Vec<String>,
    /// One letter a line: `o` standard output, `e` standard error. Empty when all are of standard output.
    pub streams: String,
    /// One letter a line: `t d i w e f`, or `-` for undecided.
    pub levels: String,
    /// One character a line: `|` where it continues the event before, else `-`. Empty when that is not looked at.
    pub events: String,
    /// All facts, in the order of their lines. `None` when that is not looked at.
    pub facts: Option<Vec<Note>>,
}

/// The run that a session is opened for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunInfo {
    /// The process's name.
    pub process: String,
    /// Its words; secrets in them are masked.
    pub command: Vec<String>,
    /// Where it runs, relative to the project's directory; empty for that itself, or when it is not known.
    pub directory: String,
    /// More, by key.
    pub about: Vec<(String, String)>,
}

/// Lines of one stream, packed as the contract has them.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a> {
    pub text: &'a [u8],
    pub ends: &'a [u32],
    pub stream: Stream,
    /// How many lines of the run came before.
    pub first_line: u64,
}

/// What a classifier says of one batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdicts {
    /// One byte a line, as `types.wit` has them; not yet looked at.
    pub levels: Vec<u8>,
    pub notes: Vec<Note>,
}

/// A fact, and the index within the batch of the line it was seen in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub line: u32,
    pub kind: String,
    pub fields: Vec<(String, String)>,
}
