//! The corpus of real output in `tests/corpus`: its logs, what is expected of them, and how the two are held together.
//!
//! `tests/corpus/README.md` describes both formats and the rules. Nothing here classifies: who does is asked through
//! [`Classify`], so that the classifier can be tried natively and as the component that people get.

mod compare;
mod expectation;
mod log;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use compare::{Classify, Difference, What, compare, report};
pub use expectation::{Expected, Fact, expectation};
pub use log::{LogLine, log};

/// One log and what is expected of it, line by line.
#[derive(Debug, Clone)]
pub struct Case {
    /// Directory and name, such as `django/serve`.
    pub name: String,
    /// What the program printed, in order.
    pub lines: Vec<LogLine>,
    /// One for each line.
    pub expected: Vec<Expected>,
}

/// Reads the whole corpus, in the order of its names.
///
/// # Errors
/// When a file cannot be read or is not as the README says, with the place.
pub fn corpus(directory: &Path) -> io::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for path in logs(directory)? {
        let wrong = |path: &Path, reason: String| io::Error::other(format!("{}:{reason}", path.display()));
        let lines = log(&fs::read_to_string(&path)?).map_err(|reason| wrong(&path, reason))?;
        let expect = path.with_extension("expect");
        let expected = expectation(&fs::read_to_string(&expect)?).map_err(|reason| wrong(&expect, reason))?;
        if lines.len() != expected.len() {
            let reason = format!(" {} lines are expected, the log has {}", expected.len(), lines.len());
            return Err(wrong(&expect, reason));
        }
        let name = path.strip_prefix(directory).unwrap_or(&path).with_extension("");
        cases.push(Case { name: name.to_string_lossy().into_owned(), lines, expected });
    }
    Ok(cases)
}

/// Returns the logs: `FRAMEWORK/NAME.log`.
fn logs(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for framework in fs::read_dir(directory)? {
        let framework = framework?.path();
        if framework.is_dir() {
            for file in fs::read_dir(framework)? {
                logs.push(file?.path());
            }
        }
    }
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    Ok(logs)
}
