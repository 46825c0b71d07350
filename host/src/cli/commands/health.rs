//! `ostler health`

use super::{Code, Context, Outcome};
use crate::api::Verdict;
use crate::cli::render::{self, Clock};

/// Makes the health checks of processes now and says what they saw
///
/// A process without a `health` check has its `ready` check made.
///
/// Ends with 1 when a check fails, or when a process that was named does not run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The processes' names; all of them without one
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Prints an array of {process, verdict, check, saw, latency_ms, recent}
    #[arg(long)]
    pub json: bool,
}

/// Checks processes.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let is_asked_for = !args.names.is_empty();
    let views = context.client().await?.health(args.names).await?;
    if args.json {
        context.print_json(&views)?;
    } else {
        context.print(&render::health(context.palette, &Clock::local(), &views, is_asked_for))?;
        if views.is_empty() {
            context.note("there are no processes: describe one in ostler.toml");
        }
    }
    let is_bad = |verdict: Verdict| match verdict {
        Verdict::Healthy | Verdict::Unchecked => false,
        Verdict::Unhealthy => true,
        Verdict::Down => is_asked_for,
    };
    Ok(if views.iter().any(|view| is_bad(view.verdict)) { Code::Failed } else { Code::Done })
}
