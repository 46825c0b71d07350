//! What is shown in place of a secret: `[masked:NAME]`.
//!
//! A mark has no quote, brace or backslash, so that a line of JSON stays one. Only marks whose name this masker writes
//! are known as marks: a child cannot hide a secret from masking by writing one around it.

use std::collections::HashSet;

use memchr::memmem;

use super::rules::is_mark_name;
use crate::bounds;

const BEGIN: &[u8] = b"[masked:";
const END: u8 = b']';

/// The names of marks.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks(HashSet<Vec<u8>>);

impl Marks {
    pub(super) fn add(&mut self, name: &str) {
        self.0.insert(name.as_bytes().to_vec());
    }

    /// Returns the places of all marks in a text, in order.
    pub(super) fn places(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let known = |at: usize| {
            let name = &text[at + BEGIN.len()..];
            let end = name.iter().take(bounds::MASK_NAME_BYTES + 1).position(|byte| *byte == END)?;
            self.0.contains(&name[..end]).then_some((at, at + BEGIN.len() + end + 1))
        };
        memmem::find_iter(text, BEGIN).filter_map(known).collect()
    }

    /// Returns all marks in a row: a secret that is part of one would be found in its own mask.
    pub(super) fn written(&self) -> Vec<u8> {
        let mut written = Vec::new();
        for name in &self.0 {
            write(&mut written, std::str::from_utf8(name).unwrap_or_default());
        }
        written
    }
}

/// Appends the mark of this name.
pub(super) fn write(text: &mut Vec<u8>, name: &str) {
    text.extend_from_slice(BEGIN);
    text.extend_from_slice(name.as_bytes());
    text.push(END);
}

/// Returns a name as it may stand in a mark.
pub(super) fn name(name: &str) -> String {
    let name: String = name
        .chars()
        .take(bounds::MASK_NAME_BYTES)
        .map(|letter| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' })
        .collect();
    if is_mark_name(&name) { name } else { "secret".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_marks_are_marks() {
        let mut marks = Marks::default();
        marks.add("token");
        let text = b"a [masked:token][masked:x] [masked:token [masked:token]";
        assert_eq!(marks.places(text), [(2, 16), (41, 55)]);
        assert_eq!(marks.written(), b"[masked:token]");
    }

    #[test]
    fn names_are_made_fit_for_marks() {
        assert_eq!(name("DB_PASSWORD"), "DB_PASSWORD");
        assert_eq!(name("a b\"}"), "a_b__");
        assert_eq!(name(""), "secret");
    }
}
