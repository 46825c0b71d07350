//! Reads Rust just closely enough to find every path in it: the trees of `use`, and paths written out in code.
//!
//! Owns the lexer and the resolving of `crate`, `self` and `super`. Comments and literals are never taken for code;
//! names that only macros put together are not seen. Knows no rule.

/// A path as it is written, such as `super::wait::describe`, or one leaf of a `use` tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Counted from 1.
    pub line: usize,
    /// The names in order; `*` at the end for a glob. A renaming `as` is left out.
    pub segments: Vec<String>,
    /// Whether it begins with `::`, so that its first name is a crate's.
    pub extern_only: bool,
    /// The modules around it within its file, from `mod tests { … }`.
    pub inside: Vec<String>,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Something in this crate: its path from the crate's root, empty for the root itself.
    Own(Vec<String>),
    /// A name that is a crate's, or a local one.
    Foreign(String),
}

impl Path {
    /// Returns what the path leads to from a file that is the module `file`.
    pub fn target(&self, file: &[String]) -> Target {
        let mut at: Vec<String> = file.iter().chain(&self.inside).cloned().collect();
        let mut rest = self.segments.as_slice();
        match rest.first().map(String::as_str) {
            Some("crate") if !self.extern_only => {
                at.clear();
                rest = &rest[1..];
            }
            Some("self" | "super") if !self.extern_only => {
                while let Some(step @ ("self" | "super")) = rest.first().map(String::as_str) {
                    if step == "super" {
                        at.pop();
                    }
                    rest = &rest[1..];
                }
            }
            first => return Target::Foreign(first.unwrap_or_default().to_owned()),
        }
        // `use crate::{self}` names the root.
        at.extend(rest.iter().filter(|name| *name != "self").cloned());
        Target::Own(at)
    }
}

/// Returns every path in `source`.
pub fn paths(source: &str) -> Vec<Path> {
    let mut parser =
        Parser { tokens: tokens(source), at: 0, depth: 0, modules: Vec::new(), paths: Vec::new() };
    parser.file();
    parser.paths
}

/// Returns whether `source` moves a module to a file of its own choice (`#[path = …]`), or takes in a file as code
/// (`include!`), so that where a file lies does not tell its module.
pub fn hides_its_place(source: &str) -> Option<usize> {
    let tokens = tokens(source);
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    (0..tokens.len())
        .find(|at| {
            (is(*at, "[") && is(at + 1, "path") && is(at + 2, "=")) || (is(*at, "include") && is(at + 1, "!"))
        })
        .map(|at| tokens[at].line)
}

/// Words that may stand before a path and are no part of it.
const KEYWORDS: [&str; 22] = [
    "as", "async", "await", "box", "break", "const", "dyn", "else", "for", "if", "impl", "in", "let",
    "match", "move", "mut", "ref", "return", "static", "unsafe", "where", "while",
];

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    depth: usize,
    /// Modules that are open, with the depth of their braces.
    modules: Vec<(usize, String)>,
    paths: Vec<Path>,
}

impl<'a> Parser<'a> {
    fn file(&mut self) {
        while let Some(text) = self.text(0) {
            match text {
                "use" if self.text(1) != Some("<") => {
                    self.at += 1;
                    let extern_only = self.text(0) == Some("::");
                    self.tree(&[], extern_only);
                }
                "mod" if self.is_name(1) && self.text(2) == Some("{") => {
                    self.modules.push((self.depth, self.text(1).unwrap_or_default().to_owned()));
                    self.depth += 1;
                    self.at += 3;
                }
                "{" => {
                    self.depth += 1;
                    self.at += 1;
                }
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    self.modules.pop_if(|(depth, _)| *depth == self.depth);
                    self.at += 1;
                }
                _ if self.is_name(0) && self.text(1) == Some("::") => self.written_out(false),
                "::" if self.is_name(1) && !self.is_behind_type() => self.written_out(true),
                _ => self.at += 1,
            }
        }
    }

    /// A path in code: names joined by `::`.
    fn written_out(&mut self, extern_only: bool) {
        let line = self.line();
        let mut segments = Vec::new();
        if extern_only {
            self.at += 1;
        }
        while self.is_name(0) {
            segments.push(self.text(0).unwrap_or_default().to_owned());
            self.at += 1;
            if self.text(0) != Some("::") || !self.is_name(1) {
                break;
            }
            self.at += 1;
        }
        self.found(line, segments, extern_only);
    }

    /// One tree of a `use`, behind `prefix`.
    fn tree(&mut self, prefix: &[String], extern_only: bool) {
        let mut segments = prefix.to_vec();
        let mut line = self.line();
        loop {
            match self.text(0) {
                Some("::") => self.at += 1,
                Some("{") => {
                    self.at += 1;
                    while !matches!(self.text(0), Some("}") | None) {
                        self.tree(&segments, extern_only);
                        if self.text(0) == Some(",") {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                Some("as") => self.at += 2,
                Some("*") => {
                    segments.push("*".to_owned());
                    self.at += 1;
                }
                Some(text) if self.is_name(0) => {
                    line = self.line();
                    segments.push(text.to_owned());
                    self.at += 1;
                }
                end => {
                    // Whatever stands here, the parser goes on.
                    if !matches!(end, Some("," | "}" | ";")) {
                        self.at += 1;
                    }
                    self.found(line, segments, extern_only);
                    return;
                }
            }
        }
    }

    fn found(&mut self, line: usize, segments: Vec<String>, extern_only: bool) {
        let inside = self.modules.iter().map(|(_, name)| name.clone()).collect();
        self.paths.push(Path { line, segments, extern_only, inside });
    }

    fn text(&self, ahead: usize) -> Option<&'a str> {
        self.tokens.get(self.at + ahead).map(|token| token.text)
    }

    /// Returns whether a type ends here, as in `<T as Trait>::NAME`; the `>` of an arrow ends none.
    fn is_behind_type(&self) -> bool {
        let back = |steps| self.tokens.get(self.at.checked_sub(steps)?).map(|token| token.text);
        back(1) == Some(">") && !matches!(back(2), Some("-" | "="))
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    fn is_name(&self, ahead: usize) -> bool {
        self.text(ahead).is_some_and(|text| text.starts_with(is_name_byte) && !KEYWORDS.contains(&text))
    }
}

/// A name, a number, `::`, or one character of anything else.
struct Token<'a> {
    text: &'a str,
    line: usize,
}

fn is_name_byte(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let name: &str = &rest[..rest.find(|c| !is_name_byte(c)).unwrap_or(rest.len())];
        let length = if let Some(length) = comment(rest).or_else(|| literal(rest, name)) {
            length
        } else if first.is_whitespace() {
            first.len_utf8()
        } else {
            let raw_name = if name == "r" { rest.strip_prefix("r#") } else { None };
            let text = match raw_name {
                Some(after) => &after[..after.find(|c| !is_name_byte(c)).unwrap_or(after.len())],
                None if !name.is_empty() => name,
                None if rest.starts_with("::") => "::",
                None => &rest[..first.len_utf8()],
            };
            tokens.push(Token { text, line });
            text.len() + if raw_name.is_some() { 2 } else { 0 }
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// Returns the length of the comment at the start of `text`.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let here = &text.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if depth == 0 {
            return None;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    (depth > 0).then_some(text.len())
}

/// Returns the length of the string or character literal at the start of `text`, whose first name is `name`.
fn literal(text: &str, name: &str) -> Option<usize> {
    let prefix = if matches!(name, "r" | "b" | "br" | "c" | "cr") { name } else { "" };
    if prefix.is_empty() && !name.is_empty() {
        return None;
    }
    let after = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let body = after[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", &after[..hashes]);
        let length = body.find(&end).map_or(body.len(), |found| found + end.len());
        return Some(prefix.len() + hashes + 1 + length);
    }
    if let Some(body) = after.strip_prefix('"') {
        return Some(prefix.len() + 1 + quoted(body, '"'));
    }
    let body = after.strip_prefix('\'').filter(|_| matches!(prefix, "" | "b"))?;
    let mut characters = body.chars();
    // `'a` without a second quote is a lifetime: the quote alone is skipped, the name follows.
    let is_character = characters.next() == Some('\\') || characters.next() == Some('\'');
    Some(prefix.len() + 1 + if is_character { quoted(body, '\'') } else { 0 })
}

/// Returns the length of a literal's body up to and with its closing `quote`.
fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    body.len()
}
