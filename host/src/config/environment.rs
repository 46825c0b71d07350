//! Owns the environment of a process: what it is made of, where each variable comes from, and what `${NAME}` stands
//! for in the configuration's `env`.
//!
//! From the lowest to the highest: what Ostler was started with (as far as `inherit_env` lets it through), the files
//! of `env_file` in their order, `env`, and what Ostler itself sets (`PORT`, `OSTLER_PROCESS`, `OSTLER_PROJECT`). Some
//! have a default below all of these: `PYTHONUNBUFFERED=1`, `PATH`, and for a process with a terminal `TERM`.
//!
//! A value of `env` may refer to all other variables of the process: `${NAME}`, or `${NAME:-default}` for when that is
//! not set or empty. A variable that refers to itself means what lies below it, as in `PATH = "bin:${PATH}"`. `$${`
//! stands for a plain `${`; a `$` without a brace is an ordinary character, as passwords have them.
//!
//! Errors name variables, never values.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use super::error::ConfigError;
use super::process::{InheritEnv, ProcessConfig};
use super::source::shown;

/// Where programs are looked for when nothing sets `PATH`, as `execvp(3)` does.
pub const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// What kind of terminal a process with `pty = true` is told to have, when nothing says.
const TERM: &str = "xterm-256color";
/// Longest value, in bytes: what `execve(2)` takes on Linux (`MAX_ARG_STRLEN`).
pub(super) const VALUE_BYTES: usize = 128 << 10;
/// Most variables of `env` that refer to each other in a row.
const DEPTH: usize = 32;

/// Set unless something else sets it: Python holds back its output to a pipe otherwise.
const PYTHON_UNBUFFERED: (&str, &str) = ("PYTHONUNBUFFERED", "1");
/// What is meant for Ostler itself and would mislead a process: whose child it is, and the sockets of a service
/// manager (`sd_notify(3)`, `sd_listen_fds(3)`), which would take a child's word for the daemon's.
const NEVER_INHERITED: [&str; 9] = [
    "OSTLER_PROCESS",
    "OSTLER_PROJECT",
    "OSTLER_REPLICA",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
];

/// The variables of a process, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment(BTreeMap<OsString, Variable>);

/// One variable. `Debug` does not show the value, because that is where secrets live.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    pub value: OsString,
    pub origin: Origin,
}

/// Where a variable comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The environment Ostler was started with.
    Inherited,
    /// An `env_file`.
    File(PathBuf),
    /// `env` in the configuration.
    Config,
    /// Ostler sets it.
    Ostler,
}

/// Why a process has no environment to start with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    #[error(transparent)]
    File(#[from] ConfigError),
    #[error(
        "`env.{key}` refers to `${{{variable}}}`, which is not set; set it, or give a default: `${{{variable}:-…}}`"
    )]
    NotSet { key: String, variable: String },
    #[error(
        "the variables of `env` refer to each other in a circle: {0}; give one of them a value of its own"
    )]
    Circle(String),
    #[error(
        "`env.{0}` has a `${{` that begins no reference; write `${{NAME}}` or `${{NAME:-default}}`, or `$${{` for a \
         plain `${{`"
    )]
    NotAReference(String),
    #[error("the value of `env.{0}` is longer than the {VALUE_BYTES} bytes a variable may have")]
    TooLong(String),
    #[error(
        "more than {DEPTH} variables of `env` refer to each other in a row, the last is `{0}`; write its value out"
    )]
    TooDeep(String),
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "… ({:?})", self.origin)
    }
}

impl Environment {
    /// Returns the value of a variable.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.0.get(name.as_ref()).map(|variable| variable.value.as_os_str())
    }

    /// Returns every variable, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &Variable)> {
        self.0.iter().map(|(name, variable)| (name.as_os_str(), variable))
    }

    /// Returns names and values, sorted by name.
    pub fn into_pairs(self) -> Vec<(OsString, OsString)> {
        self.0.into_iter().map(|(name, variable)| (name, variable.value)).collect()
    }

    pub(super) fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>, origin: Origin) {
        self.0.insert(name.into(), Variable { value: value.into(), origin });
    }
}

impl ProcessConfig {
    /// Returns the environment of the process. `base` is the environment of Ostler; `own` is what Ostler sets. Files
    /// are read as they are now.
    ///
    /// # Errors
    /// A file that does not exist, unless it is optional, that cannot be read, or that is not such a file; a reference
    /// that leads nowhere.
    pub fn environment(
        &self,
        base: impl IntoIterator<Item = (OsString, OsString)>,
        own: &[(&str, OsString)],
    ) -> Result<Environment, EnvironmentError> {
        let mut env = Environment::default();
        env.set(PYTHON_UNBUFFERED.0, PYTHON_UNBUFFERED.1, Origin::Ostler);
        for (name, value) in base {
            if self.inherit_env.lets_through(&name) {
                env.set(name, value, Origin::Inherited);
            }
        }
        for file in &self.env_files {
            super::envfile::read_into(file, &mut env)?;
        }
        let mut resolver =
            Resolver { env: &self.env.0, below: &env, own, known: BTreeMap::new(), path: Vec::new() };
        for key in self.env.0.keys() {
            resolver.value(key)?;
        }
        let known: Vec<(String, OsString)> =
            resolver.known.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for (name, value) in known {
            env.set(name, value, Origin::Config);
        }
        for (name, value) in own {
            env.set(*name, value.clone(), Origin::Ostler);
        }
        if env.get("PATH").is_none() {
            env.set("PATH", DEFAULT_PATH, Origin::Ostler);
        }
        if self.pty && env.get("TERM").is_none() {
            env.set("TERM", TERM, Origin::Ostler);
        }
        Ok(env)
    }

    /// Returns the environment of the process without what Ostler sets for one run, sorted by name.
    ///
    /// # Errors
    /// As [`ProcessConfig::environment`].
    pub fn effective_env(
        &self,
        base: &[(OsString, OsString)],
    ) -> Result<Vec<(OsString, OsString)>, EnvironmentError> {
        Ok(self.environment(base.iter().cloned(), &[])?.into_pairs())
    }
}

impl InheritEnv {
    fn lets_through(&self, name: &OsStr) -> bool {
        let wanted = match self {
            Self::All => true,
            Self::None => false,
            Self::Only(names) => names.iter().any(|wanted| name == wanted.as_str()),
        };
        wanted && !NEVER_INHERITED.iter().any(|never| name == *never)
    }
}

/// Finds the values of `env`, each once.
struct Resolver<'a> {
    env: &'a BTreeMap<String, String>,
    below: &'a Environment,
    own: &'a [(&'a str, OsString)],
    known: BTreeMap<&'a str, OsString>,
    /// The variables whose values are being found, each referring to the next.
    path: Vec<&'a str>,
}

impl<'a> Resolver<'a> {
    fn value(&mut self, key: &'a str) -> Result<OsString, EnvironmentError> {
        if let Some(value) = self.known.get(key) {
            return Ok(value.clone());
        }
        if let Some(first) = self.path.iter().position(|name| *name == key) {
            let circle: Vec<String> =
                self.path[first..].iter().chain([&key]).map(|name| format!("`{}`", shown(name))).collect();
            return Err(EnvironmentError::Circle(circle.join(" → ")));
        }
        if self.path.len() >= DEPTH {
            return Err(EnvironmentError::TooDeep(shown(key)));
        }
        let Some(text) = self.env.get(key) else { return Ok(OsString::new()) };
        self.path.push(key);
        let mut value = OsString::new();
        for piece in Pieces(text) {
            match piece {
                Piece::Text(text) => value.push(text),
                Piece::Reference { name, default } => value.push(self.reference(key, name, default)?),
                Piece::Broken => return Err(EnvironmentError::NotAReference(shown(key))),
            }
            if value.len() > VALUE_BYTES {
                return Err(EnvironmentError::TooLong(shown(key)));
            }
        }
        self.path.pop();
        self.known.insert(key, value.clone());
        Ok(value)
    }

    fn reference(
        &mut self,
        key: &str,
        name: &str,
        default: Option<&str>,
    ) -> Result<OsString, EnvironmentError> {
        let found = if let Some((_, value)) = self.own.iter().find(|(own, _)| *own == name) {
            Some(value.clone())
        } else if let Some((other, _)) = self.env.get_key_value(name).filter(|(other, _)| *other != key) {
            Some(self.value(other)?)
        } else {
            self.below.get(name).map(OsStr::to_owned)
        };
        match (found, default) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.into()),
            (None, None) => Err(EnvironmentError::NotSet { key: shown(key), variable: shown(name) }),
        }
    }
}

/// A stretch of a value.
enum Piece<'t> {
    Text(&'t str),
    Reference {
        name: &'t str,
        default: Option<&'t str>,
    },
    /// A `${` that begins no reference.
    Broken,
}

/// Cuts a value into its pieces; ends after a broken one.
struct Pieces<'t>(&'t str);

impl<'t> Iterator for Pieces<'t> {
    type Item = Piece<'t>;

    fn next(&mut self) -> Option<Piece<'t>> {
        if self.0.is_empty() {
            return None;
        }
        if let Some(rest) = self.0.strip_prefix("$${") {
            self.0 = rest;
            return Some(Piece::Text("${"));
        }
        if let Some(rest) = self.0.strip_prefix("${") {
            let piece = reference(rest);
            self.0 = piece.as_ref().map_or("", |(_, rest)| rest);
            return Some(piece.map_or(Piece::Broken, |(piece, _)| piece));
        }
        // Both begin with a dollar sign; one that begins neither is text.
        let from = usize::from(self.0.starts_with('$'));
        let end = self.0[from..].find('$').map_or(self.0.len(), |at| from + at);
        let (text, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(Piece::Text(text))
    }
}

/// Reads `NAME}` or `NAME:-default}` and returns what follows.
fn reference(text: &str) -> Option<(Piece<'_>, &str)> {
    let (inner, rest) = text.split_once('}')?;
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some((Piece::Reference { name, default }, rest))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::super::command::Command;
    use super::super::process::{EnvFile, EnvVars};
    use super::*;

    fn process(env: &[(&str, &str)]) -> ProcessConfig {
        let mut process = ProcessConfig::new(Command::from_line("true").unwrap(), "/".into());
        process.env =
            EnvVars(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        process
    }

    fn base() -> Vec<(OsString, OsString)> {
        [("HOME", "/home/u"), ("PATH", "/bin"), ("EMPTY", "")]
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    }

    fn value(env: &[(&str, &str)], name: &str) -> String {
        let own = [("PORT", "8000".into())];
        let environment = process(env).environment(base(), &own).unwrap();
        environment.get(name).unwrap().to_str().unwrap().to_owned()
    }

    fn error(env: &[(&str, &str)]) -> String {
        process(env).environment(base(), &[]).unwrap_err().to_string()
    }

    #[test]
    fn references_reach_every_variable_of_the_process() {
        for (text, expected) in [
            ("${HOME}/x", "/home/u/x"),
            ("http://localhost:${PORT}/", "http://localhost:8000/"),
            ("${OTHER}-${OTHER}", "/home/u!-/home/u!"),
            ("${NOT_SET:-a:-b}", "a:-b"),
            ("${EMPTY:-d}${EMPTY}", "d"),
            ("pa$word$$5 $", "pa$word$$5 $"),
            ("$${HOME} $$${HOME}", "${HOME} $${HOME}"),
            ("", ""),
        ] {
            assert_eq!(value(&[("A", text), ("OTHER", "${HOME}!")], "A"), expected, "{text}");
        }
    }

    #[test]
    fn a_variable_that_refers_to_itself_means_what_lies_below() {
        assert_eq!(value(&[("PATH", "bin:${PATH}")], "PATH"), "bin:/bin");
        assert_eq!(value(&[("NEW", "${NEW:-first}")], "NEW"), "first");
    }

    #[test]
    fn what_leads_nowhere_is_an_error_that_names_key_and_variable_and_no_value() {
        assert_snapshot!(
            error(&[("URL", "pg://u:hunter2@${DB_HOST}/x")]),
            @"`env.URL` refers to `${DB_HOST}`, which is not set; set it, or give a default: `${DB_HOST:-…}`"
        );
        assert_snapshot!(
            error(&[("A", "${B}"), ("B", "${C}"), ("C", "hunter2 ${A}")]),
            @"the variables of `env` refer to each other in a circle: `A` → `B` → `C` → `A`; give one of them a value of its own"
        );
        assert_snapshot!(
            error(&[("A", "hunter2${B-x}")]),
            @"`env.A` has a `${` that begins no reference; write `${NAME}` or `${NAME:-default}`, or `$${` for a plain `${`"
        );
        assert!(error(&[("A", "${open")]).contains("begins no reference"));
        assert!(error(&[("A", "${A}")]).contains("is not set"));
    }

    #[test]
    fn references_neither_multiply_nor_pile_up_without_end() {
        let names: Vec<String> = (0..60).map(|index| format!("V{index:02}")).collect();
        let doubling: Vec<(&str, String)> = (0..60)
            .map(|index| match index {
                0 => (names[0].as_str(), "x".repeat(9000)),
                _ => (names[index].as_str(), format!("${{V{:02}}}${{V{:02}}}", index - 1, index - 1)),
            })
            .collect();
        let doubling: Vec<(&str, &str)> =
            doubling.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert_snapshot!(error(&doubling), @"the value of `env.V04` is longer than the 131072 bytes a variable may have");
        let chain: Vec<(String, String)> =
            (0..60).map(|index| (names[index].clone(), format!("${{V{:02}}}", index + 1))).collect();
        let chain: Vec<(&str, &str)> = chain.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        assert!(error(&chain).starts_with("more than 32 variables"), "{}", error(&chain));
    }

    #[test]
    fn origins_are_known_and_ostler_has_the_last_word() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        std::fs::write(&file, "FILE=1\nHOME=file\nPORT=1\n").unwrap();
        let mut process = process(&[("PORT", "2"), ("OWN", "3")]);
        process.env_files = vec![EnvFile { path: file, optional: false }];
        let environment = process.environment(base(), &[("PORT", "8000".into())]).unwrap();
        let told: Vec<String> = environment
            .iter()
            .map(|(name, variable)| {
                let origin = match &variable.origin {
                    Origin::File(path) => format!("file {}", path.file_name().unwrap().display()),
                    other => format!("{other:?}"),
                };
                format!("{}={} {origin}", name.display(), variable.value.display())
            })
            .collect();
        assert_eq!(
            told,
            [
                "EMPTY= Inherited",
                "FILE=1 file .env",
                "HOME=file file .env",
                "OWN=3 Config",
                "PATH=/bin Inherited",
                "PORT=8000 Ostler",
                "PYTHONUNBUFFERED=1 Ostler",
            ]
        );
        assert!(!format!("{environment:?}").contains("8000"));
    }

    #[test]
    fn inheriting_is_chosen_and_a_path_is_there_all_the_same() {
        let names = |inherit| {
            let process = ProcessConfig { inherit_env: inherit, ..process(&[]) };
            let environment = process.environment(base(), &[]).unwrap();
            let names: Vec<_> =
                environment.iter().map(|(name, _)| name.to_str().unwrap().to_owned()).collect();
            (names.join(" "), environment.get("PATH").unwrap().to_owned())
        };
        assert_eq!(names(InheritEnv::None), ("PATH PYTHONUNBUFFERED".to_owned(), DEFAULT_PATH.into()));
        let only = InheritEnv::Only(vec!["HOME".to_owned(), "NOT_SET".to_owned()]);
        assert_eq!(names(only).0, "HOME PATH PYTHONUNBUFFERED");
        assert_eq!(names(InheritEnv::All), ("EMPTY HOME PATH PYTHONUNBUFFERED".to_owned(), "/bin".into()));
    }

    #[test]
    fn what_is_meant_for_the_daemon_stays_with_it() {
        let base = [("NOTIFY_SOCKET", "/run/x"), ("OSTLER_PROCESS", "outer"), ("OSTLER_STATE_DIR", "/s")];
        let base = base.map(|(name, value)| (name.into(), value.into()));
        let environment = process(&[]).environment(base, &[]).unwrap();
        assert_eq!(environment.get("NOTIFY_SOCKET"), None);
        assert_eq!(environment.get("OSTLER_PROCESS"), None);
        assert_eq!(environment.get("OSTLER_STATE_DIR"), Some(OsStr::new("/s")));
    }

    #[test]
    fn python_stays_buffered_when_the_user_says_so() {
        let base = [("PYTHONUNBUFFERED".into(), "".into())];
        let environment = process(&[]).environment(base, &[]).unwrap();
        assert_eq!(environment.get("PYTHONUNBUFFERED"), Some(OsStr::new("")));
    }

    proptest! {
        #[test]
        fn values_without_a_brace_stay_as_they_are(text in "[^{]{0,40}") {
            prop_assert_eq!(value(&[("A", &text)], "A"), text);
        }

        #[test]
        fn no_value_panics(text in "[AB$\\{\\}:\\-é]{0,30}") {
            let _ = process(&[("A", &text), ("B", &text)]).environment(base(), &[]);
        }
    }
}
