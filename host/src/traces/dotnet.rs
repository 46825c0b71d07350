//! Stack traces of .NET, with inner exceptions.

use super::{Block, Frame, Scan, head};

/// Reads a text with at least one frame.
pub(super) fn scan(lines: &[&str]) -> Option<Scan> {
    let first = lines.iter().position(|line| frame(line).is_some())?;
    let mut blocks: Vec<Block> = Vec::new();
    // The errors whose frames are still to come, the innermost last.
    let mut open: Vec<usize> = Vec::new();
    let start = (0..first).rev().find(|number| is_outermost(lines[*number])).unwrap_or(0);
    for (number, line) in lines.iter().enumerate().skip(start) {
        let trimmed = line.trim();
        if let Some(frame) = frame(line) {
            if blocks.is_empty() {
                blocks.push(Block::of(head::above(lines, start, number)));
            }
            let at = open.last().copied().unwrap_or(0);
            blocks[at].push(number..number + 1, frame);
        } else if trimmed.starts_with("--- End of inner exception") {
            open.pop();
        } else if trimmed.starts_with("---> ") || (open.is_empty() && blocks.is_empty()) {
            for raised in trimmed.split("---> ").filter_map(head::typed) {
                open.push(blocks.len());
                blocks.push(Block::of(raised));
            }
        }
    }
    Some(Scan { blocks, ..Scan::default() })
}

fn is_outermost(line: &str) -> bool {
    let trimmed = line.trim();
    !trimmed.starts_with("---> ") && head::typed(trimmed).is_some()
}

/// `at Shop.Cart.Add(Int32 id) in /srv/shop/Cart.cs:line 12`
fn frame(line: &str) -> Option<Frame> {
    let rest = line.trim().strip_prefix("at ")?;
    let (call, place) = match rest.rsplit_once(") in ") {
        Some((call, place)) => (call, Some(place)),
        None => (rest.strip_suffix(')')?, None),
    };
    let (name, _) = call.split_once('(')?;
    let name = name.split('[').next().unwrap_or(name);
    let (module, function) = name.rsplit_once('.')?;
    if !head::is_name(&module.replace(['<', '>', '`', '+'], "_")) {
        return None;
    }
    let (module, function) = of_source(module, function);
    let (file, line) = match place.and_then(|place| place.rsplit_once(":line ")) {
        Some((file, line)) => (Some(file.to_owned()), line.trim().parse().ok()),
        None => (None, None),
    };
    Some(Frame { function, module, file, line, in_app: false })
}

/// What the compiler made of a method that waits, `Cart.<Add>d__3` `MoveNext`, is the method `Add`; what it made of a
/// closure, `<Add>b__0`, is in it.
fn of_source(module: &str, function: &str) -> (String, String) {
    let inner = |text: &str| {
        let (_, rest) = text.split_once('<')?;
        rest.split_once('>').map(|(name, _)| name.to_owned()).filter(|name| !name.is_empty())
    };
    let class = || {
        module
            .split_once(".<")
            .or_else(|| module.split_once("+<"))
            .map_or(module, |(class, _)| class)
            .to_owned()
    };
    match (inner(function), inner(module)) {
        (Some(name), _) => (class(), name),
        (None, Some(name)) if function == "MoveNext" => (class(), name),
        _ => (module.to_owned(), function.to_owned()),
    }
}
