//! Private keys in PEM and OpenPGP armour (RFC 7468, RFC 9580): whole blocks, over as many lines as they have.
//!
//! A block begins with its first line and ends with its last, or where several lines in a row are no part of one, or
//! after [`bounds::MASK_KEY_LINES`]: a child that begins one and never ends it hides only what looks like a key.

use memchr::{memchr2, memmem};

use super::chars::{self, base64};
use super::values;
use crate::bounds;

/// Lines in a row that are no part of a key, after which it has ended.
const STRANGE_LINES: u8 = 5;
/// Bytes in a row of base64 that are taken as a piece of the key wherever they stand in a line.
const PIECE: usize = 16;
/// Longest label between `BEGIN` and the dashes behind it.
const LABEL: usize = 64;

/// A block that has begun and not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    lines_left: usize,
    strange: u8,
}

impl Block {
    pub(super) const BEGUN: Self = Self { lines_left: bounds::MASK_KEY_LINES, strange: 0 };
}

/// What the beginning of a private key means for its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The key goes on in the next line.
    pub(super) goes_on: bool,
    /// The key lies in several strings of this line, up to here.
    pub(super) pieces_until: usize,
}

/// Returns what begins at the anchor `-BEGIN` at `at`, if it is a private key. `ends` remembers that no key ends in the
/// rest of the text, so that it is searched once.
pub(super) fn opening(text: &[u8], at: usize, ends: &mut bool) -> Option<Opening> {
    let start = at - chars::run_before(text, at, |byte| byte == b'-', 8);
    if !text[at..].starts_with(b"-BEGIN ") || at - start < 3 {
        return None;
    }
    let body = marker_end(text, at + "-BEGIN".len())?;
    let label = &text[at..body];
    memmem::find(label, b"PRIVATE KEY")?;
    let end = ends
        .then(|| memmem::find(&text[body..], b"--END ").or_else(|| memmem::find(&text[body..], b"-- END ")))
        .flatten();
    if let Some(end) = end.map(|end| body + end) {
        let end = marker_end(text, end + "--END".len()).unwrap_or(text.len());
        let in_strings = memchr2(b'"', b'\'', &text[body..end]).is_some();
        let until = if in_strings { body } else { end };
        return Some(Opening { start, end: until, goes_on: false, pieces_until: end });
    }
    *ends = false;
    let end = body + without_escape(text, body, chars::run(text, body, piece, usize::MAX));
    Some(Opening { start, end, goes_on: true, pieces_until: end })
}

/// Returns the end of the dashes behind a label that begins at `at`.
fn marker_end(text: &[u8], at: usize) -> Option<usize> {
    let label = chars::run(text, at, |byte| byte == b' ' || byte.is_ascii_alphanumeric(), LABEL);
    let dashes = chars::run(text, at + label, |byte| byte == b'-', 8);
    (dashes >= 4).then_some(at + label + dashes)
}

/// Calls `found` for the pieces of the key in a line after its first; returns the block as the next line has it.
pub(super) fn continued(block: Block, text: &[u8], mut found: impl FnMut(usize, usize)) -> Option<Block> {
    if let Some(end) = memmem::find(text, b"-END ").or_else(|| memmem::find(text, b"- END ")) {
        let dashes = chars::run_before(text, end, |byte| byte == b'-', 8);
        let start = end - dashes;
        let start = start - chars::run_before(text, start, piece, usize::MAX);
        pieces(&text[..start], &mut found);
        found(start, marker_end(text, end + "-END".len()).unwrap_or(text.len()));
        return None;
    }
    let is_strange = pieces(text, &mut found) == 0 && !text.trim_ascii().is_empty();
    let strange = if is_strange { block.strange + 1 } else { 0 };
    let lines_left = block.lines_left - 1;
    (strange < STRANGE_LINES && lines_left > 0).then_some(Block { lines_left, strange })
}

/// Calls `found` for the pieces of a key in a text; returns how many there are.
fn pieces(text: &[u8], found: &mut impl FnMut(usize, usize)) -> usize {
    let last = text.trim_ascii_end().len();
    let mut pieces = 0;
    let mut at = 0;
    while at < text.len() {
        let run = chars::run(text, at, piece, usize::MAX);
        let length = without_escape(text, at, run);
        let is_last = at + length == last && !is_ordinary(&text[at..at + length]);
        let is_number = text[at..at + length].iter().all(|byte| chars::number(*byte));
        if !is_number && (length >= PIECE || is_last) {
            found(at, at + length);
            pieces += 1;
        }
        at += run + 1;
    }
    pieces
}

fn is_ordinary(field: &[u8]) -> bool {
    !field.contains(&b'=') && values::is_wordy(field)
}

/// Returns the length of a piece of a key without a backslash at its end, which escapes what follows it.
fn without_escape(text: &[u8], at: usize, run: usize) -> usize {
    run - chars::run_before(text, at + run, |byte| byte == b'\\', run)
}

/// What the lines of a key are made of; a key inside a string has `\n` for its line ends.
fn piece(byte: u8) -> bool {
    base64(byte) || byte == b'\\'
}

/// Returns the end of a key that is encoded as a whole, as in configurations of Kubernetes; `open` says that the text
/// is cut off at its end.
pub(super) fn in_base64(text: &[u8], at: usize, open: bool) -> Option<usize> {
    // Base64 of `-----BEGIN `, and of what follows it in certificates and public keys.
    const BEGIN: &[u8] = b"LS0tLS1CRUdJTi";
    const HARMLESS: [&[u8]; 3] = [b"BDRVJU", b"BQVUJM", b"BSU0EgUFVC"];
    let rest = text[at..].strip_prefix(BEGIN)?;
    if HARMLESS.iter().any(|harmless| rest.starts_with(harmless)) {
        return None;
    }
    let length = chars::run(rest, 0, base64, usize::MAX);
    (length >= 32 || open && length == rest.len()).then_some(at + BEGIN.len() + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Option<Opening> {
        opening(text.as_bytes(), text.find("-BEGIN").expect("a beginning"), &mut true)
    }

    #[test]
    fn keys_in_one_line_are_whole() {
        let text = r#"{"k":"-----BEGIN RSA PRIVATE KEY-----\nMIIE+/=\n-----END RSA PRIVATE KEY-----\n"}"#;
        let found = open(text).expect("a key");
        assert!(!found.goes_on);
        assert_eq!(&text[found.end..], r#"\n"}"#);
        assert_eq!(&text[..found.start], r#"{"k":""#);
        let text = r#"["-----BEGIN PRIVATE KEY-----","MIIEvQIBADANBgkqhkiG","-----END PRIVATE KEY-----"]"#;
        let found = open(text).expect("a key");
        assert_eq!((&text[found.end..found.end + 2], &text[found.pieces_until..]), ("\",", "\"]"));
        assert_eq!(open("-----BEGIN CERTIFICATE-----"), None);
        assert_eq!(open("-BEGIN PRIVATE KEY-"), None);
    }

    #[test]
    fn a_block_ends_with_its_last_line_or_when_it_is_none() {
        let lines = [
            ("web | MIIEpAIBAAKCAQEA7", vec![(6, 23)], true),
            ("web | aB3=", vec![(6, 10)], true),
            ("", vec![], true),
            ("Proc-Type: 4,ENCRYPTED", vec![], true),
            ("-----END PRIVATE KEY----- x", vec![(0, 25)], false),
        ];
        for (line, expected, goes_on) in lines {
            let mut found = Vec::new();
            let next = continued(Block::BEGUN, line.as_bytes(), |start, end| found.push((start, end)));
            assert_eq!((found, next.is_some()), (expected, goes_on), "{line}");
        }
        let mut block = Some(Block::BEGUN);
        let mut lines = 0;
        while let Some(now) = block {
            block = continued(now, b"the server is ready", |_, _| panic!("it is no key"));
            lines += 1;
        }
        assert_eq!(lines, STRANGE_LINES);
    }
}
