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
//!
//! The other kinds are begun by one known line each, and have a grammar of their own.

use ostler_sdk::{CONTINUES as BIT, Level};

use crate::outcome::{CONTINUES, Outcome};
use crate::patterns::{HEADER, Opens, PHRASE, facts};
use crate::shapes::{self, Exception};

/// Most lines of one event.
const EVENT_LINES: u32 = 2000;
/// Most bytes of one event.
const EVENT_BYTES: usize = 256 << 10;
/// Most lines of what any line may be part of until something known ends it, such as a blank line.
const MESSAGE_LINES: u32 = 40;
/// Blank lines in a row that an event may have.
const BLANKS: u8 = 2;
/// The same where it is known that more are printed.
const MORE_BLANKS: u8 = 4;

/// The bit beside a line's code that says that the fact is due which [`Group::owes_port`] tells of.
pub const DUE: u8 = 1 << 6;

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
    /// The message of a Go panic, before its goroutines.
    GoMessage,
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
    /// An exception of Rails: its frames may follow behind a blank line.
    Rails,
    /// Rails says that exceptions follow that caused the one before.
    RailsCauses,
    /// A request of Rails failed: its exception may follow, as an event of its own.
    RailsFailed,
    /// What Next found wrong in a file: an excerpt of it, what it means, the next file.
    Issue,
    /// What it means has been said.
    IssueTold,
    /// Django's list of what its checks have found.
    Checks,
    /// Below a warning, and frames may follow: `console.trace`.
    Framed,
    /// The first line of two, as java.util.logging prints them: the level is in the second.
    Head,
    /// An address is taken: which one may be told in the next line.
    InUse,
    /// A value of several lines between its braces, of no level.
    Value,
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
    /// It says so of one that nobody caught, so that any name may be meant.
    unhandled: bool,
    /// Bits of `patterns::facts` that lines of it have brought.
    told: u8,
    lines: u32,
    bytes: usize,
}

impl Group {
    /// Returns whether a line that looks like a stack frame is taken for one.
    #[inline]
    pub fn takes_frames(&self) -> bool {
        !matches!(self.kind, Kind::Nothing | Kind::Quiet | Kind::Value | Kind::RailsFailed)
    }

    /// Returns whether a fact is owed that the next line may tell better: that an address is taken, and which.
    pub fn owes_port(&self) -> bool {
        self.kind == Kind::InUse
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
        self.begin(line, own)
    }

    /// Takes the facts that an event's first line brings.
    pub fn begin_facts(&mut self, facts: u8) {
        self.told = facts;
    }

    /// Takes the facts that a later line brings, and returns those of them that its event has not brought before.
    pub fn bring(&mut self, facts: u8) -> u8 {
        let fresh = facts & !self.told;
        self.told |= facts;
        fresh
    }

    /// Takes a line that continues nothing.
    #[inline]
    fn begin(&mut self, line: &[u8], own: Option<Outcome>) -> u8 {
        match own {
            Some(own) => self.open(line, own),
            None => {
                self.kind = Kind::Nothing;
                if matches!(line, b"{" | b"[") {
                    self.start(Kind::Value, 0, line);
                }
                0
            }
        }
    }

    /// Takes a line by its own words.
    fn open(&mut self, line: &[u8], own: Outcome) -> u8 {
        self.kind = Kind::Nothing;
        if own.level == CONTINUES {
            return 0;
        }
        let kind = opened(line, own);
        if kind != Kind::Nothing {
            self.start(kind, own.level, line);
        }
        own.level
    }

    fn start(&mut self, kind: Kind, level: u8, line: &[u8]) {
        *self = Self { kind, level, lines: 1, bytes: line.len(), ..Self::default() };
        self.bracket = shapes::opens_bracket(line) && kind != Kind::Value;
        if level >= Level::Warn.code() {
            self.announces = shapes::announces_exception(line);
            self.unhandled = shapes::announces_uncaught(line);
        }
    }

    /// Takes a line behind one that opened something.
    #[cold]
    fn within(&mut self, line: &[u8], own: Option<Outcome>) -> u8 {
        if line.iter().all(u8::is_ascii_whitespace) {
            self.blanks += 1;
            let most = match self.kind {
                Kind::Block | Kind::Diagnostic | Kind::Value | Kind::Head | Kind::Framed => 0,
                Kind::Issue | Kind::IssueTold | Kind::RailsFailed => MORE_BLANKS,
                _ => BLANKS,
            };
            let due = if self.blanks > most && self.owes_port() { DUE } else { 0 };
            if self.blanks > most {
                self.kind = Kind::Nothing;
            }
            return due;
        }
        if self.kind == Kind::RailsFailed {
            return self.take_failure(line, own);
        }
        let Some(next) = self.next(line, own) else {
            let due = if self.owes_port() { DUE } else { 0 };
            return self.begin(line, own) | due;
        };
        if self.kind == Kind::Head {
            // The event's level, now that it is known.
            self.level = own.filter(|own| own.level != CONTINUES).map_or(self.level, |own| own.level);
            self.lines = 0;
        }
        self.kind = match next {
            Kind::Head if self.level >= Level::Warn.code() => Kind::Header,
            Kind::Head => Kind::Quiet,
            next => next,
        };
        self.blanks = 0;
        self.lines += 1;
        self.bytes += line.len();
        self.bracket = match self.bracket {
            true => !shapes::closes_bracket(line),
            false => shapes::opens_bracket(line) && self.kind != Kind::Value,
        };
        if self.lines > EVENT_LINES || self.bytes > EVENT_BYTES {
            (self.lines, self.bytes) = (1, line.len());
            return self.level;
        }
        self.level | BIT
    }

    /// Takes a line behind the end of a failed request: the exception that it failed of, whatever its name.
    fn take_failure(&mut self, line: &[u8], own: Option<Outcome>) -> u8 {
        let kind = match shapes::exception_of_rails(line) {
            Some(Exception::Whole) => Kind::Rails,
            Some(Exception::Open) => Kind::Parentheses,
            None => return self.begin(line, own),
        };
        self.start(kind, Level::Error.code(), line);
        self.level
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
            Kind::Nothing | Kind::RailsFailed => None,
            Kind::Quiet => {
                (follows && (!has_header || self.bracket || shapes::is_property(line))).then_some(Kind::Quiet)
            }
            Kind::Framed => is_frame.then_some(Kind::Framed),
            Kind::Head => (has_header && shapes::is_level_word(line)).then_some(Kind::Head),
            Kind::InUse => {
                let tells = own.is_some_and(|own| own.facts & facts::PORT_IN_USE != 0);
                (tells && shapes::names_port(line)).then_some(Kind::Words)
            }
            Kind::Value if shapes::closes_bracket(line) => Some(Kind::Nothing),
            Kind::Value => indented.then_some(Kind::Value),
            Kind::Parentheses if line.ends_with(b"):") => Some(Kind::Rails),
            Kind::Parentheses => {
                let other = own.is_some_and(|own| {
                    own.facts & facts::REQUEST != 0 || has_header && own.level < Level::Warn.code()
                });
                (short && !other).then_some(Kind::Parentheses)
            }
            Kind::Rails if line == b"Causes:" => Some(Kind::RailsCauses),
            Kind::Rails => (is_frame || shapes::is_place_in_ruby(line)).then_some(Kind::Rails),
            Kind::RailsCauses => {
                (line[0].is_ascii_uppercase() && line.ends_with(b")")).then_some(Kind::Rails)
            }
            Kind::Traceback if indented || line.starts_with(b"> File ") => Some(Kind::Traceback),
            Kind::Traceback if !has_header && shapes::is_exception(line) => {
                Some(if shapes::announces_checks(line) { Kind::Checks } else { Kind::Raised })
            }
            Kind::Traceback | Kind::Raised if shapes::is_chain(line) => Some(Kind::Chained),
            Kind::Raised => (follows && indented && !has_header).then_some(Kind::Raised),
            Kind::Traceback | Kind::Chained => None,
            Kind::Checks if line.starts_with(b"System check identified ") => Some(Kind::Nothing),
            Kind::Checks => (indented || shapes::is_check(line)).then_some(Kind::Checks),
            Kind::Message if line.starts_with(b"assertion ") => Some(Kind::Assertion),
            Kind::Message if line.starts_with(b"Build failed with ") => Some(Kind::Message),
            Kind::Message => (!has_header).then_some(Kind::Stack),
            Kind::Assertion if line.trim_ascii_start().starts_with(b"right: ") => Some(Kind::Stack),
            Kind::Assertion => (short && !has_header).then_some(Kind::Assertion),
            Kind::Go | Kind::GoMessage if shapes::is_go(line) => Some(Kind::Go),
            Kind::GoMessage => {
                let is_text = own.is_none_or(|own| own.priority < PHRASE);
                (follows && short && is_text).then_some(Kind::GoMessage)
            }
            Kind::Go => None,
            Kind::Php => shapes::is_php(line).then_some(Kind::Php),
            Kind::Diagnostic if shapes::is_remark(line) || is_frame => Some(Kind::Diagnostic),
            Kind::Diagnostic if line[0].is_ascii_digit() || line == b"..." => Some(Kind::Diagnostic),
            Kind::Diagnostic => (indented && !has_header).then_some(Kind::Diagnostic),
            Kind::Uncaught if follows => short.then_some(Kind::Uncaught),
            Kind::Uncaught => Some(Kind::Stack),
            Kind::Block => (short && (!has_header || indented)).then_some(Kind::Block),
            Kind::Issue | Kind::IssueTold => self.next_of_issue(line, is_frame, has_header),
            Kind::Words | Kind::Header | Kind::Stack => {
                self.next_of_stack(line, is_frame, has_header).map(|next| match opens == Opens::Issue as u8 {
                    true => Kind::Issue,
                    false => next,
                })
            }
        }
    }

    /// Returns the same for what Next finds wrong: each file has its place, an error, an excerpt, and behind a blank
    /// line what it means; then come up to three blank lines, and another file or a link.
    fn next_of_issue(&self, line: &[u8], is_frame: bool, has_header: bool) -> Option<Kind> {
        let indented = matches!(line[0], b' ' | b'\t');
        let short = self.lines <= MESSAGE_LINES;
        let ends = line.starts_with(b"https://nextjs.org/") || line.starts_with(b"Import trace");
        match (self.kind, self.blanks) {
            _ if line.starts_with(b"./") => Some(Kind::Issue),
            (Kind::Issue, 0) => {
                (short && (!has_header || line.starts_with(b"Error: "))).then_some(Kind::Issue)
            }
            _ if ends || is_frame => Some(Kind::IssueTold),
            (Kind::Issue, 1) => (short && !has_header).then_some(Kind::IssueTold),
            (_, 0) => (indented && !has_header).then_some(Kind::IssueTold),
            _ => None,
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
                trimmed if shapes::starts_php(trimmed) => Kind::Php,
                _ => Kind::Stack,
            });
        }
        if self.bracket && (indented || shapes::closes_bracket(line)) {
            return Some(self.kind);
        }
        if self.kind == Kind::Stack && shapes::is_stack_end(line) || follows && shapes::is_hint(line) {
            return Some(self.kind);
        }
        let names_exception = match self.kind {
            Kind::Header if shapes::is_typed_exception(line) => true,
            Kind::Header | Kind::Words => {
                self.announces && (line.starts_with(b"Error: ") || shapes::is_typed_exception(line))
                    || self.unhandled && !has_header && shapes::is_exception(line)
            }
            _ => false,
        };
        if self.lines == 1 && follows && names_exception {
            return Some(Kind::Stack);
        }
        let belongs = indented && (!has_header || shapes::is_property(line));
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
fn opened(line: &[u8], own: Outcome) -> Kind {
    if own.level < Level::Warn.code() {
        return match own.opens {
            opens if opens == Opens::Indented as u8 => Kind::Quiet,
            opens if opens == Opens::Head as u8 => Kind::Head,
            _ if own.level == Level::Trace.code() && line.starts_with(b"Trace") => Kind::Framed,
            _ => Kind::Nothing,
        };
    }
    const TABLE: [(Opens, Kind); 5] = [
        (Opens::Traceback, Kind::Traceback),
        (Opens::Message, Kind::Message),
        (Opens::Uncaught, Kind::Uncaught),
        (Opens::Block, Kind::Block),
        (Opens::Issue, Kind::Issue),
    ];
    if let Some((_, kind)) = TABLE.iter().find(|(opens, _)| *opens as u8 == own.opens) {
        return *kind;
    }
    if own.opens == Opens::Alone as u8 {
        let failed = own.facts == facts::REQUEST && line.starts_with(b"Completed 5");
        return if failed { Kind::RailsFailed } else { Kind::Nothing };
    }
    if own.opens == Opens::Go as u8 {
        // The runtime's own messages have one line.
        let may_go_on = line.starts_with(b"panic: ") && !line.starts_with(b"panic: runtime error: ");
        return if may_go_on { Kind::GoMessage } else { Kind::Go };
    }
    if line.ends_with(b"Traceback (most recent call last):") {
        return Kind::Traceback;
    }
    if shapes::announces_checks(line) {
        return Kind::Checks;
    }
    if own.priority >= HEADER {
        return Kind::Header;
    }
    match shapes::exception_of_rails(line)
        .filter(|_| own.priority < PHRASE && shapes::is_named_as_error(line))
    {
        Some(Exception::Whole) => Kind::Rails,
        Some(Exception::Open) => Kind::Parentheses,
        None if line == b"Address already in use" => Kind::InUse,
        None if own.priority >= PHRASE => Kind::Header,
        None => Kind::Words,
    }
}
