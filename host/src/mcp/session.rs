//! What the pump must know of a conversation to carry it over to another daemon: how the agent introduced itself,
//! which calls a daemon has got and not answered yet, and which of those may be made again.
//!
//! A daemon that has got a whole line may have acted on it, or not. A call that only reads is made again, since nobody
//! can tell the difference; of any other the agent is told to look before it calls again.
//!
//! Pure: reads no socket and writes none. Both sides are foreign: what cannot be read is passed on as it is.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::outbox::{Frame, SENDINGS};
use super::tools;

/// Calls whose answers are waited for at a time. Of more the agent is not told when they are lost.
const CALLS: usize = 4096;
/// Longest `initialize` that is kept to be repeated, in bytes.
const INTRODUCTION_BYTES: usize = 256 << 10;
/// Bytes of all calls together that are kept to be made again; they are short.
const KEPT_BYTES: usize = 1 << 20;
/// How old a call may be that is made again. It begins anew then and may take 50 s, and clients give up after 60 s (the
/// default of the TypeScript SDK).
const AGAIN_WITHIN: Duration = Duration::from_secs(10);
/// Requests that change nothing, besides calls of tools that say so.
const READING: [&str; 3] = ["ping", "tools/list", "server/discover"];

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
    /// Calls in hand, in the order they were made.
    calls: Vec<Call>,
}

/// A call that a daemon has got and not answered.
#[derive(Debug)]
struct Call {
    id: Value,
    only_reads: bool,
    /// What to say to make it again, if that may be done and there was room to keep it.
    frame: Option<Frame>,
}

/// What becomes of the calls in hand of a daemon that is gone.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Answers for the agent.
    pub(super) errors: Vec<Vec<u8>>,
    /// Calls to make again.
    pub(super) again: Vec<Frame>,
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
    /// Takes note of a line from the agent that a daemon has got.
    pub(super) fn said(&mut self, frame: Frame) {
        let line = &frame.line;
        let Ok(head) = serde_json::from_slice::<Head>(line) else { return };
        match (head.method.as_deref(), head.id) {
            (Some("initialize"), Some(id)) if line.len() <= INTRODUCTION_BYTES => {
                self.initialize = Some(Introduction { id, line: frame.line, answered: false });
                self.initialized = None;
            }
            (Some("notifications/initialized"), None) if line.len() <= INTRODUCTION_BYTES => {
                self.initialized = Some(frame.line);
            }
            (Some("notifications/cancelled"), None) => {
                let id =
                    serde_json::from_slice(line).map(|mut line: Value| line["params"]["requestId"].take());
                self.answered(&id.unwrap_or_default());
            }
            (Some(method), Some(id)) if self.calls.len() < CALLS => {
                let only_reads = only_reads(method, line);
                let kept = self.calls.iter().filter_map(|call| call.frame.as_ref());
                let bytes: usize = kept.map(|frame| frame.line.len()).sum();
                let fits = bytes + line.len() <= KEPT_BYTES;
                self.calls.push(Call { id, only_reads, frame: (only_reads && fits).then_some(frame) });
            }
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

    /// Forgets the calls in hand, because their daemon is gone, and returns what becomes of each.
    pub(super) fn lost(&mut self, now: Instant) -> Lost {
        self.repeating = false;
        let mut lost = Lost::default();
        for Call { id, only_reads, frame } in std::mem::take(&mut self.calls) {
            let may_be_made_again = |frame: &Frame| {
                frame.sendings + 1 < SENDINGS && now.saturating_duration_since(frame.said) < AGAIN_WITHIN
            };
            match frame.filter(may_be_made_again) {
                Some(frame) => lost.again.push(Frame { sendings: frame.sendings + 1, ..frame }),
                None if only_reads => lost.errors.push(refusal(&id, UNREAD)),
                None => lost.errors.push(refusal(&id, UNSURE)),
            }
        }
        lost
    }

    fn answered(&mut self, id: &Value) {
        if let Some(place) = self.calls.iter().position(|call| call.id == *id) {
            self.calls.remove(place);
        }
    }
}

/// What the agent is told of a call that may have been carried out.
const UNSURE: &str = "the ostler daemon was restarted during this call, which may or may not have been carried out; your \
                      processes are not affected. See how things are with list_processes, then call again";
/// What it is told of one that only reads.
const UNREAD: &str = "the ostler daemon has ended during this call, which only reads, so that nothing was changed; your \
                      processes are not affected. Call again";
/// What it is told of one that no daemon has wholly got.
const UNTOLD: &str = "the ostler daemon has ended each time it was told this call, which was not carried out; your \
                      processes are not affected. `ostler status` names the daemon's log; then call again";

/// Returns the answer to a call that only reads, and is not made again after all. A line that is no call has none.
pub(super) fn unread(line: &[u8]) -> Option<Vec<u8>> {
    asked(line).map(|id| refusal(&id, UNREAD))
}

/// Returns the answer to a call that no daemon would take. A line that is no call has none.
pub(super) fn untold(line: &[u8]) -> Option<Vec<u8>> {
    asked(line).map(|id| refusal(&id, UNTOLD))
}

/// Returns the id of a request.
fn asked(line: &[u8]) -> Option<Value> {
    let head: Head = serde_json::from_slice(line).ok()?;
    head.method.and(head.id)
}

fn refusal(id: &Value, message: &str) -> Vec<u8> {
    let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": message}});
    format!("{error}\n").into_bytes()
}

/// Returns whether a request changes nothing, however often it is made.
fn only_reads(method: &str, line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct ToolCall {
        params: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    match method {
        "tools/call" => {
            serde_json::from_slice::<ToolCall>(line).is_ok_and(|call| tools::only_reads(&call.params.name))
        }
        _ => READING.contains(&method),
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

    impl Session {
        fn told(&mut self, line: &[u8]) {
            self.said(Frame { line: line.to_vec(), said: Instant::now(), sendings: 0 });
        }

        fn lost_now(&mut self) -> Lost {
            self.lost(Instant::now())
        }
    }

    impl Lost {
        fn is_empty(&self) -> bool {
            self.errors.is_empty() && self.again.is_empty()
        }

        fn ids(&self) -> Vec<Value> {
            let id = |error: &Vec<u8>| serde_json::from_slice::<Value>(error).unwrap()["id"].clone();
            self.errors.iter().map(id).collect()
        }
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
            session.told(line.as_bytes());
        }
        assert_eq!(session.heard(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#), Heard::Pass);
        assert_eq!(session.lost_now().ids(), [json!("1")]);
        assert!(session.lost_now().is_empty());
    }

    fn call(tool: &str) -> Vec<u8> {
        let call = json!({"jsonrpc": "2.0", "id": tool, "method": "tools/call", "params": {"name": tool}});
        format!("{call}\n").into_bytes()
    }

    #[test]
    fn what_only_reads_is_made_again_and_of_the_rest_the_agent_is_told() {
        let mut session = Session::default();
        for tool in ["get_logs", "start_process", "wait_for", "no_such_tool"] {
            session.told(&call(tool));
        }
        session.told(b"{\"jsonrpc\":\"2.0\",\"id\":\"tools/list\",\"method\":\"tools/list\"}\n");
        session.told(b"{\"jsonrpc\":\"2.0\",\"id\":\"listen\",\"method\":\"subscriptions/listen\"}\n");
        let lost = session.lost_now();
        assert_eq!(lost.ids(), [json!("start_process"), json!("no_such_tool"), json!("listen")]);
        let again: Vec<_> = lost.again.iter().filter_map(|frame| asked(&frame.line)).collect();
        assert_eq!(again, [json!("get_logs"), json!("wait_for"), json!("tools/list")]);
        assert!(session.lost_now().is_empty());
    }

    #[test]
    fn a_call_is_not_made_again_too_often_nor_too_late() {
        let mut session = Session::default();
        let frame = |sendings| Frame { line: call("get_logs"), said: Instant::now(), sendings };
        session.said(frame(SENDINGS - 2));
        assert_eq!(session.lost_now().again[0].sendings, SENDINGS - 1);
        session.said(frame(SENDINGS - 1));
        assert_eq!(session.lost_now().ids(), [json!("get_logs")]);
        session.said(frame(0));
        let late = session.lost(Instant::now() + AGAIN_WITHIN);
        assert_eq!(late.ids(), [json!("get_logs")]);
        assert!(String::from_utf8_lossy(&late.errors[0]).contains("nothing was changed"));
    }

    #[test]
    fn calls_are_kept_within_bounds() {
        let mut session = Session::default();
        for _ in 0..5 {
            let arguments = json!({"grep": "x".repeat(KEPT_BYTES / 3)});
            let params = json!({"name": "get_logs", "arguments": arguments});
            session.told(
                json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
                    .to_string()
                    .as_bytes(),
            );
        }
        let lost = session.lost_now();
        assert_eq!((lost.again.len(), lost.errors.len()), (2, 3));
    }

    #[test]
    fn an_introduction_is_repeated_and_its_second_answer_swallowed() {
        let mut session = Session::default();
        assert_eq!(session.introduction(), None);
        session.told(INITIALIZE);
        assert_eq!(session.heard(WELCOME), Heard::Pass);
        session.told(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
        assert!(session.lost_now().is_empty());
        assert_eq!(session.introduction().as_deref(), Some(INITIALIZE));
        assert_eq!(session.heard(br#"{"jsonrpc":"2.0","method":"notifications/message"}"#), Heard::Pass);
        assert!(session.awaits_introduction());
        assert_eq!(session.heard(WELCOME), Heard::Swallow);
        assert!(!session.awaits_introduction() && session.confirmation().is_some());
        // The id may be used again for a call.
        session.told(br#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#);
        assert_eq!(session.heard(WELCOME), Heard::Pass);
        assert!(session.lost_now().is_empty());
    }

    #[test]
    fn an_introduction_that_was_never_answered_is_answered_by_the_next_daemon() {
        let mut session = Session::default();
        session.told(INITIALIZE);
        assert!(session.lost_now().is_empty());
        assert!(session.introduction().is_some());
        assert_eq!(session.heard(WELCOME), Heard::Pass);
    }

    #[test]
    fn a_daemon_that_refuses_is_understood() {
        let mut session = Session::default();
        let refusal = br#"{"ok":false,"version":"9","pid":1,"message":"256 clients are connected"}"#;
        assert_eq!(session.heard(refusal), Heard::Refused("256 clients are connected".into()));
        session.told(INITIALIZE);
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
