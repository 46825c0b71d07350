//! What alerts look for: rules as they are handed over, compiled once, and picked out for each process.
//!
//! Pure: knows neither what was raised nor any clock.

use std::sync::Arc;
use std::time::Duration;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use tracing::error;

use crate::bounds;
use crate::model::{Event, Level, ProcessName, Stream};
use crate::pipeline::events::Stored;

/// When to raise an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRule {
    pub name: String,
    /// Without numbers of replicas; none means all.
    pub processes: Option<Vec<ProcessName>>,
    /// Events of at least this level count; without it lines do.
    pub level: Option<Level>,
    /// A regular expression (crate `regex` syntax) over a line's bytes.
    pub pattern: Option<String>,
    /// So many of them, at least one and at most [`bounds::ALERT_RATE`], raise it,
    pub count: u32,
    /// within this time, when it is more than one.
    pub within: Duration,
    /// How long it keeps quiet afterwards.
    pub window: Duration,
    /// What the user has to say.
    pub message: Option<String>,
}

impl AlertRule {
    /// Returns what was counted, in words: `10 events at error within 1m`.
    pub(super) fn what(&self) -> String {
        let (one, many) = if self.level.is_some() { ("an event", "events") } else { ("a line", "lines") };
        let mut what = if self.count > 1 { format!("{} {many}", self.count) } else { one.to_owned() };
        if let Some(level) = self.level {
            what.push_str(&format!(" at {}", level.as_str()));
        }
        if self.pattern.is_some() {
            what.push_str(if self.count > 1 { " that match" } else { " that matches" });
        }
        if self.count > 1 {
            what.push_str(&format!(" within {}", short(self.within)));
        }
        what
    }

    /// Returns whether the same is counted as by another one, so that what was counted goes on to count.
    pub(super) fn counts_as(&self, other: &Self) -> bool {
        (self.level, &self.pattern, self.count, self.within)
            == (other.level, &other.pattern, other.count, other.within)
    }

    fn is_about(&self, base: &ProcessName) -> bool {
        self.processes.as_ref().is_none_or(|names| names.contains(base))
    }
}

/// Returns a duration as it is written in configuration: `1m30s`.
pub(super) fn short(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if left >= size {
            text.push_str(&format!("{}{unit}", left / size));
            left %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// All rules in force.
#[derive(Debug, Default)]
pub(super) struct Rules {
    rules: Vec<(AlertRule, Option<Regex>)>,
}

impl Rules {
    /// Compiles rules; one that cannot be is left out, which whoever checked it should have prevented.
    pub(super) fn new(rules: Vec<AlertRule>) -> Self {
        let compile = |rule: AlertRule| match rule.pattern.as_deref().map(compiled).transpose() {
            Ok(pattern) => Some((rule, pattern)),
            Err(error) => {
                error!(alert = rule.name, %error, "the pattern of an alert cannot be used");
                None
            }
        };
        Self { rules: rules.into_iter().take(bounds::ALERTS).filter_map(compile).collect() }
    }

    pub(super) fn get(&self, index: usize) -> Option<&AlertRule> {
        self.rules.get(index).map(|(rule, _)| rule)
    }

    pub(super) fn place_of(&self, name: &str) -> Option<usize> {
        self.rules.iter().position(|(rule, _)| rule.name == name)
    }

    /// Returns the rules that an event counts for.
    pub(super) fn of_event(&self, event: &Event) -> Vec<usize> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let base = event.process.base();
        let counts = |(rule, pattern): &(AlertRule, Option<Regex>)| {
            rule.level.is_some_and(|level| event.level >= level)
                && rule.is_about(&base)
                && pattern
                    .as_ref()
                    .is_none_or(|pattern| event.text.lines().any(|line| pattern.is_match(line.as_bytes())))
        };
        (0..self.rules.len()).filter(|index| counts(&self.rules[*index])).collect()
    }

    /// Picks out what the lines of a process are held against; none when nothing is.
    pub(super) fn of_lines(&self, process: &ProcessName) -> Option<Arc<LineRules>> {
        let base = process.base();
        let mut lines = LineRules::default();
        let mut patterns = Vec::new();
        for (index, (rule, pattern)) in self.rules.iter().enumerate() {
            if rule.level.is_some() || !rule.is_about(&base) {
                continue;
            }
            match pattern {
                Some(pattern) => {
                    patterns.push(pattern.as_str());
                    lines.of_patterns.push(index);
                }
                None => lines.of_all.push(index),
            }
        }
        if !patterns.is_empty() {
            // They have been compiled one by one before; together they are bounded by their number.
            let mut set = RegexSetBuilder::new(patterns);
            set.size_limit(bounds::ALERT_REGEX_SIZE * bounds::ALERTS);
            lines.set = set.build().inspect_err(|error| error!(%error, "alerts by patterns are off")).ok();
        }
        (lines.set.is_some() || !lines.of_all.is_empty()).then(|| Arc::new(lines))
    }
}

fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(bounds::ALERT_REGEX_SIZE).build()
}

/// What the lines of one process are held against.
#[derive(Debug, Default)]
pub(super) struct LineRules {
    set: Option<RegexSet>,
    /// The rule of each pattern of the set.
    of_patterns: Vec<usize>,
    /// Rules that every line counts for.
    of_all: Vec<usize>,
}

impl LineRules {
    /// Calls `found` with the place of each line that counts, its text, and the rule it counts for.
    pub(super) fn look<'t>(&self, batch: &Stored<'t>, mut found: impl FnMut(usize, &'t [u8], usize)) {
        let mut start = 0;
        for (place, end) in batch.ends.iter().enumerate() {
            let text = &batch.text[start..*end as usize];
            start = *end as usize;
            // What Ostler itself says raises nothing, alerts least of all.
            if batch.streams[place] == Stream::Ostler as u8 {
                continue;
            }
            for rule in &self.of_all {
                found(place, text, *rule);
            }
            let Some(set) = self.set.as_ref().filter(|set| set.is_match(text)) else { continue };
            for pattern in set.matches(text) {
                found(place, text, self.of_patterns[pattern]);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::pipeline::alerts) fn rule(name: &str) -> AlertRule {
        AlertRule {
            name: name.to_owned(),
            processes: None,
            level: None,
            pattern: None,
            count: 1,
            within: Duration::ZERO,
            window: Duration::from_secs(300),
            message: None,
        }
    }

    #[test]
    fn what_is_counted_is_said_in_words() {
        let one = AlertRule { level: Some(Level::Error), ..rule("a") };
        assert_eq!(one.what(), "an event at error");
        let many = AlertRule { count: 10, within: Duration::from_secs(90), ..one };
        assert_eq!(many.what(), "10 events at error within 1m30s");
        let lines = AlertRule { pattern: Some("x".into()), ..rule("b") };
        assert_eq!(lines.what(), "a line that matches");
        assert_eq!(short(Duration::from_millis(500)), "500ms");
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_left_out_and_the_others_stay() {
        let bad = AlertRule { pattern: Some("(".into()), ..rule("bad") };
        let rules = Rules::new(vec![bad, rule("good")]);
        assert_eq!((rules.place_of("bad"), rules.place_of("good")), (None, Some(0)));
    }

    #[test]
    fn a_process_that_no_rule_is_about_has_nothing_to_look_for() {
        let api = ProcessName::new("api").unwrap();
        let of_db = AlertRule { processes: Some(vec![ProcessName::new("db").unwrap()]), ..rule("a") };
        let events = AlertRule { level: Some(Level::Error), pattern: Some("x".into()), ..rule("b") };
        assert!(Rules::new(vec![of_db, events]).of_lines(&api).is_none());
        let replica = ProcessName::parse("api#2").unwrap();
        let of_api = AlertRule { processes: Some(vec![api]), ..rule("a") };
        assert!(Rules::new(vec![of_api]).of_lines(&replica).is_some());
    }
}
