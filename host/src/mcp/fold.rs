//! Which lines of a log are told as one: repeats, what differs in numbers alone, progress that overwrites itself, and
//! frames of libraries.
//!
//! Each line is in exactly one entry, and entries are in order, so that a reader who has seen one has dealt with all its
//! lines. Nothing serious is folded with what only looks like it. Never sees how much room there is.

use crate::api::{Part, reduced};
use crate::model::{Level, Line, Seq, Stream};
use crate::traces;

use super::budget;
use super::text::{self, clean_within};

/// How much is told of what a log repeats.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look<'a> {
    /// The project's directory, where it is known: what lies below it is no library.
    pub project: Option<&'a str>,
    /// Traces with the frames of libraries; for lines that are not whole events too, such as those a search found.
    pub whole_traces: bool,
    /// Every line that is not the same as the one before it to the letter.
    pub every_line: bool,
}

/// Fewest lines in a row that differ in numbers alone and are folded.
const ALIKE: usize = 3;
/// Words in lines that are never folded with others like them: each tells of something of its own.
const SERIOUS: [&str; 6] = ["error", "exception", "panic", "fatal", "fail", "traceback"];

/// Lines that are told as one.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// The line whose time, level and source are told.
    pub first: &'a Line,
    pub last: Seq,
    /// How many of the given lines it stands for.
    pub lines: usize,
    pub text: String,
    pub mark: Mark,
}

/// How the lines of an entry relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// There is one, or they are parts of one.
    None,
    /// They are the same: so often.
    Same(usize),
    /// They differ in numbers alone: so many.
    Alike(usize),
    /// Lines of a trace that tell of libraries.
    Libraries,
}

impl Mark {
    /// Returns what stands behind the text.
    pub fn words(self) -> String {
        match self {
            Self::None | Self::Libraries => String::new(),
            Self::Same(times) => format!(" (×{})", text::grouped(times)),
            Self::Alike(lines) => format!(" (×{} alike)", text::grouped(lines)),
        }
    }
}

/// Folds `lines`, given in order; each text takes at most `limit` estimated tokens.
pub fn fold<'a>(lines: &'a [Line], limit: usize, look: Look<'_>) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'a>> = Vec::with_capacity(lines.len());
    let parts = if look.whole_traces { Vec::new() } else { reduced(lines, look.project) };
    let mut parts = parts.into_iter();
    for line in lines {
        match (parts.next().unwrap_or(Part::Told), entries.last_mut()) {
            // It is counted by the remark, which may be further up when lines of another stream came between.
            (Part::LeftOut, Some(before)) => {
                before.lines += 1;
                before.last = line.seq;
            }
            (Part::Remark(remark), _) => {
                let text = clean_within(&remark, limit);
                entries.push(Entry { text, mark: Mark::Libraries, ..Entry::of(line) });
            }
            (_, before) => {
                let entry = Entry { text: clean_within(&line.text, limit), ..Entry::of(line) };
                match before {
                    Some(before) if before.is_overwritten_by(line) => {
                        *before = Entry { lines: before.lines + 1, ..entry };
                    }
                    Some(before) if before.repeats(&entry) => before.add_same(&entry),
                    _ => entries.push(entry),
                }
            }
        }
    }
    if look.every_line { entries } else { fold_alike(entries) }
}

impl<'a> Entry<'a> {
    fn of(line: &'a Line) -> Self {
        Self { first: line, last: line.seq, lines: 1, text: String::new(), mark: Mark::None }
    }

    fn repeats(&self, next: &Entry<'_>) -> bool {
        matches!(self.mark, Mark::None | Mark::Same(_))
            && (self.lines == 1 || self.mark != Mark::None)
            && self.text == next.text
            && is_same_source(self.first, next.first)
    }

    fn add_same(&mut self, next: &Entry<'_>) {
        self.lines += next.lines;
        self.last = next.last;
        self.mark = Mark::Same(self.lines);
    }

    /// A piece of a line that was told before its end, as a progress bar is drawn piece by piece: the next piece takes
    /// its place when a carriage return stands between what is seen of the two.
    fn is_overwritten_by(&self, next: &Line) -> bool {
        let before = self.first;
        let is_next_piece = before.partial
            && (before.run, before.stream) == (next.run, next.stream)
            && before.stream != Stream::Ostler;
        is_next_piece && (text::returns(&next.text) || text::ends_with_return(&before.text))
    }

    /// Returns what stays the same of lines like it; nothing when it is to be told by itself.
    fn pattern(&self) -> Option<String> {
        let line = self.first;
        let is_one = self.lines == 1 && self.mark == Mark::None;
        if !is_one
            || line.continues
            || line.partial
            || line.level >= Level::Error
            || line.stream == Stream::Ostler
        {
            return None;
        }
        let lower = self.text.to_ascii_lowercase();
        if !lower.bytes().any(|byte| byte.is_ascii_digit()) || SERIOUS.iter().any(|word| lower.contains(word))
        {
            return None;
        }
        Some(format!("{}\n{}", traces::numberless(&self.text), statuses(&self.text)))
    }
}

fn is_same_source(one: &Line, other: &Line) -> bool {
    one.run == other.run
        && one.level == other.level
        && one.process == other.process
        && (one.stream == Stream::Ostler) == (other.stream == Stream::Ostler)
}

/// Joins entries in a row that differ in numbers alone, where that saves anything.
fn fold_alike(entries: Vec<Entry<'_>>) -> Vec<Entry<'_>> {
    let patterns: Vec<Option<String>> = entries.iter().map(Entry::pattern).collect();
    let mut folded: Vec<Entry<'_>> = Vec::with_capacity(entries.len());
    let mut from = 0;
    while from < entries.len() {
        let alike = |at: &usize| {
            patterns[*at].is_some()
                && patterns[*at] == patterns[from]
                && is_same_source(entries[*at].first, entries[from].first)
        };
        let until = (from + 1..entries.len()).find(|at| !alike(at)).unwrap_or(entries.len());
        let row = &entries[from..until];
        let mark = Mark::Alike(row.len());
        let cost = |text: &str| budget::json_string_tokens(text);
        let apart = || row.iter().map(|entry| cost(&entry.text)).sum::<usize>();
        if row.len() >= ALIKE && cost(&row[0].text) + cost(&mark.words()) < apart() {
            let last = row[row.len() - 1].last;
            folded.push(Entry { last, lines: row.len(), mark, ..row[0].clone() });
        } else {
            folded.extend_from_slice(row);
        }
        from = until;
    }
    folded
}

/// Returns the numbers of a line that may be answers of a server: a 500 among 200s is not like them.
fn statuses(text: &str) -> String {
    const WORDS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "HTTP"];
    let tells_status =
        WORDS.iter().any(|word| text.contains(word)) || text.to_ascii_lowercase().contains("status");
    let is_status = |word: &&str| word.len() == 3 && matches!(word.parse(), Ok(100..=599_u16));
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let statuses: Vec<&str> = words.filter(|_| tells_status).filter(is_status).collect();
    statuses.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::line;
    use super::*;

    fn entries(lines: &[Line], full: bool) -> Vec<String> {
        let look = Look { project: None, whole_traces: full, every_line: full };
        let entries = fold(lines, 1000, look);
        assert_eq!(entries.iter().map(|entry| entry.lines).sum::<usize>(), lines.len());
        entries.iter().map(|entry| format!("{}{}", entry.text, entry.mark.words())).collect()
    }

    fn info(texts: &[&str]) -> Vec<Line> {
        (1..).zip(texts).map(|(seq, text)| line(seq, 0, Level::Info, text)).collect()
    }

    #[test]
    fn lines_that_differ_in_numbers_alone_are_told_once() {
        let lines = info(&[
            "job 1 took 3.5ms",
            "job 2 took 4.1ms",
            "job 12 took 12ms",
            "done at 2026-11-20 08:29:25,123",
            "done at 2026-11-20 08:29:26,900",
        ]);
        assert_eq!(
            entries(&lines, false),
            [
                "job 1 took 3.5ms (×3 alike)",
                "done at 2026-11-20 08:29:25,123",
                "done at 2026-11-20 08:29:26,900"
            ]
        );
        assert_eq!(entries(&lines, true).len(), 5);
    }

    #[test]
    fn nothing_but_numbers_makes_lines_alike() {
        for texts in [
            ["GET /a 200", "GET /b 200", "GET /c 200"],
            ["user 'a' 1", "user 'b' 2", "user 'c' 3"],
            ["GET /x/1 200 in 3 ms", "GET /x/2 500 in 3 ms", "GET /x/3 200 in 4 ms"],
            ["{\"status\":200,\"n\":1}", "{\"status\":404,\"n\":2}", "{\"status\":200,\"n\":3}"],
            ["an error 1", "an error 2", "an error 3"],
        ] {
            assert_eq!(entries(&info(&texts), false), texts);
        }
        let alike = ["GET /x/1 200 in 3 ms", "GET /x/2 200 in 5 ms", "GET /x/3 200 in 4 ms"];
        assert_eq!(entries(&info(&alike), false), ["GET /x/1 200 in 3 ms (×3 alike)"]);
    }

    #[test]
    fn errors_and_remarks_of_ostlers_own_are_each_told() {
        let texts = ["lost 1", "lost 2", "lost 3"];
        let mut lines = info(&texts);
        lines.iter_mut().for_each(|line| line.level = Level::Error);
        assert_eq!(entries(&lines, false), texts);
        let mut lines = info(&texts);
        lines.iter_mut().for_each(|line| line.stream = Stream::Ostler);
        assert_eq!(entries(&lines, false), texts);
        let mut lines = info(&texts);
        lines[1].level = Level::Warn;
        assert_eq!(entries(&lines, false), texts);
    }

    #[test]
    fn pieces_of_a_progress_bar_are_told_as_its_last_state() {
        let mut lines = info(&["\r10%", "\r10%", "\r20%", "\r100%\r", "done", "next"]);
        lines[..4].iter_mut().for_each(|line| line.partial = true);
        assert_eq!(entries(&lines, false), ["done", "next"]);
        assert_eq!(entries(&lines, true), ["done", "next"]);
        // A prompt and its answer are both to be seen.
        let mut lines = info(&["name? ", "bob"]);
        lines[0].partial = true;
        assert_eq!(entries(&lines, false), ["name? ", "bob"]);
        // Another stream overwrites nothing.
        let mut lines = info(&["10%", "\r20%"]);
        lines[0].partial = true;
        lines[1].stream = Stream::Stderr;
        assert_eq!(entries(&lines, false), ["10%", "20%"]);
    }

    #[test]
    fn frames_of_libraries_are_told_by_a_remark_unless_all_is_asked_for() {
        let mut lines = info(&[
            "TypeError: x",
            "    at cart (/srv/shop/src/cart.js:3:9)",
            "    at a (/srv/shop/node_modules/express/a.js:95:5)",
            "    at b (/srv/shop/node_modules/express/b.js:149:13)",
            "after",
        ]);
        lines[1..4].iter_mut().for_each(|line| line.continues = true);
        let told = entries(&lines, false);
        assert_eq!(told[2..], ["    … 2 frames of libraries left out", "after"]);
        assert_eq!(entries(&lines, true).len(), 5);
    }
}
