//! `ostler mcp`

use tokio::net::UnixStream;

use super::{Code, Context, Outcome};
use crate::cli::exit::CliError;
use crate::cli::launch;
use crate::daemon::Paths;
use crate::mcp;

/// Serves the Model Context Protocol on standard input and output, for coding agents
///
/// Put it into the agent's MCP configuration:
///
///   {"mcpServers": {"ostler": {"command": "ostler", "args": ["mcp"]}}}
///
/// It passes bytes to the project's daemon and back, and starts the daemon when it does not run;
/// what the agent starts lives on when the agent ends. When the daemon dies or is upgraded it
/// connects to the next one, and the agent goes on.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    // Its help names the sets there are, so it is made of them.
    #[arg(long, value_name = "LIST", default_value = "core", help = toolsets_help())]
    toolsets: String,
}

fn toolsets_help() -> String {
    let known = mcp::Toolsets::known();
    let (last, others) = known.split_last().unwrap_or((&"", &[]));
    format!("Sets of tools, separated by commas: {} or {last}", others.join(", "))
}

/// Connects standard input and output with the daemon.
pub async fn run(args: Args, context: &Context) -> Outcome {
    // Before a daemon is started for nothing.
    mcp::Toolsets::parse(&args.toolsets).map_err(|error| CliError::usage(error.to_string()))?;
    let paths = context.paths()?;
    let stream = launch::connect_or_start(&paths).await?;
    mcp::pump(stream, Project(paths), &args.toolsets)
        .await
        .map_err(|error| CliError::new(Code::Unreachable, "unreachable", error.to_string()))?;
    Ok(Code::Done)
}

/// The daemons of one project, one after the other.
struct Project(Paths);

impl mcp::Daemons for Project {
    fn last_has_died(&self) -> bool {
        // One that ends in order removes its socket before anything else.
        self.0.socket().exists()
    }

    async fn find(&self) -> Option<UnixStream> {
        launch::connect(&self.0).await.ok().flatten()
    }

    async fn find_or_start(&self) -> Result<UnixStream, String> {
        launch::connect_or_start(&self.0).await.map_err(|error| error.to_string())
    }
}
