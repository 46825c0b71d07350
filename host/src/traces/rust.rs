//! Panics of Rust, with and without a backtrace; errors with one; and what the compiler says.

use super::{Block, Frame, Scan, head, path_and_line};

/// Reads a panic, an error with a backtrace, or a diagnostic of the compiler.
pub(super) fn scan(lines: &[&str]) -> Option<Scan> {
    let panic =
        lines.iter().position(|line| line.contains("' panicked at ") || line.contains(") panicked at "));
    if let Some(at) = panic {
        return Some(panicked(lines, at));
    }
    let backtrace = |line: &str| matches!(line.trim(), "stack backtrace:" | "Stack backtrace:");
    if let Some(at) = lines.iter().position(|line| backtrace(line)) {
        let mut block = Block::of(head::typed_or_first(lines, at));
        read_frames(lines, at + 1, &mut block);
        return (!block.found.is_empty()).then(|| Scan { blocks: vec![block], ..Scan::default() });
    }
    compiled(lines)
}

fn panicked(lines: &[&str], at: usize) -> Scan {
    let (_, rest) = lines[at].split_once("panicked at ").unwrap_or_default();
    let mut block = Block { kind: "panic".to_owned(), ..Block::default() };
    // Before 1.73: `'message', src/main.rs:3:5`.
    let place = match rest.strip_prefix('\'').and_then(|rest| rest.rsplit_once("', ")) {
        Some((message, place)) => {
            block.message = message.to_owned();
            place
        }
        None => {
            block.message = lines.get(at + 1).map(|line| line.trim().to_owned()).unwrap_or_default();
            rest.trim_end().trim_end_matches(':')
        }
    };
    let frames =
        lines.iter().skip(at).position(|line| line.trim() == "stack backtrace:").map(|next| at + next + 1);
    if let Some(from) = frames {
        read_frames(lines, from, &mut block);
    }
    if block.found.is_empty()
        && let Some((file, line)) = path_and_line(place)
    {
        block.push(at..at, Frame { file: Some(file.to_owned()), line: Some(line), ..Frame::default() });
    }
    Scan { blocks: vec![block], ..Scan::default() }
}

fn read_frames(lines: &[&str], from: usize, block: &mut Block) {
    let mut number = from;
    while let Some(line) = lines.get(number) {
        let Some(name) = named(line) else {
            number += 1;
            continue;
        };
        let place = lines.get(number + 1).and_then(|next| next.trim_start().strip_prefix("at "));
        let (file, at) = match place.and_then(|place| path_and_line(place.trim())) {
            Some((file, line)) => (Some(file.to_owned()), Some(line)),
            None => (None, None),
        };
        let end = number + 1 + usize::from(place.is_some());
        let (module, function) = parts(name);
        block.push(number..end, Frame { function, module, file, line: at, in_app: false });
        number = end;
    }
}

/// `   3: shop::cart::add`, `  12:     0x55d0c0ffee - shop::main::h0123456789abcdef`
fn named(line: &str) -> Option<&str> {
    let (number, name) = line.trim().split_once(": ")?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let name = name.trim();
    let name = name.strip_prefix("0x").and_then(|rest| rest.split_once(" - ")).map_or(name, |(_, name)| name);
    (!name.is_empty()).then_some(name)
}

/// Returns what a function is in and its name, without closures and the compiler's hash.
fn parts(name: &str) -> (String, String) {
    let mut name = name;
    if let Some((rest, hash)) = name.rsplit_once("::h")
        && hash.len() == 16
        && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        name = rest;
    }
    while let Some(rest) = name.strip_suffix("::{{closure}}").or_else(|| name.strip_suffix("::{closure#0}")) {
        name = rest;
    }
    // The last `::` that is not within `<…>`.
    let mut depth = 0_i32;
    let mut split = None;
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' => depth -= 1,
            b':' if depth == 0 && name[at..].starts_with("::") => split = Some(at),
            _ => {}
        }
    }
    match split {
        Some(at) => (name[..at].to_owned(), name[at + 2..].to_owned()),
        None => (String::new(), name.to_owned()),
    }
}

/// `error[E0308]: mismatched types` above `  --> src/main.rs:3:5`
fn compiled(lines: &[&str]) -> Option<Scan> {
    let at = lines.iter().position(|line| line.trim_start().starts_with("--> "))?;
    let (kind, message) = lines[..at].iter().rev().find_map(|line| {
        let (kind, message) = line.trim().split_once(": ")?;
        ["error", "warning"]
            .iter()
            .any(|word| kind.starts_with(word))
            .then(|| (kind.to_owned(), message.to_owned()))
    })?;
    let (file, line) = path_and_line(lines[at].trim_start().strip_prefix("--> ")?.trim())?;
    let mut block = Block::of((kind, message));
    block.push(at..at, Frame { file: Some(file.to_owned()), line: Some(line), ..Frame::default() });
    Some(Scan { blocks: vec![block], ..Scan::default() })
}
