//! A project of its own for each test, driven as a person does it: through the built `ostler` and nothing else.
//!
//! Owns the directories, the environment, and the end of everything that was started: when a project is dropped,
//! `ostler down` must leave no process of it behind. Never waits without a deadline, and never looks into Ostler's
//! state to learn what a command could tell.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::shown::{Exit, Line, View};

/// Variable that marks every process of a project.
const MARK: &str = "OSTLER_TEST";
/// Time for a command, or for something to become so: far longer than either takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(90);
/// Pause between two looks at something.
const LOOK: Duration = Duration::from_millis(20);
/// Lines a [`Follower`] asks for at once.
const PAGE: &str = "20000";

/// A temporary project. See the module.
pub struct Project {
    dir: TempDir,
    state_dir: PathBuf,
    ostler: PathBuf,
    misbehave: PathBuf,
}

/// What a command has left behind.
#[derive(Debug)]
pub struct Finished {
    /// The command line.
    pub line: String,
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Project {
    /// Makes a project without processes. `misbehave` is `env!("CARGO_BIN_EXE_misbehave")` of the test: beside it
    /// lies the `ostler` under test, unless `OSTLER_BIN` names another.
    pub fn new(misbehave: &str) -> Self {
        let dir = short_dir();
        let state_dir = dir.path().join("state");
        Self::make(misbehave, dir, state_dir)
    }

    /// Makes a project whose state is kept in `state_dir`.
    pub fn with_state(misbehave: &str, state_dir: &Path) -> Self {
        Self::make(misbehave, short_dir(), state_dir.to_owned())
    }

    fn make(misbehave: &str, dir: TempDir, state_dir: PathBuf) -> Self {
        let misbehave = PathBuf::from(misbehave);
        let ostler =
            std::env::var_os("OSTLER_BIN").map_or_else(|| misbehave.with_file_name("ostler"), PathBuf::from);
        for program in [&ostler, &ostler.with_file_name("ostler-shim")] {
            assert!(program.is_file(), "{} is not built: run `cargo test --workspace`", program.display());
        }
        for name in ["home", "run"] {
            fs::create_dir(dir.path().join(name)).expect("a directory in a new one");
        }
        fs::write(dir.path().join("ostler.toml"), "").expect("a file in a new directory");
        Self { dir, state_dir, ostler, misbehave }
    }

    /// Adds a process that misbehaves as `how` says, and is not started again. `settings` are further lines of its
    /// table in `ostler.toml`.
    #[must_use]
    pub fn process(self, name: &str, how: &str, settings: &str) -> Self {
        let program = self.misbehave.display().to_string();
        let pid_file = pid_file(name);
        let words = [program.as_str(), "--pid-file", &pid_file].into_iter().chain(how.split_whitespace());
        let command: Vec<String> = words.map(|word| format!("{word:?}")).collect();
        self.table(name, &format!("command = [{}]\n{settings}", command.join(", ")))
    }

    /// Adds a process that runs a script of the shell, in which `misbehave HOW` misbehaves, and is not started again.
    #[must_use]
    pub fn script(self, name: &str, script: &str, settings: &str) -> Self {
        let program = format!("{} --pid-file {}", self.misbehave.display(), pid_file(name));
        let script = script.replace("misbehave", &program);
        self.table(name, &format!("command = {script:?}\nshell = true\n{settings}"))
    }

    fn table(self, name: &str, settings: &str) -> Self {
        let path = self.dir.path().join("ostler.toml");
        let mut file = OpenOptions::new().append(true).open(&path).expect("the file made with the project");
        writeln!(file, "[process.{name}]\nrestart = \"never\"\n{settings}\n")
            .expect("a write to a small file");
        self
    }

    /// Returns the project's `ostler.toml`.
    pub fn config_file(&self) -> PathBuf {
        self.dir.path().join("ostler.toml")
    }

    /// Returns the directory of the project.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs `ostler` with these arguments.
    ///
    /// # Panics
    /// When it does not end in time, and where it prints what is not UTF-8.
    pub fn run(&self, args: &[&str]) -> Finished {
        self.run_with_input(args, b"")
    }

    /// Runs `ostler` with these arguments and this standard input.
    ///
    /// # Panics
    /// As [`Project::run`].
    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Finished {
        self.try_run(args, input).unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Runs `ostler` with these arguments and this standard input; an error says that it cannot, or does not end.
    pub fn try_run(&self, args: &[&str], input: &[u8]) -> Result<Finished, String> {
        let line = format!("ostler {}", args.join(" "));
        let mut child = self.command(args).spawn().map_err(|error| format!("{line}: {error}"))?;
        let (pid, stdin, input) = (child.id(), child.stdin.take(), input.to_vec());
        // A command that does not want its input is free not to read it.
        thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        let (sender, outputs) = channel();
        thread::spawn(move || sender.send(child.wait_with_output()));
        let Ok(output) = outputs.recv_timeout(DEADLINE) else {
            kill(pid);
            return Err(format!("`{line}` has not ended within {DEADLINE:?}"));
        };
        let output = output.map_err(|error| format!("{line}: {error}"))?;
        let text =
            |bytes| String::from_utf8(bytes).map_err(|_| format!("`{line}` printed what is not UTF-8"));
        Ok(Finished {
            code: output.status.code(),
            stdout: text(output.stdout)?,
            stderr: text(output.stderr)?,
            line,
        })
    }

    /// Starts `ostler` with these arguments, for a test that does not want to wait.
    pub fn begin(&self, args: &[&str]) -> std::io::Result<std::process::Child> {
        self.command(args).stdin(Stdio::null()).stdout(Stdio::null()).spawn()
    }

    /// Returns the directory that was given as `OSTLER_STATE_DIR`.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Returns the text by which processes of this project can be told: what all that inherit their environment have
    /// in it.
    pub fn mark(&self) -> String {
        format!("{MARK}={}", self.dir.path().display())
    }

    fn command(&self, args: &[&str]) -> Command {
        let dir = self.dir.path();
        let mut command = Command::new(&self.ostler);
        command
            .args(args)
            .current_dir(dir)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", dir.join("home"))
            .env("XDG_RUNTIME_DIR", dir.join("run"))
            .env("OSTLER_STATE_DIR", &self.state_dir)
            .env("OSTLER_LOG", "ostler=debug")
            .env(MARK, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command that must succeed.
    pub fn ok(&self, args: &[&str]) -> Finished {
        self.run(args).expect_code(0)
    }

    /// Returns what `ps` shows of a process.
    pub fn view(&self, name: &str) -> View {
        let views: Vec<View> = self.ok(&["ps", "--json"]).json();
        views.into_iter().find(|view| view.name == name).unwrap_or_else(|| panic!("`ps` shows no `{name}`"))
    }

    /// Returns the pid of a process that runs.
    pub fn pid(&self, name: &str) -> u32 {
        let view = self.view(name);
        view.pid.unwrap_or_else(|| panic!("it does not run: {view:?}"))
    }

    /// Returns the lines of a process, 100,000 at most.
    pub fn lines(&self, name: &str) -> Vec<Line> {
        self.ok(&["logs", name, "--json", "--since", "1h"]).json_lines()
    }

    /// Waits until a process has printed a line that matches.
    pub fn wait_log(&self, name: &str, pattern: &str) {
        self.ok(&["wait", name, "--log", pattern, "--timeout", "80s"]);
    }

    /// Waits until a process has ended, and returns how.
    pub fn wait_exit(&self, name: &str) -> Exit {
        self.ok(&["wait", name, "--exit", "--timeout", "80s"]);
        let view = self.view(name);
        view.exit.unwrap_or_else(|| panic!("nobody knows how it ended: {view:?}"))
    }

    /// Returns a reader of all that a process prints from now on. Starts the daemon.
    pub fn follow(&self, name: &str) -> Follower<'_> {
        self.follower(&[name])
    }

    /// Returns a reader of all that all processes print from now on. Starts the daemon.
    pub fn follow_all(&self) -> Follower<'_> {
        self.follower(&[])
    }

    fn follower(&self, names: &[&str]) -> Follower<'_> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let mut follower = Follower { project: self, names, cursor: None };
        follower.next_page();
        follower
    }

    /// Returns the pids that a process and what it forked have written down.
    pub fn pids(&self, name: &str) -> Vec<u32> {
        let path = self.dir.path().join(pid_file(name));
        let text = fs::read_to_string(&path).unwrap_or_default();
        text.lines().map(|line| line.parse().expect("a pid on each line")).collect()
    }

    /// Returns what `status` knows of the daemon; null while none runs.
    pub fn daemon(&self) -> serde_json::Value {
        let mut status: serde_json::Value = self.ok(&["status", "--json"]).json();
        status["daemon"].take()
    }

    /// Returns what `status` warns of.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.daemon()["warnings"].take();
        serde_json::from_value(warnings).expect("warnings are a list of texts")
    }

    /// Returns the daemon's log, which says more than usual.
    pub fn daemon_log(&self) -> String {
        let status: serde_json::Value = self.ok(&["status", "--json"]).json();
        fs::read_to_string(status["log"].as_str().unwrap_or_default()).unwrap_or_default()
    }

    /// Ends the daemon with SIGKILL and returns once it is gone.
    pub fn kill_daemon(&self) {
        let daemon = self.daemon();
        let pid = daemon["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        let pid = pid.unwrap_or_else(|| panic!("no daemon runs: {daemon}"));
        assert!(self.processes().contains(&pid), "pid {pid} is not a process of this test");
        kill(pid);
        eventually("the daemon is gone", || if is_alive(pid) { Err(format!("pid {pid}")) } else { Ok(()) });
    }

    /// Returns the living processes of the project, however they detached themselves. Shims have no environment, but
    /// their run's directory among their arguments.
    fn processes(&self) -> Vec<u32> {
        let mark = format!("{}\0", self.mark());
        let state = self.state_dir.display().to_string();
        let has = |pid: u32, file: &str, text: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            bytes.windows(text.len()).any(|part| part == text.as_bytes())
        };
        let entries = fs::read_dir("/proc").expect("Linux has /proc").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|&pid| has(pid, "environ", &mark) || has(pid, "cmdline", &state))
            .filter(|&pid| pid != std::process::id() && is_alive(pid))
            .collect()
    }

    /// Takes everything down; an error tells what went wrong.
    fn take_down(&self) -> Result<(), String> {
        let down = self.try_run(&["down"], b"");
        let until = Instant::now() + Duration::from_secs(10);
        let mut left = self.processes();
        while !left.is_empty() && Instant::now() < until {
            thread::sleep(LOOK);
            left = self.processes();
        }
        let named: Vec<String> = left.iter().map(|&pid| describe(pid)).collect();
        left.into_iter().for_each(kill);
        match down? {
            down if down.code != Some(0) => Err(format!("`ostler down` failed: {down:?}")),
            _ if !named.is_empty() => Err(format!("`ostler down` has left behind: {}", named.join(", "))),
            _ => Ok(()),
        }
    }

    /// Returns the end of the daemon's log, for the reader of a failure.
    fn last_words(&self) -> String {
        let dirs = fs::read_dir(&self.state_dir).into_iter().flatten().flatten();
        let logs = dirs.filter_map(|dir| fs::read_to_string(dir.path().join("daemon.log")).ok());
        logs.fold(String::new(), |mut text, log| {
            let lines: Vec<&str> = log.lines().collect();
            let _ = writeln!(text, "{}", lines[lines.len().saturating_sub(30)..].join("\n"));
            text
        })
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let log = self.last_words();
        match self.take_down() {
            Ok(()) if thread::panicking() => eprintln!("the daemon's log ends with:\n{log}"),
            Ok(()) => {}
            Err(problem) if thread::panicking() => eprintln!("{problem}\nthe daemon's log ends with:\n{log}"),
            Err(problem) => panic!("{problem}\nthe daemon's log ends with:\n{log}"),
        }
    }
}

/// Reads the log page by page, each from the cursor of the one before.
pub struct Follower<'p> {
    project: &'p Project,
    names: Vec<String>,
    cursor: Option<String>,
}

impl Follower<'_> {
    /// Returns the next lines; none when there are none yet.
    pub fn next_page(&mut self) -> Vec<Line> {
        let mut args = vec!["logs", "--json", "--show-cursor"];
        args.extend(self.names.iter().map(String::as_str));
        match &self.cursor {
            Some(cursor) => args.extend(["-n", PAGE, "--since", cursor]),
            None => args.extend(["-n", "0"]),
        }
        let finished = self.project.ok(&args);
        let (_, cursor) = finished.stderr.rsplit_once("cursor ").expect("`--show-cursor` shows a cursor");
        self.cursor = Some(cursor.trim().to_owned());
        finished.json_lines()
    }
}

impl Finished {
    /// Returns itself if the command has ended with this code.
    ///
    /// # Panics
    /// Otherwise, with all it printed.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        let Self { line, stdout, stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "`{line}` printed:\n{stdout}\nand on standard error:\n{stderr}");
        self
    }

    /// Returns what it printed as JSON.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        parse(&self.line, &self.stdout)
    }

    /// Returns what it printed as one JSON value a line.
    #[track_caller]
    pub fn json_lines<T: DeserializeOwned>(&self) -> Vec<T> {
        self.stdout.lines().map(|text| parse(&self.line, text)).collect()
    }
}

#[track_caller]
fn parse<T: DeserializeOwned>(line: &str, text: &str) -> T {
    let shown: String = text.chars().take(500).collect();
    serde_json::from_str(text).unwrap_or_else(|error| panic!("`{line}` printed {shown:?}: {error}"))
}

/// Returns what `look` finds once it finds it.
///
/// # Panics
/// When time is over, with what was seen last.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if Instant::now() >= until => {
                panic!("not within {DEADLINE:?}: {what}; last seen: {seen}")
            }
            Err(_) => thread::sleep(LOOK),
        }
    }
}

/// Returns whether a process exists and is more than a zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before the state may hold anything, parentheses included (`proc_pid_stat(5)`).
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn kill(pid: u32) {
    // SAFETY: takes numbers only.
    unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) };
}

fn describe(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!("pid {pid} ({})", String::from_utf8_lossy(&words).replace('\0', " ").trim())
}

fn pid_file(name: &str) -> String {
    format!("{name}.pids")
}

/// Makes a directory whose path is short, because the paths of sockets are bounded.
fn short_dir() -> TempDir {
    tempfile::Builder::new().prefix("ost").tempdir_in("/tmp").expect("/tmp can be written")
}
