//! Owns how a command line becomes the words to execute.
//!
//! Without a shell nobody interprets `|` or `$HOME`: the program would get them as arguments and fail in a way that
//! is hard to read. So what only a shell understands is refused here, with the remedy. Nothing is executed here.

use std::fmt;
use std::ops::Range;

use super::endpoint::OWN_PORT;

/// What to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The program and its arguments, executed without a shell. Never empty.
    Words(Vec<String>),
    /// A script for `/bin/sh -c`.
    Shell(String),
}

/// Why a text is not a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("the command is empty")]
    Empty,
    #[error("the command holds a NUL character")]
    Nul,
    #[error("a quote in the command is not closed")]
    Quote,
    /// The place is in bytes of the text.
    #[error("{what} needs a shell")]
    NeedsShell { what: String, place: Range<usize> },
    /// The command starts with `NAME=value`; the place is that word.
    #[error("`{name}=…` before a command needs a shell")]
    Assignment { name: String, place: Range<usize> },
}

impl CommandError {
    /// Returns what to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty => "name the program to run, such as `command = \"npm run dev\"`",
            Self::Nul => "remove the `\\u0000`",
            Self::Quote => "close the quote, or give the words as a list",
            Self::NeedsShell { .. } => {
                "set `shell = true` to run it with /bin/sh, or quote it to pass it on as it is"
            }
            Self::Assignment { .. } => "move it to `env = { … }`, or set `shell = true`",
        }
    }

    /// Returns the place of the offence in the command's text, in bytes, where there is one.
    pub fn place(&self) -> Option<Range<usize>> {
        match self {
            Self::NeedsShell { place, .. } | Self::Assignment { place, .. } => Some(place.clone()),
            Self::Empty | Self::Nul | Self::Quote => None,
        }
    }
}

impl Command {
    /// Splits a text into words as a shell would, and refuses what only a shell can do.
    pub fn from_line(text: &str) -> Result<Self, CommandError> {
        check_text(text)?;
        let words = shell_words::split(text).map_err(|_| CommandError::Quote)?;
        if words.is_empty() {
            return Err(CommandError::Empty);
        }
        if let Some(error) = shell_only(text) {
            return Err(error);
        }
        Self::from_words(words)
    }

    /// Takes the program and its arguments as they are.
    pub fn from_words(words: Vec<String>) -> Result<Self, CommandError> {
        if words.first().is_none_or(|program| program.is_empty()) {
            return Err(CommandError::Empty);
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err(CommandError::Nul);
        }
        Ok(Self::Words(words))
    }

    /// Takes a script for `/bin/sh`.
    pub fn from_script(text: &str) -> Result<Self, CommandError> {
        check_text(text)?;
        Ok(Self::Shell(text.to_owned()))
    }

    /// Returns whether `${PORT}`, which stands for the process's port, is in its words. A script is the shell's.
    pub fn needs_port(&self) -> bool {
        matches!(self, Self::Words(words) if words.iter().any(|word| word.contains(OWN_PORT)))
    }

    /// Returns whether it hands a script to an interpreter, as `sh -c` does: that may have variables of its own.
    pub(super) fn hands_on_a_script(&self) -> bool {
        matches!(self, Self::Words(words) if words.get(1).is_some_and(|option| option.ends_with('c') && option.starts_with('-')))
    }

    /// Returns the words to execute, the program first.
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Words(words) => words.clone(),
            Self::Shell(script) => vec!["/bin/sh".into(), "-c".into(), script.clone()],
        }
    }
}

/// The command as one would type it.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) => f.write_str(&shell_words::join(words)),
            Self::Shell(script) => f.write_str(script),
        }
    }
}

fn check_text(text: &str) -> Result<(), CommandError> {
    if text.chars().all(is_blank) {
        Err(CommandError::Empty)
    } else if text.contains('\0') {
        Err(CommandError::Nul)
    } else {
        Ok(())
    }
}

/// What parts words in a shell; other white space is an ordinary character there.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n')
}

#[derive(Clone, Copy, PartialEq)]
enum Quote {
    None,
    Single,
    Double,
}

/// Returns the first thing in the text that only a shell would understand.
///
/// Follows the quoting of POSIX shells (XCU 2.2): nothing is special in single quotes, only `$` and the backquote
/// are in double quotes, a backslash takes the meaning from the next character.
fn shell_only(text: &str) -> Option<CommandError> {
    if let Some(error) = leading_assignment(text) {
        return Some(error);
    }
    let mut quote = Quote::None;
    let mut word_start = true;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let starts_word = std::mem::replace(&mut word_start, is_blank(c));
        match (quote, c) {
            (Quote::None, '#') if starts_word => while chars.next_if(|(_, c)| *c != '\n').is_some() {},
            (Quote::None | Quote::Double, '\\') => {
                chars.next();
            }
            (Quote::None, '\'') => quote = Quote::Single,
            (Quote::Single, '\'') | (Quote::Double, '"') => quote = Quote::None,
            (Quote::None, '"') => quote = Quote::Double,
            (Quote::None, '|' | '&' | ';' | '<' | '>') => return Some(operator(text, at)),
            (Quote::None | Quote::Double, '`') => return Some(needs_shell("a backquote", at..at + 1)),
            (Quote::None | Quote::Double, '$') => {
                if let Some(error) = expansion(text, at) {
                    return Some(error);
                }
            }
            _ => {}
        }
    }
    None
}

fn needs_shell(what: impl Into<String>, place: Range<usize>) -> CommandError {
    CommandError::NeedsShell { what: what.into(), place }
}

/// Names the operator at this place: `|`, `&&`, `2>` …
fn operator(text: &str, at: usize) -> CommandError {
    let length =
        text[at..].find(|c| !matches!(c, '|' | '&' | ';' | '<' | '>')).unwrap_or(text.len() - at).min(3);
    needs_shell(format!("`{}`", &text[at..at + length]), at..at + length)
}

/// Names the expansion that the `$` at this place starts; a `$` before anything else is an ordinary character.
fn expansion(text: &str, at: usize) -> Option<CommandError> {
    let after = &text[at + 1..];
    if after.starts_with('(') {
        return Some(needs_shell("`$(…)`", at..at + 2));
    }
    if text[at..].starts_with(OWN_PORT) {
        return None;
    }
    if after.starts_with('{') {
        return Some(needs_shell("`${…}`", at..at + 2));
    }
    let name = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
    let is_name = name > 0 && !after.starts_with(|c: char| c.is_ascii_digit());
    is_name.then(|| {
        let place = at..at + 1 + name.min(64);
        needs_shell(format!("`{}`", &text[place.clone()]), place)
    })
}

/// Finds `NAME=value` where the program should be. Names the variable only: the value may be a secret.
fn leading_assignment(text: &str) -> Option<CommandError> {
    let start = text.len() - text.trim_start_matches(is_blank).len();
    let word = text[start..].split(is_blank).next()?;
    let (name, _) = word.split_once('=')?;
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| CommandError::Assignment { name: name.to_owned(), place: start..start + name.len() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        Command::from_line(text).unwrap().argv()
    }

    #[test]
    fn a_line_is_split_as_a_shell_would() {
        assert_eq!(words("python manage.py runserver 8000"), ["python", "manage.py", "runserver", "8000"]);
        assert_eq!(words(r#"sh -c 'a | b && c > d'"#), ["sh", "-c", "a | b && c > d"]);
        assert_eq!(words(r#"echo "a;b" \$HOME '$(x)' a\|b"#), ["echo", "a;b", "$HOME", "$(x)", "a|b"]);
        assert_eq!(words("grep price$ file"), ["grep", "price$", "file"]);
        assert_eq!(words("run --opt=x # a | comment"), ["run", "--opt=x"]);
    }

    #[test]
    fn what_only_a_shell_can_do_is_refused_by_name() {
        for (line, message) in [
            ("a | b", "`|` needs a shell"),
            ("a && b", "`&&` needs a shell"),
            ("a; b", "`;` needs a shell"),
            ("a > out", "`>` needs a shell"),
            ("a 2>&1", "`>&` needs a shell"),
            ("a $(b)", "`$(…)` needs a shell"),
            ("a \"$(b)\"", "`$(…)` needs a shell"),
            ("a `b`", "a backquote needs a shell"),
            ("run --port $PORT", "`$PORT` needs a shell"),
            ("run --port \"${PORTS}\"", "`${…}` needs a shell"),
            ("TOKEN=hunter2 run", "`TOKEN=…` before a command needs a shell"),
        ] {
            assert_eq!(Command::from_line(line).unwrap_err().to_string(), message, "{line}");
        }
    }

    #[test]
    fn the_port_of_the_process_needs_no_shell() {
        let command = Command::from_line("run --listen 127.0.0.1:${PORT} \"${PORT}\"").unwrap();
        assert_eq!(command.argv(), ["run", "--listen", "127.0.0.1:${PORT}", "${PORT}"]);
        assert!(command.needs_port() && !command.hands_on_a_script());
        assert!(!Command::from_script("run ${PORT}").unwrap().needs_port());
        assert!(Command::from_line("bash -ec 'run ${PORT}'").unwrap().hands_on_a_script());
    }

    #[test]
    fn empty_and_broken_lines_are_refused() {
        assert_eq!(Command::from_line("  "), Err(CommandError::Empty));
        assert_eq!(Command::from_line("# only a comment"), Err(CommandError::Empty));
        assert_eq!(Command::from_line("echo 'a"), Err(CommandError::Quote));
        assert_eq!(Command::from_words(vec![]), Err(CommandError::Empty));
        assert_eq!(Command::from_words(vec!["a\0".into()]), Err(CommandError::Nul));
        assert_eq!(Command::from_script("a\0"), Err(CommandError::Nul));
    }

    #[test]
    fn a_script_goes_to_the_shell_as_it_is() {
        let command = Command::from_script("a | b > $OUT").unwrap();
        assert_eq!(command.argv(), ["/bin/sh", "-c", "a | b > $OUT"]);
        assert_eq!(command.to_string(), "a | b > $OUT");
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in "\\PC{0,60}") {
            if let Err(error) = Command::from_line(&text)
                && let Some(place) = error.place()
            {
                prop_assert!(text.get(place).is_some());
            }
        }

        #[test]
        fn quoted_words_come_back_whole(words in prop::collection::vec("[^\0]{1,12}", 1..5)) {
            let line = shell_words::join(&words);
            prop_assert_eq!(Command::from_line(&line), Command::from_words(words));
        }
    }
}
