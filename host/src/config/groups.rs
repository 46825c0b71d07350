//! Owns groups: who belongs to which, in what order, and that their names mean nothing else.
//!
//! A process is a member when either side says so: the group's `processes`, or the process's `groups`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use toml::Spanned;

use super::check::Checker;
use super::error::ConfigError;
use super::file::{ConfigFile, GroupTable};
use super::process::{Group, StopStrategy};
use super::recover::Recovered;
use super::source::shown;
use super::suggest;
use super::types::Project;
use crate::model::ProcessName;

/// Most names that a mistyped one is compared with.
const SUGGESTED_FROM: usize = 1000;

/// Checks all groups and enters them into the project.
///
/// `memberships` are the `groups` of each process, in the file's order. `read` knows what was written and left out.
pub(super) fn check(
    checker: &mut Checker<'_, '_>,
    tables: BTreeMap<Spanned<String>, GroupTable>,
    memberships: Vec<(ProcessName, Vec<Spanned<String>>)>,
    read: &Recovered<ConfigFile>,
    project: &mut Project,
) {
    let written: HashSet<&str> = read.names("process").iter().map(String::as_str).collect();
    let mut tables: Vec<_> = tables.into_iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    let mut empty_names = Vec::new();
    for (key, table) in tables {
        // Each problem of a large file costs a search through it; nobody reads more than are listed.
        if checker.problems.len() > ConfigError::LISTED {
            return;
        }
        let name = group_name(checker, &key, &written);
        let lists_none = table.processes.is_empty();
        let members = members(checker, &key, table.processes, &written);
        let start_delay = table.start_delay.and_then(|text| checker.duration(&text)).unwrap_or_default();
        let stop = table.stop.and_then(|word| checker.word("stop strategy", &word, &StopStrategy::WORDS));
        let Some(name) = name else { continue };
        if lists_none {
            empty_names.push(key);
        }
        project.groups.insert(name, Group { members, start_delay, stop: stop.unwrap_or_default() });
    }
    join(checker, memberships, &written, project);
    for key in empty_names {
        let is_empty = project.groups.get(key.get_ref()).is_some_and(|group| group.members.is_empty());
        // What was left out might have named a member.
        if is_empty && !read.is_damaged(&["group", key.get_ref()]) && !read.is_damaged(&["process"]) {
            let message = format!("no process belongs to the group `{}`", shown(key.get_ref()));
            let hint = "add `processes = [\"…\"]`, or remove the group";
            checker.report(key.span(), message, Some(hint));
        }
    }
}

/// Enters the processes into the groups they name themselves.
fn join(
    checker: &mut Checker<'_, '_>,
    memberships: Vec<(ProcessName, Vec<Spanned<String>>)>,
    written: &HashSet<&str>,
    project: &mut Project,
) {
    // A group may have very many members.
    let mut joined: BTreeMap<String, BTreeSet<ProcessName>> = project
        .groups
        .iter()
        .map(|(name, group)| (name.clone(), group.members.iter().cloned().collect()))
        .collect();
    for (process, groups) in memberships {
        let mut own = BTreeSet::new();
        for key in groups {
            if checker.problems.len() > ConfigError::LISTED {
                return;
            }
            if !own.insert(key.get_ref().clone()) {
                checker.report(key.span(), format!("`{}` is listed twice", shown(key.get_ref())), None);
                continue;
            }
            let Some(name) = group_name(checker, &key, written) else { continue };
            // A process with problems of its own is no part of the project.
            if project.processes.contains_key(&process)
                && joined.entry(name.clone()).or_default().insert(process.clone())
            {
                project.groups.entry(name).or_default().members.push(process.clone());
            }
        }
    }
}

fn group_name(
    checker: &mut Checker<'_, '_>,
    key: &Spanned<String>,
    written: &HashSet<&str>,
) -> Option<String> {
    let name = checker.name(key)?;
    if written.contains(name.as_str()) {
        let message = format!("`{name}` is a process, so a group cannot have this name");
        checker.report(
            key.span(),
            message,
            Some("commands take both by their names; call the group otherwise"),
        );
        return None;
    }
    Some(name.as_str().to_owned())
}

fn members(
    checker: &mut Checker<'_, '_>,
    group: &Spanned<String>,
    names: Vec<Spanned<String>>,
    written: &HashSet<&str>,
) -> Vec<ProcessName> {
    let mut seen = BTreeSet::new();
    let mut members = Vec::new();
    for name in names {
        if checker.problems.len() > ConfigError::LISTED {
            break;
        }
        if !written.contains(name.get_ref().as_str()) {
            unknown_member(checker, group, &name, written);
            continue;
        }
        // A name that is none has been reported where it is defined.
        let Ok(member) = ProcessName::new(name.get_ref()) else { continue };
        if seen.insert(member.clone()) {
            members.push(member);
        } else {
            checker.report(name.span(), format!("`{member}` is listed twice"), None);
        }
    }
    members
}

fn unknown_member(
    checker: &mut Checker<'_, '_>,
    group: &Spanned<String>,
    name: &Spanned<String>,
    written: &HashSet<&str>,
) {
    let known: BTreeSet<&str> = written.iter().copied().collect();
    let known = known.iter().copied().take(SUGGESTED_FROM);
    let hint = suggest::did_you_mean(name.get_ref(), known.clone()).unwrap_or_else(|| {
        let some: Vec<String> = known.take(10).map(shown).collect();
        match some.as_slice() {
            [] => "there are no processes".to_owned(),
            some => format!("there is {}", suggest::listed(some.iter().map(String::as_str))),
        }
    });
    let (group, member) = (shown(group.get_ref()), shown(name.get_ref()));
    let message = format!("`{group}` has the member `{member}`, which does not exist");
    checker.report(name.span(), message, Some(&hint));
}
