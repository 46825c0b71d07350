//! How a living run is: whether it is ready, whether its health check holds, what it says of itself; and the state
//! that follows from all that.
//!
//! Owns the tasks that look, from the run's start to its end. They report, and here it is decided.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{Driver, Event, Life, Phase};
use crate::bounds;
use crate::config::{Check, Health, HealthLook};
use crate::model::{RunId, Time};
use crate::shim::Notified;
use crate::supervisor::handle::Checked;
use crate::supervisor::health::{self, Finding, Grace};
use crate::supervisor::looks::{Looked, Purpose, Sight};
use crate::supervisor::probe::{self, Notice, Subject};
use crate::supervisor::ready::{self, Readiness, Sign};
use crate::supervisor::snapshot::State;

/// What is known of how a living run is.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// Whether it starts until its readiness check holds.
    has_check: bool,
    is_ready: bool,
    /// Why it is not ready though it should be.
    unready: Option<String>,
    /// What its health check says when it has failed too often.
    sick: Option<String>,
}

impl Condition {
    fn take(&mut self, readiness: Readiness) {
        (self.is_ready, self.unready) = match readiness {
            Readiness::Ready => (true, None),
            Readiness::Withdrawn(why) | Readiness::Late(why) => (false, Some(why)),
        };
    }

    /// Returns the state of the process, and why it is in it. It is ready in `State::Ready` and in no other.
    fn state(&self) -> (State, Option<&String>) {
        match (&self.sick, self.is_ready, &self.unready) {
            (Some(why), ..) => (State::Unhealthy, Some(why)),
            (None, true, _) => (State::Ready, None),
            (None, false, Some(why)) => (State::Unhealthy, Some(why)),
            (None, false, None) if self.has_check => (State::Starting, None),
            (None, false, None) => (State::Running, None),
        }
    }
}

/// The tasks that look at a run, and their ends of what connects them with its driver.
pub(super) struct Watchers {
    subject: Subject,
    pub(super) signs: mpsc::UnboundedSender<Sign>,
    been_ready: watch::Sender<bool>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Driver {
    /// Has the run looked at from now on.
    pub(super) fn watch_run(&mut self, run: RunId, pid: u32) {
        let (inner, config) = (self.inner.clone(), self.config.clone());
        let (dir, store, looks) = (self.context.run_dir(run), self.context.store.clone(), self.looks.clone());
        let (lookout, secrets) = (self.context.lookout.clone(), self.context.secrets.clone());
        let Some(active) = self.active(run) else { return };
        let notified = active.notices.subscribe();
        let subject = Subject { run, pid, port: active.port, dir, store, lookout, notified, looks, secrets };
        let (signs, signs_rx) = mpsc::unbounded_channel();
        let (been_ready, been_ready_rx) = watch::channel(false);
        let to_driver = inner.clone();
        let report = move |readiness| drop(to_driver.send(Event::Readiness(run, readiness)));
        let readiness = ready::watch(subject.clone(), config.ready.clone(), signs_rx, report);
        let mut tasks = vec![tokio::spawn(readiness).abort_handle()];
        if let Some(health) = config.health.clone() {
            let age = Time::now().since(active.began);
            let grace = health::grace_of(config.ready.timeout, &health).saturating_sub(age);
            let grace = Grace { been_ready: been_ready_rx, until: Instant::now() + grace };
            let report = move |finding| drop(inner.send(Event::Health(run, finding)));
            let watch = health::watch(subject.clone(), health, age, grace, report);
            tasks.push(tokio::spawn(watch).abort_handle());
        }
        active.condition = Condition { has_check: config.ready.check.is_some(), ..Condition::default() };
        active.watchers = Some(Watchers { subject, signs, been_ready, tasks });
    }

    pub(super) fn readiness(&mut self, run: RunId, readiness: Readiness) {
        let Some(active) = self.active(run).filter(|active| active.is_living()) else { return };
        if let (Readiness::Ready, Some(watchers)) = (&readiness, &active.watchers) {
            watchers.been_ready.send_replace(true);
        }
        debug!(%run, took = ?active.since.elapsed(), ?readiness, "readiness changed");
        let is_ready = matches!(readiness, Readiness::Ready);
        active.condition.take(readiness);
        self.show_condition(run);
        self.note_ready(is_ready);
    }

    pub(super) fn health(&mut self, run: RunId, finding: Finding) {
        let restarts = self.config.health.as_ref().is_some_and(|health| health.restart);
        let name = self.name.clone();
        let Some(active) = self.active(run).filter(|active| active.is_living()) else { return };
        active.condition.sick = match finding {
            Finding::Sick(why) => Some(why),
            Finding::Well => None,
        };
        let sick = active.condition.sick.clone();
        if let (true, Some(_)) = (restarts, &sick) {
            active.condemned.clone_from(&sick);
        }
        self.show_condition(run);
        match sick {
            Some(why) if restarts => {
                warn!(process = %name, %run, why, "unhealthy; ending it");
                self.begin_stop();
                // The stop's own word would be none.
                self.publish(|snapshot| snapshot.reason = Some(why));
            }
            Some(why) => warn!(process = %name, %run, why, "unhealthy"),
            None => info!(process = %name, %run, "healthy again"),
        }
    }

    /// Takes in what the run says of itself.
    pub(super) fn notified(&mut self, run: RunId, said: Notified) {
        let status = Some(self.context.secrets.mask(&said.status)).filter(|status| !status.is_empty());
        let Some(active) = self.active(run) else { return };
        let notice = Notice::new(said);
        if let (Phase::Stopping { deadline, killed: false }, Some(until), Some(latest)) =
            (&mut active.phase, notice.extended_to, active.kill_latest)
        {
            *deadline = (*deadline).max(until.min(latest));
        }
        active.notices.send_replace(notice);
        self.snapshots.send_if_modified(|snapshot| {
            let is_new = snapshot.status != status;
            snapshot.status = status;
            is_new
        });
    }

    /// Looks at the process now, for whoever asked; the driver does not wait for it.
    pub(super) fn check(&mut self, reply: oneshot::Sender<Option<Checked>>) {
        let (health, ready) = (self.config.health.clone(), self.config.ready.check.clone());
        let subject = match &self.life {
            Life::Up(active) if active.exit.is_none() => {
                active.watchers.as_ref().map(|watchers| watchers.subject.clone())
            }
            _ => None,
        };
        let port = subject.as_ref().and_then(|subject| subject.port);
        let limit = health::look_limit(health.as_ref());
        let (purpose, check) = match (health, ready) {
            (Some(Health { look: HealthLook::Probe { check, .. }, .. }), _) => (Purpose::Health, check),
            (Some(Health { look: HealthLook::Watchdog(every), .. }), _) => {
                let looked = subject.map(|subject| watchdog(&subject, every));
                let check = format!("WATCHDOG=1 every {every:?}");
                return drop(reply.send(Some(Checked { purpose: Purpose::Health, check, looked })));
            }
            (None, Some(check)) => (Purpose::Ready, check),
            (None, None) => return drop(reply.send(None)),
        };
        tokio::spawn(async move {
            let described = probe::describe(&check, port);
            let looked = match subject {
                Some(subject) => Some(look_within(&subject, &check, purpose, limit).await),
                None => None,
            };
            let _ = reply.send(Some(Checked { purpose, check: described, looked }));
        });
    }

    pub(super) fn show_condition(&mut self, run: RunId) {
        let Some(active) = self.active(run) else { return };
        let (state, reason) = active.condition.state();
        let reason = reason.cloned();
        self.publish(|snapshot| {
            snapshot.state = state;
            snapshot.ready = state == State::Ready;
            snapshot.reason = reason;
        });
    }
}

/// Looks once; a look that hangs in spite of its own limit is given up.
async fn look_within(subject: &Subject, check: &Check, purpose: Purpose, limit: Duration) -> Looked {
    let begun = Instant::now();
    let hard = limit + bounds::READY_LOOK;
    match tokio::time::timeout(hard, probe::look(subject, check, purpose, limit)).await {
        Ok(looked) => looked,
        Err(_) => Looked {
            time: Time::now(),
            purpose,
            sight: Sight::bad(format!("the check was not over within {hard:?}")),
            took: begun.elapsed(),
        },
    }
}

fn watchdog(subject: &Subject, every: Duration) -> Looked {
    let sight = match subject.notified.borrow().watchdog.map(|at| at.elapsed()) {
        Some(age) if age <= every => Sight::good(format!("it said WATCHDOG=1 {age:.1?} ago")),
        Some(age) => Sight::bad(format!("it said WATCHDOG=1 {age:.1?} ago")),
        None => Sight::bad("it has not said WATCHDOG=1"),
    };
    Looked { time: Time::now(), purpose: Purpose::Health, sight, took: Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_that_is_known_decides() {
        let why = || "why".to_owned();
        let mut condition = Condition::default();
        assert_eq!(condition.state().0, State::Running);
        condition.has_check = true;
        assert_eq!(condition.state().0, State::Starting);
        condition.take(Readiness::Late(why()));
        assert_eq!(condition.state(), (State::Unhealthy, Some(&why())));
        condition.take(Readiness::Ready);
        assert_eq!(condition.state(), (State::Ready, None));
        condition.sick = Some("sick".to_owned());
        assert_eq!(condition.state(), (State::Unhealthy, Some(&"sick".to_owned())));
        condition.take(Readiness::Withdrawn(why()));
        condition.sick = None;
        assert_eq!(condition.state(), (State::Unhealthy, Some(&why())));
    }
}
