//! State that spans lines, one per stream: which lines belong to the traceback, panic or diagnostic before them.
//!
//! A line that continues takes the level of the event's first line, and says so with a bit. Nothing is looked at
//! twice and nothing ahead: a blank line is left alone, and belongs to an event only when the line behind it says
//! that it continues. An event that grows past its bounds is cut; its next line then begins another one.
//!
//! ```text
//!            warning or worse                      a frame
//!  Nothing ──────────────────▶ Words ─────────────────────────────▶ Stack
//!     ▲     by its header  ──▶ Header ─┬─ `Traceback` ─▶ Traceback ⇄ Raised ⇄ Chained
//!     │                                ├─ `goroutine` ─▶ Go       ├─ `Stack trace:` ─▶ Php
//!     └── a line that fits none        └─ ` --> file` ─▶ Diagnostic
//! ```

use ostler_sdk::{CONTINUES as BIT, Level};

use crate::outcome::{CONTINUES, Outcome};
use crate::patterns::{HEADER, Opens, PHRASE};

/// Most lines of one event.
const EVENT_LINES: u32 = 2000;
/// Most bytes of one event.
const EVENT_BYTES: usize = 256 << 10;
/// Most lines of what any line may be part of until something known ends it, such as a blank line.
const MESSAGE_LINES: u32 = 40;
/// Blank lines in a row that an event may have.
const BLANKS: u8 = 2;

/// What the lines before were, and so what may follow them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    /// Nothing that goes on.
    #[default]
    Nothing,
    /// A stamped line below a warning: indented lines may follow.
    Quiet,
    /// A warning or worse, known by its words only: stack frames may follow.
    Words,
    /// A warning or worse by its header: indented lines may follow as well.
    Header,
    /// Stack frames: of JavaScript, Java, Ruby, C#, Rust.
    Stack,
    /// A Python traceback, before its exception.
    Traceback,
    /// The exception that ends a Python traceback; another may be chained to it.
    Raised,
    /// The sentence that chains two Python tracebacks.
    Chained,
    /// Rust says that the next line is the panic's message.
    Message,
    /// The message of an `assert_eq!`, up to its two sides.
    Assertion,
    /// A Go panic: goroutines with their frames.
    Go,
    /// A stack trace of PHP.
    Php,
    /// A diagnostic of rustc: excerpts, notes and help.
    Diagnostic,
    /// The place in the source where Node.js found an exception that nobody caught.
    Uncaught,
    /// All lines up to a blank one.
    Block,
    /// An exception's message in parentheses, as Rails has it, that are not closed yet.
    Parentheses,
}

/// What one stream's lines are being grouped into.
#[derive(Debug, Clone, Copy, Default)]
pub struct Group {
    kind: Kind,
    /// The code of the event's level.
    level: u8,
    /// Blank lines since the last that was not.
    blanks: u8,
    /// A line ended with a bracket that a later one closes.
    bracket: bool,
    /// The first line says that an exception follows.
    announces: bool,
    lines: u32,
    bytes: usize,
}

impl Group {
    /// Returns whether a line that looks like a stack frame is taken for one.
    #[inline]
    pub fn takes_frames(&self) -> bool {
        !matches!(self.kind, Kind::Nothing | Kind::Quiet)
    }

    /// Returns a line's code, given what its own words say: its level, and whether it continues the event before.
    #[inline]
    pub fn take(&mut self, line: &[u8], own: Option<Outcome>) -> u8 {
        let goes_on = match self.kind {
            Kind::Nothing => false,
            Kind::Quiet => matches!(line.first(), Some(b' ' | b'\t')),
            _ => true,
        };
        if goes_on {
            return self.within(line, own);
        }
        match own {
            Some(own) => self.open(line, own),
            None => {
                self.kind = Kind::Nothing;
                0
            }
        }
    }

    /// Takes a line by its own words.
    fn open(&mut self, line: &[u8], own: Outcome) -> u8 {
        if own.level == CONTINUES {
            self.kind = Kind::Nothing;
            return 0;
        }
        self.kind = opened(own);
        if self.kind != Kind::Nothing {
            *self =
                Self { kind: self.kind, level: own.level, lines: 1, bytes: line.len(), ..Self::default() };
            self.bracket = opens_bracket(line);
            self.announces = line.ends_with(b":") || line.ends_with(b"Failed to start server");
            if self.kind == Kind::Words && opens_parenthesis(line) {
                self.kind = Kind::Parentheses;
            }
        }
        own.level
    }

    /// Takes a line behind one that opened something.
    #[cold]
    fn within(&mut self, line: &[u8], own: Option<Outcome>) -> u8 {
        if line.iter().all(u8::is_ascii_whitespace) {
            self.blanks += 1;
            if self.blanks > BLANKS || matches!(self.kind, Kind::Block | Kind::Diagnostic) {
                self.kind = Kind::Nothing;
            }
            return 0;
        }
        let Some(next) = self.next(line, own) else {
            return match own {
                Some(own) => self.open(line, own),
                None => {
                    self.kind = Kind::Nothing;
                    0
                }
            };
        };
        self.kind = next;
        self.blanks = 0;
        self.lines += 1;
        self.bytes += line.len();
        self.bracket = match self.bracket {
            true => !closes_bracket(line),
            false => opens_bracket(line),
        };
        if self.lines > EVENT_LINES || self.bytes > EVENT_BYTES {
            (self.lines, self.bytes) = (1, line.len());
            return self.level;
        }
        self.level | BIT
    }

    /// Returns what the event is with this line, or `None` when the line is not of it.
    fn next(&self, line: &[u8], own: Option<Outcome>) -> Option<Kind> {
        let is_frame = own.is_some_and(|own| own.level == CONTINUES);
        let has_header = !is_frame && own.is_some_and(|own| own.priority >= HEADER);
        let opens = own.filter(|_| !is_frame).map_or(Opens::Nothing as u8, |own| own.opens);
        let indented = matches!(line[0], b' ' | b'\t');
        let follows = self.blanks == 0;
        let short = self.lines <= MESSAGE_LINES;
        if opens == Opens::Alone as u8 && !self.bracket {
            return None;
        }
        if opens == Opens::Traceback as u8
            && (self.takes_traceback() || indented && self.kind == Kind::Raised)
        {
            return Some(Kind::Traceback);
        }
        match self.kind {
            Kind::Nothing => None,
            Kind::Quiet => {
                (follows && (!has_header || self.bracket || is_property(line))).then_some(Kind::Quiet)
            }
            Kind::Parentheses if line.ends_with(b"):") => Some(Kind::Stack),
            Kind::Parentheses => short.then_some(Kind::Parentheses),
            Kind::Traceback if indented || line.starts_with(b"> File ") => Some(Kind::Traceback),
            Kind::Traceback if !has_header && is_exception(line) => Some(Kind::Raised),
            Kind::Traceback | Kind::Raised if is_chain(line) => Some(Kind::Chained),
            Kind::Raised => (follows && indented && !has_header).then_some(Kind::Raised),
            Kind::Traceback | Kind::Chained => None,
            Kind::Message if line.starts_with(b"assertion ") => Some(Kind::Assertion),
            Kind::Message => (!has_header).then_some(Kind::Stack),
            Kind::Assertion if line.trim_ascii_start().starts_with(b"right: ") => Some(Kind::Stack),
            Kind::Assertion => (short && !has_header).then_some(Kind::Assertion),
            Kind::Go => is_go(line).then_some(Kind::Go),
            Kind::Php => is_php(line).then_some(Kind::Php),
            Kind::Diagnostic if is_remark(line) || is_frame => Some(Kind::Diagnostic),
            Kind::Diagnostic if line[0].is_ascii_digit() || line == b"..." => Some(Kind::Diagnostic),
            Kind::Diagnostic => (indented && !has_header).then_some(Kind::Diagnostic),
            Kind::Uncaught if follows => short.then_some(Kind::Uncaught),
            Kind::Uncaught => Some(Kind::Stack),
            Kind::Block => (short && (!has_header || indented)).then_some(Kind::Block),
            Kind::Words | Kind::Header | Kind::Stack => self.next_of_stack(line, is_frame, has_header),
        }
    }

    /// Returns the same for what has no grammar of its own yet.
    fn next_of_stack(&self, line: &[u8], is_frame: bool, has_header: bool) -> Option<Kind> {
        let indented = matches!(line[0], b' ' | b'\t');
        let follows = self.blanks == 0;
        if is_frame {
            return Some(match line.trim_ascii_start() {
                trimmed if trimmed.starts_with(b"--> ") => Kind::Diagnostic,
                trimmed if trimmed.starts_with(b"goroutine ") => Kind::Go,
                trimmed if starts_php(trimmed) => Kind::Php,
                _ => Kind::Stack,
            });
        }
        if self.bracket && (indented || closes_bracket(line)) {
            return Some(self.kind);
        }
        if self.kind == Kind::Stack && is_stack_end(line) {
            return Some(Kind::Stack);
        }
        let names_exception = match self.kind {
            Kind::Header if is_typed_exception(line) => true,
            Kind::Header | Kind::Words => self.announces && line.starts_with(b"Error: "),
            _ => false,
        };
        if self.lines == 1 && follows && names_exception {
            return Some(Kind::Stack);
        }
        let belongs = indented && (!has_header || is_property(line));
        (self.kind != Kind::Words && belongs && follows).then_some(self.kind)
    }

    /// Returns whether a traceback that begins now belongs to what is before it: a line that announces it, or
    /// another one that it is chained to.
    fn takes_traceback(&self) -> bool {
        match self.kind {
            Kind::Chained | Kind::Traceback => true,
            Kind::Words | Kind::Header => self.lines == 1 && self.blanks == 0,
            // `Task exception was never retrieved`, then the task.
            Kind::Stack => self.lines == 2 && self.blanks == 0,
            _ => false,
        }
    }
}

/// Returns what a line opens.
fn opened(own: Outcome) -> Kind {
    if own.level < Level::Warn.code() {
        return if own.opens == Opens::Indented as u8 { Kind::Quiet } else { Kind::Nothing };
    }
    const TABLE: [(Opens, Kind); 6] = [
        (Opens::Alone, Kind::Nothing),
        (Opens::Traceback, Kind::Traceback),
        (Opens::Message, Kind::Message),
        (Opens::Go, Kind::Go),
        (Opens::Uncaught, Kind::Uncaught),
        (Opens::Block, Kind::Block),
    ];
    let known = TABLE.iter().find(|(opens, _)| *opens as u8 == own.opens);
    known.map_or(if own.priority >= PHRASE { Kind::Header } else { Kind::Words }, |(_, kind)| *kind)
}

/// Returns whether a line can be the one that ends a traceback: a dotted name, then a colon or nothing.
fn is_exception(line: &[u8]) -> bool {
    let name = name_length(line);
    name > 0 && matches!(line.get(name), None | Some(b':'))
}

/// Returns whether a line names an exception by a type that says what it is, as stack traces of Java and Node.js
/// begin.
fn is_typed_exception(line: &[u8]) -> bool {
    let name = &line[..name_length(line)];
    let typed = [&b"Error"[..], b"Exception"].iter().any(|end| name.len() > end.len() && name.ends_with(end));
    typed && matches!(line.get(name.len()), None | Some(b':' | b' ')) || line.starts_with(b"** (")
}

fn name_length(line: &[u8]) -> usize {
    line.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$')).count()
}

fn is_chain(line: &[u8]) -> bool {
    line.starts_with(b"During handling of the above exception")
        || line.starts_with(b"The above exception was the direct cause")
}

fn is_go(line: &[u8]) -> bool {
    matches!(line[0], b'\t' | b' ')
        || [&b"goroutine "[..], b"created by ", b"[signal ", b"exit status ", b"panic: ", b"runtime.", b"..."]
            .iter()
            .any(|start| line.starts_with(start))
        || line.ends_with(b")") && line.contains(&b'(') && !line.starts_with(b"(") && is_go_call(line)
}

/// Returns whether a line is a function with its arguments: `main.(*T).f(0x1, ...)`.
fn is_go_call(line: &[u8]) -> bool {
    let name = line.iter().position(|byte| *byte == b'(').unwrap_or_default();
    &line[..name] == b"panic" || line[..name].contains(&b'.') && !line[..name].contains(&b' ')
}

fn starts_php(line: &[u8]) -> bool {
    line.starts_with(b"Stack trace:") || line.starts_with(b"[stacktrace]") || line.starts_with(b"#0 ")
}

fn is_php(line: &[u8]) -> bool {
    line[0] == b'#'
        || starts_php(line)
        || line.starts_with(b"Next ")
        || line.starts_with(b"\"}")
        || line.trim_ascii_start().starts_with(b"thrown in ")
}

/// Returns whether a line is one of the remarks that a compiler adds to a diagnostic.
fn is_remark(line: &[u8]) -> bool {
    line.starts_with(b"note: ") || line.starts_with(b"help: ")
}

/// Returns whether a line is the last that a runtime adds to its stack trace.
fn is_stack_end(line: &[u8]) -> bool {
    line.starts_with(b"Node.js v") || is_remark(line)
}

/// Returns whether a line is a property of what a logger printed above, such as `    error: null`: no header, though it
/// looks like one.
fn is_property(line: &[u8]) -> bool {
    line.strip_prefix(b"    ")
        .is_some_and(|rest| rest.trim_ascii_start().first().is_some_and(u8::is_ascii_lowercase))
}

/// Returns whether a line is an exception as Rails tells it, whose message goes on: `NameError (undefined method`.
fn opens_parenthesis(line: &[u8]) -> bool {
    let name = line.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b':').count();
    let rest = &line[name..];
    line[..name].ends_with(b"Error") && rest.starts_with(b" (") && !rest.contains(&b')')
}

fn opens_bracket(line: &[u8]) -> bool {
    matches!(line.last(), Some(b'{' | b'['))
}

/// Returns whether a line closes, at its very start, what an event's earlier line opened.
fn closes_bracket(line: &[u8]) -> bool {
    matches!(line[0], b'}' | b']')
}
