//! Owns processes that are not in the file: what a client says of one becomes a `[process.NAME]`, and is read as that.
//!
//! So it is checked by the same rules, in the same words, and the text is what a person puts into `ostler.toml` to
//! keep the process. It is also what the next daemon reads, should this one die.

use std::fmt::Write;
use std::path::Path;

use super::error::{ConfigError, Problem};
use super::load::{FILE_BYTES, FILE_NAME, load_text};
use super::process::ProcessConfig;
use crate::model::ProcessName;

/// What a client says of a process it adds; whatever it leaves out has its default.
#[derive(Debug, Clone, Default)]
pub struct NewProcess {
    /// A command line, or with `shell` a script for `/bin/sh`.
    pub command: String,
    pub shell: bool,
    /// Relative to the project's directory.
    pub cwd: Option<String>,
    pub env: Vec<(String, String)>,
    /// `http://…`, `HOST:PORT`, or `log:REGEX`.
    pub ready: Option<String>,
    /// A restart policy's word.
    pub restart: Option<String>,
    pub autostart: Option<bool>,
}

impl NewProcess {
    /// Returns the process as `ostler.toml` has it.
    pub fn written(&self, name: &ProcessName) -> String {
        let mut text = format!("[process.{}]\ncommand = {}\n", quoted(name.as_str()), quoted(&self.command));
        let mut line = |key: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key} = {value}");
        };
        if self.shell {
            line("shell", "true".to_owned());
        }
        if let Some(cwd) = &self.cwd {
            line("cwd", quoted(cwd));
        }
        if !self.env.is_empty() {
            let pairs = self.env.iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)));
            line("env", format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", ")));
        }
        if let Some(ready) = &self.ready {
            let (key, value) = match ready.strip_prefix("log:") {
                Some(pattern) => ("log", pattern),
                None if ready.contains("://") => ("http", ready.as_str()),
                None => ("tcp", ready.as_str()),
            };
            line("ready", format!("{{ {key} = {} }}", quoted(value)));
        }
        if let Some(restart) = &self.restart {
            line("restart", quoted(restart));
        }
        if let Some(autostart) = self.autostart {
            line("autostart", autostart.to_string());
        }
        text
    }

    /// Checks the process as one of the project in `dir`.
    ///
    /// # Errors
    /// Every problem that was found; their places are those in [`NewProcess::written`].
    pub fn check(&self, name: &ProcessName, dir: &Path) -> Result<ProcessConfig, ConfigError> {
        read_added(name, &self.written(name), dir)
    }
}

/// Reads the process `name` of the project in `dir` from what [`NewProcess::written`] gave, now or when it was added.
///
/// # Errors
/// Every problem that was found; their places are those in the text.
pub fn read_added(name: &ProcessName, text: &str, dir: &Path) -> Result<ProcessConfig, ConfigError> {
    let file = dir.join(FILE_NAME);
    if text.len() as u64 > FILE_BYTES {
        let message = format!("the process takes more than {} KiB to describe", FILE_BYTES >> 10);
        return Err(Problem::of_file(file, message).into());
    }
    let mut project = load_text(&file, text)?;
    project.processes.remove(name).ok_or_else(|| Problem::of_file(file, "describes no process").into())
}

/// Writes a basic string of TOML. JSON's escapes are among TOML's; only DEL has to be escaped besides (TOML 1.1,
/// "String").
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Check, Command, RestartWhen};

    fn name() -> ProcessName {
        ProcessName::new("worker.1").unwrap()
    }

    #[test]
    fn what_is_said_is_what_would_stand_in_the_file() {
        let process = NewProcess {
            command: "celery -A shop worker".to_owned(),
            cwd: Some("backend".to_owned()),
            env: vec![("MODE".to_owned(), "a \"b\"".to_owned())],
            ready: Some("log:ready\\.$".to_owned()),
            restart: Some("never".to_owned()),
            autostart: Some(false),
            ..NewProcess::default()
        };
        insta::assert_snapshot!(process.written(&name()), @r#"
        [process."worker.1"]
        command = "celery -A shop worker"
        cwd = "backend"
        env = { "MODE" = "a \"b\"" }
        ready = { log = "ready\\.$" }
        restart = "never"
        autostart = false
        "#);
        let config = process.check(&name(), Path::new("/p")).unwrap();
        assert_eq!(config.cwd, Path::new("/p/backend"));
        assert_eq!(config.ready.check, Some(Check::Log("ready\\.$".to_owned())));
        assert_eq!((config.restart.when, config.autostart), (RestartWhen::Never, false));
        assert_eq!(config.env.0["MODE"], "a \"b\"");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_remedy() {
        let process = NewProcess { command: "cat a | wc".to_owned(), ..NewProcess::default() };
        let error = process.check(&name(), Path::new("/p")).unwrap_err();
        assert_eq!(error.problems()[0].message, "`|` needs a shell");
        let process = NewProcess {
            command: "true".to_owned(),
            restart: Some("sometimes".to_owned()),
            ..NewProcess::default()
        };
        assert!(process.check(&name(), Path::new("/p")).unwrap_err().to_string().contains("`sometimes`"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_its_quotes(value in any::<String>(), command in any::<String>()) {
            let process = NewProcess {
                command: command.clone(),
                shell: true,
                env: vec![("A".to_owned(), value.clone())],
                ..NewProcess::default()
            };
            if let Ok(config) = process.check(&name(), Path::new("/p")) {
                prop_assert_eq!(&config.env.0["A"], &value);
                prop_assert_eq!(config.command, Command::Shell(command));
            }
        }
    }
}
