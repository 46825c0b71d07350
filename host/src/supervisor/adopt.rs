//! What an earlier daemon left: runs that live on are adopted through their shims' sockets; of those that ended
//! meanwhile the exit is read from their directories; whatever they printed is still taken in.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::policy::PastRun;
use super::{Bell, Context, RunBegan, RunEvent, cgroup, launch, procfs};
use crate::bounds;
use crate::model::{Exit, ProcessName, RunId, Time};
use crate::shim::tree::{Process, descendants};
use crate::shim::{DoneRecord, read_done, read_exit};
use crate::store::{CatalogueError, RunRecord};

/// Time for a living shim to listen on its socket.
const SHIM_START: Duration = Duration::from_secs(2);
/// Pause between two tries to reach it.
const SHIM_LOOK: Duration = Duration::from_millis(5);
/// What is said of a run whose shim had still something to do.
const SHIM_DIED_LATE: &str = "its shim died before it had taken in the last output";
/// Why a run was started that is to be made only once, in the catalogue; a daemon that adopts it goes by that.
pub(super) const ONCE: &str = "run";
/// An exit nobody knows.
const LOST: Exit = Exit { code: None, signal: None };

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
    /// The user wants the process up, so that its policy decides what follows.
    pub(super) wanted: bool,
    pub(super) before: Before,
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

/// Looks through the runs of earlier daemons. Blocking.
///
/// # Errors
/// When the catalogue cannot be read.
pub fn look_back(context: &Context) -> Result<BTreeMap<ProcessName, Past>, CatalogueError> {
    let mut pasts = BTreeMap::new();
    for record in context.catalogue.open_runs()? {
        if let Some(mut open) = connect(context, &record) {
            let runs = context.catalogue.runs_of(&record.process, bounds::RESTART_RUNS)?;
            open.before = Before::of(&record, &runs);
            info!(process = %record.process, run = %record.run, "adopting a run");
            pasts.insert(record.process.clone(), Past::Open(open));
        } else {
            close(context, &record)?;
        }
    }
    take_in_leftover_output(context)?;
    for wanted in context.catalogue.wanted_all()? {
        if pasts.contains_key(&wanted.process) {
            continue;
        }
        let mut runs = context.catalogue.runs_of(&wanted.process, bounds::RESTART_RUNS)?;
        let Some(before) = runs.first().map(|last| Before::of(last, &runs)) else { continue };
        let last = runs.swap_remove(0);
        let Some(ended) = last.ended_at else { continue };
        let past = LastRun {
            run: last.run,
            began: last.started_at,
            ended,
            exit: last.exit,
            reason: last.spawn_error,
            note: last.note,
            wanted: wanted.up,
            before,
        };
        pasts.insert(wanted.process, Past::Ended(past));
    }
    Ok(pasts)
}

fn connect(context: &Context, record: &RunRecord) -> Option<OpenRun> {
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
    })
}

fn is_starting(dir: &Path) -> bool {
    matches!(ending(dir), Ending::Unknown) && procfs::with_argument(dir.as_os_str()).is_some()
}

/// Writes down how a run ended whose shim is gone.
fn close(context: &Context, record: &RunRecord) -> Result<(), CatalogueError> {
    let run = record.run;
    context.remove_sockets(run);
    // Whoever is left in it has lost the shim too, also those who descend from nobody that is known.
    if let Some(dir) = cgroup::of_run(&context.run_dir(run)) {
        cgroup::clear(&dir);
    }
    match ending(&context.run_dir(run)) {
        Ending::NotSpawned(why) => context.catalogue.run_not_spawned(run, Time::now(), &why),
        Ending::Known { exit, time, note } => context.catalogue.end_run(run, time, exit, note.as_deref()),
        Ending::Unknown => {
            // Start times count from boot: after another boot they tell nothing.
            let this_boot =
                procfs::boot_seconds().is_some_and(|boot| record.started_at.0 / 1_000_000_000 >= boot);
            if let Some(child) = record.child.filter(|_| this_boot) {
                kill_orphan(child.pid, child.start);
            }
            warn!(process = %record.process, %run, "a run's shim died without a word");
            let note = "its shim died, so its exit status is not known";
            context.catalogue.end_run(run, Time::now(), LOST, Some(note))
        }
    }
}

/// How the run in a directory ended, as its shim wrote it down.
pub(super) enum Ending {
    NotSpawned(String),
    Known { exit: Exit, time: Time, note: Option<String> },
    Unknown,
}

/// Reads how the run in `dir` ended.
pub(super) fn ending(dir: &Path) -> Ending {
    match (read_done(dir), read_exit(dir)) {
        (Ok(Some(DoneRecord::Ended { exit, .. })), _) => {
            Ending::Known { exit: exit.exit, time: exit.time, note: cgroup::remark(exit.hits, exit.exit) }
        }
        (Ok(Some(DoneRecord::SpawnFailed { failure, .. })), _) => {
            Ending::NotSpawned(failure.describe("the program", "the working directory"))
        }
        (_, Ok(Some(record))) => Ending::Known {
            exit: record.exit,
            time: record.time,
            note: Some(match cgroup::remark(record.hits, record.exit) {
                Some(remark) => format!("{remark}; {SHIM_DIED_LATE}"),
                None => SHIM_DIED_LATE.to_owned(),
            }),
        },
        _ => Ending::Unknown,
    }
}

/// Announces every run directory whose run is over, so that its output is taken in and the directory removed.
fn take_in_leftover_output(context: &Context) -> Result<(), CatalogueError> {
    let Ok(entries) = fs::read_dir(&context.runs_dir) else { return Ok(()) };
    for entry in entries.flatten() {
        let Some(run) = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(RunId) else {
            continue;
        };
        match context.catalogue.run(run)? {
            Some(record) if record.ended_at.is_some() => {
                let began = RunBegan {
                    run,
                    process: record.process,
                    command: record.command,
                    dir: entry.path(),
                    bell: Bell(None),
                };
                let _ = context.events.send(RunEvent::Began(began));
                let _ = context.events.send(RunEvent::Ended(run));
            }
            Some(_) => {}
            // Of a catalogue that was deleted: nobody can say whose output it is.
            None => warn!(%run, dir = %entry.path().display(), "run directory without a record"),
        }
    }
    Ok(())
}

/// Kills a child that lost its shim, and its descendants: nobody takes its output any more, and it must not stay as
/// a ghost that holds a port. Nobody else can be hit, because start times are compared.
pub(super) fn kill_orphan(pid: u32, start_ticks: u64) {
    let Ok(raw) = i32::try_from(pid) else { return };
    if procfs::start_ticks(pid) != Some(start_ticks) {
        return;
    }
    let mut doomed = descendants(raw);
    doomed.insert(0, Process { pid: raw, start_ticks });
    for process in doomed {
        if let Err(error) = process.signal(libc::SIGKILL) {
            warn!(pid = process.pid, %error, "cannot kill an orphan");
        }
    }
}
