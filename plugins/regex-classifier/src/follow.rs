//! State that spans lines, one per stream: what a traceback or a panic lends to the lines after it.
//!
//! Modest on purpose: it gives levels, it does not group lines to events.

use ostler_sdk::Level;

use crate::outcome::{CONTINUES, Outcome};
use crate::patterns::{HEADER, Opens};

/// What the next line of the stream is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Follow {
    /// Itself.
    #[default]
    Nothing,
    /// A stack frame of the line before, if it looks like one.
    Frames(u8),
    /// A line of a Python traceback, up to and with the first that is not indented.
    Traceback(u8),
    /// The message that belongs to the line before.
    Message(u8),
}

impl Follow {
    /// Returns the line's level code given what its own words say, and remembers what it opens.
    #[inline]
    pub fn level(&mut self, line: &[u8], own: Option<Outcome>) -> u8 {
        if *self == Self::Nothing {
            return match own {
                None => 0,
                Some(own) => self.open(own),
            };
        }
        self.within(line, own)
    }

    /// Takes a line by its own words.
    fn open(&mut self, own: Outcome) -> u8 {
        if own.level == CONTINUES {
            *self = Self::Nothing;
            return 0;
        }
        let opens = own.opens;
        *self = if own.level < Level::Warn.code() {
            Self::Nothing
        } else if opens == Opens::Traceback as u8 {
            Self::Traceback(own.level)
        } else if opens == Opens::Message as u8 {
            Self::Message(own.level)
        } else {
            Self::Frames(own.level)
        };
        own.level
    }

    /// Takes a line amid what an earlier one opened.
    #[cold]
    fn within(&mut self, line: &[u8], own: Option<Outcome>) -> u8 {
        if line.iter().all(u8::is_ascii_whitespace) {
            return 0;
        }
        let header = own.filter(|own| own.priority >= HEADER);
        match *self {
            Self::Traceback(level) if is_indented(line) => level,
            Self::Traceback(level) | Self::Message(level) if header.is_none() => {
                *self = Self::Frames(level);
                level
            }
            Self::Frames(level) if own.is_some_and(|own| own.level == CONTINUES) => level,
            _ => match own {
                Some(own) => self.open(own),
                None => {
                    *self = Self::Nothing;
                    0
                }
            },
        }
    }
}

/// Returns whether a line is one of a traceback's frames, excerpts or markers, those of exception groups included.
fn is_indented(line: &[u8]) -> bool {
    line.starts_with(b"  ") || line.starts_with(b"\t")
}
