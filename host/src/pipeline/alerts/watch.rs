//! One alert and one process: what was counted, whether that is enough, and how long nothing more is said.
//!
//! ```text
//!            enough                     window is over
//!   quiet ──────────▶ raised (counts) ─────────────────▶ quiet
//!                        ▲   └── another one, behind the window, and enough: raised anew, what was counted told with it
//! ```
//!
//! Pure: every moment is given. The times of lines decide what falls into a stretch of time, so that output that waited
//! for a daemon is judged by when it was written; that a window is over is told by the clock. Lines of two runs need
//! not come in the order of their times. A clock that was set back forgets what was raised.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Time;
use crate::store::AlertRecord;

/// How far a clock may be behind an earlier look at it without having been set back.
const SLACK: Duration = Duration::from_secs(1);
/// How long what has been told of is remembered, for lines that come late.
const LATE: Duration = Duration::from_secs(3600);

/// How many within which time, and how long to keep quiet then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub count: usize,
    pub within: Duration,
    pub window: Duration,
}

/// What is known of an alert about a process.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The newest times of what counts, ascending, no more than are asked for and none too old.
    times: VecDeque<Time>,
    raised: Option<Raised>,
}

/// An alert that was raised.
#[derive(Debug)]
struct Raised {
    record: AlertRecord,
    /// When that was, by the clock.
    at: Time,
    /// Until when lines raise nothing, by their own times.
    quiet_until: Time,
    /// How many came that nobody was told of.
    untold: u64,
    /// The catalogue does not know yet how many came.
    is_dirty: bool,
    /// Its window is over, and what had come by then was told.
    is_over: bool,
}

/// What follows from one that counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Nothing,
    /// It is enough. So many had come since the last alert that nobody was told of.
    Raise {
        meanwhile: u64,
    },
}

/// A window that is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Over {
    pub record: AlertRecord,
    /// How many came in it that nobody was told of.
    pub untold: u64,
}

impl Watch {
    /// Goes on with an alert that an earlier daemon has raised.
    pub(super) fn restored(record: AlertRecord) -> Self {
        let raised = Raised {
            at: record.time,
            quiet_until: record.until,
            untold: 0,
            is_dirty: false,
            is_over: false,
            record,
        };
        Self { times: VecDeque::new(), raised: Some(raised) }
    }

    /// Counts something that was written at `time`.
    pub(super) fn take(&mut self, limits: Limits, time: Time, now: Time) -> Taken {
        if self.raised.as_ref().is_some_and(|raised| plus(now, SLACK) < raised.at) {
            *self = Self::default();
        }
        let is_enough = limits.count <= 1 || self.remember(limits, time, now);
        if let Some(raised) = self.raised.as_mut().filter(|raised| time < raised.quiet_until) {
            raised.untold += 1;
            raised.record.more += 1;
            raised.is_dirty = true;
            return Taken::Nothing;
        }
        if !is_enough {
            return Taken::Nothing;
        }
        Taken::Raise { meanwhile: self.raised.as_ref().map_or(0, |raised| raised.untold) }
    }

    /// Returns whether enough are close together now.
    fn remember(&mut self, limits: Limits, time: Time, now: Time) -> bool {
        if self.times.back().is_some_and(|newest| plus(now, SLACK) < *newest) {
            self.times.clear();
        }
        let place = self.times.partition_point(|earlier| *earlier <= time);
        self.times.insert(place, time);
        let newest = self.times.back().copied().unwrap_or(time);
        while self.times.len() > limits.count
            || self.times.front().is_some_and(|oldest| newest.since(*oldest) > limits.within)
        {
            self.times.pop_front();
        }
        self.times.len() >= limits.count
    }

    /// Notes that an alert was raised, and returns the one before it when the catalogue does not know all of that.
    pub(super) fn raise(&mut self, limits: Limits, record: AlertRecord, now: Time) -> Option<AlertRecord> {
        let before = self.unwritten();
        let quiet_until = plus(record.time, limits.window);
        let raised = Raised { at: now, quiet_until, untold: 0, is_dirty: false, is_over: false, record };
        self.raised = Some(raised);
        before
    }

    /// Returns until when an alert that is raised at `now` by something of `time` keeps quiet, by the clock.
    pub(super) fn until(limits: Limits, time: Time, now: Time) -> Time {
        plus(time.max(now), limits.window)
    }

    /// Returns what is over by now, once.
    pub(super) fn over(&mut self, now: Time) -> Option<Over> {
        let raised = self.raised.as_mut().filter(|raised| !raised.is_over && now >= raised.record.until)?;
        raised.is_over = true;
        Some(Over { record: raised.record.clone(), untold: std::mem::take(&mut raised.untold) })
    }

    /// Returns when to ask again whether something is over.
    pub(super) fn next(&self) -> Option<Time> {
        self.raised.as_ref().filter(|raised| !raised.is_over).map(|raised| raised.record.until)
    }

    /// Returns the alert whose window is not over.
    pub(super) fn open(&self, now: Time) -> Option<&AlertRecord> {
        let raised = self.raised.as_ref().filter(|raised| !raised.is_over && now < raised.record.until)?;
        Some(&raised.record)
    }

    /// Returns the alert of which the catalogue does not know how many came, once.
    pub(super) fn unwritten(&mut self) -> Option<AlertRecord> {
        let raised = self.raised.as_mut().filter(|raised| raised.is_dirty)?;
        raised.is_dirty = false;
        Some(raised.record.clone())
    }

    /// Forgets what was counted, as it is something else that counts from now on.
    pub(super) fn forget_times(&mut self) {
        self.times.clear();
    }

    /// Returns whether nothing is lost when this is forgotten.
    pub(super) fn is_idle(&self, now: Time) -> bool {
        let is_past = |time: Time| now > plus(time, LATE);
        self.times.back().copied().is_none_or(is_past)
            && self.raised.as_ref().is_none_or(|raised| raised.is_over && is_past(raised.quiet_until))
    }
}

fn plus(time: Time, duration: Duration) -> Time {
    Time(time.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Level, ProcessName, RunId, Seq};

    const LIMITS: Limits =
        Limits { count: 3, within: Duration::from_secs(10), window: Duration::from_secs(60) };
    const FIRST: Limits = Limits { count: 1, ..LIMITS };

    fn at(seconds: i64) -> Time {
        Time((1_000_000 + seconds) * 1_000_000_000)
    }

    fn record(id: u64, time: Time, until: Time) -> AlertRecord {
        AlertRecord {
            id,
            name: "a".into(),
            process: ProcessName::new("api").unwrap(),
            run: RunId(1),
            seq: Seq(1),
            time,
            level: Level::Error,
            what: "x".into(),
            text: "y".into(),
            message: None,
            meanwhile: 0,
            more: 0,
            until,
        }
    }

    /// Takes one whose line was written just now, and raises when it is enough.
    fn take(watch: &mut Watch, limits: Limits, seconds: i64) -> Taken {
        take_late(watch, limits, seconds, seconds)
    }

    fn take_late(watch: &mut Watch, limits: Limits, time: i64, now: i64) -> Taken {
        let (time, now) = (at(time), at(now));
        let taken = watch.take(limits, time, now);
        if taken != Taken::Nothing {
            watch.raise(limits, record(1, time, Watch::until(limits, time, now)), now);
        }
        taken
    }

    const RAISED: Taken = Taken::Raise { meanwhile: 0 };

    #[test]
    fn so_many_within_the_time_raise_and_fewer_do_not() {
        let mut watch = Watch::default();
        assert_eq!([0, 6, 12, 18].map(|at| take(&mut watch, LIMITS, at)), [const { Taken::Nothing }; 4]);
        assert_eq!(take(&mut watch, LIMITS, 19), RAISED);
        let mut watch = Watch::default();
        assert_eq!(take(&mut watch, FIRST, 0), RAISED);
    }

    #[test]
    fn nothing_is_raised_twice_in_a_window_and_what_came_is_told_with_the_next() {
        let mut watch = Watch::default();
        assert_eq!(take(&mut watch, FIRST, 0), RAISED);
        for second in 1..60 {
            assert_eq!(take(&mut watch, FIRST, second), Taken::Nothing);
        }
        assert_eq!(take(&mut watch, FIRST, 60), Taken::Raise { meanwhile: 59 });
    }

    #[test]
    fn what_came_is_told_when_the_window_is_over_and_only_then_and_once() {
        let mut watch = Watch::default();
        take(&mut watch, FIRST, 0);
        take(&mut watch, FIRST, 5);
        assert_eq!((watch.over(at(59)), watch.next()), (None, Some(at(60))));
        let over = watch.over(at(60)).unwrap();
        assert_eq!((over.untold, over.record.more), (1, 1));
        assert_eq!((watch.over(at(61)), watch.next()), (None, None));
        assert_eq!(take(&mut watch, FIRST, 62), RAISED);
    }

    #[test]
    fn output_that_waited_is_judged_by_when_it_was_written() {
        // Three within an hour that come all at once are not three within ten seconds.
        let mut watch = Watch::default();
        assert_eq!(
            [0, 1800, 3600].map(|time| take_late(&mut watch, LIMITS, time, 3700)),
            [const { Taken::Nothing }; 3]
        );
        // Later ones of another run come first.
        let mut watch = Watch::default();
        let taken = [3600, 0, 3601, 1, 3602].map(|time| take_late(&mut watch, LIMITS, time, 3700));
        assert_eq!(taken.map(|taken| taken == RAISED), [false, false, false, false, true]);
    }

    #[test]
    fn a_late_line_in_a_window_that_is_over_raises_nothing_again() {
        let mut watch = Watch::default();
        take_late(&mut watch, FIRST, 0, 10_000);
        assert_eq!(take_late(&mut watch, FIRST, 30, 10_001), Taken::Nothing);
        assert_eq!(take_late(&mut watch, FIRST, 61, 10_002), Taken::Raise { meanwhile: 1 });
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_silence_an_alert() {
        let mut watch = Watch::default();
        assert_eq!(take(&mut watch, FIRST, 10_000), RAISED);
        assert_eq!(take(&mut watch, FIRST, 0), RAISED);
        let mut watch = Watch::default();
        take(&mut watch, LIMITS, 10_000);
        assert_eq!([0, 1, 2].map(|at| take(&mut watch, LIMITS, at) == RAISED), [false, false, true]);
    }

    #[test]
    fn what_an_earlier_daemon_raised_stays_raised() {
        let mut watch = Watch::restored(record(7, at(0), at(60)));
        assert_eq!(take(&mut watch, FIRST, 30), Taken::Nothing);
        assert_eq!(watch.open(at(31)).map(|alert| (alert.id, alert.more)), Some((7, 1)));
        assert_eq!(watch.unwritten().map(|alert| alert.more), Some(1));
        assert_eq!(watch.unwritten(), None);
        assert_eq!(take(&mut watch, FIRST, 60), Taken::Raise { meanwhile: 1 });
    }

    #[test]
    fn what_is_long_past_may_be_forgotten() {
        let mut watch = Watch::default();
        assert!(watch.is_idle(at(0)));
        take(&mut watch, LIMITS, 0);
        assert!(!watch.is_idle(at(1)) && watch.is_idle(at(3700)));
        take(&mut watch, FIRST, 3700);
        assert!(!watch.is_idle(at(100_000)));
        watch.over(at(100_000)).unwrap();
        assert!(watch.is_idle(at(100_000)));
    }

    proptest! {
        /// Of whatever is taken, each is either what raised an alert or is told of, and alerts keep their distance.
        #[test]
        fn nothing_is_lost_and_nothing_said_twice(steps in prop::collection::vec(0i64..40, 1..200)) {
            let mut watch = Watch::default();
            let (mut now, mut raised, mut told, mut last) = (0, 0u64, 0u64, None);
            for step in &steps {
                now += step;
                told += watch.over(at(now)).map_or(0, |over| over.untold);
                if let Taken::Raise { meanwhile } = take(&mut watch, FIRST, now) {
                    prop_assert!(last.is_none_or(|last| now - last >= 60));
                    (raised, told, last) = (raised + 1, told + meanwhile, Some(now));
                }
            }
            told += watch.over(at(now + 60)).map_or(0, |over| over.untold);
            prop_assert_eq!(raised + told, steps.len() as u64);
        }

        #[test]
        fn any_moments_are_borne(times in prop::collection::vec((any::<i64>(), any::<i64>()), 0..50)) {
            let mut watch = Watch::default();
            for (time, now) in times {
                let (time, now) = (Time(time), Time(now));
                if watch.take(LIMITS, time, now) != Taken::Nothing {
                    watch.raise(LIMITS, record(1, time, Watch::until(LIMITS, time, now)), now);
                }
                watch.over(now);
                prop_assert!(watch.times.len() <= LIMITS.count);
                let _ = watch.is_idle(now);
            }
        }
    }
}
