//! Waiting for several processes at once: the replicas of one, or the members of a group.

use tokio::task::JoinSet;

use super::Api;
use super::types::{ApiError, Caller, ErrorKind, Until, WaitOutcome, WaitReply, WaitRequest};
use crate::supervisor::Handle;

impl Api {
    /// Waits until all of `handles` are so, or until one of them cannot become so any more; for a line, until one of
    /// them prints it, or none can.
    pub(super) async fn wait_all(
        &self,
        _caller: &Caller,
        handles: &[Handle],
        request: &WaitRequest,
    ) -> Result<WaitReply, ApiError> {
        let mut waits = JoinSet::new();
        for handle in handles {
            let (api, handle, request) = (self.clone(), handle.clone(), request.clone());
            waits.spawn(async move { api.wait_one(&handle, &request).await });
        }
        let one_is_enough = matches!(request.until, Until::Log { .. } | Until::Alert { .. });
        let mut worst: Option<WaitReply> = None;
        // Dropping the set gives the other waits up.
        while let Some(reply) = waits.join_next().await {
            let reply = reply.map_err(|error| ApiError::new(ErrorKind::Failed, error.to_string()))??;
            if is_last_word(reply.outcome, one_is_enough) {
                return Ok(reply);
            }
            if worst.as_ref().is_none_or(|worst| weight(reply.outcome) >= weight(worst.outcome)) {
                worst = Some(reply);
            }
        }
        let Some(mut reply) = worst else {
            let message = format!("`{}` has no members to wait for", request.name);
            return Err(ApiError::new(ErrorKind::Failed, message));
        };
        if reply.outcome == WaitOutcome::Met {
            let so = if request.until == Until::Ready { "are ready" } else { "have ended" };
            reply.reason = format!("all {} of `{}` {so}", handles.len(), request.name);
        }
        Ok(reply)
    }
}

/// Returns whether nothing that the others say can change the outcome.
fn is_last_word(outcome: WaitOutcome, one_is_enough: bool) -> bool {
    match outcome {
        WaitOutcome::Met => one_is_enough,
        WaitOutcome::Impossible => !one_is_enough,
        WaitOutcome::TimedOut => false,
    }
}

/// Of several outcomes the heaviest is that of all.
fn weight(outcome: WaitOutcome) -> u8 {
    match outcome {
        WaitOutcome::Met => 0,
        WaitOutcome::Impossible => 1,
        WaitOutcome::TimedOut => 2,
    }
}
