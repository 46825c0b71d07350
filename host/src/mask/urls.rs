//! Passwords in addresses: `postgres://user:password@host/`, as they are, inside JSON, and in the encoding of URLs.

use super::chars::{self, byte_at};
use super::values;

/// Bytes of an address that are read for its user and password.
const READ: usize = 512;
/// Shortest user without a password that may be a token: Sentry's addresses, tokens for git.
const TOKEN_LEAST: usize = 20;

/// Returns where the password of the address whose user begins at `at` lies; `open` says that the text is cut off.
pub(super) fn password(text: &[u8], at: usize, open: bool) -> Option<(usize, usize)> {
    let rest = &text[at..text.len().min(at + READ)];
    let length = rest.iter().position(|byte| ends_authority(*byte));
    let authority = &rest[..length.unwrap_or(rest.len())];
    // A password may hold an at sign that nobody escaped: the last one ends it.
    let Some(user) = authority.iter().rposition(|byte| *byte == b'@') else {
        let colon = authority.iter().position(|byte| *byte == b':')?;
        let password = &authority[colon + 1..];
        let is_port = password.len() <= 5 && password.iter().all(u8::is_ascii_digit);
        let cut_off = open && at + authority.len() == text.len() && !is_port;
        return cut_off.then_some((at + colon + 1, text.len()));
    };
    within(
        text,
        at,
        at + user,
        authority[..user].iter().position(|byte| *byte == b':').map(|colon| (colon, 1)),
    )
}

/// The same where the address is encoded: `postgres%3A%2F%2Fuser%3Apassword%40host`.
pub(super) fn encoded_password(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = &text[at..text.len().min(at + READ)];
    let length = chars::run(rest, 0, |byte| chars::token68(byte) || byte == b'%', READ);
    let find = |part: &[u8], end: usize| {
        rest[..end].windows(part.len()).position(|window| window.eq_ignore_ascii_case(part))
    };
    let authority = find(b"%2f", length).unwrap_or(length);
    let user = find(b"%40", authority)?;
    within(text, at, at + user, find(b"%3a", user).map(|colon| (colon, 3)))
}

/// Returns the secret part of the user and password between `at` and `end`.
fn within(text: &[u8], at: usize, end: usize, colon: Option<(usize, usize)>) -> Option<(usize, usize)> {
    let Some((colon, length)) = colon else {
        return values::is_random(&text[at..end], TOKEN_LEAST).then_some((at, end));
    };
    let start = at + colon + length;
    let is_empty = start >= end;
    (!is_empty && !values::is_placeholder(&text[start..end]) || is_short_password(text, start, end))
        .then_some((start, end))
}

/// A password of one letter or of equal ones is one all the same, unless it is of asterisks.
fn is_short_password(text: &[u8], start: usize, end: usize) -> bool {
    start < end && text[start..end].iter().all(u8::is_ascii_alphanumeric)
}

fn ends_authority(byte: u8) -> bool {
    byte.is_ascii_whitespace()
        || byte.is_ascii_control()
        || matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\')
}

/// Returns whether a scheme stands before the colon at `at`.
pub(super) fn has_scheme(text: &[u8], at: usize) -> bool {
    at > 0 && byte_at(text, at - 1).is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_addresses_are_found() {
        for (text, expected) in [
            ("postgres://app:hunter2@db:5432/shop", Some("hunter2")),
            ("redis://:hunter2@cache", Some("hunter2")),
            ("a://u:p:@@h", Some("p:@")),
            ("amqp://guest:guest@localhost", Some("guest")),
            (
                "https://9f86d081884c7d659a2feaa0c55ad015@o1.ingest.example/2",
                Some("9f86d081884c7d659a2feaa0c55ad015"),
            ),
            ("http://127.0.0.1:8000/@vite/client", None),
            ("ssh://git@example.com/x", None),
            ("http://u:[masked:password]@h", None),
            ("http://u:***@h", None),
            ("http://u:${PASSWORD}@h", None),
            ("http://h", None),
        ] {
            let at = text.find("://").expect("an address") + 3;
            let found = password(text.as_bytes(), at, false).map(|(start, end)| &text[start..end]);
            assert_eq!(found, expected, "{text}");
        }
        let text = "u=postgres%3A%2F%2Fapp%3Ahunter2%40db%2Fshop";
        assert_eq!(
            encoded_password(text.as_bytes(), 19).map(|(start, end)| &text[start..end]),
            Some("hunter2")
        );
    }
}
