//! The file that says whose state a state directory holds, and how the last daemon left it.
//!
//! Written when a daemon has started and when it has ended in order. All in it is derived or for people, so a file
//! that cannot be read is as good as none; only one of a newer format is believed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The format of the whole state directory that this program writes. Readers of an older one migrate it.
pub const STATE_FORMAT: u32 = 1;
/// The file's name in the state directory.
const NAME: &str = "project.json";
/// Most bytes that are read of it.
const BYTES: u64 = 64 << 10;

/// See the module. A newer Ostler of the same format may have added fields, which are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectFile {
    pub format: u32,
    /// Of the Ostler that wrote it.
    pub version: String,
    pub name: String,
    pub dir: PathBuf,
    /// The daemon's socket.
    pub socket: PathBuf,
    /// The boot of the machine the daemon was started in.
    #[serde(default)]
    pub boot: Option<String>,
    /// The daemon was taken down with all its processes.
    #[serde(default)]
    pub ended: bool,
}

/// The state is of a newer format.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} was written by a newer Ostler (version {version}, state format {found}, this one knows up to {STATE_FORMAT}): \
     use that one, or point OSTLER_STATE_DIR at another directory",
    dir.display()
)]
pub struct NewerState {
    dir: PathBuf,
    version: String,
    found: u32,
}

/// What tells a newer format; nothing else of it may be relied on.
#[derive(Deserialize)]
struct Format {
    format: u32,
    #[serde(default)]
    version: String,
}

impl ProjectFile {
    /// Reads the file of a state directory; `None` when there is none that makes sense.
    ///
    /// # Errors
    /// When the state is of a newer format.
    pub fn read(state_dir: &Path) -> Result<Option<Self>, NewerState> {
        let mut text = Vec::new();
        let read = File::open(state_dir.join(NAME)).and_then(|file| file.take(BYTES).read_to_end(&mut text));
        if read.is_err() {
            return Ok(None);
        }
        match serde_json::from_slice::<Format>(&text) {
            Ok(Format { format, version }) if format > STATE_FORMAT => {
                let version = version.chars().filter(|c| c.is_ascii_graphic()).take(32).collect();
                Err(NewerState { dir: state_dir.to_owned(), version, found: format })
            }
            _ => Ok(serde_json::from_slice(&text).ok()),
        }
    }

    /// Writes the file, wholly or not at all.
    ///
    /// # Errors
    /// When the directory cannot be written; the old file is still there then.
    pub fn write(&self, state_dir: &Path) -> io::Result<()> {
        let path = state_dir.join(NAME);
        let unnamed = path.with_extension("json.tmp");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unnamed)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        fs::rename(unnamed, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> ProjectFile {
        ProjectFile {
            format: STATE_FORMAT,
            version: "0.1.0".into(),
            name: "shop".into(),
            dir: "/srv/shop".into(),
            socket: "/run/ostler/1/daemon".into(),
            boot: Some("b".into()),
            ended: false,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ProjectFile::read(dir.path()).unwrap(), None);
        file().write(dir.path()).unwrap();
        assert_eq!(ProjectFile::read(dir.path()).unwrap(), Some(file()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_newer_format_is_declined_with_a_sentence_and_nonsense_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), r#"{"format": 2, "version": "9.9\u001b[2J", "dir": 7}"#).unwrap();
        let error = ProjectFile::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("newer Ostler (version 9.9[2J, state format 2"), "{error}");
        for nonsense in ["", "{", "[]", r#"{"format": 1}"#, "\u{0}"] {
            fs::write(dir.path().join(NAME), nonsense).unwrap();
            assert_eq!(ProjectFile::read(dir.path()).unwrap(), None);
        }
    }
}
