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
    /// Returns whether a line that looks like a stack frame is taken for one.
    #[inline]
    pub fn takes_frames(&self) -> bool {
        *self != Self::Nothing
    }

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
            Self::Traceback(level) if header.is_none() && is_exception(line) => {
                *self = Self::Frames(level);
                level
            }
            Self::Message(level) if header.is_none() => {
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

/// Returns whether a line can be the one that ends a traceback: a dotted name, then a colon or nothing.
fn is_exception(line: &[u8]) -> bool {
    let name =
        line.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')).count();
    name > 0 && matches!(line.get(name), None | Some(b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(level: Level, priority: i32) -> Option<Outcome> {
        Some(Outcome { priority, level: level.code(), facts: 0, opens: Opens::Nothing as u8 })
    }

    #[test]
    fn a_traceback_ends_with_its_exception() {
        let mut follow = Follow::Traceback(5);
        assert_eq!(follow.level(b"    x = 1", own(Level::Info, 20)), 5);
        assert_eq!(follow.level(b"shop.Gone", None), 5);
        assert_eq!(follow.level(b"shop.Gone", None), 0);
    }

    #[test]
    fn a_traceback_cut_short_lends_nothing() {
        let mut follow = Follow::Traceback(5);
        assert_eq!(follow.level(b"listening again", None), 0);
        assert_eq!(follow, Follow::Nothing);
    }

    #[test]
    fn a_header_is_believed_amid_a_traceback() {
        let mut follow = Follow::Traceback(5);
        assert_eq!(follow.level(b"INFO: x", own(Level::Info, HEADER)), Level::Info.code());
        assert_eq!(follow, Follow::Nothing);
    }

    #[test]
    fn frames_keep_the_level_of_the_warning_they_follow() {
        let frame = Some(Outcome { priority: 70, level: CONTINUES, facts: 0, opens: 0 });
        let mut follow = Follow::default();
        assert_eq!(follow.level(b"    at x", frame), 0);
        assert_eq!(follow.level(b"WARN y", own(Level::Warn, HEADER)), 4);
        assert_eq!(follow.level(b"    at x", frame), 4);
        assert_eq!(follow.level(b"", None), 0);
        assert_eq!(follow.level(b"    at x", frame), 4);
        assert_eq!(follow.level(b"else", None), 0);
        assert_eq!(follow.level(b"    at x", frame), 0);
    }
}
