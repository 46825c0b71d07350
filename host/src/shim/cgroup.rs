//! The cgroup of one run: entering it, killing all that is in it, and what its limits have cost. Version 2 only.
//!
//! Owns the reading and writing of one directory's files, for shim and daemon alike; what they mean stands in the
//! kernel's `Documentation/admin-guide/cgroup-v2.rst`. Making the directory and choosing its limits is the
//! supervisor's. Every file may be missing, because a controller is not there or the kernel is older: then nothing is
//! said about it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes read of a control file; the longest of those read here has a few hundred.
const FILE_BYTES: u64 = 4096;

/// How the names of directories begin in which projects have the cgroups of their runs.
pub const PROJECT_PREFIX: &str = "ostler-";

/// An existing cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    dir: PathBuf,
}

/// What the limits of a cgroup have cost those in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitHits {
    /// Processes that the kernel killed for want of memory (`oom_kill` of `memory.events`).
    pub oom_kills: u64,
    /// Bytes of memory the cgroup may use; `None` when it has no limit of its own.
    pub memory_limit: Option<u64>,
    /// Times that no process or thread could be made (`max` of `pids.events`).
    pub refused_forks: u64,
    /// Processes and threads the cgroup may have; `None` when it has no limit of its own.
    pub pids_limit: Option<u64>,
}

impl LimitHits {
    /// Returns whether there is anything to tell.
    pub fn is_any(self) -> bool {
        self.oom_kills > 0 || self.refused_forks > 0
    }
}

impl Cgroup {
    /// Returns the cgroup at `dir`.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Returns its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens the file that takes the pid of a process that is to enter; `0` stands for who writes it.
    ///
    /// # Errors
    /// When the cgroup is gone, or this user may not move processes into it.
    pub fn door(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.dir.join("cgroup.procs"))
    }

    /// Kills every process in it and below it, also those that are being forked (`cgroup.kill`, Linux 5.14).
    ///
    /// # Errors
    /// When the cgroup is gone, or the kernel is older.
    pub fn kill(&self) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.dir.join("cgroup.kill"))?.write_all(b"1")
    }

    /// Returns whether a process lives in it or below it; a cgroup that is gone has none.
    pub fn is_populated(&self) -> bool {
        self.number_after("cgroup.events", "populated") == Some(1)
    }

    /// Removes it if it is empty and nothing is nested in it, and then the project's directory above it if that was the
    /// last; whoever finds more to do than that is the daemon.
    pub fn remove(&self) -> io::Result<()> {
        std::fs::remove_dir(&self.dir)?;
        let name = |dir: &Path| dir.file_name()?.to_str().map(|name| name.starts_with(PROJECT_PREFIX));
        if let Some(above) = self.dir.parent().filter(|above| name(above) == Some(true)) {
            // Fails as long as there are others.
            let _ = std::fs::remove_dir(above);
        }
        Ok(())
    }

    /// Returns what its limits have cost so far.
    pub fn hits(&self) -> LimitHits {
        LimitHits {
            oom_kills: self.number_after("memory.events", "oom_kill").unwrap_or(0),
            memory_limit: self.number("memory.max"),
            refused_forks: self.number_after("pids.events", "max").unwrap_or(0),
            pids_limit: self.number("pids.max"),
        }
    }

    /// Returns the number a file consists of; `max` is none.
    fn number(&self, file: &str) -> Option<u64> {
        self.text(file)?.trim().parse().ok()
    }

    /// Returns the number behind `key` in a file of pairs.
    fn number_after(&self, file: &str, key: &str) -> Option<u64> {
        let text = self.text(file)?;
        let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.find(|(found, _)| *found == key)?.1.trim().parse().ok()
    }

    fn text(&self, file: &str) -> Option<String> {
        let mut text = String::new();
        File::open(self.dir.join(file)).ok()?.take(FILE_BYTES).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn hits_are_read_from_the_kernels_files_and_missing_ones_say_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cgroup = Cgroup::at(dir.path());
        assert_eq!(cgroup.hits(), LimitHits::default());
        assert!(!cgroup.is_populated() && !cgroup.hits().is_any());
        let events = "low 0\nhigh 0\nmax 31\noom 2\noom_kill 1\noom_group_kill 0\n";
        for (file, text) in [
            ("memory.events", events),
            ("memory.max", "67108864\n"),
            ("pids.events", "max 7\n"),
            ("pids.max", "max\n"),
            ("cgroup.events", "populated 1\nfrozen 0\n"),
        ] {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let hits =
            LimitHits { oom_kills: 1, memory_limit: Some(64 << 20), refused_forks: 7, pids_limit: None };
        assert_eq!(cgroup.hits(), hits);
        assert!(cgroup.is_populated() && hits.is_any());
    }

    #[test]
    fn nothing_is_made_where_there_is_no_cgroup() {
        let dir = tempfile::tempdir().unwrap();
        let cgroup = Cgroup::at(dir.path());
        assert!(cgroup.kill().is_err() && cgroup.door().is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
