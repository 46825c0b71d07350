//! Owns files of log patterns: `[[pattern]]` tables with name, regex, level, priority and category.
//!
//! Checks that a pattern can be used; the matching itself is the default classifier's.

use std::collections::BTreeMap;

use toml::Spanned;

use super::error::Problem;
use super::file::{PatternTable, PatternsFile};
use super::recover;
use super::source::{Source, shown};
use super::suggest;
use super::types::LogPattern;
use crate::model::Level;

/// Most patterns of a project; the default classifier takes no more.
pub(super) const PATTERNS: usize = 1000;

/// Priority of a pattern that gives none: above every built-in one.
const PRIORITY: i32 = 100;

/// Reads the patterns of one file; `problems` gets what is wrong with it.
pub(super) fn read(source: Source<'_>, problems: &mut Vec<Problem>) -> Vec<LogPattern> {
    let Some(file) = recover::read::<PatternsFile>(source, problems) else { return Vec::new() };
    // The span of a table with a problem of shape cannot be found again by its index, so all are excused.
    let complete = !file.is_damaged(&["pattern"]);
    let mut checker = Checker { source, problems, complete, lines: BTreeMap::new() };
    file.value.pattern.into_iter().filter_map(|pattern| checker.pattern(pattern)).collect()
}

struct Checker<'t, 'p> {
    source: Source<'t>,
    problems: &'p mut Vec<Problem>,
    /// Nothing was left out of the file, so what is not there was not written.
    complete: bool,
    /// Where each name was first.
    lines: BTreeMap<String, u32>,
}

impl Checker<'_, '_> {
    fn pattern(&mut self, pattern: Spanned<PatternTable>) -> Option<LogPattern> {
        let table = pattern.span();
        let PatternTable { name, regex, level, priority, category } = pattern.into_inner();
        for (key, missing) in
            [("name", name.is_none()), ("regex", regex.is_none()), ("level", level.is_none())]
        {
            if missing && self.complete {
                self.problems.push(self.source.problem(table.clone(), format!("the pattern has no `{key}`")));
            }
        }
        let name = name.and_then(|name| self.name(name));
        let regex = regex.and_then(|text| byte_regex(self.source, text, self.problems));
        let level = level.and_then(|word| self.level(word));
        let category = category.map(Spanned::into_inner);
        Some(LogPattern {
            name: name?,
            regex: regex?,
            level: level?,
            priority: priority.unwrap_or(PRIORITY),
            category,
        })
    }

    fn name(&mut self, name: Spanned<String>) -> Option<String> {
        let (line, _) = self.source.position(name.span().start);
        if let Some(first) = self.lines.get(name.get_ref()) {
            let message =
                format!("pattern `{}` is defined twice; first at line {first}", shown(name.get_ref()));
            self.problems.push(self.source.problem(name.span(), message));
            return None;
        }
        self.lines.insert(name.get_ref().clone(), line);
        Some(name.into_inner())
    }

    fn level(&mut self, word: Spanned<String>) -> Option<Level> {
        let level = Level::parse(word.get_ref()).filter(|level| *level != Level::Unknown);
        if level.is_none() {
            let known = Level::ALL.iter().map(|level| level.as_str()).filter(|word| *word != "unknown");
            let hint = suggest::did_you_mean(word.get_ref(), known.clone())
                .unwrap_or_else(|| format!("the levels are {}", suggest::listed(known)));
            let message = format!("`{}` is not a level", shown(word.get_ref()));
            self.problems.push(self.source.problem(word.span(), message).hint(hint));
        }
        level
    }
}

/// Returns the text of a regular expression over a line's characters; `problems` gets the reason when it is none.
pub(super) fn text_regex(
    source: Source<'_>,
    text: Spanned<String>,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let compiled = regex::Regex::new(text.get_ref()).map(drop);
    compiles(source, text, compiled, problems)
}

/// As [`text_regex`], over a line's bytes, as the classifier reads them.
fn byte_regex(source: Source<'_>, text: Spanned<String>, problems: &mut Vec<Problem>) -> Option<String> {
    let compiled = regex::bytes::RegexBuilder::new(text.get_ref()).unicode(false).build().map(drop);
    compiles(source, text, compiled, problems)
}

/// Returns the text of a regular expression that was compiled; `problems` gets the reason when it could not be.
pub(super) fn compiles(
    source: Source<'_>,
    text: Spanned<String>,
    compiled: Result<(), regex::Error>,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let error = match compiled {
        Ok(()) => return Some(text.into_inner()),
        Err(regex::Error::CompiledTooBig(limit)) => {
            format!("it needs more than {} MiB when compiled; repeat less", limit >> 20)
        }
        // The library draws a picture of several lines; its last line says what is wrong.
        Err(error) => {
            let drawn = error.to_string();
            let last = drawn.lines().last().unwrap_or_default();
            shown(last.trim_start_matches("error: "))
        }
    };
    problems.push(source.problem(text.span(), format!("not a valid regular expression: {error}")));
    None
}
