//! Owns the daemon's end of its socket: who may connect, what they are, and their requests, one at a time.
//!
//! ```text
//!  accept ─▶ same user? ─▶ a slot left? ─▶ hello ─┬─ cli ─▶ request ─▶ Api::dispatch ─▶ answer ─▶ request …
//!                                                 │            └─ attach ─▶ Api::attach ─▶ attached::serve
//!                                                 └─ mcp ─▶ mcp::serve
//! ```
//!
//! Knows nothing of processes. Frames are foreign bytes: what cannot be read is answered with what is wrong, and
//! the next line is read. A client that closes its end gives up on a long wait; everything else it asked for is done.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::attached;
use super::stream::StreamReader;
use super::wire::{FrameError, FrameReader, Hello, HelloReply, VERSION, frame};
use crate::api::{Api, ApiError, Caller, ErrorKind, Request, Response, Surface};
use crate::{bounds, mcp};

/// Connections served at once.
const CONNECTIONS: usize = 256;
/// Longest hello line, in bytes; the toolsets' names are all that can make it long.
const HELLO_BYTES: usize = 4096;
/// How long a client may take for its first line.
const HELLO_WAIT: Duration = Duration::from_secs(5);
/// How long requests in hand may take once the daemon ends.
const DRAIN_WAIT: Duration = Duration::from_secs(2);
/// Bytes of a parser's complaint that are sent back: it quotes the client, who may have sent megabytes.
const COMPLAINT_BYTES: usize = 500;

/// Whether connections are to end, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    /// The daemon ends: clients are told so.
    Ending,
    /// Another daemon takes over: connections end without a word, as in a crash, and clients connect again.
    HandingOver,
}

/// Serves the connections of one daemon.
pub struct Server {
    api: Api,
    slots: Arc<Semaphore>,
    closing: watch::Sender<Closing>,
    connections: JoinSet<()>,
}

impl Server {
    /// Makes a server that answers through `api`.
    pub fn new(api: Api) -> Self {
        Self {
            api,
            slots: Arc::new(Semaphore::new(CONNECTIONS)),
            closing: watch::Sender::new(Closing::No),
            connections: JoinSet::new(),
        }
    }

    /// Serves a connection in a task of its own, or turns it away.
    pub fn accept(&mut self, stream: UnixStream) {
        while self.connections.try_join_next().is_some() {}
        if !is_same_user(&stream) {
            warn!("a connection of another user was closed");
            return;
        }
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            turn_away(
                &stream,
                format!("{CONNECTIONS} clients are connected already: close one, or try again"),
            );
            return;
        };
        let (api, closing) = (self.api.clone(), self.closing.subscribe());
        self.connections.spawn(async move {
            converse(stream, api, closing).await;
            drop(slot);
        });
    }

    /// Ends all connections: waits are answered with an error at once, other requests in hand may finish first.
    pub async fn drain(self) {
        self.close(Closing::Ending).await;
    }

    /// Ends all connections so that their clients connect to the daemon that takes over; requests in hand that are
    /// no waits may finish first.
    pub async fn hand_over(self) {
        self.close(Closing::HandingOver).await;
    }

    async fn close(mut self, how: Closing) {
        self.closing.send_replace(how);
        let finished = async { while self.connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_WAIT, finished).await.is_err() {
            warn!(connections = self.connections.len(), "connections were cut");
        }
    }
}

/// Returns whether the other end belongs to the user the daemon runs as.
fn is_same_user(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw())
}

/// Tells a client why it is not served. The line fits into any socket's buffer, so nothing is waited for.
fn turn_away(stream: &UnixStream, message: String) {
    let reply = hello_reply(Some(message));
    if let Ok(line) = frame(&reply) {
        let _ = stream.try_write(&line);
    }
}

fn hello_reply(refusal: Option<String>) -> HelloReply {
    HelloReply {
        ok: refusal.is_none(),
        version: VERSION.to_owned(),
        pid: std::process::id(),
        message: refusal,
    }
}

/// Serves one connection until its client has enough, or the daemon ends.
async fn converse(mut stream: UnixStream, api: Api, mut closing: watch::Receiver<Closing>) {
    let hello = match tokio::time::timeout(HELLO_WAIT, read_hello(&mut stream)).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(message)) => return turn_away(&stream, message),
        Err(_) => return turn_away(&stream, format!("no hello line within {} s", HELLO_WAIT.as_secs())),
    };
    if *closing.borrow() != Closing::No {
        // The client tries again, and finds this daemon gone or its successor there.
        return;
    }
    match hello {
        Hello::Cli { version } => {
            let client = format!("cli {}", word(&version));
            debug!(%client, "client connected");
            let caller = Arc::new(Caller { surface: Surface::Cli, client });
            let (serving, served_as) = (api.clone(), Arc::clone(&caller));
            let given_over = answer_requests(stream, closing.clone(), move |request| {
                let (api, caller) = (serving.clone(), Arc::clone(&served_as));
                async move { api.dispatch(&caller, request).await }
            });
            if let Some(given_over) = given_over.await {
                tokio::select! {
                    () = attach(given_over, &api, &caller) => {}
                    // The client finds no end in what it was sent, and says that the daemon has ended.
                    _ = closed(&mut closing) => {}
                }
            }
        }
        Hello::Mcp { version, toolsets } => {
            debug!(version = word(&version), "MCP client connected");
            let toolsets = match mcp::Toolsets::from_names(toolsets.iter().map(String::as_str)) {
                Ok(toolsets) => toolsets,
                Err(error) => return turn_away(&stream, error.to_string()),
            };
            tokio::select! {
                () = mcp::serve(stream, toolsets, api) => {}
                _ = closed(&mut closing) => {}
            }
        }
    }
}

/// Reads the hello and not a byte beyond its line, because those that follow may be MCP's.
async fn read_hello(stream: &mut UnixStream) -> Result<Hello, String> {
    let mut line = Vec::new();
    loop {
        match tokio::io::AsyncReadExt::read_u8(stream).await {
            Ok(b'\n') => break,
            Ok(byte) if line.len() < HELLO_BYTES => line.push(byte),
            Ok(_) => return Err(format!("the hello line is longer than {HELLO_BYTES} bytes")),
            Err(error) => return Err(format!("no hello line: {error}")),
        }
    }
    serde_json::from_slice(&line).map_err(|error| {
        let error = clipped(error.to_string());
        format!(r#"the first line must be a hello such as {{"hello":"cli","version":"{VERSION}"}}: {error}"#)
    })
}

/// A connection on which somebody asked to attach: it is no conversation of requests any more.
struct GivenOver {
    reader: FrameReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    /// The process.
    name: String,
}

/// Attaches the connection to the process it asked for, or says why not.
async fn attach(given_over: GivenOver, api: &Api, caller: &Caller) {
    let GivenOver { reader, mut writer, name } = given_over;
    let (response, attachment) = match api.attach(caller, &name).await {
        Ok((reply, attachment)) => (Response::Attach(reply), Some(attachment)),
        Err(error) => (Response::Error(error), None),
    };
    let Ok(answer) = frame(&response) else { return };
    if let (Ok(()), Some(attachment)) = (writer.write_all(&answer).await, attachment) {
        let (source, begun) = reader.into_rest();
        attached::serve(attachment, StreamReader::new(source, begun), writer).await;
    }
}

/// Answers requests in order until the client closes, or the daemon ends and none is in hand; or until the client wants
/// to attach, and then returns the connection.
async fn answer_requests<F, Fut>(
    stream: UnixStream,
    mut closing: watch::Receiver<Closing>,
    dispatch: F,
) -> Option<GivenOver>
where
    F: Fn(Request) -> Fut,
    Fut: Future<Output = Response>,
{
    let (reader, mut writer) = stream.into_split();
    let mut reader = FrameReader::new(reader, bounds::REQUEST_BYTES);
    let mut answer = frame(&hello_reply(None)).unwrap_or_default();
    loop {
        if writer.write_all(&answer).await.is_err() {
            return None;
        }
        let next = tokio::select! {
            biased;
            how = closed(&mut closing) => {
                // So that the client can tell an orderly end from a crash.
                if how == Closing::Ending && let Ok(line) = frame(&Response::Error(ending())) {
                    let _ = writer.try_write(&line);
                }
                return None;
            }
            next = reader.next() => next,
        };
        let response = match next {
            Ok(None) | Err(FrameError::Io(_)) => return None,
            Err(error @ FrameError::TooLong(_)) => Response::Error(unreadable(error.to_string())),
            Ok(Some(line)) => match serde_json::from_slice::<Request>(&line) {
                Err(error) => Response::Error(unreadable(error.to_string())),
                Ok(Request::Attach { name }) => return Some(GivenOver { reader, writer, name }),
                Ok(request) if is_wait(&request) => tokio::select! {
                    response = dispatch(request) => response,
                    () = reader.closed() => return None,
                    how = closed(&mut closing) => match how {
                        Closing::HandingOver => return None,
                        _ => Response::Error(ending()),
                    },
                },
                Ok(request) => dispatch(request).await,
            },
        };
        answer = match frame(&response) {
            Ok(answer) => answer,
            Err(error) => {
                warn!(%error, "an answer could not be written");
                return None;
            }
        };
    }
}

/// Returns once connections are to end.
async fn closed(closing: &mut watch::Receiver<Closing>) -> Closing {
    closing.wait_for(|closing| *closing != Closing::No).await.map_or(Closing::Ending, |how| *how)
}

/// Returns whether a request only looks on, perhaps for long, so that giving up on it changes nothing.
fn is_wait(request: &Request) -> bool {
    matches!(request, Request::Wait(_) | Request::Logs(_))
}

fn unreadable(error: String) -> ApiError {
    ApiError::new(ErrorKind::Invalid, format!("the request cannot be read: {}", clipped(error))).hint(
        format!(
            r#"a request is one line of JSON such as {{"verb":"list"}}; this daemon is version {VERSION}"#
        ),
    )
}

fn ending() -> ApiError {
    ApiError::new(ErrorKind::Unavailable, "the daemon is ending")
}

/// Cuts a message to a bearable length.
fn clipped(mut message: String) -> String {
    let end = message.floor_char_boundary(COMPLAINT_BYTES);
    if end < message.len() {
        message.truncate(end);
        message.push('…');
    }
    message
}

/// Keeps the harmless part of a word that a client said of itself.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(32).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::cli::client::{Client, ClientError};

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// Answers lists at once and never ends a wait.
    async fn answer(request: Request) -> Response {
        match request {
            Request::List {} => Response::List(Vec::new()),
            _ => std::future::pending().await,
        }
    }

    /// Sends `lines` as they are and returns the answers, without that to the hello.
    async fn converse_raw(lines: &[u8]) -> Vec<String> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (_ending, closing) = watch::channel(Closing::No);
        let server = tokio::spawn(answer_requests(theirs, closing, answer));
        let (reader, mut writer) = ours.into_split();
        let mut reader = FrameReader::new(reader, 1 << 20);
        let send = async {
            writer.write_all(lines).await.unwrap();
            drop(writer);
        };
        let receive = async {
            let mut answers = Vec::new();
            while let Some(line) = reader.next().await.unwrap() {
                answers.push(String::from_utf8(line).unwrap());
            }
            answers
        };
        let ((), mut answers) = tokio::join!(send, receive);
        server.await.unwrap();
        answers.remove(0);
        answers
    }

    #[test]
    fn requests_that_cannot_be_read_are_told_and_the_next_is_served() {
        let long = "x".repeat(bounds::REQUEST_BYTES + 1);
        let lines = format!(
            "not json\n{{\"verb\":\"fly\"}}\n{{\"verb\":\"list\",\"x\":1}}\n\u{fffd}\n{long}\n{{\"verb\":\"list\"}}\n"
        );
        let answers = run(converse_raw(lines.as_bytes()));
        assert_eq!(answers.len(), 6, "{answers:?}");
        assert!(answers[1].contains("unknown variant `fly`"), "{}", answers[1]);
        assert!(answers[2].contains("unknown field `x`"), "{}", answers[2]);
        assert!(answers[4].contains("longer than 4194304 bytes"), "{}", answers[4]);
        assert!(answers[..5].iter().all(|answer| answer.contains(r#""kind":"invalid""#)), "{answers:?}");
        assert_eq!(answers[5], r#"{"list":[]}"#);
    }

    #[test]
    fn a_complaint_does_not_echo_megabytes() {
        let lines = format!("{{\"verb\":\"{}\"}}\n", "ü".repeat(100_000));
        let answers = run(converse_raw(lines.as_bytes()));
        assert!(answers[0].len() < 2000, "{} bytes", answers[0].len());
    }

    #[test]
    fn a_wait_ends_with_its_client() {
        run(async {
            let dropped = Arc::new(AtomicUsize::new(0));
            struct CountDrop(Arc<AtomicUsize>);
            impl Drop for CountDrop {
                fn drop(&mut self) {
                    self.0.fetch_add(1, Ordering::SeqCst);
                }
            }
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (_ending, closing) = watch::channel(Closing::No);
            let count = Arc::clone(&dropped);
            let server = tokio::spawn(answer_requests(theirs, closing, move |_| {
                let guard = CountDrop(Arc::clone(&count));
                async move {
                    let _guard = guard;
                    std::future::pending().await
                }
            }));
            let (reader, mut writer) = ours.into_split();
            let mut reader = FrameReader::new(reader, 1 << 20);
            reader.next().await.unwrap().expect("the answer to the hello");
            writer.write_all(b"{\"verb\":\"logs\",\"wait_ms\":50000}\n").await.unwrap();
            drop((reader, writer));
            server.await.unwrap();
            assert_eq!(dropped.load(Ordering::SeqCst), 1);
        });
    }

    #[test]
    fn the_end_of_the_daemon_answers_waits() {
        run(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (ending, closing) = watch::channel(Closing::No);
            let asked = Arc::new(tokio::sync::Notify::new());
            let seen = Arc::clone(&asked);
            let server = tokio::spawn(async move {
                let mut theirs = theirs;
                read_hello(&mut theirs).await.unwrap();
                let dispatch = move |request| {
                    seen.notify_one();
                    answer(request)
                };
                answer_requests(theirs, closing, dispatch).await;
            });
            let mut client = Client::greet(ours).await.unwrap();
            let wait = client.logs(Default::default());
            let end = async {
                asked.notified().await;
                ending.send_replace(Closing::Ending);
            };
            let (reply, ()) = tokio::join!(wait, end);
            let Err(ClientError::Refused(error)) = reply else { panic!("{reply:?}") };
            assert_eq!(error.kind, ErrorKind::Unavailable);
            server.await.unwrap();
        });
    }

    #[test]
    fn the_end_of_the_daemon_is_told_to_those_that_asked_nothing() {
        run(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (ending, closing) = watch::channel(Closing::No);
            let server = tokio::spawn(async move {
                let mut theirs = theirs;
                read_hello(&mut theirs).await.unwrap();
                answer_requests(theirs, closing, answer).await;
            });
            let mut client = Client::greet(ours).await.unwrap();
            ending.send_replace(Closing::Ending);
            server.await.unwrap();
            let Err(ClientError::Refused(error)) = client.list().await else { panic!("it was served") };
            assert_eq!(error.kind, ErrorKind::Unavailable);
        });
    }

    #[test]
    fn a_daemon_that_hands_over_goes_without_a_word() {
        run(async {
            for waits in [false, true] {
                let (ours, theirs) = UnixStream::pair().unwrap();
                let (closing, closing_rx) = watch::channel(Closing::No);
                let server = tokio::spawn(async move {
                    let mut theirs = theirs;
                    read_hello(&mut theirs).await.unwrap();
                    answer_requests(theirs, closing_rx, answer).await;
                });
                let mut client = Client::greet(ours).await.unwrap();
                let end = async {
                    tokio::task::yield_now().await;
                    closing.send_replace(Closing::HandingOver);
                };
                let lost = if waits {
                    tokio::join!(client.logs(Default::default()), end).0.unwrap_err()
                } else {
                    end.await;
                    server.await.unwrap();
                    client.list().await.unwrap_err()
                };
                assert!(lost.is_lost(), "{lost}");
            }
        });
    }

    #[test]
    fn a_hello_takes_no_byte_of_what_follows() {
        run(async {
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            ours.write_all(b"{\"hello\":\"mcp\",\"version\":\"0.1.0\",\"toolsets\":[\"all\"]}\n{\"jsonrpc\"")
                .await
                .unwrap();
            drop(ours);
            let hello = read_hello(&mut theirs).await.unwrap();
            assert_eq!(hello, Hello::Mcp { version: "0.1.0".into(), toolsets: vec!["all".into()] });
            let mut rest = String::new();
            tokio::io::AsyncReadExt::read_to_string(&mut theirs, &mut rest).await.unwrap();
            assert_eq!(rest, "{\"jsonrpc\"");
        });
    }

    #[test]
    fn what_is_no_hello_is_told_what_one_is() {
        run(async {
            for (bytes, says) in [
                (&b"GET / HTTP/1.1\r\n"[..], "the first line must be a hello"),
                (b"{\"hello\":\"smtp\"}\n", "unknown variant `smtp`, expected `cli` or `mcp`"),
                (&[b'x'; HELLO_BYTES + 1], "longer than 4096 bytes"),
                (b"{\"hello\"", "no hello line"),
            ] {
                let (mut ours, mut theirs) = UnixStream::pair().unwrap();
                ours.write_all(bytes).await.unwrap();
                drop(ours);
                let error = read_hello(&mut theirs).await.unwrap_err();
                assert!(error.contains(says), "{error}");
            }
        });
    }
}
