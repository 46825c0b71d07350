//! Many patterns as one table: every byte of a line is one step in it, whatever the number of patterns.
//!
//! Built by build.rs from the default patterns and by the guest from the user's. It knows nothing of levels and
//! formats: patterns stand for outcomes, which are numbers. Walking it is in `walk.rs`.

use std::borrow::Cow;
use std::collections::HashMap;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, nfa::thompson};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Look;

use crate::reduce::Graph;

/// Stands for "no outcome", and among ranks for "worse than all".
pub const NONE: u16 = u16::MAX;

/// A deterministic automaton over bytes that says, where a match ends, the best outcome that ends there.
///
/// States are numbered by what they ask of the walk: below `finals` it is over, below `special` there is an outcome to
/// remember, and all others only lead on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table<'t> {
    /// Class of each byte; always 256 entries.
    pub classes: Cow<'t, [u8]>,
    /// Next state by state and class; a row has `1 << shift` entries.
    pub next: Cow<'t, [u16]>,
    /// Binary logarithm of a row's length.
    pub shift: u32,
    /// The state at the start of a line.
    pub start: u16,
    /// States below it end the walk: nothing better can follow.
    pub finals: u16,
    /// States below it have an outcome, or are final.
    pub special: u16,
    /// By state below `special`: the outcome of a match that ends here, or `NONE`.
    pub outcome: Cow<'t, [u16]>,
    /// By state: the outcome of a match that ends with the line, or `NONE`.
    pub last: Cow<'t, [u16]>,
}

/// Where in a line the patterns of a table may begin to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// At its start only: the walk ends as soon as nothing can match any more.
    Start,
    /// Anywhere.
    Anywhere,
}

/// One expression and what it stands for.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'r> {
    /// The expression.
    pub regex: &'r str,
    /// Rules with the same outcome are the same to the table.
    pub outcome: u16,
    /// The highest wins.
    pub priority: i32,
}

/// Why there is no table.
#[derive(Debug)]
pub enum Failure {
    /// It would be larger than asked for: the patterns are fine, but need the lazy engine.
    TooLarge,
    /// Anything else, in words.
    Invalid(String),
}

type Dfa = dense::DFA<Vec<u32>>;

/// Returns how expressions are read: as bytes, with ASCII classes.
pub fn syntax() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

/// Returns where an expression may begin to match.
///
/// # Errors
/// What is wrong with the expression, in the words of its parser, with the place.
pub fn anchor(regex: &str) -> Result<Anchor, String> {
    let parser = ParserBuilder::new().unicode(false).utf8(false).build().parse(regex);
    let hir = parser.map_err(|error| error.to_string())?;
    let at_start = hir.properties().look_set_prefix().contains(Look::Start);
    Ok(if at_start { Anchor::Start } else { Anchor::Anywhere })
}

/// Compiles rules, within `limit` bytes of automaton before it is reduced.
///
/// # Errors
/// [`Failure::TooLarge`] when the automaton exceeds the limit, [`Failure::Invalid`] when an expression does not compile.
pub fn build(rules: &[Rule<'_>], anchor: Anchor, limit: usize) -> Result<Table<'static>, Failure> {
    let regexes: Vec<&str> = rules.iter().map(|rule| rule.regex).collect();
    let start_kind = if anchor == Anchor::Start { StartKind::Anchored } else { StartKind::Unanchored };
    let config = dense::Config::new()
        .match_kind(MatchKind::All)
        .start_kind(start_kind)
        .accelerate(false)
        .dfa_size_limit(Some(limit))
        .determinize_size_limit(Some(limit.saturating_mul(4)));
    let dfa = dense::Builder::new()
        .configure(config)
        .syntax(syntax())
        .thompson(thompson::Config::new().utf8(false).shrink(false))
        .build_many(&regexes)
        .map_err(|error| match error.is_size_limit_exceeded() {
            true => Failure::TooLarge,
            false => Failure::Invalid(error.to_string()),
        })?;
    let graph = graph(&dfa, rules, anchor)?;
    let graph = if anchor == Anchor::Start { graph.settle() } else { graph };
    graph.reduce().into_table()
}

/// Copies the part of an automaton that lines can meet.
fn graph(dfa: &Dfa, rules: &[Rule<'_>], anchor: Anchor) -> Result<Graph, Failure> {
    let anchored = if anchor == Anchor::Start { Anchored::Yes } else { Anchored::No };
    let start = dfa
        .start_state_forward(&Input::new(b"").anchored(anchored))
        .map_err(|error| Failure::Invalid(error.to_string()))?;
    let classes: Vec<u8> = (0..=255).map(|byte| dfa.byte_classes().get(byte)).collect();
    let bytes = representatives(&classes);

    let mut number = HashMap::from([(start, 0u32)]);
    let mut order = vec![start];
    let mut next = Vec::new();
    let mut at = 0;
    while let Some(&state) = order.get(at) {
        for &byte in &bytes {
            let to = dfa.next_state(state, byte);
            let fresh = order.len() as u32;
            next.push(*number.entry(to).or_insert_with(|| {
                order.push(to);
                fresh
            }));
        }
        at += 1;
    }

    let ranks = ranks(rules);
    let best = |state: StateID| {
        let matches = if dfa.is_match_state(state) { dfa.match_len(state) } else { 0 };
        (0..matches)
            .map(|index| dfa.match_pattern(state, index).as_usize())
            .min_by_key(|&rule| (ranks[rule], rule))
            .map(|rule| (ranks[rule], rules[rule].outcome))
    };
    let outcome = order.iter().map(|&state| best(state)).collect();
    let last = order.iter().map(|&state| best(dfa.next_eoi_state(state))).collect();
    Ok(Graph { classes, width: bytes.len(), next, outcome, last })
}

/// Returns each rule's rank: 0 for the highest priority, equal ones equal.
fn ranks(rules: &[Rule<'_>]) -> Vec<u16> {
    let mut distinct: Vec<i32> = rules.iter().map(|rule| rule.priority).collect();
    distinct.sort_unstable_by(|a, b| b.cmp(a));
    distinct.dedup();
    rules
        .iter()
        .map(|rule| distinct.binary_search_by(|other| rule.priority.cmp(other)).unwrap_or(0) as u16)
        .collect()
}

/// Returns one byte of each class, in the order of the classes.
fn representatives(classes: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for byte in 0..=255u8 {
        if usize::from(classes[usize::from(byte)]) == bytes.len() {
            bytes.push(byte);
        }
    }
    bytes
}
