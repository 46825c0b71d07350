//! Owns the keys that leave an attached process: how they are written, and finding them in what is typed.
//!
//! Pure. The first keys of a sequence are held back until the next one shows whether they are meant for the process.

use crate::api::keys::{Key, NAMES_HINT};

/// What leaves when nothing else is said.
pub const DEFAULT: &str = "ctrl-p ctrl-q";
/// The word for no keys at all.
const NONE: &str = "none";

/// A sequence of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    bytes: Vec<u8>,
}

impl DetachKeys {
    /// Reads names of keys and single characters, with spaces or commas in between; `none` stands for no keys.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let words: Vec<&str> =
            text.split([' ', ',']).map(str::trim).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => return Err(format!("name keys such as `{DEFAULT}`, or `{NONE}`")),
            [NONE] => return Ok(Self { bytes }),
            _ => {}
        }
        for word in words {
            match word.as_bytes() {
                [character @ b'!'..=b'~'] => bytes.push(*character),
                _ => {
                    let key = Key::named(word).map_err(|error| format!("{error}\n{NAMES_HINT}"))?;
                    bytes.extend_from_slice(key.on_terminal());
                }
            }
        }
        Ok(Self { bytes })
    }
}

/// Finds the keys in what is typed.
#[derive(Debug)]
pub struct Watch {
    keys: DetachKeys,
    /// How many of them have been typed in a row.
    held: usize,
}

/// What was typed, without the keys that leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// For the process.
    pub bytes: Vec<u8>,
    pub leaves: bool,
}

impl Watch {
    pub fn new(keys: DetachKeys) -> Self {
        Self { keys, held: 0 }
    }

    /// Takes what was typed next. What comes behind the keys is dropped.
    pub fn take(&mut self, typed: &[u8]) -> Typed {
        let keys = &self.keys.bytes;
        let mut bytes = Vec::with_capacity(typed.len() + self.held);
        for byte in typed {
            // A sequence that breaks off may end with the beginning of another.
            while keys.get(self.held) != Some(byte) && self.held > 0 {
                let shorter = (0..self.held)
                    .rev()
                    .find(|length| keys[..self.held].ends_with(&keys[..*length]))
                    .unwrap_or(0);
                bytes.extend_from_slice(&keys[..self.held - shorter]);
                self.held = shorter;
            }
            if keys.get(self.held) == Some(byte) {
                self.held += 1;
                if self.held == keys.len() {
                    self.held = 0;
                    return Typed { bytes, leaves: true };
                }
            } else {
                bytes.push(*byte);
            }
        }
        Typed { bytes, leaves: false }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn watch(keys: &str) -> Watch {
        Watch::new(DetachKeys::parse(keys).unwrap())
    }

    fn typed(bytes: &[u8], leaves: bool) -> Typed {
        Typed { bytes: bytes.to_vec(), leaves }
    }

    #[test]
    fn the_usual_keys_leave_and_others_pass() {
        let mut watch = watch(DEFAULT);
        assert_eq!(watch.take(b"ls\r"), typed(b"ls\r", false));
        assert_eq!(watch.take(b"\x10"), typed(b"", false));
        assert_eq!(watch.take(b"x"), typed(b"\x10x", false));
        assert_eq!(watch.take(b"\x10\x10"), typed(b"\x10", false));
        assert_eq!(watch.take(b"\x11more"), typed(b"", true));
    }

    #[test]
    fn keys_are_written_in_several_ways() {
        assert_eq!(DetachKeys::parse("ctrl-p,ctrl-q"), DetachKeys::parse(DEFAULT));
        assert_eq!(DetachKeys::parse("^] q").unwrap().bytes, b"\x1dq");
        assert_eq!(watch("none").take(b"\x10\x11"), typed(b"\x10\x11", false));
        assert!(DetachKeys::parse("").unwrap_err().contains("`none`"));
        assert!(DetachKeys::parse("ctrl-pp").unwrap_err().contains("did you mean `ctrl-p`?"));
    }

    #[test]
    fn a_sequence_within_itself_is_found() {
        assert_eq!(watch("a a b").take(b"aaaabz"), typed(b"aa", true));
        assert_eq!(watch("a b a c").take(b"ababac"), typed(b"ab", true));
    }

    proptest! {
        #[test]
        fn nothing_typed_is_lost_or_changed(keys in "[ab]{1,4}", text in "[abc]{0,20}", cut in 0usize..20) {
            let spaced: Vec<String> = keys.chars().map(String::from).collect();
            let mut watch = watch(&spaced.join(" "));
            let (head, tail) = text.as_bytes().split_at(cut.min(text.len()));
            let mut all = watch.take(head);
            if !all.leaves {
                let rest = watch.take(tail);
                all.bytes.extend(rest.bytes);
                all.leaves = rest.leaves;
            }
            match text.find(&keys) {
                Some(at) => prop_assert_eq!(all, typed(&text.as_bytes()[..at], true)),
                None => {
                    all.bytes.extend_from_slice(&keys.as_bytes()[..watch.held]);
                    prop_assert_eq!(all, typed(text.as_bytes(), false));
                }
            }
        }
    }
}
