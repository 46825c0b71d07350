//! What the store promises, each promise with a test that tries to break it.

mod additions;
mod alerts;
mod append;
mod catalogue;
mod crash;
mod failure;
mod packed;
mod query;
mod reading;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::model::{Level, Line, ProcessName, RunId, Seq, SpoolPosition, Stream, Time};

use super::{Batch, Limits, LogQuery, Recovery, Store, StoreError, Take};

/// A batch that owns its columns.
#[derive(Debug, Clone)]
struct Sample {
    process: ProcessName,
    run: RunId,
    position: SpoolPosition,
    text: Vec<u8>,
    ends: Vec<u32>,
    levels: Vec<u8>,
    streams: Vec<u8>,
    flags: Vec<u8>,
    times: Vec<i64>,
}

impl Sample {
    fn new(process: &str, run: u64) -> Self {
        Self {
            process: name(process),
            run: RunId(run),
            position: SpoolPosition::default(),
            text: Vec::new(),
            ends: Vec::new(),
            levels: Vec::new(),
            streams: Vec::new(),
            flags: Vec::new(),
            times: Vec::new(),
        }
    }

    /// Adds a line of standard output without a level.
    fn line(self, text: impl AsRef<[u8]>) -> Self {
        self.full_line(text, Level::Unknown, Stream::Stdout, 1_000, false)
    }

    fn full_line(
        mut self,
        text: impl AsRef<[u8]>,
        level: Level,
        stream: Stream,
        time: i64,
        partial: bool,
    ) -> Self {
        self.text.extend_from_slice(text.as_ref());
        self.ends.push(self.text.len() as u32);
        self.levels.push(level as u8);
        self.streams.push(stream as u8);
        self.flags.push(partial.into());
        self.times.push(time);
        self
    }

    fn at(mut self, position: u64) -> Self {
        self.position = SpoolPosition { stdout: position, stderr: position + 1, lines: position + 2 };
        self
    }

    fn append(&self, store: &Store) -> Result<(Seq, Seq), StoreError> {
        store.append(&Batch {
            run: self.run,
            process: &self.process,
            text: &self.text,
            ends: &self.ends,
            levels: &self.levels,
            streams: &self.streams,
            flags: &self.flags,
            times: &self.times,
            position: self.position,
        })
    }

    /// Returns the lines as readers should see them when the first one is `first`.
    fn expected(&self, first: Seq) -> Vec<Line> {
        let mut from = 0;
        (0..self.ends.len())
            .map(|index| {
                let text = &self.text[from..self.ends[index] as usize];
                from = self.ends[index] as usize;
                Line {
                    seq: Seq(first.0 + index as u64),
                    time: Time(self.times[index]),
                    process: self.process.clone(),
                    run: self.run,
                    stream: Stream::from_u8(self.streams[index]).unwrap(),
                    level: Level::from_u8(self.levels[index]),
                    text: String::from_utf8_lossy(text).into_owned(),
                    partial: self.flags[index] & 1 != 0,
                    continues: self.flags[index] & 2 != 0,
                }
            })
            .collect()
    }
}

fn name(text: &str) -> ProcessName {
    ProcessName::new(text).unwrap()
}

fn open(directory: &TempDir) -> Store {
    let (store, recovery) = Store::open(directory.path()).unwrap();
    assert_eq!(recovery, Recovery::default());
    store
}

/// Everything in the log, in order.
fn everything() -> LogQuery {
    LogQuery { limit: usize::MAX, take: Take::Oldest, ..LogQuery::default() }
}

fn texts(store: &Store) -> Vec<String> {
    store.query(&everything()).lines.into_iter().map(|line| line.text).collect()
}

/// Returns the segment files, the oldest first.
fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    paths.sort();
    paths
}

/// Segments of 4 KiB, so that little is needed to fill them, and plain ones, so that their bytes are known.
const SMALL: Limits = Limits { segment_bytes: 4 << 10, log_bytes: 32 << 10, pack: false };
