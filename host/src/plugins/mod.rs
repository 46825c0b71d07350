//! The plugin host: finds, inspects, compiles and runs components that understand applications.
//!
//! Everything that knows wasmtime lives here. A component is hostile until shown otherwise: its file is bounded and
//! inspected before it is compiled ([`inspect`]), its instances are bounded in memory, tables, handles, time and
//! what they may hand over ([`limits`], [`instance`]), and a trap costs one batch and the instance, never a line.
//!
//! ```text
//!  built-in bytes ─┐
//!  .ostler/plugins ├─▶ registry ─▶ inspect ─▶ cache (compile once) ─▶ Plugin
//!  user's folder  ─┘      │ refused, with the reason                     │
//!                         ▼                                              ▼
//!                    plugin list                    chain: one instance per plugin and worker,
//!                                                          one session per run
//! ```
//!
//! Calls are synchronous and happen on the pipeline's own threads, never on the async runtime.

pub mod author;
mod cache;
mod chain;
mod contract;
mod engine;
mod inspect;
mod instance;
mod limits;
mod registry;
mod samples;

pub use chain::{Chain, ChainVerdicts, Subject};
pub use contract::{Described, Kinds, LineSample, Note, Packed, RunInfo, Verdicts, Version, Want};
pub use engine::PluginEngine;
pub use inspect::{Refusal, inspect};
pub use instance::{CallError, Instance, SessionId};
pub use registry::{Origin, Plugin, PluginSettings, PluginStatus, Registry, Source};
pub use samples::{Mismatch, SampleReport, run_samples};

/// The default classifier, embedded so that an installed binary needs no other file.
pub const REGEX_CLASSIFIER: &[u8] = include_bytes!("../../../plugins/prebuilt/regex-classifier.wasm");

/// The name of the default classifier: the last of every chain.
pub const REGEX_CLASSIFIER_NAME: &str = "regex-classifier";
