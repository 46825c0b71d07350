//! What the pump must know of a conversation to carry it over to another daemon: how the agent introduced itself,
//! and which calls have no answer yet.
//!
//! Pure: reads no socket and writes none. Both sides are foreign: what cannot be read is passed on as it is.

use serde::Deserialize;
use serde_json::{Value, json};

/// Calls whose answers are waited for at a time. Of more the agent is not told when they are lost.
const CALLS: usize = 4096;
/// Longest `initialize` that is kept to be repeated, in bytes.
const INTRODUCTION_BYTES: usize = 256 << 10;

/// What becomes of a line from the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    Pass,
    /// The agent has had this answer from an earlier daemon.
    Swallow,
    /// The daemon will not serve; the text says why, for people.
    Refused(String),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Session {
    initialize: Option<Introduction>,
    initialized: Option<Vec<u8>>,
    /// `initialize` was said again, and is not answered yet.
    repeating: bool,
    /// The ids of calls in hand, in the order they were made.
    calls: Vec<Value>,
}

#[derive(Debug)]
struct Introduction {
    id: Value,
    line: Vec<u8>,
    answered: bool,
}

/// The part of a message that tells what it is. The rest is passed over without being kept.
#[derive(Debug, Deserialize)]
struct Head {
    #[serde(default)]
    jsonrpc: Option<Value>,
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    error: Option<Value>,
    /// Of the daemon's own refusal, which is no message of the protocol.
    #[serde(default)]
    ok: Option<bool>,
    #[serde(default)]
    message: Option<String>,
}

impl Session {
    /// Takes note of a line from the agent.
    pub(super) fn said(&mut self, line: &[u8]) {
        let Ok(head) = serde_json::from_slice::<Head>(line) else { return };
        match (head.method.as_deref(), head.id) {
            (Some("initialize"), Some(id)) if line.len() <= INTRODUCTION_BYTES => {
                self.initialize = Some(Introduction { id, line: line.to_vec(), answered: false });
                self.initialized = None;
            }
            (Some("notifications/initialized"), None) if line.len() <= INTRODUCTION_BYTES => {
                self.initialized = Some(line.to_vec());
            }
            (Some("notifications/cancelled"), None) => {
                let id =
                    serde_json::from_slice(line).map(|mut line: Value| line["params"]["requestId"].take());
                self.answered(&id.unwrap_or_default());
            }
            (Some(_), Some(id)) if self.calls.len() < CALLS => self.calls.push(id),
            _ => {}
        }
    }

    /// Takes note of a line from the daemon, and says what becomes of it.
    pub(super) fn heard(&mut self, line: &[u8]) -> Heard {
        let Ok(head) = serde_json::from_slice::<Head>(line) else { return Heard::Pass };
        if head.jsonrpc.is_none() && head.ok == Some(false) {
            return Heard::Refused(head.message.unwrap_or_else(|| "the daemon gave no reason".to_owned()));
        }
        let (None, Some(id)) = (&head.method, &head.id) else { return Heard::Pass };
        match &mut self.initialize {
            Some(introduction) if introduction.id == *id && self.repeating => {
                self.repeating = false;
                match (std::mem::replace(&mut introduction.answered, true), head.error) {
                    (false, _) => Heard::Pass,
                    (true, None) => Heard::Swallow,
                    (true, Some(error)) => {
                        let why = error["message"].as_str().unwrap_or("it gave no reason").to_owned();
                        Heard::Refused(format!("the new daemon does not go on where the last one was: {why}"))
                    }
                }
            }
            Some(introduction) if introduction.id == *id && !introduction.answered => {
                introduction.answered = true;
                Heard::Pass
            }
            _ => {
                self.answered(id);
                Heard::Pass
            }
        }
    }

    /// Returns the line with which the agent has introduced itself, to be said to another daemon.
    pub(super) fn introduction(&mut self) -> Option<Vec<u8>> {
        let line = self.initialize.as_ref()?.line.clone();
        self.repeating = true;
        Some(line)
    }

    /// Returns whether the repeated introduction is still to be answered.
    pub(super) fn awaits_introduction(&self) -> bool {
        self.repeating
    }

    /// Returns the line that follows the answer to the introduction.
    pub(super) fn confirmation(&self) -> Option<Vec<u8>> {
        self.initialized.clone()
    }

    /// Forgets the calls in hand, because their daemon is gone, and returns an answer for each.
    pub(super) fn lost(&mut self) -> Vec<Vec<u8>> {
        self.repeating = false;
        std::mem::take(&mut self.calls)
            .into_iter()
            .map(|id| {
                let error = json!({
                    "jsonrpc": "2.0",
                    "id": id,
                    "error": {
                        "code": -32000,
                        "message": "the ostler daemon was restarted during this call, which may or may not have been \
                                    carried out; your processes are not affected. See how things are with \
                                    list_processes, then call again",
                    },
                });
                format!("{error}\n").into_bytes()
            })
            .collect()
    }

    fn answered(&mut self, id: &Value) {
        if let Some(place) = self.calls.iter().position(|call| call == id) {
            self.calls.remove(place);
        }
    }
}

/// A piece of a stream of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A whole line with its end.
    Line(Vec<u8>),
    /// A part of a line that is longer than is kept: nobody looks into it.
    Part(Vec<u8>),
}

impl Piece {
    pub(super) fn bytes(&self) -> &[u8] {
        let (Self::Line(bytes) | Self::Part(bytes)) = self;
        bytes
    }
}

/// Cuts a stream of bytes into lines, and keeps no more than `limit` bytes of an unfinished one.
#[derive(Debug)]
pub(super) struct Lines {
    limit: usize,
    unfinished: Vec<u8>,
    /// A part of the present line has been handed out.
    torn: bool,
}

impl Lines {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, unfinished: Vec::new(), torn: false }
    }

    /// Takes in bytes and returns what is complete.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            self.unfinished.extend_from_slice(line);
            let whole = std::mem::take(&mut self.unfinished);
            let torn = std::mem::take(&mut self.torn);
            pieces.push(if torn { Piece::Part(whole) } else { Piece::Line(whole) });
        }
        self.unfinished.extend_from_slice(bytes);
        if !self.unfinished.is_empty() && (self.torn || self.unfinished.len() > self.limit) {
            self.torn = true;
            pieces.push(Piece::Part(std::mem::take(&mut self.unfinished)));
        }
        pieces
    }

    /// Returns whether a part of a line was handed out, and not its end.
    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }

    /// Takes what there is of the last line.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unfinished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INITIALIZE: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{}}\n";
    const WELCOME: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}\n";

    fn ids(errors: &[Vec<u8>]) -> Vec<Value> {
        errors.iter().map(|error| serde_json::from_slice::<Value>(error).unwrap()["id"].clone()).collect()
    }

    #[test]
    fn only_what_has_no_answer_is_lost() {
        let mut session = Session::default();
        for line in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":"1","method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
            "not json",
            "[1]",
        ] {
            session.said(line.as_bytes());
        }
        assert_eq!(session.heard(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#), Heard::Pass);
        assert_eq!(ids(&session.lost()), [json!("1")]);
        assert!(session.lost().is_empty());
    }

    #[test]
    fn an_introduction_is_repeated_and_its_second_answer_swallowed() {
        let mut session = Session::default();
        assert_eq!(session.introduction(), None);
        session.said(INITIALIZE);
        assert_eq!(session.heard(WELCOME), Heard::Pass);
        session.said(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
        assert!(session.lost().is_empty());
        assert_eq!(session.introduction().as_deref(), Some(INITIALIZE));
        assert_eq!(session.heard(br#"{"jsonrpc":"2.0","method":"notifications/message"}"#), Heard::Pass);
        assert!(session.awaits_introduction());
        assert_eq!(session.heard(WELCOME), Heard::Swallow);
        assert!(!session.awaits_introduction() && session.confirmation().is_some());
        // The id may be used again for a call.
        session.said(br#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#);
        assert_eq!(session.heard(WELCOME), Heard::Pass);
        assert!(session.lost().is_empty());
    }

    #[test]
    fn an_introduction_that_was_never_answered_is_answered_by_the_next_daemon() {
        let mut session = Session::default();
        session.said(INITIALIZE);
        assert!(session.lost().is_empty());
        assert!(session.introduction().is_some());
        assert_eq!(session.heard(WELCOME), Heard::Pass);
    }

    #[test]
    fn a_daemon_that_refuses_is_understood() {
        let mut session = Session::default();
        let refusal = br#"{"ok":false,"version":"9","pid":1,"message":"256 clients are connected"}"#;
        assert_eq!(session.heard(refusal), Heard::Refused("256 clients are connected".into()));
        session.said(INITIALIZE);
        session.heard(WELCOME);
        session.introduction();
        let error = br#"{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"too old"}}"#;
        assert!(matches!(session.heard(error), Heard::Refused(why) if why.ends_with("too old")));
    }

    #[test]
    fn lines_are_cut_wherever_the_bytes_are_and_long_ones_pass_unkept() {
        let mut lines = Lines::new(4);
        assert_eq!(lines.push(b"a"), []);
        assert_eq!(lines.push(b"b\nc\nd"), [Piece::Line(b"ab\n".to_vec()), Piece::Line(b"c\n".to_vec())]);
        assert_eq!(lines.push(b"efgh"), [Piece::Part(b"defgh".to_vec())]);
        assert!(lines.is_torn());
        assert_eq!(lines.push(b"i"), [Piece::Part(b"i".to_vec())]);
        assert_eq!(lines.push(b"j\nk\n"), [Piece::Part(b"j\n".to_vec()), Piece::Line(b"k\n".to_vec())]);
        assert!(!lines.is_torn());
        assert_eq!(lines.push(b"rest"), []);
        assert_eq!(lines.rest(), b"rest");
    }
}
