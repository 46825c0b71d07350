//! One daemon per project: an exclusive lock on a file that names its owner.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Held while the daemon lives; the kernel lets go of it however the daemon ends.
#[derive(Debug)]
pub struct ProjectLock {
    file: File,
}

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another daemon looks after this project already (pid {pid})")]
    Held { pid: String },
    #[error("cannot lock {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl ProjectLock {
    /// Goes on holding the lock that an earlier program in this process has taken; `None` when `held` is not that.
    pub fn inherit(held: OwnedFd, path: &Path) -> Option<Self> {
        let file = File::from(held);
        let (there, here) = (path.metadata().ok()?, file.metadata().ok()?);
        let is_it = (there.dev(), there.ino()) == (here.dev(), here.ino());
        // Held already, it is had again at once.
        let held = is_it && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        held.then_some(Self { file })
    }

    /// Takes the lock at `path`, or says who has it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        Self::try_take(path).map_err(|error| LockError::Io { path: path.to_owned(), error })?
    }

    fn try_take(path: &Path) -> io::Result<Result<Self, LockError>> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0)?;
                file.rewind()?;
                write!(file, "{}", std::process::id())?;
                Ok(Ok(Self { file }))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                file.take(20).read_to_string(&mut pid)?;
                Ok(Err(LockError::Held { pid }))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for ProjectLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_was_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = ProjectLock::take(&path).unwrap();
        match ProjectLock::take(&path) {
            Err(LockError::Held { pid }) => assert_eq!(pid, std::process::id().to_string()),
            other => panic!("{other:?}"),
        }
        let handed_on = first.as_fd().try_clone_to_owned().unwrap();
        drop(first);
        assert!(ProjectLock::take(&path).is_err(), "the lock was free in between");
        let inherited = ProjectLock::inherit(handed_on, &path).unwrap();
        assert!(ProjectLock::take(&path).is_err());
        drop(inherited);
        ProjectLock::take(&path).unwrap();
        let other = File::open("/dev/null").unwrap();
        assert!(ProjectLock::inherit(other.into(), &path).is_none());
    }
}
