//! Owns how files are named for `watch`: globs below the project's directory.

use globset::{ErrorKind, Glob, GlobBuilder, GlobSet};

/// Longest glob in bytes.
const LENGTH: usize = 1024;

/// Why a text is not a glob below the project's directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {LENGTH} bytes")]
    TooLong,
    #[error("it leads out of the project's directory")]
    Outside,
    #[error("it starts with `!`")]
    Negated,
    #[error("it names a directory")]
    Directory,
    #[error("`[` is not closed")]
    Class,
    #[error("`{{` and `}}` do not match")]
    Braces,
    #[error("it cannot be compiled")]
    Other,
}

impl GlobError {
    /// Returns what to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Outside => {
                "start from the directory of `ostler.toml`, without `/` in front and without `..`"
            }
            Self::Negated => "what does not count stands in `watch.ignore`, without `!`",
            Self::Directory => "add `**` at the end for all that is in it",
            _ => "write it like `src/**/*.py`; `*` stays within a name, `**` goes to any depth",
        }
    }
}

/// Reads a glob as `watch` means it: `*` and `?` stay within a name, `**` is any depth, `{a,b}` is either, and a
/// backslash takes the meaning from the next character.
///
/// # Errors
/// When the text is none, or names nothing below the project's directory.
pub fn parse_glob(text: &str) -> Result<Glob, GlobError> {
    if text.is_empty() {
        return Err(GlobError::Empty);
    }
    if text.len() > LENGTH {
        return Err(GlobError::TooLong);
    }
    if text.starts_with('!') {
        return Err(GlobError::Negated);
    }
    if text.starts_with(['/', '~']) || text.split('/').any(|part| part == "..") {
        return Err(GlobError::Outside);
    }
    if text.ends_with('/') || text == "." {
        return Err(GlobError::Directory);
    }
    let text = text.trim_start_matches("./");
    let glob = GlobBuilder::new(text)
        .literal_separator(true)
        .backslash_escape(true)
        .empty_alternates(true)
        .build()
        .map_err(|error| reason(error.kind()))?;
    // A glob by itself is only compiled when it is used, and must not fail there.
    GlobSet::builder().add(glob.clone()).build().map_err(|error| reason(error.kind()))?;
    Ok(glob)
}

/// Checks a glob; returns it without `./` in front.
pub(super) fn check(text: &str) -> Result<String, GlobError> {
    parse_glob(text).map(|glob| glob.glob().to_owned())
}

fn reason(kind: &ErrorKind) -> GlobError {
    match kind {
        ErrorKind::UnclosedClass | ErrorKind::InvalidRange(..) => GlobError::Class,
        ErrorKind::UnopenedAlternates | ErrorKind::UnclosedAlternates => GlobError::Braces,
        _ => GlobError::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_stay_within_names_and_double_stars_do_not() {
        let matches = |glob: &str, path: &str| parse_glob(glob).unwrap().compile_matcher().is_match(path);
        assert!(matches("src/**/*.py", "src/a.py") && matches("src/**/*.py", "src/a/b/c.py"));
        assert!(matches("*.{js,ts}", "a.ts") && !matches("*.{js,ts}", "a/b.ts"));
        assert!(matches("./src/*", "src/a") && !matches("src/*", "src/a/b"));
        assert!(matches("**", "a/b") && matches("a?[0-9]", "ab1"));
    }

    #[test]
    fn what_is_no_glob_is_refused_with_the_reason() {
        for (text, error) in [
            ("", GlobError::Empty),
            ("/etc/*", GlobError::Outside),
            ("~/x", GlobError::Outside),
            ("src/../../x", GlobError::Outside),
            ("!src", GlobError::Negated),
            ("src/", GlobError::Directory),
            (".", GlobError::Directory),
            ("src/[a", GlobError::Class),
            ("[b-a]", GlobError::Class),
            ("{a,b", GlobError::Braces),
            ("a}", GlobError::Braces),
        ] {
            assert_eq!(parse_glob(text).unwrap_err(), error, "{text}");
        }
        assert_eq!(parse_glob(&"a".repeat(2000)).unwrap_err(), GlobError::TooLong);
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_can_be_used(text in "[-a-z*?{},!/\\[\\]\\\\.]{0,30}|\\PC{0,30}") {
            if let Ok(glob) = parse_glob(&text) {
                let _ = glob.compile_matcher().is_match("src/a.py");
            }
        }
    }
}
