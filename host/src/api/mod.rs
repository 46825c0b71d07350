//! The façade: every verb, plain data in and out. Terminal, agents and browsers all come through here.
//!
//! A verb takes its [`Caller`] first. Reading verbs answer at once; those that change something go through the
//! gate. Starting what runs and stopping what does not are successes; a failure carries what the caller needs next.

mod acts;
mod alerts;
mod alive;
mod attach;
mod clear;
mod context;
mod diagnose;
mod dispatch;
pub mod doctor;
mod error_types;
mod errors;
mod fleet_types;
mod gate;
mod groups;
mod health;
mod input;
mod inspect;
pub mod keys;
mod lifecycle;
mod limits;
mod logs;
mod mask;
mod names;
mod once;
mod order;
mod reduced;
mod reload;
mod requests;
mod scale;
mod search;
mod secrets;
mod seen;
mod settings;
mod signals;
mod stats;
mod summary;
mod summary_types;
mod tail;
mod types;
mod upgrade;
mod view;
mod wait;
mod wait_all;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

pub use alerts::{AlertView, AlertsReply, AlertsRequest, alert_rules};
pub use attach::{AttachedInput, AttachedOutput, Attachment, Ended};
pub use clear::{ClearLogsReply, ClearLogsRequest, retention};
pub use error_types::*;
pub use fleet_types::*;
pub use inspect::{EnvOrigin, EnvVariable, Inspection, RunPaths, Setting, TreeProcess};
pub use logs::{cursor_at, cursor_before, is_cursor};
pub use once::*;
pub use reduced::{Part, reduced, without_libraries};
pub use requests::{RequestStats, RequestWindow, RouteStats, RunRequests};
pub use search::{LineCount, SearchReply};
pub use secrets::secret_rules;
pub use signals::*;
pub use stats::{ProcessStats, StatsReply, StatsRequest, SystemStats};
pub use summary_types::*;
pub use tail::TailRequest;
pub use types::*;
pub use upgrade::UpgradeReply;

pub use crate::supervisor::Piece;

use crate::bounds;
use crate::mask::RulesInForce;
use crate::model::Time;
use crate::pipeline::{Alerts, Groups, Pipeline};
use crate::plugins::PluginStatus;
use crate::store::{Catalogue, Store};
use crate::supervisor::{Fleet, Handle, Sampler, Snapshot, State, disk_trouble};
use gate::Gate;
use reload::ConfigFile;

/// What the verbs work on; made by the daemon's wiring.
pub struct Parts {
    pub fleet: Arc<Fleet>,
    pub store: Arc<Store>,
    pub catalogue: Arc<Catalogue>,
    pub pipeline: Pipeline,
    /// The kinds of errors.
    pub errors: Groups,
    pub alerts: Alerts,
    /// What is masked.
    pub secrets: RulesInForce,
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
    config_file: Arc<ConfigFile>,
    sampler: Sampler,
}

impl Api {
    /// Puts the verbs on top of a daemon's parts.
    pub fn new(parts: Parts) -> Self {
        let gate = Gate::new(Arc::clone(&parts.catalogue), parts.secrets.clone());
        let config_file = Arc::new(ConfigFile::new(parts.fleet.file(), parts.config_text.as_deref()));
        let sampler = Sampler::new(Arc::clone(&parts.fleet), &parts.state_dir);
        Self { parts: Arc::new(parts), gate, config_file, sampler }
    }

    /// Returns every process in the order of the configuration.
    pub async fn list(&self, _caller: &Caller) -> Result<Vec<ProcessView>, ApiError> {
        let snapshots = self.parts.fleet.in_order().iter().map(Handle::snapshot).collect();
        let mut views = view::of_many(snapshots).await;
        self.add_alerts(&mut views);
        Ok(views)
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
        warnings.extend(clear::damage_warning(&self.parts.store.damage()));
        warnings.extend(self.config_file.warning());
        warnings.extend(self.parts.fleet.unrecorded());
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
            alerts: self.open_alerts(),
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
}
