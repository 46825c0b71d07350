//! The bytes of one extent, read page by page as they are asked for.
//!
//! Knows nothing of frames. What was not loaded is stale or zero: callers load before they look.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Bytes read at the least.
const PAGE_BYTES: usize = 32 << 10;

/// Memory that is used for one extent after the other.
#[derive(Debug, Default)]
pub(super) struct ViewBuffer {
    bytes: Vec<u8>,
    loaded: Vec<bool>,
}

/// A stretch of a file, some pages of which are in memory.
#[derive(Debug)]
pub(super) struct View<'a> {
    file: &'a File,
    /// Where the stretch begins in the file.
    offset: u64,
    length: usize,
    buffer: &'a mut ViewBuffer,
}

impl<'a> View<'a> {
    /// Returns a view of `length` bytes from `offset` on, of which nothing is loaded.
    pub fn new(file: &'a File, offset: u64, length: usize, buffer: &'a mut ViewBuffer) -> Self {
        if buffer.bytes.len() < length {
            buffer.bytes.resize(length, 0);
        }
        buffer.loaded.clear();
        buffer.loaded.resize(length.div_ceil(PAGE_BYTES), false);
        Self { file, offset, length, buffer }
    }

    /// Returns how many bytes the view has.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Makes the bytes of `range` readable, as far as they belong to the view.
    ///
    /// # Errors
    /// Those of reading the file, also when it has become shorter.
    pub fn load(&mut self, range: Range<usize>) -> io::Result<()> {
        let end = range.end.min(self.length).div_ceil(PAGE_BYTES);
        let mut page = range.start / PAGE_BYTES;
        while page < end {
            if self.buffer.loaded[page] {
                page += 1;
                continue;
            }
            let missing = self.buffer.loaded[page..end].iter().take_while(|&&loaded| !loaded).count();
            let bytes = page * PAGE_BYTES..((page + missing) * PAGE_BYTES).min(self.length);
            self.file
                .read_exact_at(&mut self.buffer.bytes[bytes.clone()], self.offset + bytes.start as u64)?;
            self.buffer.loaded[page..page + missing].fill(true);
            page += missing;
        }
        Ok(())
    }

    /// Returns the bytes of `range`, empty when it reaches past the view; those that matter have been loaded.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.buffer.bytes[..self.length].get(range).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pages_asked_for_are_read() {
        let file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..PAGE_BYTES * 5 + 10).map(|place| (place / 7) as u8).collect();
        file.write_all_at(&content, 100).unwrap();
        let mut buffer = ViewBuffer { bytes: vec![0xee; PAGE_BYTES * 9], loaded: vec![true; 9] };
        let mut view = View::new(&file, 100, content.len(), &mut buffer);
        view.load(PAGE_BYTES + 1..PAGE_BYTES + 2).unwrap();
        view.load(PAGE_BYTES * 5..usize::MAX).unwrap();
        assert_eq!(view.buffer.loaded, [false, true, false, false, false, true]);
        assert_eq!(view.bytes(PAGE_BYTES..PAGE_BYTES * 2), &content[PAGE_BYTES..PAGE_BYTES * 2]);
        assert_eq!(view.bytes(0..1), [0xee]);
        view.load(0..content.len()).unwrap();
        assert_eq!(view.bytes(0..content.len()), content);
        assert_eq!(view.bytes(0..content.len() + 1), [0u8; 0]);
        file.set_len(PAGE_BYTES as u64).unwrap();
        View::new(&file, 100, content.len(), &mut buffer).load(0..content.len()).unwrap_err();
    }
}
