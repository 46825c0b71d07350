//! Proof that the daemon works: every driver answers.

use std::time::Duration;

use super::Api;

impl Api {
    /// Returns whether every process's driver answers within `limit`.
    pub async fn is_alive(&self, limit: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + limit;
        for handle in self.parts.fleet.in_order() {
            if tokio::time::timeout_at(deadline, handle.ping()).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Returns how many processes run, and how many there are.
    pub fn count(&self) -> (usize, usize) {
        let handles = self.parts.fleet.in_order();
        (handles.iter().filter(|handle| handle.snapshot().state.is_alive()).count(), handles.len())
    }
}
