//! The fuzz target of the frames of a log: see [`crate::fuzz`].

use zstd::bulk::Decompressor;

use super::block;
use super::columns::Lines;
use super::frame::{HEAD_BYTES, Head, Kind, MAGIC, TEXT_BLOCK_BYTES, checksum, finish, put_u32};
use super::segment::decode_positions;

/// The epoch of the log that the frames are of.
const EPOCH: u32 = 7;
/// Most bytes that a block of a target may say it unpacks to.
const IMAGE_BYTES: usize = 1 << 20;

/// Foreign bytes as a frame, as they are and with checksums that fit: no line is read from beyond the text.
pub fn fuzz_frame(bytes: &[u8]) {
    read(bytes);
    if let Some(frame) = with_checksums(bytes) {
        read(&frame);
    }
}

/// Makes foreign bytes pass all checksums, so that what lies behind those is reached too.
fn with_checksums(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut frame = bytes.to_vec();
    let name = usize::from(*frame.get(17)?);
    let body = frame.len().checked_sub(HEAD_BYTES + name)?;
    frame[..4].copy_from_slice(&MAGIC);
    // A head says how much of the body is text; more than all is cut short.
    let text = (super::frame::u32_at(&frame, 44) as usize).min(body);
    let sums = 4 * text.div_ceil(TEXT_BLOCK_BYTES);
    let data_end = frame.len() - text;
    if let Some(start) = data_end.checked_sub(sums).filter(|start| *start >= HEAD_BYTES + name) {
        let (data, text) = frame.split_at_mut(data_end);
        for (number, block) in text.chunks(TEXT_BLOCK_BYTES).enumerate() {
            put_u32(data, start + 4 * number, checksum(EPOCH, &[block]));
        }
    }
    finish(&mut frame, 0, text, EPOCH);
    Some(frame)
}

fn read(frame: &[u8]) {
    let Some(head) = Head::parse(frame, EPOCH) else { return };
    assert!(head.head_bytes() <= frame.len() && head.next() >= head.first);
    let Some(data) = head.data(frame, EPOCH) else { return };
    assert!(head.is_whole(frame, EPOCH) || head.text_bytes > 0);
    match head.kind {
        Kind::Lines => lines(&head, frame),
        Kind::Positions => assert!(decode_positions(data).count() <= data.len()),
        Kind::Index => {}
        Kind::Block => {
            let _ = (block::is_whole(frame, EPOCH), block::extent(frame, 0, EPOCH));
            let is_small = |table: &block::Table| table.image_bytes() <= IMAGE_BYTES;
            if block::Table::parse(frame, EPOCH).as_ref().is_some_and(is_small) {
                let mut decompressor = Decompressor::new().expect("memory to unpack");
                let _ = block::unpack(frame, &mut decompressor, EPOCH, &mut Vec::new());
            }
        }
    }
}

fn lines(head: &Head<'_>, frame: &[u8]) {
    let Some(lines) = Lines::parse(head, frame) else { return };
    assert_eq!(lines.len(), head.lines as usize);
    for index in 0..lines.len() {
        assert!(lines.line(index).len() <= lines.text.len());
        assert!(lines.level(index) < 8 && lines.stream(index) < 8);
        let _ =
            (lines.time(index), lines.flag_bits(index), lines.is_partial(index), lines.is_continued(index));
        // Behind the last one where the ends are in no order.
        assert!(lines.line_at(lines.start(index), 0) <= lines.len());
    }
}
