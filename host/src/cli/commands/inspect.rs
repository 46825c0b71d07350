//! `ostler inspect`

use std::io::{self, IsTerminal};

use super::{Code, Context, Outcome};
use crate::cli::exit::CliError;
use crate::cli::render;

/// Shows everything about a process: settings in force, environment, ports, its tree, its files
///
/// The environment is the one the next start would give it, with where each variable comes from.
/// Values that are secrets, by their name or their look, are shown as ****.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The process's name
    #[arg(value_name = "NAME")]
    name: String,

    /// Shows secrets too; on a terminal only, and noted in the audit log
    #[arg(long)]
    show_secrets: bool,

    /// Prints {process, reason, warning, command, cwd, settings, env, tree, paths, …}
    #[arg(long)]
    pub json: bool,
}

/// Inspects a process.
pub async fn run(args: Args, context: &Context) -> Outcome {
    // What is piped ends up in files and in the context of agents.
    if args.show_secrets && !io::stdout().is_terminal() {
        let error = CliError::usage("`--show-secrets` shows them on a terminal only, and this is none");
        return Err(error.hint("leave it out, or read the files that the variables come from"));
    }
    let inspection = context.client().await?.inspect(args.name, args.show_secrets).await?;
    if args.json {
        context.print_json(&inspection)?;
    } else {
        context.print(&render::inspection(context.palette, &inspection))?;
    }
    Ok(Code::Done)
}

#[cfg(test)]
mod tests {
    use crate::cli::tests::help;

    #[test]
    fn help_of_inspect() {
        insta::assert_snapshot!(help(&["inspect"]), @r"
        Shows everything about a process: settings in force, environment, ports, its tree, its files

        The environment is the one the next start would give it, with where each variable comes from.
        Values that are secrets, by their name or their look, are shown as ****.

        Usage: ostler inspect [OPTIONS] <NAME>

        Arguments:
          <NAME>
                  The process's name

        Options:
              --show-secrets
                  Shows secrets too; on a terminal only, and noted in the audit log

              --json
                  Prints {process, reason, warning, command, cwd, settings, env, tree, paths, …}

          -C, --project <DIR>
                  The project's folder, instead of the current one

              --no-color
                  No colours; `NO_COLOR` in the environment means the same

          -h, --help
                  Print help (see a summary with '-h')
        ");
    }
}
