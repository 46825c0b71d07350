//! What a driver writes down for the driver of a daemon to come: a stop that was asked for, readiness, rest.
//!
//! Every note is a convenience: that one could not be written is logged, and changes nothing here and now.

use std::sync::Arc;

use tokio::sync::watch;
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
        self.ready_notes.send_replace(Some(ReadyNote { run: active.run, pid: active.pid.filter(|_| ready) }));
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

/// How ready a run is, to be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReadyNote {
    run: RunId,
    /// Of a run that is ready: its child, whose ports are looked at.
    pid: Option<u32>,
}

/// Takes what is to be written down; of what changes faster than it can be written the newest is kept.
pub(super) type ReadyNotes = watch::Sender<Option<ReadyNote>>;

/// Returns where one driver's notes of readiness go; they are written in their order until it is dropped.
pub(super) fn keep_ready_notes(context: Arc<Context>) -> ReadyNotes {
    let (sender, notes) = watch::channel(None);
    tokio::spawn(write_newest(notes, move |ReadyNote { run, pid }| {
        let note = move |context: &Context| {
            let ready = match pid {
                None => KnownReady::No,
                Some(pid) if procfs::listening_ports(&procfs::tree(pid)).is_empty() => KnownReady::Portless,
                Some(_) => KnownReady::Listening,
            };
            context.catalogue.known_ready(run, ready)
        };
        write(Arc::clone(&context), run, note)
    }));
    sender
}

/// Writes the newest note as long as there is one that was not written, one after the other: the last one stays.
async fn write_newest<T: Copy, W: Future<Output = ()>>(
    mut notes: watch::Receiver<Option<T>>,
    write: impl Fn(T) -> W,
) {
    while notes.changed().await.is_ok() {
        let note = *notes.borrow_and_update();
        if let Some(note) = note {
            write(note).await;
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::{mpsc, oneshot};

    use super::*;

    #[tokio::test]
    async fn notes_are_written_one_at_a_time_and_the_last_one_stays() {
        let (sender, notes) = watch::channel(None);
        let (begun, mut begins) = mpsc::unbounded_channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&written);
        let writing = tokio::spawn(write_newest(notes, move |note: u32| {
            let (go, may_go) = oneshot::channel::<()>();
            begun.send((note, go)).unwrap();
            let kept = Arc::clone(&kept);
            async move {
                may_go.await.unwrap();
                kept.lock().unwrap().push(note);
            }
        }));
        sender.send_replace(Some(1));
        let (first, go) = begins.recv().await.unwrap();
        // Both come while the first is still on its way to the disk.
        sender.send_replace(Some(2));
        sender.send_replace(Some(3));
        tokio::task::yield_now().await;
        assert!(begins.try_recv().is_err(), "two are written at once");
        go.send(()).unwrap();
        let (last, go) = begins.recv().await.unwrap();
        go.send(()).unwrap();
        // What was noted before the driver ended is written all the same.
        sender.send_replace(Some(4));
        drop(sender);
        let (after, go) = begins.recv().await.unwrap();
        go.send(()).unwrap();
        writing.await.unwrap();
        assert_eq!((first, last, after), (1, 3, 4));
        assert_eq!(*written.lock().unwrap(), [1, 3, 4]);
    }
}
