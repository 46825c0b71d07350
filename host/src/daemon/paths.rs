//! Where everything of a project lies. Only computes and creates directories; reads nothing in them.
//!
//! State is kept outside the project, because development servers watch their tree and a log inside it would set
//! them off; sockets are kept where paths are short, because a socket's path is bounded at 107 bytes (`unix(7)`).

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::api::doctor::Places;
use crate::config;

/// Longest path of a socket, in bytes, its final NUL left out.
const SOCKET_PATH_MAX: usize = 107;
/// Longest name of a socket in the runtime directory: `r` and a run's number.
const SOCKET_NAME_MAX: usize = 21;

/// The directories and files of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    pub project_dir: PathBuf,
    /// None in a directory without `ostler.toml`.
    pub config_file: Option<PathBuf>,
    pub state_dir: PathBuf,
    pub runtime_dir: PathBuf,
    /// The user's own plugins.
    pub user_plugins: Option<PathBuf>,
    /// Compiled plugins, shared by all projects of the user.
    pub compile_cache: PathBuf,
}

impl From<&Paths> for Places {
    fn from(paths: &Paths) -> Self {
        Self {
            config: paths.config_file.clone(),
            state_dir: paths.state_dir.clone(),
            runtime_dir: paths.runtime_dir.clone(),
            compile_cache: paths.compile_cache.clone(),
        }
    }
}

/// Why the places of a project cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    #[error("{}: {error}", path.display())]
    Unusable { path: PathBuf, error: io::Error },
    #[error("neither HOME nor XDG_STATE_HOME nor OSTLER_STATE_DIR is set, so there is no place for state")]
    NoHome,
    #[error("{} belongs to another user; remove it, or set XDG_RUNTIME_DIR to a directory of your own", .0.display())]
    Foreign(PathBuf),
    #[error("{} can be entered by others; run chmod 700 on it", .0.display())]
    Open(PathBuf),
}

impl Paths {
    /// Finds the project around `start` (the current directory when `None`): the nearest directory upwards with an
    /// `ostler.toml`, or `start` itself.
    pub fn find(start: Option<&Path>) -> Result<Self, PathsError> {
        let start = start.unwrap_or(Path::new("."));
        let unusable = |error| PathsError::Unusable { path: start.to_owned(), error };
        let start = fs::canonicalize(start).map_err(unusable)?;
        if !start.is_dir() {
            return Err(unusable(io::Error::from(io::ErrorKind::NotADirectory)));
        }
        let config_file = config::find(&start);
        let project_dir = match config_file.as_deref().and_then(Path::parent) {
            Some(dir) => dir.to_owned(),
            None => start,
        };
        Self::of(project_dir, config_file, |name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    /// Returns the directory that holds the state of all projects, one directory each.
    pub fn state_root() -> Result<PathBuf, PathsError> {
        let nowhere = Self::of("/".into(), None, |name| std::env::var_os(name).filter(|v| !v.is_empty()))?;
        Ok(nowhere.state_dir.parent().map(Path::to_owned).unwrap_or_default())
    }

    fn of(
        project_dir: PathBuf,
        config_file: Option<PathBuf>,
        env: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, PathsError> {
        let home = env("HOME").map(PathBuf::from);
        let under_home = |variable: &str, default: &str| {
            let from_home = || home.as_ref().map(|home| home.join(default));
            env(variable).map(PathBuf::from).filter(|dir| dir.is_absolute()).or_else(from_home)
        };
        let base = match env("OSTLER_STATE_DIR") {
            Some(dir) => std::path::absolute(dir)
                .map_err(|error| PathsError::Unusable { path: "OSTLER_STATE_DIR".into(), error })?,
            None => under_home("XDG_STATE_HOME", ".local/state").ok_or(PathsError::NoHome)?.join("ostler"),
        };
        let state_dir = base.join(format!("{}-{}", short_name(&project_dir), digest(&project_dir, 10)));
        // Two state directories of one project are two daemons, so the sockets go by the state directory.
        let socket_dir = digest(&state_dir, 12);
        let private = PathBuf::from(format!("/tmp/ostler-{}", rustix::process::getuid().as_raw()));
        let runtime_dir = env("XDG_RUNTIME_DIR")
            .map(|dir| PathBuf::from(dir).join("ostler").join(&socket_dir))
            .filter(|dir| dir.is_absolute() && fits(dir))
            .unwrap_or_else(|| private.join(&socket_dir));
        Ok(Self {
            compile_cache: match env("OSTLER_STATE_DIR") {
                Some(_) => base.join("compiled"),
                None => {
                    under_home("XDG_CACHE_HOME", ".cache").ok_or(PathsError::NoHome)?.join("ostler/compiled")
                }
            },
            user_plugins: under_home("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("ostler/plugins")),
            project_dir,
            config_file,
            state_dir,
            runtime_dir,
        })
    }

    /// Creates the state and runtime directories for the user alone.
    pub fn create(&self) -> Result<(), PathsError> {
        for dir in [&self.state_dir, &self.runs_dir(), &self.log_dir()] {
            private_dir(dir)?;
        }
        // In /tmp anybody may have made the parent first.
        if let Some(parent) = self.runtime_dir.parent() {
            private_dir(parent)?;
        }
        private_dir(&self.runtime_dir)
    }

    /// Returns what tells this project from all others on the machine, where a name has to do so: sixteen hexadecimal
    /// digits.
    pub fn key(&self) -> String {
        digest(&self.state_dir, 16)
    }

    /// Returns the daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime_dir.join("daemon")
    }

    /// Returns the file by which all daemons of the user keep from choosing the same port.
    pub fn port_claims(&self) -> PathBuf {
        self.runtime_dir.with_file_name("ports")
    }

    /// Returns the file whose lock the daemon holds while it lives.
    pub fn lock(&self) -> PathBuf {
        self.state_dir.join("daemon.lock")
    }

    /// Returns the daemon's own log.
    pub fn daemon_log(&self) -> PathBuf {
        self.state_dir.join("daemon.log")
    }

    /// Returns the directory that holds a directory for each run.
    pub fn runs_dir(&self) -> PathBuf {
        Self::runs_dir_in(&self.state_dir)
    }

    /// The same of any project, by its state directory.
    pub fn runs_dir_in(state_dir: &Path) -> PathBuf {
        state_dir.join("runs")
    }

    /// Returns the directory of the log's segments.
    pub fn log_dir(&self) -> PathBuf {
        self.state_dir.join("log")
    }

    /// Returns the catalogue.
    pub fn catalogue(&self) -> PathBuf {
        self.state_dir.join("catalogue.sqlite")
    }

    /// Returns where the project's own plugins are.
    pub fn project_plugins(&self) -> PathBuf {
        self.project_dir.join(".ostler/plugins")
    }
}

/// Returns the directory's name with everything but letters, digits, `-`, `_` and `.` replaced, for people who look
/// into the state directory; the digest beside it is what makes it unique.
fn short_name(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = name.chars().take(32).map(plain).collect();
    if name.is_empty() { "root".to_owned() } else { name }
}

fn digest(path: &Path, length: usize) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(path.as_os_str().as_bytes()) {
        text.push_str(&format!("{byte:02x}"));
    }
    text.truncate(length);
    text
}

fn fits(dir: &Path) -> bool {
    dir.as_os_str().len() + 1 + SOCKET_NAME_MAX <= SOCKET_PATH_MAX
}

fn private_dir(dir: &Path) -> Result<(), PathsError> {
    let unusable = |error| PathsError::Unusable { path: dir.to_owned(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
    let metadata = fs::symlink_metadata(dir).map_err(unusable)?;
    if !metadata.is_dir() {
        return Err(unusable(io::Error::from(io::ErrorKind::NotADirectory)));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(PathsError::Foreign(dir.to_owned()));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(PathsError::Open(dir.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dir: &str, env: &[(&str, &str)]) -> Paths {
        let lookup =
            |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        Paths::of(dir.into(), None, lookup).unwrap()
    }

    #[test]
    fn two_worktrees_of_one_name_are_two_projects() {
        let env = [("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/1")];
        let (a, b) = (of("/a/shop", &env), of("/b/shop", &env));
        assert!(a.state_dir.starts_with("/home/u/.local/state/ostler"));
        assert_ne!(a.state_dir, b.state_dir);
        assert_ne!(a.runtime_dir, b.runtime_dir);
    }

    #[test]
    fn sockets_fit_whatever_the_directories_are_called() {
        let long = format!("/run/{}", "x".repeat(120));
        for env in [
            vec![("HOME", "/home/u")],
            vec![("HOME", "/home/u"), ("XDG_RUNTIME_DIR", long.as_str())],
            vec![("OSTLER_STATE_DIR", long.as_str()), ("HOME", "/home/u")],
        ] {
            assert!(fits(&of(&long, &env).runtime_dir));
        }
    }

    #[test]
    fn a_state_directory_of_ones_own_wins_and_never_shares_sockets() {
        let with =
            |state| of("/p", &[("HOME", "/h"), ("OSTLER_STATE_DIR", state), ("XDG_RUNTIME_DIR", "/run/u")]);
        assert!(with("/s1").state_dir.starts_with("/s1"));
        assert_ne!(with("/s1").runtime_dir, with("/s2").runtime_dir);
    }
}
