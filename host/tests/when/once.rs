//! `ostler run`.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::harness::{Done, Project};

#[test]
fn the_exit_code_is_passed_on_and_the_streams_are_kept_apart() {
    let project = Project::new(
        r#"
        [process.job]
        command = "echo out; echo err >&2; printf 'no end'; exit 7"
        shell = true
        restart = { policy = "always" }
        [process.killed]
        command = "kill -9 $$"
        shell = true
        "#,
    );
    let done = project.run(&["run", "job"]);
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (7, "out\nno end\n", "err\n"));
    // Its policy would have started it again.
    let view = project.process("job");
    assert_eq!((view["state"].as_str(), view["restarts"].as_i64()), (Some("failed"), Some(0)), "{view}");
    assert_eq!(project.reasons("job"), ["run"]);

    assert_eq!(project.run(&["run", "killed"]).code, 128 + 9);
    assert_eq!(project.run(&["run", "nobody"]).code, 3);
}

#[test]
fn arguments_are_appended_and_a_script_has_to_ask_for_them() {
    let project = Project::new(
        r#"
        [process.print]
        command = ["printf", "<%s>\n", "first"]
        [process.asks]
        command = "echo \"$#: $@\""
        shell = true
        [process.deaf]
        command = "echo deaf"
        shell = true
        "#,
    );
    assert_eq!(
        project.ok(&["run", "print", "--", "a b", "$HOME", "--help"]),
        "<first>\n<a b>\n<$HOME>\n<--help>\n"
    );
    assert_eq!(project.ok(&["run", "asks", "--", "x", "y"]), "2: x y\n");
    let done = project.run(&["run", "deaf", "--", "x"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("\"$@\""), "{}", done.stderr);
    assert_eq!(project.ok(&["run", "deaf"]), "deaf\n");
}

#[test]
fn dependencies_come_first_and_stay_and_one_that_fails_is_named() {
    let project = Project::new(
        r#"
        [process.db]
        command = "echo up; exec sleep 1000"
        shell = true
        ready = { log = "up" }
        [process.job]
        command = "echo done"
        shell = true
        depends_on = { db = "ready" }
        [process.broken]
        command = "exit 1"
        shell = true
        restart = "never"
        [process.other]
        command = "echo never"
        shell = true
        depends_on = { broken = "exited-ok" }
        "#,
    );
    assert_eq!(project.ok(&["run", "job"]), "done\n");
    assert_eq!(project.process("db")["state"], "ready");
    // It runs already: to run it once more beside itself is refused.
    let done = project.run(&["run", "db"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("`db` runs already"), "{}", done.stderr);

    let done = project.run(&["run", "other"]);
    assert_eq!((done.code, done.stdout.as_str()), (1, ""));
    assert!(done.stderr.contains("`broken`"), "{}", done.stderr);
}

#[test]
fn standard_input_is_passed_on_byte_by_byte_and_ends() {
    let project = Project::new(
        "[process.sum]\ncommand = \"cksum\"\n[process.slow]\ncommand = \"sleep 1; cksum\"\nshell = true\n",
    );
    // More than pipes and queues hold, and not text.
    let bytes: Vec<u8> = (0..700_000_u32).map(|index| (index * 7 % 251) as u8).collect();
    let run = |command: &str, arguments: &[&str]| {
        let mut child = match command {
            "ostler" => project.command(arguments),
            plain => std::process::Command::new(plain),
        };
        let mut child =
            child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let bytes = bytes.clone();
        let writer = std::thread::spawn(move || input.write_all(&bytes));
        let done = Done::from(child.wait_with_output().unwrap());
        writer.join().unwrap().unwrap();
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.stdout
    };
    let expected = run("cksum", &[]);
    assert!(expected.contains("700000"));
    assert_eq!(run("ostler", &["run", "sum"]), expected);
    assert_eq!(run("ostler", &["run", "slow"]), expected);
    // Without any input it ends at once instead of waiting for ever.
    assert!(project.ok(&["run", "sum"]).starts_with("4294967295 0"));
}

#[test]
fn control_c_stops_it_and_a_second_one_kills_it() {
    let project = Project::new(
        r#"
        [process.kind]
        command = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"
        shell = true
        [process.deaf]
        command = "trap 'echo told' TERM; echo up; while :; do sleep 0.05; done"
        shell = true
        stop = { grace = "10m" }
        "#,
    );
    for (name, after, code) in [("kind", "bye", 3), ("deaf", "told", 128 + 9)] {
        let mut child =
            project.command(&["run", name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut until = |text: &str| while lines.next().expect("a line").unwrap() != text {};
        let interrupt = || kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        until("up");
        interrupt();
        until(after);
        if name == "deaf" {
            interrupt();
        }
        assert_eq!(child.wait().unwrap().code(), Some(code), "{name}");
        assert!(project.process(name)["pid"].is_null());
    }
}

#[test]
fn a_reader_that_went_away_stops_it() {
    let project =
        Project::new("[process.yes]\ncommand = \"while :; do echo y; sleep 0.01; done\"\nshell = true\n");
    let mut child =
        project.command(&["run", "yes"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "y");
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
    assert!(project.process("yes")["pid"].is_null());
}

#[test]
fn a_daemon_that_dies_meanwhile_costs_neither_the_output_nor_the_exit_code() {
    let project = Project::new(
        r#"
        [process.job]
        command = "echo up; while ! test -e go; do sleep 0.05; done; echo last; exit 9"
        shell = true
        restart = "always"
        "#,
    );
    let mut child =
        project.command(&["run", "job"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "up");
    let status = project.json(&["status", "--json"]);
    let daemon = Pid::from_raw(status["daemon"]["pid"].as_i64().unwrap().try_into().unwrap()).unwrap();
    kill_process(daemon, Signal::KILL).unwrap();
    // Whoever comes next starts a daemon, which adopts the run.
    assert!(project.process("job")["pid"].is_number());
    project.write("go", "");
    assert_eq!(lines.next().unwrap().unwrap(), "last");
    assert_eq!(child.wait().unwrap().code(), Some(9));
    // The daemon that adopted it knows that it is made only once.
    assert_eq!(project.process("job")["state"], "failed");
}
