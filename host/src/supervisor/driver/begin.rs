//! How a run begins: launched, adopted, or recalled from an earlier daemon.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use super::when::once;
use super::{ActiveRun, Driver, End, Event, Life, Phase, SPAWN_WAIT, StartReply};
use crate::model::{RunId, Time};
use crate::shim::LimitHits;
use crate::shim::control::Report;
use crate::store::ProcessId;
use crate::supervisor::adopt::{LastRun, OpenRun};
use crate::supervisor::handle::{StartError, Started, Stopped};
use crate::supervisor::input::{self, Answer, Feeder};
use crate::supervisor::link::{ShimLink, Upward};
use crate::supervisor::preflight::StartProblem;
use crate::supervisor::snapshot::State;
use crate::supervisor::tail::Tails;
use crate::supervisor::{Bell, RunBegan, RunEvent, launch, ready};

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
            Ok(Err(problem)) => return self.fail_start(&problem, starters),
            Err(panic) => return self.fail_start(&StartProblem::Spawn(panic.to_string()), starters),
        };
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
        if open.once {
            self.once = Some(once(&self.config, open.command.clone()));
        }
        match self.attach(open.run, open.socket, open.began) {
            Ok(active) => {
                self.announce(&active);
                self.life = Life::Up(Box::new(active));
            }
            Err(error) => warn!(process = %self.name, run = %open.run, %error, "cannot adopt a run"),
        }
    }

    /// Takes up the story after a run that ended when no daemon was looking, or under an earlier one.
    pub(super) fn recall(&mut self, last: LastRun) {
        self.publish(|snapshot| {
            snapshot.run = Some(last.run);
            snapshot.started = Some(last.began);
            snapshot.exit = last.exit;
        });
        match last.exit {
            Some(exit) if last.wanted => {
                self.after_exit(exit, last.ended.since(last.began), exit.to_string())
            }
            None if last.wanted => self.publish(|snapshot| {
                snapshot.state = State::Failed;
                snapshot.reason = last.reason;
            }),
            _ => {}
        }
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
            hits: LimitHits::default(),
            phase: Phase::Spawning { deadline: Instant::now() + SPAWN_WAIT },
            starters: Vec::new(),
            stoppers: Vec::new(),
            successors: Vec::new(),
            input,
            tails,
            signalled: VecDeque::new(),
            reloading: false,
            signs,
            watcher: None,
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

    pub(super) fn fail_start(&mut self, problem: &StartProblem, starters: Vec<StartReply>) {
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

    pub(super) fn started(&mut self, pid: u32, start_ticks: u64) {
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

    pub(super) async fn spawn_failed(&mut self, problem: &StartProblem) {
        let Life::Up(mut active) = std::mem::replace(&mut self.life, Life::Down) else { return };
        self.close_run(&mut active, End::NotSpawned(problem.to_string())).await;
        for stopper in active.stoppers {
            let _ = stopper.send(Stopped { was_running: false, exit: None, how: Some(problem.to_string()) });
        }
        let mut starters = active.starters;
        starters.extend(active.successors.into_iter().map(|(_, reply)| reply));
        self.fail_start(problem, starters);
    }
}
