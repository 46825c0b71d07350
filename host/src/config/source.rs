//! Owns the way from a byte of a TOML file to the line, column and excerpt that people see.
//!
//! Excerpts are cut to a width, free of control characters, and masked where they may hold a secret.

use std::ops::Range;
use std::path::Path;

use super::error::{Excerpt, Problem};

/// Widest excerpt, in characters; longer lines are cut around the place.
const EXCERPT_WIDTH: usize = 100;

/// Words in a line that make its values secrets.
const SECRET_WORDS: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "private_key",
    "credential",
    "auth",
];

/// A file that is being read: its name for messages, and its text.
#[derive(Clone, Copy)]
pub(super) struct Source<'t> {
    pub path: &'t Path,
    pub text: &'t str,
}

impl<'t> Source<'t> {
    /// Returns a problem at these bytes of the text.
    pub(super) fn problem(&self, span: Range<usize>, message: impl Into<String>) -> Problem {
        let start = floor_char_boundary(self.text, span.start);
        let end = floor_char_boundary(self.text, span.end).max(start);
        let (line, column) = self.position(start);
        Problem {
            path: self.path.to_owned(),
            line,
            column,
            message: message.into(),
            hint: None,
            excerpt: Some(self.excerpt(start, end)),
        }
    }

    /// Returns the line and column of a byte, in characters, counted from 1.
    pub(super) fn position(&self, byte: usize) -> (u32, u32) {
        let before = &self.text[..floor_char_boundary(self.text, byte)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        let column = 1 + before[line_start..].chars().count();
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }

    /// Returns the bytes of the contents of a string when it is written without escapes, so that a place in the
    /// string is a place in the file.
    pub(super) fn contents(&self, span: Range<usize>, value: &str) -> Option<Range<usize>> {
        let raw = self.text.get(span.clone())?;
        let inner = raw.len().checked_sub(2)?;
        let quoted = raw.starts_with(['"', '\'']) && raw.get(1..=inner) == Some(value);
        quoted.then(|| span.start + 1..span.end - 1)
    }

    fn excerpt(&self, start: usize, end: usize) -> Excerpt {
        let line_start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |newline| start + newline);
        let line = self.text[line_start..line_end].trim_end_matches('\r');
        let shown: Vec<char> = if self.may_hold_a_secret(line_start, line) {
            masked(line).chars().collect()
        } else {
            line.chars().collect()
        };
        let caret = self.text[line_start..start].chars().count().min(shown.len());
        let width = self.text[start..end.min(line_end).max(start)].chars().count();
        let first = caret.saturating_sub(EXCERPT_WIDTH / 2);
        let text: String = shown[first..].iter().take(EXCERPT_WIDTH).map(|c| printable(*c)).collect();
        let length = width.min(text.chars().count().saturating_sub(caret - first)).max(1);
        Excerpt { text, start: caret - first, length }
    }

    /// Errs on the side of caution: also lines that cannot be parsed are judged, by the table they seem to be in.
    fn may_hold_a_secret(&self, line_start: usize, line: &str) -> bool {
        let lower = line.to_ascii_lowercase();
        // The user's part of a URL.
        let url = lower.split("://").skip(1).any(|rest| rest.contains('@'));
        if url || SECRET_WORDS.iter().any(|word| lower.contains(word)) || opens_values(&lower) {
            return true;
        }
        let section_start = self.text[..line_start]
            .match_indices('[')
            .map(|(at, _)| at)
            .rfind(|at| self.text[..*at].ends_with('\n') || *at == 0)
            .unwrap_or(0);
        let section = &self.text[section_start..line_start];
        let header = section.lines().next().unwrap_or_default();
        let in_table = header.starts_with('[')
            && [".env]", ".config]", ".config.", ".\"env\"]"].iter().any(|end| header.contains(end));
        in_table || is_inside_values(section)
    }
}

/// Tells whether the lines end within an `env = {` or `env.X = """` of several lines.
fn is_inside_values(lines: &str) -> bool {
    let mut closed_by = None;
    for line in lines.lines() {
        let count = |mark: &str| line.matches(mark).count();
        match closed_by {
            Some("}") if count("}") > count("{") => closed_by = None,
            Some(quote) if quote != "}" && count(quote) > 0 => closed_by = None,
            Some(_) => {}
            None if !opens_values(line) => {}
            None if count("{") > count("}") => closed_by = Some("}"),
            None => closed_by = ["\"\"\"", "'''"].into_iter().find(|quote| count(quote) % 2 == 1),
        }
    }
    closed_by.is_some()
}

/// Tells whether a line has an `env =` or `config =` in it, the keys whose tables hold anything.
fn opens_values(line: &str) -> bool {
    ["env", "config"].iter().any(|key| {
        line.match_indices(key).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + key.len()..].trim_start_matches(['"', '\'']).trim_start();
            !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
                && (after.starts_with('=') || after.starts_with('.'))
        })
    })
}

/// Hides everything after the first `=` but the punctuation of TOML; a line without one is hidden whole.
fn masked(line: &str) -> String {
    let values = line.find('=').unwrap_or(0);
    line.char_indices()
        .map(|(at, c)| if at < values || " \t=,{}[]\"'".contains(c) { c } else { '*' })
        .collect()
}

/// Tabs become single blanks, so that carets stand right; control characters must not reach a terminal.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// Returns foreign text for use in a message: short and without control characters.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(80).map(printable).collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}

/// Returns the nearest start of a character at or before `index`.
fn floor_char_boundary(text: &str, index: usize) -> usize {
    let index = index.min(text.len());
    (0..=index).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn excerpt(text: &str, at: &str) -> String {
        let start = text.find(at).unwrap();
        let source = Source { path: Path::new("ostler.toml"), text };
        source.problem(start..start + at.len(), "here").excerpt.unwrap().text
    }

    #[test]
    fn places_count_characters_from_one() {
        let source = Source { path: Path::new("x"), text: "a\né = 5\n" };
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position("a\né ".len()), (2, 3));
        assert_eq!(source.position(1000), (3, 1));
    }

    #[test]
    fn values_that_may_be_secret_are_masked() {
        assert_eq!(excerpt("DB_PASSWORD = \"hunter2\"", "DB"), "DB_PASSWORD = \"*******\"");
        assert_eq!(excerpt("[process.a.env]\nX = 'hunter2", "X"), "X = '*******");
        assert_eq!(excerpt("env = { X = 12, Y = [3] }", "Y"), "env = { * = **, * = [*] }");
        assert_eq!(excerpt("env = {\n  X = 12,\n  Y = [34] }", "Y"), "  Y = [**] }");
        assert_eq!(excerpt("env.X = \"\"\"\nhunter2", "hunter2"), "*******");
        assert_eq!(excerpt("env.X = \"\"\"\n{}\nhunter2", "hunter2"), "*******");
        assert_eq!(excerpt("[process.a]\nenv = { X = 1 }\ncwd = 5", "5"), "cwd = 5");
    }

    #[test]
    fn excerpts_are_cut_and_printable() {
        let long = format!("{}x{}", "-".repeat(500), "-".repeat(500));
        assert_eq!(excerpt(&long, "x").chars().count(), EXCERPT_WIDTH);
        assert_eq!(excerpt("a\t\u{1b}[31m", "a"), "a \u{fffd}[31m");
    }

    proptest! {
        #[test]
        fn any_span_of_any_text_has_a_place(text in "(?s).{0,60}", start in 0usize..80, end in 0usize..80) {
            let source = Source { path: Path::new("x"), text: &text };
            let problem = source.problem(start..end, "here");
            prop_assert!(problem.line >= 1 && problem.column >= 1);
            let _ = problem.to_string();
        }
    }
}
