//! Panics of Go, with the stacks of all its goroutines.

use super::{Block, Frame, Scan, path_and_line};

/// Reads a text with the stack of a goroutine.
pub(super) fn scan(lines: &[&str]) -> Option<Scan> {
    let first = lines.iter().position(|line| is_goroutine(line))?;
    let mut blocks: Vec<Block> = Vec::new();
    for (number, line) in lines.iter().enumerate().skip(first) {
        if is_goroutine(line) {
            // The first one failed, the others were there.
            let block = Block::of(if blocks.is_empty() { raised(lines, first) } else { Default::default() });
            blocks.push(Block { aside: !blocks.is_empty(), ..block });
            continue;
        }
        let place = lines
            .get(number + 1)
            .and_then(|next| next.strip_prefix('\t').or_else(|| next.strip_prefix("    ")));
        let (Some(block), Some(place)) = (blocks.last_mut(), place) else { continue };
        if let Some(frame) = frame(line, place) {
            block.push(number..number + 2, frame);
        }
    }
    Some(Scan { blocks, ..Scan::default() })
}

fn is_goroutine(line: &str) -> bool {
    line.trim_start().strip_prefix("goroutine ").is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains('[') && rest.trim_end().ends_with(':')
    })
}

/// `panic: runtime error: index out of range [5]`; of several the last is what ended it.
fn raised(lines: &[&str], first: usize) -> (String, String) {
    let found = lines[..first].iter().rev().find_map(|line| {
        let line = line.trim();
        let at = |word: &str| line.find(word).map(|at| line[at + word.len()..].trim());
        if let Some(message) = at("panic: runtime error: ") {
            return Some(("runtime error", message));
        }
        at("panic: ")
            .map(|message| ("panic", message))
            .or_else(|| at("fatal error: ").map(|message| ("fatal error", message)))
    });
    let (kind, message) = found.unwrap_or_else(|| {
        ("", lines[..first].iter().map(|line| line.trim()).find(|line| !line.is_empty()).unwrap_or_default())
    });
    let message = message.split(" [recovered").next().unwrap_or(message);
    (kind.to_owned(), message.to_owned())
}

/// `example.com/shop/cart.(*Cart).Add(0xc000012345, 0x2)` above `\t/srv/shop/cart/cart.go:12 +0x1d`
fn frame(call: &str, place: &str) -> Option<Frame> {
    let place = place.trim();
    let place = place.split(" +0x").next().unwrap_or(place);
    let (file, line) = path_and_line(place)?;
    let call = call.trim().strip_prefix("created by ").unwrap_or(call.trim());
    let call = call.split(" in goroutine ").next().unwrap_or(call);
    let name = if call.ends_with(')') { call.rfind('(').map_or(call, |at| &call[..at]) } else { call };
    if name.is_empty() || name.contains(' ') {
        return None;
    }
    // The package ends at the first dot behind its path.
    let path = name.rfind('/').map_or(0, |at| at + 1);
    let (module, function) = match name[path..].find('.') {
        Some(dot) => (&name[..path + dot], &name[path + dot + 1..]),
        None => ("runtime", name),
    };
    let function = function.replace("[...]", "");
    Some(Frame {
        function,
        module: module.to_owned(),
        file: Some(file.to_owned()),
        line: Some(line),
        in_app: false,
    })
}
