//! A project with what tests of triggers look at.

use std::ops::Deref;
use std::time::{Duration, Instant};

use ostler::store::{AuditRecord, Catalogue};
use serde_json::Value;

use crate::common;
pub use crate::common::Done;

/// Longest wait for anything; reached only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct Project(common::Project);

impl Deref for Project {
    type Target = common::Project;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Project {
    pub fn new(config: &str) -> Self {
        Self(common::Project::new(config))
    }

    /// Writes a file of the project in its place, which is one change for who watches.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Looks at a process until `is_so`, and returns it as it is then. Does `meanwhile` after each look in vain.
    pub fn until(&self, name: &str, is_so: impl Fn(&Value) -> bool, mut meanwhile: impl FnMut()) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let view = self.process(name);
            if is_so(&view) {
                return view;
            }
            assert!(Instant::now() < deadline, "{view}\n{}", self.ok(&["logs", name]));
            meanwhile();
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the lines that Ostler itself has put into the log of a process.
    pub fn remarks(&self, name: &str) -> Vec<String> {
        let lines = self.ok(&["logs", name, "--json", "-n", "1000"]);
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["stream"] == "ostler")
            .map(|line| line["text"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits for a remark that contains `text`.
    pub fn until_remark(&self, name: &str, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let remarks = self.remarks(name);
            if let Some(remark) = remarks.iter().find(|remark| remark.contains(text)) {
                return remark.clone();
            }
            assert!(Instant::now() < deadline, "no {text:?} in {remarks:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the audit log has an act upon a process that no caller had asked for, and returns it.
    pub fn until_audited(&self, actor: &str, verb: &str, process: &str) -> AuditRecord {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.audited(actor, verb, process) {
                return found;
            }
            assert!(Instant::now() < deadline, "no {verb} of {process} by {actor}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the last such act, if there was one.
    pub fn audited(&self, actor: &str, verb: &str, process: &str) -> Option<AuditRecord> {
        let entries = Catalogue::open(&self.state().join("catalogue.sqlite")).unwrap().audit(1000).unwrap();
        entries.into_iter().find(|entry| {
            (entry.surface.as_str(), entry.caller.as_str()) == ("daemon", actor)
                && (entry.verb.as_str(), entry.target.as_str()) == (verb, process)
        })
    }

    /// Returns why the runs of a process were started, newest first.
    pub fn reasons(&self, name: &str) -> Vec<String> {
        let diagnosis = self.json(&["diagnose", name, "--json"]);
        let runs = diagnosis["runs"].as_array().unwrap().iter();
        runs.map(|run| run["reason"].as_str().unwrap().to_owned()).collect()
    }
}
