//! Owns the check of how much log is kept: of the whole project in `[logs]`, and of a process in its `logs`.

use std::time::Duration;

use toml::Spanned;

use super::check::Checker;
use super::file::LogsTable;
use super::shapes::{NumberOrText, SizeValue};
use super::source::shown;
use super::types::KeepLogs;
use super::units::{parse_bytes, parse_duration};
use crate::bounds;
use crate::model::ProcessName;

/// Least bytes of all log: the part that grows is not packed yet, and there should be something besides it.
const ALL_AT_LEAST: u64 = 2 * bounds::SEGMENT_BYTES;
/// Least bytes of the log of one process.
const ONE_AT_LEAST: u64 = 1 << 20;
/// Least age at which lines go. Earlier they would be rewritten more often than read.
const AGE_AT_LEAST: Duration = Duration::from_secs(3600);
/// How "no limit" is written for an age.
const FOREVER: &str = "forever";

impl Checker<'_, '_> {
    /// Checks what is kept of all log; what is wrong has its default.
    pub fn keep_logs(&mut self, table: &LogsTable) -> KeepLogs {
        let mut keep = KeepLogs::default();
        if let Some(size) = &table.keep
            && let Some(bytes) = self.log_size("logs.keep", size, ALL_AT_LEAST)
        {
            keep.bytes = bytes;
        }
        if let Some(text) = &table.keep_for
            && let Some(age) = self.log_age(text)
        {
            keep.age = age;
        }
        keep
    }

    /// Checks what is kept of one process's log, and enters it.
    pub fn keep_logs_of(&mut self, process: &ProcessName, size: &Spanned<SizeValue>, keep: &mut KeepLogs) {
        if let Some(bytes) = self.log_size("logs.keep", size, ONE_AT_LEAST) {
            keep.of.insert(process.clone(), bytes);
        }
    }

    fn log_size(&mut self, key: &str, value: &Spanned<SizeValue>, at_least: u64) -> Option<u64> {
        let bytes = match &value.get_ref().0 {
            NumberOrText::Text(text) => {
                let text = Spanned::new(value.span(), text.clone());
                self.unit("size", "`200MiB` or `2GiB`", &text, parse_bytes)?
            }
            // A negative one is too small as well.
            NumberOrText::Number(number) => u64::try_from(*number).unwrap_or(0),
        };
        if bytes < at_least {
            let message = format!("`{key}` must be at least {} MiB", at_least >> 20);
            let hint = "a number without a unit is bytes; `ostler logs --clear` deletes what there is";
            self.report(value.span(), message, Some(hint));
            return None;
        }
        Some(bytes)
    }

    fn log_age(&mut self, text: &Spanned<String>) -> Option<Option<Duration>> {
        if text.get_ref() == FOREVER {
            return Some(None);
        }
        let age = self.unit("duration", "`14d`, `12h` or `forever`", text, parse_duration)?;
        if age < AGE_AT_LEAST {
            let message = format!("`logs.keep_for` must be at least 1h, found `{}`", shown(text.get_ref()));
            let hint = "`ostler logs --clear` deletes what there is";
            self.report(text.span(), message, Some(hint));
            return None;
        }
        Some(Some(age))
    }
}
