//! From a configuration to a launched shim: preflight, the run's record and directory, the launch spec. Blocking;
//! drivers call it on the blocking pool.

use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::process::Child;

use super::Context;
use super::ports::ready_warning;
use super::preflight::{StartProblem, check_directory, resolve_program};
use super::{cgroup, limits};
use crate::config::{Check, Command, DEFAULT_PATH, Environment, EnvironmentError, HealthLook, ProcessConfig};
use crate::model::{ProcessName, RunId, TerminalSize, Time};
use crate::shim::LaunchError;
use crate::shim::spec::{LaunchSpec, NotifySpec, SpecError, SpoolLimits};
use crate::store::NewRun;

/// Why a run is started that follows the end of another.
pub(super) const RESTARTED: &str = "restart";
/// The shell that `shell = true` runs.
const SHELL: &str = "/bin/sh";
/// How a word of a command names the process's own port.
const OWN_PORT: &str = "${PORT}";

/// A shim that has been spawned; whether its child runs is what its first report says.
pub(super) struct Launched {
    pub(super) run: RunId,
    pub(super) shim: Child,
    pub(super) socket: UnixStream,
    pub(super) began: Time,
    /// The port it was given.
    pub(super) port: Option<u16>,
    /// What is odd about it.
    pub(super) warning: Option<String>,
}

/// Launches `config` as a new run.
pub(super) fn launch(
    context: &Context,
    name: &ProcessName,
    config: &ProcessConfig,
    reason: &str,
) -> Result<Launched, StartProblem> {
    check_directory(&config.cwd)?;
    let port = context.ports.give(name, config.port)?;
    let env = environment(context, name, config, port)
        .map_err(|error| StartProblem::Environment(error.to_string()))?;
    let words = with_port(words(config), config, port);
    let mut spec = spec(config, &words, env)?;
    let warning = ready_warning(config, port, context.ports.home());
    let began = Time::now();
    let new_run = NewRun {
        process: name,
        command: &words,
        cwd: &config.cwd,
        reason,
        started_at: began,
        boot: context.boot.as_deref(),
    };
    let run = context.catalogue.begin_run(new_run).map_err(|e| StartProblem::Store(e.to_string()))?;
    spec.cgroup = context.cgroups.make(run, &config.limits);
    spec.notify = notify_spec(context, run, config);
    match spawn(context, run, &spec) {
        Ok((shim, socket)) => Ok(Launched { run, shim, socket, began, port, warning }),
        Err(problem) => {
            // The run exists in the catalogue; leave no trace on disk and say there what became of it.
            let _ = std::fs::remove_dir_all(context.run_dir(run));
            if let Some(cgroup) = &spec.cgroup {
                cgroup::remove(cgroup);
            }
            let _ = context.catalogue.run_not_spawned(run, Time::now(), &problem.to_string());
            Err(problem)
        }
    }
}

fn spawn(context: &Context, run: RunId, spec: &LaunchSpec) -> Result<(Child, UnixStream), StartProblem> {
    let dir = context.run_dir(run);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(|error| StartProblem::Store(format!("{}: {error}", dir.display())))?;
    let socket = context.shim_socket(run);
    let launched =
        crate::shim::launch(&context.shim.program, &dir, &socket, spec).map_err(|error| match error {
            LaunchError::Spec(SpecError::Io { .. }) => StartProblem::Store(error.to_string()),
            LaunchError::Shim { ref error, .. } if may_pass(error) => StartProblem::System(error.to_string()),
            _ => StartProblem::Spawn(error.to_string()),
        })?;
    Ok((launched.shim, launched.control))
}

/// Returns whether the system had not enough of something just then (`fork(2)`, `socketpair(2)`).
fn may_pass(error: &std::io::Error) -> bool {
    let passing = [libc::EAGAIN, libc::ENOMEM, libc::EMFILE, libc::ENFILE];
    error.raw_os_error().is_some_and(|errno| passing.contains(&errno))
}

/// A process that is to say how it is is given a socket to say it to, and no other is.
fn notify_spec(context: &Context, run: RunId, config: &ProcessConfig) -> Option<NotifySpec> {
    let watchdog = match config.health.as_ref().map(|health| &health.look) {
        Some(HealthLook::Watchdog(every)) => Some(*every),
        _ => None,
    };
    let is_asked = watchdog.is_some() || config.ready.check == Some(Check::Notify);
    is_asked.then(|| NotifySpec { path: context.notify_socket(run), watchdog })
}

/// Returns what should be known of a run of an earlier daemon's that is to say how it is and has no socket to say it
/// to, because that was configured while no daemon ran.
pub(super) fn notify_warning(context: &Context, run: RunId, config: &ProcessConfig) -> Option<String> {
    notify_spec(context, run, config)?;
    let spec = LaunchSpec::read(&context.run_dir(run)).ok()?;
    spec.notify.is_none().then(|| {
        "it was started without NOTIFY_SOCKET, before `ready.notify` or `health.watchdog` was configured; restart it"
            .to_owned()
    })
}

/// Returns the program and its arguments as they are executed.
pub(super) fn words(config: &ProcessConfig) -> Vec<String> {
    words_of(&config.command)
}

/// Returns a command as it is executed.
pub(super) fn words_of(command: &Command) -> Vec<String> {
    match command {
        Command::Words(words) => words.clone(),
        Command::Shell(script) => vec![SHELL.to_owned(), "-c".to_owned(), script.clone()],
    }
}

/// Puts the process's port where its words ask for it. A script has it from its shell.
fn with_port(words: Vec<String>, config: &ProcessConfig, port: Option<u16>) -> Vec<String> {
    match (&config.command, port) {
        (Command::Words(_), Some(port)) => {
            words.into_iter().map(|word| word.replace(OWN_PORT, &port.to_string())).collect()
        }
        _ => words,
    }
}

/// Returns the variables that a process has from Ostler itself.
pub(super) fn own_variables(
    context: &Context,
    name: &ProcessName,
    port: Option<u16>,
) -> Vec<(&'static str, OsString)> {
    let mut own = vec![
        ("OSTLER_PROCESS", name.as_str().into()),
        ("OSTLER_PROJECT", context.ports.home().into()),
        ("OSTLER_REPLICA", name.replica().to_string().into()),
    ];
    own.extend(port.map(|port| ("PORT", port.to_string().into())));
    own
}

/// Returns the environment of a process that was given `port`.
pub(super) fn environment(
    context: &Context,
    name: &ProcessName,
    config: &ProcessConfig,
    port: Option<u16>,
) -> Result<Environment, EnvironmentError> {
    let own = own_variables(context, name, port);
    config.environment(std::env::vars_os(), &own)
}

/// Returns the port that a run of an earlier daemon's was given.
pub(super) fn port_of_run(context: &Context, run: RunId) -> Option<u16> {
    let spec = LaunchSpec::read(&context.run_dir(run)).ok()?;
    let (_, port) = spec.env.iter().find(|(variable, _)| variable == "PORT")?;
    port.to_str()?.parse().ok()
}

fn spec(config: &ProcessConfig, words: &[String], env: Environment) -> Result<LaunchSpec, StartProblem> {
    let mut words = words.iter().map(OsString::from);
    // The loader refuses an empty command.
    let (program, args): (OsString, _) = (words.next().unwrap_or_default(), words.collect());
    resolve_program(&program, &config.cwd, env.get("PATH").unwrap_or(OsStr::new(DEFAULT_PATH)))?;
    Ok(LaunchSpec {
        program,
        args,
        cwd: config.cwd.clone(),
        env: env.into_pairs(),
        umask: None,
        spool: SpoolLimits::default(),
        leftover_grace: config.stop.grace,
        // Has the run's number in its name, which there is none of yet.
        cgroup: None,
        rlimits: limits::rlimits(&config.limits)?,
        terminal: config.pty.then(TerminalSize::default),
        notify: None,
    })
}
