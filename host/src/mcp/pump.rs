//! `ostler mcp`: carries lines between an agent's pipes and the daemon's socket, and outlives the daemon.
//!
//! ```text
//!            daemon gone: calls in hand that may have changed something are answered with an error
//!  connected ───────────────────────────────────────────────────▶ alone
//!      ▲                                                            │ a daemon is there again, or the agent
//!      └── hello, the agent's `initialize` and `initialized`, ◀─────┘ wants something: then one is started
//!          calls in hand that only read, what was not wholly said
//! ```
//!
//! An agent cannot reconnect its stdio servers, so this does it: what the agent said of itself in `initialize` is said
//! again to the next daemon, whose answer the agent has had already and does not see. Agents of the stateless era say
//! it with each request, and nothing has to be repeated. A daemon that was taken down on purpose is not started
//! before the agent asks for something more; for calls that only read and were in hand, one that died is.
//!
//! Each line is with the agent (`outbox`) until its last byte is written, and with the daemon (`session`) from then
//! on. A daemon that has not got the end of a line has not acted on it, so that the next one is told it as if nothing had
//! happened.
//!
//! Writes nothing of its own to standard output but those errors. Ends when the agent closes standard input; answers
//! under way still get out for a moment.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{sleep, timeout};

use super::outbox::{Frame, Outbox};
use super::session::{self, Heard, Lines, Session};
use super::stdio::{Agent, CHUNK_BYTES};
use super::toolset::Toolsets;

/// How long answers may take to get out once the agent has closed its end. Python's client kills its server after two
/// seconds (`mcp` 1.x, `PROCESS_TERMINATION_TIMEOUT`), so this is less.
const LINGER: Duration = Duration::from_millis(1500);
/// How often the next daemon is looked for before the agent wants something, and the pause between two looks.
const LOOKS: u32 = 50;
/// See `LOOKS`.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Longest answer that is looked into, in bytes; the daemon's are bounded far below.
const ANSWER_BYTES: usize = 64 << 20;
/// Connections in a row that end soon and without a word from the daemon; then the pump gives up.
const SILENT_ENDS: u32 = 10;
/// What counts as soon.
const SOON: Duration = Duration::from_secs(1);
/// How long the next daemon may take to answer the repeated `initialize`.
const INITIALIZE_WAIT: Duration = Duration::from_secs(20);

/// The way to the project's daemon.
pub trait Daemons {
    /// Returns whether the last daemon has died, and was not taken down.
    fn last_has_died(&self) -> bool;

    /// Connects to the daemon that runs; `None` when none does.
    fn find(&self) -> impl Future<Output = Option<UnixStream>>;

    /// Connects to the daemon, and starts one when none runs. The error is for people, in one line.
    fn find_or_start(&self) -> impl Future<Output = Result<UnixStream, String>>;
}

/// Carries lines between standard input and output and the daemon, beginning with the connection `socket`, after
/// telling it which `toolsets` (comma-separated, empty for the default) the agent wants. Returns when the agent has
/// closed its end.
///
/// # Errors
/// `InvalidInput` when a toolset does not exist, before anything is sent; `ConnectionAborted` when the daemon went
/// away and no other can be had, or would not serve. The message is for people, in one line.
pub async fn pump(socket: UnixStream, daemons: impl Daemons, toolsets: &str) -> io::Result<()> {
    let toolsets =
        Toolsets::parse(toolsets).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let agent = Agent::new(io::stdin(), io::stdout())?;
    Pump::new(daemons, hello(&toolsets), agent).carry(socket, LINGER).await
}

/// The line that tells the daemon what the rest of the connection will be.
fn hello(toolsets: &Toolsets) -> String {
    let toolsets: Vec<&str> = toolsets.names().collect();
    let hello = serde_json::json!({
        "hello": "mcp", "version": env!("CARGO_PKG_VERSION"), "toolsets": toolsets,
    });
    format!("{hello}\n")
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// The agent has closed its input, or reads no more.
    Agent,
    /// The daemon is gone.
    Daemon,
}

struct Pump<D> {
    daemons: D,
    hello: String,
    agent: Agent,
    session: Session,
    /// What no daemon has wholly got.
    outbox: Outbox,
    /// Calls that only read, and that the last daemon has got and not answered: for the next one, if it comes soon.
    again: Vec<Frame>,
    /// What the present daemon has said of a line that it has not finished.
    answers: Lines,
    silent_ends: u32,
    look_every: Duration,
}

impl<D: Daemons> Pump<D> {
    fn new(daemons: D, hello: String, agent: Agent) -> Self {
        Self {
            daemons,
            hello,
            agent,
            session: Session::default(),
            outbox: Outbox::new(),
            again: Vec::new(),
            answers: Lines::new(ANSWER_BYTES),
            silent_ends: 0,
            look_every: LOOK_EVERY,
        }
    }

    async fn carry(mut self, socket: UnixStream, linger: Duration) -> io::Result<()> {
        let result = self.carry_on(socket, linger).await;
        let Agent { output, written, .. } = self.agent;
        drop(output);
        let _ = timeout(linger, written).await;
        result
    }

    async fn carry_on(&mut self, first: UnixStream, linger: Duration) -> io::Result<()> {
        let mut socket = first;
        loop {
            let began = Instant::now();
            let (mut from, mut to) = socket.into_split();
            match self.serve(&mut from, &mut to).await? {
                End::Agent => {
                    // Whether the answers get out or not, nobody waits for more.
                    let _ = timeout(linger, self.let_answers_out(&mut from, &mut to)).await;
                    return Ok(());
                }
                End::Daemon if self.outbox.is_torn() => return Err(gone()),
                End::Daemon if began.elapsed() >= SOON => self.silent_ends = 0,
                End::Daemon => self.silent_ends += 1,
            }
            if self.silent_ends >= SILENT_ENDS {
                return Err(gone());
            }
            if !self.settle().await {
                return Ok(());
            }
            let Some(next) = self.reconnect().await? else { return Ok(()) };
            self.outbox.put_first(std::mem::take(&mut self.again));
            socket = next;
        }
    }

    /// Sorts out what the daemon that is gone leaves behind: what is said again, and what the agent is told. Returns
    /// whether the agent still listens.
    async fn settle(&mut self) -> bool {
        let lost = self.session.lost(Instant::now());
        self.again = lost.again;
        let given_up = self.outbox.begin_anew().and_then(|frame| session::untold(&frame.line));
        self.tell(lost.errors.into_iter().chain(given_up)).await
    }

    /// Answers the calls that were to be made again, because there is no daemon. Returns whether the agent still
    /// listens.
    async fn give_up_again(&mut self) -> bool {
        let errors: Vec<_> = self.again.drain(..).filter_map(|frame| session::unread(&frame.line)).collect();
        self.tell(errors).await
    }

    async fn tell(&mut self, answers: impl IntoIterator<Item = Vec<u8>>) -> bool {
        for answer in answers {
            if self.agent.output.send(answer).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Returns a connection to the next daemon: to one that comes up by itself, or one that is started because the
    /// agent wants something. `None` when the agent leaves first.
    async fn reconnect(&mut self) -> io::Result<Option<UnixStream>> {
        let has_died = self.daemons.last_has_died();
        for look in 0_u32.. {
            if (self.silent_ends == 0 || look > 0)
                && let Some(socket) = self.daemons.find().await
            {
                return Ok(Some(socket));
            }
            let is_asked = !self.outbox.is_empty();
            if is_asked || (has_died && !self.again.is_empty()) {
                match self.start().await {
                    Some(Ok(socket)) => return Ok(Some(socket)),
                    Some(Err(why)) if is_asked => {
                        return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
                    }
                    // Only calls wanted it that can as well be made later.
                    Some(Err(_)) => {
                        if !self.give_up_again().await {
                            return Ok(None);
                        }
                    }
                    None => return Ok(None),
                }
            }
            if look >= LOOKS && !self.give_up_again().await {
                return Ok(None);
            }
            let pause = self.look_every * (1 + self.silent_ends);
            tokio::select! {
                said = self.agent.input.recv() => match said {
                    Some(said) => self.outbox.take(&said, Instant::now()),
                    None => return Ok(None),
                },
                () = self.agent.output.closed() => return Ok(None),
                () = sleep(pause), if look < LOOKS => {}
            }
        }
        Ok(None)
    }

    /// Starts a daemon, when none is there by now. `None` when the agent leaves first.
    async fn start(&mut self) -> Option<Result<UnixStream, String>> {
        tokio::select! {
            started = self.daemons.find_or_start() => Some(started),
            () = agent_leaves(&mut self.agent, &mut self.outbox) => None,
        }
    }

    /// Carries lines until one side ends.
    async fn serve(&mut self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> io::Result<End> {
        self.answers = Lines::new(ANSWER_BYTES);
        if to.write_all(self.hello.as_bytes()).await.is_err() {
            return Ok(End::Daemon);
        }
        if let Some(end) = self.introduce(from, to).await? {
            return Ok(end);
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            tokio::select! {
                said = self.agent.input.recv(), if self.outbox.has_room() => match said {
                    None => return Ok(End::Agent),
                    Some(said) => self.outbox.take(&said, Instant::now()),
                },
                // Never in the way of what it says: a daemon that is not listened to does not listen either.
                written = to.write(self.outbox.next()), if !self.outbox.is_empty() => match written {
                    Ok(count @ 1..) => self.written(count),
                    Ok(0) | Err(_) => {
                        // What it says of that is read first.
                        self.hear_out(from).await?;
                        return Ok(End::Daemon);
                    }
                },
                read = from.read(&mut chunk) => match read {
                    Ok(0) | Err(_) => return Ok(End::Daemon),
                    Ok(read) => if !self.hear(&chunk[..read]).await? {
                        return Ok(End::Agent);
                    },
                },
                () = self.agent.output.closed() => return Ok(End::Agent),
            }
        }
    }

    /// Says to a fresh daemon what the agent has said of itself to an earlier one.
    async fn introduce(
        &mut self,
        from: &mut OwnedReadHalf,
        to: &mut OwnedWriteHalf,
    ) -> io::Result<Option<End>> {
        let Some(initialize) = self.session.introduction() else { return Ok(None) };
        if to.write_all(&initialize).await.is_err() {
            return Ok(Some(End::Daemon));
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        while self.session.awaits_introduction() {
            let read = tokio::select! {
                read = timeout(INITIALIZE_WAIT, from.read(&mut chunk)) => read,
                () = agent_leaves(&mut self.agent, &mut self.outbox) => return Ok(Some(End::Agent)),
            };
            let Ok(Ok(read @ 1..)) = read else { return Ok(Some(End::Daemon)) };
            if !self.hear(&chunk[..read]).await? {
                return Ok(Some(End::Agent));
            }
        }
        let initialized = self.session.confirmation().unwrap_or_default();
        Ok(to.write_all(&initialized).await.is_err().then_some(End::Daemon))
    }

    /// Takes it that the daemon has got so many more bytes.
    fn written(&mut self, count: usize) {
        if let Some(frame) = self.outbox.written(count) {
            self.session.said(frame);
        }
    }

    /// Passes on what the daemon says; returns whether the agent still listens.
    async fn hear(&mut self, chunk: &[u8]) -> io::Result<bool> {
        let mut bytes = Vec::new();
        for piece in self.answers.push(chunk) {
            match self.session.heard(piece.bytes()) {
                Heard::Pass => bytes.extend_from_slice(piece.bytes()),
                Heard::Swallow => {}
                Heard::Refused(why) => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why)),
            }
            self.silent_ends = 0;
        }
        Ok(bytes.is_empty() || self.agent.output.send(bytes).await.is_ok())
    }

    /// Passes on the last words of a daemon that takes no more.
    async fn hear_out(&mut self, from: &mut OwnedReadHalf) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(Ok(read @ 1..)) = timeout(LINGER, from.read(&mut chunk)).await {
            if !self.hear(&chunk[..read]).await? {
                break;
            }
        }
        Ok(())
    }

    /// Says what is still to be said, closes our end and passes on the answers under way.
    async fn let_answers_out(&mut self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> io::Result<()> {
        self.outbox.finish();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut is_closed = false;
        loop {
            if self.outbox.is_empty() && !std::mem::replace(&mut is_closed, true) {
                to.shutdown().await?;
            }
            tokio::select! {
                written = to.write(self.outbox.next()), if !is_closed => self.written(written?),
                read = from.read(&mut chunk) => {
                    let read = read?;
                    if read == 0 || !self.hear(&chunk[..read]).await? {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Returns once the agent has closed its end or reads no more; keeps what it says meanwhile, within bounds.
async fn agent_leaves(agent: &mut Agent, outbox: &mut Outbox) {
    loop {
        tokio::select! {
            said = agent.input.recv(), if outbox.has_room() => match said {
                Some(said) => outbox.take(&said, Instant::now()),
                None => return,
            },
            () = agent.output.closed() => return,
        }
    }
}

fn gone() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "the ostler daemon closed the connection; your processes are not affected: reconnect this MCP server to go on",
    )
}

#[cfg(test)]
mod tests;
