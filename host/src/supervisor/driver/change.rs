//! How a process that is there changes: another configuration for it, and its leaving the project.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{Driver, Life};
use crate::config::ProcessConfig;
use crate::supervisor::handle::Stopped;

impl Driver {
    /// Goes by another configuration from now on. What runs is not touched; but where it is looked at in another way,
    /// the looking begins anew.
    pub(super) fn reconfigure(&mut self, config: Arc<ProcessConfig>) {
        let looks_otherwise = self.config.ready != config.ready || self.config.health != config.health;
        self.config = Arc::clone(&config);
        self.configs.send_replace(config);
        info!(process = %self.name, "configured anew");
        self.follow_config();
        let Life::Up(active) = &self.life else { return };
        let run = active.run;
        if let Some(pid) = active.pid.filter(|_| active.is_living() && looks_otherwise) {
            self.watch_run(run, pid);
            self.show_condition(run);
        }
    }

    /// Stops the process for good; the driver ends once nothing runs.
    pub(super) async fn retire(&mut self, reply: oneshot::Sender<Stopped>) {
        self.retired = true;
        self.stop(reply).await;
    }

    /// Forgets what was wanted of the process, as the last thing a driver does.
    pub(super) async fn leave(self) {
        let (context, name) = (self.context, self.name);
        info!(process = %name, "has left the project");
        let forgotten = tokio::task::spawn_blocking(move || {
            if let Err(error) = context.catalogue.forget_wanted(&name) {
                warn!(process = %name, %error, "cannot forget what was wanted");
            }
        });
        let _ = forgotten.await;
    }
}
