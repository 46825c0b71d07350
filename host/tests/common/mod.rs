//! What tests of the built `ostler` share: a project with state and daemon of its own, the commands in it, an agent,
//! and waiting for what is to become so.

#![allow(dead_code, reason = "each test program uses a part of it")]

mod agent;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub use agent::Agent;

/// Far longer than anything here takes: reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A project in a directory of its own, whose daemon is taken down in the end. Its paths are short, because a socket's
/// path is bounded.
pub struct Project {
    dir: tempfile::TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Project {
    /// Makes a project without `ostler.toml`.
    pub fn bare() -> Self {
        let dir = tempfile::Builder::new().prefix("ost").tempdir_in("/tmp").unwrap();
        for name in ["project", "state", "run", "config"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    pub fn new(config: &str) -> Self {
        let project = Self::bare();
        project.write("ostler.toml", config);
        project
    }

    /// Makes a project, and brings it up.
    pub fn up(config: &str) -> Self {
        let project = Self::new(config);
        project.ok(&["up", "-d"]);
        project
    }

    /// Returns a path beside the project's directory, which is `project`: `state`, `run` and `config` are those of the
    /// environment.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the path of a file of the project.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path("project").join(name)
    }

    /// Writes a file of the project, as most editors do: beside it, and then in its place.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let beside = path.with_extension("swp");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, path).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_ostler")), arguments)
    }

    /// Returns the command of another program than the built one.
    pub fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path("project"))
            .env("OSTLER_STATE_DIR", self.path("state"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("NO_COLOR", "1")
            .env_remove("CLICOLOR_FORCE")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("TERM")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Done {
        Done::from(self.command(arguments).output().unwrap())
    }

    /// Runs a command that is to succeed, and returns what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, 0, "ostler {arguments:?}: {}{}", done.stdout, done.stderr);
        done.stdout
    }

    /// Runs a command that is to end with `code`, and returns all that it printed.
    pub fn shown(&self, arguments: &[&str], code: i32) -> String {
        let done = self.run(arguments);
        let shown = [done.stdout, done.stderr].concat();
        assert_eq!(done.code, code, "ostler {arguments:?}: {shown}");
        shown
    }

    /// Runs a command that is to succeed and prints JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// Runs a command that prints JSON, whatever its exit code.
    pub fn told(&self, arguments: &[&str]) -> Value {
        let done = self.run(arguments);
        serde_json::from_str(&done.stdout)
            .unwrap_or_else(|error| panic!("{error}: {arguments:?} {}", done.stderr))
    }

    /// Returns a process as `ps` has it, if it has it.
    pub fn view(&self, name: &str) -> Option<Value> {
        let views = self.json(&["ps", "--json"]);
        views.as_array().unwrap().iter().find(|view| view["name"] == name).cloned()
    }

    /// Returns a process as `ps` shows it.
    pub fn process(&self, name: &str) -> Value {
        self.view(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    pub fn pid_of(&self, name: &str) -> i64 {
        let view = self.process(name);
        view["pid"].as_i64().unwrap_or_else(|| panic!("{name} does not run: {view}"))
    }

    /// Returns the daemon's pid, if there is a daemon.
    pub fn daemon(&self) -> Option<i64> {
        self.json(&["status", "--json"])["daemon"]["pid"].as_i64()
    }

    /// Kills the daemon as a crash would, and waits until it is gone; the next command starts another.
    pub fn crash(&self) {
        let pid = self.daemon().expect("a daemon");
        kill(pid, Signal::KILL);
        until("the daemon is gone", || !lives(pid));
    }

    /// Returns the project's state directory.
    pub fn state(&self) -> PathBuf {
        PathBuf::from(self.json(&["status", "--json"])["state_dir"].as_str().unwrap())
    }

    /// Connects as an agent does, with options of `ostler mcp`.
    pub fn agent(&self, options: &[&str]) -> Agent {
        Agent::start(self.command(&[&["mcp"], options].concat()))
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // A configuration that a test broke would keep a daemon from starting that is to stop what is left.
        let _ = self.command(&["down"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Returns whether a process runs; one that has ended counts as gone, whoever is to wait for it.
pub fn lives(pid: i64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

pub fn kill(pid: i64, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    eventually(what, || so().then_some(()));
}

/// Waits until a look finds something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
