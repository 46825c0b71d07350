//! What processes used over the last minutes: a short history of each, kept while somebody asks for it.
//!
//! # Theory of operation
//!
//! Nobody asks: nothing is read, nothing is kept. The first question starts a task that looks at every living tree each
//! [`STATS_EVERY`]: one read of `/proc/PID/stat` for each process in it. It ends, and the history with it, when nobody
//! has asked for [`STATS_LINGER`].
//!
//! A share of a processor needs two looks. A question compares with the last look when that is recent, else it looks
//! twice, [`FIRST_SPAN`] apart.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::stats::{SystemUsage, TreeUsage, proportional_memory, time_and_memory};
use super::{Fleet, Snapshot};
use crate::bounds::{STATS_EVERY, STATS_KEPT, STATS_LINGER};
use crate::model::{ProcessName, RunId};

/// Time between the two looks of a question that has nothing to compare with.
const FIRST_SPAN: Duration = Duration::from_millis(250);
/// A look longer ago than this says nothing about now.
const STALE: Duration = Duration::from_secs(10);

/// One moment of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Share of one core since the moment before, in hundredths; several cores make more than 100.
    pub cpu_percent: f64,
    /// Resident bytes.
    pub rss: u64,
}

/// A process and what it uses.
#[derive(Debug, Clone)]
pub struct Sample {
    pub snapshot: Snapshot,
    /// None while nothing runs.
    pub usage: Option<TreeUsage>,
    pub cpu_percent: Option<f64>,
    /// Proportional memory, when it was asked for.
    pub pss: Option<u64>,
    /// The oldest first.
    pub history: Vec<Point>,
}

/// The system and what it uses.
#[derive(Debug, Clone, Copy)]
pub struct SystemSample {
    pub usage: SystemUsage,
    /// Share of all cores, in hundredths.
    pub cpu_percent: f64,
}

/// Answers what processes use. Cheap to clone.
#[derive(Clone)]
pub struct Sampler {
    fleet: Arc<Fleet>,
    /// Whose disk is shown.
    dir: PathBuf,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    /// When somebody last asked; none while no task runs.
    asked: Option<Instant>,
    histories: HashMap<ProcessName, History>,
    system: Option<(Instant, SystemUsage)>,
}

/// What is remembered of one process.
#[derive(Debug, Default)]
struct History {
    /// The run, its time on a processor, and when.
    last: Option<(RunId, u64, Instant)>,
    points: VecDeque<Point>,
}

impl History {
    /// Takes in one look.
    fn add(&mut self, run: RunId, cpu_ms: u64, rss: u64, now: Instant) {
        if let Some(cpu_percent) = self.share(run, cpu_ms, now) {
            if self.points.len() >= STATS_KEPT {
                self.points.pop_front();
            }
            self.points.push_back(Point { cpu_percent, rss });
        }
        self.last = Some((run, cpu_ms, now));
    }

    /// Returns the share of a core since the last look; none when that was at another run.
    fn share(&self, run: RunId, cpu_ms: u64, now: Instant) -> Option<f64> {
        let (last_run, last_ms, then) = self.last?;
        let span = now.saturating_duration_since(then);
        // Time that children take with them when they are left to another parent makes the sum fall.
        (last_run == run && !span.is_zero()).then(|| percent(cpu_ms.saturating_sub(last_ms), span))
    }
}

fn percent(cpu_ms: u64, span: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a few seconds")]
    let share = cpu_ms as f64 / span.as_secs_f64() / 10.0;
    (share * 10.0).round() / 10.0
}

impl Sampler {
    /// Returns a sampler that does nothing until it is asked. `dir` is the directory whose disk is shown.
    pub fn new(fleet: Arc<Fleet>, dir: &Path) -> Self {
        Self { fleet, dir: dir.to_owned(), memory: Arc::default() }
    }

    /// Returns what the processes in `snapshots` and the system use now; `pss` asks for proportional memory too.
    pub async fn look(&self, snapshots: Vec<Snapshot>, pss: bool) -> (Vec<Sample>, SystemSample) {
        self.keep_looking();
        if !self.has_recent(&snapshots) {
            self.take_points(snapshots.clone()).await;
            tokio::time::sleep(FIRST_SPAN).await;
        }
        let sampler = self.clone();
        let looked = tokio::task::spawn_blocking(move || sampler.look_once(snapshots, pss));
        looked.await.unwrap_or_else(|_| (Vec::new(), SystemSample::empty()))
    }

    fn look_once(&self, snapshots: Vec<Snapshot>, pss: bool) -> (Vec<Sample>, SystemSample) {
        let usages: Vec<(Option<TreeUsage>, Option<u64>, Instant)> = snapshots
            .iter()
            .map(|snapshot| {
                let usage = snapshot.pid.and_then(TreeUsage::of);
                let pss = snapshot.pid.filter(|_| pss).and_then(proportional_memory);
                (usage, pss, Instant::now())
            })
            .collect();
        let system = SystemUsage::look(&self.dir);
        let memory = self.memory();
        let samples = snapshots.into_iter().zip(usages).map(|(snapshot, (usage, pss, now))| {
            let history = memory.histories.get(&snapshot.name);
            let share = |usage: &TreeUsage| history?.share(snapshot.run?, usage.cpu_ms, now);
            Sample {
                cpu_percent: usage.as_ref().and_then(share),
                history: history.map(|history| history.points.iter().copied().collect()).unwrap_or_default(),
                snapshot,
                usage,
                pss,
            }
        });
        let samples = samples.collect();
        let since = memory.system.map(|(_, before)| before).unwrap_or_default();
        (samples, SystemSample { usage: system, cpu_percent: busy(since, system) })
    }

    /// Starts the task that keeps the history, unless it runs.
    fn keep_looking(&self) {
        let was_asked = self.memory().asked.replace(Instant::now());
        if was_asked.is_some() {
            return;
        }
        let sampler = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(STATS_EVERY).await;
                let snapshots = sampler.fleet.in_order().iter().map(super::Handle::snapshot).collect();
                sampler.take_points(snapshots).await;
                let mut memory = sampler.memory();
                if memory.asked.is_none_or(|asked| asked.elapsed() >= STATS_LINGER) {
                    *memory = Memory::default();
                    return;
                }
            }
        });
    }

    /// Returns whether there is a look at each of these runs that is fit to compare with.
    fn has_recent(&self, snapshots: &[Snapshot]) -> bool {
        let memory = self.memory();
        let fits = |then: Instant| (FIRST_SPAN..STALE).contains(&then.elapsed());
        let known = |snapshot: &Snapshot| {
            let last = memory.histories.get(&snapshot.name).and_then(|history| history.last);
            last.is_some_and(|(run, _, then)| Some(run) == snapshot.run && fits(then))
        };
        memory.system.is_some_and(|(then, _)| fits(then))
            && snapshots.iter().filter(|snapshot| snapshot.pid.is_some()).all(known)
    }

    async fn take_points(&self, snapshots: Vec<Snapshot>) {
        let sampler = self.clone();
        let taken = tokio::task::spawn_blocking(move || {
            let looks: Vec<_> = snapshots
                .iter()
                .filter_map(|snapshot| {
                    let (cpu_ms, rss) = time_and_memory(snapshot.pid?)?;
                    Some((snapshot.name.clone(), snapshot.run?, cpu_ms, rss, Instant::now()))
                })
                .collect();
            let system = SystemUsage::look(&sampler.dir);
            let mut memory = sampler.memory();
            for (name, run, cpu_ms, rss, now) in looks {
                memory.histories.entry(name).or_default().add(run, cpu_ms, rss, now);
            }
            memory.system = Some((Instant::now(), system));
        });
        // A look that failed is one point less.
        let _ = taken.await;
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SystemSample {
    fn empty() -> Self {
        Self { usage: SystemUsage::default(), cpu_percent: 0.0 }
    }
}

/// Returns the share of all cores between two looks, in hundredths.
fn busy(before: SystemUsage, now: SystemUsage) -> f64 {
    let all = now.ticks.saturating_sub(before.ticks);
    let idle = now.idle_ticks.saturating_sub(before.idle_ticks).min(all);
    if all == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "clock ticks of a few seconds, or since boot")]
    let share = (all - idle) as f64 / all as f64;
    (share * 1000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_needs_two_looks_at_one_run() {
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let mut history = History::default();
        history.add(RunId(1), 1000, 10, start);
        assert!(history.points.is_empty());
        history.add(RunId(1), 2000, 20, after(2));
        history.add(RunId(2), 50, 30, after(4));
        history.add(RunId(2), 3050, 40, after(6));
        // A child that was left to another parent took its time with it.
        history.add(RunId(2), 3000, 50, after(8));
        let shares: Vec<(f64, u64)> =
            history.points.iter().map(|point| (point.cpu_percent, point.rss)).collect();
        assert_eq!(shares, [(50.0, 20), (150.0, 40), (0.0, 50)]);
        assert_eq!(history.share(RunId(2), 3100, after(9)), Some(10.0));
        assert_eq!(history.share(RunId(3), 3100, after(9)), None);
    }

    #[test]
    fn a_history_is_bounded() {
        let start = Instant::now();
        let mut history = History::default();
        for second in 0..=STATS_KEPT as u64 + 5 {
            history.add(RunId(1), second * 10, second, start + Duration::from_secs(second));
        }
        assert_eq!(history.points.len(), STATS_KEPT);
        assert_eq!(history.points.back().unwrap().rss, STATS_KEPT as u64 + 5);
    }

    #[test]
    fn the_share_of_all_cores_is_what_was_not_idle() {
        let at = |ticks, idle_ticks| SystemUsage { ticks, idle_ticks, ..SystemUsage::default() };
        assert_eq!(busy(at(100, 50), at(300, 200)), 25.0);
        assert_eq!(busy(at(100, 50), at(100, 50)), 0.0);
        assert_eq!(busy(at(100, 90), at(200, 400)), 0.0);
    }
}
