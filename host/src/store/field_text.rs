//! The fields in a line's text: those of a JSON object in it, and pairs `key=value` beside it.
//!
//! Pure, takes time proportional to the text, and never fails: what is neither has no fields. JSON is read as it goes
//! by, without building it, and no further than to the value that is looked for.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::quantity::Quantity;

/// A value of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    /// A text, also `true`, `false` and `null`.
    Text(&'a str),
    Number(Quantity),
    /// An object or a list, whose parts have names or are values of their own.
    Nested,
}

/// Returns whether `test` holds for one of the values that `key` has in `line`.
///
/// In JSON a dot in the key leads into an object, or stands in a key itself; of a list each element counts.
pub(super) fn any_value(line: &str, key: &str, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    let Some((before, object, after)) = json_part(line) else { return any_pair(line, key, test) };
    let mut seek = Seek { test, found: false };
    let read = seek.read(object, key);
    if seek.found {
        return true;
    }
    match read {
        Ok(()) => any_pair(before, key, test) || any_pair(after, key, test),
        Err(_) => any_pair(line, key, test),
    }
}

/// Returns the text of the first of `keys` that has one in the line; for those who want what a line says.
pub fn field_of(line: &str, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| {
        let mut found = None;
        any_value(line, key, &mut |value| match value {
            Value::Text(text) => {
                found = Some(text.to_owned());
                true
            }
            _ => false,
        });
        found
    })
}

/// Divides a line into what stands before a JSON object, the object, and what stands behind it.
fn json_part(line: &str) -> Option<(&str, &str, &str)> {
    let is_object = |at: &usize| line[at + 1..].trim_start().starts_with(['"', '}']);
    let begin = line.match_indices('{').map(|(at, _)| at).find(is_object)?;
    let end = line.rfind('}').filter(|end| *end > begin)? + 1;
    Some((&line[..begin], &line[begin..end], &line[end..]))
}

/// A search through JSON for the values of one key.
struct Seek<'t> {
    test: &'t mut dyn FnMut(Value<'_>) -> bool,
    found: bool,
}

impl Seek<'_> {
    /// Looks through an object; an error says that it is none, or that the rest need not be read.
    fn read(&mut self, object: &str, key: &str) -> serde_json::Result<()> {
        let mut json = serde_json::Deserializer::from_str(object);
        Below { seek: self, path: key }.deserialize(&mut json)?;
        json.end()
    }

    fn test<E: Error>(&mut self, value: Value<'_>) -> Result<(), E> {
        self.found = (self.test)(value);
        if self.found { Err(E::custom("found")) } else { Ok(()) }
    }
}

/// A value, and what of the key is still to be found in it; nothing once it is the key's.
struct Below<'s, 't, 'k> {
    seek: &'s mut Seek<'t>,
    path: &'k str,
}

impl Below<'_, '_, '_> {
    /// Tests a value without parts, when it is the key's.
    fn plain<E: Error>(self, value: Value<'_>) -> Result<(), E> {
        if self.path.is_empty() { self.seek.test(value) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Below<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Below<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.plain(Value::Text(if value { "true" } else { "false" }))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.plain(Value::Text("null"))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.plain(Value::Number(Quantity::Whole(value.into())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.plain(Value::Number(Quantity::Whole(value.into())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.plain(Value::Number(Quantity::Real(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.plain(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        if self.path.is_empty() {
            self.seek.test(Value::Nested)?;
        }
        while elements.next_element_seed(Below { seek: self.seek, path: self.path })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        if self.path.is_empty() {
            self.seek.test(Value::Nested)?;
        }
        while let Some(rest) = entries.next_key_seed(Name(self.path))? {
            match rest {
                Some(path) => entries.next_value_seed(Below { seek: self.seek, path })?,
                None => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Reads the name of an entry and returns what of the path is left behind it; nothing when it is another one.
struct Name<'k>(&'k str);

impl<'de, 'k> DeserializeSeed<'de> for Name<'k> {
    type Value = Option<&'k str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'k> Visitor<'_> for Name<'k> {
    type Value = Option<&'k str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the name of an entry")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        // Nothing is looked for in what already is the key's.
        let rest = self.0.strip_prefix(name).filter(|_| !self.0.is_empty());
        Ok(rest.and_then(|rest| if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }))
    }
}

/// Returns whether `test` holds for the value of a pair `key=value` in `text`.
fn any_pair(text: &str, key: &str, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    let mut pairs = Pairs { text, at: 0, open: [false; 2] };
    while let Some((name, value)) = pairs.next_pair() {
        if name == key && test(Value::Text(&value)) {
            return true;
        }
    }
    false
}

/// The pairs of a text, from the first to the last. What is in quotes is a value as a whole, so that words within a
/// message are none.
struct Pairs<'a> {
    text: &'a str,
    at: usize,
    /// A double, or a single quote was found to have no other end: from then on they are letters, so that no byte is
    /// looked at again and again.
    open: [bool; 2],
}

impl<'a> Pairs<'a> {
    fn next_pair(&mut self) -> Option<(&'a str, Cow<'a, str>)> {
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() {
            let begin = self.at;
            let end = end_of_key(bytes, begin);
            let is_pair = end > begin
                && bytes.get(end) == Some(&b'=')
                // `a == b` and `a => b` are code.
                && !matches!(bytes.get(end + 1), Some(b'=' | b'>' | b'~'));
            if is_pair {
                let value = self.value(end + 1);
                return Some((&self.text[begin..end], value));
            }
            // A key begins where a word does.
            let gap = bytes[end..].iter().position(|byte| is_gap(*byte));
            self.at = gap.map_or(bytes.len(), |gap| end + gap + 1);
        }
        None
    }

    /// Returns the value that begins at `begin`, and goes on behind it.
    fn value(&mut self, begin: usize) -> Cow<'a, str> {
        let text = self.text;
        let quote = text.as_bytes().get(begin).copied();
        if let Some((quote, kind)) = quote.and_then(|quote| Some((quote, kind_of(quote)?)))
            && !self.open[kind]
        {
            match end_of_quoted(text.as_bytes(), begin + 1, quote) {
                Some(end) => {
                    self.at = end + 1;
                    return unescaped(&text[begin + 1..end]);
                }
                None => self.open[kind] = true,
            }
        }
        let end = end_of_bare(text.as_bytes(), begin);
        self.at = end;
        Cow::Borrowed(trimmed(&text[begin..end]))
    }
}

fn end_of_key(bytes: &[u8], begin: usize) -> usize {
    let is_key =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@' | 0x80..);
    begin + bytes[begin..].iter().take_while(|byte| is_key(byte)).count()
}

/// Returns whether a pair may begin behind this byte.
fn is_gap(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b';' | b'(' | b'[' | b'{' | b'|' | b'"' | b'\'')
}

fn kind_of(quote: u8) -> Option<usize> {
    [b'"', b'\''].iter().position(|known| *known == quote)
}

fn end_of_quoted(bytes: &[u8], begin: usize, quote: u8) -> Option<usize> {
    let mut at = begin;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            byte if *byte == quote => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// A value without quotes ends at a blank, or at a comma behind which the next pair begins.
fn end_of_bare(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin;
    while let Some(byte) = bytes.get(at) {
        match byte {
            byte if byte.is_ascii_whitespace() => return at,
            b',' | b';' => {
                let next = end_of_key(bytes, at + 1);
                if next > at + 1 && bytes.get(next) == Some(&b'=') {
                    return at;
                }
                // What may be part of a key holds no comma.
                at = next;
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Takes off what belongs to the sentence or list around a value, and not to the value.
fn trimmed(value: &str) -> &str {
    let [round, square, curly] = ['(', '[', '{'].map(|opening| value.contains(opening));
    let mut value = value;
    loop {
        let Some(last) = value.chars().next_back() else { return value };
        let rest = &value[..value.len() - last.len_utf8()];
        let goes = match last {
            ',' | ';' | '"' | '\'' | '|' => true,
            ')' => !round,
            ']' => !square,
            '}' => !curly,
            '.' => rest.ends_with(|c: char| c.is_ascii_digit()),
            _ => false,
        };
        if !goes {
            return value;
        }
        value = rest;
    }
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, characters.clone().next()) {
            ('\\', Some(escaped @ ('"' | '\'' | '\\'))) => {
                plain.push(escaped);
                characters.next();
            }
            ('\\', Some('n')) => {
                plain.push('\n');
                characters.next();
            }
            ('\\', Some('t')) => {
                plain.push('\t');
                characters.next();
            }
            _ => plain.push(character),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn values(line: &str, key: &str) -> Vec<String> {
        let mut values = Vec::new();
        any_value(line, key, &mut |value| {
            values.push(match value {
                Value::Text(text) => text.to_owned(),
                Value::Number(number) => number.to_string(),
                Value::Nested => "…".to_owned(),
            });
            false
        });
        values
    }

    #[test]
    fn pairs_stand_in_sentences_lists_and_quotes() {
        for (line, key, expected) in [
            ("GET / status=200 in 12 ms", "status", vec!["200"]),
            ("(status=200, ms=3)", "status", vec!["200"]),
            ("(status=200, ms=3)", "ms", vec!["3"]),
            ("a=1,b=2;c=3", "b", vec!["2"]),
            ("n=1,234 m=[1,2]", "n", vec!["1,234"]),
            ("n=1,234 m=[1,2]", "m", vec!["[1,2]"]),
            ("it took ms=3.", "ms", vec!["3"]),
            ("file=a.txt.", "file", vec!["a.txt."]),
            ("msg=\"a \\\"b\\\" c=1\" c=2", "c", vec!["2"]),
            ("msg=\"a \\\"b\\\" c=1\" c=2", "msg", vec!["a \"b\" c=1"]),
            ("msg='a b' c=2", "msg", vec!["a b"]),
            ("msg=\"never closed c=2", "c", vec!["2"]),
            ("k= v=1", "k", vec![""]),
            ("user.id=7", "id", vec![]),
            ("if a==b && c=>d", "a", vec![]),
            ("x?a=1&b=2", "b", vec![]),
            ("a=1 a=2", "a", vec!["1", "2"]),
            ("=5 ==", "", vec![]),
        ] {
            assert_eq!(values(line, key), expected, "{key} in {line}");
        }
    }

    #[test]
    fn json_may_stand_in_a_line_beside_pairs() {
        let line = r#"2026-11-20 INFO level=warn request {"status": 500, "msg": "at status=7"} ms=3"#;
        for (key, expected) in [
            ("status", vec!["500"]),
            ("level", vec!["warn"]),
            ("ms", vec!["3"]),
            ("msg", vec!["at status=7"]),
        ] {
            assert_eq!(values(line, key), expected, "{key}");
        }
        assert_eq!(values("{ not json } a=1", "a"), ["1"]);
        assert_eq!(values(r#"{"a":1, broken} a=2"#, "a"), ["1", "2"]);
        assert_eq!(
            values(r#"{"a":{"b.c":1,"b":{"c":2}},"a.b":{"c":3},"a.b.c":4}"#, "a.b.c"),
            ["1", "2", "3", "4"]
        );
        assert_eq!(values(r#"{"a":[],"b":{}}"#, "a"), ["…"]);
        assert_eq!(values(r#"{"":1}"#, "x"), [""; 0]);
    }

    #[test]
    fn what_a_line_says_is_found_by_the_names_programs_give_it() {
        let keys = ["msg", "message"];
        assert_eq!(field_of(r#"{"level":"info","msg":"up"}"#, &keys).as_deref(), Some("up"));
        assert_eq!(field_of("level=info message=\"two words\"", &keys).as_deref(), Some("two words"));
        assert_eq!(field_of("plain text", &keys), None);
        assert_eq!(field_of(r#"{"msg":5}"#, &keys), None);
    }

    #[test]
    fn hostile_texts_take_no_longer_than_others() {
        let many = |piece: &str| piece.repeat((1 << 20) / piece.len());
        let begun = Instant::now();
        for piece in [
            "a=\"", "a='", "a=\"\\", "a=,", ",b", ",", "=", "{", "{\"a\":", "[", "{\"", "\\\"", "a=)", ")",
            "a=1,b", "x",
        ] {
            let line = many(piece);
            assert!(!any_value(&line, "zz", &mut |_| true), "{piece}");
            any_value(&format!("{{\"zz\":{line}}}"), "zz", &mut |_| false);
            any_value(&format!("zz={line}"), "zz", &mut |_| false);
        }
        // A square of the length would take hours.
        assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(line in "[a-c={}\\[\\]\":,.;'\\\\ \u{e4}\u{1f600}0-9-]{0,120}", key in "[a-c.]{1,4}") {
            values(&line, &key);
        }
    }
}
