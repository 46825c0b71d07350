//! Owns the way from wire types to domain types: every value is checked, every problem is collected with its place.
//!
//! Reads no files. What is not about one process alone, dependencies, is checked in `depends`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::command::{Command, CommandError};
use super::depends;
use super::endpoint::{Endpoint, HttpUrl, PortText};
use super::error::{ConfigError, Problem};
use super::file::{
    ConfigFile, EnvValue, PluginTable, ProcessTable, ReadyTable, RestartTable, RestartValue, StopTable,
    StringOrList, TcpValue,
};
use super::patterns::text_regex;
use super::process::{
    Check, EnvFile, EnvVars, HttpCheck, ProcessConfig, Ready, RestartPolicy, RestartWhen, StopPolicy,
};
use super::recover::Recovered;
use super::source::{Source, shown};
use super::suggest;
use super::types::{PluginConfig, Project};
use super::units::{self, UnitError};
use crate::model::{ProcessName, signal_number};

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
    let mut checker = Checker { source, dir, problems };
    let mut project = Project { file: Some(source.path.to_owned()), ..Project::empty(dir) };
    if let Some(name) = file.project.name
        && let Some(name) = checker.name(&name)
    {
        project.name = name.as_str().to_owned();
    }
    let mut processes: Vec<_> = file.process.into_iter().collect();
    processes.sort_by_key(|(name, _)| name.span().start);
    let mut dependencies = Vec::new();
    for (key, mut table) in processes {
        // Each problem of a large file costs a search through it; nobody reads more than are listed.
        if checker.problems.len() > ConfigError::LISTED {
            break;
        }
        let Some(name) = checker.name(&key) else { continue };
        let depends_on = std::mem::take(&mut table.depends_on);
        let may_lack_command = read.is_damaged(&["process", key.get_ref()]);
        if let Some(config) = checker.process(key.span(), table, may_lack_command) {
            project.order.push(name.clone());
            project.processes.insert(name.clone(), config);
        }
        dependencies.push((name, depends_on));
    }
    depends::check(source, dependencies, read.names("process"), &mut project, checker.problems);
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

struct Checker<'t, 'p> {
    source: Source<'t>,
    dir: &'t Path,
    problems: &'p mut Vec<Problem>,
}

impl Checker<'_, '_> {
    fn report(&mut self, span: std::ops::Range<usize>, message: impl Into<String>, hint: Option<&str>) {
        let problem = self.source.problem(span, message);
        self.problems.push(problem.hint(hint.map(str::to_owned)));
    }

    fn name(&mut self, name: &Spanned<String>) -> Option<ProcessName> {
        match ProcessName::new(name.get_ref()) {
            Ok(name) => Some(name),
            Err(_) => {
                let message = format!("`{}` is not a name", shown(name.get_ref()));
                let hint =
                    "use letters, digits, `-`, `_` and `.`, starting with a letter or digit, at most 64";
                self.report(name.span(), message, Some(hint));
                None
            }
        }
    }

    /// None when the process has no usable command; all else has a default to go on with.
    fn process(
        &mut self,
        key: std::ops::Range<usize>,
        table: ProcessTable,
        may_lack_command: bool,
    ) -> Option<ProcessConfig> {
        let command = match table.command {
            Some(command) => self.command(command, table.shell),
            None if may_lack_command => None,
            None => {
                let hint = "say what to run, such as `command = \"npm run dev\"`";
                self.report(key, "the process has no `command`", Some(hint));
                None
            }
        };
        let cwd = table.cwd.and_then(|cwd| self.path(cwd.span(), cwd.get_ref()));
        let env = self.env(table.env);
        let env_files = table.env_file.map(|files| self.env_files(files)).unwrap_or_default();
        let restart = self.restart(table.restart);
        let ready = self.ready(table.ready);
        let stop = self.stop(table.stop);
        Some(ProcessConfig {
            env,
            env_files,
            autostart: table.autostart.unwrap_or(true),
            restart,
            ready,
            stop,
            ..ProcessConfig::new(command?, cwd.unwrap_or_else(|| self.dir.to_owned()))
        })
    }

    fn command(&mut self, command: Spanned<StringOrList>, shell: bool) -> Option<Command> {
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
            Ok(command) => Some(command),
            Err(error) => {
                self.command_problem(span, &text, &error);
                None
            }
        }
    }

    fn command_problem(&mut self, span: std::ops::Range<usize>, text: &str, error: &CommandError) {
        let exact = error.place().and_then(|place| {
            let contents = self.source.contents(span.clone(), text)?;
            Some(contents.start + place.start..contents.start + place.end)
        });
        self.report(exact.unwrap_or(span), error.to_string(), Some(error.hint()));
    }

    fn path(&mut self, span: std::ops::Range<usize>, text: &str) -> Option<PathBuf> {
        if text.is_empty() || text.contains('\0') {
            self.report(span, "a path is expected here", None);
            return None;
        }
        // `.` components would show in every message that names the path.
        Some(self.dir.join(text).components().collect())
    }

    fn paths(&mut self, files: Spanned<StringOrList>) -> Vec<Spanned<PathBuf>> {
        let span = files.span();
        let texts = match files.into_inner() {
            StringOrList::String(text) => vec![Spanned::new(span, text)],
            StringOrList::List(texts) => texts,
        };
        texts
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
            let key = name.get_ref();
            if key.is_empty() || key.contains(['=', '\0']) {
                self.report(name.span(), "the name of a variable may not be empty or hold `=`", None);
            } else if value.get_ref().0.contains('\0') {
                let message = format!("the value of `{}` holds a NUL character", shown(key));
                self.report(value.span(), message, None);
            } else {
                vars.insert(name.into_inner(), value.into_inner().0);
            }
        }
        EnvVars(vars)
    }

    fn restart(&mut self, value: RestartValue) -> RestartPolicy {
        let default = RestartPolicy::default();
        let table = match value {
            RestartValue::Word(word) => RestartTable { policy: Some(word), ..RestartTable::default() },
            RestartValue::Table(table) => table,
        };
        let when = table.policy.and_then(|word| self.word("restart policy", &word, &RestartWhen::WORDS));
        let backoff = table.backoff.and_then(|text| {
            self.unit("range of durations", "`200ms..30s`", &text, units::parse_duration_range)
        });
        let (backoff_first, backoff_longest) =
            backoff.unwrap_or((default.backoff_first, default.backoff_longest));
        let window = table.window.and_then(|text| self.duration(&text));
        RestartPolicy {
            when: when.unwrap_or(default.when),
            backoff_first,
            backoff_longest,
            max: table.max.unwrap_or(default.max),
            window: window.unwrap_or(default.window),
            jitter_percent: default.jitter_percent,
        }
    }

    fn ready(&mut self, table: ReadyTable) -> Ready {
        let places = [
            ("log", table.log.as_ref().map(Spanned::span)),
            ("tcp", table.tcp.as_ref().map(Spanned::span)),
            ("http", table.http.as_ref().map(Spanned::span)),
        ];
        let mut set = places.into_iter().filter_map(|(key, span)| Some((key, span?)));
        if let (Some((first, _)), Some((second, span))) = (set.next(), set.next()) {
            let message = format!("`ready` has both `{first}` and `{second}`");
            self.report(span, message, Some("keep the one that comes last when it starts"));
        }
        let log = table.log.and_then(|text| text_regex(self.source, text, self.problems)).map(Check::Log);
        let tcp = table.tcp.and_then(|value| self.tcp(value)).map(Check::Tcp);
        let http = table.http.and_then(|text| self.http(&text)).map(Check::Http);
        let timeout = table.timeout.and_then(|text| self.duration(&text));
        Ready { check: log.or(tcp).or(http), timeout: timeout.unwrap_or(Ready::default().timeout) }
    }

    fn tcp(&mut self, value: Spanned<TcpValue>) -> Option<PortText> {
        let text = match value.get_ref() {
            TcpValue::Port(port) => PortText::new(format!("localhost:{port}")),
            TcpValue::Address(text) => PortText::new(text),
        };
        let endpoint = Endpoint::parse(&text.with_port(Some(1)));
        if endpoint.is_none() {
            let hint = "write a host and a port, such as `\"127.0.0.1:8000\"`, or a port from 1 to 65535";
            self.report(value.span(), "`ready.tcp` is not an address", Some(hint));
        }
        endpoint.map(|_| text)
    }

    fn http(&mut self, text: &Spanned<String>) -> Option<HttpCheck> {
        let templated = PortText::new(text.get_ref());
        let url = HttpUrl::parse(&templated.with_port(Some(1)));
        if url.is_none() && text.get_ref().starts_with("https://") {
            let hint = "ask the server over plain `http://`, or use `tcp`";
            self.report(text.span(), "`https` is not supported by this version", Some(hint));
        } else if url.is_none() {
            let hint = "write it like `\"http://127.0.0.1:8000/health\"`";
            self.report(text.span(), "`ready.http` is not a URL of plain HTTP", Some(hint));
        }
        url.map(|_| HttpCheck { url: templated, status: HttpCheck::STATUS, body: None })
    }

    fn stop(&mut self, table: StopTable) -> StopPolicy {
        let default = StopPolicy::default();
        let signal = table.signal.and_then(|name| {
            let number = signal_number(name.get_ref());
            if number.is_none() {
                let known = (1..32).filter_map(crate::model::signal_name);
                let hint = suggest::did_you_mean(name.get_ref(), known)
                    .unwrap_or_else(|| "use a name such as `SIGTERM` or `SIGINT`".to_owned());
                let message = format!("`{}` is not a signal", shown(name.get_ref()));
                self.report(name.span(), message, Some(&hint));
            }
            number
        });
        let grace = table.grace.and_then(|text| self.duration(&text));
        StopPolicy {
            signal: signal.unwrap_or(default.signal),
            grace: grace.unwrap_or(default.grace),
            command: None,
        }
    }

    fn duration(&mut self, text: &Spanned<String>) -> Option<Duration> {
        self.unit("duration", "`500ms`, `30s` or `1m30s`", text, units::parse_duration)
    }

    fn unit<T>(
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

    fn word<T: Copy>(&mut self, what: &str, word: &Spanned<String>, words: &[(&str, T)]) -> Option<T> {
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
