//! What happens to a process besides starting and stopping, on the built programs: signals, reloads, runs made once,
//! files that change, and the clock. Nothing sleeps: conditions are waited for.

#[path = "../common/mod.rs"]
mod common;

mod clock;
mod harness;
mod once;
mod signals;
mod watch;
