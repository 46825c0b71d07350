//! `ostler reload-config`

use super::{Code, Context, Outcome, first_failure};
use crate::cli::exit::CliError;
use crate::cli::render;

/// Takes up what has changed in ostler.toml
///
/// The daemon does so by itself a moment after the file was written; this waits for it, and says
/// what became of it. What was started with something that is different now is restarted if it
/// runs; what is new is started if the project is up; what is gone is stopped. All else goes on
/// untouched. A file that cannot be understood changes nothing.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Prints {added, removed, restarted, updated, started, failed, settings, warning}
    #[arg(long)]
    pub json: bool,
}

/// Reloads the configuration.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let reply = context.client().await?.reload_config().await?;
    if args.json {
        context.print_json(&reply)?;
    } else {
        let told = reply.in_words().unwrap_or_else(|| "nothing has changed".to_owned());
        context.print(&format!("{}\n", render::visible(&told)))?;
    }
    if let Some(warning) = &reply.warning {
        context.note(warning);
    }
    let mut code = Code::Done;
    for failure in &reply.failed {
        let error = CliError::failed(format!("{}: {}", failure.name, failure.reason));
        code = first_failure(code, context.tell(&error));
    }
    Ok(code)
}
