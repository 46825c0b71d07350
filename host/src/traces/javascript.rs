//! Stacks of JavaScript and TypeScript, in Node and as browsers and bundlers hand them on.

use super::{Block, Frame, Scan, head, path_and_line};

/// Reads a text with at least one frame that has a line and a column.
pub(super) fn scan(lines: &[&str]) -> Option<Scan> {
    let first = lines.iter().position(|line| frame(line).is_some_and(|frame| frame.line.is_some()))?;
    let mut blocks: Vec<Block> = Vec::new();
    let mut after = 0;
    let mut before_is_frame = false;
    for (number, line) in lines.iter().enumerate() {
        let Some(frame) = frame(line).filter(|_| number >= first) else {
            before_is_frame = false;
            continue;
        };
        if !before_is_frame && opens(lines, after, number, blocks.is_empty()) {
            let above = head::above(lines, after, number);
            blocks.push(Block::of(above));
        }
        if let Some(block) = blocks.last_mut() {
            block.push(number..number + 1, frame);
        }
        (after, before_is_frame) = (number + 1, true);
    }
    Some(Scan { blocks, ..Scan::default() })
}

/// Returns whether frames from `at` on are of another error: the first, or one that a line in between calls a cause.
fn opens(lines: &[&str], after: usize, at: usize, is_first: bool) -> bool {
    is_first || lines[after..at].iter().any(|line| head::typed(line.trim()).is_some())
}

/// `at cart (/srv/shop/cart.js:3:9)`, `at async file:///srv/shop/cart.js:3:9`
fn frame(line: &str) -> Option<Frame> {
    let rest = line.trim().strip_prefix("at ")?;
    // Behind the last frame the fields of the error may begin.
    let rest = rest.strip_suffix(" {").unwrap_or(rest);
    let rest = rest.strip_prefix("async ").unwrap_or(rest);
    let (function, place) = match rest.strip_suffix(')').and_then(|rest| rest.split_once(" (")) {
        Some(parts) => parts,
        None => ("", rest),
    };
    // `eval at x (file:1:2), <anonymous>:1:1`
    let place = place.rsplit_once("), ").map_or(place, |(_, place)| place);
    let (file, line) = match path_and_line(place) {
        Some((file, line)) => (file, Some(line)),
        None if matches!(place, "<anonymous>" | "native") || place.starts_with("node:") => (place, None),
        // Of `Promise.all`.
        None if place.strip_prefix("index ").is_some_and(|index| index.parse::<u32>().is_ok()) => {
            ("native", None)
        }
        None => return None,
    };
    // Java and C# have no column.
    if line.is_some() && !place.strip_prefix(file)?.matches(':').count().eq(&2) && !file.starts_with("node:")
    {
        return None;
    }
    let function = function.strip_prefix("new ").unwrap_or(function);
    let function = function.split(" [as ").next().unwrap_or(function);
    let function = if function.ends_with("<anonymous>") { "" } else { function };
    Some(Frame { function: function.to_owned(), file: Some(path(file).to_owned()), line, ..Frame::default() })
}

/// Returns the path in what may be an address, without what is asked of a server in it.
fn path(file: &str) -> &str {
    let file = file.split('?').next().unwrap_or(file);
    let Some((scheme, rest)) = file.split_once("://") else { return file };
    match scheme {
        "file" => rest,
        "http" | "https" => rest.split_once('/').map_or(rest, |(_, path)| path),
        // webpack://shop/./src/cart.ts, webpack-internal:///./src/cart.ts
        _ => rest.split_once("./").map_or(rest, |(_, path)| path),
    }
}
