//! Which processes there are, and in which order they start and stop: hot reload, scaling, groups, and what is added
//! while the daemon runs.

#[path = "../common/mod.rs"]
mod common;

mod groups;
mod harness;
mod order;
mod reload;
mod runtime;
mod scale;
