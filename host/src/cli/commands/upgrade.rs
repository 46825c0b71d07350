//! `ostler upgrade`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Code, Context, Outcome};
use crate::api::{ErrorKind, StatusReply, UpgradeReply};
use crate::cli::client::{Client, ClientError};
use crate::cli::exit::CliError;
use crate::cli::launch::{self, RETRY_EVERY};
use crate::cli::render::visible;
use crate::daemon::Paths;

/// How long the new program may take to open the state and adopt what runs.
const TAKEOVER_WAIT: Duration = Duration::from_secs(60);

/// Puts this version of ostler in the running daemon's place; processes run on
///
/// The daemon becomes the program of this command, or the one named with `--binary`, without
/// letting go of its socket: processes and their output are not affected, and whoever is
/// connected (`logs -f`, `up`, `mcp`) is connected again. The program is asked first whether it
/// could look after the project; when it could not, nothing is changed.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The program that takes over, instead of the one this command was started from
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,

    /// Prints {from, to, program, pid, ms, running}, or null when no daemon runs
    #[arg(long)]
    pub json: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Upgraded {
    from: String,
    to: String,
    program: PathBuf,
    pid: u32,
    /// From the request to the first answer of the new program.
    ms: u64,
    /// Processes that run, as before.
    running: usize,
}

/// Upgrades the daemon.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let paths = context.paths()?;
    let program = program(args.binary)?;
    let Some(mut client) = greet(&paths).await? else {
        if args.json {
            context.print_json(&None::<Upgraded>)?;
        } else {
            context.print("no daemon runs; the next command starts one of its own version\n")?;
        }
        return Ok(Code::Done);
    };
    let before = client.status().await?;
    let begun = Instant::now();
    let reply = client.upgrade(program).await.map_err(|error| explain(error, &before))?;
    // The daemon closes it when it makes room.
    let _ = tokio::time::timeout(TAKEOVER_WAIT, client.closed()).await;
    let (mut client, after) = successor(&paths, &reply).await?;
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    if after.started == before.started || after.warnings.iter().any(|warning| is_failure(warning)) {
        let why = after.warnings.into_iter().rfind(|warning| is_failure(warning));
        let why = why.unwrap_or_else(|| "the new program did not take over".to_owned());
        return Err(CliError::failed(why).hint("the old one goes on, and processes with it"));
    }
    let running = client.list().await?.iter().filter(|view| view.state.is_alive()).count();
    let UpgradeReply { from, program, .. } = reply;
    let upgraded = Upgraded { from, to: after.version, program, pid: after.pid, ms, running };
    if args.json {
        context.print_json(&upgraded)?;
    } else {
        context.print(&upgraded.text())?;
    }
    Ok(Code::Done)
}

impl Upgraded {
    fn text(&self) -> String {
        let (from, to) = (visible(&self.from), visible(&self.to));
        let running = match self.running {
            0 => "no process was running".to_owned(),
            1 => "1 process runs on".to_owned(),
            many => format!("{many} processes run on"),
        };
        format!("ostler {from} → {to} in {} ms (pid {}); {running}\n", self.ms, self.pid)
    }
}

fn program(named: Option<PathBuf>) -> Result<String, CliError> {
    let path = match named {
        Some(path) => std::fs::canonicalize(&path)
            .map_err(|error| CliError::usage(format!("--binary {}: {error}", path.display())))?,
        None => std::env::current_exe()
            .map_err(|error| CliError::failed(format!("this program cannot be found: {error}")))?,
    };
    path.into_os_string()
        .into_string()
        .map_err(|path| CliError::usage(format!("the path {} is not UTF-8", PathBuf::from(path).display())))
}

/// Connects to the daemon that runs, whatever its version.
async fn greet(paths: &Paths) -> Result<Option<Client>, CliError> {
    let Some(stream) = launch::connect(paths).await? else { return Ok(None) };
    match Client::greet(stream).await {
        Err(error) if error.is_lost() => Ok(None),
        client => Ok(Some(client?)),
    }
}

/// Returns a connection to whoever answers after the takeover, and its status.
async fn successor(paths: &Paths, reply: &UpgradeReply) -> Result<(Client, StatusReply), CliError> {
    let deadline = Instant::now() + TAKEOVER_WAIT;
    while Instant::now() < deadline {
        let left = deadline.saturating_duration_since(Instant::now());
        let asked = tokio::time::timeout(left, async {
            let mut client = greet(paths).await.ok()??;
            let status = client.status().await.ok()?;
            Some((client, status))
        });
        match asked.await {
            Ok(Some(answer)) => return Ok(answer),
            // It has kept its pid, unless it has died.
            _ if !std::path::Path::new(&format!("/proc/{}", reply.pid)).exists() => break,
            _ => tokio::time::sleep(RETRY_EVERY).await,
        }
    }
    let log = paths.daemon_log();
    Err(CliError::failed(format!("{} does not answer in the daemon's place", reply.program.display())).hint(
        format!(
            "processes run on; the next command, such as `ostler ps`, starts a daemon that takes them up; the log is {}",
            log.display()
        ),
    ))
}

/// Returns whether a warning of the daemon's tells of an upgrade that failed.
fn is_failure(warning: &str) -> bool {
    warning.starts_with("the upgrade ")
}

fn explain(error: ClientError, before: &StatusReply) -> CliError {
    match error {
        ClientError::Refused(error)
            if error.kind == ErrorKind::Invalid && error.message.contains("unknown variant") =>
        {
            CliError::failed(format!(
                "the daemon is version {}, which cannot be upgraded in place",
                visible(&before.version)
            ))
            .hint(format!(
                "`kill {}` ends it alone; the next command starts a new one, which takes up what runs",
                before.pid
            ))
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_the_time_and_what_runs_are_told() {
        let mut upgraded = Upgraded {
            from: "0.1.0".into(),
            to: "0.2.0".into(),
            program: "/usr/bin/ostler".into(),
            pid: 42,
            ms: 180,
            running: 3,
        };
        assert_eq!(upgraded.text(), "ostler 0.1.0 → 0.2.0 in 180 ms (pid 42); 3 processes run on\n");
        upgraded.running = 1;
        assert!(upgraded.text().ends_with("1 process runs on\n"));
    }
}
