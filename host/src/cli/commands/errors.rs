//! `ostler errors`

use super::{Code, Context, Outcome};
use crate::api::{ErrorState, ErrorsRequest, LatestErrorsRequest, MarkError};
use crate::cli::render::{self, Clock};
use crate::model::Level;

/// Shows the kinds of errors that processes had: how often, where, and whether they are mended
///
/// Errors of one kind have the same type and come from the same place. One that is resolved and
/// happens again is shown as regressed.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, verbatim_doc_comment)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    list: ListArgs,
}

impl Args {
    /// Returns whether the answer is wanted as JSON.
    pub fn wants_json(&self) -> bool {
        match &self.command {
            None => self.list.json,
            Some(Command::Show(args)) => args.json,
            Some(Command::Latest(args)) => args.json,
            Some(Command::Resolve(_) | Command::Reopen(_)) => false,
        }
    }
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Processes and groups; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    since: Since,

    /// Shows only those that are open, resolved or regressed
    #[arg(long, value_name = "STATE", value_parser = state, conflicts_with = "all")]
    state: Option<ErrorState>,

    /// Shows resolved ones too
    #[arg(long)]
    all: bool,

    /// Shows at most this many
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,

    /// Prints {errors: [{id, process, kind, message, place, state, count, …}], more, new, cursor}
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Since {
    /// Since then: restart, change (of a watched file), run:7, file:PATH, 10m, a time, or a cursor
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,

    /// At least this serious: warn, error or fatal; error when left out
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    level: Option<Level>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(ShowArgs),
    Latest(LatestArgs),
    Resolve(MarkArgs),
    Reopen(MarkArgs),
}

/// Shows one kind of error with its last text and its trend
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Its id, or the beginning of it
    #[arg(value_name = "ID")]
    id: String,

    /// Prints one object
    #[arg(long)]
    json: bool,
}

/// Shows the errors that happened last, with their text
#[derive(Debug, clap::Args)]
struct LatestArgs {
    /// Processes and groups; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    since: Since,

    /// Shows at most this many
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,

    /// Shows frames of libraries too
    #[arg(long)]
    full: bool,

    /// Prints {errors: [{id, process, run, time, level, text, …}], cursor}, the newest first
    #[arg(long)]
    json: bool,
}

/// Says of a kind of error whether it is mended
#[derive(Debug, clap::Args)]
struct MarkArgs {
    /// Its id, or the beginning of it
    #[arg(value_name = "ID")]
    id: String,

    /// What there is to say of it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Lists kinds of errors, or says something of one.
pub async fn run(args: Args, context: &Context) -> Outcome {
    match args.command {
        None => list(args.list, context).await,
        Some(Command::Show(args)) => show(args, context).await,
        Some(Command::Latest(args)) => latest(args, context).await,
        Some(Command::Resolve(args)) => {
            let mark = MarkError { id: args.id, note: args.note };
            let view = context.client().await?.resolve_error(mark).await?;
            context.print(&format!("{}\n", render::error_line(&view)))?;
            Ok(Code::Done)
        }
        Some(Command::Reopen(args)) => {
            let mark = MarkError { id: args.id, note: args.note };
            let view = context.client().await?.reopen_error(mark).await?;
            context.print(&format!("{}\n", render::error_line(&view)))?;
            Ok(Code::Done)
        }
    }
}

async fn list(args: ListArgs, context: &Context) -> Outcome {
    let states = if args.all { ErrorState::ALL.to_vec() } else { args.state.into_iter().collect() };
    let request = ErrorsRequest {
        names: args.names,
        states,
        level: args.since.level,
        since: args.since.since,
        limit: args.limit,
        trend: args.json,
    };
    let reply = context.client().await?.errors(request).await?;
    if args.json {
        context.print_json(&reply)?;
    } else if reply.errors.is_empty() {
        context.note("there are no such errors");
    } else {
        context.print(&render::errors(context.palette, &Clock::local(), &reply.errors))?;
        if reply.more > 0 {
            context.note(&format!("{} more are not shown: ask for more with -n", reply.more));
        }
    }
    Ok(Code::Done)
}

async fn show(args: ShowArgs, context: &Context) -> Outcome {
    let view = context.client().await?.error_group(args.id).await?;
    if args.json {
        context.print_json(&view)?;
    } else {
        context.print(&render::error_group(context.palette, &Clock::local(), &view))?;
    }
    Ok(Code::Done)
}

async fn latest(args: LatestArgs, context: &Context) -> Outcome {
    let request = LatestErrorsRequest {
        names: args.names,
        level: args.since.level,
        since: args.since.since,
        limit: args.limit,
        full: args.full,
    };
    let reply = context.client().await?.latest_errors(request).await?;
    if args.json {
        context.print_json(&reply)?;
    } else if reply.errors.is_empty() {
        context.note("there are no such errors");
    } else {
        context.print(&render::latest_errors(context.palette, &Clock::local(), &reply.errors))?;
    }
    Ok(Code::Done)
}

fn state(text: &str) -> Result<ErrorState, &'static str> {
    ErrorState::ALL
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or("the states are open, resolved and regressed")
}

fn level(text: &str) -> Result<Level, &'static str> {
    Level::parse(text).filter(|level| *level >= Level::Warn).ok_or("the levels are warn, error and fatal")
}
