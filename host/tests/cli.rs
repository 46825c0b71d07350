//! The `ostler` command against a real daemon, as a person at a terminal or a script uses it.
//!
//! Each test has a project, a state directory and a runtime directory of its own, and takes its daemon down at the
//! end, however it ends. Nothing sleeps: conditions are waited for, with `ostler wait` or on output.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use common::{Done, Project, kill, lives};

/// A command that runs.
struct Watched {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

/// Starts a command and reads its output as it comes.
fn spawn(project: &Project, arguments: &[&str]) -> Watched {
    let mut child = project.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    Watched { child, stdout }
}

impl Watched {
    /// Reads lines up to the first that contains `text`.
    fn line_with(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line).unwrap();
            assert!(read > 0, "the output ended before {text:?}");
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    fn end(mut self) -> Done {
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let mut done = Done::from(self.child.wait_with_output().unwrap());
        done.stdout = stdout;
        done
    }
}

/// Prints a line, and then one for each it reads.
const ECHO: &str = r#"
[process.echo]
command = "echo hello from $$; while read line; do echo got $line; done"
shell = true
"#;

#[test]
fn what_is_started_is_listed_with_exactly_the_promised_keys() {
    let project = Project::new(ECHO);
    let table = project.ok(&["up", "-d"]);
    assert!(table.starts_with("NAME"), "{table}");
    let views = project.json(&["ps", "--json"]);
    let view = views[0].as_object().unwrap();
    let mut keys: Vec<_> = view.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let promised = ["exit", "name", "pid", "ports", "ready", "restarts", "run", "state", "uptime_ms"];
    assert_eq!(keys, promised);
    assert_eq!(view["name"], "echo");
    assert!(lives(view["pid"].as_i64().unwrap()));
}

#[test]
fn a_slip_in_the_configuration_is_told_with_its_place_by_every_command() {
    let project = Project::new("[process.api]\ncomand = \"true\"\n");
    for arguments in
        [&["up", "-d"][..], &["up"], &["ps"], &["logs"], &["start", "api"], &["mcp"], &["daemon"]]
    {
        let done = project.run(arguments);
        assert_eq!(done.code, 2, "{arguments:?}: {}", done.stderr);
        assert!(
            done.stderr.contains("ostler.toml:2:1: unknown key `comand`"),
            "{arguments:?}: {}",
            done.stderr
        );
        assert!(done.stderr.contains("hint: did you mean `command`?"), "{arguments:?}: {}", done.stderr);
        assert_eq!(done.stdout, "", "{arguments:?}");
    }
    assert_eq!(project.daemon(), None);
}

#[test]
fn an_unknown_process_names_those_that_exist() {
    let project = Project::new(ECHO);
    for arguments in
        [&["start", "eco"][..], &["stop", "eco"], &["logs", "eco"], &["wait", "eco"], &["diagnose", "eco"]]
    {
        let done = project.run(arguments);
        assert_eq!(done.code, 3, "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.contains("`eco`") && done.stderr.contains("echo"), "{}", done.stderr);
    }
    let done = project.run(&["logs", "eco", "--json"]);
    let error: Value = serde_json::from_str(&done.stderr).unwrap();
    assert_eq!((done.code, &error["error"]["kind"]), (3, &Value::from("not-found")));
}

#[test]
fn a_folder_without_configuration_leads_to_init() {
    let project = Project::bare();
    for arguments in [&["up"][..], &["up", "-d"], &["ps"], &["start", "api"]] {
        let done = project.run(arguments);
        assert_eq!(done.code, 2, "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.contains("`ostler init`"), "{}", done.stderr);
    }
    assert_eq!(project.daemon(), None);

    fs::write(project.file("Procfile"), "web: echo serving\n").unwrap();
    assert!(project.ok(&["init"]).contains("web"));
    let written = fs::read_to_string(project.file("ostler.toml")).unwrap();
    assert_eq!(project.json(&["ps", "--json"])[0]["name"], "web");

    let again = project.run(&["init"]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    assert_eq!(fs::read_to_string(project.file("ostler.toml")).unwrap(), written);
}

#[test]
fn waits_end_with_the_code_of_their_outcome() {
    let project = Project::new(
        "[process.brief]\ncommand = \"echo about to fail; exit 3\"\nshell = true\nrestart = \"never\"\n\
         [process.still]\ncommand = \"cat\"\n",
    );
    project.ok(&["up", "-d"]);
    assert_eq!(project.run(&["wait", "brief", "--exit"]).code, 0);

    let impossible = project.run(&["wait", "brief", "--log", "never said"]);
    assert_eq!(impossible.code, 1, "{}", impossible.stderr);
    assert!(impossible.stderr.contains("about to fail"), "{}", impossible.stderr);

    let late = project.run(&["wait", "still", "--log", "x", "--timeout", "50ms", "--json"]);
    assert_eq!(late.code, 124, "{}", late.stderr);
    let reply: Value = serde_json::from_str(&late.stdout).unwrap();
    assert_eq!(reply["outcome"], "timed-out");

    let diagnosis = project.ok(&["diagnose", "brief"]);
    assert!(diagnosis.contains("exit code 3") && diagnosis.contains("about to fail"), "{diagnosis}");
}

#[test]
fn input_reaches_the_process_from_words_and_from_a_pipe() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    project.ok(&["send", "echo", "two", "words"]);
    assert!(project.ok(&["wait", "echo", "--log", "got two words"]).contains("got two words"));

    let mut piped = project.command(&["send", "echo", "-", "--eof"]).stdin(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all("grüße\n".as_bytes()).unwrap();
    assert!(piped.wait().unwrap().success());
    project.ok(&["wait", "echo", "--exit"]);
    assert!(project.ok(&["logs", "echo", "-n", "1"]).contains("got grüße"));

    let done = project.run(&["send", "echo", "anybody there?"]);
    assert_eq!(done.code, 1, "{}", done.stderr);
}

#[test]
fn reading_on_from_a_cursor_skips_nothing_and_repeats_nothing() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    project.ok(&["wait", "echo", "--log", "hello"]);
    let first = project.run(&["logs", "--json", "--show-cursor"]);
    assert_eq!(first.stdout.lines().count(), 1, "{}", first.stdout);
    let line: Value = serde_json::from_str(&first.stdout).unwrap();
    let keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["level", "process", "run", "seq", "stream", "text", "time"]);

    let cursor = first.stderr.trim().strip_prefix("note: cursor ").unwrap().to_owned();
    assert_eq!(project.ok(&["logs", "--since", &cursor]), "");
    project.ok(&["send", "echo", "more"]);
    project.ok(&["wait", "echo", "--log", "got more"]);
    let rest = project.ok(&["logs", "--since", &cursor]);
    assert_eq!(rest.lines().count(), 1, "{rest}");
    assert!(rest.contains("got more"), "{rest}");
    assert_eq!(project.ok(&["logs", "--since", "1h"]).lines().count(), 2);
    assert_eq!(project.ok(&["logs", "-n", "0"]), "");
}

#[test]
fn the_lines_of_a_traceback_say_that_they_belong_together_in_each_stream() {
    let project = Project::new(
        r#"
[process.api]
command = """
printf 'up\nTraceback (most recent call last):\n  File "a.py", line 1, in f\n    x\nKeyError: 1\n'
printf 'Error: boom\n    at f (a.js:1:1)\n' >&2
printf '\nDuring handling of the above exception, another exception occurred:\n\n'
printf 'Traceback (most recent call last):\n  File "a.py", line 2, in g\nValueError: 2\n\ngoing on\n'"""
shell = true
restart = "never"
"#,
    );
    project.ok(&["up", "-d", "api"]);
    project.ok(&["wait", "api", "--log", "going on"]);
    let shown = project.ok(&["logs", "api", "--json", "-n", "100"]);
    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |stream: &str| -> Vec<(String, bool, &str)> {
        lines
            .iter()
            .filter(|line| line["stream"] == stream)
            .map(|line| {
                let level = line["level"].as_str().unwrap_or_default().to_owned();
                (level, line["continues"] == true, line["text"].as_str().unwrap_or_default())
            })
            .collect()
    };
    let marks: String = of("stdout")
        .iter()
        .map(|(level, continues, _)| match (level.as_str(), continues) {
            ("error", true) => '|',
            ("error", false) => 'e',
            _ => '-',
        })
        .collect();
    assert_eq!(marks, "-e|||-|-|||--", "{shown}");
    let stderr = of("stderr");
    assert_eq!((stderr[0].1, stderr[1].1, stderr[1].2), (false, true, "    at f (a.js:1:1)"), "{shown}");
}

#[test]
fn log_is_searched_with_what_stands_around_exported_whole_and_cleared_for_good() {
    let project = Project::new(
        "[process.count]\ncommand = [\"sh\", \"-c\", \"i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo number $i.; done; \
         echo needle [x] here; echo last\"]\nrestart = \"never\"\n\n[process.other]\ncommand = \"echo other\"\nrestart = \"never\"\n",
    );
    project.ok(&["up", "-d"]);
    project.ok(&["wait", "count", "--log", "last"]);
    project.ok(&["wait", "other", "--log", "other"]);
    let around = project.ok(&["logs", "--contains", "needle [x]", "-B", "2", "-A", "1"]);
    let texts: Vec<&str> =
        around.lines().map(|line| line.rsplit_once("| ").map_or(line, |(_, text)| text)).collect();
    assert_eq!(texts.len(), 4, "{around}");
    assert!(texts[0].ends_with("number 2999.") && texts[3].ends_with("last"), "{around}");
    assert_eq!(project.ok(&["logs", "--until", "1h"]), "");
    assert_eq!(project.run(&["logs", "--contains", "x", "--grep", "x"]).code, 2);

    let file = project.file("log.jsonl");
    let name = file.display().to_string();
    project.ok(&["logs", "count", "--export", "jsonl", "--output", &name]);
    let exported = fs::read_to_string(&file).unwrap();
    let numbers: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        numbers.iter().filter(|line| line["text"].as_str().unwrap().starts_with("number ")).count(),
        3000
    );
    assert!(numbers.iter().all(|line| line["process"] == "count"));
    let again = project.run(&["logs", "--export", "jsonl", "--output", &name]);
    assert!(again.code != 0 && again.stderr.contains("choose another name"), "{}", again.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap(), exported);
    let text = project.ok(&["logs", "--export", "text", "--grep", "^number 29[0-9][0-9]"]);
    assert_eq!(text.lines().count(), 100, "{text}");

    let refused = project.run(&["logs", "--clear", "count"]);
    assert!(refused.code == 2 && refused.stderr.contains("--yes"), "{}", refused.stderr);
    let cleared = project.ok(&["logs", "--clear", "--yes", "count"]);
    assert!(cleared.contains("lines deleted"), "{cleared}");
    assert_eq!(project.ok(&["logs", "--contains", "needle"]), "");
    assert!(project.ok(&["logs"]).contains("other"));
    assert_eq!(project.run(&["logs", "--clear", "--yes", "coun"]).code, 3);
    project.ok(&["logs", "--clear", "--yes"]);
    assert_eq!(project.ok(&["logs"]), "");
    for entry in fs::read_dir(project.path("state")).unwrap() {
        let log = entry.unwrap().path().join("log");
        for segment in fs::read_dir(log).into_iter().flatten() {
            let bytes = fs::read(segment.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"needle"));
        }
    }
}

#[test]
fn following_shows_lines_as_they_come_and_ends_with_the_daemon() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    let mut follower = spawn(&project, &["logs", "-f", "--json"]);
    follower.line_with("hello");
    project.ok(&["send", "echo", "later"]);
    follower.line_with("got later");
    project.ok(&["down"]);
    let done = follower.end();
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("the daemon has ended"), "{}", done.stderr);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    project.ok(&["wait", "echo", "--log", "hello"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let done = Done::from(project.command(&["logs"]).stdout(writer).output().unwrap());
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[test]
fn control_c_takes_the_foreground_down_in_order() {
    let project = Project::new(ECHO);
    let mut foreground = spawn(&project, &["up"]);
    let line = foreground.line_with("hello from");
    let pid: i64 = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(lives(pid));
    foreground.signal(Signal::INT);
    let done = foreground.end();
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(!lives(pid), "the process outlived Ctrl-C");
    assert_eq!(project.daemon(), None, "the daemon outlived Ctrl-C");
}

#[test]
fn a_second_control_c_leaves_at_once_and_names_what_still_runs() {
    let project = Project::new(
        "[process.stubborn]\ncommand = \"trap 'echo no thanks' TERM; echo up; while true; do read line; done\"\n\
         shell = true\nstop = { grace = \"5m\" }\n",
    );
    let mut foreground = spawn(&project, &["up"]);
    foreground.line_with("up");
    foreground.signal(Signal::INT);
    foreground.line_with("no thanks");
    foreground.signal(Signal::INT);
    let done = foreground.end();
    assert_eq!(done.code, 1);
    let pid = project.pid_of("stubborn");
    assert!(done.stderr.contains(&format!("stubborn (pid {pid})")), "{}", done.stderr);
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn the_foreground_ends_with_its_processes() {
    let project =
        Project::new("[process.good]\ncommand = \"echo done\"\nshell = true\nrestart = \"never\"\n");
    let done = project.run(&["up"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.contains("done"), "{}", done.stdout);

    let project = Project::new(
        "[process.bad]\ncommand = \"echo last words; exit 4\"\nshell = true\nrestart = \"never\"\n",
    );
    let done = project.run(&["up"]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(done.stdout.contains("last words"), "{}", done.stdout);
    assert!(done.stderr.contains("bad failed: exit code 4"), "{}", done.stderr);
}

#[test]
fn a_killed_daemon_takes_nothing_with_it_and_down_still_stops_everything() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    let pid = project.pid_of("echo");
    kill(project.daemon().unwrap(), Signal::KILL);
    assert_eq!(project.pid_of("echo"), pid, "the next daemon does not have the same child");

    kill(project.daemon().unwrap(), Signal::KILL);
    project.ok(&["down"]);
    assert!(!lives(pid), "down left a process behind");
    assert!(project.ok(&["down"]).contains("nothing runs"));
}

#[test]
fn the_foreground_outlives_its_daemon() {
    let project = Project::new(ECHO);
    let mut foreground = spawn(&project, &["up"]);
    foreground.line_with("hello");
    kill(project.daemon().unwrap(), Signal::KILL);
    project.ok(&["send", "echo", "still there"]);
    foreground.line_with("got still there");
    project.ok(&["down"]);
    let done = foreground.end();
    assert_eq!(done.code, 0, "{}", done.stderr);
}

/// The session of a process. Not through rustix: a leader outside our PID namespace is told as 0, which its `Pid` denies.
fn session_of(pid: i64) -> i32 {
    // SAFETY: takes and returns numbers only.
    let session = unsafe { libc::getsid(i32::try_from(pid).unwrap()) };
    assert!(session >= 0, "{}", std::io::Error::last_os_error());
    session
}

#[test]
fn commands_at_once_share_one_daemon_that_is_nobodys_child() {
    let project = Project::new(ECHO);
    let commands: Vec<_> = (0..8).map(|_| spawn(&project, &["ps", "--json"])).collect();
    for command in commands {
        let done = command.end();
        assert_eq!(done.code, 0, "{}", done.stderr);
    }
    let daemon = project.daemon().unwrap();
    assert_ne!(session_of(daemon), session_of(std::process::id().into()), "it shares our session");
    let second = project.run(&["daemon"]);
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains(&format!("another daemon (pid {daemon})")), "{}", second.stderr);
    assert_eq!(project.daemon(), Some(daemon));
}

#[test]
fn a_process_cannot_drive_the_terminal_and_colours_can_be_had_or_not() {
    let project = Project::new(
        "[process.rude]\ncommand = [\"printf\", \"a\\\\033[2Jb\\\\007c\\\\n\"]\nrestart = \"never\"\n",
    );
    project.ok(&["up", "-d"]);
    project.ok(&["wait", "rude", "--exit"]);
    let plain = project.ok(&["logs"]);
    assert!(!plain.contains('\x1b') && !plain.contains('\x07'), "{plain:?}");

    let forced = |arguments: &[&str], no_color: &str| {
        let mut command = project.command(arguments);
        let output = command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", no_color).output().unwrap();
        Done::from(output).stdout
    };
    assert!(forced(&["ps"], "").contains("\x1b["));
    assert!(!forced(&["ps"], "1").contains('\x1b'));
    assert!(!forced(&["ps", "--no-color"], "").contains('\x1b'));
    let coloured = forced(&["logs"], "");
    assert!(!coloured.contains("\x1b[2J") && !coloured.contains('\x07'), "{coloured:?}");
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_2() {
    let project = Project::new(ECHO);
    for arguments in [
        &["logs", "--level", "loud"][..],
        &["logs", "--grep", "("],
        &["logs", "--since", "yesterday-ish"],
        &["wait", "echo", "--timeout", "soon"],
        &["wait", "echo", "--ready", "--exit"],
        &["restart"],
        &["send", "echo"],
        &["mcp", "--toolsets", "everything"],
        &["-C", "/nonexistent", "ps"],
    ] {
        let done = project.run(arguments);
        assert_eq!(done.code, 2, "{arguments:?}: {}{}", done.stdout, done.stderr);
        assert!(done.stderr.starts_with("error: "), "{arguments:?}: {}", done.stderr);
    }
}

#[test]
fn a_start_can_wait_until_what_it_started_is_ready() {
    let project = Project::new(
        "[process.soon]\ncommand = \"echo up; exec sleep 600\"\nshell = true\nready = { log = \"up\" }\nautostart = false\n\
         [process.never]\ncommand = \"echo why; exit 3\"\nshell = true\nrestart = \"never\"\nready = { log = \"up\" }\nautostart = false\n",
    );
    let said = project.ok(&["start", "soon", "--wait"]);
    assert!(said.contains("soon  starting") || said.contains("soon  ready"), "{said}");
    assert_eq!(project.json(&["ps", "--json"])[0]["ready"], true);
    // The other one is waited for all the same.
    let done = project.run(&["restart", "never", "soon", "--wait=60s"]);
    assert_eq!(done.code, 1, "{}{}", done.stdout, done.stderr);
    assert!(done.stderr.contains("`never` is not ready") && done.stderr.contains("why"), "{}", done.stderr);
    assert_eq!(project.json(&["ps", "--json"])[0]["ready"], true);
}
