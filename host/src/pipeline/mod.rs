//! The way of a line: spool → lines → classifiers → store, on worker threads of its own.
//!
//! # Theory of operation
//!
//! Each run belongs to one worker, so its lines stay in order without locks; workers take turns between their runs
//! in bounded steps, so that a flood cannot starve a neighbour. A worker reads what a shim has spooled, splits it
//! into lines, asks the chain of classifiers once per batch, and appends lines and spool position in one frame: what
//! is in the store was taken in exactly once, wherever the daemon dies. Only then may spool files go.
//!
//! ```text
//!   jobs ──▶ worker ──▶ Intake (one per run): SpoolReader → LineSplitter → Masking → Chain → Store::append → release
//!              ▲                                                             │
//!              └── doorbell of the shim ◀── armed when the spool is read dry └─▶ facts, events, alerts
//! ```
//!
//! When the store cannot be written (a full disk) a worker keeps the batch and tries again; the spool waits on its
//! side, bounded by the shim. Nothing here knows how processes are started, and nothing blocks them.

mod alerts;
mod error_groups;
mod events;
mod facts;
mod intake;
mod masking;
mod requests;
mod worker;

pub mod lines;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::sync::{oneshot, watch};

pub use alerts::{AlertRule, Alerts};
pub use error_groups::Groups;
pub use facts::Fact;
use facts::Facts;
pub use intake::dropped_lines;
use requests::Requests;
pub use requests::{RequestSummary, Route, Window};

use crate::mask::RulesInForce;
use crate::model::{Event, Level, ProcessName, RunId, Time};
use crate::plugins::{PluginStatus, Registry};
use crate::store::Store;

/// A run whose output is to be taken in.
pub struct Source {
    pub run: RunId,
    pub process: ProcessName,
    pub command: Vec<String>,
    /// The run's directory with its spool; removed once all of an ended run is taken in.
    pub dir: PathBuf,
    /// Asks for a [`Job::Output`] once the spool reaches beyond the given place.
    pub arm: Box<dyn Fn(u64) + Send>,
}

/// A line of Ostler's own, put between those of a run.
pub struct Remark {
    pub run: RunId,
    pub process: ProcessName,
    pub time: Time,
    pub level: Level,
    /// One line.
    pub text: String,
}

pub(crate) enum Job {
    Began(Source),
    Output(RunId),
    Ended(RunId),
    Remark(Remark),
    Drained(RunId, oneshot::Sender<()>),
}

/// Called for each fact that a classifier sees, on a worker thread.
pub type OnFact = Arc<dyn Fn(&Fact) + Send + Sync>;

/// Called for each event from warning on, once it is over and its lines are in the store, on a worker thread.
pub type OnEvent = Arc<dyn Fn(&Event) + Send + Sync>;

/// Feeds the workers. Cheap to clone; they end with the last clone.
#[derive(Clone)]
pub struct Pipeline {
    workers: Arc<[Mutex<Sender<Job>>]>,
    shared: Arc<Shared>,
    /// Whether the plugins are loaded.
    loaded: watch::Receiver<bool>,
}

/// A way to the workers that does not keep them.
pub(crate) struct WeakPipeline(Weak<[Mutex<Sender<Job>>]>);

impl WeakPipeline {
    /// As [`Pipeline::remark`], as long as there is a pipeline.
    fn remark(&self, remark: Remark) {
        if let Some(workers) = self.0.upgrade() {
            send(&workers, remark.run, Job::Remark(remark));
        }
    }
}

/// What workers and readers share.
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    /// Set once the plugins are loaded; workers wait for it, children do not.
    pub(crate) registry: OnceLock<Registry>,
    pub(crate) facts: Facts,
    pub(crate) requests: Requests,
    pub(crate) on_fact: OnFact,
    pub(crate) on_event: OnEvent,
    pub(crate) alerts: Alerts,
    /// What is masked.
    pub(crate) secrets: RulesInForce,
    /// What keeps each worker from taking in output, in words.
    pub(crate) warnings: Mutex<BTreeMap<usize, String>>,
}

impl Pipeline {
    /// Starts `threads` workers, and loads the plugins with `load` on a thread of its own.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        store: Arc<Store>,
        threads: usize,
        load: impl FnOnce() -> Registry + Send + 'static,
        on_fact: OnFact,
        on_event: OnEvent,
        alerts: Alerts,
        secrets: RulesInForce,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            store,
            registry: OnceLock::new(),
            facts: Facts::default(),
            requests: Requests::default(),
            on_fact,
            on_event,
            alerts,
            secrets,
            warnings: Mutex::default(),
        });
        let workers: std::io::Result<Vec<_>> = (0..threads.max(1))
            .map(|index| worker::spawn(index, Arc::clone(&shared)).map(Mutex::new))
            .collect();
        let loading = Arc::clone(&shared);
        let (is_loaded, loaded) = watch::channel(false);
        std::thread::Builder::new().name("plugin-loader".into()).spawn(move || {
            loading.registry.get_or_init(load);
            is_loaded.send_replace(true);
        })?;
        let pipeline = Self { workers: workers?.into(), shared, loaded };
        pipeline.shared.alerts.speak_through(&pipeline);
        Ok(pipeline)
    }

    fn downgrade(&self) -> WeakPipeline {
        WeakPipeline(Arc::downgrade(&self.workers))
    }

    /// Begins to take in a run's output.
    pub fn began(&self, source: Source) {
        self.send(source.run, Job::Began(source));
    }

    /// There is more output of this run.
    pub fn output(&self, run: RunId) {
        self.send(run, Job::Output(run));
    }

    /// The run's spool is complete.
    pub fn ended(&self, run: RunId) {
        self.send(run, Job::Ended(run));
    }

    /// Puts a line of Ostler's own into the log, behind what has been taken in of the run.
    pub fn remark(&self, remark: Remark) {
        self.send(remark.run, Job::Remark(remark));
    }

    /// Answers once all output of an ended run is in the store; at once for a run that is not known, so that it has to
    /// be asked behind what else is said of the run.
    pub fn drained(&self, run: RunId, reply: oneshot::Sender<()>) {
        self.send(run, Job::Drained(run, reply));
    }

    /// Returns once the plugins are loaded: before that nothing is taken in.
    pub async fn loaded(&self) {
        let _ = self.loaded.clone().wait_for(|loaded| *loaded).await;
    }

    /// Returns the last facts seen in a run, oldest first.
    pub fn facts(&self, run: RunId) -> Vec<Fact> {
        self.shared.facts.of(run)
    }

    /// Returns what requests a process has answered lately, over its restarts; nothing when there were none.
    pub fn requests(&self, process: &ProcessName) -> Option<RequestSummary> {
        self.shared.requests.of(process, Time::now())
    }

    /// Returns every plugin found. Blocks while they are being loaded.
    pub fn plugins(&self) -> Vec<PluginStatus> {
        self.shared.registry.wait().status()
    }

    /// Returns what is wrong with the intake, if anything is.
    pub fn warning(&self) -> Option<String> {
        self.shared.warnings.lock().unwrap_or_else(PoisonError::into_inner).values().next().cloned()
    }

    fn send(&self, run: RunId, job: Job) {
        send(&self.workers, run, job);
    }
}

fn send(workers: &[Mutex<Sender<Job>>], run: RunId, job: Job) {
    let index = usize::try_from(run.0).unwrap_or_default() % workers.len();
    // A worker ends only with the pipeline.
    let _ = workers[index].lock().unwrap_or_else(PoisonError::into_inner).send(job);
}
