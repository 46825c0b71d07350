//! One daemon's connection to a shim.
//!
//! Owns the socket and what is half read or half written on it. A peer that sends what is no frame, or does not read
//! its reports, is dropped; nothing it does makes the shim wait or grow.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use super::control::{Report, Request};

/// Most bytes of reports that wait for a peer, beyond what the socket holds.
const UNSENT_BYTES: usize = 4 << 10;

/// A connection; once it is dead it only waits to be removed.
#[derive(Debug)]
pub(super) struct Connection {
    socket: UnixStream,
    unread: Vec<u8>,
    unsent: Vec<u8>,
    alive: bool,
    /// A doorbell was asked for and has not been rung.
    pub(super) armed: bool,
    /// What the tree has said of itself is to be told once the socket takes it.
    pub(super) notice_due: bool,
}

impl Connection {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            unread: Vec::new(),
            unsent: Vec::new(),
            alive: true,
            armed: false,
            notice_due: false,
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.alive
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Whether there is something to write once the socket takes it.
    pub(super) fn has_unsent(&self) -> bool {
        self.alive && !self.unsent.is_empty()
    }

    /// Sends a report, or keeps it until the socket takes it.
    pub(super) fn send(&mut self, report: &Report) {
        report.encode(&mut self.unsent);
        self.write();
        if self.unsent.len() > UNSENT_BYTES {
            self.alive = false;
        }
    }

    /// Writes what the socket takes now.
    pub(super) fn write(&mut self) {
        while self.alive && !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(written) if written > 0 => {
                    self.unsent.drain(..written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => self.alive = false,
            }
        }
        self.unsent = Vec::new();
    }

    /// Reads once, with `scratch` as the space to read into. What is not a whole request is kept.
    pub(super) fn read(&mut self, scratch: &mut [u8]) {
        match self.socket.read(scratch) {
            Ok(0) => self.alive = false,
            Ok(count) => self.unread.extend_from_slice(&scratch[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.alive = false,
        }
    }

    /// Returns the next whole request. Its bytes are bounded by one frame and one read.
    pub(super) fn next_request(&mut self) -> Option<Request> {
        match Request::decode(&self.unread) {
            Ok(Some((request, length))) if self.alive => {
                self.unread.drain(..length);
                if self.unread.is_empty() {
                    self.unread = Vec::new();
                }
                Some(request)
            }
            Ok(_) => None,
            Err(_) => {
                self.alive = false;
                None
            }
        }
    }
}
