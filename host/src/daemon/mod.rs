//! The daemon's wiring: makes the parts of a project, connects supervisor and pipeline, and puts the façade on top.
//!
//! ```text
//!   supervisor ──RunEvent──▶ daemon ──▶ pipeline ──Fact──▶ daemon ──Sign──▶ supervisor
//!                              └─OwnAct─▶ api, for the audit log
//! ```
//!
//! Knows no protocol: what comes in through the socket is handed to whoever started the daemon.

mod lock;
mod notify;
mod paths;
mod project_file;
mod projects;
mod signs;
mod takeover;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

pub use lock::{LockError, ProjectLock};
pub use notify::Notifier;
pub use paths::{Paths, PathsError};
pub use project_file::{NewerState, ProjectFile, STATE_FORMAT};
pub use projects::{KnownProject, NotPruned, known_projects, open_runs, prune};
pub use takeover::{Inherited, Legacy};

use crate::api::doctor::Places;
use crate::api::{Api, Parts};
use crate::config::{ConfigError, Project};
use crate::mask::RulesInForce;
use crate::model::{Event, Time};
use crate::pipeline::{Alerts, Groups, Pipeline, Remark, Source};
use crate::plugins::{self, Origin, PluginEngine, PluginSettings, REGEX_CLASSIFIER_NAME, Registry};
use crate::store::{Catalogue, CatalogueError, Limits, Recovery, Store, StoreError};
use crate::supervisor::{
    Additions, Cgroups, Context, Fleet, OwnAct, Ports, RunEvent, ShimProgram, boot_id, clear_leftovers,
    look_back,
};
use signs::signs_to;

/// Threads that take in output; the second keeps a quiet process readable beside a flooding one.
const PIPELINE_THREADS: usize = 2;

/// Time for the shims of adopted runs to tell their story, so that the first answer is not older than it; they take
/// milliseconds.
const ADOPTION_WAIT: Duration = Duration::from_secs(2);

/// This program, whatever has become of its file (`proc_pid_exe(5)`).
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Why a daemon does not start. Nothing has been started then.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Paths(#[from] PathsError),
    #[error("{0}")]
    Locked(#[from] LockError),
    #[error("{0}")]
    State(#[from] NewerState),
    #[error("cannot open the log: {0}")]
    Store(#[from] StoreError),
    #[error("cannot open the catalogue: {0}")]
    Catalogue(#[from] CatalogueError),
    #[error("cannot start the plugin host: {0}")]
    Plugins(String),
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What a daemon was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// To end, after everything was taken down.
    Down,
    /// To make room for another program.
    Replaced(PathBuf),
}

/// A project that is being looked after.
pub struct Daemon {
    api: Api,
    shutdown: watch::Receiver<bool>,
    upgrade: watch::Receiver<Option<PathBuf>>,
    warnings: Arc<Mutex<Vec<String>>>,
    store: Arc<Store>,
    catalogue: Arc<Catalogue>,
    errors: Groups,
    alerts: Alerts,
    /// What it has written into the state directory of itself.
    file: ProjectFile,
    state_dir: PathBuf,
    /// No process was left running, and none by a crash of the last daemon: see [`Daemon::begins_anew`].
    begins_anew: bool,
    lock: ProjectLock,
}

impl Daemon {
    /// Takes the project's lock, or goes on holding the one in `inherited`, reads its configuration, opens its state,
    /// and adopts what still runs.
    pub async fn start(paths: Paths, inherited: Option<&Inherited>) -> Result<Self, DaemonError> {
        let held = inherited.and_then(Inherited::lock);
        let started = tokio::task::spawn_blocking(move || Self::start_blocking(&paths, held)).await;
        let daemon = started.map_err(|error| DaemonError::Thread(std::io::Error::other(error)))??;
        daemon.api.adopted(ADOPTION_WAIT).await;
        Ok(daemon)
    }

    /// Checks, without changing anything or needing the lock, that a daemon of this program could start.
    pub fn check(paths: &Paths) -> Result<(), DaemonError> {
        if let Some(file) = &paths.config_file {
            crate::config::load(file)?;
        }
        ProjectFile::read(&paths.state_dir)?;
        Catalogue::check(&paths.catalogue())?;
        find_shim()?;
        PluginEngine::new().map_err(|error| DaemonError::Plugins(format!("{error:#}")))?;
        Ok(())
    }

    /// Returns whether the project starts from rest: it never ran, was taken down, or the machine was restarted.
    /// Otherwise the last daemon has died, and what it had stopped is to stay so.
    pub fn begins_anew(&self) -> bool {
        self.begins_anew
    }

    /// Returns the lock, for the program that takes this one's place.
    pub fn lock(&self) -> &ProjectLock {
        &self.lock
    }

    /// Notes something that `status` is to show.
    pub fn warn(&self, warning: String) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    /// Notes that everything was taken down, and what was added with it.
    pub fn ended_in_order(&mut self) {
        // Should this fail, the next daemon still knows that it was an end in order.
        if let Err(error) = self.catalogue.record_additions(&[]) {
            warn!(%error, "what was added cannot be forgotten yet");
        }
        self.file.ended = true;
        self.write_file();
    }

    fn write_file(&self) {
        if let Err(error) = self.file.write(&self.state_dir) {
            warn!(%error, "cannot write down whose state this is");
        }
    }

    /// Returns the verbs.
    pub fn api(&self) -> Api {
        self.api.clone()
    }

    /// Returns once somebody has asked the daemon to end or to make room.
    pub async fn ended(&mut self) -> Ended {
        tokio::select! {
            _ = self.shutdown.wait_for(|ended| *ended) => Ended::Down,
            program = self.upgrade.wait_for(Option::is_some) => {
                let program = program.ok().and_then(|program| program.clone());
                self.api.forget_upgrade();
                program.map_or(Ended::Down, Ended::Replaced)
            }
        }
    }

    /// Puts the log on the device, for a program that takes this one's place, and writes down what was gathered.
    pub fn flush_log(&self) {
        if let Err(error) = self.errors.flush() {
            warn!(%error, "cannot write down the last errors");
        }
        if let Err(error) = self.alerts.flush() {
            warn!(%error, "cannot write down the last alerts");
        }
        if let Err(error) = self.store.flush() {
            warn!(%error, "cannot flush the log");
        }
    }

    /// Puts the log on the device, for an orderly end, and leaves no empty cgroup behind.
    pub fn flush(&self) {
        self.api.release_cgroups();
        self.flush_log();
    }

    fn start_blocking(paths: &Paths, held: Option<OwnedFd>) -> Result<Self, DaemonError> {
        // Read before it is checked, so that a change in between is noticed as one.
        let config_text = paths.config_file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let project = match &paths.config_file {
            Some(file) => crate::config::load(file)?,
            None => Project::empty(&paths.project_dir),
        };
        paths.create()?;
        let lock = match held.and_then(|held| ProjectLock::inherit(held, &paths.lock())) {
            Some(lock) => lock,
            None => ProjectLock::take(&paths.lock())?,
        };
        let earlier = ProjectFile::read(&paths.state_dir)?;
        let shim = find_shim()?;
        let warnings = Arc::new(Mutex::new(Vec::new()));

        let (store, remark) = open_log(paths, &project)?;
        warnings.lock().unwrap_or_else(PoisonError::into_inner).extend(remark);
        let catalogue = Arc::new(Catalogue::open(&paths.catalogue())?);

        let secrets = RulesInForce::new(crate::api::secret_rules(&project));
        let (events, events_rx) = mpsc::unbounded_channel();
        let context = Arc::new(Context {
            catalogue: Arc::clone(&catalogue),
            store: Arc::clone(&store),
            runs_dir: paths.runs_dir(),
            sockets_dir: paths.runtime_dir.clone(),
            shim,
            cgroups: Cgroups::probe(&paths.key()),
            project_dir: project.dir.clone(),
            boot: boot_id(),
            events,
            ports: Ports::new(&paths.project_dir, Arc::clone(&catalogue), &paths.port_claims())?,
            lookout: Arc::default(),
            secrets: secrets.clone(),
        });
        let fleet_slot = Arc::new(OnceLock::new());
        let LogWay { pipeline, errors, alerts } =
            LogWay::start(paths, &project, &store, &catalogue, &secrets, &fleet_slot)?;
        let (acts, acts_rx) = mpsc::unbounded_channel();
        tokio::spawn(pass_on(events_rx, pipeline.clone(), acts));

        let (additions, dropped) = additions_left(earlier.as_ref(), &catalogue, &project)?;
        warnings.lock().unwrap_or_else(PoisonError::into_inner).extend(dropped);
        let pasts = look_back(&context)?;
        clear_leftovers(&context);
        let (fleet, left) = Fleet::new(context, project, additions, pasts);
        let fleet = Arc::new(fleet);
        let runs_dir = paths.runs_dir();
        store.retain_positions(|run| runs_dir.join(run.to_string()).exists());
        let _ = fleet_slot.set(Arc::clone(&fleet));
        let (shutdown, shutdown_rx) = watch::channel(false);
        let (upgrade, upgrade_rx) = watch::channel(None);
        let project = fleet.project();
        let file = project_file(paths, &project, fleet.context().boot.clone());
        info!(project = project.name, processes = project.processes.len(), "daemon runs");
        let api = Api::new(Parts {
            fleet,
            store: Arc::clone(&store),
            catalogue: Arc::clone(&catalogue),
            pipeline,
            errors: errors.clone(),
            alerts: alerts.clone(),
            secrets,
            state_dir: paths.state_dir.clone(),
            places: Places::from(paths),
            config_text,
            warnings: Arc::clone(&warnings),
            shutdown,
            upgrade,
            started: Time::now(),
        });
        tokio::spawn(api.clone().watch_config());
        tokio::spawn(api.clone().finish_removals(left));
        tokio::spawn(record_acts(acts_rx, api.clone()));
        let daemon = Self {
            api,
            shutdown: shutdown_rx,
            upgrade: upgrade_rx,
            warnings,
            store,
            catalogue,
            errors,
            alerts,
            begins_anew: earlier.is_none_or(|earlier| earlier.ended || earlier.boot != file.boot),
            file,
            state_dir: paths.state_dir.clone(),
            lock,
        };
        daemon.write_file();
        Ok(daemon)
    }
}

/// Opens the log, and returns with it what a user should know of its state.
fn open_log(paths: &Paths, project: &Project) -> Result<(Arc<Store>, Option<String>), DaemonError> {
    // Known before anything is deleted because of it.
    let limits = Limits { log_bytes: project.keep_logs.bytes, ..Limits::default() };
    let (store, recovery) = Store::open_with(&paths.log_dir(), limits)?;
    store.set_retention(crate::api::retention(project));
    Ok((Arc::new(store), remarks(&recovery)))
}

/// The way of a line, and those who are told of what is in lines.
struct LogWay {
    pipeline: Pipeline,
    errors: Groups,
    alerts: Alerts,
}

impl LogWay {
    fn start(
        paths: &Paths,
        project: &Project,
        store: &Arc<Store>,
        catalogue: &Arc<Catalogue>,
        secrets: &RulesInForce,
        fleet: &Arc<OnceLock<Arc<Fleet>>>,
    ) -> Result<Self, DaemonError> {
        let errors = Groups::start(Arc::clone(catalogue), &project.dir)?;
        let alerts = Alerts::start(Arc::clone(catalogue), crate::api::alert_rules(project))?;
        let (taken, alerted) = (errors.clone(), alerts.clone());
        let on_event = Arc::new(move |event: &Event| {
            taken.take(event);
            alerted.take_event(event);
        });
        let pipeline = Pipeline::start(
            Arc::clone(store),
            PIPELINE_THREADS,
            plugin_loader(paths, project)?,
            signs_to(Arc::clone(fleet)),
            on_event,
            alerts.clone(),
            secrets.clone(),
        )?;
        Ok(Self { pipeline, errors, alerts })
    }
}

/// Returns what was added while an earlier daemon ran, and what of it had to be dropped, in words.
fn additions_left(
    earlier: Option<&ProjectFile>,
    catalogue: &Catalogue,
    project: &Project,
) -> Result<(Additions, Vec<String>), CatalogueError> {
    let added = match earlier {
        // They went down with everything else, and are only still there when they could not be deleted.
        Some(earlier) if earlier.ended => Vec::new(),
        _ => catalogue.additions()?,
    };
    Ok(Additions::read(&added, project))
}

/// Returns what a daemon that has just started writes into the state directory of itself.
fn project_file(paths: &Paths, project: &Project, boot: Option<String>) -> ProjectFile {
    ProjectFile {
        format: STATE_FORMAT,
        version: VERSION.to_owned(),
        name: project.name.clone(),
        dir: paths.project_dir.clone(),
        socket: paths.socket(),
        boot,
        ended: false,
    }
}

/// Tells what opening the log came upon that a user should know.
fn remarks(recovery: &Recovery) -> Option<String> {
    if recovery.torn_bytes > 0 {
        info!(bytes = recovery.torn_bytes, "an unfinished batch was cut from the log; it is taken in again");
    }
    let first = recovery.damage.first()?;
    let (places, bytes) = (recovery.damaged_places, recovery.damaged_bytes);
    let file = first.file.display();
    let remark = format!(
        "the log is damaged in {places} places ({bytes} bytes), the first in {file} at byte {}; \
         the lines in them are lost, all others are not",
        first.offset
    );
    warn!(remark, "damaged log");
    Some(remark)
}

/// Passes what the supervisor says of runs on to the pipeline, and what it did of itself to `acts`.
async fn pass_on(
    mut events: mpsc::UnboundedReceiver<RunEvent>,
    pipeline: Pipeline,
    acts: mpsc::UnboundedSender<OwnAct>,
) {
    while let Some(event) = events.recv().await {
        match event {
            RunEvent::Began(began) => {
                let bell = began.bell;
                pipeline.began(Source {
                    run: began.run,
                    process: began.process,
                    command: began.command,
                    dir: began.dir,
                    arm: Box::new(move |seen| bell.arm(seen)),
                });
            }
            RunEvent::Output(run) => pipeline.output(run),
            RunEvent::Ended(run) => pipeline.ended(run),
            RunEvent::Drained(run, reply) => pipeline.drained(run, reply),
            RunEvent::Remark(remark) => pipeline.remark(Remark {
                run: remark.run,
                process: remark.process,
                time: remark.time,
                level: remark.level,
                text: remark.text,
            }),
            RunEvent::Acted(act) => drop(acts.send(act)),
        }
    }
}

/// Has what the supervisor did of itself written down, apart from the way of output: the audit log waits for the disk.
async fn record_acts(mut acts: mpsc::UnboundedReceiver<OwnAct>, api: Api) {
    while let Some(act) = acts.recv().await {
        api.record(act).await;
    }
}

fn plugin_loader(
    paths: &Paths,
    project: &Project,
) -> Result<impl FnOnce() -> Registry + Send + use<>, DaemonError> {
    let engine = PluginEngine::new().map_err(|error| DaemonError::Plugins(format!("{error:#}")))?;
    let mut sources = vec![plugins::Source { origin: Origin::Project, dir: paths.project_plugins() }];
    if let Some(dir) = &paths.user_plugins {
        sources.push(plugins::Source { origin: Origin::User, dir: dir.clone() });
    }
    let mut settings: BTreeMap<String, PluginSettings> = project
        .plugins
        .iter()
        .map(|(name, plugin)| {
            let config = project.plugin_config(name).unwrap_or_default();
            (name.clone(), PluginSettings { enabled: plugin.enabled, config })
        })
        .collect();
    if let Some(config) = project.default_classifier_config(REGEX_CLASSIFIER_NAME) {
        settings.entry(REGEX_CLASSIFIER_NAME.to_owned()).or_default().config = config;
    }
    let cache_dir = paths.compile_cache.clone();
    Ok(move || Registry::load(&engine, &cache_dir, &sources, &settings))
}

fn find_shim() -> Result<ShimProgram, DaemonError> {
    let own = std::env::current_exe()?;
    let beside = own.with_file_name(crate::shim::program::NAME);
    if beside.is_file() {
        return Ok(ShimProgram { program: beside });
    }
    // As under `cargo run`, which builds one program only.
    info!("ostler-shim is not beside this program, which takes its place at the price of more memory");
    // A program that was replaced on disk has no path any more.
    Ok(ShimProgram { program: if own.is_file() { own } else { OWN_PROGRAM.into() } })
}

/// Returns the version state and sockets are shared under; for surfaces that show it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
