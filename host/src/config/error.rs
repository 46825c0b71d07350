//! Owns how problems in configuration are told: place, what is wrong, the source line, the remedy.
//!
//! Never shows the value of an environment variable; `source` masks lines that may hold one.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Everything that is wrong with a configuration, at least one problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
    /// There were more than are listed.
    truncated: bool,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub path: PathBuf,
    /// Counted from 1; 0 when the problem is the file itself, such as that it cannot be read.
    pub line: u32,
    /// In characters, counted from 1; 0 when `line` is.
    pub column: u32,
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(skip)]
    pub(super) excerpt: Option<Excerpt>,
}

/// The source line of a problem, fit for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub text: String,
    /// Where the offence starts and how long it is, in characters of `text`.
    pub start: usize,
    pub length: usize,
}

impl ConfigError {
    /// Most problems that are listed.
    pub(super) const LISTED: usize = 50;

    /// Takes problems, sorts them by place and drops those beyond the bound; none when there are none.
    pub(super) fn from_problems(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by(|a, b| (&a.path, a.line, a.column).cmp(&(&b.path, b.line, b.column)));
        let truncated = problems.len() > Self::LISTED;
        problems.truncate(Self::LISTED);
        (!problems.is_empty()).then_some(Self { problems, truncated })
    }

    /// Returns the problems, sorted by place.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Problem {
    /// Returns a problem of a whole file.
    pub(super) fn of_file(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: 0, column: 0, message: message.into(), hint: None, excerpt: None }
    }

    /// Adds the remedy.
    pub(super) fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem], truncated: false }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        if self.truncated {
            write!(f, "\n\nthere are more than {} problems; the rest is not listed", Self::LISTED)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(Excerpt { text, start, length }) = &self.excerpt {
            let gutter = self.line.to_string();
            let margin = " ".repeat(gutter.len());
            write!(f, "\n{margin} |\n{gutter} | {text}\n{margin} | ")?;
            write!(f, "{}{}", " ".repeat(*start), "^".repeat(*length))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}
