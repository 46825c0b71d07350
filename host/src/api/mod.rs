//! The façade: every verb, plain data in and out. Terminal, agents and browsers all come through here.
//!
//! A verb takes its [`Caller`] first. Reading verbs answer at once; those that change something go through the
//! gate. Starting what runs and stopping what does not are successes; a failure carries what the caller needs next.

mod alive;
mod attach;
mod diagnose;
mod dispatch;
pub mod doctor;
mod gate;
mod health;
mod input;
pub mod keys;
mod lifecycle;
mod limits;
mod logs;
mod once;
mod signals;
mod types;
mod upgrade;
mod view;
mod wait;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

pub use attach::{AttachedInput, AttachedOutput, Attachment, Ended};
pub use logs::{cursor_at, is_cursor};
pub use once::*;
pub use signals::*;
pub use types::*;
pub use upgrade::UpgradeReply;

pub use crate::supervisor::Piece;

use crate::bounds;
use crate::model::{ProcessName, Time};
use crate::pipeline::Pipeline;
use crate::plugins::PluginStatus;
use crate::store::{Catalogue, Store};
use crate::supervisor::{Fleet, Handle, Snapshot, State, disk_trouble};
use gate::Gate;

/// What the verbs work on; made by the daemon's wiring.
pub struct Parts {
    pub fleet: Arc<Fleet>,
    pub store: Arc<Store>,
    pub catalogue: Arc<Catalogue>,
    pub pipeline: Pipeline,
    pub state_dir: PathBuf,
    /// What `doctor` looks at.
    pub places: doctor::Places,
    /// The text of the configuration file as it was read.
    pub config_text: Option<String>,
    /// What is wrong with Ostler itself, for `status`.
    pub warnings: Arc<Mutex<Vec<String>>>,
    /// Set to true to end the daemon.
    pub shutdown: watch::Sender<bool>,
    /// Set to the program that is to take this one's place.
    pub upgrade: watch::Sender<Option<PathBuf>>,
    /// When this daemon was started.
    pub started: Time,
}

/// The verbs. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    parts: Arc<Parts>,
    gate: Gate,
}

impl Api {
    /// Puts the verbs on top of a daemon's parts.
    pub fn new(parts: Parts) -> Self {
        let gate = Gate::new(Arc::clone(&parts.catalogue));
        Self { parts: Arc::new(parts), gate }
    }

    /// Returns every process in the order of the configuration.
    pub async fn list(&self, _caller: &Caller) -> Result<Vec<ProcessView>, ApiError> {
        let snapshots = self.parts.fleet.in_order().iter().map(Handle::snapshot).collect();
        Ok(view::of_many(snapshots).await)
    }

    /// Returns every plugin found, refused ones with the reason.
    pub async fn plugins(&self, _caller: &Caller) -> Result<Vec<PluginStatus>, ApiError> {
        let pipeline = self.parts.pipeline.clone();
        // The first start compiles them, which may still be going on.
        let status = tokio::task::spawn_blocking(move || pipeline.plugins());
        status.await.map_err(|error| ApiError::new(ErrorKind::Failed, error.to_string()))
    }

    /// Returns where the daemon keeps its things, and what is wrong with it.
    pub async fn status(&self, _caller: &Caller) -> Result<StatusReply, ApiError> {
        let mut warnings = self.parts.warnings.lock().unwrap_or_else(|poison| poison.into_inner()).clone();
        let state_dir = self.parts.state_dir.clone();
        // The shims, which drop output for lack of space, have nobody to tell: the disk itself is asked.
        let look = move || disk_trouble(&state_dir, bounds::SPOOL_MIN_FREE_BYTES);
        warnings.extend(tokio::task::spawn_blocking(look).await.ok().flatten());
        warnings.extend(self.parts.pipeline.warning());
        warnings.extend(self.config_warning().await);
        warnings.extend(self.limit_warnings());
        warnings.extend(self.parts.fleet.in_order().iter().filter_map(|handle| {
            let snapshot = handle.snapshot();
            snapshot.watch_trouble.map(|trouble| format!("{}: {trouble}", snapshot.name))
        }));
        warnings.extend(upgrade::replaced_on_disk());
        let project = self.parts.fleet.project();
        Ok(StatusReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            project: project.name.clone(),
            dir: project.dir.clone(),
            state_dir: self.parts.state_dir.clone(),
            config: project.file.clone(),
            started: Some(self.parts.started),
            warnings,
        })
    }

    /// Says so when the configuration file is not what this daemon works with any more.
    async fn config_warning(&self) -> Option<String> {
        let file = self.parts.fleet.project().file.clone()?;
        let known = self.parts.config_text.clone();
        let present = tokio::task::spawn_blocking({
            let file = file.clone();
            move || std::fs::read_to_string(file).ok()
        });
        let present = present.await.ok()?;
        (present != known).then(|| {
            let file = file.display();
            format!("{file} has changed since the daemon read it; `ostler down` and `ostler up` take the change up")
        })
    }

    /// Returns once every adopted run's shim has said how the run is, or after `limit`.
    pub async fn adopted(&self, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        for handle in self.parts.fleet.in_order() {
            let mut snapshots = handle.snapshots();
            let told = |snapshot: &Snapshot| snapshot.pid.is_some() || snapshot.state != State::Starting;
            let _ = tokio::time::timeout_at(deadline, snapshots.wait_for(told)).await;
        }
    }

    /// Returns the handle of a process, or an error that names those there are.
    fn handle(&self, name: &str) -> Result<Handle, ApiError> {
        let found = ProcessName::new(name).ok().and_then(|name| self.parts.fleet.get(&name));
        found.ok_or_else(|| self.no_such_process(name))
    }

    fn no_such_process(&self, name: &str) -> ApiError {
        let names: Vec<String> =
            self.parts.fleet.in_order().iter().map(|handle| handle.name().to_string()).collect();
        let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
        let error = ApiError::new(ErrorKind::NotFound, format!("there is no process `{shown}`"));
        if names.is_empty() {
            return match &self.parts.fleet.project().file {
                Some(file) => {
                    error.hint(format!("{} defines no process; add a [process.NAME]", file.display()))
                }
                None => error.hint("this directory has no ostler.toml; `ostler init` writes one"),
            };
        }
        let close = names
            .iter()
            .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let there_are = format!("the processes are: {}", names.join(", "));
        error.hint(match close {
            Some((_, close)) => format!("did you mean `{close}`? {there_are}"),
            None => there_are,
        })
    }
}
