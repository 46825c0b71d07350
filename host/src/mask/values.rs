//! Does a value look like a secret, like a word, or like what stands in a secret's place.
//!
//! Judges by the first bytes alone, so that a long value costs no more than a short one.

/// Bytes of a value that are looked at.
pub(super) const LOOKED_AT: usize = 64;

/// What is written where a secret would stand, and ordinary words that follow `password:` and the like.
const PLACEHOLDERS: [&str; 81] = [
    "accepted",
    "basic",
    "bearer",
    "bool",
    "boolean",
    "bytes",
    "changed",
    "changeme",
    "check",
    "created",
    "default",
    "deleted",
    "denied",
    "digest",
    "disabled",
    "empty",
    "enabled",
    "error",
    "expired",
    "failed",
    "failure",
    "false",
    "field",
    "filtered",
    "forbidden",
    "found",
    "generated",
    "hidden",
    "hide",
    "ignored",
    "incorrect",
    "input",
    "int",
    "integer",
    "invalid",
    "length",
    "loaded",
    "masked",
    "mismatch",
    "missing",
    "must",
    "nan",
    "nil",
    "none",
    "not",
    "null",
    "number",
    "object",
    "off",
    "okay",
    "option",
    "optional",
    "password",
    "present",
    "provided",
    "read",
    "received",
    "redacted",
    "refresh",
    "rejected",
    "removed",
    "required",
    "reset",
    "revoked",
    "secret",
    "sent",
    "set",
    "str",
    "string",
    "success",
    "test",
    "text",
    "token",
    "true",
    "undefined",
    "unknown",
    "unset",
    "updated",
    "valid",
    "value",
    "your",
];

/// Bytes of the longest of them.
const LONGEST_PLACEHOLDER: usize = 9;

/// Returns whether a value stands in a secret's place: nothing, a mark, a word for "none", a reference to where the
/// secret is.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let value = &value[..value.len().min(LOOKED_AT)];
    let Some(first) = value.first() else { return true };
    if value.iter().all(|byte| byte == first || matches!(byte, b'.' | b'*')) {
        return true;
    }
    const REFERENCES: [&[u8]; 16] = [
        b"[",
        b"<",
        b"{",
        b"$",
        b"(",
        b"%(",
        b"%s",
        b"%v",
        b"***",
        b"...",
        b"process.env",
        b"os.environ",
        b"env.",
        b"env(",
        b"ENV[",
        b"secrets.",
    ];
    REFERENCES.iter().any(|reference| reference[0] == *first && value.starts_with(reference))
        || is_placeholder_word(value)
}

fn is_placeholder_word(value: &[u8]) -> bool {
    // Punctuation behind a word is not of it: `password: incorrect.`
    let end =
        value.iter().rposition(|byte| !matches!(byte, b'.' | b'!' | b':' | b'?')).map_or(0, |last| last + 1);
    let mut lower = [0; LONGEST_PLACEHOLDER];
    let Some(lower) = lower.get_mut(..end) else { return false };
    lower.copy_from_slice(&value[..end]);
    lower.make_ascii_lowercase();
    PLACEHOLDERS.binary_search_by(|placeholder| placeholder.as_bytes().cmp(lower)).is_ok()
}

/// Returns whether a value is random enough to be a key or token by its look alone.
pub(super) fn is_random(value: &[u8], least: usize) -> bool {
    if value.len() < least || is_path(value) {
        return false;
    }
    let value = &value[..value.len().min(LOOKED_AT)];
    let count = |kind: fn(&u8) -> bool| value.iter().filter(|byte| kind(byte)).count();
    let digits = count(u8::is_ascii_digit);
    let letters = count(u8::is_ascii_alphabetic);
    let capitals = count(u8::is_ascii_uppercase);
    if !value.iter().all(u8::is_ascii_graphic) || letters < 2 || distinct(value) < 6 {
        return false;
    }
    if digits == 0 {
        // Letters alone: only capitals and small ones in no order are no words.
        return value.len() >= 20 && capitals * 4 > letters && capitals * 4 < letters * 3;
    }
    !is_wordy(value)
}

/// Returns whether a value is words, short numbers and versions between separators: `user-service-v2`, `page_12`,
/// `10.0.0.12:8000`, `app.123.js`.
pub(super) fn is_wordy(value: &[u8]) -> bool {
    let value = &value[..value.len().min(LOOKED_AT)];
    value.split(|byte| !byte.is_ascii_alphanumeric()).all(is_word_or_number)
}

fn is_word_or_number(segment: &[u8]) -> bool {
    let digits = segment.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (word, _) = segment.split_at(segment.len() - digits);
    if word.is_empty() {
        return digits <= 4;
    }
    // A word of one case, or with a capital first, and at most three digits behind it.
    let tail = &word[1..];
    let one_case = tail.iter().all(u8::is_ascii_lowercase) || word.iter().all(u8::is_ascii_uppercase);
    one_case && digits <= 3 && word.len() <= 14
}

/// Returns whether a value names a place: a path, or an address.
pub(super) fn is_path(value: &[u8]) -> bool {
    let value = &value[..value.len().min(LOOKED_AT)];
    if [b"./".as_slice(), b"../", b"~/", b"file:", b"http:", b"https:"]
        .iter()
        .any(|start| value.starts_with(start))
    {
        return true;
    }
    value.starts_with(b"/") && !value.ends_with(b"=") && value.split(|byte| *byte == b'/').all(is_wordy)
}

/// Returns whether a value without quotes is a piece of a program, as in a traceback: `self.password`, `token`,
/// `settings.SECRET_KEY`, `get_password()`.
pub(super) fn is_code(value: &[u8], next: u8) -> bool {
    let value = &value[..value.len().min(LOOKED_AT)];
    let is_part = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.');
    let length = value.iter().take_while(|byte| is_part(byte)).count();
    let behind = value.get(length).copied().unwrap_or(next);
    if length > 0 && matches!(behind, b'(' | b'[') {
        return true;
    }
    let lower = value.to_ascii_lowercase();
    let holds = |part: &str| lower.windows(part.len()).any(|window| window == part.as_bytes());
    length == value.len()
        && (value.contains(&b'.')
            || value.contains(&b'_')
            || ["password", "passwd", "secret", "token", "key"].into_iter().any(holds))
}

/// Returns whether a value has what words lack: digits, signs, or capitals behind a small letter.
pub(super) fn is_unlike_words(value: &[u8]) -> bool {
    let value = &value[..value.len().min(LOOKED_AT)];
    value.iter().any(|byte| !byte.is_ascii_alphabetic() && !matches!(byte, b'.' | b',' | b':' | b'!' | b'?'))
        || value.windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// Returns whether a quoted value is a sentence about a secret: `"This password is too short."`
pub(super) fn is_sentence(value: &[u8]) -> bool {
    let blanks = value.iter().take(4 * LOOKED_AT).filter(|byte| **byte == b' ').count();
    let first = value.first().copied().unwrap_or_default();
    let last = value.last().copied().unwrap_or_default();
    blanks >= 2 && (matches!(last, b'.' | b'!' | b'?') || first.is_ascii_uppercase())
}

fn distinct(value: &[u8]) -> u32 {
    let mut seen = 0_u128;
    for byte in value {
        seen |= 1 << (byte & 0x7f);
    }
    seen.count_ones()
}

/// Returns whether a value that is looked for everywhere would be found where it is no secret: words that are common,
/// numbers, paths, hosts.
pub(super) fn is_common(value: &[u8]) -> bool {
    const COMMON: [&str; 24] = [
        "administrator",
        "application",
        "authorization",
        "changeme",
        "database",
        "debugging",
        "development",
        "disabled",
        "example.com",
        "frontend",
        "guest:guest",
        "host.docker.internal",
        "localhost",
        "password",
        "password1",
        "passwords",
        "postgres",
        "postgresql",
        "production",
        "rabbitmq",
        "required",
        "security",
        "staging",
        "username",
    ];
    let is_number =
        value.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',' | b'-' | b':' | b' '));
    let lower = value.to_ascii_lowercase();
    let has_separator = value.iter().any(|byte| !byte.is_ascii_alphanumeric());
    is_number
        || distinct(value) < 4
        || COMMON.iter().any(|common| lower == common.as_bytes())
        || is_path(value)
        // Hosts, module names and names of services: words in a row.
        || has_separator && !value.contains(&b' ') && value.iter().all(|byte| super::chars::dotted(*byte) || matches!(byte, b':' | b'/'))
            && is_wordy(value) && value.contains(&b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_values_are_known_from_words() {
        for value in [
            "9f86d081884c7d65",
            "dGhpc2lzYXRlc3Q5OQ",
            "abc123def456",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "Zm9vYmFyYmF6cXV4Zm9vYmFy",
            "x7Kp2mQ9vL",
        ] {
            assert!(is_random(value.as_bytes(), 10), "{value}");
        }
        for value in [
            "expired",
            "user-service-v2",
            "refresh_token",
            "127.0.0.1:8000",
            "2026-11-20",
            "1234567890123",
            "page_12",
            "/var/run/secrets/token1",
            "./a1b2c3d4e5",
            "https://x9y8z7w6v5",
            "RefreshTokenExpired",
            "aaaaaaaaaa11",
            "short1",
            "app.123.js",
        ] {
            assert!(!is_random(value.as_bytes(), 10), "{value}");
        }
    }

    #[test]
    fn placeholders_are_no_secrets() {
        for value in
            ["", "***", "xxxx", "[masked:token]", "${TOKEN}", "<hidden>", "None", "incorrect.", "{{ x }}"]
        {
            assert!(is_placeholder(value.as_bytes()), "{value}");
        }
        for value in ["hunter2", "swordfish", "x", "*a"] {
            assert_eq!(is_placeholder(value.as_bytes()), value == "x", "{value}");
        }
    }

    #[test]
    fn words_that_are_placeholders_are_sorted() {
        assert!(PLACEHOLDERS.is_sorted());
        assert_eq!(PLACEHOLDERS.iter().map(|word| word.len()).max(), Some(LONGEST_PLACEHOLDER));
    }

    #[test]
    fn code_is_no_secret() {
        for (value, next) in [("self.password", b')'), ("token", b','), ("get", b'('), ("settings.KEY", b' ')]
        {
            assert!(is_code(value.as_bytes(), next), "{value}");
        }
        for value in ["hunter2", "swordfish"] {
            assert!(!is_code(value.as_bytes(), b' '), "{value}");
        }
    }

    #[test]
    fn common_values_are_not_looked_for() {
        for value in
            ["production", "/var/lib/app", "db.internal.example", "12345678", "aaaaaaaa", "localhost"]
        {
            assert!(is_common(value.as_bytes()), "{value}");
        }
        for value in ["swordfish", "hunter2hunter2", "x7Kp2mQ9vL", "correct horse battery"] {
            assert!(!is_common(value.as_bytes()), "{value}");
        }
    }
}
