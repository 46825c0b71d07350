//! When a process is started by the clock: from a line of cron to the next time it is due.
//!
//! A [`Timetable`] is pure: it is told what time it is. [`follow`] is the task that looks at the clock and tells; the
//! driver decides what follows. What came due while no daemon ran is not caught up, and what came due while the
//! machine slept is told as missed. A time is never told early, so that a daemon that is started right after another
//! one died does not tell the same time again.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::Time;

/// How late a run may still begin; one that was due longer ago is left out.
const LATE: Duration = Duration::from_secs(60);
/// Longest pause between two looks at the clock, which may be set meanwhile.
const LOOK: Duration = Duration::from_secs(30);
/// A clock that is set back by more than this is believed, and what is next is looked up anew; after a smaller step
/// the next time stands, so that nothing is told twice.
const SET_BACK: Duration = Duration::from_secs(3 * 60 * 60);

/// What the clock has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// A run is due now; the time is that of the next one.
    Due { next: Option<Time> },
    /// A run was due at `at`, too long ago.
    Missed { at: Time, next: Option<Time> },
    /// Nothing is due; the time is that of the next run.
    Next(Option<Time>),
}

/// The times of one process.
#[derive(Debug)]
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
    next: Option<Timestamp>,
    seen: Timestamp,
}

/// What to do after a look at the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Look again after this long.
    Again(Duration),
    Tell(Tick),
    /// No time will ever come.
    Never,
}

impl Timetable {
    /// Reads a line of cron: five fields, six with seconds before them, or one such as `@hourly`, in `zone`.
    ///
    /// # Errors
    /// What is wrong with the line, in words.
    pub fn new(cron: &str, zone: TimeZone, now: Timestamp) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let cron = parser.parse(cron).map_err(|error| error.to_string())?;
        let mut timetable = Self { cron, zone, next: None, seen: now };
        timetable.next = timetable.after(now);
        Ok(timetable)
    }

    /// Returns when the next run is due.
    pub fn next(&self) -> Option<Time> {
        self.next.map(time_of)
    }

    /// Says what follows when it is `now`.
    fn look(&mut self, now: Timestamp) -> Look {
        let was_set_back = since(self.seen, now) > SET_BACK;
        self.seen = now;
        if was_set_back {
            self.next = self.after(now);
            return Look::Tell(Tick::Next(self.next()));
        }
        let Some(due) = self.next else { return Look::Never };
        if now < due {
            return Look::Again(since(due, now).min(LOOK));
        }
        // However many times have passed, one run is enough.
        self.next = self.after(now);
        let next = self.next();
        let is_late = since(now, due) > LATE;
        Look::Tell(if is_late { Tick::Missed { at: time_of(due), next } } else { Tick::Due { next } })
    }

    /// Returns the first time after `now`. A time that daylight saving leaves out comes right after the gap; one that
    /// it has twice comes once, unless the hour or minute is a `*`.
    fn after(&self, now: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&now.to_zoned(self.zone.clone()), false);
        next.ok().map(|next| next.timestamp())
    }
}

/// Tells `reports` of every time as it comes by `clock`, and at once of the first.
pub async fn follow(
    mut timetable: Timetable,
    clock: impl Fn() -> Timestamp + Send,
    reports: impl Fn(Tick) + Send,
) {
    reports(Tick::Next(timetable.next()));
    loop {
        match timetable.look(clock()) {
            Look::Again(pause) => tokio::time::sleep(pause).await,
            Look::Tell(tick) => reports(tick),
            Look::Never => return,
        }
    }
}

fn since(later: Timestamp, earlier: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

fn time_of(timestamp: Timestamp) -> Time {
    Time(i64::try_from(timestamp.as_nanosecond()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::mpsc;
    use tokio::time::{Instant, sleep_until};

    use super::*;

    /// Central European time by its rules, so that no database of time zones is needed.
    fn zone() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn table(cron: &str, now: &str) -> Timetable {
        Timetable::new(cron, zone(), at(now)).unwrap()
    }

    /// Goes through the times of a table as a clock would that never sleeps.
    fn times(cron: &str, from: &str, count: usize) -> Vec<String> {
        let mut table = table(cron, from);
        let mut times = Vec::new();
        while times.len() < count {
            let due = table.next.unwrap();
            assert_eq!(table.look(due), Look::Tell(Tick::Due { next: table.next() }));
            times.push(due.to_string());
        }
        times
    }

    #[test]
    fn a_time_is_told_once_and_never_early() {
        let mut table = table("*/5 * * * *", "2026-11-20T11:58:30Z");
        assert_eq!(table.look(at("2026-11-20T11:58:30Z")), Look::Again(LOOK));
        assert_eq!(table.look(at("2026-11-20T11:59:59.999Z")), Look::Again(Duration::from_millis(1)));
        let next = Some(time_of(at("2026-11-20T12:05:00Z")));
        assert_eq!(table.look(at("2026-11-20T12:00:00Z")), Look::Tell(Tick::Due { next }));
        assert_eq!(table.look(at("2026-11-20T12:00:00.001Z")), Look::Again(LOOK));
    }

    #[test]
    fn a_daemon_that_begins_right_after_a_time_waits_for_the_next() {
        let mut table = table("0 * * * *", "2026-11-20T12:00:00Z");
        assert_eq!(table.look(at("2026-11-20T12:00:00.2Z")), Look::Again(LOOK));
        assert_eq!(table.next(), Some(time_of(at("2026-11-20T13:00:00Z"))));
    }

    #[test]
    fn what_was_due_while_the_machine_slept_is_missed_once() {
        let mut table = table("* * * * *", "2026-11-20T12:00:10Z");
        let next = Some(time_of(at("2026-11-20T15:30:00Z")));
        let missed = Tick::Missed { at: time_of(at("2026-11-20T12:01:00Z")), next };
        assert_eq!(table.look(at("2026-11-20T15:29:10Z")), Look::Tell(missed));
        assert_eq!(table.look(at("2026-11-20T15:29:10Z")), Look::Again(LOOK));
    }

    #[test]
    fn a_clock_set_back_a_little_repeats_nothing_and_one_set_back_far_is_believed() {
        let mut table = table("0 * * * *", "2026-11-20T12:30:00Z");
        table.look(at("2026-11-20T13:00:00Z"));
        assert_eq!(table.look(at("2026-11-20T12:59:00Z")), Look::Again(LOOK));
        assert_eq!(table.next(), Some(time_of(at("2026-11-20T14:00:00Z"))));
        let next = Some(time_of(at("2026-11-19T09:00:00Z")));
        assert_eq!(table.look(at("2026-11-19T08:10:00Z")), Look::Tell(Tick::Next(next)));
    }

    #[test]
    fn daylight_saving_neither_skips_nor_repeats_a_daily_run() {
        // 02:30 does not exist on 2025-03-29T… local 30 March, and exists twice on 26 October.
        assert_eq!(
            times("30 2 * * *", "2025-03-29T00:00:00Z", 3),
            ["2025-03-29T01:30:00Z", "2025-03-30T01:00:00Z", "2025-03-31T00:30:00Z"]
        );
        assert_eq!(
            times("30 2 * * *", "2025-10-25T00:00:00Z", 3),
            ["2025-10-25T00:30:00Z", "2025-10-26T00:30:00Z", "2025-10-27T01:30:00Z"]
        );
        assert_eq!(
            times("0 * * * *", "2025-10-25T23:30:00Z", 3),
            ["2025-10-26T00:00:00Z", "2025-10-26T01:00:00Z", "2025-10-26T02:00:00Z"]
        );
    }

    /// Follows the times of `cron` by a clock that goes with the runtime's, which stands still, but for what it was set
    /// forward by.
    fn follow_by(
        cron: &str,
        now: &str,
        ahead: Arc<AtomicU64>,
    ) -> (Instant, mpsc::UnboundedReceiver<(Duration, Tick)>) {
        let (begun, start) = (Instant::now(), at(now));
        let clock = move || start + begun.elapsed() + Duration::from_secs(ahead.load(Ordering::Relaxed));
        let (sender, ticks) = mpsc::unbounded_channel();
        let report = move |tick| {
            let _ = sender.send((begun.elapsed(), tick));
        };
        tokio::spawn(follow(table(cron, now), clock, report));
        (begun, ticks)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_follows_is_told_in_time_and_never_early() {
        let (_, mut ticks) = follow_by("*/5 * * * *", "2026-11-20T11:58:30Z", Arc::default());
        let next = |time: &str| Some(time_of(at(time)));
        assert_eq!(ticks.recv().await.unwrap(), (Duration::ZERO, Tick::Next(next("2026-11-20T12:00:00Z"))));
        for (seconds, follows) in [(90, "12:05:00"), (390, "12:10:00"), (690, "12:15:00")] {
            let (came, tick) = ticks.recv().await.unwrap();
            assert_eq!(tick, Tick::Due { next: next(&format!("2026-11-20T{follows}Z")) });
            let late = came.checked_sub(Duration::from_secs(seconds)).expect("told early");
            assert!(late < Duration::from_millis(20), "{late:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_is_noticed_at_the_next_look_and_what_was_missed_told_once() {
        let ahead = Arc::new(AtomicU64::new(0));
        let (begun, mut ticks) = follow_by("0 * * * *", "2026-11-20T12:00:00Z", Arc::clone(&ahead));
        assert!(matches!(ticks.recv().await.unwrap().1, Tick::Next(_)));
        sleep_until(begun + Duration::from_secs(95)).await;
        // As after a sleep of the machine, which the runtime's clock knows nothing of.
        ahead.store(3 * 60 * 60, Ordering::Relaxed);
        let (came, tick) = ticks.recv().await.unwrap();
        let (missed, next) = (at("2026-11-20T13:00:00Z"), at("2026-11-20T16:00:00Z"));
        assert_eq!(tick, Tick::Missed { at: time_of(missed), next: Some(time_of(next)) });
        assert!(came <= Duration::from_secs(95) + LOOK, "{came:?}");
        let (came, tick) = ticks.recv().await.unwrap();
        assert_eq!(tick, Tick::Due { next: Some(time_of(at("2026-11-20T17:00:00Z"))) });
        assert!(came >= Duration::from_secs(60 * 60), "{came:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_due_is_not_waited_for() {
        let (_, mut ticks) = follow_by("0 0 31 2 *", "2026-11-20T12:00:00Z", Arc::default());
        assert_eq!(ticks.recv().await.unwrap().1, Tick::Next(None));
        assert_eq!(ticks.recv().await, None, "the task goes on");
    }

    #[test]
    fn a_line_that_is_none_or_never_comes_due_is_no_panic() {
        for bad in ["", "* * * *", "61 * * * *", "x y z a b", "@sometimes", "* * * * * * * * *"] {
            assert!(Timetable::new(bad, zone(), at("2026-11-20T12:00:00Z")).is_err(), "{bad:?}");
        }
        let mut never = table("0 0 31 2 *", "2026-11-20T12:00:00Z");
        assert_eq!(never.look(at("2026-11-20T12:00:00Z")), Look::Never);
    }
}
