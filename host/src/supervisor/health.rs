//! Whether a run that was ready still works: one task per run with a configured health check, which looks at
//! intervals, or listens for the run's own `WATCHDOG=1`, and reports when it has failed often enough.
//!
//! A run that is still starting is left in peace: a failed look counts once the run has been ready, or once its time
//! to become ready is over, and never before the configured delay. The task only reports; the driver decides.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::looks::{Looked, Purpose, Sight};
use super::probe::{self, Subject};
use crate::bounds;
use crate::config::{Check, Health, HealthLook};
use crate::model::Time;

/// How long a silent watchdog is waited for beyond its time: what was said has a way to go, and a daemon that was
/// stopped for a while has not heard it yet.
const WATCHDOG_SLACK: Duration = Duration::from_millis(500);
/// Least pause between two looks, whatever is configured.
const LEAST_PAUSE: Duration = Duration::from_millis(10);

/// What the task found, for its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The check has failed too often in a row; the text says how often and what was seen last.
    Sick(String),
    /// It was sick, and the check holds again.
    Well,
}

/// Failed looks in a row, and what follows from them.
#[derive(Debug)]
struct Vitals {
    /// Failures that make a run count as sick.
    limit: u32,
    failures: u32,
}

impl Vitals {
    /// Takes in what a look saw; returns what is new by it.
    fn note(&mut self, sight: &Sight) -> Option<Finding> {
        if sight.ok {
            let was_sick = self.failures >= self.limit;
            self.failures = 0;
            return was_sick.then_some(Finding::Well);
        }
        let was_sick = self.failures >= self.limit;
        self.failures = self.failures.saturating_add(1);
        (!was_sick && self.failures >= self.limit).then(|| {
            let times = if self.limit > 1 { format!(" {} times", self.limit) } else { String::new() };
            Finding::Sick(format!("health check failed{times}: {}", sight.what))
        })
    }
}

/// From when on failed looks count.
#[derive(Debug, Clone)]
pub struct Grace {
    /// Becomes true once the run has been ready.
    pub been_ready: watch::Receiver<bool>,
    /// Until then a run that has not been ready is left in peace.
    pub until: Instant,
}

impl Grace {
    fn is_over(&self) -> bool {
        *self.been_ready.borrow() || Instant::now() >= self.until
    }

    async fn over(&mut self) {
        tokio::select! {
            _ = self.been_ready.wait_for(|ready| *ready) => {}
            () = sleep_until(self.until) => {}
        }
    }
}

/// Looks at the run until it is dropped. `age` is how long it has lived already.
pub async fn watch(
    subject: Subject,
    health: Health,
    age: Duration,
    grace: Grace,
    reports: impl Fn(Finding) + Send,
) {
    let vitals = Vitals { limit: health.failures.max(1), failures: 0 };
    match health.look {
        HealthLook::Probe { check, every, timeout, delay } => {
            let rhythm = Rhythm { every: every.max(LEAST_PAUSE), timeout };
            sleep(delay.saturating_sub(age)).await;
            probe_regularly(&subject, &check, rhythm, grace, vitals, reports).await;
        }
        HealthLook::Watchdog(every) => {
            listen(subject, every.max(LEAST_PAUSE), grace, vitals, reports).await;
        }
    }
}

struct Rhythm {
    every: Duration,
    timeout: Duration,
}

async fn probe_regularly(
    subject: &Subject,
    check: &Check,
    rhythm: Rhythm,
    grace: Grace,
    mut vitals: Vitals,
    reports: impl Fn(Finding),
) {
    loop {
        let next = Instant::now() + rhythm.every;
        let sight = probe::look(subject, check, Purpose::Health, rhythm.timeout).await.sight;
        if (sight.ok || grace.is_over())
            && let Some(finding) = vitals.note(&sight)
        {
            reports(finding);
        }
        sleep_until(next.max(Instant::now() + LEAST_PAUSE)).await;
    }
}

async fn listen(
    mut subject: Subject,
    every: Duration,
    mut grace: Grace,
    mut vitals: Vitals,
    reports: impl Fn(Finding),
) {
    grace.over().await;
    let mut last = Instant::now();
    let mut due = last + every;
    let mut was_triggered = false;
    loop {
        let silence = async {
            sleep_until(due).await;
            sleep(WATCHDOG_SLACK).await;
        };
        tokio::select! {
            Ok(()) = subject.notified.changed() => {}
            () = silence => {}
        }
        let notice = subject.notified.borrow_and_update().clone();
        let is_triggered = notice.said.triggered && !was_triggered;
        was_triggered = notice.said.triggered;
        let sight = if is_triggered {
            // It asks for it, so that nothing further is waited for.
            vitals.failures = vitals.failures.max(vitals.limit - 1);
            Sight::bad("it said WATCHDOG=trigger")
        } else if let Some(at) = notice.watchdog.filter(|at| *at > last) {
            (last, due) = (at, at + every);
            Sight::good("it said WATCHDOG=1")
        } else if Instant::now() < due + WATCHDOG_SLACK {
            // Something else was said.
            continue;
        } else {
            let silent = due - last;
            due += every;
            Sight::bad(format!("it has not said WATCHDOG=1 for {silent:?}"))
        };
        let looked = Looked {
            time: Time::now(),
            purpose: Purpose::Health,
            sight: sight.clone(),
            took: Duration::ZERO,
        };
        subject.looks.add(looked);
        if let Some(finding) = vitals.note(&sight) {
            reports(finding);
        }
    }
}

/// Returns how long a run that has not been ready is left in peace.
pub fn grace_of(ready_timeout: Duration, health: &Health) -> Duration {
    match &health.look {
        HealthLook::Probe { delay, .. } => ready_timeout.max(*delay),
        HealthLook::Watchdog(_) => ready_timeout,
    }
}

/// Returns the time for one look of this check when somebody asks for it.
pub fn look_limit(health: Option<&Health>) -> Duration {
    match health.map(|health| &health.look) {
        Some(HealthLook::Probe { timeout, .. }) => *timeout,
        _ => bounds::READY_LOOK,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_run_is_sick_after_so_many_failures_in_a_row_and_not_before() {
        let mut vitals = Vitals { limit: 3, failures: 0 };
        let (good, bad) = (Sight::good("fine"), Sight::bad("GET / answered 503"));
        let seen = [&bad, &bad, &good, &bad, &bad, &bad, &bad, &good, &good, &bad];
        let found: Vec<_> = seen.iter().map(|sight| vitals.note(sight)).collect();
        let sick = Some(Finding::Sick("health check failed 3 times: GET / answered 503".into()));
        assert_eq!(found[5], sick);
        assert_eq!(found[7], Some(Finding::Well));
        assert_eq!(found.iter().flatten().count(), 2);
    }

    #[test]
    fn one_failure_is_not_counted_in_words() {
        let found = Vitals { limit: 1, failures: 0 }.note(&Sight::bad("it is gone"));
        assert_eq!(found, Some(Finding::Sick("health check failed: it is gone".into())));
    }

    proptest! {
        #[test]
        fn sick_and_well_take_turns(looks in proptest::collection::vec(any::<bool>(), 0..200), limit in 1u32..6) {
            let mut vitals = Vitals { limit, failures: 0 };
            let mut is_sick = false;
            for ok in looks {
                match vitals.note(&Sight { ok, what: String::new() }) {
                    Some(Finding::Sick(_)) => { prop_assert!(!is_sick && !ok); is_sick = true; }
                    Some(Finding::Well) => { prop_assert!(is_sick && ok); is_sick = false; }
                    None => {}
                }
            }
        }
    }
}
