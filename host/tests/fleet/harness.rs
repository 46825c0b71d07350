//! A project with a daemon of its own, driven through the built `ostler`, and an agent that speaks to it by hand.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use ostler::store::{AuditRecord, Catalogue};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Longest wait for anything; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A project in a directory of its own. Its paths are short, because a socket's path is bounded.
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
    /// Makes a project without `ostler.toml`.
    pub fn bare() -> Self {
        let dir = tempfile::Builder::new().prefix("ost").tempdir_in("/tmp").unwrap();
        for name in ["project", "state", "run", "config"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    /// Makes a project, and brings it up.
    pub fn up(config: &str) -> Self {
        let project = Self::bare();
        project.write(config);
        project.ok(&["up", "-d"]);
        project
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("project/ostler.toml")
    }

    /// Writes the configuration as most editors do: beside it, and then in its place.
    pub fn write(&self, config: &str) {
        let beside = self.dir.path().join("project/.ostler.toml.swp");
        fs::write(&beside, config).unwrap();
        fs::rename(beside, self.config()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ostler"));
        command
            .args(arguments)
            .current_dir(self.dir.path().join("project"))
            .env("OSTLER_STATE_DIR", self.dir.path().join("state"))
            .env("XDG_RUNTIME_DIR", self.dir.path().join("run"))
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Done {
        let output = self.command(arguments).output().unwrap();
        Done {
            code: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
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

    /// Returns the names in `ps`.
    pub fn names(&self) -> Vec<String> {
        let views = self.json(&["ps", "--json"]);
        views.as_array().unwrap().iter().map(|view| view["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns a process as `ps` has it, if it has it.
    pub fn view(&self, name: &str) -> Option<Value> {
        let views = self.json(&["ps", "--json"]);
        views.as_array().unwrap().iter().find(|view| view["name"] == name).cloned()
    }

    pub fn pid(&self, name: &str) -> i64 {
        let view = self.view(name).unwrap_or_else(|| panic!("there is no {name}"));
        view["pid"].as_i64().unwrap_or_else(|| panic!("{name} does not run: {view}"))
    }

    /// Returns how often a process was started.
    pub fn runs(&self, name: &str) -> usize {
        self.json(&["diagnose", name, "--json"])["runs"].as_array().unwrap().len()
    }

    /// Returns what is wrong with the daemon.
    pub fn warnings(&self) -> String {
        self.json(&["status", "--json"])["daemon"]["warnings"].to_string()
    }

    /// Returns what the daemon has written down of itself.
    pub fn daemon_log(&self) -> String {
        let status = self.json(&["status", "--json"]);
        fs::read_to_string(status["log"].as_str().unwrap()).unwrap()
    }

    /// Returns the audit log.
    pub fn audit(&self) -> Vec<AuditRecord> {
        let status = self.json(&["status", "--json"]);
        let catalogue = Path::new(status["state_dir"].as_str().unwrap()).join("catalogue.sqlite");
        Catalogue::open(&catalogue).unwrap().audit(100).unwrap()
    }

    /// Kills the daemon; the next command starts another.
    pub fn kill_daemon(&self) {
        let pid = self.json(&["status", "--json"])["daemon"]["pid"].as_i64().unwrap();
        kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
        until("the daemon is gone", || !lives(pid));
    }

    /// Connects as an agent does.
    pub fn agent(&self) -> Agent {
        let mut child = self
            .command(&["mcp", "--toolsets", "all"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut agent = Agent { input: child.stdin.take().unwrap(), child, output, last_id: 0 };
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "by-hand", "version": "1"},
        });
        agent.request("initialize", hello);
        agent.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized", "params": {}}));
        agent
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// An agent at the other end of `ostler mcp`.
pub struct Agent {
    input: ChildStdin,
    child: Child,
    output: BufReader<ChildStdout>,
    last_id: u64,
}

impl Agent {
    fn write(&mut self, message: &Value) {
        writeln!(self.input, "{message}").unwrap();
        self.input.flush().unwrap();
    }

    fn request(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        self.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "no answer to {method}");
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == id {
                return message["result"].clone();
            }
        }
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// Calls a tool that must succeed, and returns its structured content.
    pub fn ok(&mut self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments);
        assert_eq!(result["isError"], false, "{tool}: {result}");
        result["structuredContent"].clone()
    }

    /// Calls a tool that must fail, and returns the text the agent gets.
    pub fn failed(&mut self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments);
        assert_eq!(result["isError"], true, "{tool}: {result}");
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns whether a process runs; one that has ended counts as gone, whoever is to wait for it.
pub fn lives(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

/// Waits until something is so.
pub fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "not so in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that prints its name, waits, and says farewell.
pub fn speaker(name: &str) -> String {
    format!(
        "[process.{name}]\nshell = true\nready = {{ log = \"^up\" }}\n\
         command = \"trap 'echo down $OSTLER_PROCESS; exit 0' TERM; echo up $OSTLER_PROCESS; while :; do read line; done\"\n"
    )
}
