//! `ostler down`

use super::{Code, Context, Outcome, first_failure};
use crate::cli::exit::CliError;
use crate::cli::{ending, launch, render};
use crate::daemon::Paths;

/// Stops every process, dependents first, and the daemon
///
/// Returns once all are gone. When nothing runs that is what was asked for: success.
/// What was added, grouped or scaled besides ostler.toml is forgotten.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {}

/// Stops everything.
pub async fn run(_args: Args, context: &Context) -> Outcome {
    let paths = context.paths()?;
    let client = match context.running_client(&paths).await? {
        Some(client) => client,
        // A daemon that was killed leaves processes behind, and what was added; the next one takes them up, and down.
        None if launch::left_anything_behind(&paths) => context.client_of(&paths).await?,
        None => {
            context.print(&format!("nothing runs in {}\n", dir(&paths)))?;
            return Ok(Code::Done);
        }
    };
    let reply = ending::shut_down(client).await?;
    for view in &reply.stopped {
        context.print(&format!("{}\n", render::one_line(context.palette, view)))?;
    }
    let mut code = Code::Done;
    for failure in &reply.failed {
        let error = CliError::failed(format!("{}: {}", failure.name, failure.reason));
        code = first_failure(code, context.tell(&error));
    }
    if code == Code::Done {
        context.print(&format!("everything is down in {}\n", dir(&paths)))?;
    }
    Ok(code)
}

fn dir(paths: &Paths) -> String {
    render::visible(&paths.project_dir.display().to_string()).into_owned()
}
