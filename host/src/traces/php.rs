//! Fatal errors, warnings and uncaught exceptions of PHP.

use super::{Block, Frame, Order, Scan, head, path_and_line};

/// Reads a text in which PHP says in which file something happened, or with the stack of an exception.
pub(super) fn scan(lines: &[&str]) -> Option<Scan> {
    let mut blocks: Vec<Block> = Vec::new();
    // Where the function of the next frame was when it called on.
    let mut inside: Option<(String, Option<u32>)> = None;
    let has_frames = lines.iter().any(|line| call(line).is_some());
    for (number, line) in lines.iter().enumerate() {
        if let Some((raised, file, at)) = raised(line, has_frames) {
            let block = Block::of(raised);
            blocks.push(block);
            inside = Some((file.to_owned(), at));
        } else if let Some((place, name)) = call(line) {
            if blocks.is_empty() {
                blocks.push(Block::of(head::above(lines, 0, number)));
            }
            let (file, at) = inside.take().map_or((None, None), |(file, at)| (Some(file), at));
            inside = place.map(|(file, line)| (file.to_owned(), Some(line)));
            let (module, function) = parts(name);
            if let Some(block) = blocks.last_mut() {
                block.push(number..number + 1, Frame { function, module, file, line: at, in_app: false });
            }
        }
    }
    let last = blocks.last_mut()?;
    if last.found.is_empty()
        && let Some((file, line)) = inside
    {
        last.push(0..0, Frame { file: Some(file), line, ..Frame::default() });
    }
    let primary = blocks.len() - 1;
    Some(Scan { blocks, primary, order: Order::InnermostFirst })
}

type Raised<'a> = ((String, String), &'a str, Option<u32>);

/// `PHP Fatal error:  Uncaught RuntimeException: boom in /srv/shop/index.php:3`,
/// `PHP Warning:  Undefined variable $x in /srv/shop/index.php on line 3`
fn raised(line: &str, has_frames: bool) -> Option<Raised<'_>> {
    const KINDS: [&str; 7] = [
        "Fatal error: ",
        "Parse error: ",
        "Warning: ",
        "Notice: ",
        "Deprecated: ",
        "Recoverable fatal error: ",
        "Next ",
    ];
    let (kind, rest) = KINDS.iter().find_map(|kind| {
        let at = line.find(kind)?;
        let before = line[..at].trim_end();
        // In front of it stand `PHP`, a time, or nothing.
        (before.is_empty() || before.ends_with("PHP") || before.ends_with(']'))
            .then(|| (*kind, line[at + kind.len()..].trim()))
    })?;
    if kind == "Next " && !has_frames {
        return None;
    }
    let (message, place) = rest.rsplit_once(" in ")?;
    let (file, at) = match place.split_once(" on line ") {
        Some((file, line)) => (file, line.trim().parse().ok()),
        None => path_and_line(place).map(|(file, line)| (file, Some(line)))?,
    };
    let thrown = message.strip_prefix("Uncaught ").or((kind == "Next ").then_some(message));
    let raised = match thrown.map(|thrown| head::split(thrown).unwrap_or((thrown, ""))) {
        Some((kind, message)) => (kind.to_owned(), message.to_owned()),
        None => (format!("PHP {}", kind.trim().trim_end_matches(':')), message.to_owned()),
    };
    Some((raised, file, at))
}

type Call<'a> = (Option<(&'a str, u32)>, &'a str);

/// `#0 /srv/shop/index.php(7): Shop\Cart->add(1)`, `#1 [internal function]: f()`, `#2 {main}`
fn call(line: &str) -> Option<Call<'_>> {
    let rest = line.trim().strip_prefix('#')?;
    let (number, rest) = rest.split_once(' ')?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if rest.trim() == "{main}" {
        return Some((None, "{main}"));
    }
    let (place, name) = rest.split_once(": ")?;
    let place = place.strip_suffix(')').and_then(|place| place.rsplit_once('('));
    let place = place.and_then(|(file, line)| Some((file, line.parse().ok()?)));
    (place.is_some() || rest.starts_with("[internal function]")).then_some((place, name))
}

fn parts(name: &str) -> (String, String) {
    let name = name.split('(').next().unwrap_or(name);
    let split = name.rsplit_once("->").or_else(|| name.rsplit_once("::"));
    // A class of a library is told by its file.
    match split {
        Some((class, function)) => (String::new(), format!("{class}::{function}")),
        None => (String::new(), name.to_owned()),
    }
}
