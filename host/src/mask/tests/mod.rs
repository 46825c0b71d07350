//! Proof of the masker: planted secrets, ordinary logs, any bytes.

mod generator;
mod ordinary;
mod planted;
mod properties;

use super::{MaskState, Masker};

/// Returns a line as a new masker of built-in rules shows it.
fn masked(masker: &Masker, line: &str) -> String {
    let shown = masker.mask_line(&mut MaskState::default(), line.as_bytes()).into_owned();
    String::from_utf8(shown).expect("text stays text")
}
