//! Toolsets: named sets of tools, because every tool costs every turn of every conversation.
//!
//! Owns their names and the reading of `--toolsets`. What a tool does is its own affair.

use super::suggest::closest;

/// A set a tool belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Toolset {
    /// Starting, watching and diagnosing processes: what every agent needs.
    Core,
    /// Looking closer at processes, signals, and what is added or removed while running.
    Processes,
    /// Groups of processes.
    Groups,
    /// Looking closer at the log and at errors.
    Logs,
}

impl Toolset {
    /// Every toolset.
    pub const ALL: [Self; 4] = [Self::Core, Self::Processes, Self::Groups, Self::Logs];

    /// Returns the name used in `--toolsets`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Processes => "processes",
            Self::Groups => "groups",
            Self::Logs => "logs",
        }
    }
}

/// The word for every toolset there is.
const EVERY: &str = "all";

/// A name that is no toolset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no toolset `{name}`{}; the toolsets are {}", did_you_mean(name), names().join(", "))]
pub struct UnknownToolset {
    name: String,
}

/// The toolsets one client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolsets(Vec<Toolset>);

/// What a client gets that asks for nothing: `core`.
impl Default for Toolsets {
    fn default() -> Self {
        Self(vec![Toolset::Core])
    }
}

impl Toolsets {
    /// Reads a comma-separated list such as `core` or `all`; an empty one means the default.
    ///
    /// # Errors
    /// When a name is not that of a toolset; the error names those that exist.
    pub fn parse(list: &str) -> Result<Self, UnknownToolset> {
        Self::from_names(list.split(',').map(str::trim).filter(|name| !name.is_empty()))
    }

    /// Reads names one by one, as the first line of a connection carries them; none means the default.
    ///
    /// # Errors
    /// As [`Toolsets::parse`].
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownToolset> {
        let mut toolsets = Vec::new();
        for name in names {
            match Toolset::ALL.into_iter().find(|toolset| toolset.name() == name) {
                Some(toolset) if toolsets.contains(&toolset) => {}
                Some(toolset) => toolsets.push(toolset),
                None if name == EVERY => toolsets = Toolset::ALL.to_vec(),
                None => return Err(UnknownToolset { name: name.chars().take(64).collect() }),
            }
        }
        Ok(if toolsets.is_empty() { Self::default() } else { Self(toolsets) })
    }

    /// Returns every name that may be asked for.
    pub fn known() -> Vec<&'static str> {
        names()
    }

    /// Returns whether `toolset` was asked for.
    pub fn contains(&self, toolset: Toolset) -> bool {
        self.0.contains(&toolset)
    }

    /// Returns the names, as [`Toolsets::from_names`] reads them.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|toolset| toolset.name())
    }
}

fn names() -> Vec<&'static str> {
    Toolset::ALL.iter().map(|toolset| toolset.name()).chain([EVERY]).collect()
}

fn did_you_mean(name: &str) -> String {
    closest(name, names()).map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_means_core() {
        assert_eq!(Toolsets::parse("").unwrap(), Toolsets::default());
        assert_eq!(Toolsets::parse(" , ").unwrap(), Toolsets::default());
        assert_eq!(Toolsets::default().names().collect::<Vec<_>>(), ["core"]);
    }

    #[test]
    fn lists_are_read_and_doubles_ignored() {
        assert_eq!(Toolsets::parse("core, core").unwrap(), Toolsets::default());
        assert!(Toolset::ALL.iter().all(|toolset| Toolsets::parse("all,core").unwrap().contains(*toolset)));
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_that_exist() {
        insta::assert_snapshot!(
            Toolsets::parse("core,cor").unwrap_err(),
            @"there is no toolset `cor` (did you mean `core`?); the toolsets are core, processes, groups, logs, all"
        );
        insta::assert_snapshot!(
            Toolsets::parse("plugins").unwrap_err(),
            @"there is no toolset `plugins`; the toolsets are core, processes, groups, logs, all"
        );
    }
}
