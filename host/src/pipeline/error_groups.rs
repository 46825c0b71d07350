//! From events to kinds of errors: gathers what happens, and writes it down together.
//!
//! # Theory of operation
//!
//! [`Groups::take`] is called for each event that is a warning or worse, on the thread that has it. It reads the text,
//! finds the fingerprint, and counts; the disk is never waited for. A thread of its own writes what was gathered into
//! the catalogue, half a second after the first event, or once there are very many kinds, in one transaction. A flood
//! of one error is two transactions a second. While nothing happens it sleeps.
//!
//! ```text
//! take(event) ─▶ Gathered { fingerprint → tally } ──500 ms or 200 kinds──▶ catalogue
//! ```
//!
//! A flood of one error costs a look at its text: texts that were read lately are known again, and when very many were
//! read within a second, those that differ in their digits alone count as one. What cannot be written is kept,
//! and more is added to it; kinds beyond the bound are counted and left out then. What was gathered when the daemon is
//! killed is lost: the lines themselves are not, they are in the log.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{error, warn};

use crate::bounds;
use crate::model::{Event, Level, Stream};
use crate::store::{Catalogue, CatalogueError, ErrorEvent, ErrorTally};
use crate::traces::{self, FINGERPRINT_VERSION, Fingerprint, Shape};

/// Texts whose fingerprint is remembered.
const KNOWN: usize = 4096;
/// Texts read within `WINDOW` from which on digits are no difference any more: reading one takes microseconds.
const FLOOD: usize = 10_000;
/// See `FLOOD`.
const WINDOW: Duration = Duration::from_secs(1);
/// Pause before what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The kinds of errors of a project. Cheap to clone; what is gathered is written with the last clone's end.
#[derive(Clone)]
pub struct Groups {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    catalogue: Arc<Catalogue>,
    /// The project's directory, by which its own code is known.
    project: Option<String>,
    gathered: Mutex<Gathered>,
    /// Rung when there is something to write, much to write, or the end.
    bell: Condvar,
    /// Held while something is written, so that writings stay in order.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Gathered {
    tallies: HashMap<Fingerprint, ErrorTally>,
    /// When the first of these happened.
    since: Option<Instant>,
    known: HashMap<u64, Fingerprint>,
    /// How many texts were read since when.
    read: usize,
    window: Option<Instant>,
    left_out: u64,
    ended: bool,
}

impl Groups {
    /// Begins to gather errors of the project in `dir`.
    ///
    /// # Errors
    /// When the thread that writes cannot be started.
    pub fn start(catalogue: Arc<Catalogue>, dir: &Path) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            catalogue,
            project: dir.to_str().map(str::to_owned),
            gathered: Mutex::default(),
            bell: Condvar::new(),
            writing: Mutex::default(),
        });
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("errors".into()).spawn(move || writer.run())?;
        Ok(Self { handle: Arc::new(Handle { shared, thread: Mutex::new(Some(thread)) }) })
    }

    /// Counts an event, if it is a warning or worse. What Ostler itself remarks is none of the process's errors.
    pub fn take(&self, event: &Event) {
        if event.level >= Level::Warn && event.stream != Stream::Ostler {
            self.handle.shared.take(event);
        }
    }

    /// Writes down what was taken so far, and returns once it is written. Waits for the disk.
    ///
    /// # Errors
    /// When it cannot be written; it is kept then, and tried again.
    pub fn flush(&self) -> Result<(), CatalogueError> {
        self.handle.shared.write()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        lock(&self.shared.gathered).ended = true;
        self.shared.bell.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn take(&self, event: &Event) {
        let (exact, rough) = keys(event);
        let known = {
            let gathered = lock(&self.gathered);
            let is_flood = gathered.read >= FLOOD && !gathered.is_window_over();
            gathered.known.get(&exact).or_else(|| gathered.known.get(&rough).filter(|_| is_flood)).copied()
        };
        let (fingerprint, shape) = match known {
            Some(fingerprint) => (fingerprint, None),
            None => {
                let shape = traces::read_structured(&event.text, &event.fields, self.project.as_deref());
                (Fingerprint::of(event.process.base().as_str(), &shape), Some(shape))
            }
        };
        let mut gathered = lock(&self.gathered);
        if shape.is_some() {
            gathered.remember([exact, rough], fingerprint);
        }
        gathered.count(fingerprint, event, shape, self.project.as_deref());
        // The thread is woken to count the time, and again when there is much.
        if gathered.since.is_none() || gathered.tallies.len() == bounds::ERROR_FLUSH_KINDS {
            gathered.since.get_or_insert_with(Instant::now);
            self.bell.notify_all();
        }
    }

    /// Writes whenever it is time, until the end.
    fn run(&self) {
        loop {
            let mut gathered = lock(&self.gathered);
            let is_last = loop {
                let waits = gathered.since.map(|since| bounds::ERROR_FLUSH.saturating_sub(since.elapsed()));
                if gathered.ended
                    || gathered.tallies.len() >= bounds::ERROR_FLUSH_KINDS
                    || waits == Some(Duration::ZERO)
                {
                    break gathered.ended;
                }
                gathered = match waits {
                    Some(left) => self
                        .bell
                        .wait_timeout(gathered, left)
                        .map_or_else(|e| e.into_inner().0, |woken| woken.0),
                    None => self.bell.wait(gathered).unwrap_or_else(PoisonError::into_inner),
                };
            };
            drop(gathered);
            let written = self.write();
            if let Err(error) = &written {
                error!(%error, "kinds of errors cannot be written; they wait");
            }
            if is_last {
                return;
            }
            if written.is_err() {
                let gathered = lock(&self.gathered);
                let ended = |gathered: &mut Gathered| !gathered.ended;
                drop(self.bell.wait_timeout_while(gathered, RETRY, ended));
            }
        }
    }

    fn write(&self) -> Result<(), CatalogueError> {
        let _writing = lock(&self.writing);
        let tallies = {
            let mut gathered = lock(&self.gathered);
            gathered.since = None;
            if gathered.left_out > 0 {
                warn!(events = gathered.left_out, "errors of too many kinds at once: some are not counted");
                gathered.left_out = 0;
            }
            std::mem::take(&mut gathered.tallies)
        };
        if tallies.is_empty() {
            return Ok(());
        }
        let tallies: Vec<(String, ErrorTally)> =
            tallies.into_iter().map(|(fingerprint, tally)| (fingerprint.to_string(), tally)).collect();
        let written = self.catalogue.add_errors(&tallies);
        if written.is_err() {
            lock(&self.gathered).put_back(tallies);
        }
        written
    }
}

impl Gathered {
    fn is_window_over(&self) -> bool {
        self.window.is_none_or(|window| window.elapsed() > WINDOW)
    }

    fn remember(&mut self, keys: [u64; 2], fingerprint: Fingerprint) {
        if self.is_window_over() {
            (self.read, self.window) = (0, Some(Instant::now()));
        }
        self.read += 1;
        if self.known.len() + keys.len() > KNOWN {
            self.known.clear();
        }
        self.known.extend(keys.map(|key| (key, fingerprint)));
    }

    fn count(
        &mut self,
        fingerprint: Fingerprint,
        event: &Event,
        shape: Option<Shape>,
        project: Option<&str>,
    ) {
        let happened = ErrorEvent {
            process: event.process.clone(),
            run: event.run,
            stream: event.stream,
            level: event.level,
            first: event.first,
            last: event.last,
            time: event.time,
        };
        if let Some(tally) = self.tallies.get_mut(&fingerprint) {
            return tally.add(happened);
        }
        if self.tallies.len() >= bounds::ERROR_GROUPS {
            self.left_out += 1;
            return;
        }
        // Once for each writing, so that what is shown of it is not older than that.
        let shape = shape.unwrap_or_else(|| traces::read_structured(&event.text, &event.fields, project));
        let mut tally = ErrorTally::new(FINGERPRINT_VERSION, happened);
        tally.place = shape.place();
        tally.sample = sample(&event.text);
        (tally.kind, tally.message) = (shape.kind, shape.message);
        self.tallies.insert(fingerprint, tally);
    }

    /// Puts what could not be written in front of what was gathered since.
    fn put_back(&mut self, tallies: Vec<(String, ErrorTally)>) {
        for (fingerprint, mut tally) in tallies {
            let Some(fingerprint) = Fingerprint::parse(&fingerprint) else { continue };
            if let Some(later) = self.tallies.remove(&fingerprint) {
                tally.merge(later);
            }
            self.tallies.insert(fingerprint, tally);
        }
        self.since = Some(Instant::now());
    }
}

/// Returns what stands for a text, and for all that differ from it in their digits alone.
fn keys(event: &Event) -> (u64, u64) {
    let mut exact = DefaultHasher::new();
    (event.process.as_str(), &event.text, &event.fields).hash(&mut exact);
    let mut rough = DefaultHasher::new();
    event.process.base().as_str().hash(&mut rough);
    for part in event.text.as_bytes().split(u8::is_ascii_digit).filter(|part| !part.is_empty()) {
        part.hash(&mut rough);
    }
    (exact.finish(), rough.finish())
}

/// Returns a text no longer than is kept of it: its beginning, and the end with what was raised.
fn sample(text: &str) -> String {
    let most = bounds::ERROR_SAMPLE_BYTES;
    if text.len() <= most {
        return text.to_owned();
    }
    let head = &text[..text.floor_char_boundary(most / 2)];
    let tail = &text[text.ceil_char_boundary(text.len() - most / 2)..];
    let head = head.rsplit_once('\n').map_or(head, |(head, _)| head);
    let tail = tail.split_once('\n').map_or(tail, |(_, tail)| tail);
    let left_out = text.len() - head.len() - tail.len();
    format!("{head}\n… {left_out} bytes left out\n{tail}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
