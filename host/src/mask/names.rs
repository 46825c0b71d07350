//! Which names are those of secrets: of variables, fields, headers, parameters.
//!
//! A name is cut into words at separators and capitals; what decides are the tables below.

/// Longest name that is looked at, in bytes.
pub(super) const NAME_BYTES: usize = 64;
/// Words of one name.
const WORDS: usize = 12;

/// What a name says of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The value is a secret, whatever it looks like.
    Secret(&'static str),
    /// The value is one if it looks random and has so many bytes.
    Random(&'static str, usize),
    /// A scheme and a secret.
    Authorization,
    /// Names and values of their own.
    Cookies,
}

/// Parts of words that make a name a password's.
const PASSWORDS: [&str; 4] = ["passcode", "passphrase", "passwd", "password"];
/// Last words of names that speak of a secret and are none.
const ABOUT: [&str; 66] = [
    "age",
    "algorithm",
    "arn",
    "at",
    "attempts",
    "change",
    "changed",
    "class",
    "column",
    "count",
    "date",
    "days",
    "enabled",
    "endpoint",
    "error",
    "errors",
    "exists",
    "expiration",
    "expires",
    "expiry",
    "field",
    "file",
    "filename",
    "format",
    "function",
    "id",
    "ids",
    "in",
    "index",
    "invalid",
    "is",
    "label",
    "len",
    "length",
    "limit",
    "manager",
    "max",
    "min",
    "mode",
    "name",
    "names",
    "path",
    "policy",
    "prefix",
    "provider",
    "ref",
    "refs",
    "required",
    "reset",
    "rotation",
    "service",
    "size",
    "state",
    "status",
    "store",
    "strength",
    "time",
    "timeout",
    "ttl",
    "type",
    "types",
    "uri",
    "url",
    "usage",
    "valid",
    "version",
];
/// Words before `token` that make it one of a text or a list.
const OTHER_TOKENS: [&str; 27] = [
    "bad",
    "bos",
    "cancellation",
    "cls",
    "completion",
    "continuation",
    "cursor",
    "eos",
    "expected",
    "illegal",
    "input",
    "invalid",
    "max",
    "min",
    "next",
    "num",
    "of",
    "output",
    "pad",
    "page",
    "prompt",
    "sep",
    "stop",
    "sync",
    "total",
    "unexpected",
    "unk",
];
/// Words before `key` that make it a secret one.
const SECRET_KEYS: [&str; 46] = [
    "access",
    "account",
    "admin",
    "aes",
    "anthropic",
    "api",
    "app",
    "application",
    "auth",
    "aws",
    "cipher",
    "client",
    "consumer",
    "crypt",
    "crypto",
    "datadog",
    "deploy",
    "encrypt",
    "encryption",
    "functions",
    "gemini",
    "google",
    "hmac",
    "integration",
    "jwt",
    "license",
    "mailgun",
    "maps",
    "master",
    "openai",
    "private",
    "root",
    "secret",
    "sendgrid",
    "server",
    "service",
    "session",
    "shared",
    "sign",
    "signature",
    "signing",
    "storage",
    "stripe",
    "subscription",
    "webhook",
    "xapi",
];
/// Names of cookies that carry a session.
const SESSIONS: [&str; 9] = [
    "aspsessionid",
    "csrftoken",
    "jsessionid",
    "phpsessid",
    "sessid",
    "session",
    "sessionid",
    "sid",
    "xsrftoken",
];
/// Words that make a name one that might be a secret's, wherever they stand in it; for looking at names only, since in a
/// log too much would be hidden by them.
const LOOSE: [&str; 15] = [
    "apikey",
    "auth",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "creds",
    "dsn",
    "key",
    "keys",
    "pass",
    "pat",
    "pwd",
    "salt",
    "tokens",
];
/// Names that look like secrets and are known to be none.
const HARMLESS: [&str; 3] = ["oldpwd", "pwd", "ssh_auth_sock"];
/// Shortest random value under a name of a key or token, in bytes.
const RANDOM_LEAST: usize = 10;
/// The same under names that are less sure.
const UNSURE_LEAST: usize = 20;

/// Returns whether a variable of this name holds a secret, whatever its value looks like.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.trim_start_matches('-');
    if HARMLESS.iter().any(|harmless| name.eq_ignore_ascii_case(harmless)) {
        return false;
    }
    let words = Words::of(name.as_bytes());
    kind_of_words(&words, is_constant(name.as_bytes())).is_some()
        || words.iter().any(|word| {
            matches!(
                word,
                b"pass"
                    | b"pw"
                    | b"pat"
                    | b"creds"
                    | b"credential"
                    | b"credentials"
                    | b"salt"
                    | b"dsn"
                    | b"auth"
            )
        })
}

/// Returns whether a variable, or an option, of this name might hold a secret: all that [`is_secret_name`] knows, and
/// more. For what is shown of a configuration, where a harmless value that is hidden can be looked up.
pub fn may_be_secret_name(name: &str) -> bool {
    let name = name.trim_start_matches('-');
    if HARMLESS.iter().any(|harmless| name.eq_ignore_ascii_case(harmless)) {
        return false;
    }
    let is_loose = |word: &[u8]| {
        is_one_of(word, &LOOSE)
            || ends_with(word, "token")
            || holds(word, "secret")
            || PASSWORDS.iter().any(|part| holds(word, part))
    };
    is_secret_name(name) || Words::of(name.as_bytes()).iter().any(is_loose)
}

/// Returns what a name says of its value, or nothing where it is not a secret's.
pub(super) fn kind(name: &[u8]) -> Option<Kind> {
    kind_of_words(&Words::of(name), is_constant(name))
}

fn kind_of_words(words: &Words, constant: bool) -> Option<Kind> {
    let last = words.back(0)?;
    let before = words.back(1).unwrap_or_default();
    if matches!(last, b"cookie" | b"cookies") {
        return Some(Kind::Cookies);
    }
    if ends_with(last, "authorization") || ends_with(before, "authorization") && last == b"header" {
        return Some(Kind::Authorization);
    }
    if is_one_of(last, &SESSIONS) || (before == b"session" && last == b"id") {
        return Some(Kind::Random("session", UNSURE_LEAST));
    }
    let several = words.count > 1;
    if several && is_one_of(last, &ABOUT) {
        return None;
    }
    let is_password = |word: &[u8]| holds(word, "pass") && PASSWORDS.iter().any(|part| holds(word, part));
    if words.iter().any(is_password) || last == b"pwd" || last == b"pw" {
        return Some(Kind::Secret("password"));
    }
    if words
        .iter()
        .any(|word| ends_with(word, "secret") || word.starts_with(b"secretkey") || word == b"secrets")
    {
        let aws = words.iter().any(|word| word == b"access");
        return Some(Kind::Secret(if aws { "aws-secret-key" } else { "secret" }));
    }
    if ends_with(last, "token") || words.iter().any(|word| word == b"token") && several {
        let other = words.iter().any(|word| is_one_of(word, &OTHER_TOKENS));
        return (!other).then_some(Kind::Random("token", RANDOM_LEAST));
    }
    kind_of_key(words, last, before, constant)
}

fn kind_of_key(words: &Words, last: &[u8], before: &[u8], constant: bool) -> Option<Kind> {
    let apikey = words.iter().any(|word| ends_with(word, "apikey"));
    let joined =
        ["accesskey", "authkey", "accountkey", "masterkey"].iter().any(|joined| last == joined.as_bytes());
    let pair = words.pairs().any(|(one, two)| two == b"key" && is_one_of(one, &SECRET_KEYS));
    if apikey || joined || pair {
        return Some(Kind::Random("api-key", RANDOM_LEAST));
    }
    match last {
        b"key" | b"keys" if constant && !matches!(before, b"public" | b"") => {
            Some(Kind::Random("api-key", UNSURE_LEAST))
        }
        b"auth" | b"pat" | b"pass" | b"creds" | b"credential" | b"credentials" => {
            Some(Kind::Random("credential", RANDOM_LEAST))
        }
        b"sig" | b"signature" => Some(Kind::Random("signature", UNSURE_LEAST)),
        _ => None,
    }
}

/// Returns whether a name is written as variables of the environment are.
pub(super) fn is_constant(name: &[u8]) -> bool {
    name.contains(&b'_') && !name.iter().any(u8::is_ascii_lowercase)
}

/// Tables are sorted, since names are asked for wherever prose speaks of secrets.
fn is_one_of(word: &[u8], table: &[&str]) -> bool {
    table.binary_search_by(|entry| entry.as_bytes().cmp(word)).is_ok()
}

fn ends_with(word: &[u8], end: &str) -> bool {
    word.ends_with(end.as_bytes())
}

fn holds(word: &[u8], part: &str) -> bool {
    let part = part.as_bytes();
    word.windows(part.len()).any(|window| window[0] == part[0] && window == part)
}

/// The words of a name, in small letters and without the digits behind them.
struct Words {
    letters: [u8; NAME_BYTES],
    ends: [(u8, u8); WORDS],
    count: usize,
}

impl Words {
    fn of(name: &[u8]) -> Self {
        // Of a longer name the end decides.
        let name = &name[name.len().saturating_sub(NAME_BYTES)..];
        let mut words = Self { letters: [0; NAME_BYTES], ends: [(0, 0); WORDS], count: 0 };
        let mut start = 0;
        for at in 0..name.len() {
            words.letters[at] = name[at].to_ascii_lowercase();
            if begins_word(name, at) {
                words.push(start, at);
                start = at;
            }
        }
        words.push(start, name.len());
        words
    }

    fn push(&mut self, start: usize, end: usize) {
        let is_letter = |at: &usize| self.letters[*at].is_ascii_alphabetic();
        let Some(first) = (start..end).find(|at| self.letters[*at].is_ascii_alphanumeric()) else { return };
        let Some(last) = (first..end).rev().find(is_letter) else { return };
        if self.count == WORDS {
            self.ends.rotate_left(1);
            self.count -= 1;
        }
        self.ends[self.count] = (first as u8, last as u8 + 1);
        self.count += 1;
    }

    fn word(&self, index: usize) -> &[u8] {
        let (start, end) = self.ends[index];
        &self.letters[usize::from(start)..usize::from(end)]
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count).map(|index| self.word(index))
    }

    fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (1..self.count).map(|index| (self.word(index - 1), self.word(index)))
    }

    fn back(&self, back: usize) -> Option<&[u8]> {
        Some(self.word(self.count.checked_sub(back + 1)?))
    }
}

/// Returns whether a word begins at `at`: at a separator, at a capital behind a small letter, and at the last capital
/// of several before a small letter.
fn begins_word(name: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|before| name[before]) else { return false };
    let next_is_small = name.get(at + 1).is_some_and(u8::is_ascii_lowercase);
    !name[at].is_ascii_alphanumeric()
        || name[at].is_ascii_uppercase()
            && (before.is_ascii_lowercase() || before.is_ascii_uppercase() && next_is_small)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables_that_hold_secrets_are_known() {
        for name in [
            "API_KEY",
            "github_token",
            "GITHUBTOKEN",
            "DB_PASSWORD",
            "DB_PWD",
            "PGPASSWORD",
            "SECRET_KEY_BASE",
            "CLIENT_SECRET",
            "SENTRY_DSN",
            "BASIC_AUTH",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "--token",
            "KEY_PASSPHRASE",
            "aws.secret.access",
            "MYSQL_PASS",
            "STRIPE_KEY",
            "apiKey",
            "AccountKey",
        ] {
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
            "MAX_TOKENS",
            "SECRET_NAME",
            "TOKEN_URL",
            "",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn names_that_might_be_those_of_secrets_are_more() {
        for name in
            ["KEYS_OF_SHOP", "MYSECRETX", "SECRET_NAME", "TOKEN_URL", "MAX_TOKENS", "CACHE_KEY", "--api-key"]
        {
            assert!(may_be_secret_name(name), "{name}");
        }
        for name in
            ["PWD", "HOME", "KEYBOARD", "MONKEY", "TOKENIZERS_PARALLELISM", "SSH_AUTH_SOCK", "COMPASS", ""]
        {
            assert!(!may_be_secret_name(name), "{name}");
        }
    }

    #[test]
    fn names_say_what_their_value_is() {
        for (name, expected) in [
            ("password", Some(Kind::Secret("password"))),
            ("dbPassword2", Some(Kind::Secret("password"))),
            ("SecretAccessKey", Some(Kind::Secret("aws-secret-key"))),
            ("accessToken", Some(Kind::Random("token", RANDOM_LEAST))),
            ("x-api-key", Some(Kind::Random("api-key", RANDOM_LEAST))),
            ("AZURE_OPENAI_KEY", Some(Kind::Random("api-key", RANDOM_LEAST))),
            ("STRANGE_KEY", Some(Kind::Random("api-key", UNSURE_LEAST))),
            ("Proxy-Authorization", Some(Kind::Authorization)),
            ("set-cookie", Some(Kind::Cookies)),
            ("connect.sid", Some(Kind::Random("session", UNSURE_LEAST))),
            ("nextPageToken", None),
            ("token_type", None),
            ("password_hash_algorithm", None),
            ("cache_key", None),
            ("public_key", None),
            ("author", None),
            ("secretName", None),
        ] {
            assert_eq!(kind(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn tables_are_sorted() {
        for table in [ABOUT.as_slice(), &OTHER_TOKENS, &SECRET_KEYS, &SESSIONS, &LOOSE] {
            assert!(table.is_sorted(), "{table:?}");
        }
    }
}
