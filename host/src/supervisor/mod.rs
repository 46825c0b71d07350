//! Supervision: one driver task per process, sole owner of its state; everybody else holds a [`Handle`].
//!
//! # Theory of operation
//!
//! A driver never talks to a child. It launches a shim (`crate::shim`), which is the child's parent, and hears of
//! the child through the shim's control socket. So the daemon may die at any moment: the shim lives on, and the
//! next daemon's driver adopts it by its socket, or reads from the run's directory how it ended.
//!
//! ```text
//!               start                 spawned                    ready check holds
//!  stopped ─────────────▶ starting ─────────────▶ running ─────────────────────────▶ ready
//!     ▲                      │  │ ready check        │  ▲                            │  ▲
//!     │                      │  └─ configured: stays │  │                            ▼  │
//!     │                      │     starting until ───┘  └──────────────────────── unhealthy
//!     │ gone                 │     it holds
//!     │                      ▼ cannot be spawned
//!  stopping ◀── stop ── (alive)          failed ◀── gave up ── (ended) ── success ──▶ exited
//!                                                                │
//!                                                                └─ policy ──▶ backoff ──▶ starting
//! ```
//!
//! A configured health check that fails makes a run `unhealthy` and stops it; that is not a stop somebody asked for,
//! so that the policy decides what follows, as after any other end.
//!
//! Supervisor and pipeline do not know each other: what a run prints is announced as [`RunEvent`]s, which the daemon
//! passes on, and what classifiers see comes back as [`Sign`]s.

mod additions;
mod adopt;
mod cgroup;
mod cgroup_site;
mod change;
mod commands;
mod dead;
mod disk;
mod driver;
mod exec;
mod fleet;
mod handle;
mod health;
mod http;
mod inet_diag;
mod input;
mod launch;
mod limits;
mod link;
mod listeners;
mod looks;
pub mod machine;
mod policy;
mod ports;
mod preflight;
mod printed;
mod probe;
pub mod procfs;
mod ready;
mod recorder;
mod sampler;
mod schedule;
mod snapshot;
pub mod stats;
mod tail;
mod watch;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

pub use additions::{AddedProcess, Additions};
pub use adopt::{LastRun, OpenRun, Past, boot_id, look_back};
pub use cgroup::{Cgroups, InForce, clear_leftovers, live_remark};
pub use cgroup_site::{Controllers, Hindrance};
pub use change::has_ports_for;
pub use disk::disk_trouble;
pub use driver::{Actor, OwnAct, supervise};
pub use fleet::{Changes, Fleet, Origin, Turn};
pub use handle::{
    Checked, Handle, ReloadError, Reloaded, SendError, SignalError, StartError, Started, Stopped,
};
pub use link::ShimLink;
pub use listeners::Lookout;
pub use looks::{Looked, Purpose, Sight};
pub use ports::Ports;
pub use preflight::StartProblem;
pub use ready::Sign;
pub use sampler::{Point, Sample, Sampler, SystemSample};
pub use snapshot::{Snapshot, State};
pub use tail::{Piece, Tail, recent_output};

use crate::config::{Environment, EnvironmentError, ProcessConfig};
use crate::mask::RulesInForce;
use crate::model::{Level, ProcessName, RunId, Time};
use crate::shim::control::Request;
use crate::store::{Catalogue, Store};

/// What every driver of a daemon works with.
pub struct Context {
    pub catalogue: Arc<Catalogue>,
    pub store: Arc<Store>,
    /// One directory per run with its launch spec, spool and exit.
    pub runs_dir: PathBuf,
    /// Where shims put their control sockets; short, because a socket's path is bounded.
    pub sockets_dir: PathBuf,
    /// The program `ostler-shim`, and the arguments that go before its own.
    pub shim: ShimProgram,
    /// What holds runs together and limits them, where the machine lets it.
    pub cgroups: Cgroups,
    /// What the globs of `watch` are relative to.
    pub project_dir: PathBuf,
    /// Which boot of the machine this is, as the kernel names it; `None` where it does not.
    pub boot: Option<String>,
    pub events: mpsc::UnboundedSender<RunEvent>,
    pub ports: Ports,
    pub lookout: Arc<Lookout>,
    /// What is masked of what runs say of themselves.
    pub secrets: RulesInForce,
}

/// How to start a shim.
#[derive(Debug, Clone)]
pub struct ShimProgram {
    pub program: PathBuf,
}

impl Context {
    /// Returns the directory of a run.
    pub fn run_dir(&self, run: RunId) -> PathBuf {
        self.runs_dir.join(run.to_string())
    }

    /// Returns the environment that a process would be started with now; `port` is the one it would be given.
    ///
    /// # Errors
    /// A file that cannot be read, a reference that leads nowhere.
    pub fn environment(
        &self,
        name: &ProcessName,
        config: &ProcessConfig,
        port: Option<u16>,
    ) -> Result<Environment, EnvironmentError> {
        launch::environment(self, name, config, port)
    }

    /// Returns the path of the control socket of a run's shim.
    pub fn shim_socket(&self, run: RunId) -> PathBuf {
        self.sockets_dir.join(format!("r{run}"))
    }

    /// Returns the path of the socket on which a run says how it is; as long as that of its shim.
    pub fn notify_socket(&self, run: RunId) -> PathBuf {
        self.sockets_dir.join(format!("n{run}"))
    }

    /// Returns once all output of a run that is over is taken in. Asked in the order of events: who has seen that a run
    /// is over may be ahead of those to whom its beginning is still on the way.
    pub async fn drained(&self, run: RunId) {
        let (reply, drained) = oneshot::channel();
        let _ = self.events.send(RunEvent::Drained(run, reply));
        let _ = drained.await;
    }

    /// Removes the sockets of a run whose shim is gone, which may not have had the time for it.
    fn remove_sockets(&self, run: RunId) {
        let _ = std::fs::remove_file(self.shim_socket(run));
        let _ = std::fs::remove_file(self.notify_socket(run));
    }
}

/// What the rest of the daemon hears of runs, in order.
#[derive(Debug)]
pub enum RunEvent {
    /// A run's spool exists and may be read.
    Began(RunBegan),
    /// There is output that came after what the last `Arm` had seen.
    Output(RunId),
    /// The spool is complete; once it is read, the run's directory can go.
    Ended(RunId),
    /// Somebody waits until all output of a run that is over is taken in.
    Drained(RunId, oneshot::Sender<()>),
    /// Something to be said between the lines of a run, by Ostler itself.
    Remark(Remark),
    /// Something was done to a process, or tried, that no caller had asked for.
    Acted(OwnAct),
}

/// A line of Ostler's own in the log of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    pub run: RunId,
    pub process: ProcessName,
    pub time: Time,
    pub level: Level,
    /// One line.
    pub text: String,
}

/// A run whose output can be read.
#[derive(Debug, Clone)]
pub struct RunBegan {
    pub run: RunId,
    pub process: ProcessName,
    pub command: Vec<String>,
    pub dir: PathBuf,
    pub bell: Bell,
}

/// Asks a run's shim to announce output; does nothing once the shim is gone, since `Ended` follows then.
#[derive(Debug, Clone)]
pub struct Bell(Option<ShimLink>);

impl Bell {
    /// Asks for one [`RunEvent::Output`] when the spool reaches beyond `seen`.
    pub fn arm(&self, seen: u64) {
        if let Some(link) = &self.0 {
            // A shim that cannot be reached is about to be reported as ended.
            let _ = link.send(Request::Arm { seen });
        }
    }
}
