//! Notices a process that is restarted because of what it writes itself: a log file or a cache that the globs match.
//!
//! Pure: it is told the time. The sign is that the same file changes, several times in a row, soon after what its last
//! change has led to; people who edit do not keep to that.

use std::time::Duration;

use super::changes::Changes;
use crate::model::Time;

/// How soon after a start or a reload a change counts as one of the process's own.
const SOON: Duration = Duration::from_secs(3);
/// Times in a row after which it is no accident.
const TIMES: usize = 5;

/// Counts the suspicious restarts of one process.
#[derive(Debug, Default)]
pub struct LoopGuard {
    in_a_row: usize,
    /// The files that changed soon after every time of the row.
    suspects: Vec<String>,
}

impl LoopGuard {
    /// Takes note of changes; the last ones led to something at `led_to`, such as the present run. Returns the file that
    /// is to blame when doing that once more would only go on for ever.
    pub fn judge(&mut self, changes: &Changes, led_to: Time) -> Option<String> {
        let is_soon = changes.first_seen().is_some_and(|seen| seen.since(led_to) <= SOON);
        let names = changes.names();
        self.suspects.retain(|suspect| names.contains(suspect));
        if !is_soon {
            self.clear();
        } else if self.suspects.is_empty() {
            self.suspects = names.to_vec();
            self.in_a_row = 1;
        } else {
            self.in_a_row += 1;
        }
        (self.in_a_row >= TIMES).then(|| self.suspects.first().cloned()).flatten()
    }

    /// Forgets everything: somebody has started the process by hand.
    pub fn clear(&mut self) {
        self.in_a_row = 0;
        self.suspects.clear();
    }

    /// Tells people what the matter is and what to do.
    pub fn explain(file: &str, process: &str) -> String {
        format!(
            "watching is paused: {file} changed within {SOON:?} of what its last change led to, {TIMES} times in a \
             row, so the process seems to write it itself; add it to `watch.ignore`, then `ostler restart {process}`"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(names: &[&str]) -> Changes {
        let mut changes = Changes::default();
        names.iter().for_each(|name| changes.add(name));
        changes
    }

    #[test]
    fn a_file_that_changes_after_every_start_is_blamed() {
        let mut guard = LoopGuard::default();
        for _ in 1..TIMES {
            assert_eq!(guard.judge(&changes(&["app.py", "server.log"]), Time::now()), None);
        }
        assert_eq!(guard.judge(&changes(&["server.log"]), Time::now()).as_deref(), Some("server.log"));
    }

    #[test]
    fn an_edit_long_after_the_start_or_of_another_file_breaks_the_row() {
        let mut guard = LoopGuard::default();
        let long_ago = Time::now().minus(SOON * 2);
        for round in 0..TIMES * 4 {
            let (file, began) = match round % 4 {
                3 => ("app.py", long_ago),
                other => (["a.py", "b.py", "c.py"][other], Time::now()),
            };
            assert_eq!(guard.judge(&changes(&[file]), began), None);
        }
    }
}
