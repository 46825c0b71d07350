//! Owns how a command ends: its exit code, and the error it tells when it did not do what it was asked.
//!
//! Never prints: `render::error` does.

use std::io;

use crate::api::{ApiError, ErrorKind};
use crate::model::Line;

/// The exit codes, as `ostler --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// It was done.
    Done,
    /// It was tried and failed, or it cannot happen any more.
    Failed,
    /// The command line or the configuration makes no sense; clap ends with this number too.
    Usage,
    /// There is no such process.
    NotFound,
    /// The daemon cannot be reached or started, or cannot serve just now.
    Unreachable,
    /// A wait ran out of time; the number is that of `timeout(1)`.
    TimedOut,
    /// The exit code of a process that was run in the foreground; 128 and the signal when one killed it.
    Child(u8),
}

impl Code {
    /// Returns the number that `ostler` ends with.
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unreachable => 4,
            Self::TimedOut => 124,
            Self::Child(code) => code,
        }
    }
}

/// How a command ended.
pub type Outcome = Result<Code, CliError>;

/// Why a command ends early.
#[derive(Debug)]
pub enum CliError {
    /// Whoever read the output went away, as in `ostler logs | head`: a quiet end.
    OutputClosed,
    /// Something to tell.
    Told(Box<Complaint>),
}

/// An error as it is shown: what, the remedy, and the last lines of the run it is about.
#[derive(Debug, Clone)]
pub struct Complaint {
    pub code: Code,
    /// A word for programs, such as `not-found`.
    pub kind: &'static str,
    pub message: String,
    pub hint: Option<String>,
    pub lines: Vec<Line>,
}

impl CliError {
    /// Makes an error that has no hint.
    pub fn new(code: Code, kind: &'static str, message: impl Into<String>) -> Self {
        Self::Told(Box::new(Complaint { code, kind, message: message.into(), hint: None, lines: Vec::new() }))
    }

    /// Makes an error of the command line's, or of the project's state, that the person can mend.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, "usage", message)
    }

    /// Makes an error of something that was tried and did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Code::Failed, "failed", message)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Told(complaint) = &mut self {
            complaint.hint = Some(hint.into());
        }
        self
    }

    /// Adds the last lines of the run it is about.
    #[must_use]
    pub fn lines(mut self, lines: Vec<Line>) -> Self {
        if let Self::Told(complaint) = &mut self {
            complaint.lines = lines;
        }
        self
    }

    /// Returns the exit code that goes with it.
    pub fn code(&self) -> Code {
        match self {
            Self::OutputClosed => Code::Done,
            Self::Told(complaint) => complaint.code,
        }
    }
}

/// The only input or output that commands do with a bare `?` is writing to standard output.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::failed(format!("standard output cannot be written: {error}")),
        }
    }
}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        let (code, kind) = match error.kind {
            ErrorKind::NotFound => (Code::NotFound, "not-found"),
            ErrorKind::Invalid => (Code::Usage, "invalid"),
            ErrorKind::Denied => (Code::Failed, "denied"),
            ErrorKind::Failed => (Code::Failed, "failed"),
            ErrorKind::Unavailable => (Code::Unreachable, "unavailable"),
        };
        Self::Told(Box::new(Complaint {
            code,
            kind,
            message: error.message,
            hint: error.hint,
            lines: error.lines,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_refusal_has_its_exit_code() {
        let code = |kind| CliError::from(ApiError::new(kind, "no")).code().number();
        assert_eq!(code(ErrorKind::NotFound), 3);
        assert_eq!(code(ErrorKind::Invalid), 2);
        assert_eq!(code(ErrorKind::Denied), 1);
        assert_eq!(code(ErrorKind::Failed), 1);
        assert_eq!(code(ErrorKind::Unavailable), 4);
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.code(), Code::Done);
        let error = CliError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(error.code(), Code::Failed);
    }
}
