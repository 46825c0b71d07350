//! In which of its two modes the child's terminal tells cursor keys, as the child's output says (DECCKM; xterm, "Control
//! sequences"). A program that has asked for the application's codes understands no others.
//!
//! Kept by the shim, because it alone sees everything that is printed and lives as long as the child. Pure, and of a
//! size that does not grow with what it reads.

const ESC: u8 = 0x1b;
/// The mode's number.
const CURSOR_KEYS: u16 = 1;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct CursorKeys {
    is_application: bool,
    state: State,
}

/// Where in an escape sequence the output is. Sequences that do not matter are text.
#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Text,
    Escape,
    /// Behind ESC `[`.
    Csi,
    /// Behind ESC `[` `?`: the number that is being read, and whether one before it was the mode's.
    Private {
        number: u16,
        is_meant: bool,
    },
    /// Behind ESC `[` `!`.
    Bang,
}

impl CursorKeys {
    /// Returns whether the keys are told by the application's codes.
    pub(super) fn is_application(&self) -> bool {
        self.is_application
    }

    /// Takes what was printed; returns whether the mode is another one now.
    pub(super) fn see(&mut self, bytes: &[u8]) -> bool {
        let before = self.is_application;
        let mut rest = bytes;
        while !rest.is_empty() {
            if matches!(self.state, State::Text) {
                let Some(place) = rest.iter().position(|byte| *byte == ESC) else { break };
                rest = &rest[place..];
            }
            self.step(rest[0]);
            rest = &rest[1..];
        }
        self.is_application != before
    }

    fn step(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (_, ESC) => State::Escape,
            (State::Escape, b'[') => State::Csi,
            (State::Csi, b'?') => State::Private { number: 0, is_meant: false },
            (State::Csi, b'!') => State::Bang,
            (State::Private { number, is_meant }, b'0'..=b'9') => {
                let number = number.saturating_mul(10).saturating_add(u16::from(byte - b'0'));
                State::Private { number, is_meant }
            }
            (State::Private { number, is_meant }, b';') => {
                State::Private { number: 0, is_meant: is_meant || number == CURSOR_KEYS }
            }
            (State::Private { number, is_meant }, b'h' | b'l') => {
                if is_meant || number == CURSOR_KEYS {
                    self.is_application = byte == b'h';
                }
                State::Text
            }
            // A reset of the whole terminal (RIS), and a soft one (DECSTR).
            (State::Escape, b'c') | (State::Bang, b'p') => {
                self.is_application = false;
                State::Text
            }
            _ => State::Text,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(printed: &[u8]) -> bool {
        let mut keys = CursorKeys::default();
        keys.see(printed);
        keys.is_application()
    }

    #[test]
    fn the_mode_is_what_was_asked_for_last() {
        for (printed, is_application) in [
            (&b"plain"[..], false),
            (b"\x1b[?1h", true),
            (b"\x1b[?1h\x1b=", true),
            (b"text\x1b[31m\x1b[?25l\x1b[?1049;1h more", true),
            (b"\x1b[?1;2004h", true),
            (b"\x1b[?1h\x1b[?1l", false),
            (b"\x1b[?1h\x1bc", false),
            (b"\x1b[?1h\x1b[!p", false),
            (b"\x1b[?1\x1b[?1h", true),
            // Others that look like it.
            (b"\x1b[1h", false),
            (b"\x1b[?11h", false),
            (b"\x1b[?10h", false),
            (b"\x1b[?1049h", false),
            (b"\x1b[?65537h", false),
            (b"\x1b[?99999999999999999999h", false),
            (b"[?1h", false),
            (b"\x1b[?1$p", false),
        ] {
            assert_eq!(after(printed), is_application, "{}", printed.escape_ascii());
        }
    }

    #[test]
    fn a_change_is_told_once() {
        let mut keys = CursorKeys::default();
        assert!(keys.see(b"\x1b[?1h"));
        assert!(!keys.see(b"\x1b[?1h"));
        assert!(keys.see(b"\x1b[?1l"));
        assert!(!keys.see(b"\x1b[?1h\x1b[?1l"));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_output_is_cut_up(
            printed in "(\\x1b\\[\\?|[1hlc;\\[!p]|\\x1b|x){0,12}",
            cut in 0_usize..24,
        ) {
            let bytes = printed.as_bytes();
            let cut = cut.min(bytes.len());
            let mut keys = CursorKeys::default();
            keys.see(&bytes[..cut]);
            keys.see(&bytes[cut..]);
            prop_assert_eq!(keys.is_application(), after(bytes));
        }
    }
}
