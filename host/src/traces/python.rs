//! Tracebacks of Python: caret lines, chained exceptions, exception groups.

use super::{Block, Frame, Order, Scan, head};

/// Reads a text with a traceback, or with the place of a syntax error.
pub(super) fn scan(lines: &[&str]) -> Option<Scan> {
    if !lines.iter().any(|line| frame(bare(line).1).is_some()) {
        return None;
    }
    let mut reading = Reading::default();
    for (number, line) in lines.iter().enumerate() {
        reading.line(number, line);
    }
    reading.finish()
}

#[derive(Default)]
struct Reading {
    done: Vec<(usize, Block)>,
    block: Block,
    indent: usize,
    /// The next line that is not indented says what was raised.
    expects_head: bool,
}

impl Reading {
    fn line(&mut self, number: usize, line: &str) {
        let (indent, text) = bare(line);
        let trimmed = text.trim();
        if let Some(frame) = frame(text) {
            if self.block.found.is_empty() {
                self.indent = indent;
            }
            self.block.push(number..number + 1, frame);
            self.expects_head = true;
        } else if is_rule(trimmed) {
            self.close();
            self.expects_head = true;
        } else if trimmed.starts_with("Traceback (most recent call last)")
            || trimmed.starts_with("Exception Group Traceback (")
        {
            self.close();
            self.expects_head = false;
        } else if !trimmed.is_empty() && self.expects_head {
            if text.starts_with([' ', '\t']) {
                // The source of the frame, its carets, how often it repeats.
                if let Some(last) = self.block.found.last_mut()
                    && last.lines.end == number
                {
                    last.lines.end = number + 1;
                }
                return;
            }
            if self.block.found.is_empty() {
                self.indent = indent;
            }
            let (kind, message) = raised(trimmed);
            (self.block.kind, self.block.message) = (kind, message);
            self.close();
        }
    }

    fn close(&mut self) {
        let block = std::mem::take(&mut self.block);
        if !block.kind.is_empty() || !block.found.is_empty() {
            self.done.push((self.indent, block));
        }
        self.expects_head = false;
    }

    fn finish(mut self) -> Option<Scan> {
        self.close();
        // What is in a group stands further to the right; of a chain the last was raised in the end.
        let outermost = self.done.iter().map(|(indent, _)| *indent).min()?;
        let primary = self.done.iter().rposition(|(indent, _)| *indent == outermost)?;
        let blocks = self.done.into_iter().map(|(_, block)| block).collect();
        Some(Scan { blocks, primary, order: Order::InnermostLast })
    }
}

/// Returns a line without the marks of an exception group, and how far to the right the marks stand.
fn bare(line: &str) -> (usize, &str) {
    let (mut rest, mut indent) = (line, 0);
    loop {
        let inner = rest.trim_start();
        let marked = inner.strip_prefix('|').or_else(|| inner.strip_prefix("+ "));
        let Some(marked) = marked else { return (indent, rest) };
        indent += rest.len() - inner.len() + 1;
        rest = marked.strip_prefix(' ').unwrap_or(marked);
    }
}

/// `+---------------- 2 ----------------`, `+-+---…`: another exception of a group follows, or none.
fn is_rule(text: &str) -> bool {
    text.starts_with("+-") && text.contains("----")
}

/// `File "/srv/shop/views.py", line 12, in cart`
fn frame(text: &str) -> Option<Frame> {
    let rest = text.trim_start().strip_prefix("File \"")?;
    let (file, rest) = rest.split_once("\", line ")?;
    let (line, function) = match rest.split_once(", in ") {
        Some((line, function)) => (line, function.trim()),
        None => (rest, ""),
    };
    let line = line.trim().parse().ok()?;
    Some(Frame {
        function: function.to_owned(),
        file: Some(file.to_owned()),
        line: Some(line),
        ..Frame::default()
    })
}

/// The last line of a traceback: a type, and mostly what it says.
fn raised(line: &str) -> (String, String) {
    match head::split(line) {
        Some((kind, message)) => (kind.to_owned(), message.to_owned()),
        None => head::typed(line).unwrap_or_else(|| (String::new(), line.to_owned())),
    }
}
