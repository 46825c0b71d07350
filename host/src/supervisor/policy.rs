//! Whether and when an ended process is started again. Pure: it reads no clock, throws no dice and starts nothing.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::{RestartPolicy, RestartWhen};
use crate::model::{Exit, Time};

/// What follows an end that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Start again after this long.
    Restart { after: Duration },
    /// Leave it: the policy does not restart after such an end.
    Leave,
    /// Leave it: it has failed too often; the text says how often in how long.
    GiveUp { reason: String },
}

/// An end that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Exited(Exit),
    /// It could not be spawned, for a reason that may pass.
    NotSpawned,
    /// It was stopped because its health check had failed.
    Unhealthy,
}

impl Ended {
    fn is_success(self) -> bool {
        matches!(self, Self::Exited(exit) if exit.is_success())
    }
}

/// A moment, as the time since one of the caller's choosing.
pub type Moment = Duration;

/// A run of the past, as far as restarts go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastRun {
    /// It was started because the run before it had ended, not because somebody asked.
    pub is_restart: bool,
    pub began: Time,
    pub ended: Time,
}

/// The restarts of one process, as far back as its policy looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    restarts: VecDeque<Moment>,
    /// Ends in a row without a stable life between them: the exponent of the backoff.
    streak: u32,
}

impl History {
    /// Decides what follows the end of a life of `lived` at `now`. `dice` is a random number, which all jitter is
    /// taken from.
    pub fn decide(
        &mut self,
        policy: &RestartPolicy,
        ended: Ended,
        lived: Duration,
        now: Moment,
        dice: u32,
    ) -> Decision {
        let restarts = match policy.when {
            RestartWhen::Always => true,
            RestartWhen::OnFailure => !ended.is_success(),
            RestartWhen::Never => false,
        };
        if !restarts {
            return Decision::Leave;
        }
        self.forget(policy, lived, now);
        if self.restarts.len() >= policy.max as usize {
            let (count, window) = (self.restarts.len(), policy.window);
            let reason = match count {
                0 => "its policy allows no restart (max = 0)".to_owned(),
                1 => format!("restarted once within {window:?}, then ended again"),
                _ => format!("restarted {count} times within {window:?}, then ended again"),
            };
            return Decision::GiveUp { reason };
        }
        let after = jittered(backoff(policy, self.streak), policy.jitter_percent, dice);
        self.note(now);
        Decision::Restart { after }
    }

    /// Takes up the history of an earlier daemon: the last runs of the process, the oldest first, without the one
    /// whose end is still to be decided on. `moment` tells when on the caller's clock a time of day was.
    ///
    /// Returns how many of them were restarts since somebody last started it.
    pub fn recall(
        &mut self,
        policy: &RestartPolicy,
        runs: &[PastRun],
        is_restart: bool,
        moment: impl Fn(Time) -> Moment,
    ) -> u32 {
        self.clear();
        // Each run that is a restart followed from the end of the one before it.
        let followed = runs.iter().skip(1).map(|run| run.is_restart).chain([is_restart]);
        let mut count: u32 = 0;
        for (run, followed_by_restart) in runs.iter().zip(followed) {
            if followed_by_restart {
                let now = moment(run.ended);
                self.forget(policy, run.ended.since(run.began), now);
                self.note(now);
                count = count.saturating_add(1);
            } else {
                self.clear();
                count = 0;
            }
        }
        count
    }

    /// Forgets everything: a manual start is a new beginning.
    pub fn clear(&mut self) {
        self.restarts.clear();
        self.streak = 0;
    }

    /// A life longer than the window counts as stable: whatever went wrong before is over.
    fn forget(&mut self, policy: &RestartPolicy, lived: Duration, now: Moment) {
        if lived >= policy.window {
            self.clear();
        }
        while self.restarts.front().is_some_and(|at| now.saturating_sub(*at) > policy.window) {
            self.restarts.pop_front();
        }
    }

    fn note(&mut self, now: Moment) {
        self.restarts.push_back(now);
        self.streak = self.streak.saturating_add(1);
    }
}

/// Doubles from the policy's first wait up to its longest.
fn backoff(policy: &RestartPolicy, streak: u32) -> Duration {
    let factor = 1_u32.checked_shl(streak).unwrap_or(u32::MAX).max(1);
    policy.backoff_first.checked_mul(factor).unwrap_or(policy.backoff_longest).min(policy.backoff_longest)
}

/// Moves `wait` by up to `percent` of it either way, the longest one too: processes that failed together and wait
/// their longest must not come back together either.
fn jittered(wait: Duration, percent: u8, dice: u32) -> Duration {
    let share = f64::from(percent.min(100)) / 100.0;
    let offset = f64::from(dice) / f64::from(u32::MAX) * 2.0 - 1.0;
    Duration::try_from_secs_f64(wait.as_secs_f64() * (1.0 + share * offset)).unwrap_or(wait)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// In the middle: no jitter either way, as near as a number can be.
    const MIDDLE: u32 = u32::MAX / 2;

    fn policy(when: RestartWhen) -> RestartPolicy {
        RestartPolicy {
            when,
            backoff_first: Duration::from_millis(200),
            backoff_longest: Duration::from_secs(30),
            max: 5,
            window: Duration::from_secs(60),
            jitter_percent: 0,
        }
    }

    fn failure() -> Ended {
        Ended::Exited(Exit { code: Some(1), signal: None })
    }

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_policy_says_after_which_ends_to_restart() {
        let success = Ended::Exited(Exit { code: Some(0), signal: None });
        let killed = Ended::Exited(Exit { code: None, signal: Some(9) });
        let restarts = |when, ended| {
            let decision = History::default().decide(&policy(when), ended, Duration::ZERO, at(0), MIDDLE);
            matches!(decision, Decision::Restart { .. })
        };
        use RestartWhen::{Always, Never, OnFailure};
        let ends = [success, failure(), killed, Ended::NotSpawned, Ended::Unhealthy];
        assert_eq!(ends.map(|ended| restarts(Always, ended)), [true; 5]);
        assert_eq!(ends.map(|ended| restarts(OnFailure, ended)), [false, true, true, true, true]);
        assert_eq!(ends.map(|ended| restarts(Never, ended)), [false; 5]);
    }

    #[test]
    fn flapping_ends_in_giving_up_with_the_count() {
        let (policy, mut history) = (policy(RestartWhen::OnFailure), History::default());
        for expected in [200, 400, 800, 1600, 3200] {
            let decision = history.decide(&policy, failure(), at(1), at(9), MIDDLE);
            assert_eq!(decision, Decision::Restart { after: Duration::from_millis(expected) });
        }
        let decision = history.decide(&policy, failure(), at(1), at(9), MIDDLE);
        assert_eq!(
            decision,
            Decision::GiveUp { reason: "restarted 5 times within 60s, then ended again".into() }
        );
        history.clear();
        let decision = history.decide(&policy, failure(), at(1), at(9), MIDDLE);
        assert_eq!(decision, Decision::Restart { after: Duration::from_millis(200) });
    }

    #[test]
    fn a_stable_life_resets_the_backoff() {
        let (policy, mut history) = (policy(RestartWhen::OnFailure), History::default());
        for _ in 0..4 {
            history.decide(&policy, failure(), at(1), at(10), MIDDLE);
        }
        let decision = history.decide(&policy, failure(), at(61), at(80), MIDDLE);
        assert_eq!(decision, Decision::Restart { after: Duration::from_millis(200) });
    }

    #[test]
    fn no_restart_allowed_is_said_so() {
        let policy = RestartPolicy { max: 0, ..policy(RestartWhen::Always) };
        let decision = History::default().decide(&policy, failure(), at(1), at(1), MIDDLE);
        assert_eq!(decision, Decision::GiveUp { reason: "its policy allows no restart (max = 0)".into() });
    }

    #[test]
    fn what_an_earlier_daemon_restarted_counts() {
        let policy = policy(RestartWhen::OnFailure);
        let run = |is_restart, began: i64, ended: i64| PastRun {
            is_restart,
            began: Time(began * 1_000_000_000),
            ended: Time(ended * 1_000_000_000),
        };
        let moment = |time: Time| Duration::from_nanos(u64::try_from(time.0).unwrap());
        // Started by hand, ended, restarted twice; the last of them is still to be decided on.
        let runs = [run(true, 0, 1), run(false, 5, 6), run(true, 7, 8)];
        let mut history = History::default();
        assert_eq!(history.recall(&policy, &runs, true, moment), 2);
        let decision = history.decide(&policy, failure(), at(1), at(10), MIDDLE);
        assert_eq!(decision, Decision::Restart { after: Duration::from_millis(800) });
        // The same, and somebody has started it since.
        assert_eq!(history.recall(&policy, &runs, false, moment), 0);
        assert_eq!(history, History::default());
        assert_eq!(history.recall(&policy, &[], true, moment), 0);
    }

    proptest! {
        #[test]
        fn waits_stay_within_the_policy_and_restarts_within_the_window(
            lives in proptest::collection::vec((0_u64..120, any::<u32>()), 1..60),
            max in 0_u32..8,
            jitter_percent in 0_u8..=100,
        ) {
            let policy = RestartPolicy { max, jitter_percent, ..policy(RestartWhen::OnFailure) };
            let mut history = History::default();
            let mut now = Moment::ZERO;
            let mut restarts: Vec<Moment> = Vec::new();
            let share = f64::from(jitter_percent) / 100.0;
            let least = policy.backoff_first.mul_f64(1.0 - share).saturating_sub(Duration::from_micros(1));
            let most = policy.backoff_longest.mul_f64(1.0 + share) + Duration::from_micros(1);
            for (life, dice) in lives {
                now += Duration::from_secs(life);
                match history.decide(&policy, failure(), Duration::from_secs(life), now, dice) {
                    Decision::Restart { after } => {
                        prop_assert!(after >= least && after <= most, "{after:?}");
                        restarts.push(now);
                        let recent = restarts.iter().filter(|at| now - **at < policy.window).count();
                        prop_assert!(recent <= max as usize);
                    }
                    Decision::GiveUp { .. } => {}
                    Decision::Leave => prop_assert!(false, "a failure is never simply left"),
                }
            }
        }

        #[test]
        fn a_new_daemon_decides_as_the_old_one_would_have(
            lives in proptest::collection::vec(0_i64..90, 1..20),
        ) {
            let policy = policy(RestartWhen::Always);
            let moment = |time: Time| Duration::from_nanos(u64::try_from(time.0).unwrap());
            let (mut old, mut runs, mut now) = (History::default(), Vec::new(), 0);
            for (index, life) in lives.iter().enumerate() {
                let run = PastRun {
                    is_restart: index > 0,
                    began: Time(now * 1_000_000_000),
                    ended: Time((now + life) * 1_000_000_000),
                };
                now += life;
                let mut new = History::default();
                new.recall(&policy, &runs, index > 0, moment);
                prop_assert_eq!(new.restarts.len() as u32 <= policy.max, true);
                let lived = run.ended.since(run.began);
                let by_new = new.decide(&policy, failure(), lived, moment(run.ended), MIDDLE);
                let by_old = old.decide(&policy, failure(), lived, moment(run.ended), MIDDLE);
                prop_assert_eq!(&by_new, &by_old);
                if !matches!(by_old, Decision::Restart { .. }) {
                    break;
                }
                runs.push(run);
            }
        }
    }
}
