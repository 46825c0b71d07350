//! `ostler doctor`

use serde::Serialize;

use super::{Code, Context, Outcome};
use crate::api::doctor::{Check, Health, Places, examine};
use crate::cli::exit::CliError;
use crate::cli::render;
use crate::daemon::Paths;
use crate::supervisor::Cgroups;

/// Says what is in force on this machine, and how to get more
///
/// Cgroups and what they can limit, the kernel's help with processes, limits, disk, sockets, and
/// systemd: each with a remedy where something is missing. Starts nothing; where the daemon runs,
/// it is asked. Ends with 1 when something fails.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Prints {checks: [{name, health, text, remedy}], fails, warns}
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    checks: Vec<Check>,
    fails: usize,
    warns: usize,
}

/// Looks, and shows what was found.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let paths = context.paths()?;
    let checks = match ask_daemon(context, &paths).await {
        Ok(Some(checks)) => checks,
        Ok(None) => {
            let daemon = Check::new("daemon", Health::Ok, "does not run; what follows is what it would have");
            [vec![daemon], look(&paths)].concat()
        }
        Err(error) => [vec![unreachable(&error)], look(&paths)].concat(),
    };
    let count = |health| checks.iter().filter(|check| check.health == health).count();
    let (fails, warns) = (count(Health::Fail), count(Health::Warn));
    if args.json {
        context.print_json(&Report { checks, fails, warns })?;
    } else {
        context.print(&render::doctor(context.palette, &checks))?;
    }
    Ok(if fails == 0 { Code::Done } else { Code::Failed })
}

async fn ask_daemon(context: &Context, paths: &Paths) -> Result<Option<Vec<Check>>, CliError> {
    match context.running_client(paths).await? {
        Some(mut client) => Ok(Some(client.doctor().await?)),
        None => Ok(None),
    }
}

fn look(paths: &Paths) -> Vec<Check> {
    examine(&Places::from(paths), &Cgroups::foresee())
}

fn unreachable(error: &CliError) -> Check {
    let why = match error {
        CliError::Told(complaint) => complaint.message.clone(),
        CliError::OutputClosed => "it went away".to_owned(),
    };
    Check::new("daemon", Health::Fail, format!("runs, but cannot be asked: {why}"))
        .remedy("`ostler status` shows where its log is; `ostler down` and `ostler up -d` renew it")
}
