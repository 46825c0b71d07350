//! Following what a run prints as it prints it, byte for byte, colours and all: what `ostler attach` shows.
//!
//! Owns who follows which run, and what each of them misses by being slow. Never holds up the shim's reports, and never
//! reads the log: that has lines, cleaned of what a terminal needs.
//!
//! ```text
//!  shim ──Output──▶ link ──▶ Tails ──bounded──▶ Tail ──▶ who attached
//!                              │ full: counted, and told as a gap
//! ```

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::handle::Command;
use crate::bounds;
use crate::model::{RunId, SpoolPosition, Stream};
use crate::shim::{ChunkKind, SpoolReader};

/// A part of what a run prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Output {
        stream: Stream,
        bytes: Arc<[u8]>,
    },
    /// So many bytes are left out here.
    Gap {
        bytes: u64,
    },
}

/// The output of one run from one moment on. Whoever drops it follows no longer.
#[derive(Debug)]
pub struct Tail {
    pub run: RunId,
    /// The place in the run's spool behind all that was printed before.
    pub start: u64,
    pieces: mpsc::Receiver<Piece>,
    missed: Arc<AtomicU64>,
    /// Dropped after `pieces`, so that whoever hears of it finds them closed.
    _leave: Leave,
}

impl Tail {
    /// Returns the next piece, or `None` once all that the run printed was returned. Nothing is lost when the future
    /// is dropped.
    pub async fn next(&mut self) -> Option<Piece> {
        match self.pieces.recv().await {
            Some(piece) => Some(piece),
            None => gap(&self.missed),
        }
    }
}

/// Tells the driver that somebody follows no longer.
#[derive(Debug)]
struct Leave(mpsc::UnboundedSender<Command>, RunId);

impl Drop for Leave {
    fn drop(&mut self) {
        let _ = self.0.send(Command::TailLeft { run: self.1 });
    }
}

/// Those who follow one run. Shared by its driver and its link.
#[derive(Debug, Clone, Default)]
pub(super) struct Tails(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// Those whose request the shim has not answered, in the order of the requests.
    waiting: VecDeque<oneshot::Sender<Followed>>,
    followers: Vec<Follower>,
}

/// One who follows, as seen from the run.
#[derive(Debug)]
struct Follower {
    pieces: mpsc::Sender<Piece>,
    missed: Arc<AtomicU64>,
}

/// The same, as seen from the one who follows.
#[derive(Debug)]
pub(super) struct Followed {
    start: u64,
    pieces: mpsc::Receiver<Piece>,
    missed: Arc<AtomicU64>,
}

impl Followed {
    /// Makes a tail of it, that takes leave through `commands`.
    pub(super) fn into_tail(self, run: RunId, commands: mpsc::UnboundedSender<Command>) -> Tail {
        let Self { start, pieces, missed } = self;
        Tail { run, start, pieces, missed, _leave: Leave(commands, run) }
    }
}

impl Tails {
    /// Adds somebody who is to be answered when the shim answers a request to tail.
    pub(super) fn expect(&self, reply: oneshot::Sender<Followed>) {
        self.table().waiting.push_back(reply);
    }

    /// The shim has answered: from the place `start` on, everything is reported.
    pub(super) fn began(&self, start: u64) {
        let mut table = self.table();
        let Some(reply) = table.waiting.pop_front() else { return };
        let (sender, pieces) = mpsc::channel(bounds::TAIL_PIECES);
        let missed = Arc::new(AtomicU64::new(0));
        if reply.send(Followed { start, pieces, missed: Arc::clone(&missed) }).is_ok() {
            table.followers.push(Follower { pieces: sender, missed });
        }
    }

    /// The run has printed something.
    pub(super) fn output(&self, stream: Stream, bytes: Vec<u8>) {
        let bytes: Arc<[u8]> = bytes.into();
        let length = bytes.len() as u64;
        for follower in &self.table().followers {
            follower.give(Piece::Output { stream, bytes: Arc::clone(&bytes) }, length);
        }
    }

    /// The shim could not report all of what was printed.
    pub(super) fn gap(&self, bytes: u64) {
        for follower in &self.table().followers {
            follower.missed.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Forgets those who have left, and returns whether nobody is left or about to come.
    pub(super) fn is_deserted(&self) -> bool {
        let mut table = self.table();
        table.followers.retain(|follower| !follower.pieces.is_closed());
        table.followers.is_empty() && table.waiting.is_empty()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Gives a piece of `length` bytes, or counts it as missed; what was missed is told in front of it.
    fn give(&self, piece: Piece, length: u64) {
        let told = match gap(&self.missed) {
            Some(gap) => self.pieces.try_send(gap.clone()).map_err(|_| gap),
            None => Ok(()),
        };
        let missed = match told {
            Ok(()) if self.pieces.try_send(piece).is_ok() => return,
            Err(Piece::Gap { bytes }) => bytes + length,
            _ => length,
        };
        self.missed.fetch_add(missed, Ordering::Relaxed);
    }
}

/// Takes what is to be told as missing.
fn gap(missed: &AtomicU64) -> Option<Piece> {
    let bytes = missed.swap(0, Ordering::Relaxed);
    (bytes > 0).then_some(Piece::Gap { bytes })
}

/// Returns the last bytes, at most `most`, that a run printed before the place `end` of its spool, as far as the spool
/// still has them. Blocking.
pub fn recent_output(run_dir: &Path, end: u64, most: usize) -> io::Result<Vec<u8>> {
    // Frames have heads, so this many bytes of spool may hold fewer of output, which is as good.
    let from = end.saturating_sub(most as u64);
    let mut reader = SpoolReader::open(run_dir, SpoolPosition { stdout: from, stderr: from, lines: 0 })?;
    let mut recent = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        if chunk.start >= end {
            break;
        }
        if let ChunkKind::Data(data) = chunk.kind {
            recent.extend_from_slice(data);
        }
    }
    recent.drain(..recent.len().saturating_sub(most));
    Ok(recent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shim::{SpoolLimits, SpoolWriter};

    fn follow(tails: &Tails) -> (Tail, mpsc::UnboundedReceiver<Command>) {
        let (reply, mut followed) = oneshot::channel();
        tails.expect(reply);
        tails.began(7);
        let (commands, requests) = mpsc::unbounded_channel();
        (followed.try_recv().unwrap().into_tail(RunId(3), commands), requests)
    }

    fn all(mut tail: Tail) -> Vec<Piece> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut pieces = Vec::new();
            while let Some(piece) = tail.next().await {
                pieces.push(piece);
            }
            pieces
        })
    }

    #[test]
    fn everybody_gets_everything_from_their_own_beginning() {
        let tails = Tails::default();
        let (first, _requests) = follow(&tails);
        tails.output(Stream::Stdout, b"one".to_vec());
        let (second, _requests) = follow(&tails);
        tails.output(Stream::Stderr, b"two".to_vec());
        tails.gap(9);
        drop(tails);
        let piece = |stream, text: &[u8]| Piece::Output { stream, bytes: text.into() };
        let (two, gap) = (piece(Stream::Stderr, b"two"), Piece::Gap { bytes: 9 });
        assert_eq!(all(first), [piece(Stream::Stdout, b"one"), two.clone(), gap.clone()]);
        assert_eq!(all(second), [two, gap]);
    }

    #[test]
    fn who_is_slow_is_told_what_is_missing_and_where() {
        let tails = Tails::default();
        let (tail, _requests) = follow(&tails);
        let lots = bounds::TAIL_PIECES as u64 + 10;
        (0..lots).for_each(|_| tails.output(Stream::Stdout, b"12345".to_vec()));
        drop(tails);
        let pieces = all(tail);
        assert_eq!(pieces.len(), bounds::TAIL_PIECES + 1);
        assert_eq!(pieces.last(), Some(&Piece::Gap { bytes: 50 }));
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let tails = Tails::default();
        assert!(tails.is_deserted());
        let (tail, mut requests) = follow(&tails);
        assert!(!tails.is_deserted());
        drop(tail);
        assert!(matches!(requests.try_recv(), Ok(Command::TailLeft { run: RunId(3) })));
        assert!(tails.is_deserted());
        let (reply, followed) = oneshot::channel();
        tails.expect(reply);
        drop(followed);
        tails.began(1);
        assert!(tails.is_deserted());
    }

    #[test]
    fn recent_output_ends_where_it_is_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let limits = SpoolLimits { min_free_bytes: 0, ..SpoolLimits::default() };
        let mut writer = SpoolWriter::create(dir.path(), limits);
        let mut write = |text: &[u8]| {
            writer.space()[..text.len()].copy_from_slice(text);
            assert!(writer.append(Stream::Stdout, text.len()));
            writer.end()
        };
        write(b"first\n");
        let end = write(b"second\n");
        write(b"third\n");
        assert_eq!(recent_output(dir.path(), end, 1000).unwrap(), b"first\nsecond\n");
        assert_eq!(recent_output(dir.path(), end, 4).unwrap(), b"ond\n");
        assert!(recent_output(&dir.path().join("gone"), end, 4).is_err());
    }
}
