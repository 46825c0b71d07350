//! Masks the lines of one run, before a plugin, the store or anybody else sees them.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::lines::Lines;
use crate::mask::{Ending, MaskState, Masker, RulesInForce, Secret};
use crate::model::Stream;
use crate::shim::LaunchSpec;

/// What stands for a word that is a secret by what names it.
const MASKED: &str = "[masked:secret]";

/// The masker of a run, and what it remembers of each of its streams.
pub(super) struct Masking {
    masker: Masker,
    stdout: MaskState,
    stderr: MaskState,
    rules: RulesInForce,
    /// Which rules the masker is made of.
    number: u64,
    /// Where the launch spec is.
    dir: PathBuf,
    secrets: Vec<Secret>,
}

impl Masking {
    /// Makes the masker of the run in `dir`, which knows the values of its secret variables. Where its launch spec
    /// cannot be read any more, only the forms of secrets are known.
    pub(super) fn of_run(dir: &Path, rules: RulesInForce) -> Self {
        let (stdout, stderr) = (MaskState::default(), MaskState::default());
        let (masker, secrets) = (Masker::default(), Vec::new());
        let mut masking = Self { masker, stdout, stderr, rules, number: 0, dir: dir.to_owned(), secrets };
        masking.renew();
        masking
    }

    /// Takes up other rules, once there are some.
    fn renew(&mut self) {
        if self.rules.number() == self.number {
            return;
        }
        let current = self.rules.current();
        self.number = current.number();
        // What is known stays known when the spec cannot be read again.
        if let Ok(spec) = LaunchSpec::read(&self.dir) {
            self.secrets = current.secrets_of(spec.env);
        }
        self.masker = current.masker_with(&self.secrets);
    }

    /// Masks the lines from `first` on, which are all of `stream`.
    pub(super) fn mask(&mut self, stream: Stream, lines: &mut Lines, first: usize) {
        self.renew();
        let mut other = MaskState::default();
        let state = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
            // Each of Ostler's own lines stands for itself.
            Stream::Ostler => &mut other,
        };
        let mut start = if first == 0 { 0 } else { lines.ends[first - 1] as usize };
        // The text from the first line on that had to be changed, and where it begins.
        let mut changed: Option<(usize, Vec<u8>)> = None;
        for index in first..lines.len() {
            let end = lines.ends[index] as usize;
            let ending = if lines.partial[index] { Ending::GoesOn } else { Ending::Ends };
            let masked = self.masker.mask_part(state, &lines.text[start..end], ending);
            match (&mut changed, masked) {
                (None, Cow::Borrowed(_)) => {}
                (None, Cow::Owned(text)) => changed = Some((start, text)),
                (Some((_, text)), masked) => text.extend_from_slice(&masked),
            }
            if let Some((from, text)) = &changed {
                lines.ends[index] = u32::try_from(from + text.len()).unwrap_or(u32::MAX);
            }
            start = end;
        }
        if let Some((from, text)) = changed {
            lines.text.truncate(from);
            lines.text.extend_from_slice(&text);
        }
    }

    /// Returns the words of a command with their secrets masked, as plugins see it: what is one by itself, and what
    /// stands behind an option or before a `=` that names one. The words stay as many as they were.
    pub(super) fn words(&mut self, command: &[String]) -> Vec<String> {
        self.renew();
        let rules = self.rules.current();
        let mut is_value = false;
        let masked = command.iter().map(|word| {
            let behind_option = std::mem::replace(
                &mut is_value,
                word.starts_with('-') && !word.contains('=') && rules.is_secret(word),
            );
            match word.split_once('=') {
                _ if behind_option && !word.starts_with('-') => MASKED.to_owned(),
                Some((name, value)) if !value.is_empty() && rules.is_secret(name) => {
                    format!("{name}={MASKED}")
                }
                _ => self.masker.mask_text(word).into_owned(),
            }
        });
        masked.collect()
    }

    /// Returns one line of Ostler's own, which may tell what a command has printed, with its secrets masked.
    pub(super) fn text<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        self.renew();
        self.masker.mask_text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{ProjectRules, Rules, UserRule};

    fn masking() -> Masking {
        let secrets = vec![Secret::new("SHOP_SECRET", "tr0ub4dor-and-3")];
        let rules = RulesInForce::default();
        let masker = rules.current().masker_with(&secrets);
        let mut masking = Masking::of_run(Path::new("/nowhere"), rules);
        (masking.masker, masking.secrets) = (masker, secrets);
        masking
    }

    fn lines(texts: &[&str]) -> Lines {
        let mut lines = Lines::default();
        texts.iter().for_each(|text| lines.push(text.as_bytes(), false, 0));
        lines
    }

    fn texts(lines: &Lines) -> Vec<String> {
        lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    #[test]
    fn lines_before_the_first_stay_and_those_behind_a_masked_one_keep_their_text() {
        let mut lines = lines(&["it is tr0ub4dor-and-3", "plain", "now tr0ub4dor-and-3!", "", "plain again"]);
        masking().mask(Stream::Stdout, &mut lines, 1);
        let mark = "now [masked:SHOP_SECRET]!";
        assert_eq!(texts(&lines), ["it is tr0ub4dor-and-3", "plain", mark, "", "plain again"]);
        assert_eq!(*lines.ends.last().unwrap() as usize, lines.text.len());
    }

    #[test]
    fn what_has_no_secrets_is_not_touched() {
        let mut plain = lines(&["a", "", "b"]);
        let before = plain.clone();
        masking().mask(Stream::Stderr, &mut plain, 0);
        assert_eq!(plain, before);
    }

    #[test]
    fn a_command_keeps_its_words_and_loses_its_secrets() {
        let command = [
            "serve",
            "--token",
            "hunter2",
            "--api-key=a b",
            "DB_PASSWORD=x",
            "postgres://shop:hunter2@db/shop",
            "--password",
            "--port",
            "80",
            "tr0ub4dor-and-3",
            "--secret",
        ];
        let words = masking().words(&command.map(str::to_owned));
        assert_eq!(
            words,
            [
                "serve",
                "--token",
                "[masked:secret]",
                "--api-key=[masked:secret]",
                "DB_PASSWORD=[masked:secret]",
                "postgres://shop:[masked:url-password]@db/shop",
                "--password",
                "--port",
                "80",
                "[masked:SHOP_SECRET]",
                "--secret",
            ]
        );
    }

    #[test]
    fn a_private_key_is_remembered_by_stream() {
        let mut masking = masking();
        let mut begun = lines(&["-----BEGIN RSA PRIVATE KEY-----"]);
        masking.mask(Stream::Stdout, &mut begun, 0);
        let body = "MIIEowIBAAKCAQEAx1Zq9n0c3b7YfJw2m5kT8vQhR4sL6dUeWgPiXoCzNtBaKyMr";
        let mut other = lines(&["going on"]);
        masking.mask(Stream::Stderr, &mut other, 0);
        assert_eq!(texts(&other), ["going on"]);
        let mut key = lines(&[body]);
        masking.mask(Stream::Stdout, &mut key, 0);
        assert!(!texts(&key)[0].contains("MIIEow"), "{key:?}");
    }

    #[test]
    fn other_rules_are_taken_up_with_the_next_lines_and_what_was_known_stays_known() {
        let mut masking = masking();
        let mut before = lines(&["acme_0123 and tr0ub4dor-and-3"]);
        masking.mask(Stream::Stdout, &mut before, 0);
        assert_eq!(texts(&before), ["acme_0123 and [masked:SHOP_SECRET]"]);
        let rule = UserRule::new("acme", "acme_[0-9]+", None).unwrap();
        masking
            .rules
            .replace(ProjectRules { rules: Rules::new(vec![rule]).unwrap(), ..ProjectRules::default() });
        let mut after = lines(&["acme_0123 and tr0ub4dor-and-3"]);
        masking.mask(Stream::Stdout, &mut after, 0);
        assert_eq!(texts(&after), ["[masked:acme] and [masked:SHOP_SECRET]"]);
        assert_eq!(masking.text("acme_9"), "[masked:acme]");
    }
}
