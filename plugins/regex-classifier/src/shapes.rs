//! What single lines look like: the shapes that tell whether a line belongs to the event before it.
//!
//! Only asked behind a line that began something, so never of ordinary lines. Lines are not blank here.

/// Returns whether a line can be the one that ends a traceback: a dotted name, then a colon or nothing.
pub fn is_exception(line: &[u8]) -> bool {
    let name = name_length(line);
    name > 0 && matches!(line.get(name), None | Some(b':'))
}

/// Returns whether a line names an exception by a type that says what it is, as stack traces of Java and Node.js
/// begin.
pub fn is_typed_exception(line: &[u8]) -> bool {
    let name = &line[..name_length(line)];
    let typed = [&b"Error"[..], b"Exception"].iter().any(|end| name.len() > end.len() && name.ends_with(end));
    typed && matches!(line.get(name.len()), None | Some(b':' | b' ')) || line.starts_with(b"** (")
}

fn name_length(line: &[u8]) -> usize {
    line.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$')).count()
}

pub fn is_chain(line: &[u8]) -> bool {
    line.starts_with(b"During handling of the above exception")
        || line.starts_with(b"The above exception was the direct cause")
}

pub fn is_go(line: &[u8]) -> bool {
    matches!(line[0], b'\t' | b' ')
        || [&b"goroutine "[..], b"created by ", b"[signal ", b"exit status ", b"panic: ", b"runtime.", b"..."]
            .iter()
            .any(|start| line.starts_with(start))
        || line.ends_with(b")") && line.contains(&b'(') && !line.starts_with(b"(") && is_go_call(line)
}

/// Returns whether a line is a function with its arguments: `main.(*T).f(0x1, ...)`.
fn is_go_call(line: &[u8]) -> bool {
    let name = line.iter().position(|byte| *byte == b'(').unwrap_or_default();
    &line[..name] == b"panic" || line[..name].contains(&b'.') && !line[..name].contains(&b' ')
}

pub fn starts_php(line: &[u8]) -> bool {
    line.starts_with(b"Stack trace:") || line.starts_with(b"[stacktrace]") || line.starts_with(b"#0 ")
}

pub fn is_php(line: &[u8]) -> bool {
    line[0] == b'#'
        || starts_php(line)
        || line.starts_with(b"Next ")
        || line.starts_with(b"\"}")
        || line.trim_ascii_start().starts_with(b"thrown in ")
}

/// Returns whether a line is one of the remarks that a compiler adds to a diagnostic.
pub fn is_remark(line: &[u8]) -> bool {
    line.starts_with(b"note: ") || line.starts_with(b"help: ")
}

/// Returns whether a line is one that a runtime adds to its stack trace, at its end or before its frames.
pub fn is_stack_end(line: &[u8]) -> bool {
    line.starts_with(b"Node.js v") || line.starts_with(b"File name: '") || is_remark(line)
}

/// Returns whether a line is a property of what a logger printed above, such as `    error: null`: no header, though it
/// looks like one.
pub fn is_property(line: &[u8]) -> bool {
    line.strip_prefix(b"    ")
        .is_some_and(|rest| rest.trim_ascii_start().first().is_some_and(u8::is_ascii_lowercase))
}

/// An exception as Rails tells it: a name, and its message in parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    /// `RuntimeError (boom):`
    Whole,
    /// `NameError (undefined method`: the message goes on.
    Open,
}

/// Returns whether a line is an exception as Rails tells it: `NameError (x):`, `Shop::Gone (the counter`.
pub fn exception_of_rails(line: &[u8]) -> Option<Exception> {
    let length =
        line.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_')).count();
    let (name, rest) = line.split_at(length);
    let is_name = name.first().is_some_and(u8::is_ascii_uppercase) && !name.ends_with(b":");
    if !is_name || !rest.starts_with(b" (") {
        return None;
    }
    let count = |wanted: u8| rest.iter().filter(|byte| **byte == wanted).count();
    match rest.ends_with(b"):") {
        true => Some(Exception::Whole),
        false => (count(b'(') > count(b')')).then_some(Exception::Open),
    }
}

/// Returns whether the first word of a line says by itself that it is an exception of Ruby's.
pub fn is_named_as_error(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    [&b"Error"[..], b"Exception", b"Invalid", b"NotFound", b"NotUnique"].iter().any(|end| name.ends_with(end))
}

/// Returns whether a line is a place in a file of Ruby or a template, as traces have it: `app/x.rb:3:in `f'`, of a gem
/// with its name and version before it, or with what is wrong in it: `app/x.rb:3: syntax error`.
pub fn is_place_in_ruby(line: &[u8]) -> bool {
    const FILES: [&[u8]; 4] = [b".rb:", b".erb:", b".haml:", b".slim:"];
    let find = |end: &&[u8]| Some(line.windows(end.len()).position(|window| window == *end)? + end.len() - 1);
    let Some(at) = FILES.iter().find_map(find) else { return false };
    let head = &line[..at];
    let file = match head.iter().position(|byte| *byte == b' ') {
        None => Some(head),
        Some(end) => behind_version(&head[end..]),
    };
    file.is_some_and(|file| !file.contains(&b' ')) && line.get(at + 1).is_some_and(u8::is_ascii_digit)
}

/// Returns what stands behind a version such as ` (6.1.7) `.
fn behind_version(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b" (")?;
    let close = rest.iter().position(|byte| *byte == b')')?;
    rest[close + 1..].strip_prefix(b" ")
}

/// Returns whether a line begins with a level's word, as java.util.logging puts it: `SEVERE: boarding failed`.
pub fn is_level_word(line: &[u8]) -> bool {
    let length = line.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    length > 2 && line[length..].starts_with(b":")
}

/// Returns whether a line says that an exception follows.
pub fn announces_exception(line: &[u8]) -> bool {
    line.ends_with(b":")
        || line.ends_with(b"Failed to start server")
        || line.ends_with(b"Build error occurred")
}

/// Returns whether a line says that an exception follows that nobody caught, whatever its name.
pub fn announces_uncaught(line: &[u8]) -> bool {
    line.ends_with(b"nhandled Exception:") || line.ends_with(b"nhandled exception:")
}

/// Returns whether a line begins with a port: `Port 5001 is in use by another program.`
pub fn names_port(line: &[u8]) -> bool {
    line.strip_prefix(b"Port ").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
}

/// Returns whether a line announces what Django's checks have found.
pub fn announces_checks(line: &[u8]) -> bool {
    line.ends_with(b"System check identified some issues:")
}

/// Returns whether a line is of the list of what Django's checks have found: `ERRORS:`, `shop.Order: (models.E006) x`.
pub fn is_check(line: &[u8]) -> bool {
    if let [heading @ .., b'S', b':'] = line {
        return [&b"ERROR"[..], b"WARNING", b"CRITICAL", b"INFO", b"DEBUG"].contains(&heading);
    }
    let Some(at) = line.windows(3).position(|window| window == b": (") else { return false };
    let code = line[at + 3..].split(|byte| *byte == b')').next().unwrap_or_default();
    let digits = code.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0
        && code[..code.len() - digits].last().is_some_and(u8::is_ascii_uppercase)
        && code.contains(&b'.')
}

/// Returns whether a line says more about the warning or error right before it, in words that runtimes and compilers
/// have for it.
pub fn is_hint(line: &[u8]) -> bool {
    line.starts_with(b"(Use `node --")
        || line.ends_with(b"(Location of the symbol related to previous error)")
        || line.ends_with(b"(Location of the symbol related to previous warning)")
}

pub fn opens_bracket(line: &[u8]) -> bool {
    matches!(line.last(), Some(b'{' | b'['))
}

/// Returns whether a line closes, at its very start, what an event's earlier line opened.
pub fn closes_bracket(line: &[u8]) -> bool {
    matches!(line[0], b'}' | b']')
}
