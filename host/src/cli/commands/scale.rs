//! `ostler scale`

use super::{Code, Context, Outcome, first_failure};
use crate::cli::exit::CliError;
use crate::cli::render;

/// Changes how many replicas of a process there are
///
/// Those that are missing are started when the process runs, and those that are too many are
/// stopped; the others are not touched. The first replica has the process's name, and the others
/// follow as NAME#2, NAME#3. It holds until `replicas` is changed in ostler.toml, or until
/// `ostler down`.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The process's name
    #[arg(value_name = "NAME")]
    name: String,

    /// How many there shall be, from 1 to 64
    #[arg(value_name = "N")]
    replicas: u32,
}

/// Scales a process.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let reply = context.client().await?.scale(args.name, args.replicas).await?;
    for view in &reply.started {
        context.print(&format!("{}\n", render::one_line(context.palette, view)))?;
    }
    for view in &reply.removed {
        context.print(&format!("{}  gone\n", view.name))?;
    }
    let plural = if reply.replicas == 1 { "replica" } else { "replicas" };
    context.print(&format!("{} has {} {plural}\n", reply.name, reply.replicas))?;
    if let Some(note) = &reply.note {
        context.note(note);
    }
    let mut code = Code::Done;
    for failure in &reply.failed {
        let error = CliError::failed(format!("{}: {}", failure.name, failure.reason));
        code = first_failure(code, context.tell(&error));
    }
    Ok(code)
}
