//! `ostler reload`

use super::{Code, Context, Outcome, first_failure};
use crate::cli::exit::CliError;

/// Makes processes read their own configuration again
///
/// As their `reload` in ostler.toml says: with a signal to the main process, or with a command,
/// whose output goes to the process's log.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The processes' names
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Reloads processes, and goes on with the next when one cannot be reloaded.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let mut client = context.client().await?;
    let mut code = Code::Done;
    for name in args.names {
        match client.reload(name).await {
            Ok(reply) => context.print(&format!("{}  {}\n", reply.process.name, reply.how))?,
            Err(error) if error.is_refusal() => {
                code = first_failure(code, context.tell(&CliError::from(error)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(code)
}
