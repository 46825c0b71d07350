//! Secrets that are known by the name before them: `password=…`, `"token": "…"`, `--api-key …`, headers, cookies.
//!
//! From a word of a name ([`super::names`]) it finds the whole name, what lies between name and value, and the value,
//! in the shapes that programs print: logfmt, YAML, JSON (also inside a string of JSON), Python's and Rust's debug
//! forms, parameters of URLs, options, headers, XML, variables of the environment. Whether the value is a secret
//! [`super::values`] says. Never looks at more than a few hundred bytes unless it has found a secret.

use super::chars::{self, byte_at};
use super::names::{self, Kind, NAME_BYTES};
use super::values;

/// Blanks between name, delimiter and value.
const BLANKS: usize = 8;
/// Bytes of a value that are read before it is decided whether it is a secret.
const READ: usize = 512;
/// Cookies of one header.
const COOKIES: usize = 64;

/// A secret and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) mark: &'static str,
    /// The quote that has to stand around the mark, as a place in the text: a number in JSON had none.
    pub(super) quote: Option<(usize, usize)>,
}

/// What stands between a name and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delimiter {
    /// `=`, `:=`, `=>`
    Equals,
    Colon,
    /// `%3D`, `%3A`
    Encoded,
    /// `<password>`
    Tag,
    /// `"password", "…"`
    Comma,
    /// `--password …`
    Option,
    /// `PASSWORD '…'`
    Blank,
}

/// What a value stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quote {
    /// Backslashes before it: a string within a string.
    backslashes: usize,
    closes: &'static [u8],
}

/// Quotes, and what encodings write for them.
const QUOTES: [&[u8]; 8] = [b"\"", b"'", b"`", b"%22", b"%27", b"&quot;", b"&#34;", b"&#39;"];

/// A name and its value, as far as they have been read.
#[derive(Clone, Copy)]
struct Pair<'t> {
    text: &'t [u8],
    name: (usize, usize),
    /// The quote behind the name.
    quote: Option<(usize, usize)>,
    delimiter: Delimiter,
    /// A blank lies between delimiter and value.
    spaced: bool,
    /// Where the value begins, behind its quote.
    value: usize,
    quoted: Option<Quote>,
    /// It is the line of a variable: `export NAME=value`.
    variable: bool,
    open: bool,
}

/// Calls `found` for the secrets in the value of the name that has `at` in it; `open` says that the text is cut off at
/// its end.
pub(super) fn look(text: &[u8], at: usize, open: bool, mut found: impl FnMut(Found)) {
    if !may_be_named(text, at) {
        return;
    }
    let name = name_around(text, at);
    let Some(kind) = names::kind(&text[name.0..name.1]) else { return };
    let Some(pair) = Pair::read(text, name, open) else { return };
    match kind {
        Kind::Secret(mark) => pair.secret().into_iter().for_each(|value| found(pair.found(value, mark))),
        Kind::Random(mark, least) => {
            pair.random(least).into_iter().for_each(|value| found(pair.found(value, mark)));
        }
        Kind::Authorization => {
            pair.authorization().into_iter().for_each(|value| found(pair.found(value, "authorization")));
        }
        Kind::Cookies => pair.cookies(|value| found(pair.found(value, "cookie"))),
    }
}

/// Returns whether something that may lie between a name and its value follows the word at `at`. Says quickly of most
/// words in prose and paths that they name nothing.
fn may_be_named(text: &[u8], at: usize) -> bool {
    let end = at + chars::run(text, at, chars::name, NAME_BYTES);
    match byte_at(text, end) {
        b'=' | b':' | b'%' | b'>' | b'"' | b'\'' | b'`' | b'\\' | b']' | b'&' => end < text.len(),
        b' ' | b'\t' => {
            let next = end + chars::run(text, end, is_blank, BLANKS);
            let option = || {
                let start = at - chars::run_before(text, at, chars::name, NAME_BYTES);
                text[start..].starts_with(b"--")
            };
            matches!(byte_at(text, next), b'=' | b':' | b'%' | b'\'') || option()
        }
        _ => false,
    }
}

/// Returns where the name that has `at` in it begins and ends.
fn name_around(text: &[u8], at: usize) -> (usize, usize) {
    let mut start = at - chars::run_before(text, at, chars::name, NAME_BYTES);
    let end = at + chars::run(text, at, chars::name, NAME_BYTES);
    // The last letter of an escape is none of the name's: `\npassword`, `ESC[31mpassword`, `%22password`.
    let may_be_escaped = start > 0 && matches!(text[start - 1], b'\\' | b'%' | b'[' | b';');
    let escape = (start + 1..=end.min(start + 5))
        .filter(|_| may_be_escaped)
        .find(|behind| chars::escape_before(&text[..*behind]) == behind - start);
    if let Some(behind) = escape {
        start = behind;
    }
    // A sentence's dot, or the dot before a method, is none either.
    let start = start + text[start..end].iter().take_while(|byte| **byte == b'.').count();
    (start.min(end), end)
}

impl<'t> Pair<'t> {
    fn read(text: &'t [u8], name: (usize, usize), open: bool) -> Option<Self> {
        let quote = quote_at(text, name.1).map(|(end, _)| (name.1, end));
        let mut at = quote.map_or(name.1, |(_, end)| end);
        let closing = usize::from(byte_at(text, at) == b']');
        at += closing;
        let blanks = chars::run(text, at, is_blank, BLANKS);
        let (delimiter, length) = delimiter(text, name, quote.is_some(), at + blanks)?;
        // `arn:aws:secretsmanager:eu-west-1` is a path, of which no part is a name.
        if delimiter == Delimiter::Colon && quote.is_none() && name.0 > 0 && text[name.0 - 1] == b':' {
            return None;
        }
        at += blanks + length;
        let blanks = chars::run(text, at, is_blank, BLANKS);
        at += blanks;
        let at = at + wrapper(&text[at..]);
        let quoted = quote_at(text, at);
        if quoted.is_none() && matches!(delimiter, Delimiter::Comma | Delimiter::Blank) {
            return None;
        }
        let (value, quoted) = quoted.map_or((at, None), |(end, quoted)| (end, Some(quoted)));
        let before = &text[..name.0];
        let variable = delimiter == Delimiter::Equals
            && (before.is_empty() || before.ends_with(b"export "))
            && names::is_constant(&text[name.0..name.1]);
        let pair = Self { text, name, quote, delimiter, spaced: blanks > 0, value, quoted, variable, open };
        (value < text.len()).then_some(pair)
    }

    fn found(&self, (start, end): (usize, usize), mark: &'static str) -> Found {
        let is_number = self.text[start..end].iter().all(|byte| chars::number(*byte));
        let quote =
            self.quote.filter(|_| is_number && self.quoted.is_none() && self.delimiter == Delimiter::Colon);
        // Backslashes of an even number are of the name, `"password\\":1`: a string within a string has an odd one.
        let quote = quote.map(|(start, end)| {
            let backslashes = chars::run(self.text, start, |byte| byte == b'\\', end - start);
            if backslashes.is_multiple_of(2) { (start + backslashes, end) } else { (start, end) }
        });
        Found { start, end, mark, quote }
    }

    /// Returns the value's end and whether something says that it ends there, reading at most `most` bytes.
    fn end(&self, most: usize) -> (usize, bool) {
        let limit = self.text.len().min(self.value.saturating_add(most));
        let rest = &self.text[self.value..limit];
        match self.quoted {
            Some(quote) => match quoted_length(rest, quote) {
                Some(length) => (self.value + self.within_json(rest, length), true),
                // A quote that nothing closes was an apostrophe, unless the rest is yet to come.
                None if limit == self.text.len() && !self.open => {
                    (self.value + self.unquoted_length(rest), true)
                }
                None => (limit, false),
            },
            None => {
                let length = self.unquoted_length(rest);
                (self.value + length, self.value + length < limit || limit == self.text.len())
            }
        }
    }

    fn unquoted_length(&self, rest: &[u8]) -> usize {
        let length = rest.iter().position(|byte| self.terminates(*byte)).unwrap_or(rest.len());
        let encoded = (self.delimiter == Delimiter::Encoded).then(|| encoded_end(&rest[..length]));
        encoded.flatten().unwrap_or(length)
    }

    /// Returns the length of a value in quotes; in a line of JSON no string ends another.
    fn within_json(&self, rest: &[u8], length: usize) -> usize {
        let is_string = self.quoted.is_some_and(|quote| quote.closes == b"\"");
        let crossed = memchr::memchr(b'"', &rest[..length]).filter(|_| !is_string && is_json(self.text));
        crossed.map_or(length, |at| at - chars::run_before(rest, at, |byte| byte == b'\\', at))
    }

    /// Returns whether the value's quote is in truth the one that ends a string of JSON: `"password="`, also with a
    /// backslash as the string's last letter, `"password=\\"`.
    fn is_behind_string(&self) -> bool {
        let ends_string = |quote: Quote| quote.backslashes.is_multiple_of(2) && quote.closes == b"\"";
        let plain = self.quoted.is_some_and(ends_string);
        let named = self.quote.is_some_and(|(start, end)| &self.text[start..end] == b"\"");
        plain && !named && is_json(self.text)
    }

    /// Returns whether a value without quotes ends at this byte.
    fn terminates(&self, byte: u8) -> bool {
        if byte.is_ascii_whitespace()
            || byte.is_ascii_control()
            || matches!(byte, b'"' | b'\'' | b'`' | b'<' | b'\\')
        {
            return true;
        }
        // A variable of the environment ends with its line, whatever is in it.
        !self.variable && matches!(byte, b',' | b';' | b'&' | b')' | b'}' | b']' | b'>' | b'|')
    }

    /// Returns the value as far as it decides, and whether it is whole.
    fn seen(&self) -> Option<(&'t [u8], bool)> {
        if self.is_behind_string() {
            return None;
        }
        let (end, ended) = self.end(READ);
        let value = &self.text[self.value..end];
        (!values::is_placeholder(value) || self.cut_off(end))
            .then_some((value, ended))
            .filter(|_| !value.is_empty())
    }

    fn cut_off(&self, end: usize) -> bool {
        self.open && end == self.text.len()
    }

    fn whole(&self) -> (usize, usize) {
        (self.value, self.end(usize::MAX).0)
    }

    /// Returns the value of a name that says it is a secret, unless it is a word about one.
    fn secret(&self) -> Option<(usize, usize)> {
        let (value, _) = self.seen()?;
        let end = self.value + value.len();
        let next = byte_at(self.text, end);
        let accepted = match (self.quoted.is_some(), self.delimiter) {
            _ if self.cut_off(end) => true,
            (_, Delimiter::Comma) => values::is_random(value, 8),
            (true, _) => value.len() >= 4 && !values::is_sentence(value) && !values::is_path(value),
            (false, Delimiter::Colon) => self.secret_behind_colon(value, end),
            (false, _) => value.len() >= 4 && !self.is_code(value, next) && !values::is_path(value),
        };
        accepted.then(|| self.whole())
    }

    fn secret_behind_colon(&self, value: &[u8], end: usize) -> bool {
        if values::is_path(value) || value.len() < 4 || values::is_code(value, byte_at(self.text, end)) {
            return false;
        }
        if values::is_unlike_words(value) && value.len() >= 6 {
            // `password: 2026-11-20` and `secret: shop/api-tls` are words and numbers, `hunter2` is not.
            return !values::is_wordy(value) || value.iter().all(u8::is_ascii_alphanumeric);
        }
        let line = self.name.0 < READ
            && self.text[..self.name.0].iter().all(|byte| matches!(byte, b' ' | b'-' | b'\t'));
        self.spaced && line && end == self.text.len()
    }

    /// In a call's arguments a name without quotes is a variable; elsewhere it may be a password.
    fn is_code(&self, value: &[u8], next: u8) -> bool {
        let before = &self.text[self.name.0.saturating_sub(READ)..self.name.0];
        let in_call = matches!(next, b')' | b',') && before.contains(&b'(');
        values::is_code(value, next)
            || in_call && value.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
    }

    fn random(&self, least: usize) -> Option<(usize, usize)> {
        let (value, _) = self.seen()?;
        let end = self.value + value.len();
        let next = byte_at(self.text, end);
        let scheme = scheme_length(value);
        let secret = &value[scheme..];
        let accepted =
            self.cut_off(end) || (values::is_random(secret, least) && !values::is_code(secret, next));
        let (start, end) = self.whole();
        accepted.then_some((start + scheme, end))
    }

    /// Returns what follows the scheme of a header, to the header's end.
    fn authorization(&self) -> Option<(usize, usize)> {
        let scheme = scheme_length(&self.text[self.value..self.text.len().min(self.value + READ)]);
        let rest = Self { value: self.value + scheme, ..*self };
        let name = &self.text[self.value..self.value + scheme];
        if rest.quoted.is_none() && (name.starts_with(b"Digest") || name.starts_with(b"AWS4")) {
            // Several fields, of which any may be the secret.
            let length = fields_length(&self.text[rest.value..], is_json(self.text));
            return (length > 0).then_some((rest.value, rest.value + length));
        }
        let (value, _) = rest.seen()?;
        let end = rest.value + value.len();
        let word = value.iter().all(u8::is_ascii_alphabetic) && value.len() < 16 && scheme == 0;
        let accepted = rest.cut_off(end) || (value.len() >= 4 && !word && !values::is_sentence(value));
        accepted.then(|| rest.whole())
    }

    /// Calls `found` for the values of cookies that look like more than a setting.
    fn cookies(&self, mut found: impl FnMut((usize, usize))) {
        let line = &self.text[self.value..];
        let end = self.quoted.and_then(|quote| quoted_length(line, quote)).unwrap_or(line.len());
        let mut at = self.value;
        for cookie in line[..end].split(|byte| *byte == b';').take(COOKIES) {
            let start = at;
            at += cookie.len() + 1;
            let Some(equals) = cookie.iter().position(|byte| *byte == b'=') else { continue };
            let value = &cookie[equals + 1..];
            let stop = value
                .iter()
                .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'\\'));
            let value = &value[..stop.unwrap_or(value.len())];
            let ends = start + equals + 1 + value.len();
            if values::is_placeholder(value) || !(values::is_random(value, 8) || self.cut_off(ends)) {
                continue;
            }
            found((start + equals + 1, ends));
        }
    }
}

/// Returns whether a line seems to be JSON: it begins like it, and its first quote is one of JSON's.
fn is_json(text: &[u8]) -> bool {
    let text = text[..text.len().min(READ)].trim_ascii_start();
    matches!(text.first(), Some(b'{' | b'['))
        && memchr::memchr2(b'"', b'\'', text).is_some_and(|quote| text[quote] == b'"')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Returns what lies between name and value at `at`, and its length.
fn delimiter(text: &[u8], name: (usize, usize), quoted: bool, at: usize) -> Option<(Delimiter, usize)> {
    let rest = &text[at.min(text.len())..];
    let next = byte_at(rest, 1);
    let option = text[name.0..name.1].starts_with(b"--");
    match *rest.first()? {
        b'=' if matches!(next, b'=' | b'~') => None,
        b'=' => Some((Delimiter::Equals, if next == b'>' { 2 } else { 1 })),
        b':' if next == b':' || rest.starts_with(b"://") => None,
        b':' => Some((
            if next == b'=' { Delimiter::Equals } else { Delimiter::Colon },
            if next == b'=' { 2 } else { 1 },
        )),
        b'%' if rest.len() > 2 && next == b'3' => match rest[2] {
            b'D' | b'd' | b'A' | b'a' => Some((Delimiter::Encoded, 3)),
            _ => None,
        },
        b'>' if name.0 > 0 && text[name.0 - 1] == b'<' => Some((Delimiter::Tag, 1)),
        b',' if quoted => Some((Delimiter::Comma, 1)),
        _ if at > name.1 && option => Some((Delimiter::Option, 0)),
        b'\'' if at > name.1 && !quoted => Some((Delimiter::Blank, 0)),
        _ => None,
    }
}

/// Returns the length of what debug forms put before a value's quote.
fn wrapper(rest: &[u8]) -> usize {
    const WRAPPERS: [&[u8]; 9] =
        [b"Some(\"", b"SecretStr('", b"b'", b"b\"", b"u'", b"u\"", b"r'", b"r\"", b"Secret(\""];
    WRAPPERS.iter().find(|wrapper| rest.starts_with(wrapper)).map_or(0, |wrapper| wrapper.len() - 1)
}

/// Returns the quote at `at`, and where it ends.
fn quote_at(text: &[u8], at: usize) -> Option<(usize, Quote)> {
    let backslashes = chars::run(text, at, |byte| byte == b'\\', BLANKS);
    let rest = text.get(at + backslashes..)?;
    let closes = QUOTES.into_iter().find(|quote| rest.starts_with(quote))?;
    Some((at + backslashes + closes.len(), Quote { backslashes, closes }))
}

/// Returns the length of a value up to the quote that closes it: one with as many backslashes as the opening one had, or
/// one that ends the string around both, since the backslashes before it belong together in pairs.
fn quoted_length(rest: &[u8], quote: Quote) -> Option<usize> {
    let mut before = 0;
    for (at, byte) in rest.iter().enumerate() {
        if *byte == quote.closes[0] && rest[at..].starts_with(quote.closes) {
            if before % 2 == 0 {
                return Some(at);
            }
            if before <= quote.backslashes {
                return Some(at - before);
            }
        }
        before = if *byte == b'\\' { before + 1 } else { 0 };
    }
    None
}

/// Returns the length of the fields of a credential: `a="x", b=y`, up to a quote or an escape that is of none of them,
/// since the header may stand in a string.
fn fields_length(rest: &[u8], json: bool) -> usize {
    let mut at = 0;
    loop {
        let is_end = |byte: &u8| byte.is_ascii_control() || matches!(byte, b'"' | b'\'' | b'\\');
        at += rest[at..].iter().position(is_end).unwrap_or(rest.len() - at);
        let is_field = !json && byte_at(rest, at) == b'"' && at > 0 && rest[at - 1] == b'=';
        let value = rest.get(at + 1..).unwrap_or_default();
        let closes = value.iter().take(READ).position(|byte| *byte == b'"').filter(|_| is_field);
        match closes.map(|length| at + 1 + length + 1) {
            Some(behind) if behind == rest.len() || matches!(rest[behind], b',' | b' ') => at = behind,
            _ => return at,
        }
    }
}

/// Returns where a value in a URL's encoding ends: at an encoded `&`, quote, comma, brace or blank.
fn encoded_end(value: &[u8]) -> Option<usize> {
    value.windows(3).position(|window| {
        window[0] == b'%'
            && matches!(
                window[1..].to_ascii_uppercase().as_slice(),
                b"26" | b"22" | b"2C" | b"7D" | b"20" | b"3B"
            )
    })
}

/// Returns the length of the scheme that a credential begins with, and its blank.
pub(super) fn scheme_length(value: &[u8]) -> usize {
    let word =
        value.iter().take(24).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    let known =
        ["bearer", "basic", "token", "digest", "apikey", "negotiate", "aws4-hmac-sha256", "key", "bot"];
    let is_scheme = known.iter().any(|scheme| value[..word].eq_ignore_ascii_case(scheme.as_bytes()));
    let blanks = value[word..].iter().take(BLANKS).take_while(|byte| **byte == b' ').count();
    if !is_scheme || word == 0 {
        return 0;
    }
    match &value[word..] {
        rest if rest.starts_with(b"%20") => word + 3,
        rest if rest.starts_with(b"+") => word + 1,
        _ if blanks > 0 => word + blanks,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the text with what is found as `~`.
    fn shown(text: &str) -> String {
        let mut places = Vec::new();
        for at in 0..text.len() {
            if chars::name(text.as_bytes()[at]) && (at == 0 || !chars::name(text.as_bytes()[at - 1])) {
                look(text.as_bytes(), at, false, |found| places.push((found.start, found.end)));
            }
        }
        places.sort_unstable();
        places.dedup();
        let mut shown = text.to_owned();
        for (start, end) in places.into_iter().rev() {
            shown.replace_range(start..end, "~");
        }
        shown
    }

    #[test]
    fn values_are_found_in_the_shapes_programs_print() {
        for (text, expected) in [
            ("password=hunter2", "password=~"),
            ("user=bob password=hunter2 port=1", "user=bob password=~ port=1"),
            (r#"{"password":"hunter2","a":1}"#, r#"{"password":"~","a":1}"#),
            (r#"{"m":"{\"password\": \"hunt\\\"er2\"}"}"#, r#"{"m":"{\"password\": \"~\"}"}"#),
            (r#"{"password": "a\"b c", "x": 1}"#, r#"{"password": "~", "x": 1}"#),
            ("{'password': 'hunter2'}", "{'password': '~'}"),
            ("Login { password: \"hunter2\" }", "Login { password: \"~\" }"),
            ("Login { password: Some(\"hunter2\") }", "Login { password: Some(\"~\") }"),
            ("{User:bob Password:hunter2}", "{User:bob Password:~}"),
            ("  password: swordfish", "  password: ~"),
            ("GET /?a=1&api_key=9f86d081884c7d65&b=2", "GET /?a=1&api_key=~&b=2"),
            ("q=password%3Dhunter2%26a%3D1", "q=password%3D~%26a%3D1"),
            ("run --password hunter2 --port 1", "run --password ~ --port 1"),
            ("<password>hunter2</password>", "<password>~</password>"),
            ("CREATE USER x PASSWORD 'hunter2'", "CREATE USER x PASSWORD '~'"),
            ("DB_PASSWORD=p@ss,w0rd&x;y", "DB_PASSWORD=~"),
            (":password=>\"hunter2\"", ":password=>\"~\""),
            ("Authorization: Bearer abcdef", "Authorization: Bearer ~"),
            ("(b'authorization', b'Basic dXNlcjpwYXNz')", "(b'authorization', b'Basic ~')"),
            (
                "Authorization: Digest username=\"bob\", response=\"6629f\", qop=auth",
                "Authorization: Digest ~",
            ),
            (r#"{"h":"Authorization: Digest x","a":1}"#, r#"{"h":"Authorization: Digest ~","a":1}"#),
            ("Cookie: theme=dark; sid=s%3A9f86d081884c; n=1", "Cookie: theme=dark; sid=~; n=1"),
            ("Password=Hunter2!;Server=db", "Password=~;Server=db"),
            (r"\npassword=hunter2\nuser=bob", r"\npassword=~\nuser=bob"),
            ("\u{1b}[31mapi_key\u{1b}[0m", "\u{1b}[31mapi_key\u{1b}[0m"),
            ("\u{1b}[31mapi_key=9f86d081884c7d65\u{1b}[0m", "\u{1b}[31mapi_key=~\u{1b}[0m"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn words_about_secrets_are_left_alone() {
        for text in [
            "password reset for bob",
            "token expired",
            "token: expired",
            "Invalid password: must contain a digit",
            "Unexpected token: punc (.)",
            "connect(user=user, password=password)",
            "connect(host=host, password=pw)",
            "password=self.password",
            "max_tokens: 4096, tokens=1234567890",
            "{\"password\": [\"This field is required.\"]}",
            "{\"password\": \"This password is too short.\"}",
            "secret: default/tls-cert",
            "if token == abc123def456",
            "token::Kind9f86d081884c7d65",
            "nextPageToken=9f86d081884c7d65",
            "PWD=/home/bob",
            "password_changed_at: 2026-11-20T08:29:25",
            "Cookie: theme=dark; lang=en",
            "password",
            "password=",
            "password: \"",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn a_number_in_json_gets_quotes() {
        let text = br#"{"password": 12345678}"#;
        let mut found = Vec::new();
        look(text, 2, false, |one| found.push(one));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].quote.map(|(start, end)| &text[start..end]), Some(b"\"".as_slice()));
    }
}
