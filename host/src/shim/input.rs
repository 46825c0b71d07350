//! The child's standard input: what was taken for it and is not written yet.
//!
//! Owns the writing end of its pipe, or a way into its terminal. Holds a bounded amount and never waits for a child
//! that does not read.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::pty::EndKey;
use crate::bounds::STDIN_PENDING_BYTES;

/// The writing end of the child's standard input.
#[derive(Debug)]
pub(super) struct Input {
    pipe: Option<OwnedFd>,
    pending: Vec<u8>,
    /// The last byte that was taken.
    last: Option<u8>,
    /// Close once `pending` is written.
    closing: bool,
}

impl Input {
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self { pipe: Some(pipe), pending: Vec::new(), last: None, closing: false }
    }

    /// Takes as many of the bytes as there is room for and returns how many.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        if !self.is_open() {
            return 0;
        }
        self.write();
        let room = STDIN_PENDING_BYTES.saturating_sub(self.pending.len());
        let taken = bytes.len().min(room);
        self.pending.extend_from_slice(&bytes[..taken]);
        self.last = bytes[..taken].last().copied().or(self.last);
        self.write();
        // Closed just now: the child reads no more, so these bytes went nowhere.
        if self.pipe.is_some() { taken } else { 0 }
    }

    /// Writes what the pipe takes now.
    pub(super) fn write(&mut self) {
        while let Some(pipe) = &self.pipe
            && !self.pending.is_empty()
        {
            match rustix::io::write(pipe, &self.pending) {
                Ok(written) => {
                    self.pending.drain(..written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => self.close_now(),
            }
        }
        // Idle shims keep no buffers.
        self.pending = Vec::new();
        if self.closing {
            self.close_now();
        }
    }

    /// Closes once everything taken is written.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.write();
    }

    /// Says that nothing follows what was taken, on a terminal, which stays open. Never refused for want of room.
    pub(super) fn press(&mut self, key: EndKey) {
        if !self.is_open() {
            return;
        }
        match key {
            EndKey::Edited(key) => {
                let at_line_start = matches!(self.last, None | Some(b'\n' | b'\r')) || self.last == Some(key);
                self.pending.extend(std::iter::repeat_n(key, if at_line_start { 1 } else { 2 }));
                self.last = Some(key);
            }
            EndKey::Raw(key) => {
                self.pending.push(key);
                self.last = Some(key);
            }
        }
        self.write();
    }

    /// Closes and forgets what is not written.
    pub(super) fn close_now(&mut self) {
        self.pipe = None;
        self.pending = Vec::new();
    }

    /// Whether bytes may still be taken.
    pub(super) fn is_open(&self) -> bool {
        self.pipe.is_some() && !self.closing
    }

    /// Whether there is so much room that one who was refused may try again; or none ever, which is told the same way.
    pub(super) fn has_room(&self) -> bool {
        !self.is_open() || self.pending.len() <= STDIN_PENDING_BYTES / 2
    }

    /// Returns the descriptor to poll for writing, while there is something to write.
    pub(super) fn waits_for(&self) -> Option<RawFd> {
        self.pipe.as_ref().filter(|_| !self.pending.is_empty()).map(AsRawFd::as_raw_fd)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use rustix::fs::OFlags;
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    fn input() -> (OwnedFd, Input) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::fs::fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
        (reader, Input::new(writer))
    }

    #[test]
    fn a_deaf_child_gets_no_more_than_the_bound_and_then_all_of_it() -> io::Result<()> {
        let (reader, mut input) = input();
        let chunk = vec![b'x'; 50_000];
        let mut taken = 0;
        loop {
            let now = input.take(&chunk);
            taken += now;
            if now < chunk.len() {
                break;
            }
        }
        assert!(input.pending.len() <= STDIN_PENDING_BYTES);
        assert!(input.waits_for().is_some());
        input.close();
        assert!(!input.is_open());
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            std::fs::File::from(reader).read_to_end(&mut all).map(|_| all.len())
        });
        while input.pipe.is_some() {
            input.write();
            std::thread::yield_now();
        }
        assert_eq!(reading.join().unwrap()?, taken);
        Ok(())
    }

    #[test]
    fn there_is_room_again_once_half_is_read() {
        let (reader, mut input) = input();
        assert!(input.has_room());
        let chunk = vec![b'x'; STDIN_PENDING_BYTES];
        while input.take(&chunk) == chunk.len() {}
        assert!(!input.has_room());
        let (mut reader, mut read, mut space) = (std::fs::File::from(reader), 0, vec![0; 4096]);
        while !input.has_room() {
            read += reader.read(&mut space).unwrap();
            input.write();
        }
        assert!(read >= STDIN_PENDING_BYTES / 2, "room after {read} bytes");
        drop(reader);
        input.write();
        assert!(!input.is_open() && input.has_room());
    }

    #[test]
    fn the_end_key_is_pressed_twice_within_a_line() {
        let (reader, mut input) = input();
        let mut reader = std::fs::File::from(reader);
        let mut read = |count: usize| {
            let mut bytes = vec![0; count];
            reader.read_exact(&mut bytes).unwrap();
            bytes
        };
        input.press(EndKey::Edited(4));
        input.take(b"one\n");
        input.press(EndKey::Edited(4));
        input.take(b"two");
        input.press(EndKey::Edited(4));
        input.press(EndKey::Edited(4));
        input.take(b"three");
        input.press(EndKey::Raw(4));
        assert_eq!(read(18), b"\x04one\n\x04two\x04\x04\x04three\x04");
        assert!(input.is_open());
    }

    #[test]
    fn input_for_a_closed_pipe_is_not_taken() {
        let (reader, mut input) = input();
        drop(reader);
        assert_eq!(input.take(b"hello"), 0);
        assert!(!input.is_open());
    }
}
