//! Which error it is: a few hexadecimal digits that are the same each time it happens.

use std::fmt;

use sha2::{Digest, Sha256};

use super::template::template;
use super::{Frame, Shape};

/// How fingerprints are made. Another way of making them has another number, because the old ones do not match it.
pub const FINGERPRINT_VERSION: u32 = 1;

/// Frames that count: enough to tell callers of a helper apart, too few to tell where a request came in.
const FRAMES: usize = 3;

/// What names an error, shown as twelve hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Hexadecimal digits of one.
    pub const DIGITS: usize = 12;

    /// Returns the fingerprint of an error in `scope`, such as the name of a process: what was raised, for what, and
    /// the innermost functions of the project's own. An error without these goes by its message.
    pub fn of(scope: &str, shape: &Shape) -> Self {
        let mut hash = Sha256::new();
        // Each part ends in a byte that is in none.
        let mut add = |part: &str| {
            hash.update(part.as_bytes());
            hash.update([0xff]);
        };
        add(&FINGERPRINT_VERSION.to_string());
        add(scope);
        add(&shape.kind);
        add(shape.causes.last().map_or("", |root| &root.kind));
        let mut frames: Vec<(&str, &str)> =
            shape.in_app().map(|frame: &Frame| (frame.module.as_str(), frame.function.as_str())).collect();
        // However deep a recursion was.
        frames.dedup();
        frames.truncate(FRAMES);
        for (module, function) in &frames {
            add(module);
            add(function);
        }
        if frames.iter().all(|(_, function)| function.is_empty()) {
            add(&template(&shape.message));
        }
        let digest = hash.finalize();
        Self(digest.iter().take(Self::DIGITS / 2).fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$x}", self.0, width = Self::DIGITS)
    }
}

impl Fingerprint {
    /// Reads one as it is shown.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.len() == Self::DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}
