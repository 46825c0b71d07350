//! `ostler daemon`

use std::io::{self, IsTerminal};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::{Code, Context, Outcome};
use crate::cli::exit::CliError;
use crate::cli::server::Server;
use crate::cli::startup::{self, StartReport};
use crate::daemon::{Daemon, DaemonError, LockError, Paths};

/// Runs the project's daemon in the foreground
///
/// Other commands start it in the background when they need it, so this is for looking into it,
/// and for service managers. Its log goes to standard error; `OSTLER_LOG=debug` says more.
/// SIGTERM and Ctrl-C end the daemon alone: processes live on, and the next daemon takes them
/// up. `ostler down` ends both.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Starts the daemon in a session of its own, as nobody's child, and ends
    #[arg(long, hide = true)]
    detach: bool,

    /// Tells on standard output how the start went
    #[arg(long, hide = true, conflicts_with = "detach")]
    report: bool,
}

/// Runs the daemon, or the process between it and the command that starts it.
pub fn run(args: &Args, context: &Context) -> Outcome {
    let paths = context.paths()?;
    if args.detach {
        return launch(&paths);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("the runtime cannot be started: {error}")))?;
    log_to_stderr();
    let outcome = runtime.block_on(serve(paths, args.report));
    // Whatever still blocks a thread has nobody left to answer to.
    runtime.shutdown_background();
    outcome
}

/// Starts the daemon and does not wait for it: orphaned, it is in nobody's process tree.
fn launch(paths: &Paths) -> Outcome {
    // Fails only for the leader of a process group, which somebody's shell made of it: then it is on its own already.
    let _ = rustix::process::setsid();
    let spawned = std::env::current_exe().and_then(|program| {
        Command::new(program)
            .arg("-C")
            .arg(&paths.project_dir)
            .args(["daemon", "--report"])
            .current_dir(&paths.project_dir)
            .stdin(Stdio::null())
            .spawn()
    });
    match spawned {
        Ok(_) => Ok(Code::Done),
        Err(error) => {
            startup::tell(&StartReport::Failed { message: error.to_string() });
            Ok(Code::Unreachable)
        }
    }
}

async fn serve(paths: Paths, report: bool) -> Outcome {
    let socket = paths.socket();
    let started = async {
        let daemon = Daemon::start(paths).await.map_err(StartReport::from)?;
        // The lock is held from here on, so a socket that exists is a dead daemon's.
        let listener = listen(&socket).map_err(|error| StartReport::Failed {
            message: format!("the socket {} cannot be opened: {error}", socket.display()),
        })?;
        Ok((daemon, listener))
    };
    let (mut daemon, listener) = match started.await {
        Ok(started) => started,
        Err(failure) => {
            if report {
                startup::tell(&failure);
            }
            return Err(failure.into());
        }
    };
    if report {
        startup::tell(&StartReport::Ready { pid: std::process::id() });
    }
    let mut server = Server::new(daemon.api());
    tokio::select! {
        () = daemon.ended() => {}
        () = accept(&listener, &mut server) => {}
        signal = end_signal() => info!(signal, "the daemon ends; processes live on"),
    }
    // Nobody connects any more, those that are connected have their answers, and only then the lock goes.
    if let Err(error) = std::fs::remove_file(&socket) {
        warn!(%error, "the socket could not be removed");
    }
    drop(listener);
    server.drain().await;
    daemon.flush();
    info!("the daemon has ended");
    Ok(Code::Done)
}

fn listen(socket: &std::path::Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    // Its directory is private already; this is for whoever loosens that.
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Takes connections as long as the daemon lives.
async fn accept(listener: &UnixListener, server: &mut Server) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => server.accept(stream),
            Err(error) => {
                // No descriptors are left, or memory: it does not help to ask again at once.
                warn!(%error, "a connection could not be taken");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Returns the name of the signal that ends the daemon.
async fn end_signal() -> &'static str {
    let mut kinds = [(SignalKind::terminate(), "SIGTERM"), (SignalKind::interrupt(), "SIGINT")]
        .map(|(kind, name)| signal(kind).map(|signal| (signal, name)));
    match &mut kinds {
        [Ok((terminate, first)), Ok((interrupt, second))] => tokio::select! {
            _ = terminate.recv() => first,
            _ = interrupt.recv() => second,
        },
        _ => {
            warn!("signals cannot be watched; the daemon ends by `ostler down`");
            std::future::pending().await
        }
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("OSTLER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A second one in the same process keeps the first: only tests do that.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // On a full disk the log cannot be written. Complaining of that goes to the same place, and panics.
        .log_internal_errors(false)
        .try_init();
}

impl From<DaemonError> for StartReport {
    fn from(error: DaemonError) -> Self {
        match error {
            DaemonError::Config(error) => Self::BadConfig { message: error.to_string() },
            DaemonError::Locked(LockError::Held { pid }) => {
                Self::AlreadyRunning { pid: pid.trim().parse().unwrap_or(0) }
            }
            error => Self::Failed { message: error.to_string() },
        }
    }
}

/// The error for somebody who runs the daemon in the foreground.
impl From<StartReport> for CliError {
    fn from(report: StartReport) -> Self {
        match report {
            StartReport::BadConfig { message } => startup::bad_config(message),
            StartReport::AlreadyRunning { pid } | StartReport::Ready { pid } => {
                Self::failed(format!("another daemon (pid {pid}) looks after this project already"))
                    .hint("`ostler status` shows it, `ostler down` ends it")
            }
            StartReport::Failed { message } => {
                Self::new(Code::Unreachable, "unreachable", format!("the daemon cannot start: {message}"))
            }
        }
    }
}
