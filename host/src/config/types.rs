//! Owns the checked configuration as the rest of the program sees it.
//!
//! Plain values that compare and clone, so that a reload can tell what changed. How they are written in TOML is
//! `file`'s business; nothing here reads a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::command::Command;
use crate::model::{Level, ProcessName, signal_number};

/// A project: one directory and the processes in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// Follows the rules of [`ProcessName`], so it is safe in paths and prompts. Not unique on the machine.
    pub name: String,
    /// The directory with `ostler.toml`, which relative paths in it start from.
    pub dir: PathBuf,
    /// The file this was read from; none for a directory without `ostler.toml`.
    pub file: Option<PathBuf>,
    pub processes: BTreeMap<ProcessName, ProcessConfig>,
    /// The names of `processes` as the file has them.
    pub order: Vec<ProcessName>,
    /// The user's patterns for the default classifier, in the order of their files.
    pub patterns: Vec<LogPattern>,
    /// What the file says about plugins, by their names; a plugin that is not here is on and has no configuration.
    pub plugins: BTreeMap<String, PluginConfig>,
}

impl Project {
    /// Returns a project without processes, for a directory without `ostler.toml`.
    pub fn empty(dir: &Path) -> Self {
        Self {
            name: name_of_directory(dir),
            dir: dir.to_owned(),
            file: None,
            processes: BTreeMap::new(),
            order: Vec::new(),
            patterns: Vec::new(),
            plugins: BTreeMap::new(),
        }
    }

    /// Returns `names` and all they depend on, dependencies first, otherwise in the file's order.
    ///
    /// Names the project does not have are left out. The loader refuses cycles; should one be made by hand, each
    /// process still appears once.
    pub fn with_dependencies<'n>(
        &self,
        names: impl IntoIterator<Item = &'n ProcessName>,
    ) -> Vec<ProcessName> {
        let wanted: BTreeSet<&ProcessName> = names.into_iter().collect();
        let mut seen = BTreeSet::new();
        let mut sorted = Vec::new();
        for name in self.order.iter().filter(|name| wanted.contains(name)) {
            self.visit(name, &mut seen, &mut sorted);
        }
        sorted
    }

    /// Depth first with a stack of its own: a chain of dependencies may be as long as the file allows.
    fn visit<'p>(
        &'p self,
        name: &'p ProcessName,
        seen: &mut BTreeSet<&'p ProcessName>,
        sorted: &mut Vec<ProcessName>,
    ) {
        let Some((name, process)) = self.processes.get_key_value(name) else { return };
        if !seen.insert(name) {
            return;
        }
        let mut stack = vec![(name, process.depends_on.iter())];
        while let Some((name, dependencies)) = stack.last_mut() {
            match dependencies.next() {
                Some(dependency) => {
                    if let Some((name, process)) = self.processes.get_key_value(&dependency.process)
                        && seen.insert(name)
                    {
                        stack.push((name, process.depends_on.iter()));
                    }
                }
                None => {
                    sorted.push((*name).clone());
                    stack.pop();
                }
            }
        }
    }

    /// Returns what the file has for this plugin, as JSON; none when it says nothing.
    pub fn plugin_config(&self, plugin: &str) -> Option<String> {
        self.plugins.get(plugin)?.config.as_ref().map(ToString::to_string)
    }

    /// Returns the configuration of the default classifier, as JSON: what the file has for it under this name, and
    /// the user's patterns in the list `pattern`. None when there is neither.
    pub fn default_classifier_config(&self, plugin: &str) -> Option<String> {
        if self.patterns.is_empty() {
            return self.plugin_config(plugin);
        }
        let mut config =
            self.plugins.get(plugin).and_then(|plugin| plugin.config.clone()).unwrap_or_default();
        // Patterns written there come first, as they stand closer to the plugin.
        let mut patterns = match config.get_mut("pattern").map(serde_json::Value::take) {
            Some(serde_json::Value::Array(patterns)) => patterns,
            _ => Vec::new(),
        };
        patterns.extend(self.patterns.iter().map(|pattern| serde_json::json!(pattern)));
        config["pattern"] = serde_json::Value::Array(patterns);
        Some(config.to_string())
    }
}

/// Turns a directory's name into a project's: what may not stand in a name becomes `-`.
fn name_of_directory(dir: &Path) -> String {
    let full = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plain: String = full
        .chars()
        .take(crate::bounds::PROCESS_NAME_MAX)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
        .collect();
    let trimmed = plain.trim_start_matches(['-', '_', '.']);
    if trimmed.is_empty() { "project".to_owned() } else { trimmed.to_owned() }
}

/// One `[process.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessConfig {
    pub command: Command,
    /// Absolute when the project's directory is.
    pub cwd: PathBuf,
    pub env: EnvVars,
    /// Read at each start, later files over earlier ones.
    pub env_files: Vec<EnvFile>,
    /// `ostler up` starts it.
    pub autostart: bool,
    pub depends_on: Vec<DependsOn>,
    pub restart: RestartPolicy,
    pub ready: Ready,
    pub stop: StopPolicy,
}

impl ProcessConfig {
    /// Returns a process with every default, as an agent adds one without `ostler.toml`.
    pub fn new(command: Command, cwd: PathBuf) -> Self {
        Self {
            command,
            cwd,
            env: EnvVars::default(),
            env_files: Vec::new(),
            autostart: true,
            depends_on: Vec::new(),
            restart: RestartPolicy::default(),
            ready: Ready::default(),
            stop: StopPolicy::default(),
        }
    }
}

/// Environment variables. `Debug` shows their names only, because their values are where secrets live.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct EnvVars(pub BTreeMap<String, String>);

impl fmt::Debug for EnvVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, format_args!("…")))).finish()
    }
}

/// A file of `NAME=value` lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFile {
    pub path: PathBuf,
    /// Written with a `?` at the end: nothing is wrong when it does not exist.
    pub optional: bool,
}

/// A process that has to be somewhere before this one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependsOn {
    pub process: ProcessName,
    pub condition: Condition,
}

/// How far a dependency has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// It has been spawned.
    Started,
    /// Its readiness check holds.
    #[default]
    Ready,
    /// It has ended with exit code 0: migrations, builds.
    ExitedOk,
}

impl Condition {
    /// Every condition with the word for it.
    pub const WORDS: [(&str, Self); 3] =
        [("started", Self::Started), ("ready", Self::Ready), ("exited-ok", Self::ExitedOk)];
}

/// When to start a process again after it ended without being asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    pub when: RestartWhen,
    /// Pause before the first restart; it doubles with each further one.
    pub backoff_first: Duration,
    /// Longest pause.
    pub backoff_longest: Duration,
    /// Restarts within `window` after which the process is left alone as failed.
    pub max: u32,
    pub window: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            when: RestartWhen::OnFailure,
            backoff_first: Duration::from_millis(200),
            backoff_longest: Duration::from_secs(30),
            max: 5,
            window: Duration::from_secs(60),
        }
    }
}

/// After which exits to restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartWhen {
    /// After a signal or an exit code other than 0.
    OnFailure,
    /// After every exit.
    Always,
    Never,
}

impl RestartWhen {
    /// Every policy with the word for it.
    pub const WORDS: [(&str, Self); 3] =
        [("on-failure", Self::OnFailure), ("always", Self::Always), ("never", Self::Never)];
}

/// How to tell that a process serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Without one, plugins and the fact that it runs decide.
    pub check: Option<ReadyCheck>,
    /// How long a start may take until waiting for it is given up.
    pub timeout: Duration,
}

impl Default for Ready {
    fn default() -> Self {
        Self { check: None, timeout: Duration::from_secs(30) }
    }
}

/// One check of readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyCheck {
    /// A line of output matches this regular expression, which is known to compile.
    Log(String),
    /// Something accepts connections.
    Tcp(Endpoint),
    /// A GET is answered with a status below 400.
    Http(HttpUrl),
}

/// A host and a port to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address, without brackets; `localhost` stands for both loopback addresses.
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// Reads `127.0.0.1:8000`, `localhost:8000` or `[::1]:8000`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').filter(|inner| inner.contains(':'))?,
            None => Some(host).filter(|host| !host.contains(':'))?,
        };
        let is_host = !host.is_empty()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%'));
        let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        is_host.then(|| Self { host: host.to_owned(), port })
    }
}

/// As it is written, an IPv6 address in brackets.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// An address of plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    pub endpoint: Endpoint,
    /// Path and query, starting with `/`; fit for a request line.
    pub target: String,
}

impl HttpUrl {
    /// Reads `http://127.0.0.1:8000/health`; the port is 80 when there is none.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let target = target.split('#').next().unwrap_or_default();
        let with_port = Endpoint::parse(authority).or_else(|| Endpoint::parse(&format!("{authority}:80")));
        let is_target = target.bytes().all(|byte| byte.is_ascii_graphic());
        let slash = if target.starts_with('/') { "" } else { "/" };
        is_target.then_some(())?;
        Some(Self { endpoint: with_port?, target: format!("{slash}{target}") })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.endpoint, self.target)
    }
}

/// How to end a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopPolicy {
    /// The number of the first signal.
    pub signal: i32,
    /// Time between that and SIGKILL.
    pub grace: Duration,
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self { signal: signal_number("SIGTERM").unwrap_or(15), grace: Duration::from_secs(10) }
    }
}

/// One `[[pattern]]` of a file of log patterns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogPattern {
    pub name: String,
    /// Known to compile.
    pub regex: String,
    /// Never unknown.
    pub level: Level,
    /// Where several patterns match a line, the highest priority wins; the built-in ones have at most 90.
    pub priority: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
}

/// One `[plugin.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginConfig {
    pub enabled: bool,
    /// For the plugin; it says itself what it takes.
    pub config: Option<serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ProcessName {
        ProcessName::new(text).unwrap()
    }

    fn project(edges: &[(&str, &[&str])]) -> Project {
        let mut project = Project::empty(Path::new("/p"));
        for (process, needs) in edges {
            let mut config = ProcessConfig::new(Command::from_line("true").unwrap(), "/p".into());
            config.depends_on = needs
                .iter()
                .map(|need| DependsOn { process: name(need), condition: Condition::Ready })
                .collect();
            project.processes.insert(name(process), config);
            project.order.push(name(process));
        }
        project
    }

    fn sorted(project: &Project, wanted: &[&str]) -> Vec<String> {
        let wanted: Vec<ProcessName> = wanted.iter().map(|text| name(text)).collect();
        project.with_dependencies(&wanted).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let project = project(&[
            ("web", &["api"]),
            ("api", &["db", "cache"]),
            ("db", &[]),
            ("cache", &["db"]),
            ("x", &[]),
        ]);
        assert_eq!(sorted(&project, &["web", "db"]), ["db", "cache", "api", "web"]);
        assert_eq!(sorted(&project, &["x", "nobody"]), ["x"]);
    }

    #[test]
    fn a_cycle_made_by_hand_ends() {
        let project = project(&[("a", &["b"]), ("b", &["a"])]);
        assert_eq!(sorted(&project, &["a"]), ["b", "a"]);
    }

    #[test]
    fn a_directory_gives_a_safe_name() {
        let of = |path: &str| Project::empty(Path::new(path)).name;
        assert_eq!(of("/home/u/shop"), "shop");
        assert_eq!(of("/home/u/My Shop é"), "My-Shop--");
        assert_eq!(of("/home/u/.dotfiles"), "dotfiles");
        assert_eq!(of("/"), "project");
    }

    #[test]
    fn endpoints_are_read_strictly() {
        let read = |text| Endpoint::parse(text).map(|endpoint| endpoint.to_string());
        for good in ["127.0.0.1:8000", "localhost:1", "[::1]:8000", "my-db.local:5432"] {
            assert_eq!(read(good).as_deref(), Some(good));
        }
        for bad in ["localhost", "localhost:", ":80", "::1:80", "h:0", "h:65536", "h:+80", "a b:80", "[h]:80"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn urls_are_plain_http_and_fit_a_request_line() {
        let read = |text| HttpUrl::parse(text).map(|url| url.to_string());
        assert_eq!(read("http://localhost:8000").as_deref(), Some("http://localhost:8000/"));
        assert_eq!(read("http://h/a?b=c#d").as_deref(), Some("http://h:80/a?b=c"));
        assert_eq!(read("http://[::1]:3000/up").as_deref(), Some("http://[::1]:3000/up"));
        for bad in ["https://h/", "h:80", "http:///x", "http://h/a b", "http://u:p@h/", "http://h/\r\nX: y"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn debug_output_hides_the_values_of_variables() {
        let env = EnvVars([("TOKEN".to_owned(), "hunter2".to_owned())].into());
        assert_eq!(format!("{env:?}"), r#"{"TOKEN": …}"#);
    }
}
