//! `ostler plugin`

use std::path::PathBuf;

use super::{Code, Context, Outcome};
use crate::cli::exit::CliError;
use crate::cli::render;
use crate::plugins::{PluginEngine, Registry, author, run_samples};

/// Shows the plugins that understand what processes print
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    List(ListArgs),
    Build(BuildArgs),
}

/// Lists the plugins, and why those are refused that are
///
/// They are those in `.ostler/plugins/` of the project, those in the user's `ostler/plugins/`
/// configuration folder, and the built-in ones.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ListArgs {
    /// Prints an array of {name, origin, state, reason, version, kinds, unused_kinds, contract, path, …}
    #[arg(long)]
    pub json: bool,
}

/// Builds a plugin's crate into a component, and runs the plugin's own samples
///
/// Needs Rust and its target wasm32-unknown-unknown, and says what is missing. The component is
/// written beside the crate's Cargo.toml under the crate's name; drop it into `.ostler/plugins/`
/// of a project and restart the daemon.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct BuildArgs {
    /// The folder of the plugin's crate
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,

    /// Writes the component to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs a command about plugins.
pub async fn run(command: Command, context: &Context) -> Outcome {
    match command {
        Command::List(args) => list(args, context).await,
        Command::Build(args) => build(&args, context),
    }
}

async fn list(args: ListArgs, context: &Context) -> Outcome {
    // The user's plugins and the built-in ones can be listed in any folder.
    let mut client = context.client_of(&context.paths()?).await?;
    let plugins = client.plugins().await?;
    if args.json {
        context.print_json(&plugins)?;
    } else {
        context.print(&render::plugins(context.palette, &plugins))?;
    }
    Ok(Code::Done)
}

fn build(args: &BuildArgs, context: &Context) -> Outcome {
    let failed = |error: &dyn std::fmt::Display| CliError::failed(error.to_string());
    let built = author::build(&args.dir, args.output.as_deref()).map_err(|error| failed(&error))?;
    let shown = built.path.display();
    context.print(&format!("built {shown}, {} KiB\n", built.bytes / 1024))?;

    let engine = PluginEngine::new().map_err(|error| failed(&error))?;
    let bytes = std::fs::read(&built.path).map_err(|error| failed(&error))?;
    let plugin = Registry::load_one(&engine, &context.paths()?.compile_cache, &bytes)
        .map_err(|refusal| CliError::failed(format!("Ostler would refuse it: {refusal}")))?;
    let report = run_samples(&plugin).map_err(|error| failed(&error))?;
    for mismatch in &report.mismatches {
        context.print(&format!("{mismatch}\n"))?;
    }
    for sample in &report.malformed {
        context.print(&format!(
            "sample {sample}: `levels` needs one letter a line, and `events` and `streams` the same or none\n"
        ))?;
    }
    let (name, version) = (&plugin.info.name, &plugin.info.version);
    let (samples, lines) = (report.samples, report.lines);
    if report.mismatches.is_empty() && report.malformed.is_empty() {
        context.print(&format!("{name} {version} passes its {samples} samples ({lines} lines)\n"))?;
        if report.untried > 0 {
            let untried = report.untried;
            context.print(&format!("{untried} more are of what this Ostler does not use yet\n"))?;
        }
        Ok(Code::Done)
    } else {
        Err(CliError::failed(format!("{name} {version} does not do what its own samples say")))
    }
}
