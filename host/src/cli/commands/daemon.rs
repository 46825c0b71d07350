//! `ostler daemon`

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::{Code, Context, Outcome};
use crate::api::{Api, Caller, Surface};
use crate::cli::exit::CliError;
use crate::cli::launch::RETRY_EVERY;
use crate::cli::server::Server;
use crate::cli::startup::{self, StartReport};
use crate::cli::wire::VERSION;
use crate::daemon::{Daemon, DaemonError, Ended, Inherited, Legacy, LockError, Notifier, Paths};

/// How long a daemon that somebody's command has started may take to make room for that of a service manager.
const OUST_WAIT: Duration = Duration::from_secs(20);

/// Pause after a connection that could not be taken: long enough that a daemon without descriptors or memory does not
/// use up a processor asking again, short enough that nobody who waits notices.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Runs the project's daemon in the foreground
///
/// Other commands start it in the background when they need it, so this is for looking into it,
/// and for service managers (`ostler systemd`). Its log goes to standard error; `OSTLER_LOG=debug`
/// says more. SIGTERM and Ctrl-C end the daemon alone: processes live on, and the next daemon
/// takes them up. `ostler down` ends both. Started by a service manager it takes the place of a
/// daemon that some command has started.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Starts what has `autostart`, as `ostler up` does, unless the last daemon has died
    #[arg(long)]
    up: bool,

    /// Starts the daemon in a session of its own, as nobody's child, and ends
    #[arg(long, hide = true)]
    detach: bool,

    /// Tells on standard output how the start went
    #[arg(long, hide = true, conflicts_with = "detach")]
    report: bool,

    /// Checks that this program could look after the project, changes nothing, and prints {version}
    #[arg(long, hide = true, conflicts_with_all = ["detach", "report", "up"])]
    check: bool,
}

/// Runs the daemon, or the process between it and the command that starts it.
pub fn run(args: &Args, context: &Context) -> Outcome {
    // Before there is a second thread.
    let inherited = Inherited::from_environment();
    let notifier = Notifier::from_environment();
    let paths = context.paths()?;
    if args.detach {
        return launch(&paths);
    }
    if args.check {
        Daemon::check(&paths).map_err(|error| CliError::from(StartReport::from(error)))?;
        context.print_json(&serde_json::json!({ "version": VERSION }))?;
        return Ok(Code::Done);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("the runtime cannot be started: {error}")))?;
    log_to_stderr();
    let service = Service { paths, notifier, up: args.up };
    let outcome = runtime.block_on(service.run(args.report, inherited));
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

/// A daemon and those it reports to.
struct Service {
    paths: Paths,
    notifier: Notifier,
    up: bool,
}

impl Service {
    async fn run(self, report: bool, mut inherited: Option<Inherited>) -> Outcome {
        let (mut daemon, mut listener) = match self.start(inherited.as_mut()).await {
            Ok(started) => started,
            Err(failure) => {
                let error = CliError::from(failure.clone());
                if let Some(inherited) = inherited {
                    inherited.go_back(&self.arguments(), self.notifier.variables(), &failure.message());
                }
                if report {
                    startup::tell(&failure);
                }
                return Err(error);
            }
        };
        if report {
            startup::tell(&StartReport::Ready { pid: std::process::id() });
        }
        self.notifier.tell(&format!("READY=1\n{}", status(&daemon.api())));
        tokio::spawn(watchdog(daemon.api(), self.notifier.clone()));
        match inherited {
            Some(mut inherited) => {
                inherited.bury_children();
                match inherited.failure.take() {
                    Some(failure) => {
                        daemon.warn(format!("the upgrade of this daemon failed: {failure}"));
                        daemon.api().upgrade_failed(&failure).await;
                    }
                    None => info!(from = inherited.from, to = VERSION, "took over from another program"),
                }
            }
            None if self.up && daemon.begins_anew() => drop(tokio::spawn(bring_up(daemon.api()))),
            None => {}
        }
        loop {
            let mut server = Server::new(daemon.api());
            let signal = tokio::select! {
                ended = daemon.ended() => match ended {
                    Ended::Replaced(program) => {
                        listener = self.hand_over(&daemon, listener, server, &program).await;
                        continue;
                    }
                    Ended::Down => None,
                },
                () = accept(&listener, &mut server) => None,
                signal = end_signal() => Some(signal),
            };
            return self.end(daemon, listener, server, signal).await;
        }
    }

    async fn start(&self, inherited: Option<&mut Inherited>) -> Result<(Daemon, UnixListener), StartReport> {
        let socket = self.paths.socket();
        let deadline = tokio::time::Instant::now() + OUST_WAIT;
        let mut ousted = None;
        let daemon = loop {
            match Daemon::start(self.paths.clone(), inherited.as_deref()).await {
                // Somebody's command was faster. A service manager means to have the daemon that it watches.
                Err(DaemonError::Locked(LockError::Held { pid }))
                    if self.notifier.is_heard() && tokio::time::Instant::now() < deadline =>
                {
                    if ousted.as_ref() != Some(&pid) {
                        end_alone(&pid);
                        ousted = Some(pid);
                    }
                    tokio::time::sleep(RETRY_EVERY).await;
                }
                started => break started?,
            }
        };
        // The lock is held from here on, so a socket that exists is a dead daemon's, or was handed on.
        let listening =
            inherited.and_then(|inherited| inherited.listener(&socket)).map(UnixListener::from_std);
        let listener = listening.unwrap_or_else(|| listen(&socket)).map_err(|error| StartReport::Failed {
            message: format!("the socket {} cannot be opened: {error}", socket.display()),
        })?;
        Ok((daemon, listener))
    }

    /// Ends in order: nobody connects any more, those that are connected have their answers, and only then the lock
    /// goes.
    async fn end(
        &self,
        mut daemon: Daemon,
        listener: UnixListener,
        server: Server,
        signal: Option<&'static str>,
    ) -> Outcome {
        match signal {
            Some(signal) => info!(signal, "the daemon ends; processes live on"),
            None => daemon.ended_in_order(),
        }
        self.notifier.tell("STOPPING=1");
        if let Err(error) = std::fs::remove_file(self.paths.socket()) {
            warn!(%error, "the socket could not be removed");
        }
        drop(listener);
        server.drain().await;
        daemon.flush();
        info!("the daemon has ended");
        Ok(Code::Done)
    }

    /// Becomes `program`. Returns the listener when that cannot be done, so that this daemon goes on.
    async fn hand_over(
        &self,
        daemon: &Daemon,
        listener: UnixListener,
        server: Server,
        program: &Path,
    ) -> UnixListener {
        info!(program = %program.display(), "another program takes over");
        self.notifier.tell("STATUS=being upgraded");
        server.hand_over().await;
        daemon.flush_log();
        let legacy = Legacy { lock: daemon.lock().as_fd(), socket: listener.as_fd(), version: VERSION };
        let error = legacy.hand_on(program, &self.arguments(), self.notifier.variables());
        warn!(%error, "it cannot be executed; this daemon goes on");
        daemon.warn(format!("the upgrade to {} failed: {error}", program.display()));
        daemon.api().upgrade_failed(&error.to_string()).await;
        self.notifier.tell(&status(&daemon.api()));
        listener
    }

    /// Returns the arguments with which another program goes on in this one's place.
    fn arguments(&self) -> Vec<OsString> {
        let mut arguments = vec!["-C".into(), self.paths.project_dir.clone().into(), "daemon".into()];
        arguments.extend(self.up.then(|| "--up".into()));
        arguments
    }
}

/// Asks the daemon with this pid to end; its processes live on. One that does not understand is left alone.
fn end_alone(pid: &str) {
    let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
    // Opened before it is looked at, so that who is looked at is who gets the signal.
    let Some((pid, pidfd)) = pid.and_then(|pid| Some((pid, pidfd_open(pid, PidfdFlags::empty()).ok()?)))
    else {
        return;
    };
    let arguments = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    if arguments.split(|byte| *byte == 0).any(|argument| argument == b"daemon") {
        info!(%pid, "another daemon looks after the project; it is asked to make room");
        let _ = pidfd_send_signal(&pidfd, Signal::TERM);
    }
}

/// Starts everything, as `ostler up` does.
async fn bring_up(api: Api) {
    let caller = Caller { surface: Surface::Daemon, client: "daemon --up".to_owned() };
    match api.up(&caller, &[]).await {
        Ok(reply) => {
            for failure in reply.failed {
                warn!(process = %failure.name, reason = failure.reason, "was not started");
            }
        }
        Err(error) => warn!(%error, "nothing was started"),
    }
}

/// Tells the service manager that the daemon lives, as long as the drivers of all processes answer.
async fn watchdog(api: Api, notifier: Notifier) {
    let Some(limit) = notifier.watchdog() else { return };
    let beat = limit / 3;
    loop {
        if api.is_alive(beat).await {
            notifier.tell(&format!("WATCHDOG=1\n{}", status(&api)));
        } else {
            warn!(?beat, "a driver does not answer; the service manager is not told that all is well");
        }
        tokio::time::sleep(beat).await;
    }
}

fn status(api: &Api) -> String {
    let (running, all) = api.count();
    format!("STATUS={running} of {all} processes run")
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
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
                tokio::time::sleep(ACCEPT_AGAIN).await;
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
