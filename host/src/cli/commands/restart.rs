//! `ostler restart`

use super::wait::Patience;
use super::{Code, Context, Outcome, first_failure, start};
use crate::cli::exit::CliError;
use crate::cli::render;

/// Stops processes and starts them again
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The names of processes and groups
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,

    /// Restarts every process that runs
    #[arg(long, conflicts_with = "names")]
    all: bool,

    #[command(flatten)]
    patience: Patience,
}

/// Restarts processes, and goes on with the next when one cannot be started.
pub async fn run(args: Args, context: &Context) -> Outcome {
    if args.all {
        return restart_all(&args.patience, context).await;
    }
    start::each(args.names, &args.patience, context, async |client, name| client.restart(name).await).await
}

async fn restart_all(patience: &Patience, context: &Context) -> Outcome {
    let reply = context.client().await?.restart_all().await?;
    for view in &reply.started {
        context.print(&format!("{}\n", render::one_line(context.palette, view)))?;
    }
    if reply.started.is_empty() && reply.failed.is_empty() {
        context.print("nothing runs, so nothing was restarted\n")?;
    }
    let mut code = Code::Done;
    for failure in &reply.failed {
        let error = CliError::failed(format!("{}: {}", failure.name, failure.reason));
        code = first_failure(code, context.tell(&error));
    }
    for view in &reply.started {
        code = first_failure(code, patience.wait(context, &view.name).await?);
    }
    Ok(code)
}
