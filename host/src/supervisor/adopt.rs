//! What an earlier daemon left, and where its drivers go on.
//!
//! ```text
//!  record without an end ─┬─ of another boot ─────────────────▶ closed: the machine was restarted
//!                         ├─ its shim answers ────────────────▶ adopted; a stop that was asked for is finished
//!                         ├─ `done` or `exit` ────────────────▶ closed with what they say
//!                         ├─ no shim was ever started ────────▶ closed, and started if that is wanted
//!                         └─ nothing ─────────────────────────▶ its shim died: the child is killed if it lives
//!  record with an end ────── wanted up, and not at rest ──────▶ its restart policy decides
//! ```
//!
//! Whatever the runs printed is still taken in. After a restart of the machine nothing is started by itself: somebody
//! asks for it, with `ostler up` or through the systemd unit. Pids of another boot are never signalled.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::dead::{Ending, LOST, SHIM_DIED, ending, kill_orphan};
use super::policy::PastRun;
use super::{Bell, Context, Remark, RunBegan, RunEvent, cgroup, launch, procfs};
use crate::bounds;
use crate::model::{Exit, Level, ProcessName, RunId, Time};
use crate::store::{CatalogueError, KnownReady, ProcessId, RunRecord};

/// Time for a living shim to listen on its socket.
const SHIM_START: Duration = Duration::from_secs(2);
/// Pause between two tries to reach it.
const SHIM_LOOK: Duration = Duration::from_millis(5);
/// Why a run was started that is to be made only once, in the catalogue; a daemon that adopts it goes by that.
pub(super) const ONCE: &str = "run";
/// What is known of a run that was running when the machine went down.
const REBOOTED: &str = "the machine was restarted";
/// What became of a run whose daemon died before it could start the shim.
const INTERRUPTED: &str = "the daemon died before it could start it";

/// What is known of a process when its driver begins.
#[derive(Debug, Default)]
pub enum Past {
    /// It never ran, or nothing is known.
    #[default]
    Nothing,
    /// Its run lives.
    Open(OpenRun),
    /// Its last run is over.
    Ended(LastRun),
}

/// A run whose shim answers.
#[derive(Debug)]
pub struct OpenRun {
    pub(super) run: RunId,
    pub(super) socket: UnixStream,
    pub(super) began: Time,
    pub(super) before: Before,
    /// It was to be made only once.
    pub(super) once: bool,
    /// The command it was started with, for processes the configuration has lost.
    pub command: Vec<String>,
    pub cwd: std::path::PathBuf,
    /// The child, when the last daemon lived long enough to hear of it.
    pub(super) child: Option<ProcessId>,
    /// The last daemon knew it to be ready, and nothing speaks against that now.
    pub(super) was_ready: bool,
    /// It was told to stop, or to make room for its successor.
    pub(super) stop_asked: bool,
    /// Somebody wants the process up: what was stopped is started again.
    pub(super) wanted: bool,
}

/// A run that is over.
#[derive(Debug)]
pub struct LastRun {
    pub(super) run: RunId,
    pub(super) began: Time,
    pub(super) ended: Time,
    pub(super) exit: Option<Exit>,
    pub(super) reason: Option<String>,
    /// What is to be said of its end besides.
    pub(super) note: Option<String>,
    pub(super) next: Next,
    pub(super) before: Before,
}

/// What follows a run that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: nobody wants it, or the machine was restarted since.
    Nothing,
    /// An earlier daemon has decided to leave it as it ended.
    Rest,
    /// The user wants it up: its policy decides.
    Policy,
    /// It was about to be started when the daemon died.
    Start,
}

/// What went before a run, for its restart policy.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// The oldest first, and bounded.
    pub(super) runs: Vec<PastRun>,
    /// The run itself was started because the last of them had ended.
    pub(super) is_restart: bool,
}

impl Before {
    /// Picks what went before `record` from the runs of its process, which are given newest first.
    fn of(record: &RunRecord, runs: &[RunRecord]) -> Self {
        let past = |run: &RunRecord| PastRun {
            is_restart: is_restart(run),
            began: run.started_at,
            ended: run.ended_at.unwrap_or(run.started_at),
        };
        let earlier = runs.iter().rev().filter(|run| run.run < record.run);
        Self { runs: earlier.map(past).collect(), is_restart: is_restart(record) }
    }
}

fn is_restart(record: &RunRecord) -> bool {
    record.reason == launch::RESTARTED
}

/// Returns which boot of the machine this is (`proc_sys_kernel(5)`, `random/boot_id`).
pub fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// Looks through the runs of earlier daemons. Blocking.
///
/// # Errors
/// When the catalogue cannot be read.
pub fn look_back(context: &Context) -> Result<BTreeMap<ProcessName, Past>, CatalogueError> {
    let wanted = context.catalogue.wanted_all()?;
    let mut pasts = BTreeMap::new();
    let mut remarks = BTreeMap::new();
    for record in context.catalogue.open_runs()? {
        let is_wanted = wanted.iter().any(|wanted| wanted.up && wanted.process == record.process);
        if is_of_another_boot(context, &record) {
            close_rebooted(context, &record)?;
        } else if let Some(mut open) = connect(context, &record, is_wanted) {
            let runs = context.catalogue.runs_of(&record.process, bounds::RESTART_RUNS)?;
            open.before = Before::of(&record, &runs);
            info!(process = %record.process, run = %record.run, "adopting a run");
            pasts.insert(record.process.clone(), Past::Open(open));
        } else if let Some(remark) = close(context, &record)? {
            remarks.insert(record.run, remark);
        }
    }
    take_in_leftover_output(context, remarks)?;
    for wanted in wanted {
        if pasts.contains_key(&wanted.process) {
            continue;
        }
        let mut runs = context.catalogue.runs_of(&wanted.process, bounds::RESTART_RUNS)?;
        let Some(before) = runs.first().map(|last| Before::of(last, &runs)) else { continue };
        if let Some(past) = last_run(context, runs.swap_remove(0), before, wanted.up) {
            pasts.insert(wanted.process, Past::Ended(past));
        }
    }
    Ok(pasts)
}

fn last_run(context: &Context, record: RunRecord, before: Before, wanted: bool) -> Option<LastRun> {
    let ended = record.ended_at?;
    let next = if !wanted || is_of_another_boot(context, &record) {
        Next::Nothing
    } else if record.memo.stop_asked.is_some() || record.spawn_error.as_deref() == Some(INTERRUPTED) {
        // It is wanted up though it was told to stop: of a restart, the first half is done.
        Next::Start
    } else if record.memo.rest.is_some() {
        Next::Rest
    } else {
        Next::Policy
    };
    Some(LastRun {
        run: record.run,
        began: record.started_at,
        ended,
        exit: record.exit,
        reason: record.memo.rest.or(record.spawn_error).or_else(|| record.note.clone()),
        note: record.note,
        next,
        before,
    })
}

/// Returns whether a run was started before the machine was. Where the boot has no name, the clock tells.
fn is_of_another_boot(context: &Context, record: &RunRecord) -> bool {
    match (&record.memo.boot, &context.boot) {
        (Some(then), Some(now)) => then != now,
        _ => procfs::boot_seconds().is_some_and(|boot| record.started_at.0 / 1_000_000_000 < boot),
    }
}

/// Writes down how a run ended that the machine's end has ended, unless its shim still could.
fn close_rebooted(context: &Context, record: &RunRecord) -> Result<(), CatalogueError> {
    let run = record.run;
    warn!(process = %record.process, %run, REBOOTED);
    match ending(&context.run_dir(run)) {
        Ending::NotSpawned(why) => context.catalogue.run_not_spawned(run, Time::now(), &why),
        Ending::Known { exit, time, note } => context.catalogue.end_run(run, time, exit, note.as_deref()),
        Ending::Unknown => context.catalogue.end_run(run, Time::now(), LOST, Some(REBOOTED)),
    }
}

fn connect(context: &Context, record: &RunRecord, wanted: bool) -> Option<OpenRun> {
    let dir = context.run_dir(record.run);
    let deadline = Instant::now() + SHIM_START;
    let socket = loop {
        match UnixStream::connect(context.shim_socket(record.run)) {
            Ok(socket) => break socket,
            // A shim that was started just before the last daemon died may not listen yet.
            Err(_) if Instant::now() < deadline && is_starting(&dir) => std::thread::sleep(SHIM_LOOK),
            Err(_) => return None,
        }
    };
    Some(OpenRun {
        run: record.run,
        socket,
        began: record.started_at,
        before: Before::default(),
        once: record.reason == ONCE,
        command: record.command.clone(),
        cwd: record.cwd.clone(),
        child: record.child,
        was_ready: still_ready(record),
        stop_asked: record.memo.stop_asked.is_some(),
        wanted,
    })
}

/// Returns whether a run that was ready may be taken for ready: it is the same process, and listens if it did.
fn still_ready(record: &RunRecord) -> bool {
    let Some(child) = record.child else { return false };
    procfs::start_ticks(child.pid) == Some(child.start)
        && match record.memo.ready {
            KnownReady::No => false,
            KnownReady::Portless => true,
            KnownReady::Listening => !procfs::listening_ports(&procfs::tree(child.pid)).is_empty(),
        }
}

fn is_starting(dir: &Path) -> bool {
    matches!(ending(dir), Ending::Unknown) && procfs::with_argument(dir.as_os_str()).is_some()
}

/// Writes down how a run ended whose shim is gone; returns what its log should say of that.
fn close(context: &Context, record: &RunRecord) -> Result<Option<String>, CatalogueError> {
    let run = record.run;
    // To make its socket is the first thing a shim does, long before it starts a child.
    let had_shim = record.child.is_some() || context.shim_socket(run).symlink_metadata().is_ok();
    context.remove_sockets(run);
    // Whoever is left in it has lost the shim too, also those who descend from nobody that is known.
    if let Some(dir) = cgroup::of_run(&context.run_dir(run)) {
        cgroup::clear(&dir);
    }
    match ending(&context.run_dir(run)) {
        Ending::NotSpawned(why) => {
            context.catalogue.run_not_spawned(run, Time::now(), &why)?;
            Ok(None)
        }
        Ending::Known { exit, time, note } => {
            context.catalogue.end_run(run, time, exit, note.as_deref())?;
            Ok(note)
        }
        Ending::Unknown if !had_shim => {
            warn!(process = %record.process, %run, INTERRUPTED);
            context.catalogue.run_not_spawned(run, Time::now(), INTERRUPTED)?;
            Ok(None)
        }
        Ending::Unknown => {
            if let Some(child) = record.child {
                kill_orphan(child.pid, child.start);
            }
            warn!(process = %record.process, %run, "a run's shim died without a word");
            context.catalogue.end_run(run, Time::now(), LOST, Some(SHIM_DIED))?;
            Ok(Some(SHIM_DIED.to_owned()))
        }
    }
}

/// Announces every run directory whose run is over, so that its output is taken in and the directory removed.
fn take_in_leftover_output(
    context: &Context,
    mut remarks: BTreeMap<RunId, String>,
) -> Result<(), CatalogueError> {
    let Ok(entries) = fs::read_dir(&context.runs_dir) else { return Ok(()) };
    for entry in entries.flatten() {
        let Some(run) = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(RunId) else {
            continue;
        };
        match context.catalogue.run(run)? {
            Some(record) if record.ended_at.is_some() => {
                let process = record.process.clone();
                let began = RunBegan {
                    run,
                    process: record.process,
                    command: record.command,
                    dir: entry.path(),
                    bell: Bell(None),
                };
                let _ = context.events.send(RunEvent::Began(began));
                if let Some(text) = remarks.remove(&run) {
                    let remark = Remark { run, process, time: Time::now(), level: Level::Warn, text };
                    let _ = context.events.send(RunEvent::Remark(remark));
                }
                let _ = context.events.send(RunEvent::Ended(run));
            }
            Some(_) => {}
            // Of a catalogue that was deleted: nobody can say whose output it is.
            None => warn!(%run, dir = %entry.path().display(), "run directory without a record"),
        }
    }
    Ok(())
}
