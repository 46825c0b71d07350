//! The log and the catalogue of one project: what its processes printed, and which runs there were.
//!
//! # Theory of operation
//!
//! The **log** is a directory of segment files; they are the truth, everything else is derived from them.
//!
//! ```text
//! log/0000000000000001.seg    header │ block │ block │ … │ positions │ index     sealed and packed
//! log/0000000000081d20.seg    header │ positions │ frame │ frame │ … │ index     sealed, to be packed in a moment
//! log/00000000000a3c1f.seg    header │ positions │ frame │ frame ◀── append      active
//! ```
//!
//! - A **frame** is one batch of lines of one run, written by one call: its lines, and the place in the run's spool
//!   up to which they reach. Because both stand in the same checksummed frame, a batch is in the log wholly or not at
//!   all, and the way from spool to segment is exactly once, however the daemon dies.
//! - A segment begins with the **positions** of all runs, so that neither retention nor a long silence forgets where a
//!   run stood, and it ends, once sealed, with its own **index**, so that opening gigabytes of log reads kilobytes.
//!   The index is a cache: where it is missing or damaged the frame heads are read instead.
//! - A sealed segment is **packed** on a thread of the store's own: small frames of one run become one, and frames go
//!   into blocks that are compressed chunk by chunk, under a head that says what lines are in them. So a query skips
//!   blocks without reading them, and unpacks a chunk or two of those it wants. Packing writes another file, brings it
//!   to the device and renames it into place, so that a crash leaves the old one or the new. A damaged segment is not
//!   packed. Plain and packed ones are read side by side; a program that knows only plain ones declines the log.
//! - **Opening** checks every byte of the last segment. What follows its last whole frame was torn by a crash and is
//!   cut. Damage elsewhere costs the frame it is in; it is reported in [`Recovery`] and never stops a start.
//! - **Reading** takes a snapshot of the index under a short lock and reads files outside it, through descriptors
//!   that outlive retention. Extents (a block, or up to 256 KiB of consecutive frames) are skipped by sequence, time,
//!   level, run and process without being read. Where many are left, several threads share them.
//! - **Retention** deletes whole segments, the oldest first, by size and by age; where only some lines are to go, those
//!   of a process or the older ones of a segment, the segment is packed anew without them. Sequence numbers are given
//!   without holes, so whatever a reader cannot be given any more is known by counting, and is counted in
//!   [`LogPage::missing`].
//!
//! ```text
//!            append                       query
//! Writer ──(pwrite)──▶ segment file ◀──(pread)── reader          keeper ──(rename)──▶ packed segment files
//!    └──publish──▶ State { segments, positions, newest } ◀──snapshot──┘        newest ──watch──▶ followers
//! ```
//!
//! Nothing is flushed to the device batch by batch: the page cache survives the death of the daemon. Sealed segments
//! are, on a thread of the store's own.
//!
//! The **catalogue** is an SQLite file next to the log: runs, what the user wants running, what was added, kinds of
//! errors, alerts, and the audit chain.
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
mod steps;

mod conditions;
mod field_text;
mod fields;
mod frames;
mod literal;
mod pattern;
mod quantity;
mod reader;
mod seen;
mod tally;
mod unpacked;
mod view;

mod cursor;

mod additions;
mod alerts;
mod audit;
mod catalogue;
mod checkpoint;
mod error_groups;
mod error_tally;
mod memo;
mod ports;

#[cfg(any(test, fuzzing))]
mod fuzz;

#[cfg(test)]
mod tests;

pub use additions::Addition;
pub use alerts::{AlertQuery, AlertRecord, AlertsSince};
pub use audit::{AuditCheck, AuditEntry, AuditRecord};
pub use catalogue::{Catalogue, CatalogueError, NewRun, ProcessId, RunRecord, Wanted};
pub use columns::Batch;
pub use cursor::{Cursor, CursorError};
pub use error::StoreError;
pub use error_groups::{ErrorGroup, ErrorHit, ErrorQuery, ErrorRemark, ErrorState, ErrorsSince};
pub use error_tally::{ErrorEvent, ErrorSeen, ErrorTally};
pub use field_text::field_of;
pub use fields::{FieldFilter, InvalidFilter};
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_frame;
pub use keeper::Retention;
pub use memo::{KnownReady, Memo};
pub use pattern::{InvalidPattern, Pattern};
pub use reader::{LogPage, LogQuery, Take};
pub use recovery::{Damage, Recovery};
pub use tally::{Buckets, ProcessTally, Runs, Tally};
pub use writer::{Limits, Store};
