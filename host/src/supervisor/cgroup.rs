//! A cgroup for each run (version 2, Linux only): made with its limits before anything runs in it, and removed when
//! the run is over.
//!
//! Owns the project's directory in the cgroup hierarchy. Where the daemon may make none, it says why, and runs are held
//! together as without: by subreaper, session and process group.
//!
//! ```text
//!  the daemon's cgroup, or what systemd has delegated ─┬─ ostler-daemon   the daemon and the shims, where the kernel
//!                                                      │                  wants them out of the way of controllers
//!                                                      └─ ostler-KEY ─┬─ r17   a run: the child and all it starts
//!                                                                     └─ r18
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Context;
use super::cgroup_site::{Controllers, Hindrance, Site, controllers_in, enable_in, make_dir, try_out};
use super::limits::size;
use crate::config::Limits;
use crate::model::{Exit, OUT_OF_MEMORY, RunId};
use crate::shim::cgroup::PROJECT_PREFIX;
use crate::shim::{Cgroup, LaunchSpec, LimitHits};

/// Time that killed processes have to go, and an emptied cgroup to be removable.
const CLEARING: Duration = Duration::from_secs(2);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// How often a run's cgroup is tried to be made, while others come and go.
const TRIES: usize = 8;
/// How deep children may have nested cgroups of their own, and how many directories are removed at a time.
const NESTED: usize = 16;
/// Microseconds over which a share of processor time is measured: the kernel's own default.
const CPU_PERIOD: u64 = 100_000;

/// The cgroups of one daemon's runs.
#[derive(Debug)]
pub struct Cgroups {
    home: Result<Home, Hindrance>,
    /// Held while a cgroup is made: the directory above it comes and goes, and has to have its controllers first.
    making: Mutex<()>,
}

#[derive(Debug)]
struct Home {
    dir: PathBuf,
    controllers: Controllers,
    /// Why some controllers are missing.
    missing: Option<Hindrance>,
}

/// What is in force, as `doctor` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// The directory that runs have their cgroups in; none where they have none.
    pub dir: Option<PathBuf>,
    pub controllers: Controllers,
    /// Why there are no cgroups, or not all controllers.
    pub why_not: Option<Hindrance>,
}

impl Cgroups {
    /// Finds out whether this daemon may make cgroups, and makes the project's, which goes by `key`. Blocking, for a
    /// few milliseconds.
    pub fn probe(key: &str) -> Self {
        let home = Site::find().and_then(|site| Home::make(&site, key));
        match &home {
            Ok(home) => {
                let (dir, controllers) = (home.dir.display(), home.controllers.names().join(" "));
                info!(%dir, controllers, "runs get cgroups");
            }
            Err(why) => info!(%why, "runs get no cgroups"),
        }
        Self { home, making: Mutex::default() }
    }

    /// Returns what a daemon that is started from here would have. Leaves nothing behind.
    pub fn foresee() -> InForce {
        let key = format!("doctor-{}", std::process::id());
        match Site::find().and_then(|site| Home::foresee(&site, &key)) {
            Ok(home) => Self { home: Ok(home), making: Mutex::default() }.in_force(),
            Err(why) => Self { home: Err(why), making: Mutex::default() }.in_force(),
        }
    }

    /// Returns what is in force.
    pub fn in_force(&self) -> InForce {
        match &self.home {
            Ok(home) => InForce {
                dir: Some(home.dir.clone()),
                controllers: home.controllers,
                why_not: home.missing.clone(),
            },
            Err(why) => {
                InForce { dir: None, controllers: Controllers::default(), why_not: Some(why.clone()) }
            }
        }
    }

    /// Makes the cgroup of a run with its limits; `None` where there are no cgroups.
    pub fn make(&self, run: RunId, limits: &Limits) -> Option<PathBuf> {
        let home = self.home.as_ref().ok()?;
        let dir = home.dir.join(format!("r{run}"));
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = home.make_run(&dir) {
            warn!(%run, %error, "cannot make a cgroup");
            return None;
        }
        for (file, value) in settings(limits, home.controllers) {
            if let Err(error) = fs::write(dir.join(file), &value) {
                warn!(%run, file, value, %error, "a limit is not in force");
            }
        }
        Some(dir)
    }

    /// Returns which of these limits are not in force, in a sentence with the remedy.
    pub fn shortfall(&self, limits: &Limits) -> Option<String> {
        let asked = Controllers {
            memory: limits.memory.is_some(),
            cpu: limits.cpu_millis.is_some(),
            pids: limits.pids.is_some(),
        };
        let in_force = self.in_force();
        let missing = asked.without(in_force.controllers).names();
        if missing.is_empty() {
            return None;
        }
        let (limits, is_are) = if missing.len() == 1 { ("limit", "is") } else { ("limits", "are") };
        let why = in_force.why_not.map_or_else(|| "nobody knows why".to_owned(), |why| why.to_string());
        let missing = missing.join(", ");
        Some(format!(
            "the {limits} on {missing} {is_are} not in force, because {why}; `ostler doctor` tells how to get there"
        ))
    }

    /// Removes the project's directory, for an orderly end; what still runs keeps it.
    pub fn remove_home(&self) {
        if let Ok(home) = &self.home {
            let _ = fs::remove_dir(&home.dir);
        }
    }

    /// Clears away what daemons that died have left: cgroups of runs that are over.
    fn clear_leftovers(&self, open: &BTreeSet<RunId>) {
        let Ok(home) = &self.home else { return };
        for entry in fs::read_dir(&home.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let run = name.strip_prefix('r').and_then(|run| run.parse().ok()).map(RunId);
            let is_trial = name.starts_with("trial-");
            if run.is_some_and(|run| !open.contains(&run)) || is_trial {
                info!(dir = %entry.path().display(), "clearing a cgroup that was left");
                clear(&entry.path());
            }
        }
    }
}

impl Home {
    fn make(site: &Site, key: &str) -> Result<Self, Hindrance> {
        let dir = site.dir.join(format!("{PROJECT_PREFIX}{key}"));
        make_dir(&dir).map_err(|error| cannot_make(site, &error))?;
        if let Err(why) = try_out(&dir) {
            let _ = fs::remove_dir(&dir);
            return Err(why);
        }
        let (_, missing) = site.enable();
        let controllers = enable_all(&dir);
        // It comes with the first run and goes with the last, so that a daemon that dies idle leaves nothing behind.
        let _ = fs::remove_dir(&dir);
        Ok(Self { missing: missing.or_else(|| not_there(site, controllers)), dir, controllers })
    }

    fn foresee(site: &Site, key: &str) -> Result<Self, Hindrance> {
        let dir = site.dir.join(format!("{PROJECT_PREFIX}{key}"));
        make_dir(&dir).map_err(|error| cannot_make(site, &error))?;
        let tried = try_out(&dir);
        let _ = fs::remove_dir(&dir);
        tried?;
        let is_shared = site.is_shared();
        let controllers = if is_shared { site.enabled() } else { site.controllers() };
        let is_kept = is_shared && site.controllers().without(controllers) != Controllers::default();
        let shared = is_kept.then(|| Hindrance::Shared(site.dir.clone()));
        let missing = shared.or_else(|| not_there(site, controllers));
        Ok(Self { missing, dir: site.dir.clone(), controllers })
    }

    fn make_run(&self, dir: &Path) -> io::Result<()> {
        for _ in 0..TRIES {
            match fs::create_dir(dir) {
                // Numbers of runs are used again when somebody deletes the state directory.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => clear(dir),
                // There was no run before, or the last one's shim removes the directory just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make_dir(&self.dir)?;
                    enable_all(&self.dir);
                }
                made => return made,
            }
        }
        fs::create_dir(dir)
    }
}

fn cannot_make(site: &Site, error: &io::Error) -> Hindrance {
    let dir = site.dir.clone();
    match error.raw_os_error() {
        Some(libc::EROFS) => Hindrance::ReadOnly(dir),
        Some(libc::EACCES | libc::EPERM) => Hindrance::Foreign(dir),
        _ => Hindrance::Other(format!("no cgroup can be made in {}: {error}", dir.display())),
    }
}

fn enable_all(dir: &Path) -> Controllers {
    for name in controllers_in(dir, "cgroup.controllers").names() {
        let _ = enable_in(dir, name);
    }
    controllers_in(dir, "cgroup.subtree_control")
}

/// Says which controllers are missing where nobody has said why.
fn not_there(site: &Site, controllers: Controllers) -> Option<Hindrance> {
    let missing = Controllers { memory: true, cpu: true, pids: true }.without(controllers).names();
    let (dir, names) = (site.dir.clone(), missing.join(", "));
    (!missing.is_empty()).then_some(Hindrance::NoControllers { dir, missing: names })
}

/// Returns what is to be written into which file of a run's cgroup.
fn settings(limits: &Limits, controllers: Controllers) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if let Some(bytes) = limits.memory.filter(|_| controllers.memory) {
        settings.push(("memory.max", bytes.to_string()));
        // Memory that is moved to a disk is memory all the same, and a machine that swaps helps nobody.
        settings.push(("memory.swap.max", "0".to_owned()));
    }
    if let Some(millis) = limits.cpu_millis.filter(|_| controllers.cpu) {
        let quota = u64::from(millis) * CPU_PERIOD / 1000;
        // The kernel refuses quotas below a millisecond.
        settings.push(("cpu.max", format!("{} {CPU_PERIOD}", quota.max(1000))));
    }
    if let Some(pids) = limits.pids.filter(|_| controllers.pids) {
        settings.push(("pids.max", pids.to_string()));
    }
    settings
}

/// Clears away the cgroups of runs that are over, for a daemon that has taken up what lives.
pub fn clear_leftovers(context: &Context) {
    match context.catalogue.open_runs() {
        Ok(open) => context.cgroups.clear_leftovers(&open.iter().map(|record| record.run).collect()),
        Err(error) => warn!(%error, "cannot look for cgroups that were left"),
    }
}

/// Returns what the limits of a run have cost it so far, in words; `None` when nothing, or it is over. Blocking.
pub fn live_remark(context: &Context, run: RunId) -> Option<String> {
    let hits = Cgroup::at(of_run(&context.run_dir(run))?).hits();
    remark(hits, Exit { code: None, signal: None })
}

/// Returns the cgroup of the run whose directory this is.
pub(super) fn of_run(run_dir: &Path) -> Option<PathBuf> {
    LaunchSpec::read(run_dir).ok()?.cgroup
}

/// Kills all that lives in a cgroup, waits until it is gone, and removes it. Blocking, for two seconds at most.
pub(super) fn clear(dir: &Path) {
    let cgroup = Cgroup::at(dir);
    let deadline = Instant::now() + CLEARING;
    while cgroup.is_populated() && Instant::now() < deadline {
        if let Err(error) = cgroup.kill() {
            warn!(dir = %dir.display(), %error, "cannot kill a cgroup");
            return;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    remove(dir);
}

/// Removes an empty cgroup, and what the run has nested in it. Blocking, for two seconds at most.
pub(super) fn remove(dir: &Path) {
    let deadline = Instant::now() + CLEARING;
    loop {
        match remove_nested(dir, NESTED) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            // The kernel is still taking leave of the last process.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                std::thread::sleep(LOOK_AGAIN);
            }
            Err(error) => {
                warn!(dir = %dir.display(), %error, "cannot remove a cgroup");
                return;
            }
        }
    }
}

fn remove_nested(dir: &Path, depth: usize) -> io::Result<()> {
    let Some(below) = depth.checked_sub(1) else { return Err(io::Error::from_raw_os_error(libc::ELOOP)) };
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_nested(&entry.path(), below)?;
        }
    }
    Cgroup::at(dir).remove()
}

/// Says what the limits have cost a run that has ended; `None` when nothing.
pub(super) fn remark(hits: LimitHits, exit: Exit) -> Option<String> {
    let limit = match hits.memory_limit {
        Some(limit) => format!("limit {}", size(limit)),
        None => "the machine's, since it has no limit of its own".to_owned(),
    };
    let memory = match (hits.oom_kills, exit.signal) {
        (0, _) => None,
        (_, Some(libc::SIGKILL)) => Some(format!("{OUT_OF_MEMORY}, {limit}")),
        (1, _) => Some(format!("one of its processes was killed: {OUT_OF_MEMORY}, {limit}")),
        (many, _) => Some(format!("{many} of its processes were killed: {OUT_OF_MEMORY}, {limit}")),
    };
    let remarks: Vec<String> = memory.into_iter().chain(refusals(hits)).collect();
    (!remarks.is_empty()).then(|| remarks.join("; "))
}

/// Says how often it could not fork.
fn refusals(hits: LimitHits) -> Option<String> {
    let times = match hits.refused_forks {
        0 => return None,
        1 => "once".to_owned(),
        many => format!("{many} times"),
    };
    let limit = hits.pids_limit.map_or_else(String::new, |limit| format!(" of {limit}"));
    Some(format!("its limit{limit} on `pids` kept it {times} from starting a process or thread"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Controllers = Controllers { memory: true, cpu: true, pids: true };

    fn limits() -> Limits {
        let (memory, cpu_millis, pids) = (Some(64 << 20), Some(1500), Some(512));
        Limits { memory, cpu_millis, pids, ..Limits::default() }
    }

    #[test]
    fn limits_become_what_the_kernel_reads_as_far_as_it_can() {
        let written: Vec<String> =
            settings(&limits(), ALL).into_iter().map(|(file, value)| format!("{file} {value}")).collect();
        assert_eq!(
            written,
            ["memory.max 67108864", "memory.swap.max 0", "cpu.max 150000 100000", "pids.max 512"]
        );
        assert!(settings(&limits(), Controllers::default()).is_empty());
        assert!(settings(&Limits::default(), ALL).is_empty());
    }

    #[test]
    fn limits_that_are_not_in_force_are_named_with_the_reason() {
        let with = |home| Cgroups { home, making: Mutex::default() };
        let none = with(Err(Hindrance::Foreign("/x".into())));
        assert_eq!(none.shortfall(&Limits::default()), None);
        let told = none.shortfall(&limits()).unwrap();
        assert_eq!(
            told,
            "the limits on memory, cpu, pids are not in force, because the cgroup /x belongs to another user; \
             `ostler doctor` tells how to get there"
        );
        let home = Home { dir: "/x".into(), controllers: ALL, missing: None };
        assert_eq!(with(Ok(home)).shortfall(&limits()), None);
        let some = Controllers { memory: true, ..Controllers::default() };
        let missing = Hindrance::NoControllers { dir: "/x".into(), missing: "cpu, pids".into() };
        let home = Home { dir: "/x".into(), controllers: some, missing: Some(missing) };
        let told = with(Ok(home)).shortfall(&Limits { pids: Some(3), ..limits() }).unwrap();
        assert!(told.starts_with("the limits on cpu, pids are not in force, because"), "{told}");
    }

    #[test]
    fn an_end_for_want_of_memory_is_named_with_the_limit() {
        let killed = Exit { code: None, signal: Some(9) };
        let hits = LimitHits { oom_kills: 1, memory_limit: Some(64 << 20), ..LimitHits::default() };
        let told = killed.with_note(remark(hits, killed).as_deref());
        assert_eq!(told, "killed by SIGKILL (9): out of memory, limit 64 MiB");
        let worker = remark(hits, Exit { code: Some(1), signal: None }).unwrap();
        assert_eq!(worker, "one of its processes was killed: out of memory, limit 64 MiB");
        assert_eq!(remark(LimitHits::default(), killed), None);
    }

    #[test]
    fn refused_forks_are_counted() {
        let hits = LimitHits { refused_forks: 7, pids_limit: Some(16), ..LimitHits::default() };
        let told = remark(hits, Exit { code: Some(1), signal: None }).unwrap();
        assert_eq!(told, "its limit of 16 on `pids` kept it 7 times from starting a process or thread");
    }

    #[test]
    fn what_a_shim_wrote_of_limits_is_told_by_the_next_daemon() {
        use crate::model::Time;
        use crate::shim::{DoneRecord, ExitRecord, exit_file::ExitFiles};
        use crate::supervisor::dead::{Ending, ending};
        let dir = tempfile::tempdir().unwrap();
        let hits = LimitHits { oom_kills: 1, memory_limit: Some(64 << 20), ..LimitHits::default() };
        let exit = ExitRecord { exit: Exit { code: None, signal: Some(9) }, time: Time(7), hits };
        let files = ExitFiles::prepare(dir.path());
        let note = || match ending(dir.path()) {
            Ending::Known { note, .. } => note.unwrap(),
            _ => panic!("the end is known"),
        };
        files.write_exit(exit).unwrap();
        assert_eq!(
            note(),
            "out of memory, limit 64 MiB; its shim died before it had seen its output to the end, so \
             the last of it may be missing"
        );
        let (end, leftovers, lost_bytes, lost_lines) = (0, 0, 0, 0);
        files.write_done(DoneRecord::Ended { exit, end, leftovers, lost_bytes, lost_lines }).unwrap();
        assert_eq!(note(), "out of memory, limit 64 MiB");
    }

    #[test]
    fn nested_cgroups_go_too_and_missing_ones_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("r1");
        fs::create_dir_all(run.join("a/b")).unwrap();
        clear(&run);
        assert!(!run.exists());
        clear(&run);
    }

    /// With the kernel's own cgroups, where this machine lets the tests have them.
    #[test]
    fn a_run_gets_a_cgroup_and_what_dead_daemons_left_is_cleared() {
        let cgroups = Cgroups::probe(&format!("test-{}", std::process::id()));
        let Ok(home) = &cgroups.home else {
            let why = cgroups.in_force().why_not;
            // Past the test runner, which shows nothing of tests that pass.
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("\nSKIPPED cgroups: {why:?}\n"));
            return;
        };
        let kept = cgroups.make(RunId(1), &Limits::default()).unwrap();
        let left = cgroups.make(RunId(2), &limits()).unwrap();
        let mut ghost = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(left.join("cgroup.procs"), ghost.id().to_string()).unwrap();
        assert!(Cgroup::at(&left).is_populated());
        cgroups.clear_leftovers(&BTreeSet::from([RunId(1)]));
        assert!(kept.exists() && !left.exists());
        let status = ghost.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        // The number is used again.
        assert_eq!(cgroups.make(RunId(1), &Limits::default()), Some(kept.clone()));
        clear(&kept);
        let dir = home.dir.clone();
        cgroups.remove_home();
        assert!(!dir.exists());
    }
}
