//! The shim: the small program that is the parent of one child, and the formats it shares with the daemon.
//!
//! Owns one run's child, pipes or terminal, spool and exit status. Never knows about configuration, plugins, lines or other runs,
//! and uses nothing but std, libc and rustix, because there is one for every running child.
//!
//! # Theory of operation
//!
//! The daemon makes a run directory, and [`launch()`] writes the [`LaunchSpec`] into it and starts `ostler-shim` with one
//! end of a socket pair as its standard input. The shim leaves the daemon's session, makes itself subreaper, listens
//! on the control socket, and forks the child into a session of its own. From then on it sits in one `poll`:
//!
//! ```text
//!  child stdout, stderr ──▶ spool files ──▶ SpoolReader (daemon)
//!  daemon ──Request──▶ signals, input, doorbells ──Report──▶ daemon
//!  SIGCHLD ──▶ reap ──▶ `exit` ──▶ clear the tree ──▶ drain ──▶ `done`
//! ```
//!
//! A daemon that dies is not missed: its connection ends, and the next daemon connects to the control socket, hears
//! the story so far, and opens a [`SpoolReader`] at the place where the last one stopped.
//!
//! ```text
//!             spawn failed
//!  Starting ───────────────────────────────────────────────────────────▶ over
//!     │ execve                                                 SpawnFailed, `done`
//!     ▼        main child reaped          no child left            pipes at their end,
//!  Running ────────────────────▶ Clearing ─────────────▶ Draining ── or DRAIN_GRACE over ──▶ Done
//!            Exited, `exit`      SIGTERM,        Gone                              Done, `done`
//!                                grace, SIGKILL
//!                                until gone
//! ```
//!
//! Whoever looks at a run directory without a shim behind it reads its state from the files: `done` says all;
//! `exit` alone means that the shim died while it cleared or drained; neither, that it died while the child ran.

#![deny(
    clippy::print_stderr,
    reason = "it panics when the log cannot be written, and a full disk must not end a shim"
)]

mod wire;

pub mod cgroup;
pub mod control;
pub mod exit_file;
pub mod spec;

mod spool_format;

pub mod spool;
pub mod spool_reader;

mod child;
mod connection;
mod cursor_keys;
mod input;
mod leftovers;
mod notify;
mod output;
mod pty;
mod startup;

pub mod launch;
pub mod program;
pub mod run;
pub mod tree;

#[cfg(any(test, fuzzing))]
mod fuzz;

pub use cgroup::{Cgroup, LimitHits};
pub use control::{FrameError, Notified, Report, Request, Scope, SpawnFailure, SpawnFault};
pub use exit_file::{DoneRecord, ExitRecord, read_done, read_exit};
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_spool;
pub use launch::{LaunchError, Launched, launch};
pub use run::run;
pub use spec::{LaunchSpec, NotifySpec, Rlimit, SpecError, SpoolLimits};
pub use spool::SpoolWriter;
pub use spool_format::Count;
pub use spool_reader::{Chunk, ChunkKind, SpoolReader};
