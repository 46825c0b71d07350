//! The order in which processes are started and stopped: along their dependencies, side by side where none binds them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::types::{Failure, ProcessView};
use super::wait::DRAIN_WAIT;
use super::{Api, view};
use crate::config::{Condition, DependsOn};
use crate::model::ProcessName;
use crate::supervisor::{Handle, Snapshot, StartError, Started, State, Stopped};

/// A wait that is never over.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);
/// How long the reason is waited for why a dependency is not ready in time.
const LAST_WORD: Duration = Duration::from_secs(2);

/// What is done with a process when its turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Start,
    Restart,
    /// Nothing: it has ended with exit code 0 before, and that is all its dependents want.
    Leave,
}

/// A process, what is done with it, and what has to be so before. What is not in the same plan is not waited for.
pub(super) struct Step {
    pub(super) handle: Handle,
    pub(super) act: Act,
    pub(super) after: Vec<DependsOn>,
    /// It was asked for, and is not there for its dependents' sake.
    pub(super) wanted: bool,
}

/// How a step went.
pub(super) struct StepDone {
    pub(super) handle: Handle,
    pub(super) wanted: bool,
    /// The run it has now; none when it was left as it was.
    pub(super) result: Result<Option<Started>, String>,
}

/// How a process was stopped.
pub(super) struct StopDone {
    pub(super) handle: Handle,
    pub(super) stopped: Stopped,
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopWay {
    Stop,
    /// For good: it leaves the project.
    Retire,
}

impl Api {
    /// Starts `wanted` and what they depend on, all replicas of it; those that do not wait for each other start
    /// together. With `named` each of `wanted` was called by its name, and is started even when it has done its work
    /// before.
    pub(super) async fn start_in_order(
        &self,
        reason: &'static str,
        wanted: &[Handle],
        named: bool,
    ) -> Vec<StepDone> {
        carry_out(reason, self.plan(wanted, named)).await
    }

    fn plan(&self, wanted: &[Handle], named: bool) -> Vec<Step> {
        let (fleet, project) = (&self.parts.fleet, self.parts.fleet.project());
        let names: BTreeSet<ProcessName> = wanted.iter().map(Handle::name).collect();
        let bases: BTreeSet<ProcessName> = names.iter().map(ProcessName::base).collect();
        let order = project.with_dependencies(&bases);
        let mut needed: BTreeMap<ProcessName, Vec<Condition>> = BTreeMap::new();
        for dependency in
            order.iter().filter_map(|name| project.processes.get(name)).flat_map(|p| &p.depends_on)
        {
            needed.entry(dependency.process.clone()).or_default().push(dependency.condition);
        }
        let mut steps = Vec::new();
        for base in &order {
            for handle in fleet.replicas(base) {
                let name = handle.name();
                let is_wanted = names.contains(&name);
                let conditions = needed.get(base);
                if !is_wanted && conditions.is_none() {
                    continue;
                }
                let only_its_end =
                    conditions.is_some_and(|all| all.iter().all(|c| *c == Condition::ExitedOk));
                let is_over = only_its_end && handle.snapshot().state == State::Exited;
                let act = if is_over && !(named && is_wanted) { Act::Leave } else { Act::Start };
                let after = handle.config().depends_on.clone();
                steps.push(Step { handle, act, after, wanted: is_wanted });
            }
        }
        // What runs though nothing configures it depends on nothing.
        let others = wanted.iter().filter(|handle| !project.processes.contains_key(&handle.name().base()));
        steps.extend(others.map(|handle| Step {
            handle: handle.clone(),
            act: Act::Start,
            after: Vec::new(),
            wanted: true,
        }));
        steps
    }

    /// Stops processes, dependents before what they depend on; independent ones together.
    pub(super) async fn stop_in_order(&self, handles: &[Handle], way: StopWay) -> Vec<StopDone> {
        let mut left: Vec<Handle> = handles.to_vec();
        let mut done = Vec::new();
        while !left.is_empty() {
            let needed: BTreeSet<ProcessName> = left
                .iter()
                .flat_map(|handle| handle.config().depends_on.clone())
                .map(|dependency| dependency.process)
                .collect();
            let (mut round, mut later): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|handle| !needed.contains(&handle.name().base()));
            if round.is_empty() {
                // A cycle cannot be configured; should one exist, everything left goes at once.
                round = std::mem::take(&mut later);
            }
            done.extend(self.stop_together(round, way).await);
            left = later;
        }
        done
    }

    /// Stops processes side by side, and returns once their last words are in the log.
    pub(super) async fn stop_together(&self, handles: Vec<Handle>, way: StopWay) -> Vec<StopDone> {
        let mut tasks = JoinSet::new();
        for (place, handle) in handles.into_iter().enumerate() {
            let context = Arc::clone(self.parts.fleet.context());
            tasks.spawn(async move {
                let stopped = match way {
                    StopWay::Stop => handle.stop().await,
                    StopWay::Retire => handle.retire().await,
                };
                if let (true, Some(run)) = (stopped.was_running, handle.snapshot().run) {
                    let _ = tokio::time::timeout(DRAIN_WAIT, context.drained(run)).await;
                }
                (place, StopDone { handle, stopped })
            });
        }
        let mut done = tasks.join_all().await;
        done.sort_by_key(|(place, _)| *place);
        done.into_iter().map(|(_, done)| done).collect()
    }
}

/// Returns what was started, and what was not and why.
pub(super) async fn told(done: &[StepDone]) -> (Vec<ProcessView>, Vec<Failure>) {
    let is_up = |step: &&StepDone| step.result.is_ok();
    let started = view::of_many(done.iter().filter(is_up).map(|step| step.handle.snapshot()).collect()).await;
    let failed = done.iter().filter_map(|step| {
        let reason = step.result.as_ref().err()?.clone();
        Some(Failure { name: step.handle.name(), reason })
    });
    (started, failed.collect())
}

/// Does what the steps say, each when what it comes after is so. The results are in the order of the steps.
pub(super) async fn carry_out(reason: &'static str, steps: Vec<Step>) -> Vec<StepDone> {
    // One channel per process carries whether its step went well, to those that wait for it.
    let mut waits: BTreeMap<ProcessName, Vec<Other>> = BTreeMap::new();
    let mut senders = Vec::new();
    for step in &steps {
        let (sender, receiver) = watch::channel(None);
        senders.push(sender);
        waits.entry(step.handle.name().base()).or_default().push((step.handle.clone(), receiver));
    }
    let mut tasks = JoinSet::new();
    for (place, (step, sender)) in steps.into_iter().zip(senders).enumerate() {
        let before: Vec<_> = step
            .after
            .iter()
            .filter_map(|dependency| Some((dependency.clone(), waits.get(&dependency.process)?)))
            .flat_map(|(dependency, all)| all.iter().map(move |one| (dependency.clone(), one.clone())))
            .collect();
        tasks.spawn(async move {
            let result = do_after(&step, before, reason).await;
            sender.send_replace(Some(result.is_ok()));
            (place, StepDone { handle: step.handle, wanted: step.wanted, result })
        });
    }
    let mut done = tasks.join_all().await;
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, done)| done).collect()
}

/// A process of the plan, and whether its step went well, once that is known.
type Other = (Handle, watch::Receiver<Option<bool>>);

/// What a step comes after.
type Before = (DependsOn, Other);

async fn do_after(step: &Step, before: Vec<Before>, reason: &str) -> Result<Option<Started>, String> {
    for (dependency, (other, mut went_well)) in before {
        let name = other.name();
        let started = went_well.wait_for(Option::is_some).await.is_ok_and(|well| *well == Some(true));
        if !started {
            return Err(format!("not started, because `{name}`, which it depends on, was not"));
        }
        wait_for_condition(dependency.condition, &other)
            .await
            .map_err(|why| format!("not started, because `{name}`, which it depends on, {why}"))?;
    }
    let words = |error: StartError| error.to_string();
    match step.act {
        Act::Leave => Ok(None),
        Act::Start => step.handle.start(reason).await.map(Some).map_err(words),
        Act::Restart => step.handle.restart(reason).await.map(Some).map_err(words),
    }
}

/// Waits until `other` is as far as `condition` says, or cannot get there any more; the error follows its name.
pub(super) async fn wait_for_condition(condition: Condition, other: &Handle) -> Result<(), String> {
    let mut snapshots = other.snapshots();
    let timeout = other.config().ready.timeout;
    let decided = |snapshot: &Snapshot| match condition {
        Condition::Started => Some(Ok(())),
        Condition::Ready if snapshot.ready => Some(Ok(())),
        Condition::ExitedOk if snapshot.state == State::Exited => Some(Ok(())),
        Condition::Ready | Condition::ExitedOk if snapshot.state.is_final() => {
            Some(Err(describe_end(snapshot)))
        }
        Condition::Ready | Condition::ExitedOk => None,
    };
    let wait = snapshots.wait_for(|snapshot| decided(snapshot).is_some());
    // A build or a migration takes as long as it takes.
    let limit = if condition == Condition::ExitedOk { FOREVER } else { timeout };
    let seen = tokio::time::timeout(limit, wait).await.map(|seen| seen.ok().map(|seen| seen.clone()));
    match seen {
        Ok(seen) => seen.and_then(|snapshot| decided(&snapshot)).unwrap_or_else(|| Err("is gone".to_owned())),
        Err(_) => {
            // Its own time is over just now too, and then its driver says what was seen last.
            let told = snapshots.wait_for(|snapshot| snapshot.state != State::Starting);
            let _ = tokio::time::timeout(LAST_WORD, told).await;
            let snapshot = other.snapshot();
            decided(&snapshot).unwrap_or_else(|| Err(never_ready(&snapshot, timeout)))
        }
    }
}

/// Tells what is known of why a dependency did not become ready.
fn never_ready(snapshot: &Snapshot, timeout: Duration) -> String {
    match &snapshot.reason {
        // It says for how long by itself.
        Some(reason) if snapshot.state == State::Unhealthy => format!("is {reason}"),
        Some(reason) => {
            format!("was not ready within {timeout:?}: it is {}: {reason}", snapshot.state.as_str())
        }
        None => format!("was not ready within {timeout:?}"),
    }
}

fn describe_end(snapshot: &Snapshot) -> String {
    match (&snapshot.reason, snapshot.exit) {
        (Some(reason), _) => format!("is {}: {reason}", snapshot.state.as_str()),
        (None, Some(exit)) => format!("is {}: {exit}", snapshot.state.as_str()),
        (None, None) => format!("is {}", snapshot.state.as_str()),
    }
}
