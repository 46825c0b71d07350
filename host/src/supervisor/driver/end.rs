//! How a run ends, and what follows: a stop that was asked for, a restart, or rest.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::acts::STOPPED_FIRST;
use super::{ActiveRun, Driver, End, Life, Phase, RECORD_AGAIN};
use crate::model::{Exit, Level, RunId, Time};
use crate::store::CatalogueError;
use crate::supervisor::dead::{Ending, SHIM_DIED, ending, kill_orphan};
use crate::supervisor::handle::{Started, Stopped};
use crate::supervisor::policy::{Decision, Ended, Moment};
use crate::supervisor::preflight::StartProblem;
use crate::supervisor::snapshot::State;
use crate::supervisor::{Context, RunEvent, cgroup, limits};

/// A life that is over without anybody having asked for it.
pub(super) struct Over {
    pub(super) ended: Ended,
    /// How the child ended, when there was one.
    pub(super) exit: Option<Exit>,
    pub(super) lived: Duration,
    /// When it ended.
    pub(super) moment: Moment,
    /// All that in words.
    pub(super) how: String,
}

impl Driver {
    pub(super) async fn shim_vanished(&mut self) {
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
                return self.ended(note).await;
            }
            Ending::NotSpawned(why) => return self.spawn_failed(&StartProblem::Spawn(why)).await,
            Ending::Unknown => {}
        }
        warn!(process = %self.name, %run, "the shim died");
        // Without its shim the child has nobody to take its output; it must not stay as a ghost that holds a port.
        let dir = self.context.run_dir(run);
        let killing = tokio::task::spawn_blocking(move || {
            if let Some(pid) = pid {
                kill_orphan(pid, start_ticks);
            }
            if let Some(dir) = cgroup::of_run(&dir) {
                cgroup::clear(&dir);
            }
        });
        let _ = killing.await;
        self.remark(run, Level::Warn, SHIM_DIED.to_owned());
        self.ended(Some(SHIM_DIED.to_owned())).await;
    }

    pub(super) async fn ended(&mut self, note: Option<String>) {
        let Life::Up(active) = std::mem::replace(&mut self.life, Life::Down) else { return };
        let mut active = *active;
        active.watchers = None;
        let exit = active.exit.unwrap_or(Exit { code: None, signal: None });
        let note = self.with_limits(note, &active, exit);
        let mut how = match &active.phase {
            Phase::Stopping { killed: true, .. } => {
                let how = format!("{exit} after a grace of {:?}", self.config.stop.grace);
                note.as_ref().map_or_else(|| how.clone(), |note| format!("{how}; {note}"))
            }
            _ => exit.with_note(note.as_deref()),
        };
        // What it was stopped for counts more than how it went.
        if let Some(condemned) = &active.condemned {
            how = format!("{condemned}; {how}");
        }
        let note = [active.condemned.clone(), note].into_iter().flatten().reduce(|a, b| format!("{a}; {b}"));
        self.close_run(&mut active, End::Exited { exit, note }).await;
        for starter in active.starters.drain(..) {
            let _ = starter.send(Ok(Started { run: active.run, already_running: false }));
        }
        let stopped = matches!(active.phase, Phase::Stopping { .. });
        let is_asked_for = !active.stoppers.is_empty() || !active.successors.is_empty();
        if is_asked_for || (stopped && active.condemned.is_none()) {
            self.after_stop(active, exit, how).await;
        } else {
            let ended = if active.condemned.is_some() { Ended::Unhealthy } else { Ended::Exited(exit) };
            let (lived, moment) = (active.lived(), self.moment());
            self.after_end(Over { ended, exit: Some(exit), lived, moment, how });
        }
    }

    /// Puts what the limits have to do with the end before what else is to be said of it.
    fn with_limits(&self, note: Option<String>, active: &ActiveRun, exit: Exit) -> Option<String> {
        let stopping = matches!(active.phase, Phase::Stopping { .. });
        let suspicion = || limits::suspicion(&self.config.limits, exit, active.since.elapsed());
        // Who is being stopped was killed by us, whatever befell another of its processes before.
        let by_itself = if stopping { Exit { code: None, signal: None } } else { exit };
        let remark = cgroup::remark(active.hits, by_itself).or_else(|| (!stopping).then(suspicion).flatten());
        let notes: Vec<String> = remark.into_iter().chain(note).collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    pub(super) async fn after_stop(&mut self, active: ActiveRun, exit: Exit, how: String) {
        self.history.clear();
        // Who waits for it is not to take a restart for a stop.
        let state = if active.successors.is_empty() { State::Stopped } else { State::Starting };
        self.publish(|snapshot| {
            snapshot.state = state;
            snapshot.pid = None;
            snapshot.ready = false;
            snapshot.exit = Some(exit);
            snapshot.restarts = 0;
            snapshot.reason = None;
        });
        for stopper in active.stoppers {
            let _ = stopper.send(Stopped { was_running: true, exit: Some(exit), how: Some(how.clone()) });
        }
        if active.successors.is_empty() {
            self.end_act(Err(STOPPED_FIRST));
        }
        if let Some((reason, _)) = active.successors.first() {
            self.want(true).await;
            self.once = None;
            let reason = reason.clone();
            let starters = active.successors.into_iter().map(|(_, reply)| reply).collect();
            self.launch(&reason, starters).await;
        }
    }

    pub(super) fn after_end(&mut self, over: Over) {
        let Over { ended, exit, lived, moment, how } = over;
        // Of a run whose child never ran, or whose shim died before it could say so.
        self.end_act(Err(&how));
        let policy = self.run_config().restart;
        match self.history.decide(&policy, ended, lived, moment, dice()) {
            Decision::Restart { after } => {
                // To the millisecond, which is all that anybody reads of it.
                let after = Duration::from_millis(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                info!(process = %self.name, how, ?after, "starting again");
                self.life = Life::Backoff { until: Instant::now() + after };
                self.publish(|snapshot| {
                    snapshot.state = State::Backoff;
                    snapshot.pid = None;
                    snapshot.ready = false;
                    snapshot.exit = exit.or(snapshot.exit);
                    snapshot.restarts += 1;
                    snapshot.reason = Some(format!("{how}; starting again in {after:?}"));
                });
            }
            decision => {
                let reason = match decision {
                    Decision::GiveUp { reason } => format!("{how}; {reason}"),
                    _ => how,
                };
                let is_well = matches!(ended, Ended::Exited(exit) if exit.is_success());
                self.note_rest(&reason);
                self.publish(|snapshot| {
                    snapshot.state = if is_well { State::Exited } else { State::Failed };
                    snapshot.pid = None;
                    snapshot.ready = false;
                    snapshot.exit = exit.or(snapshot.exit);
                    snapshot.reason = Some(reason);
                });
            }
        }
    }

    /// Writes down how a run ended, before anybody is told, and lets the pipeline know that its spool is complete.
    ///
    /// With that the run's directory goes, from which the next daemon would learn how the run ended. So where the
    /// catalogue cannot be written (a full disk), the pipeline is told later, once it could be.
    pub(super) async fn close_run(&self, active: &mut ActiveRun, end: End) {
        let (context, run) = (Arc::clone(&self.context), active.run);
        if let (End::NotSpawned(_), Some(shim)) = (&end, &mut active.shim) {
            // One that is only slow must not start a child that nobody knows of.
            let _ = shim.kill();
        }
        let (end, ended_at) = (Arc::new(end), Time::now());
        match record(&context, run, ended_at, &end).await {
            Ok(()) => drop(context.events.send(RunEvent::Ended(run))),
            Err(error) => {
                warn!(%run, %error, "cannot record the end of a run");
                tokio::spawn(async move {
                    while record(&context, run, ended_at, &end).await.is_err() {
                        tokio::time::sleep(RECORD_AGAIN).await;
                    }
                    let _ = context.events.send(RunEvent::Ended(run));
                });
            }
        }
        if let Some(mut shim) = active.shim.take() {
            // It ends right after its last report.
            tokio::task::spawn_blocking(move || shim.wait());
        }
    }
}

/// Returns a random number; good enough to keep processes apart, and for nothing else.
fn dice() -> u32 {
    use std::hash::BuildHasher;
    let random = std::hash::RandomState::new().hash_one(());
    (random >> 32) as u32
}

/// Writes down how a run ended; an error is one that may pass.
async fn record(
    context: &Arc<Context>,
    run: RunId,
    ended_at: Time,
    end: &Arc<End>,
) -> Result<(), CatalogueError> {
    let (context, end) = (Arc::clone(context), Arc::clone(end));
    let recorded = tokio::task::spawn_blocking(move || {
        context.remove_sockets(run);
        // Read before the run is closed, for its directory goes then.
        let over = cgroup::of_run(&context.run_dir(run)).filter(|dir| dir.exists());
        let recorded = match &*end {
            End::Exited { exit, note } => context.catalogue.end_run(run, ended_at, *exit, note.as_deref()),
            End::NotSpawned(why) => context.catalogue.run_not_spawned(run, ended_at, why),
        };
        if let (Some(over), Ok(())) = (over, &recorded) {
            // Nobody has to wait for that.
            std::thread::spawn(move || cgroup::clear(&over));
        }
        recorded
    });
    match recorded.await {
        Ok(Err(error @ CatalogueError::Use { .. })) => Err(error),
        Ok(Err(error)) => {
            warn!(%run, %error, "the end of a run is recorded nowhere");
            Ok(())
        }
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}
