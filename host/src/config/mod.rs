//! Configuration: `ostler.toml`, checked once when it is read, and plain values from then on.
//!
//! ```text
//! ostler.toml ─ load ─▶ recover ─────────▶ file ─────▶ check ─────────▶ types
//!               text    TOML tree, every   wire types  values, units,   Project,
//!                       error of shape     as written  dependencies     ProcessConfig
//!                          │ reword, suggest   shapes     │ check_*, depends, groups, command, units, patterns …
//!                          └────────────▶ error ◀─────────┘
//! ```
//!
//! All problems are collected in one pass, each with file, line, column, the source line and what to do; nothing
//! starts from a file with a problem. A key's meaning and default stand at its field in `file`, from which the JSON
//! schema is made. Imports only the words of L1 and touches files only in `load` and `envfile`.

mod endpoint;
mod process;
mod types;
mod watch;

mod command;
mod error;
mod units;

mod added;
mod load;

mod check;
mod check_alerts;
mod check_limits;
mod check_logs;
mod check_looks;
mod check_secrets;
mod check_triggers;
mod cron;
mod depends;
mod detect;
mod envfile;
mod environment;
mod file;
mod file_watch;
mod glob;
mod groups;
mod patterns;
mod recover;
mod reword;
mod schema;
mod shapes;
mod source;
mod suggest;

#[cfg(test)]
mod tests;

pub use added::{NewProcess, read_added};
pub use command::{Command, CommandError};
pub use cron::{CronError, parse_cron};
pub use endpoint::{Endpoint, HttpUrl, PortText};
pub use environment::{DEFAULT_PATH, Environment, EnvironmentError, Origin, Variable};
pub use error::{ConfigError, Problem};
pub use glob::{GlobError, parse_glob};
pub use load::{FILE_NAME, find, load, load_text, propose, read};
pub use process::{
    Check, Condition, DependsOn, EnvFile, EnvVars, Group, Health, HealthLook, HttpCheck, InheritEnv, Limits,
    Overlap, PortChoice, ProcessConfig, Ready, Reload, RestartPolicy, RestartWhen, Rlimit, RlimitValue,
    Schedule, StopPolicy, StopStrategy, Watch, WatchAction,
};
pub use schema::{config_schema, patterns_schema};
pub use types::{LogPattern, PluginConfig, Project};
pub use units::{UnitError, parse_bytes, parse_duration, parse_duration_range};
pub use watch::{Alert, Rate, SecretPattern, Secrets};
