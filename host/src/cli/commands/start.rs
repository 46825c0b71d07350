//! `ostler start`

use super::{Code, Context, Outcome, first_failure};
use crate::cli::exit::CliError;
use crate::cli::render;

/// Starts processes, each by its name
///
/// Unlike `up` it starts nothing they depend on. A process that runs is left as it is.
/// `ostler wait NAME` waits until it is ready.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The processes' names
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Starts processes, and goes on with the next when one cannot be started.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let mut client = context.client().await?;
    let mut code = Code::Done;
    for name in args.names {
        match client.start(name).await {
            Ok(reply) => {
                if let Some(warning) = &reply.warning {
                    context.note(warning);
                }
                let already = if reply.already_running { " (ran already)" } else { "" };
                context
                    .print(&format!("{}{already}\n", render::one_line(context.palette, &reply.process)))?;
            }
            Err(error) if error.is_refusal() => {
                code = first_failure(code, context.tell(&CliError::from(error)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(code)
}
