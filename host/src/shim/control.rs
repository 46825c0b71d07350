//! The frames between a daemon and a shim: [`Request`]s go down, [`Report`]s come up.
//!
//! Owns the bytes, not the socket. A frame is its length as a `u32` (of what follows), a tag, and the fields.
//! Daemons are upgraded while shims live on, so the format only grows: a receiver skips tags it does not know and
//! ignores fields behind those it knows. Existing tags and fields never change.

use std::time::Duration;

use super::cgroup::LimitHits;
use super::wire::{Fields, put_bytes};
use crate::bounds;
use crate::model::{Exit, Stream, TerminalSize, Time};

/// Longest frame behind its length field, in bytes; the child's input and output are the longest there are.
pub const FRAME_BYTES: usize = longer(bounds::STDIN_PENDING_BYTES, bounds::SPOOL_FRAME_BYTES) + 64;

const LENGTH_BYTES: usize = 4;
/// Stands for a limit that is not there.
const NO_LIMIT: u64 = u64::MAX;

/// Whom a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The main child alone.
    Main,
    /// The process group of the main child.
    Group,
    /// Every descendant of the shim, in whatever group or session.
    Tree,
}

/// What a daemon asks of a shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Answered by [`Report::Signalled`].
    Signal { signal: i32, scope: Scope },
    /// Bytes for the child's standard input. Answered by [`Report::StdinTaken`].
    Stdin { bytes: Vec<u8> },
    /// Closes the child's standard input once what was taken is written; on a terminal, which cannot be closed, the
    /// key that means the end of input is pressed.
    CloseStdin,
    /// Asks for one [`Report::Doorbell`] as soon as the spool reaches beyond `seen`; at once if it does already.
    Arm { seen: u64 },
    /// Answered by [`Report::Pong`].
    Ping,
    /// Gives the child's terminal another size; the same size again makes its program draw anew. Without a terminal
    /// nothing happens.
    Resize { size: TerminalSize },
    /// Whether this connection gets the child's output too, as it is read. Answered by [`Report::Tailing`].
    Tail { on: bool },
    /// A request of a later version; shims skip it.
    Unknown { tag: u8 },
}

/// What a shim tells a daemon.
///
/// Every connection begins with the story so far: `Terminal` if the child has one, `Started`, then `Exited` and `Gone`
/// if they have happened; or `SpawnFailed` alone. `Done` or `SpawnFailed` is the last report before the shim ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The child runs. Pid and start time (field 22 of `/proc/PID/stat`, in clock ticks since boot) are its identity.
    Started {
        pid: u32,
        start_ticks: u64,
    },
    /// Nothing was started.
    SpawnFailed(SpawnFailure),
    /// How many of the bytes were taken, and whether the child can still be given more at some time.
    StdinTaken {
        accepted: u32,
        open: bool,
    },
    /// There is spool output up to `end`. Another needs another [`Request::Arm`].
    Doorbell {
        end: u64,
    },
    /// The main child has ended.
    Exited {
        exit: Exit,
        time: Time,
    },
    /// What the limits of the run's cgroup have cost it; comes before `Exited` and `Done`, and only if there is
    /// anything to tell. The last one counts.
    LimitHits(LimitHits),
    /// The whole tree is gone; `leftovers` descendants had to be told to go after the main child ended.
    Gone {
        leftovers: u32,
    },
    /// All output is in the spool, which ends at `end`. `lost` is what no gap frame could tell of for want of space.
    Done {
        end: u64,
        leftovers: u32,
        lost_bytes: u64,
        lost_lines: u64,
    },
    /// How many processes the signal was sent to; `errno` is 0 or why one could not be reached.
    Signalled {
        reached: u32,
        errno: i32,
    },
    Pong,
    /// The child's standard streams are a terminal.
    Terminal {
        size: TerminalSize,
    },
    /// Whether output is reported from here on; `end` is the place in the spool behind all that is not.
    Tailing {
        on: bool,
        end: u64,
    },
    /// The child has printed something. Not one byte is reported twice.
    Output {
        stream: Stream,
        bytes: Vec<u8>,
    },
    /// Output was left out here, because the daemon did not read fast enough. The spool has it.
    OutputGap {
        bytes: u64,
    },
    /// After a [`Report::StdinTaken`] that did not take all: there is room for more, or the input is closed.
    StdinRoom,
    /// What the tree has said of itself so far, each time there is something new, and for each new connection.
    Notified(Notified),
    /// In which mode the child's terminal tells cursor keys, each time it is another one, and for each new connection.
    /// Only where there is a terminal.
    CursorKeys {
        application: bool,
    },
    /// A report of a later version; daemons skip it.
    Unknown {
        tag: u8,
    },
}

/// What a run's tree has said of itself through its notify socket (`sd_notify(3)`), all together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notified {
    /// `READY=1` was said.
    pub ready: bool,
    /// `RELOADING=1` was said, and not yet `READY=1` after it.
    pub reloading: bool,
    /// `STOPPING=1` was said.
    pub stopping: bool,
    /// `WATCHDOG=trigger` was said: it asks to be treated as one that does not answer.
    pub triggered: bool,
    /// How long ago `WATCHDOG=1` was said last, to the millisecond.
    pub watchdog_age: Option<Duration>,
    /// How much longer it asked for by `EXTEND_TIMEOUT_USEC`, from now on, to the millisecond.
    pub extended: Duration,
    /// `STATUS=`, without control characters, at most [`bounds::NOTIFY_STATUS_BYTES`] long.
    pub status: String,
}

/// Why nothing was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpawnFailure {
    pub what: SpawnFault,
    pub errno: i32,
}

/// What was at fault when nothing was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SpawnFault {
    /// The program is not there, or not in `PATH`.
    ProgramNotFound = 1,
    /// The program is there and may not be run.
    NotExecutable = 2,
    /// The file is neither a binary for this machine nor a script that begins with `#!`.
    UnknownFormat = 3,
    /// The program is there, but the interpreter or loader it asks for is not.
    NoInterpreter = 4,
    /// The working directory cannot be entered.
    BadCwd = 5,
    /// The launch spec cannot be read.
    BadSpec = 6,
    /// The control socket cannot be made.
    NoSocket = 7,
    /// The system lacks memory, processes or descriptors, or something else went wrong on the way.
    System = 8,
    /// One of the limits of `setrlimit(2)` cannot be set, or leaves too little to execute the program.
    Limit = 16,
    /// The cgroup cannot be entered.
    Cgroup = 17,
    /// There is no pseudo-terminal to be had.
    NoTerminal = 32,
}

impl SpawnFault {
    const ALL: [Self; 11] = [
        Self::ProgramNotFound,
        Self::NotExecutable,
        Self::UnknownFormat,
        Self::NoInterpreter,
        Self::BadCwd,
        Self::BadSpec,
        Self::NoSocket,
        Self::System,
        Self::Limit,
        Self::Cgroup,
        Self::NoTerminal,
    ];

    /// Returns the fault with this number; numbers of later versions are `System`.
    pub fn from_u8(number: u8) -> Self {
        Self::ALL.into_iter().find(|fault| *fault as u8 == number).unwrap_or(Self::System)
    }
}

impl SpawnFailure {
    /// Returns the failure in words, for someone who asked for `program` to be run in `cwd`.
    pub fn describe(&self, program: &str, cwd: &str) -> String {
        let error = std::io::Error::from_raw_os_error(self.errno);
        match self.what {
            SpawnFault::ProgramNotFound if program.contains('/') => {
                format!("program `{program}` does not exist (looked from {cwd}): check the path")
            }
            SpawnFault::ProgramNotFound => {
                format!("program `{program}` is not in PATH: install it, or give its path")
            }
            SpawnFault::NotExecutable => {
                format!("program `{program}` may not be run ({error}): is it executable? try `chmod +x`")
            }
            SpawnFault::UnknownFormat => {
                format!(
                    "`{program}` is neither a program for this machine nor a script that begins with `#!`"
                )
            }
            SpawnFault::NoInterpreter => format!(
                "program `{program}` exists, but the interpreter it names (its `#!` line, or its loader) does not"
            ),
            SpawnFault::BadCwd => format!("working directory `{cwd}` cannot be entered: {error}"),
            SpawnFault::BadSpec => format!("the shim could not read its launch spec: {error}"),
            SpawnFault::NoSocket => format!("the shim could not make its control socket: {error}"),
            SpawnFault::NoTerminal => format!(
                "`{program}` could not be given a terminal: {error}; `pty = false` starts it without one"
            ),
            SpawnFault::System => format!("`{program}` could not be started: {error}"),
            SpawnFault::Limit => format!(
                "one of its `limits` keeps `{program}` from being started: {error}; raise it, or take it out"
            ),
            SpawnFault::Cgroup => format!(
                "the cgroup made for `{program}` cannot be entered: {error}; `ostler doctor` tells what is in force"
            ),
        }
    }
}

/// Bytes on the control socket that are no frame. The connection is of no further use.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    #[error("control frame of {length} bytes, at most {FRAME_BYTES} are allowed: close the connection")]
    TooLong { length: u32 },
    #[error("control frame with tag {tag} is cut short: close the connection")]
    Malformed { tag: u8 },
    #[error("control frame without a tag: close the connection")]
    Empty,
}

mod tag {
    pub const SIGNAL: u8 = 1;
    pub const STDIN: u8 = 2;
    pub const CLOSE_STDIN: u8 = 3;
    pub const ARM: u8 = 4;
    pub const PING: u8 = 5;
    pub const RESIZE: u8 = 16;
    pub const TAIL: u8 = 17;

    pub const STARTED: u8 = 65;
    pub const SPAWN_FAILED: u8 = 66;
    pub const STDIN_TAKEN: u8 = 67;
    pub const DOORBELL: u8 = 68;
    pub const EXITED: u8 = 69;
    pub const GONE: u8 = 70;
    pub const DONE: u8 = 71;
    pub const SIGNALLED: u8 = 72;
    pub const PONG: u8 = 73;
    pub const LIMIT_HITS: u8 = 80;
    pub const TERMINAL: u8 = 100;
    pub const TAILING: u8 = 101;
    pub const OUTPUT: u8 = 102;
    pub const OUTPUT_GAP: u8 = 103;
    pub const STDIN_ROOM: u8 = 104;
    pub const CURSOR_KEYS: u8 = 105;
    pub const NOTIFIED: u8 = 90;
}

impl Request {
    /// Appends the request as a frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Signal { signal, scope } => {
                frame(out, tag::SIGNAL, &[&signal.to_le_bytes(), &[scope_to_u8(*scope)]]);
            }
            Self::Stdin { bytes } => frame(out, tag::STDIN, &[bytes]),
            Self::CloseStdin => frame(out, tag::CLOSE_STDIN, &[]),
            Self::Arm { seen } => frame(out, tag::ARM, &[&seen.to_le_bytes()]),
            Self::Ping => frame(out, tag::PING, &[]),
            Self::Resize { size } => put_size(out, tag::RESIZE, *size),
            Self::Tail { on } => frame(out, tag::TAIL, &[&[u8::from(*on)]]),
            Self::Unknown { tag } => frame(out, *tag, &[]),
        }
    }

    /// Reads the first frame of `bytes` and returns it with its length; `None` when it is not all there yet.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        decode_with(bytes, |tag, fields| {
            Some(match tag {
                tag::SIGNAL => Self::Signal { signal: fields.i32()?, scope: scope_from_u8(fields.u8()?)? },
                tag::STDIN => Self::Stdin { bytes: fields.0.to_vec() },
                tag::CLOSE_STDIN => Self::CloseStdin,
                tag::ARM => Self::Arm { seen: fields.u64()? },
                tag::PING => Self::Ping,
                tag::RESIZE => Self::Resize { size: size(fields)? },
                tag::TAIL => Self::Tail { on: fields.u8()? != 0 },
                tag => Self::Unknown { tag },
            })
        })
    }
}

impl Report {
    /// Appends the report as a frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Started { pid, start_ticks } => {
                frame(out, tag::STARTED, &[&pid.to_le_bytes(), &start_ticks.to_le_bytes()]);
            }
            Self::SpawnFailed(SpawnFailure { what, errno }) => {
                frame(out, tag::SPAWN_FAILED, &[&[*what as u8], &errno.to_le_bytes()]);
            }
            Self::StdinTaken { accepted, open } => {
                frame(out, tag::STDIN_TAKEN, &[&accepted.to_le_bytes(), &[u8::from(*open)]]);
            }
            Self::Doorbell { end } => frame(out, tag::DOORBELL, &[&end.to_le_bytes()]),
            Self::Exited { exit, time } => frame(
                out,
                tag::EXITED,
                &[&number_to_i32(exit.code), &number_to_i32(exit.signal), &time.0.to_le_bytes()],
            ),
            Self::LimitHits(hits) => frame(
                out,
                tag::LIMIT_HITS,
                &[
                    &hits.oom_kills.to_le_bytes(),
                    &hits.memory_limit.unwrap_or(NO_LIMIT).to_le_bytes(),
                    &hits.refused_forks.to_le_bytes(),
                    &hits.pids_limit.unwrap_or(NO_LIMIT).to_le_bytes(),
                ],
            ),
            Self::Gone { leftovers } => frame(out, tag::GONE, &[&leftovers.to_le_bytes()]),
            Self::Done { end, leftovers, lost_bytes, lost_lines } => frame(
                out,
                tag::DONE,
                &[
                    &end.to_le_bytes(),
                    &leftovers.to_le_bytes(),
                    &lost_bytes.to_le_bytes(),
                    &lost_lines.to_le_bytes(),
                ],
            ),
            Self::Signalled { reached, errno } => {
                frame(out, tag::SIGNALLED, &[&reached.to_le_bytes(), &errno.to_le_bytes()]);
            }
            Self::Pong => frame(out, tag::PONG, &[]),
            Self::Terminal { size } => put_size(out, tag::TERMINAL, *size),
            Self::Tailing { on, end } => {
                frame(out, tag::TAILING, &[&[u8::from(*on)], &end.to_le_bytes()]);
            }
            Self::Output { stream, bytes } => put_output(out, *stream, bytes),
            Self::OutputGap { bytes } => frame(out, tag::OUTPUT_GAP, &[&bytes.to_le_bytes()]),
            Self::StdinRoom => frame(out, tag::STDIN_ROOM, &[]),
            Self::Notified(notified) => frame(out, tag::NOTIFIED, &[&notified.encode()]),
            Self::CursorKeys { application } => frame(out, tag::CURSOR_KEYS, &[&[u8::from(*application)]]),
            Self::Unknown { tag } => frame(out, *tag, &[]),
        }
    }

    /// Reads the first frame of `bytes` and returns it with its length; `None` when it is not all there yet.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        decode_with(bytes, |tag, fields| {
            Some(match tag {
                tag::STARTED => Self::Started { pid: fields.u32()?, start_ticks: fields.u64()? },
                tag::SPAWN_FAILED => Self::SpawnFailed(SpawnFailure {
                    what: SpawnFault::from_u8(fields.u8()?),
                    errno: fields.i32()?,
                }),
                tag::STDIN_TAKEN => Self::StdinTaken { accepted: fields.u32()?, open: fields.u8()? != 0 },
                tag::DOORBELL => Self::Doorbell { end: fields.u64()? },
                tag::EXITED => Self::Exited {
                    exit: Exit {
                        code: number_from_i32(fields.i32()?),
                        signal: number_from_i32(fields.i32()?),
                    },
                    time: Time(fields.i64()?),
                },
                tag::LIMIT_HITS => Self::LimitHits(LimitHits {
                    oom_kills: fields.u64()?,
                    memory_limit: Some(fields.u64()?).filter(|limit| *limit != NO_LIMIT),
                    refused_forks: fields.u64()?,
                    pids_limit: Some(fields.u64()?).filter(|limit| *limit != NO_LIMIT),
                }),
                tag::GONE => Self::Gone { leftovers: fields.u32()? },
                tag::DONE => Self::Done {
                    end: fields.u64()?,
                    leftovers: fields.u32()?,
                    lost_bytes: fields.u64()?,
                    lost_lines: fields.u64()?,
                },
                tag::SIGNALLED => Self::Signalled { reached: fields.u32()?, errno: fields.i32()? },
                tag::PONG => Self::Pong,
                tag::TERMINAL => Self::Terminal { size: size(fields)? },
                tag::TAILING => Self::Tailing { on: fields.u8()? != 0, end: fields.u64()? },
                tag::OUTPUT => Self::Output {
                    stream: Stream::from_u8(fields.u8()?)?,
                    // Behind its length, so that later versions may say more of it.
                    bytes: fields.bytes()?.to_vec(),
                },
                tag::OUTPUT_GAP => Self::OutputGap { bytes: fields.u64()? },
                tag::STDIN_ROOM => Self::StdinRoom,
                tag::NOTIFIED => Self::Notified(Notified::decode(fields)?),
                tag::CURSOR_KEYS => Self::CursorKeys { application: fields.u8()? != 0 },
                tag => Self::Unknown { tag },
            })
        })
    }
}

/// Appends what [`Report::Output`] encodes to, without a copy of the bytes in between.
pub(super) fn put_output(out: &mut Vec<u8>, stream: Stream, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    frame(out, tag::OUTPUT, &[&[stream as u8], &length.to_le_bytes(), bytes]);
}

const fn longer(one: usize, other: usize) -> usize {
    if one > other { one } else { other }
}

fn put_size(out: &mut Vec<u8>, tag: u8, size: TerminalSize) {
    frame(out, tag, &[&size.rows().to_le_bytes(), &size.cols().to_le_bytes()]);
}

/// Reads what [`put_size`] wrote; a side of zero is as wrong as a missing one.
fn size(fields: &mut Fields<'_>) -> Option<TerminalSize> {
    TerminalSize::new(fields.u16()?, fields.u16()?)
}

impl Notified {
    /// Stands for an age that there is none of.
    const NEVER: u64 = u64::MAX;

    fn encode(&self) -> Vec<u8> {
        let flags = [self.ready, self.reloading, self.stopping, self.triggered];
        let flags =
            flags.iter().enumerate().fold(0u8, |bits, (place, flag)| bits | (u8::from(*flag) << place));
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(Self::NEVER - 1);
        let mut out = vec![flags];
        out.extend_from_slice(&self.watchdog_age.map_or(Self::NEVER, milliseconds).to_le_bytes());
        out.extend_from_slice(&milliseconds(self.extended).to_le_bytes());
        put_bytes(&mut out, self.status.as_bytes());
        out
    }

    fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let flags = fields.u8()?;
        let is_set = |place: u8| flags & (1 << place) != 0;
        let age = Some(fields.u64()?).filter(|age| *age != Self::NEVER);
        let extended = Duration::from_millis(fields.u64()?).min(bounds::NOTIFY_EXTEND);
        let status = String::from_utf8_lossy(fields.bytes()?);
        Some(Self {
            ready: is_set(0),
            reloading: is_set(1),
            stopping: is_set(2),
            triggered: is_set(3),
            watchdog_age: age.map(Duration::from_millis),
            extended,
            // A status is shown to people; what came through a socket is cleaned at both ends.
            status: status.chars().filter(|c| !c.is_control()).take(bounds::NOTIFY_STATUS_BYTES).collect(),
        })
    }
}

fn frame(out: &mut Vec<u8>, tag: u8, fields: &[&[u8]]) {
    let length = 1 + fields.iter().map(|field| field.len()).sum::<usize>();
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    out.push(tag);
    fields.iter().for_each(|field| out.extend_from_slice(field));
}

fn decode_with<T>(
    bytes: &[u8],
    read: impl FnOnce(u8, &mut Fields<'_>) -> Option<T>,
) -> Result<Option<(T, usize)>, FrameError> {
    let mut fields = Fields(bytes);
    let Some(length) = fields.u32() else { return Ok(None) };
    let body_bytes = length as usize;
    if body_bytes > FRAME_BYTES {
        return Err(FrameError::TooLong { length });
    }
    let Some(body) = fields.take(body_bytes) else { return Ok(None) };
    let mut body = Fields(body);
    let tag = body.u8().ok_or(FrameError::Empty)?;
    let message = read(tag, &mut body).ok_or(FrameError::Malformed { tag })?;
    Ok(Some((message, LENGTH_BYTES + body_bytes)))
}

fn scope_to_u8(scope: Scope) -> u8 {
    match scope {
        Scope::Main => 0,
        Scope::Group => 1,
        Scope::Tree => 2,
    }
}

fn scope_from_u8(number: u8) -> Option<Scope> {
    [Scope::Main, Scope::Group, Scope::Tree].get(usize::from(number)).copied()
}

/// Exit codes and signal numbers are never negative, so that -1 can stand for "none".
fn number_to_i32(number: Option<i32>) -> [u8; 4] {
    number.unwrap_or(-1).to_le_bytes()
}

fn number_from_i32(number: i32) -> Option<i32> {
    (number >= 0).then_some(number)
}

#[cfg(test)]
mod tests;
