//! What becomes of sealed segments: they are packed, thinned out, and deleted in the end.
//!
//! All of it is done under one lock, most of it by the store's own thread, and never in the way of an append. A segment
//! is replaced by a file that is whole and on the device and then takes the old one's name, so that a crash at any
//! moment leaves the one or the other; readers that hold the old one read on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::model::{ProcessName, Seq, Time};
use crate::{background, bounds};

use super::error::StoreError;
use super::index::{Segment, State};
use super::pack::{self, Doomed, Task};
use super::recovery::NEW_SUFFIX;
use super::writer::{Limits, Log, lock};

/// How much older than allowed, as a part of that, lines may become before a segment is rewritten because of them;
/// without it each would be rewritten again and again.
const AGE_SLACK: u32 = 8;

/// How long lines are kept. Whatever is said here, those of the segment that grows stay, unless they are too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Most bytes of all segments.
    pub bytes: u64,
    /// The age at which lines go; `None` for never. Some stay for an eighth longer.
    pub age: Option<Duration>,
    /// Most bytes of sealed segments that are a process's, by the name without a replica's number.
    pub of: BTreeMap<ProcessName, u64>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { bytes: bounds::LOG_BYTES, age: Some(bounds::LOG_AGE), of: BTreeMap::new() }
    }
}

/// What keeping needs to know.
#[derive(Debug)]
pub(super) struct Keeping {
    retention: Mutex<Retention>,
    /// Held by whoever rewrites segments.
    turn: Mutex<Turn>,
    pack: bool,
    segment_bytes: u64,
    stop: AtomicBool,
    bell: SyncSender<()>,
    rung: Mutex<Option<Receiver<()>>>,
}

#[derive(Debug, Default)]
struct Turn {
    /// Segments that are damaged: they stay as they are, so that the damage is told for as long as they are there.
    damaged: BTreeSet<Seq>,
    /// Segments, by their ids, that have lines which are too old but cannot be told apart from younger ones.
    stubborn: BTreeSet<u64>,
    /// The last one that was brought to the device without being packed.
    flushed: Seq,
}

impl Keeping {
    pub fn new(limits: Limits) -> Self {
        let (bell, rung) = sync_channel(1);
        Self {
            retention: Mutex::new(Retention { bytes: limits.log_bytes, age: None, of: BTreeMap::new() }),
            turn: Mutex::default(),
            pack: limits.pack,
            segment_bytes: limits.segment_bytes,
            stop: AtomicBool::new(false),
            bell,
            rung: Mutex::new(Some(rung)),
        }
    }

    pub fn set(&self, retention: Retention) {
        *lock(&self.retention) = retention;
    }

    /// Tells the thread that there is something to do; it needs to be told once.
    pub fn wake(&self) {
        _ = self.bell.try_send(());
    }

    /// Deletes the oldest segments until a full new one fits.
    pub fn delete_oldest(&self, state: &mut State) {
        let most = lock(&self.retention).bytes;
        let mut bytes: u64 = state.segments.iter().rev().skip(1).map(|segment| segment.bytes).sum();
        while bytes.saturating_add(self.segment_bytes) > most && state.segments.len() > 1 {
            let Some(oldest) = state.segments.pop_front() else { return };
            bytes -= oldest.bytes;
            delete(&oldest);
        }
    }
}

/// The store's thread.
#[derive(Debug)]
pub(super) struct Keeper {
    log: Arc<Log>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub fn start(log: &Arc<Log>) -> Self {
        let rung = lock(&log.keeping.rung).take();
        let keeping = Arc::clone(log);
        let keep = move || {
            let Some(rung) = rung else { return };
            background::step_back();
            while !keeping.keeping.stop.load(Ordering::Relaxed) {
                keeping.tidy();
                if rung.recv_timeout(bounds::LOG_AGE_EVERY) == Err(RecvTimeoutError::Disconnected) {
                    return;
                }
            }
        };
        // Without the thread segments stay plain, and only size bounds them.
        let thread = std::thread::Builder::new().name("log-keeper".into()).spawn(keep).ok();
        Self { log: Arc::clone(log), thread }
    }

    pub fn wake(&self) {
        self.log.keeping.wake();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.log.keeping.stop.store(true, Ordering::Relaxed);
        self.wake();
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

impl Log {
    /// Packs what is sealed, and deletes what is too much or too old.
    pub fn tidy(&self) {
        let mut turn = lock(&self.keeping.turn);
        if self.keeping.pack {
            self.pack_sealed(&mut turn);
        } else {
            self.flush_sealed(&mut turn);
        }
        let retention = lock(&self.keeping.retention).clone();
        self.keeping.delete_oldest(&mut lock(&self.state));
        if let Some(age) = retention.age {
            self.delete_older(&mut turn, age);
        }
        for (process, most) in &retention.of {
            self.thin_out(&mut turn, process, *most);
        }
    }

    /// Deletes lines, see [`Store::clear`](super::Store::clear).
    pub fn clear(&self, processes: Option<&[ProcessName]>) -> Result<u64, StoreError> {
        let mut turn = lock(&self.keeping.turn);
        let mut lines = 0;
        for (segment, next) in self.sealed() {
            lines += match processes {
                None => {
                    self.replace(&segment, None)?;
                    segment.lines()
                }
                Some(processes) => {
                    self.leave_out(&mut turn, &segment, next, Doomed::Of(processes), true)?.unwrap_or(0)
                }
            };
        }
        self.unpacked.clear();
        Ok(lines)
    }

    /// Returns the sealed segments, and where the one after each begins.
    fn sealed(&self) -> Vec<(Arc<Segment>, Seq)> {
        let state = lock(&self.state);
        let next = state.segments.iter().skip(1).map(|segment| segment.first);
        state.segments.iter().cloned().zip(next).collect()
    }

    fn pack_sealed(&self, turn: &mut Turn) {
        for (segment, next) in self.sealed() {
            if segment.packed || turn.damaged.contains(&segment.first) || self.is_stopping() {
                continue;
            }
            if let Err(error) = self.leave_out(turn, &segment, next, Doomed::None, false) {
                self.complain(&error, "log segment cannot be packed");
            }
        }
    }

    fn flush_sealed(&self, turn: &mut Turn) {
        for (segment, _) in self.sealed() {
            if segment.first > turn.flushed {
                turn.flushed = segment.first;
                if let Err(error) = segment.file.sync_data().and_then(|()| self.sync_directory()) {
                    tracing::warn!(file = %segment.path.display(), %error, "log segment cannot be flushed");
                }
            }
        }
    }

    fn delete_older(&self, turn: &mut Turn, age: Duration) {
        let before = Time::now().minus(age).0;
        let long_before = Time::now().minus(age.saturating_add(age / AGE_SLACK)).0;
        let is_due = |segment: &Segment| segment.times().is_some_and(|(min, _)| min < long_before);
        if let Err(error) = self.seal_active(is_due) {
            self.complain(&error, "log segment cannot be sealed");
        }
        for (segment, next) in self.sealed() {
            let done = match segment.times() {
                Some((_, max)) if max < before => self.replace(&segment, None).map(drop),
                Some((min, _)) if min < long_before && !turn.stubborn.contains(&segment.id) => {
                    let doomed = Doomed::Before(before);
                    self.leave_out(turn, &segment, next, doomed, false).map(|lines| {
                        if lines == Some(0) {
                            let place = |other: &&Arc<Segment>| other.first == segment.first;
                            let new = lock(&self.state).segments.iter().find(place).map(|new| new.id);
                            turn.stubborn.extend(new);
                        }
                    })
                }
                _ => Ok(()),
            };
            if let Err(error) = done {
                self.complain(&error, "old lines of log cannot be deleted");
            }
        }
    }

    /// Deletes the oldest lines of a process until what is sealed of it is no more than `most` bytes.
    fn thin_out(&self, turn: &mut Turn, process: &ProcessName, most: u64) {
        let mut bytes = 0u64;
        for (segment, next) in self.sealed().into_iter().rev() {
            let names: Vec<_> =
                segment.shares.keys().filter(|name| name.base() == *process).cloned().collect();
            let share: u64 = names.iter().filter_map(|name| segment.shares.get(name)).sum();
            bytes = bytes.saturating_add(share);
            if share > 0
                && bytes > most
                && let Err(error) = self.leave_out(turn, &segment, next, Doomed::Of(&names), false)
            {
                self.complain(&error, "lines of a process cannot be deleted");
            }
        }
    }

    /// Rewrites a segment without what is doomed, and returns how many lines that were; `None` when the segment was
    /// left as it is because it is damaged and `at_any_cost` is not set.
    fn leave_out(
        &self,
        turn: &mut Turn,
        segment: &Arc<Segment>,
        next: Seq,
        doomed: Doomed<'_>,
        at_any_cost: bool,
    ) -> Result<Option<u64>, StoreError> {
        if segment.packed && !segment.extents.iter().any(|extent| doomed.may_take(extent)) {
            return Ok(Some(0));
        }
        let new = segment.path.with_extension(format!("pack{NEW_SUFFIX}"));
        let stop = if at_any_cost { &AtomicBool::new(false) } else { &self.keeping.stop };
        let task = Task { epoch: self.epoch, segment, next, doomed, stop };
        let rewritten = pack::rewrite(&task, &new).map_err(|error| {
            _ = fs::remove_file(&new);
            StoreError::from_io("rewrite", &segment.path, error)
        })?;
        if rewritten.damaged > 0 && !at_any_cost {
            turn.damaged.insert(segment.first);
            _ = fs::remove_file(&new);
            tracing::warn!(file = %segment.path.display(), "log segment is damaged, and stays as it is");
            return Ok(None);
        }
        let left = rewritten.segment.as_ref().map_or(0, Segment::lines);
        self.replace(segment, rewritten.segment.map(|segment| (segment, new.as_path())))?;
        Ok(Some(segment.lines().saturating_sub(left)))
    }

    /// Puts a segment that lies in a file of another name into the old one's place, or nothing.
    fn replace(&self, old: &Arc<Segment>, new: Option<(Segment, &Path)>) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        let place = state.segments.iter().position(|segment| segment.id == old.id);
        match (place, new) {
            (Some(place), Some((segment, path))) => {
                fs::rename(path, &old.path)
                    .map_err(|error| StoreError::from_io("replace", &old.path, error))?;
                state.segments[place] = Arc::new(segment);
            }
            (Some(place), None) => {
                _ = fs::remove_file(old.path.with_extension(format!("pack{NEW_SUFFIX}")));
                fs::remove_file(&old.path)
                    .map_err(|error| StoreError::from_io("delete", &old.path, error))?;
                state.segments.remove(place);
            }
            // Retention was faster.
            (None, Some((_, path))) => _ = fs::remove_file(path),
            (None, None) => {}
        }
        drop(state);
        self.sync_directory().map_err(|error| StoreError::from_io("flush", &self.directory, error))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn is_stopping(&self) -> bool {
        self.keeping.stop.load(Ordering::Relaxed)
    }

    fn complain(&self, error: &StoreError, what: &str) {
        if !self.is_stopping() {
            tracing::warn!(%error, "{what}");
        }
    }
}

fn delete(segment: &Segment) {
    if let Err(error) = fs::remove_file(&segment.path) {
        tracing::warn!(file = %segment.path.display(), %error, "old log segment cannot be deleted");
    }
}
