//! `ostler attach`, and processes with a terminal, driven as a person at a terminal would: the test is the terminal.
//!
//! Nothing sleeps: what is waited for is seen on the screen, or asked for with `ostler wait`.

mod common;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use common::{Done, PATIENCE, Project};

const DETACH: &[u8] = b"\x10\x11";

struct Screen {
    ours: File,
    theirs: OwnedFd,
    child: Child,
    seen: String,
}

impl Screen {
    fn open(rows: u16, cols: u16, mut command: Command) -> Self {
        // SAFETY: takes numbers; both descriptors are checked, and owned by nobody else.
        let (ours, theirs) = unsafe {
            let ours = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_NONBLOCK);
            assert!(ours >= 0 && libc::unlockpt(ours) == 0, "{}", std::io::Error::last_os_error());
            let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
            let theirs = libc::ioctl(ours, libc::TIOCGPTPEER, flags);
            assert!(theirs >= 0, "{}", std::io::Error::last_os_error());
            (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs))
        };
        let stream = || Stdio::from(theirs.try_clone().unwrap());
        command.stdin(stream()).stdout(stream()).stderr(stream());
        // SAFETY: two system calls that allocate nothing.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            });
        }
        set_size(&ours, rows, cols);
        let child = command.spawn().unwrap();
        Self { ours, theirs, child, seen: String::new() }
    }

    fn press(&mut self, keys: &[u8]) {
        let until = Instant::now() + PATIENCE;
        let mut rest = keys;
        while !rest.is_empty() {
            match self.ours.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
            assert!(Instant::now() < until, "the terminal takes no keys");
        }
    }

    /// Takes what is shown until `is_there` is content with what came since the last call.
    fn until(&mut self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        while !is_there(&self.seen) {
            assert!(Instant::now() < until, "waited in vain for {what}: {:?}", self.seen);
            if !self.look() && self.child.try_wait().unwrap().is_some() && !self.look() {
                assert!(is_there(&self.seen), "ended before {what}: {:?}", self.seen);
            }
        }
        std::mem::take(&mut self.seen)
    }

    fn until_text(&mut self, text: &str) -> String {
        self.until(text, |seen| seen.contains(text))
    }

    /// Takes what is there now, or comes within a moment.
    fn look(&mut self) -> bool {
        let mut slot = libc::pollfd { fd: self.ours.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one slot, valid for writing.
        unsafe { libc::poll(&mut slot, 1, 50) };
        let mut bytes = [0; 65_536];
        match self.ours.read(&mut bytes) {
            Ok(count) if count > 0 => {
                self.seen += &String::from_utf8_lossy(&bytes[..count]);
                true
            }
            _ => false,
        }
    }

    /// Waits for the command's end; returns its exit code and what it showed last.
    fn end(mut self) -> (i32, String) {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            self.look();
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not end: {:?}", self.seen);
        };
        while self.look() {}
        assert!(self.is_cooked(), "the terminal was left raw");
        (status.code().expect("it ended by itself"), std::mem::take(&mut self.seen))
    }

    /// Whether the terminal edits lines, as it did at first.
    fn is_cooked(&self) -> bool {
        // SAFETY: all zero is a value of this plain structure, and it is valid for writing.
        let modes = unsafe {
            let mut modes: libc::termios = std::mem::zeroed();
            assert_eq!(libc::tcgetattr(self.theirs.as_raw_fd(), &mut modes), 0);
            modes
        };
        let flags = libc::ICANON | libc::ECHO | libc::ISIG;
        modes.c_lflag & flags == flags && modes.c_oflag & libc::OPOST != 0
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(terminal: &impl AsRawFd, rows: u16, cols: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: this request reads a `winsize`, which outlives the call.
    assert_eq!(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &size) }, 0);
}

/// Says what it is told, and what its terminal is like.
const ECHO: &str = r#"
[process.shell]
command = '''
test -t 0 && test -t 1 && test -t 2 && echo "on a terminal, TERM=$TERM"
printf '\033[1mbold\033[0m and then\n'
trap 'resized=yes; echo "size $(stty size)"' WINCH
trap 'echo interrupted; exit 5' INT
while :; do
    # A signal makes a read fail, too; only the end of input ends the loop.
    if read line; then echo "got <$line>"; elif test -z "$resized"; then break; fi
    resized=
done
echo bye
exit 3
'''
shell = true
pty = true
restart = "never"
"#;

fn wait_for_line(project: &Project, name: &str, pattern: &str) {
    project.ok(&["wait", name, "--log", pattern, "--timeout", "60s"]);
}

fn state_of(project: &Project, name: &str) -> String {
    project.process(name)["state"].as_str().unwrap().to_owned()
}

fn attach(project: &Project, arguments: &[&str]) -> Screen {
    Screen::open(40, 100, project.command(&[&["attach"], arguments].concat()))
}

#[test]
fn who_attaches_sees_what_was_printed_types_and_leaves_it_running() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    wait_for_line(&project, "shell", "and then");
    let mut screen = attach(&project, &["shell"]);
    let shown = screen.until_text("and then\r\n");
    assert!(shown.contains("on a terminal, TERM=xterm-256color"), "{shown:?}");
    assert!(shown.contains("\x1b[1mbold\x1b[0m and then\r\n"), "as it was printed: {shown:?}");
    assert!(!screen.is_cooked());
    screen.press(b"hello\r");
    screen.until_text("got <hello>");
    // The first of the keys that leave is the process's when the second does not follow.
    screen.press(b"\x10x\r");
    screen.until_text("got <\x10x>");
    screen.press(DETACH);
    let (code, shown) = screen.end();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("left; `shell` goes on"), "{shown:?}");
    project.ok(&["send", "shell", "still there"]);
    wait_for_line(&project, "shell", "got <still there>");
    // The log has lines as ever: no codes, no carriage returns.
    let lines = project.ok(&["logs", "shell", "--json"]);
    assert!(lines.contains(r#""text":"bold and then""#), "{lines}");
    // Another who attaches sees it too, and whoever comes later is shown what came meanwhile.
    let mut again = attach(&project, &["shell", "--detach-keys", "ctrl-a d"]);
    again.until_text("got <still there>");
    again.press(b"\x01d");
    assert_eq!(again.end().0, 0);
}

#[test]
fn the_size_of_the_window_is_the_processs() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    wait_for_line(&project, "shell", "and then");
    let mut screen = attach(&project, &["shell"]);
    screen.until_text("size 40 100");
    set_size(&screen.ours, 31, 77);
    screen.until_text("size 31 77");
    screen.press(DETACH);
    assert_eq!(screen.end().0, 0);
}

#[test]
fn an_attachment_ends_with_the_process_and_its_exit_code() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    wait_for_line(&project, "shell", "and then");
    let mut screen = attach(&project, &["shell"]);
    screen.until("output and size", |seen| seen.contains("and then") && seen.contains("size 40 100"));
    screen.press(b"\x04");
    let (code, shown) = screen.end();
    assert_eq!(code, 3, "{shown}");
    assert!(shown.contains("bye") && shown.contains("`shell` has ended: exit code 3"), "{shown:?}");

    project.ok(&["start", "shell"]);
    let mut screen = attach(&project, &["shell"]);
    screen.until_text("and then");
    screen.press(b"\x03");
    assert_eq!(screen.end().0, 5);

    project.ok(&["start", "shell"]);
    let mut screen = attach(&project, &["shell"]);
    screen.until_text("and then");
    project.ok(&["stop", "shell"]);
    let (code, shown) = screen.end();
    assert_eq!(code, 128 + 15, "{shown}");

    let Done { code, stderr, .. } = project.run(&["attach", "shell", "--no-stdin"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("`shell` is not running") && stderr.contains("ostler start shell"), "{stderr}");
}

/// One shows every byte that it is given. The other shows each line, asks for the application's codes of cursor keys at
/// first, and for the normal ones once it is told `q`.
const KEYS: &str = r#"
[process.bytes]
command = "stty raw -echo; printf 'shows bytes: '; exec cat -v"
shell = true
pty = true

[process.modes]
command = '''
stty raw -echo
printf '\033[?1hshows lines\r\n'
while IFS= read -r line; do
    printf '%s' "$line" | cat -v
    printf ' was typed\r\n'
    case $line in *q*) printf '\033[?1lnormal\r\n' ;; esac
done
'''
shell = true
pty = true
"#;

#[test]
fn keys_reach_the_process_byte_for_byte() {
    let project = Project::new(KEYS);
    project.ok(&["start", "bytes"]);
    let mut screen = attach(&project, &["bytes"]);
    screen.until_text("shows bytes: ");
    // Cursor keys in both modes and with ctrl, home, end, page-up, F5, Alt-x, a paste, a click, signals' keys, UTF-8.
    for (pressed, shown) in [
        (&b"\x1b[A"[..], "^[[A"),
        (b"\x1bOB", "^[OB"),
        (b"\x1b[1;5C", "^[[1;5C"),
        (b"\x1b[H\x1b[F\x1b[5~", "^[[H^[[F^[[5~"),
        (b"\x1b[15~", "^[[15~"),
        (b"\x1bx", "^[x"),
        (b"\x1b[200~two\rlines\x1b[201~", "^[[200~two^Mlines^[[201~"),
        (b"\x1b[<0;10;20M", "^[[<0;10;20M"),
        (b"\x03\x04\x1a\x1c\x00\x7f", "^C^D^Z^\\^@^?"),
        ("ü".as_bytes(), "M-CM-<"),
    ] {
        screen.press(pressed);
        let seen = screen.until(shown, |seen| seen.len() >= shown.len());
        assert_eq!(seen, shown, "{}", pressed.escape_ascii());
    }
    screen.press(DETACH);
    assert_eq!(screen.end().0, 0);
}

#[test]
fn cursor_keys_by_name_are_those_the_program_asked_for() {
    let project = Project::new(KEYS);
    project.ok(&["start", "modes"]);
    wait_for_line(&project, "modes", "shows lines");
    let press = |key: &str| project.ok(&["send", "modes", "--key", key, "--key", "ctrl-j"]);
    // What was just printed may still be on its way to the daemon.
    let press_until = |key: &str, shown: &str| {
        let until = Instant::now() + PATIENCE;
        while !project.ok(&["logs", "modes"]).contains(shown) {
            assert!(Instant::now() < until, "{}", project.ok(&["logs", "modes"]));
            press(key);
        }
    };
    press_until("down", "^[OB was typed");
    press("home");
    wait_for_line(&project, "modes", r"^\^\[OH was typed$");
    press("page-up");
    wait_for_line(&project, "modes", r"^\^\[\[5~ was typed$");
    // The next daemon is told by the shim.
    let status: serde_json::Value = serde_json::from_str(&project.ok(&["status", "--json"])).unwrap();
    let daemon = i32::try_from(status["daemon"]["pid"].as_i64().unwrap()).unwrap();
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::kill(daemon, libc::SIGKILL) }, 0);
    press_until("end", "^[OF was typed");
    project.ok(&["send", "modes", "q", "--no-newline", "--key", "ctrl-j"]);
    wait_for_line(&project, "modes", "normal");
    press_until("left", "^[[D was typed");
}

#[test]
fn keys_are_sent_by_name() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    wait_for_line(&project, "shell", "and then");
    project.ok(&["send", "shell", "one", "--no-newline", "--key", "backspace", "--key", "enter"]);
    wait_for_line(&project, "shell", "got <on>");
    let Done { code, stderr, .. } = project.run(&["send", "shell", "--key", "ctrl-cc"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("did you mean `ctrl-c`?"), "{stderr}");
    project.ok(&["send", "shell", "--key", "ctrl-c"]);
    project.ok(&["wait", "shell", "--exit"]);
    let diagnosis = project.ok(&["diagnose", "shell"]);
    assert!(diagnosis.contains("exit code 5"), "{diagnosis}");
}

/// One without a terminal, which a signal ends.
const PIPED: &str = r#"
[process.piped]
command = '''
trap 'echo interrupted; exit 6' INT
echo ready
while read line; do echo "got <$line>"; done
'''
shell = true
restart = "never"
"#;

#[test]
fn without_a_terminal_lines_are_sent_and_some_keys_are_signals() {
    let project = Project::new(PIPED);
    project.ok(&["up", "-d"]);
    wait_for_line(&project, "piped", "ready");
    let mut screen = attach(&project, &["piped"]);
    let shown = screen.until("the remark and the output", |seen| {
        seen.contains("has no terminal (pty = false)") && seen.contains("ready\r\n")
    });
    assert!(!shown.contains("\x1b["), "{shown:?}");
    assert!(screen.is_cooked());
    screen.press(b"hello\n");
    screen.until_text("got <hello>");
    // Ctrl-C is this terminal's own, and leaves.
    screen.press(b"\x03");
    let (code, shown) = screen.end();
    assert_eq!(code, 0, "{shown}");
    assert_eq!(state_of(&project, "piped"), "running");

    let Done { code, stderr, .. } = project.run(&["send", "piped", "x", "--key", "up"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("`up` means nothing") && stderr.contains("pty = true"), "{stderr}");
    let Done { code, stderr, .. } = project.run(&["send", "piped", "--key", "ctrl-c"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("SIGINT was sent"), "{stderr}");
    project.ok(&["wait", "piped", "--exit"]);
    let lines = project.ok(&["logs", "piped"]);
    assert!(lines.contains("interrupted") && !lines.contains("got <x>"), "{lines}");
}

#[test]
fn without_a_terminal_of_ones_own_one_may_look_on() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    wait_for_line(&project, "shell", "and then");
    let Done { code, stderr, .. } = project.run(&["attach", "shell"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("standard input is not a terminal") && stderr.contains("--no-stdin"), "{stderr}");
    let mut looking =
        project.command(&["attach", "shell", "--no-stdin"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = looking.stdout.take().unwrap();
    let (mut seen, mut bytes) = (String::new(), [0; 4096]);
    while !seen.contains("and then") {
        let count = stdout.read(&mut bytes).unwrap();
        assert!(count > 0, "{seen:?}");
        seen += &String::from_utf8_lossy(&bytes[..count]);
    }
    project.ok(&["send", "shell", "--key", "ctrl-c"]);
    stdout.read_to_string(&mut seen).unwrap();
    assert!(seen.contains("interrupted"), "{seen:?}");
    assert_eq!(looking.wait().unwrap().code(), Some(5));
}

#[test]
fn a_megabyte_waits_for_a_slow_reader_and_arrives_in_order() {
    let config = r#"
[process.slow]
command = '''
echo ready
while dd bs=20000 count=1 iflag=fullblock 2>/dev/null > piece && test -s piece; do cat piece >> all; done
cksum < all
'''
shell = true
restart = "never"
"#;
    let project = Project::new(config);
    project.ok(&["up", "-d"]);
    wait_for_line(&project, "slow", "ready");
    let text: String = (0..150_000).map(|number| format!("{number:06}\n")).collect();
    assert!(text.len() > 1_000_000);
    let mut sender = project.command(&["send", "slow", "-", "--eof"]).stdin(Stdio::piped()).spawn().unwrap();
    sender.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(sender.wait().unwrap().success());
    project.ok(&["wait", "slow", "--exit", "--timeout", "60s"]);
    assert_eq!(fs::read_to_string(project.file("all")).unwrap(), text);
}

#[test]
fn a_killed_daemon_costs_neither_the_process_nor_the_attachment() {
    let project = Project::new(ECHO);
    project.ok(&["up", "-d"]);
    wait_for_line(&project, "shell", "and then");
    let mut screen = attach(&project, &["shell"]);
    screen.until_text("and then");
    let status: serde_json::Value = serde_json::from_str(&project.ok(&["status", "--json"])).unwrap();
    let daemon = i32::try_from(status["daemon"]["pid"].as_i64().unwrap()).unwrap();
    // SAFETY: takes numbers; it is this test's own daemon, which the connection proves to be alive.
    assert_eq!(unsafe { libc::kill(daemon, libc::SIGKILL) }, 0);
    // The next daemon finds the terminal where it was.
    screen.until("the next daemon", |seen| {
        seen.split_once("another daemon has taken over").is_some_and(|(_, after)| after.contains("and then"))
    });
    screen.press(b"again\r");
    screen.until_text("got <again>");
    screen.press(DETACH);
    assert_eq!(screen.end().0, 0);
}
