//! Remembers what a program has switched on in the terminal it was shown on, so that whoever leaves before it has
//! switched it off again gets back a terminal that works: the other screen, a hidden cursor, reports of the mouse.
//!
//! Pure. Reads only the private modes of `CSI ? … h` and `l` (xterm, "Control sequences"), and colours are put back always.

/// What is put back, and the state it has in a fresh terminal.
const MODES: [(u16, bool); 11] = [
    // Cursor keys send other codes.
    (1, false),
    // Long lines wrap.
    (7, true),
    // The cursor is seen.
    (25, true),
    // The mouse is reported.
    (1000, false),
    (1002, false),
    (1003, false),
    (1006, false),
    // Focus is reported.
    (1004, false),
    // The other screen.
    (47, false),
    (1049, false),
    // Pasted text is marked.
    (2004, false),
];

/// Longest sequence that is read, in bytes; none of those looked for comes near.
const SEQUENCE_BYTES: usize = 64;

/// The modes of one terminal.
#[derive(Debug, Clone, Default)]
pub struct Modes {
    /// For each of [`MODES`], whether it is not as in a fresh terminal.
    changed: [bool; MODES.len()],
    /// A sequence whose end has not come: what stands between `CSI ?` and it.
    sequence: Option<Vec<u8>>,
    /// How much of `CSI ?` the last bytes are.
    lead: usize,
}

impl Modes {
    /// Takes what was shown.
    pub fn see(&mut self, bytes: &[u8]) {
        const LEAD: &[u8] = b"\x1b[?";
        for byte in bytes {
            match &mut self.sequence {
                Some(sequence) if byte.is_ascii_digit() || *byte == b';' => {
                    sequence.push(*byte);
                    if sequence.len() > SEQUENCE_BYTES {
                        self.sequence = None;
                    }
                }
                Some(_) => self.end_sequence(*byte),
                None if *byte == LEAD[self.lead] => {
                    self.lead += 1;
                    if self.lead == LEAD.len() {
                        self.lead = 0;
                        self.sequence = Some(Vec::new());
                    }
                }
                None => self.lead = usize::from(*byte == LEAD[0]),
            }
        }
    }

    fn end_sequence(&mut self, end: u8) {
        let Some(sequence) = self.sequence.take() else { return };
        self.lead = usize::from(end == 0x1b);
        let on = match end {
            b'h' => true,
            b'l' => false,
            _ => return,
        };
        for number in sequence.split(|byte| *byte == b';') {
            let number = std::str::from_utf8(number).ok().and_then(|text| text.parse::<u16>().ok());
            let known = MODES.iter().position(|(mode, _)| Some(*mode) == number);
            if let Some(index) = known {
                self.changed[index] = on != MODES[index].1;
            }
        }
    }

    /// Returns what makes the terminal as it was; nothing when nothing was shown that changed it.
    pub fn undo(&self) -> String {
        let changed = MODES.iter().zip(self.changed).filter(|(_, changed)| *changed);
        let mut undo: String = changed
            .map(|((mode, usual), _)| format!("\x1b[?{mode}{}", if *usual { 'h' } else { 'l' }))
            .collect();
        undo.push_str("\x1b[0m");
        undo
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undo(shown: &[&[u8]]) -> String {
        let mut modes = Modes::default();
        shown.iter().for_each(|bytes| modes.see(bytes));
        modes.undo()
    }

    #[test]
    fn what_is_still_on_is_switched_off() {
        assert_eq!(undo(&[b"plain \x1b[1mtext\x1b[0m"]), "\x1b[0m");
        assert_eq!(
            undo(&[b"\x1b[?1049h\x1b[?25l\x1b[?1000;1006h"]),
            "\x1b[?25h\x1b[?1000l\x1b[?1006l\x1b[?1049l\x1b[0m"
        );
        assert_eq!(undo(&[b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l"]), "\x1b[0m");
        assert_eq!(undo(&[b"\x1b[?7l\x1b[?9999h"]), "\x1b[?7h\x1b[0m");
    }

    #[test]
    fn sequences_cut_in_two_are_read() {
        let shown = b"x\x1b\x1b[?2004h\x1b[?\x1b[?25l";
        for cut in 0..shown.len() {
            let (head, tail) = shown.split_at(cut);
            assert_eq!(undo(&[head, tail]), "\x1b[?25h\x1b[?2004l\x1b[0m", "cut at {cut}");
        }
        assert_eq!(undo(&[b"\x1b[?", &[b'1'; 1000], b"h\x1b[?25l"]), "\x1b[?25h\x1b[0m");
    }
}
