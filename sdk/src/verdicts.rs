//! A plugin's answers on their way out: one level per line, and facts for the few lines that hold one.

use crate::Level;

/// The bit of a line's code that says that the line continues the event before.
pub const CONTINUES: u8 = 1 << 7;

/// Something typed that a plugin saw in the output: a kind and its fields.
///
/// Kinds are open; those the host acts upon have a constructor here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What was seen, such as `ready`.
    pub kind: String,
    /// Keys and values, in order.
    pub fields: Vec<(String, String)>,
}

impl Fact {
    /// Makes a fact without fields.
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), fields: Vec::new() }
    }

    /// The process says that it is ready to serve.
    pub fn ready() -> Self {
        Self::new("ready")
    }

    /// The process says that it listens at `url`.
    pub fn listening(url: impl Into<String>) -> Self {
        Self::new("listening").field("url", url)
    }

    /// A request has ended with this status.
    pub fn request(method: impl Into<String>, path: impl Into<String>, status: impl Into<String>) -> Self {
        Self::new("request").field("method", method).field("path", path).field("status", status)
    }

    /// Something is being built, or was: `started`, `ok` or `failed`; add `ms`, `errors`, `warnings` where they are
    /// seen.
    pub fn build(state: impl Into<String>) -> Self {
        Self::new("build").field("state", state)
    }

    /// A change is taken over; add the field `file` where it is seen.
    pub fn reload() -> Self {
        Self::new("reload")
    }

    /// A database waits for migrations; add the field `count` where it is seen.
    pub fn migration_pending() -> Self {
        Self::new("migration-pending")
    }

    /// What a structured line holds, to which its fields are added.
    pub fn fields() -> Self {
        Self::new("fields")
    }

    /// The process could not listen because something else holds the port; add the field `port` where it is seen.
    pub fn port_in_use() -> Self {
        Self::new("port-in-use")
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((key.into(), value.into()));
        self
    }

    /// Returns the value of the first field with this key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// A fact and the line of the batch it was seen in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Index of the line within the batch.
    pub line: u32,
    /// What was seen there.
    pub fact: Fact,
}

/// What a plugin says about one batch: at first every line is undecided and there are no facts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdicts {
    levels: Vec<u8>,
    notes: Vec<Note>,
}

impl Verdicts {
    /// Makes verdicts for a batch of `lines` lines.
    pub fn undecided(lines: usize) -> Self {
        Self { levels: vec![0; lines], notes: Vec::new() }
    }

    /// Gives a line its level.
    ///
    /// # Panics
    /// When the batch has no such line.
    pub fn set(&mut self, line: usize, level: Level) {
        self.levels[line] = level.code();
    }

    /// Gives a line the level of the event it continues: that of the stream's last line that is not blank. Blank
    /// lines between the two belong to the event and need not be set.
    ///
    /// # Panics
    /// When the batch has no such line.
    pub fn continues(&mut self, line: usize, level: Level) {
        self.levels[line] = level.code() | CONTINUES;
    }

    /// Returns whether a line continues the event before.
    pub fn is_continued(&self, line: usize) -> bool {
        self.levels.get(line).is_some_and(|code| code & CONTINUES != 0)
    }

    /// Returns a line's level, or `None` while it is undecided or when the batch has no such line.
    pub fn level(&self, line: usize) -> Option<Level> {
        self.levels.get(line).and_then(|code| Level::from_code(code & !CONTINUES))
    }

    /// Returns the levels' codes, one per line, for plugins that fill them in themselves: 0 leaves a line undecided,
    /// and [`CONTINUES`] beside a level, or alone for an undecided line, says what [`continues`](Self::continues) does.
    pub fn codes_mut(&mut self) -> &mut [u8] {
        &mut self.levels
    }

    /// Notes a fact about a line. The host takes at most 1,024 from one batch.
    pub fn note(&mut self, line: usize, fact: Fact) {
        self.notes.push(Note { line: u32::try_from(line).unwrap_or(u32::MAX), fact });
    }

    /// Returns the facts noted so far.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Takes the verdicts apart into levels' codes and facts.
    pub fn into_parts(self) -> (Vec<u8>, Vec<Note>) {
        (self.levels, self.notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_undecided_until_set() {
        let mut verdicts = Verdicts::undecided(2);
        verdicts.set(1, Level::Warn);
        assert_eq!(
            (verdicts.level(0), verdicts.level(1), verdicts.level(2)),
            (None, Some(Level::Warn), None)
        );
        assert_eq!(verdicts.into_parts().0, [0, 4]);
    }

    #[test]
    fn a_line_that_continues_has_the_level_it_is_given() {
        let mut verdicts = Verdicts::undecided(2);
        verdicts.continues(1, Level::Error);
        assert_eq!((verdicts.level(1), verdicts.is_continued(1)), (Some(Level::Error), true));
        assert!(!verdicts.is_continued(0) && !verdicts.is_continued(2));
        verdicts.set(1, Level::Warn);
        assert!(!verdicts.is_continued(1));
    }

    #[test]
    fn facts_keep_their_fields() {
        let fact = Fact::port_in_use().field("port", "8000");
        assert_eq!(
            (fact.kind.as_str(), fact.get("port"), fact.get("url")),
            ("port-in-use", Some("8000"), None)
        );
    }
}
