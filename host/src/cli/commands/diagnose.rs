//! `ostler diagnose`

use super::{Code, Context, Outcome};
use crate::cli::render::{self, Clock};

/// Says why a process is as it is
///
/// Its exit in words, its last runs, its last errors and lines, and what to do next.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The process's name
    #[arg(value_name = "NAME")]
    name: String,

    /// Prints {process, summary, command, cwd, runs, errors, tail, hints, cursor}
    #[arg(long)]
    pub json: bool,
}

/// Diagnoses a process.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let diagnosis = context.client().await?.diagnose(args.name).await?;
    if args.json {
        context.print_json(&diagnosis)?;
    } else {
        context.print(&render::diagnosis(context.palette, &Clock::local(), &diagnosis))?;
    }
    Ok(Code::Done)
}
