//! A storm over a whole project, and the reckoning after it: every child there exactly once, every line stored
//! exactly once or counted, every exit known, nothing left behind.
//!
//! `OSTLER_CHAOS_SECONDS` says how long (20), `OSTLER_CHAOS_SEED` which storm (1).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ostler::model::ProcessName;
use ostler::store::Catalogue;
use ostler_tests::chaos::census::{Role, cgroup_of, descriptors, members, zombies_of};
use ostler_tests::chaos::ledger::{self, Token};
use ostler_tests::chaos::reckoning::{Run, Stored, differences};
use ostler_tests::chaos::storm::{NAMES, Storm};
use ostler_tests::disk::Disk;
use ostler_tests::project::{Follower, Project, eventually};
use ostler_tests::shown::{Exit, View};

const TELLER: &str = env!("CARGO_BIN_EXE_teller");
/// How long a storm is; after each there is a reckoning.
const STORM: Duration = Duration::from_secs(5);

#[test]
fn after_a_storm_everything_is_there_once_or_accounted_for() {
    let number = |name, default| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    };
    let (seconds, seed) = (number("OSTLER_CHAOS_SECONDS", 20), number("OSTLER_CHAOS_SEED", 1));
    say(&format!("chaos: OSTLER_CHAOS_SECONDS={seconds} OSTLER_CHAOS_SEED={seed}"));
    let disk = Disk::tmpfs((256 + seconds.min(768)) << 20);
    let project = match &disk {
        Some(disk) => Project::with_state(TELLER, disk.path()),
        None => Project::new(TELLER),
    };
    let mut storm = Storm::new(&project, disk.as_ref(), TELLER, seed);
    let mut log = project.follow_all();
    let baseline = settle(&mut storm);

    let (until, mut counts) = (Instant::now() + Duration::from_secs(seconds), Counts::default());
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        project.ok(&["up", "-d"]);
        storm.rage(left.min(STORM));
        quiet(&mut storm);
        let lines = all_lines(&project, &mut log);
        expect_descriptors(&storm, &baseline);
        leave(&mut storm);
        reckon(&mut storm, lines, &mut counts);
    }
    say(&format!("chaos: {counts:?}"));
    assert!(counts.runs > 0 && counts.lines > 0, "nothing has happened: {counts:?}");
}

/// What the reckonings were about.
#[derive(Debug, Default)]
struct Counts {
    storms: usize,
    runs: usize,
    lines: usize,
    dropped: usize,
    killed: usize,
    bereaved: usize,
    last_run: u64,
}

/// Starts and stops everything once, and returns what a daemon has open that has nothing to do.
fn settle(storm: &mut Storm<'_>) -> BTreeMap<String, usize> {
    storm.project.ok(&["up", "-d"]);
    let children = expect_each_once(storm);
    storm.cgroups = children
        .iter()
        .flat_map(|child| cgroup_of(child.pid))
        .filter_map(|dir| dir.parent().map(Path::to_owned))
        .collect();
    if storm.cgroups.is_empty() {
        say("chaos: there are no cgroups here: shims of children that leave their session are spared");
    }
    stop_all(storm);
    let daemon = storm.daemons()[0].token;
    descriptors(daemon.pid, storm.project.state_dir()).expect("the daemon lives")
}

/// Brings about that everything runs that should, and asserts that it does.
fn quiet(storm: &mut Storm<'_>) {
    storm.project.ok(&["up", "-d"]);
    expect_each_once(storm);
    stop_all(storm);
}

/// Asserts that each process that is configured is there exactly once and `ps` knows it, and what is not, at most.
fn expect_each_once(storm: &Storm<'_>) -> BTreeSet<Token> {
    eventually("each process is there exactly once", || {
        let views: Vec<View> = storm.project.ok(&["ps", "--json"]).json();
        let mut children = BTreeSet::new();
        for name in NAMES {
            let (view, living) =
                (views.iter().find(|view| view.name == name), ledger::living(&storm.ledgers, name));
            let shown = view.and_then(|view| view.pid).and_then(Token::of);
            let is_up = view.is_some_and(|view| ["running", "ready"].contains(&view.state.as_str()));
            let may_be_down = !storm.configured().contains(&name);
            if living != shown.into_iter().collect() || !(is_up || may_be_down) {
                return Err(format!("{name}: there are {living:?}, but {view:?}"));
            }
            children.extend(living);
        }
        Ok(children)
    })
}

fn stop_all(storm: &Storm<'_>) {
    let project = storm.project;
    let views: Vec<View> = project.ok(&["ps", "--json"]).json();
    for view in views.iter().rev() {
        project.ok(&["stop", &view.name]);
    }
    let runs = state_of(project).join("runs");
    eventually("all output is taken in and the runs' directories are gone", || match names_in(&runs) {
        names if names.is_empty() => Ok(()),
        names => Err(names.join(" ")),
    });
    eventually("only the daemon is left", || {
        let left = members(project).into_iter().filter(|member| member.role != Role::Daemon);
        let left: Vec<String> = left.map(|member| format!("{} {}", member.token, member.command)).collect();
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    });
}

/// Reads what was stored since the last time, by run.
fn all_lines(project: &Project, log: &mut Follower<'_>) -> BTreeMap<u64, Vec<Stored>> {
    let (mut runs, mut last): (BTreeMap<u64, Vec<Stored>>, _) = (BTreeMap::new(), None);
    loop {
        let page = log.next_page();
        if page.is_empty() {
            break;
        }
        for line in page {
            assert!(Some(line.seq) > last, "a line is shown twice or out of order: {line:?} behind {last:?}");
            last = Some(line.seq);
            let stored = Stored { text: line.text, remark: line.stream == "ostler", partial: line.partial };
            runs.entry(line.run).or_default().push(stored);
        }
    }
    // That the configuration has changed is no harm.
    let harms: Vec<String> =
        project.warnings().into_iter().filter(|warning| !warning.contains("ostler.toml")).collect();
    assert!(harms.is_empty(), "{harms:?}");
    runs
}

/// Asserts that the daemon, which has been through the last part of the storm, has no more open than in the
/// beginning, and has taken leave of every shim.
fn expect_descriptors(storm: &Storm<'_>, baseline: &BTreeMap<String, usize>) {
    let daemons = storm.daemons();
    let [daemon] = &daemons[..] else { panic!("not one daemon: {daemons:?}") };
    eventually("the daemon has open what it had in the beginning", || {
        let open =
            descriptors(daemon.token.pid, storm.project.state_dir()).map_err(|error| error.to_string())?;
        let more = open.iter().filter(|(kind, count)| baseline.get(*kind).is_none_or(|had| *count > had));
        let more: Vec<String> = more.map(|(kind, count)| format!("{kind}: {count}")).collect();
        if more.is_empty() { Ok(()) } else { Err(format!("{more:?}, but it had {baseline:?}")) }
    });
    eventually("the daemon has no dead children", || match zombies_of(daemon.token.pid) {
        dead if dead.is_empty() => Ok(()),
        dead => Err(format!("{dead:?}")),
    });
}

/// Takes everything down, and asserts that nothing is left.
fn leave(storm: &mut Storm<'_>) {
    let project = storm.project;
    project.ok(&["down"]);
    storm.note("everything is down");
    eventually("nobody is left", || {
        let left: Vec<String> = members(project).into_iter().map(|member| member.command).collect();
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    });
    let is_socket =
        |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let sockets: Vec<PathBuf> =
        files_below(&project.dir().join("run")).into_iter().filter(is_socket).collect();
    assert!(sockets.is_empty(), "sockets are left: {sockets:?}");
    let runs = names_in(&state_of(project).join("runs"));
    assert!(runs.is_empty(), "directories of runs are left: {runs:?}");
    eventually("no cgroup of a run is left", || {
        let left: Vec<&PathBuf> = storm.cgroups.iter().filter(|dir| has_runs(dir)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

/// Holds what was done against what is known, and forgets it.
fn reckon(storm: &mut Storm<'_>, mut lines: BTreeMap<u64, Vec<Stored>>, counts: &mut Counts) {
    let catalogue = Catalogue::open(&state_of(storm.project).join("catalogue.sqlite")).expect("a catalogue");
    let mut runs = Vec::new();
    for name in NAMES {
        let process = ProcessName::new(name).expect("a name");
        let records = catalogue.runs_of(&process, 1_000_000).expect("runs");
        for record in records.into_iter().filter(|record| record.run.0 > counts.last_run) {
            runs.push(Run {
                run: record.run.0,
                process: name.to_owned(),
                ended: record.ended_at.is_some(),
                exit: record.exit.map(|exit| Exit { code: exit.code, signal: exit.signal }),
                note: [record.spawn_error, record.note].into_iter().flatten().collect::<Vec<_>>().join("; "),
                child: record.child.map(|child| Token { pid: child.pid, start: child.start }),
                lines: lines.remove(&record.run.0).unwrap_or_default(),
            });
        }
    }
    let tolds = ledger::read_all(&storm.ledgers).expect("the children's records");
    let mut found = differences(&tolds, &runs, &storm.deeds);
    found.extend(lines.keys().map(|run| format!("there are lines of run {run}, which nobody knows")));
    assert!(found.is_empty(), "what was done and what is known differ:\n{}", found.join("\n"));

    counts.storms += 1;
    counts.runs += runs.len();
    counts.last_run = runs.iter().map(|run| run.run).max().unwrap_or(counts.last_run);
    let stored = || runs.iter().flat_map(|run| &run.lines);
    counts.lines += stored().filter(|line| !line.remark).count();
    counts.dropped += stored().filter(|line| line.remark).count();
    counts.killed += storm.deeds.killed.len();
    counts.bereaved += storm.deeds.bereaved.len();
    storm.deeds.killed.clear();
    storm.deeds.bereaved.clear();
    for told in tolds {
        fs::remove_file(storm.ledgers.join(format!("{}.{}", told.name, told.token))).expect("a record");
    }
}

/// Returns the project's own state directory.
fn state_of(project: &Project) -> PathBuf {
    let dirs = fs::read_dir(project.state_dir()).expect("there is state").flatten().map(|entry| entry.path());
    dirs.into_iter().find(|dir| dir.join("runs").is_dir()).expect("state of the project")
}

/// Returns whether there are cgroups of runs in a directory.
fn has_runs(dir: &Path) -> bool {
    names_in(dir).iter().any(|name| name.strip_prefix('r').is_some_and(|run| run.parse::<u64>().is_ok()))
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Says something past the test runner, which shows nothing of tests that pass.
fn say(what: &str) {
    let _ = writeln!(io::stderr(), "{what}");
}
