//! Regular expressions over lines, made so that many lines can be searched as one haystack.
//!
//! Packed text separates lines by '\n'. Three changes to an expression make a search over it give the same lines as
//! one search for each line, because no line holds a '\n':
//!
//! - nothing matches a '\n', so a match never leaves its line, and never makes the next search start over;
//! - `\A`, `\z` and plain `^`, `$` mean the borders of a line;
//! - what looks around sees a '\n' where it would see the end of the haystack, and both are no word character.
//!
//! Only the CRLF mode `(?R)` tells a '\n' from the end; expressions with it are searched line by line.

use std::fmt;
use std::ops::Range;

use memchr::memmem::Finder;
use regex_automata::{Input, meta};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look,
};

use super::literal;

/// Longest expression, in bytes.
const PATTERN_BYTES: usize = 4 << 10;
/// Most memory of a compiled expression, in bytes.
const COMPILED_BYTES: usize = 4 << 20;
/// Deepest nesting of an expression.
const NESTING: u32 = 100;
/// Lines that hold the text a match needs, and do not match, before the engine is left to search alone.
const MISSES: usize = 16;

/// A regular expression that lines are held against, in the syntax of the `regex` crate.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    regex: meta::Regex,
    /// Many lines may be searched at once.
    packed: bool,
    /// Finds a text that each match holds, where that is a better guess than how a match begins.
    needed: Option<Box<Finder<'static>>>,
}

/// Why a text is not a regular expression that can be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidPattern {
    #[error("not a regular expression: {0}")]
    Syntax(String),
    #[error("the regular expression is too large: {0}; use fewer or smaller repetitions")]
    TooLarge(String),
}

impl Pattern {
    /// Compiles `text`; `(?i)` at its beginning makes it ignore case.
    ///
    /// # Errors
    /// When it is not a regular expression, or one that would take too much memory.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        if text.len() > PATTERN_BYTES {
            let reason = format!("{} bytes where {PATTERN_BYTES} are allowed", text.len());
            return Err(InvalidPattern::TooLarge(reason));
        }
        let hir = ParserBuilder::new()
            .utf8(false)
            .nest_limit(NESTING)
            .build()
            .parse(text)
            .map_err(|error| InvalidPattern::Syntax(error.to_string()))?;
        let looks = hir.properties().look_set();
        // These see beyond a line's border, the last where a line begins or ends with bytes that are not UTF-8.
        let borderless = [Look::StartCRLF, Look::EndCRLF, Look::WordUnicodeNegate];
        let packed = !borderless.into_iter().any(|look| looks.contains(look));
        let config = meta::Config::new().utf8_empty(false).nfa_size_limit(Some(COMPILED_BYTES));
        let hir = within_a_line(hir, packed);
        let needed = literal::needed(&hir).map(|text| Box::new(Finder::new(&text).into_owned()));
        let regex = meta::Builder::new()
            .configure(config)
            .build_from_hir(&hir)
            .map_err(|error| InvalidPattern::TooLarge(error.to_string()))?;
        Ok(Self { text: text.into(), regex, packed, needed })
    }

    /// Returns the expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the expression matches somewhere in `line`, which has no line end.
    pub fn is_match(&self, line: &[u8]) -> bool {
        self.regex.is_match(line)
    }

    /// Returns whether [`Pattern::find_packed`] may be used.
    pub(super) fn is_packed(&self) -> bool {
        self.packed
    }

    /// Returns a place in the first line that matches, at or after the line that begins at `from`.
    pub(super) fn find_packed(&self, text: &[u8], mut from: usize) -> Option<usize> {
        let search = |range: Range<usize>| {
            let input = Input::new(text).range(range).earliest(true);
            self.regex.search_half(&input).map(|half| half.offset())
        };
        if let Some(needed) = &self.needed {
            for _ in 0..MISSES {
                let place = from + needed.find(text.get(from..)?)?;
                let start = memchr::memrchr(b'\n', &text[from..place]).map_or(from, |end| from + end + 1);
                let end = memchr::memchr(b'\n', &text[place..]).map_or(text.len(), |end| place + end);
                if let Some(found) = search(start..end) {
                    return Some(found);
                }
                from = end + 1;
            }
        }
        if from > text.len() { None } else { search(from..text.len()) }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

/// Returns the expression without matches of '\n', without groups, and with `borders` of the haystack made borders of
/// a line. Recursion is bounded by the parser's nesting limit.
fn within_a_line(hir: Hir, borders: bool) -> Hir {
    let each = |subs: Vec<Hir>| subs.into_iter().map(|sub| within_a_line(sub, borders)).collect();
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if literal.0.contains(&b'\n') => Hir::fail(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(Class::Unicode(mut class)) => {
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(Class::Bytes(mut class)) => {
            class.difference(&ClassBytes::new([ClassBytesRange::new(b'\n', b'\n')]));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Look(Look::Start) if borders => Hir::look(Look::StartLF),
        HirKind::Look(Look::End) if borders => Hir::look(Look::EndLF),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(repetition) => {
            let sub = within_a_line((*repetition.sub).clone(), borders);
            Hir::repetition(repetition.with(sub))
        }
        HirKind::Capture(capture) => within_a_line(*capture.sub, borders),
        HirKind::Concat(subs) => Hir::concat(each(subs)),
        HirKind::Alternation(subs) => Hir::alternation(each(subs)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the lines found by searching all of them as one haystack.
    fn packed(pattern: &Pattern, lines: &[Vec<u8>]) -> Vec<usize> {
        let text: Vec<u8> = lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
        let mut found = Vec::new();
        let (mut from, mut index) = (0, 0);
        while from < text.len() {
            let Some(place) = pattern.find_packed(&text, from) else { break };
            while from + lines[index].len() < place {
                from += lines[index].len() + 1;
                index += 1;
                if index == lines.len() {
                    return found;
                }
            }
            found.push(index);
            from += lines[index].len() + 1;
            index += 1;
        }
        found
    }

    fn one_by_one(pattern: &str, lines: &[Vec<u8>]) -> Vec<usize> {
        let regex = regex::bytes::Regex::new(pattern).unwrap();
        (0..lines.len()).filter(|&index| regex.is_match(&lines[index])).collect()
    }

    const PATTERNS: [&str; 31] = [
        r"[ax]*abc",
        r"^\w?abcx$",
        r"x+(?:bab)+\b",
        "a",
        "^a",
        "a$",
        "^$",
        "",
        "a*",
        r"a\s+b",
        r"[^a]b",
        "(?s)a.*b",
        r"\Aab",
        r"ab\z",
        r"\bb",
        r"b\b",
        r"\B",
        r"a\nb|c",
        r"(a\n)?c",
        "(?m)^b$",
        "(?-u)[^a]$",
        "(?i)B+",
        "x|^b|c$",
        r"\W",
        r"\n",
        r"\n*",
        "(?m)^|a",
        r"(?-u:\b)c",
        r"\b{start}a",
        "ä|b",
        r"\PL$",
    ];

    proptest! {
        #[test]
        fn one_haystack_gives_the_same_lines_as_one_search_each(
            which in 0..PATTERNS.len(),
            lines in prop::collection::vec(prop::collection::vec(
                prop::sample::select(b"aabbcx \r\0\xc3\xa4\xff".to_vec()), 0..7), 0..40),
        ) {
            let pattern = Pattern::new(PATTERNS[which]).unwrap();
            prop_assert_eq!(pattern.is_packed(), PATTERNS[which] != r"\B");
            let expected = one_by_one(PATTERNS[which], &lines);
            if pattern.is_packed() {
                prop_assert_eq!(packed(&pattern, &lines), expected.clone(), "packed {}", PATTERNS[which]);
            }
            let single: Vec<_> = (0..lines.len()).filter(|&index| pattern.is_match(&lines[index])).collect();
            prop_assert_eq!(single, expected, "single {}", PATTERNS[which]);
        }
    }

    #[test]
    fn crlf_mode_is_left_to_single_lines() {
        let pattern = Pattern::new("(?Rm)b$").unwrap();
        assert!(!pattern.is_packed());
        let regex = regex::bytes::Regex::new("(?Rm)b$").unwrap();
        for line in ["ab", "ab\r", "ab\rc", "abc", "\rb", ""] {
            assert_eq!(pattern.is_match(line.as_bytes()), regex.is_match(line.as_bytes()), "{line:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_large_ones_are_refused() {
        let error = Pattern::new("a(b").unwrap_err().to_string();
        assert!(error.contains("unclosed group"), "{error}");
        assert!(matches!(Pattern::new(r"(\w{500}){500}"), Err(InvalidPattern::TooLarge(_))));
        assert!(matches!(Pattern::new(&"a".repeat(5000)), Err(InvalidPattern::TooLarge(_))));
        assert!(matches!(Pattern::new(&"(".repeat(2000)), Err(InvalidPattern::Syntax(_))));
    }
}
