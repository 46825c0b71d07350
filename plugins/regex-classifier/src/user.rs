//! The user's own patterns: from JSON to a matcher. Compiled once per text, whatever the number of sessions.

use std::cell::RefCell;
use std::rc::Rc;

use ostler_sdk::Level;
use regex_automata::nfa::thompson::{self, NFA};
use serde::Deserialize;

use crate::lazy::Lazy;
use crate::matcher::{Floating, Matcher};
use crate::outcome::Outcome;
use crate::table::{self, Anchor, Failure, Rule, Table};

/// Priority of a pattern that gives none: above all default patterns.
const PRIORITY: i32 = 100;
/// Most patterns one configuration may have.
const PATTERNS: usize = 1000;
/// Automaton of the patterns before it is reduced, in bytes; past it the lazy engine takes them.
const AUTOMATON_LIMIT: usize = 1 << 20;
/// One compiled expression, in bytes.
const PATTERN_LIMIT: usize = 1 << 20;
/// Configurations kept compiled.
const KEPT: usize = 16;

/// The JSON schema of the configuration.
pub const SCHEMA: &str = include_str!("config.schema.json");

/// The configuration as users write it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "yes")]
    defaults: bool,
    #[serde(default)]
    pattern: Vec<Entry>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    regex: String,
    level: String,
    #[serde(default = "default_priority")]
    priority: i32,
    category: Option<String>,
}

fn default_priority() -> i32 {
    PRIORITY
}

/// A user's patterns made ready.
#[derive(Debug)]
pub struct User {
    /// Whether the default patterns are asked as well.
    pub defaults: bool,
    /// The patterns, or `None` when there are none.
    pub matcher: Option<Matcher>,
    /// By outcome: the name and category of its pattern.
    pub names: Vec<(String, Option<String>)>,
}

thread_local! {
    static COMPILED: RefCell<Vec<(String, Rc<User>)>> = const { RefCell::new(Vec::new()) };
}

/// Returns the compiled form of a configuration, from the last few seen where possible.
///
/// # Errors
/// What is wrong with it, naming the pattern.
pub fn compile(config: &str) -> Result<Rc<User>, String> {
    let kept =
        COMPILED.with_borrow(|all| all.iter().find(|(text, _)| text == config).map(|(_, user)| user.clone()));
    if let Some(user) = kept {
        return Ok(user);
    }
    let user = Rc::new(User::new(config)?);
    COMPILED.with_borrow_mut(|all| {
        if all.len() == KEPT {
            all.remove(0);
        }
        all.push((config.to_owned(), user.clone()));
    });
    Ok(user)
}

impl User {
    fn new(config: &str) -> Result<Self, String> {
        let config: Config = match config.trim() {
            "" => Config { defaults: true, pattern: Vec::new() },
            text => serde_json::from_str(text)
                .map_err(|error| format!("the configuration does not fit: {error}"))?,
        };
        if config.pattern.len() > PATTERNS {
            return Err(format!("{} patterns are more than the {PATTERNS} allowed", config.pattern.len()));
        }
        let mut outcomes = Vec::new();
        let (mut anchored, mut floating) = (Vec::new(), Vec::new());
        for (number, entry) in (0..).zip(&config.pattern) {
            outcomes.push(outcome(entry)?);
            check_size(entry)?;
            let rule = Rule { regex: &entry.regex, outcome: number, priority: entry.priority };
            match table::anchor(&entry.regex).map_err(|error| bad_regex(entry, &error))? {
                Anchor::Start => anchored.push(rule),
                Anchor::Anywhere => floating.push(rule),
            }
        }
        // An anchored set that is too large goes the slow way with the others.
        let anchored = match table(&anchored, Anchor::Start)? {
            Compiled::TooLarge => {
                floating.append(&mut anchored);
                floating.sort_by_key(|rule| rule.outcome);
                None
            }
            Compiled::Nothing => None,
            Compiled::Table(table) => Some(table),
        };
        let floating = match table(&floating, Anchor::Anywhere)? {
            Compiled::TooLarge => Some(Floating::Lazy(Box::new(Lazy::new(&floating)?))),
            Compiled::Nothing => None,
            Compiled::Table(table) => Some(Floating::Table(table)),
        };
        let matcher = (!outcomes.is_empty()).then(|| Matcher::new(outcomes, anchored, floating));
        let names = config.pattern.into_iter().map(|entry| (entry.name, entry.category)).collect();
        Ok(Self { defaults: config.defaults, matcher, names })
    }
}

enum Compiled {
    Nothing,
    Table(Table<'static>),
    TooLarge,
}

fn table(rules: &[Rule<'_>], anchor: Anchor) -> Result<Compiled, String> {
    if rules.is_empty() {
        return Ok(Compiled::Nothing);
    }
    match table::build(rules, anchor, AUTOMATON_LIMIT) {
        Ok(table) => Ok(Compiled::Table(table)),
        Err(Failure::TooLarge) => Ok(Compiled::TooLarge),
        Err(Failure::Invalid(reason)) => Err(format!("the patterns do not compile: {reason}")),
    }
}

fn outcome(entry: &Entry) -> Result<Outcome, String> {
    let level = Level::parse(&entry.level).ok_or_else(|| {
        format!(
            "pattern `{}`: `{}` is not a level: use trace, debug, info, warn, error or fatal",
            entry.name, entry.level
        )
    })?;
    Ok(Outcome { priority: entry.priority, level: level.code(), facts: 0, opens: 0 })
}

/// Refuses an expression whose repetitions make it huge, while it can still be named.
fn check_size(entry: &Entry) -> Result<(), String> {
    let config = thompson::Config::new().utf8(false).nfa_size_limit(Some(PATTERN_LIMIT));
    let built = NFA::compiler().syntax(table::syntax()).configure(config).build(&entry.regex);
    match built {
        Err(error) if error.size_limit().is_some() => Err(format!(
            "pattern `{}`: the regex `{}` compiles to more than {PATTERN_LIMIT} bytes: repeat less",
            entry.name, entry.regex
        )),
        _ => Ok(()),
    }
}

fn bad_regex(entry: &Entry, error: &str) -> String {
    format!("pattern `{}`: the regex `{}` does not parse: {error}", entry.name, entry.regex)
}

#[cfg(test)]
mod tests {
    use ostler_sdk::testing::{Outcome, classify_with};
    use ostler_sdk::{Classifier, Run, Stream};

    use super::*;
    use crate::RegexClassifier;

    fn classify(config: &str, lines: &[&str]) -> Outcome {
        classify_with::<RegexClassifier>(config, Stream::Stdout, lines)
    }

    fn refusal(config: &str) -> String {
        RegexClassifier::open(&Run::default(), config).err().expect("the configuration is wrong")
    }

    #[test]
    fn a_pattern_of_the_users_beats_the_defaults_unless_its_priority_says_otherwise() {
        let config = |priority: i32| {
            format!(
                r#"{{"pattern":[{{"name":"boom","regex":"boom","level":"fatal","priority":{priority}}}]}}"#
            )
        };
        let lines = ["INFO: boom", "an error, boom", "boom", "fine"];
        assert_eq!(classify(&config(100), &lines).levels, "fff-");
        assert_eq!(classify(&config(50), &lines).levels, "iff-");
        assert_eq!(classify(&config(1), &lines).levels, "ief-");
    }

    #[test]
    fn without_defaults_only_the_users_patterns_count() {
        let config = r#"{"defaults":false,"pattern":[{"name":"x","regex":"^x","level":"Warning"}]}"#;
        assert_eq!(classify(config, &["ERROR: y", "x", "an x"]).levels, "-w-");
    }

    #[test]
    fn a_category_makes_a_match_a_fact() {
        let config = r#"{"pattern":[
            {"name":"slow","regex":"took \\d{4,} ms","level":"warn","category":"performance"},
            {"name":"plain","regex":"plain","level":"info"}]}"#;
        let outcome = classify(config, &["query took 1234 ms", "plain", "query took 12 ms"]);
        assert_eq!(outcome.levels, "wi-");
        let [note] = &outcome.notes[..] else { panic!("one note was expected: {:?}", outcome.notes) };
        assert_eq!((note.line, note.fact.kind.as_str()), (0, "match"));
        assert_eq!(
            (note.fact.get("pattern"), note.fact.get("category")),
            (Some("slow"), Some("performance"))
        );
    }

    #[test]
    fn among_equal_priorities_the_first_match_in_the_line_wins() {
        let config = r#"{"pattern":[
            {"name":"b","regex":"beta","level":"error"},
            {"name":"a","regex":"alpha","level":"debug"}]}"#;
        assert_eq!(classify(config, &["alpha beta", "beta alpha"]).levels, "de");
    }

    #[test]
    fn a_bad_regex_is_named_with_its_place() {
        let reason = refusal(r#"{"pattern":[{"name":"odd","regex":"a(b","level":"warn"}]}"#);
        assert!(reason.starts_with("pattern `odd`: the regex `a(b` does not parse: "), "{reason}");
        assert!(reason.contains("unclosed group") && reason.contains("\n     ^"), "{reason}");
    }

    #[test]
    fn what_else_is_wrong_is_named() {
        let level = refusal(r#"{"pattern":[{"name":"x","regex":"x","level":"loud"}]}"#);
        assert!(level.contains("pattern `x`: `loud` is not a level"), "{level}");
        let key = refusal(r#"{"pattern":[{"name":"x","regexp":"x","level":"warn"}]}"#);
        assert!(key.contains("unknown field `regexp`, expected one of `name`, `regex`"), "{key}");
        let huge = refusal(r#"{"pattern":[{"name":"x","regex":"(\\w{500}){500}","level":"warn"}]}"#);
        assert!(huge.contains("pattern `x`") && huge.contains("repeat less"), "{huge}");
        assert!(refusal("3").contains("does not fit"), "{}", refusal("3"));
    }

    #[test]
    fn patterns_too_large_for_a_table_are_matched_lazily() {
        let regex = "(?:a|b)*a(?:a|b){24}c";
        assert!(matches!(
            table::build(&[Rule { regex, outcome: 0, priority: 1 }], Anchor::Anywhere, AUTOMATON_LIMIT),
            Err(Failure::TooLarge)
        ));
        let config = format!(r#"{{"pattern":[{{"name":"x","regex":"{regex}","level":"fatal"}}]}}"#);
        let hit = format!("{}ac", "ab".repeat(20));
        let miss = format!("{}c", "b".repeat(40));
        assert_eq!(classify(&config, &[&hit, &miss, "ERROR: x"]).levels, "f-e");
    }

    #[test]
    fn sessions_with_one_configuration_share_its_compiled_form() {
        let config = r#"{"pattern":[{"name":"x","regex":"shared","level":"warn"}]}"#;
        let (first, second) = (compile(config).unwrap(), compile(config).unwrap());
        assert!(Rc::ptr_eq(&first, &second));
    }

    #[test]
    fn the_example_configuration_does_what_it_says() {
        let text = include_str!("../../../config/log-patterns.toml");
        let config = serde_json::to_string(&toml::from_str::<toml::Value>(text).unwrap()).unwrap();
        let outcome = classify(
            &config,
            &[
                "2026-11-20 08:29:25,123 INFO db query took 1234 ms",
                "Payment declined for order 7",
                "INFO:     127.0.0.1:46162 - \"GET /health HTTP/1.1\" 200 OK",
                "ERROR: redis: connection lost, retrying",
                "TODO: tidy up",
                "ERROR: TODO",
                "plain",
            ],
        );
        assert_eq!(outcome.levels, "wetwde-");
        let categories: Vec<_> = outcome.notes.iter().filter_map(|note| note.fact.get("category")).collect();
        assert_eq!(categories, ["performance", "payments"]);
    }
}
