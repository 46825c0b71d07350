//! Owns the check of `[secrets]`: patterns that compile within their bounds, and names of variables.
//!
//! What masks is elsewhere and knows no configuration; what is checked here is what it takes.

use toml::Spanned;

use super::check::Checker;
use super::error::ConfigError;
use super::file_watch::{SecretTable, SecretsTable};
use super::patterns;
use super::shapes::{CaptureValue, NumberOrText};
use super::source::shown;
use super::watch::{SecretPattern, Secrets};
use crate::bounds;

impl Checker<'_, '_> {
    /// Checks the user's rules for secrets; what is wrong is left out.
    pub fn secrets(&mut self, table: SecretsTable) -> Secrets {
        if let Some(pattern) = table.patterns.get(bounds::MASK_RULES) {
            let message = format!("this pattern is one too many: at most {} are taken", bounds::MASK_RULES);
            self.report(pattern.span(), message, Some("several can be one: `(?:one|other)`"));
        }
        let mut secrets = Secrets::default();
        for pattern in table.patterns.into_iter().take(bounds::MASK_RULES) {
            // Each problem of a large file costs a search through it; nobody reads more than are listed.
            if self.problems.len() > ConfigError::LISTED {
                break;
            }
            secrets.patterns.extend(self.secret_pattern(pattern));
        }
        secrets.env = self.secret_names(table.env, &[]);
        secrets.not_env = self.secret_names(table.not_env, &secrets.env);
        secrets
    }

    fn secret_pattern(&mut self, pattern: Spanned<SecretTable>) -> Option<SecretPattern> {
        let span = pattern.span();
        let SecretTable { name, regex, group } = pattern.into_inner();
        for (key, is_missing) in [("name", name.is_none()), ("regex", regex.is_none())] {
            if is_missing {
                let hint = "such as `{ name = \"acme\", regex = \"acme_[0-9a-f]{32}\" }`";
                self.report_missing(span.clone(), &format!("the pattern has no `{key}`"), hint);
            }
        }
        let name = name.and_then(|name| self.mark(name));
        let regex = regex.and_then(|text| self.secret_regex(text));
        let (regex, groups) = regex?;
        let group = match group {
            Some(group) => Some(self.capture(&group, &groups)?),
            None => None,
        };
        Some(SecretPattern { name: name?, regex, group })
    }

    fn mark(&mut self, name: Spanned<String>) -> Option<String> {
        let text = name.get_ref();
        let is_one = (1..=bounds::MASK_NAME_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !is_one {
            let message = format!("`{}` cannot be shown in place of a secret", shown(text));
            let hint = "use letters, digits, `-`, `_` and `.`, at most 64";
            self.report(name.span(), message, Some(hint));
            return None;
        }
        Some(name.into_inner())
    }

    /// Returns a regular expression and the names of its groups, where they have one.
    fn secret_regex(&mut self, text: Spanned<String>) -> Option<(String, Vec<Option<String>>)> {
        if text.get_ref().len() > bounds::MASK_REGEX_BYTES {
            let message = format!("the pattern is longer than {} bytes", bounds::MASK_REGEX_BYTES);
            self.report(text.span(), message, Some("make two of it"));
            return None;
        }
        let compiled = regex::bytes::RegexBuilder::new(text.get_ref())
            .size_limit(bounds::MASK_REGEX_SIZE)
            .dfa_size_limit(bounds::MASK_REGEX_SIZE)
            .build();
        let groups = compiled.as_ref().map_or_else(
            |_| Vec::new(),
            |regex| regex.capture_names().map(|name| name.map(str::to_owned)).collect(),
        );
        let text = patterns::compiles(self.source, text, compiled.map(drop), self.problems)?;
        Some((text, groups))
    }

    fn capture(&mut self, group: &Spanned<CaptureValue>, groups: &[Option<String>]) -> Option<String> {
        let (asked, is_there) = match &group.get_ref().0 {
            NumberOrText::Number(number) => {
                let is_there = usize::try_from(*number).is_ok_and(|number| number < groups.len());
                (number.to_string(), is_there)
            }
            NumberOrText::Text(name) => (name.clone(), groups.iter().flatten().any(|known| known == name)),
        };
        if !is_there {
            let message = format!("the regular expression has no group `{}`", shown(&asked));
            let hint = match groups.len().saturating_sub(1) {
                0 => "it has none: put `( )` around the secret, or remove `group`".to_owned(),
                most => format!("its groups are numbered from 1 to {most}"),
            };
            self.report(group.span(), message, Some(&hint));
            return None;
        }
        Some(asked)
    }

    /// Returns names of variables; none of them may be among `others`.
    fn secret_names(&mut self, names: Vec<Spanned<String>>, others: &[String]) -> Vec<String> {
        let mut kept = Vec::new();
        for name in names {
            if self.problems.len() > ConfigError::LISTED || !self.is_variable(&name) {
                continue;
            }
            if others.contains(name.get_ref()) {
                let message = format!("`{}` stands in `env` and in `not_env`", shown(name.get_ref()));
                self.report(name.span(), message, Some("keep one"));
                continue;
            }
            kept.push(name.into_inner());
        }
        kept
    }
}
