//! Changes of which processes there are, at a caller's word: add, remove, scale.

use super::fleet_types::{AddReply, AddRequest, RemoveReply, ScaleReply};
use super::gate::Act;
use super::groups::{NAME_HINT, shown};
use super::types::{ApiError, Caller, ErrorKind};
use super::{Api, mask, view};
use crate::bounds;
use crate::config::{ConfigError, NewProcess};
use crate::model::ProcessName;
use crate::supervisor::{AddedProcess, Changes, Handle, Origin, has_ports_for};

impl Api {
    /// Adds a process that is kept until it is removed or everything is taken down, and starts it when asked to. One
    /// that was added before with the same description is left as it is.
    pub async fn add(&self, caller: &Caller, request: AddRequest) -> Result<AddReply, ApiError> {
        self.up_to_date(caller).await;
        let name = ProcessName::new(&request.name).map_err(|_| {
            let message = format!("`{}` is not a name", shown(&request.name));
            ApiError::new(ErrorKind::Invalid, message).hint(NAME_HINT)
        })?;
        let start = request.start;
        let process = described(request);
        let project = self.parts.fleet.project();
        let config = process.check(&name, &project.dir).map_err(|error| misdescribed(&error))?;
        let keep = process.written(&name);
        let detail = mask::command(&self.parts.secrets.current(), &config.command);
        let act = Act { verb: "add", target: name.to_string(), detail };
        let (api, reason) = (self.clone(), caller.surface.as_str());
        let cursor = self.parts.store.cursor(self.parts.store.newest()).to_string();
        let adding = async move {
            let written = keep.clone();
            let (handle, existed) = api.added(AddedProcess { name: name.clone(), config, written }).await?;
            let (mut started, mut failure) = (None, None);
            if start {
                let done = api.start_in_order(reason, std::slice::from_ref(&handle), true).await;
                match api.start_reply(name.as_str(), done, None).await {
                    Ok(reply) => started = Some(reply),
                    Err(error) => failure = Some(error.message),
                }
            }
            let process = view::of(handle.snapshot()).await;
            Ok(AddReply { process, existed, started, failure, cursor, keep })
        };
        self.gate.pass(caller, act, adding).await
    }

    async fn added(&self, added: AddedProcess) -> Result<(Handle, bool), ApiError> {
        let (fleet, name) = (&self.parts.fleet, &added.name.clone());
        let turn = fleet.turn().await;
        let gone = || ApiError::new(ErrorKind::Unavailable, format!("`{name}` has just been removed again"));
        if fleet.project().groups.contains_key(name.as_str()) {
            let message = format!("there is a group `{name}`, and names mean one thing only");
            return Err(ApiError::new(ErrorKind::Invalid, message).hint("give the process another name"));
        }
        let refused = |hint: &str| {
            let message = format!("there is a process `{name}` already");
            Err(ApiError::new(ErrorKind::Invalid, message).hint(hint))
        };
        let same = fleet.project().processes.get(name).is_some_and(|known| *known == added.config);
        match fleet.origin(name) {
            Some(Origin::Added) if same => return Ok((fleet.get(name).ok_or_else(gone)?, true)),
            Some(Origin::Added) => {
                return refused("remove_process (or `ostler remove`) takes it away; then add it anew");
            }
            Some(Origin::File) => {
                return refused("it is one of ostler.toml's: change it there, or choose another name");
            }
            // One that an earlier daemon left gets its description back.
            Some(Origin::Orphan) | None => {}
        }
        if fleet.count_added() >= bounds::ADDED_PROCESSES {
            let message = format!("{} processes have been added already", bounds::ADDED_PROCESSES);
            return Err(ApiError::new(ErrorKind::Failed, message)
                .hint("remove_process takes one away; processes of ostler.toml do not count"));
        }
        let changes = fleet.add(&turn, added).await;
        // Whether it is started is the caller's word. What an earlier daemon left running is restarted as described.
        let changes = Changes { added: Vec::new(), ..changes };
        self.apply("added", turn, changes).await;
        fleet.get(name).map(|handle| (handle, false)).ok_or_else(gone)
    }

    /// Takes away a process that was added, or that an earlier daemon left; stops it first.
    pub async fn remove(&self, caller: &Caller, name: &str) -> Result<RemoveReply, ApiError> {
        let handle = self.handle(name)?;
        let base = handle.name().base();
        let act = Act { verb: "remove", target: base.to_string(), detail: String::new() };
        let api = self.clone();
        let removing = async move {
            let fleet = &api.parts.fleet;
            let turn = fleet.turn().await;
            let stopped = match fleet.origin(&handle.name()) {
                Some(Origin::File) => {
                    let message =
                        format!("`{base}` is one of ostler.toml's, and only added processes can be removed");
                    let hint = format!(
                        "take [process.{base}] out of the file; or stop it: stop_process, `ostler stop {base}`"
                    );
                    return Err(ApiError::new(ErrorKind::Invalid, message).hint(hint));
                }
                Some(Origin::Added) => api.retire(&turn, fleet.remove(&turn, &base).await.removed).await,
                Some(Origin::Orphan) => api.retire(&turn, vec![handle]).await,
                None => Vec::new(),
            };
            let first = stopped.into_iter().next().map(|done| done.stopped);
            let was_running = first.as_ref().is_some_and(|stopped| stopped.was_running);
            Ok(RemoveReply { name: base, was_running, how: first.and_then(|stopped| stopped.how) })
        };
        self.gate.pass(caller, act, removing).await
    }

    /// Says how many replicas of a process there are. New ones are started when the process runs; those beyond the
    /// number are stopped. The first keeps running.
    pub async fn scale(&self, caller: &Caller, name: &str, replicas: u32) -> Result<ScaleReply, ApiError> {
        self.up_to_date(caller).await;
        let base = self.handle(name)?.name().base();
        if !(1..=bounds::REPLICAS_MAX).contains(&replicas) {
            let message =
                format!("a process has from 1 to {} replicas, not {replicas}", bounds::REPLICAS_MAX);
            return Err(ApiError::new(ErrorKind::Invalid, message)
                .hint(format!("`ostler stop {base}` stops all of them")));
        }
        let act = Act { verb: "scale", target: base.to_string(), detail: format!("to {replicas}") };
        let (api, reason) = (self.clone(), caller.surface.as_str());
        let scaling = async move {
            let fleet = &api.parts.fleet;
            let turn = fleet.turn().await;
            let project = fleet.project();
            let Some(config) = project.processes.get(&base) else {
                let message = format!("`{base}` is not configured, so it cannot be scaled");
                return Err(
                    ApiError::new(ErrorKind::Invalid, message).hint("an earlier daemon left it running")
                );
            };
            if !has_ports_for(config, replicas) {
                let message =
                    format!("`{base}` has a fixed port, and {replicas} ports from there are too many");
                return Err(
                    ApiError::new(ErrorKind::Invalid, message).hint("lower `port`, or set `port = \"auto\"`")
                );
            }
            let runs = !fleet.get(&base).is_none_or(|first| first.snapshot().state.is_final());
            let changes = fleet.scale(&turn, &base, replicas).await;
            let added = !changes.added.is_empty();
            let applied = api.apply(reason, turn, changes).await;
            let note =
                (added && !runs).then(|| format!("`{base}` does not run, so its new replicas do not either"));
            Ok(ScaleReply {
                name: base,
                replicas,
                started: applied.started,
                removed: applied.removed,
                failed: applied.failed,
                note,
            })
        };
        self.gate.pass(caller, act, scaling).await
    }
}

fn described(request: AddRequest) -> NewProcess {
    NewProcess {
        command: request.command,
        shell: request.shell,
        cwd: request.cwd,
        env: request.env.into_iter().collect(),
        ready: request.ready,
        restart: request.restart,
        autostart: request.autostart,
    }
}

/// Tells what is wrong with a description. Its places are those of a text nobody has written, so they are left out.
fn misdescribed(error: &ConfigError) -> ApiError {
    const TOLD: usize = 5;
    let problems = error.problems();
    let messages: Vec<&str> = problems.iter().take(TOLD).map(|problem| problem.message.as_str()).collect();
    let refused = ApiError::new(ErrorKind::Invalid, messages.join("; "));
    match problems.iter().find_map(|problem| problem.hint.clone()) {
        Some(hint) => refused.hint(hint),
        None => refused,
    }
}
