//! What the agent has said and no daemon has wholly got: its lines in order, and how far the first one is written.
//!
//! ```text
//!  agent ── take ──▶ [ line │ line │ line ] ── next ──▶ socket
//!                       │                       written ──▶ a line that is wholly out: the session's from here on
//!                       └── the daemon is gone: what was half out begins anew, for the next one
//! ```
//!
//! A daemon acts on a line when it has its end, so that one of which a byte is missing, be it the end, was never acted
//! on. Only what is too long to be kept goes out in parts, and cannot begin anew.
//!
//! Pure: reads no socket and writes none.

use std::collections::VecDeque;
use std::time::Instant;

use super::session::{Lines, Piece};
use crate::bounds;

/// How often a line is begun at most. Daemons that die while they are told the same are not sought for ever.
pub(super) const SENDINGS: u32 = 3;

/// A line from the agent, with its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) line: Vec<u8>,
    /// When the agent said it.
    pub(super) said: Instant,
    /// How many daemons were told it, wholly or in part, and are gone.
    pub(super) sendings: u32,
}

#[derive(Debug)]
enum Waiting {
    Frame(Frame),
    /// A part of a line that is longer than is kept.
    Part(Vec<u8>),
}

impl Waiting {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame(frame) => &frame.line,
            Self::Part(bytes) => bytes,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Outbox {
    /// What the agent has said of a line that it has not finished.
    unfinished: Lines,
    waiting: VecDeque<Waiting>,
    /// Bytes of all that wait, those of the first that are written included.
    bytes: usize,
    /// Bytes of the first that are written.
    written: usize,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { unfinished: Lines::new(bounds::REQUEST_BYTES), waiting: VecDeque::new(), bytes: 0, written: 0 }
    }

    /// Takes what the agent has said.
    pub(super) fn take(&mut self, bytes: &[u8], now: Instant) {
        for piece in self.unfinished.push(bytes) {
            self.push(match piece {
                Piece::Line(line) => Waiting::Frame(Frame { line, said: now, sendings: 0 }),
                Piece::Part(part) => Waiting::Part(part),
            });
        }
    }

    /// Takes it that the agent says no more: what there is of a last line is a line.
    pub(super) fn finish(&mut self) {
        let rest = self.unfinished.rest();
        if !rest.is_empty() {
            self.push(Waiting::Part(rest));
        }
    }

    fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.bytes().len();
        self.waiting.push_back(waiting);
    }

    /// Puts lines that the next daemon is to be told before all others.
    pub(super) fn put_first(&mut self, frames: Vec<Frame>) {
        for frame in frames.into_iter().rev() {
            self.bytes += frame.line.len();
            self.waiting.push_front(Waiting::Frame(frame));
        }
    }

    /// Returns whether nothing waits. Of a line that the agent has not finished there is nothing to be said yet.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns whether the agent should be listened to: a bounded number of bytes waits.
    pub(super) fn has_room(&self) -> bool {
        self.bytes <= bounds::REQUEST_BYTES
    }

    /// Returns whether the beginning of a line was handed out in parts, and its end has not come.
    pub(super) fn is_torn(&self) -> bool {
        self.unfinished.is_torn()
    }

    /// Returns the bytes to write next: the rest of one line. Empty when nothing waits.
    pub(super) fn next(&self) -> &[u8] {
        self.waiting.front().map_or(&[], |waiting| &waiting.bytes()[self.written..])
    }

    /// Takes it that `count` bytes of [`Outbox::next`] are written. Returns the line that is wholly out by that.
    pub(super) fn written(&mut self, count: usize) -> Option<Frame> {
        self.written += count;
        let length = self.waiting.front()?.bytes().len();
        if self.written < length {
            return None;
        }
        self.written = 0;
        self.bytes -= length;
        match self.waiting.pop_front()? {
            Waiting::Frame(frame) => Some(frame),
            Waiting::Part(_) => None,
        }
    }

    /// Takes it that the daemon is gone: what was half out is to be said anew. Returns the line that has been half
    /// out too often, which is not said any more. What is left of a line that went out in parts is of no use to another
    /// daemon.
    pub(super) fn begin_anew(&mut self) -> Option<Frame> {
        let is_half_out = std::mem::take(&mut self.written) > 0;
        if let (true, Some(Waiting::Frame(frame))) = (is_half_out, self.waiting.front_mut()) {
            frame.sendings += 1;
        }
        self.waiting.retain(|waiting| matches!(waiting, Waiting::Frame(_)));
        let given_up = match self.waiting.pop_front() {
            Some(Waiting::Frame(frame)) if frame.sendings >= SENDINGS => Some(frame),
            Some(other) => {
                self.waiting.push_front(other);
                None
            }
            None => None,
        };
        self.bytes = self.waiting.iter().map(|waiting| waiting.bytes().len()).sum();
        given_up
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(text: &[u8]) -> Outbox {
        let mut outbox = Outbox::new();
        outbox.take(text, Instant::now());
        outbox
    }

    /// Writes `count` bytes in pieces of `piece` at most; returns the lines that got wholly out.
    fn write(outbox: &mut Outbox, mut count: usize, piece: usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while count > 0 && !outbox.is_empty() {
            let step = outbox.next().len().min(piece).min(count);
            count -= step;
            out.extend(outbox.written(step).map(|frame| frame.line));
        }
        out
    }

    #[test]
    fn a_line_is_out_with_its_last_byte_and_begins_anew_before_it() {
        let line = b"{\"id\":1}\n";
        for cut in 0..line.len() {
            let mut outbox = filled(line);
            assert!(write(&mut outbox, cut, usize::MAX).is_empty(), "{cut}");
            assert_eq!(outbox.begin_anew(), None);
            assert_eq!(outbox.next(), line, "cut at {cut}");
        }
        let mut outbox = filled(line);
        assert_eq!(write(&mut outbox, line.len(), usize::MAX), [line.to_vec()]);
        assert_eq!(outbox.begin_anew(), None);
        assert!(outbox.is_empty() && outbox.has_room());
    }

    #[test]
    fn a_line_that_daemons_die_of_is_given_up_and_the_next_one_not() {
        let mut outbox = filled(b"deadly\nharmless\n");
        for _ in 1..SENDINGS {
            write(&mut outbox, 3, 1);
            assert_eq!(outbox.begin_anew(), None);
        }
        // A daemon that goes before it has heard anything is not its fault.
        assert_eq!(outbox.begin_anew(), None);
        write(&mut outbox, 3, 1);
        assert_eq!(outbox.begin_anew().map(|frame| frame.line), Some(b"deadly\n".to_vec()));
        assert_eq!(outbox.next(), b"harmless\n");
    }

    #[test]
    fn what_was_in_hand_goes_before_what_waits() {
        let frame = |line: &[u8]| Frame { line: line.to_vec(), said: Instant::now(), sendings: 1 };
        let mut outbox = filled(b"c\n");
        outbox.put_first(vec![frame(b"a\n"), frame(b"b\n")]);
        assert_eq!(write(&mut outbox, 6, 1), [b"a\n", b"b\n", b"c\n"]);
    }

    #[test]
    fn what_is_too_long_to_be_kept_is_passed_on_and_not_begun_anew() {
        let mut outbox = filled(&vec![b'x'; bounds::REQUEST_BYTES + 1]);
        assert!(outbox.is_torn() && !outbox.is_empty() && !outbox.has_room());
        outbox.take(b"x\nshort\n", Instant::now());
        assert!(!outbox.is_torn());
        write(&mut outbox, 10, 10);
        assert_eq!(outbox.begin_anew(), None);
        assert_eq!(outbox.next(), b"short\n");
        assert!(outbox.has_room());
    }

    #[test]
    fn a_last_line_needs_no_end() {
        let mut outbox = filled(b"a\nb");
        assert_eq!(write(&mut outbox, 2, 2), [b"a\n"]);
        assert!(outbox.is_empty());
        outbox.finish();
        assert_eq!(outbox.next(), b"b");
    }

    proptest! {
        /// However a daemon's end falls: each line is out once or still waits, and the order stays.
        #[test]
        fn each_line_is_out_or_waits(
            lines in prop::collection::vec("[a-z]{0,8}", 0..8),
            cuts in prop::collection::vec((0_usize..40, 1_usize..5), 0..3),
        ) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let mut outbox = filled(text.as_bytes());
            let mut out = Vec::new();
            for (count, piece) in cuts {
                out.extend(write(&mut outbox, count, piece));
                prop_assert_eq!(outbox.begin_anew(), None);
            }
            out.extend(write(&mut outbox, usize::MAX, 3));
            prop_assert_eq!(out.concat(), text.into_bytes());
            prop_assert_eq!(outbox.bytes, 0);
        }
    }
}
