//! `ostler plugin`

use super::{Code, Context, Outcome};
use crate::cli::render;

/// Shows the plugins that understand what processes print
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    List(ListArgs),
}

/// Lists the plugins, and why those are refused that are
///
/// They are those in `.ostler/plugins/` of the project, those in the user's `ostler/plugins/` configuration folder,
/// and the built-in ones.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Prints an array of {name, origin, state, reason, version, description, kinds, path, sha256, failures}
    #[arg(long)]
    pub json: bool,
}

/// Runs a command about plugins.
pub async fn run(command: Command, context: &Context) -> Outcome {
    match command {
        Command::List(args) => list(args, context).await,
    }
}

async fn list(args: ListArgs, context: &Context) -> Outcome {
    // The user's plugins and the built-in ones can be listed in any folder.
    let mut client = context.client_of(&context.paths()?).await?;
    let plugins = client.plugins().await?;
    if args.json {
        context.print_json(&plugins)?;
    } else {
        context.print(&render::plugins(context.palette, &plugins))?;
    }
    Ok(Code::Done)
}
