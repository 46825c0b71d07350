//! A project with what tests of a fleet look at.

use std::fs;
use std::ops::Deref;

use ostler::store::{AuditRecord, Catalogue};

use crate::common;
pub use crate::common::{Agent, lives, until};

pub struct Project(common::Project);

impl Deref for Project {
    type Target = common::Project;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Project {
    /// Makes a project without `ostler.toml`.
    pub fn bare() -> Self {
        Self(common::Project::bare())
    }

    /// Makes a project, and brings it up.
    pub fn up(config: &str) -> Self {
        Self(common::Project::up(config))
    }

    /// Writes the configuration.
    pub fn write(&self, config: &str) {
        self.0.write("ostler.toml", config);
    }

    /// Returns the names in `ps`.
    pub fn names(&self) -> Vec<String> {
        let views = self.json(&["ps", "--json"]);
        views.as_array().unwrap().iter().map(|view| view["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns how often a process was started.
    pub fn runs(&self, name: &str) -> usize {
        self.json(&["diagnose", name, "--json"])["runs"].as_array().unwrap().len()
    }

    /// Returns what is wrong with the daemon.
    pub fn warnings(&self) -> String {
        self.json(&["status", "--json"])["daemon"]["warnings"].to_string()
    }

    /// Returns what the daemon has written down of itself.
    pub fn daemon_log(&self) -> String {
        let status = self.json(&["status", "--json"]);
        fs::read_to_string(status["log"].as_str().unwrap()).unwrap()
    }

    /// Returns the audit log.
    pub fn audit(&self) -> Vec<AuditRecord> {
        Catalogue::open(&self.state().join("catalogue.sqlite")).unwrap().audit(100).unwrap()
    }

    /// Connects as an agent does, with all tools.
    pub fn agent(&self) -> Agent {
        let mut agent = self.0.agent(&["--toolsets", "all"]);
        agent.initialize("2025-11-25");
        agent
    }
}

/// A process that prints its name, waits, and says farewell.
pub fn speaker(name: &str) -> String {
    format!(
        "[process.{name}]\nshell = true\nready = {{ log = \"^up\" }}\n\
         command = \"trap 'echo down $OSTLER_PROCESS; exit 0' TERM; echo up $OSTLER_PROCESS; while :; do read line; done\"\n"
    )
}
