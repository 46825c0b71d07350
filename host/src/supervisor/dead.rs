//! Runs whose shim does not answer: how they ended, as their directories tell it, and what is done about a child that
//! lost its shim.
//!
//! Reads run directories and `/proc`. Signals nobody but a child whose pid and start time are on record.

use std::path::Path;

use tracing::warn;

use super::{cgroup, procfs};
use crate::model::{Exit, Time};
use crate::shim::tree::{Process, descendants};
use crate::shim::{DoneRecord, read_done, read_exit};

/// An exit nobody knows.
pub(super) const LOST: Exit = Exit { code: None, signal: None };
/// What is known of a run whose shim was killed. Where in its log something may be missing is told there, by the
/// pipeline.
pub(super) const SHIM_DIED: &str =
    "its shim died, so its exit status is not known, and the last of its output may be missing";

/// What is said of a run whose shim had still something to do.
const SHIM_DIED_LATE: &str =
    "its shim died before it had seen its output to the end, so the last of it may be missing";

/// How the run in a directory ended, as its shim wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    NotSpawned(String),
    Known { exit: Exit, time: Time, note: Option<String> },
    Unknown,
}

/// Reads how the run in `dir` ended.
pub(super) fn ending(dir: &Path) -> Ending {
    match (read_done(dir), read_exit(dir)) {
        (Ok(Some(DoneRecord::Ended { exit, .. })), _) => {
            Ending::Known { exit: exit.exit, time: exit.time, note: cgroup::remark(exit.hits, exit.exit) }
        }
        (Ok(Some(DoneRecord::SpawnFailed { failure, .. })), _) => {
            Ending::NotSpawned(failure.describe("the program", "the working directory"))
        }
        (_, Ok(Some(record))) => Ending::Known {
            exit: record.exit,
            time: record.time,
            note: Some(match cgroup::remark(record.hits, record.exit) {
                Some(remark) => format!("{remark}; {SHIM_DIED_LATE}"),
                None => SHIM_DIED_LATE.to_owned(),
            }),
        },
        _ => Ending::Unknown,
    }
}

/// Kills a child that lost its shim, and its descendants: nobody takes its output any more, and it must not stay as
/// a ghost that holds a port. Nobody else can be hit, because start times are compared.
pub(super) fn kill_orphan(pid: u32, start_ticks: u64) {
    let Ok(raw) = i32::try_from(pid) else { return };
    if procfs::start_ticks(pid) != Some(start_ticks) {
        return;
    }
    let mut doomed = descendants(raw);
    doomed.insert(0, Process { pid: raw, start_ticks });
    for process in doomed {
        if let Err(error) = process.signal(libc::SIGKILL) {
            warn!(pid = process.pid, %error, "cannot kill an orphan");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_that_belongs_to_somebody_else_by_now_is_left_alone() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let ticks = procfs::start_ticks(child.id()).unwrap();
        kill_orphan(child.id(), ticks + 1);
        assert_eq!(child.try_wait().unwrap(), None);
        kill_orphan(child.id(), ticks);
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn a_directory_without_a_word_tells_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ending(dir.path()), Ending::Unknown);
        std::fs::write(dir.path().join("done"), "garbage \u{0} 99999999999999999999").unwrap();
        std::fs::write(dir.path().join("exit"), [0xff; 10_000]).unwrap();
        assert_eq!(ending(dir.path()), Ending::Unknown);
    }
}
