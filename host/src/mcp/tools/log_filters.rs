//! What the tools that read lines take alike, and the request it makes.

use crate::api::LogsRequest;
use crate::model::{Level, Stream};

use super::super::arguments::{Argument, Arguments, Kind};

pub const NAME: Argument = Argument { required: false, description: "Process or group", ..Argument::NAME };
pub const NAMES: Argument = Argument::optional("names", Kind::Texts, "Several; all when left out");
pub const LEVEL: Argument = Argument::optional(
    "level",
    Kind::Choice { options: &["trace", "debug", "info", "warn", "error", "fatal"], default: None },
    "At least this serious",
);
pub const GREP: Argument = Argument::optional("grep", Kind::Text, "Regex the text must match");
pub const STREAM: Argument =
    Argument::optional("stream", Kind::Choice { options: &["stdout", "stderr"], default: None }, "");
pub const FIELDS: Argument = Argument::optional(
    "fields",
    Kind::Texts,
    "Of JSON or k=v lines, all must hold: status=500, ms>=200, path~^/api",
);

/// Returns the request that these arguments make; the table of the tool has all of them.
pub fn request(arguments: &Arguments) -> LogsRequest {
    let mut names = arguments.texts("names");
    names.extend(arguments.text("name").map(str::to_owned));
    LogsRequest {
        names,
        level: arguments.text("level").and_then(Level::parse),
        stream: match arguments.text("stream") {
            Some("stdout") => Some(Stream::Stdout),
            Some("stderr") => Some(Stream::Stderr),
            _ => None,
        },
        grep: arguments.text("grep").map(str::to_owned),
        fields: arguments.texts("fields"),
        since: arguments.text("since").map(str::to_owned),
        ..LogsRequest::default()
    }
}

/// Returns a number of lines out of an argument.
pub fn count(arguments: &Arguments, name: &str, default: u64) -> usize {
    usize::try_from(arguments.number(name).unwrap_or(default)).unwrap_or(usize::MAX)
}
