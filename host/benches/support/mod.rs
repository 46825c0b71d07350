//! What the benchmarks share: a project with a real daemon, its socket, and figures.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ostler::api::{Request, Response};

/// Prints one figure in the form all benchmarks end with.
pub fn figure(name: &str, value: f64, unit: &str) {
    println!("figure {name} {value:.3} {unit}");
}

/// Returns whether `--quick` was given: smaller counts, done within a minute.
pub fn quick() -> bool {
    std::env::args().any(|argument| argument == "--quick")
}

/// Returns the value at `fraction` of the sorted samples, in milliseconds.
pub fn percentile(samples: &mut [Duration], fraction: f64) -> f64 {
    samples.sort_unstable();
    let index = ((samples.len() as f64 * fraction).ceil() as usize).clamp(1, samples.len()) - 1;
    samples[index].as_secs_f64() * 1e3
}

/// A project in a temporary directory, looked after by a daemon of its own.
pub struct Project {
    pub dir: tempfile::TempDir,
    daemon: Child,
    client: Client,
}

/// A connection to a project's daemon.
pub struct Client {
    socket: BufReader<UnixStream>,
}

impl Project {
    /// Writes `config` as `ostler.toml` and starts a daemon for it.
    pub fn start(config: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("osb").tempdir_in("/tmp").expect("a temporary directory");
        let project = dir.path().join("project");
        std::fs::create_dir(&project).expect("a project directory");
        std::fs::write(project.join("ostler.toml"), config).expect("a configuration");
        let (daemon, client) = start_daemon(dir.path());
        Self { dir, daemon, client }
    }

    /// Kills the daemon and starts the next one, which can be asked when this returns.
    pub fn replace_daemon(&mut self) {
        self.daemon.kill().expect("the daemon can be killed");
        self.daemon.wait().expect("it is our child");
        (self.daemon, self.client) = start_daemon(self.dir.path());
    }

    /// Returns another connection to the same daemon.
    pub fn connect(&self) -> Client {
        connect(&self.dir.path().join("ostler"), self.dir.path())
    }

    /// Sends a request and returns its answer.
    pub fn ask(&mut self, request: &Request) -> Response {
        self.client.ask(request)
    }

    /// Returns the pid of the daemon.
    pub fn daemon_pid(&self) -> u32 {
        self.daemon.id()
    }

    /// Returns a path in the temporary directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the most memory the daemon has had since it began or this was asked last: its own, and of files it has
    /// mapped, in bytes.
    pub fn take_memory_peak(&self) -> u64 {
        let directory = PathBuf::from(format!("/proc/{}", self.daemon_pid()));
        let status = std::fs::read_to_string(directory.join("status")).expect("the daemon's status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kibibytes: u64 = peak.trim_end_matches("kB").trim().parse().expect("a number");
        // As proc(5) has it: 5 begins the peak anew.
        std::fs::write(directory.join("clear_refs"), "5").expect("the daemon is ours");
        kibibytes << 10
    }
}

/// Processor seconds that each thread of a process has taken, by the thread's name; under `children`, what its ended
/// children have, and theirs.
pub fn cpu_seconds(pid: u32) -> BTreeMap<String, f64> {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    let mut seconds = BTreeMap::new();
    for task in std::fs::read_dir(directory.join("task")).expect("the daemon's threads").flatten() {
        // A thread may end while it is looked at.
        let Ok(name) = std::fs::read_to_string(task.path().join("comm")) else { continue };
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        *seconds.entry(name.trim().to_owned()).or_default() += stat_seconds(&stat, [14, 15]);
    }
    let stat = std::fs::read_to_string(directory.join("stat")).expect("the daemon's times");
    seconds.insert("children".to_owned(), stat_seconds(&stat, [16, 17]));
    seconds
}

/// Adds two fields of proc(5)'s `stat`, by their numbers there; they count hundredths of a second, as `USER_HZ` is on
/// all of Linux's common platforms.
fn stat_seconds(stat: &str, numbers: [usize; 2]) -> f64 {
    let (_, after_name) = stat.rsplit_once(')').expect("a name in parentheses");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |number: usize| fields[number - 3].parse::<f64>().expect("a count");
    numbers.into_iter().map(field).sum::<f64>() / 100.0
}

impl Client {
    /// Sends a request and returns its answer.
    pub fn ask(&mut self, request: &Request) -> Response {
        let mut line = serde_json::to_string(request).expect("a request");
        line.push('\n');
        self.write(&line);
        serde_json::from_str(&self.read()).expect("an answer")
    }

    fn write(&mut self, line: &str) {
        self.socket.get_mut().write_all(line.as_bytes()).expect("the daemon's socket");
    }

    fn read(&mut self) -> String {
        let mut line = String::new();
        self.socket.read_line(&mut line).expect("the daemon's socket");
        line
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.ask(&Request::Down { shutdown: true });
        let _ = self.daemon.wait();
    }
}

/// Starts a daemon for the project in `dir` and connects to it.
fn start_daemon(dir: &Path) -> (Child, Client) {
    let daemon = Command::new(env!("CARGO_BIN_EXE_ostler"))
        .arg("-C")
        .arg(dir.join("project"))
        .arg("daemon")
        .env("OSTLER_STATE_DIR", dir.join("state"))
        .env("XDG_RUNTIME_DIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.join("daemon.err")).expect("a file"))
        .spawn()
        .expect("a daemon");
    (daemon, connect(&dir.join("ostler"), dir))
}

fn connect(runtime: &Path, dir: &Path) -> Client {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let sockets = std::fs::read_dir(runtime).into_iter().flatten().flatten();
        let stream =
            sockets.map(|entry| UnixStream::connect(entry.path().join("daemon"))).find_map(Result::ok);
        if let Some(stream) = stream {
            let mut client = Client { socket: BufReader::new(stream) };
            client.write("{\"hello\":\"cli\",\"version\":\"0.1.0\"}\n");
            client.read();
            return client;
        }
        let said = || std::fs::read_to_string(dir.join("daemon.err")).unwrap_or_default();
        assert!(Instant::now() < deadline, "the daemon did not come up: {}", said());
        std::thread::sleep(Duration::from_millis(1));
    }
}
