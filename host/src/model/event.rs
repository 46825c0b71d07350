//! An event: one happening in the output of a process, made of one or more of its lines.

use super::{Level, ProcessName, RunId, Seq, Stream, Time};

/// One happening in the output of a run, such as a traceback: the lines that tell of it, in order.
///
/// Between its lines there may be lines of the other stream, which are not of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub run: RunId,
    pub process: ProcessName,
    pub stream: Stream,
    /// Its first and its last line.
    pub first: Seq,
    pub last: Seq,
    /// When its first line was written.
    pub time: Time,
    /// The most serious level of its lines.
    pub level: Level,
    /// How many lines it has, those included that are not in `text`.
    pub lines: u32,
    /// Its lines, each without its line end, joined by `\n`; of a long event the first and the last lines.
    pub text: String,
    /// What a classifier said of it, by key, such as the fields of a line of JSON.
    pub fields: Vec<(String, String)>,
}
