//! One of the child's output pipes, or its terminal, on its way into the spool.
//!
//! Owns the reading end, and when to read from it and how wide it is. Never waits, and never holds output back
//! for longer than [`REST`].

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::spool::SpoolWriter;
use crate::model::Stream;

/// Frames taken from one pipe before the rest of the loop has its turn.
const FRAMES_PER_TURN: usize = 16;
/// A read this long comes from a child that is about to fill its pipe: the usual one holds 64 KiB.
const FLOOD_READ_BYTES: usize = 32 << 10;
/// Pipe size for such a child: fewer switches between it and the shim. Not for every child from the start, because
/// all pipes of a user share a budget (`/proc/sys/fs/pipe-user-pages-soft`, 64 MiB), and once it is used up every
/// new pipe of that user has two pages (`pipe(7)`).
const FLOOD_PIPE_BYTES: usize = 1 << 20;
/// How long a pipe is left alone after a short read that came this soon after the last one: a child that writes line
/// by line is then waited for, and woken up for, many lines at once instead of each.
const REST: Duration = Duration::from_millis(1);

/// A read this long from a terminal means that there is more: the kernel's buffer of one has a page.
const FLOOD_TERMINAL_BYTES: usize = 4 << 10;

/// What is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Pipe,
    /// It hands out little at a time, and ends with the error EIO.
    Terminal,
}

/// The reading end of a pipe; closed when everyone who held its other end is gone.
#[derive(Debug)]
pub(super) struct Output {
    stream: Stream,
    source: Source,
    pipe: Option<OwnedFd>,
    widened: bool,
    last_read: Instant,
    rests_until: Option<Instant>,
}

impl Output {
    /// Returns one that is closed from the beginning when there is no `pipe`.
    pub(super) fn new(stream: Stream, source: Source, pipe: Option<OwnedFd>) -> Self {
        Self { stream, source, pipe, widened: false, last_read: Instant::now(), rests_until: None }
    }

    /// Moves what is there to the spool, up to a turn's share, and shows it to `on_output`.
    pub(super) fn take(&mut self, spool: &mut SpoolWriter, mut on_output: impl FnMut(Stream, &[u8])) {
        for _ in 0..FRAMES_PER_TURN {
            let Some(pipe) = &self.pipe else { return };
            match self.source.read(pipe, spool.space()) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    spool.append(self.stream, count);
                    on_output(self.stream, &spool.space()[..count]);
                    if self.source == Source::Pipe && count >= FLOOD_READ_BYTES && !self.widened {
                        self.widened = true;
                        // Where the budget is used up the usual size has to do.
                        let _ = rustix::pipe::fcntl_setpipe_size(pipe, FLOOD_PIPE_BYTES);
                    }
                    if count < spool.space().len() {
                        return self.rest_after(count);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.pipe = None,
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.pipe.is_none()
    }

    /// Returns the descriptor to poll for reading, if it is to be read from now.
    pub(super) fn waits_for(&self) -> Option<RawFd> {
        self.pipe.as_ref().filter(|_| self.rests_until.is_none()).map(AsRawFd::as_raw_fd)
    }

    /// Returns when the pipe is to be looked at again, while it is left alone.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        self.rests_until
    }

    /// Ends the rest if its time has come.
    pub(super) fn end_rest(&mut self, now: Instant) {
        self.rests_until = self.rests_until.filter(|until| now < *until);
    }

    /// Decides whether to leave the pipe alone for a while after a read of `count` bytes that emptied it.
    fn rest_after(&mut self, count: usize) {
        let now = Instant::now();
        let is_busy = now.saturating_duration_since(self.last_read) < REST;
        self.last_read = now;
        self.rests_until = (is_busy && count < self.source.flood_bytes()).then(|| now + REST);
    }
}

impl Source {
    /// Reads once from a pipe, and from a terminal until it is empty or the space is full, because a frame for each
    /// of its small pieces would cost more than what is in it.
    fn read(self, pipe: &OwnedFd, space: &mut [u8]) -> Result<usize, Errno> {
        let mut filled = rustix::io::read(pipe, &mut *space)?;
        // What ends this is found again by the next read.
        while self == Self::Terminal
            && filled > 0
            && filled < space.len()
            && let Ok(count @ 1..) = rustix::io::read(pipe, &mut space[filled..])
        {
            filled += count;
        }
        Ok(filled)
    }

    fn flood_bytes(self) -> usize {
        match self {
            Self::Pipe => FLOOD_READ_BYTES,
            Self::Terminal => FLOOD_TERMINAL_BYTES,
        }
    }
}
