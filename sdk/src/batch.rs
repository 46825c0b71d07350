//! Lines on their way in: one buffer and its line ends. Borrows the lines and never copies them.

use std::ops::Deref;

/// Where a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stream {
    /// Standard output.
    Stdout = 1,
    /// Standard error; many programs write their ordinary log there, so it says nothing about the level.
    Stderr = 2,
}

impl Stream {
    /// Returns the stream with this number in a batch; anything but 2 is taken for standard output.
    pub const fn from_number(number: u8) -> Self {
        if number == 2 { Self::Stderr } else { Self::Stdout }
    }
}

/// Lines of one stream of one run, in the order they were printed, without their ends and without ANSI codes.
///
/// The bytes are not promised to be UTF-8.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    text: &'a [u8],
    ends: &'a [u32],
    stream: Stream,
    first_line: u64,
}

impl<'a> Batch<'a> {
    /// Borrows packed lines: line `i` is `text[ends[i - 1]..ends[i]]`, from 0 for the first.
    ///
    /// Returns `None` when `ends` does not ascend or points past the end of `text`.
    pub fn new(text: &'a [u8], ends: &'a [u32], stream: Stream, first_line: u64) -> Option<Self> {
        let fits = ends.last().is_none_or(|&last| last as usize <= text.len());
        (fits && ends.is_sorted()).then_some(Self { text, ends, stream, first_line })
    }

    /// Returns the number of lines.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there is no line at all.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the stream all the lines come from.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Returns how many lines of this run came before this batch.
    pub fn first_line(&self) -> u64 {
        self.first_line
    }

    /// Returns the packed buffer, for plugins that walk it themselves.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Returns where each line ends in [`text`](Self::text): ascending, and within it.
    pub fn ends(&self) -> &'a [u32] {
        self.ends
    }

    /// Returns the lines in order.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = Line<'a>> + use<'a> {
        let (text, mut start) = (self.text, 0);
        self.ends.iter().enumerate().map(move |(index, &end)| {
            let bytes = &text[start..end as usize];
            start = end as usize;
            Line { index, bytes }
        })
    }
}

/// One line of a batch. Use it like the bytes it stands for: `line.starts_with(b"E/")`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The line's place in its batch, as verdicts count it.
    pub index: usize,
    /// The line without its end.
    pub bytes: &'a [u8],
}

impl<'a> Line<'a> {
    /// Returns the line as text, or `None` when it is not UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes).ok()
    }

    /// Returns whether the line holds `needle` anywhere.
    pub fn has(&self, needle: &str) -> bool {
        let needle = needle.as_bytes();
        needle.is_empty() || self.bytes.windows(needle.len()).any(|window| window == needle)
    }
}

impl Deref for Line<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_their_ends() {
        let batch = Batch::new(b"onethree", &[3, 3, 8], Stream::Stderr, 7).unwrap();
        let lines: Vec<_> = batch.lines().map(|line| (line.index, line.as_str().unwrap())).collect();
        assert_eq!(lines, [(0, "one"), (1, ""), (2, "three")]);
        assert_eq!(batch.len(), 3);
    }

    #[test]
    fn ends_that_do_not_fit_are_refused() {
        assert!(Batch::new(b"abc", &[4], Stream::Stdout, 0).is_none());
        assert!(Batch::new(b"abc", &[2, 1], Stream::Stdout, 0).is_none());
        assert!(Batch::new(b"", &[], Stream::Stdout, 0).is_some());
    }

    #[test]
    fn has_finds_words_anywhere_in_bytes_of_any_encoding() {
        let line = Line { index: 0, bytes: b"\xff boom" };
        assert!(line.has("boom") && line.has("") && !line.has("bang"));
        assert_eq!(line.as_str(), None);
    }
}
