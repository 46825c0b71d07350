//! What becomes of what a short command prints: its end is kept, to be quoted, or its lines are told one by one.
//!
//! Bounded however much it is, and harmless whatever it holds. Never reads anything itself.

use crate::bounds;

/// Characters of the last line that are quoted.
const QUOTED: usize = 200;
/// Lines that are told; the rest is counted.
pub(super) const LINES: usize = 200;
/// Longest line that is told, in bytes; of a longer one the rest is left out.
const LINE_BYTES: usize = 2000;

/// The end of what was printed.
#[derive(Debug, Default)]
pub(super) struct LastWords(Vec<u8>);

impl LastWords {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let excess = self.0.len().saturating_sub(bounds::CHECK_OUTPUT_BYTES);
        self.0.drain(..excess);
    }

    /// Returns the last line with something in it, masked by `mask`, fit to be part of a sentence.
    pub(super) fn told(&self, mask: impl FnOnce(&str) -> String) -> Option<String> {
        let text = String::from_utf8_lossy(&self.0);
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        // Before it is cut: what is left of a secret is not known as one.
        Some(mask(line).chars().filter(|c| !c.is_control()).take(QUOTED).collect())
    }
}

/// Lines that are told as they come.
pub(super) struct Told<T> {
    tell: T,
    /// What there is of the present line.
    line: Vec<u8>,
    left: usize,
    untold: usize,
}

impl<T: Fn(String)> Told<T> {
    pub(super) fn new(tell: T) -> Self {
        Self { tell, line: Vec::new(), left: LINES, untold: 0 }
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.tell();
            } else if self.line.len() < LINE_BYTES {
                self.line.push(*byte);
            }
        }
    }

    /// Tells the last line, when it has no end, and how many were left out.
    pub(super) fn end(&mut self) {
        if !self.line.is_empty() {
            self.tell();
        }
        if self.untold > 0 {
            (self.tell)(format!("({} more lines are left out)", self.untold));
        }
    }

    fn tell(&mut self) {
        if self.left == 0 {
            self.untold += 1;
        } else {
            self.left -= 1;
            let text = String::from_utf8_lossy(&self.line);
            (self.tell)(text.chars().filter(|c| *c == '\t' || !c.is_control()).collect());
        }
        self.line.clear();
    }
}
