//! A project in a directory of its own, its daemon, and looks at both from outside.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Longest wait for anything; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that counts, and writes down in a file `told` how far it has come.
pub const TELLER: &str = "[process.teller]\n\
    command = \"i=0; while :; do i=$((i+1)); echo line $i; echo $i > told; sleep 0.02; done\"\n\
    shell = true\nrestart = \"never\"\n";

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

pub fn lives(pid: i64) -> bool {
    // A zombie has ended.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

pub fn kill(pid: i64, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

pub fn parent_of(pid: i64) -> i64 {
    field_of(pid, 4)
}

/// When a process was started, in ticks since boot.
pub fn start_of(pid: i64) -> i64 {
    field_of(pid, 22)
}

/// A field of `/proc/PID/stat` by its number in `proc_pid_stat(5)`; those up to the name are not had.
fn field_of(pid: i64, number: usize) -> i64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(number - 3).unwrap().parse().unwrap()
}

/// What a command did.
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

pub struct Project {
    pub dir: tempfile::TempDir,
}

impl Project {
    pub fn new(config: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("ost").tempdir_in("/tmp").unwrap();
        for name in ["project", "state", "run", "config"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("project/ostler.toml"), config).unwrap();
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a file in the project's directory, which its processes wait for.
    pub fn touch(&self, name: &str) {
        fs::write(self.path("project").join(name), "").unwrap();
    }

    pub fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path("project"))
            .env("OSTLER_STATE_DIR", self.path("state"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        command
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_ostler")), arguments)
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        let output = self.command(arguments).output().unwrap();
        Done {
            code: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, 0, "ostler {arguments:?}: {}{}", done.stdout, done.stderr);
        done.stdout
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    pub fn status(&self) -> Value {
        self.json(&["status", "--json"])
    }

    pub fn daemon(&self) -> Option<i64> {
        self.status()["daemon"]["pid"].as_i64()
    }

    /// Kills the daemon as a crash would, and waits until it is gone.
    pub fn crash(&self) {
        let pid = self.daemon().expect("a daemon");
        kill(pid, Signal::KILL);
        eventually("the daemon is gone", || (!lives(pid)).then_some(()));
    }

    pub fn process(&self, name: &str) -> Value {
        let views = self.json(&["ps", "--json"]);
        let found = views.as_array().unwrap().iter().find(|view| view["name"] == name).cloned();
        found.unwrap_or_else(|| panic!("{name} is not there: {views}"))
    }

    pub fn pid_of(&self, name: &str) -> i64 {
        let view = self.process(name);
        view["pid"].as_i64().unwrap_or_else(|| panic!("{name} does not run: {view}"))
    }

    /// Waits until a process is in a state, and returns it as `ps` shows it.
    pub fn until(&self, name: &str, state: &str) -> Value {
        eventually(&format!("{name} is {state}"), || {
            Some(self.process(name)).filter(|view| view["state"] == state)
        })
    }

    /// Waits for a line in the whole log.
    pub fn until_logged(&self, text: &str) {
        eventually(text, || self.ok(&["logs"]).contains(text).then_some(()));
    }

    /// Returns what is in the log of a process, oldest first.
    pub fn lines(&self, name: &str) -> Vec<Value> {
        let lines = self.ok(&["logs", name, "--json", "-n", "10000"]);
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Asserts that the lines of a process that counts from 1 are all there, each once and in order; returns how many.
    pub fn count(&self, name: &str) -> usize {
        let lines = self.lines(name);
        let printed = lines.iter().filter(|line| line["stream"] == "stdout");
        let printed: Vec<&str> = printed.map(|line| line["text"].as_str().unwrap()).collect();
        let expected: Vec<String> = (1..=printed.len()).map(|number| format!("line {number}")).collect();
        assert_eq!(printed, expected, "lines are missing, or there twice");
        printed.len()
    }

    /// The project's state directory.
    pub fn state(&self) -> PathBuf {
        PathBuf::from(self.status()["state_dir"].as_str().unwrap())
    }

    /// The catalogue, to be looked into or tampered with while no daemon runs.
    pub fn catalogue(&self) -> Connection {
        Connection::open(self.state().join("catalogue.sqlite")).unwrap()
    }

    pub fn mcp(&self) -> Agent {
        let mut child = self.command(&["mcp"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, messages) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let message = serde_json::from_str(&line).expect("nothing but JSON on standard output");
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        Agent { child, messages, last_id: 0 }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// An agent with `ostler mcp`.
pub struct Agent {
    child: Child,
    messages: Receiver<Value>,
    last_id: u64,
}

impl Agent {
    pub fn write(&mut self, message: &Value) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(format!("{message}\n").as_bytes()).unwrap();
    }

    pub fn send(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        self.write(&json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}));
        self.last_id
    }

    pub fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.messages.recv_timeout(PATIENCE).expect("an answer");
            if message["id"] == id {
                return message;
            }
            assert!(message.get("id").is_none(), "an answer that nobody waits for: {message}");
        }
    }

    pub fn initialize(&mut self) {
        let client = json!({"name": "by-hand", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        let id = self.send("initialize", params);
        assert!(self.answer(id)["result"].is_object());
        self.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    }

    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let id = self.send("tools/call", json!({"name": tool, "arguments": arguments}));
        self.answer(id)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
