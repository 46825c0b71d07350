//! Keeps the processes what `ostler.toml` says while it changes, and touches only what is different.
//!
//! # Theory of operation
//!
//! ```text
//!  looked at every 500 ms ──┐                        ┌─ cannot be understood ─▶ kept as a warning, changes nothing
//!  before up, start, … ─────┼─▶ other stamps? ─ read ┼─ is gone, or empty ────▶ kept as a warning, changes nothing
//!  `ostler reload-config` ──┘                        └─ good ─▶ fleet settles ─▶ retire, restart, start
//! ```
//!
//! The file is looked at instead of watched: one `stat(2)` costs next to nothing, works on every file system and
//! through every kind of link, and does not run out of watches.
//!
//! Editors write in pieces: they cut the file off and fill it again, or move it away and put another in its place. So
//! a change counts once the file has been left alone for [`SETTLED`]; the beginning of a file can be a whole
//! configuration with half the processes in it.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use super::fleet_types::ReloadConfigReply;
use super::gate::Act;
use super::order::{self, Step, StopDone, StopWay};
use super::types::{ApiError, Caller, ErrorKind, Failure, ProcessView, Surface};
use super::{Api, view};
use crate::config::{self, ConfigError, FILE_NAME, Project};
use crate::model::ProcessName;
use crate::supervisor::{Changes, Handle, State, Turn};

/// Pause between two looks at the file.
const LOOK: Duration = Duration::from_millis(500);
/// How long the file has to be left alone before it counts as written, when nobody waits for it.
const SETTLED: Duration = Duration::from_secs(1);
/// The same when somebody has asked for something and waits.
const SETTLED_SOON: Duration = Duration::from_millis(300);
/// How long who asks for something else waits until a change is taken up, with all restarts and starts it asks for.
const TAKE_UP_WAIT: Duration = Duration::from_secs(30);
/// Looks at a file that keeps changing before it is read as it is.
const SETTLE_LOOKS: u32 = 10;

/// The configuration file, and what is known of it.
pub(super) struct ConfigFile {
    path: PathBuf,
    /// What the daemon began with: plugins are loaded once.
    at_start: Arc<Project>,
    seen: Mutex<Seen>,
}

/// The file as it was read last.
#[derive(Default)]
struct Seen {
    stamps: Stamps,
    /// Why it has no effect.
    problem: Option<String>,
    /// What of it has no effect yet.
    remark: Option<String>,
}

/// What tells one state of files from another without reading them; none where there is no file.
type Stamps = Vec<Option<Stamp>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What changes have led to, besides what they say themselves.
#[derive(Default)]
pub(super) struct Applied {
    pub(super) started: Vec<ProcessView>,
    pub(super) restarted: Vec<ProcessName>,
    pub(super) removed: Vec<ProcessView>,
    /// Configured anew; not restarted, because they did not run.
    pub(super) updated: Vec<ProcessName>,
    pub(super) failed: Vec<Failure>,
}

impl ConfigFile {
    /// `text` is what the daemon began with, and `project` what it said. Blocking.
    pub(super) fn new(project: Arc<Project>, text: Option<&str>) -> Self {
        let path = project.file.clone().unwrap_or_else(|| project.dir.join(FILE_NAME));
        let present = stamps(&paths(&path, &project));
        // One that has been changed since is no longer the one that was read; without stamps it is another one.
        let as_read = config::read(&path).is_ok_and(|present| present.as_deref() == text);
        let stamps = if as_read { present } else { Stamps::new() };
        Self { path, at_start: project, seen: Mutex::new(Seen { stamps, ..Seen::default() }) }
    }

    /// Says why the file, or what of it, has no effect.
    pub(super) fn warning(&self) -> Option<String> {
        let seen = self.seen();
        seen.problem.clone().or_else(|| seen.remark.clone())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what of the project has no effect until a daemon begins with it.
    fn remark(&self, project: &Project) -> Option<String> {
        let start = &self.at_start;
        let different = start.plugins != project.plugins || start.patterns != project.patterns;
        different.then(|| {
            "plugins or log patterns have changed, which takes effect with the next daemon: \
             `ostler down` and `ostler up -d`"
                .to_owned()
        })
    }
}

impl Api {
    /// Looks after the configuration file as long as the daemon lives.
    pub async fn watch_config(self) {
        let caller = Caller { surface: Surface::Daemon, client: "ostler".to_owned() };
        let mut last = None;
        let mut quiet = Duration::ZERO;
        // What a reload has been begun for, which may still wait for its turn.
        let mut begun = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let stamps = self.stamps().await;
            if stamps == self.config_file.seen().stamps || begun.as_ref() == Some(&stamps) {
                last = None;
                continue;
            }
            quiet = if last.as_ref() == Some(&stamps) { quiet + LOOK } else { Duration::ZERO };
            last = Some(stamps.clone());
            if quiet >= SETTLED {
                // What is wrong is kept, and told to whoever asks next. Not waited for: what is started may wait for
                // what never comes, until the file is changed again.
                let (api, caller) = (self.clone(), caller.clone());
                tokio::spawn(async move { api.refresh(&caller, None).await });
                (last, begun) = (None, Some(stamps));
            }
        }
    }

    /// Takes up what has changed in the configuration file, so that a caller who has just written it finds it in
    /// force; returns what of it has no effect, and why.
    pub(super) async fn up_to_date(&self, caller: &Caller) -> Option<String> {
        if self.stamps().await != self.config_file.seen().stamps {
            let taken_up = self.refresh(caller, Some(SETTLED_SOON));
            if tokio::time::timeout(TAKE_UP_WAIT, taken_up).await.is_err() {
                return Some(
                    "a change of the configuration is still being taken up: see `ostler ps`".to_owned(),
                );
            }
        }
        self.config_file.warning()
    }

    /// Reads the configuration file now, and does what its changes ask for.
    pub async fn reload_config(&self, caller: &Caller) -> Result<ReloadConfigReply, ApiError> {
        self.refresh(caller, Some(SETTLED_SOON)).await
    }

    /// Reads the file when it is another one than before, once it has been left alone for `settled`, and does what
    /// its changes ask for. An error says why the file has no effect; it is kept for later callers too.
    async fn refresh(
        &self,
        caller: &Caller,
        settled: Option<Duration>,
    ) -> Result<ReloadConfigReply, ApiError> {
        let turn = self.parts.fleet.turn().await;
        let stamps = match settled {
            Some(settled) => self.settled_stamps(settled).await,
            None => self.stamps().await,
        };
        let file = &self.config_file;
        let unchanged = std::mem::replace(&mut file.seen().stamps, stamps.clone()) == stamps;
        if unchanged {
            return file.standing();
        }
        let path = file.path.clone();
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let read = read.unwrap_or_else(|error| Err(Unusable::Unreadable(error.to_string())));
        match read {
            Ok(project) => self.take_up(caller, turn, project).await,
            Err(Unusable::Missing)
                if file.at_start.file.is_none() && self.parts.fleet.file().file.is_none() =>
            {
                Ok(ReloadConfigReply::default())
            }
            Err(unusable) => self.leave_be(caller, unusable).await,
        }
    }

    /// Keeps what was in force, and why the file is not.
    async fn leave_be(&self, caller: &Caller, unusable: Unusable) -> Result<ReloadConfigReply, ApiError> {
        let (file, path) = (&self.config_file, self.config_file.path.display());
        let was_told = file.seen().problem.is_some();
        let problem = match &unusable {
            Unusable::Missing => format!("{path} is gone; what it said stays in force until the daemon ends"),
            Unusable::Empty => {
                format!("{path} is empty, which changes nothing; `ostler down` stops everything")
            }
            Unusable::Unreadable(why) => format!("{path} cannot be read, so it changes nothing: {why}"),
            Unusable::Broken(error) => broken(error),
        };
        warn!(problem, "the configuration is left as it was");
        file.seen().problem = Some(problem.clone());
        let message = match unusable {
            Unusable::Broken(error) => format!("{error}\n\nnothing was changed"),
            _ => problem,
        };
        let refused = ApiError::new(ErrorKind::Invalid, message);
        if was_told && caller.surface == Surface::Daemon {
            return Err(refused);
        }
        self.gate.pass(caller, act(String::new()), async move { Err(refused) }).await
    }

    /// Puts a project in the place of the one in force.
    async fn take_up(
        &self,
        caller: &Caller,
        turn: Turn,
        project: Project,
    ) -> Result<ReloadConfigReply, ApiError> {
        let file = &self.config_file;
        let remark = file.remark(&project);
        {
            let mut seen = file.seen();
            seen.problem = None;
            seen.remark.clone_from(&remark);
        }
        let old = self.parts.fleet.file();
        if *old == project {
            return Ok(ReloadConfigReply { warning: remark, ..ReloadConfigReply::default() });
        }
        self.parts.store.set_retention(super::clear::retention(&project));
        self.parts.secrets.replace(super::secret_rules(&project));
        if old.alerts != project.alerts {
            self.parts.alerts.set_rules(super::alert_rules(&project));
        }
        let (api, detail, settings) =
            (self.clone(), differences(&old, &project), changed_settings(&old, &project));
        info!(detail, "the configuration has changed");
        let taking = async move {
            let changes = api.parts.fleet.take_file(&turn, project).await;
            let added = changes.added.iter().map(Handle::name).collect();
            let applied = api.apply("config", turn, changes).await;
            let names = |views: &[ProcessView]| views.iter().map(|view| view.name.clone()).collect();
            Ok(ReloadConfigReply {
                added,
                removed: names(&applied.removed),
                restarted: applied.restarted,
                updated: applied.updated,
                started: names(&applied.started),
                failed: applied.failed,
                settings,
                warning: remark,
            })
        };
        self.gate.pass(caller, act(detail), taking).await
    }

    /// Does what changes of the table ask for: what is removed is retired, dependents first; what runs with something
    /// else than it is configured with is restarted; and of what is new that is started which belongs up. The turn is
    /// over once the removed are gone: starts may wait for long, for what the next change is to mend.
    pub(super) async fn apply(&self, reason: &'static str, turn: Turn, changes: Changes) -> Applied {
        let mut applied = Applied { updated: changes.updated.clone(), ..Applied::default() };
        let new: BTreeSet<ProcessName> = changes.added.iter().map(Handle::name).collect();
        let retired = self.retire(&turn, changes.removed).await;
        drop(turn);
        applied.removed = view::of_many(retired.iter().map(|done| done.handle.snapshot()).collect()).await;

        let mut steps = Vec::new();
        for handle in changes.changed {
            match self.what_change_asks(&handle) {
                Some(act) => steps.push(step(handle, act)),
                None => applied.updated.push(handle.name()),
            }
        }
        let started = changes.added.into_iter().filter(|handle| self.belongs_up(handle, &new));
        steps.extend(started.map(|handle| step(handle, order::Act::Start)));
        let acts: Vec<order::Act> = steps.iter().map(|step| step.act).collect();
        let done = order::carry_out(reason, steps).await;
        for (act, done) in acts.into_iter().zip(done) {
            let name = done.handle.name();
            match (done.result, act) {
                (Err(reason), _) => applied.failed.push(Failure { name, reason }),
                (Ok(_), order::Act::Restart) => applied.restarted.push(name),
                (Ok(_), _) => applied.started.push(view::of(done.handle.snapshot()).await),
            }
        }
        applied
    }

    /// Stops what leaves the project, dependents first, and lets go of it.
    pub(super) async fn retire(&self, turn: &Turn, handles: Vec<Handle>) -> Vec<StopDone> {
        let retired = self.stop_in_order(&handles, StopWay::Retire).await;
        let names: Vec<ProcessName> = retired.iter().map(|done| done.handle.name()).collect();
        self.parts.fleet.forget(turn, &names);
        retired
    }

    /// Finishes what an earlier daemon has begun to take away.
    pub async fn finish_removals(self, left: Changes) {
        if !left.removed.is_empty() {
            let turn = self.parts.fleet.turn().await;
            self.retire(&turn, left.removed).await;
        }
    }

    /// What runs is restarted. What has failed is started: the change may well be its mending.
    fn what_change_asks(&self, handle: &Handle) -> Option<order::Act> {
        match handle.snapshot().state {
            State::Stopping => None,
            state if state.is_alive() => Some(order::Act::Restart),
            State::Failed if self.parts.fleet.is_up() && handle.config().autostart => Some(order::Act::Start),
            _ => None,
        }
    }

    /// A further replica belongs up when the first one is; a process when the project is.
    fn belongs_up(&self, handle: &Handle, new: &BTreeSet<ProcessName>) -> bool {
        let name = handle.name();
        match self.parts.fleet.get(&name.base()) {
            Some(first) if name.replica() > 1 && !new.contains(&name.base()) => {
                !first.snapshot().state.is_final()
            }
            _ => self.parts.fleet.is_up() && handle.config().autostart,
        }
    }

    /// Returns the stamps of the file and of the files it names, once they have not changed for `settled`.
    async fn settled_stamps(&self, settled: Duration) -> Stamps {
        let mut stamps = self.stamps().await;
        for _ in 0..SETTLE_LOOKS {
            if stamps == self.config_file.seen().stamps {
                break;
            }
            tokio::time::sleep(settled).await;
            let later = self.stamps().await;
            if later == stamps {
                break;
            }
            stamps = later;
        }
        stamps
    }

    async fn stamps(&self) -> Stamps {
        let paths = paths(&self.config_file.path, &self.parts.fleet.file());
        tokio::task::spawn_blocking(move || stamps(&paths)).await.unwrap_or_default()
    }
}

impl ConfigFile {
    /// Answers for a file that is as it was read last.
    fn standing(&self) -> Result<ReloadConfigReply, ApiError> {
        let seen = self.seen();
        match &seen.problem {
            Some(problem) => Err(ApiError::new(ErrorKind::Invalid, problem.clone())),
            None => Ok(ReloadConfigReply { warning: seen.remark.clone(), ..ReloadConfigReply::default() }),
        }
    }
}

/// Returns the files whose change is one of the configuration.
fn paths(file: &Path, project: &Project) -> Vec<PathBuf> {
    std::iter::once(file.to_owned()).chain(project.pattern_files.iter().cloned()).collect()
}

fn stamps(paths: &[PathBuf]) -> Stamps {
    paths.iter().map(|path| path.metadata().ok().map(|metadata| Stamp::of(&metadata))).collect()
}

fn step(handle: Handle, act: order::Act) -> Step {
    let after = handle.config().depends_on.clone();
    Step { handle, act, after, wanted: true }
}

fn act(detail: String) -> Act {
    Act { verb: "reload-config", target: "*".to_owned(), detail }
}

/// Why a file is not put in force.
enum Unusable {
    Missing,
    /// Most likely it is about to be written. To take it for a project without processes would stop them all.
    Empty,
    Unreadable(String),
    Broken(ConfigError),
}

fn read(path: &Path) -> Result<Project, Unusable> {
    let text = config::read(path).map_err(|error| Unusable::Unreadable(error.to_string()))?;
    let text = text.ok_or(Unusable::Missing)?;
    if text.trim().is_empty() {
        return Err(Unusable::Empty);
    }
    config::load_text(path, &text).map_err(Unusable::Broken)
}

/// Tells the first problem in one line, with its place.
fn broken(error: &ConfigError) -> String {
    let problems = error.problems();
    let Some(first) = problems.first() else { return "the configuration cannot be understood".to_owned() };
    let (path, line, column, message) = (first.path.display(), first.line, first.column, &first.message);
    let more = match problems.len() - 1 {
        0 => String::new(),
        1 => " (and 1 more problem)".to_owned(),
        more => format!(" (and {more} more problems)"),
    };
    format!("{path}:{line}:{column}: {message}{more}; the configuration stays as it was until this is mended")
}

/// Returns what has changed besides processes, in words.
fn changed_settings(old: &Project, new: &Project) -> Vec<String> {
    let settings = [
        (old.keep_logs != new.keep_logs, "how much log is kept"),
        (old.groups != new.groups, "groups"),
        (old.alerts != new.alerts, "alerts"),
        (old.secrets != new.secrets, "secrets"),
        (old.name != new.name, "the project's name"),
    ];
    settings.into_iter().filter(|(changed, _)| *changed).map(|(_, words)| words.to_owned()).collect()
}

/// Tells the differences between two projects, for the audit log.
fn differences(old: &Project, new: &Project) -> String {
    let names =
        |some: Vec<&ProcessName>| some.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let missing = |from: &Project, of: &Project| -> String {
        names(of.order.iter().filter(|name| !from.processes.contains_key(*name)).collect())
    };
    let changed = new.order.iter().filter(|name| {
        old.processes.get(*name).is_some_and(|config| Some(config) != new.processes.get(*name))
    });
    let parts = [
        ("added", missing(old, new)),
        ("removed", missing(new, old)),
        ("changed", names(changed.collect())),
        ("other", changed_settings(old, new).join(", ")),
    ];
    let said: Vec<String> = parts
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(word, names)| format!("{word} {names}"))
        .collect();
    if said.is_empty() { "nothing of a process".to_owned() } else { said.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Project {
        config::load_text(Path::new("/p/ostler.toml"), text).unwrap()
    }

    #[test]
    fn differences_name_what_is_different() {
        let old = project("[process.a]\ncommand = \"a\"\n[process.b]\ncommand = \"b\"\n");
        let new = project("[process.b]\ncommand = \"b --fast\"\n[process.c]\ncommand = \"c\"\n");
        assert_eq!(differences(&old, &new), "added c; removed a; changed b");
        assert_eq!(differences(&old, &old), "nothing of a process");
    }

    #[test]
    fn what_changes_besides_processes_is_told_too() {
        let old = project("[process.a]\ncommand = \"a\"\n");
        let new = project("[process.a]\ncommand = \"a\"\n[logs]\nkeep_for = \"3d\"\n");
        assert_eq!(changed_settings(&old, &new), ["how much log is kept"]);
        assert_eq!(differences(&old, &new), "other how much log is kept");
        let settings = changed_settings(&old, &new);
        let reply = ReloadConfigReply { settings, ..ReloadConfigReply::default() };
        assert_eq!(reply.in_words().as_deref(), Some("changed how much log is kept"));
    }

    #[test]
    fn a_broken_file_is_told_in_one_line_with_its_place() {
        let path = Path::new("/p/ostler.toml");
        let error = config::load_text(path, "[process.a]\ncomand = \"a\"\n").unwrap_err();
        let told = broken(&error);
        assert!(told.starts_with("/p/ostler.toml:") && !told.contains('\n'), "{told}");
        assert!(told.contains("stays as it was"), "{told}");
    }

    #[test]
    fn an_empty_or_missing_file_is_no_project() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ostler.toml");
        assert!(matches!(read(&path), Err(Unusable::Missing)));
        std::fs::write(&path, " \n").unwrap();
        assert!(matches!(read(&path), Err(Unusable::Empty)));
        std::fs::write(&path, "[process.a]\ncommand = \"a\"\n").unwrap();
        assert!(read(&path).is_ok());
    }
}
