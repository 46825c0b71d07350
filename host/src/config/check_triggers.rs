//! Owns the check of what starts or stirs a process besides people: `reload`, `watch` and `schedule`.

use std::time::Duration;

use toml::Spanned;

use super::check::Checker;
use super::cron::{self, CronError};
use super::file::{ReloadTable, ScheduleTable, WatchTable};
use super::glob;
use super::process::{Overlap, Reload, Schedule, Watch, WatchAction};
use super::shapes::{ReloadValue, ScheduleValue, StringOrList, WatchValue};
use super::source::shown;
use super::suggest;
use crate::bounds::WATCH_GLOBS;
use crate::model::{signal_name, signal_number};

/// Quiet time when none is given: editors write a file in several steps.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Longest quiet time: files that never rest would otherwise hide every change.
const DEBOUNCE_AT_MOST: Duration = Duration::from_secs(60);

impl Checker<'_, '_> {
    pub fn reload(&mut self, value: Spanned<ReloadValue>) -> Option<Reload> {
        let span = value.span();
        let ReloadTable { signal, command } = match value.into_inner() {
            ReloadValue::Signal(signal) => {
                if signal_number(&signal).is_none() && signal.contains([' ', '/', '.']) {
                    let message = format!("`{}` is not a signal", shown(&signal));
                    let hint = "for a command write `reload = { command = \"…\" }`";
                    self.report(span, message, Some(hint));
                    return None;
                }
                ReloadTable { signal: Some(Spanned::new(span.clone(), signal)), command: None }
            }
            ReloadValue::Table(table) => table,
        };
        match (signal, command) {
            (Some(_), Some(command)) => {
                let hint = "keep one; a command can send a signal with `kill -HUP $MAINPID`";
                self.report(command.span(), "`reload` has both `signal` and `command`", Some(hint));
                None
            }
            (Some(signal), None) => self.signal(&signal).map(Reload::Signal),
            (None, Some(command)) => self.side_command(command).map(Reload::Command),
            (None, None) => {
                let hint = "write `reload = \"SIGHUP\"`, or `reload = { command = \"…\" }`";
                self.report_missing(span, "`reload` has neither `signal` nor `command`", hint);
                None
            }
        }
    }

    /// Checks `watch`; `can_reload` says whether the process has a `reload`.
    pub fn watch(&mut self, value: Spanned<WatchValue>, can_reload: bool) -> Option<Watch> {
        let span = value.span();
        let table = match value.into_inner() {
            WatchValue::Paths(paths) => {
                WatchTable { paths: Some(Spanned::new(span.clone(), paths)), ..WatchTable::default() }
            }
            WatchValue::Table(table) => table,
        };
        let globs = match table.paths {
            Some(paths) => self.globs(paths),
            None => {
                let hint = "say which files: `paths = [\"src/**/*.py\"]`";
                self.report_missing(span, "`watch` has no `paths`", hint);
                None
            }
        };
        let ignore = table.ignore.and_then(|globs| match globs.get_ref() {
            StringOrList::List(list) if list.is_empty() => None,
            _ => self.globs(globs),
        });
        let debounce = table.debounce.and_then(|text| self.debounce(&text));
        let action = table.action.and_then(|word| self.watch_action(&word, can_reload));
        Some(Watch {
            globs: globs?,
            ignore: ignore.unwrap_or_default(),
            ignore_files: table.ignore_files.unwrap_or(true),
            debounce: debounce.unwrap_or(DEBOUNCE),
            action: action.unwrap_or(WatchAction::Restart),
        })
    }

    fn globs(&mut self, globs: Spanned<StringOrList>) -> Option<Vec<String>> {
        let span = globs.span();
        let list = globs.into_inner().into_list(span.clone());
        if list.is_empty() {
            let hint = "name files, such as `\"src/**/*.py\"`, or remove the key";
            self.report(span, "no files are named here", Some(hint));
            return None;
        }
        if list.len() > WATCH_GLOBS {
            let message = format!("there are more than {WATCH_GLOBS} globs here");
            self.report(span, message, Some("use `**` and `{a,b}` to say more with less"));
            return None;
        }
        let mut read = Vec::new();
        for text in list {
            match glob::check(text.get_ref()) {
                Ok(glob) => read.push(glob),
                Err(error) => {
                    let message = format!("`{}` is not a glob: {error}", shown(text.get_ref()));
                    self.report(text.span(), message, Some(error.hint()));
                }
            }
        }
        Some(read)
    }

    fn debounce(&mut self, text: &Spanned<String>) -> Option<Duration> {
        let debounce = self.duration(text)?;
        if debounce > DEBOUNCE_AT_MOST {
            let hint = "it is the quiet time after the last change; `200ms` is enough for most editors";
            self.report(text.span(), "`watch.debounce` must be at most 1m", Some(hint));
            return None;
        }
        Some(debounce)
    }

    fn watch_action(&mut self, word: &Spanned<String>, can_reload: bool) -> Option<WatchAction> {
        match word.get_ref().as_str() {
            "restart" => Some(WatchAction::Restart),
            "reload" if can_reload => Some(WatchAction::Reload),
            "reload" => {
                let hint = "add `reload = \"SIGHUP\"` or `reload = { command = \"…\" }` to the process";
                self.report(word.span(), "the process has no `reload`", Some(hint));
                None
            }
            text => {
                let signal = signal_number(text);
                if signal.is_none() {
                    let known = ["restart", "reload"].into_iter().chain((1..32).filter_map(signal_name));
                    let hint = suggest::did_you_mean(text, known).unwrap_or_else(|| {
                        "use `restart`, `reload`, or a signal such as `SIGHUP`".to_owned()
                    });
                    self.report(word.span(), format!("`{}` is not an action", shown(text)), Some(&hint));
                }
                signal.map(WatchAction::Signal)
            }
        }
    }

    pub fn schedule(&mut self, value: Spanned<ScheduleValue>) -> Option<Schedule> {
        let span = value.span();
        let table = match value.into_inner() {
            ScheduleValue::Cron(cron) => {
                ScheduleTable { cron: Some(Spanned::new(span.clone(), cron)), overlap: None }
            }
            ScheduleValue::Table(table) => table,
        };
        let overlap = table.overlap.and_then(|word| self.word("way to overlap", &word, &Overlap::WORDS));
        let Some(cron) = table.cron else {
            let hint = "say when: `cron = \"*/5 * * * *\"` is every five minutes";
            self.report_missing(span, "`schedule` has no `cron`", hint);
            return None;
        };
        match cron::check(cron.get_ref()) {
            Ok(()) => Some(Schedule { cron: cron.into_inner(), overlap: overlap.unwrap_or_default() }),
            Err(error) => {
                let text = shown(cron.get_ref());
                let message = match &error {
                    CronError::Never => format!("`{text}` never comes due"),
                    CronError::Malformed(why) => format!("`{text}` is not a schedule: {why}"),
                };
                self.report(cron.span(), message, Some(error.hint()));
                None
            }
        }
    }
}
