//! The bytes of one block of a packed segment: frames, compressed, under a head by which they can be skipped.
//!
//! Pure: bytes in, bytes out, no files. Bytes that do not check are `None`, never a panic.
//!
//! A block is itself a frame, of the kind `Block`. Its **image** is what it holds once unpacked: whole frames one after
//! the other, as a plain segment has them, though lines may be missing between two of them. The image is compressed
//! in chunks of [`CHUNK_BYTES`], each by itself and with a checksum of its own, so that a few lines cost a few chunks.
//!
//! ```text
//! head    as of every frame: first sequence, lines, times, masks of levels and streams; no run, no process
//! data    0 last sequence  8     24 bits of names  8     40 bytes of the image   8
//!         8 least run      8     32 bits of pairs  8     48 for each chunk its length u32,
//!        16 greatest run   8           (as in the index)    then for each its checksum u32
//! text    the chunks, compressed with zstd
//! ```
//!
//! Where the head's byte for columns is not zero, the table is followed by the places of columns in the image, offset
//! u32 and count u32, whose numbers `steps` has replaced before the chunks were compressed. Blocks of the second format
//! have none.

use std::ops::Range;

use zstd::bulk::{Compressor, Decompressor};

use crate::model::Seq;

use super::frame::{self, HEAD_BYTES, Head, Kind, checksum, put_u32, put_u64, u32_at, u64_at};
use super::index::Extent;
use super::steps::{self, Numbers};

/// Bytes of the image that are compressed together. Smaller ones are quicker to unpack for a single line, and take
/// more room: of ordinary log 32 KiB take 7 % more, 128 KiB 4 % less.
pub(super) const CHUNK_BYTES: usize = 64 << 10;
/// Level of compression: the lowest is the fastest, and 3 packs ordinary log but a hundredth better.
const ZSTD_LEVEL: i32 = 1;
/// Bytes of a block's data before the table of its chunks.
const FIXED_BYTES: usize = 48;
/// Bytes of the table for each chunk.
const ENTRY_BYTES: usize = 8;
/// In the head's byte for columns: places of columns follow the table.
const HAS_STEPS: u8 = 1;
/// Most bytes of an image: one frame of the greatest length.
const IMAGE_BYTES: usize = frame::BODY_BYTES + frame::HEAD_MAX_BYTES;

/// What compresses images into blocks, with the memory for it.
pub(super) struct Packer {
    compressor: Compressor<'static>,
    chunks: Vec<u8>,
    /// A chunk with its numbers replaced.
    stepped: Vec<u8>,
}

impl Packer {
    /// # Errors
    /// When there is no memory for it.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { compressor: Compressor::new(ZSTD_LEVEL)?, chunks: Vec::new(), stepped: Vec::new() })
    }

    /// Appends the block of `image`, whose frames `extent` sums up, to `out`. `columns` are columns of the image, in
    /// order, whose numbers mostly grow.
    ///
    /// # Errors
    /// When there is no memory to compress.
    pub fn encode(
        &mut self,
        out: &mut Vec<u8>,
        epoch: u32,
        image: &[u8],
        columns: &[Numbers],
        extent: &Extent,
    ) -> std::io::Result<()> {
        self.chunks.clear();
        let mut table = Vec::new();
        for (number, chunk) in image.chunks(CHUNK_BYTES).enumerate() {
            let from = self.chunks.len();
            self.chunks.resize(from + zstd::zstd_safe::compress_bound(chunk.len()), 0);
            self.stepped.clear();
            self.stepped.extend_from_slice(chunk);
            steps::take_steps(&mut self.stepped, place(number, chunk.len()), columns);
            let bytes = self.compressor.compress_to_buffer(&self.stepped[..], &mut self.chunks[from..])?;
            self.chunks.truncate(from + bytes);
            table.push((bytes as u32, checksum(epoch, &[&self.chunks[from..]])));
        }
        let start = frame::begin(out, "");
        let numbers = [
            extent.last.0,
            extent.min_run,
            extent.max_run,
            extent.names(),
            extent.pairs(),
            image.len() as u64,
        ];
        numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        table.iter().for_each(|(bytes, _)| out.extend_from_slice(&bytes.to_le_bytes()));
        table.iter().for_each(|(_, sum)| out.extend_from_slice(&sum.to_le_bytes()));
        columns.iter().for_each(|column| column.encode(out));
        out.extend_from_slice(&self.chunks);

        let head = &mut out[start..start + HEAD_BYTES];
        head[16] = Kind::Block as u8;
        head[18] = extent.levels;
        head[19] = extent.streams;
        head[20] = if columns.is_empty() { 0 } else { HAS_STEPS };
        put_u64(head, 32, extent.first.0);
        put_u32(head, 40, extent.lines);
        put_u64(head, 48, extent.min_time as u64);
        put_u64(head, 56, extent.max_time as u64);
        frame::finish(out, start, self.chunks.len(), epoch);
        Ok(())
    }
}

/// Returns where chunk `number` of so many bytes lies in its image.
fn place(number: usize, bytes: usize) -> Range<usize> {
    number * CHUNK_BYTES..number * CHUNK_BYTES + bytes
}

/// Where the chunks of a block are, checked.
#[derive(Debug, Default)]
pub(super) struct Table {
    image_bytes: usize,
    /// Where each chunk lies in the block, and its checksum.
    chunks: Vec<(Range<usize>, u32)>,
    /// Columns of the image whose numbers are steps in the chunks.
    columns: Vec<Numbers>,
}

impl Table {
    /// Reads the table of the block that `block` begins with; `None` when it is damaged or cut short.
    pub fn parse(block: &[u8], epoch: u32) -> Option<Self> {
        let head = Head::parse(block, epoch).filter(|head| head.kind == Kind::Block)?;
        let data = head.data(block, epoch)?;
        let image_bytes = usize::try_from(u64_at(data, 40)).ok().filter(|bytes| *bytes <= IMAGE_BYTES)?;
        let count = image_bytes.div_ceil(CHUNK_BYTES);
        let (entries, columns) = data.get(FIXED_BYTES..)?.split_at_checked(count * ENTRY_BYTES)?;
        let columns = match head.columns & HAS_STEPS {
            0 if columns.is_empty() => Vec::new(),
            0 => return None,
            _ => columns
                .chunks(Numbers::ENCODED_BYTES)
                .map(|entry| Numbers::decode(entry, image_bytes))
                .collect::<Option<_>>()?,
        };
        let mut offset = head.text_range().start;
        let chunks = (0..count)
            .map(|number| {
                let from = offset;
                offset = offset.checked_add(u32_at(entries, 4 * number) as usize)?;
                Some((from..offset, u32_at(entries, 4 * (count + number))))
            })
            .collect::<Option<Vec<_>>>()?;
        (offset == head.frame_bytes()).then_some(Self { image_bytes, chunks, columns })
    }

    /// Returns how many bytes the image has.
    pub fn image_bytes(&self) -> usize {
        self.image_bytes
    }

    /// Unpacks chunk `number` of `block` into `out`, which has the chunk's place in the image; `None` when the chunk is
    /// damaged.
    pub fn unpack(
        &self,
        decompressor: &mut Decompressor<'_>,
        block: &[u8],
        number: usize,
        epoch: u32,
        out: &mut [u8],
    ) -> Option<()> {
        let (range, sum) = self.chunks.get(number)?;
        let chunk = block.get(range.clone()).filter(|chunk| checksum(epoch, &[chunk]) == *sum)?;
        let bytes = decompressor.decompress_to_buffer(chunk, out).ok()?;
        if bytes != out.len() {
            return None;
        }
        steps::add_up(out, place(number, bytes), &self.columns);
        Some(())
    }

    fn checks(&self, block: &[u8], epoch: u32) -> bool {
        self.chunks.iter().all(|(range, sum)| {
            block.get(range.clone()).is_some_and(|chunk| checksum(epoch, &[chunk]) == *sum)
        })
    }
}

/// Returns whether all of `block` is there and undamaged.
pub(super) fn is_whole(block: &[u8], epoch: u32) -> bool {
    Table::parse(block, epoch).is_some_and(|table| table.checks(block, epoch))
}

/// Returns what the index says of the block at `offset`, from the block itself; `None` when its data is damaged.
pub(super) fn extent(block: &[u8], offset: u64, epoch: u32) -> Option<Extent> {
    let image_bytes = Table::parse(block, epoch)?.image_bytes;
    let head = Head::parse(block, epoch)?;
    let data = head.data(block, epoch)?;
    let number = |index: usize| u64_at(data, 8 * index);
    Extent::of_block(
        &head,
        offset,
        Seq(number(0)),
        number(1)..=number(2),
        (number(3), number(4)),
        image_bytes,
    )
}

/// Unpacks the whole image of `block` into `image`; `None` when any of it is damaged.
pub(super) fn unpack(
    block: &[u8],
    decompressor: &mut Decompressor<'_>,
    epoch: u32,
    image: &mut Vec<u8>,
) -> Option<()> {
    let table = Table::parse(block, epoch)?;
    image.resize(table.image_bytes, 0);
    let mut chunks = image.chunks_mut(CHUNK_BYTES).enumerate();
    chunks.try_for_each(|(number, out)| table.unpack(decompressor, block, number, epoch, out))
}

#[cfg(test)]
mod tests {
    use super::super::columns::{Batch, encode_lines, number_columns};
    use super::*;
    use crate::model::{ProcessName, RunId, SpoolPosition};

    const EPOCH: u32 = 7;

    /// Returns a frame of lines that is larger than a chunk.
    fn frame() -> Vec<u8> {
        let lines = 20_000;
        let process = ProcessName::new("api").unwrap();
        let batch = Batch {
            run: RunId(3),
            process: &process,
            text: &vec![b'x'; lines * 3],
            ends: &(1..=lines as u32).map(|line| line * 3).collect::<Vec<_>>(),
            levels: &vec![3; lines],
            streams: &vec![1; lines],
            flags: &vec![0; lines],
            times: &(0..lines as i64).map(|line| line * 1000).collect::<Vec<_>>(),
            position: SpoolPosition::default(),
        };
        let mut frame = Vec::new();
        encode_lines(&mut frame, EPOCH, Seq(1), &batch).unwrap();
        frame
    }

    fn packed(image: &[u8], columns: &[Numbers]) -> Vec<u8> {
        let head = Head::parse(image, EPOCH).unwrap();
        let mut block = Vec::new();
        Packer::new().unwrap().encode(&mut block, EPOCH, image, columns, &Extent::of(&head, 0)).unwrap();
        block
    }

    fn unpacked(block: &[u8]) -> Option<Vec<u8>> {
        let mut image = Vec::new();
        unpack(block, &mut Decompressor::new().unwrap(), EPOCH, &mut image)?;
        Some(image)
    }

    #[test]
    fn steps_take_less_room_and_blocks_without_them_are_still_read() {
        let image = frame();
        let columns: Vec<Numbers> = number_columns(&Head::parse(&image, EPOCH).unwrap())
            .map(|(offset, count)| Numbers { offset: offset as u32, count })
            .collect();
        assert_eq!(columns.len(), 2);
        let (second, third) = (packed(&image, &[]), packed(&image, &columns));
        assert_eq!((unpacked(&second).as_ref(), unpacked(&third).as_ref()), (Some(&image), Some(&image)));
        assert!(third.len() * 10 < second.len(), "{} and {}", third.len(), second.len());
    }
}
