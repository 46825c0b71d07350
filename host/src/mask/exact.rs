//! Secrets that are known by value, in the forms in which programs print them.
//!
//! A value with several lines is looked for line by line, since a log is read so. A value that is a common word, a
//! number, a path or a host is not looked for: it would be found where it is no secret.

use super::rules::Secret;
use super::{urls, values};
use crate::bounds;

/// Returns the forms in which a secret is looked for, longest first.
pub(super) fn forms(secret: &Secret) -> Vec<Vec<u8>> {
    let value = secret.value.trim_ascii();
    let value = &value[..value.len().min(bounds::MASK_SECRET_BYTES)];
    if values::is_common(value) {
        return Vec::new();
    }
    let mut forms: Vec<Vec<u8>> =
        value.split(|byte| *byte == b'\n').map(|line| line.trim_ascii().to_vec()).collect();
    let whole = [vec![value.to_vec()], password(value)].concat();
    for value in &whole {
        let many_lines = value.contains(&b'\n');
        if !many_lines {
            forms.push(value.clone());
        }
        forms.push(percent(value, b"0123456789ABCDEF"));
        forms.push(percent(value, b"0123456789abcdef"));
        forms.push(json(value));
        for alphabet in [STANDARD, URL_SAFE] {
            forms.extend((0..3).map(|offset| base64(value, offset, alphabet)));
        }
    }
    // Lines of PEM are no secrets of their own, and neither is what is short or common.
    forms.retain(|form| {
        form.len() >= bounds::MASK_SECRET_LEAST
            && !form.contains(&b'\n')
            && !form.starts_with(b"-----")
            && !values::is_common(form)
    });
    forms.sort_by(|one, two| two.len().cmp(&one.len()).then_with(|| one.cmp(two)));
    forms.dedup();
    forms
}

/// Returns the password of a value that is an address.
fn password(value: &[u8]) -> Vec<Vec<u8>> {
    let address = memchr::memmem::find(value, b"://").map(|at| at + 3);
    let place = address.and_then(|at| urls::password(value, at, false));
    place
        .map(|(start, end)| value[start..end].to_vec())
        .filter(|password| !values::is_common(password))
        .into_iter()
        .collect()
}

/// Encodes as part of a URL (RFC 3986, section 2).
fn percent(value: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(value.len());
    for byte in value {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(*byte);
        } else {
            encoded.extend([b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
    }
    encoded
}

/// Escapes as in a string of JSON (RFC 8259, section 7).
fn json(value: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(value.len());
    for byte in value {
        match byte {
            b'"' => escaped.extend(b"\\\""),
            b'\\' => escaped.extend(b"\\\\"),
            b'\n' => escaped.extend(b"\\n"),
            b'\r' => escaped.extend(b"\\r"),
            b'\t' => escaped.extend(b"\\t"),
            _ => escaped.push(*byte),
        }
    }
    escaped
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Returns the part of the base64 of a text that does not depend on its neighbours, where the value stands in it at a
/// place of which the remainder by three is `offset`: `user:password` has the password somewhere.
fn base64(value: &[u8], offset: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let padded: Vec<u8> = std::iter::repeat_n(0, offset).chain(value.iter().copied()).collect();
    let encoded = padded.chunks(3).flat_map(|bytes| {
        let bits =
            bytes.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - bytes.len()));
        // Only those characters of which all six bits are the value's.
        let whole = bytes.len() * 8 / 6;
        (0..whole).map(move |place| alphabet[(bits >> (18 - 6 * place)) as usize & 63])
    });
    encoded.skip((offset * 8).div_ceil(6)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(value: &str) -> Vec<String> {
        forms(&Secret::new("X", value))
            .into_iter()
            .map(|form| String::from_utf8(form).expect("values of text have forms of text"))
            .collect()
    }

    #[test]
    fn forms_are_those_programs_print() {
        let forms = texts("hunter2 \"x/y\"");
        for form in
            ["hunter2 \"x/y\"", "hunter2%20%22x%2Fy%22", "hunter2%20%22x%2fy%22", "hunter2 \\\"x/y\\\""]
        {
            assert!(forms.contains(&form.to_owned()), "{form} in {forms:?}");
        }
        // echo -n 'hunter2 "x/y"' | base64, without its last character, which depends on what follows.
        assert!(forms.contains(&"aHVudGVyMiAieC95I".to_owned()), "{forms:?}");
    }

    #[test]
    fn lines_are_looked_for_one_by_one() {
        let forms = texts("first-line-7\nshort\nsecond-line-8");
        assert!(forms.contains(&"first-line-7".to_owned()) && forms.contains(&"second-line-8".to_owned()));
        assert!(!forms.contains(&"short".to_owned()) && forms.iter().all(|form| !form.contains('\n')));
    }

    #[test]
    fn addresses_give_their_password() {
        assert!(texts("postgres://app:hunter2hunter2@db/shop").contains(&"hunter2hunter2".to_owned()));
    }

    #[test]
    fn common_and_short_values_have_no_forms() {
        for value in ["", "short", "production", "/var/lib/app/x", "12345678901", "db.internal.example:5432"]
        {
            assert!(texts(value).is_empty(), "{value}");
        }
    }
}
