//! Owns `ostler up` in the foreground: everybody's log, interleaved, until Ctrl-C or until nothing runs any more.
//!
//! ```text
//!           up answered             all ended
//!  starting ───────────▶ watching ─────────────▶ over
//!      │ Ctrl-C              │ Ctrl-C
//!      └────────▶ stopping ◀─┘ ── down answered ─▶ over
//!                     └── Ctrl-C again ──────────▶ left
//! ```
//!
//! Tasks make events, one at a time from each, and [`Foreground::handle`] alone decides. Each task has a connection
//! of its own, because the requests of one connection are answered in order.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::client::{Client, ClientError};
use super::context::Context;
use super::ending;
use super::exit::{CliError, Code, Outcome};
use super::follow::Follower;
use super::printer::Printer;
use crate::api::{DownReply, ErrorKind, LogsReply, LogsRequest, ProcessView, Until, UpReply, WaitRequest};
use crate::bounds;
use crate::daemon::Paths;
use crate::model::ProcessName;
use crate::supervisor::State;

/// Events that may wait; the follower waits with them while the terminal is slow.
const EVENTS: usize = 8;
/// Pause between two looks at processes of which none lives though one is about to be started again.
const BACKOFF_LOOK: Duration = Duration::from_millis(200);
/// Pause between two looks at processes of which none lives, because none is due yet.
const SCHEDULE_LOOK: Duration = Duration::from_secs(2);
/// How long a command that leaves may take to find out what still runs.
const LEAVE_WAIT: Duration = Duration::from_secs(1);

/// What happens to a foreground.
enum Event {
    Lines(LogsReply),
    /// The log cannot be followed any more: the daemon has ended in order, or is lost.
    LogEnded(Result<(), CliError>),
    Up(Result<UpReply, ClientError>),
    /// Nothing runs, and nothing will without somebody's request: nothing has a schedule.
    AllEnded(Result<Vec<ProcessView>, CliError>),
    Interrupted,
    Down(Result<DownReply, ClientError>),
}

/// What it is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Watching,
    Stopping,
}

/// Starts `names`, or all, and stays until they have ended or the person has had enough.
pub async fn run(context: &Context, paths: &Paths, names: Vec<String>) -> Outcome {
    let mut client = context.client_of(paths).await?;
    let views = client.list().await?;
    let printer = Printer::text(context.palette, views.iter().map(|view| &view.name));
    // Whatever is printed from here on is shown; what was printed before is for `ostler logs`.
    let cursor = client.logs(LogsRequest { limit: Some(1), ..LogsRequest::default() }).await?.cursor;

    let (events, mut inbox) = mpsc::channel(EVENTS);
    watch_signals(&events)?;
    let mut foreground = Foreground {
        context: context.clone(),
        paths: paths.clone(),
        printer,
        cursor,
        started: Vec::new(),
        phase: Phase::Starting,
        code: Code::Done,
        follow: None,
        events,
    };
    foreground.spawn_follow().await?;
    foreground.spawn_up(client, names);
    while let Some(event) = inbox.recv().await {
        if let Some(code) = foreground.handle(event).await? {
            return Ok(code);
        }
    }
    Ok(foreground.code)
}

struct Foreground {
    context: Context,
    paths: Paths,
    printer: Printer,
    /// After the last line that was shown.
    cursor: String,
    /// What `up` has started: how these end is how it ends.
    started: Vec<ProcessName>,
    phase: Phase,
    code: Code,
    follow: Option<JoinHandle<()>>,
    events: mpsc::Sender<Event>,
}

impl Foreground {
    /// Deals with an event; returns the exit code when it was the last one.
    async fn handle(&mut self, event: Event) -> Result<Option<Code>, CliError> {
        match event {
            Event::Lines(reply) => self.show(&reply).await,
            Event::LogEnded(_) if self.phase == Phase::Stopping => Ok(None),
            Event::LogEnded(Ok(())) => {
                self.context.note("everything was taken down from elsewhere");
                Ok(Some(self.code))
            }
            Event::LogEnded(Err(error)) => Err(error),
            Event::Up(_) if self.phase == Phase::Stopping => Ok(None),
            Event::Up(reply) => {
                self.on_up(reply?);
                Ok(None)
            }
            Event::AllEnded(_) if self.phase == Phase::Stopping => Ok(None),
            Event::AllEnded(views) => self.on_all_ended(&views?).await.map(Some),
            Event::Interrupted if self.phase == Phase::Stopping => Ok(Some(self.leave().await)),
            Event::Interrupted => self.stop().await.map(|()| None),
            Event::Down(reply) => self.on_down(reply).await.map(Some),
        }
    }

    /// Shows lines. When nobody reads them any more, that is as good as Ctrl-C.
    async fn show(&mut self, reply: &LogsReply) -> Result<Option<Code>, CliError> {
        if reply.missing > 0 {
            self.context.note(&format!("{} lines were deleted before they could be shown", reply.missing));
        }
        match self.printer.print(&reply.lines) {
            Ok(()) => self.cursor.clone_from(&reply.cursor),
            Err(_) if self.phase == Phase::Stopping => self.cursor.clone_from(&reply.cursor),
            Err(_) => self.stop().await?,
        }
        Ok(None)
    }

    fn on_up(&mut self, reply: UpReply) {
        self.phase = Phase::Watching;
        self.started = reply.started.into_iter().map(|view| view.name).collect();
        if let Some(warning) = &reply.warning {
            self.context.note(warning);
        }
        for failure in &reply.failed {
            self.code = self.context.tell(&CliError::failed(format!("{}: {}", failure.name, failure.reason)));
        }
        if self.started.is_empty() && reply.failed.is_empty() {
            self.context.note("nothing to start: no process has `autostart`; `ostler up NAME` starts one");
        }
        let (context, paths, events) = (self.context.clone(), self.paths.clone(), self.events.clone());
        tokio::spawn(async move {
            let ended = all_ended(&context, &paths).await;
            let _ = events.send(Event::AllEnded(ended)).await;
        });
    }

    async fn on_all_ended(&mut self, views: &[ProcessView]) -> Outcome {
        match self.show_last_lines().await {
            // Somebody else takes everything down, and the daemon goes with it.
            Err(error) if error.code() == Code::Unreachable => {
                self.context.note("the daemon has ended; `ostler logs` shows what is missing here");
            }
            shown => shown?,
        }
        for view in views.iter().filter(|view| self.started.contains(&view.name)) {
            if view.state == State::Failed {
                let how = view.exit.map_or_else(|| "not started".to_owned(), |exit| exit.to_string());
                self.code = self.context.tell(
                    &CliError::failed(format!("{} failed: {how}", view.name))
                        .hint(format!("`ostler diagnose {}` says more", view.name)),
                );
            }
        }
        Ok(self.code)
    }

    /// Takes everything down in order; the log goes on meanwhile.
    async fn stop(&mut self) -> Result<(), CliError> {
        self.phase = Phase::Stopping;
        self.context.note("stopping everything; Ctrl-C again leaves at once");
        let mut client = self.context.client_of(&self.paths).await?;
        let events = self.events.clone();
        tokio::spawn(async move {
            let reply = client.down().await;
            let _ = events.send(Event::Down(reply)).await;
        });
        Ok(())
    }

    async fn on_down(&mut self, reply: Result<DownReply, ClientError>) -> Outcome {
        let reply = reply?;
        // That the log cannot be shown to its end, for whatever reason, must not keep the daemon from ending.
        let shown = self.show_last_lines().await;
        let mut code = self.code;
        for failure in &reply.failed {
            code = self.context.tell(&CliError::failed(format!("{}: {}", failure.name, failure.reason)));
        }
        if reply.failed.is_empty() {
            ending::shut_down(self.context.client_of(&self.paths).await?).await?;
        }
        shown.map(|()| code)
    }

    /// Leaves without waiting, and says what is left behind.
    async fn leave(&self) -> Code {
        let look = async {
            let mut client = self.context.running_client(&self.paths).await.ok()??;
            client.list().await.ok()
        };
        let views = tokio::time::timeout(LEAVE_WAIT, look).await.ok().flatten().unwrap_or_default();
        let alive: Vec<String> = views
            .iter()
            .filter(|view| view.state.is_alive())
            .map(|view| match view.pid {
                Some(pid) => format!("{} (pid {pid})", view.name),
                None => view.name.to_string(),
            })
            .collect();
        let message = if alive.is_empty() {
            "left before everything was taken down".to_owned()
        } else {
            format!("left while these still run: {}", alive.join(", "))
        };
        self.context.tell(&CliError::failed(message).hint("`ostler ps` shows them, `ostler down` stops them"))
    }

    /// Shows what was printed between the last line shown and the end.
    async fn show_last_lines(&mut self) -> Result<(), CliError> {
        if let Some(follow) = self.follow.take() {
            follow.abort();
        }
        let Some(mut client) = self.context.running_client(&self.paths).await? else { return Ok(()) };
        // The log is milliseconds behind the processes. A wait for what has happened returns when it has caught up.
        for view in client.list().await? {
            let name = view.name.to_string();
            client.wait(WaitRequest { name, until: Until::Exit, timeout_ms: 0 }).await?;
        }
        let cursor = self.cursor.clone();
        let mut rest = Follower::new(self.context.clone(), client, LogsRequest::default(), cursor);
        while let Some(reply) = rest.poll(Duration::ZERO).await? {
            if reply.lines.is_empty() {
                break;
            }
            self.printer.print(&reply.lines)?;
            self.cursor = reply.cursor;
        }
        Ok(())
    }

    async fn spawn_follow(&mut self) -> Result<(), CliError> {
        let client = self.context.client_of(&self.paths).await?;
        let request = LogsRequest::default();
        let mut follower = Follower::new(self.context.clone(), client, request, self.cursor.clone());
        let events = self.events.clone();
        self.follow = Some(tokio::spawn(async move {
            loop {
                let event = match follower.next().await {
                    Ok(Some(reply)) => Event::Lines(reply),
                    Ok(None) => Event::LogEnded(Ok(())),
                    Err(error) => Event::LogEnded(Err(error)),
                };
                let last = matches!(event, Event::LogEnded(_));
                if events.send(event).await.is_err() || last {
                    return;
                }
            }
        }));
        Ok(())
    }

    fn spawn_up(&self, mut client: Client, names: Vec<String>) {
        let (context, paths, events) = (self.context.clone(), self.paths.clone(), self.events.clone());
        tokio::spawn(async move {
            let mut reply = client.up(names.clone()).await;
            // Of a daemon that died, or was upgraded, half-way: the next one does the rest.
            if let Err(error) = &reply
                && error.is_lost()
                && let Ok(mut client) = context.client_of(&paths).await
            {
                reply = client.up(names).await;
            }
            let _ = events.send(Event::Up(reply)).await;
        });
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

/// Returns the processes once none of them runs, is about to, or has a schedule. Outlives daemons that die; does not return when one
/// ends in order, because the log tells that.
async fn all_ended(context: &Context, paths: &Paths) -> Result<Vec<ProcessView>, CliError> {
    let mut client = context.client_of(paths).await?;
    loop {
        match none_alive(&mut client).await {
            Ok(views) => return Ok(views),
            Err(ClientError::Refused(error)) if error.kind == ErrorKind::Unavailable => {
                std::future::pending().await
            }
            Err(error) if error.is_lost() => client = context.client_of(paths).await?,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn none_alive(client: &mut Client) -> Result<Vec<ProcessView>, ClientError> {
    loop {
        let views = client.list().await?;
        if views.iter().all(|view| view.state.is_final() && view.next.is_none()) {
            return Ok(views);
        }
        let views_are_final = views.iter().all(|view| view.state.is_final());
        // All have ended only when this one has, so it is enough to wait for any that lives.
        match views.into_iter().find(|view| view.state.is_alive()) {
            Some(view) => {
                let name = view.name.to_string();
                let timeout_ms = u64::try_from(bounds::MCP_WAIT.as_millis()).unwrap_or(u64::MAX);
                client.wait(WaitRequest { name, until: Until::Exit, timeout_ms }).await?;
            }
            None if views_are_final => tokio::time::sleep(SCHEDULE_LOOK).await,
            None => tokio::time::sleep(BACKOFF_LOOK).await,
        }
    }
}
