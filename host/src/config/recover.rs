//! Owns reading a TOML text into wire types while collecting every problem of shape, not only the first.
//!
//! Serde stops at its first error. So the offending entry is taken out of the parsed tree and the rest is read again,
//! until nothing is wrong any more or there are more problems than anyone reads. What is left is checked as if the
//! bad entries had never been written, and [`Recovered::is_damaged`] tells where not to complain about their absence.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Problem};
use super::reword;
use super::source::Source;

/// One step from a value to one inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// A value in the tree: how to get there and what it is.
#[derive(Debug)]
pub(super) struct Place {
    pub path: Vec<Step>,
    /// The TOML type of the value, in the words of messages.
    pub kind: &'static str,
    length: usize,
}

/// What could be read, and what had to be left out.
pub(super) struct Recovered<T> {
    pub value: T,
    /// The keys in each of the top level's tables, left-out ones included.
    names: Vec<(String, Vec<String>)>,
    removed: Vec<Vec<Step>>,
}

impl<T> Recovered<T> {
    /// Tells whether something was left out of this table.
    pub(super) fn is_damaged(&self, path: &[&str]) -> bool {
        self.removed.iter().any(|removed| {
            removed.len() >= path.len()
                && removed.iter().zip(path).all(|(step, key)| matches!(step, Step::Key(name) if name == key))
        })
    }

    /// Returns the keys that were written in a table of the top level, left-out ones included.
    pub(super) fn names(&self, table: &str) -> &[String] {
        self.names.iter().find(|(name, _)| name == table).map_or(&[], |(_, names)| names)
    }
}

/// Reads a text; `problems` gets what is wrong with its shape. None when it is not TOML.
pub(super) fn read<T: DeserializeOwned + Default>(
    source: Source<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Recovered<T>> {
    let mut tree = match DeTable::parse(source.text) {
        Ok(tree) => tree.into_inner(),
        Err(error) => {
            problems.push(syntax_problem(source, &error));
            return None;
        }
    };
    let names = names_in(&tree);
    let mut removed = Vec::new();
    while problems.len() <= ConfigError::LISTED {
        let error = match T::deserialize(toml::de::Deserializer::from(Spanned::new(0..0, tree.clone()))) {
            Ok(value) => return Some(Recovered { value, names, removed }),
            Err(error) => error,
        };
        let span = error.span().unwrap_or_default();
        let Some(place) = find(&tree, &span) else {
            problems.push(source.problem(span, error.message().trim_end()));
            break;
        };
        let (message, hint) = reword::shape_error(error.message(), &place);
        problems.push(source.problem(span, message).hint(hint));
        let Some(entry) = remove(&mut tree, &place.path) else { break };
        removed.push(entry);
    }
    Some(Recovered { value: T::default(), names, removed })
}

fn names_in(tree: &DeTable<'_>) -> Vec<(String, Vec<String>)> {
    let keys = |table: &DeTable<'_>| table.keys().map(|key| key.get_ref().to_string()).collect();
    tree.iter()
        .filter_map(|(key, value)| Some((key.get_ref().to_string(), keys(value.get_ref().as_table()?))))
        .collect()
}

/// Words the first error of syntax. Duplicates get the line of the first definition.
fn syntax_problem(source: Source<'_>, error: &toml::de::Error) -> Problem {
    let span = error.span().unwrap_or(source.text.len()..source.text.len());
    if error.message() != "duplicate key" {
        return source.problem(span, reword::syntax_error(error.message()));
    }
    let Some((path, first)) = first_definition(source.text, &span) else {
        return source.problem(span, "this key is set twice");
    };
    let (first_line, _) = source.position(first.start);
    let what = reword::definition(&path);
    source.problem(span, format!("{what} twice; first at line {first_line}"))
}

/// Finds what a duplicate key repeats: its path, and the place of the key that was there first.
///
/// The parser keeps only one of the two. A second parse, with the repeated key spelt as nothing else is, shows which
/// table it stands in, and the first is still there under its own name.
fn first_definition(text: &str, span: &Range<usize>) -> Option<(Vec<Step>, Range<usize>)> {
    let unique = (0..).map(|n| format!("ostler-duplicate-{n}")).find(|name| !text.contains(name.as_str()))?;
    let renamed = format!("{}{unique}{}", text.get(..span.start)?, text.get(span.end..)?);
    let (tree, _) = DeTable::parse_recoverable(&renamed);
    let parsed_key = format!("{} = 0", text.get(span.clone())?);
    let key = DeTable::parse(&parsed_key).ok()?.into_inner().keys().next()?.get_ref().to_string();
    let mut found = None;
    search_table(tree.get_ref(), &mut Vec::new(), &mut |table, path| {
        if table.contains_key(unique.as_str())
            && let Some((first, _)) = table.get_key_value(key.as_str())
        {
            found = Some(([path, &[Step::Key(key.clone())]].concat(), first.span()));
        }
    });
    found
}

/// Visits every table in the tree.
fn search_table(table: &DeTable<'_>, path: &mut Vec<Step>, visit: &mut dyn FnMut(&DeTable<'_>, &[Step])) {
    visit(table, path);
    for (key, value) in table {
        path.push(Step::Key(key.get_ref().to_string()));
        search_value(value.get_ref(), path, visit);
        path.pop();
    }
}

fn search_value(value: &DeValue<'_>, path: &mut Vec<Step>, visit: &mut dyn FnMut(&DeTable<'_>, &[Step])) {
    match value {
        DeValue::Table(table) => search_table(table, path, visit),
        DeValue::Array(array) => {
            for (index, item) in array.iter().enumerate() {
                path.push(Step::Index(index));
                search_value(item.get_ref(), path, visit);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Finds the innermost entry whose key is, or whose value contains, this span.
///
/// The span of a `[table]` is its header only, so the whole tree is searched.
fn find(tree: &DeTable<'_>, span: &Range<usize>) -> Option<Place> {
    let mut best: Option<Place> = None;
    find_in_table(tree, span, &mut Vec::new(), &mut best);
    best
}

fn find_in_table(table: &DeTable<'_>, span: &Range<usize>, path: &mut Vec<Step>, best: &mut Option<Place>) {
    for (key, value) in table {
        path.push(Step::Key(key.get_ref().to_string()));
        if key.span() == *span {
            offer(best, path, value.get_ref(), span.len());
        }
        find_in_value(value, span, path, best);
        path.pop();
    }
}

fn find_in_value(
    value: &Spanned<DeValue<'_>>,
    span: &Range<usize>,
    path: &mut Vec<Step>,
    best: &mut Option<Place>,
) {
    let own = value.span();
    if own.start <= span.start && span.end <= own.end && !own.is_empty() {
        offer(best, path, value.get_ref(), own.len());
    }
    match value.get_ref() {
        DeValue::Table(table) => find_in_table(table, span, path, best),
        DeValue::Array(array) => {
            for (index, item) in array.iter().enumerate() {
                path.push(Step::Index(index));
                find_in_value(item, span, path, best);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Keeps the narrower of two places; of two as narrow the outer one, which was offered first.
fn offer(best: &mut Option<Place>, path: &[Step], value: &DeValue<'_>, length: usize) {
    if best.as_ref().is_none_or(|best| length < best.length) {
        *best = Some(Place { path: path.to_owned(), kind: reword::kind(value), length });
    }
}

/// Takes the entry at a path out of the tree, a list as a whole; returns the path of what was taken.
fn remove(tree: &mut DeTable<'_>, path: &[Step]) -> Option<Vec<Step>> {
    let last_key = path.iter().rposition(|step| matches!(step, Step::Key(_)))?;
    let (parents, Step::Key(key)) = (&path[..last_key], &path[last_key]) else { return None };
    let mut table = tree;
    let mut steps = parents.iter();
    while let Some(step) = steps.next() {
        let Step::Key(name) = step else { return None };
        let mut value = table.get_mut(name.as_str())?.get_mut();
        while let DeValue::Array(array) = value {
            let Some(Step::Index(index)) = steps.next() else { return None };
            value = array.get_mut(*index)?.get_mut();
        }
        let DeValue::Table(inner) = value else { return None };
        table = inner;
    }
    table.remove(key.as_str())?;
    Some(path[..=last_key].to_owned())
}
