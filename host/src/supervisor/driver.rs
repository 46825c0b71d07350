//! The driver: the one task that may change a process. It takes one event at a time — a request, a shim's report, a
//! sign of readiness, a deadline — and [`Driver::handle`] decides what follows.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::adopt::{Ending, LastRun, OpenRun, Past, ending, kill_orphan};
use super::handle::{Command, Handle, SendError, StartError, Started, Stopped};
use super::link::{ShimLink, Upward};
use super::policy::{Decision, History};
use super::preflight::StartProblem;
use super::ready::{self, Readiness, Sign};
use super::snapshot::{Snapshot, State};
use super::{Bell, Context, RunBegan, RunEvent, launch};
use crate::config::ProcessConfig;
use crate::model::{Exit, ProcessName, RunId, Time};
use crate::shim::control::{Report, Request, Scope};
use crate::store::{ProcessId, Wanted};

/// Time for a shim to say that its child runs; it takes milliseconds.
const SPAWN_WAIT: Duration = Duration::from_secs(10);
/// Time between SIGKILL to the tree and giving up on hearing that it is gone.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// A wait that is never over.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

type StartReply = oneshot::Sender<Result<Started, StartError>>;

/// Spawns the driver of a process, which takes up where an earlier daemon's left off.
pub fn supervise(context: Arc<Context>, name: ProcessName, config: Arc<ProcessConfig>, past: Past) -> Handle {
    Driver::spawn(context, name, config, past)
}

enum Event {
    Command(Command),
    Report(RunId, Upward),
    Readiness(RunId, Readiness),
    Deadline,
}

struct Driver {
    name: ProcessName,
    config: Arc<ProcessConfig>,
    context: Arc<Context>,
    /// For what the tasks of a run have to say.
    inner: mpsc::UnboundedSender<Event>,
    snapshots: watch::Sender<Snapshot>,
    history: History,
    life: Life,
}

/// Whether there is a run.
enum Life {
    Down,
    /// Waiting to start again.
    Backoff { until: Instant },
    Up(Box<ActiveRun>),
}

struct ActiveRun {
    run: RunId,
    /// The shim, when this daemon spawned it: it is waited for at the end, so that it leaves no zombie.
    shim: Option<std::process::Child>,
    link: ShimLink,
    began: Time,
    since: Instant,
    pid: Option<u32>,
    start_ticks: u64,
    exit: Option<Exit>,
    phase: Phase,
    starters: Vec<StartReply>,
    stoppers: Vec<oneshot::Sender<Stopped>>,
    /// Starts to answer once this run is gone.
    successors: Vec<(String, StartReply)>,
    readers: Vec<oneshot::Sender<Result<usize, SendError>>>,
    signs: mpsc::UnboundedSender<Sign>,
    watcher: Option<AbortHandle>,
}

enum Phase {
    /// The shim has not yet said that the child runs.
    Spawning { deadline: Instant },
    Living,
    /// Told to stop; at the deadline comes SIGKILL, and at the one after that we stop waiting.
    Stopping { deadline: Instant, killed: bool },
}

/// How a run ended, for the catalogue.
enum End {
    Exited { exit: Exit, note: Option<String> },
    NotSpawned(String),
}

impl Driver {
    fn spawn(
        context: Arc<Context>,
        name: ProcessName,
        config: Arc<ProcessConfig>,
        past: Past,
    ) -> Handle {
        let (commands, requests) = mpsc::unbounded_channel();
        let (inner, events) = mpsc::unbounded_channel();
        let (snapshots, snapshots_rx) = watch::channel(Snapshot::new(name.clone()));
        let handle = Handle { commands, snapshots: snapshots_rx, config: Arc::clone(&config) };
        let mut driver =
            Self { name, config, context, inner, snapshots, history: History::default(), life: Life::Down };
        match past {
            Past::Nothing => {}
            Past::Open(open) => driver.adopt(open),
            Past::Ended(last) => driver.recall(last),
        }
        tokio::spawn(driver.drive(requests, events));
        handle
    }

    async fn drive(
        mut self,
        mut requests: mpsc::UnboundedReceiver<Command>,
        mut events: mpsc::UnboundedReceiver<Event>,
    ) {
        loop {
            let deadline = self.deadline();
            let event = tokio::select! {
                request = requests.recv() => match request {
                    Some(command) => Event::Command(command),
                    None => return,
                },
                Some(event) = events.recv() => event,
                () = sleep_until(deadline) => Event::Deadline,
            };
            self.handle(event).await;
        }
    }

    fn deadline(&self) -> Instant {
        match &self.life {
            Life::Down => Instant::now() + FOREVER,
            Life::Backoff { until } => *until,
            Life::Up(active) => match active.phase {
                Phase::Spawning { deadline } | Phase::Stopping { deadline, .. } => deadline,
                Phase::Living => Instant::now() + FOREVER,
            },
        }
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Command(Command::Start { reason, reply }) => self.start(&reason, reply).await,
            Event::Command(Command::Restart { reason, reply }) => self.restart(reason, reply).await,
            Event::Command(Command::Stop { reply }) => self.stop(reply).await,
            Event::Command(Command::Send { bytes, eof, reply }) => self.send(bytes, eof, reply),
            Event::Command(Command::Sign { run, sign }) => {
                if let Some(active) = self.active(run) {
                    let _ = active.signs.send(sign);
                }
            }
            Event::Report(run, upward) => self.report(run, upward).await,
            Event::Readiness(run, readiness) => self.readiness(run, readiness),
            Event::Deadline => self.deadline_passed().await,
        }
    }

    // ---- requests ----

    async fn start(&mut self, reason: &str, reply: StartReply) {
        match &mut self.life {
            Life::Up(active) => match active.phase {
                Phase::Spawning { .. } => active.starters.push(reply),
                Phase::Living if active.exit.is_none() => {
                    let _ = reply.send(Ok(Started { run: active.run, already_running: true }));
                }
                Phase::Living | Phase::Stopping { .. } => {
                    active.successors.push((reason.to_owned(), reply));
                }
            },
            Life::Down | Life::Backoff { .. } => {
                self.want(true).await;
                self.history.clear();
                self.publish(|snapshot| snapshot.restarts = 0);
                self.launch(reason, vec![reply]).await;
            }
        }
    }

    async fn restart(&mut self, reason: String, reply: StartReply) {
        match &mut self.life {
            Life::Up(active) => {
                active.successors.push((reason, reply));
                self.begin_stop();
            }
            Life::Down | Life::Backoff { .. } => self.start(&reason, reply).await,
        }
    }

    async fn stop(&mut self, reply: oneshot::Sender<Stopped>) {
        self.want(false).await;
        match &mut self.life {
            Life::Up(active) => {
                // A stop is the last word: starts that waited for the end of this run are off.
                for (_, starter) in active.successors.drain(..) {
                    let _ = starter.send(Err(StartError::Superseded));
                }
                active.stoppers.push(reply);
                self.begin_stop();
            }
            Life::Down | Life::Backoff { .. } => {
                self.life = Life::Down;
                self.history.clear();
                // What ended by itself keeps saying how; a pending restart becomes a plain stop.
                self.publish(|snapshot| {
                    if snapshot.state == State::Backoff {
                        snapshot.state = State::Stopped;
                        snapshot.reason = None;
                    }
                });
                let exit = self.snapshots.borrow().exit;
                let _ = reply.send(Stopped { was_running: false, exit, how: None });
            }
        }
    }

    fn begin_stop(&mut self) {
        let stop = self.config.stop;
        let Life::Up(active) = &mut self.life else { return };
        if matches!(active.phase, Phase::Stopping { .. }) {
            return;
        }
        info!(process = %self.name, run = %active.run, signal = stop.signal, "stopping");
        active.phase = Phase::Stopping { deadline: Instant::now() + stop.grace, killed: false };
        if let Some(watcher) = active.watcher.take() {
            watcher.abort();
        }
        if active.link.send(Request::Signal { signal: stop.signal, scope: Scope::Group }).is_err() {
            debug!(process = %self.name, "the shim is gone already");
        }
        self.publish(|snapshot| {
            snapshot.state = State::Stopping;
            snapshot.ready = false;
        });
    }

    fn send(&mut self, bytes: Vec<u8>, eof: bool, reply: oneshot::Sender<Result<usize, SendError>>) {
        let Life::Up(active) = &mut self.life else {
            let _ = reply.send(Err(SendError::NotRunning));
            return;
        };
        if active.pid.is_none() || active.exit.is_some() {
            let _ = reply.send(Err(SendError::NotRunning));
            return;
        }
        let sent = active.link.send(Request::Stdin { bytes });
        let closed = if eof { active.link.send(Request::CloseStdin) } else { Ok(()) };
        match sent.and(closed) {
            Ok(()) => active.readers.push(reply),
            Err(_) => drop(reply.send(Err(SendError::ShimGone))),
        }
    }

    // ---- a run begins ----

    async fn launch(&mut self, reason: &str, starters: Vec<StartReply>) {
        self.publish(|snapshot| {
            snapshot.state = State::Starting;
            snapshot.reason = None;
        });
        let (context, name, config) =
            (Arc::clone(&self.context), self.name.clone(), Arc::clone(&self.config));
        let why = reason.to_owned();
        let launched =
            tokio::task::spawn_blocking(move || launch::launch(&context, &name, &config, &why)).await;
        let launched = match launched {
            Ok(Ok(launched)) => launched,
            Ok(Err(problem)) => return self.fail_start(&problem, starters),
            Err(panic) => return self.fail_start(&StartProblem::Spawn(panic.to_string()), starters),
        };
        match self.attach(launched.run, launched.socket, launched.began) {
            Ok(mut active) => {
                active.shim = Some(launched.shim);
                active.starters = starters;
                self.announce(&active);
                self.life = Life::Up(Box::new(active));
            }
            Err(error) => self.fail_start(&StartProblem::Spawn(error.to_string()), starters),
        }
    }

    fn adopt(&mut self, open: OpenRun) {
        match self.attach(open.run, open.socket, open.began) {
            Ok(active) => {
                self.announce(&active);
                self.life = Life::Up(Box::new(active));
            }
            Err(error) => warn!(process = %self.name, run = %open.run, %error, "cannot adopt a run"),
        }
    }

    /// Takes up the story after a run that ended when no daemon was looking, or under an earlier one.
    fn recall(&mut self, last: LastRun) {
        self.publish(|snapshot| {
            snapshot.run = Some(last.run);
            snapshot.started = Some(last.began);
            snapshot.exit = last.exit;
        });
        match last.exit {
            Some(exit) if last.wanted => self.after_exit(exit, last.ended.since(last.began), exit.to_string()),
            None if last.wanted => self.publish(|snapshot| {
                snapshot.state = State::Failed;
                snapshot.reason = last.reason;
            }),
            _ => {}
        }
    }

    fn attach(
        &self,
        run: RunId,
        socket: std::os::unix::net::UnixStream,
        began: Time,
    ) -> std::io::Result<ActiveRun> {
        let inner = self.inner.clone();
        let events = self.context.events.clone();
        let link = ShimLink::attach(run, socket, move |upward| match upward {
            // Doorbells go straight to the pipeline: a flood must not queue up behind a driver.
            Upward::Report(Report::Doorbell { .. }) => drop(events.send(RunEvent::Output(run))),
            upward => drop(inner.send(Event::Report(run, upward))),
        })?;
        let (signs, _) = mpsc::unbounded_channel();
        Ok(ActiveRun {
            run,
            shim: None,
            link,
            began,
            since: Instant::now(),
            pid: None,
            start_ticks: 0,
            exit: None,
            phase: Phase::Spawning { deadline: Instant::now() + SPAWN_WAIT },
            starters: Vec::new(),
            stoppers: Vec::new(),
            successors: Vec::new(),
            readers: Vec::new(),
            signs,
            watcher: None,
        })
    }

    fn announce(&self, active: &ActiveRun) {
        self.publish(|snapshot| {
            snapshot.state = State::Starting;
            snapshot.run = Some(active.run);
            snapshot.started = Some(active.began);
            snapshot.ready = false;
        });
        let began = RunBegan {
            run: active.run,
            process: self.name.clone(),
            command: launch::words(&self.config),
            dir: self.context.run_dir(active.run),
            bell: Bell(Some(active.link.clone())),
        };
        let _ = self.context.events.send(RunEvent::Began(began));
    }

    fn fail_start(&mut self, problem: &StartProblem, starters: Vec<StartReply>) {
        warn!(process = %self.name, %problem, "cannot start");
        self.life = Life::Down;
        self.publish(|snapshot| {
            snapshot.state = State::Failed;
            snapshot.pid = None;
            snapshot.ready = false;
            snapshot.reason = Some(problem.to_string());
        });
        for starter in starters {
            let _ = starter.send(Err(StartError::Problem(problem.clone())));
        }
    }

    // ---- what the shim reports ----

    async fn report(&mut self, run: RunId, upward: Upward) {
        if self.active(run).is_none() {
            return;
        }
        match upward {
            Upward::Report(Report::Started { pid, start_ticks }) => self.started(pid, start_ticks),
            Upward::Report(Report::SpawnFailed(failure)) => {
                let cwd = self.config.cwd.to_string_lossy().into_owned();
                let program = launch::words(&self.config).swap_remove(0);
                let problem = StartProblem::Spawn(failure.describe(&program, &cwd));
                self.spawn_failed(&problem).await;
            }
            Upward::Report(Report::Exited { exit, .. }) => {
                if let Some(active) = self.active(run) {
                    info!(process = %active.run, %exit, "child exited");
                    active.exit = Some(exit);
                }
                self.publish(|snapshot| {
                    snapshot.pid = None;
                    snapshot.ready = false;
                });
            }
            Upward::Report(Report::StdinTaken { accepted, open }) => self.stdin_taken(accepted as usize, open),
            Upward::Report(Report::Done { leftovers, .. }) => {
                let note = (leftovers > 0).then(|| {
                    format!("{leftovers} processes it had left behind were stopped")
                });
                self.ended(note).await;
            }
            Upward::Closed => self.shim_vanished().await,
            Upward::Report(_) => {}
        }
    }

    fn started(&mut self, pid: u32, start_ticks: u64) {
        let has_check = self.config.ready.check.is_some();
        let ready_config = self.config.ready.clone();
        let (store, inner) = (Arc::clone(&self.context.store), self.inner.clone());
        let Life::Up(active) = &mut self.life else { return };
        let run = active.run;
        active.pid = Some(pid);
        active.start_ticks = start_ticks;
        let stopping = matches!(active.phase, Phase::Stopping { .. });
        if !stopping {
            active.phase = Phase::Living;
            let (signs, signs_rx) = mpsc::unbounded_channel();
            active.signs = signs;
            let subject = ready::Subject { run, pid, ready: ready_config, store };
            let report = move |readiness| drop(inner.send(Event::Readiness(run, readiness)));
            active.watcher = Some(tokio::spawn(ready::watch(subject, signs_rx, report)).abort_handle());
        }
        for starter in active.starters.drain(..) {
            let _ = starter.send(Ok(Started { run, already_running: false }));
        }
        info!(process = %self.name, run = %run, pid, "child runs");
        self.publish(|snapshot| {
            snapshot.pid = Some(pid);
            if !stopping {
                snapshot.state = if has_check { State::Starting } else { State::Running };
            }
        });
        let context = Arc::clone(&self.context);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = context.catalogue.run_spawned(run, ProcessId { pid, start: start_ticks }) {
                warn!(%run, %error, "cannot record a pid");
            }
        });
    }

    async fn spawn_failed(&mut self, problem: &StartProblem) {
        let Life::Up(mut active) = std::mem::replace(&mut self.life, Life::Down) else { return };
        self.close_run(&mut active, End::NotSpawned(problem.to_string())).await;
        for stopper in active.stoppers {
            let _ = stopper.send(Stopped { was_running: false, exit: None, how: Some(problem.to_string()) });
        }
        let mut starters = active.starters;
        starters.extend(active.successors.into_iter().map(|(_, reply)| reply));
        self.fail_start(problem, starters);
    }

    fn stdin_taken(&mut self, accepted: usize, open: bool) {
        let Life::Up(active) = &mut self.life else { return };
        if active.readers.is_empty() {
            return;
        }
        // Answers come in the order of the requests.
        let reply = active.readers.remove(0);
        let _ = reply.send(if open { Ok(accepted) } else { Err(SendError::Closed) });
    }

    async fn shim_vanished(&mut self) {
        let Life::Up(active) = &self.life else { return };
        let (run, pid, start_ticks) = (active.run, active.pid, active.start_ticks);
        let dir = self.context.run_dir(run);
        let ending = tokio::task::spawn_blocking(move || ending(&dir)).await.unwrap_or(Ending::Unknown);
        match ending {
            // It was done just before this daemon reached it.
            Ending::Known { exit, note, .. } => {
                if let Some(active) = self.active(run) {
                    active.exit = Some(exit);
                }
                return self.ended(note.map(str::to_owned)).await;
            }
            Ending::NotSpawned(why) => return self.spawn_failed(&StartProblem::Spawn(why)).await,
            Ending::Unknown => {}
        }
        warn!(process = %self.name, %run, "the shim died");
        // Without its shim the child has nobody to take its output; it must not stay as a ghost that holds a port.
        if let Some(pid) = pid {
            let _ = tokio::task::spawn_blocking(move || kill_orphan(pid, start_ticks)).await;
        }
        self.ended(Some("its shim died, so its exit status is not known".to_owned())).await;
    }

    // ---- a run ends ----

    async fn ended(&mut self, note: Option<String>) {
        let Life::Up(active) = std::mem::replace(&mut self.life, Life::Down) else { return };
        let mut active = *active;
        if let Some(watcher) = active.watcher.take() {
            watcher.abort();
        }
        let exit = active.exit.unwrap_or(Exit { code: None, signal: None });
        let how = match &active.phase {
            Phase::Stopping { killed: true, .. } => {
                format!("{exit} after a grace of {:?}", self.config.stop.grace)
            }
            _ => exit.to_string(),
        };
        let how = note.as_ref().map_or_else(|| how.clone(), |note| format!("{how}; {note}"));
        self.close_run(&mut active, End::Exited { exit, note }).await;
        for reader in active.readers.drain(..) {
            let _ = reader.send(Err(SendError::NotRunning));
        }
        for starter in active.starters.drain(..) {
            let _ = starter.send(Ok(Started { run: active.run, already_running: false }));
        }
        let stopped = matches!(active.phase, Phase::Stopping { .. });
        if stopped || !active.successors.is_empty() {
            self.after_stop(active, exit, how).await;
        } else {
            self.after_exit(exit, active.since.elapsed(), how);
        }
    }

    async fn after_stop(&mut self, active: ActiveRun, exit: Exit, how: String) {
        self.history.clear();
        self.publish(|snapshot| {
            snapshot.state = State::Stopped;
            snapshot.pid = None;
            snapshot.ready = false;
            snapshot.exit = Some(exit);
            snapshot.restarts = 0;
            snapshot.reason = None;
        });
        for stopper in active.stoppers {
            let _ = stopper.send(Stopped { was_running: true, exit: Some(exit), how: Some(how.clone()) });
        }
        if let Some((reason, _)) = active.successors.first() {
            self.want(true).await;
            let reason = reason.clone();
            let starters = active.successors.into_iter().map(|(_, reply)| reply).collect();
            self.launch(&reason, starters).await;
        }
    }

    fn after_exit(&mut self, exit: Exit, lived: Duration, how: String) {
        let now = Instant::now();
        match self.history.decide(&self.config.restart, Some(exit), lived, now.into_std()) {
            Decision::Restart { after } => {
                info!(process = %self.name, %exit, ?after, "starting again");
                self.life = Life::Backoff { until: now + after };
                self.publish(|snapshot| {
                    snapshot.state = State::Backoff;
                    snapshot.pid = None;
                    snapshot.ready = false;
                    snapshot.exit = Some(exit);
                    snapshot.restarts += 1;
                    snapshot.reason = Some(format!("{how}; starting again in {after:?}"));
                });
            }
            decision => {
                let reason = match decision {
                    Decision::GiveUp { reason } => format!("{how}; {reason}"),
                    _ => how,
                };
                self.publish(|snapshot| {
                    snapshot.state = if exit.is_success() { State::Exited } else { State::Failed };
                    snapshot.pid = None;
                    snapshot.ready = false;
                    snapshot.exit = Some(exit);
                    snapshot.reason = Some(reason);
                });
            }
        }
    }

    /// Writes down how a run ended, before anybody is told, and lets the pipeline know that its spool is complete.
    async fn close_run(&self, active: &mut ActiveRun, end: End) {
        let (context, run, shim) = (Arc::clone(&self.context), active.run, active.shim.take());
        let recorded = tokio::task::spawn_blocking(move || {
            let _ = std::fs::remove_file(context.shim_socket(run));
            let now = Time::now();
            match end {
                End::Exited { exit, note } => context.catalogue.end_run(run, now, exit, note.as_deref()),
                End::NotSpawned(why) => context.catalogue.run_not_spawned(run, now, &why),
            }
        });
        if let Ok(Err(error)) = recorded.await {
            warn!(%run, %error, "cannot record the end of a run");
        }
        let _ = self.context.events.send(RunEvent::Ended(run));
        if let Some(mut shim) = shim {
            // It ends right after its last report.
            tokio::task::spawn_blocking(move || shim.wait());
        }
    }

    // ---- readiness and deadlines ----

    fn readiness(&mut self, run: RunId, readiness: Readiness) {
        let Some(active) = self.active(run) else { return };
        if !matches!(active.phase, Phase::Living) || active.exit.is_some() {
            return;
        }
        let took = active.since.elapsed();
        self.publish(|snapshot| match readiness {
            Readiness::Ready => {
                snapshot.state = State::Ready;
                snapshot.ready = true;
                snapshot.reason = None;
            }
            Readiness::Withdrawn(reason) | Readiness::Late(reason) => {
                snapshot.state = State::Unhealthy;
                snapshot.ready = false;
                snapshot.reason = Some(reason);
            }
        });
        debug!(process = %self.name, %run, ?took, "readiness changed");
    }

    async fn deadline_passed(&mut self) {
        match &mut self.life {
            Life::Down => {}
            Life::Backoff { .. } => self.launch("restart", Vec::new()).await,
            Life::Up(active) => match &mut active.phase {
                Phase::Living => {}
                Phase::Spawning { .. } => {
                    let problem = StartProblem::Spawn(format!("its shim did not answer within {SPAWN_WAIT:?}"));
                    self.spawn_failed(&problem).await;
                }
                Phase::Stopping { deadline, killed } if !*killed => {
                    warn!(process = %self.name, run = %active.run, "grace is over; killing the tree");
                    *deadline = Instant::now() + KILL_WAIT;
                    *killed = true;
                    let kill = Request::Signal { signal: libc::SIGKILL, scope: Scope::Tree };
                    if active.link.send(kill).is_err() {
                        debug!(process = %self.name, "the shim is gone already");
                    }
                }
                Phase::Stopping { .. } => {
                    // Only a process stuck in the kernel survives SIGKILL: say so and go on.
                    self.ended(Some("did not go within 10 s of SIGKILL: stuck in the kernel".to_owned())).await;
                }
            },
        }
    }

    // ---- small things ----

    fn active(&mut self, run: RunId) -> Option<&mut ActiveRun> {
        match &mut self.life {
            Life::Up(active) if active.run == run => Some(active),
            _ => None,
        }
    }

    /// Writes down whether the user wants this process up, for daemons to come.
    async fn want(&self, up: bool) {
        let (context, process) = (Arc::clone(&self.context), self.name.clone());
        let wanted = Wanted { process, up, restarts: 0, updated_at: Time::now() };
        let recorded = tokio::task::spawn_blocking(move || context.catalogue.set_wanted(&wanted)).await;
        if let Ok(Err(error)) = recorded {
            warn!(process = %self.name, %error, "cannot record what is wanted");
        }
    }

    fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshots.send_modify(change);
    }
}
