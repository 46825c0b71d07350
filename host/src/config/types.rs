//! Owns the checked configuration as the rest of the program sees it.
//!
//! Plain values that compare and clone, so that a reload can tell what changed. How they are written in TOML is
//! `file`'s business; nothing here reads a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::process::{Group, ProcessConfig};
use super::watch::{Alert, Secrets};
use crate::bounds;
use crate::model::{Level, ProcessName};

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
    /// The files they are from.
    pub pattern_files: Vec<PathBuf>,
    /// Every group that is named anywhere, by its name.
    pub groups: BTreeMap<String, Group>,
    /// What the file says about plugins, by their names; a plugin that is not here is on and has no configuration.
    pub plugins: BTreeMap<String, PluginConfig>,
    /// How much log is kept.
    pub keep_logs: KeepLogs,
    /// By their names.
    pub alerts: Vec<Alert>,
    pub secrets: Secrets,
}

/// How much log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepLogs {
    /// Most bytes on the disk.
    pub bytes: u64,
    /// The age at which lines go; none for never.
    pub age: Option<Duration>,
    /// Most bytes of a process and its replicas.
    pub of: BTreeMap<ProcessName, u64>,
}

impl Default for KeepLogs {
    fn default() -> Self {
        Self { bytes: bounds::LOG_BYTES, age: Some(bounds::LOG_AGE), of: BTreeMap::new() }
    }
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
            pattern_files: Vec::new(),
            groups: BTreeMap::new(),
            plugins: BTreeMap::new(),
            keep_logs: KeepLogs::default(),
            alerts: Vec::new(),
            secrets: Secrets::default(),
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
    use super::super::command::Command;
    use super::super::process::{Condition, DependsOn};
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
}
