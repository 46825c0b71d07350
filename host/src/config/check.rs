//! Owns the way from wire types to domain types: every value is checked, every problem is collected with its place.
//!
//! Reads no files. The parts of a process that have rules of their own are checked in `check_looks` (readiness and
//! health), `check_limits` and `check_triggers` (watch, schedule, reload); what is not about one process alone in
//! `depends` and `groups`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::command::{Command, CommandError};
use super::depends;
use super::error::{ConfigError, Problem};
use super::file::{ConfigFile, PluginTable, ProcessTable, RestartTable, StopTable};
use super::groups;
use super::process::{
    EnvFile, EnvVars, InheritEnv, PortChoice, ProcessConfig, RestartPolicy, RestartWhen, StopPolicy,
};
use super::recover::Recovered;
use super::shapes::{EnvValue, InheritEnvValue, NumberOrText, PortValue, RestartValue, StringOrList};
use super::source::{Source, shown};
use super::suggest;
use super::types::{PluginConfig, Project};
use super::units::{self, UnitError};
use crate::bounds::REPLICAS_MAX;
use crate::model::{ProcessName, signal_name, signal_number};

/// A project whose pattern files have still to be read.
pub(super) struct Checked {
    pub project: Project,
    /// The files, and their places in the text.
    pub patterns: Vec<Spanned<PathBuf>>,
}

/// Turns what was written into a project in `dir`; `problems` gets all that is wrong.
pub(super) fn project(
    source: Source<'_>,
    dir: &Path,
    mut read: Recovered<ConfigFile>,
    problems: &mut Vec<Problem>,
) -> Checked {
    let file = std::mem::take(&mut read.value);
    let mut checker = Checker { source, dir, problems, is_damaged: false };
    let mut project = Project { file: Some(source.path.to_owned()), ..Project::empty(dir) };
    if let Some(name) = file.project.name
        && let Some(name) = checker.name(&name)
    {
        project.name = name.as_str().to_owned();
    }
    let mut processes: Vec<_> = file.process.into_iter().collect();
    processes.sort_by_key(|(name, _)| name.span().start);
    project.keep_logs = checker.keep_logs(&file.logs);
    let mut dependencies = Vec::new();
    let mut memberships = Vec::new();
    for (key, mut table) in processes {
        // Each problem of a large file costs a search through it; nobody reads more than are listed.
        if checker.problems.len() > ConfigError::LISTED {
            break;
        }
        let Some(name) = checker.name(&key) else { continue };
        let depends_on = std::mem::take(&mut table.depends_on);
        memberships.push((name.clone(), std::mem::take(&mut table.groups)));
        if let Some(size) = table.logs.keep.take() {
            checker.keep_logs_of(&name, &size, &mut project.keep_logs);
        }
        checker.is_damaged = read.is_damaged(&["process", key.get_ref()]);
        if let Some(config) = checker.process(key.span(), table) {
            project.order.push(name.clone());
            project.processes.insert(name.clone(), config);
        }
        dependencies.push((name, depends_on));
    }
    let names = depends::Names { processes: read.names("process"), groups: read.names("group") };
    depends::check(source, dependencies, names, &mut project, checker.problems);
    groups::check(&mut checker, file.group, memberships, &read, &mut project);
    project.alerts = checker.alerts(file.alert, &read, &project.groups);
    checker.is_damaged = read.is_damaged(&["secrets"]);
    project.secrets = checker.secrets(file.secrets);
    project.plugins =
        file.plugin.into_iter().map(|(name, table)| (name.into_inner(), plugin(table))).collect();
    let patterns = file.logs.patterns.map(|files| checker.paths(files)).unwrap_or_default();
    Checked { project, patterns }
}

fn plugin(table: PluginTable) -> PluginConfig {
    let config = table.config.map(|config| {
        let mut config = serde_json::Value::Object(config);
        dates_to_text(&mut config);
        config
    });
    PluginConfig { enabled: table.enabled.unwrap_or(true), config }
}

/// TOML has dates and JSON has not: the reader leaves them as a table with one private key.
fn dates_to_text(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            if let Some(date) = map.remove("$__toml_private_datetime") {
                *value = date;
            } else {
                map.values_mut().for_each(dates_to_text);
            }
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(dates_to_text),
        _ => {}
    }
}

/// Checks values; what is wrong with them goes to `problems`.
pub(super) struct Checker<'t, 'p> {
    pub source: Source<'t>,
    pub dir: &'t Path,
    pub problems: &'p mut Vec<Problem>,
    /// Something was left out of the process that is being checked, so what is missing may have been written.
    pub is_damaged: bool,
}

impl Checker<'_, '_> {
    pub fn report(&mut self, span: Range<usize>, message: impl Into<String>, hint: Option<&str>) {
        let problem = self.source.problem(span, message);
        self.problems.push(problem.hint(hint.map(str::to_owned)));
    }

    /// Reports what should be there and is not, unless it may have been written.
    pub fn report_missing(&mut self, span: Range<usize>, message: &str, hint: &str) {
        if !self.is_damaged {
            self.report(span, message, Some(hint));
        }
    }

    pub fn name(&mut self, name: &Spanned<String>) -> Option<ProcessName> {
        match ProcessName::new(name.get_ref()) {
            // `api#2` is a replica's name, which only Ostler gives.
            Ok(name) if !name.as_str().contains('#') => Some(name),
            _ => {
                let message = format!("`{}` is not a name", shown(name.get_ref()));
                let hint =
                    "use letters, digits, `-`, `_` and `.`, starting with a letter or digit, at most 64";
                self.report(name.span(), message, Some(hint));
                None
            }
        }
    }

    /// None when the process has no usable command; all else has a default to go on with.
    fn process(&mut self, key: Range<usize>, table: ProcessTable) -> Option<ProcessConfig> {
        let command = match table.command {
            Some(command) => self.command(command, table.shell),
            None => {
                let hint = "say what to run, such as `command = \"npm run dev\"`";
                self.report_missing(key, "the process has no `command`", hint);
                None
            }
        };
        let cwd = table.cwd.and_then(|cwd| self.path(cwd.span(), cwd.get_ref()));
        let port_variable = table.env.keys().find(|name| name.get_ref() == "PORT").map(Spanned::span);
        let replicas = table.replicas.and_then(|number| self.replicas(&number)).unwrap_or(1);
        let port = table.port.and_then(|port| self.port(&port, replicas, port_variable));
        let env = self.env(table.env);
        let env_files = table.env_file.map(|files| self.env_files(files)).unwrap_or_default();
        let inherit_env = table.inherit_env.map(|value| self.inherit_env(value)).unwrap_or_default();
        let is_scheduled = table.schedule.is_some();
        let restart = self.restart(table.restart, is_scheduled);
        let ready = self.ready(table.ready, port.is_some());
        let health = table.health.and_then(|table| self.health(table, port.is_some()));
        let stop = self.stop(table.stop);
        let can_reload = table.reload.is_some();
        let reload = table.reload.and_then(|value| self.reload(value));
        let limits = self.limits(table.limits);
        let watch = table.watch.and_then(|value| self.watch(value, can_reload));
        let schedule = table.schedule.and_then(|value| self.schedule(value));
        let (command, span) = command?;
        // A variable of this name may come from elsewhere, and then a shell or a script knows what to do with it.
        if command.needs_port() && port.is_none() && !command.hands_on_a_script() {
            self.no_port(span);
        }
        Some(ProcessConfig {
            command,
            cwd: cwd.unwrap_or_else(|| self.dir.to_owned()),
            env,
            env_files,
            inherit_env,
            autostart: table.autostart.unwrap_or(!is_scheduled),
            // Entered by `depends`.
            depends_on: Vec::new(),
            restart,
            ready,
            health,
            stop,
            reload,
            limits,
            pty: table.pty,
            port,
            replicas,
            watch,
            schedule,
        })
    }

    /// Reports `${PORT}` where there is no port.
    pub fn no_port(&mut self, span: Range<usize>) {
        let hint = "add `port = 8000`, or `port = \"auto\"` for one that is free";
        self.report(span, "`${PORT}` stands for the process's `port`, and it has none", Some(hint));
    }

    /// Reads a command other than the process's own, which has no `shell = true` beside it.
    pub fn side_command(&mut self, command: Spanned<StringOrList>) -> Option<Command> {
        let span = command.span();
        let (result, text) = match command.into_inner() {
            StringOrList::String(text) => (Command::from_line(&text), text),
            StringOrList::List(words) => {
                let words = words.into_iter().map(Spanned::into_inner).collect();
                (Command::from_words(words), String::new())
            }
        };
        let hint = "run it with a shell: `[\"sh\", \"-c\", \"…\"]`; the variable `PORT` is set there";
        match result {
            Ok(command) if command.needs_port() && !command.hands_on_a_script() => {
                self.report(span, "`${PORT}` can stand only in the process's own `command`", Some(hint));
                None
            }
            Ok(command) => Some(command),
            Err(error) => {
                let hint = match error {
                    CommandError::NeedsShell { .. } | CommandError::Assignment { .. } => {
                        "run it with a shell: `[\"sh\", \"-c\", \"…\"]`"
                    }
                    CommandError::Empty => "name the program to run",
                    _ => error.hint(),
                };
                self.command_problem(span, &text, &error, hint);
                None
            }
        }
    }

    fn command(&mut self, command: Spanned<StringOrList>, shell: bool) -> Option<(Command, Range<usize>)> {
        let span = command.span();
        let (result, text) = match command.into_inner() {
            StringOrList::String(text) if shell => (Command::from_script(&text), text),
            StringOrList::String(text) => (Command::from_line(&text), text),
            StringOrList::List(_) if shell => {
                let hint = "write the command as one string, or remove `shell = true`";
                self.report(span, "`shell = true` needs `command` to be a string, found a list", Some(hint));
                return None;
            }
            StringOrList::List(words) => {
                let words = words.into_iter().map(Spanned::into_inner).collect();
                (Command::from_words(words), String::new())
            }
        };
        match result {
            Ok(command) => Some((command, span)),
            Err(error) => {
                self.command_problem(span, &text, &error, error.hint());
                None
            }
        }
    }

    fn command_problem(&mut self, span: Range<usize>, text: &str, error: &CommandError, hint: &str) {
        let exact = error.place().and_then(|place| {
            let contents = self.source.contents(span.clone(), text)?;
            Some(contents.start + place.start..contents.start + place.end)
        });
        self.report(exact.unwrap_or(span), error.to_string(), Some(hint));
    }

    fn path(&mut self, span: Range<usize>, text: &str) -> Option<PathBuf> {
        if text.is_empty() || text.contains('\0') {
            self.report(span, "a path is expected here", None);
            return None;
        }
        // `.` components would show in every message that names the path.
        Some(self.dir.join(text).components().collect())
    }

    fn paths(&mut self, files: Spanned<StringOrList>) -> Vec<Spanned<PathBuf>> {
        let span = files.span();
        files
            .into_inner()
            .into_list(span)
            .into_iter()
            .filter_map(|text| Some(Spanned::new(text.span(), self.path(text.span(), text.get_ref())?)))
            .collect()
    }

    fn env_files(&mut self, files: Spanned<StringOrList>) -> Vec<EnvFile> {
        let files = self.paths(files);
        files.into_iter().map(|path| env_file(path.into_inner())).collect()
    }

    /// Never shows a value.
    fn env(&mut self, env: BTreeMap<Spanned<String>, Spanned<EnvValue>>) -> EnvVars {
        let mut vars = BTreeMap::new();
        for (name, value) in env {
            if !self.is_variable(&name) {
                continue;
            }
            if value.get_ref().0.contains('\0') {
                let message = format!("the value of `{}` holds a NUL character", shown(name.get_ref()));
                self.report(value.span(), message, None);
            } else {
                vars.insert(name.into_inner(), value.into_inner().0);
            }
        }
        EnvVars(vars)
    }

    /// Tells whether a variable may have this name, and reports it when not.
    pub fn is_variable(&mut self, name: &Spanned<String>) -> bool {
        let is_name = !name.get_ref().is_empty() && !name.get_ref().contains(['=', '\0']);
        if !is_name {
            self.report(name.span(), "the name of a variable may not be empty or hold `=`", None);
        }
        is_name
    }

    fn inherit_env(&mut self, value: Spanned<InheritEnvValue>) -> InheritEnv {
        match value.into_inner() {
            InheritEnvValue::All(true) => InheritEnv::All,
            InheritEnvValue::All(false) => InheritEnv::None,
            InheritEnvValue::Only(names) => InheritEnv::Only(
                names.into_iter().filter(|name| self.is_variable(name)).map(Spanned::into_inner).collect(),
            ),
        }
    }

    fn replicas(&mut self, number: &Spanned<i64>) -> Option<u32> {
        let replicas = u32::try_from(*number.get_ref()).ok().filter(|n| (1..=REPLICAS_MAX).contains(n));
        if replicas.is_none() {
            let hint = "set `autostart = false` for a process that is not to run";
            let message = format!("`replicas` must be from 1 to {REPLICAS_MAX}");
            self.report(number.span(), message, (*number.get_ref() == 0).then_some(hint));
        }
        replicas
    }

    fn port(
        &mut self,
        port: &Spanned<PortValue>,
        replicas: u32,
        variable: Option<Range<usize>>,
    ) -> Option<PortChoice> {
        if let Some(variable) = variable {
            let hint = "remove it from `env`; `port` hands it over";
            self.report(variable, "`env` sets `PORT`, and so does `port`", Some(hint));
        }
        let number = match &port.get_ref().0 {
            NumberOrText::Text(word) if word == "auto" => return Some(PortChoice::Auto),
            NumberOrText::Text(word) => {
                let hint = match word.parse::<u16>() {
                    Ok(number) => format!("write the number without quotes: `port = {number}`"),
                    Err(_) => "write a number from 1 to 65535, or `\"auto\"` for one that is free".to_owned(),
                };
                self.report(port.span(), format!("`{}` is not a port", shown(word)), Some(&hint));
                return None;
            }
            NumberOrText::Number(number) => u16::try_from(*number).ok().filter(|number| *number != 0),
        };
        let Some(number) = number else {
            let hint = "`port = \"auto\"` takes one that is free";
            self.report(port.span(), "`port` must be from 1 to 65535", Some(hint));
            return None;
        };
        let last = u32::from(number) + replicas - 1;
        if last > u32::from(u16::MAX) {
            let message = format!("{replicas} replicas from port {number} on would need port {last}");
            self.report(port.span(), message, Some("the highest port is 65535; start lower"));
            return None;
        }
        Some(PortChoice::Fixed(number))
    }

    fn restart(&mut self, value: Option<Spanned<RestartValue>>, is_scheduled: bool) -> RestartPolicy {
        let mut default = RestartPolicy::default();
        if is_scheduled {
            default.when = RestartWhen::Never;
        }
        let Some(value) = value else { return default };
        let span = value.span();
        let table = match value.into_inner() {
            RestartValue::Word(word) => {
                RestartTable { policy: Some(Spanned::new(span.clone(), word)), ..RestartTable::default() }
            }
            RestartValue::Table(table) => table,
        };
        let when = table.policy.and_then(|word| self.word("restart policy", &word, &RestartWhen::WORDS));
        if when == Some(RestartWhen::Always) && is_scheduled {
            let hint = "remove one of the two; with `restart = \"on-failure\"` only a failed run is repeated";
            self.report(span, "a process with a `schedule` cannot be restarted always", Some(hint));
        }
        let backoff = table.backoff.and_then(|text| {
            self.unit("range of durations", "`200ms..30s`", &text, units::parse_duration_range)
        });
        let (backoff_first, backoff_longest) =
            backoff.unwrap_or((default.backoff_first, default.backoff_longest));
        let window = table.window.and_then(|text| self.duration(&text));
        let jitter = table.jitter.and_then(|fraction| self.jitter(&fraction));
        RestartPolicy {
            when: when.unwrap_or(default.when),
            backoff_first,
            backoff_longest,
            max: table.max.unwrap_or(default.max),
            window: window.unwrap_or(default.window),
            jitter_percent: jitter.unwrap_or(default.jitter_percent),
        }
    }

    fn jitter(&mut self, fraction: &Spanned<f64>) -> Option<u8> {
        if !(0.0..=1.0).contains(fraction.get_ref()) {
            let hint = "write `0.1` for a tenth, `0` for none";
            self.report(fraction.span(), "`restart.jitter` must be from 0 to 1", Some(hint));
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 100")]
        Some((fraction.get_ref() * 100.0).round() as u8)
    }

    fn stop(&mut self, table: StopTable) -> StopPolicy {
        let default = StopPolicy::default();
        if let (Some(signal), Some(_)) = (&table.signal, &table.command) {
            let hint = "keep one: the command runs instead of the signal";
            self.report(signal.span(), "`stop` has both `signal` and `command`", Some(hint));
        }
        let signal = table.signal.and_then(|name| self.signal(&name));
        let grace = table.grace.and_then(|text| self.duration(&text));
        StopPolicy {
            signal: signal.unwrap_or(default.signal),
            grace: grace.unwrap_or(default.grace),
            command: table.command.and_then(|command| self.side_command(command)),
        }
    }

    /// Reads the name of a signal.
    pub fn signal(&mut self, name: &Spanned<String>) -> Option<i32> {
        let number = signal_number(name.get_ref());
        if number.is_none() {
            let hint = suggest::did_you_mean(name.get_ref(), (1..32).filter_map(signal_name))
                .unwrap_or_else(|| "use a name such as `SIGTERM` or `SIGINT`".to_owned());
            self.report(name.span(), format!("`{}` is not a signal", shown(name.get_ref())), Some(&hint));
        }
        number
    }

    pub fn duration(&mut self, text: &Spanned<String>) -> Option<Duration> {
        self.unit("duration", "`500ms`, `30s` or `1m30s`", text, units::parse_duration)
    }

    pub fn unit<T>(
        &mut self,
        what: &str,
        example: &str,
        text: &Spanned<String>,
        parse: impl Fn(&str) -> Result<T, UnitError>,
    ) -> Option<T> {
        parse(text.get_ref())
            .map_err(|error| {
                let message = format!("`{}` is not a {what}: {error}", shown(text.get_ref()));
                self.report(text.span(), shown_long(&message), Some(&format!("write it like {example}")));
            })
            .ok()
    }

    pub fn word<T: Copy>(&mut self, what: &str, word: &Spanned<String>, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(known, _)| known == word.get_ref()).map(|(_, value)| *value);
        if found.is_none() {
            self.problems.push(unknown_word(self.source, what, word, words));
        }
        found
    }
}

/// A question mark at the end of a file's name says that it may be missing.
fn env_file(path: PathBuf) -> EnvFile {
    match path.to_str().and_then(|text| text.strip_suffix('?')) {
        Some(text) => EnvFile { path: PathBuf::from(text), optional: true },
        None => EnvFile { path, optional: false },
    }
}

/// Returns the problem of a word that is none of the known ones.
pub(super) fn unknown_word<T>(
    source: Source<'_>,
    what: &str,
    word: &Spanned<String>,
    words: &[(&str, T)],
) -> Problem {
    let known = words.iter().map(|(word, _)| *word);
    let hint = suggest::did_you_mean(word.get_ref(), known.clone())
        .unwrap_or_else(|| format!("it is one of {}", suggest::listed(known)));
    source.problem(word.span(), format!("`{}` is not a {what}", shown(word.get_ref()))).hint(hint)
}

/// Bounds a message that repeats the text twice.
fn shown_long(message: &str) -> String {
    message.chars().take(240).filter(|c| !c.is_control()).collect()
}
