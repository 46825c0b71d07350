//! The limits of `setrlimit(2)`: from the configuration to the launch spec, and what to say when they are the problem.
//!
//! Pure but for one look at what this process may set. What cgroups limit is `cgroup`'s business.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::preflight::StartProblem;
use crate::config::{Limits, Rlimit, RlimitValue};
use crate::model::Exit;
use crate::shim;

/// The bit of `CAP_SYS_RESOURCE` in `CapEff` of `/proc/self/status` (`capabilities(7)`): who has it may raise a hard
/// limit.
const CAP_SYS_RESOURCE: u64 = 1 << 24;
/// A run that ends sooner may have had too little to start with.
const BARELY_STARTED: Duration = Duration::from_secs(5);

/// Returns the limits as the child sets them.
///
/// # Errors
/// When one is above what this user may set; nothing would be started then.
pub(super) fn rlimits(limits: &Limits) -> Result<Vec<shim::Rlimit>, StartProblem> {
    let may_raise = may_raise_hard_limits();
    limits.rlimits.iter().map(|(rlimit, value)| one(*rlimit, *value, may_raise)).collect()
}

fn one(rlimit: Rlimit, value: RlimitValue, may_raise: bool) -> Result<shim::Rlimit, StartProblem> {
    let wanted = match value {
        RlimitValue::At(value) => value,
        RlimitValue::Unlimited => u64::MAX,
    };
    let hard = ceiling(rlimit, may_raise);
    if wanted > hard {
        return Err(StartProblem::AboveHardLimit {
            key: key(rlimit),
            wanted: shown(wanted),
            hard: shown(hard),
        });
    }
    Ok(shim::Rlimit { resource: number(rlimit), value: wanted })
}

/// Returns the highest value that may be set.
fn ceiling(rlimit: Rlimit, may_raise: bool) -> u64 {
    match (may_raise, rlimit) {
        (false, _) => getrlimit(resource(rlimit)).maximum.unwrap_or(u64::MAX),
        // Beyond this not even root may go (`getrlimit(2)`).
        (true, Rlimit::Nofile) => {
            let text = std::fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
            text.trim().parse().unwrap_or(u64::MAX)
        }
        (true, _) => u64::MAX,
    }
}

fn may_raise_hard_limits() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = capabilities.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits & CAP_SYS_RESOURCE != 0)
}

fn shown(value: u64) -> String {
    if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() }
}

/// Returns the key in `limits`.
fn key(rlimit: Rlimit) -> &'static str {
    Rlimit::WORDS.iter().find(|(_, each)| *each == rlimit).map_or("?", |(word, _)| word)
}

fn resource(rlimit: Rlimit) -> Resource {
    match rlimit {
        Rlimit::Nofile => Resource::Nofile,
        Rlimit::Core => Resource::Core,
        Rlimit::As => Resource::As,
        Rlimit::Nproc => Resource::Nproc,
        Rlimit::Stack => Resource::Stack,
        Rlimit::Data => Resource::Data,
        Rlimit::Fsize => Resource::Fsize,
        Rlimit::Memlock => Resource::Memlock,
        Rlimit::CpuTime => Resource::Cpu,
    }
}

fn number(rlimit: Rlimit) -> u32 {
    resource(rlimit) as u32
}

/// Returns what to say of a run that hardly started and may have had too little for it; `None` when its limits leave
/// enough for any runtime, or it ended well.
pub fn suspicion(limits: &Limits, exit: Exit, lived: Duration) -> Option<String> {
    if exit.is_success() {
        return None;
    }
    if let Some(used_up) = used_up(limits, exit, lived) {
        return Some(used_up);
    }
    if lived >= BARELY_STARTED {
        return None;
    }
    let at = |rlimit| value_of(limits, rlimit);
    let below = |rlimit, enough: u64, why: &str| {
        let value = at(rlimit).filter(|value| *value < enough)?;
        Some(format!("`{}` is {}, and {why}", key(rlimit), bytes_or_number(rlimit, value)))
    };
    let memory = limits.memory.filter(|memory| *memory < 32 << 20).map(|memory| {
        format!(
            "`memory` is {}, and an interpreter such as Python's or Node's needs more to start",
            size(memory)
        )
    });
    let suspects = [
        memory,
        below(
            Rlimit::As,
            4 << 30,
            "Node.js, Java and Go reserve addresses by the gigabyte that they never use",
        ),
        below(Rlimit::Data, 64 << 20, "the heap and the stacks of all threads count"),
        below(Rlimit::Stack, 256 << 10, "many programs need more stack, and their arguments lie there too"),
        below(Rlimit::Nofile, 64, "every library, socket and watched directory takes one"),
        below(Rlimit::Nproc, 64, "it counts everything this user runs, not only this process"),
        below(Rlimit::Fsize, 64 << 10, "every file it writes counts, not only its output"),
        below(Rlimit::Memlock, 64 << 10, "some runtimes lock memory at the start"),
    ];
    let suspects: Vec<String> = suspects.into_iter().flatten().collect();
    if suspects.is_empty() {
        return None;
    }
    Some(format!("its limits may be too low to start: {}; raise it, or take it out", suspects.join("; ")))
}

/// Names the limit whose end has a signal of its own; a shell tells of the signal by its exit code.
fn used_up(limits: &Limits, exit: Exit, lived: Duration) -> Option<String> {
    let is_by = |signal: i32| exit.signal == Some(signal) || exit.code == Some(128 + signal);
    if let Some(size_limit) = value_of(limits, Rlimit::Fsize).filter(|_| is_by(libc::SIGXFSZ)) {
        let limit = size(size_limit);
        return Some(format!(
            "it wrote a file beyond its limit of {limit} on `fsize`; raise it, or take it out"
        ));
    }
    let seconds = value_of(limits, Rlimit::CpuTime)?;
    // With one value for both, the hard limit kills as soon as the soft one would warn.
    let is_over = is_by(libc::SIGXCPU) || (is_by(libc::SIGKILL) && lived.as_secs() >= seconds);
    is_over
        .then(|| format!("its limit of {seconds} s on `cpu-time` may be used up; raise it, or take it out"))
}

fn value_of(limits: &Limits, wanted: Rlimit) -> Option<u64> {
    limits.rlimits.iter().find_map(|(rlimit, value)| match value {
        RlimitValue::At(value) if *rlimit == wanted => Some(*value),
        _ => None,
    })
}

fn bytes_or_number(rlimit: Rlimit, value: u64) -> String {
    match rlimit {
        Rlimit::Nofile | Rlimit::Nproc | Rlimit::CpuTime => value.to_string(),
        _ => size(value),
    }
}

/// Returns a number of bytes as the configuration would have it: `64 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(rlimit: Rlimit, value: RlimitValue) -> Limits {
        Limits { rlimits: vec![(rlimit, value)], ..Limits::default() }
    }

    #[test]
    fn a_limit_above_the_hard_one_is_refused_with_both_numbers() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let told = match one(Rlimit::Nofile, RlimitValue::Unlimited, false) {
            Err(problem) => problem.to_string(),
            Ok(_) => return assert_eq!(hard, u64::MAX),
        };
        assert!(told.contains("`limits.nofile` is unlimited") && told.contains(&hard.to_string()), "{told}");
    }

    #[test]
    fn root_may_go_beyond_the_hard_limit_but_not_beyond_the_kernels() {
        let set = one(Rlimit::Core, RlimitValue::Unlimited, true).unwrap();
        assert_eq!((set.resource, set.value), (Resource::Core as u32, u64::MAX));
        assert!(one(Rlimit::Nofile, RlimitValue::Unlimited, true).is_err());
        assert!(one(Rlimit::Nofile, RlimitValue::At(64), true).is_ok());
    }

    #[test]
    fn numbers_of_resources_are_the_kernels() {
        assert_eq!(number(Rlimit::Nofile), libc::RLIMIT_NOFILE);
        assert_eq!(number(Rlimit::As), libc::RLIMIT_AS);
        assert_eq!(number(Rlimit::CpuTime), libc::RLIMIT_CPU);
        assert_eq!(number(Rlimit::Memlock), libc::RLIMIT_MEMLOCK);
    }

    #[test]
    fn a_low_limit_is_suspected_only_after_a_bad_and_quick_end() {
        let low = limits(Rlimit::As, RlimitValue::At(64 << 20));
        let (bad, good) = (Exit { code: Some(127), signal: None }, Exit { code: Some(0), signal: None });
        let told = suspicion(&low, bad, Duration::from_millis(3)).unwrap();
        assert!(
            told.starts_with("its limits may be too low to start: `as` is 64 MiB, and Node.js"),
            "{told}"
        );
        assert_eq!(suspicion(&low, good, Duration::from_millis(3)), None);
        assert_eq!(suspicion(&low, bad, Duration::from_secs(60)), None);
        let ample = limits(Rlimit::Nofile, RlimitValue::At(4096));
        assert_eq!(suspicion(&ample, bad, Duration::from_millis(3)), None);
        assert_eq!(suspicion(&limits(Rlimit::Core, RlimitValue::At(0)), bad, Duration::ZERO), None);
    }

    #[test]
    fn limits_that_end_a_process_by_a_signal_are_named_however_long_it_lived() {
        let cpu_time = limits(Rlimit::CpuTime, RlimitValue::At(60));
        let killed = |signal| Exit { code: None, signal: Some(signal) };
        let told = suspicion(&cpu_time, killed(9), Duration::from_secs(61)).unwrap();
        assert_eq!(told, "its limit of 60 s on `cpu-time` may be used up; raise it, or take it out");
        assert_eq!(suspicion(&cpu_time, killed(9), Duration::from_secs(59)), None);
        let size = limits(Rlimit::Fsize, RlimitValue::At(1 << 20));
        let by_shell = Exit { code: Some(153), signal: None };
        let told = suspicion(&size, by_shell, Duration::from_secs(3600)).unwrap();
        assert!(told.starts_with("it wrote a file beyond its limit of 1 MiB on `fsize`"), "{told}");
    }

    #[test]
    fn sizes_read_as_they_are_written() {
        let shown: Vec<_> = [64 << 20, 1536 << 20, 5, 2048].into_iter().map(size).collect();
        assert_eq!(shown, ["64 MiB", "1.5 GiB", "5 bytes", "2 KiB"]);
    }
}
