//! Why a process is as it is: its runs, its last errors, and what to do next.

use std::sync::Arc;

use super::types::{ApiError, Caller, Diagnosis, ErrorKind, RunView};
use super::wait::describe;
use super::{Api, mask, view};
use crate::model::{Exit, Line, OUT_OF_MEMORY};
use crate::store::RunRecord;
use crate::supervisor::{Handle, Snapshot, State};

const RUNS: usize = 5;
const ERRORS: usize = 10;
const TAIL: usize = 10;

impl Api {
    /// Tells why a process is as it is.
    pub async fn diagnose(&self, _caller: &Caller, name: &str) -> Result<Diagnosis, ApiError> {
        let handle = self.handle(name)?;
        let snapshot = handle.snapshot();
        if let (false, Some(run)) = (snapshot.state.is_alive(), snapshot.run) {
            self.drained(run).await;
        }
        let runs = self.runs(&handle).await?;
        let (errors, tail) = match runs.first().map(|run| run.run) {
            Some(run) => (self.errors(run, ERRORS).await, self.tail(run, TAIL).await),
            None => (Vec::new(), Vec::new()),
        };
        let rules = self.parts.secrets.current();
        let mut hints = self.seen_hints(&handle, &snapshot).await;
        hints.extend(own_hints(&handle, &snapshot, &runs, &errors));
        hints.extend(self.limit_hints(&handle, &snapshot).await);
        hints.extend(self.error_hint(&snapshot).await);
        let newest = errors.last().max_by_seq(tail.last());
        let cursor = newest.map_or_else(|| self.parts.store.newest(), |line| line.seq);
        let config = handle.config();
        Ok(Diagnosis {
            // What checks saw, and commands of others, are not of the log.
            summary: rules.mask(&summary(&snapshot, &errors)),
            command: mask::command(&rules, &config.command),
            cwd: config.cwd.display().to_string(),
            process: view::of(snapshot).await,
            runs: runs.into_iter().map(|run| RunView { how: rules.mask(&run.how), ..run }).collect(),
            errors,
            tail,
            hints: hints.iter().map(|hint| rules.mask(hint)).collect(),
            cursor: self.parts.store.cursor(cursor).to_string(),
        })
    }

    async fn runs(&self, handle: &Handle) -> Result<Vec<RunView>, ApiError> {
        let (catalogue, name) = (Arc::clone(&self.parts.catalogue), handle.name());
        let runs = tokio::task::spawn_blocking(move || catalogue.runs_of(&name, RUNS)).await;
        let unavailable = |error: String| ApiError::new(ErrorKind::Unavailable, error);
        let runs = runs.map_err(|e| unavailable(e.to_string()))?.map_err(|e| unavailable(e.to_string()))?;
        Ok(runs.into_iter().map(run_view).collect())
    }
}

trait MaxBySeq<'a> {
    fn max_by_seq(self, other: Option<&'a Line>) -> Option<&'a Line>;
}

impl<'a> MaxBySeq<'a> for Option<&'a Line> {
    fn max_by_seq(self, other: Option<&'a Line>) -> Option<&'a Line> {
        self.into_iter().chain(other).max_by_key(|line| line.seq)
    }
}

fn run_view(record: RunRecord) -> RunView {
    let how = match (&record.spawn_error, record.exit, record.ended_at) {
        (Some(error), _, _) => error.clone(),
        (None, Some(exit), _) => exit.with_note(record.note.as_deref()),
        (None, None, Some(_)) => "ended, nobody knows how".to_owned(),
        (None, None, None) => "running".to_owned(),
    };
    RunView {
        run: record.run,
        reason: record.reason,
        started: record.started_at,
        ended: record.ended_at,
        exit: record.exit,
        how,
    }
}

fn summary(snapshot: &Snapshot, errors: &[Line]) -> String {
    let mut summary = format!("`{}` {}", snapshot.name, describe(snapshot));
    if snapshot.state.is_alive()
        && let Some(exit) = snapshot.exit
    {
        summary.push_str(&format!("; the run before ended with {exit}"));
    }
    if snapshot.restarts > 0 {
        let times =
            if snapshot.restarts == 1 { "once".to_owned() } else { format!("{} times", snapshot.restarts) };
        summary.push_str(&format!("; it was restarted {times}"));
    }
    summary.push('.');
    if let Some(last) = errors.iter().rfind(|line| !is_advice(&line.text)).or(errors.last()) {
        let text: String = last.text.trim().chars().take(300).collect();
        summary.push_str(&format!(" Its last error line: {text}"));
    }
    summary
}

/// Returns whether a line is what a runtime or a compiler adds to an error, which it belongs to: how to learn more.
fn is_advice(text: &str) -> bool {
    ["note: ", "help: ", "hint: ", "For more information"].iter().any(|words| text.starts_with(words))
}

/// What the host itself can tell; adapters know more about their frameworks, and what the run has printed is told by
/// `seen`.
fn own_hints(handle: &Handle, snapshot: &Snapshot, runs: &[RunView], errors: &[Line]) -> Vec<String> {
    let name = &snapshot.name;
    let mut hints = Vec::new();
    hints.extend(snapshot.watch_trouble.clone());
    match snapshot.exit {
        Some(Exit { code: Some(127), .. }) if !snapshot.state.is_alive() => {
            hints.push(
                "exit code 127 is what a shell says when a command is not found: check PATH".to_owned(),
            );
        }
        Some(Exit { code: Some(126), .. }) if !snapshot.state.is_alive() => {
            hints.push("exit code 126 is what a shell says when a file is not executable".to_owned());
        }
        Some(Exit { signal: Some(9), .. })
            if snapshot.state == State::Failed || snapshot.state == State::Backoff =>
        {
            let is_explained = runs.first().is_some_and(|run| run.how.contains(OUT_OF_MEMORY));
            hints.push(if is_explained {
                "raise `limits.memory`, or find what takes the memory: the kernel killed it at its limit"
                    .to_owned()
            } else {
                "SIGKILL from outside: somebody killed it, or the kernel ran out of memory (see `dmesg`)"
                    .to_owned()
            });
        }
        Some(Exit { signal: Some(11), .. }) if !snapshot.state.is_alive() => {
            hints.push("SIGSEGV: a native crash; its core dump or a debugger tells more".to_owned());
        }
        _ => {}
    }
    hints.extend(ended_at_once(snapshot, runs));
    if snapshot.state == State::Unhealthy && handle.config().has_check() {
        hints.push(format!(
            "see what its checks saw: check_process_health {{\"name\": \"{name}\"}} or `ostler health {name}`"
        ));
    }
    if snapshot.state == State::Stopped && snapshot.run.is_none() {
        hints.push(format!("start it: start_process {{\"name\": \"{name}\"}} or `ostler start {name}`"));
    } else if snapshot.state == State::Failed {
        hints.push(format!("once it is mended, start it again: start_process or `ostler start {name}`"));
    }
    if errors.is_empty() && runs.first().is_some_and(|run| run.exit.is_some_and(|exit| !exit.is_success())) {
        hints.push(
            "no line was classified as an error: read the tail, or get_logs with a larger limit".to_owned(),
        );
    }
    hints
}

/// A server that ends well and at once was meant to stay; a task was not.
fn ended_at_once(snapshot: &Snapshot, runs: &[RunView]) -> Option<String> {
    const AT_ONCE: std::time::Duration = std::time::Duration::from_secs(2);
    let last = runs.first().filter(|_| snapshot.state == State::Exited)?;
    // What else is known of its end says more.
    if last.how.contains(';') {
        return None;
    }
    let lived = last.ended?.since(last.started);
    (lived < AT_ONCE).then(|| {
        format!(
            "it ended by itself {} ms after its start. That is right for a task, which can be waited for with \
             wait_for until=exit; a server has to stay in the foreground",
            lived.as_millis()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_not_what_went_wrong() {
        assert!(is_advice("note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"));
        assert!(!is_advice("no payment provider: cannot sell anything"));
        assert!(!is_advice("notes cannot be read"));
    }
}
