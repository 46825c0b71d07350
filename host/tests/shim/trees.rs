//! Trees that do not want to go, and limits: with a cgroup where this machine lets the tests have one, and without.
//!
//! Where there are no cgroups each test says `SKIPPED` and why for its second half.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ostler::config::Limits;
use ostler::model::{RunId, Time};
use ostler::shim::{
    Cgroup, DoneRecord, ExitRecord, LaunchSpec, LimitHits, Report, Request, Rlimit, Scope, SpawnFault,
    read_done, read_exit,
};
use ostler::supervisor::Cgroups;

use crate::harness::*;

/// A cgroup of the test's own, which is empty and goes when the test ends.
struct OwnCgroup {
    cgroups: Cgroups,
    dir: PathBuf,
}

impl OwnCgroup {
    fn make(test: &str, limits: &Limits) -> Option<Self> {
        let cgroups = Cgroups::probe(&format!("test-{test}-{}", std::process::id()));
        let dir = cgroups.make(RunId(1), limits);
        if dir.is_none() {
            skip("what needs a cgroup", &cgroups);
        }
        Some(Self { dir: dir?, cgroups })
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        let is_empty = !Cgroup::at(&self.dir).is_populated();
        let is_gone = || !self.dir.exists() || Cgroup::at(&self.dir).remove().is_ok();
        wait_until("the cgroup can be removed", || is_gone() || !is_empty);
        self.cgroups.remove_home();
        assert!(is_empty || std::thread::panicking(), "somebody is left in {}", self.dir.display());
    }
}

/// Says that something is skipped, past the test runner, which shows nothing of tests that pass.
fn skip(what: &str, cgroups: &Cgroups) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let why = cgroups.in_force().why_not.map_or_else(|| "nobody knows why".to_owned(), |why| why.to_string());
    let _ = writeln!(io::stderr(), "\nSKIPPED {what} in {test}: {why}");
}

/// Runs `test` with specs that have no cgroup, and again with specs that have one.
fn both_ways(name: &str, test: impl Fn(&dyn Fn(&str) -> LaunchSpec)) {
    test(&shell);
    if let Some(own) = OwnCgroup::make(name, &Limits::default()) {
        test(&|script| LaunchSpec { cgroup: Some(own.dir.clone()), ..shell(script) });
    }
}

fn signal(signal: i32, scope: Scope) -> Request {
    Request::Signal { signal, scope }
}

fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}

#[test]
fn a_child_is_in_its_cgroup_from_its_first_instruction_and_the_shim_is_not() {
    let Some(own) = OwnCgroup::make("entering", &Limits::default()) else { return };
    let mut run = Run::launch(&LaunchSpec {
        cgroup: Some(own.dir.clone()),
        ..shell("grep ^0:: /proc/self/cgroup; read line")
    });
    run.control.pid();
    run.wait_for_output(|output| output.ends_with('\n'));
    let name = own.dir.file_name().unwrap().to_str().unwrap();
    assert!(run.output.trim_end().ends_with(&format!("/{name}")), "{}", run.output);
    let shims = fs::read_to_string(format!("/proc/{}/cgroup", run.launched.shim.id())).unwrap();
    let shims = shims.lines().find(|line| line.starts_with("0::")).unwrap();
    assert!(!run.output.starts_with(shims) || shims == "0::/", "{shims}");
    run.control.send(&Request::CloseStdin);
    assert_eq!(run.finish(), (code(1), 0));
}

#[test]
fn a_daemon_that_forks_twice_and_holds_the_pipe_goes_with_the_main_child() {
    both_ways("daemon", |spec| {
        let mut run = Run::launch(&spec(
            "(setsid sh -c '(sh -c \"echo \\$\\$; exec tail -f /dev/null\" &)' &); read line; exit 3",
        ));
        run.control.pid();
        run.wait_for_output(|output| numbers(output).len() == 1);
        run.control.send(&Request::CloseStdin);
        let (exit, leftovers) = run.finish();
        // Those in between may not have gone yet.
        assert!(exit == code(3) && leftovers >= 1, "{exit} {leftovers}");
        assert!(numbers(&run.output).into_iter().all(is_gone));
    });
}

#[test]
fn killing_the_tree_gets_who_ignores_sigterm_in_a_session_of_its_own() {
    both_ways("ignorer", |spec| {
        let mut run = Run::launch(&spec(
            "trap '' TERM; echo $$; (setsid sh -c 'trap \"\" TERM HUP INT; echo $$; exec tail -f /dev/null' &)
             exec tail -f /dev/null",
        ));
        run.control.pid();
        run.wait_for_output(|output| numbers(output).len() == 2);
        run.control.send(&signal(libc::SIGTERM, Scope::Tree));
        run.control.send(&signal(libc::SIGKILL, Scope::Tree));
        assert_eq!(run.finish().0, killed(9));
        assert!(numbers(&run.output).into_iter().all(is_gone));
    });
}

#[test]
fn a_stopped_child_can_react_to_what_asks_it_to_end() {
    both_ways("stopped", |spec| {
        let mut run = Run::launch(&spec("trap 'echo bye; exit 7' TERM; echo $$; read line"));
        let pid = run.control.pid();
        run.wait_for_output(|output| numbers(output).len() == 1);
        run.control.ask(&signal(libc::SIGSTOP, Scope::Group));
        wait_until("it is stopped", || is_stopped(pid));
        run.control.send(&signal(libc::SIGTERM, Scope::Group));
        assert_eq!(run.finish().0, code(7));
        assert!(run.output.contains("bye\n"), "{}", run.output);
    });
}

#[test]
fn what_is_left_behind_stopped_is_woken_to_end() {
    both_ways("left stopped", |spec| {
        let mut run = Run::launch(&spec(
            "(setsid sh -c 'trap \"echo bye; exit\" TERM; echo $$; while :; do sleep 0.01; done' &); read line",
        ));
        run.control.pid();
        run.wait_for_output(|output| numbers(output).len() == 1);
        let left = numbers(&run.output)[0];
        ostler::shim::tree::Process::with_pid(left).unwrap().signal(libc::SIGSTOP).unwrap();
        wait_until("it is stopped", || is_stopped(left));
        run.control.send(&Request::CloseStdin);
        assert_eq!(run.finish().0, code(1));
        assert!(run.output.contains("bye\n"), "{}", run.output);
        assert!(is_gone(left));
    });
}

#[test]
fn a_stopped_one_that_ignores_sigterm_is_killed_after_the_grace() {
    both_ways("stopped ignorer", |spec| {
        let script =
            "(setsid sh -c 'trap \"\" TERM; echo $$; kill -STOP $$; exec tail -f /dev/null' &); read line";
        let mut run = Run::launch(&LaunchSpec { leftover_grace: Duration::from_millis(50), ..spec(script) });
        run.control.pid();
        run.wait_for_output(|output| numbers(output).len() == 1);
        wait_until("it is stopped", || is_stopped(numbers(&run.output)[0]));
        run.control.send(&Request::CloseStdin);
        assert_eq!(run.finish(), (code(1), 1));
        assert!(is_gone(numbers(&run.output)[0]));
    });
}

/// A bomb that is bounded by itself: each process forks two, seven times over, and each generation waits in vain.
const BOMB: &str = "bomb() { echo $1; if [ $1 -gt 0 ]; then (bomb $(($1 - 1))) & (bomb $(($1 - 1))) & fi; wait; \
                    exec tail -f /dev/null; }; bomb 6";

#[test]
fn a_fork_bomb_is_killed_while_it_goes_off() {
    both_ways("bomb", |spec| {
        let marked = format!("BOMB=1-{}-{}", std::process::id(), Time::now().0);
        let mut spec = spec(BOMB);
        let (name, value) = marked.split_once('=').unwrap();
        spec.env.push((name.into(), value.into()));
        let mut run = Run::launch(&spec);
        run.control.pid();
        // Some of the 127 run, the others are on their way.
        run.wait_for_output(|output| output.lines().count() >= 8);
        run.control.send(&signal(libc::SIGKILL, Scope::Tree));
        assert_eq!(run.finish().0, killed(9));
        let left = with_environment(marked.as_bytes());
        assert!(left.is_empty(), "{left:?}");
    });
}

/// Returns the living processes that have this in their environment.
fn with_environment(marker: &[u8]) -> Vec<i32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == marker)
    };
    pids.filter(has).collect()
}

#[test]
fn a_limit_on_processes_bounds_a_bomb_and_is_told() {
    let limits = Limits { pids: Some(16), ..Limits::default() };
    let Some(own) = OwnCgroup::make("pids", &limits) else { return };
    if !own.cgroups.in_force().controllers.pids {
        skip("the limit on processes", &own.cgroups);
        return;
    }
    let mut run = Run::launch(&LaunchSpec { cgroup: Some(own.dir.clone()), ..shell(BOMB) });
    run.control.pid();
    wait_until("it has come up against its limit", || Cgroup::at(&own.dir).hits().refused_forks > 0);
    run.control.send(&signal(libc::SIGKILL, Scope::Tree));
    let hits = run.control.until(|report| match report {
        Report::LimitHits(hits) => Some(*hits),
        _ => None,
    });
    assert!(hits.refused_forks > 0 && hits.pids_limit == Some(16), "{hits:?}");
    run.finish();
}

#[test]
fn an_end_for_want_of_memory_is_told() {
    let limits = Limits { memory: Some(16 << 20), ..Limits::default() };
    let Some(own) = OwnCgroup::make("memory", &limits) else { return };
    if !own.cgroups.in_force().controllers.memory {
        skip("the limit on memory", &own.cgroups);
        return;
    }
    // `tail` keeps a line that has no end in memory.
    let mut run =
        Run::launch(&LaunchSpec { cgroup: Some(own.dir.clone()), ..shell("exec tail -n 1 /dev/zero") });
    run.control.pid();
    let hits = run.control.until(|report| match report {
        Report::LimitHits(hits) => Some(*hits),
        _ => None,
    });
    assert_eq!((hits.oom_kills, hits.memory_limit), (1, Some(16 << 20)));
    assert_eq!(run.finish().0, killed(9));
}

/// Makes a directory that looks like a cgroup whose limits have been hit.
fn make_believe(dir: &Path) {
    for (file, text) in [
        ("cgroup.procs", ""),
        ("cgroup.kill", ""),
        ("memory.events", "oom 1\noom_kill 1\n"),
        ("memory.max", "67108864\n"),
        ("pids.events", "max 3\n"),
        ("pids.max", "8\n"),
    ] {
        fs::write(dir.join(file), text).unwrap();
    }
}

const HITS: LimitHits =
    LimitHits { oom_kills: 1, memory_limit: Some(64 << 20), refused_forks: 3, pids_limit: Some(8) };

#[test]
fn what_limits_have_cost_is_told_before_the_exit_and_written_down() {
    let dir = tempfile::tempdir().unwrap();
    make_believe(dir.path());
    let mut run = Run::launch(&LaunchSpec { cgroup: Some(dir.path().to_owned()), ..shell("kill -9 $$") });
    let first = run.control.until(|report| match report {
        Report::LimitHits(hits) => Some(Some(*hits)),
        Report::Exited { .. } => Some(None),
        _ => None,
    });
    assert_eq!(first, Some(HITS));
    assert_eq!(run.finish().0, killed(9));
    assert!(matches!(read_exit(run.dir.path()), Ok(Some(ExitRecord { hits: HITS, .. }))));
    let done = read_done(run.dir.path()).unwrap();
    assert!(matches!(done, Some(DoneRecord::Ended { exit: ExitRecord { hits: HITS, .. }, .. })), "{done:?}");
    // The shim let the child in, and nobody else.
    assert_eq!(fs::read_to_string(dir.path().join("cgroup.procs")).unwrap(), "0");
}

#[test]
fn a_daemon_that_comes_late_hears_of_limits_before_the_exit() {
    let dir = tempfile::tempdir().unwrap();
    make_believe(dir.path());
    let script = "(setsid sh -c 'trap \"\" TERM; echo $$; exec tail -f /dev/null' &) ; read line; exit 4";
    let mut run = Run::launch(&LaunchSpec { cgroup: Some(dir.path().to_owned()), ..shell(script) });
    run.control.pid();
    run.wait_for_output(|output| numbers(output).len() == 1);
    run.control.send(&Request::CloseStdin);
    run.control.until(|report| matches!(report, Report::Exited { .. }).then_some(()));
    let mut late = run.connect();
    late.pid();
    assert_eq!(late.next(), Some(Report::LimitHits(HITS)));
    assert!(matches!(late.next(), Some(Report::Exited { exit, .. }) if exit == code(4)));
    late.send(&signal(libc::SIGKILL, Scope::Tree));
    late.until(|report| matches!(report, Report::Done { .. }).then_some(()));
}

#[test]
fn rlimits_are_set_in_the_child_and_in_it_alone() {
    let mut spec = shell("ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc");
    spec.rlimits = vec![
        Rlimit { resource: libc::RLIMIT_NOFILE, value: 37 },
        Rlimit { resource: libc::RLIMIT_CORE, value: 0 },
    ];
    let mut run = Run::launch(&spec);
    run.control.pid();
    let shim = fs::read_to_string(format!("/proc/{}/limits", run.launched.shim.id())).unwrap_or_default();
    assert_eq!(run.finish(), (code(0), 0));
    assert_eq!(numbers(&run.output), [37, 37, 0, 0]);
    assert!(!shim.lines().any(|line| line.starts_with("Max open files") && line.contains(" 37 ")), "{shim}");
}

#[test]
fn limits_and_cgroups_that_cannot_be_had_are_named() {
    // Beyond `fs.nr_open` nobody may go.
    let mut spec = shell("exit 0");
    spec.rlimits = vec![Rlimit { resource: libc::RLIMIT_NOFILE, value: u64::MAX }];
    let mut run = Run::launch(&spec);
    let Some(Report::SpawnFailed(failure)) = run.control.next() else { panic!("it was started") };
    assert_eq!((failure.what, failure.errno), (SpawnFault::Limit, libc::EPERM));
    assert!(failure.describe("sh", "/").contains("`limits`"));

    let spec = LaunchSpec { cgroup: Some("/no/such/cgroup".into()), ..shell("exit 0") };
    let mut run = Run::launch(&spec);
    let Some(Report::SpawnFailed(failure)) = run.control.next() else { panic!("it was started") };
    assert_eq!((failure.what, failure.errno), (SpawnFault::Cgroup, libc::ENOENT));
}
