//! Children that do what children should not, under the built programs: one test for each way of `misbehave`, and
//! each looks at what a person would see.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use ostler_tests::project::{Follower, Project, eventually, is_alive};
use ostler_tests::shown::{Exit, Line, whole};

const MISBEHAVE: &str = env!("CARGO_BIN_EXE_misbehave");

/// Longest line that is stored in one piece, in bytes.
const LINE_BYTES: usize = 1 << 20;

const SUCCESS: Exit = Exit { code: Some(0), signal: None };
const SIGTERM: Exit = Exit { code: None, signal: Some(libc::SIGTERM) };
const SIGKILL: Exit = Exit { code: None, signal: Some(libc::SIGKILL) };

/// Makes a project with one process, brings it up, and returns it.
fn up(name: &str, how: &str, settings: &str) -> Project {
    let project = Project::new(MISBEHAVE).process(name, how, settings);
    project.ok(&["up", "-d"]);
    project
}

#[track_caller]
fn assert_gone(pids: &[u32]) {
    let alive: Vec<&u32> = pids.iter().filter(|&&pid| is_alive(pid)).collect();
    assert!(alive.is_empty(), "of {pids:?} there still are {alive:?}");
}

#[track_caller]
fn assert_stopped(project: &Project, name: &str, exit: Exit) {
    let view = project.view(name);
    assert_eq!((view.state.as_str(), view.pid, view.exit), ("stopped", None, Some(exit)), "{view:?}");
}

#[test]
fn one_that_ignores_sigterm_is_killed_after_its_grace_and_stop_says_so() {
    let project = up("rock", "ignore-term", "stop = { grace = \"500ms\" }");
    project.wait_log("rock", "^ready$");
    let begun = Instant::now();
    let stop = project.ok(&["stop", "rock"]);
    assert!(begun.elapsed() >= Duration::from_millis(500), "it was not given its grace");
    assert!(stop.stdout.contains("killed by SIGKILL (9) after a grace of 500ms"), "{}", stop.stdout);
    assert_gone(&project.pids("rock"));
    assert_stopped(&project, "rock", SIGKILL);
}

#[test]
fn output_without_newlines_is_stored_in_bounded_pieces_marked_as_partial() {
    const BYTES: usize = 3 * LINE_BYTES + 17;
    let project = up("spew", &format!("no-newline {BYTES}"), "");
    let stored = |lines: &[Line]| lines.iter().map(|line| line.text.len()).sum::<usize>();
    let lines = eventually("all of it is stored", || {
        let lines = project.lines("spew");
        if stored(&lines) < BYTES + "ready".len() {
            Err(format!("{} bytes", stored(&lines)))
        } else {
            Ok(lines)
        }
    });
    assert!(lines.iter().all(|line| line.partial), "a piece looks like a whole line");
    assert!(lines.iter().all(|line| line.text.len() <= LINE_BYTES));
    let [text] = &whole(&lines)[..] else { panic!("{} lines", whole(&lines).len()) };
    assert!(text.strip_suffix("ready").is_some_and(|text| text.len() == BYTES && is_all(text, b'x')));
    project.ok(&["stop", "spew"]);
    assert_eq!(
        stored(&project.lines("spew")),
        BYTES + "ready".len(),
        "the end of the run has added something"
    );
}

#[test]
fn a_line_of_20_mib_is_stored_in_pieces_and_whole() {
    let project = up("long", "long-line", "");
    project.wait_log("long", "^end$");
    let lines = project.lines("long");
    let (end, pieces) = lines.split_last().expect("there are lines");
    assert_eq!((end.text.as_str(), end.partial), ("end", false));
    let (last, firsts) = pieces.split_last().expect("there are pieces");
    assert!(
        firsts.iter().all(|piece| piece.partial) && !last.partial,
        "the pieces do not tell that they are"
    );
    assert!(pieces.iter().all(|piece| piece.text.len() <= LINE_BYTES && is_all(&piece.text, b'y')));
    assert_eq!(pieces.iter().map(|piece| piece.text.len()).sum::<usize>(), 20 << 20);
    assert_eq!(project.wait_exit("long"), SUCCESS);
}

fn is_all(text: &str, byte: u8) -> bool {
    text.bytes().all(|other| other == byte)
}

#[test]
fn one_that_closes_its_output_still_runs_and_can_be_stopped() {
    let project = up("mute", "close-output", "");
    project.wait_log("mute", "^ready$");
    let pid = project.pid("mute");
    let stdout = format!("/proc/{pid}/fd/1");
    eventually("its output is closed", || match Path::new(&stdout).read_link() {
        Ok(pipe) => Err(pipe.display().to_string()),
        Err(_) => Ok(()),
    });
    let view = project.view("mute");
    assert_eq!((view.state.as_str(), view.pid, view.exit), ("running", Some(pid), None));
    project.ok(&["stop", "mute"]);
    assert_gone(&[pid]);
    assert_stopped(&project, "mute", SIGTERM);
}

#[test]
fn of_one_that_forks_and_exits_the_exit_is_known_and_nothing_is_left() {
    let project = up("forker", "fork-exit", "");
    assert_eq!(project.wait_exit("forker"), SUCCESS);
    let pids = project.pids("forker");
    assert_eq!(pids.len(), 2, "it did not fork: {pids:?}");
    assert_gone(&pids);
    assert_eq!(project.view("forker").state, "exited");
    let diagnosis = project.ok(&["diagnose", "forker"]).stdout;
    assert!(diagnosis.contains("left behind"), "nothing tells what became of its child: {diagnosis}");
    assert_eq!(whole(&project.lines("forker")), [pids[1].to_string()]);
}

#[test]
fn one_that_has_left_the_session_goes_with_the_exit_of_its_tree() {
    let project = up("jailer", "setsid-escape", "");
    assert_eq!(project.wait_exit("jailer"), SUCCESS);
    let pids = project.pids("jailer");
    assert_eq!(pids.len(), 2, "nobody escaped: {pids:?}");
    assert_gone(&pids);
}

#[test]
fn one_that_has_left_the_session_is_gone_after_stop() {
    for way in ["setsid-escape", "orphan-flood"] {
        // `misbehave` ends once the other has escaped; the shell becomes one that lives on.
        let script = format!("misbehave {way}; exec misbehave stdin-deaf");
        let project = Project::new(MISBEHAVE).script("jailer", &script, "stop = { grace = \"500ms\" }");
        project.ok(&["up", "-d"]);
        project.wait_log("jailer", "ready$");
        let pids = project.pids("jailer");
        let [launcher, escapee, main] = pids[..] else { panic!("{way}: not three processes: {pids:?}") };
        assert!(!is_alive(launcher) && is_alive(escapee), "{way}: {escapee} has not escaped");
        assert_eq!(project.pid("jailer"), main);
        assert_ne!(session(escapee), session(main), "{way}");
        project.ok(&["stop", "jailer"]);
        assert_gone(&pids);
        assert_stopped(&project, "jailer", SIGTERM);
    }
}

fn session(pid: u32) -> i32 {
    // SAFETY: takes and returns numbers only.
    unsafe { libc::getsid(pid.cast_signed()) }
}

#[test]
fn binary_output_has_its_lines_and_is_valid_json() {
    const BYTES: usize = 1000;
    let seed = (1..).find(|seed| is_plain(&binary(BYTES, *seed))).expect("one in a thousand seeds will do");
    let project = up("blob", &format!("binary {BYTES} {seed}"), "");
    assert_eq!(project.wait_exit("blob"), SUCCESS);
    let bytes = binary(BYTES, seed);
    let mut parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // Behind the last newline there is no line unless there are bytes.
    if parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    let expected: Vec<String> = parts
        .into_iter()
        .map(|part| String::from_utf8_lossy(part.strip_suffix(b"\r").unwrap_or(part)).into_owned())
        .collect();
    assert_eq!(whole(&project.lines("blob")), expected);
}

#[test]
fn a_mebibyte_of_noise_does_no_harm() {
    let project =
        Project::new(MISBEHAVE).script("noise", "misbehave binary 1048576 7; printf '\\nend\\n'", "");
    project.ok(&["up", "-d"]);
    assert_eq!(project.wait_exit("noise"), SUCCESS);
    let lines = project.lines("noise");
    assert!(lines.len() > 1000, "{} lines", lines.len());
    let shown = project.ok(&["logs", "noise", "-n", "100000"]).stdout;
    let acting: BTreeSet<char> =
        shown.chars().filter(|c| c.is_control() && !matches!(c, '\n' | '\t')).collect();
    assert!(acting.is_empty(), "a terminal is sent {acting:?}");
}

/// Returns what `misbehave binary` prints.
fn binary(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.max(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// Returns whether bytes hold NULs and lines, and nothing that a terminal would take for a command, which is not
/// stored.
fn is_plain(bytes: &[u8]) -> bool {
    let count = |wanted: u8| bytes.iter().filter(|byte| **byte == wanted).count();
    let has_c1 = bytes.windows(2).any(|pair| pair[0] == 0xc2 && (0x80..0xa0).contains(&pair[1]));
    count(0) > 0 && count(b'\n') >= 3 && count(0x1b) == 0 && !has_c1
}

#[test]
fn of_a_flood_every_line_is_stored_once_and_in_order() {
    const LINES: usize = 100_000;
    let project = Project::new(MISBEHAVE).process("flood", &format!("flood {LINES} 100"), "");
    let mut follower = project.follow("flood");
    project.ok(&["up", "-d"]);
    let mut numbers = Vec::new();
    read_numbers(&mut follower, &mut numbers, LINES);
    assert_eq!(project.wait_exit("flood"), SUCCESS);
    assert!(follower.next_page().is_empty(), "there are more lines than were printed");
    assert_counts_up(&numbers);
}

/// Reads on until there are `count` numbered lines.
fn read_numbers(follower: &mut Follower<'_>, numbers: &mut Vec<u64>, count: usize) {
    eventually("as many lines are stored as were printed", || {
        numbers.extend(next_numbers(follower));
        if numbers.len() < count { Err(format!("{} of {count}", numbers.len())) } else { Ok(()) }
    });
}

/// Reads the next page. A line that was cut in two by a pause is put together with its rest, from the page after.
fn next_numbers(follower: &mut Follower<'_>) -> Vec<u64> {
    let mut page = follower.next_page();
    eventually("the rest of a line is stored", || {
        if page.last().is_some_and(|line| line.partial) {
            page.extend(follower.next_page());
        }
        page.last().filter(|line| line.partial).map_or(Ok(()), |line| Err(line.text.clone()))
    });
    whole(&page).iter().map(|text| number(text)).collect()
}

fn number(text: &str) -> u64 {
    let number = text.strip_prefix("line ").and_then(|rest| rest.split(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("{text:?} is no numbered line"))
}

#[track_caller]
fn assert_counts_up(numbers: &[u64]) {
    let wrong = numbers.iter().zip(0..).position(|(number, expected)| *number != expected);
    if let Some(at) = wrong {
        panic!("line {at} has number {}; around it: {:?}", numbers[at], &numbers[at.saturating_sub(3)..=at]);
    }
}

#[test]
fn an_exit_code_is_told() {
    let project = up("failer", "exit 7", "");
    assert_eq!(project.wait_exit("failer"), Exit { code: Some(7), signal: None });
    assert_eq!(project.view("failer").state, "failed");
    let diagnosis = project.ok(&["diagnose", "failer"]).stdout;
    assert!(diagnosis.contains("exit code 7"), "{diagnosis}");
}

#[test]
fn a_crash_is_told_in_words_with_what_was_printed_last() {
    let project = up("crasher", "crash", "");
    assert_eq!(project.wait_exit("crasher"), Exit { code: None, signal: Some(libc::SIGABRT) });
    let diagnosis = project.ok(&["diagnose", "crasher"]).stdout;
    for words in ["killed by SIGABRT (6)", "about to crash", "fatal: this is the end"] {
        assert!(diagnosis.contains(words), "no {words:?} in: {diagnosis}");
    }
    let lines = project.lines("crasher");
    let streams: BTreeSet<(&str, &str)> =
        lines.iter().map(|line| (line.stream.as_str(), line.text.as_str())).collect();
    assert_eq!(streams, BTreeSet::from([("stdout", "about to crash"), ("stderr", "fatal: this is the end")]));
}

#[test]
fn what_is_sent_arrives_and_so_does_its_end() {
    let project = up("parrot", "echo", "");
    project.ok(&["send", "parrot", "hello", "there"]);
    project.wait_log("parrot", "^got hello there$");
    project.run_with_input(&["send", "parrot", "-"], "zwei\ndrei ☃\n".as_bytes()).expect_code(0);
    project.wait_log("parrot", "^got drei ☃$");
    project.ok(&["send", "parrot", "--eof"]);
    assert_eq!(project.wait_exit("parrot"), SUCCESS);
    assert_eq!(whole(&project.lines("parrot")), ["got hello there", "got zwei", "got drei ☃"]);
    let late = project.run(&["send", "parrot", "too late"]).expect_code(1);
    assert!(late.stderr.contains("parrot"), "{}", late.stderr);
}

#[test]
fn a_prompt_is_seen_before_its_line_ends() {
    let project = up("asker", "prompt", "");
    project.wait_log("asker", "^name\\? $");
    let lines = project.lines("asker");
    let [prompt] = &lines[..] else { panic!("{lines:?}") };
    assert!(prompt.partial && project.view("asker").exit.is_none(), "{prompt:?}");
    project.ok(&["send", "asker", "Ada"]);
    assert_eq!(project.wait_exit("asker"), SUCCESS);
    assert_eq!(whole(&project.lines("asker")), ["name? hello, Ada"]);
}

#[test]
fn sending_to_one_that_does_not_read_ends_and_says_so() {
    let project = up("deaf", "stdin-deaf", "");
    project.wait_log("deaf", "^ready$");
    let pid = project.pid("deaf");
    let input = "x".repeat(1 << 20);
    let sent = project.run_with_input(&["send", "deaf", "-"], input.as_bytes()).expect_code(1);
    assert!(sent.stderr.contains("`deaf` does not read its input"), "{}", sent.stderr);
    assert_eq!(project.pid("deaf"), pid, "it was hurt by it");
    project.ok(&["stop", "deaf"]);
    assert_stopped(&project, "deaf", SIGTERM);
}

#[test]
fn the_port_of_a_server_is_shown_and_free_after_stop() {
    let project = up("server", "serve 0", "");
    project.wait_log("server", "^listening on ");
    let lines = project.lines("server");
    let url = lines[0].text.strip_prefix("listening on http://127.0.0.1:").expect("its first line");
    let port: u16 = url.trim_end_matches('/').parse().expect("a port");
    drop(TcpStream::connect(("127.0.0.1", port)).expect("it serves"));
    assert_eq!(project.view("server").ports, [port]);
    project.ok(&["stop", "server"]);
    TcpListener::bind(("127.0.0.1", port)).expect("its port is free");
    assert!(project.view("server").ports.is_empty());
}

#[test]
fn a_daemon_killed_under_a_flood_loses_no_line_and_doubles_none() {
    const LINES: usize = 200_000;
    const KILLS: usize = 5;
    let project = Project::new(MISBEHAVE)
        .process("flood", &format!("flood {LINES} 100"), "")
        .process("ticker", "count 1", "");
    let (mut flood, mut ticker) = (project.follow("flood"), project.follow("ticker"));
    let (mut floods, mut ticks) = (Vec::new(), Vec::new());
    project.ok(&["up", "-d"]);
    let pid = project.pid("ticker");
    for _ in 0..KILLS {
        // The next command takes up what the last daemon has left, and each daemon takes in something new.
        let seen = ticks.len();
        read_numbers(&mut ticker, &mut ticks, seen + 1);
        floods.extend(next_numbers(&mut flood));
        project.kill_daemon();
        assert!(is_alive(pid), "the child died with the daemon");
    }
    read_numbers(&mut flood, &mut floods, LINES);
    assert_eq!(project.wait_exit("flood"), SUCCESS);
    assert_eq!(project.pid("ticker"), pid, "it was started again");
    project.ok(&["stop", "ticker"]);
    while let Some(more) = Some(next_numbers(&mut ticker)).filter(|more| !more.is_empty()) {
        ticks.extend(more);
    }
    assert!(flood.next_page().is_empty(), "there are more lines than were printed");
    assert_counts_up(&floods);
    assert_counts_up(&ticks);
    for name in ["flood", "ticker"] {
        let view = project.view(name);
        let runs: BTreeSet<u64> = project.lines(name).iter().map(|line| line.run).collect();
        assert_eq!((runs, view.restarts), (view.run.into_iter().collect(), 0), "`{name}` was started again");
    }
}
