//! The log and the catalogue of one project: what its processes printed, and which runs there were.
//!
//! # Theory of operation
//!
//! The **log** is a directory of segment files; they are the truth, everything else is derived from them.
//!
//! ```text
//! log/0000000000000001.seg    header │ positions │ frame │ frame │ … │ index     sealed, immutable
//! log/00000000000a3c1f.seg    header │ positions │ frame │ frame ◀── append      active
//! ```
//!
//! - A **frame** is one batch of lines of one run, written by one call: its lines, and the place in the run's spool
//!   up to which they reach. Because both stand in the same checksummed frame, a batch is in the log wholly or not at
//!   all, and the way from spool to segment is exactly once, however the daemon dies.
//! - A segment begins with the **positions** of all runs, so that neither retention nor a long silence forgets where a
//!   run stood, and it ends, once sealed, with its own **index**, so that opening gigabytes of log reads kilobytes.
//!   The index is a cache: where it is missing or damaged the frame heads are read instead.
//! - **Opening** checks every byte of the last segment. What follows its last whole frame was torn by a crash and is
//!   cut. Damage elsewhere costs the frame it is in; it is reported in [`Recovery`] and never stops a start.
//! - **Reading** takes a snapshot of the index under a short lock and reads files outside it, through descriptors
//!   that outlive retention. Extents (up to 256 KiB of consecutive frames) are skipped by sequence, time, level, run
//!   and process without being read.
//! - **Retention** deletes whole segments, the oldest first. Sequence numbers have no holes, so whatever a reader
//!   cannot be given any more is known by counting, and is counted in [`LogPage::missing`].
//!
//! ```text
//!            append                       query
//! Writer ──(pwrite)──▶ segment file ◀──(pread)── reader
//!    └──publish──▶ State { segments, positions, newest } ◀──snapshot──┘        newest ──watch──▶ followers
//! ```
//!
//! Nothing is flushed to the device batch by batch: the page cache survives the death of the daemon. Sealed segments
//! are, on a thread of the store's own.
//!
//! The **catalogue** is an SQLite file next to the log: runs, what the user wants running, and the audit chain.
//!
//! Only this module knows segments and SQLite. It knows nothing of shims, plugins or configuration.

mod columns;
mod error;
mod frame;
mod index;
mod segment;

mod recovery;
mod writer;

mod block;
mod keeper;
mod pack;

mod pattern;
mod reader;
mod unpacked;
mod view;

mod cursor;

mod audit;
mod catalogue;
mod checkpoint;
mod memo;
mod ports;

#[cfg(test)]
mod tests;

pub use audit::{AuditCheck, AuditEntry, AuditRecord};
pub use catalogue::{Catalogue, CatalogueError, NewRun, ProcessId, RunRecord, Wanted};
pub use columns::Batch;
pub use cursor::{Cursor, CursorError};
pub use error::StoreError;
pub use keeper::Retention;
pub use memo::{KnownReady, Memo};
pub use pattern::{InvalidPattern, Pattern};
pub use reader::{LogPage, LogQuery, Take};
pub use recovery::{Damage, Recovery};
pub use writer::{Limits, Store};
