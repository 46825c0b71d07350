//! Finds, in one pass over a line, the few places where a rule may apply.
//!
//! # Theory of operation
//!
//! Each rule has an *anchor*: a few bytes that stand in all it matches, letters in either case. Bytes are folded to
//! six bits, which drops the case of letters and little else, so that a pair of bytes is an index of twelve bits into
//! one table of 16 KiB. An entry has a bit per bucket of anchors for "this pair may begin an anchor", and another for
//! "this pair may follow such a beginning". The text is looked at in pairs at even places only: an anchor at an even
//! place shows its bytes 0 1 and 2 3, one at an odd place its bytes 1 2 and 3 4. Two neighbours that fit in one
//! bucket are a candidate. Most of these join the beginning of one anchor with the end of another; they are told by a
//! set of the hashes of all that anchors begin with, four bytes long. What is left the bucket's anchors confirm byte by
//! byte.
//!
//! Eight bytes are folded at once in one register. That is a table look-up for two bytes of text, each independent of
//! the one before, where an automaton has one for each byte that waits for its predecessor.

use super::rules::Trigger;

/// Buckets; each takes one bit in either half of an entry.
const BUCKETS: usize = 16;
/// Buckets for anchors that many pairs fit, which would make their neighbours' candidates many too.
const WIDE_BUCKETS: usize = 4;
/// Pairs beyond which an anchor counts as wide.
const WIDE: u32 = 40;
const ENTRIES: usize = 1 << 12;
/// Bytes that two pairs at even places see of an anchor, wherever it begins.
const SEEN: usize = 5;
/// Bytes of an anchor that are confirmed.
const CONFIRMED: usize = 8;
/// Bits of the set of beginnings.
const BEGINNINGS: usize = 1 << 16;
/// Bytes of a beginning.
const BEGINNING: usize = 4;

/// Bytes that may stand at one place of an anchor, as a set of folded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class(u64);

impl Class {
    pub(super) const ANY: Self = Self(u64::MAX);

    /// Returns the class of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(0, |set, byte| set | 1 << fold(*byte)))
    }

    /// Returns the class of the bytes for which this holds.
    pub(super) fn where_(holds: impl Fn(u8) -> bool) -> Self {
        Self((0..128).filter(|byte| holds(*byte)).fold(0, |set, byte| set | 1 << fold(byte)))
    }

    fn single(self) -> Option<u8> {
        (self.0.count_ones() == 1).then(|| self.0.trailing_zeros() as u8)
    }

    fn members(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |folded| self.0 >> folded & 1 == 1)
    }
}

/// Returns the classes of a literal text.
pub(super) fn literal(text: &str) -> Vec<Class> {
    text.bytes().map(|byte| Class::of(&[byte])).collect()
}

/// Where a rule may apply, and which.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    /// The folded bytes of the places that are one byte each.
    word: u64,
    /// Which places those are.
    care: u64,
    trigger: Trigger,
}

/// All anchors.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    table: Box<[u32; ENTRIES]>,
    beginnings: Box<[u64; BEGINNINGS / 64]>,
    buckets: [Vec<Anchor>; BUCKETS],
    narrow: usize,
    wide: usize,
}

impl Filter {
    pub(super) fn new() -> Self {
        Self {
            table: Box::new([0; ENTRIES]),
            beginnings: Box::new([0; BEGINNINGS / 64]),
            buckets: std::array::from_fn(|_| Vec::new()),
            narrow: 0,
            wide: 0,
        }
    }

    /// Adds an anchor. What is beyond its first eight bytes, and the case of letters, is the rule's to check.
    pub(super) fn add(&mut self, classes: &[Class], trigger: Trigger) {
        let seen: [Class; SEEN] =
            std::array::from_fn(|place| classes.get(place).copied().unwrap_or(Class::ANY));
        let bucket = self.bucket_for(&seen);
        let mut allow = |one: Class, two: Class, bit: usize| {
            for low in one.members() {
                for high in two.members() {
                    self.table[low | high << 6] |= 1 << bit;
                }
            }
        };
        allow(seen[0], seen[1], bucket);
        allow(seen[2], seen[3], bucket + BUCKETS);
        allow(seen[1], seen[2], bucket);
        allow(seen[3], seen[4], bucket + BUCKETS);
        self.add_beginnings(&seen[..BEGINNING], 0, 0);
        let mut anchor = Anchor { word: 0, care: 0, trigger };
        for (place, class) in classes.iter().take(CONFIRMED).enumerate() {
            if let Some(folded) = class.single() {
                anchor.word |= u64::from(folded) << (8 * place);
                anchor.care |= 0x3f << (8 * place);
            }
        }
        self.buckets[bucket].push(anchor);
    }

    /// Adds all that an anchor may begin with to the set.
    fn add_beginnings(&mut self, classes: &[Class], place: usize, word: u64) {
        let Some((class, rest)) = classes.split_first() else {
            let hash = hash(word);
            self.beginnings[hash / 64] |= 1 << (hash % 64);
            return;
        };
        for folded in class.members() {
            self.add_beginnings(rest, place + 1, word | (folded as u64) << (8 * place));
        }
    }

    /// Returns whether an anchor may begin with the folded bytes.
    #[inline(always)]
    fn may_begin(&self, folded: u64) -> bool {
        let hash = hash(folded);
        self.beginnings[hash / 64] >> (hash % 64) & 1 == 1
    }

    fn bucket_for(&mut self, seen: &[Class; SEEN]) -> usize {
        let pairs = |one: Class, two: Class| one.0.count_ones() * two.0.count_ones();
        if pairs(seen[0], seen[1]).max(pairs(seen[1], seen[2])) > WIDE {
            self.wide += 1;
            return self.wide % WIDE_BUCKETS;
        }
        self.narrow += 1;
        WIDE_BUCKETS + self.narrow % (BUCKETS - WIDE_BUCKETS)
    }

    /// Calls `found` for every anchor in the text, with the place of its first byte; nearly in order of place.
    #[inline]
    pub(super) fn scan(&self, text: &[u8], mut found: impl FnMut(usize, Trigger)) {
        let mut previous = 0;
        let (chunks, rest) = text.as_chunks::<8>();
        for (index, chunk) in chunks.iter().enumerate() {
            previous = self.step(text, index * 8, u64::from_le_bytes(*chunk), previous, &mut found);
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.step(text, chunks.len() * 8, u64::from_le_bytes(last), previous, &mut found);
        }
    }

    /// Looks at eight bytes; returns the entry of their last pair.
    #[inline(always)]
    fn step(
        &self,
        text: &[u8],
        at: usize,
        bytes: u64,
        previous: u32,
        found: &mut impl FnMut(usize, Trigger),
    ) -> u32 {
        let pairs = pairs(fold_word(bytes));
        let entry = |lane: u32| self.table[(pairs >> (16 * lane)) as usize & (ENTRIES - 1)];
        let entries = [entry(0), entry(1), entry(2), entry(3)];
        let hits = [
            previous & entries[0] >> BUCKETS,
            entries[0] & entries[1] >> BUCKETS,
            entries[1] & entries[2] >> BUCKETS,
            entries[2] & entries[3] >> BUCKETS,
        ];
        if hits[0] | hits[1] | hits[2] | hits[3] != 0 {
            for (lane, hit) in hits.into_iter().enumerate() {
                // A hit of the first lane belongs to the last pair of the bytes before.
                if hit != 0 {
                    self.confirm(text, at + 2 * lane - 2, hit, found);
                }
            }
        }
        entries[3]
    }

    /// Holds the anchors of the buckets `hit` against the text at the pair at `at`, and one byte before it.
    #[inline(never)]
    fn confirm(&self, text: &[u8], at: usize, hit: u32, found: &mut impl FnMut(usize, Trigger)) {
        let places = [at.checked_sub(1), Some(at)];
        for at in places.into_iter().flatten() {
            let folded = fold_word(load(text, at));
            if self.may_begin(folded) {
                self.confirm_at(folded, hit, |trigger| found(at, trigger));
            }
        }
    }

    #[inline(always)]
    fn confirm_at(&self, folded: u64, mut hit: u32, mut found: impl FnMut(Trigger)) {
        while hit != 0 {
            let bucket = hit.trailing_zeros() as usize;
            hit &= hit - 1;
            for anchor in &self.buckets[bucket] {
                if (folded ^ anchor.word) & anchor.care == 0 {
                    found(anchor.trigger);
                }
            }
        }
    }
}

/// Folds a byte to six bits: the case of letters goes, and with it the difference between `_` and DEL and the like.
fn fold(byte: u8) -> u8 {
    byte & 0x1f | byte >> 1 & 0x20
}

/// Folds eight bytes.
#[inline(always)]
fn fold_word(bytes: u64) -> u64 {
    bytes & 0x1f1f_1f1f_1f1f_1f1f | bytes >> 1 & 0x2020_2020_2020_2020
}

/// Joins the folded bytes of each pair to twelve bits.
#[inline(always)]
fn pairs(folded: u64) -> u64 {
    folded & 0x003f_003f_003f_003f | folded >> 2 & 0x0fc0_0fc0_0fc0_0fc0
}

/// Returns the hash of the first folded bytes of eight.
#[inline(always)]
fn hash(folded: u64) -> usize {
    ((folded as u32).wrapping_mul(0x9e37_79b1) >> 16) as usize
}

/// Returns the eight bytes from `at` on, with zeros beyond the end.
fn load(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk() {
        return u64::from_le_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    bytes[..rest.len()].copy_from_slice(rest);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places(filter: &Filter, text: &[u8]) -> Vec<usize> {
        let mut places = Vec::new();
        filter.scan(text, |at, _| places.push(at));
        places.sort_unstable();
        places.dedup();
        places
    }

    #[test]
    fn anchors_are_found_wherever_they_stand_and_in_either_case() {
        let mut filter = Filter::new();
        filter.add(&literal("Secret"), Trigger::Pair);
        for before in 0..20 {
            for text in ["secret=", "SECRET=", "sEcReT="] {
                let line = format!("{}{text}", "-".repeat(before));
                assert_eq!(places(&filter, line.as_bytes()), [before], "{line}");
            }
        }
        assert!(places(&filter, b"secre secre7 ecret").is_empty());
    }

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds(text in "[abAB_-]{0,60}") {
            let mut filter = Filter::new();
            filter.add(&literal("ab_ba"), Trigger::Pair);
            filter.add(&[literal("b-"), vec![Class::of(b"ab"); 2]].concat(), Trigger::Jwt);
            let lower = text.to_ascii_lowercase();
            let expected: Vec<usize> = (0..text.len())
                .filter(|at| {
                    let rest = &lower[*at..];
                    // The second has no fifth byte of its own: it needs one to follow where it stands at an odd place.
                    rest.starts_with("ab_ba") || rest.starts_with("b-") && rest.len() > 4
                })
                .collect();
            let found = places(&filter, text.as_bytes());
            for at in expected {
                let is_first = lower[at..].starts_with("ab_ba");
                let follows = lower.as_bytes()[at + 2..].iter().take(2).all(u8::is_ascii_alphabetic);
                prop_assert!(found.contains(&at) || !is_first && !follows, "{} in {}", at, text);
            }
        }
    }
}
