//! What a masker is made of: rules of the user's, secrets known by value, and the names of what built-in rules find.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use crate::bounds;

/// Which rule an anchor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// A row of the table of tokens, and which of its prefixes.
    Token {
        index: u8,
        prefix: u8,
    },
    /// A word in the name of a field whose value may be secret.
    Pair,
    /// The same, where the word begins one byte behind the anchor.
    PairBehind,
    Scheme,
    Jwt,
    Pem,
    PemInBase64,
    Url,
    EscapedUrl,
    EncodedUrl,
    Discord,
    Telegram,
    TelegramUrl,
    AzureSecret,
    AzureKey,
    Webhook,
    /// A form of a secret that is known by value.
    Exact(u32),
}

/// A rule of the user's: what matches `regex`, or one group of it, is masked.
#[derive(Debug, Clone)]
pub struct UserRule {
    name: String,
    pub(super) regex: Regex,
    pub(super) group: usize,
}

impl UserRule {
    /// Reads a rule. `group` is the number or name of the capture group that is the secret; without one it is all that
    /// matches.
    ///
    /// # Errors
    /// When the name is none, the regular expression cannot be compiled within its bounds, or has no such group.
    pub fn new(name: &str, regex: &str, group: Option<&str>) -> Result<Self, RuleError> {
        let wrong = |what| RuleError { rule: name.escape_debug().to_string(), what };
        if !is_mark_name(name) {
            return Err(wrong(WrongRule::Name));
        }
        if regex.len() > bounds::MASK_REGEX_BYTES {
            return Err(wrong(WrongRule::Long));
        }
        let compiled = RegexBuilder::new(regex)
            .size_limit(bounds::MASK_REGEX_SIZE)
            .dfa_size_limit(bounds::MASK_REGEX_SIZE)
            .build()
            .map_err(|error| wrong(WrongRule::Regex(error.to_string())))?;
        let Some(group) = group else {
            return Ok(Self { name: name.to_owned(), regex: compiled, group: 0 });
        };
        let number = compiled.capture_names().position(|name| name == Some(group));
        let number = number.or_else(|| group.parse().ok().filter(|number| *number < compiled.captures_len()));
        let number = number.ok_or_else(|| {
            wrong(WrongRule::Group {
                asked: group.escape_debug().to_string(),
                groups: compiled.captures_len() - 1,
            })
        })?;
        Ok(Self { name: name.to_owned(), regex: compiled, group: number })
    }

    /// Returns the name that is shown in place of what it finds.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The rules of a masker besides those built in.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    user: Vec<UserRule>,
}

impl Rules {
    /// Takes rules of the user's.
    ///
    /// # Errors
    /// When there are more than [`bounds::MASK_RULES`].
    pub fn new(user: Vec<UserRule>) -> Result<Self, RuleError> {
        match user.get(bounds::MASK_RULES) {
            Some(rule) => Err(RuleError { rule: rule.name.clone(), what: WrongRule::Many }),
            None => Ok(Self { user }),
        }
    }

    pub(super) fn user(&self) -> &[UserRule] {
        &self.user
    }
}

/// A secret that is known by value: one of the process's own variables.
#[derive(Clone)]
pub struct Secret {
    /// Whose value it is, shown in its place.
    pub name: String,
    /// Shorter than [`bounds::MASK_SECRET_LEAST`] bytes, or a common word, it is not looked for.
    pub value: Vec<u8>,
}

impl Secret {
    pub fn new(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

impl fmt::Debug for Secret {
    /// Never shows the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A rule that cannot be taken, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the mask rule `{rule}` {what}")]
pub struct RuleError {
    rule: String,
    what: WrongRule,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum WrongRule {
    #[error(
        "has a name that cannot be shown in place of a secret: use 1 to {} of the characters a-z A-Z 0-9 _ - .",
        bounds::MASK_NAME_BYTES
    )]
    Name,
    #[error("has a regular expression longer than {} bytes: make it shorter", bounds::MASK_REGEX_BYTES)]
    Long,
    #[error("has a regular expression that cannot be compiled: {0}")]
    Regex(String),
    #[error("asks for the group `{asked}`, which is not among the {groups} groups of its regular expression")]
    Group { asked: String, groups: usize },
    #[error("is one too many: at most {} are taken", bounds::MASK_RULES)]
    Many,
}

/// Returns whether a name may stand in a mark.
pub(super) fn is_mark_name(name: &str) -> bool {
    (1..=bounds::MASK_NAME_BYTES).contains(&name.len()) && name.bytes().all(super::chars::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_rules_are_told_with_their_remedy() {
        let told = |name: &str, regex: &str, group| {
            UserRule::new(name, regex, group).map(|_| ()).unwrap_err().to_string()
        };
        assert!(told("a b", "x", None).contains("use 1 to 64 of the characters"));
        assert!(told("a", "(", None).contains("cannot be compiled"));
        assert!(told("a", r"\w{9999}{9999}", None).contains("cannot be compiled"));
        assert_eq!(
            told("a", "(x)", Some("2")),
            "the mask rule `a` asks for the group `2`, which is not among the 1 groups of its regular expression"
        );
        assert!(told("a", &"x".repeat(5000), None).contains("longer than"));
        let many = vec![UserRule::new("a", "x", None).expect("a rule"); bounds::MASK_RULES + 1];
        assert!(Rules::new(many).unwrap_err().to_string().contains("one too many"));
    }

    #[test]
    fn a_secret_is_not_shown_by_its_debug_form() {
        assert!(!format!("{:?}", Secret::new("A", "hunter2hunter2")).contains("hunter2"));
    }
}
