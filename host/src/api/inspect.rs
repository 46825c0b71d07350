//! Everything about one process: its configuration as it is in force, its environment with where each variable comes
//! from, its ports, its tree, and where its things lie.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::gate::Act;
use super::requests::RequestStats;
use super::types::{ApiError, Caller, ErrorKind, ProcessView, Surface};
use super::{Api, mask, settings, view};
use crate::config::{Command, Environment, Origin};
use crate::mask::InForce;
use crate::shim::spec::LaunchSpec;
use crate::supervisor::{Handle, State, procfs};

/// Most processes of a tree that are listed.
const TREE: usize = 200;
/// Longest command in a tree, in characters.
const COMMAND_CHARS: usize = 300;

/// Everything about one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Inspection {
    pub process: ProcessView,
    /// Why it is in its state, when that is not plain.
    pub reason: Option<String>,
    /// What was odd about its last start.
    pub warning: Option<String>,
    /// The words as they are run, secrets masked.
    pub command: Vec<String>,
    pub cwd: String,
    /// The settings in force that have a value, defaults included, as they are written in `ostler.toml`.
    pub settings: Vec<Setting>,
    /// The environment the next start gives it, sorted by name.
    pub env: Vec<EnvVariable>,
    /// Why the next start would find no environment.
    pub env_problem: Option<String>,
    /// Variables whose value differs from that which the run that lives was started with.
    pub env_changed: Vec<String>,
    /// The processes of the run, parents before their children.
    pub tree: Vec<TreeProcess>,
    /// There are more than are listed.
    pub tree_more: usize,
    pub shim_pid: Option<u32>,
    pub paths: RunPaths,
    /// What requests it has answered lately; absent when its output has told of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestStats>,
}

/// One line of the configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    pub key: String,
    pub value: String,
}

/// One variable of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVariable {
    pub name: String,
    /// Masked where it is or holds a secret.
    pub value: String,
    pub masked: bool,
    pub origin: EnvOrigin,
    /// The file, when it comes from one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<PathBuf>,
}

/// Where a variable comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvOrigin {
    /// `env` in the configuration.
    Config,
    /// An `env_file`.
    File,
    /// Ostler sets it.
    Ostler,
    /// The environment the daemon was started with.
    Inherited,
}

/// A process of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeProcess {
    pub pid: u32,
    pub parent: Option<u32>,
    /// Secrets masked.
    pub command: String,
    /// TCP ports it listens on.
    pub ports: Vec<u16>,
}

/// Where the things of the current or last run lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPaths {
    pub project: PathBuf,
    pub state: PathBuf,
    /// Launch spec, spool and exit of the run; gone once an ended run is taken in.
    pub run: Option<PathBuf>,
    pub shim_socket: Option<PathBuf>,
}

impl Api {
    /// Tells everything about a process, secrets masked. With `secrets` they are shown, to people at a terminal alone.
    pub async fn inspect(&self, caller: &Caller, name: &str, secrets: bool) -> Result<Inspection, ApiError> {
        let handle = self.handle(name)?;
        if !secrets {
            return self.inspected(handle, false).await;
        }
        let allowed = caller.surface == Surface::Cli;
        let act = Act { verb: "show-secrets", target: name.to_owned(), detail: String::new() };
        let api = self.clone();
        let showing = async move {
            if !allowed {
                let error = ApiError::new(ErrorKind::Denied, "secrets are shown at a terminal only");
                return Err(error.hint("run `ostler inspect NAME --show-secrets` there"));
            }
            api.inspected(handle, true).await
        };
        self.gate.pass(caller, act, showing).await
    }

    async fn inspected(&self, handle: Handle, secrets: bool) -> Result<Inspection, ApiError> {
        let process = view::of(handle.snapshot()).await;
        let api = self.clone();
        let inspecting = tokio::task::spawn_blocking(move || api.inspect_blocking(&handle, process, secrets));
        inspecting.await.map_err(|error| ApiError::new(ErrorKind::Failed, error.to_string()))
    }

    fn inspect_blocking(&self, handle: &Handle, process: ProcessView, secrets: bool) -> Inspection {
        let (config, snapshot) = (handle.config(), handle.snapshot());
        let context = self.parts.fleet.context();
        let port = snapshot.port.filter(|_| snapshot.state.is_alive());
        let port =
            port.or_else(|| config.port.and_then(|choice| context.ports.expected(&process.name, choice)));
        let run_dir = snapshot.run.map(|run| context.run_dir(run)).filter(|dir| dir.exists());
        let launched = run_dir.as_deref().and_then(|dir| LaunchSpec::read(dir).ok());
        let launched = launched.filter(|_| snapshot.pid.is_some());
        let (env, env_problem) = match context.environment(&process.name, &config, port) {
            Ok(env) => (env, None),
            Err(error) => (Environment::default(), Some(error.to_string())),
        };
        let env_changed = match &launched {
            Some(spec) if env_problem.is_none() => changed(&env, &spec.env),
            _ => Vec::new(),
        };
        let words = match &launched {
            Some(spec) => std::iter::once(&spec.program).chain(&spec.args).map(|word| lossy(word)).collect(),
            None => match &config.command {
                Command::Words(words) => words.clone(),
                Command::Shell(script) => vec![script.clone()],
            },
        };
        let rules = self.parts.secrets.current();
        let (tree, tree_more) = tree(&rules, snapshot.pid);
        Inspection {
            reason: snapshot.reason.as_ref().map(|reason| rules.mask(reason)),
            warning: snapshot.warning.clone(),
            command: if secrets { words } else { mask::words(&rules, words.iter().map(String::as_str)) },
            cwd: config.cwd.display().to_string(),
            settings: settings::of(&config, &rules),
            env: env.iter().map(|(name, variable)| env_variable(&rules, name, variable, secrets)).collect(),
            env_problem,
            env_changed,
            tree,
            tree_more,
            requests: self.requests(&snapshot),
            shim_pid: snapshot.pid.and_then(|pid| shim_of(pid, snapshot.state)),
            paths: RunPaths {
                project: context.ports.home().to_owned(),
                state: self.parts.state_dir.clone(),
                shim_socket: run_dir.as_ref().and(snapshot.run).map(|run| context.shim_socket(run)),
                run: run_dir,
            },
            process,
        }
    }
}

fn lossy(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

fn env_variable(
    rules: &InForce,
    name: &OsStr,
    variable: &crate::config::Variable,
    secrets: bool,
) -> EnvVariable {
    let (name, value) = (lossy(name), lossy(&variable.value));
    let (shown, masked) = if secrets { (value, false) } else { mask::value(rules, &name, &value) };
    let (origin, file) = match &variable.origin {
        Origin::Inherited => (EnvOrigin::Inherited, None),
        Origin::File(path) => (EnvOrigin::File, Some(path.clone())),
        Origin::Config => (EnvOrigin::Config, None),
        Origin::Ostler => (EnvOrigin::Ostler, None),
    };
    EnvVariable { name, value: shown, masked, origin, file }
}

/// Returns the names of variables that are not what the run was started with, sorted.
fn changed(now: &Environment, then: &[(OsString, OsString)]) -> Vec<String> {
    let then_of =
        |name: &OsStr| then.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str());
    let mut names: BTreeSet<String> = now
        .iter()
        .filter(|(name, variable)| then_of(name) != Some(variable.value.as_os_str()))
        .map(|(name, _)| lossy(name))
        .collect();
    // What a run gets beyond its environment, such as a notify socket, is not the configuration's.
    let own = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "TERM", "OSTLER_REPLICA"];
    names.extend(
        then.iter().map(|(name, _)| name).filter(|name| now.get(name).is_none()).map(|name| lossy(name)),
    );
    names.retain(|name| !own.contains(&name.as_str()));
    names.into_iter().collect()
}

fn tree(rules: &InForce, root: Option<u32>) -> (Vec<TreeProcess>, usize) {
    let Some(root) = root else { return (Vec::new(), 0) };
    let pids = procfs::tree(root);
    let listed: Vec<TreeProcess> = pids
        .iter()
        .take(TREE)
        .map(|pid| TreeProcess {
            pid: *pid,
            parent: procfs::parent(*pid),
            command: shown_command(rules, &procfs::command_line(*pid)),
            ports: procfs::listening_ports(&[*pid]).into_iter().collect(),
        })
        .collect();
    (listed, pids.len().saturating_sub(TREE))
}

fn shown_command(rules: &InForce, words: &[String]) -> String {
    let command = mask::words(rules, words.iter().map(String::as_str)).join(" ");
    let mut shown: String = command.chars().take(COMMAND_CHARS).collect();
    if command.chars().nth(COMMAND_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// The shim is the parent of a run's main process, and nobody else is.
fn shim_of(pid: u32, state: State) -> Option<u32> {
    let parent = procfs::parent(pid).filter(|_| state.is_alive())?;
    let words = procfs::command_line(parent);
    words.first().is_some_and(|word| Path::new(word).ends_with(crate::shim::program::NAME)).then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EnvVars, ProcessConfig};

    #[test]
    fn what_differs_from_the_run_is_named_and_nothing_else() {
        let mut config = ProcessConfig::new(Command::from_line("true").unwrap(), "/".into());
        let vars = [("SAME", "1"), ("OTHER", "new"), ("ADDED", "1")];
        config.env = EnvVars(vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let env = config.environment([("PATH".into(), "/bin".into())], &[]).unwrap();
        let then = [
            ("SAME", "1"),
            ("OTHER", "old"),
            ("GONE", "1"),
            ("PATH", "/bin"),
            ("PYTHONUNBUFFERED", "1"),
            ("NOTIFY_SOCKET", "/x"),
        ];
        let then: Vec<_> = then.map(|(name, value)| (name.into(), value.into())).into();
        assert_eq!(changed(&env, &then), ["ADDED", "GONE", "OTHER"]);
    }

    #[test]
    fn a_tree_is_listed_with_its_commands_masked() {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "echo; read line", "sh", "--token=hunter2"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // Its words are known a moment after it was spawned.
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let rules = crate::mask::RulesInForce::default().current();
        let (listed, more) = tree(&rules, Some(child.id()));
        assert_eq!((listed.len(), more), (1, 0));
        assert_eq!(listed[0].command, "/bin/sh -c echo; read line sh --token=****");
        assert_eq!(listed[0].parent, Some(std::process::id()));
        assert_eq!(shim_of(child.id(), State::Running), None);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(tree(&rules, None), (Vec::new(), 0));
    }
}
