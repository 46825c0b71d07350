//! Errors as programs print them: what was raised, where, and which error it is.
//!
//! # Theory of operation
//!
//! The text of an event goes in, a [`Shape`] comes out: the type of what was raised, its message, its frames with the
//! innermost first, and its causes. Each language has a file that knows how its traces look; the first that recognises
//! the text reads it, and a text that none recognises is a message and nothing more.
//!
//! ```text
//! text ─▶ language (python, go, rust, …) ─▶ Scan: blocks of a head and frames, with the lines they stand on
//!                                            │
//!                          place: module, in-app ├─▶ Shape ─▶ Fingerprint
//!                                            └─▶ reduce: the text without the frames of libraries
//! ```
//!
//! The [`Fingerprint`] names an error however often it happens: at another line of the same function, with another pid,
//! port or id in its message. How it is made has a version, which is kept with each.
//!
//! Everything here is pure, takes time proportional to the text, and never fails: the texts are foreign.

mod fingerprint;
mod head;
mod place;
mod reduce;
mod template;

mod dotnet;
mod go;
mod java;
mod javascript;
mod php;
mod python;
mod ruby;
mod rust;

mod request;
mod route;
mod structured;

#[cfg(test)]
mod tests;

use std::ops::Range;

pub use fingerprint::{FINGERPRINT_VERSION, Fingerprint};
pub use reduce::{LeftOut, library_lines, reduce};
pub use route::write as write_route;
pub use structured::read_structured;
pub use template::{numberless, template};

use crate::bounds;

/// What an error looks like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// What was raised, such as `ValueError` or `java.lang.IllegalStateException`; empty when the text does not say.
    pub kind: String,
    /// The first line of what it says.
    pub message: String,
    /// The innermost first.
    pub frames: Vec<Frame>,
    /// What it was raised for: the nearest cause first, the root last.
    pub causes: Vec<Cause>,
}

/// An error that led to another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    pub kind: String,
    pub message: String,
}

/// One call on the way to an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// Empty when the trace does not name it.
    pub function: String,
    /// What the function is in: a class, a package, or the file below the project's directory.
    pub module: String,
    pub file: Option<String>,
    pub line: Option<u32>,
    /// It is the project's own, and no library's or runtime's.
    pub in_app: bool,
}

impl Shape {
    /// Returns the frames of the project's own code, the innermost first.
    pub fn in_app(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(|frame| frame.in_app)
    }

    /// Returns where it happened in few words, `shop/views.py in cart`: the innermost frame of the project's own, or
    /// the innermost of all.
    pub fn place(&self) -> Option<String> {
        let frame = self.in_app().next().or_else(|| self.frames.first())?;
        let line = frame.line.map(|line| format!(":{line}")).unwrap_or_default();
        let place = frame.file.as_ref().map_or(&frame.module, |file| {
            // A class says more than the bare name of the file it is in; of a file at the project's top the way there
            // says nothing.
            let is_at_top = file.strip_suffix(frame.module.as_str()).is_some_and(|way| way.ends_with('/'));
            if file.contains('/') && (frame.module.contains('/') || is_at_top) { &frame.module } else { file }
        });
        Some(match frame.function.as_str() {
            "" => format!("{place}{line}"),
            function if place.is_empty() => function.to_owned(),
            function => format!("{place}{line} in {function}"),
        })
    }
}

/// Reads the text of an event. `project` is the project's directory, where it is known.
pub fn read(text: &str, project: Option<&str>) -> Shape {
    let lines = lines_of(text);
    match scan(&lines, project) {
        Some(scan) => scan.into_shape(),
        None => {
            let first = lines.iter().find(|line| !line.trim().is_empty());
            first.and_then(|line| request::read(line)).unwrap_or_else(|| head::lone(&lines))
        }
    }
}

/// A trace with the lines it stands on.
#[derive(Debug, Default)]
struct Scan {
    blocks: Vec<Block>,
    /// Which block is what was raised in the end.
    primary: usize,
    order: Order,
}

/// Which frame of a block is printed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Order {
    #[default]
    InnermostFirst,
    InnermostLast,
}

/// One error of a trace with its frames, in the order they are printed.
#[derive(Debug, Default)]
struct Block {
    kind: String,
    message: String,
    found: Vec<Found>,
    /// It stands beside the error rather than behind it: another thread, a suppressed error.
    aside: bool,
}

/// A frame, and the lines of the text that tell of it.
#[derive(Debug)]
struct Found {
    frame: Frame,
    lines: Range<usize>,
}

impl Block {
    fn of((kind, message): (String, String)) -> Self {
        Self { kind, message, ..Self::default() }
    }

    fn push(&mut self, lines: Range<usize>, frame: Frame) {
        if self.found.len() < bounds::TRACE_FRAMES {
            self.found.push(Found { frame, lines });
        }
    }
}

impl Scan {
    /// Makes the shape of it. When no code of the project is in the frames of what was raised in the end, those of
    /// its causes tell more.
    fn into_shape(mut self) -> Shape {
        let primary = self.primary.min(self.blocks.len().saturating_sub(1));
        // Behind the error: those printed before it when the last was raised in the end, else those after it.
        let mut behind: Vec<usize> = (0..self.blocks.len()).filter(|index| *index != primary).collect();
        if self.order == Order::InnermostLast || primary + 1 == self.blocks.len() {
            behind.reverse();
        }
        behind.retain(|index| !self.blocks[*index].aside);
        let has_own = |block: &Block| block.found.iter().any(|found| found.frame.in_app);
        let telling = std::iter::once(primary)
            .chain(behind.iter().copied())
            .find(|index| self.blocks.get(*index).is_some_and(has_own))
            .unwrap_or(primary);
        let causes = behind.iter().take(bounds::TRACE_CAUSES).map(|index| &self.blocks[*index]);
        let causes =
            causes.map(|block| Cause { kind: clip(&block.kind), message: clip(&block.message) }).collect();
        let mut frames: Vec<Frame> = self
            .blocks
            .get_mut(telling)
            .map(|block| std::mem::take(&mut block.found))
            .unwrap_or_default()
            .into_iter()
            .map(|found| found.frame)
            .collect();
        if self.order == Order::InnermostLast {
            frames.reverse();
        }
        let (kind, message) = self
            .blocks
            .get(primary)
            .map(|block| (clip(&block.kind), clip(&block.message)))
            .unwrap_or_default();
        Shape { kind, message, frames, causes }
    }
}

/// Reads a text as a trace of one language, if it is one.
type Language = fn(&[&str]) -> Option<Scan>;

fn scan(lines: &[&str], project: Option<&str>) -> Option<Scan> {
    const LANGUAGES: [Language; 8] = [
        python::scan,
        go::scan,
        rust::scan,
        php::scan,
        ruby::scan,
        javascript::scan,
        java::scan,
        dotnet::scan,
    ];
    let mut scan = LANGUAGES.iter().find_map(|language| language(lines))?;
    for found in scan.blocks.iter_mut().flat_map(|block| &mut block.found) {
        place::settle(&mut found.frame, project);
    }
    Some(scan)
}

/// Returns the lines that are looked at: all of them, but of a very long text the first and the last ones.
fn lines_of(text: &str) -> Vec<&str> {
    let half = bounds::TRACE_BYTES / 2;
    if text.len() <= bounds::TRACE_BYTES {
        return text.lines().collect();
    }
    let head = &text[..text.floor_char_boundary(half)];
    let tail = &text[text.ceil_char_boundary(text.len() - half)..];
    head.lines().chain(tail.lines()).collect()
}

/// Returns the first line of `text`, no longer than what is kept of a name or message.
fn clip(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default().trim_end();
    match line.char_indices().nth(bounds::TRACE_TEXT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Reads `PATH:LINE` or `PATH:LINE:COLUMN`.
fn path_and_line(text: &str) -> Option<(&str, u32)> {
    let (rest, last) = text.rsplit_once(':')?;
    let last: u32 = last.parse().ok()?;
    match rest.rsplit_once(':') {
        Some((path, line)) if !path.is_empty() => match line.parse() {
            Ok(line) => Some((path, line)),
            Err(_) => Some((rest, last)),
        },
        _ => (!rest.is_empty()).then_some((rest, last)),
    }
}
