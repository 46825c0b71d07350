//! Checks before a spawn, so that a missing program or directory is named and not just `ENOENT`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::bounds::PORT_RANGE;

/// Why a process cannot be started, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartProblem {
    #[error("working directory {} does not exist; create it, or correct `cwd`", .0.display())]
    NoDirectory(PathBuf),
    #[error("working directory {} is not a directory; correct `cwd`", .0.display())]
    NotADirectory(PathBuf),
    #[error(
        "program `{program}` was not found in PATH ({path}); install it, or give its full path in `command`"
    )]
    NotInPath { program: String, path: String },
    #[error("program {} does not exist; correct `command`", .0.display())]
    NoProgram(PathBuf),
    #[error("program {} is a directory; correct `command`", .0.display())]
    ProgramIsDirectory(PathBuf),
    #[error("program {} is not executable; run chmod +x on it, or start it through its interpreter", .0.display())]
    NotExecutable(PathBuf),
    #[error(
        "`limits.{key}` is {wanted}, above the {hard} this user may set: lower it, or raise the hard limit (`ulimit \
         -H`, /etc/security/limits.conf, `LimitNOFILE=` and its like of a systemd unit) and start the daemon anew"
    )]
    AboveHardLimit { key: &'static str, wanted: String, hard: String },
    #[error("{0}")]
    Environment(String),
    /// The configured port is not free; `holder` says who has it and what to do.
    #[error("port {port} is taken by {holder}")]
    PortTaken { port: u16, holder: String },
    #[error(
        "no port from {} to {} is free for `port = \"auto\"`; end some of what listens there, or name a port",
        PORT_RANGE.start(),
        PORT_RANGE.end()
    )]
    NoFreePort,
    #[error("cannot spawn: {0}")]
    Spawn(String),
    /// As `Spawn`, for want of something that the system may have again in a moment.
    #[error("cannot spawn: {0}")]
    System(String),
    #[error("the log and run store cannot be written: {0}; processes that run are not affected")]
    Store(String),
}

impl StartProblem {
    /// Returns whether the same start may well work a moment later: a port is given back by whoever has it, be that
    /// what the last run has left behind or a stranger.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::System(_) | Self::Store(_) | Self::PortTaken { .. } | Self::NoFreePort)
    }
}

/// Returns the full path of `program`, looked for as a shell would: relative to `cwd` when it has a slash, else
/// along `path`.
pub fn resolve_program(program: &OsStr, cwd: &Path, path: &OsStr) -> Result<PathBuf, StartProblem> {
    if program.as_bytes().contains(&b'/') {
        let full = cwd.join(program);
        return check_executable(&full).map(|()| full);
    }
    let mut unusable = None;
    for dir in std::env::split_paths(path).filter(|dir| !dir.as_os_str().is_empty()) {
        let full = cwd.join(dir).join(program);
        match check_executable(&full) {
            Ok(()) => return Ok(full),
            Err(problem @ StartProblem::NotExecutable(_)) => unusable = Some(problem),
            Err(_) => {}
        }
    }
    Err(unusable.unwrap_or_else(|| StartProblem::NotInPath {
        program: program.to_string_lossy().into_owned(),
        path: path.to_string_lossy().into_owned(),
    }))
}

/// Checks that `cwd` can be entered.
pub fn check_directory(cwd: &Path) -> Result<(), StartProblem> {
    match std::fs::metadata(cwd) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(StartProblem::NotADirectory(cwd.to_owned())),
        Err(_) => Err(StartProblem::NoDirectory(cwd.to_owned())),
    }
}

fn check_executable(full: &Path) -> Result<(), StartProblem> {
    let Ok(metadata) = std::fs::metadata(full) else { return Err(StartProblem::NoProgram(full.to_owned())) };
    if metadata.is_dir() {
        return Err(StartProblem::ProgramIsDirectory(full.to_owned()));
    }
    access(full, Access::EXEC_OK).map_err(|_| StartProblem::NotExecutable(full.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_may_pass_is_what_others_may_undo() {
        let text = || "why".to_owned();
        let passing = [
            StartProblem::System(text()),
            StartProblem::Store(text()),
            StartProblem::PortTaken { port: 8000, holder: text() },
            StartProblem::NoFreePort,
        ];
        assert!(passing.iter().all(StartProblem::may_pass));
        let lasting = [
            StartProblem::NoDirectory("/x".into()),
            StartProblem::NotADirectory("/x".into()),
            StartProblem::NotInPath { program: text(), path: text() },
            StartProblem::NoProgram("/x".into()),
            StartProblem::ProgramIsDirectory("/x".into()),
            StartProblem::NotExecutable("/x".into()),
            StartProblem::AboveHardLimit { key: "nofile", wanted: text(), hard: text() },
            StartProblem::Environment(text()),
            StartProblem::Spawn(text()),
        ];
        assert!(!lasting.iter().any(StartProblem::may_pass));
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("run.sh");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o644)).unwrap();
        let path = OsStr::new("/usr/bin:/bin");
        let resolve = |program: &str| resolve_program(OsStr::new(program), dir.path(), path);

        assert!(resolve("sh").unwrap().ends_with("sh"));
        assert_eq!(resolve("./run.sh"), Err(StartProblem::NotExecutable(dir.path().join("./run.sh"))));
        assert_eq!(resolve("./nope"), Err(StartProblem::NoProgram(dir.path().join("./nope"))));
        assert_eq!(resolve("/usr"), Err(StartProblem::ProgramIsDirectory(PathBuf::from("/usr"))));
        assert!(matches!(resolve("no-such-program"), Err(StartProblem::NotInPath { .. })));
        assert_eq!(check_directory(&script), Err(StartProblem::NotADirectory(script.clone())));
        assert!(matches!(check_directory(&dir.path().join("x")), Err(StartProblem::NoDirectory(_))));
    }
}
