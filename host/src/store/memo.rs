//! What a daemon writes down of a run so that the next one can go on where it stood: the boot, whether the run was
//! ready, whether somebody had asked it to stop, and that it is to be left as it ended.
//!
//! Knows only the catalogue's columns; what follows from them is decided by the supervisor.

use rusqlite::Row;

use super::catalogue::{Catalogue, CatalogueError};
use crate::model::{RunId, Time};

/// How ready a run was when that was last known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KnownReady {
    #[default]
    No,
    /// Ready, and nothing of its tree listened on a port.
    Portless,
    /// Ready, and its tree listened.
    Listening,
}

/// What is remembered of a run beside its record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memo {
    /// The boot it was started in; `None` for runs of Ostler 0.1.
    pub boot: Option<String>,
    /// When it was asked to stop, or to make room for its successor.
    pub stop_asked: Option<Time>,
    pub ready: KnownReady,
    /// It ended and is not to be started again by itself; the text says why.
    pub rest: Option<String>,
}

impl Memo {
    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let stop_asked: Option<i64> = row.get("stop_asked")?;
        let ready: i64 = row.get("ready")?;
        Ok(Self {
            boot: row.get("boot")?,
            stop_asked: stop_asked.map(Time),
            ready: match ready {
                1 => KnownReady::Portless,
                2 => KnownReady::Listening,
                _ => KnownReady::No,
            },
            rest: row.get("rest")?,
        })
    }
}

impl Catalogue {
    /// Notes that the run was asked to stop, so that the next daemon finishes what this one began.
    pub fn stop_asked(&self, run: RunId, at: Time) -> Result<(), CatalogueError> {
        self.update_run(run, "UPDATE runs SET stop_asked = ?2 WHERE id = ?1", (run.0 as i64, at.0))
    }

    /// Notes whether the run is ready.
    pub fn known_ready(&self, run: RunId, ready: KnownReady) -> Result<(), CatalogueError> {
        self.update_run(run, "UPDATE runs SET ready = ?2 WHERE id = ?1", (run.0 as i64, ready as i64))
    }

    /// Notes that nothing follows the run's end by itself, and why.
    pub fn left_at_rest(&self, run: RunId, why: &str) -> Result<(), CatalogueError> {
        self.update_run(run, "UPDATE runs SET rest = ?2 WHERE id = ?1", (run.0 as i64, why))
    }
}
