//! Messages without what differs from one time to the next.

/// Longest part of a message that is looked at, in bytes.
const BYTES: usize = 600;
/// Longest quoted part that is taken for one, in bytes.
const QUOTED: usize = 300;

/// Returns the message with placeholders for numbers, ids, hexadecimal digits, paths, addresses and quoted parts:
/// `job <n> of <q> failed at <path>`.
pub fn template(message: &str) -> String {
    let message = &message[..message.floor_char_boundary(BYTES)];
    let mut told = String::with_capacity(message.len());
    let mut rest = message.trim();
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            if !told.ends_with(' ') {
                told.push(' ');
            }
            rest = rest.trim_start();
            before = ' ';
            continue;
        }
        if let Some(after) = quoted(rest, first, before) {
            told.push_str("<q>");
            before = first;
            rest = after;
            continue;
        }
        // A word ends where the next one or a quoted part begins.
        let end = rest
            .char_indices()
            .skip(1)
            .find(|(at, c)| {
                c.is_whitespace()
                    || quoted(&rest[*at..], *c, rest[..*at].chars().next_back().unwrap_or(' ')).is_some()
            })
            .map_or(rest.len(), |(at, _)| at);
        let word = &rest[..end];
        push_word(&mut told, word);
        before = word.chars().next_back().unwrap_or(' ');
        rest = &rest[end..];
    }
    told
}

/// Returns the message with placeholders for numbers, ids and hexadecimal digits alone; what is quoted, paths and
/// addresses stay, but for the numbers in them: `GET /items/<n> took <n>ms`.
pub fn numberless(message: &str) -> String {
    let mut told = String::with_capacity(message.len());
    push_parts(&mut told, message);
    told
}

/// Returns what follows a quoted part that `text` begins with; an apostrophe within a word begins none.
fn quoted(text: &str, first: char, before: char) -> Option<&str> {
    let close = match first {
        '"' | '\'' | '`' => first,
        '“' => '”',
        '‘' => '’',
        '«' => '»',
        _ => return None,
    };
    if before.is_alphanumeric() {
        return None;
    }
    let body = &text[first.len_utf8()..];
    let body = &body[..body.floor_char_boundary(QUOTED)];
    let mut ends = body.match_indices(close).map(|(at, _)| at);
    let end = ends.find(|at| {
        !body[at + close.len_utf8()..].starts_with(|c: char| c.is_alphanumeric())
            && !body[..*at].ends_with('\\')
    })?;
    Some(&text[first.len_utf8() + end + close.len_utf8()..])
}

fn push_word(told: &mut String, word: &str) {
    const AROUND: [char; 12] = ['(', ')', '[', ']', '{', '}', '<', '>', ',', ';', '"', '\''];
    let start = word.len() - word.trim_start_matches(AROUND).len();
    let inner = word[start..].trim_end_matches(AROUND).trim_end_matches(['.', ':', '!', '?']);
    let (opening, closing) = (&word[..start], &word[start + inner.len()..]);
    told.push_str(opening);
    // `url=http://…` and `file:/tmp/x` keep what they say before it.
    let (label, value) = match inner.split_once('=') {
        Some((label, value)) if !label.contains('/') => (&inner[..=label.len()], value),
        _ => ("", inner),
    };
    push_parts(told, label);
    if value.contains("://") {
        told.push_str("<url>");
    } else if is_path(value) {
        told.push_str("<path>");
    } else {
        push_parts(told, value);
    }
    told.push_str(closing);
}

fn is_path(word: &str) -> bool {
    let slashes = word.bytes().filter(|byte| *byte == b'/').count();
    let rooted = ["/", "./", "../", "~/"].iter().any(|start| word.starts_with(start));
    let drive = word.as_bytes().get(1..3).is_some_and(|next| next == b":\\" || next == b":/")
        && word.starts_with(|c: char| c.is_ascii_alphabetic());
    // `and/or` is none.
    (rooted && word.len() > 1) || drive || slashes >= 2
}

/// Replaces in a word what is a number or an id.
fn push_parts(told: &mut String, word: &str) {
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        if !first.is_alphanumeric() {
            told.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        if let Some(after) = uuid(rest) {
            told.push_str("<uuid>");
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let part = &rest[..end];
        if first.is_ascii_digit() && !is_hex(part) && !is_id(part) {
            let after = number(rest);
            // `1.5s` and `10:20:30` are one number; `2fa` keeps its letters.
            told.push_str("<n>");
            rest = after;
            let unit = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
            told.push_str(&rest[..unit]);
            rest = &rest[unit..];
            continue;
        }
        if is_hex(part) {
            told.push_str("<hex>");
        } else if is_id(part) {
            told.push_str("<id>");
        } else {
            told.push_str(part);
        }
        rest = &rest[end..];
    }
}

/// Returns what follows the number that `text` begins with: digits, and separators between digits.
fn number(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let after = rest.strip_prefix(['.', ',', ':', '-', '/', '_', 'T']);
        match after {
            Some(after) if after.starts_with(|c: char| c.is_ascii_digit()) => rest = after,
            _ => return rest,
        }
    }
}

/// Returns what follows a UUID that `text` begins with.
fn uuid(text: &str) -> Option<&str> {
    let (head, rest) = text.split_at_checked(36)?;
    let fits = head.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    (fits && !rest.starts_with(|c: char| c.is_alphanumeric())).then_some(rest)
}

/// `0x7f3a`, and eight or more hexadecimal digits with a digit among them that are not a plain number.
fn is_hex(part: &str) -> bool {
    if let Some(digits) = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        return !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    part.len() >= 8
        && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        && part.bytes().any(|byte| byte.is_ascii_digit())
        && part.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Letters and digits in a mixture no word has.
fn is_id(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    let turns = part
        .as_bytes()
        .windows(2)
        .filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit())
        .count();
    part.len() >= 10 && digits >= 2 && turns >= 3
}
