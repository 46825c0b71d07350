//! `ostler wait`

use std::time::{Duration, Instant};

use super::{Code, Context, Outcome};
use crate::api::{Until, WaitOutcome, WaitReply, WaitRequest};
use crate::bounds;
use crate::cli::exit::CliError;
use crate::cli::printer::Printer;
use crate::cli::render::{self, Clock};
use crate::config::parse_duration;
use crate::model::ProcessName;

/// Daemons lost in a row, without an answer in between, before the wait is given up.
const LOST_IN_A_ROW: usize = 3;

/// Waits until a process is ready, has ended, has printed something, or has raised an alert
///
/// Ends with 1 as soon as that cannot happen any more, because the process ended before, and with
/// 124 when time is over; both show its last lines.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[group(skip)]
pub struct Args {
    /// The process's name
    #[arg(value_name = "NAME")]
    name: String,

    /// Waits until it is ready; this is the default
    #[arg(long, group = "until")]
    ready: bool,

    /// Waits until it has ended
    #[arg(long, group = "until")]
    exit: bool,

    /// Waits for a line, printed since it was started, that matches a regular expression
    #[arg(long, value_name = "RE", group = "until")]
    log: Option<String>,

    /// Waits for an alert of this name, or any, raised since it was started
    #[arg(long, value_name = "ALERT", group = "until", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    alert: Option<String>,

    /// Gives up after this long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_timeout)]
    timeout: Duration,

    /// Prints {outcome, reason, process, line, alert, tail, cursor}
    #[arg(long)]
    pub json: bool,
}

/// Waits, as long as it takes in calls of a bounded length.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let until = match (args.log, args.alert) {
        (Some(pattern), _) => Until::Log { pattern, since: None },
        (None, Some(alert)) => {
            Until::Alert { alert: Some(alert).filter(|name| !name.is_empty()), since: None }
        }
        (None, None) if args.exit => Until::Exit,
        (None, None) => Until::Ready,
    };
    let reply = wait(context, args.name, until, args.timeout).await?;
    if args.json {
        context.print_json(&reply)?;
        return Ok(code_of(reply.outcome));
    }
    tell(context, reply)
}

/// `--wait` of the commands that start processes.
#[derive(Debug, clap::Args)]
pub struct Patience {
    /// Waits until each is ready, as `ostler wait` does; at most so long, 30s unless told
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "30s", value_parser = parse_timeout)]
    wait: Option<Duration>,
}

impl Patience {
    /// Waits until a process that was just started is ready, when that was asked for. What went wrong is told, and
    /// returned is with what code the command is to end.
    pub async fn wait(&self, context: &Context, name: &ProcessName) -> Outcome {
        let Some(timeout) = self.wait else { return Ok(Code::Done) };
        let reply = wait(context, name.to_string(), Until::Ready, timeout).await?;
        match tell(context, reply) {
            Err(error) => Ok(context.tell(&error)),
            done => done,
        }
    }
}

fn code_of(outcome: WaitOutcome) -> Code {
    match outcome {
        WaitOutcome::Met => Code::Done,
        WaitOutcome::TimedOut => Code::TimedOut,
        WaitOutcome::Impossible => Code::Failed,
    }
}

/// Says how the wait ended; an error unless it was met.
fn tell(context: &Context, reply: WaitReply) -> Outcome {
    let code = code_of(reply.outcome);
    if code != Code::Done {
        let kind = if code == Code::TimedOut { "timed-out" } else { "failed" };
        let hint = format!("`ostler diagnose {}` says more", reply.process.name);
        return Err(CliError::new(code, kind, reply.reason).hint(hint).lines(reply.tail));
    }
    if let Some(alert) = &reply.alert {
        context.print(&format!("{}\n", render::alert(context.palette, &Clock::local(), alert)))?;
        return Ok(code);
    }
    match &reply.line {
        Some(line) => Printer::text(context.palette, [&line.process]).print(std::slice::from_ref(line))?,
        None => context.print(&format!("{}\n", reply.reason))?,
    }
    Ok(code)
}

async fn wait(
    context: &Context,
    name: String,
    mut until: Until,
    timeout: Duration,
) -> Result<WaitReply, CliError> {
    let begun = Instant::now();
    let mut client = context.client().await?;
    let mut lost = 0;
    loop {
        let left = timeout.saturating_sub(begun.elapsed());
        let call = left.min(bounds::MCP_WAIT);
        // Rounded up, so that the daemon tells the time that was asked for.
        let timeout_ms = u64::try_from(call.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        let request = WaitRequest { name: name.clone(), until: until.clone(), timeout_ms };
        let mut reply = match client.wait(request).await {
            // The daemon was upgraded, or has died: the next one knows as much.
            Err(error) if error.is_lost() && lost < LOST_IN_A_ROW => {
                lost += 1;
                client = context.client().await?;
                continue;
            }
            reply => reply?,
        };
        lost = 0;
        if reply.outcome != WaitOutcome::TimedOut {
            return Ok(reply);
        }
        if begun.elapsed() >= timeout || left == call {
            // The daemon tells the length of its last call, which may be the rest of a longer wait.
            if timeout > bounds::MCP_WAIT {
                reply.reason = format!("{} (after {timeout:?} in all)", reply.reason);
            }
            return Ok(reply);
        }
        if let Until::Log { since, .. } = &mut until {
            *since = Some(reply.cursor);
        }
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| format!("{error}: write 500ms, 30s or 2m"))
}
