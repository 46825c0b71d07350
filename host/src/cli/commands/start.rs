//! `ostler start`

use super::wait::Patience;
use super::{Code, Context, Outcome, first_failure};
use crate::api::StartReply;
use crate::cli::client::{Client, ClientError};
use crate::cli::exit::CliError;
use crate::cli::render;

/// Starts processes, each by its name
///
/// What a process depends on and does not run is started before it, and told. A process that runs
/// is left as it is. Several replicas are started together; a group's name stands for its members.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The names of processes and groups; `api` is all replicas of it, `api#1` and `api#2` are one
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    #[command(flatten)]
    patience: Patience,
}

/// Starts processes, and goes on with the next when one cannot be started.
pub async fn run(args: Args, context: &Context) -> Outcome {
    each(args.names, &args.patience, context, async |client, name| client.start(name).await).await
}

/// Has each process started by `start`, and waits for what that started when it is asked to.
pub(super) async fn each(
    names: Vec<String>,
    patience: &Patience,
    context: &Context,
    mut start: impl AsyncFnMut(&mut Client, String) -> Result<StartReply, ClientError>,
) -> Outcome {
    let mut client = context.client().await?;
    let (mut code, mut started) = (Code::Done, Vec::new());
    for name in names {
        match start(&mut client, name).await {
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
        code = first_failure(code, patience.wait(context, name).await?);
    }
    Ok(code)
}
