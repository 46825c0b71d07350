//! How a run ended, on disk: `exit` as soon as the main child has ended, `done` once all its output is spooled.
//!
//! Owns the two files' text. Both appear by renaming a file that was made, and given its blocks, when the run began:
//! a full disk does not lose an exit status.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::cgroup::LimitHits;
use super::control::{SpawnFailure, SpawnFault};
use crate::model::{Exit, Time};

const EXIT_FILE: &str = "exit";
const DONE_FILE: &str = "done";
/// Longer than any record, so that writing one takes no more blocks.
const RECORD_BYTES: usize = 512;

/// What `exit` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitRecord {
    pub exit: Exit,
    pub time: Time,
    /// What the limits of its cgroup had cost by then.
    pub hits: LimitHits,
}

/// What `done` says: there will be no more of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoneRecord {
    /// The child ran and is gone with its whole tree. The spool ends at the run-global place `end`; the `lost`
    /// output is not told of by any gap frame.
    Ended { exit: ExitRecord, end: u64, leftovers: u32, lost_bytes: u64, lost_lines: u64 },
    /// Nothing was started.
    SpawnFailed { failure: SpawnFailure, time: Time },
}

/// The two files before they have something to say.
#[derive(Debug)]
pub struct ExitFiles {
    run_dir: PathBuf,
}

impl ExitFiles {
    /// Makes room for both records in `run_dir`. Where there is none, writing them later is tried all the same.
    pub fn prepare(run_dir: impl Into<PathBuf>) -> Self {
        let files = Self { run_dir: run_dir.into() };
        for name in [EXIT_FILE, DONE_FILE] {
            let _ = files.open_unnamed(name).and_then(|file| file.write_all_at(&[b' '; RECORD_BYTES], 0));
        }
        files
    }

    /// Makes `exit` appear.
    pub fn write_exit(&self, record: ExitRecord) -> io::Result<()> {
        self.write(EXIT_FILE, &format!("{}{}", record.to_text(), hits_to_text(record.hits)))
    }

    /// Makes `done` appear.
    pub fn write_done(&self, record: DoneRecord) -> io::Result<()> {
        self.write(DONE_FILE, &record.to_text())
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        // Padded to the length the file has, so that it is overwritten in place.
        let padded = format!("{text:<width$}\n", width = RECORD_BYTES - 1);
        self.open_unnamed(name)?.write_all_at(padded.as_bytes(), 0)?;
        std::fs::rename(self.unnamed(name), self.run_dir.join(name))
    }

    fn open_unnamed(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.unnamed(name))
    }

    fn unnamed(&self, name: &str) -> PathBuf {
        self.run_dir.join(format!("{name}.tmp"))
    }
}

/// Returns how the main child of the run in `run_dir` ended, or `None` when that is not known yet.
pub fn read_exit(run_dir: &Path) -> io::Result<Option<ExitRecord>> {
    let parse = |words: &mut Words<'_>| {
        let record = ExitRecord::from_words(words)?;
        Some(ExitRecord { hits: hits_from_words(words)?, ..record })
    };
    read(run_dir, EXIT_FILE, parse)
}

/// Returns how the run in `run_dir` ended, or `None` when its shim is not done yet.
pub fn read_done(run_dir: &Path) -> io::Result<Option<DoneRecord>> {
    read(run_dir, DONE_FILE, DoneRecord::from_words)
}

fn read<T>(
    run_dir: &Path,
    name: &str,
    parse: impl FnOnce(&mut Words<'_>) -> Option<T>,
) -> io::Result<Option<T>> {
    let path = run_dir.join(name);
    let mut text = String::new();
    match File::open(&path) {
        Ok(file) => file.take(RECORD_BYTES as u64).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let record = parse(&mut Words(text.split_ascii_whitespace()));
    record.map(Some).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} was not written by a shim", path.display()))
    })
}

impl ExitRecord {
    /// Without the hits, which came later and stand at the end of either file.
    fn to_text(self) -> String {
        let Exit { code, signal } = self.exit;
        format!("code {} signal {} time {}", number(code), number(signal), self.time.0)
    }

    fn from_words(words: &mut Words<'_>) -> Option<Self> {
        let exit = Exit { code: words.optional("code")?, signal: words.optional("signal")? };
        Some(Self { exit, time: Time(words.value("time")?), hits: LimitHits::default() })
    }
}

/// Returns what is to be said of limits, and nothing when there is nothing to say.
fn hits_to_text(hits: LimitHits) -> String {
    if !hits.is_any() {
        return String::new();
    }
    let limit = |limit: Option<u64>| limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
    let LimitHits { oom_kills, memory_limit, refused_forks, pids_limit } = hits;
    format!(
        " oom-kills {oom_kills} memory-limit {} refused-forks {refused_forks} pids-limit {}",
        limit(memory_limit),
        limit(pids_limit)
    )
}

fn hits_from_words(words: &mut Words<'_>) -> Option<LimitHits> {
    if words.0.clone().next() != Some("oom-kills") {
        return Some(LimitHits::default());
    }
    Some(LimitHits {
        oom_kills: words.value("oom-kills")?,
        memory_limit: words.optional("memory-limit")?,
        refused_forks: words.value("refused-forks")?,
        pids_limit: words.optional("pids-limit")?,
    })
}

impl DoneRecord {
    fn to_text(self) -> String {
        match self {
            Self::Ended { exit, end, leftovers, lost_bytes, lost_lines } => format!(
                "ended {} end {end} leftovers {leftovers} lost-bytes {lost_bytes} lost-lines {lost_lines}{}",
                exit.to_text(),
                hits_to_text(exit.hits)
            ),
            Self::SpawnFailed { failure: SpawnFailure { what, errno }, time } => {
                format!("spawn-failed what {} errno {errno} time {}", what as u8, time.0)
            }
        }
    }

    fn from_words(words: &mut Words<'_>) -> Option<Self> {
        match words.0.next()? {
            "ended" => {
                let exit = ExitRecord::from_words(words)?;
                let (end, leftovers) = (words.value("end")?, words.value("leftovers")?);
                let (lost_bytes, lost_lines) = (words.value("lost-bytes")?, words.value("lost-lines")?);
                let exit = ExitRecord { hits: hits_from_words(words)?, ..exit };
                Some(Self::Ended { exit, end, leftovers, lost_bytes, lost_lines })
            }
            "spawn-failed" => Some(Self::SpawnFailed {
                failure: SpawnFailure {
                    what: SpawnFault::from_u8(words.value("what")?),
                    errno: words.value("errno")?,
                },
                time: Time(words.value("time")?),
            }),
            _ => None,
        }
    }
}

/// Pairs of a key and a value, in their order.
struct Words<'a>(std::str::SplitAsciiWhitespace<'a>);

impl Words<'_> {
    fn value<T: std::str::FromStr>(&mut self, key: &str) -> Option<T> {
        (self.0.next()? == key).then(|| self.0.next()?.parse().ok())?
    }

    fn optional<T: std::str::FromStr>(&mut self, key: &str) -> Option<Option<T>> {
        (self.0.next()? == key).then(|| match self.0.next()? {
            "-" => Some(None),
            number => number.parse().ok().map(Some),
        })?
    }
}

fn number(number: Option<i32>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_come_back_as_they_went(
            code in proptest::option::of(0..256), signal in proptest::option::of(1..65), time: i64, end: u64,
            leftovers: u32, lost_bytes: u64, lost_lines: u64, errno: i32, what in 1u8..9,
            oom_kills: u64, refused_forks: u64, limits: (Option<u64>, Option<u64>),
        ) {
            let hits = LimitHits { oom_kills, memory_limit: limits.0, refused_forks, pids_limit: limits.1 };
            let hits = if hits.is_any() { hits } else { LimitHits::default() };
            let dir = tempfile::tempdir().unwrap();
            let files = ExitFiles::prepare(dir.path());
            prop_assert_eq!(read_exit(dir.path()).unwrap(), None);
            let exit = ExitRecord { exit: Exit { code, signal }, time: Time(time), hits };
            files.write_exit(exit).unwrap();
            prop_assert_eq!(read_exit(dir.path()).unwrap(), Some(exit));
            prop_assert_eq!(read_done(dir.path()).unwrap(), None);
            let ended = DoneRecord::Ended { exit, end, leftovers, lost_bytes, lost_lines };
            let failure = SpawnFailure { what: SpawnFault::from_u8(what), errno };
            for done in [ended, DoneRecord::SpawnFailed { failure, time: Time(time) }] {
                files.write_done(done).unwrap();
                prop_assert_eq!(read_done(dir.path()).unwrap(), Some(done));
            }
        }
    }

    #[test]
    fn records_are_made_without_room_prepared() {
        let dir = tempfile::tempdir().unwrap();
        let files = ExitFiles { run_dir: dir.path().to_owned() };
        let exit = ExitRecord {
            exit: Exit { code: Some(3), signal: None },
            time: Time(9),
            hits: LimitHits::default(),
        };
        files.write_exit(exit).unwrap();
        assert_eq!(read_exit(dir.path()).unwrap(), Some(exit));
    }

    #[test]
    fn a_foreign_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(DONE_FILE), "hello").unwrap();
        let error = read_done(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("done was not written by a shim"), "{error}");
    }
}
