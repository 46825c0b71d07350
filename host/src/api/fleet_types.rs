//! What goes into the verbs that change which processes there are, and comes out: plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::types::{Failure, ProcessView, StartReply};
use crate::model::ProcessName;

/// Something that was started besides what was named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Also {
    pub process: ProcessView,
    pub why: Why,
    pub already_running: bool,
}

/// Why something was started besides what was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It is another replica, or another member of the group that was named.
    Named,
    /// What was named depends on it, and it did not run.
    Dependency,
}

/// A process to add until it is removed or everything is taken down.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AddRequest {
    pub name: String,
    /// A command line; with `shell` a script for `/bin/sh`.
    pub command: String,
    pub shell: bool,
    /// Relative to the project's directory, which is the default.
    pub cwd: Option<String>,
    pub env: BTreeMap<String, String>,
    /// `http://…`, `HOST:PORT`, or `log:REGEX`.
    pub ready: Option<String>,
    /// `on-failure`, `always` or `never`.
    pub restart: Option<String>,
    /// Whether `ostler up` starts it; it does unless this says otherwise.
    pub autostart: Option<bool>,
    /// Start it now.
    pub start: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddReply {
    pub process: ProcessView,
    /// It was there already, with the same description.
    pub existed: bool,
    /// How the start went, when it was asked for.
    pub started: Option<StartReply>,
    /// Why it could not be started, though it was added.
    pub failure: Option<String>,
    /// Reads what it prints from now on.
    pub cursor: String,
    /// What to put into `ostler.toml` to keep it when everything is taken down.
    pub keep: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoveReply {
    pub name: ProcessName,
    pub was_running: bool,
    /// The end in words.
    pub how: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScaleReply {
    pub name: ProcessName,
    /// How many there are now.
    pub replicas: u32,
    pub started: Vec<ProcessView>,
    /// Replicas that are there no more, as they were last.
    pub removed: Vec<ProcessView>,
    pub failed: Vec<Failure>,
    /// What the caller should know besides.
    pub note: Option<String>,
}

/// A group with what there is to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupView {
    pub name: String,
    /// In the order they are started.
    pub members: Vec<ProcessName>,
    pub start_delay_ms: u64,
    /// `reverse`, `parallel` or `sequential`.
    pub stop: String,
}

/// A group to make until everything is taken down.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreateGroup {
    pub name: String,
    /// In the order they are to be started.
    pub members: Vec<String>,
    /// Pause between one member's start and the next one's.
    pub start_delay_ms: u64,
    /// `reverse`, `parallel` or `sequential`; none means `reverse`.
    pub stop: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupReply {
    pub group: GroupView,
    /// The members as they are now, in the order they were started or stopped.
    pub processes: Vec<ProcessView>,
    pub failed: Vec<Failure>,
    #[serde(default)]
    pub warning: Option<String>,
}

/// What a change of the configuration file has led to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReloadConfigReply {
    /// New processes and replicas, whether or not they were started.
    pub added: Vec<ProcessName>,
    /// Stopped and gone.
    pub removed: Vec<ProcessName>,
    /// They ran, and were started with something that is different now.
    pub restarted: Vec<ProcessName>,
    /// What is different takes effect at once, or at their next start.
    pub updated: Vec<ProcessName>,
    /// They did not run, and belong up.
    pub started: Vec<ProcessName>,
    pub failed: Vec<Failure>,
    /// What has changed besides processes: `how much log is kept`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<String>,
    /// What of the file has no effect yet.
    pub warning: Option<String>,
}

impl ReloadConfigReply {
    /// Returns the changes in words, or nothing when there were none.
    pub fn in_words(&self) -> Option<String> {
        let parts = [
            ("added", &self.added),
            ("removed", &self.removed),
            ("restarted", &self.restarted),
            ("updated", &self.updated),
            ("started", &self.started),
        ];
        let list =
            |names: &[ProcessName]| names.iter().map(ProcessName::as_str).collect::<Vec<_>>().join(", ");
        let mut said: Vec<String> = parts
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(word, names)| format!("{word} {}", list(names)))
            .collect();
        if !self.settings.is_empty() {
            said.push(format!("changed {}", self.settings.join(" and ")));
        }
        (!said.is_empty()).then(|| said.join("; "))
    }
}
