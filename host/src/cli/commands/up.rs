//! `ostler up`

use super::{Code, Context, Outcome};
use crate::api::{Failure, LogsRequest};
use crate::cli::client::Client;
use crate::cli::exit::CliError;
use crate::cli::{foreground, render};
use crate::model::Line;

/// Lines shown of a process that did not start.
const LAST_LINES: usize = 10;

/// Starts the processes and shows their output until Ctrl-C
///
/// Starts the named processes and groups, or all with `autostart`, each after those it depends
/// on; what runs already is left as it is, and what others only need to have ended well is not run
/// again. What has changed in ostler.toml is taken up before.
///
/// Ctrl-C stops everything in order, and the daemon; a second Ctrl-C leaves at once. When every
/// process has ended by itself the command ends too, with 1 if one of them failed, and the daemon
/// stays to be asked why.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Processes and groups to start, with what they depend on
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Leaves them running in the background, and shows how they are
    #[arg(short, long)]
    detach: bool,
}

/// Starts processes.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let paths = context.paths()?;
    // Without a file there may still be what was added.
    context.is_a_project(&paths).await?;
    if !args.detach {
        return foreground::run(context, &paths, args.names).await;
    }
    let mut client = context.client_of(&paths).await?;
    let reply = client.up(args.names).await?;
    if let Some(warning) = &reply.warning {
        context.note(warning);
    }
    let views = client.list().await?;
    context.print(&render::processes(context.palette, &views))?;
    let mut code = Code::Done;
    for failure in &reply.failed {
        code = context.tell(&why(&mut client, failure).await);
    }
    Ok(code)
}

/// Makes the error of a process that did not start, with the last it printed.
async fn why(client: &mut Client, failure: &Failure) -> CliError {
    let name = failure.name.to_string();
    let hint = format!("`ostler diagnose {name}` says more");
    CliError::failed(format!("{name}: {}", failure.reason)).hint(hint).lines(last_lines(client, name).await)
}

/// Returns the last lines of a process's last run; none when they cannot be had, for there is an error to tell.
async fn last_lines(client: &mut Client, name: String) -> Vec<Line> {
    let run = match client.list().await {
        Ok(views) => views.into_iter().find(|view| view.name.as_str() == name).and_then(|view| view.run),
        Err(_) => None,
    };
    if run.is_none() {
        return Vec::new();
    }
    let request = LogsRequest { names: vec![name], run, limit: Some(LAST_LINES), ..LogsRequest::default() };
    client.logs(request).await.map(|reply| reply.lines).unwrap_or_default()
}
