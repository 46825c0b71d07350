//! The trait behind `export_classifier!`, and what a plugin tells about itself.

use crate::{Batch, Note, Stream, Verdicts};

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
    /// The command, split into its arguments; secrets in them are masked.
    pub command: Vec<String>,
    /// Where it runs, relative to the project's directory; empty for that itself, or when the host does not tell.
    pub directory: String,
    /// More, by key, as far as the host knows it: `contract` (the version it speaks), `os`, `port`, `framework` …
    pub about: Vec<(String, String)>,
}

impl Run {
    /// Returns what the host tells under this key of [`about`](Self::about).
    pub fn about(&self, key: &str) -> Option<&str> {
        self.about.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
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
        self.samples.push(Sample { events: events.to_owned(), ..Sample::new(levels, lines) });
        self
    }

    /// Adds a sample that says more: which lines are of standard error, which facts there are, what it shows.
    #[must_use]
    pub fn with_sample(mut self, sample: Sample) -> Self {
        self.samples.push(sample);
        self
    }

    /// Says which configuration the plugin takes, as a JSON schema.
    #[must_use]
    pub fn config_schema(mut self, schema: impl Into<String>) -> Self {
        self.config_schema = schema.into();
        self
    }
}

/// Lines and what the plugin must say of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// What it shows, for reports; may be empty.
    pub name: String,
    /// What the session is opened with.
    pub run: Run,
    /// The configuration it is opened with; mostly empty.
    pub config: String,
    /// One run's lines in order, without line ends.
    pub lines: Vec<String>,
    /// One letter per line: `o` standard output, `e` standard error; empty when all are of standard output.
    pub streams: String,
    /// One letter per line: `t d i w e f`, or `-` for undecided.
    pub levels: String,
    /// One character per line: `|` where it continues the event before, else `-`; empty when that is not looked at.
    pub events: String,
    /// All facts that `push` notes, in the order of their lines; none when that is not looked at.
    pub facts: Option<Vec<Note>>,
}

impl Sample {
    /// Makes a sample of levels alone.
    pub fn new(levels: &str, lines: &[&str]) -> Self {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Self { lines, levels: levels.to_owned(), ..Self::default() }
    }

    /// Returns the stream of a line.
    pub fn stream(&self, line: usize) -> Stream {
        if self.streams.as_bytes().get(line) == Some(&b'e') { Stream::Stderr } else { Stream::Stdout }
    }
}
