//! What a match means for its line: the few numbers that survive compilation.

/// The code of lines that take the level of the warning or error they continue.
pub const CONTINUES: u8 = 7;

/// What the winning pattern says about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The highest wins.
    pub priority: i32,
    /// The level's code, or [`CONTINUES`].
    pub level: u8,
    /// Bits of `patterns::facts`.
    pub facts: u8,
    /// A number of `patterns::Opens`.
    pub opens: u8,
}
