//! What must outlive what: processes their daemon, connections an upgrade, the user's wishes a crash. Each test has a
//! project of its own and the built binary; conditions are waited for, never time.

#[path = "../common/mod.rs"]
mod common;

mod added;
mod adoption;
mod harness;
mod service;
mod upgrade;
