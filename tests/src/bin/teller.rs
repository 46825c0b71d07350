//! A child that keeps a record of all it prints, and takes orders by signals; see `teller --help`.
//!
//! It takes its orders between two writes and never within one, and writes no more at a time than a pipe takes whole
//! (`pipe(7)`): so its record says what it has printed, whatever happens to it.

use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{ExitCode, exit};
use std::time::Duration;

use ostler_tests::chaos::ledger::{Ledger, Token, line};

const HELP: &str = "\
A child that keeps a record of all it prints.

Usage: teller [OPTION...] LEDGER_DIR NAME PACE

Prints a numbered line every PACE milliseconds.

  SIGTERM, SIGINT     exits with 3
  SIGRTMIN, value     exits with that code
  SIGRTMIN+1, value   prints that many lines as fast as it can

  --deaf              is not ended by SIGTERM and SIGINT
  --brood             has a descendant in a session of its own that holds its output
  --notify            says that it is ready, by sd_notify(3)
  --as WORD           means nothing";

/// What is written at once: a pipe takes it whole or not at all.
const PIPE_BUF: usize = 4096;
/// The exit code when nobody reads the output any more.
const NOBODY_READS: u8 = 99;
/// The exit code after SIGTERM.
const ASKED_TO_END: u8 = 3;

fn main() -> ExitCode {
    let orders = Orders::take();
    let mut options = Options::default();
    let mut words: Vec<String> = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--deaf" => options.deaf = true,
            "--brood" => options.brood = true,
            "--notify" => options.notify = true,
            "--as" => drop(args.next()),
            _ => words.push(arg),
        }
    }
    let [dir, name, pace] = &words[..] else {
        println!("{HELP}");
        return ExitCode::from(2);
    };
    let pace = Duration::from_millis(pace.parse().unwrap_or(10));
    match tell(&orders, &options, &PathBuf::from(dir), name, pace) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("teller: {error}");
            ExitCode::from(2)
        }
    }
}

#[derive(Default)]
struct Options {
    deaf: bool,
    brood: bool,
    notify: bool,
}

enum Never {}

fn tell(
    orders: &Orders,
    options: &Options,
    dir: &std::path::Path,
    name: &str,
    pace: Duration,
) -> io::Result<Never> {
    if options.brood {
        breed()?;
    }
    let token = Token::of(std::process::id()).ok_or_else(|| io::Error::other("no /proc"))?;
    let ledger = Ledger::open(dir, name, token)?;
    // SAFETY: descriptor 1 is open for as long as this program runs, and is not closed here.
    let stdout = ManuallyDrop::new(unsafe { File::from_raw_fd(1) });
    let mut teller = Teller { name, token, ledger, stdout: &stdout, told: 0 };
    teller.print(1)?;
    if options.notify {
        say_ready()?;
    }
    loop {
        match orders.next(pace) {
            None => teller.print(1)?,
            Some(Order::Print(lines)) => teller.print(lines)?,
            Some(Order::Exit(code)) => teller.end(code)?,
            Some(Order::End) if options.deaf => {}
            Some(Order::End) => teller.end(ASKED_TO_END)?,
        }
    }
}

struct Teller<'t> {
    name: &'t str,
    token: Token,
    ledger: Ledger,
    stdout: &'t File,
    told: u64,
}

impl Teller<'_> {
    fn print(&mut self, lines: u64) -> io::Result<()> {
        let last = self.told + lines;
        let mut block = String::new();
        for number in self.told + 1..=last {
            let line = line(self.name, self.token, number);
            if block.len() + line.len() > PIPE_BUF {
                self.write(&block, number - 1)?;
                block.clear();
            }
            block.push_str(&line);
        }
        self.write(&block, last)
    }

    fn write(&mut self, block: &str, last: u64) -> io::Result<()> {
        self.ledger.attempt(last)?;
        match self.stdout.write(block.as_bytes()) {
            Ok(written) if written == block.len() => {}
            Ok(written) => return Err(io::Error::other(format!("{written} of {} bytes", block.len()))),
            Err(_) => self.end(NOBODY_READS)?,
        }
        self.told = last;
        self.ledger.written(last)
    }

    fn end(&self, code: u8) -> io::Result<()> {
        self.ledger.exit(code)?;
        exit(code.into())
    }
}

enum Order {
    End,
    Exit(u8),
    Print(u64),
}

/// Signals that wait until they are asked for.
struct Orders(libc::sigset_t);

impl Orders {
    fn take() -> Self {
        // SAFETY: the set is initialised by `sigemptyset` before it is used, and lives across the calls.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGRTMIN(), libc::SIGRTMIN() + 1] {
                libc::sigaddset(&mut set, signal);
            }
            libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            Self(set)
        }
    }

    /// Returns the next order that comes within `wait`.
    fn next(&self, wait: Duration) -> Option<Order> {
        let wait = libc::timespec {
            tv_sec: wait.as_secs().cast_signed(),
            tv_nsec: libc::c_long::from(wait.subsec_nanos().cast_signed()),
        };
        // SAFETY: zeroes are a valid value of this plain structure.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: all three live across the call, and the second may be written.
        let signal = unsafe { libc::sigtimedwait(&self.0, &mut info, &wait) };
        if signal <= 0 {
            return None;
        }
        // SAFETY: these signals come by `sigqueue(3)`, which gives them a value.
        let value = || unsafe { info.si_value().sival_ptr } as u64 & 0xffff_ffff;
        Some(match signal {
            signal if signal == libc::SIGRTMIN() => Order::Exit(value() as u8),
            signal if signal == libc::SIGRTMIN() + 1 => Order::Print(value()),
            _ => Order::End,
        })
    }
}

/// Leaves a descendant in a session of its own, with init or a subreaper for a parent.
fn breed() -> io::Result<()> {
    // SAFETY: this program has one thread, so that the copy is whole.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        child => {
            // SAFETY: a null status is allowed; the child exits at once.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            return Ok(());
        }
    }
    // SAFETY: as above; a child just forked leads no group, so that `setsid` succeeds.
    unsafe {
        libc::setsid();
        if libc::fork() != 0 {
            libc::_exit(0);
        }
        loop {
            libc::pause();
        }
    }
}

fn say_ready() -> io::Result<()> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return Err(io::Error::other("NOTIFY_SOCKET is not set"));
    };
    UnixDatagram::unbound()?.send_to(b"READY=1", path).map(drop)
}
