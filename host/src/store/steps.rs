//! Columns of numbers, made easy to compress: each number becomes its distance from the one before, and bytes of the
//! same weight come together.
//!
//! Pure. Line ends and times grow by little from line to line, so most of what is left are zeros, in long stretches.
//! Works chunk by chunk, so that each can be undone without the others: a number that lies across the border of two
//! chunks stays as it is, and the first of a chunk keeps its value.

use std::ops::Range;

use super::frame::{put_u32, u32_at};

/// Bytes of a number.
const BYTES: usize = 4;

/// A column of u32 in an image, by the place of its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub offset: u32,
    pub count: u32,
}

impl Numbers {
    /// Bytes of an entry in a block's data.
    pub const ENCODED_BYTES: usize = 8;

    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
    }

    /// Reads an entry; `None` when it reaches past an image of `image_bytes`.
    pub fn decode(bytes: &[u8], image_bytes: usize) -> Option<Self> {
        let numbers = Self { offset: u32_at(bytes, 0), count: u32_at(bytes, 4) };
        (numbers.range().end <= image_bytes).then_some(numbers)
    }

    fn range(self) -> Range<usize> {
        let start = self.offset as usize;
        start..start.saturating_add((self.count as usize).saturating_mul(BYTES))
    }

    /// Returns where the whole numbers of this column lie in the chunk that has this place in the image.
    fn within(self, chunk: &Range<usize>) -> Range<usize> {
        let own = self.range();
        // The first number that begins in the chunk, and behind the last that ends in it.
        let skipped = chunk.start.saturating_sub(own.start).div_ceil(BYTES) * BYTES;
        let start = (own.start + skipped).min(own.end);
        let end = own.start + own.end.min(chunk.end).saturating_sub(own.start) / BYTES * BYTES;
        if start >= end || start < chunk.start { 0..0 } else { start - chunk.start..end - chunk.start }
    }
}

/// Puts steps in place of the numbers of `columns` in a chunk that lies at `place` of its image.
pub(super) fn take_steps(chunk: &mut [u8], place: Range<usize>, columns: &[Numbers]) {
    let mut numbers = Vec::new();
    for column in columns {
        let Some(bytes) = chunk.get_mut(column.within(&place)).filter(|bytes| !bytes.is_empty()) else {
            continue;
        };
        numbers.clear();
        numbers.extend((0..bytes.len() / BYTES).map(|index| u32_at(bytes, index * BYTES)));
        let mut last = 0;
        for (index, number) in numbers.iter().enumerate() {
            let step = number.wrapping_sub(last).to_le_bytes();
            last = *number;
            (0..BYTES).for_each(|weight| bytes[weight * numbers.len() + index] = step[weight]);
        }
    }
}

/// Undoes what [`take_steps`] has done to the same chunk.
pub(super) fn add_up(chunk: &mut [u8], place: Range<usize>, columns: &[Numbers]) {
    let mut steps = Vec::new();
    for column in columns {
        let Some(bytes) = chunk.get_mut(column.within(&place)).filter(|bytes| !bytes.is_empty()) else {
            continue;
        };
        steps.clear();
        steps.extend_from_slice(bytes);
        let count = steps.len() / BYTES;
        let (first, rest) = steps.split_at(count);
        let (second, rest) = rest.split_at(count);
        let (third, fourth) = rest.split_at(count);
        let weights = first.iter().zip(second).zip(third.iter().zip(fourth));
        let mut last = 0u32;
        for (index, ((first, second), (third, fourth))) in weights.enumerate() {
            last = last.wrapping_add(u32::from_le_bytes([*first, *second, *third, *fourth]));
            put_u32(bytes, index * BYTES, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn growing_numbers_become_small_ones_by_weight() {
        let mut chunk: Vec<u8> =
            [1000u32, 1007, 1020].iter().flat_map(|number| number.to_le_bytes()).collect();
        let before = chunk.clone();
        let columns = [Numbers { offset: 0, count: 3 }];
        take_steps(&mut chunk, 0..12, &columns);
        assert_eq!(chunk, [0xe8, 7, 13, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
        add_up(&mut chunk, 0..12, &columns);
        assert_eq!(chunk, before);
    }

    #[test]
    fn a_column_past_the_image_is_damage() {
        let encoded = |numbers: Numbers| {
            let mut bytes = Vec::new();
            numbers.encode(&mut bytes);
            bytes
        };
        let whole = Numbers { offset: 8, count: 3 };
        assert_eq!(Numbers::decode(&encoded(whole), 20), Some(whole));
        assert_eq!(Numbers::decode(&encoded(whole), 19), None);
        assert_eq!(Numbers::decode(&encoded(Numbers { offset: u32::MAX, count: u32::MAX }), 100), None);
    }

    proptest! {
        #[test]
        fn any_columns_come_back_from_any_chunks(
            image in prop::collection::vec(any::<u8>(), 0..400),
            chunk_bytes in 1usize..90,
            cuts in prop::collection::vec((0usize..40, 0usize..30), 0..6),
        ) {
            // Columns that do not overlap, as those of an image.
            let mut columns = Vec::new();
            let mut from = 0;
            for (gap, count) in cuts {
                let offset = from + gap;
                if offset + count * BYTES > image.len() {
                    break;
                }
                columns.push(Numbers { offset: offset as u32, count: count as u32 });
                from = offset + count * BYTES;
            }
            let mut there = image.clone();
            for (number, chunk) in there.chunks_mut(chunk_bytes).enumerate() {
                let place = number * chunk_bytes..number * chunk_bytes + chunk.len();
                take_steps(chunk, place.clone(), &columns);
                add_up(chunk, place, &columns);
            }
            prop_assert_eq!(there, image);
        }
    }
}
