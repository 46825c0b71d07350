//! Whether and when an ended process is started again. Pure: it reads no clock and starts nothing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::{RestartPolicy, RestartWhen};
use crate::model::Exit;

/// What follows an exit that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Start again after this long.
    Restart { after: Duration },
    /// Leave it: the policy does not restart such an exit.
    Leave,
    /// Leave it: it has failed too often; the text says how often in how long.
    GiveUp { reason: String },
}

/// The restarts of one process, as far back as its policy looks.
#[derive(Debug, Clone, Default)]
pub struct History {
    restarts: VecDeque<Instant>,
    /// Exits in a row without a stable life between them: the exponent of the backoff.
    streak: u32,
}

impl History {
    /// Decides what follows `exit` at `now`, after a life of `lived`. `exit` is `None` when the start itself failed.
    pub fn decide(
        &mut self,
        policy: &RestartPolicy,
        exit: Option<Exit>,
        lived: Duration,
        now: Instant,
    ) -> Decision {
        let success = exit.is_some_and(Exit::is_success);
        let restarts = match policy.when {
            RestartWhen::Always => true,
            RestartWhen::OnFailure => !success,
            RestartWhen::Never => false,
        };
        if !restarts {
            return Decision::Leave;
        }
        // A life longer than the window counts as stable: whatever went wrong before is over.
        if lived >= policy.window {
            self.clear();
        }
        while self.restarts.front().is_some_and(|at| now.duration_since(*at) > policy.window) {
            self.restarts.pop_front();
        }
        if self.restarts.len() >= policy.max as usize {
            let (count, window) = (self.restarts.len(), policy.window);
            return Decision::GiveUp {
                reason: format!("restarted {count} times within {window:?}, then ended again"),
            };
        }
        self.restarts.push_back(now);
        let after = backoff(policy, self.streak);
        self.streak = self.streak.saturating_add(1);
        Decision::Restart { after }
    }

    /// Forgets everything: a manual start is a new beginning.
    pub fn clear(&mut self) {
        self.restarts.clear();
        self.streak = 0;
    }
}

/// Doubles from the policy's first wait up to its longest.
fn backoff(policy: &RestartPolicy, streak: u32) -> Duration {
    let factor = 1_u32.checked_shl(streak).unwrap_or(u32::MAX).max(1);
    policy.backoff_first.checked_mul(factor).unwrap_or(policy.backoff_longest).min(policy.backoff_longest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    fn failure() -> Option<Exit> {
        Some(Exit { code: Some(1), signal: None })
    }

    #[test]
    fn success_is_left_alone_unless_the_policy_is_always() {
        let success = Some(Exit { code: Some(0), signal: None });
        let decide = |when| History::default().decide(&policy(when), success, Duration::ZERO, Instant::now());
        assert_eq!(decide(RestartWhen::OnFailure), Decision::Leave);
        assert_eq!(decide(RestartWhen::Never), Decision::Leave);
        assert!(matches!(decide(RestartWhen::Always), Decision::Restart { .. }));
    }

    #[test]
    fn flapping_ends_in_giving_up_with_the_count() {
        let (policy, mut history, now) = (policy(RestartWhen::OnFailure), History::default(), Instant::now());
        for expected in [200, 400, 800, 1600, 3200] {
            let decision = history.decide(&policy, failure(), Duration::from_secs(1), now);
            assert_eq!(decision, Decision::Restart { after: Duration::from_millis(expected) });
        }
        let decision = history.decide(&policy, failure(), Duration::from_secs(1), now);
        assert_eq!(
            decision,
            Decision::GiveUp { reason: "restarted 5 times within 60s, then ended again".into() }
        );
    }

    #[test]
    fn a_stable_life_resets_the_backoff() {
        let (policy, mut history, now) = (policy(RestartWhen::OnFailure), History::default(), Instant::now());
        for _ in 0..4 {
            history.decide(&policy, failure(), Duration::from_secs(1), now);
        }
        let decision = history.decide(&policy, failure(), Duration::from_secs(61), now);
        assert_eq!(decision, Decision::Restart { after: Duration::from_millis(200) });
    }

    proptest! {
        #[test]
        fn waits_stay_within_the_policy_and_restarts_within_the_window(
            lives in proptest::collection::vec(0_u64..120, 1..60),
            max in 0_u32..8,
        ) {
            let policy = RestartPolicy { max, ..policy(RestartWhen::OnFailure) };
            let mut history = History::default();
            let mut now = Instant::now();
            let mut restarts: Vec<Instant> = Vec::new();
            for life in lives {
                now += Duration::from_secs(life);
                match history.decide(&policy, failure(), Duration::from_secs(life), now) {
                    Decision::Restart { after } => {
                        prop_assert!(after >= policy.backoff_first && after <= policy.backoff_longest);
                        restarts.push(now);
                        let recent = restarts.iter().filter(|at| now - **at < policy.window).count();
                        prop_assert!(recent <= max as usize);
                    }
                    Decision::GiveUp { .. } => {}
                    Decision::Leave => prop_assert!(false, "a failure is never simply left"),
                }
            }
        }
    }
}
