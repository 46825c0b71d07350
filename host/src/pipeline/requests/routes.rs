//! The routes of a process that are asked for most, each with its own counts.
//!
//! Pure: moments are given. There is room for some routes only. Another takes the place of the one with the lowest
//! rank, and its rank from there on ("space-saving"), so that a route which is asked for often keeps its place however
//! many others come by. Ranks are halved each minute, so that places are won by what is asked for now.

use super::histogram::{self, Bucket};
use super::window::Counts;
use crate::bounds::{REQUEST_LONG_SLOTS as MINUTES, REQUEST_ROUTE_DURATIONS as DURATIONS, REQUEST_ROUTES};
use crate::model::Time;

const MINUTE: i64 = 60_000_000_000;

/// The requests of one route within the last 15 minutes.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Method and path: `GET /orders/:id`.
    pub route: String,
    /// Since it was last among those that are asked for most; of a flood only some requests are told with their path.
    pub count: u64,
    pub client_errors: u64,
    pub errors: u64,
    /// What 95 of a hundred of its last [`DURATIONS`] requests took at most, in milliseconds, within 5 %.
    pub p95_ms: Option<f64>,
}

#[derive(Debug)]
struct Entry {
    route: String,
    rank: u32,
    /// By the remainder of the minute's number.
    minutes: [Counts; MINUTES],
    /// The last durations, by the remainder of their number.
    durations: [Bucket; DURATIONS],
    /// Durations so far.
    timed: u32,
}

/// The routes of one process.
#[derive(Debug, Default)]
pub(super) struct Routes {
    entries: Vec<Entry>,
    /// The number of the newest minute that has counts.
    minute: i64,
}

impl Routes {
    /// Counts a request of `route` that ended at `time`.
    pub(super) fn add(
        &mut self,
        time: Time,
        now: Time,
        route: &str,
        counts: Counts,
        duration: Option<Bucket>,
    ) {
        let minute = time.0.min(now.0).div_euclid(MINUTE);
        self.advance(now.0.div_euclid(MINUTE));
        if minute <= self.minute - MINUTES as i64 {
            return;
        }
        let entry = match self.entries.iter().position(|entry| entry.route == route) {
            Some(index) => &mut self.entries[index],
            None => self.take_in(route),
        };
        entry.rank = entry.rank.saturating_add(counts.all);
        entry.minutes[minute.rem_euclid(MINUTES as i64) as usize].add(counts);
        if let Some(bucket) = duration {
            entry.durations[entry.timed as usize % DURATIONS] = bucket;
            // Once all places are taken it is only the remainder that counts.
            entry.timed = entry.timed.checked_add(1).unwrap_or(DURATIONS as u32);
        }
    }

    /// Returns the routes, the one asked for most first.
    pub(super) fn told(&self, now: Time) -> Vec<Route> {
        let present = now.0.div_euclid(MINUTE);
        // Nothing has been counted since the clock was set back.
        if self.minute > present {
            return Vec::new();
        }
        let minutes = (present - MINUTES as i64 + 1)..=self.minute;
        let mut routes: Vec<Route> = self.entries.iter().map(|entry| entry.told(minutes.clone())).collect();
        routes.retain(|route| route.count > 0);
        routes.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.route.cmp(&other.route)));
        routes
    }

    /// Empties what the minutes that have passed since the last request are counted in.
    fn advance(&mut self, minute: i64) {
        let passed = if self.minute > minute { MINUTES as i64 } else { minute - self.minute };
        if passed == 0 {
            return;
        }
        for entry in &mut self.entries {
            entry.rank =
                u32::try_from(passed).map_or(0, |passed| entry.rank.checked_shr(passed).unwrap_or(0));
            for ago in 0..passed.min(MINUTES as i64) {
                entry.minutes[(minute - ago).rem_euclid(MINUTES as i64) as usize] = Counts::default();
            }
        }
        self.minute = minute;
    }

    /// Makes room for another route.
    fn take_in(&mut self, route: &str) -> &mut Entry {
        if self.entries.capacity() == 0 {
            self.entries.reserve_exact(REQUEST_ROUTES);
        }
        let lowest = (0..self.entries.len()).min_by_key(|index| self.entries[*index].rank);
        let rank = match lowest.filter(|_| self.entries.len() >= REQUEST_ROUTES) {
            Some(index) => self.entries.swap_remove(index).rank,
            None => 0,
        };
        self.entries.push(Entry {
            route: route.to_owned(),
            rank,
            minutes: [Counts::default(); MINUTES],
            durations: [0; DURATIONS],
            timed: 0,
        });
        let last = self.entries.len() - 1;
        &mut self.entries[last]
    }

    /// Returns the bytes it takes beside itself.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        let texts: usize = self.entries.iter().map(|entry| entry.route.capacity()).sum();
        texts + self.entries.capacity() * size_of::<Entry>()
    }
}

impl Entry {
    fn told(&self, minutes: std::ops::RangeInclusive<i64>) -> Route {
        let mut route =
            Route { route: self.route.clone(), count: 0, client_errors: 0, errors: 0, p95_ms: self.p95_ms() };
        for minute in minutes {
            let counts = self.minutes[minute.rem_euclid(MINUTES as i64) as usize];
            route.count += u64::from(counts.all);
            route.client_errors += u64::from(counts.client_errors);
            route.errors += u64::from(counts.errors);
        }
        route
    }

    fn p95_ms(&self) -> Option<f64> {
        let mut durations = self.durations;
        let durations = &mut durations[..DURATIONS.min(self.timed as usize)];
        durations.sort_unstable();
        let rank = (durations.len() * 95).div_ceil(100);
        Some(histogram::milliseconds(*durations.get(rank.checked_sub(1)?)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::histogram::bucket;
    use super::*;

    const START: i64 = 29_000_000 * MINUTE;

    fn one() -> Counts {
        Counts { all: 1, ..Counts::default() }
    }

    fn add(routes: &mut Routes, minute: i64, route: &str) {
        let now = Time(START + minute * MINUTE);
        routes.add(now, now, route, one(), None);
    }

    #[test]
    fn those_asked_for_most_come_first_with_their_own_counts() {
        let mut routes = Routes::default();
        let now = Time(START);
        for number in 0..10 {
            let failed = Counts { all: 1, errors: 1, ..Counts::default() };
            routes.add(now, now, "GET /b", if number < 3 { failed } else { one() }, Some(bucket(10.0)));
        }
        routes.add(now, now, "GET /a", Counts { all: 1, client_errors: 1, ..Counts::default() }, None);
        let told = routes.told(now);
        assert_eq!(told.len(), 2);
        assert_eq!((told[0].route.as_str(), told[0].count, told[0].errors), ("GET /b", 10, 3));
        assert!(told[0].p95_ms.is_some_and(|ms| (ms - 10.0).abs() < 0.5));
        assert_eq!((told[1].client_errors, told[1].p95_ms), (1, None));
    }

    #[test]
    fn only_the_last_minutes_count() {
        let mut routes = Routes::default();
        for minute in 0..40 {
            add(&mut routes, minute, "GET /a");
        }
        let told = |minute: i64| routes.told(Time(START + minute * MINUTE)).first().map(|route| route.count);
        assert_eq!(told(39), Some(16));
        assert_eq!(told(50), Some(5));
        assert_eq!(told(55), None);
    }

    #[test]
    fn the_last_durations_make_the_percentile() {
        let mut routes = Routes::default();
        let now = Time(START);
        for number in 0..200 {
            let ms = if number < 100 { 5000.0 } else { 20.0 };
            routes.add(now, now, "GET /a", one(), Some(bucket(ms)));
        }
        assert!(routes.told(now)[0].p95_ms.is_some_and(|ms| (ms - 20.0).abs() < 1.0));
    }

    #[test]
    fn a_clock_that_is_set_back_loses_the_counts_alone() {
        let mut routes = Routes::default();
        add(&mut routes, 100, "GET /a");
        add(&mut routes, 0, "GET /a");
        assert_eq!(routes.told(Time(START))[0].count, 1);
    }

    proptest! {
        #[test]
        fn a_route_asked_for_often_keeps_its_place(others in prop::collection::vec(0..500u32, 0..2000)) {
            let mut routes = Routes::default();
            let mut asked = 0;
            for (number, other) in others.iter().enumerate() {
                add(&mut routes, 0, &format!("GET /{other}"));
                if number % 10 == 0 {
                    add(&mut routes, 0, "GET /often");
                    asked += 1;
                }
            }
            prop_assert!(routes.entries.len() <= REQUEST_ROUTES);
            let told = routes.told(Time(START));
            let often = told.iter().find(|route| route.route == "GET /often").map_or(0, |route| route.count);
            // More than a twentieth of all requests were for it at any moment.
            prop_assert_eq!(often, asked);
        }
    }
}
