//! What is in force on this machine, and how to get more: the checks of `ostler doctor`.
//!
//! Most are the same with and without a daemon, and [`examine`] makes them; the daemon adds what it alone knows. Looks
//! only, and changes nothing.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Api;
use super::types::{ApiError, Caller, ErrorKind};
use crate::bounds;
use crate::config;
use crate::plugins::PluginStatus;
use crate::shim::program;
use crate::supervisor::machine::{self, Systemd};
use crate::supervisor::{InForce, disk_trouble};

/// Fewer open files than this are soon used up by a development server.
const ENOUGH_FILES: u64 = 4096;
/// Fewer watched directories than this are soon used up by a JavaScript project.
const ENOUGH_WATCHES: u64 = 65_536;
/// Fewer watchers than this are soon used up by editors and development servers.
const ENOUGH_WATCHERS: u64 = 128;
/// Less free space than this is soon used up by logs, in bytes.
const ENOUGH_DISK: u64 = 1 << 30;

/// Where a project's things are.
#[derive(Debug, Clone)]
pub struct Places {
    pub config: Option<PathBuf>,
    pub state_dir: PathBuf,
    /// Where sockets are.
    pub runtime_dir: PathBuf,
    /// Where compiled plugins are.
    pub compile_cache: PathBuf,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    Ok,
    /// Ostler works, with less than it could have.
    Warn,
    /// Something will not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// A word for it that stays the same: `cgroups`, `state`.
    pub name: String,
    pub health: Health,
    /// What was found, in a sentence.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Check {
    /// Makes a check.
    pub fn new(name: &str, health: Health, text: impl Into<String>) -> Self {
        Self { name: name.to_owned(), health, text: text.into(), remedy: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl Api {
    /// Tells what is in force on this machine for this daemon, and how to get more.
    pub async fn doctor(&self, caller: &Caller) -> Result<Vec<Check>, ApiError> {
        let pid = std::process::id();
        let version = env!("CARGO_PKG_VERSION");
        let mut checks =
            vec![Check::new("daemon", Health::Ok, format!("runs (pid {pid}, version {version})"))];
        let (places, in_force) = (self.parts.places.clone(), self.parts.fleet.context().cgroups.in_force());
        let examined = tokio::task::spawn_blocking(move || examine(&places, &in_force)).await;
        checks.extend(examined.map_err(|error| ApiError::new(ErrorKind::Failed, error.to_string()))?);
        checks.extend(self.limit_warnings().into_iter().map(|warning| {
            Check::new("limits", Health::Warn, warning).remedy("see `cgroups` and `controllers` above")
        }));
        checks.push(of_plugins(&self.plugins(caller).await?));
        Ok(checks)
    }
}

/// Makes the checks that need no daemon; `in_force` is what its runs have or would have. Blocking.
pub fn examine(places: &Places, in_force: &InForce) -> Vec<Check> {
    let mut checks = vec![configuration(places.config.as_deref())];
    let found = machine::systemd();
    checks.extend(cgroups(in_force, found));
    checks.extend([
        pidfd(machine::has_pidfd()),
        subreaper(machine::has_subreaper()),
        children(machine::has_children_file()),
        open_files(machine::open_files()),
        watches(machine::watches()),
        state(&places.state_dir),
        sockets(&places.runtime_dir),
        compile_cache(&places.compile_cache),
        shim(),
        systemd(found),
    ]);
    checks
}

fn configuration(file: Option<&Path>) -> Check {
    const NAME: &str = "config";
    let Some(file) = file else {
        return Check::new(NAME, Health::Ok, "there is no ostler.toml here; `ostler init` writes one");
    };
    let shown = file.display();
    match config::load(file) {
        Ok(project) => {
            let processes = match project.processes.len() {
                1 => "1 process".to_owned(),
                many => format!("{many} processes"),
            };
            Check::new(NAME, Health::Ok, format!("{shown} is sound and has {processes}"))
        }
        Err(error) => Check::new(NAME, Health::Fail, format!("{shown} cannot be used"))
            .remedy(error.to_string().lines().next().unwrap_or("mend it").to_owned()),
    }
}

fn cgroups(in_force: &InForce, systemd: Systemd) -> Vec<Check> {
    let why = in_force.why_not.as_ref();
    let Some(dir) = &in_force.dir else {
        let why = why.map_or_else(|| "nobody knows why".to_owned(), ToString::to_string);
        let text = format!(
            "runs have no cgroups, because {why}; they are held together by subreaper, session and process group, \
             and limits on memory, cpu and pids are not in force"
        );
        let check = Check::new("cgroups", Health::Warn, text);
        return vec![match &in_force.why_not {
            Some(why) => check.remedy(why.remedy(systemd)),
            None => check,
        }];
    };
    let dir = dir.display();
    let cgroups = Check::new(
        "cgroups",
        Health::Ok,
        format!("each run has a cgroup below {dir}, and all in it can be killed at once"),
    );
    let names = in_force.controllers.names();
    let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let controllers = match why {
        None => Check::new("controllers", Health::Ok, format!("limits are in force on {there}")),
        Some(why) => {
            let text = format!("of memory, cpu and pids can be limited: {there}; {why}");
            Check::new("controllers", Health::Warn, text).remedy(why.remedy(systemd))
        }
    };
    vec![cgroups, controllers]
}

fn pidfd(is_there: bool) -> Check {
    match is_there {
        true => {
            Check::new("pidfd", Health::Ok, "signals go through descriptors, which hold on to the process")
        }
        false => Check::new(
            "pidfd",
            Health::Warn,
            "signals go by pid and start time, because the kernel has no pidfds",
        )
        .remedy("boot a kernel of 5.3 or later"),
    }
}

fn subreaper(is_there: bool) -> Check {
    match is_there {
        true => Check::new("subreaper", Health::Ok, "shims adopt what their children leave behind"),
        false => Check::new("subreaper", Health::Fail, "shims cannot adopt what their children leave behind")
            .remedy("boot a kernel of 3.4 or later, or allow `prctl` in this sandbox"),
    }
}

fn children(is_there: bool) -> Check {
    match is_there {
        true => Check::new("children", Health::Ok, "the kernel tells the children of a process at once"),
        false => Check::new(
            "children",
            Health::Warn,
            "to find a tree of processes all of them must be looked at: the kernel has no /proc/PID/task/*/children",
        )
        .remedy("boot a kernel with CONFIG_PROC_CHILDREN, as distributions have it"),
    }
}

fn open_files((soft, hard): (Option<u64>, Option<u64>)) -> Check {
    let shown = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let text = format!("processes may open {} files, and {} if they ask for it", shown(soft), shown(hard));
    match hard.is_none_or(|hard| hard >= ENOUGH_FILES) {
        true => Check::new("nofile", Health::Ok, text),
        false => Check::new("nofile", Health::Warn, text).remedy(
            "raise the hard limit: `* hard nofile 65536` in /etc/security/limits.conf, or `LimitNOFILE=` of a unit",
        ),
    }
}

fn watches(found: Option<(u64, u64)>) -> Check {
    const NAME: &str = "inotify";
    let Some((watches, watchers)) = found else {
        return Check::new(
            NAME,
            Health::Warn,
            "the kernel cannot watch files, so that `watch` does not work",
        )
        .remedy("boot a kernel with inotify");
    };
    let text = format!("a user may watch {watches} directories and have {watchers} watchers");
    if watches >= ENOUGH_WATCHES && watchers >= ENOUGH_WATCHERS {
        return Check::new(NAME, Health::Ok, text);
    }
    let text = format!("{text}, which development servers and `watch` can use up");
    Check::new(NAME, Health::Warn, text)
        .remedy("`sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512` as root")
}

fn state(dir: &Path) -> Check {
    const NAME: &str = "state";
    const ELSEWHERE: &str = "make it writable, or point OSTLER_STATE_DIR at a directory that is";
    let shown = dir.display();
    let there = existing(dir);
    if !machine::is_writable(there) {
        let text = format!("state and logs cannot be kept in {shown}: {} is not writable", there.display());
        return Check::new(NAME, Health::Fail, text).remedy(ELSEWHERE);
    }
    if let Some(trouble) = disk_trouble(there, bounds::SPOOL_MIN_FREE_BYTES) {
        return Check::new(NAME, Health::Fail, trouble)
            .remedy("free space, or point OSTLER_STATE_DIR at another disk");
    }
    match machine::free_bytes(there) {
        Ok(free) if free < ENOUGH_DISK => {
            let text = format!("state and logs are in {shown}, where only {} MiB are free", free >> 20);
            Check::new(NAME, Health::Warn, text)
                .remedy("free space, or point OSTLER_STATE_DIR at another disk")
        }
        Ok(free) => {
            let text = format!("state and logs are in {shown}, where {} GiB are free", free >> 30);
            Check::new(NAME, Health::Ok, text)
        }
        Err(error) => {
            Check::new(NAME, Health::Fail, format!("{shown} cannot be looked at: {error}")).remedy(ELSEWHERE)
        }
    }
}

fn sockets(dir: &Path) -> Check {
    const NAME: &str = "sockets";
    let there = existing(dir);
    let shown = dir.display();
    if !machine::is_writable(there) {
        let text = format!("sockets cannot be made in {shown}: {} is not writable", there.display());
        return Check::new(NAME, Health::Fail, text)
            .remedy("point XDG_RUNTIME_DIR at a short directory of your own");
    }
    let length = dir.as_os_str().len();
    Check::new(
        NAME,
        Health::Ok,
        format!("sockets are in {shown}, whose {length} bytes leave room for their names"),
    )
}

fn compile_cache(dir: &Path) -> Check {
    const NAME: &str = "compile-cache";
    let there = existing(dir);
    let shown = dir.display();
    match machine::is_writable(there) {
        true => Check::new(NAME, Health::Ok, format!("compiled plugins are kept in {shown}")),
        false => {
            let text =
                format!("plugins are compiled at every start, because {} is not writable", there.display());
            Check::new(NAME, Health::Warn, text).remedy("make it writable, or point XDG_CACHE_HOME elsewhere")
        }
    }
}

fn shim() -> Check {
    let beside = std::env::current_exe().map(|own| own.with_file_name(program::NAME));
    match beside {
        Ok(beside) if beside.is_file() => {
            Check::new("shim", Health::Ok, format!("{} looks after each child", beside.display()))
        }
        _ => Check::new(
            "shim",
            Health::Warn,
            "ostler-shim is not beside ostler, which stands in for it with more memory",
        )
        .remedy("install both programs into one directory, as `cargo install` does"),
    }
}

fn systemd(found: Systemd) -> Check {
    const NAME: &str = "systemd";
    match found {
        Systemd::Absent => Check::new(
            NAME,
            Health::Ok,
            "does not run this machine: nothing starts the daemon after a reboot but you",
        ),
        Systemd::NoUserManager => {
            Check::new(NAME, Health::Warn, "runs this machine, but this user's manager cannot be reached")
                .remedy(
                    "log in through PAM, or set XDG_RUNTIME_DIR as a login does (`machinectl shell USER@`)",
                )
        }
        Systemd::UserManager { lingers: false } => {
            let text = "this user's manager runs, and ends with the last login, with all it has started";
            Check::new(NAME, Health::Warn, text).remedy("`loginctl enable-linger` keeps it, over reboots too")
        }
        Systemd::UserManager { lingers: true } => {
            Check::new(NAME, Health::Ok, "this user's manager runs, and stays when nobody is logged in")
        }
    }
}

/// Says which plugins are not in use though somebody has put them there.
fn of_plugins(plugins: &[PluginStatus]) -> Check {
    const NAME: &str = "plugins";
    let out = |plugin: &&PluginStatus| matches!(plugin.state.as_str(), "refused" | "quarantined");
    let names: Vec<String> =
        plugins.iter().filter(out).map(|plugin| format!("{} ({})", plugin.name, plugin.state)).collect();
    if names.is_empty() {
        return Check::new(NAME, Health::Ok, format!("all {} are in order", plugins.len()));
    }
    Check::new(NAME, Health::Warn, format!("not in use: {}", names.join(", ")))
        .remedy("`ostler plugin list` has the reasons")
}

/// Returns the directory itself, or the nearest above it that exists.
fn existing(dir: &Path) -> &Path {
    dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Controllers, Hindrance};

    const SYSTEMD: Systemd = Systemd::UserManager { lingers: true };

    fn in_force(dir: Option<&str>, controllers: Controllers, why_not: Option<Hindrance>) -> InForce {
        InForce { dir: dir.map(PathBuf::from), controllers, why_not }
    }

    #[test]
    fn whatever_is_not_well_comes_with_a_remedy() {
        let some = Controllers { memory: true, ..Controllers::default() };
        let shared = Hindrance::Shared("/x".into());
        let mut checks =
            cgroups(&in_force(None, Controllers::default(), Some(Hindrance::NoVersion2)), SYSTEMD);
        checks.extend(cgroups(&in_force(Some("/x"), some, Some(shared)), SYSTEMD));
        checks.extend([pidfd(false), subreaper(false), children(false)]);
        checks.extend([open_files((Some(256), Some(1024))), watches(Some((8192, 128))), watches(None)]);
        checks.extend([state(Path::new("/proc/nowhere")), sockets(Path::new("/proc/nowhere"))]);
        checks.extend([Systemd::NoUserManager, Systemd::UserManager { lingers: false }].map(systemd));
        for check in checks {
            assert_eq!(check.health == Health::Ok, check.remedy.is_none(), "{check:?}");
        }
    }

    #[test]
    fn cgroups_are_told_with_what_they_can_limit() {
        let all = Controllers { memory: true, cpu: true, pids: true };
        let texts: Vec<String> =
            cgroups(&in_force(Some("/x"), all, None), SYSTEMD).into_iter().map(|check| check.text).collect();
        assert_eq!(
            texts,
            [
                "each run has a cgroup below /x, and all in it can be killed at once",
                "limits are in force on memory, cpu, pids"
            ]
        );
        let foreign = in_force(None, Controllers::default(), Some(Hindrance::Foreign("/x".into())));
        let remedy = |systemd| cgroups(&foreign, systemd)[0].remedy.clone().unwrap();
        assert!(remedy(SYSTEMD).contains("systemd-run --user --scope -p Delegate=yes"));
        assert!(!remedy(Systemd::Absent).contains("systemd"));
    }

    #[test]
    fn a_broken_configuration_fails_with_its_first_problem() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ostler.toml");
        std::fs::write(&file, "[process.api]\ncomand = \"x\"\n").unwrap();
        let check = configuration(Some(&file));
        assert_eq!(check.health, Health::Fail);
        assert!(check.remedy.unwrap().contains("comand"));
        std::fs::write(&file, "[process.api]\ncommand = \"x\"\n").unwrap();
        assert!(configuration(Some(&file)).text.ends_with("is sound and has 1 process"));
        assert_eq!(configuration(None).health, Health::Ok);
    }
}
