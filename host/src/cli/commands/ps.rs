//! `ostler ps`

use super::{Code, Context, Outcome};
use crate::cli::render;

/// Lists the processes and how they are
///
/// A port in parentheses is one that a process was given and does not listen on.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Prints an array of {name, state, pid, run, ready, uptime_ms, restarts, exit, ports, port}
    #[arg(long)]
    pub json: bool,
}

/// Lists processes.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let views = context.client().await?.list().await?;
    if args.json {
        context.print_json(&views)?;
    } else {
        context.print(&render::processes(context.palette, &views))?;
        if views.is_empty() {
            context.note("there are no processes: describe one in ostler.toml");
        }
    }
    Ok(Code::Done)
}
