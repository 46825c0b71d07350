//! Takes a line through a table: the inner loop of the plugin, one load per byte.

use crate::outcome::Outcome;
use crate::table::{NONE, Table};

impl Table<'_> {
    /// Returns the outcome that wins the line, or `NONE`: the highest priority, among equals the one met first.
    #[inline]
    pub fn walk(&self, line: &[u8], outcomes: &[Outcome]) -> u16 {
        let classes: &[u8; 256] = self.classes.as_ref().try_into().expect("there is a class for each byte");
        let next: &[u16] = &self.next;
        let (shift, special) = (self.shift, self.special);
        let mut state = self.start;
        let mut best = NONE;
        for &byte in line {
            state = next[(usize::from(state) << shift) + usize::from(classes[usize::from(byte)])];
            if state < special {
                best = better(best, self.outcome[usize::from(state)], outcomes);
                if state < self.finals {
                    return best;
                }
            }
        }
        better(best, self.last[usize::from(state)], outcomes)
    }
}

/// Returns whichever outcome has the higher priority, and the first on a tie.
#[inline]
pub fn better(first: u16, second: u16, outcomes: &[Outcome]) -> u16 {
    match (outcomes.get(usize::from(first)), outcomes.get(usize::from(second))) {
        (Some(a), Some(b)) if b.priority > a.priority => second,
        (None, Some(_)) => second,
        _ => first,
    }
}
