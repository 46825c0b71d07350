//! Tokens that are known by their shape rather than by a prefix alone.
//!
//! Each function takes the place its anchor was found at and returns where the secret begins and ends; `open` says that
//! the text is cut off at its end, so that what reaches it may go on.

use super::chars::{self, alphanumeric, azure, base64, base64_url, byte_at, token68};
use super::filter::{Class, Filter, literal};
use super::rules::Trigger;
use super::{pairs, values};

/// Where a secret lies.
pub(super) type Place = (usize, usize);

/// Adds the anchors of all that is found by its shape.
pub(super) fn add_to(filter: &mut Filter) {
    let digit = Class::of(b"0123456789");
    let url = Class::where_(base64_url);
    let joined = |parts: &[Vec<Class>]| parts.concat();
    filter.add(&joined(&[literal("eyJ"), vec![url; 3]]), Trigger::Jwt);
    // Base64 of the first digits of a number: the ids of bots.
    let third = Class::of(b"AEIMQUYcgk");
    let fourth = Class::of(b"wxyz012345");
    let second = Class::of(b"DTjz");
    let first = Class::of(b"MNO");
    filter.add(&[first, second, third, fourth, first, second], Trigger::Discord);
    filter.add(&joined(&[literal(":AA"), vec![url; 3]]), Trigger::Telegram);
    filter.add(&joined(&[literal("/bot"), vec![digit; 2]]), Trigger::TelegramUrl);
    filter.add(&joined(&[vec![digit], literal("Q~"), vec![Class::where_(azure); 3]]), Trigger::AzureSecret);
    filter.add(&literal("JQQJ9"), Trigger::AzureKey);
    filter.add(&literal("-BEGIN"), Trigger::Pem);
    filter.add(&literal("LS0tLS1C"), Trigger::PemInBase64);
    filter.add(&literal("hooks.sl"), Trigger::Webhook);
    filter.add(&literal("/webhook"), Trigger::Webhook);
    filter.add(&literal("bearer"), Trigger::Scheme);
    filter.add(&literal("basic "), Trigger::Scheme);
    filter.add(&joined(&[literal("://"), vec![Class::where_(|byte| byte.is_ascii_graphic())]]), Trigger::Url);
    filter.add(&literal(r":\/\/"), Trigger::EscapedUrl);
    filter.add(&literal("%3A%2F%2"), Trigger::EncodedUrl);
}

/// Three parts of base64 with dots between them, of which the first is an object of JSON (RFC 7519); five for an
/// encrypted one (RFC 7516).
pub(super) fn jwt(text: &[u8], at: usize, open: bool) -> Option<Place> {
    if !text[at..].starts_with(b"eyJ") || !chars::starts_word(text, at) {
        return None;
    }
    let part = |from: usize| chars::run(text, from, base64_url, usize::MAX);
    let header = at + part(at);
    if byte_at(text, header) != b'.' {
        return (open && header == text.len() && header - at >= 12).then_some((at, header));
    }
    let payload = header + 1 + part(header + 1);
    let mut end = payload;
    for _ in 0..3 {
        let next = end + 1 + part(end + 1);
        if byte_at(text, end) != b'.' || (next == end + 1 && byte_at(text, next) != b'.') {
            break;
        }
        end = next;
    }
    let is_token = header - at >= 12 && (text[header + 1..].starts_with(b"eyJ") || end > payload + 16);
    let cut_off = open && end == text.len();
    (is_token || cut_off).then_some((at, end))
}

/// The id of a bot, a time and a signature with dots between them.
pub(super) fn discord(text: &[u8], at: usize, open: bool) -> Option<Place> {
    if !chars::starts_word(text, at) || !matches!(text[at], b'M' | b'N' | b'O') {
        return None;
    }
    let id = chars::run(text, at, base64_url, 30);
    let time = at + id + 1;
    if !(22..=28).contains(&id) || byte_at(text, at + id) != b'.' {
        return None;
    }
    let signature = time + chars::run(text, time, base64_url, 8) + 1;
    let end = signature + chars::run(text, signature, base64_url, 64);
    if open && (signature > text.len() || end == text.len()) {
        return Some((at, text.len()));
    }
    let fits = (6..=8).contains(&(signature - time)) && byte_at(text, signature - 1) == b'.';
    (fits && end - signature >= 25).then_some((at, end))
}

/// The id of a bot, a colon and 35 bytes, of which the first two are `AA` as yet.
pub(super) fn telegram(text: &[u8], at: usize, open: bool) -> Option<Place> {
    let digits = chars::run_before(text, at, |byte| byte.is_ascii_digit(), 13);
    let start = at - digits;
    let known = chars::starts_word(text, start) || text[..start].ends_with(b"bot");
    if !(6..=12).contains(&digits) || !known || !text[at + 1..].starts_with(b"AA") {
        return None;
    }
    telegram_end(text, at, 33, open).map(|end| (start, end))
}

/// The same in the address of the API, where it may be of any form.
pub(super) fn telegram_url(text: &[u8], at: usize, open: bool) -> Option<Place> {
    let start = at + "/bot".len();
    let digits = chars::run(text, start, |byte| byte.is_ascii_digit(), 13);
    let colon = start + digits;
    if !(5..=12).contains(&digits) || byte_at(text, colon) != b':' {
        return None;
    }
    telegram_end(text, colon, 25, open).map(|end| (start, end))
}

fn telegram_end(text: &[u8], colon: usize, least: usize, open: bool) -> Option<usize> {
    let length = chars::run(text, colon + 1, base64_url, 64);
    let end = colon + 1 + length;
    ((least..=50).contains(&length) || open && end == text.len()).then_some(end)
}

/// A client secret: three bytes, a digit, `Q~`, and 31 to 34 bytes.
pub(super) fn azure_secret(text: &[u8], at: usize, open: bool) -> Option<Place> {
    if !byte_at(text, at).is_ascii_digit() || !text[at + 1..].starts_with(b"Q~") {
        return None;
    }
    let start = at - chars::run_before(text, at, azure, 3);
    let length = chars::run(text, at + 3, azure, 40);
    let end = at + 3 + length;
    ((31..40).contains(&length) || open && end == text.len() && length < 40).then_some((start, end))
}

/// The keys of services whose form Microsoft calls common annotated: 52 bytes, `JQQJ9`, and a checksum.
pub(super) fn azure_key(text: &[u8], at: usize, open: bool) -> Option<Place> {
    if !text[at..].starts_with(b"JQQJ9") {
        return None;
    }
    let start = at - chars::run_before(text, at, alphanumeric, 60);
    let end = at + chars::run(text, at, base64, 64);
    (at - start >= 40 && (end - at >= 24 || open && end == text.len())).then_some((start, end))
}

/// The secret path of an address that takes messages: Slack's and Discord's.
pub(super) fn webhook(text: &[u8], at: usize, open: bool) -> Option<Place> {
    let path = |byte: u8| base64_url(byte) || byte == b'/';
    let rest = &text[at..];
    if rest.starts_with(b"hooks.slack.com/") || rest.starts_with(b"hooks.slack-gov.com/") {
        let host = at + chars::run(text, at, |byte| byte != b'/', 24) + 1;
        let kind = host + chars::run(text, host, |byte| byte != b'/', 16) + 1;
        let end = kind.min(text.len()) + chars::run(text, kind, path, 256);
        return (end.saturating_sub(kind) >= 20 || open && end == text.len() && end > kind)
            .then_some((kind, end));
    }
    if !rest.starts_with(b"/webhooks/") {
        return None;
    }
    let id = at + "/webhooks/".len();
    let digits = chars::run(text, id, |byte| byte.is_ascii_digit(), 24);
    let start = id + digits + 1;
    let length = chars::run(text, start, base64_url, 256);
    let fits = digits >= 15 && byte_at(text, start - 1) == b'/';
    (fits && (length >= 40 || open && start + length == text.len() && length > 0))
        .then_some((start, start + length))
}

/// `Bearer` or `Basic` and a credential, wherever they stand.
pub(super) fn scheme(text: &[u8], at: usize, open: bool) -> Option<Place> {
    if !chars::starts_word(text, at) {
        return None;
    }
    let scheme = pairs::scheme_length(&text[at..text.len().min(at + 64)]);
    let start = at + scheme;
    let end = start + chars::run(text, start, token68, usize::MAX);
    let credential = &text[start..end];
    if scheme == 0 || credential.is_empty() {
        return None;
    }
    let is_basic = text[at].eq_ignore_ascii_case(&b'b') && text[at + 1].eq_ignore_ascii_case(&b'a');
    let known = if is_basic { is_user_and_password(credential) } else { values::is_random(credential, 12) };
    let cut_off = open && end == text.len() && credential.iter().any(u8::is_ascii_digit);
    (known || cut_off).then_some((start, end))
}

/// Returns whether this is base64 of a user, a colon and a password (RFC 7617).
fn is_user_and_password(credential: &[u8]) -> bool {
    if credential.len() < 6 || credential.len() > 1024 || !credential.iter().all(|byte| base64(*byte)) {
        return false;
    }
    let mut text = Vec::with_capacity(credential.len());
    let (mut bits, mut count) = (0_u32, 0);
    for byte in credential.iter().filter(|byte| **byte != b'=') {
        bits = bits << 6 | u32::from(sextet(*byte));
        count += 6;
        if count >= 8 {
            count -= 8;
            text.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    text.contains(&b':') && text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
}

fn sextet(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(look: fn(&[u8], usize, bool) -> Option<Place>, text: &str, anchor: &str) -> Option<String> {
        let at = text.find(anchor).expect("the anchor is in the text");
        look(text.as_bytes(), at, false).map(|(start, end)| text[start..end].to_owned())
    }

    #[test]
    fn tokens_of_three_parts_are_found() {
        let header = "eyJhbGciOiJIUzI1NiJ9";
        let token = format!("{header}.eyJzdWIiOiIxIn0.c2lnbmF0dXJl");
        assert_eq!(found(jwt, &format!("x={token}."), "eyJ"), Some(token.clone()));
        assert_eq!(found(jwt, &format!("a{token}"), "eyJ"), None);
        assert_eq!(found(jwt, header, "eyJ"), None);
        assert_eq!(found(jwt, "eyJhbGciOiJIUzI1NiJ9.map", "eyJ"), None);
    }

    #[test]
    fn credentials_of_schemes_are_known_from_prose() {
        assert_eq!(found(scheme, "Basic dXNlcjpwYXNz", "Basic"), Some("dXNlcjpwYXNz".into()));
        for text in ["basic authentication", "basic auth", "Basic Usage"] {
            assert_eq!(found(scheme, text, &text[..5]), None, "{text}");
        }
        assert_eq!(found(scheme, "bearer 9f86d081884c7d65 x", "bearer"), Some("9f86d081884c7d65".into()));
        for text in ["bearer of bad news", "bearer authentication", "bearer token-expired-1"] {
            assert_eq!(found(scheme, text, "bearer"), None, "{text}");
        }
    }

    #[test]
    fn webhooks_lose_their_path() {
        let text = "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx";
        assert_eq!(
            found(webhook, text, "hooks"),
            Some("T00000000/B00000000/abcdefghijklmnopqrstuvwx".into())
        );
        assert_eq!(found(webhook, "POST /webhooks/stripe 200", "/webhook"), None);
    }
}
