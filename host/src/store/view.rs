//! The bytes of one extent, read page by page as they are asked for; those of a block are unpacked on the way.
//!
//! Knows nothing of frames. What was not loaded is stale or zero: callers load before they look.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use zstd::bulk::Decompressor;

use super::block::{CHUNK_BYTES, Table};
use super::index::{Extent, Segment};
use super::unpacked::{Key, Unpacked};

/// Bytes read at the least; of a block, those that are unpacked together.
const PAGE_BYTES: usize = CHUNK_BYTES;

/// Memory that is used for one extent after the other.
#[derive(Default)]
pub(super) struct ViewBuffer {
    bytes: Vec<u8>,
    loaded: Vec<bool>,
    /// A block as it is in the file.
    block: Vec<u8>,
    table: Table,
    decompressor: Option<Decompressor<'static>>,
}

/// A stretch of a file, or what a block in it unpacks to, some pages of which are in memory.
pub(super) struct View<'a> {
    source: Source<'a>,
    length: usize,
    buffer: &'a mut ViewBuffer,
}

/// Where pages come from.
enum Source<'a> {
    /// From this place in a file on.
    Plain { file: &'a File, offset: u64 },
    /// From the block in the buffer.
    Block { epoch: u32, key: Key, kept: Option<&'a Unpacked> },
}

impl<'a> View<'a> {
    /// Returns a view of an extent, of which nothing is loaded. Pages of a block that are in `kept` are taken from
    /// there, and those that are not are left there.
    ///
    /// # Errors
    /// When it is a block that is damaged or cannot be read.
    pub fn of(
        segment: &'a Segment,
        extent: &Extent,
        epoch: u32,
        kept: Option<&'a Unpacked>,
        buffer: &'a mut ViewBuffer,
    ) -> io::Result<Self> {
        if !segment.packed {
            return Ok(Self::plain(&segment.file, extent.offset, extent.bytes as usize, buffer));
        }
        buffer.block.resize(extent.bytes as usize, 0);
        segment.file.read_exact_at(&mut buffer.block, extent.offset)?;
        buffer.table = Table::parse(&buffer.block, epoch)
            .filter(|table| Some(table.image_bytes()) == extent.image_bytes.map(|bytes| bytes as usize))
            .ok_or_else(|| io::Error::other("a damaged block"))?;
        if buffer.decompressor.is_none() {
            buffer.decompressor = Some(Decompressor::new()?);
        }
        let length = buffer.table.image_bytes();
        let key = Key { segment: segment.id, offset: extent.offset, page: 0 };
        Ok(Self::new(Source::Block { epoch, key, kept }, length, buffer))
    }

    /// Returns a view of `length` bytes of a file from `offset` on, of which nothing is loaded.
    fn plain(file: &'a File, offset: u64, length: usize, buffer: &'a mut ViewBuffer) -> Self {
        Self::new(Source::Plain { file, offset }, length, buffer)
    }

    fn new(source: Source<'a>, length: usize, buffer: &'a mut ViewBuffer) -> Self {
        if buffer.bytes.len() < length {
            buffer.bytes.resize(length, 0);
        }
        buffer.loaded.clear();
        buffer.loaded.resize(length.div_ceil(PAGE_BYTES), false);
        Self { source, length, buffer }
    }

    /// Returns how many bytes the view has.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns whether all that is loaded has been checked on the way.
    pub fn is_checked(&self) -> bool {
        matches!(self.source, Source::Block { .. })
    }

    /// Makes the bytes of `range` readable, as far as they belong to the view.
    ///
    /// # Errors
    /// Those of reading the file, also when it has become shorter; and when a part of a block is damaged, though the
    /// other parts are loaded then.
    pub fn load(&mut self, range: Range<usize>) -> io::Result<()> {
        let pages = range.start / PAGE_BYTES..range.end.min(self.length).div_ceil(PAGE_BYTES);
        match self.source {
            Source::Plain { file, offset } => self.read(file, offset, pages),
            Source::Block { epoch, key, kept } => self.unpack(epoch, key, kept, pages),
        }
    }

    /// Returns whether all bytes of `range` that belong to the view have been loaded.
    pub fn is_loaded(&self, range: Range<usize>) -> bool {
        let pages = range.start / PAGE_BYTES..range.end.min(self.length).div_ceil(PAGE_BYTES);
        self.buffer.loaded.get(pages).is_some_and(|pages| pages.iter().all(|loaded| *loaded))
    }

    /// Returns the bytes of `range`, empty when it reaches past the view; those that matter have been loaded.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.buffer.bytes[..self.length].get(range).unwrap_or_default()
    }

    fn read(&mut self, file: &File, offset: u64, pages: Range<usize>) -> io::Result<()> {
        let mut page = pages.start;
        while page < pages.end {
            if self.buffer.loaded[page] {
                page += 1;
                continue;
            }
            let missing = self.buffer.loaded[page..pages.end].iter().take_while(|&&loaded| !loaded).count();
            let bytes = page * PAGE_BYTES..((page + missing) * PAGE_BYTES).min(self.length);
            file.read_exact_at(&mut self.buffer.bytes[bytes.clone()], offset + bytes.start as u64)?;
            self.buffer.loaded[page..page + missing].fill(true);
            page += missing;
        }
        Ok(())
    }

    fn unpack(
        &mut self,
        epoch: u32,
        key: Key,
        kept: Option<&Unpacked>,
        pages: Range<usize>,
    ) -> io::Result<()> {
        let ViewBuffer { bytes, loaded, block, table, decompressor } = &mut *self.buffer;
        let Some(decompressor) = decompressor else { return Err(io::Error::other("no decompressor")) };
        let mut result = Ok(());
        for page in pages.filter(|&page| !loaded[page]).collect::<Vec<_>>() {
            let out = &mut bytes[page * PAGE_BYTES..((page + 1) * PAGE_BYTES).min(self.length)];
            let key = Key { page, ..key };
            if kept.is_some_and(|kept| kept.copy(key, out)) {
                loaded[page] = true;
            } else if table.unpack(decompressor, block, page, epoch, out).is_some() {
                loaded[page] = true;
                if let Some(kept) = kept {
                    kept.keep(key, out);
                }
            } else {
                result = Err(io::Error::other("a damaged chunk"));
            }
        }
        result
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
        let mut buffer =
            ViewBuffer { bytes: vec![0xee; PAGE_BYTES * 9], loaded: vec![true; 9], ..ViewBuffer::default() };
        let mut view = View::plain(&file, 100, content.len(), &mut buffer);
        view.load(PAGE_BYTES + 1..PAGE_BYTES + 2).unwrap();
        view.load(PAGE_BYTES * 5..usize::MAX).unwrap();
        assert_eq!(view.buffer.loaded, [false, true, false, false, false, true]);
        assert!(view.is_loaded(PAGE_BYTES + 5..PAGE_BYTES * 2) && !view.is_loaded(5..PAGE_BYTES * 2));
        assert_eq!(view.bytes(PAGE_BYTES..PAGE_BYTES * 2), &content[PAGE_BYTES..PAGE_BYTES * 2]);
        assert_eq!(view.bytes(0..1), [0xee]);
        view.load(0..content.len()).unwrap();
        assert_eq!(view.bytes(0..content.len()), content);
        assert_eq!(view.bytes(0..content.len() + 1), [0u8; 0]);
        file.set_len(PAGE_BYTES as u64).unwrap();
        View::plain(&file, 100, content.len(), &mut buffer).load(0..content.len()).unwrap_err();
    }
}
