//! What can go wrong with the log, in words with a remedy.

use std::io;
use std::path::{Path, PathBuf};

/// Why the log could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "no space to write {}: {source}; free disk space or raise the quota, output waits in the spool meanwhile",
        path.display()
    )]
    DiskFull { path: PathBuf, source: io::Error },
    #[error(
        "{} cannot be written: {source}; make the state directory writable, or point OSTLER_STATE_DIR at one that is",
        path.display()
    )]
    ReadOnly { path: PathBuf, source: io::Error },
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{} was written by a newer Ostler (log format {found}, this one knows {known}): use that one, or move the file away to begin a new log",
        path.display()
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    /// The caller's columns do not fit together: a bug of the caller, nothing was written.
    #[error("malformed batch: {0}")]
    MalformedBatch(&'static str),
    #[error(
        "a batch of {bytes} bytes is larger than the {limit} bytes a frame may have: append it in smaller ones"
    )]
    BatchTooLarge { bytes: usize, limit: usize },
}

impl StoreError {
    /// Sorts an error of the file system by what the user can do about it.
    pub(super) fn from_io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::DiskFull { path, source }
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { path, source }
            }
            _ => Self::Io { action, path, source },
        }
    }

    /// Returns whether trying again later, with nothing changed by the caller, may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::ReadOnly { .. } | Self::Io { .. })
    }
}
