//! `ostler remove`

use super::{Code, Context, Outcome, first_failure};
use crate::cli::exit::CliError;
use crate::cli::render;

/// Takes away processes that were added
///
/// Each is stopped first. Those of ostler.toml are taken away there.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The processes' names
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Removes processes, and goes on with the next when one cannot be removed.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let mut client = context.client().await?;
    let mut code = Code::Done;
    for name in args.names {
        match client.remove(name).await {
            Ok(reply) => {
                let how = match &reply.how {
                    Some(how) => format!(": {}", render::visible(how)),
                    None => String::new(),
                };
                context.print(&format!("{}  removed{how}\n", reply.name))?;
            }
            Err(error) if error.is_refusal() => {
                code = first_failure(code, context.tell(&CliError::from(error)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(code)
}
