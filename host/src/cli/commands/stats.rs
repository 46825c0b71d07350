//! `ostler stats`

use std::io::{self, IsTerminal};
use std::time::Duration;

use super::{Code, Context, Outcome};
use crate::api::StatsRequest;
use crate::cli::render;

/// Time between two looks of `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Moves a terminal's cursor to its first line and clears what is below (ECMA-48, CUP and ED).
const CLEAR: &str = "\x1b[H\x1b[J";

/// Shows what processes and the system use: processor, memory, threads, files, disk
///
/// Each figure is that of the process with all its descendants. CPU is of one core: 250% is two and
/// a half. The small graph is the CPU of the last minutes, kept while somebody asks. Requests are
/// those of the last minute that its access log tells of; name one process to see its routes.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Processes to show; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Shows them anew every 2 seconds, until Ctrl-C
    #[arg(short, long)]
    watch: bool,

    /// Adds the proportional memory (PSS), which counts shared memory by share and takes longer
    #[arg(long)]
    pss: bool,

    /// Prints {processes, system, history_every_ms}; with `--watch` a line each time
    #[arg(long)]
    pub json: bool,
}

/// Shows figures.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let mut client = context.client().await?;
    let request = StatsRequest { names: args.names, pss: args.pss };
    let clear = args.watch && !args.json && io::stdout().is_terminal();
    loop {
        let reply = client.stats(request.clone()).await?;
        if args.json {
            context.print_json(&reply)?;
        } else {
            let shown = render::stats(context.palette, &reply);
            context.print(&if clear { format!("{CLEAR}{shown}") } else { shown })?;
        }
        if !args.watch {
            return Ok(Code::Done);
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::tests::help;

    #[test]
    fn help_of_stats() {
        insta::assert_snapshot!(help(&["stats"]), @r"
        Shows what processes and the system use: processor, memory, threads, files, disk

        Each figure is that of the process with all its descendants. CPU is of one core: 250% is two and
        a half. The small graph is the CPU of the last minutes, kept while somebody asks. Requests are
        those of the last minute that its access log tells of; name one process to see its routes.

        Usage: ostler stats [OPTIONS] [NAME]...

        Arguments:
          [NAME]...
                  Processes to show; all when none is named

        Options:
          -w, --watch
                  Shows them anew every 2 seconds, until Ctrl-C

              --pss
                  Adds the proportional memory (PSS), which counts shared memory by share and takes longer

              --json
                  Prints {processes, system, history_every_ms}; with `--watch` a line each time

          -C, --project <DIR>
                  The project's folder, instead of the current one

              --no-color
                  No colours; `NO_COLOR` in the environment means the same

          -h, --help
                  Print help (see a summary with '-h')
        ");
    }
}
