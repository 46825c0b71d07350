//! `ostler restart`

use super::wait::Patience;
use super::{Code, Context, Outcome, first_failure};
use crate::cli::client::Client;
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
    let mut client = context.client().await?;
    if args.all {
        return restart_all(&mut client, &args.patience, context).await;
    }
    let (mut code, mut started) = (Code::Done, Vec::new());
    for name in args.names {
        match client.restart(name).await {
            Ok(reply) => {
                if let Some(warning) = &reply.warning {
                    context.note(warning);
                }
                context.print(&render::started(context.palette, &reply))?;
                started.extend(reply.also.into_iter().map(|also| also.process.name));
                started.push(reply.process.name);
            }
            Err(error) if error.is_refusal() => {
                code = first_failure(code, context.tell(&CliError::from(error)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    for name in &started {
        code = first_failure(code, args.patience.wait(context, name).await?);
    }
    Ok(code)
}

async fn restart_all(client: &mut Client, patience: &Patience, context: &Context) -> Outcome {
    let reply = client.restart_all().await?;
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
