//! Owns the person's terminal while a program elsewhere is attached to it: raw mode, its size, and that it is as before
//! afterwards.
//!
//! The terminal is put back when [`RawMode`] is dropped, and by the panic hook, which runs before anything is printed.
//! Only SIGKILL leaves it as it is; `stty sane` helps then.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, Once, PoisonError};

use crate::model::TerminalSize;

/// How standard input's terminal was before it was made raw; nothing while it is not.
static BEFORE: Mutex<Option<libc::termios>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// A terminal on standard input that passes every key on as it is pressed.
#[derive(Debug)]
pub struct RawMode(());

impl RawMode {
    /// Makes the terminal on standard input raw.
    ///
    /// # Errors
    /// When standard input is no terminal.
    pub fn enter() -> io::Result<Self> {
        let before = modes()?;
        let mut raw = before;
        // SAFETY: changes the structure it is given a reference to.
        unsafe { libc::cfmakeraw(&mut raw) };
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore();
                next(info);
            }));
        });
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        set_modes(&raw)?;
        Ok(Self(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // Without its terminal there is nothing to put back.
        let _ = set_modes(&before);
    }
}

/// Returns the size of the terminal on standard output, or on standard input, if one of them has one.
pub fn size() -> Option<TerminalSize> {
    [io::stdout().as_raw_fd(), io::stdin().as_raw_fd()].into_iter().find_map(|fd| {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: this request writes a `winsize`, which is valid for writing.
        let result = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &mut size) };
        TerminalSize::new(size.ws_row, size.ws_col).filter(|_| result == 0)
    })
}

fn modes() -> io::Result<libc::termios> {
    // SAFETY: all zero is a value of this plain structure, and it is valid for writing.
    let (result, modes) = unsafe {
        let mut modes: libc::termios = std::mem::zeroed();
        (libc::tcgetattr(io::stdin().as_raw_fd(), &mut modes), modes)
    };
    if result == 0 { Ok(modes) } else { Err(io::Error::last_os_error()) }
}

fn set_modes(modes: &libc::termios) -> io::Result<()> {
    // A process in the background is stopped by this call unless it ignores SIGTTOU; one that was sent there while it
    // was attached has to be able to leave.
    // SAFETY: installs no handler, only a disposition.
    let earlier = unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
    // SAFETY: reads the structure, which outlives the call.
    let result = unsafe { libc::tcsetattr(io::stdin().as_raw_fd(), libc::TCSADRAIN, modes) };
    let error = io::Error::last_os_error();
    // SAFETY: puts back what was there.
    unsafe { libc::signal(libc::SIGTTOU, earlier) };
    if result == 0 { Ok(()) } else { Err(error) }
}
