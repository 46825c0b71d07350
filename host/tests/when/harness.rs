//! A project of its own for each test, with a daemon of its own that goes with it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use ostler::store::{AuditRecord, Catalogue};
use serde_json::Value;

/// Longest wait for anything; reached only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct Project {
    dir: tempfile::TempDir,
}

/// What a command did.
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Project {
    pub fn new(config: &str) -> Self {
        // Its paths are short, because a socket's path is bounded.
        let dir = tempfile::Builder::new().prefix("ost").tempdir_in("/tmp").unwrap();
        for name in ["project", "state", "run", "config"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let project = Self { dir };
        fs::write(project.path("ostler.toml"), config).unwrap();
        project
    }

    /// Returns the path of a file of the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("project").join(name)
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ostler"));
        command
            .args(arguments)
            .current_dir(self.path("."))
            .env("OSTLER_STATE_DIR", self.dir.path().join("state"))
            .env("XDG_RUNTIME_DIR", self.dir.path().join("run"))
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("NO_COLOR", "1")
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

    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// Returns a process as `ps` shows it.
    pub fn process(&self, name: &str) -> Value {
        let views = self.json(&["ps", "--json"]);
        views.as_array().unwrap().iter().find(|view| view["name"] == name).unwrap().clone()
    }

    /// Looks at a process until `is_so`, and returns it as it is then. Does `meanwhile` after each look in vain.
    pub fn until(&self, name: &str, is_so: impl Fn(&Value) -> bool, mut meanwhile: impl FnMut()) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let view = self.process(name);
            if is_so(&view) {
                return view;
            }
            assert!(Instant::now() < deadline, "{view}\n{}", self.ok(&["logs", name]));
            meanwhile();
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the lines that Ostler itself has put into the log of a process.
    pub fn remarks(&self, name: &str) -> Vec<String> {
        let lines = self.ok(&["logs", name, "--json", "-n", "1000"]);
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["stream"] == "ostler")
            .map(|line| line["text"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits for a remark that contains `text`.
    pub fn until_remark(&self, name: &str, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let remarks = self.remarks(name);
            if let Some(remark) = remarks.iter().find(|remark| remark.contains(text)) {
                return remark.clone();
            }
            assert!(Instant::now() < deadline, "no {text:?} in {remarks:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the audit log has an act upon a process that no caller had asked for, and returns it.
    pub fn until_audited(&self, actor: &str, verb: &str, process: &str) -> AuditRecord {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.audited(actor, verb, process) {
                return found;
            }
            assert!(Instant::now() < deadline, "no {verb} of {process} by {actor}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the last such act, if there was one.
    pub fn audited(&self, actor: &str, verb: &str, process: &str) -> Option<AuditRecord> {
        let status = self.json(&["status", "--json"]);
        let catalogue = PathBuf::from(status["state_dir"].as_str().unwrap()).join("catalogue.sqlite");
        let entries = Catalogue::open(&catalogue).unwrap().audit(1000).unwrap();
        entries.into_iter().find(|entry| {
            (entry.surface.as_str(), entry.caller.as_str()) == ("daemon", actor)
                && (entry.verb.as_str(), entry.target.as_str()) == (verb, process)
        })
    }

    /// Returns why the runs of a process were started, newest first.
    pub fn reasons(&self, name: &str) -> Vec<String> {
        let diagnosis = self.json(&["diagnose", name, "--json"]);
        let runs = diagnosis["runs"].as_array().unwrap().iter();
        runs.map(|run| run["reason"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
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
