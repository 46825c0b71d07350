//! Cursors: places in the log as clients carry them about.
//!
//! Opaque to clients, but not secret: a cursor only says which log, and after which line.

use std::fmt;
use std::str::FromStr;

use crate::model::Seq;

/// The place after one line of one log, such as `3fa9c1-1k7z`: the log's epoch in hexadecimal and the line in base 36.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The number the log drew when it was begun.
    pub epoch: u32,
    pub seq: Seq,
}

/// Why a cursor cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CursorError {
    #[error(
        "`{0}` is not a cursor: a cursor looks like `3fa9c1-1k7z` and is taken as it is from an earlier reply"
    )]
    Malformed(String),
    #[error("the cursor `{0}` is from another log: leave it out to begin with this one")]
    OtherLog(Cursor),
}

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Longest part of a malformed cursor that an error repeats, in characters.
const QUOTED: usize = 40;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 13 digits of base 36 hold 64 bits.
        let mut digits = [0; 13];
        let mut place = digits.len();
        let mut rest = self.seq.0;
        loop {
            place -= 1;
            digits[place] = DIGITS[(rest % 36) as usize];
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        let digits = std::str::from_utf8(&digits[place..]).map_err(|_| fmt::Error)?;
        write!(f, "{:x}-{digits}", self.epoch)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        parse(text).ok_or_else(|| CursorError::Malformed(text.chars().take(QUOTED).collect()))
    }
}

fn parse(text: &str) -> Option<Cursor> {
    let (epoch, seq) = text.split_once('-')?;
    // `from_str_radix` takes a sign, a cursor does not.
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !plain(epoch) || !plain(seq) {
        return None;
    }
    Some(Cursor { epoch: u32::from_str_radix(epoch, 16).ok()?, seq: Seq(u64::from_str_radix(seq, 36).ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_as_documented() {
        let cursor = Cursor { epoch: 0x3fa9c1, seq: Seq(72_863) };
        assert_eq!(cursor.to_string(), "3fa9c1-1k7z");
        assert_eq!("3fa9c1-1k7z".parse(), Ok(cursor));
    }

    #[test]
    fn the_extremes_round_trip() {
        for cursor in [Cursor { epoch: 0, seq: Seq(0) }, Cursor { epoch: u32::MAX, seq: Seq(u64::MAX) }] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn anything_else_is_told_what_a_cursor_looks_like() {
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "g-1",
            "1-1-1",
            "1-+1",
            "+1-1",
            "100000000-1",
            "1-zzzzzzzzzzzzzz",
            "1-ä",
        ] {
            let error = text.parse::<Cursor>().expect_err(text);
            assert!(error.to_string().contains("3fa9c1-1k7z"), "{error}");
        }
        let long = "x".repeat(10_000).parse::<Cursor>().expect_err("too long");
        assert!(long.to_string().len() < 200);
    }
}
