//! All projects with state on this machine, as their state directories tell it; and the removal of what is left of
//! projects that are gone.
//!
//! Talks to no daemon: that one runs is seen by the lock it holds.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::{LockError, Paths, ProjectFile, ProjectLock};
use crate::shim;

/// Most state directories that are looked at.
const PROJECTS: usize = 10_000;

/// A project as its state directory tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownProject {
    pub state_dir: PathBuf,
    /// Absent where no daemon has written it yet, or a newer Ostler has.
    pub file: Option<ProjectFile>,
    /// Whether the project's directory exists; not known without the file.
    pub exists: Option<bool>,
    /// Runs whose end nobody has written down: without a daemon they may live on.
    pub open_runs: usize,
}

/// Returns every project below the directory `root`, in the order of their state directories' names.
///
/// # Errors
/// When the directory cannot be read; that it does not exist is no error.
pub fn known_projects(root: &Path) -> io::Result<Vec<KnownProject>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut dirs: Vec<PathBuf> =
        entries.flatten().filter(is_dir).map(|entry| entry.path()).take(PROJECTS).collect();
    dirs.sort_unstable();
    Ok(dirs.into_iter().filter(|dir| dir.join("catalogue.sqlite").exists()).map(look).collect())
}

fn look(state_dir: PathBuf) -> KnownProject {
    let file = ProjectFile::read(&state_dir).ok().flatten();
    KnownProject {
        exists: file.as_ref().map(|file| file.dir.is_dir()),
        open_runs: open_runs(&state_dir).count(),
        file,
        state_dir,
    }
}

/// Returns the directories of the runs below a project's state directory whose end nobody has written down: while no
/// daemon runs, they may live on.
pub fn open_runs(state_dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let runs = Paths::runs_dir_in(state_dir).read_dir();
    let runs = runs.into_iter().flatten().flatten().map(|run| run.path());
    runs.filter(|run| !matches!(shim::read_done(run), Ok(Some(_))))
}

/// Why the state of a project is not removed.
#[derive(Debug, thiserror::Error)]
pub enum NotPruned {
    #[error("its directory exists")]
    Exists,
    #[error("nobody knows its directory: start a daemon there once, or remove the state yourself")]
    Unknown,
    #[error("its daemon runs (pid {0}): `ostler -C DIR down` or kill end it")]
    Runs(String),
    #[error("a process of it still runs without a daemon, under the shim at {}", .0.display())]
    LivesOn(PathBuf),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Removes the state of a project whose directory is gone and of which nothing runs.
pub fn prune(project: &KnownProject) -> Result<(), NotPruned> {
    let file = project.file.as_ref().ok_or(NotPruned::Unknown)?;
    // Looked at again, since time has passed; of a disk that is not mounted the parents are gone too.
    if file.dir.symlink_metadata().is_ok() {
        return Err(NotPruned::Exists);
    }
    // Held until all is gone, so that no daemon begins in what is being removed.
    let _lock = ProjectLock::take(&project.state_dir.join("daemon.lock")).map_err(|error| match error {
        LockError::Held { pid } => NotPruned::Runs(pid),
        LockError::Io { error, .. } => NotPruned::Io(error),
    })?;
    let sockets = file.socket.parent().filter(|dir| dir.is_absolute() && file.socket.ends_with("daemon"));
    for run in open_runs(&project.state_dir) {
        let number = run.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let socket = sockets.map(|dir| dir.join(format!("r{number}")));
        if let Some(socket) = socket.filter(|socket| UnixStream::connect(socket).is_ok()) {
            return Err(NotPruned::LivesOn(socket));
        }
    }
    fs::remove_dir_all(&project.state_dir)?;
    // What is left there are sockets nobody listens on; that somebody else's files are there too is fine.
    if let Some(sockets) = sockets {
        let _ = fs::remove_file(sockets.join("daemon"));
        let _ = fs::remove_dir(sockets);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::STATE_FORMAT;

    fn project(root: &Path, name: &str, dir: &Path) -> PathBuf {
        let state_dir = root.join(name);
        fs::create_dir_all(state_dir.join("runs")).unwrap();
        fs::write(state_dir.join("catalogue.sqlite"), "").unwrap();
        let file = ProjectFile {
            format: STATE_FORMAT,
            version: "0.1.0".into(),
            name: name.into(),
            dir: dir.into(),
            socket: root.join(format!("{name}-sockets/daemon")),
            boot: None,
            ended: true,
        };
        file.write(&state_dir).unwrap();
        state_dir
    }

    #[test]
    fn only_what_is_gone_and_does_not_run_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let gone = root.path().join("nowhere");
        assert_eq!(known_projects(&gone).unwrap(), []);
        project(root.path(), "here", root.path());
        let vanished = project(root.path(), "vanished", &gone);
        let running = project(root.path(), "running", &gone);
        let living = project(root.path(), "living", &gone);
        let unknown = project(root.path(), "unknown", &gone);
        fs::remove_file(unknown.join("project.json")).unwrap();
        fs::create_dir(root.path().join("compiled")).unwrap();
        let _lock = ProjectLock::take(&running.join("daemon.lock")).unwrap();
        fs::create_dir(living.join("runs/7")).unwrap();
        fs::create_dir(root.path().join("living-sockets")).unwrap();
        let _shim = std::os::unix::net::UnixListener::bind(root.path().join("living-sockets/r7")).unwrap();

        let projects = known_projects(root.path()).unwrap();
        let told: Vec<(String, String)> = projects
            .iter()
            .map(|project| {
                let name = project.state_dir.file_name().unwrap().to_string_lossy().into_owned();
                (name, prune(project).map_or_else(|why| why.to_string(), |()| "removed".to_owned()))
            })
            .collect();
        let told: Vec<(&str, &str)> = told.iter().map(|(a, b)| (a.as_str(), &b[..b.len().min(20)])).collect();
        let expected = [
            ("here", "its directory exists"),
            ("living", "a process of it stil"),
            ("running", "its daemon runs (pid"),
            ("unknown", "nobody knows its dir"),
            ("vanished", "removed"),
        ];
        assert_eq!(told, expected);
        assert!(!vanished.exists() && living.exists() && running.exists());
    }
}
