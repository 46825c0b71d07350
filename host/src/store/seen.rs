//! Damage that readers came upon, so that it is told before somebody misses a line.
//!
//! Opening reads little of what is sealed, so damage there shows only when it is read. Remembered for as long as the
//! segment is there, and while this program runs.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::index::{Extent, Segment, State};
use super::recovery::Damage;
use super::writer::lock;

/// Most places that are remembered.
const PLACES: usize = 100;

/// What readers came upon.
#[derive(Debug, Default)]
pub(super) struct SeenDamage {
    /// By segment and offset.
    places: Mutex<BTreeMap<(u64, u64), Damage>>,
}

impl SeenDamage {
    /// Notes that something of this extent could not be read.
    pub fn note(&self, segment: &Segment, extent: &Extent) {
        let mut places = lock(&self.places);
        let key = (segment.id, extent.offset);
        if places.len() >= PLACES || places.contains_key(&key) {
            return;
        }
        let damage = Damage { file: segment.path.clone(), offset: extent.offset, bytes: extent.bytes.into() };
        tracing::warn!(file = %damage.file.display(), damage.offset, damage.bytes, "the log is damaged here");
        places.insert(key, damage);
    }

    /// Returns the places in segments that are still there.
    pub fn left(&self, state: &State) -> Vec<Damage> {
        let mut places = lock(&self.places);
        places.retain(|(id, _), _| state.segments.iter().any(|segment| segment.id == *id));
        places.values().cloned().collect()
    }
}
