//! Owns the wire types: `ostler.toml` and files of log patterns exactly as they are written.
//!
//! The doc comments here are the reference: the JSON schema for editors is made from them. Nothing is checked here
//! beyond shape; `check` turns these types into those of `types` and `process`. Every value keeps its place for
//! messages. Values that may be written in more than one shape are in `shapes`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::file_watch::{AlertTable, SecretsTable};
use super::shapes::{
    CountValue, DependsOnValue, EnvValue, InheritEnvValue, PortValue, ReloadValue, RestartValue,
    ScheduleValue, SecondsValue, SizeValue, StatusValue, StringOrList, TcpValue, WatchValue,
};

/// Words that `check` and `patterns` read themselves, to suggest the nearest; here they are for the schema.
pub(super) const RESTART_WORDS: [&str; 3] = ["on-failure", "always", "never"];
const OVERLAP_WORDS: [&str; 2] = ["skip", "replace"];
const STOP_WORDS: [&str; 3] = ["reverse", "parallel", "sequential"];
const LEVEL_WORDS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];

/// Configuration of Ostler for one project.
///
/// Relative paths start from the directory of this file. Durations are written `200ms`, `30s`, `1m30s`, `2h`.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct ConfigFile {
    /// About the project as a whole.
    pub project: ProjectTable,
    /// The processes, each by its name: letters, digits, `-`, `_` and `.`, at most 64.
    #[schemars(with = "BTreeMap<String, ProcessTable>")]
    pub process: BTreeMap<Spanned<String>, ProcessTable>,
    /// Groups of processes, each by its name; a name that stands only in the `groups` of processes is one too.
    #[schemars(with = "BTreeMap<String, GroupTable>")]
    pub group: BTreeMap<Spanned<String>, GroupTable>,
    /// About reading the output of processes.
    pub logs: LogsTable,
    /// What is told of at once, each alert by its name. Default: nothing is.
    #[schemars(with = "BTreeMap<String, AlertTable>")]
    pub alert: BTreeMap<Spanned<String>, AlertTable>,
    /// What is masked besides what is masked anyway.
    pub secrets: SecretsTable,
    /// Settings of plugins, each by the plugin's name.
    #[schemars(with = "BTreeMap<String, PluginTable>")]
    pub plugin: BTreeMap<Spanned<String>, PluginTable>,
}

/// About the project as a whole.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct ProjectTable {
    /// What the project is called in messages and lists. Default: the name of the directory.
    #[schemars(with = "String")]
    pub name: Option<Spanned<String>>,
}

/// A process to supervise.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
#[schemars(extend("required" = ["command"]))]
pub(super) struct ProcessTable {
    /// What to execute: a line, split into words as a shell would but run without one, or a list of words. `${PORT}`
    /// stands for `port`, and `{index}` for the number of the replica, from 1. Required.
    #[schemars(with = "StringOrList")]
    pub command: Option<Spanned<StringOrList>>,
    /// Run `command`, which must be a string then, with `/bin/sh -c`. Default: false.
    #[schemars(extend("default" = false))]
    pub shell: bool,
    /// The directory to run in; `{index}` stands for the number of the replica. Default: the project's.
    #[schemars(with = "String", extend("default" = "."))]
    pub cwd: Option<Spanned<String>>,
    /// Variables added to the environment Ostler was started with; they win over `env_file`. `{index}` in a value
    /// stands for the number of the replica; `${NAME}` and `${NAME:-default}` for another variable of the process,
    /// `PORT` included, and in the value of `NAME` itself for what lies below it. One that is not set stops the start;
    /// `$${` is a plain `${`. Default: none, but `PYTHONUNBUFFERED=1` is set for every process unless
    /// something else sets that variable, because Python otherwise holds back its output for seconds.
    #[schemars(with = "BTreeMap<String, EnvValue>")]
    pub env: BTreeMap<Spanned<String>, Spanned<EnvValue>>,
    /// One or several files of `NAME=value` lines, read at each start; later files win. A file that does not exist is
    /// an error, unless its name ends in `?`. Default: none.
    #[schemars(with = "StringOrList")]
    pub env_file: Option<Spanned<StringOrList>>,
    /// Which variables of the environment Ostler was started with the process gets: `true` for all, `false` for none,
    /// or a list of their names. Without any `PATH` it is `/usr/local/bin:/usr/bin:/bin`. Default: true.
    #[schemars(with = "InheritEnvValue", extend("default" = true))]
    pub inherit_env: Option<Spanned<InheritEnvValue>>,
    /// `ostler up` starts it. Default: true, but false for a process with a `schedule`.
    #[schemars(with = "bool", extend("default" = true))]
    pub autostart: Option<bool>,
    /// Processes that come first: a list of names, or a table of names with what to wait for: `"started"`, `"ready"`
    /// (which the list means) or `"exited-ok"`. Default: none.
    pub depends_on: DependsOnValue,
    /// When to start it again after it ended by itself: `"on-failure"`, `"always"`, `"never"`, or a table. Default:
    /// `"on-failure"`, but `"never"` for a process with a `schedule`.
    #[schemars(with = "RestartValue")]
    pub restart: Option<Spanned<RestartValue>>,
    /// How to tell that it serves. Default: it is ready when it runs, or when a plugin recognises its output.
    #[schemars(with = "ReadyTable")]
    pub ready: ReadyTable,
    /// How to tell that it still works, and whether to restart it when it does not. Default: nobody looks.
    #[schemars(with = "HealthTable")]
    pub health: Option<Spanned<HealthTable>>,
    /// How to stop it. Default: SIGTERM, and SIGKILL ten seconds later.
    pub stop: StopTable,
    /// How to make it read its own configuration again: a signal such as `"SIGHUP"`, or a table with `signal` or
    /// `command`. Default: it cannot be asked to.
    #[schemars(with = "ReloadValue")]
    pub reload: Option<Spanned<ReloadValue>>,
    /// What it and its descendants may use. Default: what Ostler itself may.
    #[schemars(with = "LimitsTable")]
    pub limits: LimitsTable,
    /// Give it a terminal instead of pipes; standard output and standard error are one stream then. Default: false.
    #[schemars(extend("default" = false))]
    pub pty: bool,
    /// The port it is to listen on, handed over as the variable `PORT` and in `${PORT}`: a number, or `"auto"` for one
    /// from 20000 to 29999 that is free, the same at every start while it stays free. With `replicas` each gets the next number. Default: none.
    #[schemars(with = "PortValue")]
    pub port: Option<Spanned<PortValue>>,
    /// How many of it run at once, from 1 to 64: the first has the process's name, the others follow as `api#2`,
    /// `api#3`. Default: 1.
    #[schemars(with = "u32", extend("default" = 1, "minimum" = 1, "maximum" = 64))]
    pub replicas: Option<Spanned<i64>>,
    /// Groups it belongs to, so that they can be started and stopped by one name. Default: none.
    #[schemars(with = "Vec<String>")]
    pub groups: Vec<Spanned<String>>,
    /// Files whose change restarts it: one or several globs below the project's directory, such as `"src/**/*.py"`,
    /// or a table. Default: none.
    #[schemars(with = "WatchValue")]
    pub watch: Option<Spanned<WatchValue>>,
    /// When to start it by the clock: five cron fields in local time such as `"*/5 * * * *"`, a word such as
    /// `"@hourly"`, or a table. Default: never.
    #[schemars(with = "ScheduleValue")]
    pub schedule: Option<Spanned<ScheduleValue>>,
    /// How much of its output is kept. Default: as much as there is room for.
    pub logs: ProcessLogsTable,
}

/// When to start a process again.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a string or a table")]
pub(super) struct RestartTable {
    /// `"on-failure"`: after a signal or an exit code other than 0. `"always"`: after every exit. `"never"`. Default:
    /// `"on-failure"`.
    #[schemars(with = "String", extend("enum" = RESTART_WORDS, "default" = "on-failure"))]
    pub policy: Option<Spanned<String>>,
    /// Pause before the first restart and longest pause; it doubles in between. Default: `"200ms..30s"`.
    #[schemars(with = "String", extend("default" = "200ms..30s"))]
    pub backoff: Option<Spanned<String>>,
    /// How far a pause may be off either way, as a fraction of it from 0 to 1, so that what failed together does not
    /// come back together. Default: 0.1.
    #[schemars(with = "f64", extend("default" = 0.1, "minimum" = 0, "maximum" = 1))]
    pub jitter: Option<Spanned<f64>>,
    /// Restarts within `window` after which it is left alone as failed. Default: 5.
    #[schemars(with = "u32", extend("default" = 5))]
    pub max: Option<u32>,
    /// The stretch of time in which `max` counts. Default: `"60s"`.
    #[schemars(with = "String", extend("default" = "60s"))]
    pub window: Option<Spanned<String>>,
}

/// How to tell that a process serves: at most one of `http`, `tcp`, `log`, `exec` and `notify`.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct ReadyTable {
    /// Ready when a GET of this URL, plain `http://`, is answered with one of the `status` codes. `${PORT}` stands for
    /// `port`.
    #[schemars(with = "String")]
    pub http: Option<Spanned<String>>,
    /// Ready when a connection is accepted: `"127.0.0.1:8000"`, or a port of this machine. `${PORT}` stands for `port`.
    #[schemars(with = "TcpValue")]
    pub tcp: Option<Spanned<TcpValue>>,
    /// A regular expression; a line of output that matches it means ready.
    #[schemars(with = "String")]
    pub log: Option<Spanned<String>>,
    /// Ready when this command, a line or a list of words, ends with exit code 0. It runs in the process's directory
    /// with its environment, again and again until it succeeds.
    #[schemars(with = "StringOrList")]
    pub exec: Option<Spanned<StringOrList>>,
    /// Ready when the process says `READY=1` through the socket in `NOTIFY_SOCKET` (`sd_notify`). Default: false.
    #[schemars(with = "bool", extend("default" = false))]
    pub notify: Option<Spanned<bool>>,
    /// With `http`: the status codes that mean ready, one such as `200` or a range such as `"200..299"`. Default:
    /// `"100..399"`.
    #[schemars(with = "StatusValue", extend("default" = "100..399"))]
    pub status: Option<Spanned<StatusValue>>,
    /// With `http`: a regular expression that must match in the answer's body. Default: any body will do.
    #[schemars(with = "String")]
    pub body: Option<Spanned<String>>,
    /// How long a start may take until waiting for it is given up. Default: `"30s"`.
    #[schemars(with = "String", extend("default" = "30s"))]
    pub timeout: Option<Spanned<String>>,
}

/// How to tell that a process still works: one of `http`, `tcp`, `exec` and `watchdog`.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct HealthTable {
    /// Healthy while a GET of this URL, plain `http://`, is answered with one of the `status` codes. `${PORT}` stands
    /// for `port`.
    #[schemars(with = "String")]
    pub http: Option<Spanned<String>>,
    /// Healthy while a connection is accepted: `"127.0.0.1:8000"`, or a port of this machine. `${PORT}` stands for
    /// `port`.
    #[schemars(with = "TcpValue")]
    pub tcp: Option<Spanned<TcpValue>>,
    /// Healthy while this command, a line or a list of words, ends with exit code 0. It runs in the process's directory
    /// with its environment.
    #[schemars(with = "StringOrList")]
    pub exec: Option<Spanned<StringOrList>>,
    /// Healthy while the process says `WATCHDOG=1` through the socket in `NOTIFY_SOCKET` (`sd_notify`) at least this
    /// often.
    #[schemars(with = "String")]
    pub watchdog: Option<Spanned<String>>,
    /// Time from one look to the next. Default: `"10s"`.
    #[schemars(with = "String", extend("default" = "10s"))]
    pub every: Option<Spanned<String>>,
    /// Time for one look. Default: `"5s"`.
    #[schemars(with = "String", extend("default" = "5s"))]
    pub timeout: Option<Spanned<String>>,
    /// Time after the start before the first look counts. Default: `"0s"`.
    #[schemars(with = "String", extend("default" = "0s"))]
    pub delay: Option<Spanned<String>>,
    /// Failed looks in a row after which it is unhealthy. Default: 3, but 1 with `watchdog`.
    #[schemars(with = "u32", extend("default" = 3, "minimum" = 1))]
    pub failures: Option<Spanned<i64>>,
    /// Restart it when it is unhealthy, instead of only showing it as such. Default: true.
    #[schemars(with = "bool", extend("default" = true))]
    pub restart: Option<bool>,
    /// With `http`: the status codes that mean healthy, one such as `200` or a range such as `"200..299"`. Default:
    /// `"100..399"`.
    #[schemars(with = "StatusValue", extend("default" = "100..399"))]
    pub status: Option<Spanned<StatusValue>>,
    /// With `http`: a regular expression that must match in the answer's body. Default: any body will do.
    #[schemars(with = "String")]
    pub body: Option<Spanned<String>>,
}

/// How to stop a process.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct StopTable {
    /// The first signal, to the whole process group. Default: `"SIGTERM"`.
    #[schemars(with = "String", extend("default" = "SIGTERM"))]
    pub signal: Option<Spanned<String>>,
    /// Time until SIGKILL follows. Default: `"10s"`.
    #[schemars(with = "String", extend("default" = "10s"))]
    pub grace: Option<Spanned<String>>,
    /// A command, a line or a list of words, to run instead of sending the signal, in the process's directory with its
    /// environment. Default: none.
    #[schemars(with = "StringOrList")]
    pub command: Option<Spanned<StringOrList>>,
}

/// How to make a process read its own configuration again: one of `signal` and `command`.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a string or a table")]
pub(super) struct ReloadTable {
    /// A signal to its main process.
    #[schemars(with = "String")]
    pub signal: Option<Spanned<String>>,
    /// A command, a line or a list of words, that runs in the process's directory with its environment and its pid as
    /// `MAINPID`.
    #[schemars(with = "StringOrList")]
    pub command: Option<Spanned<StringOrList>>,
}

/// What a process and its descendants may use. `memory`, `cpu` and `pids` count all of them together and need a cgroup;
/// the others hold for each by itself (`setrlimit`), and `"unlimited"` takes a limit away.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case", expecting = "a table")]
pub(super) struct LimitsTable {
    /// Memory of all together, such as `"1GiB"`, or a number of bytes; at least 1 MiB. What needs more is killed.
    /// Default: no limit.
    #[schemars(with = "SizeValue")]
    pub memory: Option<Spanned<SizeValue>>,
    /// Cores of all together, such as `1.5`; at least 0.01. Default: no limit.
    #[schemars(with = "f64", extend("minimum" = 0.01))]
    pub cpu: Option<Spanned<f64>>,
    /// Processes and threads of all together. Default: no limit.
    #[schemars(with = "u32", extend("minimum" = 1))]
    pub pids: Option<Spanned<i64>>,
    /// Open files of each process, at least 16. Default: Ostler's own limit.
    #[schemars(with = "CountValue", extend("minimum" = 16))]
    pub nofile: Option<Spanned<CountValue>>,
    /// Size of a core file, such as `"1GiB"`; `0` for none. Default: Ostler's own limit.
    #[schemars(with = "SizeValue")]
    pub core: Option<Spanned<SizeValue>>,
    /// Address space of each process, at least 1 MiB. Many runtimes reserve far more than they use. Default: Ostler's
    /// own limit.
    #[schemars(with = "SizeValue")]
    pub r#as: Option<Spanned<SizeValue>>,
    /// Processes and threads of the whole user, this process's or not. Default: Ostler's own limit.
    #[schemars(with = "CountValue", extend("minimum" = 1))]
    pub nproc: Option<Spanned<CountValue>>,
    /// Stack of each process's first thread, at least 64 KiB. Default: Ostler's own limit.
    #[schemars(with = "SizeValue")]
    pub stack: Option<Spanned<SizeValue>>,
    /// Data of each process, its heap above all; at least 1 MiB. Default: Ostler's own limit.
    #[schemars(with = "SizeValue")]
    pub data: Option<Spanned<SizeValue>>,
    /// Size of a file that a process writes. Default: Ostler's own limit.
    #[schemars(with = "SizeValue")]
    pub fsize: Option<Spanned<SizeValue>>,
    /// Memory that a process locks. Default: Ostler's own limit.
    #[schemars(with = "SizeValue")]
    pub memlock: Option<Spanned<SizeValue>>,
    /// Processor time of each process, such as `"10m"`, or a number of seconds; it is killed afterwards. Default:
    /// Ostler's own limit.
    #[schemars(with = "SecondsValue")]
    pub cpu_time: Option<Spanned<SecondsValue>>,
}

/// Files whose change concerns a process.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a string, a list of strings or a table")]
#[schemars(extend("required" = ["paths"]))]
pub(super) struct WatchTable {
    /// One or several globs below the project's directory: `*` within a name, `**` for any depth. Required.
    #[schemars(with = "StringOrList")]
    pub paths: Option<Spanned<StringOrList>>,
    /// One or several globs of what does not count. Default: none.
    #[schemars(with = "StringOrList")]
    pub ignore: Option<Spanned<StringOrList>>,
    /// What `.gitignore` and `.ignore` files name does not count either. Default: true.
    #[schemars(with = "bool", extend("default" = true))]
    pub ignore_files: Option<bool>,
    /// Quiet time after a change before anything is done. Default: `"200ms"`.
    #[schemars(with = "String", extend("default" = "200ms"))]
    pub debounce: Option<Spanned<String>>,
    /// What to do: `"restart"`, `"reload"`, or a signal to send. Default: `"restart"`.
    #[schemars(with = "String", extend("default" = "restart"))]
    pub action: Option<Spanned<String>>,
}

/// When to start a process by the clock.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a string or a table")]
#[schemars(extend("required" = ["cron"]))]
pub(super) struct ScheduleTable {
    /// Minute, hour, day of the month, month and day of the week, in local time; or a word such as `"@daily"`.
    /// Required.
    #[schemars(with = "String")]
    pub cron: Option<Spanned<String>>,
    /// When a run is due and the last one still goes on: `"skip"` leaves the new one out, `"replace"` stops the old one
    /// first. Default: `"skip"`.
    #[schemars(with = "String", extend("enum" = OVERLAP_WORDS, "default" = "skip"))]
    pub overlap: Option<Spanned<String>>,
}

/// Processes that are started and stopped by one name.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct GroupTable {
    /// The members, in the order they are started; those that name the group in their `groups` follow. Default: only
    /// the latter.
    #[schemars(with = "Vec<String>")]
    pub processes: Vec<Spanned<String>>,
    /// Pause between one member's start and the next one's. Default: `"0s"`.
    #[schemars(with = "String", extend("default" = "0s"))]
    pub start_delay: Option<Spanned<String>>,
    /// How the members are stopped: `"reverse"`, one by one, the last started first; `"parallel"`, all at once;
    /// `"sequential"`, one by one as they were started. Default: `"reverse"`.
    #[schemars(with = "String", extend("enum" = STOP_WORDS, "default" = "reverse"))]
    pub stop: Option<Spanned<String>>,
}

/// About reading the output of processes.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct LogsTable {
    /// One or several files of patterns that give lines their level, before the built-in ones. Default: none.
    #[schemars(with = "StringOrList")]
    pub patterns: Option<Spanned<StringOrList>>,
    /// Most room for the log of the project on the disk; the oldest lines go beyond it. Default: `"2GiB"`.
    #[schemars(with = "SizeValue", extend("default" = "2GiB"))]
    pub keep: Option<Spanned<SizeValue>>,
    /// The age at which lines of log go, or `"forever"`. Some stay an eighth longer. Default: `"14d"`.
    #[schemars(with = "String", extend("default" = "14d"))]
    pub keep_for: Option<Spanned<String>>,
}

/// About keeping the output of one process.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct ProcessLogsTable {
    /// Most room for the log of this process and its replicas on the disk, so that a chatty one does not push out
    /// what others say; the newest 64 MiB of all log, which are not packed yet, do not count. Default: no limit but
    /// that of the project.
    #[schemars(with = "SizeValue")]
    pub keep: Option<Spanned<SizeValue>>,
}

/// Settings of one plugin.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct PluginTable {
    /// Whether the plugin is used. Default: true.
    #[schemars(with = "bool", extend("default" = true))]
    pub enabled: Option<bool>,
    /// Handed to the plugin as JSON; the plugin's own schema says what it takes. Default: nothing.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub config: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Patterns that give lines of log their level.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct PatternsFile {
    /// The patterns. Where several match a line the highest `priority` wins, then the first.
    #[schemars(with = "Vec<PatternTable>")]
    pub pattern: Vec<Spanned<PatternTable>>,
}

/// A pattern that gives lines of log their level.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
#[schemars(extend("required" = ["name", "regex", "level"]))]
pub(super) struct PatternTable {
    /// What the pattern is called; unique. Required.
    #[schemars(with = "String")]
    pub name: Option<Spanned<String>>,
    /// A regular expression over bytes that matches somewhere in the line: `\w`, `\d` and `(?i)` at its start, which
    /// ignores case, mean ASCII. Required.
    #[schemars(with = "String")]
    pub regex: Option<Spanned<String>>,
    /// The level of lines that match. Required.
    #[schemars(with = "String", extend("enum" = LEVEL_WORDS))]
    pub level: Option<Spanned<String>>,
    /// Higher wins; the built-in patterns have 20 to 90. Default: 100.
    #[schemars(with = "i32", extend("default" = 100))]
    pub priority: Option<i32>,
    /// A word to group what the pattern finds, such as `database`. Default: none.
    #[schemars(with = "String")]
    pub category: Option<Spanned<String>>,
}
