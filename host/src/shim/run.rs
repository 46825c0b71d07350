//! The shim's main loop: waits for whatever comes next, and does it.
//!
//! Owns the run from the launch spec to the `done` file. One thread, one `poll`, no waiting anywhere else; see the
//! module's documentation for the states.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use super::cgroup::{Cgroup, LimitHits};
use super::child::{self, Child};
use super::connection::Connection;
use super::control::{Report, Request, Scope, SpawnFailure, SpawnFault};
use super::exit_file::{DoneRecord, ExitFiles, ExitRecord};
use super::input::Input;
use super::leftovers::{Leftovers, asks_to_end, kill_tree, signal_tree};
use super::notify::Notify;
use super::output::{Output, Source};
use super::program::complain;
use super::pty::Terminal;
use super::spec::{LaunchSpec, SpecError};
use super::spool::SpoolWriter;
use super::startup::{self, ChildSignals};
use super::tree::{Process, send_by_pid};
use crate::bounds;
use crate::model::{Exit, Stream, Time};

/// Connections at a time; for another one the oldest has to go, so that stuck peers cannot lock a daemon out.
const CONNECTIONS: usize = 4;
/// How long the last reports may wait for a peer to read them.
const FAREWELL: Duration = Duration::from_millis(200);

/// Runs a whole shim: starts the child described in `run_dir` and returns when it and its tree are gone and all is
/// written down.
///
/// # Errors
/// When there is not even a connection to complain to; everything later is reported there and in the `done` file.
pub fn run(run_dir: &Path, socket_path: &Path) -> io::Result<()> {
    startup::detach();
    let mut control = Connection::new(startup::take_control()?)?;
    let started = start(run_dir, socket_path);
    let exit_files = ExitFiles::prepare(".");
    match started {
        Ok(started) => Shim::new(started, control, exit_files).supervise(),
        Err(failure) => {
            exit_files.write_done(DoneRecord::SpawnFailed { failure, time: Time::now() })?;
            control.send(&Report::SpawnFailed(failure));
        }
    }
    let _ = std::fs::remove_file(socket_path);
    Ok(())
}

struct Started {
    listener: UnixListener,
    signals: ChildSignals,
    spec: LaunchSpec,
    child: Child,
    notify: Option<Notify>,
}

/// Does everything up to the child's `execve`. From here on the run directory is the working directory, so that
/// paths stay short and a rename of what is above it does no harm.
fn start(run_dir: &Path, socket_path: &Path) -> Result<Started, SpawnFailure> {
    let fault = |what| {
        move |error: io::Error| SpawnFailure { what, errno: error.raw_os_error().unwrap_or(libc::EINVAL) }
    };
    let umask = startup::keep_files_private();
    let listener = startup::listen(socket_path).map_err(fault(SpawnFault::NoSocket))?;
    std::env::set_current_dir(run_dir).map_err(fault(SpawnFault::BadSpec))?;
    let mut spec = LaunchSpec::read(Path::new(".")).map_err(|error| {
        complain(&error);
        match error {
            SpecError::Io { error, .. } => fault(SpawnFault::BadSpec)(error),
            _ => SpawnFailure { what: SpawnFault::BadSpec, errno: libc::EINVAL },
        }
    })?;
    spec.umask.get_or_insert(umask);
    let signals = ChildSignals::open().map_err(fault(SpawnFault::System))?;
    startup::become_subreaper().map_err(fault(SpawnFault::System))?;
    let own_pid = rustix::process::getpid().as_raw_nonzero().get();
    let notify = spec.notify.as_ref().map(|notify| Notify::bind(&notify.path, own_pid));
    let notify = notify.transpose().map_err(fault(SpawnFault::NoSocket))?;
    let child = child::spawn(&spec).inspect_err(|_| notify.iter().for_each(Notify::remove))?;
    // Secrets need not stay in memory for as long as the child lives.
    spec.args = Vec::new();
    spec.env = Vec::new();
    Ok(Started { listener, signals, spec, child, notify })
}

struct Shim {
    own_pid: i32,
    listener: UnixListener,
    signals: ChildSignals,
    connections: Vec<Connection>,
    process: Process,
    /// Until it is reaped its pid, and that of its group, cannot belong to anyone else.
    main_unreaped: bool,
    /// No child is left that could be waited for.
    childless: bool,
    exit: Option<ExitRecord>,
    cgroup: Option<Cgroup>,
    hits: LimitHits,
    terminal: Option<Terminal>,
    input: Input,
    outputs: [Output; 2],
    notify: Option<Notify>,
    spool: SpoolWriter,
    exit_files: ExitFiles,
    leftover_grace: Duration,
    phase: Phase,
}

enum Phase {
    /// The main child lives.
    Running,
    /// The main child has ended, descendants are left.
    Clearing(Leftovers),
    /// The tree is gone; what it wrote last is read.
    Draining {
        leftovers: u32,
        until: Instant,
    },
    Done,
}

/// The places of the poll array.
mod slot {
    pub const SIGNALS: usize = 0;
    pub const LISTENER: usize = 1;
    pub const INPUT: usize = 2;
    pub const OUTPUTS: usize = 3;
    pub const NOTIFY: usize = 5;
    pub const CONNECTIONS: usize = 6;
    pub const ALL: usize = CONNECTIONS + super::CONNECTIONS;
}

impl Shim {
    fn new(started: Started, control: Connection, exit_files: ExitFiles) -> Self {
        let Started { listener, signals, spec, child, notify } = started;
        let source = if child.terminal.is_some() { Source::Terminal } else { Source::Pipe };
        let mut shim = Self {
            own_pid: rustix::process::getpid().as_raw_nonzero().get(),
            listener,
            signals,
            connections: Vec::with_capacity(CONNECTIONS),
            process: child.process,
            main_unreaped: true,
            childless: false,
            exit: None,
            cgroup: spec.cgroup.map(Cgroup::at),
            hits: LimitHits::default(),
            input: Input::new(child.stdin),
            terminal: child.terminal,
            outputs: [
                Output::new(Stream::Stdout, source, Some(child.stdout)),
                Output::new(Stream::Stderr, source, child.stderr),
            ],
            notify,
            spool: SpoolWriter::create(".", spec.spool),
            exit_files,
            leftover_grace: spec.leftover_grace,
            phase: Phase::Running,
        };
        shim.welcome(control);
        shim
    }

    fn supervise(mut self) {
        while !matches!(self.phase, Phase::Done) {
            self.turn();
        }
        self.bid_farewell();
        self.notify.iter().for_each(Notify::remove);
    }

    /// Waits for the next thing to happen and does all that is due.
    fn turn(&mut self) {
        let mut slots = self.slots();
        let timeout = self.timeout();
        // SAFETY: the array is valid for writing, and its length is the one given.
        let ready = unsafe { libc::poll(slots.as_mut_ptr(), slots.len() as libc::nfds_t, timeout) };
        if ready > 0 {
            self.dispatch(&slots);
        }
        self.advance();
    }

    /// Returns what to wait for; `poll` passes over places with a negative descriptor.
    fn slots(&self) -> [libc::pollfd; slot::ALL] {
        let mut slots = [libc::pollfd { fd: -1, events: 0, revents: 0 }; slot::ALL];
        let mut wait = |place: usize, fd, events| slots[place] = libc::pollfd { fd, events, revents: 0 };
        wait(slot::SIGNALS, self.signals.fd(), libc::POLLIN);
        wait(slot::LISTENER, self.listener.as_raw_fd(), libc::POLLIN);
        if let Some(fd) = self.input.waits_for() {
            wait(slot::INPUT, fd, libc::POLLOUT);
        }
        for (place, output) in self.outputs.iter().enumerate() {
            if let Some(fd) = output.waits_for() {
                wait(slot::OUTPUTS + place, fd, libc::POLLIN);
            }
        }
        if let Some(fd) = self.notify.as_ref().and_then(Notify::waits_for) {
            wait(slot::NOTIFY, fd, libc::POLLIN);
        }
        for (place, connection) in self.connections.iter().enumerate() {
            let write = if connection.has_unsent() { libc::POLLOUT } else { 0 };
            wait(slot::CONNECTIONS + place, connection.fd(), libc::POLLIN | write);
        }
        slots
    }

    /// Returns how long to wait at most, in the milliseconds of `poll(2)`; -1 is for ever.
    fn timeout(&self) -> libc::c_int {
        let due = match &self.phase {
            Phase::Running => None,
            Phase::Clearing(leftovers) => Some(leftovers.next_look()),
            Phase::Draining { until, .. } => Some(*until),
            Phase::Done => return 0,
        };
        let rests = self.outputs.iter().filter_map(Output::rests_until);
        let rests = rests.chain(self.notify.as_ref().and_then(Notify::rests_until));
        let Some(until) = rests.chain(due).min() else { return -1 };
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up, or the last part of a millisecond is spent spinning.
        libc::c_int::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
    }

    fn dispatch(&mut self, slots: &[libc::pollfd; slot::ALL]) {
        let is_ready = |place: usize| slots[place].revents != 0;
        for place in 0..self.outputs.len() {
            if is_ready(slot::OUTPUTS + place) {
                self.take_output(place);
            }
        }
        if is_ready(slot::INPUT) {
            self.input.write();
        }
        if is_ready(slot::NOTIFY) && self.notify.as_mut().is_some_and(Notify::take) {
            self.connections.iter_mut().for_each(|connection| connection.notice_due = true);
        }
        if is_ready(slot::SIGNALS) {
            self.signals.clear();
            self.reap();
        }
        for place in 0..self.connections.len() {
            if is_ready(slot::CONNECTIONS + place) {
                self.serve(place);
            }
        }
        self.connections.retain(Connection::is_alive);
        if is_ready(slot::LISTENER) {
            self.accept();
        }
    }

    fn take_output(&mut self, place: usize) {
        let before = self.spool.end();
        let (connections, terminal) = (&mut self.connections, &mut self.terminal);
        let mut has_news = false;
        self.outputs[place].take(&mut self.spool, |stream, bytes| {
            connections.iter_mut().for_each(|connection| connection.send_output(stream, bytes));
            has_news |= terminal.as_mut().is_some_and(|terminal| terminal.see(bytes));
        });
        if has_news {
            self.connections.iter_mut().for_each(|connection| connection.notice_due = true);
        }
        if self.spool.end() != before {
            self.ring_doorbells();
        }
    }

    /// Tells what the tree says of itself to those who have taken all that went before: a child that says much must
    /// not fill up a connection that nobody reads just now, which would be dropped for it.
    fn pass_notices_on(&mut self) {
        if !self.connections.iter().any(|connection| connection.notice_due) {
            return;
        }
        let said = self.notify.as_ref().and_then(Notify::report);
        let keys = self.terminal.as_ref().map(Terminal::cursor_keys);
        let keys = keys.map(|keys| Report::CursorKeys { application: keys.is_application() });
        let reports: Vec<Report> = said.into_iter().chain(keys).collect();
        for connection in &mut self.connections {
            if connection.notice_due && !connection.has_unsent() {
                connection.notice_due = false;
                reports.iter().for_each(|report| connection.send(report));
            }
        }
    }

    fn ring_doorbells(&mut self) {
        let end = self.spool.end();
        for connection in self.connections.iter_mut().filter(|connection| connection.armed) {
            connection.armed = false;
            connection.send(&Report::Doorbell { end });
        }
    }

    /// Takes leave of every child that has ended: the main one, and those adopted from it.
    fn reap(&mut self) {
        loop {
            let mut status = 0;
            // SAFETY: the status is valid for writing.
            let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
            if pid == self.process.pid && self.main_unreaped {
                self.main_unreaped = false;
                self.main_has_ended(exit_of(status));
            } else if pid <= 0 {
                // Without children there are no descendants: all of them would have become children.
                if pid == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) {
                    self.childless = true;
                    self.look_whether_tree_is_gone();
                }
                return;
            }
        }
    }

    fn main_has_ended(&mut self, exit: Exit) {
        self.look_at_limits();
        let record = ExitRecord { exit, time: Time::now(), hits: self.hits };
        self.exit = Some(record);
        if let Err(error) = self.exit_files.write_exit(record) {
            complain(&format_args!("cannot write the exit file: {error}"));
        }
        self.input.close_now();
        self.tell_all(&Report::Exited { exit, time: record.time });
        // Whether anyone is left is seen when there is nobody more to reap.
        self.phase = Phase::Clearing(Leftovers::new(self.own_pid, self.leftover_grace));
    }

    /// Tells what the limits have cost, when that has changed.
    fn look_at_limits(&mut self) {
        let hits = self.cgroup.as_ref().map(Cgroup::hits).unwrap_or_default();
        if hits.is_any() && hits != self.hits {
            self.hits = hits;
            self.tell_all(&Report::LimitHits(hits));
        }
    }

    /// Somebody may have come into the cgroup who is no descendant; the tree is not gone before they are.
    fn look_whether_tree_is_gone(&mut self) {
        if let Phase::Clearing(leftovers) = &self.phase
            && !self.cgroup.as_ref().is_some_and(Cgroup::is_populated)
        {
            let leftovers = leftovers.count();
            if let Some(terminal) = &mut self.terminal {
                terminal.let_end();
            }
            self.phase = Phase::Draining { leftovers, until: Instant::now() + bounds::DRAIN_GRACE };
            self.tell_all(&Report::Gone { leftovers });
        }
    }

    /// Does what is due by the clock, and what follows from what has just happened.
    fn advance(&mut self) {
        let now = Instant::now();
        self.outputs.iter_mut().for_each(|output| output.end_rest(now));
        self.tell_of_room();
        self.notify.iter_mut().for_each(|notify| notify.end_rest(now));
        self.pass_notices_on();
        match &mut self.phase {
            Phase::Running | Phase::Done => {}
            Phase::Clearing(leftovers) => {
                leftovers.look(now, self.cgroup.as_ref(), self.childless);
                if self.childless {
                    self.look_whether_tree_is_gone();
                }
            }
            Phase::Draining { leftovers, until } => {
                let (leftovers, is_late) = (*leftovers, now >= *until);
                if is_late {
                    // What the tree wrote is in the pipes by now; two turns hold more than a pipe does.
                    (0..4).for_each(|turn| self.take_output(turn % 2));
                }
                if is_late || self.outputs.iter().all(Output::is_closed) {
                    self.finish(leftovers);
                }
            }
        }
    }

    /// Tells those whose input was refused that it is worth trying again.
    fn tell_of_room(&mut self) {
        if self.input.has_room() {
            for connection in self.connections.iter_mut().filter(|connection| connection.wants_room) {
                connection.wants_room = false;
                connection.send(&Report::StdinRoom);
            }
        }
    }

    fn finish(&mut self, leftovers: u32) {
        self.look_at_limits();
        // What is left is the daemon's affair; but there may be none any more.
        let _ = self.cgroup.take().map(|cgroup| cgroup.remove());
        let lost = self.spool.finish();
        let (end, lost_bytes, lost_lines) = (self.spool.end(), lost.bytes, lost.lines);
        if let Some(exit) = self.exit {
            let exit = ExitRecord { hits: self.hits, ..exit };
            let record = DoneRecord::Ended { exit, end, leftovers, lost_bytes, lost_lines };
            if let Err(error) = self.exit_files.write_done(record) {
                complain(&format_args!("cannot write the done file: {error}"));
            }
        }
        self.tell_all(&Report::Done { end, leftovers, lost_bytes, lost_lines });
        self.phase = Phase::Done;
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            if let Ok(connection) = Connection::new(socket) {
                if self.connections.len() == CONNECTIONS {
                    self.connections.remove(0);
                }
                self.welcome(connection);
            }
        }
    }

    /// Tells a new peer the story so far.
    fn welcome(&mut self, mut connection: Connection) {
        let Process { pid, start_ticks } = self.process;
        if let Some(terminal) = &self.terminal {
            connection.send(&Report::Terminal { size: terminal.size() });
        }
        connection.send(&Report::Started { pid: pid.unsigned_abs(), start_ticks });
        if self.hits.is_any() {
            connection.send(&Report::LimitHits(self.hits));
        }
        if let Some(ExitRecord { exit, time, .. }) = self.exit {
            connection.send(&Report::Exited { exit, time });
        }
        if let Phase::Draining { leftovers, .. } = self.phase {
            connection.send(&Report::Gone { leftovers });
        }
        connection.notice_due = true;
        self.connections.push(connection);
    }

    fn tell_all(&mut self, report: &Report) {
        self.connections.iter_mut().for_each(|connection| connection.send(report));
    }

    fn serve(&mut self, place: usize) {
        let connection = &mut self.connections[place];
        connection.write();
        connection.read(self.spool.space());
        while let Some(request) = self.connections[place].next_request() {
            if let Some(report) = self.answer(place, request) {
                self.connections[place].send(&report);
            }
        }
    }

    fn answer(&mut self, place: usize, request: Request) -> Option<Report> {
        match request {
            Request::Signal { signal, scope } => Some(self.signal(signal, scope)),
            Request::Stdin { bytes } => {
                let accepted = self.input.take(&bytes);
                self.connections[place].wants_room = accepted < bytes.len();
                Some(Report::StdinTaken {
                    accepted: u32::try_from(accepted).unwrap_or(u32::MAX),
                    open: self.input.is_open(),
                })
            }
            Request::CloseStdin => {
                match &self.terminal {
                    Some(terminal) => self.input.press(terminal.end_key()),
                    None => self.input.close(),
                }
                None
            }
            Request::Resize { size } => {
                if let Some(terminal) = &mut self.terminal {
                    terminal.resize(size);
                }
                None
            }
            Request::Tail { on } => {
                self.connections[place].set_tailing(on);
                Some(Report::Tailing { on, end: self.spool.end() })
            }
            Request::Arm { seen } => {
                let end = self.spool.end();
                self.connections[place].armed = end <= seen;
                (end > seen).then_some(Report::Doorbell { end })
            }
            Request::Ping => Some(Report::Pong),
            Request::Unknown { .. } => None,
        }
    }

    fn signal(&self, signal: i32, scope: Scope) -> Report {
        let target = match scope {
            Scope::Tree if signal == libc::SIGKILL => return kill_tree(self.own_pid, self.cgroup.as_ref()),
            Scope::Tree => return signal_tree(self.own_pid, signal),
            Scope::Main => self.process.pid,
            Scope::Group => -self.process.pid,
        };
        let result = match self.main_unreaped {
            true => send_by_pid(target, signal),
            false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        };
        if result.is_ok() && asks_to_end(signal) {
            let _ = send_by_pid(target, libc::SIGCONT);
        }
        match result {
            Ok(()) => Report::Signalled { reached: 1, errno: 0 },
            Err(error) => Report::Signalled { reached: 0, errno: error.raw_os_error().unwrap_or(libc::EIO) },
        }
    }

    /// Gives the last reports a moment to be taken by peers whose sockets were full.
    fn bid_farewell(&mut self) {
        let until = Instant::now() + FAREWELL;
        while self.connections.iter().any(Connection::has_unsent) && Instant::now() < until {
            let mut slots = self.slots();
            for slot in &mut slots[..slot::CONNECTIONS] {
                slot.fd = -1;
            }
            for slot in &mut slots[slot::CONNECTIONS..] {
                slot.events &= libc::POLLOUT;
            }
            // SAFETY: the array is valid for writing, and its length is the one given.
            unsafe { libc::poll(slots.as_mut_ptr(), slots.len() as libc::nfds_t, 10) };
            self.connections.iter_mut().for_each(Connection::write);
        }
    }
}

fn exit_of(status: libc::c_int) -> Exit {
    if libc::WIFEXITED(status) {
        Exit { code: Some(libc::WEXITSTATUS(status)), signal: None }
    } else {
        Exit { code: None, signal: Some(libc::WTERMSIG(status)) }
    }
}
