//! What goes into a summary of the log, and comes out: plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::alerts::AlertView;
use super::error_types::ErrorView;
use super::requests::RequestWindow;
use crate::model::{Level, ProcessName, Time};

/// Which stretch of the log to sum up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSummaryRequest {
    /// Processes and groups; none means all.
    pub names: Vec<String>,
    /// As in [`super::ErrorsRequest`]: `restart`, `run:7`, `change`, `file:PATH`, a cursor, a duration or a time; the
    /// last 15 minutes when left out.
    pub since: Option<String>,
    /// At most so many kinds of errors, and as many messages; default 10.
    pub limit: Option<usize>,
}

/// A stretch of the log in numbers and examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogSummary {
    pub from: Time,
    pub to: Time,
    /// All lines, of all processes.
    pub lines: u64,
    /// Those with most errors first, then those with most lines.
    pub processes: Vec<ProcessSummary>,
    /// How long a step of a trend is.
    pub trend_step_ms: u64,
    /// There was too much log to count all of it: numbers are those of the newest lines.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counts_are_least: bool,
    /// Lines that could not be read, or are deleted since the cursor.
    pub missing: u64,
    /// Kinds of errors that happened, the last one first.
    pub errors: Vec<ErrorView>,
    /// How many more kinds there are.
    pub more_errors: usize,
    /// How many of all are new since then.
    pub new_errors: usize,
    /// What was printed most often, by its form.
    pub messages: Vec<MessageSummary>,
    /// How many lines, the newest, were looked at for messages.
    pub sampled: u64,
    /// The newest alerts that were raised since then, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertView>,
    /// Reads what is printed from now on.
    pub cursor: String,
}

/// What one process printed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessSummary {
    pub process: ProcessName,
    pub lines: u64,
    /// Levels without lines are left out.
    pub levels: BTreeMap<Level, u64>,
    /// Bytes of text.
    pub bytes: u64,
    /// Lines a second between its first and its last line.
    pub per_second: f64,
    /// Lines a second in the stretch with most of them, of which there are some hundreds.
    pub peak_per_second: f64,
    /// Lines in each of twelve steps of equal length, or fewer when there is less time.
    pub trend: Vec<u64>,
    pub first: Time,
    pub last: Time,
    /// Lines that were printed and could not be kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// The requests it has answered in the last 15 minutes, whatever stretch is summed up; absent when there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestWindow>,
}

/// Lines that say the same but for numbers, ids, paths and the like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSummary {
    pub process: ProcessName,
    pub level: Level,
    /// `job <n> of <q> failed at <path>`
    pub template: String,
    /// How many of the lines that were looked at.
    pub count: u64,
    /// The last one of them, and a place in the log in front of it.
    pub sample: String,
    pub cursor: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
