//! Cuts a stream of output into lines without ANSI codes.
//!
//! Pure: bytes and their places in, lines and the places behind them out. Keeps of a stream only the line that is
//! not finished, at most [`bounds::LINE_BYTES`] long, and gives the same lines however the bytes are cut up.
//!
//! First escape sequences are taken out, then lines end at `\n`, and a `\r` before it is dropped. Everything else
//! stays, NUL and bytes that are not UTF-8 included. The 8-bit forms of escape sequences count only as the UTF-8
//! characters U+0090 to U+009F: in an encoding where a byte alone would be one, that byte is as likely a letter, and
//! alone it reaches no reader, since stored text shows it as U+FFFD.

use memchr::{memchr_iter, memchr2_iter};

use crate::bounds;

/// Bytes kept clear below the limit, so that the longest UTF-8 character still fits where a line is not yet cut.
const CHARACTER_ROOM: usize = 3;

/// Parameters of the CSI sequences that are passed over at once; colours have up to about 20.
const SHORT_CSI_BYTES: usize = 64;

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
const CANCEL: u8 = 0x18;
const SUBSTITUTE: u8 = 0x1a;
/// First byte of U+0080 to U+00BF in UTF-8.
const C1_LEAD: u8 = 0xc2;

/// Lines in a row: one buffer and their ends, as plugins take them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    /// The lines' bytes, one behind the other.
    pub text: Vec<u8>,
    /// Where each line ends in `text`.
    pub ends: Vec<u32>,
    /// Whether the next line of the stream continues this one.
    pub partial: Vec<bool>,
    /// The place in the spool from which reading the stream again gives the lines behind this one.
    pub after: Vec<u64>,
}

impl Lines {
    /// Returns how many lines there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets the lines and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.partial.clear();
        self.after.clear();
    }

    /// Returns the lines in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.ends.iter().scan(0, |start, end| {
            let line = &self.text[*start..*end as usize];
            *start = *end as usize;
            Some(line)
        })
    }

    /// Appends a line.
    pub fn push(&mut self, text: &[u8], partial: bool, after: u64) {
        self.text.extend_from_slice(text);
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        self.partial.push(partial);
        self.after.push(after);
    }
}

/// Splits one stream of one run.
#[derive(Debug, Clone, Default)]
pub struct LineSplitter {
    /// The text of the unfinished line.
    carry: Vec<u8>,
    /// The place of the first byte of `carry`.
    carry_start: u64,
    /// The place and length of what was last appended to `carry` in one piece.
    last_run: (u64, usize),
    state: State,
    /// The place of the first byte of the unfinished escape sequence.
    sequence_start: u64,
    /// The length of the unfinished escape sequence.
    sequence_bytes: usize,
    /// The place behind the last byte taken.
    taken: u64,
}

/// Where in an escape sequence the stream is (ECMA-48, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Text,
    /// A byte that may begin an 8-bit control.
    C1Lead,
    Escape,
    /// Behind ESC and an intermediate byte, as when a character set is chosen.
    Intermediate,
    /// Behind ESC `[`: colours, cursor.
    Csi,
    /// Behind ESC `]` (titles, hyperlinks; may end with BEL), or ESC with one of `P X ^ _`.
    String(StringKind),
    StringEscape(StringKind),
    StringC1Lead(StringKind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StringKind {
    Osc,
    Other,
}

impl LineSplitter {
    /// Takes the stream's next bytes, whose first is at the place `start` of the spool, and appends the lines that
    /// end in them.
    ///
    /// `lines` must be cleared before its text reaches 4 GiB, which is what `u32` ends can express.
    pub fn push(&mut self, bytes: &[u8], start: u64, lines: &mut Lines) {
        let mut at = 0;
        while at < bytes.len() {
            let place = start + at as u64;
            if self.state == State::Text {
                let rest = &bytes[at..];
                let length = next_control(rest).unwrap_or(rest.len());
                self.push_text(&rest[..length], place, lines);
                at += length;
                if let Some(length) = whole_csi(&bytes[at..]) {
                    at += length;
                } else if let Some(lead) = bytes.get(at) {
                    self.begin_sequence(*lead, start + at as u64);
                    at += 1;
                }
            } else if self.push_control(bytes[at], lines) {
                at += 1;
            }
        }
        self.taken = start + bytes.len() as u64;
    }

    /// Appends the unfinished line as partial, and returns whether there was anything to append. What comes next
    /// continues it. A `\r` or the beginning of a character at its end waits for what it belongs to.
    pub fn flush_partial(&mut self, lines: &mut Lines) -> bool {
        let held_back = self.held_back();
        let length = self.carry.len() - held_back;
        if length == 0 {
            return false;
        }
        let (run_start, run_bytes) = self.last_run;
        let after = match (held_back, self.state) {
            (0, State::Text) => self.taken,
            (0, _) => self.sequence_start,
            (_, _) => run_start + (run_bytes - held_back) as u64,
        };
        lines.push(&self.carry[..length], true, after);
        self.carry.drain(..length);
        self.carry_start = after;
        self.last_run = (after, held_back);
        true
    }

    /// Appends the unfinished line as it is, because its rest will never come: the stream has ended, or output is
    /// missing here. Returns whether there was one. The splitter can be used on, as for a new stream.
    pub fn finish(&mut self, lines: &mut Lines) -> bool {
        if self.state == State::C1Lead {
            self.carry.push(C1_LEAD);
        }
        self.state = State::Text;
        let is_there = !self.carry.is_empty();
        if is_there {
            lines.push(&self.carry, false, self.taken);
            self.carry.clear();
        }
        is_there
    }

    /// Returns the place of the first byte that is not part of any line yet, or `None` when every byte taken is.
    pub fn unfinished_from(&self) -> Option<u64> {
        match (self.carry.is_empty(), self.state) {
            (false, _) => Some(self.carry_start),
            (true, State::Text) => None,
            (true, _) => Some(self.sequence_start),
        }
    }

    /// Takes bytes without controls other than C0.
    fn push_text(&mut self, text: &[u8], place: u64, lines: &mut Lines) {
        let mut from = 0;
        for newline in memchr_iter(b'\n', text) {
            self.end_line(&text[from..newline], place + from as u64, lines);
            from = newline + 1;
        }
        self.append(&text[from..], place + from as u64, lines);
    }

    fn end_line(&mut self, text: &[u8], place: u64, lines: &mut Lines) {
        let after = place + text.len() as u64 + 1;
        if self.carry.is_empty() && text.len() <= bounds::LINE_BYTES - CHARACTER_ROOM {
            lines.push(without_return(text), false, after);
        } else {
            self.append(text, place, lines);
            lines.push(without_return(&self.carry), false, after);
            self.carry.clear();
        }
    }

    /// Appends to the unfinished line, and cuts it before a character that would make it too long.
    fn append(&mut self, mut text: &[u8], mut place: u64, lines: &mut Lines) {
        while !text.is_empty() {
            if self.carry.is_empty() {
                self.carry_start = place;
            }
            let unchecked = (bounds::LINE_BYTES - CHARACTER_ROOM).saturating_sub(self.carry.len());
            let length = match unchecked {
                0 if self.carry.len() + character_bytes(text[0]) > bounds::LINE_BYTES => {
                    lines.push(&self.carry, true, place);
                    self.carry.clear();
                    continue;
                }
                0 => 1,
                _ => unchecked.min(text.len()),
            };
            self.carry.extend_from_slice(&text[..length]);
            self.last_run = (place, length);
            text = &text[length..];
            place += length as u64;
        }
    }

    fn begin_sequence(&mut self, lead: u8, place: u64) {
        self.state = if lead == ESC { State::Escape } else { State::C1Lead };
        self.sequence_start = place;
        self.sequence_bytes = 1;
    }

    /// Takes a byte of an escape sequence, or ends the sequence and returns false: the byte is text then, and a line
    /// end always is, so that no broken sequence swallows more than its line.
    fn push_control(&mut self, byte: u8, lines: &mut Lines) -> bool {
        use State::{C1Lead, Csi, Escape, Intermediate, String, StringC1Lead, StringEscape, Text};
        let next = match (self.state, byte) {
            (_, b'\n') => None,
            _ if self.sequence_bytes >= bounds::LINE_BYTES => None,
            (C1Lead, byte) => c1_state(byte),
            (_, CANCEL | SUBSTITUTE) => Some(Text),
            (Escape, byte) => escape_state(byte),
            (Intermediate | Csi, ESC) => Some(Escape),
            (Intermediate, 0x20..=0x2f) => Some(Intermediate),
            (Intermediate, 0x30..=0x7e) => Some(Text),
            (Csi, 0x20..=0x3f) => Some(Csi),
            (Csi, 0x40..=0x7e) => Some(Text),
            (Text | Intermediate | Csi, _) => None,
            (String(StringKind::Osc), BEL) => Some(Text),
            (String(kind), ESC) => Some(StringEscape(kind)),
            (String(kind), C1_LEAD) => Some(StringC1Lead(kind)),
            (String(kind), _) => Some(String(kind)),
            // Any other escape sequence than the string's end cuts the string off and begins itself.
            (StringEscape(_), byte) => escape_state(byte),
            (StringC1Lead(_), 0x9c) => Some(Text),
            (StringC1Lead(kind), C1_LEAD) => Some(StringC1Lead(kind)),
            (StringC1Lead(kind), ESC) => Some(StringEscape(kind)),
            (StringC1Lead(StringKind::Osc), BEL) => Some(Text),
            (StringC1Lead(kind), _) => Some(String(kind)),
        };
        if next.is_none() && self.state == C1Lead {
            // A character after all.
            self.append(&[C1_LEAD], self.sequence_start, lines);
        }
        self.state = next.unwrap_or(Text);
        self.sequence_bytes += 1;
        next.is_some()
    }

    /// Returns how many bytes at the end of the unfinished line belong together with what comes next.
    fn held_back(&self) -> usize {
        let count = match self.carry.as_slice() {
            [.., b'\r'] => 1,
            carry => unfinished_character(carry),
        };
        // Of older bytes the place is not known any more.
        if count <= self.last_run.1 { count } else { 0 }
    }
}

/// Finds the next byte that begins a control sequence, or may.
fn next_control(bytes: &[u8]) -> Option<usize> {
    memchr2_iter(ESC, C1_LEAD, bytes)
        .find(|at| bytes[*at] == ESC || bytes.get(at + 1).is_none_or(|second| c1_state(*second).is_some()))
}

/// Returns the length of the short, whole and well-formed CSI sequence that `bytes` begin with, if they do: nearly
/// every sequence in nearly every log is one, and is passed over without the state machine.
fn whole_csi(bytes: &[u8]) -> Option<usize> {
    let parameters = bytes.strip_prefix(b"\x1b[")?;
    let length = parameters.iter().take(SHORT_CSI_BYTES).position(|byte| !matches!(byte, 0x20..=0x3f))?;
    matches!(parameters[length], 0x40..=0x7e).then_some(length + 3)
}

/// Returns what follows U+0080 + `second`, if that begins a sequence.
fn c1_state(second: u8) -> Option<State> {
    match second {
        0x9b => Some(State::Csi),
        0x9d => Some(State::String(StringKind::Osc)),
        0x90 | 0x98 | 0x9e | 0x9f => Some(State::String(StringKind::Other)),
        _ => None,
    }
}

/// Returns what follows ESC and `byte`, if the two can stand together.
fn escape_state(byte: u8) -> Option<State> {
    match byte {
        b'[' => Some(State::Csi),
        b']' => Some(State::String(StringKind::Osc)),
        b'P' | b'X' | b'^' | b'_' => Some(State::String(StringKind::Other)),
        0x20..=0x2f => Some(State::Intermediate),
        0x30..=0x7e => Some(State::Text),
        ESC => Some(State::Escape),
        _ => None,
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns how many bytes a UTF-8 character that begins like this has; 1 for what cannot begin one.
fn character_bytes(lead: u8) -> usize {
    match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    }
}

/// Returns the length of the unfinished UTF-8 character at the end, or 0.
fn unfinished_character(text: &[u8]) -> usize {
    (1..=CHARACTER_ROOM.min(text.len()))
        .find(|length| text[text.len() - length] & 0xc0 != 0x80)
        .filter(|length| character_bytes(text[text.len() - length]) > *length)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
