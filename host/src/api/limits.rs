//! What to say of limits: those that are not in force, and those that a process has come up against.

use std::sync::Arc;

use super::Api;
use crate::supervisor::{Handle, Snapshot, live_remark};

impl Api {
    /// Says which limits of processes are not in force, for `status`.
    pub(super) fn limit_warnings(&self) -> Vec<String> {
        self.parts.fleet.in_order().iter().filter_map(|handle| self.shortfall(handle)).collect()
    }

    /// Says what the caller of a start should know besides: of the configuration file, of limits, and of what was odd.
    pub(super) fn start_warning<'h>(
        &self,
        config: Option<String>,
        started: impl IntoIterator<Item = &'h Handle>,
    ) -> Option<String> {
        let of_one = |handle: &Handle| {
            let odd = handle.snapshot().warning.map(|odd| format!("`{}`: {odd}", handle.name()));
            self.shortfall(handle).into_iter().chain(odd)
        };
        let of_all: Vec<String> = started.into_iter().flat_map(of_one).collect();
        let warnings: Vec<String> = config.into_iter().chain(of_all).collect();
        (!warnings.is_empty()).then(|| warnings.join("; "))
    }

    /// Says what `diagnose` should of the limits of a process.
    pub(super) async fn limit_hints(&self, handle: &Handle, snapshot: &Snapshot) -> Vec<String> {
        let mut hints: Vec<String> = self.shortfall(handle).into_iter().collect();
        if let Some(run) = snapshot.run.filter(|_| snapshot.state.is_alive()) {
            let context = Arc::clone(self.parts.fleet.context());
            let look = tokio::task::spawn_blocking(move || live_remark(&context, run));
            hints.extend(look.await.ok().flatten());
        }
        hints
    }

    /// Leaves no empty directory in the cgroup hierarchy behind, for an orderly end.
    pub fn release_cgroups(&self) {
        self.parts.fleet.context().cgroups.remove_home();
    }

    fn shortfall(&self, handle: &Handle) -> Option<String> {
        let shortfall = self.parts.fleet.context().cgroups.shortfall(&handle.config().limits)?;
        Some(format!("`{}`: {shortfall}", handle.name()))
    }
}
