//! Owns the check of `limits`: what the kernel would refuse, or what no program could live with, is told here.

use toml::Spanned;

use super::check::Checker;
use super::file::LimitsTable;
use super::process::{Limits, Rlimit, RlimitValue};
use super::shapes::{CountValue, NumberOrText, SecondsValue, SizeValue};
use super::source::shown;
use super::units::{parse_bytes, parse_duration};

/// Least memory in bytes: below it not even the loader of programs gets to work.
const MEMORY_AT_LEAST: u64 = 1 << 20;
/// Least stack in bytes: arguments and environment must fit in it.
const STACK_AT_LEAST: u64 = 64 << 10;
/// Least number of open files: three streams, and what a runtime opens to find its libraries.
const FILES_AT_LEAST: u64 = 16;
/// Least and most thousandths of a core. The kernel gives no less than 1 ms in 100 ms, and no machine has more.
const CPU_MILLIS: std::ops::RangeInclusive<f64> = 10.0..=1_024_000.0;
/// How "no limit" is written.
const UNLIMITED: &str = "unlimited";

impl Checker<'_, '_> {
    /// Checks all limits; wrong ones are left out.
    pub fn limits(&mut self, table: LimitsTable) -> Limits {
        let nofile = table.nofile.and_then(|value| self.nofile(&value));
        let core = table.core.and_then(|value| self.size("core", &value, 0));
        let address_space = table.r#as.and_then(|value| self.size("as", &value, MEMORY_AT_LEAST));
        let nproc = table.nproc.and_then(|value| self.count("nproc", &value));
        let stack = table.stack.and_then(|value| self.size("stack", &value, STACK_AT_LEAST));
        let data = table.data.and_then(|value| self.size("data", &value, MEMORY_AT_LEAST));
        let fsize = table.fsize.and_then(|value| self.size("fsize", &value, 0));
        let memlock = table.memlock.and_then(|value| self.size("memlock", &value, 0));
        let cpu_time = table.cpu_time.and_then(|value| self.cpu_time(&value));
        let rlimits = [
            (Rlimit::Nofile, nofile),
            (Rlimit::Core, core),
            (Rlimit::As, address_space),
            (Rlimit::Nproc, nproc),
            (Rlimit::Stack, stack),
            (Rlimit::Data, data),
            (Rlimit::Fsize, fsize),
            (Rlimit::Memlock, memlock),
            (Rlimit::CpuTime, cpu_time),
        ];
        Limits {
            memory: table.memory.and_then(|value| self.memory(&value)),
            cpu_millis: table.cpu.and_then(|cores| self.cpu(&cores)),
            pids: table.pids.and_then(|number| self.pids(&number)),
            rlimits: rlimits.into_iter().filter_map(|(resource, value)| Some((resource, value?))).collect(),
        }
    }

    fn memory(&mut self, value: &Spanned<SizeValue>) -> Option<u64> {
        match self.size("memory", value, MEMORY_AT_LEAST)? {
            RlimitValue::At(bytes) => Some(bytes),
            RlimitValue::Unlimited => {
                let hint = "remove the key: without it there is no limit";
                self.report(value.span(), "`limits.memory` must be a size", Some(hint));
                None
            }
        }
    }

    fn cpu(&mut self, cores: &Spanned<f64>) -> Option<u32> {
        let millis = (cores.get_ref() * 1000.0).round();
        if !CPU_MILLIS.contains(&millis) {
            let hint = "write `1.5` for one and a half cores; no process can run on less than 0.01";
            self.report(cores.span(), "`limits.cpu` must be from 0.01 to 1024 cores", Some(hint));
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in the range")]
        Some(millis as u32)
    }

    fn pids(&mut self, number: &Spanned<i64>) -> Option<u32> {
        let pids = u32::try_from(*number.get_ref()).ok().filter(|number| *number > 0);
        if pids.is_none() {
            let hint = "the process itself is one, and each thread counts; most runtimes need 64 or more";
            self.report(number.span(), "`limits.pids` must be at least 1", Some(hint));
        }
        pids
    }

    fn nofile(&mut self, value: &Spanned<CountValue>) -> Option<RlimitValue> {
        match self.count("nofile", value)? {
            RlimitValue::Unlimited => {
                let hint = "write a number such as `65536`";
                self.report(value.span(), "the kernel has no unlimited `nofile`", Some(hint));
                None
            }
            RlimitValue::At(number) if number < FILES_AT_LEAST => {
                let message = format!("`limits.nofile` must be at least {FILES_AT_LEAST}");
                let hint =
                    "a runtime opens that many files before the program's first line; write `1024` or more";
                self.report(value.span(), message, Some(hint));
                None
            }
            value => Some(value),
        }
    }

    fn count(&mut self, key: &str, value: &Spanned<CountValue>) -> Option<RlimitValue> {
        match &value.get_ref().0 {
            NumberOrText::Text(text) if text == UNLIMITED => Some(RlimitValue::Unlimited),
            NumberOrText::Text(text) => {
                let message = format!("`{}` is not a number for `limits.{key}`", shown(text));
                self.report(value.span(), message, Some("write a number without quotes, or `\"unlimited\"`"));
                None
            }
            NumberOrText::Number(number) => {
                let number = u64::try_from(*number).ok().filter(|number| *number > 0);
                if number.is_none() {
                    self.report(value.span(), format!("`limits.{key}` must be at least 1"), None);
                }
                number.map(RlimitValue::At)
            }
        }
    }

    fn size(&mut self, key: &str, value: &Spanned<SizeValue>, at_least: u64) -> Option<RlimitValue> {
        let bytes = match &value.get_ref().0 {
            NumberOrText::Text(text) if text == UNLIMITED => return Some(RlimitValue::Unlimited),
            NumberOrText::Text(text) => {
                let text = Spanned::new(value.span(), text.clone());
                self.unit("size", "`512MiB` or `1GiB`", &text, parse_bytes)?
            }
            NumberOrText::Number(number) => u64::try_from(*number).ok().or_else(|| {
                self.report(value.span(), format!("`limits.{key}` may not be negative"), None);
                None
            })?,
        };
        if bytes < at_least {
            let least = match at_least >> 20 {
                0 => format!("{} KiB", at_least >> 10),
                mebibytes => format!("{mebibytes} MiB"),
            };
            let message = format!("`limits.{key}` must be at least {least}");
            let hint = "no program starts with less; a number without a unit is bytes";
            self.report(value.span(), message, Some(hint));
            return None;
        }
        Some(RlimitValue::At(bytes))
    }

    /// Whole seconds, because that is what the kernel counts.
    fn cpu_time(&mut self, value: &Spanned<SecondsValue>) -> Option<RlimitValue> {
        let seconds = match &value.get_ref().0 {
            NumberOrText::Text(text) if text == UNLIMITED => return Some(RlimitValue::Unlimited),
            NumberOrText::Text(text) => {
                let text = Spanned::new(value.span(), text.clone());
                self.unit("duration", "`30s` or `10m`", &text, parse_duration)?.as_secs()
            }
            NumberOrText::Number(number) => u64::try_from(*number).unwrap_or(0),
        };
        if seconds == 0 {
            let hint = "the kernel counts whole seconds; write `\"30s\"` or more";
            self.report(value.span(), "`limits.cpu-time` must be at least 1s", Some(hint));
            return None;
        }
        Some(RlimitValue::At(seconds))
    }
}
