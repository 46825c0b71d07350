//! The commands: a file each, its doc comment the help, `Args` the options, `run` what it does.

pub mod add;
pub mod alerts;
pub mod attach;
pub mod daemon;
pub mod demo;
pub mod diagnose;
pub mod doctor;
pub mod down;
pub mod errors;
pub mod group;
pub mod health;
pub mod init;
pub mod inspect;
pub mod logs;
pub mod mcp;
pub mod plugin;
pub mod projects;
pub mod ps;
pub mod reload;
pub mod reload_config;
pub mod remove;
pub mod restart;
pub mod run;
pub mod scale;
pub mod send;
pub mod signal;
pub mod start;
pub mod stats;
pub mod status;
pub mod stop;
pub mod summary;
pub mod systemd;
pub mod up;
pub mod upgrade;
pub mod wait;

use super::context::Context;
use super::exit::{CliError, Code, Outcome};

/// What can be asked of `ostler`, in the order of a first acquaintance.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Init(init::Args),
    Up(up::Args),
    Down(down::Args),
    Ps(ps::Args),
    Start(start::Args),
    Stop(stop::Args),
    Restart(restart::Args),
    Run(run::Args),
    Reload(reload::Args),
    Signal(signal::Args),
    Scale(scale::Args),
    #[command(subcommand)]
    Group(group::Command),
    Add(add::Args),
    Remove(remove::Args),
    ReloadConfig(reload_config::Args),
    Logs(logs::Args),
    Summary(summary::Args),
    Wait(wait::Args),
    Send(send::Args),
    Attach(attach::Args),
    Diagnose(diagnose::Args),
    Errors(errors::Args),
    Alerts(alerts::Args),
    Health(health::Args),
    Inspect(inspect::Args),
    Stats(stats::Args),
    #[command(subcommand)]
    Plugin(plugin::Command),
    Status(status::Args),
    Doctor(doctor::Args),
    Projects(projects::Args),
    Upgrade(upgrade::Args),
    Systemd(systemd::Args),
    Mcp(mcp::Args),
    Daemon(daemon::Args),
    Demo(demo::Args),
}

impl Command {
    /// Returns whether the answer, and so an error too, is wanted as JSON.
    pub fn wants_json(&self) -> bool {
        match self {
            Self::Ps(args) => args.json,
            Self::Logs(args) => args.json,
            Self::Summary(args) => args.json,
            Self::Wait(args) => args.json,
            Self::Diagnose(args) => args.json,
            Self::Errors(args) => args.wants_json(),
            Self::Alerts(args) => args.json,
            Self::Health(args) => args.json,
            Self::Inspect(args) => args.json,
            Self::Stats(args) => args.json,
            Self::Plugin(plugin::Command::List(args)) => args.json,
            Self::Status(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Group(group::Command::List(args)) => args.json,
            Self::Projects(args) => args.json,
            Self::Upgrade(args) => args.json,
            Self::Init(_)
            | Self::Up(_)
            | Self::Down(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::Run(_)
            | Self::Reload(_)
            | Self::Signal(_)
            | Self::Scale(_)
            | Self::Group(_)
            | Self::Add(_)
            | Self::Remove(_)
            | Self::ReloadConfig(_)
            | Self::Send(_)
            | Self::Attach(_)
            | Self::Mcp(_)
            | Self::Plugin(plugin::Command::Build(_))
            | Self::Systemd(_)
            | Self::Demo(_)
            | Self::Daemon(_) => false,
        }
    }

    /// Does what was asked.
    pub fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Init(args) => init::run(&args, context),
            Self::Daemon(args) => daemon::run(&args, context),
            Self::Systemd(args) => systemd::run(&args, context),
            Self::Demo(args) => demo::run(&args, context),
            Self::Up(args) => block_on(up::run(args, context)),
            Self::Down(args) => block_on(down::run(args, context)),
            Self::Ps(args) => block_on(ps::run(args, context)),
            Self::Start(args) => block_on(start::run(args, context)),
            Self::Stop(args) => block_on(stop::run(args, context)),
            Self::Restart(args) => block_on(restart::run(args, context)),
            Self::Run(args) => block_on(run::run(args, context)),
            Self::Reload(args) => block_on(reload::run(args, context)),
            Self::Signal(args) => block_on(signal::run(args, context)),
            Self::Scale(args) => block_on(scale::run(args, context)),
            Self::Group(command) => block_on(group::run(command, context)),
            Self::Add(args) => block_on(add::run(args, context)),
            Self::Remove(args) => block_on(remove::run(args, context)),
            Self::ReloadConfig(args) => block_on(reload_config::run(args, context)),
            Self::Logs(args) => block_on(logs::run(args, context)),
            Self::Summary(args) => block_on(summary::run(args, context)),
            Self::Wait(args) => block_on(wait::run(args, context)),
            Self::Send(args) => block_on(send::run(args, context)),
            Self::Attach(args) => block_on(attach::run(args, context)),
            Self::Diagnose(args) => block_on(diagnose::run(args, context)),
            Self::Errors(args) => block_on(errors::run(args, context)),
            Self::Alerts(args) => block_on(alerts::run(args, context)),
            Self::Health(args) => block_on(health::run(args, context)),
            Self::Inspect(args) => block_on(inspect::run(args, context)),
            Self::Stats(args) => block_on(stats::run(args, context)),
            Self::Plugin(command) => block_on(plugin::run(command, context)),
            Self::Status(args) => block_on(status::run(args, context)),
            Self::Doctor(args) => block_on(doctor::run(args, context)),
            Self::Projects(args) => block_on(projects::run(args, context)),
            Self::Upgrade(args) => block_on(upgrade::run(args, context)),
            Self::Mcp(args) => block_on(mcp::run(args, context)),
        }
    }
}

/// Runs a command that talks to the daemon; one thread is enough for that.
fn block_on(command: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("the runtime cannot be started: {error}")))?
        .block_on(command)
}

/// Keeps the exit code of the first of several acts that failed.
fn first_failure(so_far: Code, next: Code) -> Code {
    if so_far == Code::Done { next } else { so_far }
}
