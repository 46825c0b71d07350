//! Signals by name, and reloads.

use serde::{Deserialize, Serialize};

use super::gate::Act;
use super::types::{ApiError, Caller, ErrorKind, ProcessView};
use super::{Api, view};
use crate::model::{signal_name, signal_number};
use crate::shim::control::Scope;
use crate::supervisor::{ReloadError, Reloaded, SignalError};

/// The highest signal of Linux, `SIGRTMAX` (`signal(7)`).
const LAST_SIGNAL: i32 = 64;

/// A signal to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalRequest {
    pub name: String,
    /// A name such as `SIGHUP` or `hup`, or a number.
    pub signal: String,
    /// Whom it is for; when absent SIGKILL goes to the tree, any other signal to the main process.
    #[serde(default)]
    pub to: Option<Target>,
}

/// Whom a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The main process alone.
    Main,
    /// The process group of the main process, as a terminal does it.
    Group,
    /// Everything it has started, in whatever group or session.
    Tree,
}

impl Target {
    /// Every target with the word for it.
    pub const WORDS: [(&str, Self); 3] = [("main", Self::Main), ("group", Self::Group), ("tree", Self::Tree)];

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Group => "group",
            Self::Tree => "tree",
        }
    }

    fn scope(self) -> Scope {
        match self {
            Self::Main => Scope::Main,
            Self::Group => Scope::Group,
            Self::Tree => Scope::Tree,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignalReply {
    pub process: ProcessView,
    /// The signal's name, or its number.
    pub signal: String,
    pub to: Target,
    /// How many processes it was sent to; a group counts as one.
    pub reached: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReloadReply {
    pub process: ProcessView,
    /// What was done: `SIGHUP was sent to its main process`.
    pub how: String,
    /// Reads what the process says to it.
    pub cursor: String,
}

impl Api {
    /// Sends a signal. What is wanted of the process stays as it is: after a SIGKILL its restart policy decides.
    pub async fn signal(&self, caller: &Caller, request: SignalRequest) -> Result<SignalReply, ApiError> {
        let handle = self.handle(&request.name)?;
        let signal = parse_signal(&request.signal)?;
        let default = if signal == sigkill() { Target::Tree } else { Target::Main };
        let to = request.to.unwrap_or(default);
        let signal_text = signal_text(signal);
        let detail = format!("{signal_text} to {}", to.as_str());
        let act = Act { verb: "signal", target: request.name.clone(), detail };
        let signalling = async move {
            let sent = handle.signal(signal, to.scope()).await;
            let reached = sent.map_err(|error| not_signalled(&request.name, &error))?;
            let process = view::of(handle.snapshot()).await;
            Ok(SignalReply { process, signal: signal_text, to, reached })
        };
        self.gate.pass(caller, act, signalling).await
    }

    /// Makes a process read its own configuration again, as its `reload` says.
    pub async fn reload(&self, caller: &Caller, name: &str) -> Result<ReloadReply, ApiError> {
        let (handle, name) = (self.handle(name)?, name.to_owned());
        let act = Act { verb: "reload", target: name.clone(), detail: String::new() };
        let cursor = self.parts.store.cursor(self.parts.store.newest()).to_string();
        let reloading = async move {
            let how = match handle.reload().await {
                Ok(Reloaded::Signalled(signal)) => {
                    format!("{} was sent to its main process", signal_text(signal))
                }
                Ok(Reloaded::Ran) => "its reload command ended with exit code 0".to_owned(),
                Err(error) => return Err(not_reloaded(&name, &error)),
            };
            Ok(ReloadReply { process: view::of(handle.snapshot()).await, how, cursor })
        };
        self.gate.pass(caller, act, reloading).await
    }
}

fn parse_signal(text: &str) -> Result<i32, ApiError> {
    let number = text.parse().ok().filter(|number| (1..=LAST_SIGNAL).contains(number));
    number.or_else(|| signal_number(text)).ok_or_else(|| {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
        ApiError::new(ErrorKind::Invalid, format!("there is no signal `{shown}`"))
            .hint("name one as `kill -l` does, such as SIGHUP or USR1, or give a number from 1 to 64")
    })
}

fn sigkill() -> i32 {
    signal_number("SIGKILL").unwrap_or(9)
}

fn signal_text(signal: i32) -> String {
    signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}

fn not_signalled(name: &str, error: &SignalError) -> ApiError {
    let error_text = ApiError::new(ErrorKind::Failed, format!("`{name}` {error}"));
    match error {
        SignalError::NotRunning => error_text.hint(start_it(name)),
        SignalError::Refused(_) | SignalError::ShimGone => error_text,
    }
}

fn not_reloaded(name: &str, error: &ReloadError) -> ApiError {
    let error_text = ApiError::new(ErrorKind::Failed, format!("`{name}` {error}"));
    match error {
        ReloadError::NotConfigured => error_text.hint(format!(
            "add `reload = \"SIGHUP\"` or `reload = {{ command = \"…\" }}` to [process.{name}] in ostler.toml, or \
             restart it"
        )),
        ReloadError::Signal(SignalError::NotRunning) => error_text.hint(start_it(name)),
        ReloadError::Command(_) => {
            error_text.hint(format!("`ostler logs {name}` shows what the command printed"))
        }
        ReloadError::Busy => error_text.hint("wait for that, and try again"),
        ReloadError::Signal(_) => error_text,
    }
}

fn start_it(name: &str) -> String {
    format!("start it with start_process or `ostler start {name}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (text, number) in [("SIGHUP", 1), ("usr1", 10), ("9", 9), ("64", 64)] {
            assert_eq!(parse_signal(text).unwrap(), number, "{text}");
        }
        for text in ["", "0", "65", "-9", "SIGNOPE", "9 9", "99999999999"] {
            let error = parse_signal(text).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{text}");
            assert!(error.hint.is_some());
        }
    }
}
