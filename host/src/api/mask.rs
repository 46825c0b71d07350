//! Which values are secrets, by their variable's name and by their look, and how they are shown instead.
//!
//! Only for what Ostler itself shows of a configuration: what processes print is not its business. Errs on the side of
//! hiding: a harmless value that is hidden can be looked up where it was set.

/// What stands for a secret.
const MASK: &str = "****";

/// Words in the name of a variable, between `_`, `-` and `.`, that make its value a secret.
const WORDS: [&str; 16] = [
    "APIKEY",
    "AUTH",
    "AUTHORIZATION",
    "COOKIE",
    "CREDENTIAL",
    "CREDENTIALS",
    "CREDS",
    "DSN",
    "KEY",
    "KEYS",
    "PASS",
    "PAT",
    "PWD",
    "SALT",
    "TOKEN",
    "TOKENS",
];
/// The same, wherever they stand in the name.
const PARTS: [&str; 4] = ["PASSPHRASE", "PASSWD", "PASSWORD", "SECRET"];
/// Names that look like secrets and are known to be none.
const HARMLESS: [&str; 3] = ["OLDPWD", "PWD", "SSH_AUTH_SOCK"];
/// How well-known kinds of secrets begin, whatever the variable is called.
const BEGINNINGS: [&str; 12] = [
    "AKIA",
    "eyJ",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "sk-",
    "sk_live_",
    "xoxb-",
    "xoxp-",
    "-----BEGIN",
];

/// Returns whether a variable, or an option, of this name is one that holds secrets: all whose values are masked in the
/// log, and more, since nothing is lost by it here.
pub(super) fn is_secret_name(name: &str) -> bool {
    if crate::mask::is_secret_name(name) {
        return true;
    }
    let name = name.trim_start_matches('-').to_ascii_uppercase();
    if HARMLESS.contains(&name.as_str()) {
        return false;
    }
    PARTS.iter().any(|part| name.contains(part))
        || name.split(['_', '-', '.']).any(|word| WORDS.contains(&word))
        || name.ends_with("TOKEN")
}

/// Returns what is shown of a variable's value, and whether that is less than all of it.
pub(super) fn value(name: &str, value: &str) -> (String, bool) {
    if value.is_empty() {
        return (String::new(), false);
    }
    if is_secret_name(name) || BEGINNINGS.iter().any(|beginning| value.starts_with(beginning)) {
        return (MASK.to_owned(), true);
    }
    let shown = text(value);
    let masked = shown != value;
    (shown, masked)
}

/// Returns the words of a command with their secrets masked: `--token x`, `--token=x`, `TOKEN=x`, and what
/// [`text`] finds.
pub(super) fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Vec<String> {
    let mut after_option = false;
    words
        .into_iter()
        .map(|word| {
            let is_value = std::mem::take(&mut after_option);
            if let Some((name, _)) = word.split_once('=').filter(|(name, _)| is_secret_name(name)) {
                return format!("{name}={MASK}");
            }
            if is_value && !word.starts_with('-') {
                return MASK.to_owned();
            }
            after_option = word.starts_with("--") && is_secret_name(word);
            text(word)
        })
        .collect()
}

/// Returns a command as one line, as a shell would read it, with its secrets masked.
pub(super) fn line(command: &[String]) -> String {
    let words = words(command.iter().map(String::as_str)).into_iter();
    let quoted =
        words.map(|word| if word.contains(MASK) { word } else { shell_words::quote(&word).into_owned() });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Returns a text in which the passwords of addresses (`scheme://user:password@host`) and of connection strings
/// (`Password=…;`, `?password=…`) are masked.
pub(super) fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let authority =
            &after[..after.find(['/', '?', '#', ' ', '\t', '\n', '"', '\'']).unwrap_or(after.len())];
        // A password may hold a colon or an at sign that nobody escaped: the last one ends it.
        match authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
            Some((user, password)) if !password.is_empty() => {
                shown.push_str(user);
                shown.push(':');
                shown.push_str(MASK);
                rest = &after[user.len() + 1 + password.len()..];
            }
            _ => rest = after,
        }
    }
    shown.push_str(rest);
    mask_pairs(&shown)
}

/// Masks what follows `password=` and the like up to `;`, `&` or a blank.
fn mask_pairs(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (before, after) = rest.split_at(at + 1);
        shown.push_str(before);
        let name = before[..at].rsplit([';', '&', '?', ' ', ',']).next().unwrap_or_default();
        let end = after.find([';', '&', ' ']).unwrap_or(after.len());
        if end > 0 && is_secret_name(name) {
            shown.push_str(MASK);
            rest = &after[end..];
        } else {
            rest = after;
        }
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_hold_secrets_are_known() {
        for name in ["API_KEY", "--token", "AccountKey", "KEYS_OF_SHOP", "MYSECRETX"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "PWD",
            "OLDPWD",
            "HOME",
            "PATH",
            "KEYBOARD",
            "MONKEY",
            "TOKENIZERS_PARALLELISM",
            "GIT_AUTHOR_NAME",
            "SSH_AUTH_SOCK",
            "COMPASS",
            "PORT",
            "PATTERN",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn values_that_are_secrets_are_known_by_their_look() {
        for (shown, whole) in [
            ("postgres://app:****@db:5432/shop", "postgres://app:hunter2@db:5432/shop"),
            ("a://u:****@h b://u@h c://h:80/@x:y@", "a://u:p:@@h b://u@h c://h:80/@x:y@"),
            ("redis://:****@cache", "redis://:hunter2@cache"),
            ("Server=db;Password=****;Port=1", "Server=db;Password=hunter2;Port=1"),
            ("http://h/?a=1&api_key=****&b=2", "http://h/?a=1&api_key=hunter2&b=2"),
            ("****", "ghp_abcdefgh"),
            ("****", "-----BEGIN PRIVATE KEY-----\nabc"),
            ("http://localhost:8000/a=b", "http://localhost:8000/a=b"),
        ] {
            assert_eq!(value("URL", whole), (shown.to_owned(), shown != whole));
        }
        assert_eq!(value("TOKEN", ""), (String::new(), false));
    }

    #[test]
    fn options_that_hold_secrets_are_known() {
        let command =
            ["serve", "--token", "hunter2", "--api-key=hunter2", "TOKEN=hunter2", "--token", "--port", "80"];
        assert_eq!(
            words(command),
            ["serve", "--token", "****", "--api-key=****", "TOKEN=****", "--token", "--port", "80"]
        );
    }

    proptest! {
        #[test]
        fn a_password_in_an_address_is_never_shown(
            user in "[a-z]{0,5}",
            password in "[A-Z0-9:@!$%é]{1,12}",
            before in "[a-z= ]{0,9}",
        ) {
            let shown = text(&format!("{before}db://{user}:{password}@host/x"));
            prop_assert_eq!(shown, format!("{before}db://{user}:****@host/x"));
        }

        #[test]
        fn no_text_panics(any in "(?s).{0,60}|[:/@=;&?é]{0,30}") {
            let _ = value("X", &any);
        }
    }
}
