//! Ostler: a supervisor for development processes that people and coding agents share.
//!
//! Layers, from the bottom; a module imports only from those above it in this list. `ARCHITECTURE.md` draws the map.

#![deny(unsafe_op_in_unsafe_fn)]

// L1 words
pub mod background;
pub mod bounds;
pub mod config;
pub mod model;
pub mod shim;
pub mod traces;

// L2 services
pub mod mask;
pub mod plugins;
pub mod store;

// L3 work
pub mod pipeline;
pub mod supervisor;

// L4 façade
pub mod api;
pub mod daemon;

// L5 surfaces
pub mod cli;
pub mod mcp;

// L6 proof; never in a program
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
