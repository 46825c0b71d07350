//! The child's terminal, when it has one: a pseudo-terminal (`pty(7)`) whose other side is the shim's.
//!
//! Owns how it is opened, its size, and what ends its input. What goes through it is the business of `input` and
//! `output`, which have the shim's side of it as they would have a pipe. Never becomes the shim's own terminal.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::cursor_keys::CursorKeys;
use crate::model::TerminalSize;

/// Longest path of a terminal's device; `/dev/pts/` and a number.
const PATH_BYTES: usize = 64;
/// A `c_cc` character that is turned off (`_POSIX_VDISABLE` of Linux).
const NO_CHARACTER: u8 = 0;

/// Both sides of a fresh terminal, closed by `execve`. Ours never blocks.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) ours: OwnedFd,
    pub(super) theirs: OwnedFd,
}

/// Opens a terminal of this size.
pub(super) fn open(size: TerminalSize) -> io::Result<Pair> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: takes numbers only.
    let ours = owned(unsafe { libc::posix_openpt(flags | libc::O_NONBLOCK) })?;
    // SAFETY: as before. Since devpts makes devices with the right owner there is nothing to grant (`pts(4)`).
    check(unsafe { libc::unlockpt(ours.as_raw_fd()) })?;
    // By way of the open side, which works too where another /dev/pts is mounted (Linux 4.13).
    // SAFETY: this request takes flags and returns a descriptor.
    let theirs = match owned(unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCGPTPEER, flags) }) {
        Ok(theirs) => theirs,
        Err(_) => open_by_path(&ours, flags)?,
    };
    set_size(ours.as_raw_fd(), size)?;
    Ok(Pair { ours, theirs })
}

/// Makes the terminal `fd` the controlling one of the calling process, which must lead a session that has none; -1
/// with `errno` when that fails.
///
/// # Safety
/// May be called between `fork` and `execve`: it is one system call.
pub(super) unsafe fn take_control(fd: RawFd) -> libc::c_int {
    // SAFETY: this request takes numbers only.
    unsafe { libc::ioctl(fd, libc::TIOCSCTTY, 0) }
}

/// What the shim has of its child's terminal besides the ways of input and output.
#[derive(Debug)]
pub(super) struct Terminal {
    ours: OwnedFd,
    /// As long as it is open the terminal has no end for us: a child that closes its streams may open `/dev/tty`
    /// again.
    theirs: Option<OwnedFd>,
    size: TerminalSize,
    cursor_keys: CursorKeys,
}

/// How the end of input is said on a terminal (`termios(3)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndKey {
    /// Lines are edited before they are read. Pressed behind a line's end the key says that nothing follows; within a
    /// line it only hands over what there is of it, and has to be pressed again.
    Edited(u8),
    /// Every key is the program's own to read.
    Raw(u8),
}

impl Terminal {
    pub(super) fn new(ours: OwnedFd, theirs: OwnedFd, size: TerminalSize) -> Self {
        Self { ours, theirs: Some(theirs), size, cursor_keys: CursorKeys::default() }
    }

    /// Takes what was printed on it; returns whether its cursor keys are told in another mode now.
    pub(super) fn see(&mut self, printed: &[u8]) -> bool {
        self.cursor_keys.see(printed)
    }

    pub(super) fn cursor_keys(&self) -> &CursorKeys {
        &self.cursor_keys
    }

    pub(super) fn size(&self) -> TerminalSize {
        self.size
    }

    /// Gives it another size, of which the kernel tells the foreground process group by SIGWINCH. The same size is
    /// told too, by way of another, because who asks for it wants to see a screen drawn that was drawn before.
    pub(super) fn resize(&mut self, size: TerminalSize) {
        if size == self.size {
            let other = if size.cols() > 1 { size.cols() - 1 } else { 2 };
            if let Some(other) = TerminalSize::new(size.rows(), other) {
                let _ = set_size(self.ours.as_raw_fd(), other);
            }
        }
        // It fails for no size that can be said.
        let _ = set_size(self.ours.as_raw_fd(), size);
        self.size = size;
    }

    /// Returns the key that now means the end of input; the one that usually does when the program has turned it off.
    pub(super) fn end_key(&self) -> EndKey {
        const USUAL: u8 = 4;
        // SAFETY: all zero is a value of this plain structure, and it is valid for writing.
        let (result, modes) = unsafe {
            let mut modes: libc::termios = std::mem::zeroed();
            (libc::tcgetattr(self.ours.as_raw_fd(), &mut modes), modes)
        };
        let key = Some(modes.c_cc[libc::VEOF]).filter(|key| result == 0 && *key != NO_CHARACTER);
        let key = key.unwrap_or(USUAL);
        if modes.c_lflag & libc::ICANON != 0 { EndKey::Edited(key) } else { EndKey::Raw(key) }
    }

    /// Lets output come to its end, once there is nobody left to open the terminal again.
    pub(super) fn let_end(&mut self) {
        self.theirs = None;
    }
}

fn open_by_path(ours: &OwnedFd, flags: libc::c_int) -> io::Result<OwnedFd> {
    let mut path = [0 as libc::c_char; PATH_BYTES];
    // SAFETY: the buffer is valid for writing and of the given length.
    match unsafe { libc::ptsname_r(ours.as_raw_fd(), path.as_mut_ptr(), path.len()) } {
        // SAFETY: on success the buffer holds a string with its NUL.
        0 => owned(unsafe { libc::open(path.as_ptr(), flags) }),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn set_size(fd: RawFd, size: TerminalSize) -> io::Result<()> {
    let size = libc::winsize { ws_row: size.rows(), ws_col: size.cols(), ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: this request reads a `winsize`, which outlives the call.
    check(unsafe { libc::ioctl(fd, libc::TIOCSWINSZ, &size) })
}

fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
    check(result)?;
    // SAFETY: the call before this one succeeded, and made the descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(size: TerminalSize) -> Terminal {
        let Pair { ours, theirs } = open(size).unwrap();
        Terminal::new(ours, theirs, size)
    }

    fn seen_size(terminal: &Terminal) -> (u16, u16) {
        let theirs = terminal.theirs.as_ref().unwrap();
        // SAFETY: all zero is a value of this plain structure, and the request writes it.
        let size = unsafe {
            let mut size: libc::winsize = std::mem::zeroed();
            assert_eq!(libc::ioctl(theirs.as_raw_fd(), libc::TIOCGWINSZ, &mut size), 0);
            size
        };
        (size.ws_row, size.ws_col)
    }

    #[test]
    fn the_other_side_has_the_size_it_was_given() {
        let mut terminal = terminal(TerminalSize::default());
        assert_eq!(seen_size(&terminal), (24, 80));
        let size = TerminalSize::new(50, 132).unwrap();
        for _ in 0..2 {
            terminal.resize(size);
            assert_eq!(seen_size(&terminal), (50, 132));
        }
        terminal.resize(TerminalSize::new(1, 1).unwrap());
        terminal.resize(TerminalSize::new(1, 1).unwrap());
        assert_eq!(seen_size(&terminal), (1, 1));
    }

    #[test]
    fn the_end_key_is_the_one_in_force() {
        let terminal = terminal(TerminalSize::default());
        assert_eq!(terminal.end_key(), EndKey::Edited(4));
        let fd = terminal.theirs.as_ref().unwrap().as_raw_fd();
        let change = |change: &dyn Fn(&mut libc::termios)| {
            // SAFETY: all zero is a value of this plain structure, which both calls are given a reference to.
            unsafe {
                let mut modes: libc::termios = std::mem::zeroed();
                assert_eq!(libc::tcgetattr(fd, &mut modes), 0);
                change(&mut modes);
                assert_eq!(libc::tcsetattr(fd, libc::TCSANOW, &modes), 0);
            }
        };
        change(&|modes| modes.c_cc[libc::VEOF] = 26);
        assert_eq!(terminal.end_key(), EndKey::Edited(26));
        change(&|modes| modes.c_cc[libc::VEOF] = NO_CHARACTER);
        assert_eq!(terminal.end_key(), EndKey::Edited(4));
        change(&|modes| modes.c_lflag &= !libc::ICANON);
        assert_eq!(terminal.end_key(), EndKey::Raw(4));
    }
}
