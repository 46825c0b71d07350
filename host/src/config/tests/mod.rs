//! Tests of the configuration as a whole: what is read from a text, and what is said about a bad one.

mod detection;
mod errors;
mod examples;
mod key_errors;
mod keys;
mod reading;
mod watch_errors;

use std::path::Path;

use super::{ConfigError, Project, load_text};

/// Loads a text as `ostler.toml` of no directory.
fn read(text: &str) -> Result<Project, ConfigError> {
    load_text(Path::new("ostler.toml"), text)
}

/// Returns what is said about a bad text.
fn error(text: &str) -> String {
    read(text).expect_err("the text was accepted").to_string()
}
