//! The engine for the user's patterns that need too large a table: states are made while lines are walked.

use std::cell::RefCell;

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::{Anchored, MatchKind, util::start};

use crate::outcome::Outcome;
use crate::table::{NONE, Rule, syntax};
use crate::walk::better;

/// Most memory of the states kept, in bytes; past it they are dropped and made again.
const CACHE_BYTES: usize = 4 << 20;
/// Most memory of the compiled expressions, in bytes.
const AUTOMATON_BYTES: usize = 16 << 20;

/// Patterns compiled for the lazy engine.
#[derive(Debug)]
pub struct Lazy {
    dfa: DFA,
    cache: RefCell<Cache>,
    /// By pattern: its outcome.
    outcomes: Vec<u16>,
}

impl Lazy {
    /// Compiles rules.
    ///
    /// # Errors
    /// What is wrong, in words, when they are too large even for this engine.
    pub fn new(rules: &[Rule<'_>]) -> Result<Self, String> {
        let regexes: Vec<&str> = rules.iter().map(|rule| rule.regex).collect();
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(CACHE_BYTES)
            .skip_cache_capacity_check(true);
        let dfa = DFA::builder()
            .configure(config)
            .syntax(syntax())
            .thompson(thompson::Config::new().utf8(false).nfa_size_limit(Some(AUTOMATON_BYTES)))
            .build_many(&regexes)
            .map_err(|error| error.to_string())?;
        let cache = RefCell::new(dfa.create_cache());
        Ok(Self { dfa, cache, outcomes: rules.iter().map(|rule| rule.outcome).collect() })
    }

    /// Returns the outcomes it can yield.
    pub fn outcomes(&self) -> &[u16] {
        &self.outcomes
    }

    /// Returns the outcome that wins the line, or `NONE`. A line the engine gives up on has none.
    pub fn walk(&self, line: &[u8], outcomes: &[Outcome]) -> u16 {
        self.try_walk(line, outcomes).unwrap_or(NONE)
    }

    fn try_walk(&self, line: &[u8], outcomes: &[Outcome]) -> Option<u16> {
        let cache = &mut *self.cache.borrow_mut();
        let start = start::Config::new().anchored(Anchored::No);
        let mut state = self.dfa.start_state(cache, &start).ok()?;
        let mut best = NONE;
        for &byte in line {
            state = self.dfa.next_state(cache, state, byte).ok()?;
            if state.is_tagged() {
                if state.is_dead() || state.is_quit() {
                    return Some(best);
                }
                best = self.merge(cache, state, best, outcomes);
            }
        }
        state = self.dfa.next_eoi_state(cache, state).ok()?;
        Some(self.merge(cache, state, best, outcomes))
    }

    fn merge(
        &self,
        cache: &Cache,
        state: regex_automata::hybrid::LazyStateID,
        best: u16,
        outcomes: &[Outcome],
    ) -> u16 {
        if !state.is_match() {
            return best;
        }
        // Matches that end at one place are in the order of their patterns, so the first listed wins a tie.
        (0..self.dfa.match_len(cache, state))
            .map(|index| self.outcomes[self.dfa.match_pattern(cache, state, index).as_usize()])
            .fold(best, |best, outcome| better(best, outcome, outcomes))
    }
}
