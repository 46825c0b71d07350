//! A supervisor without the rest of a daemon: drivers with real shims and children, and configurations made by hand;
//! and a clock that stands still while shims and children go on.
//!
//! The child of most tests is this very test program, which does what it reads from its standard input; so a test
//! decides when what happens.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ostler::config::{Command, EnvVars, ProcessConfig, RestartPolicy, RestartWhen};
use ostler::model::ProcessName;
use ostler::shim::tree::{Process, descendants};
use ostler::store::{Catalogue, Store};
use ostler::supervisor::{
    Cgroups, Context, Handle, Past, Ports, RunEvent, ShimProgram, Snapshot, look_back, supervise,
};
use tokio::sync::mpsc;

/// Far longer than anything here takes: reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Set in the environment of a child that is this program.
const CHILD: &str = "OSTLER_TEST_CHILD";
/// What such a child is to say at once before it ends.
const SAY: &str = "OSTLER_TEST_SAY";

/// A state directory with one process.
pub struct Daemon {
    pub dir: tempfile::TempDir,
    pub context: Arc<Context>,
    pub config: Arc<ProcessConfig>,
    pub handle: Option<Handle>,
    _events: mpsc::UnboundedReceiver<RunEvent>,
}

impl Daemon {
    pub fn new(config: ProcessConfig) -> Self {
        let dir = tempfile::Builder::new().prefix("ost").tempdir_in("/tmp").unwrap();
        for name in ["log", "runs", "run"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let (events, receiver) = mpsc::unbounded_channel();
        let catalogue = Arc::new(Catalogue::open(&dir.path().join("catalogue.sqlite")).unwrap());
        let context = Arc::new(Context {
            ports: Ports::new(dir.path(), Arc::clone(&catalogue), &dir.path().join("ports")).unwrap(),
            catalogue,
            store: Arc::new(Store::open(&dir.path().join("log")).unwrap().0),
            runs_dir: dir.path().join("runs"),
            sockets_dir: dir.path().join("run"),
            shim: ShimProgram { program: PathBuf::from(env!("CARGO_BIN_EXE_ostler-shim")) },
            boot: None,
            project_dir: dir.path().to_owned(),
            events,
            lookout: Arc::default(),
            secrets: Default::default(),
            cgroups: Cgroups::probe(&dir.path().file_name().unwrap().to_string_lossy()),
        });
        let config = Arc::new(config);
        let handle = supervise(Arc::clone(&context), name(), Arc::clone(&config), Past::Nothing);
        Self { dir, context, config, handle: Some(handle), _events: receiver }
    }

    pub fn handle(&self) -> &Handle {
        self.handle.as_ref().unwrap()
    }

    /// Starts the process, which is to work.
    pub async fn start(&self) -> &Handle {
        self.handle().start("test").await.unwrap();
        self.handle()
    }

    /// Lets the driver go, and has another one take up what it left.
    pub async fn succeed(&mut self) -> &Handle {
        self.handle = None;
        let context = Arc::clone(&self.context);
        let mut pasts = tokio::task::spawn_blocking(move || look_back(&context)).await.unwrap().unwrap();
        let past = pasts.remove(&name()).unwrap_or_default();
        self.handle = Some(supervise(Arc::clone(&self.context), name(), Arc::clone(&self.config), past));
        self.handle()
    }

    /// Sends a line to the child.
    pub async fn tell(&self, line: &str) {
        let bytes = format!("{line}\n").into_bytes();
        assert_eq!(self.handle().send(bytes.clone(), false).await, Ok(bytes.len()));
    }

    /// Stops the process; nothing of it may be left.
    pub async fn end(self) {
        self.handle().stop().await;
        let sockets: Vec<_> = std::fs::read_dir(self.dir.path().join("run")).unwrap().flatten().collect();
        assert!(sockets.is_empty(), "left behind: {sockets:?}");
    }
}

impl Drop for Daemon {
    /// Ends what a test that failed has left running: shims are known by the run's directory among their arguments.
    fn drop(&mut self) {
        self.handle = None;
        let runs = self.context.runs_dir.display().to_string();
        for shim in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(shim) = shim.file_name().to_str().and_then(|pid| pid.parse().ok()) else { continue };
            let words = std::fs::read(format!("/proc/{shim}/cmdline")).unwrap_or_default();
            if !String::from_utf8_lossy(&words).contains(&runs) {
                continue;
            }
            // The shim first, so that nobody reports an end to be restarted after, and the children by what they were.
            let tree: Vec<_> = Process::with_pid(shim).into_iter().chain(descendants(shim)).collect();
            for process in tree {
                let _ = process.signal(libc::SIGKILL);
            }
        }
    }
}

/// The clock of a test's runtime, which stands still: it goes on when the test says so, and by as much. Shims, children
/// and sockets know nothing of that. For tests that begin with a paused clock.
pub struct Clock {
    /// The runtime would let time pass whenever nobody has anything to do, such as while a shim works. It does not as
    /// long as it has a blocking task; this one ends with the clock, or with all patience, so that a wait in vain ends.
    _held: std::sync::mpsc::Sender<()>,
}

impl Clock {
    pub fn stop() -> Self {
        let (held, end) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || end.recv_timeout(4 * PATIENCE));
        Self { _held: held }
    }

    /// Lets time pass, and the driver do what is due then. What others do after that takes its own time.
    pub async fn advance(&self, time: Duration, handle: &Handle) {
        tokio::time::advance(time).await;
        // Timers are looked at when the runtime has nothing else to do. When the driver answers for the second time it
        // has dealt with all that was due.
        for _ in 0..2 {
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            handle.ping().await;
        }
    }
}

pub fn name() -> ProcessName {
    ProcessName::new("api").unwrap()
}

/// Waits for a state.
pub async fn until(handle: &Handle, what: &str, is_so: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    let mut snapshots = handle.snapshots();
    match tokio::time::timeout(PATIENCE, snapshots.wait_for(is_so)).await {
        Ok(snapshot) => snapshot.unwrap().clone(),
        Err(_) => panic!("waited in vain until {what}: {:?}", handle.snapshot()),
    }
}

/// Returns a process that runs a script, restarted never unless the test says otherwise.
pub fn shell(script: &str) -> ProcessConfig {
    let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let mut config = ProcessConfig::new(Command::Words(words), "/".into());
    config.restart = restart(RestartWhen::Never);
    config
}

pub fn restart(when: RestartWhen) -> RestartPolicy {
    RestartPolicy { when, backoff_first: Duration::from_millis(1), ..RestartPolicy::default() }
}

/// Returns a process that is this program and obeys.
pub fn obedient() -> ProcessConfig {
    let me = std::env::current_exe().unwrap().display().to_string();
    let words = [&me, "--exact", "as_a_child", "--nocapture"].map(str::to_owned).to_vec();
    let mut config = ProcessConfig::new(Command::Words(words), "/".into());
    config.env = EnvVars(BTreeMap::from([(CHILD.to_owned(), "1".to_owned())]));
    config.restart = restart(RestartWhen::Never);
    config
}

/// What this program does when it is a child; as a test it does nothing.
pub fn obey() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    if let Ok(text) = std::env::var(SAY) {
        say(&text);
        std::process::exit(0);
    }
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("say", text) => say(text),
            // By a process that is gone before anybody can look who it was.
            ("send", text) => {
                let mut command = std::process::Command::new(std::env::current_exe().unwrap());
                command.args(["--exact", "as_a_child"]).env(SAY, text).status().unwrap();
            }
            // As much as the socket takes, for as long as the process lives.
            ("flood", text) => {
                let text = text.to_owned();
                std::thread::spawn(move || {
                    for number in 0u64.. {
                        say(&format!("STATUS={text} {number}"));
                    }
                });
            }
            ("exit", code) => std::process::exit(code.parse().unwrap()),
            (other, _) => panic!("{other}?"),
        }
    }
    std::process::exit(0);
}

fn say(text: &str) {
    let path = std::env::var_os("NOTIFY_SOCKET").expect("a child that may speak");
    let text = text.replace('|', "\n").replace("%PID", &std::env::var("WATCHDOG_PID").unwrap_or_default());
    UnixDatagram::unbound().unwrap().send_to(text.as_bytes(), path).unwrap();
}
