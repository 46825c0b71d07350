//! A worker: takes turns between its runs, one bounded step each, and sleeps while none has output.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{error, warn};

use super::intake::{self, Intake, Scratch, Stepped, Unfinished};
use super::{Job, Shared};
use crate::bounds;
use crate::model::RunId;
use crate::plugins::Chain;

/// Pause before a batch that the store would not take is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Starts a worker thread and returns where to send its jobs.
pub(super) fn spawn(index: usize, shared: Arc<Shared>) -> std::io::Result<Sender<Job>> {
    let (sender, jobs) = channel();
    std::thread::Builder::new().name(format!("pipeline-{index}")).spawn(move || {
        let chain = Chain::new(shared.registry.wait());
        Worker {
            index,
            shared,
            chain,
            runs: HashMap::new(),
            turns: VecDeque::new(),
            scratch: Scratch::default(),
        }
        .work(&jobs);
    })?;
    Ok(sender)
}

struct Worker {
    index: usize,
    shared: Arc<Shared>,
    chain: Chain,
    runs: HashMap<RunId, Slot>,
    /// Runs with output to take in, in the order of their turns.
    turns: VecDeque<RunId>,
    scratch: Scratch,
}

struct Slot {
    intake: Intake,
    /// It stands in `turns`.
    queued: bool,
    ended: bool,
    /// When an unfinished line is stored as it is, or a refused batch is tried again.
    due: Option<Instant>,
    /// When an event that nothing was added to is taken for whole.
    quiet: Option<Instant>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Slot {
    /// Returns when the run has a turn though nothing is told of it.
    fn wakes(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.quiet).min()
    }
}

impl Worker {
    fn work(mut self, jobs: &Receiver<Job>) {
        loop {
            // With turns to take, jobs are only picked up in passing.
            let wait = if self.turns.is_empty() { self.until_due() } else { Some(Duration::ZERO) };
            let job = match wait {
                Some(wait) => jobs.recv_timeout(wait),
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match job {
                Ok(job) => {
                    self.take(job);
                    while let Ok(job) = jobs.try_recv() {
                        self.take(job);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.queue_due();
            if let Some(run) = self.turns.pop_front() {
                self.step(run);
            }
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Began(source) => {
                let run = source.run;
                match Intake::open(source, &self.shared) {
                    Ok(intake) => {
                        let slot = Slot {
                            intake,
                            queued: false,
                            ended: false,
                            due: None,
                            quiet: None,
                            waiting: Vec::new(),
                        };
                        self.runs.insert(run, slot);
                        self.queue(run);
                    }
                    Err(error) => error!(%run, %error, "cannot read a spool"),
                }
            }
            Job::Output(run) => self.queue(run),
            Job::Ended(run) => {
                if let Some(slot) = self.runs.get_mut(&run) {
                    slot.ended = true;
                }
                self.queue(run);
            }
            Job::Remark(remark) => match self.runs.get_mut(&remark.run) {
                Some(slot) => {
                    slot.intake.remark(&remark);
                    self.queue(remark.run);
                }
                None => intake::remark_after_end(&self.shared, &remark),
            },
            Job::Drained(run, reply) => match self.runs.get_mut(&run) {
                Some(slot) => slot.waiting.push(reply),
                None => drop(reply.send(())),
            },
        }
    }

    fn queue(&mut self, run: RunId) {
        if let Some(slot) = self.runs.get_mut(&run)
            && !slot.queued
        {
            slot.queued = true;
            self.turns.push_back(run);
        }
    }

    fn until_due(&self) -> Option<Duration> {
        let due = self.runs.values().filter_map(Slot::wakes).min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    fn queue_due(&mut self) {
        let now = Instant::now();
        let due: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, slot)| slot.wakes().is_some_and(|due| due <= now))
            .map(|(run, _)| *run)
            .collect();
        for run in due {
            self.queue(run);
        }
    }

    fn step(&mut self, run: RunId) {
        let Some(slot) = self.runs.get_mut(&run) else { return };
        slot.queued = false;
        slot.quiet = None;
        let due = slot.due.take().is_some_and(|due| due <= Instant::now());
        let unfinished = match (slot.ended, due) {
            (true, _) => Unfinished::Finish,
            (false, true) => Unfinished::StorePartial,
            (false, false) => Unfinished::Keep,
        };
        // The more runs wait, the shorter the turns, so that the last of them does not wait much longer.
        let bytes = (bounds::INGEST_STEP_BYTES / (self.turns.len() + 1)).max(bounds::INGEST_LEAST_BYTES);
        match slot.intake.step(&mut self.chain, &self.shared, &mut self.scratch, bytes, unfinished) {
            Ok(Stepped::More) => self.queue(run),
            Ok(Stepped::Dry { .. }) if slot.ended => self.finish(run),
            Ok(Stepped::Dry { unfinished }) => {
                slot.due = unfinished.then(|| Instant::now() + bounds::PARTIAL_LINE_WAIT);
                slot.quiet = slot.intake.hand_on_quiet(&self.shared);
                slot.intake.arm();
            }
            Ok(Stepped::Refused(problem)) => {
                slot.due = Some(Instant::now() + RETRY);
                self.warn(Some(problem));
                return;
            }
            Err(error) => {
                // The spool itself cannot be read: what it holds is lost, but the run is not.
                error!(%run, %error, "cannot read a spool");
                if slot.ended {
                    self.finish(run);
                }
                return;
            }
        }
        self.warn(None);
    }

    fn finish(&mut self, run: RunId) {
        let Some(slot) = self.runs.remove(&run) else { return };
        slot.intake.finish(&mut self.chain, &self.shared);
        for waiting in slot.waiting {
            let _ = waiting.send(());
        }
    }

    fn warn(&self, problem: Option<String>) {
        let mut warnings = self.shared.warnings.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match problem {
            Some(problem) if warnings.get(&self.index) != Some(&problem) => {
                warn!(problem, "output is not taken in for now; it waits in the spools");
                warnings.insert(self.index, problem);
            }
            Some(_) => {}
            None => drop(warnings.remove(&self.index)),
        }
    }
}
