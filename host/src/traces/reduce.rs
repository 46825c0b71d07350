//! Traces without the frames of libraries, for readers with little room.

use std::borrow::Cow;
use std::ops::Range;

use super::{Found, Order, Scan, lines_of, scan};
use crate::bounds;

/// Frames that are kept of a trace none of which is the project's own: the innermost.
const KEPT: usize = 3;

/// Neighbouring lines of a trace that tell of libraries only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which lines of the text, two at least.
    pub lines: Range<usize>,
    /// What stands in their place: `… 23 frames of libraries left out`, indented as the first of them.
    pub remark: String,
}

/// Returns the trace with only the frames of the project's own, and a remark in place of the others:
/// `… 23 frames of libraries left out`. A text that is no trace comes back as it is.
pub fn reduce<'a>(text: &'a str, project: Option<&str>) -> Cow<'a, str> {
    let left_out = library_lines(text, project);
    if left_out.is_empty() {
        return Cow::Borrowed(text);
    }
    let lines = lines_of(text);
    let mut told: Vec<&str> = Vec::with_capacity(lines.len());
    let mut at = 0;
    for part in &left_out {
        told.extend(&lines[at..part.lines.start]);
        told.push(&part.remark);
        at = part.lines.end;
    }
    told.extend(&lines[at..]);
    Cow::Owned(told.join("\n"))
}

/// Returns which lines of a text [`reduce`] leaves out, in order; none of a text that is no trace.
pub fn library_lines(text: &str, project: Option<&str>) -> Vec<LeftOut> {
    // Of a longer one only a part is understood, and nothing may vanish without a remark.
    if text.len() > bounds::TRACE_BYTES {
        return Vec::new();
    }
    let lines = lines_of(text);
    let Some(scan) = scan(&lines, project) else { return Vec::new() };
    let frames = left_out(&scan);
    // One line is not worth another in its place.
    let runs = runs(&frames).map(|run| (run[0].lines.start..run[run.len() - 1].lines.end, run.len()));
    runs.filter(|(lines, _)| lines.len() > 1)
        .map(|(range, count)| {
            let first = lines[range.start];
            let indent = &first[..first.len() - first.trim_start().len()];
            let frames = if count == 1 { "frame" } else { "frames" };
            LeftOut { lines: range, remark: format!("{indent}… {count} {frames} of libraries left out") }
        })
        .collect()
}

/// Returns the frames to leave out, in the order of their lines.
fn left_out(scan: &Scan) -> Vec<&Found> {
    let has_own = scan.blocks.iter().any(|block| block.found.iter().any(|found| found.frame.in_app));
    let mut left_out = Vec::new();
    for (index, block) in scan.blocks.iter().enumerate() {
        let count = block.found.len();
        let innermost = |place: usize| match scan.order {
            Order::InnermostFirst => place < KEPT,
            Order::InnermostLast => place + KEPT >= count,
        };
        let keep = |place: usize, found: &Found| {
            found.frame.in_app || (!has_own && index == scan.primary && innermost(place))
        };
        left_out.extend(
            block
                .found
                .iter()
                .enumerate()
                .filter(|(place, found)| !keep(*place, found))
                .map(|(_, found)| found),
        );
    }
    left_out.retain(|found| !found.lines.is_empty());
    left_out.sort_by_key(|found| found.lines.start);
    // Two frames on one line are one to leave out.
    left_out.dedup_by(|next, before| next.lines.start < before.lines.end);
    left_out
}

/// Returns the runs of frames that follow each other without a line between.
fn runs<'f>(frames: &'f [&'f Found]) -> impl Iterator<Item = &'f [&'f Found]> {
    frames.chunk_by(|before, next| before.lines.end == next.lines.start)
}
