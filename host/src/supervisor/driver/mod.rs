//! The driver: the one task that may change a process. It takes one event at a time — a request, a shim's report, a
//! sign of readiness, a deadline — and [`Driver::handle`] decides what follows.

mod acts;
mod begin;
mod change;
mod condition;
mod end;
mod memo;
mod streams;
mod when;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use crate::bounds;
use crate::config::ProcessConfig;
use crate::model::{Exit, ProcessName, RunId, Time};
use crate::shim::LimitHits;
use crate::shim::control::{Report, Scope, SpawnFault};
use crate::store::Wanted;
use crate::supervisor::adopt::Past;
use crate::supervisor::driver::condition::{Condition, Watchers};
use crate::supervisor::handle::{Command, Handle, StartError, Started, Stopped};
use crate::supervisor::health::Finding;
use crate::supervisor::input::{Feeder, Job};
use crate::supervisor::link::{ShimLink, Upward};
use crate::supervisor::looks::Looks;
use crate::supervisor::policy::{History, Moment};
use crate::supervisor::preflight::StartProblem;
use crate::supervisor::probe::Notice;
use crate::supervisor::ready::Readiness;
use crate::supervisor::schedule::Tick;
use crate::supervisor::snapshot::{Snapshot, State};
use crate::supervisor::tail::Tails;
use crate::supervisor::watch::Sight;
use crate::supervisor::{Context, launch};

pub use acts::{Actor, OwnAct};

/// Time for a shim to say that its child runs; it takes milliseconds.
const SPAWN_WAIT: Duration = Duration::from_secs(10);
/// Time between SIGKILL to the tree and giving up on hearing that it is gone.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// Pause before what could not be recorded is recorded again.
pub(super) const RECORD_AGAIN: Duration = Duration::from_secs(1);
/// A life that ended by itself, well, within this time and left processes behind has put them into the background.
const FORKED_AWAY: Duration = Duration::from_secs(10);
/// Where the driver's clock for its restart policy begins: far enough from nothing for what was before.
const CLOCK_BEGINS: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 10);
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
    Health(RunId, Finding),
    Deadline,
    /// A wish that could not be recorded is to be recorded again.
    WishDue,
    /// A command run for this process has ended.
    CommandEnded(RunId, when::Ended),
    Sight(Sight),
    Tick(Tick),
}

struct Driver {
    name: ProcessName,
    config: Arc<ProcessConfig>,
    /// Shows `config` to the handles.
    configs: watch::Sender<Arc<ProcessConfig>>,
    context: Arc<Context>,
    /// For what the tasks of a run have to say.
    inner: mpsc::UnboundedSender<Event>,
    snapshots: watch::Sender<Snapshot>,
    history: History,
    /// When this driver began, for the moments of `history`.
    origin: Instant,
    /// What checks have seen lately.
    looks: Looks,
    life: Life,
    /// It is not part of the project any more: once nothing runs, the driver ends.
    retired: bool,
    /// What the user wants, when the catalogue could not be written (a full disk), and when to try again.
    unrecorded: Option<(Wanted, Instant)>,
    /// The configuration of a run that is made only once, in place of `config`.
    once: Option<Arc<ProcessConfig>>,
    /// What starts it besides people and its policy: files that change, and the clock.
    when: when::When,
    /// Where it notes how ready its run is, for the next daemon.
    ready_notes: memo::ReadyNotes,
}

/// Whether there is a run.
enum Life {
    Down,
    /// Waiting to start again.
    Backoff {
        until: Instant,
    },
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
    /// An earlier daemon knew it to be ready; until the shim has said that it is the same child.
    was_ready: bool,
    exit: Option<Exit>,
    /// What its limits have cost it.
    hits: LimitHits,
    phase: Phase,
    starters: Vec<StartReply>,
    stoppers: Vec<oneshot::Sender<Stopped>>,
    /// Starts to answer once this run is gone.
    successors: Vec<(String, StartReply)>,
    input: Feeder,
    tails: Tails,
    /// The port it was given.
    port: Option<u16>,
    /// What it says of itself.
    notices: watch::Sender<Notice>,
    condition: Condition,
    /// From the moment it runs until it is told to stop.
    watchers: Option<Watchers>,
    /// Why it is being stopped though nobody asked for it: its health check has failed.
    condemned: Option<String>,
    /// However much time it asks for while it stops, then it is killed.
    kill_latest: Option<Instant>,
    /// Who hears what became of each signal, in the order they were sent.
    signalled: VecDeque<when::OnSignalled>,
    /// Its reload command runs.
    reloading: bool,
}

impl ActiveRun {
    /// Returns how long it has lived, under this daemon and those before it.
    fn lived(&self) -> Duration {
        Time::now().since(self.began).max(self.since.elapsed())
    }

    /// Returns whether it runs, and nobody has told it to stop.
    fn is_living(&self) -> bool {
        matches!(self.phase, Phase::Living) && self.exit.is_none()
    }
}

enum Phase {
    /// The shim has not yet said that the child runs.
    Spawning {
        deadline: Instant,
    },
    Living,
    /// Told to stop; at the deadline comes SIGKILL, and at the one after that we stop waiting.
    Stopping {
        deadline: Instant,
        killed: bool,
    },
}

/// How a run ended, for the catalogue.
enum End {
    Exited { exit: Exit, note: Option<String> },
    NotSpawned(String),
}

impl Driver {
    fn spawn(context: Arc<Context>, name: ProcessName, config: Arc<ProcessConfig>, past: Past) -> Handle {
        let (commands, requests) = mpsc::unbounded_channel();
        let (inner, events) = mpsc::unbounded_channel();
        let (snapshots, snapshots_rx) = watch::channel(Snapshot::new(name.clone()));
        let (config_tx, config_rx) = watch::channel(Arc::clone(&config));
        let looks = Looks::default();
        let handle = Handle { commands, snapshots: snapshots_rx, config: config_rx, looks: looks.clone() };
        let (history, life) = (History::default(), Life::Down);
        let ready_notes = memo::keep_ready_notes(Arc::clone(&context));
        let mut driver = Self {
            name,
            config,
            configs: config_tx,
            context,
            inner,
            snapshots,
            history,
            origin: Instant::now(),
            looks,
            life,
            retired: false,
            unrecorded: None,
            once: None,
            when: when::When::default(),
            ready_notes,
        };
        driver.follow_config();
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
            let wish_due = self.unrecorded.as_ref().map(|(_, due)| *due);
            let event = tokio::select! {
                request = requests.recv() => match request {
                    Some(command) => Event::Command(command),
                    None => return,
                },
                Some(event) = events.recv() => event,
                () = sleep_until(deadline) => Event::Deadline,
                () = sleep_until(wish_due.unwrap_or(deadline)), if wish_due.is_some() => Event::WishDue,
            };
            self.handle(event).await;
            if self.retired && !matches!(self.life, Life::Up(_)) {
                return self.leave().await;
            }
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
            Event::Command(Command::Send { bytes, eof, reply }) => self.send(Job { bytes, eof, reply }),
            Event::Command(Command::Interrupt { signal, reply }) => self.interrupt(signal, reply),
            Event::Command(Command::Resize { size }) => self.resize(size),
            Event::Command(Command::Tail { reply }) => self.tail(reply),
            Event::Command(Command::TailLeft { run }) => self.tail_left(run),
            Event::Command(Command::Start { reason, reply }) => {
                self.resume();
                self.start(&reason, reply).await;
            }
            Event::Command(Command::Restart { reason, reply }) => {
                self.resume();
                self.restart(reason, reply).await;
            }
            Event::Command(Command::Stop { reply }) => {
                self.suspend();
                self.stop(reply).await;
            }
            Event::Command(Command::Once { arguments, reply }) => self.run_once(arguments, reply).await,
            Event::Command(Command::Signal { signal, scope, reply }) => self.signal(signal, scope, reply),
            Event::Command(Command::Reload { reply }) => self.reload(reply),
            Event::Command(Command::Sign { run, sign }) => {
                if let Some(watchers) = self.active(run).and_then(|active| active.watchers.as_ref()) {
                    let _ = watchers.signs.send(sign);
                }
            }
            Event::Command(Command::Check { reply }) => self.check(reply),
            Event::Command(Command::Reconfigure { config }) => self.reconfigure(config),
            Event::Command(Command::Retire { reply }) => self.retire(reply).await,
            Event::Command(Command::Ping { reply }) => drop(reply.send(())),
            Event::Report(run, upward) => self.report(run, upward).await,
            Event::Readiness(run, readiness) => self.readiness(run, readiness),
            Event::Health(run, finding) => self.health(run, finding),
            Event::CommandEnded(run, ended) => self.command_ended(run, ended),
            Event::Sight(sight) => self.saw(sight).await,
            Event::Tick(tick) => self.tick(tick).await,
            Event::Deadline => self.deadline_passed().await,
            Event::WishDue => {
                if let Some((wanted, _)) = self.unrecorded.clone() {
                    self.record_wish(wanted).await;
                }
            }
        }
    }

    // ---- requests ----

    async fn start(&mut self, reason: &str, reply: StartReply) {
        if self.retired {
            let _ = reply.send(Err(StartError::Removed));
            return;
        }
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
                self.once = None;
                self.history.clear();
                self.publish(|snapshot| snapshot.restarts = 0);
                self.launch(reason, vec![reply]).await;
            }
        }
    }

    async fn restart(&mut self, reason: String, reply: StartReply) {
        match &mut self.life {
            Life::Up(active) if !self.retired => {
                active.successors.push((reason, reply));
                self.note_stop().await;
                self.begin_stop();
            }
            Life::Up(_) | Life::Down | Life::Backoff { .. } => self.start(&reason, reply).await,
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
                self.note_stop().await;
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
        let stop = self.config.stop.clone();
        let Life::Up(active) = &mut self.life else { return };
        if matches!(active.phase, Phase::Stopping { .. }) {
            return;
        }
        info!(process = %self.name, run = %active.run, signal = stop.signal, "stopping");
        active.phase = Phase::Stopping { deadline: Instant::now() + stop.grace, killed: false };
        active.kill_latest = Some(Instant::now() + stop.grace + bounds::NOTIFY_EXTEND);
        active.watchers = None;
        if stop.command.is_some() {
            self.run_stop_command();
        } else if active.signal(stop.signal, Scope::Group, when::nobody()).is_err() {
            debug!(process = %self.name, "the shim is gone already");
        }
        self.publish(|snapshot| {
            snapshot.state = State::Stopping;
            snapshot.ready = false;
        });
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
                let program = launch::words(self.run_config()).swap_remove(0);
                let why = failure.describe(&program, &cwd);
                let problem = match failure.what {
                    SpawnFault::System | SpawnFault::NoSocket => StartProblem::System(why),
                    _ => StartProblem::Spawn(why),
                };
                self.spawn_failed(&problem).await;
            }
            Upward::Report(Report::Exited { exit, .. }) => {
                if let Some(active) = self.active(run) {
                    info!(%run, %exit, "child exited");
                    active.exit = Some(exit);
                }
                self.publish(|snapshot| {
                    snapshot.pid = None;
                    snapshot.ready = false;
                    // Until all it left behind is gone.
                    snapshot.state = State::Stopping;
                });
            }
            Upward::Report(Report::LimitHits(hits)) => {
                if let Some(active) = self.active(run) {
                    active.hits = hits;
                }
            }
            Upward::Report(Report::Terminal { .. }) => {
                self.publish(|snapshot| snapshot.terminal = true);
            }
            Upward::Report(Report::CursorKeys { application }) => {
                self.publish(|snapshot| snapshot.application_keys = application);
            }
            Upward::Report(Report::Done { leftovers, lost_bytes, lost_lines, .. }) => {
                let left = self.left_behind(run, leftovers);
                let lost = (lost_bytes > 0).then(|| {
                    format!(
                        "its last {lost_lines} lines ({lost_bytes} bytes) were lost for want of disk space"
                    )
                });
                let notes: Vec<String> = left.into_iter().chain(lost).collect();
                self.ended((!notes.is_empty()).then(|| notes.join("; "))).await;
            }
            Upward::Report(Report::Notified(said)) => self.notified(run, said),
            Upward::Report(Report::Signalled { reached, errno }) => self.signalled(reached, errno),
            Upward::Closed => self.shim_vanished().await,
            Upward::Report(_) => {}
        }
    }

    /// Tells what became of the processes that outlived the main one. A program that puts itself into the background
    /// ends well and at once, and whoever started it is surprised that it is gone.
    fn left_behind(&mut self, run: RunId, leftovers: u32) -> Option<String> {
        let were_stopped = match leftovers {
            0 => return None,
            1 => "a process it had left behind was stopped".to_owned(),
            many => format!("{many} processes it had left behind were stopped"),
        };
        let active = self.active(run)?;
        let is_well = active.exit.is_some_and(Exit::is_success);
        let has_forked_away =
            is_well && active.lived() < FORKED_AWAY && matches!(active.phase, Phase::Living);
        Some(if has_forked_away {
            format!(
                "it went into the background: the process that was started ended at once, and {were_stopped}; \
                 make it stay in the foreground, by an option such as --foreground or --no-daemon, or without `&`"
            )
        } else {
            were_stopped
        })
    }

    // ---- deadlines ----

    async fn deadline_passed(&mut self) {
        match &mut self.life {
            Life::Down => {}
            Life::Backoff { .. } => self.launch(launch::RESTARTED, Vec::new()).await,
            Life::Up(active) => match &mut active.phase {
                Phase::Living => {}
                // Adopted, and its child is known: that the shim is frozen is no reason to give the child up.
                Phase::Spawning { .. } if active.pid.is_some() => self.shim_is_silent(),
                Phase::Spawning { .. } => {
                    let problem =
                        StartProblem::Spawn(format!("its shim did not answer within {SPAWN_WAIT:?}"));
                    self.spawn_failed(&problem).await;
                }
                Phase::Stopping { deadline, killed } if !*killed => {
                    warn!(process = %self.name, run = %active.run, "grace is over; killing the tree");
                    *deadline = Instant::now() + KILL_WAIT;
                    *killed = true;
                    if active.signal(libc::SIGKILL, Scope::Tree, when::nobody()).is_err() {
                        debug!(process = %self.name, "the shim is gone already");
                    }
                }
                Phase::Stopping { .. } => {
                    // Only a process stuck in the kernel survives SIGKILL: say so and go on.
                    self.ended(Some("did not go within 10 s of SIGKILL: stuck in the kernel".to_owned()))
                        .await;
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
    async fn want(&mut self, up: bool) {
        let process = self.name.clone();
        self.record_wish(Wanted { process, up, updated_at: Time::now() }).await;
    }

    /// Writes down a wish in place of all before it, now or as soon as the catalogue can be written.
    async fn record_wish(&mut self, wanted: Wanted) {
        let (context, wish) = (Arc::clone(&self.context), wanted.clone());
        let recorded = tokio::task::spawn_blocking(move || context.catalogue.set_wanted(&wish)).await;
        self.unrecorded = match recorded {
            Ok(Err(error)) => {
                if self.unrecorded.is_none() {
                    warn!(process = %self.name, %error, "cannot record what is wanted");
                }
                Some((wanted, Instant::now() + RECORD_AGAIN))
            }
            _ => {
                debug!(process = %self.name, up = wanted.up, "recorded what is wanted");
                None
            }
        };
    }

    /// Returns what time it is for the restart policy.
    fn moment(&self) -> Moment {
        CLOCK_BEGINS + self.origin.elapsed()
    }

    /// Returns what a time of day, not later than now, is for the restart policy.
    fn moment_of(&self, time: Time) -> Moment {
        self.moment().saturating_sub(Time::now().since(time))
    }

    fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshots.send_modify(change);
    }
}
