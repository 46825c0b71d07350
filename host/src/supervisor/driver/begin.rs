//! How a run begins: launched, adopted, or recalled from an earlier daemon.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::end::Over;
use super::when::once;
use super::{ActiveRun, Condition, Driver, End, Event, Life, Phase, RECORD_AGAIN, SPAWN_WAIT, StartReply};
use crate::model::{Exit, RunId, Time};
use crate::shim::LimitHits;
use crate::shim::control::Report;
use crate::store::{CatalogueError, ProcessId};
use crate::supervisor::adopt::{Before, LastRun, Next, OpenRun};
use crate::supervisor::handle::{StartError, Started, Stopped};
use crate::supervisor::input::{self, Answer, Feeder};
use crate::supervisor::link::{ShimLink, Upward};
use crate::supervisor::policy::Ended;
use crate::supervisor::preflight::StartProblem;
use crate::supervisor::probe::Notice;
use crate::supervisor::ready::Readiness;
use crate::supervisor::snapshot::State;
use crate::supervisor::tail::Tails;
use crate::supervisor::{Bell, Context, RunBegan, RunEvent, launch};

impl Driver {
    pub(super) async fn launch(&mut self, reason: &str, starters: Vec<StartReply>) {
        self.publish(|snapshot| {
            snapshot.state = State::Starting;
            snapshot.reason = None;
        });
        let (context, name, config) =
            (Arc::clone(&self.context), self.name.clone(), Arc::clone(self.run_config()));
        let why = reason.to_owned();
        let launched =
            tokio::task::spawn_blocking(move || launch::launch(&context, &name, &config, &why)).await;
        let launched = match launched {
            Ok(Ok(launched)) => launched,
            Ok(Err(problem)) => return self.refuse_start(&problem, starters),
            Err(panic) => return self.refuse_start(&StartProblem::Spawn(panic.to_string()), starters),
        };
        let (port, warning) = (launched.port, launched.warning);
        if let Some(warning) = &warning {
            warn!(process = %self.name, warning, "started all the same");
        }
        self.publish(|snapshot| (snapshot.port, snapshot.warning) = (port, warning));
        match self.attach(launched.run, launched.socket, launched.began) {
            Ok(mut active) => {
                active.shim = Some(launched.shim);
                active.starters = starters;
                self.announce(&active);
                self.tell_reason(active.run, reason);
                self.life = Life::Up(Box::new(active));
            }
            Err(error) => self.fail_start(&StartProblem::Spawn(error.to_string()), starters),
        }
    }

    pub(super) fn adopt(&mut self, open: OpenRun) {
        self.recall_history(&open.before);
        if open.once {
            self.once = Some(once(&self.config, open.command.clone()));
        }
        // A run of a process that has no port may have a `PORT` of its user's.
        let port = self.config.port.and_then(|_| launch::port_of_run(&self.context, open.run));
        if let Some(port) = port {
            self.context.ports.keep(&self.name, port);
        }
        let warning = launch::notify_warning(&self.context, open.run, self.run_config());
        self.publish(|snapshot| (snapshot.port, snapshot.warning) = (port, warning));
        match self.attach(open.run, open.socket, open.began) {
            Ok(mut active) => {
                // Known before the shim tells its story, in case that it never does.
                if let Some(child) = open.child {
                    active.pid = Some(child.pid);
                    active.start_ticks = child.start;
                }
                active.was_ready = open.was_ready;
                if open.stop_asked && open.wanted {
                    let (reply, _) = oneshot::channel();
                    active.successors.push(("adopt".to_owned(), reply));
                }
                self.announce(&active);
                self.life = Life::Up(Box::new(active));
                if open.stop_asked {
                    info!(process = %self.name, run = %open.run, "finishing a stop that an earlier daemon began");
                    self.begin_stop();
                }
            }
            Err(error) => warn!(process = %self.name, run = %open.run, %error, "cannot adopt a run"),
        }
    }

    /// Takes up the story after a run that ended when no daemon was looking, or under an earlier one.
    pub(super) fn recall(&mut self, last: LastRun) {
        if last.next != Next::Nothing {
            self.recall_history(&last.before);
        }
        self.publish(|snapshot| {
            snapshot.run = Some(last.run);
            snapshot.started = Some(last.began);
            snapshot.exit = last.exit;
        });
        match (last.next, last.exit) {
            (Next::Nothing, _) => self.publish(|snapshot| snapshot.reason = last.reason),
            (Next::Policy, Some(exit)) => {
                let lived = last.ended.since(last.began);
                // Decided as of then: what was given up long ago must not come back with a new daemon.
                let moment = self.moment_of(last.ended);
                let ended = Ended::Exited(exit);
                let how = exit.with_note(last.note.as_deref());
                self.after_end(Over { ended, exit: Some(exit), lived, moment, how });
            }
            (Next::Policy | Next::Rest, exit) => self.publish(|snapshot| {
                let done = exit.is_some_and(Exit::is_success);
                snapshot.state = if done { State::Exited } else { State::Failed };
                snapshot.reason = last.reason;
            }),
            (Next::Start, _) => {
                self.life = Life::Backoff { until: Instant::now() };
                self.publish(|snapshot| {
                    snapshot.state = State::Backoff;
                    snapshot.reason = Some("a daemon that died was about to start it".to_owned());
                });
            }
        }
    }

    /// Goes on counting restarts where the daemon before this one stopped.
    fn recall_history(&mut self, before: &Before) {
        let config = Arc::clone(&self.config);
        let mut history = std::mem::take(&mut self.history);
        let restarts =
            history.recall(&config.restart, &before.runs, before.is_restart, |time| self.moment_of(time));
        self.history = history;
        self.publish(|snapshot| snapshot.restarts = restarts);
    }

    pub(super) fn attach(
        &self,
        run: RunId,
        socket: std::os::unix::net::UnixStream,
        began: Time,
    ) -> std::io::Result<ActiveRun> {
        let inner = self.inner.clone();
        let events = self.context.events.clone();
        let (input_answers, answers) = input::answers();
        let tails = Tails::default();
        let reported = tails.clone();
        let link = ShimLink::attach(run, socket, move |upward| match upward {
            // Doorbells go straight to the pipeline: a flood must not queue up behind a driver.
            Upward::Report(Report::Doorbell { .. }) => drop(events.send(RunEvent::Output(run))),
            // Nor must input, or those who look on.
            Upward::Report(Report::StdinTaken { accepted, open }) => {
                let _ = input_answers.send(Answer::Taken { accepted: accepted as usize, open });
            }
            Upward::Report(Report::StdinRoom) => {
                let _ = input_answers.send(Answer::Room);
            }
            Upward::Report(Report::Tailing { on: true, end }) => reported.began(end),
            Upward::Report(Report::Output { stream, bytes }) => reported.output(stream, bytes),
            Upward::Report(Report::OutputGap { bytes }) => reported.gap(bytes),
            upward => drop(inner.send(Event::Report(run, upward))),
        })?;
        let input = Feeder::spawn(link.clone(), answers);
        Ok(ActiveRun {
            run,
            shim: None,
            link,
            began,
            since: Instant::now(),
            pid: None,
            start_ticks: 0,
            was_ready: false,
            exit: None,
            hits: LimitHits::default(),
            phase: Phase::Spawning { deadline: Instant::now() + SPAWN_WAIT },
            starters: Vec::new(),
            stoppers: Vec::new(),
            successors: Vec::new(),
            input,
            tails,
            port: self.snapshots.borrow().port,
            notices: watch::channel(Notice::default()).0,
            condition: Condition::default(),
            watchers: None,
            condemned: None,
            kill_latest: None,
            signalled: VecDeque::new(),
            reloading: false,
        })
    }

    pub(super) fn announce(&self, active: &ActiveRun) {
        self.publish(|snapshot| {
            snapshot.state = State::Starting;
            snapshot.run = Some(active.run);
            snapshot.started = Some(active.began);
            snapshot.ready = false;
            // The shim tells whether it has one.
            snapshot.terminal = false;
            snapshot.application_keys = false;
            snapshot.status = None;
        });
        let began = RunBegan {
            run: active.run,
            process: self.name.clone(),
            command: launch::words(self.run_config()),
            dir: self.context.run_dir(active.run),
            bell: Bell(Some(active.link.clone())),
        };
        let _ = self.context.events.send(RunEvent::Began(began));
    }

    /// As [`Driver::fail_start`], when there is no run: what is told of the failure must not be taken for a word of
    /// the run before.
    fn refuse_start(&mut self, problem: &StartProblem, starters: Vec<StartReply>) {
        self.publish(|snapshot| snapshot.run = None);
        // Whoever asked for the start hears of it and decides; a restart has nobody else to try it again.
        if is_anybody_there(&starters) {
            self.fail_start(problem, starters)
        } else {
            self.fail_restart(problem)
        }
    }

    /// As [`Driver::fail_start`], when nobody has asked for the start: what may pass is another end of the process.
    fn fail_restart(&mut self, problem: &StartProblem) {
        if !problem.may_pass() {
            return self.fail_start(problem, Vec::new());
        }
        warn!(process = %self.name, %problem, "cannot start again");
        self.life = Life::Down;
        self.end_act(Err(&problem.to_string()));
        let (ended, how, moment) = (Ended::NotSpawned, problem.to_string(), self.moment());
        self.after_end(Over { ended, exit: None, lived: Duration::ZERO, moment, how });
    }

    pub(super) fn fail_start(&mut self, problem: &StartProblem, starters: Vec<StartReply>) {
        warn!(process = %self.name, %problem, "cannot start");
        self.life = Life::Down;
        self.end_act(Err(&problem.to_string()));
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

    pub(super) fn started(&mut self, pid: u32, start_ticks: u64) {
        let has_check = self.config.ready.check.is_some();
        let Life::Up(active) = &mut self.life else { return };
        let run = active.run;
        let was_ready = std::mem::take(&mut active.was_ready) && active.start_ticks == start_ticks;
        active.pid = Some(pid);
        active.start_ticks = start_ticks;
        let stopping = matches!(active.phase, Phase::Stopping { .. });
        if !stopping {
            active.phase = Phase::Living;
        }
        // Answered once the pid can be seen: whoever started it looks next.
        let starters = std::mem::take(&mut active.starters);
        info!(process = %self.name, run = %run, pid, "child runs");
        if !stopping {
            self.watch_run(run, pid);
            self.end_act(Ok(()));
        }
        self.publish(|snapshot| {
            snapshot.pid = Some(pid);
            if !stopping {
                snapshot.state = if has_check { State::Starting } else { State::Running };
            }
        });
        if was_ready && !stopping {
            // Withdrawn again by who watches it, when it is not true any more.
            self.readiness(run, Readiness::Ready);
        }
        for starter in starters {
            let _ = starter.send(Ok(Started { run, already_running: false }));
        }
        let child = ProcessId { pid, start: start_ticks };
        tokio::spawn(record_child(Arc::clone(&self.context), run, child));
    }

    pub(super) async fn spawn_failed(&mut self, problem: &StartProblem) {
        let Life::Up(mut active) = std::mem::replace(&mut self.life, Life::Down) else { return };
        self.close_run(&mut active, End::NotSpawned(problem.to_string())).await;
        let is_stopped = !active.stoppers.is_empty();
        for stopper in active.stoppers {
            let _ = stopper.send(Stopped { was_running: false, exit: None, how: Some(problem.to_string()) });
        }
        let mut starters = active.starters;
        starters.extend(active.successors.into_iter().map(|(_, reply)| reply));
        if is_stopped || is_anybody_there(&starters) {
            self.fail_start(problem, starters);
        } else {
            self.fail_restart(problem);
        }
    }
}

/// Returns whether any of them still waits to hear of the start; of one that files or the clock asked for, nobody does.
fn is_anybody_there(starters: &[StartReply]) -> bool {
    starters.iter().any(|starter| !starter.is_closed())
}

/// Writes down who the child is, now or as soon as the catalogue can be written (a full disk): should the shim die
/// while there is no daemon, the next one knows from there alone whom to end.
async fn record_child(context: Arc<Context>, run: RunId, child: ProcessId) {
    let mut told = false;
    loop {
        let recorder = Arc::clone(&context);
        let recorded = tokio::task::spawn_blocking(move || recorder.catalogue.run_spawned(run, child)).await;
        match recorded {
            Ok(Err(error @ CatalogueError::Use { .. })) => {
                if !std::mem::replace(&mut told, true) {
                    warn!(%run, %error, "cannot record a pid yet");
                }
                tokio::time::sleep(RECORD_AGAIN).await;
            }
            Ok(Err(error)) => return warn!(%run, %error, "a pid is recorded nowhere"),
            Ok(Ok(())) | Err(_) => return,
        }
    }
}
