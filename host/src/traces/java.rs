//! Stack traces of Java and what runs on its machine, with causes and suppressed exceptions.

use super::{Block, Frame, Scan, head};

/// Reads a text with at least one frame.
pub(super) fn scan(lines: &[&str]) -> Option<Scan> {
    lines.iter().find(|line| frame(line).is_some())?;
    let mut blocks: Vec<Block> = Vec::new();
    let mut suppressed_at = None;
    for (number, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if let Some(rest) = trimmed.strip_prefix("Suppressed: ") {
            blocks.push(Block { aside: true, ..Block::of(raised(rest)) });
            suppressed_at = Some(indent);
        } else if let Some(rest) = trimmed.strip_prefix("Caused by: ") {
            // The cause of a suppressed one stands as far to the right.
            let aside = suppressed_at.is_some_and(|at| indent >= at);
            blocks.push(Block { aside, ..Block::of(raised(rest)) });
        } else if let Some(frame) = frame(line) {
            if blocks.is_empty() {
                blocks.push(Block::of(first(lines, number)));
            }
            if let Some(block) = blocks.last_mut() {
                block.push(number..number + 1, frame);
            }
        }
    }
    Some(Scan { blocks, ..Scan::default() })
}

/// What stands above the first frame: `Exception in thread "main" java.lang.X: message`.
fn first(lines: &[&str], at: usize) -> (String, String) {
    match at.checked_sub(1).and_then(|above| lines[above].trim().strip_prefix("Exception in thread \"")) {
        Some(rest) => raised(rest.split_once("\" ").map_or(rest, |(_, raised)| raised)),
        None => head::above(lines, 0, at),
    }
}

fn raised(text: &str) -> (String, String) {
    match head::split(text.trim()) {
        Some((kind, message)) => (kind.to_owned(), message.to_owned()),
        None => head::typed(text).unwrap_or_else(|| (String::new(), text.trim().to_owned())),
    }
}

/// `at app//com.shop.Cart.add(Cart.java:12)`, `at java.base/java.lang.Thread.run(Unknown Source)`
fn frame(line: &str) -> Option<Frame> {
    let rest = line.trim().strip_prefix("at ")?;
    // Behind the place some loggers name the archive: `~[spring-web.jar:6.1]`.
    let rest = rest.split(" ~[").next().unwrap_or(rest).split(" [").next().unwrap_or(rest);
    let (name, place) = rest.strip_suffix(')')?.rsplit_once('(')?;
    let (file, line) = match place.rsplit_once(':') {
        Some((file, line)) => (file, line.parse().ok()),
        None => (place, None),
    };
    let known = ["Native Method", "Unknown Source", "<generated>"].contains(&place);
    let source = [".java", ".kt", ".scala", ".groovy", ".clj"].iter().any(|ending| file.ends_with(ending));
    if !known && !source {
        return None;
    }
    let name = name.find("$$Lambda").map_or(name, |at| &name[..at]);
    let name = name.rsplit('/').next().unwrap_or(name);
    let (class, method) = name.rsplit_once('.')?;
    // Classes made while running have a number of their own: `Cart$$SpringCGLIB$$0`.
    let class = class.split("$$").next().unwrap_or(class);
    let file = source.then(|| file.to_owned());
    Some(Frame { function: unnumbered(method), module: class.to_owned(), file, line, in_app: false })
}

/// `lambda$add$3` is the fourth one today.
fn unnumbered(method: &str) -> String {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match method.rsplit_once('$') {
        Some((name, number)) if name.starts_with("lambda$") && is_number(number) => name.to_owned(),
        _ => method.to_owned(),
    }
}
