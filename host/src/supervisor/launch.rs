//! From a configuration to a launched shim: preflight, the run's record and directory, the launch spec. Blocking;
//! drivers call it on the blocking pool.

use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::process::Child;

use super::Context;
use super::preflight::{StartProblem, check_directory, resolve_program};
use super::{cgroup, limits};
use crate::config::{Check, Command, HealthLook, PortChoice, ProcessConfig};
use crate::model::{ProcessName, RunId, TerminalSize, Time};
use crate::shim::LaunchError;
use crate::shim::spec::{LaunchSpec, NotifySpec, SpecError, SpoolLimits};
use crate::store::NewRun;

/// Why a run is started that follows the end of another.
pub(super) const RESTARTED: &str = "restart";
/// The shell that `shell = true` runs.
const SHELL: &str = "/bin/sh";
/// The variables by which a service manager talks to what it has started (`sd_notify(3)`).
const NOTIFY_VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
/// Where programs are looked for when the environment has no `PATH`, as `execvp(3)` does.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// What kind of terminal a process with `pty = true` is told to have, when its environment does not say.
const TERM: &str = "xterm-256color";

/// A shim that has been spawned; whether its child runs is what its first report says.
pub(super) struct Launched {
    pub(super) run: RunId,
    pub(super) shim: Child,
    pub(super) socket: UnixStream,
    pub(super) began: Time,
}

/// Launches `config` as a new run.
pub(super) fn launch(
    context: &Context,
    name: &ProcessName,
    config: &ProcessConfig,
    reason: &str,
) -> Result<Launched, StartProblem> {
    let mut spec = spec(name, config)?;
    let began = Time::now();
    let new_run = NewRun {
        process: name,
        command: &words(config),
        cwd: &config.cwd,
        reason,
        started_at: began,
        boot: context.boot.as_deref(),
    };
    let run = context.catalogue.begin_run(new_run).map_err(|e| StartProblem::Store(e.to_string()))?;
    spec.cgroup = context.cgroups.make(run, &config.limits);
    spec.notify = notify_spec(context, run, config);
    match spawn(context, run, &spec) {
        Ok((shim, socket)) => Ok(Launched { run, shim, socket, began }),
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

/// Returns the port that a process is given.
pub(super) fn port(config: &ProcessConfig) -> Option<u16> {
    match config.port {
        Some(PortChoice::Fixed(port)) => Some(port),
        Some(PortChoice::Auto) | None => None,
    }
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

/// Returns where programs are looked for in this environment.
pub(super) fn search_path(env: &[(OsString, OsString)]) -> &OsStr {
    let path = env.iter().find(|(variable, _)| variable == "PATH").map(|(_, value)| value.as_os_str());
    path.unwrap_or(OsStr::new(DEFAULT_PATH))
}

/// Returns the whole environment of a process, as it is at this moment.
pub(super) fn environment(
    name: &ProcessName,
    config: &ProcessConfig,
) -> Result<Vec<(OsString, OsString)>, StartProblem> {
    let base: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let mut env =
        config.effective_env(&base).map_err(|error| StartProblem::Environment(error.to_string()))?;
    env.retain(|(variable, _)| variable != "OSTLER_PROCESS");
    // Where Ostler itself runs under a service manager, that one's socket is for Ostler and not for its children.
    env.retain(|entry| !(NOTIFY_VARIABLES.iter().any(|name| entry.0 == *name) && base.contains(entry)));
    env.push(("OSTLER_PROCESS".into(), name.as_str().into()));
    if config.pty && !env.iter().any(|(variable, _)| variable == "TERM") {
        env.push(("TERM".into(), TERM.into()));
    }
    Ok(env)
}

fn spec(name: &ProcessName, config: &ProcessConfig) -> Result<LaunchSpec, StartProblem> {
    check_directory(&config.cwd)?;
    let env = environment(name, config)?;
    let mut words = words(config).into_iter().map(OsString::from);
    // The loader refuses an empty command.
    let (program, args): (OsString, _) = (words.next().unwrap_or_default(), words.collect());
    resolve_program(&program, &config.cwd, search_path(&env))?;
    Ok(LaunchSpec {
        program,
        args,
        cwd: config.cwd.clone(),
        env,
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
