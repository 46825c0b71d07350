//! Owns the checked configuration of one process, and of groups of them.
//!
//! Plain values; what they are written like is `file`'s business, what they do is the supervisor's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::command::Command;
use super::endpoint::PortText;
use crate::model::{ProcessName, signal_number};

/// One `[process.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessConfig {
    pub command: Command,
    /// Absolute when the project's directory is.
    pub cwd: PathBuf,
    pub env: EnvVars,
    /// Read at each start, later files over earlier ones.
    pub env_files: Vec<EnvFile>,
    /// Which of Ostler's own variables it gets.
    pub inherit_env: InheritEnv,
    /// `ostler up` starts it.
    pub autostart: bool,
    pub depends_on: Vec<DependsOn>,
    pub restart: RestartPolicy,
    pub ready: Ready,
    pub health: Option<Health>,
    pub stop: StopPolicy,
    pub reload: Option<Reload>,
    pub limits: Limits,
    /// Its standard streams are a terminal.
    pub pty: bool,
    /// The port it is to listen on, handed over as `PORT`.
    pub port: Option<PortChoice>,
    /// How many of it run at once, by configuration; each replica is a process of its own.
    pub replicas: u32,
    pub watch: Option<Watch>,
    pub schedule: Option<Schedule>,
}

impl ProcessConfig {
    /// Returns a process with every default, as an agent adds one without `ostler.toml`.
    pub fn new(command: Command, cwd: PathBuf) -> Self {
        Self {
            command,
            cwd,
            env: EnvVars::default(),
            env_files: Vec::new(),
            inherit_env: InheritEnv::default(),
            autostart: true,
            depends_on: Vec::new(),
            restart: RestartPolicy::default(),
            ready: Ready::default(),
            health: None,
            stop: StopPolicy::default(),
            reload: None,
            limits: Limits::default(),
            pty: false,
            port: None,
            replicas: 1,
            watch: None,
            schedule: None,
        }
    }

    /// Returns whether there is anything by which to tell how it is while it runs.
    pub fn has_check(&self) -> bool {
        self.ready.check.is_some() || self.health.is_some()
    }
}

/// Environment variables. `Debug` shows their names only, because their values are where secrets live.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct EnvVars(pub BTreeMap<String, String>);

impl fmt::Debug for EnvVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, format_args!("…")))).finish()
    }
}

/// A file of `NAME=value` lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFile {
    pub path: PathBuf,
    /// Written with a `?` at the end: nothing is wrong when it does not exist.
    pub optional: bool,
}

/// A process that has to be somewhere before this one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependsOn {
    pub process: ProcessName,
    pub condition: Condition,
}

/// How far a dependency has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// It has been spawned.
    Started,
    /// Its readiness check holds.
    #[default]
    Ready,
    /// It has ended with exit code 0: migrations, builds.
    ExitedOk,
}

impl Condition {
    /// Every condition with the word for it.
    pub const WORDS: [(&str, Self); 3] =
        [("started", Self::Started), ("ready", Self::Ready), ("exited-ok", Self::ExitedOk)];
}

/// When to start a process again after it ended without being asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    pub when: RestartWhen,
    /// Pause before the first restart; it doubles with each further one.
    pub backoff_first: Duration,
    /// Longest pause.
    pub backoff_longest: Duration,
    /// Restarts within `window` after which the process is left alone as failed.
    pub max: u32,
    pub window: Duration,
    /// How far a pause may be off either way, in hundredths of it, so that what failed together does not come back
    /// together. At most 100.
    pub jitter_percent: u8,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            when: RestartWhen::OnFailure,
            backoff_first: Duration::from_millis(200),
            backoff_longest: Duration::from_secs(30),
            max: 5,
            window: Duration::from_secs(60),
            jitter_percent: 10,
        }
    }
}

/// After which exits to restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartWhen {
    /// After a signal or an exit code other than 0.
    OnFailure,
    /// After every exit.
    Always,
    Never,
}

impl RestartWhen {
    /// Every policy with the word for it.
    pub const WORDS: [(&str, Self); 3] =
        [("on-failure", Self::OnFailure), ("always", Self::Always), ("never", Self::Never)];
}

/// Which variables of Ostler's own environment a process gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum InheritEnv {
    #[default]
    All,
    None,
    /// Those with these names, as far as they are set.
    Only(Vec<String>),
}

/// How to tell that a process serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Without one, plugins and the fact that it runs decide.
    pub check: Option<Check>,
    /// How long a start may take until waiting for it is given up.
    pub timeout: Duration,
}

impl Default for Ready {
    fn default() -> Self {
        Self { check: None, timeout: Duration::from_secs(30) }
    }
}

/// One way to look at a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// A line of output matches this regular expression, which is known to compile. For readiness only.
    Log(String),
    /// Something accepts connections at this [`Endpoint`](super::Endpoint).
    Tcp(PortText),
    Http(HttpCheck),
    /// This command ends with exit code 0 in time; it runs in the process's directory with its environment.
    Exec(Command),
    /// The process says `READY=1` through its notify socket (`sd_notify(3)`). For readiness only.
    Notify,
}

/// A GET and what its answer has to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// An [`HttpUrl`](super::HttpUrl) once the port is known.
    pub url: PortText,
    /// The lowest and highest status that will do. Default: 100 to 399.
    pub status: (u16, u16),
    /// A regular expression, known to compile, that must match in the first part of the body.
    pub body: Option<String>,
}

impl HttpCheck {
    /// Statuses that do when none are named.
    pub const STATUS: (u16, u16) = (100, 399);
}

/// How to tell that a process that was ready still works, and when to restart it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub look: HealthLook,
    /// Failed looks in a row after which it counts as unhealthy and is restarted.
    pub failures: u32,
    /// Whether it is restarted then, or only shown as unhealthy.
    pub restart: bool,
}

/// See [`Health`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthLook {
    /// A check made at intervals.
    Probe {
        check: Check,
        every: Duration,
        /// Time for one look.
        timeout: Duration,
        /// Time after the start before the first look counts.
        delay: Duration,
    },
    /// The process says `WATCHDOG=1` through its notify socket at least this often; it is told so by `WATCHDOG_USEC`.
    Watchdog(Duration),
}

/// How to end a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopPolicy {
    /// The number of the first signal.
    pub signal: i32,
    /// Time between that and SIGKILL.
    pub grace: Duration,
    /// Run instead of sending the signal, in the process's directory with its environment.
    pub command: Option<Command>,
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self { signal: signal_number("SIGTERM").unwrap_or(15), grace: Duration::from_secs(10), command: None }
    }
}

/// How to make a process read its own configuration again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// The number of a signal to its main process.
    Signal(i32),
    /// A command, in the process's directory with its environment and its pid as `MAINPID`.
    Command(Command),
}

/// What a process and its descendants may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of memory, all together; by cgroup.
    pub memory: Option<u64>,
    /// Thousandths of a core, all together; by cgroup.
    pub cpu_millis: Option<u32>,
    /// Processes and threads, all together; by cgroup.
    pub pids: Option<u32>,
    /// For each process by itself; by `setrlimit(2)`.
    pub rlimits: Vec<(Rlimit, RlimitValue)>,
}

/// A resource of `setrlimit(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rlimit {
    Nofile,
    Core,
    As,
    Nproc,
    Stack,
    Data,
    Fsize,
    Memlock,
    /// Seconds of processor time; written `cpu-time`, because `cpu` is the cgroup's.
    CpuTime,
}

impl Rlimit {
    /// Every resource with its key in `limits`.
    pub const WORDS: [(&str, Self); 9] = [
        ("nofile", Self::Nofile),
        ("core", Self::Core),
        ("as", Self::As),
        ("nproc", Self::Nproc),
        ("stack", Self::Stack),
        ("data", Self::Data),
        ("fsize", Self::Fsize),
        ("memlock", Self::Memlock),
        ("cpu-time", Self::CpuTime),
    ];
}

/// The value of a [`Rlimit`], soft and hard alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RlimitValue {
    /// A number, bytes, or seconds, as the resource has it.
    At(u64),
    Unlimited,
}

/// The port a process is to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortChoice {
    /// This one; replica `n` gets the one `n - 1` above it.
    Fixed(u16),
    /// One that is free, the same at every restart while it stays free.
    Auto,
}

/// Files whose change concerns a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Globs below the project's directory, `/` between names, `**` for any depth. Known to compile.
    pub globs: Vec<String>,
    /// Globs of what does not count.
    pub ignore: Vec<String>,
    /// What the project's `.gitignore` and `.ignore` files name does not count either.
    pub ignore_files: bool,
    /// Quiet time after a change before anything is done.
    pub debounce: Duration,
    pub action: WatchAction,
}

/// What follows a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchAction {
    Restart,
    Reload,
    Signal(i32),
}

/// When to start a process by the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Five fields, or one such as `@hourly`, in local time. Known to be read, and to come due some day.
    pub cron: String,
    /// Stop a run that is still going when the next is due, instead of leaving that one out.
    pub overlap: Overlap,
}

/// What to do when a run is due and the last one is still going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// Leave this one out, and say so in the log.
    #[default]
    Skip,
    /// Stop the old one first.
    Replace,
}

impl Overlap {
    /// Every way with the word for it.
    pub const WORDS: [(&str, Self); 2] = [("skip", Self::Skip), ("replace", Self::Replace)];
}

/// One `[group.NAME]`, or a name that stands in the `groups` of processes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// In the order they are started.
    pub members: Vec<ProcessName>,
    /// Pause between one member's start and the next one's.
    pub start_delay: Duration,
    pub stop: StopStrategy,
}

/// In what order the members of a group are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StopStrategy {
    /// One after the other, the last started first.
    #[default]
    Reverse,
    /// All at once.
    Parallel,
    /// One after the other, in the order they were started.
    Sequential,
}

impl StopStrategy {
    /// Every strategy with the word for it.
    pub const WORDS: [(&str, Self); 3] =
        [("reverse", Self::Reverse), ("parallel", Self::Parallel), ("sequential", Self::Sequential)];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_values_of_variables() {
        let env = EnvVars([("TOKEN".to_owned(), "hunter2".to_owned())].into());
        assert_eq!(format!("{env:?}"), r#"{"TOKEN": …}"#);
    }
}
