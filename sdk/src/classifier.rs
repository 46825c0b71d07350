//! The trait behind `export_classifier!`, and what a plugin tells about itself.

use crate::{Batch, Verdicts};

/// A classifier: gives lines their level, and the host the facts in them.
///
/// A value of the type is one run's reading of its output, so state that spans batches is simply a field.
pub trait Classifier: Sized + 'static {
    /// Describes the plugin. Called once when the file is loaded.
    fn info() -> Info;

    /// Begins to read the output of a run. `config` is the user's configuration for this plugin as JSON, or empty.
    ///
    /// # Errors
    /// A sentence for the user that names what is wrong with the configuration.
    fn open(run: &Run, config: &str) -> Result<Self, String>;

    /// Looks at the next lines of one stream. Lines whose level is not set stay undecided, and the next classifier
    /// of the chain sees them.
    fn push(&mut self, batch: &Batch<'_>, verdicts: &mut Verdicts);

    /// The run has ended: facts that were still being gathered. There are no lines left to give a level to.
    fn flush(&mut self, verdicts: &mut Verdicts) {
        let _ = verdicts;
    }
}

/// The run whose output a session reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Run {
    /// The process's name in the project.
    pub process: String,
    /// The command, split into its arguments.
    pub command: Vec<String>,
}

/// Who a plugin is, for the host and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Lower-case letters, digits and dashes; unique among the loaded plugins.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// One sentence for people.
    pub description: String,
    /// JSON schema of the configuration it takes, or empty when it takes none.
    pub config_schema: String,
    /// Lines and the levels they must get.
    pub samples: Vec<Sample>,
}

impl Info {
    /// Makes a description without configuration and without samples.
    pub fn new(name: impl Into<String>, version: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            description: description.into(),
            config_schema: String::new(),
            samples: Vec::new(),
        }
    }

    /// Adds one run's lines and the levels they must get: one letter per line of `t d i w e f`, or `-` where the
    /// line stays undecided. The host and `cargo test` check them.
    #[must_use]
    pub fn sample(self, levels: &str, lines: &[&str]) -> Self {
        self.sample_of_events(levels, "", lines)
    }

    /// Adds a sample that also says which lines belong together: in `events` one character per line, `|` where it
    /// continues the event before and `-` where it does not.
    #[must_use]
    pub fn sample_of_events(mut self, levels: &str, events: &str, lines: &[&str]) -> Self {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        self.samples.push(Sample { lines, levels: levels.to_owned(), events: events.to_owned() });
        self
    }

    /// Says which configuration the plugin takes, as a JSON schema.
    #[must_use]
    pub fn config_schema(mut self, schema: impl Into<String>) -> Self {
        self.config_schema = schema.into();
        self
    }
}

/// Lines and the levels the plugin must give them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// One run's lines in order, without line ends.
    pub lines: Vec<String>,
    /// One letter per line: `t d i w e f`, or `-` for undecided.
    pub levels: String,
    /// One character per line: `|` where it continues the event before, else `-`; empty when that is not looked at.
    pub events: String,
}
