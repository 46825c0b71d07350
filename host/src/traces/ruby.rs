//! Backtraces of Ruby, and of Rails with its blank lines.

use super::{Block, Frame, Order, Scan, head};

/// Reads a text with at least one frame.
pub(super) fn scan(lines: &[&str]) -> Option<Scan> {
    let first = lines.iter().position(|line| frame(line).is_some())?;
    let newest_last = lines.iter().any(|line| line.starts_with("Traceback (most recent call last)"));
    let mut blocks: Vec<Block> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let Some((frame, rest)) = frame(line) else { continue };
        match raised_in_place(rest) {
            // Of a chain each error begins with the place it was raised at.
            Some(raised) if !newest_last => blocks.push(Block::of(raised)),
            Some((kind, message)) => {
                let block = blocks.last_mut().filter(|block| block.kind.is_empty());
                match block {
                    Some(block) => (block.kind, block.message) = (kind, message),
                    None => blocks.push(Block::of((kind, message))),
                }
            }
            None if blocks.is_empty() && newest_last => blocks.push(Block::default()),
            None if blocks.is_empty() => blocks.push(Block::of(above(lines, first))),
            None => {}
        }
        if let Some(block) = blocks.last_mut() {
            block.push(number..number + 1, frame);
        }
    }
    let order = if newest_last { Order::InnermostLast } else { Order::InnermostFirst };
    Some(Scan { blocks, primary: 0, order })
}

/// `app.rb:3:in 'cart': boom (RuntimeError)`: what follows the frame.
fn raised_in_place(rest: &str) -> Option<(String, String)> {
    let rest = rest.strip_prefix(": ")?.trim();
    match rest.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
        Some((message, kind)) if head::is_name(kind) => Some((kind.to_owned(), message.to_owned())),
        _ => Some((String::new(), rest.to_owned())),
    }
}

/// What stands above frames that do not say it: `RuntimeError (boom):`.
fn above(lines: &[&str], first: usize) -> (String, String) {
    let closes = |line: &&str| line.trim_end().ends_with("):");
    let last = lines[..first].iter().rposition(closes);
    last.and_then(|last| raised_by_rails(&lines[..=last])).unwrap_or_else(|| head::above(lines, 0, first))
}

/// Reads the error that the last of these lines ends, of whose message the first line is told: it may have several.
fn raised_by_rails(lines: &[&str]) -> Option<(String, String)> {
    // A class is a constant.
    let is_class = |kind: &str| kind.starts_with(|c: char| c.is_ascii_uppercase()) && head::is_name(kind);
    let (last, before) = lines.split_last()?;
    if let Some((kind, message)) = last.trim().strip_suffix("):")?.split_once(" (")
        && let Some(kind) = kind.split_whitespace().next_back().filter(|kind| is_class(kind))
    {
        return Some((kind.to_owned(), message.to_owned()));
    }
    before.iter().rev().find_map(|line| {
        let (kind, message) = line.split_once(" (")?;
        is_class(kind).then(|| (kind.to_owned(), message.trim_end().to_owned()))
    })
}

/// Reads `from /srv/shop/app.rb:12:in 'block in cart'`; returns what follows it, too.
fn frame(line: &str) -> Option<(Frame, &str)> {
    let text = line.trim();
    // `3: from …` of Ruby 2.5 to 2.7
    let text = text
        .split_once(": from ")
        .filter(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()))
        .map_or(text, |(_, rest)| rest);
    let text = text.strip_prefix("from ").unwrap_or(text);
    let (place, rest) = text.split_once(":in ")?;
    let rest = rest.strip_prefix(['`', '\'', '"'])?;
    let (function, rest) = rest.split_at_checked(rest.find(['\'', '"'])?)?;
    let (file, line) = place.rsplit_once(':')?;
    let line = line.parse().ok()?;
    let frame = Frame {
        function: named(function),
        file: Some(file.to_owned()),
        line: Some(line),
        ..Frame::default()
    };
    Some((frame, &rest[1..]))
}

/// `block (2 levels) in cart` is in `cart`.
fn named(function: &str) -> String {
    let name = function.rsplit_once(" in ").map_or(function, |(_, name)| name);
    name.to_owned()
}
