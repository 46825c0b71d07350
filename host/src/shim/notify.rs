//! What the child's tree says of itself through `NOTIFY_SOCKET` (`sd_notify(3)`): ready, reloading, stopping, alive,
//! and a line of status.
//!
//! Owns the datagram socket, who may speak on it, and what was said last. It is the shim's and not the daemon's,
//! because what is said while no daemon lives must not be lost. Never waits, and never holds more than one state:
//! what a flood says in between is forgotten. Linux only, as is the kernel's word on who a sender is.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::control::{Notified, Report};
use super::tree;
use crate::bounds;

/// Longest message that is read, in bytes; a longer one is ignored.
const MESSAGE_BYTES: usize = 4096;
/// Messages read before the rest of the loop has its turn.
const MESSAGES_PER_TURN: usize = 16;
/// How long the socket is left alone after a turn. A flood waits in the socket's queue, and then in its sender.
const REST: Duration = Duration::from_millis(50);
/// Generations between a sender and the shim that are followed; deeper ones are strangers.
const GENERATIONS: usize = 256;

/// The socket, and what was heard on it.
#[derive(Debug)]
pub(super) struct Notify {
    socket: UnixDatagram,
    path: PathBuf,
    /// The shim's, which every sender has to descend from.
    root: i32,
    heard: Option<Heard>,
    rests_until: Option<Instant>,
}

/// All that counts of the messages so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Heard {
    ready: bool,
    reloading: bool,
    stopping: bool,
    triggered: bool,
    watchdog: Option<Instant>,
    extended_to: Option<Instant>,
    status: String,
}

impl Notify {
    /// Binds the socket at `path`, for descendants of the process `root`.
    pub(super) fn bind(path: &Path, root: i32) -> io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        pass_credentials(&socket)?;
        Ok(Self { socket, path: path.to_owned(), root, heard: None, rests_until: None })
    }

    /// Returns the descriptor to poll for reading, if it is to be read from now.
    pub(super) fn waits_for(&self) -> Option<RawFd> {
        self.rests_until.is_none().then(|| self.socket.as_raw_fd())
    }

    /// Returns when the socket is to be looked at again, while it is left alone.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        self.rests_until
    }

    /// Ends the rest if its time has come.
    pub(super) fn end_rest(&mut self, now: Instant) {
        self.rests_until = self.rests_until.filter(|until| now < *until);
    }

    /// Reads what is there, up to a turn's share, and returns whether there is something new to tell.
    pub(super) fn take(&mut self) -> bool {
        let now = Instant::now();
        let mut buffer = [0; MESSAGE_BYTES];
        let mut has_news = false;
        for _ in 0..MESSAGES_PER_TURN {
            let Some(Message { length, sender }) = receive(&self.socket, &mut buffer) else { break };
            if let Some(length) = length
                && sender.is_some_and(|sender| self.may_speak(&sender))
            {
                self.heard.get_or_insert_default().hear(&buffer[..length], now);
                has_news = true;
            }
        }
        self.rests_until = Some(now + REST);
        has_news
    }

    /// Returns what was heard so far; nothing when nobody has spoken.
    pub(super) fn report(&self) -> Option<Report> {
        self.heard.as_ref().map(|heard| Report::Notified(heard.told_at(Instant::now())))
    }

    /// Takes the socket from the file system.
    pub(super) fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// Whether the sender is of the tree. One that has gone already, as `systemd-notify` has as soon as it has
    /// spoken, is taken at the word of its user, who is the one that may reach the socket at all.
    fn may_speak(&self, sender: &libc::ucred) -> bool {
        // SAFETY: takes nothing and cannot fail.
        let own_uid = unsafe { libc::getuid() };
        is_below(sender.pid, self.root).unwrap_or(sender.uid == own_uid)
    }
}

impl Heard {
    /// Takes in one message: lines of `KEY=value`, of which those that are not known are passed over.
    fn hear(&mut self, message: &[u8], now: Instant) {
        for line in message.split(|byte| *byte == b'\n') {
            let Some(equals) = line.iter().position(|byte| *byte == b'=') else { continue };
            let (key, value) = (&line[..equals], &line[equals + 1..]);
            match (key, value) {
                (b"READY", b"1") => (self.ready, self.reloading) = (true, false),
                (b"RELOADING", b"1") => self.reloading = true,
                (b"STOPPING", b"1") => self.stopping = true,
                (b"WATCHDOG", b"1") => (self.watchdog, self.triggered) = (Some(now), false),
                (b"WATCHDOG", b"trigger") => self.triggered = true,
                (b"EXTEND_TIMEOUT_USEC", value) => {
                    self.extended_to = microseconds(value).and_then(|more| now.checked_add(more));
                }
                (b"STATUS", value) => self.status = clean(value),
                _ => {}
            }
        }
    }

    fn told_at(&self, now: Instant) -> Notified {
        Notified {
            ready: self.ready,
            reloading: self.reloading,
            stopping: self.stopping,
            triggered: self.triggered,
            watchdog_age: self.watchdog.map(|last| now.saturating_duration_since(last)),
            extended: self.extended_to.map_or(Duration::ZERO, |until| until.saturating_duration_since(now)),
            status: self.status.clone(),
        }
    }
}

/// Reads a number of microseconds; one beyond the bound counts as the bound.
fn microseconds(value: &[u8]) -> Option<Duration> {
    let number: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(Duration::from_micros(number).min(bounds::NOTIFY_EXTEND))
}

/// Makes a status harmless and short: one line without control characters.
fn clean(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut clean = String::new();
    for character in text.trim().chars().filter(|character| !character.is_control()) {
        if clean.len() + character.len_utf8() > bounds::NOTIFY_STATUS_BYTES {
            break;
        }
        clean.push(character);
    }
    clean
}

/// Returns whether `pid` descends from `root`; nothing when it, or one of its ancestors, has gone meanwhile.
fn is_below(pid: i32, root: i32) -> Option<bool> {
    let mut current = pid;
    for _ in 0..GENERATIONS {
        if current == root {
            return Some(pid != root);
        }
        if current == 1 {
            return Some(false);
        }
        // 0 is what the kernel says of a sender outside this pid namespace, who cannot be of the tree.
        current = Some(tree::parent(current)?).filter(|parent| *parent > 0).unwrap_or(1);
    }
    Some(false)
}

/// Has the kernel say with each message who sent it (`SO_PASSCRED`, `unix(7)`).
fn pass_credentials(socket: &UnixDatagram) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(4);
    // SAFETY: the option's value is an int that lives across the call, and its size is the one given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PASSCRED,
            (&raw const on).cast(),
            size,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A message that has been read.
struct Message {
    /// Its bytes in the buffer; nothing when it was longer than that.
    length: Option<usize>,
    sender: Option<libc::ucred>,
}

/// Reads the next message, if there is one.
///
/// Written out, because a sender outside our pid namespace has the pid 0, which `rustix` does not expect. The space
/// for ancillary data holds the credentials and no more: so descriptors that are sent along are not taken, and the
/// kernel closes them, which is also what a sender waits for that sent `BARRIER=1`.
fn receive(socket: &UnixDatagram, buffer: &mut [u8]) -> Option<Message> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // As large as `CMSG_SPACE(sizeof(struct ucred))`, and aligned as `struct cmsghdr` has to be.
    let mut ancillary = [0u64; 4];
    // SAFETY: all zero is a valid `msghdr`.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = ancillary.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&ancillary) as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: every pointer in the header is valid for writing, with the lengths given, across the call.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let count = usize::try_from(count).ok()?;
    // SAFETY: the kernel has filled in the header, whose pointers still are valid.
    let sender = unsafe { credentials(&header) };
    let whole = header.msg_flags & libc::MSG_TRUNC == 0;
    Some(Message { length: whole.then(|| count.min(buffer.len())), sender })
}

/// Returns the sender's credentials.
///
/// # Safety
/// `header` is as `recvmsg` left it, and the ancillary data it points to is still there.
unsafe fn credentials(header: &libc::msghdr) -> Option<libc::ucred> {
    // SAFETY: the caller vouches for the header; the data is as long as its own header says, which is compared with
    // what is read, and is read without regard for alignment.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header).as_ref()?;
        let length = libc::CMSG_LEN(u32::try_from(size_of::<libc::ucred>()).ok()?) as usize;
        let is_credentials = first.cmsg_level == libc::SOL_SOCKET
            && first.cmsg_type == libc::SCM_CREDENTIALS
            && first.cmsg_len as usize >= length;
        is_credentials.then(|| libc::CMSG_DATA(first).cast::<libc::ucred>().read_unaligned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(messages: &[&[u8]]) -> Heard {
        let mut heard = Heard::default();
        let now = Instant::now();
        messages.iter().for_each(|message| heard.hear(message, now));
        heard
    }

    #[test]
    fn the_last_word_counts() {
        let told = heard(&[b"STATUS=loading\nREADY=1", b"UNKNOWN=1\nSTATUS=42 clients\n"]);
        assert_eq!((told.ready, told.status.as_str()), (true, "42 clients"));
        let told = heard(&[b"READY=1", b"RELOADING=1\nMONOTONIC_USEC=7"]);
        assert!(told.ready && told.reloading);
        assert!(!heard(&[b"RELOADING=1", b"READY=1"]).reloading);
        assert!(!heard(&[b"READY=0", b"READY=", b"READY", b"=1", b""]).ready);
        assert!(heard(&[b"STOPPING=1"]).stopping);
        assert!(heard(&[b"WATCHDOG=trigger"]).triggered);
        assert!(!heard(&[b"WATCHDOG=trigger", b"WATCHDOG=1"]).triggered);
    }

    #[test]
    fn time_asked_for_is_bounded() {
        let now = Instant::now();
        let mut heard = Heard::default();
        heard.hear(b"EXTEND_TIMEOUT_USEC=2000000", now);
        assert_eq!(heard.told_at(now).extended, Duration::from_secs(2));
        heard.hear(format!("EXTEND_TIMEOUT_USEC={}", u64::MAX).as_bytes(), now);
        assert_eq!(heard.told_at(now).extended, bounds::NOTIFY_EXTEND);
        heard.hear(b"EXTEND_TIMEOUT_USEC=soon", now);
        assert_eq!(heard.told_at(now).extended, Duration::ZERO);
    }

    #[test]
    fn only_descendants_are_of_the_tree() {
        let me = i32::try_from(std::process::id()).unwrap();
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert_eq!(is_below(pid, me), Some(true));
        assert_eq!(is_below(me, pid), Some(false));
        assert_eq!(is_below(me, me), Some(false));
        assert_eq!(is_below(1, me), Some(false));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(is_below(pid, me), None);
    }

    #[test]
    fn messages_come_with_their_sender_and_long_ones_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap();
        let mut notify = Notify::bind(&path, parent).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        assert!(!notify.take());
        sender.send_to(b"READY=1\nSTATUS=up", &path).unwrap();
        sender.send_to(&[b'x'; 2 * MESSAGE_BYTES], &path).unwrap();
        assert!(notify.take());
        let Some(Report::Notified(told)) = notify.report() else { panic!("nothing was heard") };
        assert_eq!((told.ready, told.status.as_str()), (true, "up"));
        // It rests now, and listens again afterwards.
        assert_eq!(notify.waits_for(), None);
        notify.end_rest(Instant::now() + REST);
        assert!(notify.waits_for().is_some());
        notify.remove();
        assert!(!path.exists());
    }

    #[test]
    fn strangers_are_not_heard() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        // This process lives, and does not descend from a process that cannot be.
        let mut notify = Notify::bind(&path, i32::MAX).unwrap();
        UnixDatagram::unbound().unwrap().send_to(b"READY=1", &path).unwrap();
        assert!(!notify.take());
        assert_eq!(notify.report(), None);
    }

    proptest! {
        #[test]
        fn foreign_bytes_do_no_harm(messages in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..400).prop_map(|bytes| [b"STATUS=", &bytes[..]].concat()), 0..5,
        )) {
            let mut heard = Heard::default();
            messages.iter().for_each(|message| heard.hear(message, Instant::now()));
            prop_assert!(heard.status.len() <= bounds::NOTIFY_STATUS_BYTES);
            prop_assert!(!heard.status.chars().any(char::is_control));
        }
    }
}
