//! Pages of blocks that were unpacked lately, so that who asks again soon does not wait for them again.
//!
//! A bounded number of bytes; what came first goes first. Searches through text do not use it: they would only push
//! out what short queries need.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use crate::bounds;

use super::writer::lock;

/// The page of a block. A segment that is rewritten is another one, so what is kept is never stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub segment: u64,
    pub offset: u64,
    pub page: usize,
}

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    by_key: HashMap<Key, Box<[u8]>>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl Unpacked {
    /// Copies the page into `out`; returns whether it was there.
    pub fn copy(&self, key: Key, out: &mut [u8]) -> bool {
        let pages = lock(&self.pages);
        let Some(page) = pages.by_key.get(&key).filter(|page| page.len() == out.len()) else { return false };
        out.copy_from_slice(page);
        true
    }

    /// Keeps a copy of the page.
    pub fn keep(&self, key: Key, page: &[u8]) {
        let mut pages = lock(&self.pages);
        if pages.by_key.insert(key, page.into()).is_none() {
            pages.order.push_back(key);
            pages.bytes += page.len();
        }
        while pages.bytes > bounds::UNPACKED_BYTES {
            let Some(oldest) = pages.order.pop_front() else { return };
            pages.bytes -= pages.by_key.remove(&oldest).map_or(0, |page| page.len());
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *lock(&self.pages) = Pages::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_pages_go_when_there_are_too_many() {
        let unpacked = Unpacked::default();
        let key = |page| Key { segment: 1, offset: 40, page };
        let page = vec![7; 32 << 10];
        let most = bounds::UNPACKED_BYTES / page.len();
        (0..=most).for_each(|number| unpacked.keep(key(number), &page));
        let mut out = vec![0; page.len()];
        assert!(!unpacked.copy(key(0), &mut out));
        assert!(unpacked.copy(key(1), &mut out) && unpacked.copy(key(most), &mut out));
        assert_eq!(out, page);
        assert!(!unpacked.copy(Key { segment: 2, ..key(1) }, &mut out));
        assert!(!unpacked.copy(key(1), &mut out[1..]));
        unpacked.clear();
        assert!(!unpacked.copy(key(1), &mut out));
    }
}
