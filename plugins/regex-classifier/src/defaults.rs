//! The default patterns as build.rs compiled them.

use std::borrow::Cow;

use crate::matcher::{Floating, Matcher};
use crate::outcome::Outcome;
use crate::table::Table;

/// Bytes placed as 16-bit numbers need it.
#[repr(C, align(2))]
struct Aligned<B: ?Sized> {
    bytes: B,
}

/// What of a table is not in its numbers.
struct Layout {
    classes: &'static [u8; 256],
    shift: u32,
    start: u16,
    finals: u16,
    special: u16,
    states: usize,
}

include!(concat!(env!("OUT_DIR"), "/defaults.rs"));

/// Returns the matcher of the default patterns. It borrows the embedded tables: making it costs nothing.
pub fn matcher() -> Matcher {
    let anchored = table(&ANCHORED, ANCHORED_NUMBERS);
    let floating = table(&FLOATING, FLOATING_NUMBERS);
    Matcher::new(OUTCOMES.to_vec(), Some(anchored), Some(Floating::Table(floating)))
}

fn table(layout: &Layout, numbers: &'static Aligned<[u8]>) -> Table<'static> {
    let (next, rest) = numbers_of(&numbers.bytes).split_at(layout.states << layout.shift);
    let (outcome, last) = rest.split_at(usize::from(layout.special));
    Table {
        classes: Cow::Borrowed(layout.classes),
        next: Cow::Borrowed(next),
        shift: layout.shift,
        start: layout.start,
        finals: layout.finals,
        special: layout.special,
        outcome: Cow::Borrowed(outcome),
        last: Cow::Borrowed(last),
    }
}

fn numbers_of(bytes: &'static [u8]) -> &'static [u16] {
    // SAFETY: any two bytes are a valid `u16`, and build.rs wrote them in the target's byte order.
    let (before, numbers, after) = unsafe { bytes.align_to::<u16>() };
    assert!(before.is_empty() && after.is_empty(), "embedded tables are aligned");
    numbers
}
