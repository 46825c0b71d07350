//! The words every layer shares: names, ids, levels, lines, exits.
//!
//! Plain data only: nothing here reads a file, spawns or waits.

mod event;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use event::Event;

use crate::bounds;

/// The name of a process in its project, such as `api`.
///
/// Letters, digits, `-`, `_` and `.`, starting with a letter or digit, so that a name is always safe in a path, a
/// prompt and a shell.
///
/// Of a process with replicas the first has the plain name, and the others follow as `api#2`, `api#3`: a process that
/// is scaled up keeps its name, and its run.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ProcessName(Arc<str>);

/// Why a text is not a process name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a process name: use letters, digits, `-`, `_` and `.`, starting with a letter or digit, at most {max} characters",
    max = bounds::PROCESS_NAME_MAX
)]
pub struct InvalidName(String);

impl ProcessName {
    /// Checks `text` against the rules for names that people give; a replica's is none.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let mut bytes = text.bytes();
        let starts_well = bytes.next().is_some_and(|first| first.is_ascii_alphanumeric());
        let goes_on_well =
            bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if starts_well && goes_on_well && text.len() <= bounds::PROCESS_NAME_MAX {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName(text.chars().take(bounds::PROCESS_NAME_MAX).collect()))
        }
    }

    /// Reads a name that may be a replica's, such as `api#2`. There is no `api#1`: that is `api`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let Some((base, number)) = text.split_once('#') else { return Self::new(text) };
        let canonical = number.parse().is_ok_and(|replica: u32| {
            (2..=bounds::REPLICAS_MAX).contains(&replica) && number == replica.to_string()
        });
        match Self::new(base) {
            Ok(_) if canonical => Ok(Self(text.into())),
            _ => Err(InvalidName(text.chars().take(bounds::PROCESS_NAME_MAX).collect())),
        }
    }

    /// Returns the name of a replica of this process, counted from 1; the first has the name of the process itself.
    /// Numbers beyond [`bounds::REPLICAS_MAX`] do not occur.
    #[must_use]
    pub fn with_replica(&self, replica: u32) -> Self {
        let base = self.base_str();
        if replica <= 1 { Self(base.into()) } else { Self(format!("{base}#{replica}").into()) }
    }

    /// Returns the name without the replica's number, as the configuration has it.
    #[must_use]
    pub fn base(&self) -> Self {
        if self.0.contains('#') { Self(self.base_str().into()) } else { self.clone() }
    }

    /// Returns which replica this is, counted from 1.
    pub fn replica(&self) -> u32 {
        self.0.split_once('#').and_then(|(_, number)| number.parse().ok()).unwrap_or(1)
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn base_str(&self) -> &str {
        self.0.split_once('#').map_or(&self.0, |(base, _)| base)
    }
}

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl<'de> Deserialize<'de> for ProcessName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// One life of a process, from spawn to exit. Numbers grow within a project and are never used twice.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of a line in the project's log: grows by one a line, over all processes, starting at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// A moment, in nanoseconds since the Unix epoch by the system's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub i64);

impl Time {
    /// Returns the present moment.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Returns the moment `duration` before this one.
    pub fn minus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Returns how long ago `earlier` was, or zero when the clock was set back between the two.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-20T08:29:25.123Z`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timestamp =
            jiff::Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(f, "{timestamp:.3}")
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let timestamp: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(i64::try_from(timestamp.as_nanosecond()).unwrap_or(i64::MAX)))
    }
}

/// Where a line came from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Stream {
    /// Ostler's own remarks between the lines of a process: a gap, an exit.
    Ostler = 0,
    Stdout = 1,
    Stderr = 2,
}

impl Stream {
    /// Returns the stream with this number in spools, segments and plugin batches.
    pub fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Ostler),
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            _ => None,
        }
    }

    /// Returns the word used in JSON and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ostler => "ostler",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// How serious a line is; the numbers are those of segments and plugin verdicts.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Level {
    /// No classifier decided.
    #[default]
    Unknown = 0,
    Trace = 1,
    Debug = 2,
    Info = 3,
    Warn = 4,
    Error = 5,
    Fatal = 6,
}

impl Level {
    /// Every level, from the least to the most serious.
    pub const ALL: [Self; 7] =
        [Self::Unknown, Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal];

    /// Returns the level with this number; anything past the last is unknown, because a guest wrote it.
    pub fn from_u8(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }

    /// Returns the word used in JSON and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    /// Reads a level as people write it; `warning`, `err` and `critical` are understood.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "unknown" => Self::Unknown,
            "trace" | "verbose" => Self::Trace,
            "debug" => Self::Debug,
            "info" | "notice" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "error" | "err" => Self::Error,
            "fatal" | "critical" | "panic" => Self::Fatal,
            _ => return None,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a process ended. At most one of the two is known; neither is when its shim died before it could tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Exit {
    /// The exit status, 0 to 255, when the process ended by itself.
    pub code: Option<i32>,
    /// The number of the signal that ended it.
    pub signal: Option<i32>,
}

/// How a remark on an end begins that explains it: the kernel killed the process for want of memory.
pub const OUT_OF_MEMORY: &str = "out of memory";

impl Exit {
    /// Returns the exit in words with a remark on it: `killed by SIGKILL (9): out of memory, limit 64 MiB`.
    pub fn with_note(self, note: Option<&str>) -> String {
        match note {
            Some(note) if note.starts_with(OUT_OF_MEMORY) => format!("{self}: {note}"),
            Some(note) => format!("{self}; {note}"),
            None => self.to_string(),
        }
    }

    /// Returns whether the process ended by itself with status 0.
    pub fn is_success(self) -> bool {
        self.code == Some(0)
    }
}

/// The exit in words: `exit code 1`, `killed by SIGKILL (9)`.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => match signal_name(signal) {
                Some(name) => write!(f, "killed by {name} ({signal})"),
                None => write!(f, "killed by signal {signal}"),
            },
            (None, None) => f.write_str("exit status lost"),
        }
    }
}

/// Signals by name, as `signal(7)` lists them for Linux on x86 and ARM.
const SIGNALS: [(&str, i32); 31] = [
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGSEGV", 11),
    ("SIGUSR2", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGSTKFLT", 16),
    ("SIGCHLD", 17),
    ("SIGCONT", 18),
    ("SIGSTOP", 19),
    ("SIGTSTP", 20),
    ("SIGTTIN", 21),
    ("SIGTTOU", 22),
    ("SIGURG", 23),
    ("SIGXCPU", 24),
    ("SIGXFSZ", 25),
    ("SIGVTALRM", 26),
    ("SIGPROF", 27),
    ("SIGWINCH", 28),
    ("SIGIO", 29),
    ("SIGPWR", 30),
    ("SIGSYS", 31),
];

/// Returns the name of a signal number.
pub fn signal_name(number: i32) -> Option<&'static str> {
    SIGNALS.iter().find(|(_, n)| *n == number).map(|(name, _)| *name)
}

/// Returns the number of a signal named as `SIGTERM` or `TERM`, in any case.
pub fn signal_number(name: &str) -> Option<i32> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    SIGNALS.iter().find(|(name, _)| *name == full).map(|(_, n)| *n)
}

/// The size of a terminal, in characters. Never zero, because programs divide by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    rows: u16,
    cols: u16,
}

impl TerminalSize {
    /// Returns the size, or nothing when a side is zero, as terminals without a window say.
    pub fn new(rows: u16, cols: u16) -> Option<Self> {
        (rows > 0 && cols > 0).then_some(Self { rows, cols })
    }

    pub fn rows(self) -> u16 {
        self.rows
    }

    pub fn cols(self) -> u16 {
        self.cols
    }
}

/// That of a terminal nobody looks at.
impl Default for TerminalSize {
    fn default() -> Self {
        Self { rows: bounds::TERMINAL_ROWS, cols: bounds::TERMINAL_COLS }
    }
}

/// A place in one run's spool: for each stream, the first byte that has not become part of a stored line.
///
/// Spool bytes are counted from the start of the run over all spool files, frame headers included. The two differ
/// while one stream holds back an unfinished line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpoolPosition {
    pub stdout: u64,
    pub stderr: u64,
    /// How many lines of the run are stored.
    pub lines: u64,
}

impl SpoolPosition {
    /// Returns the byte below which nothing is needed any more.
    pub fn low(self) -> u64 {
        self.stdout.min(self.stderr)
    }
}

/// One stored line as readers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub seq: Seq,
    pub time: Time,
    pub process: ProcessName,
    pub run: RunId,
    pub stream: Stream,
    pub level: Level,
    /// The line without its end and without ANSI codes; bytes that are not UTF-8 appear as U+FFFD.
    pub text: String,
    /// The line's end had not been seen when it was taken in (a prompt, or a piece of a very long line): the next
    /// line of the same run and stream continues it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// It belongs to the event of the last line of the same run and stream that is not blank, as the lines of a
    /// traceback do; so do blank lines between the two.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_escape_a_path_are_refused() {
        for bad in ["", "../x", "a/b", ".hidden", "-flag", "a b", "ä", &"x".repeat(65)] {
            assert!(ProcessName::new(bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["api", "api-2", "Web_1.x", "7"] {
            assert_eq!(ProcessName::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn replicas_are_named_after_the_first() {
        let api = ProcessName::new("api").unwrap();
        assert_eq!(api.with_replica(1), api);
        let third = api.with_replica(3);
        assert_eq!((third.as_str(), third.replica(), third.base()), ("api#3", 3, api.clone()));
        assert_eq!(third.with_replica(2).as_str(), "api#2");
        assert_eq!(ProcessName::parse("api#3"), Ok(third));
        assert_eq!(ProcessName::parse("api"), Ok(api));
        for bad in ["api#", "api#0", "api#1", "api#02", "api#+2", "api#2#3", "#2", "api#65", "api#x"] {
            assert!(ProcessName::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(ProcessName::new("api#2").is_err(), "a name that people give was taken for a replica's");
    }

    #[test]
    fn exits_are_told_in_words() {
        let exit = |code, signal| Exit { code, signal }.to_string();
        assert_eq!(exit(Some(1), None), "exit code 1");
        assert_eq!(exit(None, Some(9)), "killed by SIGKILL (9)");
        assert_eq!(exit(None, Some(64)), "killed by signal 64");
        assert_eq!(exit(None, None), "exit status lost");
    }

    #[test]
    fn signals_are_found_with_and_without_prefix() {
        assert_eq!(signal_number("term"), Some(15));
        assert_eq!(signal_number("SIGUSR1"), Some(10));
        assert_eq!(signal_number("NOPE"), None);
    }

    #[test]
    fn time_round_trips_through_json_at_millisecond_precision() {
        let time = Time(1_795_163_365_123_000_000);
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, "\"2026-11-20T08:29:25.123Z\"");
        assert_eq!(serde_json::from_str::<Time>(&json).unwrap(), time);
    }
}
