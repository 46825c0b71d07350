//! What goes into the verbs about kinds of errors, and comes out: plain data.

use serde::{Deserialize, Serialize};

use crate::model::{Level, ProcessName, RunId, Stream, Time};

pub use crate::store::ErrorState;

/// Which kinds of errors to tell of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ErrorsRequest {
    /// Processes and groups; none means all.
    pub names: Vec<String>,
    /// None means those that are not resolved.
    pub states: Vec<ErrorState>,
    /// At least this serious; none means errors, without warnings.
    pub level: Option<Level>,
    /// A cursor, a duration or a time as for logs; `restart` for the present run of each process, `run:7` for a run and
    /// all after it, `change` for the last restart by a watch, `file:PATH` for the last change of a file.
    pub since: Option<String>,
    /// At most this many; default 50.
    pub limit: Option<usize>,
    /// With the number of each of the last 24 hours.
    pub trend: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorsReply {
    /// Those that happened last first.
    pub errors: Vec<ErrorView>,
    /// How many more there are.
    pub more: usize,
    /// How many of all are new since the place that was asked for.
    pub new: usize,
    /// Give it as `since` to hear only of what happens from now on.
    pub cursor: String,
}

/// A kind of error: all events that have one fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorView {
    /// The fingerprint.
    pub id: String,
    /// How the fingerprint was made.
    pub version: u32,
    /// Without the number of a replica.
    pub process: ProcessName,
    pub level: Level,
    /// What was raised; empty when the text does not say.
    pub kind: String,
    /// The message of the last one.
    pub message: String,
    /// Where it happened: `shop/views.py:12 in cart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    pub state: ErrorState,
    pub count: u64,
    /// How often it happened since the place that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<SinceView>,
    /// In how many runs, of the last hundred in which it happened.
    pub runs: u64,
    pub first: SeenView,
    pub last: SeenView,
    /// Who changed its state last, when, and what they said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<ChangeView>,
    /// How often in each of the last 24 hours, the present one last; empty unless asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trend: Vec<u64>,
    /// The text of the last one, when one kind was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinceView {
    pub count: u64,
    /// It may be more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
    /// It had never happened before.
    pub new: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenView {
    pub time: Time,
    pub run: RunId,
    /// Reads the log from there on.
    pub cursor: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    pub time: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Which single errors to tell of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatestErrorsRequest {
    /// Processes and groups; none means all.
    pub names: Vec<String>,
    /// As in [`ErrorsRequest`].
    pub level: Option<Level>,
    /// As in [`ErrorsRequest`].
    pub since: Option<String>,
    /// At most this many; default 5.
    pub limit: Option<usize>,
    /// With the frames of libraries in their traces.
    pub full: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LatestErrorsReply {
    /// The newest first. Of each kind only the last few are remembered.
    pub errors: Vec<LatestError>,
    /// Give it as `since` to hear only of what happens from now on.
    pub cursor: String,
}

/// One happening of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatestError {
    /// The fingerprint of its kind.
    pub id: String,
    pub process: ProcessName,
    pub run: RunId,
    pub stream: Stream,
    pub time: Time,
    pub level: Level,
    pub state: ErrorState,
    /// How often its kind has happened.
    pub count: u64,
    pub text: String,
    /// Its lines have been deleted since: the text is that of another one of the same kind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_sample: bool,
    /// Reads the log from there on.
    pub cursor: String,
}

/// What somebody says of a kind of error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkError {
    /// The fingerprint, or enough of its beginning.
    pub id: String,
    /// What there is to say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
