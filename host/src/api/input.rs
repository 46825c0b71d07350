//! Input for a process: text, keys by name, and the end of input.
//!
//! What is sent is worked out before anything is done, so that a key nobody knows sends nothing at all.

use super::gate::Act;
use super::keys::{Key, NAMES_HINT, Press, Reader};
use super::types::{ApiError, Caller, ErrorKind, SendReply, SendRequest};
use super::{Api, view};
use crate::bounds;
use crate::model::signal_name;
use crate::supervisor::{Handle, SendError, Snapshot};

/// Most keys in one request.
const KEYS: usize = 256;
/// Line end of a process that reads a pipe.
const LINE_FEED: u8 = b'\n';
/// What the enter key sends to a terminal.
const RETURN: u8 = b'\r';

/// One act of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Bytes(Vec<u8>),
    Signal(i32),
}

impl Api {
    /// Writes to a process's standard input, and presses keys.
    pub async fn send(&self, caller: &Caller, request: SendRequest) -> Result<SendReply, ApiError> {
        let handle = self.handle(&request.name)?;
        if request.text.len() > bounds::INPUT_BYTES {
            let (given, most) = (request.text.len(), bounds::INPUT_BYTES);
            let message = format!("the text has {given} bytes; at most {most} can be sent at once");
            return Err(ApiError::new(ErrorKind::Invalid, message).hint("send it in several pieces"));
        }
        let keys = keys(&request.keys)?;
        let act = Act { verb: "send", target: request.name.clone(), detail: detail(&request, &keys) };
        let cursor = self.parts.store.cursor(self.parts.store.newest()).to_string();
        let sending = async move {
            let steps = steps(&request, &keys, reader(&handle.snapshot()))?;
            let (bytes, signals) = carry_out(&handle, steps, request.eof)
                .await
                .map_err(|(error, taken)| refused(&handle, &error, taken))?;
            let signals = signals.into_iter().filter_map(signal_name).map(str::to_owned).collect();
            Ok(SendReply { process: view::of(handle.snapshot()).await, bytes, cursor, signals })
        };
        self.gate.pass(caller, act, sending).await
    }
}

/// Returns what reads the keys.
fn reader(snapshot: &Snapshot) -> Reader {
    match (snapshot.terminal, snapshot.application_keys) {
        (false, _) => Reader::Pipe,
        (true, false) => Reader::Terminal,
        (true, true) => Reader::Application,
    }
}

/// Says in the audit log how much was sent. What was typed may be a password, so not what.
fn detail(request: &SendRequest, keys: &[Key]) -> String {
    let mut detail = format!("{} bytes", request.text.len());
    for key in keys {
        detail.push(' ');
        detail.push_str(key.name);
    }
    if request.eof {
        detail.push_str(" and end of input");
    }
    detail
}

fn keys(names: &[String]) -> Result<Vec<Key>, ApiError> {
    if names.len() > KEYS {
        let message = format!("{} keys are too many; at most {KEYS} can be pressed at once", names.len());
        return Err(ApiError::new(ErrorKind::Invalid, message));
    }
    let find = |name: &String| {
        Key::named(name)
            .map_err(|error| ApiError::new(ErrorKind::Invalid, error.to_string()).hint(NAMES_HINT))
    };
    names.iter().map(find).collect()
}

/// Returns what is to be done, in order: the text, its line end, the keys.
fn steps(request: &SendRequest, keys: &[Key], reader: Reader) -> Result<Vec<Step>, ApiError> {
    let mut bytes = request.text.clone().into_bytes();
    if request.enter {
        bytes.push(if reader == Reader::Pipe { LINE_FEED } else { RETURN });
    }
    let mut steps = Vec::new();
    for key in keys {
        match key.press(reader) {
            Press::Bytes(more) => bytes.extend_from_slice(more),
            Press::Signal(signal) => {
                if !bytes.is_empty() {
                    steps.push(Step::Bytes(std::mem::take(&mut bytes)));
                }
                steps.push(Step::Signal(signal));
            }
            Press::Nothing => return Err(needs_terminal(&request.name, *key)),
        }
    }
    // Sent though it may be empty when nothing else is: that tells whether the input is open.
    if !bytes.is_empty() || steps.is_empty() || request.eof {
        steps.push(Step::Bytes(bytes));
    }
    Ok(steps)
}

fn needs_terminal(name: &str, key: Key) -> ApiError {
    let message = format!(
        "`{name}` has no terminal, and `{}` means nothing to a program that reads a pipe; nothing was sent",
        key.name
    );
    let hint = if key.name == "ctrl-d" {
        "`eof` closes its standard input, which is what ctrl-d means".to_owned()
    } else {
        format!("set `pty = true` in [process.{name}] and restart it")
    };
    ApiError::new(ErrorKind::Invalid, message).hint(hint)
}

/// Does one step after the other; returns how many bytes were taken and which signals sent, or why not all were, with
/// the bytes taken before that.
async fn carry_out(
    handle: &Handle,
    steps: Vec<Step>,
    eof: bool,
) -> Result<(usize, Vec<i32>), (SendError, usize)> {
    let (mut taken, mut signals) = (0, Vec::new());
    let last = steps.len().saturating_sub(1);
    for (index, step) in steps.into_iter().enumerate() {
        match step {
            Step::Bytes(bytes) => {
                taken += handle.send(bytes, eof && index == last).await.map_err(|error| (error, taken))?;
            }
            Step::Signal(signal) => {
                handle.interrupt(signal).await.map_err(|error| (error, taken))?;
                signals.push(signal);
            }
        }
    }
    Ok((taken, signals))
}

fn refused(handle: &Handle, error: &SendError, taken: usize) -> ApiError {
    let name = handle.name();
    let mut message = format!("`{name}` {error}");
    if taken > 0 {
        message.push_str(&format!("; {taken} bytes before that were"));
    }
    let refusal = ApiError::new(ErrorKind::Failed, message);
    match error {
        SendError::Full { .. } | SendError::QueueFull { .. } => {
            refusal.hint("send the rest once it has read what it was given")
        }
        _ if handle.snapshot().state.is_alive() => refusal,
        _ => refusal.hint(format!("start it with start_process or `ostler start {name}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str, enter: bool, eof: bool) -> SendRequest {
        SendRequest { name: "api".into(), text: text.into(), enter, keys: Vec::new(), eof }
    }

    fn pressed(names: &[&str], terminal: bool) -> Result<Vec<Step>, ApiError> {
        let reader = if terminal { Reader::Terminal } else { Reader::Pipe };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        steps(&request("ab", true, false), &keys(&names)?, reader)
    }

    #[test]
    fn a_line_ends_as_the_reader_expects() {
        assert_eq!(pressed(&[], true).unwrap(), [Step::Bytes(b"ab\r".to_vec())]);
        assert_eq!(pressed(&[], false).unwrap(), [Step::Bytes(b"ab\n".to_vec())]);
        assert_eq!(steps(&request("", false, true), &[], Reader::Pipe).unwrap(), [Step::Bytes(Vec::new())]);
    }

    #[test]
    fn keys_follow_the_text_in_their_order() {
        let on_terminal = pressed(&["up", "ctrl-c", "enter"], true).unwrap();
        assert_eq!(on_terminal, [Step::Bytes(b"ab\r\x1b[A\x03\r".to_vec())]);
        let without = pressed(&["tab", "ctrl-c", "enter"], false).unwrap();
        assert_eq!(without, [Step::Bytes(b"ab\n\t".to_vec()), Step::Signal(2), Step::Bytes(b"\n".to_vec())]);
    }

    #[test]
    fn a_key_that_means_nothing_sends_nothing_and_says_what_to_do() {
        let error = pressed(&["enter", "up"], false).unwrap_err();
        assert!(error.message.contains("`up` means nothing"), "{error}");
        assert_eq!(error.hint.as_deref(), Some("set `pty = true` in [process.api] and restart it"));
        let error = pressed(&["ctrl-d"], false).unwrap_err();
        assert!(error.hint.unwrap().contains("`eof`"));
        let error = pressed(&["ctrl-cc"], true).unwrap_err();
        assert_eq!((error.kind, error.hint.as_deref()), (ErrorKind::Invalid, Some(NAMES_HINT)));
    }

    #[test]
    fn the_audit_log_is_told_how_much_and_not_what() {
        let request = SendRequest { keys: vec!["enter".into()], ..request("hunter2", false, true) };
        assert_eq!(detail(&request, &keys(&request.keys).unwrap()), "7 bytes enter and end of input");
    }
}
