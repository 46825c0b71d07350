//! `ostler mcp`: carries lines between an agent's pipes and the daemon's socket, and outlives the daemon.
//!
//! ```text
//!            daemon gone: calls in hand are answered with an error
//!  connected ───────────────────────────────────────────────────▶ alone
//!      ▲                                                            │ a daemon is there again, or the agent
//!      └── hello, the agent's `initialize` and `initialized` ◀──────┘ asks for something: then one is started
//! ```
//!
//! An agent cannot reconnect its stdio servers, so this does it: what the agent said of itself in `initialize` is said
//! again to the next daemon, whose answer the agent has had already and does not see. Agents of the stateless era say
//! it with each request, and nothing has to be repeated. A daemon that was taken down on purpose is not started
//! before the agent wants something.
//!
//! Writes nothing of its own to standard output but those errors. Standard input and output are read and written by
//! plain threads: a read from standard input cannot be taken back, and a runtime that did it would not end before the
//! next byte came. Ends when the agent closes standard input; answers under way still get out for a moment.

use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::session::{Heard, Lines, Piece, Session};
use super::toolset::Toolsets;
use crate::bounds;

/// How long answers may take to get out once the agent has closed its end. Python's client kills its server after two
/// seconds (`mcp` 1.x, `PROCESS_TERMINATION_TIMEOUT`), so this is less.
const LINGER: Duration = Duration::from_millis(1500);
/// Bytes carried at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that may wait for a slow side; the other one waits with them.
const CHUNKS: usize = 4;
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

/// The agent's pipes, each with a thread.
struct Agent {
    /// What it says; ends when it closes its end.
    input: mpsc::Receiver<Vec<u8>>,
    /// What it is told; closed when nobody reads it any more.
    output: mpsc::Sender<Vec<u8>>,
    /// Closes once all of it is written.
    written: oneshot::Receiver<()>,
}

impl Agent {
    fn new(
        mut input: impl Read + Send + 'static,
        mut output: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let (said, heard) = mpsc::channel(CHUNKS);
        spawn("mcp-up", move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                match input.read(&mut chunk) {
                    Ok(0) => return,
                    Ok(read) if said.blocking_send(chunk[..read].to_vec()).is_err() => return,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        })?;
        let (tell, mut told) = mpsc::channel::<Vec<u8>>(CHUNKS);
        let (done, written) = oneshot::channel();
        spawn("mcp-down", move || {
            let _done: oneshot::Sender<()> = done;
            while let Some(bytes) = told.blocking_recv() {
                if output.write_all(&bytes).and_then(|()| output.flush()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { input: heard, output: tell, written })
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
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
    /// What the agent has said of a line that it has not finished.
    questions: Lines,
    /// The same of the present daemon.
    answers: Lines,
    /// What the agent said while no daemon was there.
    unsent: Vec<u8>,
    silent_ends: u32,
}

impl<D: Daemons> Pump<D> {
    fn new(daemons: D, hello: String, agent: Agent) -> Self {
        Self {
            daemons,
            hello,
            agent,
            session: Session::default(),
            questions: Lines::new(bounds::REQUEST_BYTES),
            answers: Lines::new(ANSWER_BYTES),
            unsent: Vec::new(),
            silent_ends: 0,
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
                End::Daemon if self.questions.is_torn() => return Err(gone()),
                End::Daemon if began.elapsed() >= SOON => self.silent_ends = 0,
                End::Daemon => self.silent_ends += 1,
            }
            if self.silent_ends >= SILENT_ENDS {
                return Err(gone());
            }
            for error in self.session.lost() {
                if self.agent.output.send(error).await.is_err() {
                    return Ok(());
                }
            }
            let Some(next) = self.reconnect().await? else { return Ok(()) };
            socket = next;
        }
    }

    /// Returns a connection to the next daemon: to one that comes up by itself, or one that is started once the
    /// agent says something. `None` when the agent leaves first.
    async fn reconnect(&mut self) -> io::Result<Option<UnixStream>> {
        let Self { daemons, agent, unsent, silent_ends, .. } = self;
        for look in 0_u32.. {
            if (*silent_ends == 0 || look > 0)
                && let Some(socket) = daemons.find().await
            {
                return Ok(Some(socket));
            }
            if !unsent.is_empty() {
                break;
            }
            tokio::select! {
                said = agent.input.recv() => match said {
                    Some(said) => unsent.extend(said),
                    None => return Ok(None),
                },
                () = agent.output.closed() => return Ok(None),
                () = sleep(LOOK_EVERY * (1 + *silent_ends)), if look < LOOKS => {}
            }
        }
        tokio::select! {
            started = daemons.find_or_start() => {
                let aborted = |why| io::Error::new(io::ErrorKind::ConnectionAborted, why);
                started.map(Some).map_err(aborted)
            }
            () = agent_leaves(agent, unsent) => Ok(None),
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
        let unsent = std::mem::take(&mut self.unsent);
        if self.send(&unsent, to).await.is_err() {
            return Ok(End::Daemon);
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            tokio::select! {
                said = self.agent.input.recv() => match said {
                    None => return Ok(End::Agent),
                    Some(said) => if self.send(&said, to).await.is_err() {
                        // What it says of that is read first.
                        self.hear_out(from).await?;
                        return Ok(End::Daemon);
                    },
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
                () = agent_leaves(&mut self.agent, &mut self.unsent) => return Ok(Some(End::Agent)),
            };
            let Ok(Ok(read @ 1..)) = read else { return Ok(Some(End::Daemon)) };
            if !self.hear(&chunk[..read]).await? {
                return Ok(Some(End::Agent));
            }
        }
        let initialized = self.session.confirmation().unwrap_or_default();
        Ok(to.write_all(&initialized).await.is_err().then_some(End::Daemon))
    }

    /// Passes on what the agent says, whole lines at a time.
    async fn send(&mut self, chunk: &[u8], to: &mut OwnedWriteHalf) -> io::Result<()> {
        let mut bytes = Vec::new();
        for piece in self.questions.push(chunk) {
            if let Piece::Line(line) = &piece {
                self.session.said(line);
            }
            bytes.extend_from_slice(piece.bytes());
        }
        to.write_all(&bytes).await
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

    /// Closes our end and passes on the answers under way.
    async fn let_answers_out(&mut self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> io::Result<()> {
        to.write_all(&self.questions.rest()).await?;
        to.shutdown().await?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = from.read(&mut chunk).await?;
            if read == 0 || !self.hear(&chunk[..read]).await? {
                return Ok(());
            }
        }
    }
}

/// Returns once the agent has closed its end or reads no more; keeps what it says meanwhile, within bounds.
async fn agent_leaves(agent: &mut Agent, unsent: &mut Vec<u8>) {
    loop {
        tokio::select! {
            said = agent.input.recv(), if unsent.len() <= bounds::REQUEST_BYTES => match said {
                Some(said) => unsent.extend(said),
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
mod tests {
    use std::io::{BufRead, BufReader, PipeReader, PipeWriter, pipe};
    use std::os::unix::net::UnixStream as StdStream;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tokio::sync::watch;
    use tokio::task::JoinHandle;

    use super::*;

    /// Daemons that come up one after the other, each when it is asked for.
    #[derive(Clone, Default)]
    struct Stable {
        /// Those that run without having been asked for.
        running: Arc<Mutex<Vec<UnixStream>>>,
        startable: Arc<Mutex<Vec<UnixStream>>>,
        /// How often it was looked for one that runs.
        looks: Arc<watch::Sender<u32>>,
    }

    impl Daemons for Stable {
        async fn find(&self) -> Option<UnixStream> {
            self.looks.send_modify(|looks| *looks += 1);
            self.running.lock().unwrap().pop()
        }

        async fn find_or_start(&self) -> Result<UnixStream, String> {
            self.startable.lock().unwrap().pop().ok_or_else(|| "ostler.toml:1:1: no".to_owned())
        }
    }

    struct Played {
        input: Option<PipeWriter>,
        output: BufReader<PipeReader>,
        pump: JoinHandle<io::Result<()>>,
        stable: Stable,
    }

    impl Played {
        fn say(&mut self, message: Value) {
            self.input.as_mut().unwrap().write_all(format!("{message}\n").as_bytes()).unwrap();
        }

        fn hears(&mut self) -> Value {
            serde_json::from_str(&line(&mut self.output)).unwrap()
        }

        /// Returns once the pump knows that its daemon is gone.
        async fn is_alone(&self) {
            self.stable.looks.subscribe().wait_for(|looks| *looks > 0).await.unwrap();
        }
    }

    /// The daemon's end of a connection.
    struct Daemon(BufReader<StdStream>);

    impl Daemon {
        fn say(&mut self, message: Value) {
            self.0.get_mut().write_all(format!("{message}\n").as_bytes()).unwrap();
        }

        fn hears(&mut self) -> String {
            line(&mut self.0).trim_end().to_owned()
        }
    }

    fn pair() -> (UnixStream, Daemon) {
        let (ours, theirs) = StdStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (UnixStream::from_std(ours).unwrap(), Daemon(BufReader::new(theirs)))
    }

    fn started(linger: Duration) -> (Played, Daemon) {
        let (ours, daemon) = pair();
        let (stdin, input) = pipe().unwrap();
        let (output, stdout) = pipe().unwrap();
        let stable = Stable::default();
        let agent = Agent::new(stdin, stdout).unwrap();
        let pump = Pump::new(stable.clone(), "hello\n".to_owned(), agent);
        let pump = tokio::spawn(async move { pump.carry(ours, linger).await });
        (Played { input: Some(input), output: BufReader::new(output), pump, stable }, daemon)
    }

    fn line(reader: &mut impl BufRead) -> String {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line
    }

    fn call(id: u64) -> Value {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call"})
    }

    fn answer(id: u64) -> Value {
        json!({"jsonrpc": "2.0", "id": id, "result": {}})
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn lines_go_both_ways_after_the_hello() {
        let (mut agent, mut daemon) = started(LINGER);
        agent.say(call(1));
        assert_eq!((daemon.hears(), daemon.hears()), ("hello".to_owned(), call(1).to_string()));
        daemon.say(answer(1));
        assert_eq!(agent.hears(), answer(1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn answers_under_way_get_out_after_the_agent_closed_its_end() {
        let (mut agent, mut daemon) = started(Duration::from_secs(60));
        agent.input = None;
        assert_eq!((daemon.hears().as_str(), daemon.hears().as_str()), ("hello", ""));
        daemon.say(answer(1));
        drop(daemon);
        assert_eq!(agent.hears(), answer(1));
        agent.pump.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_daemon_that_keeps_the_connection_open_does_not_keep_the_pump() {
        let (mut agent, daemon) = started(Duration::from_millis(10));
        agent.input = None;
        agent.pump.await.unwrap().unwrap();
        drop(daemon);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_next_daemon_is_introduced_and_lost_calls_are_told() {
        let (mut agent, mut daemon) = started(LINGER);
        let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"x": 1}});
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        agent.say(initialize.clone());
        assert_eq!((daemon.hears().as_str(), daemon.hears()), ("hello", initialize.to_string()));
        daemon.say(answer(0));
        assert_eq!(agent.hears(), answer(0));
        agent.say(initialized.clone());
        agent.say(call(1));
        assert_eq!((daemon.hears(), daemon.hears()), (initialized.to_string(), call(1).to_string()));

        let (ours, mut next) = pair();
        agent.stable.running.lock().unwrap().push(ours);
        // Half an answer is none.
        daemon.0.get_mut().write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,").unwrap();
        drop(daemon);
        let lost = agent.hears();
        assert_eq!((&lost["id"], &lost["error"]["code"]), (&json!(1), &json!(-32000)), "{lost}");
        assert_eq!((next.hears().as_str(), next.hears()), ("hello", initialize.to_string()));
        next.say(answer(0));
        assert_eq!(next.hears(), initialized.to_string());
        agent.say(call(2));
        assert_eq!(next.hears(), call(2).to_string());
        next.say(answer(2));
        assert_eq!(agent.hears(), answer(2), "the second answer to `initialize` was not swallowed");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_daemon_is_started_only_once_the_agent_asks_for_something() {
        let (mut agent, mut daemon) = started(LINGER);
        let (ours, mut next) = pair();
        agent.stable.startable.lock().unwrap().push(ours);
        assert_eq!(daemon.hears(), "hello");
        drop(daemon);
        agent.is_alone().await;
        assert_eq!(agent.stable.startable.lock().unwrap().len(), 1);
        agent.say(call(1));
        assert_eq!((next.hears().as_str(), next.hears()), ("hello", call(1).to_string()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_no_daemon_can_be_had_is_an_error_in_one_line() {
        let (mut agent, daemon) = started(LINGER);
        drop(daemon);
        agent.is_alone().await;
        agent.say(call(1));
        let error = agent.pump.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(!error.to_string().contains('\n'));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn daemons_that_say_nothing_are_given_up() {
        let (agent, daemon) = started(LINGER);
        for _ in 0..SILENT_ENDS {
            agent.stable.running.lock().unwrap().push(pair().0);
        }
        drop(daemon);
        let error = agent.pump.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_agent_that_leaves_while_it_is_alone_ends_the_pump() {
        let (mut agent, daemon) = started(LINGER);
        drop(daemon);
        agent.input = None;
        agent.pump.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_refusal_is_told_to_people_and_not_to_the_agent() {
        let (mut agent, mut daemon) = started(LINGER);
        daemon.say(json!({"ok": false, "version": "0", "pid": 1, "message": "256 clients are connected"}));
        let error = agent.pump.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "256 clients are connected");
        assert_eq!(line(&mut agent.output), "");
    }

    #[tokio::test]
    async fn an_unknown_toolset_sends_nothing() {
        let (ours, mut daemon) = UnixStream::pair().unwrap();
        let error = pump(ours, Stable::default(), "cor").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let mut sent = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut daemon, &mut sent).await.unwrap();
        assert!(sent.is_empty());
    }

    #[test]
    fn the_hello_is_one_line_of_json() {
        let hello = hello(&Toolsets::default());
        let value: Value = serde_json::from_str(hello.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!((&value["hello"], &value["toolsets"]), (&"mcp".into(), &json!(["core"])));
        assert_eq!(value["version"], env!("CARGO_PKG_VERSION"));
    }
}
