//! `ostler stop`

use super::{Code, Context, Outcome, first_failure};
use crate::cli::exit::CliError;
use crate::cli::render;

/// Stops processes with everything they have started
///
/// Each gets its stop signal, SIGTERM unless configured otherwise, and SIGKILL when its grace is
/// over. A process that does not run is left as it is. A group's members are stopped in the order
/// of its strategy. The daemon stays; `ostler down` ends it too.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The names of processes and groups
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Stops processes, and goes on with the next when one cannot be stopped.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let mut client = context.client().await?;
    let mut code = Code::Done;
    for name in args.names {
        match client.stop(name).await {
            Ok(reply) => {
                for reply in std::iter::once(&reply).chain(&reply.also) {
                    let how = match (reply.was_running, &reply.how) {
                        (false, _) => "did not run".to_owned(),
                        (true, Some(how)) => format!("stopped: {}", render::visible(how)),
                        (true, None) => "stopped".to_owned(),
                    };
                    context.print(&format!("{}  {how}\n", reply.process.name))?;
                }
            }
            Err(error) if error.is_refusal() => {
                code = first_failure(code, context.tell(&CliError::from(error)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(code)
}
