//! Owns colours: whether there are any, and which mean what.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

use crate::model::{Level, ProcessName};
use crate::supervisor::State;

/// Paints text, or leaves it plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    enabled: bool,
}

/// What is asked of the environment before anything is coloured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes {
    /// `--no-color`.
    pub no_color_option: bool,
    /// `NO_COLOR` is set and not empty (no-color.org).
    pub no_color: bool,
    /// `CLICOLOR_FORCE` is set and neither empty nor 0.
    pub force: bool,
    /// `TERM` is `dumb`.
    pub dumb: bool,
}

impl Wishes {
    /// Reads the environment.
    pub fn of_environment(no_color_option: bool) -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            no_color_option,
            no_color: set("NO_COLOR").is_some(),
            force: set("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
            dumb: set("TERM").is_some_and(|value| value == "dumb"),
        }
    }
}

impl Palette {
    /// Text stays as it is.
    #[cfg(test)]
    pub const PLAIN: Self = Self { enabled: false };
    #[cfg(test)]
    pub const COLOURED: Self = Self { enabled: true };

    /// Returns the palette for something that is written to `stream`.
    pub fn for_stream(stream: &impl IsTerminal, wishes: Wishes) -> Self {
        Self::decide(stream.is_terminal(), wishes)
    }

    fn decide(terminal: bool, wishes: Wishes) -> Self {
        let refused = wishes.no_color_option || wishes.no_color;
        Self { enabled: !refused && (wishes.force || (terminal && !wishes.dumb)) }
    }

    /// Returns `text` as it is shown.
    pub fn paint<T: Display>(self, style: Style, text: T) -> Painted<T> {
        Painted { style: if self.enabled { style } else { Style::new() }, text }
    }
}

/// Text with a colour, or without.
pub struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.style.render())?;
        self.text.fmt(f)?;
        write!(f, "{}", self.style.render_reset())
    }
}

pub const HEADING: Style = Style::new().bold();
pub const FAINT: Style = Style::new().dimmed();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const WARNING: Style = AnsiColor::Yellow.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// Returns the style of a state's word.
pub fn of_state(state: State) -> Style {
    match state {
        State::Ready | State::Running => GOOD,
        State::Starting | State::Stopping | State::Backoff | State::Unhealthy => WARNING,
        State::Failed => BAD,
        State::Stopped | State::Exited => FAINT,
    }
}

/// Returns the style of a line's text.
pub fn of_level(level: Level) -> Style {
    match level {
        Level::Fatal => BAD,
        Level::Error => AnsiColor::Red.on_default(),
        Level::Warn => WARNING,
        Level::Debug | Level::Trace => FAINT,
        Level::Info | Level::Unknown => Style::new(),
    }
}

/// Colours for names; red is kept for what is wrong.
const NAMES: [AnsiColor; 8] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Green,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightGreen,
    AnsiColor::BrightBlue,
];

/// Gives each process a colour of its own while there are enough: the same one each time for the same set of names.
#[derive(Debug, Clone, Default)]
pub struct NameStyles {
    styles: BTreeMap<ProcessName, Style>,
}

impl NameStyles {
    /// Hands out colours to `names`, whatever order they come in.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n ProcessName>) -> Self {
        let mut styles: BTreeMap<_, _> = names.into_iter().map(|name| (name.clone(), Style::new())).collect();
        let mut taken = [0; NAMES.len()];
        for (name, style) in &mut styles {
            let wish = wish(name);
            // The least used colour, starting at the one its name asks for.
            let place = (0..NAMES.len())
                .map(|step| (wish + step) % NAMES.len())
                .min_by_key(|place| taken[*place])
                .unwrap_or(wish);
            taken[place] += 1;
            *style = NAMES[place].on_default();
        }
        Self { styles }
    }

    /// Returns the colour of a process; one that was not known gets that which its name asks for.
    pub fn of(&self, name: &ProcessName) -> Style {
        self.styles.get(name).copied().unwrap_or_else(|| NAMES[wish(name)].on_default())
    }
}

/// Returns the colour a name asks for, by its FNV-1a hash, so that it depends on nothing else.
fn wish(name: &ProcessName) -> usize {
    let hash = name
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize % NAMES.len()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn coloured(terminal: bool, wishes: Wishes) -> bool {
        Palette::decide(terminal, wishes).enabled
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let none = Wishes::default();
        assert!(coloured(true, none));
        assert!(!coloured(false, none));
        assert!(!coloured(true, Wishes { no_color: true, ..none }));
        assert!(!coloured(true, Wishes { no_color_option: true, ..none }));
        assert!(!coloured(true, Wishes { dumb: true, ..none }));
        assert!(coloured(false, Wishes { force: true, ..none }));
        assert!(!coloured(true, Wishes { force: true, no_color: true, ..none }));
    }

    #[test]
    fn plain_text_has_no_codes() {
        assert_eq!(Palette::PLAIN.paint(BAD, "x").to_string(), "x");
        assert_eq!(Palette::COLOURED.paint(WARNING, "x").to_string(), "\x1b[33mx\x1b[0m");
    }

    #[test]
    fn names_differ_in_colour_and_keep_theirs() {
        let names: Vec<_> = ["api", "web", "db", "worker"].map(|name| ProcessName::new(name).unwrap()).into();
        let styles = NameStyles::new(&names);
        let distinct: BTreeSet<_> = names.iter().map(|name| styles.of(name).render().to_string()).collect();
        assert_eq!(distinct.len(), names.len());
        let again = NameStyles::new(names.iter().rev());
        assert!(names.iter().all(|name| styles.of(name) == again.of(name)));
    }
}
