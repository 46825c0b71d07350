//! The way in: appending batches, sealing segments.
//!
//! One mutex around the files orders appends; the index is published under a mutex of its own that is never held
//! over a write. Never reads lines back: that is `reader`. What becomes of sealed segments is `keeper`'s to decide.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::bounds;
use crate::model::{Level, ProcessName, RunId, Seq, SpoolPosition};

use super::columns::{self, Batch};
use super::cursor::{Cursor, CursorError};
use super::error::StoreError;
use super::frame::Head;
use super::index::{Segment, Shares, Snapshot, State};
use super::keeper::{Keeper, Keeping, Retention};
use super::recovery::{self, Damage, NEW_SUFFIX, Recovery, Tail};
use super::seen::SeenDamage;
use super::segment::{self, Header};
use super::unpacked::Unpacked;

/// Capacity of the frame buffer that is kept between batches.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

/// How large the log may become.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Size at which a segment is sealed, in bytes.
    pub segment_bytes: u64,
    /// Most bytes of all segments.
    pub log_bytes: u64,
    /// Sealed segments are packed.
    pub pack: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { segment_bytes: bounds::SEGMENT_BYTES, log_bytes: bounds::LOG_BYTES, pack: true }
    }
}

/// The log of one project. Shared by reference: every method takes `&self` and may be called from any thread, but
/// from asynchronous code only through a blocking thread, since all but the getters touch files.
#[derive(Debug)]
pub struct Store {
    pub(super) log: Arc<Log>,
    keeper: Keeper,
}

/// What the callers of the store share with the thread that keeps sealed segments.
#[derive(Debug)]
pub(super) struct Log {
    pub epoch: u32,
    pub directory: PathBuf,
    writer: Mutex<Writer>,
    pub state: Mutex<State>,
    newest: watch::Sender<Seq>,
    pub keeping: Keeping,
    pub unpacked: Unpacked,
    pub seen: SeenDamage,
}

#[derive(Debug)]
struct Writer {
    segment_bytes: u64,
    active: Option<Active>,
    buffer: Vec<u8>,
}

/// The segment that grows.
#[derive(Debug)]
struct Active {
    file: Arc<File>,
    path: PathBuf,
    /// Where the last whole frame ends.
    end: u64,
    /// A failed write may have left bytes after `end`.
    dirty: bool,
}

impl Store {
    /// Opens the log in `directory`, creating it when there is none, with the default limits.
    ///
    /// The caller holds the project's lock: two stores on one directory would overwrite each other.
    ///
    /// # Errors
    /// When the directory cannot be created or read, or was written by a newer format. Damage is no error.
    pub fn open(directory: &Path) -> Result<(Self, Recovery), StoreError> {
        Self::open_with(directory, Limits::default())
    }

    /// As [`Store::open`], with other limits.
    pub fn open_with(directory: &Path, limits: Limits) -> Result<(Self, Recovery), StoreError> {
        let opened = recovery::open(directory)?;
        let path = opened.state.segments.back().map(|segment| segment.path.clone()).unwrap_or_default();
        let active = opened.tail.map(|Tail { file, end, dirty }| Active { file, path, end, dirty });
        let writer = Writer { segment_bytes: limits.segment_bytes, active, buffer: Vec::new() };
        let log = Arc::new(Log {
            epoch: opened.epoch,
            directory: directory.to_owned(),
            newest: watch::Sender::new(opened.state.newest),
            state: Mutex::new(opened.state),
            writer: Mutex::new(writer),
            keeping: Keeping::new(limits),
            unpacked: Unpacked::default(),
            seen: SeenDamage::default(),
        });
        let store = Self { keeper: Keeper::start(&log), log };
        Ok((store, opened.recovery))
    }

    /// Appends a batch and returns the sequence numbers of its first and last line; the last is one less than the
    /// first when the batch has no lines.
    ///
    /// Once this returns the batch is readable, and survives the death of this process at any moment.
    ///
    /// # Errors
    /// Nothing of the batch is stored then, and appending it again later is safe.
    pub fn append(&self, batch: &Batch<'_>) -> Result<(Seq, Seq), StoreError> {
        let mut writer = lock(&self.log.writer);
        let first = Seq(self.newest().0 + 1);
        let mut buffer = std::mem::take(&mut writer.buffer);
        buffer.clear();
        let appended = columns::encode_lines(&mut buffer, self.log.epoch, first, batch)
            .and_then(|()| self.log.write(&mut writer, first, &buffer));
        let last = Seq(first.0 + batch.ends.len() as u64 - 1);
        if appended.is_ok() {
            self.log.publish(&mut writer, batch, last, &buffer);
        }
        buffer.shrink_to(BUFFER_KEPT_BYTES);
        writer.buffer = buffer;
        appended.map(|()| (first, last))
    }

    /// Returns the place in the run's spool up to which its output is stored; `None` when nothing of it is.
    pub fn position(&self, run: RunId) -> Option<SpoolPosition> {
        lock(&self.log.state).positions.get(&run).copied()
    }

    /// Forgets the spool positions of all runs but those `keep` names: call it for runs whose spool is deleted, or
    /// the positions at the head of each segment grow for ever. Their lines stay.
    pub fn retain_positions(&self, keep: impl Fn(RunId) -> bool) {
        lock(&self.log.state).positions.retain(|run, _| keep(*run));
    }

    /// Returns the sequence number of the last stored line; 0 when there was none yet.
    pub fn newest(&self) -> Seq {
        *self.log.newest.borrow()
    }

    /// Returns the sequence number of the oldest line that retention has left, or of the next line when there is none.
    pub fn oldest(&self) -> Seq {
        lock(&self.log.state).oldest()
    }

    /// Returns a receiver of [`Store::newest`]: it changes with every batch that has lines.
    pub fn subscribe(&self) -> watch::Receiver<Seq> {
        self.log.newest.subscribe()
    }

    /// Returns how many lines of each level number the process has written since the store was opened.
    pub fn counts(&self, process: &ProcessName) -> [u64; Level::ALL.len()] {
        lock(&self.log.state).counts.get(process).copied().unwrap_or_default()
    }

    /// Returns the bytes of all segments.
    pub fn bytes(&self) -> u64 {
        lock(&self.log.state).segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Returns the cursor that stands after line `seq`.
    pub fn cursor(&self, seq: Seq) -> Cursor {
        Cursor { epoch: self.log.epoch, seq }
    }

    /// Returns the line a cursor stands after.
    ///
    /// # Errors
    /// When the cursor was given out by another log: another project's, or one deleted since.
    pub fn resolve(&self, cursor: Cursor) -> Result<Seq, CursorError> {
        if cursor.epoch == self.log.epoch { Ok(cursor.seq) } else { Err(CursorError::OtherLog(cursor)) }
    }

    /// Flushes the log to the device, for an orderly end. Packed segments are there already.
    pub fn flush(&self) -> Result<(), StoreError> {
        let plain = self.snapshot().segments.into_iter().filter(|segment| !segment.packed);
        plain.into_iter().try_for_each(|segment| {
            segment.file.sync_data().map_err(|error| StoreError::from_io("flush", &segment.path, error))
        })
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        lock(&self.log.state).snapshot()
    }

    /// Returns the damaged places that queries came upon, as far as they are still there, the first hundred of them.
    pub fn damage(&self) -> Vec<Damage> {
        self.log.seen.left(&lock(&self.log.state))
    }

    /// Says how long lines are kept from now on.
    pub fn set_retention(&self, retention: Retention) {
        self.log.keeping.set(retention);
        self.keeper.wake();
    }

    /// Does at once what the store's thread would do by and by: packs what is sealed and deletes what is too much or
    /// too old. For benchmarks and tests.
    pub fn settle(&self) {
        self.log.tidy();
    }

    /// Deletes the lines there are of these processes, or of all, from the disk as well, and returns how many they
    /// were. What is appended meanwhile stays. Takes as long as rewriting the log does.
    ///
    /// # Errors
    /// When a segment cannot be rewritten; those before it have been.
    pub fn clear(&self, processes: Option<&[ProcessName]>) -> Result<u64, StoreError> {
        self.log.seal_active(|_| true)?;
        self.log.clear(processes)
    }
}

impl Log {
    /// Brings a frame to disk, in the active segment or in a new one.
    fn write(&self, writer: &mut Writer, first: Seq, frame: &[u8]) -> Result<(), StoreError> {
        let segment_bytes = writer.segment_bytes;
        match &mut writer.active {
            Some(active) if active.end + frame.len() as u64 <= segment_bytes => active.write(frame).map(drop),
            _ => self.begin_segment(writer, first, frame),
        }
    }

    /// Begins a segment with a frame, then seals the one before and applies retention.
    ///
    /// The file gets its name only when it is whole, so that a segment under its name always has its positions.
    fn begin_segment(&self, writer: &mut Writer, first: Seq, frame: &[u8]) -> Result<(), StoreError> {
        let path = self.directory.join(segment::file_name(first));
        let mut opening = Vec::new();
        Header::encode(&mut opening, self.epoch, first, false);
        let positions: Vec<_> = lock(&self.state).positions.iter().map(|(run, at)| (*run, *at)).collect();
        segment::encode_positions(&mut opening, self.epoch, first, positions.into_iter());
        let file = create(&path, &opening, frame)?;

        let active = Active { file, path, end: (opening.len() + frame.len()) as u64, dirty: false };
        let segment = Segment {
            id: Segment::new_id(),
            path: active.path.clone(),
            file: Arc::clone(&active.file),
            first,
            bytes: active.end,
            packed: false,
            extents: Vec::new(),
            shares: Shares::new(),
        };
        if let Some(sealed) = writer.active.replace(active) {
            self.seal(sealed, first);
        }
        let mut state = lock(&self.state);
        // A segment without lines has been replaced by the new file, which has the same name and all positions.
        state.segments.retain(|other| other.first != first);
        state.segments.push_back(Arc::new(segment));
        // Not left to the keeper, whom a flood could outrun.
        self.keeping.delete_oldest(&mut state);
        drop(state);
        self.keeping.wake();
        Ok(())
    }

    /// Seals the active segment when it has lines and `is_due`, and begins the next.
    pub fn seal_active(&self, is_due: impl FnOnce(&Segment) -> bool) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        let state = lock(&self.state);
        let due = state.segments.back().is_some_and(|active| !active.extents.is_empty() && is_due(active));
        let next = Seq(state.newest.0 + 1);
        drop(state);
        if due && writer.active.is_some() { self.begin_segment(&mut writer, next, &[]) } else { Ok(()) }
    }

    /// Gives a full segment its own index. The index is a cache, so failing to write it is no harm.
    fn seal(&self, mut sealed: Active, next: Seq) {
        let Some(segment) = lock(&self.state).segments.back().cloned() else { return };
        let mut index = Vec::new();
        segment::encode_index(&mut index, self.epoch, next, sealed.end, |body| segment.encode_index(body));
        drop(segment);
        if sealed.write(&index).is_ok()
            && let Some(segment) = lock(&self.state).segments.back_mut()
        {
            Arc::make_mut(segment).bytes = sealed.end;
        }
    }

    /// Makes a written batch visible.
    fn publish(&self, writer: &mut Writer, batch: &Batch<'_>, last: Seq, frame: &[u8]) {
        let mut state = lock(&self.state);
        let end = writer.active.as_ref().map_or(0, |active| active.end);
        if let (Some(segment), Some(head)) = (state.segments.back_mut(), Head::parse(frame, self.epoch)) {
            // Copies the segment's extents only when a reader holds a snapshot of them.
            let segment = Arc::make_mut(segment);
            segment.push(&head, end - frame.len() as u64);
            segment.bytes = end;
        }
        state.newest = last;
        state.positions.insert(batch.run, batch.position);
        if batch.ends.is_empty() {
            return;
        }
        let counts = match state.counts.get_mut(batch.process) {
            Some(counts) => counts,
            None => state.counts.entry(batch.process.clone()).or_default(),
        };
        batch.levels.iter().for_each(|&level| counts[Level::from_u8(level) as usize] += 1);
        drop(state);
        self.newest.send_replace(last);
    }
}

impl Active {
    /// Writes whole bytes at the end, or leaves the end where it was.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let failed = |error| StoreError::from_io("write", &self.path, error);
        if self.dirty {
            self.file.set_len(self.end).map_err(failed)?;
        }
        self.dirty = true;
        if let Err(error) = self.file.write_all_at(bytes, self.end) {
            self.dirty = self.file.set_len(self.end).is_err();
            return Err(failed(error));
        }
        self.dirty = false;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

/// Creates a segment file that appears under its name wholly or not at all.
fn create(path: &Path, opening: &[u8], frame: &[u8]) -> Result<Arc<File>, StoreError> {
    let mut new = path.as_os_str().to_owned();
    new.push(NEW_SUFFIX);
    let new = Path::new(&new);
    let created =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(new).and_then(
            |file| {
                file.write_all_at(opening, 0)?;
                file.write_all_at(frame, opening.len() as u64)?;
                fs::rename(new, path)?;
                Ok(Arc::new(file))
            },
        );
    created.map_err(|error| {
        _ = fs::remove_file(new);
        StoreError::from_io("create", path, error)
    })
}

/// Takes a lock. What it guards is changed in single steps, so a panic elsewhere leaves nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
