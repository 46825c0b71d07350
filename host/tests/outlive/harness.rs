//! A project with what tests of a daemon's end look at, from outside.

use std::fs;
use std::ops::Deref;

use rusqlite::Connection;
use serde_json::Value;

use crate::common;
pub use crate::common::{eventually, kill, lives};

/// A process that counts, and writes down in a file `told` how far it has come.
pub const TELLER: &str = "[process.teller]\n\
    command = \"i=0; while :; do i=$((i+1)); echo line $i; echo $i > told; sleep 0.02; done\"\n\
    shell = true\nrestart = \"never\"\n";

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

pub struct Project(common::Project);

impl Deref for Project {
    type Target = common::Project;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Project {
    pub fn new(config: &str) -> Self {
        Self(common::Project::new(config))
    }

    /// Makes a file in the project's directory, which its processes wait for.
    pub fn touch(&self, name: &str) {
        fs::write(self.file(name), "").unwrap();
    }

    pub fn status(&self) -> Value {
        self.json(&["status", "--json"])
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

    /// The catalogue, to be looked into or tampered with while no daemon runs.
    pub fn catalogue(&self) -> Connection {
        Connection::open(self.state().join("catalogue.sqlite")).unwrap()
    }
}
