//! Requests counted by slots of time, for sums over the last of them.
//!
//! Pure: moments are given. A slot is named by its number since 1970, and overwritten by the one that is a whole ring
//! later, so nothing has to be done while no request comes.

use std::time::Duration;

use super::histogram::{Bucket, Histogram, Sum};
use crate::model::Time;

/// How requests ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub all: u32,
    /// With a status of 400 to 499.
    pub client_errors: u32,
    /// With a status from 500 on.
    pub errors: u32,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.all = self.all.saturating_add(other.all);
        self.client_errors = self.client_errors.saturating_add(other.client_errors);
        self.errors = self.errors.saturating_add(other.errors);
    }
}

/// The requests of the last while.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Window {
    /// How long it is.
    pub length: Duration,
    pub count: u64,
    /// Answered with a status of 400 to 499.
    pub client_errors: u64,
    /// Answered with a status from 500 on.
    pub errors: u64,
    /// Those of which is known how long they took. A program that prints no durations has none, and of a flood only
    /// some are told one by one.
    pub timed: u64,
    /// What half of these took at most, in milliseconds, within 5 %.
    pub p50_ms: Option<f64>,
    /// What 95 of a hundred took at most.
    pub p95_ms: Option<f64>,
}

#[derive(Debug, Default)]
struct Slot {
    number: i64,
    counts: Counts,
    timed: u32,
    /// Made for the first duration, so that a program that prints none costs little.
    durations: Option<Box<Histogram>>,
}

impl Slot {
    fn begin(&mut self, number: i64) {
        (self.number, self.counts, self.timed) = (number, Counts::default(), 0);
        if let Some(durations) = &mut self.durations {
            durations.clear();
        }
    }
}

/// The last `N` slots, of which the newest is not over yet.
#[derive(Debug)]
pub(super) struct Ring<const N: usize> {
    /// Length of a slot in nanoseconds.
    slot: i64,
    slots: [Slot; N],
}

impl<const N: usize> Ring<N> {
    pub(super) fn new(slot: Duration) -> Self {
        let slot = i64::try_from(slot.as_nanos()).unwrap_or(i64::MAX).max(1);
        Self { slot, slots: std::array::from_fn(|_| Slot::default()) }
    }

    /// Counts requests that ended at `time`; those from before the ring are left out.
    pub(super) fn add(&mut self, time: Time, now: Time, counts: Counts, duration: Option<Bucket>) {
        let present = self.number(now);
        // What is from later was stamped before the clock was set back.
        let number = self.number(time).min(present);
        let slot = &mut self.slots[number.rem_euclid(N as i64) as usize];
        if slot.number > present || slot.number < number {
            slot.begin(number);
        }
        if slot.number != number {
            return;
        }
        slot.counts.add(counts);
        if let Some(bucket) = duration {
            slot.timed = slot.timed.saturating_add(1);
            slot.durations.get_or_insert_default().add(bucket);
        }
    }

    /// Sums up what was counted up to `now`.
    pub(super) fn window(&self, now: Time) -> Window {
        let present = self.number(now);
        let oldest = present.saturating_sub(N as i64 - 1);
        let mut sum = Sum::default();
        let mut window = Window {
            length: Duration::from_nanos(now.0.saturating_sub(oldest.saturating_mul(self.slot)).max(1) as u64),
            ..Window::default()
        };
        for slot in self.slots.iter().filter(|slot| (oldest..=present).contains(&slot.number)) {
            window.count += u64::from(slot.counts.all);
            window.client_errors += u64::from(slot.counts.client_errors);
            window.errors += u64::from(slot.counts.errors);
            window.timed += u64::from(slot.timed);
            slot.durations.iter().for_each(|durations| sum.add(durations));
        }
        (window.p50_ms, window.p95_ms) = (sum.percentile(50), sum.percentile(95));
        window
    }

    fn number(&self, time: Time) -> i64 {
        time.0.div_euclid(self.slot)
    }

    /// Returns the bytes it takes beside itself.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.slots.iter().filter(|slot| slot.durations.is_some()).count() * size_of::<Histogram>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::histogram::bucket;
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn ring() -> Ring<7> {
        Ring::new(Duration::from_secs(10))
    }

    fn one() -> Counts {
        Counts { all: 1, ..Counts::default() }
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut ring = ring();
        let at = |second: i64| Time(1_000_000 * SECOND + second * SECOND);
        for second in 0..200 {
            ring.add(at(second), at(second), one(), Some(bucket(1.0)));
        }
        // Six whole slots and what there is of the seventh.
        let window = ring.window(at(199));
        assert_eq!((window.count, window.length), (70, Duration::from_secs(69)));
        assert_eq!(ring.window(at(229)).count, 40);
        assert_eq!(ring.window(at(300)), Window { length: Duration::from_secs(60), ..Window::default() });
    }

    #[test]
    fn what_comes_late_counts_where_it_belongs() {
        let mut ring = ring();
        let now = Time(1000 * SECOND);
        ring.add(now, now, one(), None);
        ring.add(Time(945 * SECOND), now, one(), None);
        ring.add(Time(930 * SECOND), now, one(), None);
        assert_eq!(ring.window(now).count, 2);
    }

    #[test]
    fn a_clock_that_is_set_back_loses_what_was_and_nothing_else() {
        let mut ring = ring();
        let (before, after) = (Time(9_000 * SECOND), Time(1_000 * SECOND));
        for _ in 0..3 {
            ring.add(before, before, one(), None);
        }
        assert_eq!(ring.window(after).count, 0);
        for second in 0..70 {
            let now = Time(after.0 + second * SECOND);
            ring.add(before, now, one(), None);
        }
        assert_eq!(ring.window(Time(after.0 + 69 * SECOND)).count, 70);
    }

    proptest! {
        #[test]
        fn any_moments_are_counted_as_by_hand(
            mut moments in prop::collection::vec((0..500i64, 0..90i64), 0..200), later in 0..100i64,
        ) {
            moments.sort_unstable();
            let mut ring = ring();
            for (now, age) in &moments {
                ring.add(Time((now - age) * SECOND), Time(now * SECOND), one(), None);
            }
            let now = moments.last().map_or(0, |(now, _)| *now) + later;
            let oldest = now.div_euclid(10) - 6;
            // What was too old when it came is not counted, nor is anything before 1970.
            let counted = moments.iter().filter(|(came, age)| {
                let number = (came - age).div_euclid(10);
                number >= oldest && number > came.div_euclid(10) - 7
            });
            prop_assert_eq!(ring.window(Time(now * SECOND)).count, counted.count() as u64);
        }
    }
}
