//! Ostler: a supervisor for development processes that people and coding agents share.
//!
//! Layers, from the bottom; a module imports only from those above it in this list. `ARCHITECTURE.md` draws the map.

#![forbid(unsafe_op_in_unsafe_fn)]

// L1 words
pub mod bounds;
pub mod model;

// L5 surfaces
pub mod mcp;
