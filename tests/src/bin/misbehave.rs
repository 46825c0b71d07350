//! Children that do what children should not, one way per subcommand; see `misbehave --help`.
//!
//! Each says what it is about to do before it does it, so that a test can wait for that instead of for time to pass.

use std::io::{self, BufRead, BufWriter, Read, Write};
use std::net::TcpListener;
use std::process::{ExitCode, abort, exit};
use std::time::Duration;

const HELP: &str = "\
Children that do what children should not.

Usage: misbehave [--pid-file FILE] HOW [ARGUMENT...]

  ignore-term          ignores SIGTERM, SIGINT and SIGHUP; prints `ready`, lives on
  no-newline BYTES     prints that many bytes without a newline, then `ready` likewise; lives on
  long-line [BYTES]    prints one line of that length (20 MiB), then `end`; exits 0
  close-output         prints `ready`, closes both outputs, lives on
  fork-exit            forks a child that lives on and holds the pipes; prints its pid, exits 0
  setsid-escape        like fork-exit, but the child is in a session of its own, twice forked
  serve-escaped PORT   like setsid-escape, and the child serves as `serve` does
  freeze               prints `ready` and stops itself, as by SIGSTOP
  orphan-flood         like setsid-escape, and the child prints lines until it is killed
  binary BYTES [SEED]  prints that many pseudo-random bytes, NULs included; exits 0
  flood N LENGTH       prints N numbered lines of LENGTH bytes, newline included, as fast as it can; exits 0
  exit CODE            exits with CODE
  crash                prints to both outputs and aborts
  echo                 prints each line of its input with `got ` before it; exits 0 at the end
  prompt               prints `name? ` without a newline, reads a line, greets; exits 0
  serve PORT           answers HTTP on 127.0.0.1:PORT (0 picks one); prints `listening on URL`
  count MILLISECONDS   prints a numbered line at that interval until it is killed
  stdin-deaf           prints `ready`, never reads its input, lives on

  --pid-file FILE      first writes the pid, and that of each child as it is forked, one a line
  -h, --help           prints this";

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut pids = PidFile(None);
    if args.first().is_some_and(|arg| arg == "--pid-file") && args.len() > 1 {
        pids = PidFile(Some(args.remove(1)));
        args.remove(0);
    }
    pids.note(std::process::id());
    match misbehave(&args, &pids) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("misbehave: {error}");
            ExitCode::from(2)
        }
    }
}

fn misbehave(args: &[String], pids: &PidFile) -> io::Result<()> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["ignore-term"] => ignore_term(),
        ["no-newline", bytes] => no_newline(number(bytes)?),
        ["long-line"] => long_line(20 << 20),
        ["long-line", bytes] => long_line(number(bytes)?),
        ["close-output"] => close_output(),
        ["fork-exit"] => fork_exit(pids),
        ["setsid-escape"] => setsid_escape(pids, live_on),
        ["serve-escaped", port] => {
            let port = number(port)?;
            setsid_escape(pids, move || serve(port))
        }
        ["freeze"] => freeze(),
        ["orphan-flood"] => setsid_escape(pids, || flood(u64::MAX, 100)),
        ["binary", bytes] => binary(number(bytes)?, 1),
        ["binary", bytes, seed] => binary(number(bytes)?, number(seed)?),
        ["flood", lines, length] => flood(number(lines)?, number(length)?),
        ["exit", code] => exit(number(code)?),
        ["crash"] => crash(),
        ["echo"] => echo(),
        ["prompt"] => prompt(),
        ["serve", port] => serve(number(port)?),
        ["count", interval] => count(Duration::from_millis(number(interval)?)),
        ["stdin-deaf"] => say("ready\n").and_then(|()| live_on()),
        ["-h" | "--help"] => say(&format!("{HELP}\n")),
        _ => Err(io::Error::other("no such way to misbehave: see `misbehave --help`")),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| io::Error::other(format!("`{text}` is not a number that fits here")))
}

/// Prints at once, since what follows may not return.
fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn live_on() -> io::Result<()> {
    loop {
        // SAFETY: waits for a signal and touches nothing.
        unsafe { libc::pause() };
    }
}

fn ignore_term() -> io::Result<()> {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: installs no handler, only a disposition.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    say("ready\n")?;
    live_on()
}

fn freeze() -> io::Result<()> {
    say("ready\n")?;
    // SAFETY: stops this process until somebody lets it go on.
    unsafe { libc::raise(libc::SIGSTOP) };
    live_on()
}

fn no_newline(bytes: usize) -> io::Result<()> {
    repeat(b'x', bytes)?;
    say("ready")?;
    live_on()
}

fn long_line(bytes: usize) -> io::Result<()> {
    repeat(b'y', bytes)?;
    say("\nend\n")
}

fn repeat(byte: u8, mut bytes: usize) -> io::Result<()> {
    let chunk = [byte; 64 << 10];
    let mut stdout = io::stdout().lock();
    while bytes > 0 {
        let count = bytes.min(chunk.len());
        stdout.write_all(&chunk[..count])?;
        bytes -= count;
    }
    stdout.flush()
}

fn close_output() -> io::Result<()> {
    say("ready\n")?;
    // SAFETY: nothing is printed from here on.
    unsafe {
        libc::close(1);
        libc::close(2);
    }
    live_on()
}

fn fork_exit(pids: &PidFile) -> io::Result<()> {
    match fork()? {
        Forked::Child => live_on(),
        Forked::Parent { child } => {
            pids.note(child);
            say(&format!("{child}\n"))
        }
    }
}

fn setsid_escape(pids: &PidFile, then: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    if let Forked::Parent { child } = fork()? {
        // SAFETY: a null status is allowed; the child exits at once.
        unsafe { libc::waitpid(child.cast_signed(), std::ptr::null_mut(), 0) };
        return Ok(());
    }
    // SAFETY: takes nothing; a child just forked leads no group, so that it succeeds.
    unsafe { libc::setsid() };
    match fork()? {
        Forked::Child => then(),
        Forked::Parent { child } => {
            pids.note(child);
            say(&format!("{child}\n"))
        }
    }
}

fn binary(bytes: usize, seed: u64) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    // xorshift64 never leaves zero, so that it must not begin there.
    let mut state = seed.max(1);
    for _ in 0..bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.write_all(&[(state >> 32) as u8])?;
    }
    out.flush()
}

fn flood(lines: u64, length: usize) -> io::Result<()> {
    let filler = vec![b'.'; length];
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let mut line = Vec::with_capacity(length + 24);
    for index in 0..lines {
        line.clear();
        write!(line, "line {index} ")?;
        let rest = length.saturating_sub(line.len() + 1);
        line.extend_from_slice(&filler[..rest]);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.flush()
}

fn crash() -> io::Result<()> {
    say("about to crash\n")?;
    eprintln!("fatal: this is the end");
    abort()
}

fn echo() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        say(&format!("got {}\n", line?))?;
    }
    Ok(())
}

fn prompt() -> io::Result<()> {
    say("name? ")?;
    let mut name = String::new();
    io::stdin().lock().read_line(&mut name)?;
    say(&format!("hello, {}\n", name.trim_end()))
}

fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    say(&format!("listening on http://{}/\n", listener.local_addr()?))?;
    for connection in listener.incoming() {
        // A client that hangs up early is its own affair.
        let _ = connection.and_then(answer);
    }
    Ok(())
}

fn answer(mut connection: std::net::TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < 64 << 10 {
        match connection.read(&mut chunk)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&chunk[..count]),
        }
    }
    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
    say(&format!("\"{line}\" 200\n"))?;
    connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n")
}

fn count(interval: Duration) -> io::Result<()> {
    for number in 0u64.. {
        say(&format!("line {number}\n"))?;
        std::thread::sleep(interval);
    }
    Ok(())
}

enum Forked {
    Parent { child: u32 },
    Child,
}

fn fork() -> io::Result<Forked> {
    // SAFETY: this program has one thread, so that the copy is whole.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        child => Ok(Forked::Parent { child: child.cast_unsigned() }),
    }
}

/// Where pids are written for a test to find whom to look for.
struct PidFile(Option<String>);

impl PidFile {
    fn note(&self, pid: u32) {
        let Some(path) = &self.0 else { return };
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        if let Err(error) = file.and_then(|mut file| file.write_all(format!("{pid}\n").as_bytes())) {
            eprintln!("misbehave: cannot write {path}: {error}");
            exit(2);
        }
    }
}
