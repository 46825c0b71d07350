//! Names of keys, and what pressing them means: bytes for a program at a terminal, and for one without a terminal what
//! is left of that.
//!
//! Pure. The bytes are those of xterm (`user_caps(5)`, `console_codes(4)`), which is what nearly all programs understand.
//! Cursor keys have two codes: the normal ones, and those of the application for a program that has asked for them by
//! what it printed (DECCKM, `ESC [ ? 1 h`), as line editors and full-screen programs do.

/// A key that can be pressed by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The name as the table has it.
    pub name: &'static str,
    bytes: &'static [u8],
}

/// What reads the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    Pipe,
    /// A terminal in its normal mode.
    Terminal,
    /// A terminal whose program has asked for the application's codes of the cursor keys.
    Application,
}

/// What a key is to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    Bytes(&'static [u8]),
    /// Without a terminal the key cannot become a signal, so that the signal itself is sent.
    Signal(i32),
    /// It means nothing without a terminal.
    Nothing,
}

/// What `enter` is to a terminal, which makes a line end of it, or lets the program do so.
const RETURN: &[u8] = b"\r";

const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGTSTP: i32 = 20;

/// Every key but `ctrl-a` to `ctrl-z`.
const KEYS: [(&str, &[u8]); 38] = [
    ("enter", RETURN),
    ("tab", b"\t"),
    ("shift-tab", b"\x1b[Z"),
    ("space", b" "),
    ("escape", b"\x1b"),
    ("backspace", b"\x7f"),
    ("delete", b"\x1b[3~"),
    ("insert", b"\x1b[2~"),
    ("up", b"\x1b[A"),
    ("down", b"\x1b[B"),
    ("right", b"\x1b[C"),
    ("left", b"\x1b[D"),
    ("home", b"\x1b[H"),
    ("end", b"\x1b[F"),
    ("page-up", b"\x1b[5~"),
    ("page-down", b"\x1b[6~"),
    ("ctrl-up", b"\x1b[1;5A"),
    ("ctrl-down", b"\x1b[1;5B"),
    ("ctrl-right", b"\x1b[1;5C"),
    ("ctrl-left", b"\x1b[1;5D"),
    ("f1", b"\x1bOP"),
    ("f2", b"\x1bOQ"),
    ("f3", b"\x1bOR"),
    ("f4", b"\x1bOS"),
    ("f5", b"\x1b[15~"),
    ("f6", b"\x1b[17~"),
    ("f7", b"\x1b[18~"),
    ("f8", b"\x1b[19~"),
    ("f9", b"\x1b[20~"),
    ("f10", b"\x1b[21~"),
    ("f11", b"\x1b[23~"),
    ("f12", b"\x1b[24~"),
    ("ctrl-space", b"\x00"),
    ("ctrl-[", b"\x1b"),
    ("ctrl-\\", b"\x1c"),
    ("ctrl-]", b"\x1d"),
    ("ctrl-^", b"\x1e"),
    ("ctrl-_", b"\x1f"),
];

/// The keys that have a code of their own for applications; all others have one.
const APPLICATION: [(&str, &[u8]); 6] = [
    ("up", b"\x1bOA"),
    ("down", b"\x1bOB"),
    ("right", b"\x1bOC"),
    ("left", b"\x1bOD"),
    ("home", b"\x1bOH"),
    ("end", b"\x1bOF"),
];

/// `ctrl-a` to `ctrl-z`.
const LETTERS: [(&str, &[u8]); 26] = [
    ("ctrl-a", b"\x01"),
    ("ctrl-b", b"\x02"),
    ("ctrl-c", b"\x03"),
    ("ctrl-d", b"\x04"),
    ("ctrl-e", b"\x05"),
    ("ctrl-f", b"\x06"),
    ("ctrl-g", b"\x07"),
    ("ctrl-h", b"\x08"),
    ("ctrl-i", b"\x09"),
    ("ctrl-j", b"\x0a"),
    ("ctrl-k", b"\x0b"),
    ("ctrl-l", b"\x0c"),
    ("ctrl-m", b"\x0d"),
    ("ctrl-n", b"\x0e"),
    ("ctrl-o", b"\x0f"),
    ("ctrl-p", b"\x10"),
    ("ctrl-q", b"\x11"),
    ("ctrl-r", b"\x12"),
    ("ctrl-s", b"\x13"),
    ("ctrl-t", b"\x14"),
    ("ctrl-u", b"\x15"),
    ("ctrl-v", b"\x16"),
    ("ctrl-w", b"\x17"),
    ("ctrl-x", b"\x18"),
    ("ctrl-y", b"\x19"),
    ("ctrl-z", b"\x1a"),
];

/// Other names people have for the same keys.
const ALIASES: [(&str, &str); 9] = [
    ("return", "enter"),
    ("esc", "escape"),
    ("del", "delete"),
    ("ins", "insert"),
    ("bksp", "backspace"),
    ("pageup", "page-up"),
    ("pgup", "page-up"),
    ("pagedown", "page-down"),
    ("pgdn", "page-down"),
];

/// Longest text that is compared with names, in bytes.
const NAME_BYTES: usize = 24;
/// How alike a name must be to be proposed.
const LIKENESS: f64 = 0.75;

/// A name that no key has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no key `{name}`{}", closest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
pub struct UnknownKey {
    name: String,
    closest: Option<&'static str>,
}

/// What to say to those who do not know the names.
pub const NAMES_HINT: &str = "keys are ctrl-a to ctrl-z, enter, tab, shift-tab, space, escape, backspace, delete, insert, up, down, left, right, \
     home, end, page-up, page-down, f1 to f12; other characters go as text";

impl Key {
    /// Finds a key by its name, in any case; `^c`, `c-c` and `ctrl+c` mean `ctrl-c`.
    pub fn named(text: &str) -> Result<Self, UnknownKey> {
        let name = normal(text);
        find(&name).ok_or_else(|| UnknownKey {
            name: text.chars().filter(|c| !c.is_control()).take(NAME_BYTES).collect(),
            closest: closest(&name),
        })
    }

    /// Returns what pressing it means to a process with a terminal.
    pub fn on_terminal(self) -> &'static [u8] {
        self.bytes
    }

    /// Returns what pressing it means to whoever reads it.
    pub fn press(self, reader: Reader) -> Press {
        match self.bytes {
            bytes if reader == Reader::Terminal => Press::Bytes(bytes),
            bytes if reader == Reader::Application => {
                let own = APPLICATION.iter().find(|(name, _)| *name == self.name);
                Press::Bytes(own.map_or(bytes, |(_, bytes)| bytes))
            }
            RETURN => Press::Bytes(b"\n"),
            b"\t" | b" " | b"\n" => Press::Bytes(self.bytes),
            [3] => Press::Signal(SIGINT),
            [26] => Press::Signal(SIGTSTP),
            [28] => Press::Signal(SIGQUIT),
            _ => Press::Nothing,
        }
    }
}

fn all() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    KEYS.into_iter().chain(LETTERS)
}

fn find(name: &str) -> Option<Key> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| *name);
    all().find(|(known, _)| *known == name).map(|(name, bytes)| Key { name, bytes })
}

fn normal(text: &str) -> String {
    let short: String = text.trim().chars().take(NAME_BYTES + 1).collect();
    let lower = short.to_ascii_lowercase().replace(['+', ' '], "-").replace("control-", "ctrl-");
    match lower.strip_prefix('^').or_else(|| lower.strip_prefix("c-")) {
        Some(rest) if rest.chars().count() == 1 => format!("ctrl-{rest}"),
        _ => lower,
    }
}

fn closest(name: &str) -> Option<&'static str> {
    let likeness = |known: &str| strsim::jaro_winkler(name, known);
    all()
        .map(|(known, _)| (likeness(known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn press(name: &str, terminal: bool) -> Press {
        Key::named(name).unwrap().press(if terminal { Reader::Terminal } else { Reader::Pipe })
    }

    #[test]
    fn names_are_unique_and_aliases_lead_somewhere() {
        let names: Vec<&str> = all().map(|(name, _)| name).collect();
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name}");
            assert_eq!(Key::named(name).unwrap().name, *name);
        }
        for (alias, name) in ALIASES {
            assert_eq!(Key::named(alias).unwrap().name, name);
        }
    }

    #[test]
    fn control_keys_are_their_letters_without_the_upper_bits() {
        for (letter, (name, bytes)) in (b'a'..=b'z').zip(LETTERS) {
            assert_eq!(name, format!("ctrl-{}", char::from(letter)));
            assert_eq!(bytes, [letter & 0x1f]);
        }
    }

    #[test]
    fn names_are_understood_as_people_write_them() {
        for text in ["ctrl-c", "Ctrl+C", "CTRL C", "^C", "c-c", "control-c", " ctrl-c "] {
            assert_eq!(Key::named(text).unwrap().name, "ctrl-c", "{text}");
        }
        assert_eq!(Key::named("^\\").unwrap().name, "ctrl-\\");
        assert_eq!(Key::named("PgUp").unwrap().name, "page-up");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let told = |name: &str| Key::named(name).unwrap_err().to_string();
        assert_eq!(told("entr"), "there is no key `entr`; did you mean `enter`?");
        assert_eq!(told("pageupp"), "there is no key `pageupp`; did you mean `page-up`?");
        assert_eq!(told("q"), "there is no key `q`");
        assert!(told(&"x\u{1b}".repeat(10_000)).len() < 100);
    }

    #[test]
    fn without_a_terminal_only_some_keys_mean_something() {
        assert_eq!(press("enter", true), Press::Bytes(b"\r"));
        assert_eq!(press("enter", false), Press::Bytes(b"\n"));
        assert_eq!(press("ctrl-c", true), Press::Bytes(b"\x03"));
        assert_eq!(press("ctrl-c", false), Press::Signal(2));
        assert_eq!(press("ctrl-z", false), Press::Signal(20));
        assert_eq!(press("ctrl-\\", false), Press::Signal(3));
        assert_eq!(press("tab", false), Press::Bytes(b"\t"));
        for name in ["up", "escape", "ctrl-d", "f1", "backspace"] {
            assert_eq!(press(name, false), Press::Nothing, "{name}");
        }
    }

    #[test]
    fn cursor_keys_have_codes_of_their_own_for_applications() {
        let application = |name: &str| Key::named(name).unwrap().press(Reader::Application);
        for (name, normal, own) in [
            ("up", b"\x1b[A", b"\x1bOA"),
            ("down", b"\x1b[B", b"\x1bOB"),
            ("right", b"\x1b[C", b"\x1bOC"),
            ("left", b"\x1b[D", b"\x1bOD"),
            ("home", b"\x1b[H", b"\x1bOH"),
            ("end", b"\x1b[F", b"\x1bOF"),
        ] {
            assert_eq!((press(name, true), application(name)), (Press::Bytes(normal), Press::Bytes(own)));
        }
        for name in ["page-up", "page-down", "ctrl-up", "f1", "enter", "ctrl-c", "delete", "shift-tab"] {
            assert_eq!(application(name), press(name, true), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_key_or_an_error(text in "\\PC{0,40}") {
            let _ = Key::named(&text);
        }
    }
}
