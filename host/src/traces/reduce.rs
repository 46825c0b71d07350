//! Traces without the frames of libraries, for readers with little room.

use std::borrow::Cow;

use super::{Found, Order, Scan, lines_of, scan};
use crate::bounds;

/// Frames that are kept of a trace none of which is the project's own: the innermost.
const KEPT: usize = 3;

/// Returns the trace with only the frames of the project's own, and a remark in place of the others:
/// `… 23 frames of libraries left out`. A text that is no trace comes back as it is.
pub fn reduce<'a>(text: &'a str, project: Option<&str>) -> Cow<'a, str> {
    // Of a longer one only a part is understood, and nothing may vanish without a remark.
    if text.len() > bounds::TRACE_BYTES {
        return Cow::Borrowed(text);
    }
    let lines = lines_of(text);
    let Some(scan) = scan(&lines, project) else { return Cow::Borrowed(text) };
    let left_out = left_out(&scan);
    if left_out.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut told: Vec<Cow<'_, str>> = Vec::with_capacity(lines.len());
    let mut at = 0;
    for run in runs(&left_out) {
        let (start, end) = (run[0].lines.start, run[run.len() - 1].lines.end);
        told.extend(lines[at..start].iter().copied().map(Cow::Borrowed));
        at = end;
        // One line is not worth another in its place.
        if end - start == 1 {
            told.push(Cow::Borrowed(lines[start]));
            continue;
        }
        let indent = &lines[start][..lines[start].len() - lines[start].trim_start().len()];
        let frames = if run.len() == 1 { "frame" } else { "frames" };
        told.push(Cow::Owned(format!("{indent}… {} {frames} of libraries left out", run.len())));
    }
    told.extend(lines[at..].iter().copied().map(Cow::Borrowed));
    Cow::Owned(told.join("\n"))
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
