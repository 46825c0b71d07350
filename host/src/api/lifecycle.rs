//! Starting, stopping, restarting. In which order is `order`'s business.

use super::fleet_types::{Also, Why};
use super::gate::Act;
use super::names::Target;
use super::order::{self, StepDone, StopDone, StopWay};
use super::types::{ApiError, Caller, DownReply, ErrorKind, StartReply, StopReply, UpReply};
use super::{Api, view};
use crate::supervisor::{Handle, Started};

impl Api {
    /// Starts a process with all its replicas, after those it depends on and that do not run; or the members of a
    /// group. What runs is left as it is.
    pub async fn start(&self, caller: &Caller, name: &str) -> Result<StartReply, ApiError> {
        let warning = self.up_to_date(caller).await;
        let (api, target) = (self.clone(), self.target(name)?);
        let act = Act { verb: "start", target: name.to_owned(), detail: String::new() };
        let reason = caller.surface.as_str();
        let name = name.to_owned();
        let starting = async move {
            let done = match target {
                Target::Process(handles) => api.start_in_order(reason, &handles, true).await,
                Target::Group(group) => api.start_members(reason, &group).await,
            };
            api.start_reply(&name, done, warning).await
        };
        self.gate.pass(caller, act, starting).await
    }

    /// Stops a process with all its replicas, or the members of a group, if they run, and starts them.
    pub async fn restart(&self, caller: &Caller, name: &str) -> Result<StartReply, ApiError> {
        let warning = self.up_to_date(caller).await;
        let (api, target) = (self.clone(), self.target(name)?);
        let act = Act { verb: "restart", target: name.to_owned(), detail: String::new() };
        let reason = caller.surface.as_str();
        let name = name.to_owned();
        let restarting = async move {
            let done = match target {
                Target::Process(handles) => api.restarted(reason, &handles).await,
                Target::Group(group) => {
                    api.stop_members(&group).await;
                    api.start_members(reason, &group).await
                }
            };
            api.start_reply(&name, done, warning).await
        };
        self.gate.pass(caller, act, restarting).await
    }

    /// Restarts what runs, as it is and at once; the rest is started as [`Api::start`] does.
    async fn restarted(&self, reason: &'static str, handles: &[Handle]) -> Vec<StepDone> {
        let (alive, down): (Vec<Handle>, Vec<Handle>) =
            handles.iter().cloned().partition(|handle| handle.snapshot().state.is_alive());
        let steps = alive.into_iter().map(|handle| order::Step {
            handle,
            act: order::Act::Restart,
            after: Vec::new(),
            wanted: true,
        });
        let mut done = order::carry_out(reason, steps.collect()).await;
        if !down.is_empty() {
            done.extend(self.start_in_order(reason, &down, true).await);
        }
        done
    }

    /// Stops a process with its whole tree, and all its replicas, or the members of a group; what does not run is
    /// left as it is.
    pub async fn stop(&self, caller: &Caller, name: &str) -> Result<StopReply, ApiError> {
        let (api, target) = (self.clone(), self.target(name)?);
        let act = Act { verb: "stop", target: name.to_owned(), detail: String::new() };
        let name = name.to_owned();
        let stopping = async move {
            let done = match target {
                Target::Process(handles) => api.stop_together(handles, StopWay::Stop).await,
                Target::Group(group) => api.stop_members(&group).await,
            };
            stop_reply(&name, done).await
        };
        self.gate.pass(caller, act, stopping).await
    }

    /// Starts the named processes and groups, or all that start by themselves, dependencies first.
    pub async fn up(&self, caller: &Caller, names: &[String]) -> Result<UpReply, ApiError> {
        let warning = self.up_to_date(caller).await;
        let (mut wanted, mut groups) = (Vec::new(), Vec::new());
        for name in names {
            match self.target(name)? {
                Target::Process(handles) => wanted.extend(handles),
                Target::Group(group) => groups.push(group),
            }
        }
        if names.is_empty() {
            self.parts.fleet.set_up(true);
            let all = self.parts.fleet.in_order();
            wanted = all.into_iter().filter(|handle| handle.config().autostart).collect();
        }
        let act = Act { verb: "up", target: join_or_all(names), detail: String::new() };
        let (api, reason, named) = (self.clone(), caller.surface.as_str(), !names.is_empty());
        let starting = async move {
            let mut done = api.start_in_order(reason, &wanted, named).await;
            for group in groups {
                for step in api.start_members(reason, &group).await {
                    if done.iter().all(|before| before.handle.name() != step.handle.name()) {
                        done.push(step);
                    }
                }
            }
            let (started, failed) = order::told(&done).await;
            let warning = api.start_warning(warning, done.iter().map(|step| &step.handle));
            Ok(UpReply { started, failed, warning })
        };
        self.gate.pass(caller, act, starting).await
    }

    /// Restarts every process that runs or is about to, dependencies first.
    pub async fn restart_all(&self, caller: &Caller) -> Result<UpReply, ApiError> {
        let warning = self.up_to_date(caller).await;
        let act = Act { verb: "restart", target: "*".to_owned(), detail: String::new() };
        let (api, reason) = (self.clone(), caller.surface.as_str());
        let restarting = async move {
            let mut running = api.parts.fleet.in_order();
            running.retain(|handle| !handle.snapshot().state.is_final());
            api.stop_in_order(&running, StopWay::Stop).await;
            let done = api.start_in_order(reason, &running, false).await;
            let (started, failed) = order::told(&done).await;
            let warning = api.start_warning(warning, &running);
            Ok(UpReply { started, failed, warning })
        };
        self.gate.pass(caller, act, restarting).await
    }

    /// Stops every process, dependents first; with `shutdown` the daemon ends afterwards.
    pub async fn down(&self, caller: &Caller, shutdown: bool) -> Result<DownReply, ApiError> {
        let detail = if shutdown { "and end the daemon" } else { "" };
        let act = Act { verb: "down", target: "*".to_owned(), detail: detail.to_owned() };
        let api = self.clone();
        let stopping = async move {
            api.parts.fleet.set_up(false);
            let mut done = api.stop_in_order(&api.parts.fleet.in_order(), StopWay::Stop).await;
            done.retain(|done| done.stopped.was_running);
            let stopped = view::of_many(done.iter().map(|done| done.handle.snapshot()).collect()).await;
            Ok(DownReply { stopped, failed: Vec::new() })
        };
        let reply = self.gate.pass(caller, act, stopping).await?;
        if shutdown {
            self.parts.shutdown.send_replace(true);
        }
        Ok(reply)
    }

    /// Answers a start of what `name` means: the first of it, and what was started besides. One that could not be
    /// started makes a failure of it all, which says what was started nevertheless.
    pub(super) async fn start_reply(
        &self,
        name: &str,
        done: Vec<StepDone>,
        warning: Option<String>,
    ) -> Result<StartReply, ApiError> {
        if let Some(error) = failure(name, &done) {
            return Err(error);
        }
        let warning = self.start_warning(warning, done.iter().map(|step| &step.handle));
        let mut also = Vec::new();
        let mut first = None;
        for step in done {
            let Ok(started) = step.result else { continue };
            let already_running = started.is_none_or(|started| started.already_running);
            let process = view::of(step.handle.snapshot()).await;
            if !step.wanted && already_running {
                continue;
            }
            match &first {
                None if step.wanted => first = Some((process, already_running, started)),
                _ => {
                    let why = if step.wanted { Why::Named } else { Why::Dependency };
                    also.push(Also { process, why, already_running });
                }
            }
        }
        let Some((process, already_running, started)) = first else {
            return Err(ApiError::new(ErrorKind::Failed, format!("`{name}` has no members"))
                .hint("put some into it with add_to_group, or with `processes` in ostler.toml"));
        };
        let cursor = match started.map(|started| started.run).or(process.run) {
            Some(run) => self.cursor_before_run(run).await,
            None => self.parts.store.cursor(self.parts.store.newest()).to_string(),
        };
        Ok(StartReply { process, already_running, cursor, warning, also })
    }
}

/// Returns the error of a start of which something failed.
fn failure(name: &str, done: &[StepDone]) -> Option<ApiError> {
    let failed: Vec<String> = done
        .iter()
        .filter_map(|step| {
            let reason = step.result.as_ref().err()?;
            // What failed because of its dependency says so; the dependency itself is told before it.
            Some(match step.handle.name() {
                own if own.as_str() == name => reason.clone(),
                other => format!("`{other}`: {reason}"),
            })
        })
        .collect();
    if failed.is_empty() {
        return None;
    }
    let message = format!("cannot start `{name}`: {}", failed.join("; "));
    let error = ApiError::new(ErrorKind::Failed, message);
    let started: Vec<String> = done
        .iter()
        .filter(|step| matches!(step.result, Ok(Some(Started { already_running: false, .. }))))
        .map(|step| step.handle.name().to_string())
        .collect();
    Some(if started.is_empty() { error } else { error.hint(format!("started were: {}", started.join(", "))) })
}

/// Answers a stop: the first of what was named, and the rest.
async fn stop_reply(name: &str, done: Vec<StopDone>) -> Result<StopReply, ApiError> {
    let views = view::of_many(done.iter().map(|done| done.handle.snapshot()).collect()).await;
    let mut replies = views.into_iter().zip(done).map(|(process, done)| StopReply {
        process,
        was_running: done.stopped.was_running,
        how: done.stopped.how,
        also: Vec::new(),
    });
    match replies.next() {
        Some(first) => Ok(StopReply { also: replies.collect(), ..first }),
        None => Err(ApiError::new(ErrorKind::Failed, format!("`{name}` has no members"))
            .hint("put some into it with add_to_group, or with `processes` in ostler.toml")),
    }
}

fn join_or_all(names: &[String]) -> String {
    if names.is_empty() { "*".to_owned() } else { names.join(",") }
}
