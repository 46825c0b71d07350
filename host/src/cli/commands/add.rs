//! `ostler add`

use super::{Code, Context, Outcome};
use crate::api::AddRequest;
use crate::cli::exit::CliError;
use crate::cli::render;

/// Adds a process until `ostler down`, and starts it
///
/// It is kept when the daemon is killed or upgraded, and works without an ostler.toml too. What to
/// write there to keep the process for good is printed on standard error.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// A name for the process
    #[arg(value_name = "NAME")]
    name: String,

    /// The program and its arguments; put -- in front
    #[arg(value_name = "COMMAND", required = true, last = true)]
    command: Vec<String>,

    /// Takes the command as a script for /bin/sh
    #[arg(long)]
    shell: bool,

    /// The directory to run it in, from the project's
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,

    /// Sets a variable, any number of times
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,

    /// Says when it is ready: http://…, HOST:PORT, or log:REGEX
    #[arg(long, value_name = "CHECK")]
    ready: Option<String>,

    /// Says when to start it again: on-failure, always or never
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,

    /// Leaves it stopped for now
    #[arg(long)]
    no_start: bool,
}

/// Adds a process.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let command = if args.shell { args.command.join(" ") } else { shell_words::join(&args.command) };
    let request = AddRequest {
        name: args.name,
        command,
        shell: args.shell,
        cwd: args.cwd,
        env: args.env.into_iter().collect(),
        ready: args.ready,
        restart: args.restart,
        autostart: None,
        start: !args.no_start,
    };
    let paths = context.paths()?;
    let reply = context.client_of(&paths).await?.add(request).await?;
    match &reply.started {
        Some(started) => context.print(&render::started(context.palette, started))?,
        None => context.print(&format!("{}\n", render::one_line(context.palette, &reply.process)))?,
    }
    if !reply.existed {
        context
            .note(&format!("`ostler down` forgets it; to keep it, write into ostler.toml:\n{}", reply.keep));
    }
    match reply.failure {
        Some(failure) => Err(CliError::failed(failure)
            .hint(format!("it is added all the same; `ostler remove {}` takes it away", reply.process.name))),
        None => Ok(Code::Done),
    }
}

fn variable(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE"),
    }
}
