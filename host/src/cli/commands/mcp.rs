//! `ostler mcp`

use super::{Code, Context, Outcome};
use crate::cli::exit::CliError;
use crate::cli::launch;
use crate::mcp;

/// Serves the Model Context Protocol on standard input and output, for coding agents
///
/// Put it into the agent's MCP configuration:
///
///   {"mcpServers": {"ostler": {"command": "ostler", "args": ["mcp"]}}}
///
/// It passes bytes to the project's daemon and back, and starts the daemon when it does not run;
/// what the agent starts lives on when the agent ends.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Sets of tools, separated by commas: core, or all
    #[arg(long, value_name = "LIST", default_value = "core")]
    toolsets: String,
}

/// Connects standard input and output with the daemon.
pub async fn run(args: Args, context: &Context) -> Outcome {
    // Before a daemon is started for nothing.
    mcp::Toolsets::parse(&args.toolsets).map_err(|error| CliError::usage(error.to_string()))?;
    let stream = launch::connect_or_start(&context.paths()?).await?;
    mcp::pump(stream, &args.toolsets)
        .await
        .map_err(|error| CliError::new(Code::Unreachable, "unreachable", error.to_string()))?;
    Ok(Code::Done)
}
