//! Owns `depends_on`: that every dependency exists, can be met, and that there are no cycles.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

use toml::Spanned;

use super::check::unknown_word;
use super::error::{ConfigError, Problem};
use super::process::{Condition, DependsOn, ProcessConfig, RestartWhen};
use super::shapes::DependsOnValue;
use super::source::{Source, shown};
use super::suggest;
use super::types::Project;
use crate::model::ProcessName;

/// Most names that a mistyped one is compared with.
const SUGGESTED_FROM: usize = 1000;

/// A dependency with its place in the text.
struct Edge {
    to: ProcessName,
    condition: Condition,
    span: Range<usize>,
}

/// Checks the dependencies of all processes, in the file's order, and enters them into the project.
///
/// `written` are all names of processes in the file: one with problems of its own still exists.
pub(super) fn check(
    source: Source<'_>,
    dependencies: Vec<(ProcessName, DependsOnValue)>,
    written: &[String],
    project: &mut Project,
    problems: &mut Vec<Problem>,
) {
    let mut graph = BTreeMap::new();
    let known: HashSet<&str> = written.iter().map(String::as_str).collect();
    let order: Vec<ProcessName> = dependencies.iter().map(|(name, _)| name.clone()).collect();
    for (name, value) in dependencies {
        // Each problem of a large file costs a search through it; nobody reads more than are listed.
        if problems.len() > ConfigError::LISTED {
            return;
        }
        let edges = edges(source, &name, value, &known, problems);
        graph.insert(name, edges);
    }
    problems.extend(cycles(source, &order, &graph));
    for (name, edges) in graph {
        for edge in &edges {
            if edge.condition == Condition::ExitedOk
                && let Some(to) = project.processes.get(&edge.to)
                && let Some((message, hint)) = never_exits(&edge.to, to)
            {
                problems.push(source.problem(edge.span.clone(), message).hint(hint));
            }
        }
        if let Some(process) = project.processes.get_mut(&name) {
            process.depends_on = edges
                .into_iter()
                .map(|edge| DependsOn { process: edge.to, condition: edge.condition })
                .collect();
        }
    }
}

fn edges(
    source: Source<'_>,
    from: &ProcessName,
    value: DependsOnValue,
    written: &HashSet<&str>,
    problems: &mut Vec<Problem>,
) -> Vec<Edge> {
    let mut pairs: Vec<(Spanned<String>, Option<Spanned<String>>)> = match value {
        DependsOnValue::List(names) => names.into_iter().map(|name| (name, None)).collect(),
        DependsOnValue::Table(table) => table.into_iter().map(|(name, word)| (name, Some(word))).collect(),
    };
    pairs.sort_by_key(|(name, _)| name.span().start);
    let mut seen = BTreeSet::new();
    let mut edges = Vec::new();
    for (name, word) in pairs {
        let condition = match word {
            None => Some(Condition::default()),
            Some(word) => {
                let known = Condition::WORDS.iter().find(|(known, _)| known == word.get_ref());
                if known.is_none() {
                    problems.push(unknown_word(source, "condition", &word, &Condition::WORDS));
                }
                known.map(|(_, condition)| *condition)
            }
        };
        if !written.contains(name.get_ref().as_str()) {
            problems.push(unknown_dependency(source, from, &name, written));
            continue;
        }
        // A name that is none has been reported where it is defined.
        let (Ok(to), Some(condition)) = (ProcessName::new(name.get_ref()), condition) else { continue };
        if seen.insert(to.clone()) {
            edges.push(Edge { to, condition, span: name.span() });
        } else {
            problems.push(source.problem(name.span(), format!("`{to}` is listed twice")));
        }
    }
    edges
}

/// Returns why a process cannot be waited for as `exited-ok`, and the remedy.
fn never_exits(name: &ProcessName, process: &ProcessConfig) -> Option<(String, String)> {
    if process.schedule.is_some() {
        let message = format!("`{name}` runs by its schedule, so nobody can wait until it is `exited-ok`");
        return Some((message, format!("remove this dependency, or the `schedule` of `{name}`")));
    }
    (process.restart.when == RestartWhen::Always).then(|| {
        let message = format!("`{name}` restarts always, so it never counts as `exited-ok`");
        (message, format!("give `{name}` `restart = \"on-failure\"`"))
    })
}

fn unknown_dependency(
    source: Source<'_>,
    from: &ProcessName,
    name: &Spanned<String>,
    written: &HashSet<&str>,
) -> Problem {
    let others: BTreeSet<&str> = written.iter().copied().filter(|other| *other != from.as_str()).collect();
    let others = others.iter().copied().take(SUGGESTED_FROM);
    let hint = suggest::did_you_mean(name.get_ref(), others.clone()).unwrap_or_else(|| {
        let some: Vec<String> = others.take(10).map(shown).collect();
        match some.as_slice() {
            [] => "there are no other processes".to_owned(),
            [only] => format!("the only other process is `{only}`"),
            some => format!("the other processes are {}", suggest::listed(some.iter().map(String::as_str))),
        }
    });
    let message = format!("`{from}` depends on `{}`, which does not exist", shown(name.get_ref()));
    source.problem(name.span(), message).hint(hint)
}

/// How far the search has come with a process.
#[derive(Clone, Copy, PartialEq)]
enum Visit {
    Open,
    Done,
}

/// Finds cycles by depth-first search: an edge to a process that is still open closes one.
///
/// Keeps a stack of its own, because the depth is the file's choice.
fn cycles(
    source: Source<'_>,
    order: &[ProcessName],
    graph: &BTreeMap<ProcessName, Vec<Edge>>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut visits: BTreeMap<&ProcessName, Visit> = BTreeMap::new();
    for start in order {
        if problems.len() > ConfigError::LISTED {
            break;
        }
        if visits.contains_key(start) {
            continue;
        }
        visits.insert(start, Visit::Open);
        let mut stack = vec![(start, 0)];
        while let Some((name, next)) = stack.last_mut() {
            let Some(edge) = graph.get(*name).and_then(|edges| edges.get(*next)) else {
                visits.insert(*name, Visit::Done);
                stack.pop();
                continue;
            };
            *next += 1;
            match visits.get(&edge.to) {
                Some(Visit::Done) => {}
                Some(Visit::Open) if problems.len() > ConfigError::LISTED => {}
                Some(Visit::Open) => problems.push(cycle(source, &stack, edge)),
                None => {
                    visits.insert(&edge.to, Visit::Open);
                    stack.push((&edge.to, 0));
                }
            }
        }
    }
    problems
}

/// Words a cycle: the part of the stack from the edge's target on, and the target again.
fn cycle(source: Source<'_>, stack: &[(&ProcessName, usize)], closing: &Edge) -> Problem {
    let first = stack.iter().position(|(name, _)| **name == closing.to).unwrap_or(0);
    let names: Vec<&str> =
        stack[first..].iter().map(|(name, _)| name.as_str()).chain([closing.to.as_str()]).collect();
    let message = if names.len() == 2 {
        format!("`{}` depends on itself", closing.to)
    } else {
        // Long cycles are cut: nobody reads a thousand names.
        let shown = if names.len() > 12 {
            [&names[..6], &["…"], &names[names.len() - 5..]].concat()
        } else {
            names
        };
        format!("processes depend on each other in a cycle: {}", shown.join(" → "))
    };
    source.problem(closing.span.clone(), message).hint("remove one of these dependencies".to_owned())
}
