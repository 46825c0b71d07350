//! `ostler mcp`: carries bytes between an agent's pipes and the daemon's socket.
//!
//! Understands nothing of what it carries, and writes nothing of its own to standard output. The two directions are
//! plain threads: a read from standard input cannot be taken back, and a runtime that did it would not end before
//! the next byte came.
//!
//! Ends when the agent closes standard input: the socket is half-closed, answers under way still get out for a moment.
//! Ends with an error when the daemon is gone; agents start their servers anew, and that starts the daemon.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as StdStream;
use std::thread;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::toolset::Toolsets;

/// How long answers may take to get out once the agent has closed its end. Python's client kills its server after two
/// seconds (`mcp` 1.x, `PROCESS_TERMINATION_TIMEOUT`), so this is less.
const LINGER: Duration = Duration::from_millis(1500);

/// Bytes carried at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Carries bytes between standard input and output and the daemon's `socket`, after telling it which `toolsets`
/// (comma-separated, empty for the default) the agent wants. Returns when the agent has closed its end.
///
/// # Errors
/// `InvalidInput` when a toolset does not exist, before anything is sent; `ConnectionAborted` when the daemon went
/// away first. The message is for people, in one line.
pub async fn pump(socket: UnixStream, toolsets: &str) -> io::Result<()> {
    let toolsets =
        Toolsets::parse(toolsets).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let socket = socket.into_std()?;
    socket.set_nonblocking(false)?;
    carry(socket, &hello(&toolsets), io::stdin(), io::stdout(), LINGER).await
}

/// The line that tells the daemon what the rest of the connection will be.
fn hello(toolsets: &Toolsets) -> String {
    let toolsets: Vec<&str> = toolsets.names().collect();
    let hello = serde_json::json!({
        "hello": "mcp", "version": env!("CARGO_PKG_VERSION"), "toolsets": toolsets,
    });
    format!("{hello}\n")
}

/// Why a direction ended.
#[derive(Debug)]
enum End {
    /// What was read from came to its end.
    Source,
    /// What was written to does not take any more.
    Sink,
}

async fn carry(
    socket: StdStream,
    hello: &str,
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    linger: Duration,
) -> io::Result<()> {
    let gone = |_| daemon_is_gone();
    (&socket).write_all(hello.as_bytes()).map_err(gone)?;
    let (to_daemon, from_daemon, to_close) = (socket.try_clone()?, socket.try_clone()?, socket);
    let mut up = spawn("mcp-up", move |ended| {
        let end = copy(input, &to_daemon);
        // Told before the daemon can hear of it and close its end in turn.
        let _ = ended.send(end);
        let _ = to_daemon.shutdown(Shutdown::Write);
    })?;
    let mut down = spawn("mcp-down", move |ended| {
        let _ = ended.send(copy(&from_daemon, output));
    })?;
    let result = tokio::select! {
        biased;
        up_end = &mut up => match up_end {
            Ok(End::Source) => {
                // Whether the answers got out or not, nobody waits for more.
                let _ = tokio::time::timeout(linger, &mut down).await;
                Ok(())
            }
            Ok(End::Sink) | Err(_) => Err(daemon_is_gone()),
        },
        down_end = &mut down => match down_end {
            Ok(End::Sink) => Ok(()),
            Ok(End::Source) | Err(_) => Err(daemon_is_gone()),
        },
    };
    let _ = to_close.shutdown(Shutdown::Both);
    result
}

fn spawn(
    name: &str,
    work: impl FnOnce(oneshot::Sender<End>) + Send + 'static,
) -> io::Result<oneshot::Receiver<End>> {
    let (ended, end) = oneshot::channel();
    thread::Builder::new().name(name.to_owned()).spawn(move || work(ended))?;
    Ok(end)
}

/// Copies until one side ends, each piece as soon as it is there. An error of a side is its end.
fn copy(mut source: impl Read, mut sink: impl Write) -> End {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match source.read(&mut chunk) {
            Ok(0) => return End::Source,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return End::Source,
        };
        if sink.write_all(&chunk[..read]).and_then(|()| sink.flush()).is_err() {
            return End::Sink;
        }
    }
}

fn daemon_is_gone() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "the ostler daemon closed the connection; your processes are not affected: reconnect this MCP server to go on",
    )
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, PipeReader, PipeWriter, pipe};

    use tokio::task::JoinHandle;

    use super::*;

    struct Agent {
        input: PipeWriter,
        output: BufReader<PipeReader>,
        pump: JoinHandle<io::Result<()>>,
    }

    fn started(linger: Duration) -> (Agent, StdStream) {
        let (ours, daemon) = StdStream::pair().unwrap();
        let (stdin, input) = pipe().unwrap();
        let (output, stdout) = pipe().unwrap();
        let pump = tokio::spawn(async move { carry(ours, "hello\n", stdin, stdout, linger).await });
        (Agent { input, output: BufReader::new(output), pump }, daemon)
    }

    fn line(reader: &mut impl BufRead) -> String {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn bytes_go_both_ways_after_the_hello() {
        let (mut agent, daemon) = started(LINGER);
        agent.input.write_all(b"{\"id\":1}\n").unwrap();
        let mut read = BufReader::new(&daemon);
        assert_eq!((line(&mut read), line(&mut read)), ("hello\n".to_owned(), "{\"id\":1}\n".to_owned()));
        (&daemon).write_all(b"{\"ok\":1}\n").unwrap();
        assert_eq!(line(&mut agent.output), "{\"ok\":1}\n");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn answers_under_way_get_out_after_the_agent_closed_its_end() {
        let (mut agent, daemon) = started(Duration::from_secs(60));
        drop(agent.input);
        let mut all = String::new();
        (&daemon).read_to_string(&mut all).unwrap();
        assert_eq!(all, "hello\n");
        (&daemon).write_all(b"late\n").unwrap();
        drop(daemon);
        assert_eq!(line(&mut agent.output), "late\n");
        agent.pump.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_daemon_that_keeps_the_connection_open_does_not_keep_the_pump() {
        let (agent, daemon) = started(Duration::from_millis(10));
        drop(agent.input);
        agent.pump.await.unwrap().unwrap();
        drop(daemon);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_dead_daemon_is_an_error_in_one_line() {
        let (agent, daemon) = started(LINGER);
        drop(daemon);
        let error = agent.pump.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(!error.to_string().contains('\n'));
        drop(agent.input);
    }

    #[tokio::test]
    async fn an_unknown_toolset_sends_nothing() {
        let (ours, mut daemon) = UnixStream::pair().unwrap();
        let error = pump(ours, "cor").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let mut sent = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut daemon, &mut sent).await.unwrap();
        assert!(sent.is_empty());
    }

    #[test]
    fn the_hello_is_one_line_of_json() {
        let hello = hello(&Toolsets::default());
        let value: serde_json::Value = serde_json::from_str(hello.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!((&value["hello"], &value["toolsets"]), (&"mcp".into(), &serde_json::json!(["core"])));
        assert_eq!(value["version"], env!("CARGO_PKG_VERSION"));
    }
}
