//! Starting, stopping, restarting.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::gate::Act;
use super::types::{
    ApiError, Caller, DownReply, ErrorKind, Failure, ProcessView, StartReply, StopReply, UpReply,
};
use super::wait::DRAIN_WAIT;
use super::{Api, view};
use crate::config::{Condition, DependsOn};
use crate::model::ProcessName;
use crate::supervisor::{Handle, Snapshot, StartError, State};

impl Api {
    /// Starts a process; one that runs is left as it is.
    pub async fn start(&self, caller: &Caller, name: &str) -> Result<StartReply, ApiError> {
        let (api, handle) = (self.clone(), self.handle(name)?);
        let act = Act { verb: "start", target: name.to_owned(), detail: String::new() };
        let reason = caller.surface.as_str();
        let starting = async move { api.started(&handle, handle.start(reason).await).await };
        self.gate.pass(caller, act, starting).await
    }

    /// Stops a process if it runs, and starts it.
    pub async fn restart(&self, caller: &Caller, name: &str) -> Result<StartReply, ApiError> {
        let (api, handle) = (self.clone(), self.handle(name)?);
        let act = Act { verb: "restart", target: name.to_owned(), detail: String::new() };
        let reason = caller.surface.as_str();
        let restarting = async move { api.started(&handle, handle.restart(reason).await).await };
        self.gate.pass(caller, act, restarting).await
    }

    /// Stops a process with its whole tree; one that does not run is left as it is.
    pub async fn stop(&self, caller: &Caller, name: &str) -> Result<StopReply, ApiError> {
        let handle = self.handle(name)?;
        let act = Act { verb: "stop", target: name.to_owned(), detail: String::new() };
        let stopping = async move {
            let stopped = handle.stop().await;
            let process = view::of(handle.snapshot()).await;
            Ok(StopReply { process, was_running: stopped.was_running, how: stopped.how })
        };
        self.gate.pass(caller, act, stopping).await
    }

    /// Starts the named processes, or all that start by themselves, dependencies first.
    pub async fn up(&self, caller: &Caller, names: &[String]) -> Result<UpReply, ApiError> {
        let project = self.parts.fleet.project();
        let wanted: Vec<ProcessName> = if names.is_empty() {
            let autostart = |name: &&ProcessName| project.processes.get(name).is_some_and(|p| p.autostart);
            project.order.iter().filter(autostart).cloned().collect()
        } else {
            names
                .iter()
                .map(|name| self.handle(name).map(|handle| handle.name()))
                .collect::<Result<_, _>>()?
        };
        let act = Act { verb: "up", target: join_or_all(names), detail: String::new() };
        let (api, reason) = (self.clone(), caller.surface.as_str());
        self.gate.pass(caller, act, async move { Ok(api.up_in_order(reason, &wanted).await) }).await
    }

    /// Restarts every process that runs or is about to, dependencies first.
    pub async fn restart_all(&self, caller: &Caller) -> Result<UpReply, ApiError> {
        let act = Act { verb: "restart", target: "*".to_owned(), detail: String::new() };
        let (api, reason) = (self.clone(), caller.surface.as_str());
        let restarting = async move {
            let busy = |handle: &&Handle| !handle.snapshot().state.is_final();
            let running: Vec<ProcessName> =
                api.parts.fleet.in_order().iter().filter(busy).map(Handle::name).collect();
            api.stop_in_order(&running).await;
            Ok(api.up_in_order(reason, &running).await)
        };
        self.gate.pass(caller, act, restarting).await
    }

    /// Stops every process, dependents first; with `shutdown` the daemon ends afterwards.
    pub async fn down(&self, caller: &Caller, shutdown: bool) -> Result<DownReply, ApiError> {
        let detail = if shutdown { "and end the daemon" } else { "" };
        let act = Act { verb: "down", target: "*".to_owned(), detail: detail.to_owned() };
        let api = self.clone();
        let stopping = async move {
            let all: Vec<ProcessName> = api.parts.fleet.in_order().iter().map(Handle::name).collect();
            let stopped = api.stop_in_order(&all).await;
            Ok(DownReply { stopped, failed: Vec::new() })
        };
        let reply = self.gate.pass(caller, act, stopping).await?;
        if shutdown {
            self.parts.shutdown.send_replace(true);
        }
        Ok(reply)
    }

    async fn started(
        &self,
        handle: &Handle,
        result: Result<crate::supervisor::Started, StartError>,
    ) -> Result<StartReply, ApiError> {
        match result {
            Ok(started) => Ok(StartReply {
                process: view::of(handle.snapshot()).await,
                already_running: started.already_running,
                cursor: self.cursor_before_run(started.run).await,
                warning: self.start_warning([handle]).await,
            }),
            Err(error) => Err(cannot_start(handle, &error)),
        }
    }

    /// Starts `wanted` and what they depend on; those that do not wait for each other start together.
    pub(super) async fn up_in_order(&self, reason: &'static str, wanted: &[ProcessName]) -> UpReply {
        let order = self.parts.fleet.project().with_dependencies(wanted);
        // One channel per process carries whether it was started, to those that wait for it.
        let (senders, receivers): (BTreeMap<_, _>, BTreeMap<_, _>) = order
            .iter()
            .map(|name| {
                let (sender, receiver) = watch::channel(None::<bool>);
                ((name.clone(), sender), (name.clone(), receiver))
            })
            .unzip();
        let mut tasks = JoinSet::new();
        for (name, sender) in senders {
            let Some(handle) = self.parts.fleet.get(&name) else { continue };
            let dependencies: Vec<(DependsOn, Handle, watch::Receiver<Option<bool>>)> = handle
                .config()
                .depends_on
                .iter()
                .filter_map(|dependency| {
                    let handle = self.parts.fleet.get(&dependency.process)?;
                    Some((dependency.clone(), handle, receivers.get(&dependency.process)?.clone()))
                })
                .collect();
            tasks.spawn(async move {
                let result = start_after(&handle, dependencies, reason).await;
                sender.send_replace(Some(result.is_ok()));
                (name, result)
            });
        }
        let mut results: BTreeMap<ProcessName, Result<(), String>> =
            tasks.join_all().await.into_iter().collect();
        let handles: Vec<Handle> = order.iter().filter_map(|name| self.parts.fleet.get(name)).collect();
        let warning = self.start_warning(&handles).await;
        let mut reply = UpReply { started: Vec::new(), failed: Vec::new(), warning };
        for name in order {
            let Some(handle) = self.parts.fleet.get(&name) else { continue };
            match results.remove(&name) {
                Some(Err(reason)) => reply.failed.push(Failure { name, reason }),
                _ => reply.started.push(view::of(handle.snapshot()).await),
            }
        }
        reply
    }

    /// Stops `names`, dependents before what they depend on; independent ones together.
    async fn stop_in_order(&self, names: &[ProcessName]) -> Vec<ProcessView> {
        let project = self.parts.fleet.project();
        let mut left: BTreeSet<ProcessName> = names.iter().cloned().collect();
        let mut stopped = Vec::new();
        while !left.is_empty() {
            let needed: BTreeSet<&ProcessName> = left
                .iter()
                .filter_map(|name| project.processes.get(name))
                .flat_map(|process| process.depends_on.iter().map(|dependency| &dependency.process))
                .collect();
            let mut round: Vec<ProcessName> = left.iter().filter(|n| !needed.contains(n)).cloned().collect();
            if round.is_empty() {
                // A cycle cannot be configured; should one exist, everything left goes at once.
                round = left.iter().cloned().collect();
            }
            let mut tasks = JoinSet::new();
            for handle in round.iter().filter_map(|name| self.parts.fleet.get(name)) {
                let pipeline = self.parts.pipeline.clone();
                tasks.spawn(async move {
                    let was_running = handle.stop().await.was_running;
                    let snapshot = handle.snapshot();
                    // Its last words are in the log before anybody is told that it is gone.
                    if let (true, Some(run)) = (was_running, snapshot.run) {
                        let _ = tokio::time::timeout(DRAIN_WAIT, pipeline.drained(run)).await;
                    }
                    (was_running, snapshot)
                });
            }
            for (was_running, snapshot) in tasks.join_all().await {
                if was_running {
                    stopped.push(view::of(snapshot).await);
                }
            }
            for name in round {
                left.remove(&name);
            }
        }
        stopped
    }
}

/// Makes the error of a process that could not be started.
pub(super) fn cannot_start(handle: &Handle, error: &StartError) -> ApiError {
    ApiError::new(ErrorKind::Failed, format!("cannot start `{}`: {error}", handle.name()))
}

async fn start_after(
    handle: &Handle,
    dependencies: Vec<(DependsOn, Handle, watch::Receiver<Option<bool>>)>,
    reason: &str,
) -> Result<(), String> {
    for (dependency, other, mut was_started) in dependencies {
        let name = &dependency.process;
        let started = was_started.wait_for(Option::is_some).await.is_ok_and(|started| *started == Some(true));
        if !started {
            return Err(format!("not started, because `{name}`, which it depends on, was not"));
        }
        wait_for_condition(&dependency, &other)
            .await
            .map_err(|why| format!("not started, because `{name}`, which it depends on, {why}"))?;
    }
    handle.start(reason).await.map(drop).map_err(|error| error.to_string())
}

pub(super) async fn wait_for_condition(dependency: &DependsOn, other: &Handle) -> Result<(), String> {
    let mut snapshots = other.snapshots();
    let timeout = other.config().ready.timeout;
    let decided = |snapshot: &Snapshot| match dependency.condition {
        Condition::Started => Some(Ok(())),
        Condition::Ready if snapshot.ready => Some(Ok(())),
        Condition::ExitedOk if snapshot.state == State::Exited => Some(Ok(())),
        Condition::Ready | Condition::ExitedOk if snapshot.state.is_final() => {
            Some(Err(describe_end(snapshot)))
        }
        Condition::Ready | Condition::ExitedOk => None,
    };
    let wait = snapshots.wait_for(|snapshot| decided(snapshot).is_some());
    let seen = match dependency.condition {
        // A build or a migration takes as long as it takes.
        Condition::ExitedOk => wait.await.ok(),
        _ => match tokio::time::timeout(timeout, wait).await {
            Ok(seen) => seen.ok(),
            Err(_) => return Err(format!("was not ready within {timeout:?}")),
        },
    };
    seen.and_then(|snapshot| decided(&snapshot)).unwrap_or_else(|| Err("is gone".to_owned()))
}

fn describe_end(snapshot: &Snapshot) -> String {
    match (&snapshot.reason, snapshot.exit) {
        (Some(reason), _) => format!("is {}: {reason}", snapshot.state.as_str()),
        (None, Some(exit)) => format!("is {}: {exit}", snapshot.state.as_str()),
        (None, None) => format!("is {}", snapshot.state.as_str()),
    }
}

fn join_or_all(names: &[String]) -> String {
    if names.is_empty() { "*".to_owned() } else { names.join(",") }
}
