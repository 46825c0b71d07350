//! The way in: appending batches, sealing segments, deleting the oldest.
//!
//! One mutex around the files orders appends; the index is published under a mutex of its own that is never held
//! over a write. Never reads lines back: that is `reader`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::bounds;
use crate::model::{Level, ProcessName, RunId, Seq, SpoolPosition};

use super::columns::{self, Batch};
use super::cursor::{Cursor, CursorError};
use super::error::StoreError;
use super::frame::Head;
use super::index::{Segment, Snapshot, State};
use super::recovery::{self, NEW_SUFFIX, Recovery, Tail};
use super::segment::{self, Header};

/// Sealed segments that may wait to be flushed to the device; beyond it they are left to the kernel.
const FLUSHES_PENDING: usize = 4;
/// Capacity of the frame buffer that is kept between batches.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

/// How large the log may become.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Size at which a segment is sealed, in bytes.
    pub segment_bytes: u64,
    /// Most bytes of all segments.
    pub log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { segment_bytes: bounds::SEGMENT_BYTES, log_bytes: bounds::LOG_BYTES }
    }
}

/// The log of one project. Shared by reference: every method takes `&self` and may be called from any thread, but
/// from asynchronous code only through a blocking thread, since all but the getters touch files.
#[derive(Debug)]
pub struct Store {
    epoch: u32,
    writer: Mutex<Writer>,
    state: Mutex<State>,
    newest: watch::Sender<Seq>,
}

#[derive(Debug)]
struct Writer {
    directory: PathBuf,
    limits: Limits,
    active: Option<Active>,
    buffer: Vec<u8>,
    flusher: Flusher,
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
        let writer = Writer {
            directory: directory.to_owned(),
            limits,
            active,
            buffer: Vec::new(),
            flusher: Flusher::start(directory),
        };
        let store = Self {
            epoch: opened.epoch,
            newest: watch::Sender::new(opened.state.newest),
            state: Mutex::new(opened.state),
            writer: Mutex::new(writer),
        };
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
        let mut writer = lock(&self.writer);
        let first = Seq(self.newest().0 + 1);
        let mut buffer = std::mem::take(&mut writer.buffer);
        buffer.clear();
        let appended = columns::encode_lines(&mut buffer, self.epoch, first, batch)
            .and_then(|()| self.write(&mut writer, first, &buffer));
        let last = Seq(first.0 + batch.ends.len() as u64 - 1);
        if appended.is_ok() {
            self.publish(&mut writer, batch, last, &buffer);
        }
        buffer.shrink_to(BUFFER_KEPT_BYTES);
        writer.buffer = buffer;
        appended.map(|()| (first, last))
    }

    /// Returns the place in the run's spool up to which its output is stored; `None` when nothing of it is.
    pub fn position(&self, run: RunId) -> Option<SpoolPosition> {
        lock(&self.state).positions.get(&run).copied()
    }

    /// Forgets the spool positions of all runs but those `keep` names: call it for runs whose spool is deleted, or
    /// the positions at the head of each segment grow for ever. Their lines stay.
    pub fn retain_positions(&self, keep: impl Fn(RunId) -> bool) {
        lock(&self.state).positions.retain(|run, _| keep(*run));
    }

    /// Returns the sequence number of the last stored line; 0 when there was none yet.
    pub fn newest(&self) -> Seq {
        *self.newest.borrow()
    }

    /// Returns the sequence number of the oldest line that retention has left, or of the next line when there is none.
    pub fn oldest(&self) -> Seq {
        lock(&self.state).oldest()
    }

    /// Returns a receiver of [`Store::newest`]: it changes with every batch that has lines.
    pub fn subscribe(&self) -> watch::Receiver<Seq> {
        self.newest.subscribe()
    }

    /// Returns how many lines of each level number the process has written since the store was opened.
    pub fn counts(&self, process: &ProcessName) -> [u64; Level::ALL.len()] {
        lock(&self.state).counts.get(process).copied().unwrap_or_default()
    }

    /// Returns the bytes of all segments.
    pub fn bytes(&self) -> u64 {
        lock(&self.state).segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Returns the cursor that stands after line `seq`.
    pub fn cursor(&self, seq: Seq) -> Cursor {
        Cursor { epoch: self.epoch, seq }
    }

    /// Returns the line a cursor stands after.
    ///
    /// # Errors
    /// When the cursor was given out by another log: another project's, or one deleted since.
    pub fn resolve(&self, cursor: Cursor) -> Result<Seq, CursorError> {
        if cursor.epoch == self.epoch { Ok(cursor.seq) } else { Err(CursorError::OtherLog(cursor)) }
    }

    /// Flushes the log to the device, for an orderly end.
    pub fn flush(&self) -> Result<(), StoreError> {
        let active =
            lock(&self.writer).active.as_ref().map(|active| (Arc::clone(&active.file), active.path.clone()));
        active.map_or(Ok(()), |(file, path)| {
            file.sync_data().map_err(|error| StoreError::from_io("flush", &path, error))
        })
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        lock(&self.state).snapshot()
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Brings a frame to disk, in the active segment or in a new one.
    fn write(&self, writer: &mut Writer, first: Seq, frame: &[u8]) -> Result<(), StoreError> {
        let segment_bytes = writer.limits.segment_bytes;
        match &mut writer.active {
            Some(active) if active.end + frame.len() as u64 <= segment_bytes => active.write(frame).map(drop),
            _ => self.begin_segment(writer, first, frame),
        }
    }

    /// Begins a segment with a frame, then seals the one before and applies retention.
    ///
    /// The file gets its name only when it is whole, so that a segment under its name always has its positions.
    fn begin_segment(&self, writer: &mut Writer, first: Seq, frame: &[u8]) -> Result<(), StoreError> {
        let path = writer.directory.join(segment::file_name(first));
        let mut opening = Vec::new();
        Header::encode(&mut opening, self.epoch, first);
        let positions: Vec<_> = lock(&self.state).positions.iter().map(|(run, at)| (*run, *at)).collect();
        segment::encode_positions(&mut opening, self.epoch, first, positions.into_iter());
        let file = create(&path, &opening, frame)?;

        let active = Active { file, path, end: (opening.len() + frame.len()) as u64, dirty: false };
        let segment = Segment {
            path: active.path.clone(),
            file: Arc::clone(&active.file),
            first,
            bytes: active.end,
            extents: Vec::new(),
        };
        if let Some(sealed) = writer.active.replace(active) {
            self.seal(writer, sealed, first);
        }
        let mut state = lock(&self.state);
        // A segment without lines has been replaced by the new file, which has the same name and all positions.
        state.segments.retain(|other| other.first != first);
        state.segments.push_back(Arc::new(segment));
        retain(&mut state, writer.limits);
        Ok(())
    }

    /// Gives a full segment its own index. The index is a cache, so failing to write it is no harm.
    fn seal(&self, writer: &Writer, mut sealed: Active, next: Seq) {
        let Some(segment) = lock(&self.state).segments.back().cloned() else { return };
        let mut index = Vec::new();
        segment::encode_index(&mut index, self.epoch, next, sealed.end, |body| segment.encode_extents(body));
        drop(segment);
        if sealed.write(&index).is_ok()
            && let Some(segment) = lock(&self.state).segments.back_mut()
        {
            Arc::make_mut(segment).bytes = sealed.end;
        }
        writer.flusher.flush(sealed.file);
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

/// Deletes the oldest segments until a full new one fits.
fn retain(state: &mut State, limits: Limits) {
    let mut bytes: u64 = state.segments.iter().rev().skip(1).map(|segment| segment.bytes).sum();
    while bytes + limits.segment_bytes > limits.log_bytes && state.segments.len() > 1 {
        let Some(oldest) = state.segments.pop_front() else { return };
        bytes -= oldest.bytes;
        if let Err(error) = fs::remove_file(&oldest.path) {
            tracing::warn!(file = %oldest.path.display(), %error, "old log segment cannot be deleted");
        }
    }
}

/// Takes a lock. What it guards is changed in single steps, so a panic elsewhere leaves nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that flushes sealed segments to the device, because that takes as long as the device likes.
#[derive(Debug)]
struct Flusher {
    files: Option<SyncSender<Arc<File>>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    fn start(directory: &Path) -> Self {
        let (files, sealed) = sync_channel::<Arc<File>>(FLUSHES_PENDING);
        let directory = directory.to_owned();
        let flush = move || {
            for file in sealed {
                let flushed = file.sync_data().and_then(|()| File::open(&directory)?.sync_all());
                if let Err(error) = flushed {
                    tracing::warn!(log = %directory.display(), %error, "log segment cannot be flushed");
                }
            }
        };
        // Without the thread nothing is flushed early; the kernel still writes everything back in time.
        let thread = std::thread::Builder::new().name("log-flush".into()).spawn(flush).ok();
        Self { files: Some(files), thread }
    }

    /// Hands a file over; when too many wait, it is left to the kernel.
    fn flush(&self, file: Arc<File>) {
        if let Some(files) = &self.files {
            _ = files.try_send(file);
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.files = None;
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}
