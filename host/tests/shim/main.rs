//! Drives the built `ostler-shim` with real children, as a daemon would.

mod harness;
mod terminal;
mod trees;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ostler::model::{SpoolPosition, Stream};
use ostler::shim::{
    ChunkKind, Count, DoneRecord, NotifySpec, Report, Request, Scope, SpawnFault, SpoolLimits, SpoolReader,
    launch, read_done, read_exit, tree,
};

use harness::*;

#[test]
fn exit_codes_and_signals_are_told_and_written_down() {
    for (script, exit) in
        [("exit 0", code(0)), ("exit 37", code(37)), ("kill -9 $$", killed(9)), ("kill -ABRT $$", killed(6))]
    {
        let mut run = Run::sh(script);
        run.control.pid();
        assert_eq!(run.finish(), (exit, 0), "{script}");
    }
}

#[test]
fn both_streams_are_spooled_with_their_names() {
    let mut run = Run::sh("echo out; echo err >&2; printf 'no end'");
    run.finish();
    let mut reader = SpoolReader::open(run.dir.path(), SpoolPosition::default()).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(chunk) = reader.next_chunk().unwrap() {
        let ChunkKind::Data(data) = chunk.kind else { panic!("nothing was dropped") };
        if chunk.stream == Stream::Stderr { &mut err } else { &mut out }.extend_from_slice(data);
    }
    assert_eq!((&out[..], &err[..]), (&b"out\nno end"[..], &b"err\n"[..]));
}

#[test]
fn what_is_wrong_with_a_program_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("plain"), "#!/bin/sh\n").unwrap();
    executable(&path("format"), "just text\n");
    executable(&path("orphan"), "#!/no/such/interpreter\n");
    let cases = [
        ("no-such-program".into(), "/", SpawnFault::ProgramNotFound),
        (PathBuf::from("./no-such-program"), "/", SpawnFault::ProgramNotFound),
        (path("plain"), "/", SpawnFault::NotExecutable),
        (path("format"), "/", SpawnFault::UnknownFormat),
        (path("orphan"), "/", SpawnFault::NoInterpreter),
        ("/bin/sh".into(), "/no/such/directory", SpawnFault::BadCwd),
        ("/bin/sh".into(), "/dev/null", SpawnFault::BadCwd),
    ];
    for (program, cwd, fault) in cases {
        let mut spec = shell("exit 0");
        spec.program = program.clone().into();
        spec.cwd = cwd.into();
        let mut run = Run::launch(&spec);
        let Some(Report::SpawnFailed(failure)) = run.control.next() else {
            panic!("{} in {cwd} was started", program.display())
        };
        assert_eq!(failure.what, fault, "{} in {cwd}", program.display());
        assert_eq!(run.control.next(), None);
        assert!(run.launched.shim.wait().unwrap().success());
        match read_done(run.dir.path()).unwrap() {
            Some(DoneRecord::SpawnFailed { failure: written, .. }) => assert_eq!(written, failure),
            other => panic!("expected a failure, got {other:?}"),
        }
    }
}

#[test]
fn programs_are_looked_up_in_the_childs_path_and_run_in_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let tool = dir.path().join("my-tool");
    executable(&tool, "#!/bin/sh\npwd\necho \"$0 $1 $WORD\"\numask\n");
    let mut spec = shell("");
    spec.program = "my-tool".into();
    spec.args = vec!["an arg".into()];
    spec.cwd = dir.path().canonicalize().unwrap();
    spec.umask = Some(0o027);
    spec.env = vec![("PATH".into(), dir.path().into()), ("WORD".into(), "a word".into())];
    let mut run = Run::launch(&spec);
    assert_eq!(run.finish(), (code(0), 0));
    assert_eq!(run.output, format!("{}\n{} an arg a word\n0027\n", spec.cwd.display(), tool.display()));
}

#[test]
fn the_child_starts_with_a_clean_slate() {
    // Not through a shell, which blocks and ignores signals of its own.
    let mut spec = shell("");
    spec.program = "grep".into();
    spec.args = ["-E", "Sig(Blk|Ign)|Umask", "/proc/self/status"].map(Into::into).to_vec();
    let mut run = Run::launch(&spec);
    run.finish();
    let own_status = fs::read_to_string("/proc/self/status").unwrap();
    let umask = own_status.lines().find(|line| line.starts_with("Umask")).unwrap();
    let none = "0000000000000000";
    assert_eq!(run.output, format!("{umask}\nSigBlk:\t{none}\nSigIgn:\t{none}\n"));
}

#[test]
fn the_child_has_a_session_and_three_descriptors_of_its_own() {
    let mut run = Run::sh("ls /proc/$$/fd; cut -d' ' -f6 /proc/$$/stat; echo $$");
    run.finish();
    let numbers = numbers(&run.output);
    let [0, 1, 2, session, pid] = numbers[..] else { panic!("{numbers:?}") };
    assert_eq!(session, pid);
}

#[test]
fn files_are_for_their_owner_only() {
    let mut run = Run::sh("echo secret; read line");
    run.control.pid();
    run.wait_for_output(|output| output == "secret\n");
    for entry in fs::read_dir(run.dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

#[test]
fn input_reaches_the_child_until_it_is_closed() {
    let mut run = Run::sh(
        "while read line; do echo \"got $line\"; done; trap 'echo end; exit' TERM; echo closed; \
         while :; do sleep 0.01; done",
    );
    run.control.pid();
    let input = |text: &str| Request::Stdin { bytes: text.into() };
    assert_eq!(run.control.ask(&input("one\ntw")), Report::StdinTaken { accepted: 6, open: true });
    run.wait_for_output(|output| output == "got one\n");
    assert_eq!(run.control.ask(&input("o\n")), Report::StdinTaken { accepted: 2, open: true });
    run.control.send(&Request::CloseStdin);
    run.wait_for_output(|output| output == "got one\ngot two\nclosed\n");
    assert_eq!(run.control.ask(&input("late")), Report::StdinTaken { accepted: 0, open: false });
    run.control.send(&Request::Signal { signal: libc::SIGTERM, scope: Scope::Main });
    assert_eq!(run.finish(), (code(0), 0));
    assert_eq!(run.output, "got one\ngot two\nclosed\nend\n");
}

#[test]
fn a_child_that_does_not_read_gets_bounded_input_and_blocks_nobody() {
    let mut run = Run::sh("exec tail -f /dev/null");
    run.control.pid();
    let bytes = vec![b'x'; 40_000];
    let mut taken = 0;
    loop {
        match run.control.ask(&Request::Stdin { bytes: bytes.clone() }) {
            Report::StdinTaken { accepted: 40_000, open: true } => taken += 40_000,
            Report::StdinTaken { open: true, .. } => break,
            other => panic!("{other:?}"),
        }
        assert!(taken < 1 << 20);
    }
    assert_eq!(run.control.ask(&Request::Ping), Report::Pong);
    run.control.send(&Request::Signal { signal: libc::SIGKILL, scope: Scope::Main });
    assert_eq!(run.finish(), (killed(9), 0));
}

#[test]
fn signals_reach_the_scope_they_are_for_and_no_one_else() {
    let mut run = Run::sh(
        "trap 'echo main' USR1
         sh -c 'trap \"echo sub\" USR1; echo ready; while :; do sleep 0.01; done' &
         while :; do wait; done",
    );
    run.control.pid();
    run.wait_for_output(|output| output == "ready\n");
    let signal = |scope| Request::Signal { signal: libc::SIGUSR1, scope };
    let reached = |report| match report {
        Report::Signalled { reached, errno: 0 } => reached,
        other => panic!("{other:?}"),
    };
    let count = |output: &str, word: &str| output.matches(word).count();
    assert_eq!(reached(run.control.ask(&signal(Scope::Main))), 1);
    run.wait_for_output(|output| count(output, "main") == 1);
    assert_eq!(count(&run.output, "sub"), 0);
    assert_eq!(reached(run.control.ask(&signal(Scope::Group))), 1);
    run.wait_for_output(|output| count(output, "main") == 2 && count(output, "sub") == 1);
    assert!(reached(run.control.ask(&signal(Scope::Tree))) >= 2);
    run.wait_for_output(|output| count(output, "main") == 3 && count(output, "sub") == 2);
    let none = run.control.ask(&Request::Signal { signal: 1000, scope: Scope::Main });
    assert_eq!(none, Report::Signalled { reached: 0, errno: libc::EINVAL });
}

#[test]
fn killing_the_tree_gets_those_who_left_group_and_session() {
    let mut run = Run::sh(
        "echo $$
         setsid sh -c 'echo $$; sleep 1000 & echo $!; trap \"\" TERM; wait' &
         (setsid setsid sh -c 'echo $$; exec tail -f /dev/null' &)
         wait",
    );
    run.control.pid();
    run.wait_for_output(|output| numbers(output).len() == 4);
    match run.control.ask(&Request::Signal { signal: libc::SIGKILL, scope: Scope::Tree }) {
        Report::Signalled { reached, errno: 0 } => assert!(reached >= 4, "{reached}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(run.finish().0, killed(9));
    assert!(numbers(&run.output).into_iter().all(is_gone));
}

#[test]
fn what_outlives_the_main_child_is_told_to_go() {
    let mut run = Run::sh(
        "(setsid sh -c 'trap \"echo asked; exit\" TERM; echo $$; while :; do sleep 0.01; done' &)
         (setsid sh -c 'echo $$; exec tail -f /dev/null' &)
         read line; exit 5",
    );
    run.control.pid();
    run.wait_for_output(|output| numbers(output).len() == 2);
    run.control.send(&Request::CloseStdin);
    let (exit, leftovers) = run.finish();
    assert_eq!(exit, code(5));
    // The first's short-lived `sleep`s may be counted too.
    assert!(leftovers >= 2, "{leftovers}");
    assert!(run.output.contains("asked"), "{}", run.output);
    assert!(numbers(&run.output).into_iter().all(is_gone));
}

#[test]
fn what_does_not_go_when_told_is_killed_after_the_grace() {
    let mut spec = shell("(setsid sh -c 'trap \"\" TERM; echo $$; exec tail -f /dev/null' &) ; read line");
    spec.leftover_grace = Duration::from_millis(50);
    let mut run = Run::launch(&spec);
    run.control.pid();
    run.wait_for_output(|output| numbers(output).len() == 1);
    run.control.send(&Request::CloseStdin);
    assert_eq!(run.finish(), (code(1), 1));
    assert!(numbers(&run.output).into_iter().all(is_gone));
}

#[test]
fn adopted_zombies_are_reaped_while_the_main_child_lives() {
    let mut run = Run::sh("(sh -c 'echo $$; exec tail -f /dev/null' &) ; read line");
    run.control.pid();
    run.wait_for_output(|output| numbers(output).len() == 1);
    let adopted = numbers(&run.output)[0];
    tree::Process::with_pid(adopted).unwrap().signal(libc::SIGKILL).unwrap();
    wait_until("the zombie is reaped", || is_gone(adopted));
    run.control.send(&Request::CloseStdin);
    assert_eq!(run.finish(), (code(1), 0));
}

#[test]
fn a_child_outlives_its_daemon_and_tells_the_next_one_everything() {
    let mut run = Run::sh("echo before; read line; echo \"after $line\"; read line; exit 9");
    let pid = run.control.pid();
    run.wait_for_output(|output| output == "before\n");
    run.launched.control.shutdown(std::net::Shutdown::Both).unwrap();
    run.control = run.connect();
    assert_eq!(run.control.pid(), pid);
    run.control.send(&Request::Stdin { bytes: b"word\n".to_vec() });
    run.wait_for_output(|output| output == "before\nafter word\n");
    // And with no daemon at all when it ends.
    run.control.send(&Request::CloseStdin);
    run.control.socket.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(run.launched.shim.wait().unwrap().success());
    assert_eq!(read_exit(run.dir.path()).unwrap().unwrap().exit, code(9));
    assert!(read_done(run.dir.path()).unwrap().is_some());
}

#[test]
fn a_daemon_that_comes_after_the_exit_hears_of_it() {
    let mut run =
        Run::sh("(setsid sh -c 'trap \"\" TERM; echo $$; exec tail -f /dev/null' &) ; read line; exit 4");
    run.control.pid();
    run.wait_for_output(|output| numbers(output).len() == 1);
    run.control.send(&Request::CloseStdin);
    run.control.until(|report| matches!(report, Report::Exited { .. }).then_some(()));
    let mut late = run.connect();
    late.pid();
    assert!(matches!(late.next(), Some(Report::Exited { exit, .. }) if exit == code(4)));
    assert_eq!(
        late.ask(&Request::Signal { signal: libc::SIGTERM, scope: Scope::Main }),
        Report::Signalled { reached: 0, errno: libc::ESRCH }
    );
    late.send(&Request::Signal { signal: libc::SIGKILL, scope: Scope::Tree });
    late.until(|report| matches!(report, Report::Gone { leftovers: 1 }).then_some(()));
    late.until(|report| matches!(report, Report::Done { .. }).then_some(()));
}

#[test]
fn a_doorbell_rings_once_and_at_once_when_there_is_output_already() {
    let mut run = Run::sh("echo one; while read line; do echo \"$line\"; done");
    run.control.pid();
    run.wait_for_output(|output| output == "one\n");
    let seen = run.reader.position();
    assert_eq!(run.control.ask(&Request::Arm { seen: 0 }), Report::Doorbell { end: seen });
    // Not armed: output comes, and the next thing heard is the answer to a ping.
    let two = run.control.ask(&Request::Stdin { bytes: b"two\n".to_vec() });
    assert_eq!(two, Report::StdinTaken { accepted: 4, open: true });
    wait_until("the second line is spooled", || {
        run.read();
        run.output == "one\ntwo\n"
    });
    assert_eq!(run.control.ask(&Request::Ping), Report::Pong);
    let seen = run.reader.position();
    run.control.send(&Request::Arm { seen });
    assert_eq!(run.control.ask(&Request::Ping), Report::Pong);
    run.control.send(&Request::Stdin { bytes: b"three\n".to_vec() });
    let end = run.control.until(|report| match report {
        Report::Doorbell { end } => Some(*end),
        _ => None,
    });
    assert!(end > seen);
}

#[test]
fn a_child_that_closes_its_output_is_still_looked_after() {
    let mut run = Run::sh("echo bye; exec >&- 2>&-; read line; exit 6");
    run.control.pid();
    run.wait_for_output(|output| output == "bye\n");
    assert_eq!(run.control.ask(&Request::Ping), Report::Pong);
    run.control.send(&Request::CloseStdin);
    assert_eq!(run.finish(), (code(6), 0));
}

#[test]
fn an_output_pipe_held_by_a_stranger_does_not_keep_the_run_open() {
    let mut run = Run::sh("echo ready; read line; echo last");
    let pid = run.control.pid();
    run.wait_for_output(|output| output == "ready\n");
    let _held = fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/fd/1")).unwrap();
    run.control.send(&Request::CloseStdin);
    assert_eq!(run.finish(), (code(0), 0));
    assert_eq!(run.output, "ready\nlast\n");
}

#[test]
fn a_shim_survives_what_a_terminal_or_a_shutdown_sends() {
    let mut run = Run::sh("read line; exit 2");
    run.control.pid();
    let shim = tree::Process::with_pid(i32::try_from(run.launched.shim.id()).unwrap()).unwrap();
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGPIPE, libc::SIGUSR1] {
        assert_eq!(shim.signal(signal).unwrap(), tree::Sent::Delivered);
    }
    assert_eq!(run.control.ask(&Request::Ping), Report::Pong);
    run.control.send(&Request::CloseStdin);
    assert_eq!(run.finish(), (code(2), 0));
}

#[test]
fn peers_that_misbehave_are_dropped_and_the_others_served() {
    let mut run = Run::sh("read line");
    run.control.pid();
    let mut liar = run.connect();
    liar.pid();
    liar.socket.write_all(&[0xff; 64]).unwrap();
    assert_eq!(liar.next(), None);

    // One that never reads its answers: at some point there is no one to write to.
    let mut deaf = run.connect();
    let mut pings = Vec::new();
    (0..1000).for_each(|_| Request::Ping.encode(&mut pings));
    while deaf.socket.write_all(&pings).is_ok() {}
    assert_eq!(run.control.ask(&Request::Ping), Report::Pong);
}

#[test]
fn the_newest_of_too_many_peers_is_served() {
    let mut run = Run::sh("read line; exit 8");
    run.control.pid();
    let mut peers: Vec<Control> = (0..6).map(|_| run.connect()).collect();
    let mut newest = peers.pop().unwrap();
    newest.pid();
    assert_eq!(newest.ask(&Request::Ping), Report::Pong);
    assert_eq!(run.control.next(), None, "the oldest was to go");
    newest.send(&Request::CloseStdin);
    run.control = newest;
    assert_eq!(run.finish(), (code(8), 0));
}

/// Prints the numbers up to 10,000 twenty times.
const COUNTING: &str = "i=0; while [ $i -lt 20 ]; do seq 1 10000; i=$((i+1)); done";
const COUNTED: Count = Count { bytes: 20 * 48_894, lines: 200_000 };

fn told(run: &Run) -> Count {
    let read = Count::of(run.output.as_bytes());
    Count { bytes: read.bytes + run.gaps.bytes, lines: read.lines + run.gaps.lines }
}

#[test]
fn a_flood_that_nobody_reads_stays_within_its_limit_and_every_lost_line_is_counted() {
    let mut spec = shell(COUNTING);
    spec.spool = SpoolLimits { file_bytes: 64 << 10, max_bytes: 256 << 10, min_free_bytes: 0 };
    let mut run = Run::launch(&spec);
    run.control.until(|report| matches!(report, Report::Done { .. }).then_some(()));
    let on_disk: u64 = fs::read_dir(run.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_str().unwrap().starts_with("spool."))
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert!(on_disk <= (256 << 10) + (64 << 10), "{on_disk}");
    run.read();
    assert!(run.gaps.lines > 0);
    assert_eq!(told(&run), COUNTED);
    assert!(run.output.ends_with("9999\n10000\n"));
}

#[test]
fn a_reader_that_keeps_up_misses_nothing() {
    let mut spec = shell(COUNTING);
    spec.spool.file_bytes = 64 << 10;
    let mut run = Run::launch(&spec);
    run.wait_for_output(|output| output.len() as u64 == COUNTED.bytes);
    assert_eq!(run.gaps, Count::default());
    assert_eq!(told(&run), COUNTED);
}

#[test]
fn a_file_system_that_takes_no_more_costs_output_but_not_the_child() {
    let dir = tempfile::tempdir().unwrap();
    let limited = dir.path().join("limited-shim");
    // Writing beyond the limit fails in the middle of a frame.
    executable(&limited, &format!("#!/bin/sh\nulimit -f 200\nexec '{SHIM}' \"$@\"\n"));
    let mut run = Run::launch_with(&limited, &shell(COUNTING));
    let (lost_bytes, lost_lines) = run.control.until(|report| match report {
        Report::Done { lost_bytes, lost_lines, .. } => Some((*lost_bytes, *lost_lines)),
        _ => None,
    });
    run.read();
    let told = told(&run);
    assert!(run.gaps.lines + lost_lines > 0 && !run.output.is_empty());
    assert_eq!(Count { bytes: told.bytes + lost_bytes, lines: told.lines + lost_lines }, COUNTED);
    assert_eq!(read_exit(run.dir.path()).unwrap().unwrap().exit, code(0));
}

#[test]
fn a_socket_path_that_is_too_long_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let error = launch(Path::new(SHIM), dir.path(), &dir.path().join("x".repeat(120)), &shell("exit 0"));
    assert!(error.unwrap_err().to_string().contains("XDG_RUNTIME_DIR"));
}

#[test]
fn a_missing_shim_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = launch(Path::new("/no/such/shim"), dir.path(), &dir.path().join("control"), &shell("exit 0"));
    assert!(error.unwrap_err().to_string().starts_with("cannot start the shim /no/such/shim"));
}

/// A run whose child may speak, and the socket it speaks to.
fn with_notify(script: &str) -> (Run, PathBuf, tempfile::TempDir) {
    let sockets = tempfile::tempdir().unwrap();
    let path = sockets.path().join("notify");
    let mut spec = shell(script);
    spec.notify = Some(NotifySpec { path: path.clone(), watchdog: Some(Duration::from_secs(2)) });
    (Run::launch(&spec), path, sockets)
}

#[test]
fn a_child_is_told_where_to_speak_only_when_somebody_listens() {
    let variables = "env | grep -E '^(NOTIFY|WATCHDOG)' | sort; echo me $$";
    let (mut run, path, _sockets) = with_notify(variables);
    let pid = run.control.pid();
    run.finish();
    let expected =
        format!("NOTIFY_SOCKET={}\nWATCHDOG_PID={pid}\nWATCHDOG_USEC=2000000\nme {pid}\n", path.display());
    assert_eq!(run.output, expected);
    assert!(!path.exists(), "the socket was left behind");
    let mut run = Run::sh(variables);
    let pid = run.control.pid();
    run.finish();
    assert_eq!(run.output, format!("me {pid}\n"));
}

#[test]
fn strangers_are_not_heard() {
    // This test does not descend from the shim, and lives.
    let (mut run, path, _sockets) = with_notify("read line");
    run.control.pid();
    let stranger = std::os::unix::net::UnixDatagram::unbound().unwrap();
    stranger.send_to(b"READY=1", &path).unwrap();
    run.control.send(&Request::Stdin { bytes: b"end\n".to_vec() });
    loop {
        match run.control.next().unwrap() {
            Report::Notified(said) => panic!("a stranger was heard: {said:?}"),
            Report::Done { .. } => break,
            _ => {}
        }
    }
}
