//! Takes a line through a table: the inner loop of the plugin, one step per byte.

use crate::outcome::Outcome;
use crate::table::{NONE, Table};

impl Table<'_> {
    /// Returns the outcome that wins the line, or `NONE`: the highest priority, among equals the one met first.
    #[inline]
    pub fn walk(&self, line: &[u8], outcomes: &[Outcome]) -> u16 {
        // With the row's length known, finding a row is one instruction.
        match self.shift {
            7 => self.walk_rows::<128>(line, outcomes),
            _ => self.walk_rows::<256>(line, outcomes),
        }
    }

    #[inline]
    fn walk_rows<const WIDTH: usize>(&self, line: &[u8], outcomes: &[Outcome]) -> u16 {
        let classes: &[u8; 256] = self.classes.as_ref().try_into().expect("there is a class for each byte");
        let (rows, _) = self.next.as_chunks::<WIDTH>();
        let (finals, special) = (usize::from(self.finals), usize::from(self.special));
        let mut state = usize::from(self.start);
        let mut best = NONE;
        let mut rest = line;
        while !rest.is_empty() {
            (state, rest) = run(rows, classes, special, state, rest);
            if state < special {
                best = better(best, self.outcome[state], outcomes);
            }
            if state < finals {
                return best;
            }
        }
        better(best, self.last[state], outcomes)
    }
}

/// Walks until a state below `special` is met, or to the end of the line. Returns the state and what is left.
///
/// A function of its own and never inlined, so that all it needs stays in registers. Access without bounds checks
/// was not measurably faster.
#[inline(never)]
fn run<'l, const WIDTH: usize>(
    rows: &[[u16; WIDTH]],
    classes: &[u8; 256],
    special: usize,
    mut state: usize,
    line: &'l [u8],
) -> (usize, &'l [u8]) {
    // The sandbox checks its clock at every turn of a loop, so a turn takes several bytes.
    const TURN: usize = 8;
    let (turns, rest) = line.as_chunks::<TURN>();
    for (turn, bytes) in turns.iter().enumerate() {
        for (index, &byte) in bytes.iter().enumerate() {
            state = usize::from(rows[state][usize::from(classes[usize::from(byte)]) % WIDTH]);
            if state < special {
                return (state, &line[turn * TURN + index + 1..]);
            }
        }
    }
    for (index, &byte) in rest.iter().enumerate() {
        state = usize::from(rows[state][usize::from(classes[usize::from(byte)]) % WIDTH]);
        if state < special {
            return (state, &rest[index + 1..]);
        }
    }
    (state, &[])
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
