//! Owns the check of `[alert.NAME]`: what counts, how often, of which processes.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use super::check::Checker;
use super::error::ConfigError;
use super::file::ConfigFile;
use super::file_watch::AlertTable;
use super::patterns;
use super::process::Group;
use super::recover::Recovered;
use super::shapes::StringOrList;
use super::source::shown;
use super::suggest;
use super::units::parse_duration;
use super::watch::{Alert, Rate};
use crate::bounds;
use crate::model::{Level, ProcessName};

/// Levels that events have.
const LEVELS: [(&str, Level); 3] = [("warn", Level::Warn), ("error", Level::Error), ("fatal", Level::Fatal)];
/// Most names that a mistyped one is compared with.
const SUGGESTED_FROM: usize = 1000;

impl Checker<'_, '_> {
    /// Checks all alerts; what is wrong is left out.
    pub fn alerts(
        &mut self,
        tables: BTreeMap<Spanned<String>, AlertTable>,
        read: &Recovered<ConfigFile>,
        groups: &BTreeMap<String, Group>,
    ) -> Vec<Alert> {
        let mut tables: Vec<_> = tables.into_iter().collect();
        tables.sort_by_key(|(name, _)| name.span().start);
        if let Some((key, _)) = tables.get(bounds::ALERTS) {
            let message = format!("this alert is one too many: at most {} are taken", bounds::ALERTS);
            self.report(key.span(), message, Some("one alert can be about several processes"));
        }
        let mut alerts = Vec::new();
        for (key, table) in tables.into_iter().take(bounds::ALERTS) {
            // Each problem of a large file costs a search through it; nobody reads more than are listed.
            if self.problems.len() > ConfigError::LISTED {
                break;
            }
            self.is_damaged = read.is_damaged(&["alert", key.get_ref()]);
            let known = Known { processes: read.names("process"), groups };
            alerts.extend(self.alert(&key, table, &known));
        }
        alerts
    }

    fn alert(&mut self, key: &Spanned<String>, table: AlertTable, known: &Known<'_>) -> Option<Alert> {
        if table.level.is_none() && table.pattern.is_none() && table.rate.is_none() {
            let hint = "add `level = \"error\"`, `pattern = \"…\"`, or `rate = \"1000/10s\"` for any line";
            self.report_missing(key.span(), "nothing says what raises this alert", hint);
        }
        let name = self.name(key);
        let processes = table.process.and_then(|names| self.alerted(key, names, known));
        let level = table.level.and_then(|word| self.word("level of an alert", &word, &LEVELS));
        let pattern = table.pattern.and_then(|text| self.alert_pattern(text));
        let rate = table.rate.and_then(|text| self.rate(&text));
        let window = table.window.and_then(|text| self.alert_window(&text));
        let message = table.message.and_then(|text| self.alert_message(text));
        Some(Alert {
            name: name?.as_str().to_owned(),
            processes,
            level,
            pattern,
            rate,
            window: window.unwrap_or(bounds::ALERT_WINDOW),
            message,
        })
    }

    /// Returns the processes that are meant, those of groups too.
    fn alerted(
        &mut self,
        alert: &Spanned<String>,
        names: Spanned<StringOrList>,
        known: &Known<'_>,
    ) -> Option<Vec<ProcessName>> {
        let span = names.span();
        let names = names.into_inner().into_list(span.clone());
        if names.is_empty() {
            self.report(span, "the alert is about no process", Some("leave `process` out for all of them"));
            return None;
        }
        let mut meant = BTreeSet::new();
        for name in names {
            if let Some(group) = known.groups.get(name.get_ref()) {
                meant.extend(group.members.iter().cloned());
            } else if known.processes.contains(name.get_ref()) {
                // A name that is none has been reported where it is defined.
                meant.extend(ProcessName::new(name.get_ref()).ok());
            } else {
                let (alert, unknown) = (shown(alert.get_ref()), shown(name.get_ref()));
                let message = format!("`{alert}` is about `{unknown}`, which is no process and no group");
                let words = known.words();
                let words = words.iter().map(String::as_str);
                let hint =
                    suggest::did_you_mean(name.get_ref(), words.clone()).unwrap_or_else(|| {
                        match words.clone().next() {
                            None => "there are no processes".to_owned(),
                            Some(_) => format!("there is {}", suggest::listed(words.take(10))),
                        }
                    });
                self.report(name.span(), message, Some(&hint));
            }
        }
        Some(meant.into_iter().collect())
    }

    fn alert_pattern(&mut self, text: Spanned<String>) -> Option<String> {
        if text.get_ref().len() > bounds::ALERT_REGEX_BYTES {
            let message = format!("the pattern is longer than {} bytes", bounds::ALERT_REGEX_BYTES);
            self.report(text.span(), message, Some("make two alerts of it"));
            return None;
        }
        let compiled =
            regex::bytes::RegexBuilder::new(text.get_ref()).size_limit(bounds::ALERT_REGEX_SIZE).build();
        patterns::compiles(self.source, text, compiled.map(drop), self.problems)
    }

    fn rate(&mut self, text: &Spanned<String>) -> Option<Rate> {
        let words = shown(text.get_ref());
        let hint = "write it like `10/1m`: so many, within that time";
        let Some((count, within)) = text.get_ref().split_once('/') else {
            self.report(text.span(), format!("`{words}` is not a rate"), Some(hint));
            return None;
        };
        let most = bounds::ALERT_RATE;
        let Some(count) = count.trim().parse().ok().filter(|count| (1..=most).contains(count)) else {
            let message = format!("`{words}` is not a rate: it counts from 1 to {most}");
            self.report(text.span(), message, Some("a shorter time makes up for a smaller number"));
            return None;
        };
        match parse_duration(within) {
            Ok(within) if bounds::ALERT_WITHIN.contains(&within) => Some(Rate { count, within }),
            Ok(_) => {
                let message = format!("`{words}` is not a rate: its time is from 100ms to 24h");
                self.report(text.span(), message, Some(hint));
                None
            }
            Err(error) => {
                let error = shown(&error.to_string());
                self.report(text.span(), format!("`{words}` is not a rate: {error}"), Some(hint));
                None
            }
        }
    }

    fn alert_window(&mut self, text: &Spanned<String>) -> Option<std::time::Duration> {
        let window = self.duration(text)?;
        if window < bounds::ALERT_WINDOW_LEAST {
            let hint = "it keeps one trouble from raising the same alert again and again";
            self.report(text.span(), "`window` must be at least 1s", Some(hint));
            return None;
        }
        Some(window)
    }

    fn alert_message(&mut self, text: Spanned<String>) -> Option<String> {
        let message = text.get_ref().trim();
        let most = bounds::ALERT_MESSAGE;
        if message.chars().count() > most || message.contains(char::is_control) {
            let told = format!("`message` must be one line of at most {most} characters");
            self.report(text.span(), told, None);
            return None;
        }
        (!message.is_empty()).then(|| message.to_owned())
    }
}

/// The names an alert may be about.
struct Known<'k> {
    processes: &'k [String],
    groups: &'k BTreeMap<String, Group>,
}

impl Known<'_> {
    fn words(&self) -> BTreeSet<String> {
        let names = self.processes.iter().chain(self.groups.keys());
        names.take(SUGGESTED_FROM).map(|name| shown(name)).collect()
    }
}
