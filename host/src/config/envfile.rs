//! Owns `.env` files: their grammar. What becomes of their variables is `environment`'s business.
//!
//! Error messages name file, line and variable, never a value. Expansion sees what is given, never the environment
//! of this process: the daemon's may be older than the user's shell, and a process need not inherit it.
//!
//! A line is `NAME=value`, optionally after `export`. `#` starts a comment at the start of a line and after a blank.
//! A value in single quotes is taken as it is; in double quotes `\n \r \t \\ \" \$` are escapes; both may span
//! lines. Outside single quotes `${NAME}` and `${NAME:-default}` stand for variables set before, in the file or
//! outside; one that is not set is empty. A `$` without a brace is an ordinary character, as passwords have them.
//!
//! # Why not a library
//!
//! Looked at in November 2026; each fails on something that people would notice:
//!
//! - `dotenvy`: `${NAME}` is looked up in the environment of the calling process, before the file itself (its issues
//!   149 and 150); `$MY_VAR` without braces reads as `$MY` (its issue 170), so that a password may lose its tail; its
//!   error holds the line, value and all, and has no line number.
//! - `dotenvor`, `dotenvs`: where `${NAME}` is expanded at all, `$NAME` is too, which changes passwords that hold a
//!   dollar sign; the second has no way to hear of a line it could not read (its pull request 5).
//! - `adotenv`: has the place of everything and expands nothing, so that quotes, escapes and references would be read
//!   a second time here; ten incompatible versions so far.
//!
//! What is read here is what all of them agree on, in about two hundred lines that never panic (property tests below).

use std::io;
use std::path::Path;

use super::environment::{Environment, Origin, VALUE_BYTES};
use super::error::{ConfigError, Problem};
use super::load::read_bounded;
use super::process::EnvFile;

/// Most bytes of all values of a file, because `${NAME}` could multiply them without end.
const FILE_VALUES_BYTES: usize = 4 << 20;

/// Adds the variables of a file to `env`, in their order; an optional file that does not exist adds none.
pub(super) fn read_into(file: &EnvFile, env: &mut Environment) -> Result<(), ConfigError> {
    match read_bounded(&file.path) {
        Ok(text) => parse_into(&file.path, &text, env),
        Err(error) if file.optional && error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unreadable(&file.path, &error).into()),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::NotFound {
        Problem::of_file(path, "this env_file does not exist")
            .hint("create it, or write its name with a `?` at the end when it may be missing".to_owned())
    } else {
        Problem::of_file(path, format!("this env_file cannot be read: {error}"))
    }
}

fn parse_into(path: &Path, text: &str, env: &mut Environment) -> Result<(), ConfigError> {
    let mut reader = Reader { path, rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1, total: 0 };
    while let Some((name, value)) = reader.entry(env)? {
        env.set(name, value, Origin::File(path.to_owned()));
    }
    Ok(())
}

struct Reader<'t> {
    path: &'t Path,
    rest: &'t str,
    /// The line `rest` starts in.
    line: u32,
    /// Bytes of all values so far.
    total: usize,
}

impl Reader<'_> {
    /// Returns the next variable, or none at the end.
    fn entry(&mut self, env: &Environment) -> Result<Option<(String, String)>, ConfigError> {
        loop {
            self.skip_blanks();
            match self.rest.chars().next() {
                None => return Ok(None),
                Some('\n' | '\r') => drop(self.bump()),
                Some('#') => self.skip_line(),
                Some(_) => break,
            }
        }
        let line = self.line;
        let name = self.name()?;
        self.skip_blanks();
        let value = match self.rest.chars().next() {
            Some('\'') => self.single_quoted(&name)?,
            Some('"') => self.double_quoted(&name, env)?,
            _ => self.unquoted(env),
        };
        self.total += value.len();
        let fault = if value.contains('\0') {
            "holds a NUL character"
        } else if value.len() > VALUE_BYTES || self.total > FILE_VALUES_BYTES {
            "is too long for an environment"
        } else {
            return Ok(Some((name, value)));
        };
        Err(self.error(line, format!("the value of `{name}` {fault}"), None))
    }

    /// Reads `NAME=` or `export NAME=`.
    fn name(&mut self) -> Result<String, ConfigError> {
        let mut name = self.word();
        if name == "export" && self.rest.starts_with([' ', '\t']) {
            self.skip_blanks();
            name = self.word();
        }
        self.skip_blanks();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !self.rest.starts_with('=') {
            let hint = "write `NAME=value`, and put a value of several lines in quotes";
            return Err(self.error(self.line, "`NAME=value` is expected here".to_owned(), Some(hint)));
        }
        self.bump();
        Ok(name)
    }

    fn word(&mut self) -> String {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    /// Reads to the end of the line or a comment.
    fn unquoted(&mut self, env: &Environment) -> String {
        let line = self.rest.lines().next().unwrap_or_default();
        let comment = line
            .match_indices('#')
            .map(|(at, _)| at)
            .find(|at| line[..*at].is_empty() || line[..*at].ends_with([' ', '\t']));
        let value = line[..comment.unwrap_or(line.len())].trim_end();
        let mut expanded = String::new();
        let mut rest = value;
        while let Some(at) = rest.find("${") {
            expanded.push_str(&rest[..at]);
            rest = match expand(&rest[at..], env, &mut expanded) {
                Some(after) => after,
                None => {
                    expanded.push_str("${");
                    &rest[at + 2..]
                }
            };
        }
        expanded.push_str(rest);
        self.skip_line();
        expanded
    }

    fn single_quoted(&mut self, name: &str) -> Result<String, ConfigError> {
        let opened = self.line;
        self.bump();
        let Some(end) = self.rest.find('\'') else { return Err(self.open_quote(opened, name)) };
        let value = self.rest[..end].to_owned();
        self.advance(end + 1);
        self.end_of_value(name)?;
        Ok(value)
    }

    fn double_quoted(&mut self, name: &str, env: &Environment) -> Result<String, ConfigError> {
        let opened = self.line;
        self.bump();
        let mut value = String::new();
        loop {
            if self.rest.starts_with("${")
                && let Some(after) = expand(self.rest, env, &mut value)
            {
                self.advance(self.rest.len() - after.len());
                continue;
            }
            match self.bump() {
                None => return Err(self.open_quote(opened, name)),
                Some('"') => break,
                Some('\\') => match self.bump() {
                    Some('n') => value.push('\n'),
                    Some('r') => value.push('\r'),
                    Some('t') => value.push('\t'),
                    Some(c @ ('\\' | '"' | '$')) => value.push(c),
                    Some(c) => value.extend(['\\', c]),
                    None => return Err(self.open_quote(opened, name)),
                },
                Some(c) => value.push(c),
            }
        }
        self.end_of_value(name)?;
        Ok(value)
    }

    /// After a closing quote there may be blanks and a comment.
    fn end_of_value(&mut self, name: &str) -> Result<(), ConfigError> {
        self.skip_blanks();
        if self.rest.is_empty() || self.rest.starts_with(['\n', '\r', '#']) {
            self.skip_line();
            return Ok(());
        }
        let message = format!("there is something after the closing quote of `{name}`");
        Err(self.error(self.line, message, Some("put the whole value in one pair of quotes")))
    }

    fn open_quote(&self, line: u32, name: &str) -> ConfigError {
        self.error(line, format!("the quote that opens the value of `{name}` is not closed"), None)
    }

    fn error(&self, line: u32, message: String, hint: Option<&str>) -> ConfigError {
        let problem = Problem::of_file(self.path, message).hint(hint.map(str::to_owned));
        Problem { line, column: 1, ..problem }.into()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.advance(c.len_utf8());
        Some(c)
    }

    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        let lines = passed.bytes().filter(|byte| *byte == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.rest = rest;
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn skip_line(&mut self) {
        self.advance(self.rest.find('\n').map_or(self.rest.len(), |newline| newline + 1));
    }
}

/// Expands the `${NAME}` or `${NAME:-default}` at the start of `text` and returns what follows; none when it is not
/// one, which leaves it as it stands.
fn expand<'t>(text: &'t str, env: &Environment, value: &mut String) -> Option<&'t str> {
    let (inner, after) = text.strip_prefix("${")?.split_once('}')?;
    let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| {
        let set = env.get(name).filter(|value| !value.is_empty());
        // A value this long is refused as a whole afterwards.
        if value.len() <= VALUE_BYTES {
            value.push_str(&set.map_or_else(|| default.into(), |value| value.to_string_lossy()));
        }
        after
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut env = Environment::default();
        env.set("HOME", "/home/u", Origin::Inherited);
        parse_into(Path::new(".env"), text, &mut env)?;
        let pairs = env.into_pairs().into_iter();
        let pairs = pairs.map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()));
        Ok(pairs.filter(|(name, _)| name != "HOME").collect())
    }

    fn value(text: &str) -> String {
        parse(text).unwrap().remove("A").unwrap()
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        for (text, expected) in [
            ("A=b", "b"),
            ("\u{feff}A=b\r\n", "b"),
            ("export A = b c # comment", "b c"),
            ("A=b#c", "b#c"),
            ("A=", ""),
            ("A= # nothing", ""),
            ("A='${HOME} \\n'", "${HOME} \\n"),
            ("A=\"a\\tb\\\"\\$\\q\" # comment", "a\tb\"$\\q"),
            ("A=pa$word", "pa$word"),
            ("A=${HOME}/x", "/home/u/x"),
            ("A=\"${HOME}/${NOT_SET}x\"", "/home/u/x"),
            ("A=${NOT_SET:-y}", "y"),
            ("MY_VAR=1\nA=${MY_VAR}2", "12"),
            ("A=${not a name} ${open", "${not a name} ${open"),
            ("A=\"-----BEGIN\nabc\n-----END\"\nB=1", "-----BEGIN\nabc\n-----END"),
            ("A=1\nA=2", "2"),
            ("# first\n\n  A=b\n", "b"),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn errors_name_the_line_and_never_the_value() {
        assert_snapshot!(error("A='1\n2'\n\nB: hunter2"), @r"
        .env:4:1: `NAME=value` is expected here
        hint: write `NAME=value`, and put a value of several lines in quotes
        ");
        assert_snapshot!(error("A=1\nB=\"hunter2\nC=3"), @".env:2:1: the quote that opens the value of `B` is not closed");
        assert_snapshot!(error("B='hunter2' hunter2"), @r"
        .env:1:1: there is something after the closing quote of `B`
        hint: put the whole value in one pair of quotes
        ");
        assert_snapshot!(error("A=hun\0ter2"), @".env:1:1: the value of `A` holds a NUL character");
    }

    #[test]
    fn expansion_cannot_multiply_without_end() {
        let doubling = "A=xxxxxxxx\n".to_owned() + &"A=${A}${A}\n".repeat(60);
        assert_snapshot!(error(&doubling), @".env:16:1: the value of `A` is too long for an environment");
        let copies = format!("A={}\n", "x".repeat(100 << 10)) + &"B=${A}\n".repeat(1000);
        assert_snapshot!(error(&copies), @".env:41:1: the value of `B` is too long for an environment");
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it_unless_it_is_optional() {
        let mut env = Environment::default();
        let mut file = EnvFile { path: "/nonexistent/.env".into(), optional: false };
        assert_snapshot!(read_into(&file, &mut env).unwrap_err(), @r"
        /nonexistent/.env: this env_file does not exist
        hint: create it, or write its name with a `?` at the end when it may be missing
        ");
        file.optional = true;
        assert_eq!(read_into(&file, &mut env), Ok(()));
        assert_eq!(env, Environment::default());
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in "(?s).{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn text_of_the_right_letters_never_panics(text in "[AB=\"'\\\\$\\{\\}#: \n-]{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn single_quotes_keep_every_character(value in "[^'\0]{0,40}") {
            prop_assert_eq!(self::value(&format!("A='{value}'")), value);
        }
    }
}
