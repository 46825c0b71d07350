//! Which values are secrets, by their variable's name and by their look, and how they are shown instead.
//!
//! Only for what Ostler itself shows of a configuration: what processes print is not its business. Errs on the side of
//! hiding: a harmless value that is hidden can be looked up where it was set. What the log's rules find, the user's
//! among them, is masked besides, as it is there.

use crate::config::Command;
use crate::mask::{InForce, may_be_secret_name};

/// What stands for a secret.
const MASK: &str = "****";

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

/// Returns whether a variable, or an option, of this name might be one that holds secrets.
fn is_secret_name(rules: &InForce, name: &str) -> bool {
    rules.is_secret(name) || (may_be_secret_name(name) && !rules.is_harmless(name))
}

/// Returns what is shown of a variable's value, and whether that is less than all of it.
pub(super) fn value(rules: &InForce, name: &str, value: &str) -> (String, bool) {
    if value.is_empty() {
        return (String::new(), false);
    }
    let looks_secret = BEGINNINGS.iter().any(|beginning| value.starts_with(beginning));
    if is_secret_name(rules, name) || (looks_secret && !rules.is_harmless(name)) {
        return (MASK.to_owned(), true);
    }
    let shown = text(rules, value);
    let masked = shown != value;
    (shown, masked)
}

/// Returns the words of a command with their secrets masked: `--token x`, `--token=x`, `TOKEN=x`, and what
/// [`text`] finds.
pub(super) fn words<'w>(rules: &InForce, words: impl IntoIterator<Item = &'w str>) -> Vec<String> {
    let mut after_option = false;
    words
        .into_iter()
        .map(|word| {
            let is_value = std::mem::take(&mut after_option);
            if let Some((name, _)) = word.split_once('=').filter(|(name, _)| is_secret_name(rules, name)) {
                return format!("{name}={MASK}");
            }
            if is_value && !word.starts_with('-') {
                return MASK.to_owned();
            }
            after_option = word.starts_with("--") && is_secret_name(rules, word);
            text(rules, word)
        })
        .collect()
}

/// Returns a command as it would be typed, with its secrets masked.
pub(super) fn command(rules: &InForce, command: &Command) -> String {
    match command {
        Command::Words(words) => line(rules, words),
        Command::Shell(script) => text(rules, script),
    }
}

/// Returns a command as one line, as a shell would read it, with its secrets masked.
fn line(rules: &InForce, command: &[String]) -> String {
    let words = words(rules, command.iter().map(String::as_str)).into_iter();
    let is_masked = |word: &str| word.contains(MASK) || word.contains("[masked:");
    let quoted =
        words.map(|word| if is_masked(&word) { word } else { shell_words::quote(&word).into_owned() });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Returns a text in which the passwords of addresses (`scheme://user:password@host`) and of connection strings
/// (`Password=…;`, `?password=…`) are masked, and what the log's rules find.
pub(super) fn text(rules: &InForce, text: &str) -> String {
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
    rules.mask(&mask_pairs(rules, &shown))
}

/// Masks what follows `password=` and the like up to `;`, `&` or a blank.
fn mask_pairs(rules: &InForce, text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (before, after) = rest.split_at(at + 1);
        shown.push_str(before);
        let name = before[..at].rsplit([';', '&', '?', ' ', ',']).next().unwrap_or_default();
        let end = after.find([';', '&', ' ']).unwrap_or(after.len());
        if end > 0 && is_secret_name(rules, name) {
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
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::mask::{ProjectRules, Rules, RulesInForce, UserRule};

    fn rules() -> Arc<InForce> {
        RulesInForce::default().current()
    }

    #[test]
    fn what_the_user_says_of_names_and_secrets_counts() {
        let acme = UserRule::new("acme", "acme_[0-9]+", None).unwrap();
        let rules = RulesInForce::new(ProjectRules {
            rules: Rules::new(vec![acme]).unwrap(),
            env: vec!["CUSTOMER".into()],
            not_env: vec!["DEMO_TOKEN".into()],
            ..ProjectRules::default()
        });
        let rules = rules.current();
        let shown = |name, text| value(&rules, name, text).0;
        assert_eq!(shown("CUSTOMER", "x"), "****");
        assert_eq!(shown("DEMO_TOKEN", "sk-demo"), "sk-demo");
        assert_eq!(shown("OTHER", "of acme_01"), "of [masked:acme]");
        let typed = Command::Words(["serve", "acme_01", "--demo"].map(str::to_owned).to_vec());
        assert_eq!(command(&rules, &typed), "serve [masked:acme] --demo");
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
            assert_eq!(value(&rules(), "URL", whole), (shown.to_owned(), shown != whole));
        }
        assert_eq!(value(&rules(), "TOKEN", ""), (String::new(), false));
    }

    #[test]
    fn options_that_hold_secrets_are_known() {
        let command =
            ["serve", "--token", "hunter2", "--api-key=hunter2", "TOKEN=hunter2", "--token", "--port", "80"];
        assert_eq!(
            words(&rules(), command),
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
            let shown = text(&rules(), &format!("{before}db://{user}:{password}@host/x"));
            let secret = format!(":{password}@");
            prop_assert!(!shown.contains(&secret), "{shown}");
            // Behind `pw=` all of it is a secret.
            if !before.contains('=') {
                prop_assert_eq!(shown, format!("{before}db://{user}:****@host/x"));
            }
        }

        #[test]
        fn no_text_panics(any in "(?s).{0,60}|[:/@=;&?é]{0,30}") {
            let _ = value(&rules(), "X", &any);
        }
    }
}
