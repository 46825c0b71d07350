//! A thread that moves the catalogue's write-ahead log into its file, so that no statement has to.
//!
//! Left to itself SQLite does that in whichever commit makes the log long, and that one waits for the device: a
//! start or a restart that takes a millisecond otherwise would take as long as the disk likes.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

/// Statements between two checkpoints; each writes a few pages of 4 KiB.
const STATEMENTS: u32 = 250;

/// Counts statements and wakes the thread.
#[derive(Debug)]
pub(super) struct Checkpointer {
    statements: AtomicU32,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Takes checkpoints of the catalogue at `path` over from `connection`, which leaves them from now on.
    pub(super) fn start(path: &Path, connection: &Connection) -> rusqlite::Result<Self> {
        let (wake, woken) = sync_channel::<()>(1);
        let path = path.to_owned();
        let work = move || {
            let Ok(connection) = Connection::open(&path) else { return };
            for () in woken {
                // `PASSIVE` keeps nobody waiting. What it could not do now, it does the next time.
                let done = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()));
                if let Err(error) = done {
                    tracing::warn!(%error, "the catalogue's log cannot be moved into its file");
                }
            }
        };
        let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(work).ok();
        if thread.is_some() {
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        }
        Ok(Self { statements: AtomicU32::new(0), wake: Some(wake), thread })
    }

    /// Notes a statement that may have written something.
    pub(super) fn count(&self) {
        let statements = self.statements.fetch_add(1, Ordering::Relaxed);
        if statements % STATEMENTS == STATEMENTS - 1
            && let Some(wake) = &self.wake
        {
            // One that is awake already sees to it.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
