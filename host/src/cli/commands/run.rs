//! `ostler run`

use super::{Context, Outcome};
use crate::cli::oneshot;

/// Runs a process once, in the foreground
///
/// What it depends on is started first and stays up. Its output comes as it is, standard output
/// and standard error apart; standard input is passed on unless it is a terminal. Ctrl-C stops it,
/// a second one kills it. It is not started again, whatever its restart policy says, and its exit
/// code is this command's: 128 and the number of the signal when one killed it.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The process's name
    #[arg(value_name = "NAME")]
    name: String,

    /// Arguments to put behind those of its command; a shell script gets them as "$@"
    #[arg(value_name = "ARGS", last = true)]
    arguments: Vec<String>,
}

/// Runs it.
pub async fn run(args: Args, context: &Context) -> Outcome {
    oneshot::run(context, args.name, args.arguments).await
}
