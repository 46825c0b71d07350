//! `ostler summary`

use super::{Code, Context, Outcome};
use crate::api::LogSummaryRequest;
use crate::cli::render::{self, Clock};

/// Sums up the log: lines, rates and errors of processes, and what they said most often
///
/// Numbers are of all lines since then. Messages are those of the newest lines, without what
/// differs from one to the next: `job <n> of <q> failed`.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Processes and groups; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Since then: restart, change (of a watched file), run:7, file:PATH, 10m, a time, or a cursor
    #[arg(long, value_name = "WHEN", default_value = "15m")]
    since: String,

    /// Shows at most this many kinds of errors, and as many messages
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,

    /// Prints {from, to, lines, processes: [{process, lines, levels, …}], errors, messages, …}
    #[arg(long)]
    pub json: bool,
}

/// Shows the summary.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let request = LogSummaryRequest { names: args.names, since: Some(args.since), limit: args.limit };
    let summary = context.client().await?.log_summary(request).await?;
    if args.json {
        context.print_json(&summary)?;
    } else if summary.processes.is_empty() {
        context.note("nothing was printed since then: give an earlier `--since`, such as 1h");
    } else {
        context.print(&render::summary(context.palette, &Clock::local(), &summary))?;
        if summary.counts_are_least {
            context.note("older lines were not counted: there are too many");
        }
    }
    Ok(Code::Done)
}
