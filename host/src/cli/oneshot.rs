//! Owns `ostler run`: one process in the foreground, from its start to its exit code.
//!
//! Tasks make events, one at a time from each, and [`Oneshot::handle`] alone decides; each has a connection of its
//! own, because the requests of one connection are answered in order. A daemon that dies is started anew, which adopts
//! the run; what was being fed to it at that moment may be lost.

use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::context::Context;
use super::exit::{CliError, Code, Outcome};
use super::follow::Follower;
use crate::api::{
    FeedRequest, LogsReply, LogsRequest, RunEndReply, RunEndRequest, RunRequest, SignalRequest, StopReply,
    Target,
};
use crate::bounds;
use crate::model::{Exit, Line, RunId, Stream};

/// Events that may wait; the follower waits with them while the reader of the output is slow.
const EVENTS: usize = 8;
/// Bytes of standard input passed on at once.
const PIECE_BYTES: usize = 128 << 10;
/// Daemons lost in a row before a task gives up.
const LOST_IN_A_ROW: usize = 3;
/// What a command ends with that Ctrl-C ended before it could do anything: 128 and SIGINT.
const INTERRUPTED: Code = Code::Child(130);
/// Number added to a signal's to make an exit code, as shells do it.
const BY_SIGNAL: i32 = 128;

/// What happens to a run.
enum Event {
    Lines(LogsReply),
    /// The log cannot be followed any more.
    LogEnded(CliError),
    Ended(Result<RunEndReply, CliError>),
    Interrupted,
    Stopped(Result<StopReply, CliError>),
    InputFailed(CliError),
}

/// Runs `name` once and returns its exit code.
pub async fn run(context: &Context, name: String, arguments: Vec<String>) -> Outcome {
    // From here on Ctrl-C is ours: a run that has begun is not left behind.
    let (events, mut inbox) = mpsc::channel(EVENTS);
    watch_signals(&events)?;
    let mut client = context.client().await?;
    let request = RunRequest { name: name.clone(), arguments };
    let (reply, is_interrupted) = {
        let starting = client.run_once(request);
        tokio::pin!(starting);
        let mut is_interrupted = false;
        loop {
            tokio::select! {
                reply = &mut starting => break (reply?, is_interrupted),
                // It waits for its dependencies, perhaps for long. What it starts after all is stopped below.
                event = inbox.recv() => match event {
                    Some(Event::Interrupted) if is_interrupted => return Ok(INTERRUPTED),
                    Some(Event::Interrupted) => {
                        is_interrupted = true;
                        context.note("stopping as soon as it has started; Ctrl-C again leaves at once");
                    }
                    _ => {}
                },
            }
        }
    };
    let mut oneshot = Oneshot {
        context: context.clone(),
        name,
        run: reply.run,
        cursor: reply.cursor,
        interrupts: 0,
        is_mute: false,
        follow: None,
        events,
    };
    oneshot.spawn_follow().await?;
    oneshot.spawn_await_end();
    oneshot.spawn_feed();
    if is_interrupted {
        oneshot.interrupt();
    }
    while let Some(event) = inbox.recv().await {
        if let Some(code) = oneshot.handle(event).await? {
            return Ok(code);
        }
    }
    Ok(Code::Failed)
}

struct Oneshot {
    context: Context,
    name: String,
    run: RunId,
    /// After the last line that was shown.
    cursor: String,
    interrupts: usize,
    /// Nobody reads the output any more.
    is_mute: bool,
    follow: Option<JoinHandle<()>>,
    events: mpsc::Sender<Event>,
}

impl Oneshot {
    /// Deals with an event; returns the exit code when it was the last one.
    async fn handle(&mut self, event: Event) -> Result<Option<Code>, CliError> {
        match event {
            Event::Lines(reply) => self.show(&reply)?,
            Event::LogEnded(error) | Event::InputFailed(error) => drop(self.context.tell(&error)),
            Event::Interrupted => self.interrupt(),
            Event::Stopped(reply) => drop(reply?),
            Event::Ended(reply) => {
                let reply = reply?;
                self.show_last_lines().await?;
                return Ok(Some(self.end(&reply)));
            }
        }
        Ok(None)
    }

    /// Shows lines, each on the stream it was printed on. When nobody reads them any more the run is stopped, as a
    /// program is that writes to a closed pipe.
    fn show(&mut self, reply: &LogsReply) -> Result<(), CliError> {
        self.cursor.clone_from(&reply.cursor);
        if reply.missing > 0 {
            self.context.note(&format!("{} lines were deleted before they could be shown", reply.missing));
        }
        for line in reply.lines.iter().filter(|_| !self.is_mute) {
            if let Err(error) = self.print(line) {
                if error.kind() != io::ErrorKind::BrokenPipe {
                    return Err(error.into());
                }
                self.is_mute = true;
                self.interrupt();
                break;
            }
        }
        if !self.is_mute {
            // A full pipe is told of at the next line.
            let _ = io::stdout().lock().flush();
        }
        Ok(())
    }

    fn print(&self, line: &Line) -> io::Result<()> {
        let end: &[u8] = if line.partial { b"" } else { b"\n" };
        let text = line.text.as_bytes();
        match line.stream {
            Stream::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(text)?;
                out.write_all(end)
            }
            Stream::Stderr => {
                let mut out = io::stderr().lock();
                out.write_all(text)?;
                out.write_all(end)
            }
            Stream::Ostler => {
                self.context.note(&line.text);
                Ok(())
            }
        }
    }

    fn end(&self, reply: &RunEndReply) -> Code {
        match reply.exit {
            Some(Exit { code: Some(code), .. }) => Code::Child(u8::try_from(code).unwrap_or(u8::MAX)),
            Some(Exit { signal: Some(signal), .. }) => {
                Code::Child(u8::try_from(BY_SIGNAL + signal).unwrap_or(u8::MAX))
            }
            _ => self.context.tell(&CliError::failed(format!("{}: {}", self.name, reply.how))),
        }
    }

    /// Stops the run at the first Ctrl-C, and kills it at the second.
    fn interrupt(&mut self) {
        self.interrupts += 1;
        let (context, name, events) = (self.context.clone(), self.name.clone(), self.events.clone());
        match self.interrupts {
            1 => drop(tokio::spawn(async move {
                let stopped = async { Ok(context.client().await?.stop(name).await?) };
                let _ = events.send(Event::Stopped(stopped.await)).await;
            })),
            2 => drop(tokio::spawn(async move {
                let request = SignalRequest { name, signal: "SIGKILL".to_owned(), to: Some(Target::Tree) };
                if let Ok(mut client) = context.client().await {
                    // It may have gone by itself just now.
                    let _ = client.signal(request).await;
                }
            })),
            _ => {}
        }
    }

    /// Shows what was printed between the last line shown and the end.
    async fn show_last_lines(&mut self) -> Result<(), CliError> {
        if let Some(follow) = self.follow.take() {
            follow.abort();
        }
        let mut rest = self.follower().await?;
        while let Some(reply) = rest.poll(Duration::ZERO).await? {
            if reply.lines.is_empty() {
                break;
            }
            self.show(&reply)?;
        }
        Ok(())
    }

    async fn follower(&self) -> Result<Follower, CliError> {
        let client = self.context.client().await?;
        let (names, run) = (vec![self.name.clone()], Some(self.run));
        let request = LogsRequest { names, run, ..LogsRequest::default() };
        Ok(Follower::new(self.context.clone(), client, request, self.cursor.clone()))
    }

    async fn spawn_follow(&mut self) -> Result<(), CliError> {
        let mut follower = self.follower().await?;
        let events = self.events.clone();
        self.follow = Some(tokio::spawn(async move {
            loop {
                let event = match follower.next().await {
                    Ok(Some(reply)) => Event::Lines(reply),
                    // The end of the run comes by itself, and with it the rest of the log.
                    Ok(None) => return,
                    Err(error) => Event::LogEnded(error),
                };
                let is_last = matches!(event, Event::LogEnded(_));
                if events.send(event).await.is_err() || is_last {
                    return;
                }
            }
        }));
        Ok(())
    }

    fn spawn_await_end(&self) {
        let request = RunEndRequest {
            name: self.name.clone(),
            run: self.run,
            timeout_ms: u64::try_from(bounds::MCP_WAIT.as_millis()).unwrap_or(u64::MAX),
        };
        let (context, events) = (self.context.clone(), self.events.clone());
        tokio::spawn(async move {
            let ended = await_end(&context, request).await;
            let _ = events.send(Event::Ended(ended)).await;
        });
    }

    /// Passes standard input on, unless somebody types it.
    fn spawn_feed(&self) {
        if io::stdin().is_terminal() {
            return;
        }
        let request = FeedRequest {
            name: self.name.clone(),
            run: self.run,
            bytes: Vec::new(),
            eof: false,
            timeout_ms: u64::try_from(bounds::MCP_WAIT.as_millis()).unwrap_or(u64::MAX),
        };
        let (context, events) = (self.context.clone(), self.events.clone());
        let (pieces, inbox) = mpsc::channel(1);
        // A thread of its own, because a read that waits keeps nobody from ending then.
        std::thread::spawn(move || read_input(&pieces));
        tokio::spawn(async move {
            if let Err(error) = feed(&context, request, inbox).await {
                let _ = events.send(Event::InputFailed(error)).await;
            }
        });
    }
}

/// Reads standard input to its end, or until nobody wants it.
fn read_input(pieces: &mpsc::Sender<io::Result<Vec<u8>>>) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = match io::stdin().lock().read(&mut piece) {
            Ok(0) => return,
            Ok(length) => Ok(piece[..length].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = read.is_err();
        if pieces.blocking_send(read).is_err() || is_last {
            return;
        }
    }
}

async fn feed(
    context: &Context,
    request: FeedRequest,
    mut pieces: mpsc::Receiver<io::Result<Vec<u8>>>,
) -> Result<(), CliError> {
    let mut client = context.client().await?;
    loop {
        let (mut bytes, eof) = match pieces.recv().await {
            Some(Ok(bytes)) => (bytes, false),
            Some(Err(error)) => {
                return Err(CliError::failed(format!("standard input cannot be read: {error}")));
            }
            None => (Vec::new(), true),
        };
        loop {
            let offer = FeedRequest { bytes: bytes.clone(), eof, ..request.clone() };
            let reply = match client.feed(offer).await {
                Ok(reply) => reply,
                // How much of the piece was taken is not known any more; to repeat some is worse than to say so.
                Err(error) if error.is_lost() => {
                    return Err(CliError::failed("the daemon was lost, and part of standard input with it"));
                }
                Err(error) => return Err(error.into()),
            };
            if reply.closed {
                return Ok(());
            }
            bytes.drain(..reply.taken.min(bytes.len()));
            if bytes.is_empty() {
                break;
            }
        }
        if eof {
            return Ok(());
        }
    }
}

async fn await_end(context: &Context, request: RunEndRequest) -> Result<RunEndReply, CliError> {
    let mut client = context.client().await?;
    let mut lost = 0;
    loop {
        match client.run_end(request.clone()).await {
            Ok(reply) if reply.ended => return Ok(reply),
            Ok(_) => lost = 0,
            Err(error) if error.is_lost() && lost < LOST_IN_A_ROW => {
                lost += 1;
                client = context.client().await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes an event of each Ctrl-C, and of the terminal's end.
fn watch_signals(events: &mpsc::Sender<Event>) -> Result<(), CliError> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals =
            signal(kind).map_err(|error| CliError::failed(format!("signals cannot be watched: {error}")))?;
        let events = events.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() && events.send(Event::Interrupted).await.is_ok() {}
        });
    }
    Ok(())
}
