//! Opening a log: which segments there are, where the last one ends, and what was damaged.
//!
//! Runs once, before the first append. It deletes nothing that holds lines: a file it cannot make sense of is
//! renamed, and the only bytes cut are those after the last whole frame.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::{RunId, Seq, SpoolPosition};

use super::block;
use super::error::StoreError;
use super::frame::{Head, Kind};
use super::index::{Segment, Shares, State};
use super::segment::{self, Check, FORMAT, Found, HEADER_BYTES, Header, SealedIndex};

/// Most damaged places that are listed one by one.
const DAMAGE_LISTED: usize = 100;
/// What the name of a segment that is being created ends with.
pub(super) const NEW_SUFFIX: &str = ".new";

/// What opening a log came upon. All zero after an orderly end, and after a crash between two batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of an unfinished batch that were cut from the end of the log.
    pub torn_bytes: u64,
    /// Damaged places, the first hundred of them.
    pub damage: Vec<Damage>,
    /// How many damaged places there are.
    pub damaged_places: u64,
    /// How many bytes they have in all.
    pub damaged_bytes: u64,
}

/// A place in the log that could not be read. The lines in it are lost, all others are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub file: PathBuf,
    /// Where it begins, in bytes.
    pub offset: u64,
    pub bytes: u64,
}

impl Recovery {
    fn note(&mut self, file: &Path, offset: u64, bytes: u64) {
        self.damaged_places += 1;
        self.damaged_bytes += bytes;
        if self.damage.len() < DAMAGE_LISTED {
            self.damage.push(Damage { file: file.to_owned(), offset, bytes });
        }
    }
}

/// An opened log.
pub(super) struct Opened {
    pub epoch: u32,
    pub state: State,
    /// Where appending goes on in the last segment; `None` when a new one has to be begun.
    pub tail: Option<Tail>,
    pub recovery: Recovery,
}

/// The end of the segment that grows.
pub(super) struct Tail {
    pub file: Arc<File>,
    /// Where the last whole frame ends.
    pub end: u64,
    /// There may be bytes after `end`.
    pub dirty: bool,
}

/// Opens the log in `directory`, creating the directory when it is missing.
pub(super) fn open(directory: &Path) -> Result<Opened, StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| StoreError::from_io("create", directory, error))?;
    let mut opening =
        Opening { recovery: Recovery::default(), positions: HashMap::new(), files: find(directory)? };
    let epoch = opening.settle_epoch()?;
    opening.open_all(epoch)
}

/// A segment file before its frames are known.
struct Candidate {
    path: PathBuf,
    first: Seq,
    file: File,
    bytes: u64,
    writable: bool,
    /// Its header could be read.
    sound: bool,
    /// It is one of blocks.
    packed: bool,
}

/// Lists the segment files in order, and removes those whose creation a crash cut short.
fn find(directory: &Path) -> Result<Vec<Candidate>, StoreError> {
    let failed = |error| StoreError::from_io("read", directory, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(NEW_SUFFIX) {
            // What was in it was never acknowledged, and creating the next segment overwrites it anyway.
            _ = fs::remove_file(&path);
        } else if let Some(first) = segment::first_of_name(name) {
            files.push(Candidate::open(path, first)?);
        }
    }
    files.sort_by_key(|candidate| candidate.first);
    Ok(files)
}

impl Candidate {
    fn open(path: PathBuf, first: Seq) -> Result<Self, StoreError> {
        let failed = |error| StoreError::from_io("open", &path, error);
        let (file, writable) = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => (file, true),
            // A log that cannot be written can still be read.
            Err(error) if is_read_only(&error) => (File::open(&path).map_err(failed)?, false),
            Err(error) => return Err(failed(error)),
        };
        let bytes = file.metadata().map_err(failed)?.len();
        Ok(Self { file, bytes, writable, sound: true, packed: false, first, path })
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

struct Opening {
    recovery: Recovery,
    positions: HashMap<RunId, SpoolPosition>,
    files: Vec<Candidate>,
}

impl Opening {
    /// Returns the log's epoch: that of its newest readable header, or a new one for a new log.
    ///
    /// When no header can be read the files cannot be checked; they are set aside and a new log begins.
    fn settle_epoch(&mut self) -> Result<u32, StoreError> {
        let mut epoch = None;
        for candidate in &mut self.files {
            let header = Header::read(&candidate.file)
                .map_err(|error| StoreError::from_io("read", &candidate.path, error))?;
            match header {
                Header::Known { epoch: found, packed } => {
                    epoch = Some(found);
                    candidate.packed = packed;
                }
                Header::Newer { format } => {
                    let path = candidate.path.clone();
                    return Err(StoreError::Newer { path, found: format, known: FORMAT });
                }
                Header::Damaged => {
                    // Its frames can be read by another segment's epoch, but it must not grow.
                    candidate.sound = false;
                    self.recovery.note(&candidate.path, 0, HEADER_BYTES.min(candidate.bytes));
                }
            }
        }
        if let Some(epoch) = epoch {
            for candidate in self.files.iter_mut().filter(|candidate| !candidate.sound) {
                candidate.packed = segment::begins_with_block(&candidate.file, epoch);
            }
            return Ok(epoch);
        }
        for candidate in self.files.drain(..) {
            let aside = candidate.path.with_extension("damaged");
            fs::rename(&candidate.path, &aside)
                .map_err(|error| StoreError::from_io("rename", &candidate.path, error))?;
            self.recovery.note(&aside, HEADER_BYTES, candidate.bytes.saturating_sub(HEADER_BYTES));
        }
        Ok(new_epoch())
    }

    fn open_all(mut self, epoch: u32) -> Result<Opened, StoreError> {
        let mut state = State::default();
        let mut tail = None;
        let mut has_positions = true;
        let count = self.files.len();
        for (index, candidate) in std::mem::take(&mut self.files).into_iter().enumerate() {
            let mut next = Seq(candidate.first.0.max(state.newest.0 + 1));
            let segment = if index + 1 < count {
                self.open_sealed(candidate, epoch, &mut next)
            } else {
                let last = self.open_last(candidate, epoch, &mut next);
                (tail, has_positions) = (last.tail, last.has_positions);
                last.segment
            };
            state.newest = Seq(next.0 - 1);
            state.segments.push_back(Arc::new(segment));
        }
        if !has_positions {
            self.recall_positions(&state, epoch);
        }
        state.positions = self.positions;
        Ok(Opened { epoch, state, tail, recovery: self.recovery })
    }

    /// Takes a sealed segment in by its own index, or by its frames' heads where that is missing.
    fn open_sealed(&mut self, candidate: Candidate, epoch: u32, next: &mut Seq) -> Segment {
        let mut segment = candidate.into_segment();
        if let Some(index) = SealedIndex::read(&segment.file, segment.bytes, epoch, segment.packed) {
            segment.extents = index.extents;
            segment.shares = index.shares;
            *next = index.next.max(*next);
            return segment;
        }
        let file = Arc::clone(&segment.file);
        let (bytes, path) = (segment.bytes, segment.path.clone());
        // A block says of its lines more than its head does.
        let check = if segment.packed { Check::Everything } else { Check::Heads };
        let walked = segment::walk(&file, bytes, epoch, check, |found| match found {
            Found::Frame { head, offset, frame } => {
                *next = head.next().max(*next);
                if head.kind == Kind::Block
                    && let Some(extent) = block::extent(frame, offset, epoch)
                {
                    *next = Seq(extent.last.0 + 1).max(*next);
                    segment.extents.push(extent);
                } else if head.kind == Kind::Lines {
                    segment.push(&head, offset);
                }
            }
            Found::Damage { offset, bytes } => self.recovery.note(&path, offset, bytes),
        });
        let end = walked.unwrap_or_else(|error| {
            tracing::warn!(file = %path.display(), %error, "log segment cannot be read");
            HEADER_BYTES
        });
        if end < bytes {
            self.recovery.note(&path, end, bytes - end);
        }
        segment
    }

    /// Takes the last segment in, checking every byte, and cuts what a crash left unfinished.
    fn open_last(&mut self, candidate: Candidate, epoch: u32, next: &mut Seq) -> Last {
        let (first, writable, sound) = (candidate.first, candidate.writable, candidate.sound);
        if candidate.packed {
            // Only when the one after it was taken away. It does not grow; its positions are found by looking back.
            let segment = self.open_sealed(candidate, epoch, next);
            return Last { segment, tail: None, has_positions: false };
        }
        let mut segment = candidate.into_segment();
        let file = Arc::clone(&segment.file);
        let (bytes, path) = (segment.bytes, segment.path.clone());
        // Its own index, which a sealed segment has and one that grows must not have.
        let mut index_offset = None;
        let mut has_positions = false;
        let walked = segment::walk(&file, bytes, epoch, Check::Everything, |found| match found {
            Found::Frame { head, offset, frame } => {
                *next = head.next().max(*next);
                has_positions |= head.kind == Kind::Positions;
                if head.kind == Kind::Index {
                    index_offset = Some(offset);
                }
                segment.push(&head, offset);
                note_positions(&mut self.positions, &head, frame, epoch);
            }
            Found::Damage { offset, bytes } => self.recovery.note(&path, offset, bytes),
        });
        let end = match walked {
            Ok(end) if sound => {
                self.recovery.torn_bytes = bytes - end;
                index_offset.unwrap_or(end)
            }
            other => {
                // What cannot be read is neither cut nor overwritten: appending goes on in a file of another name.
                let end = other.unwrap_or_else(|error| {
                    tracing::warn!(file = %path.display(), %error, "log segment cannot be read");
                    HEADER_BYTES
                });
                if end < bytes {
                    self.recovery.note(&path, end, bytes - end);
                }
                *next = Seq(first.0 + u64::from(bytes > HEADER_BYTES)).max(*next);
                return Last { segment, tail: None, has_positions };
            }
        };
        segment.bytes = end;
        let tail = writable.then(|| {
            let dirty = end < bytes && file.set_len(end).is_err();
            Tail { file: Arc::clone(&file), end, dirty }
        });
        Last { segment, tail, has_positions }
    }

    /// Gathers the spool positions from all frames, because the frame that summed them up was lost.
    fn recall_positions(&mut self, state: &State, epoch: u32) {
        let mut recalled = HashMap::new();
        for segment in &state.segments {
            // Reported when the segment was opened.
            _ = segment::walk(&segment.file, segment.bytes, epoch, Check::Everything, |found| {
                if let Found::Frame { head, frame, .. } = found {
                    note_positions(&mut recalled, &head, frame, epoch);
                }
            });
        }
        self.positions = recalled;
    }
}

/// The last segment of a log.
struct Last {
    segment: Segment,
    tail: Option<Tail>,
    /// The positions at its beginning could be read.
    has_positions: bool,
}

/// Takes in what a checked frame says about where runs stand.
fn note_positions(positions: &mut HashMap<RunId, SpoolPosition>, head: &Head<'_>, frame: &[u8], epoch: u32) {
    match head.kind {
        Kind::Lines => _ = positions.insert(head.run, head.position),
        Kind::Positions => {
            positions.extend(segment::decode_positions(head.data(frame, epoch).unwrap_or_default()));
        }
        Kind::Index | Kind::Block => {}
    }
}

impl Candidate {
    fn into_segment(self) -> Segment {
        Segment {
            id: Segment::new_id(),
            path: self.path,
            file: Arc::new(self.file),
            first: self.first,
            bytes: self.bytes,
            packed: self.packed,
            extents: Vec::new(),
            shares: Shares::new(),
        }
    }
}

/// Returns a random number for a new log. The standard library seeds its hash maps from the system's random source.
fn new_epoch() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish() as u32
}
