//! Waiting for a process to be ready, to end, to say something, or to raise an alert; and why it will not.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::reduced::start_of_last;
use super::types::{ApiError, Caller, Until, WaitOutcome, WaitReply, WaitRequest};
use super::{Api, view};
use crate::bounds;
use crate::model::{Level, Line, RunId, Seq};
use crate::store::{LogQuery, Pattern, Take};
use crate::supervisor::{Handle, Snapshot, State};

/// Lines of the tail that a failed wait carries.
const TAIL_LINES: usize = 20;
/// Lines of the log in which those of a tail are looked for, for each of them: most lines of a trace tell of libraries.
const TAIL_RAW: usize = 20;
/// How long an ended run's last output is waited for; the pipeline is milliseconds behind.
const DRAIN_WAIT: Duration = Duration::from_secs(5);
/// How long plugins may take to compile before output is told as far as it is taken in; a second is usual for a first
/// start, on a machine with other work several.
const PLUGINS_WAIT: Duration = Duration::from_secs(30);

/// How a wait ended: the outcome, in words, and the line that matched.
pub(super) type Ended = (WaitOutcome, String, Option<Line>);

impl Api {
    /// Waits until something is so, until it cannot become so any more, or until time is over. Of a name that means
    /// several processes all have to be so; any of them may print the line.
    pub async fn wait(&self, caller: &Caller, request: WaitRequest) -> Result<WaitReply, ApiError> {
        match self.handles(&request.name)?.as_slice() {
            [one] => self.wait_one(one, &request).await,
            several => self.wait_all(caller, several, &request).await,
        }
    }

    /// Waits for one process.
    pub(super) async fn wait_one(
        &self,
        handle: &Handle,
        request: &WaitRequest,
    ) -> Result<WaitReply, ApiError> {
        let timeout = Duration::from_millis(request.timeout_ms).min(bounds::MCP_WAIT);
        let deadline = Instant::now() + timeout;
        let mut raised = None;
        let (outcome, reason, line) = match &request.until {
            Until::Ready => wait_ready(handle, deadline, timeout).await,
            Until::Exit => wait_exit(handle, deadline, timeout).await,
            Until::Log { pattern, since } => {
                let pattern = Self::pattern(pattern)?;
                let since = since.as_deref().map(|text| self.cursor(text)).transpose()?;
                self.wait_log(handle, &pattern, since, deadline, timeout).await
            }
            Until::Alert { alert, since } => {
                self.known_alert(alert.as_deref())?;
                let since = since.as_deref().map(|text| self.alerts_since(text)).transpose()?;
                let (ended, alert) =
                    self.wait_alert(handle, alert.as_deref(), since, deadline, timeout).await?;
                raised = alert;
                ended
            }
        };
        let snapshot = handle.snapshot();
        if !snapshot.state.is_alive()
            && let Some(run) = snapshot.run
        {
            self.drained(run).await;
        }
        let tail = match (outcome, snapshot.run) {
            (WaitOutcome::Met, _) if request.until != Until::Exit => Vec::new(),
            (_, Some(run)) => self.tail(run, TAIL_LINES).await,
            (_, None) => Vec::new(),
        };
        let seen = line.as_ref().or(tail.last()).map_or_else(|| self.parts.store.newest(), |line| line.seq);
        let cursor = self.parts.store.cursor(seen).to_string();
        // What a check saw is not of the log.
        let reason = self.parts.secrets.mask(&reason);
        Ok(WaitReply {
            outcome,
            reason,
            process: view::of(snapshot).await,
            line,
            alert: raised,
            tail,
            cursor,
        })
    }

    /// Waits until all output of an ended run is in the log, or for a bounded time.
    pub(super) async fn drained(&self, run: RunId) {
        let _ = tokio::time::timeout(PLUGINS_WAIT, self.parts.pipeline.loaded()).await;
        let _ = tokio::time::timeout(DRAIN_WAIT, self.parts.fleet.context().drained(run)).await;
    }

    /// Returns the last lines of a run. Where an error stands further up than the last lines reach, the last errors
    /// come first: they are what the tail is read for.
    ///
    /// Lines of traces that tell of libraries are among them, but not counted: who shows them leaves them out, with
    /// [`reduced`](super::reduced::reduced), so that an error's own code is not pushed out by frames.
    pub(super) async fn tail(&self, run: RunId, lines: usize) -> Vec<Line> {
        let newest = LogQuery { run: Some(run), limit: lines * TAIL_RAW, ..LogQuery::default() };
        let mut tail = self.page(newest).await.lines;
        tail.drain(..start_of_last(&tail, lines));
        let first = tail.first().map_or(Seq(0), |line| line.seq);
        let mut errors = self.errors(run, lines / 2).await;
        errors.retain(|line| line.seq < first);
        tail.drain(..start_of_last(&tail, lines.saturating_sub(errors.len())));
        errors.append(&mut tail);
        errors
    }

    /// Returns the last lines of level error or fatal of a run that say what went wrong: those that are not
    /// indented. Indented ones are the frames of a stack, of which there may be many after the one that matters.
    pub(super) async fn errors(&self, run: RunId, lines: usize) -> Vec<Line> {
        let query = LogQuery {
            run: Some(run),
            min_level: Some(Level::Error),
            pattern: Pattern::new(r"^\S").ok(),
            limit: lines.max(1),
            ..LogQuery::default()
        };
        self.page(query).await.lines
    }

    async fn wait_log(
        &self,
        handle: &Handle,
        pattern: &Pattern,
        since: Option<Seq>,
        deadline: Instant,
        timeout: Duration,
    ) -> Ended {
        let name = handle.name();
        let mut newest = self.parts.store.subscribe();
        let mut snapshots = handle.snapshots();
        let mut query = LogQuery {
            processes: Some(vec![name.clone()]),
            run: if since.is_none() { handle.snapshot().run } else { None },
            after: since,
            pattern: Some(pattern.clone()),
            limit: 1,
            take: Take::Oldest,
            ..LogQuery::default()
        };
        loop {
            newest.borrow_and_update();
            let snapshot = snapshots.borrow_and_update().clone();
            if let (false, Some(run)) = (snapshot.state.is_alive(), snapshot.run) {
                self.drained(run).await;
            }
            // Without a place to start from, "its output" is that of the run that lives now.
            if since.is_none() && query.run != snapshot.run {
                query.run = snapshot.run;
                query.after = None;
            }
            // A process without a run has printed nothing, whatever its runs before have.
            if since.is_some() || query.run.is_some() {
                let page = self.page(query.clone()).await;
                if let Some(line) = page.lines.into_iter().next() {
                    return (WaitOutcome::Met, format!("`{name}` printed a matching line"), Some(line));
                }
                query.after = Some(page.next);
            }
            if snapshot.state.is_final() {
                let how = describe(&snapshot);
                return (
                    WaitOutcome::Impossible,
                    format!("`{name}` {how} and printed no matching line"),
                    None,
                );
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { break },
                changed = snapshots.changed() => if changed.is_err() { break },
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        let pattern = pattern.as_str();
        (WaitOutcome::TimedOut, format!("no line of `{name}` matched `{pattern}` within {timeout:?}"), None)
    }
}

async fn wait_ready(handle: &Handle, deadline: Instant, timeout: Duration) -> Ended {
    let name = handle.name();
    let begun = Instant::now();
    let mut snapshots = handle.snapshots();
    let (first_run, first_state) = (snapshots.borrow().run, snapshots.borrow().state);
    let decided = |snapshot: &Snapshot| {
        snapshot.ready || snapshot.state.is_final()
            // Who waits for what is unhealthy already, waits for it to recover.
            || (snapshot.state == State::Unhealthy && first_state != State::Unhealthy)
            // It has died and is being started again: whoever waits wants to know now, not after five attempts.
            || (snapshot.state == State::Backoff && snapshot.run == first_run)
    };
    match timeout_at(deadline, snapshots.wait_for(decided)).await {
        Ok(Ok(snapshot)) if snapshot.ready => {
            let waited = begun.elapsed().as_millis();
            (WaitOutcome::Met, format!("`{name}` is ready (waited {waited} ms)"), None)
        }
        Ok(Ok(snapshot)) => {
            (WaitOutcome::Impossible, format!("`{name}` is not ready: it {}", describe(&snapshot)), None)
        }
        Ok(Err(_)) => (WaitOutcome::Impossible, format!("`{name}` is gone"), None),
        Err(_) => {
            let advice = if handle.config().ready.check.is_none() {
                "; it has no `ready` check, and neither its output nor a listening port said that it is. \
                 Add `ready = { log = … }`, `{ tcp = … }`, `{ http = … }`, `{ exec = … }` or `{ notify = true }` to its \
                 configuration, or wait for a log line"
            } else {
                ""
            };
            let snapshot = handle.snapshot();
            let seen = match snapshot.state {
                State::Unhealthy | State::Backoff => format!("; it {}", describe(&snapshot)),
                _ => String::new(),
            };
            (WaitOutcome::TimedOut, format!("`{name}` was not ready within {timeout:?}{seen}{advice}"), None)
        }
    }
}

async fn wait_exit(handle: &Handle, deadline: Instant, timeout: Duration) -> Ended {
    let name = handle.name();
    let mut snapshots = handle.snapshots();
    let run = snapshots.borrow().run;
    let ended = |snapshot: &Snapshot| !snapshot.state.is_alive() || snapshot.run != run;
    match timeout_at(deadline, snapshots.wait_for(ended)).await {
        Ok(Ok(snapshot)) => (WaitOutcome::Met, format!("`{name}` {}", describe(&snapshot)), None),
        Ok(Err(_)) => (WaitOutcome::Met, format!("`{name}` is gone"), None),
        Err(_) => (WaitOutcome::TimedOut, format!("`{name}` still runs after {timeout:?}"), None),
    }
}

/// Tells a state so that it reads after the process's name.
pub(super) fn describe(snapshot: &Snapshot) -> String {
    let because = snapshot.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let exit = snapshot.exit.map(|exit| exit.to_string()).unwrap_or_default();
    match snapshot.state {
        State::Stopped if snapshot.run.is_none() => "has not been started".to_owned(),
        State::Stopped if exit.is_empty() => "is stopped".to_owned(),
        State::Stopped => format!("is stopped ({exit})"),
        // The reason begins with the exit.
        State::Exited => format!("has ended with {}", snapshot.reason.as_ref().unwrap_or(&exit)),
        State::Failed if snapshot.reason.is_none() => format!("has failed ({exit})"),
        State::Failed => format!("has failed{because}"),
        State::Backoff => format!("has died{because}"),
        State::Starting => "is starting".to_owned(),
        State::Running => "runs; nothing says yet whether it is ready".to_owned(),
        State::Ready => "runs and is ready".to_owned(),
        State::Unhealthy => format!("runs but is not healthy{because}"),
        State::Stopping => format!("is being stopped{because}"),
    }
}
