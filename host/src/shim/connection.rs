//! One daemon's connection to a shim.
//!
//! Owns the socket and what is half read or half written on it. A peer that sends what is no frame, or does not read
//! its reports, is dropped; one that follows the output and does not read it fast enough misses some of it, and is
//! told how much. Nothing it does makes the shim wait or grow.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use super::control::{self, Report, Request};
use crate::bounds::TAIL_PENDING_BYTES;
use crate::model::Stream;

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
    /// Input was refused, and there has been no room since.
    pub(super) wants_room: bool,
    /// It follows the output.
    pub(super) tailing: bool,
    /// It has followed the output, some of which may still be waiting for it.
    has_tailed: bool,
    /// Bytes of output it missed and was not told of.
    missed: u64,
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
            wants_room: false,
            tailing: false,
            has_tailed: false,
            missed: 0,
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
        let most = UNSENT_BYTES + if self.has_tailed { TAIL_PENDING_BYTES } else { 0 };
        if self.unsent.len() > most {
            self.alive = false;
        }
    }

    /// Lets it follow the output, or no longer.
    pub(super) fn set_tailing(&mut self, on: bool) {
        self.tailing = on;
        self.has_tailed |= on;
    }

    /// Sends output to one that follows it, or counts it as missed while too much waits already.
    pub(super) fn send_output(&mut self, stream: Stream, bytes: &[u8]) {
        if !self.tailing {
            return;
        }
        if self.unsent.len() + bytes.len() > TAIL_PENDING_BYTES {
            self.missed += bytes.len() as u64;
            return;
        }
        self.tell_missed();
        control::put_output(&mut self.unsent, stream, bytes);
        self.write();
    }

    fn tell_missed(&mut self) {
        let bytes = std::mem::take(&mut self.missed);
        if bytes > 0 {
            Report::OutputGap { bytes }.encode(&mut self.unsent);
        }
    }

    /// Writes what the socket takes now.
    pub(super) fn write(&mut self) {
        while self.alive && !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(written) if written > 0 => {
                    self.unsent.drain(..written);
                    if self.unsent.is_empty() {
                        // Nothing more may come that it could be told in front of.
                        self.tell_missed();
                    }
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
