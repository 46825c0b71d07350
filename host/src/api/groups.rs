//! Groups: sets of processes that are started and stopped together, in an order of their own.

use std::time::Duration;

use super::fleet_types::{CreateGroup, GroupReply, GroupView};
use super::gate::Act;
use super::names::Target;
use super::order::{self, StepDone, StopDone, StopWay};
use super::types::{ApiError, Caller, ErrorKind};
use super::{Api, view};
use crate::bounds;
use crate::config::{Group, StopStrategy};
use crate::model::ProcessName;

impl Api {
    /// Returns every group.
    pub async fn groups(&self, _caller: &Caller) -> Result<Vec<GroupView>, ApiError> {
        let project = self.parts.fleet.project();
        Ok(project.groups.iter().map(|(name, group)| group_view(name, group)).collect())
    }

    /// Makes a group that is kept until everything is taken down. One that is there already with the same members is a success.
    pub async fn create_group(&self, caller: &Caller, request: CreateGroup) -> Result<GroupView, ApiError> {
        self.up_to_date(caller).await;
        let CreateGroup { name, members, start_delay_ms, stop } = request;
        let delay = Duration::from_millis(start_delay_ms);
        let invalid = |message: String| ApiError::new(ErrorKind::Invalid, message);
        ProcessName::new(&name)
            .map_err(|_| invalid(format!("`{}` is not a name", shown(&name))).hint(NAME_HINT))?;
        if delay > bounds::GROUP_DELAY {
            return Err(invalid(format!("a start delay is at most {:?}", bounds::GROUP_DELAY)));
        }
        let stop = match stop {
            None => StopStrategy::default(),
            Some(word) => strategy(&word)?,
        };
        let group = Group { members: self.bases(&members)?, start_delay: delay, stop };
        let act = Act { verb: "create-group", target: name.clone(), detail: members.join(",") };
        let api = self.clone();
        let making = async move {
            let turn = api.parts.fleet.turn().await;
            let project = api.parts.fleet.project();
            if project.processes.keys().any(|process| process.as_str() == name) {
                let message = format!("`{name}` is a process, and names mean one thing only");
                return Err(ApiError::new(ErrorKind::Invalid, message).hint("give the group another name"));
            }
            match project.groups.get(&name) {
                Some(known) if *known == group => {}
                Some(_) => {
                    return Err(ApiError::new(
                        ErrorKind::Invalid,
                        format!("there is a group `{name}` already"),
                    )
                    .hint("add_to_group puts more processes into it"));
                }
                None if api.parts.fleet.count_groups() >= bounds::ADDED_GROUPS => {
                    let message =
                        format!("there are {} groups already that were made so", bounds::ADDED_GROUPS);
                    return Err(ApiError::new(ErrorKind::Failed, message)
                        .hint("groups of ostler.toml do not count: write it there"));
                }
                None => api.parts.fleet.add_group(&turn, &name, group).await,
            }
            api.group(&name).map(|group| group_view(&name, &group))
        };
        self.gate.pass(caller, act, making).await
    }

    /// Puts processes into a group; a change of the file's group is kept until everything is taken down.
    pub async fn add_to_group(
        &self,
        caller: &Caller,
        group: &str,
        names: &[String],
    ) -> Result<GroupView, ApiError> {
        self.up_to_date(caller).await;
        self.group(group)?;
        let members = self.bases(names)?;
        let act = Act { verb: "add-to-group", target: group.to_owned(), detail: names.join(",") };
        let (api, name) = (self.clone(), group.to_owned());
        let adding = async move {
            let turn = api.parts.fleet.turn().await;
            let known = api.group(&name)?;
            api.parts.fleet.add_group(&turn, &name, Group { members, ..known }).await;
            api.group(&name).map(|group| group_view(&name, &group))
        };
        self.gate.pass(caller, act, adding).await
    }

    /// Starts a group's members one after the other, each after those it depends on.
    pub async fn start_group(&self, caller: &Caller, name: &str) -> Result<GroupReply, ApiError> {
        let warning = self.up_to_date(caller).await;
        let group = self.group(name)?;
        let act = Act { verb: "start-group", target: name.to_owned(), detail: String::new() };
        let (api, reason, name) = (self.clone(), caller.surface.as_str(), name.to_owned());
        let starting = async move {
            let done = api.start_members(reason, &group).await;
            let (processes, failed) = order::told(&done).await;
            let warning = api.start_warning(warning, done.iter().map(|step| &step.handle));
            Ok(GroupReply { group: group_view(&name, &group), processes, failed, warning })
        };
        self.gate.pass(caller, act, starting).await
    }

    /// Stops a group's members in the order of its strategy.
    pub async fn stop_group(&self, caller: &Caller, name: &str) -> Result<GroupReply, ApiError> {
        let group = self.group(name)?;
        let act = Act { verb: "stop-group", target: name.to_owned(), detail: String::new() };
        let (api, name) = (self.clone(), name.to_owned());
        let stopping = async move {
            let done = api.stop_members(&group).await;
            let processes = view::of_many(done.iter().map(|done| done.handle.snapshot()).collect()).await;
            let group = group_view(&name, &group);
            Ok(GroupReply { group, processes, failed: Vec::new(), warning: None })
        };
        self.gate.pass(caller, act, stopping).await
    }

    /// Starts members in their order, with the group's pause between two of them. One that cannot be started does not
    /// keep the others from it.
    pub(super) async fn start_members(&self, reason: &'static str, group: &Group) -> Vec<StepDone> {
        let mut done: Vec<StepDone> = Vec::new();
        for (place, member) in group.members.iter().enumerate() {
            if place > 0 && !group.start_delay.is_zero() {
                tokio::time::sleep(group.start_delay).await;
            }
            let handles = self.parts.fleet.replicas(member);
            for step in self.start_in_order(reason, &handles, true).await {
                // A member may have been started before as what another one depends on.
                match done.iter_mut().find(|before| before.handle.name() == step.handle.name()) {
                    Some(before) => before.wanted |= step.wanted,
                    None => done.push(step),
                }
            }
        }
        done
    }

    /// Stops members as the group's strategy has it; replicas of one go together.
    pub(super) async fn stop_members(&self, group: &Group) -> Vec<StopDone> {
        let mut members: Vec<_> =
            group.members.iter().map(|member| self.parts.fleet.replicas(member)).collect();
        match group.stop {
            StopStrategy::Parallel => members = vec![members.concat()],
            StopStrategy::Reverse => members.reverse(),
            StopStrategy::Sequential => {}
        }
        let mut done = Vec::new();
        for handles in members {
            done.extend(self.stop_together(handles, StopWay::Stop).await);
        }
        done
    }

    fn group(&self, name: &str) -> Result<Group, ApiError> {
        match self.target(name) {
            Ok(Target::Group(group)) => Ok(group),
            Ok(Target::Process(_)) => {
                let message = format!("`{name}` is a process, not a group");
                Err(ApiError::new(ErrorKind::Invalid, message).hint(self.groups_there_are()))
            }
            Err(_) => {
                let message = format!("there is no group `{}`", shown(name));
                Err(ApiError::new(ErrorKind::NotFound, message).hint(self.groups_there_are()))
            }
        }
    }

    fn groups_there_are(&self) -> String {
        let project = self.parts.fleet.project();
        let names: Vec<&str> = project.groups.keys().map(String::as_str).collect();
        if names.is_empty() {
            "there are no groups: create_group makes one, or [group.NAME] in ostler.toml".to_owned()
        } else {
            format!("the groups are: {}", names.join(", "))
        }
    }

    /// Returns the processes that callers name as members, each once.
    fn bases(&self, names: &[String]) -> Result<Vec<ProcessName>, ApiError> {
        let mut bases = Vec::new();
        for name in names {
            let base = self.handle(name)?.name().base();
            if !bases.contains(&base) {
                bases.push(base);
            }
        }
        Ok(bases)
    }
}

pub(super) const NAME_HINT: &str =
    "use letters, digits, `-`, `_` and `.`, starting with a letter or digit, at most 64";

fn strategy(word: &str) -> Result<StopStrategy, ApiError> {
    let found = StopStrategy::WORDS.iter().find(|(known, _)| *known == word);
    found.map(|(_, strategy)| *strategy).ok_or_else(|| {
        let known: Vec<&str> = StopStrategy::WORDS.iter().map(|(word, _)| *word).collect();
        ApiError::new(ErrorKind::Invalid, format!("`{}` is not a way to stop a group", shown(word)))
            .hint(format!("it is one of {}", known.join(", ")))
    })
}

fn group_view(name: &str, group: &Group) -> GroupView {
    let stop = StopStrategy::WORDS.iter().find(|(_, strategy)| *strategy == group.stop);
    GroupView {
        name: name.to_owned(),
        members: group.members.clone(),
        start_delay_ms: u64::try_from(group.start_delay.as_millis()).unwrap_or(u64::MAX),
        stop: stop.map_or("reverse", |(word, _)| word).to_owned(),
    }
}

/// Returns a caller's text fit for a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
