//! From what a caller calls a process to its handles: a process, all its replicas, one of them, or a group.

use super::Api;
use super::types::{ApiError, ErrorKind};
use crate::config::Group;
use crate::model::ProcessName;
use crate::supervisor::Handle;

/// How the first replica is called where the plain name would mean all of them.
const FIRST: &str = "#1";

/// What a name means.
pub(super) enum Target {
    /// One process: all its replicas, or the one that was named. Never empty.
    Process(Vec<Handle>),
    Group(Group),
}

impl Api {
    /// Returns what `name` means: `api` all replicas, `api#2` one of them (`api#1` the first), or a group.
    pub(super) fn target(&self, name: &str) -> Result<Target, ApiError> {
        let fleet = &self.parts.fleet;
        let process = match name.strip_suffix(FIRST) {
            Some(base) => ProcessName::new(base).ok().and_then(|name| fleet.get(&name)).into_iter().collect(),
            None => match ProcessName::parse(name) {
                Ok(name) if name.replica() > 1 => fleet.get(&name).into_iter().collect(),
                Ok(name) => fleet.replicas(&name),
                Err(_) => Vec::new(),
            },
        };
        if !process.is_empty() {
            return Ok(Target::Process(process));
        }
        match fleet.project().groups.get(name) {
            Some(group) => Ok(Target::Group(group.clone())),
            None => Err(self.no_such_process(name)),
        }
    }

    /// Returns the handles of everything `name` means, in their order.
    pub(super) fn handles(&self, name: &str) -> Result<Vec<Handle>, ApiError> {
        match self.target(name)? {
            Target::Process(handles) => Ok(handles),
            Target::Group(group) => Ok(self.members(&group)),
        }
    }

    /// Returns the handle of one process, for what cannot be asked of several: of replicas it is the first.
    pub(super) fn handle(&self, name: &str) -> Result<Handle, ApiError> {
        match self.target(name)? {
            Target::Process(mut handles) => Ok(handles.swap_remove(0)),
            Target::Group(group) => {
                let members: Vec<&str> = group.members.iter().map(ProcessName::as_str).collect();
                let message = format!("`{name}` is a group, and this is about one process");
                let hint = match members.as_slice() {
                    [] => "it has no members".to_owned(),
                    members => format!("name one of its members: {}", members.join(", ")),
                };
                Err(ApiError::new(ErrorKind::Invalid, message).hint(hint))
            }
        }
    }

    /// Returns the handles of a group's members with all their replicas, in the order they are started.
    pub(super) fn members(&self, group: &Group) -> Vec<Handle> {
        group.members.iter().flat_map(|member| self.parts.fleet.replicas(member)).collect()
    }

    pub(super) fn no_such_process(&self, name: &str) -> ApiError {
        let project = self.parts.fleet.project();
        let names: Vec<String> =
            self.parts.fleet.in_order().iter().map(|handle| handle.name().to_string()).collect();
        let groups: Vec<&str> = project.groups.keys().map(String::as_str).collect();
        let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
        let error = ApiError::new(ErrorKind::NotFound, format!("there is no process `{shown}`"));
        if names.is_empty() {
            return match &project.file {
                Some(file) => {
                    error.hint(format!("{} defines no process; add a [process.NAME]", file.display()))
                }
                None => error.hint("this directory has no ostler.toml; `ostler init` writes one"),
            };
        }
        let close = names
            .iter()
            .map(String::as_str)
            .chain(groups.iter().copied())
            .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let mut there_are = format!("the processes are: {}", names.join(", "));
        if !groups.is_empty() {
            there_are.push_str(&format!("; the groups are: {}", groups.join(", ")));
        }
        error.hint(match close {
            Some((_, close)) => format!("did you mean `{close}`? {there_are}"),
            None => there_are,
        })
    }
}
