//! Children with a terminal, input that has to wait, and output that is followed as it is printed.

use std::io::Write;

use ostler::model::{Stream, TerminalSize};
use ostler::shim::{LaunchSpec, Report, Request};

use crate::harness::*;

fn on_terminal(script: &str) -> LaunchSpec {
    LaunchSpec { terminal: Some(TerminalSize::default()), ..shell(script) }
}

/// Launches a child with a terminal and waits until the shim has told of both.
fn launch(script: &str) -> Run {
    let mut run = Run::launch(&on_terminal(script));
    assert_eq!(run.control.next(), Some(Report::Terminal { size: TerminalSize::default() }));
    run.control.pid();
    run
}

fn type_in(run: &mut Run, bytes: &[u8]) {
    run.control.send(&Request::Stdin { bytes: bytes.to_vec() });
    let taken = run.control.until(|report| match report {
        Report::StdinTaken { accepted, open: true } => Some(*accepted as usize),
        _ => None,
    });
    assert_eq!(taken, bytes.len());
}

/// Collects followed output until it contains all `texts`; two streams come in no certain order.
fn follow_until(control: &mut Control, texts: &[&str]) -> String {
    let mut all = String::new();
    while !texts.iter().all(|text| all.contains(text)) {
        all += &control.until(|report| match report {
            Report::Output { bytes, .. } => Some(String::from_utf8(bytes.clone()).unwrap()),
            Report::OutputGap { .. } => panic!("something was left out"),
            _ => None,
        });
    }
    all
}

#[test]
fn a_child_finds_a_terminal_of_its_own_on_its_three_streams() {
    let script = "for fd in 0 1 2; do test -t $fd && echo \"$fd is a terminal\"; done; stty size; tty < /dev/tty; \
                  echo to stderr >&2; ls /proc/$$/fd | wc -w; cut -d' ' -f5-8 /proc/$$/stat; exit 7";
    let mut run = launch(script);
    assert_eq!(run.finish(), (code(7), 0));
    let lines: Vec<&str> = run.output.split("\r\n").collect();
    let [zero, one, two, size, tty, stderr, fds, ids, ""] = lines[..] else { panic!("{lines:?}") };
    assert_eq!([zero, one, two], ["0 is a terminal", "1 is a terminal", "2 is a terminal"]);
    assert_eq!((size, stderr, fds), ("24 80", "to stderr", "3"));
    assert!(tty.starts_with("/dev/"), "{tty}");
    let ids = numbers(ids);
    let [group, session, device, foreground] = ids[..] else { panic!("{ids:?}") };
    assert!(group == session && group == foreground && device != 0, "{ids:?}");
}

#[test]
fn the_terminal_outlives_streams_that_are_closed_and_opened_again() {
    let mut run = launch("echo before; exec <&- >&- 2>&-; sleep 0.2; exec >/dev/tty; echo after");
    assert_eq!(run.finish(), (code(0), 0));
    assert_eq!(run.output, "before\r\nafter\r\n");
}

#[test]
fn a_flood_on_a_terminal_arrives_whole() {
    let mut run = launch("stty -opost; seq 1 200000");
    run.finish();
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert!(run.output == expected, "{} bytes of {}", run.output.len(), expected.len());
}

#[test]
fn resizing_is_seen_and_the_same_size_again_makes_it_draw_anew() {
    let script = "trap 'stty size' WINCH; echo here; while :; do sleep 0.01; done";
    let mut run = launch(script);
    run.wait_for_output(|output| output.contains("here"));
    let size = TerminalSize::new(50, 132).unwrap();
    run.control.send(&Request::Resize { size });
    run.wait_for_output(|output| output.contains("50 132\r\n"));
    let seen = run.output.matches("50 132\r\n").count();
    run.control.send(&Request::Resize { size });
    run.wait_for_output(|output| output.matches("50 132\r\n").count() > seen);
    // Whoever connects later is told the present size.
    assert_eq!(run.connect().next(), Some(Report::Terminal { size }));
}

#[test]
fn keys_are_what_the_terminal_makes_of_them() {
    let mut run =
        launch("trap 'echo; echo stopped by a key; exit 3' INT; echo here; while :; do sleep 0.01; done");
    run.wait_for_output(|output| output.contains("here"));
    type_in(&mut run, b"\x03");
    assert_eq!(run.finish(), (code(3), 0));
    assert!(run.output.contains("stopped by a key"), "{}", run.output);
}

#[test]
fn the_end_of_input_is_a_key_on_a_terminal() {
    let mut run = launch("cat; echo again; cat; echo over");
    type_in(&mut run, b"one\n");
    run.control.send(&Request::CloseStdin);
    run.wait_for_output(|output| output.contains("again"));
    // Within a line it takes two of them.
    type_in(&mut run, b"two");
    run.control.send(&Request::CloseStdin);
    assert_eq!(run.finish(), (code(0), 0));
    let shown: Vec<&str> = run.output.split("\r\n").collect();
    assert_eq!(shown[1..3], ["one", "again"], "{}", run.output);
    assert!(run.output.contains("two") && run.output.ends_with("over\r\n"), "{}", run.output);
}

#[test]
fn what_a_child_leaves_behind_on_its_terminal_is_cleared_away() {
    let mut spec =
        on_terminal("(trap '' HUP TERM; echo left; sleep 1000) & until false; do sleep 0.01; done");
    spec.leftover_grace = std::time::Duration::from_millis(50);
    let mut run = Run::launch(&spec);
    run.wait_for_output(|output| output.contains("left"));
    run.control.send(&Request::Stdin { bytes: b"\x03".to_vec() });
    let (exit, left) = run.finish();
    assert_eq!(exit, killed(libc::SIGINT));
    assert!(left > 0);
}

#[test]
fn output_is_followed_from_the_place_that_is_told() {
    let mut run = Run::sh("echo before; read line; echo \"after $line\"; echo err >&2; read line");
    run.control.pid();
    run.wait_for_output(|output| output.contains("before"));
    let end = run.reader.position();
    assert_eq!(run.control.ask(&Request::Tail { on: true }), Report::Tailing { on: true, end });
    let mut silent = run.connect();
    run.control.send(&Request::Stdin { bytes: b"x\n".to_vec() });
    let followed = follow_until(&mut run.control, &["after x\n", "err\n"]);
    assert_eq!(followed.len(), "after x\nerr\n".len(), "{followed:?}");
    assert!(matches!(run.control.ask(&Request::Tail { on: false }), Report::Tailing { on: false, .. }));
    run.control.send(&Request::Stdin { bytes: b"y\n".to_vec() });
    run.finish();
    // Who has not asked is not told, and the spool has it all the same.
    silent.until(|report| match report {
        Report::Output { .. } => panic!("nobody asked"),
        Report::Done { .. } => Some(()),
        _ => None,
    });
    assert_eq!(run.output.replace("err\n", ""), "before\nafter x\n");
}

#[test]
fn the_streams_of_a_child_without_a_terminal_are_told_apart() {
    let mut run = Run::sh("read line; echo out; echo err >&2; read line");
    run.control.pid();
    run.control.ask(&Request::Tail { on: true });
    run.control.send(&Request::Stdin { bytes: b"\n".to_vec() });
    let mut heard = [(); 2].map(|()| {
        run.control.until(|report| match report {
            Report::Output { stream, bytes } => Some((*stream as u8, bytes.clone())),
            _ => None,
        })
    });
    heard.sort();
    let (out, err) = (Stream::Stdout as u8, Stream::Stderr as u8);
    assert_eq!(heard, [(out, b"out\n".to_vec()), (err, b"err\n".to_vec())]);
}

#[test]
fn a_follower_that_does_not_read_is_told_how_much_it_missed() {
    const LINES: usize = 1_000_000;
    let line = "a line of some length, for the sake of it\n";
    let script = format!("read go; yes '{}' | head -n {LINES}; read go; echo the end", line.trim_end());
    let mut run = Run::sh(&script);
    run.control.pid();
    let mut lazy = run.connect();
    lazy.pid();
    let begun = lazy.ask(&Request::Tail { on: true });
    assert!(matches!(begun, Report::Tailing { on: true, .. }), "{begun:?}");
    run.control.send(&Request::Stdin { bytes: b"\n".to_vec() });
    let flood = LINES * line.len();
    // It does not read while the child is at it, and the child is not held up by that.
    run.wait_for_output(|output| output.len() >= flood);
    run.control.send(&Request::Stdin { bytes: b"\n".to_vec() });
    let (mut followed, mut missed, mut last) = (0, 0, Vec::new());
    while !last.ends_with(b"the end\n") {
        match lazy.next() {
            Some(Report::Output { bytes, .. }) => {
                followed += bytes.len();
                last = bytes;
            }
            Some(Report::OutputGap { bytes }) => missed += usize::try_from(bytes).unwrap(),
            Some(_) => {}
            None => panic!("{followed} and {missed} bytes, and not the end"),
        }
    }
    assert!(missed > 0, "nothing was missed of {flood} bytes");
    assert_eq!(followed + missed, flood + "the end\n".len());
}

#[test]
fn input_beyond_the_bound_is_announced_when_there_is_room() {
    let mut run = Run::sh("read line; wc -c");
    run.control.pid();
    let all = 1 << 20;
    let text = [b"\n".as_slice(), &vec![b'x'; all]].concat();
    let (mut sent, mut refusals) = (0, 0);
    // The first line lets the child go on, and is sent last but one.
    while sent < all {
        let piece = &text[1 + sent..][..(all - sent).min(65_536)];
        run.control.send(&Request::Stdin { bytes: if sent == 0 { text[..1].to_vec() } else { Vec::new() } });
        run.control.until(|report| matches!(report, Report::StdinTaken { .. }).then_some(()));
        run.control.send(&Request::Stdin { bytes: piece.to_vec() });
        let accepted = run.control.until(|report| match report {
            Report::StdinTaken { accepted, open: true } => Some(*accepted as usize),
            _ => None,
        });
        sent += accepted;
        if accepted < piece.len() {
            refusals += 1;
            run.control.until(|report| matches!(report, Report::StdinRoom).then_some(()));
        }
    }
    run.control.send(&Request::CloseStdin);
    run.finish();
    assert_eq!(run.output.trim(), all.to_string(), "after {refusals} refusals");
}

#[test]
fn a_request_for_a_terminal_that_is_not_there_does_nothing() {
    let mut run = Run::sh("cat");
    run.control.pid();
    run.control.send(&Request::Resize { size: TerminalSize::default() });
    assert_eq!(run.control.ask(&Request::Ping), Report::Pong);
    // A frame that lies about a size ends the connection, and nothing else.
    run.control.socket.write_all(&[5, 0, 0, 0, 16, 0, 0, 0, 0]).unwrap();
    assert_eq!(run.control.next(), None);
    run.control = run.connect();
    run.control.pid();
    run.control.send(&Request::CloseStdin);
    assert_eq!(run.finish(), (code(0), 0));
}
