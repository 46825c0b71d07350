//! Owns what a daemon that starts tells the command that started it: that it listens, or why it does not.
//!
//! One line of JSON on the daemon's standard output, which is a pipe to the command; the end of the pipe without a
//! line means the daemon died. So a slip in `ostler.toml` reaches the person at once and word for word, however the
//! daemon came to be started. Starting one is `launch`'s business.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::exit::{CliError, Code};

/// What became of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartReport {
    /// The socket answers.
    Ready { pid: u32 },
    /// Another daemon serves the project, or is about to.
    AlreadyRunning { pid: u32 },
    /// The configuration makes no sense; the message names the place and the remedy.
    BadConfig { message: String },
    /// It could not be started for another reason.
    Failed { message: String },
}

/// Tells the report on standard output, and then lets go of it: the pipe's end is what the command waits for.
///
/// The command may be gone by now; that is no reason not to serve.
pub fn tell(report: &StartReport) {
    let mut line = serde_json::to_vec(report).unwrap_or_default();
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
    // From here on standard output is the log, as standard error is.
    let _ = rustix::stdio::dup2_stdout(rustix::stdio::stderr());
}

impl StartReport {
    /// Returns what went wrong, in words.
    pub fn message(&self) -> String {
        match self {
            Self::Ready { pid } => format!("the daemon runs (pid {pid})"),
            Self::AlreadyRunning { pid } => format!("another daemon (pid {pid}) looks after this project"),
            Self::BadConfig { message } | Self::Failed { message } => message.clone(),
        }
    }

    /// Reads a report as `tell` writes it; `None` when the daemon ended before it told anything.
    pub fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// Makes the error of a configuration that keeps a daemon from starting.
pub fn bad_config(message: String) -> CliError {
    // A configuration error carries its own hint, below the line it is about.
    CliError::new(Code::Usage, "config", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_pipe() {
        let report = StartReport::BadConfig {
            message: "ostler.toml:3:1: unknown key `comand`\nhint: `command`".into(),
        };
        let line = serde_json::to_vec(&report).unwrap();
        assert!(!line.contains(&b'\n'), "a report is one line");
        assert_eq!(StartReport::read(&line), Some(report));
        assert_eq!(StartReport::read(b""), None);
    }
}
