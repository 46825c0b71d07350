//! The `ostler` command: reads the command line, talks to the project's daemon, and shows what it answers.
//!
//! ```text
//!  commands/ ─▶ context ─▶ launch ─▶ client ═══ socket ═══ server ─▶ api
//!      │                    starts a daemon     wire       (in the daemon)
//!      └─▶ render/  text for people; JSON is the reply itself
//! ```
//!
//! A command is a file in `commands/`: its doc comment is its help, `Args` its options, `run` what it does. Nothing
//! is decided here about processes: every verb is one of `api`'s, asked for over the socket.

mod attached;
mod clear;
mod client;
mod context;
mod detach;
mod ending;
mod exit;
mod export;
mod follow;
mod foreground;
mod launch;
mod modes;
mod oneshot;
mod printer;
mod render;
mod server;
mod startup;
mod stream;
mod terminal;
mod wire;

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser};

use crate::shim::program;
use commands::Command;
use context::Context;

/// Looks after your development processes while you, or your coding agent, do something else.
///
/// The processes are those of the nearest `ostler.toml`, in this folder or one above it. A
/// daemon in the background looks after them; commands start it when it does not run, except
/// `down`, `init`, `status` and `doctor`.
#[derive(Debug, Parser)]
#[command(name = "ostler", version, after_long_help = AFTER_HELP, verbatim_doc_comment)]
struct Cli {
    /// The project's folder, instead of the current one
    #[arg(short = 'C', long = "project", value_name = "DIR", global = true, display_order = 100)]
    project: Option<PathBuf>,

    /// No colours; `NO_COLOR` in the environment means the same
    #[arg(long, global = true, display_order = 101)]
    no_color: bool,

    #[command(subcommand)]
    command: Command,
}

/// What `ostler --help` says below the options.
const AFTER_HELP: &str = "\
Errors go to standard error; of a command with `--json`, as one line
{\"error\":{\"kind\":…,\"message\":…,\"hint\":…,\"lines\":[…]}}.

Exit codes:
    0  done
    1  it failed: a process did not start, what was waited for cannot happen any more
    2  the command line or ostler.toml makes no sense
    3  there is no such process
    4  the daemon cannot be reached or started, or cannot serve just now
  124  a wait ran out of time
`ostler attach` ends with the exit code of the process, or 128 and the number of the signal
that killed it, when it ends first.
`ostler run` ends with the exit code of what it has run, or 128 and the number of the signal
that killed it.";

/// Runs the command line and returns its exit code. Under the name of the shim it is one: see
/// [`crate::shim::program`].
pub fn main() -> ExitCode {
    if program::is_called() {
        return program::main();
    }
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too. With whom the text cannot be shared there is nothing to say.
            let _ = error.print();
            return ExitCode::from(error.exit_code().try_into().unwrap_or(exit::Code::Usage.number()));
        }
    };
    let context = Context::new(cli.project, cli.no_color, cli.command.wants_json());
    let code = cli.command.run(&context).unwrap_or_else(|error| context.tell(&error));
    ExitCode::from(code.number())
}

fn parse() -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    // Clap's own messages come before the option is parsed.
    if std::env::args_os().any(|argument| argument == "--no-color") {
        command = command.color(ColorChoice::Never);
    }
    Cli::from_arg_matches(&command.try_get_matches()?)
}

#[cfg(test)]
mod tests;
