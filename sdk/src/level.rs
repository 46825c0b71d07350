//! How serious a line is, and the codes levels travel as. Never decides a level.

use std::fmt;

/// How serious a line is, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Every step, for whoever debugs the program's inside.
    Trace = 1,
    /// For whoever develops the program.
    Debug = 2,
    /// What is going on, nothing wrong.
    Info = 3,
    /// Goes on, but somebody should look.
    Warn = 4,
    /// Something failed.
    Error = 5,
    /// The process cannot go on.
    Fatal = 6,
}

impl Level {
    /// Every level, from the least to the most serious.
    pub const ALL: [Self; 6] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal];

    /// Returns the number a verdict carries, 1 to 6; 0 stands for an undecided line.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Returns the level with this number, or `None` for 0 and for anything past the last.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }

    /// Returns the word for it, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    /// Reads a level as people write it, in any case; `warning`, `err`, `critical` and `notice` are understood.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "trace" | "verbose" => Self::Trace,
            "debug" => Self::Debug,
            "info" | "notice" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "error" | "err" => Self::Error,
            "fatal" | "critical" | "panic" => Self::Fatal,
            _ => return None,
        })
    }

    /// Returns the letter samples use: `t d i w e f`.
    pub const fn letter(self) -> char {
        match self {
            Self::Trace => 't',
            Self::Debug => 'd',
            Self::Info => 'i',
            Self::Warn => 'w',
            Self::Error => 'e',
            Self::Fatal => 'f',
        }
    }

    /// Returns the level a sample's letter stands for.
    pub fn from_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.letter() == letter)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_words_and_letters_round_trip() {
        for level in Level::ALL {
            assert_eq!(Level::from_code(level.code()), Some(level));
            assert_eq!(Level::parse(level.as_str()), Some(level));
            assert_eq!(Level::from_letter(level.letter()), Some(level));
        }
    }

    #[test]
    fn codes_outside_the_range_are_no_level() {
        assert_eq!(Level::from_code(0), None);
        assert_eq!(Level::from_code(7), None);
        assert_eq!(Level::from_code(255), None);
    }
}
