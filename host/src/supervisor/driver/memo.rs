//! What a driver writes down for the driver of a daemon to come: a stop that was asked for, readiness, rest.
//!
//! Every note is a convenience: that one could not be written is logged, and changes nothing here and now.

use std::sync::Arc;

use tracing::warn;

use super::{Driver, Life, Phase};
use crate::model::{RunId, Time};
use crate::store::{CatalogueError, KnownReady};
use crate::supervisor::snapshot::State;
use crate::supervisor::{Context, procfs};

impl Driver {
    /// Notes that the present run is to end; written before the signal is sent.
    pub(super) async fn note_stop(&self) {
        if let Some(run) = self.run() {
            let note = move |context: &Context| context.catalogue.stop_asked(run, Time::now());
            write(Arc::clone(&self.context), run, note).await;
        }
    }

    /// Notes whether the present run is ready.
    pub(super) fn note_ready(&self, ready: bool) {
        let Life::Up(active) = &self.life else { return };
        let (run, pid) = (active.run, active.pid);
        let note = move |context: &Context| {
            let ready = match pid.filter(|_| ready) {
                None => KnownReady::No,
                Some(pid) if procfs::listening_ports(&procfs::tree(pid)).is_empty() => KnownReady::Portless,
                Some(_) => KnownReady::Listening,
            };
            context.catalogue.known_ready(run, ready)
        };
        tokio::spawn(write(Arc::clone(&self.context), run, note));
    }

    /// Notes that the last run is left as it ended, and why.
    pub(super) fn note_rest(&self, why: &str) {
        let Some(run) = self.snapshots.borrow().run else { return };
        let why = why.to_owned();
        let note = move |context: &Context| context.catalogue.left_at_rest(run, &why);
        tokio::spawn(write(Arc::clone(&self.context), run, note));
    }

    /// Shows an adopted run as it was left, though its shim tells nothing: it may be stopped (SIGSTOP).
    pub(super) fn shim_is_silent(&mut self) {
        let Life::Up(active) = &mut self.life else { return };
        active.phase = Phase::Living;
        let (run, pid) = (active.run, active.pid);
        warn!(process = %self.name, %run, "an adopted run's shim does not answer");
        self.publish(|snapshot| {
            snapshot.pid = pid;
            snapshot.state = State::Unhealthy;
            snapshot.reason = Some("its shim does not answer: it may be frozen".to_owned());
        });
    }

    fn run(&self) -> Option<RunId> {
        match &self.life {
            Life::Up(active) => Some(active.run),
            Life::Down | Life::Backoff { .. } => None,
        }
    }
}

async fn write(
    context: Arc<Context>,
    run: RunId,
    note: impl FnOnce(&Context) -> Result<(), CatalogueError> + Send + 'static,
) {
    let noting = tokio::task::spawn_blocking(move || note(&context));
    if let Ok(Err(error)) = noting.await {
        warn!(%run, %error, "the next daemon will not know what became of a run");
    }
}
