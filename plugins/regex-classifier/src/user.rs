//! The user's own patterns: from JSON to a matcher. Compiled once per text, whatever the number of sessions.

use std::cell::RefCell;
use std::rc::Rc;

use ostler_sdk::Level;
use serde::Deserialize;

use crate::lazy::Lazy;
use crate::matcher::{Floating, Matcher};
use crate::outcome::Outcome;
use crate::table::{self, Anchor, Failure, Rule, Table};

/// Priority of a pattern that gives none: above all default patterns.
const PRIORITY: i32 = 100;
/// Most patterns one configuration may have.
const PATTERNS: usize = 1000;
/// Automaton of the patterns before it is reduced, in bytes; past it the lazy engine takes them.
const AUTOMATON_LIMIT: usize = 1 << 20;
/// Configurations kept compiled.
const KEPT: usize = 16;

/// The JSON schema of the configuration.
pub const SCHEMA: &str = include_str!("config.schema.json");

/// The configuration as users write it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "yes")]
    defaults: bool,
    #[serde(default)]
    pattern: Vec<Entry>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    regex: String,
    level: String,
    #[serde(default = "default_priority")]
    priority: i32,
    category: Option<String>,
}

fn default_priority() -> i32 {
    PRIORITY
}

/// A user's patterns made ready.
#[derive(Debug)]
pub struct User {
    /// Whether the default patterns are asked as well.
    pub defaults: bool,
    /// The patterns, or `None` when there are none.
    pub matcher: Option<Matcher>,
    /// By outcome: the name and category of its pattern.
    pub names: Vec<(String, Option<String>)>,
}

thread_local! {
    static COMPILED: RefCell<Vec<(String, Rc<User>)>> = const { RefCell::new(Vec::new()) };
}

/// Returns the compiled form of a configuration, from the last few seen where possible.
///
/// # Errors
/// What is wrong with it, naming the pattern.
pub fn compile(config: &str) -> Result<Rc<User>, String> {
    let kept =
        COMPILED.with_borrow(|all| all.iter().find(|(text, _)| text == config).map(|(_, user)| user.clone()));
    if let Some(user) = kept {
        return Ok(user);
    }
    let user = Rc::new(User::new(config)?);
    COMPILED.with_borrow_mut(|all| {
        if all.len() == KEPT {
            all.remove(0);
        }
        all.push((config.to_owned(), user.clone()));
    });
    Ok(user)
}

impl User {
    fn new(config: &str) -> Result<Self, String> {
        let config: Config = match config.trim() {
            "" => Config { defaults: true, pattern: Vec::new() },
            text => serde_json::from_str(text)
                .map_err(|error| format!("the configuration does not fit: {error}"))?,
        };
        if config.pattern.len() > PATTERNS {
            return Err(format!("{} patterns are more than the {PATTERNS} allowed", config.pattern.len()));
        }
        let mut outcomes = Vec::new();
        let (mut anchored, mut floating) = (Vec::new(), Vec::new());
        for (number, entry) in (0..).zip(&config.pattern) {
            outcomes.push(outcome(entry)?);
            let rule = Rule { regex: &entry.regex, outcome: number, priority: entry.priority };
            match table::anchor(&entry.regex).map_err(|error| bad_regex(entry, &error))? {
                Anchor::Start => anchored.push(rule),
                Anchor::Anywhere => floating.push(rule),
            }
        }
        // An anchored set that is too large goes the slow way with the others.
        let anchored = match table(&anchored, Anchor::Start)? {
            Compiled::TooLarge => {
                floating.append(&mut anchored);
                floating.sort_by_key(|rule| rule.outcome);
                None
            }
            Compiled::Nothing => None,
            Compiled::Table(table) => Some(table),
        };
        let floating = match table(&floating, Anchor::Anywhere)? {
            Compiled::TooLarge => Some(Floating::Lazy(Lazy::new(&floating)?)),
            Compiled::Nothing => None,
            Compiled::Table(table) => Some(Floating::Table(table)),
        };
        let matcher = (!outcomes.is_empty()).then(|| Matcher::new(outcomes, anchored, floating));
        let names = config.pattern.into_iter().map(|entry| (entry.name, entry.category)).collect();
        Ok(Self { defaults: config.defaults, matcher, names })
    }
}

enum Compiled {
    Nothing,
    Table(Table<'static>),
    TooLarge,
}

fn table(rules: &[Rule<'_>], anchor: Anchor) -> Result<Compiled, String> {
    if rules.is_empty() {
        return Ok(Compiled::Nothing);
    }
    match table::build(rules, anchor, AUTOMATON_LIMIT) {
        Ok(table) => Ok(Compiled::Table(table)),
        Err(Failure::TooLarge) => Ok(Compiled::TooLarge),
        Err(Failure::Invalid(reason)) => Err(format!("the patterns do not compile: {reason}")),
    }
}

fn outcome(entry: &Entry) -> Result<Outcome, String> {
    let level = Level::parse(&entry.level).ok_or_else(|| {
        format!(
            "pattern `{}`: `{}` is not a level: use trace, debug, info, warn, error or fatal",
            entry.name, entry.level
        )
    })?;
    Ok(Outcome { priority: entry.priority, level: level.code(), facts: 0, opens: 0 })
}

fn bad_regex(entry: &Entry, error: &str) -> String {
    format!("pattern `{}`: the regex `{}` does not parse: {error}", entry.name, entry.regex)
}
