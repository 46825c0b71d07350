//! Bytes as rules see them: alphabets, and where a word begins though an escape stands before it.
//!
//! Never looks further than a few bytes back, so that asking costs the same wherever it is asked.

/// A set of bytes, asked one at a time.
pub(super) type Alphabet = fn(u8) -> bool;

pub(super) fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

pub(super) fn upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

pub(super) fn hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

pub(super) fn hex_dash(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b'-'
}

pub(super) fn base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

pub(super) fn base64_url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

pub(super) fn dotted(byte: u8) -> bool {
    base64_url(byte) || byte == b'.'
}

/// What a bearer token is made of (RFC 6750, section 2.1).
pub(super) fn token68(byte: u8) -> bool {
    dotted(byte) || matches!(byte, b'~' | b'+' | b'/' | b'=')
}

/// What tokens of Azure's directory are made of.
pub(super) fn azure(byte: u8) -> bool {
    dotted(byte) || byte == b'~'
}

/// What names of settings, headers and fields are made of.
pub(super) fn name(byte: u8) -> bool {
    dotted(byte)
}

/// What numbers in JSON are made of.
pub(super) fn number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E')
}

pub(super) fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns how many bytes from `at` on are of the alphabet, at most `most`.
pub(super) fn run(text: &[u8], at: usize, alphabet: Alphabet, most: usize) -> usize {
    text.get(at..).unwrap_or_default().iter().take(most).take_while(|byte| alphabet(**byte)).count()
}

/// Returns how many bytes right before `at` are of the alphabet, at most `most`.
pub(super) fn run_before(text: &[u8], at: usize, alphabet: Alphabet, most: usize) -> usize {
    text[..at.min(text.len())].iter().rev().take(most).take_while(|byte| alphabet(**byte)).count()
}

/// Returns the byte at a place, or a blank beyond the end.
pub(super) fn byte_at(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(b' ')
}

/// Returns whether a word may begin at `at`: behind the line's start, behind a byte that is of no word, or behind
/// the last letter of an escape (`\n`, `\x1b`, `\u003d`, `%3D`, the colour `ESC[31m`).
pub(super) fn starts_word(text: &[u8], at: usize) -> bool {
    let before = &text[..at.min(text.len())];
    before.last().is_none_or(|byte| !word(*byte)) || escape_before(before) > 0
}

/// Returns the length of the escape that `before` ends with, from its first byte that is of a word, or 0.
pub(super) fn escape_before(before: &[u8]) -> usize {
    let ends_hex = |count: usize| {
        before.len() > count && before[before.len() - count..].iter().all(u8::is_ascii_hexdigit)
    };
    let back = |count: usize| if before.len() >= count { before[before.len() - count] } else { 0 };
    if matches!(back(1), b'n' | b'r' | b't' | b'b' | b'f' | b'v' | b'0') && back(2) == b'\\' {
        return 1;
    }
    if ends_hex(2) && back(3) == b'%' {
        return 2;
    }
    if ends_hex(2) && back(3) == b'x' && back(4) == b'\\' {
        return 3;
    }
    if ends_hex(4) && back(5) == b'u' && back(6) == b'\\' {
        return 5;
    }
    if back(1) == b'm' {
        let digits = run_before(before, before.len() - 1, |byte| byte.is_ascii_digit(), 3);
        if matches!(back(2 + digits), b'[' | b';') {
            return 1 + digits;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_behind_escapes() {
        for (before, begins) in [
            ("", true),
            ("a ", true),
            ("a", false),
            ("_", false),
            (r"\n", true),
            ("n", false),
            ("%3D", true),
            ("x3D", false),
            (r"\u003d", true),
            (r"\x1b", true),
            ("\x1b[31m", true),
            ("\x1b[1;31m", true),
            ("\x1b[m", true),
            ("them", false),
        ] {
            assert_eq!(starts_word(before.as_bytes(), before.len()), begins, "{before:?}");
        }
    }

    #[test]
    fn runs_end_where_the_text_ends() {
        assert_eq!(run(b"abc", 1, alphanumeric, 9), 2);
        assert_eq!(run(b"abc", 7, alphanumeric, 9), 0);
        assert_eq!(run_before(b"a-bc", 4, alphanumeric, 9), 2);
    }
}
