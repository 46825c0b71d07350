//! What is left of a tree after its main process: told to go, and then made to.
//!
//! Owns the timing of it and the count. SIGTERM once, with SIGCONT behind it so that the stopped can react, SIGKILL
//! after a grace, and again until nobody is left; that nobody is left is seen by whoever reaps. Where the run has a
//! cgroup, all in it are killed by one write, which no fork outruns; descendants that somebody has moved out of it are
//! signalled one by one as before.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::cgroup::Cgroup;
use super::control::Report;
use super::program::complain;
use super::tree::{Process, Sent, descendants};

/// Rounds over a tree that grows while it is being signalled.
const ROUNDS: usize = 16;
/// Time between two rounds of SIGKILL.
const KILL_AGAIN: Duration = Duration::from_millis(20);
/// The longest time between two, for processes that the kernel cannot let go yet.
const KILL_AGAIN_MAX: Duration = Duration::from_secs(2);

/// The clearing of one tree.
#[derive(Debug)]
pub(super) struct Leftovers {
    root: i32,
    seen: HashSet<Process>,
    kill_from: Instant,
    next_look: Instant,
    pause: Duration,
    is_asked: bool,
}

impl Leftovers {
    /// Begins at once; `grace` is the time between SIGTERM and SIGKILL.
    pub(super) fn new(root: i32, grace: Duration) -> Self {
        let now = Instant::now();
        let kill_from = now.checked_add(grace).unwrap_or(now);
        let seen = HashSet::new();
        Self { root, seen, kill_from, next_look: now, pause: KILL_AGAIN, is_asked: false }
    }

    /// Returns when [`Leftovers::look`] has something to do again.
    pub(super) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Returns how many different processes were found.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.seen.len()).unwrap_or(u32::MAX)
    }

    /// Does what is due at `now`. With nobody left but strangers in the `cgroup`, `only_strangers`, there is nobody
    /// who could be asked to go.
    pub(super) fn look(&mut self, now: Instant, cgroup: Option<&Cgroup>, only_strangers: bool) {
        if only_strangers {
            self.kill_from = self.kill_from.min(now);
            self.next_look = self.next_look.min(now + self.pause);
        }
        if now < self.next_look {
            return;
        }
        if now >= self.kill_from {
            self.seen.extend(kill_cgroup(self.root, cgroup));
            self.signal(libc::SIGKILL);
            self.next_look = now + self.pause;
            self.pause = (self.pause * 2).min(KILL_AGAIN_MAX);
        } else if !self.is_asked {
            self.is_asked = true;
            self.signal(libc::SIGTERM);
            self.next_look = self.kill_from;
        }
    }

    fn signal(&mut self, signal: i32) {
        let seen = &mut self.seen;
        signal_all(self.root, signal, |process| {
            seen.insert(process);
        });
    }
}

/// Signals every descendant of `root`.
pub(super) fn signal_tree(root: i32, signal: i32) -> Report {
    let (reached, errno) = signal_all(root, signal, |_| {});
    Report::Signalled { reached, errno }
}

/// Kills every descendant of `root` and all that is in `cgroup`.
pub(super) fn kill_tree(root: i32, cgroup: Option<&Cgroup>) -> Report {
    let killed = u32::try_from(kill_cgroup(root, cgroup).len()).unwrap_or(u32::MAX);
    let (reached, errno) = signal_all(root, libc::SIGKILL, |_| {});
    Report::Signalled { reached: reached.max(killed), errno }
}

/// Kills all that is in `cgroup`, and returns the descendants of `root` there were before.
fn kill_cgroup(root: i32, cgroup: Option<&Cgroup>) -> Vec<Process> {
    let Some(cgroup) = cgroup else { return Vec::new() };
    let before = descendants(root);
    if let Err(error) = cgroup.kill() {
        complain(&format_args!("cannot kill the cgroup: {error}"));
    }
    before
}

/// Returns whether a signal asks a process to end in its own way, which a stopped one cannot hear.
pub(super) fn asks_to_end(signal: i32) -> bool {
    matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT)
}

/// Signals every descendant once, looking again until a round finds nobody new; a tree that grows faster than that
/// is left to the next call.
fn signal_all(root: i32, signal: i32, mut on_found: impl FnMut(Process)) -> (u32, i32) {
    let mut told = HashSet::new();
    let (mut reached, mut errno) = (0, 0);
    for _ in 0..ROUNDS {
        let before = told.len();
        for process in descendants(root) {
            if told.insert(process) {
                on_found(process);
                match process.signal(signal) {
                    Ok(Sent::Delivered) => {
                        reached += 1;
                        if asks_to_end(signal) {
                            let _ = process.signal(libc::SIGCONT);
                        }
                    }
                    Ok(Sent::Gone) => {}
                    Err(error) => errno = error.raw_os_error().unwrap_or(libc::EIO),
                }
            }
        }
        if told.len() == before {
            break;
        }
    }
    (reached, errno)
}
