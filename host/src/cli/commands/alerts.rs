//! `ostler alerts`

use std::time::Duration;

use super::{Code, Context, Outcome};
use crate::api::{AlertView, AlertsReply, AlertsRequest, ErrorKind};
use crate::cli::client::{Client, ClientError};
use crate::cli::exit::CliError;
use crate::cli::render::{self, Clock};

/// How long one call waits for a first alert.
const POLL: Duration = Duration::from_secs(50);
/// Daemons lost in a row, without a single answer in between, before following is given up.
const LOST_IN_A_ROW: usize = 3;
/// Alerts asked for at once while following.
const PAGE: usize = 100;

/// Shows the alerts that were raised, and goes on with -f
///
/// What raises an alert stands in ostler.toml, in `[alert.NAME]`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Processes and groups; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Goes on with those that are raised from now on, until Ctrl-C
    #[arg(short, long)]
    follow: bool,

    /// Shows those since then: 10m, a time, or a cursor such as alert:7
    #[arg(long, value_name = "CURSOR|10m")]
    since: Option<String>,

    /// Shows at most this many, the newest; 50 when left out
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,

    /// Prints {alerts: [{id, name, process, time, what, text, …}], more, cursor}; with -f an alert a line
    #[arg(long)]
    pub json: bool,
}

/// Lists alerts.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let mut client = context.client().await?;
    let Args { names, since, limit, .. } = args;
    let request = AlertsRequest { names, since, limit, wait_ms: 0 };
    let reply = client.alerts(request.clone()).await?;
    if args.follow {
        print(context, &reply.alerts, args.json)?;
        return follow(client, request, reply, args.json, context).await;
    }
    if args.json {
        context.print_json(&reply)?;
    } else if reply.alerts.is_empty() {
        context.note("no such alert was raised");
    } else {
        print(context, &reply.alerts, false)?;
        if reply.more {
            context.note("there are more: ask for them with -n");
        }
    }
    Ok(Code::Done)
}

fn print(context: &Context, alerts: &[AlertView], as_json: bool) -> Result<(), CliError> {
    let clock = Clock::local();
    for alert in alerts {
        if as_json {
            let line = serde_json::to_string(alert).map_err(|error| CliError::failed(error.to_string()))?;
            context.print(&format!("{line}\n"))?;
        } else {
            context.print(&format!("{}\n", render::alert(context.palette, &clock, alert)))?;
        }
    }
    Ok(())
}

/// Prints each alert as it is raised: once, and none left out, whatever becomes of the daemon meanwhile.
async fn follow(
    mut client: Client,
    request: AlertsRequest,
    first: AlertsReply,
    as_json: bool,
    context: &Context,
) -> Outcome {
    let wait_ms = u64::try_from(POLL.as_millis()).unwrap_or(u64::MAX);
    let mut request = AlertsRequest { since: Some(first.cursor), limit: Some(PAGE), wait_ms, ..request };
    let mut lost = 0;
    loop {
        match client.alerts(request.clone()).await {
            Ok(reply) => {
                print(context, &reply.alerts, as_json)?;
                request.since = Some(reply.cursor);
                lost = 0;
            }
            Err(ClientError::Refused(error)) if error.kind == ErrorKind::Unavailable => {
                return Ok(Code::Done);
            }
            Err(error) if error.is_lost() && lost < LOST_IN_A_ROW => {
                lost += 1;
                client = context.client().await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
