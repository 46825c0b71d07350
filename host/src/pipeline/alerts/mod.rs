//! Alerts: told at once of what the user wants to be told of, and not again and again.
//!
//! # Theory of operation
//!
//! ```text
//!   events ──▶ take_event ─┐  rules    ┌─ Watch (an alert and a process) ─ enough ─▶ said ──▶ thread `alerts`
//!   stored lines ▶ take ───┘ (`rules`) └─ (`watch`)                                     ├─▶ catalogue ─▶ who waits
//!                                                                                       └─▶ a line in the run's log
//! ```
//!
//! Workers hold lines and events against the rules and count, under a short lock, and never wait for the disk. Lines are
//! looked at once they are masked and stored, and only of processes that some rule about lines names. What is raised is
//! written down, put into the log and told by a thread of its own, which also says when a window is over in which more
//! came. What an earlier daemon has raised stays raised, and numbers of alerts go on from its last.
//!
//! A process and its replicas are one. What Ostler itself says raises nothing. Everything is bounded: rules, pairs of an
//! alert and a process, the times that are remembered of each, and what waits for a full disk.

mod rules;
mod watch;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch as tokio_watch;
use tracing::{error, warn};

pub use rules::AlertRule;

use super::events::Stored;
use super::{Pipeline, Remark, WeakPipeline};
use crate::bounds;
use crate::model::{Event, Level, ProcessName, RunId, Seq, Stream, Time};
use crate::store::{AlertQuery, AlertRecord, Catalogue, CatalogueError};
use crate::traces;
use rules::{LineRules, Rules, short};
use watch::{Limits, Taken, Watch};

/// Longest pause between two looks at windows that are open.
const LOOK: Duration = Duration::from_secs(5);
/// Pause before what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The alerts of a project. Cheap to clone; what was raised is written with the last clone's end.
#[derive(Clone)]
pub struct Alerts {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    catalogue: Arc<Catalogue>,
    watching: Mutex<Watching>,
    /// Which rules are in force: goes up with each change.
    number: AtomicU64,
    /// Rung when there is something to say, another moment to wait for, or the end.
    bell: Condvar,
    /// Held while something is written, so that writings stay in order.
    writing: Mutex<()>,
    /// Puts lines into the log.
    pipeline: OnceLock<WeakPipeline>,
    /// The last alert that stands in the catalogue.
    newest: tokio_watch::Sender<u64>,
}

#[derive(Default)]
struct Watching {
    rules: Arc<Rules>,
    watches: HashMap<(usize, ProcessName), Watch>,
    /// The number of the alert that was raised last.
    newest: u64,
    to_say: Vec<Remark>,
    to_write: VecDeque<Change>,
    /// There was no room for more pairs of an alert and a process, which is said once.
    is_full: bool,
    ended: bool,
}

/// A change of the catalogue.
#[derive(Debug)]
enum Change {
    Raised(AlertRecord),
    More { id: u64, more: u64 },
}

/// What the lines of one run are held against, as its intake remembers it.
#[derive(Default)]
pub(super) struct Alerted {
    number: u64,
    rules: Option<Arc<LineRules>>,
}

/// One that counts.
struct Found<'f> {
    process: &'f ProcessName,
    run: RunId,
    seq: Seq,
    time: Time,
    level: Level,
}

impl Alerts {
    /// Begins with `rules`, and with what an earlier daemon has raised.
    ///
    /// # Errors
    /// When the thread cannot be started; an error of the catalogue is one of these.
    pub fn start(catalogue: Arc<Catalogue>, rules: Vec<AlertRule>) -> std::io::Result<Self> {
        let shared = Shared::new(catalogue, rules, Time::now()).map_err(std::io::Error::other)?;
        let shared = Arc::new(shared);
        let keeper = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("alerts".into()).spawn(move || keeper.run())?;
        Ok(Self { handle: Arc::new(Handle { shared, thread: Mutex::new(Some(thread)) }) })
    }

    /// Puts a line into the log of who raises an alert, from now on.
    pub fn speak_through(&self, pipeline: &Pipeline) {
        let _ = self.handle.shared.pipeline.set(pipeline.downgrade());
    }

    /// Puts other rules in force. What was raised stays so where an alert has the same name.
    pub fn set_rules(&self, rules: Vec<AlertRule>) {
        self.handle.shared.set_rules(rules);
    }

    /// Counts an event. What Ostler itself remarks is none of the process's.
    pub fn take_event(&self, event: &Event) {
        if event.stream != Stream::Ostler {
            self.handle.shared.take_event(event, Time::now());
        }
    }

    /// Counts lines of a run that are in the store.
    pub(super) fn take_lines(
        &self,
        alerted: &mut Alerted,
        run: RunId,
        process: &ProcessName,
        batch: &Stored<'_>,
    ) {
        self.handle.shared.take_lines(alerted, run, process, batch, Time::now());
    }

    /// Returns the alerts whose window is not over, in the order they were raised.
    pub fn open(&self) -> Vec<AlertRecord> {
        let now = Time::now();
        let watching = lock(&self.handle.shared.watching);
        let mut open: Vec<AlertRecord> =
            watching.watches.values().filter_map(|watch| watch.open(now)).cloned().collect();
        open.sort_by_key(|alert| alert.id);
        open
    }

    /// Returns the number of the last alert in the catalogue, and wakes whoever waits for another one.
    pub fn subscribe(&self) -> tokio_watch::Receiver<u64> {
        self.handle.shared.newest.subscribe()
    }

    /// Writes down what was raised and counted so far, and returns once it is written. Waits for the disk.
    ///
    /// # Errors
    /// When it cannot be written; it is kept then, and tried again.
    pub fn flush(&self) -> Result<(), CatalogueError> {
        lock(&self.handle.shared.watching).note_counts();
        self.handle.shared.write()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        {
            let mut watching = lock(&self.shared.watching);
            watching.note_counts();
            watching.ended = true;
        }
        self.shared.bell.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn new(catalogue: Arc<Catalogue>, rules: Vec<AlertRule>, now: Time) -> Result<Self, CatalogueError> {
        let newest = catalogue.newest_alert()?;
        let query = AlertQuery { limit: bounds::ALERTS_KEPT, ..AlertQuery::default() };
        let (raised, _) = catalogue.alerts(&query)?;
        let mut watching = Watching { rules: Arc::new(Rules::new(rules)), newest, ..Watching::default() };
        watching.restore(raised, now);
        Ok(Self {
            catalogue,
            watching: Mutex::new(watching),
            number: AtomicU64::new(1),
            bell: Condvar::new(),
            writing: Mutex::default(),
            pipeline: OnceLock::new(),
            newest: tokio_watch::Sender::new(newest),
        })
    }

    fn take_event(&self, event: &Event, now: Time) {
        let rules = Arc::clone(&lock(&self.watching).rules);
        let counts = rules.of_event(event);
        if counts.is_empty() {
            return;
        }
        let found = Found {
            process: &event.process,
            run: event.run,
            seq: event.first,
            time: event.time,
            level: event.level,
        };
        let mut watching = lock(&self.watching);
        // Other rules may have come into force meanwhile, and then this counts for none.
        if !Arc::ptr_eq(&rules, &watching.rules) {
            return;
        }
        let mut is_news = false;
        for rule in counts {
            is_news |= watching.take(rule, &found, now, &|| said(event));
        }
        drop(watching);
        self.ring(is_news);
    }

    fn take_lines(
        &self,
        alerted: &mut Alerted,
        run: RunId,
        process: &ProcessName,
        batch: &Stored<'_>,
        now: Time,
    ) {
        let mut number = self.number.load(Ordering::Acquire);
        if alerted.number != number {
            let watching = lock(&self.watching);
            // It goes up under the lock.
            number = self.number.load(Ordering::Acquire);
            let rules = Arc::clone(&watching.rules);
            drop(watching);
            *alerted = Alerted { number, rules: rules.of_lines(process) };
        }
        let Some(rules) = &alerted.rules else { return };
        let mut all = Vec::new();
        rules.look(batch, |place, text, rule| all.push((place, text, rule)));
        if all.is_empty() {
            return;
        }
        let mut watching = lock(&self.watching);
        if self.number.load(Ordering::Acquire) != number {
            return;
        }
        let mut is_news = false;
        for (place, text, rule) in all {
            let found = Found {
                process,
                run,
                seq: Seq(batch.first.0 + place as u64),
                time: Time(batch.times[place]),
                level: Level::Unknown,
            };
            is_news |= watching.take(rule, &found, now, &|| cut(&String::from_utf8_lossy(text)));
        }
        drop(watching);
        self.ring(is_news);
    }

    fn set_rules(&self, rules: Vec<AlertRule>) {
        let rules = Rules::new(rules);
        let mut watching = lock(&self.watching);
        watching.set_rules(rules);
        self.number.fetch_add(1, Ordering::Release);
        drop(watching);
        self.bell.notify_all();
    }

    fn ring(&self, is_news: bool) {
        if is_news {
            self.bell.notify_all();
        }
    }

    /// Says and writes what there is, and looks whose window is over, until the end.
    fn run(&self) {
        loop {
            let mut watching = lock(&self.watching);
            let is_last = loop {
                watching.tell_over(Time::now());
                if watching.ended || !watching.to_say.is_empty() || !watching.to_write.is_empty() {
                    break watching.ended;
                }
                let next = watching.watches.values().filter_map(Watch::next).min();
                watching = match next {
                    Some(next) => {
                        // Looked at now and then all the same: the clock may be set, and counts are to be written.
                        let left = next.since(Time::now()).clamp(Duration::from_millis(1), LOOK);
                        let woken = self.bell.wait_timeout(watching, left);
                        let (mut watching, woken) = woken.unwrap_or_else(PoisonError::into_inner);
                        if woken.timed_out() {
                            watching.note_counts();
                        }
                        watching
                    }
                    None => self.bell.wait(watching).unwrap_or_else(PoisonError::into_inner),
                };
            };
            drop(watching);
            let written = self.write();
            if let Err(error) = &written {
                error!(%error, "alerts cannot be written; they wait");
            }
            if is_last {
                return;
            }
            if written.is_err() {
                let watching = lock(&self.watching);
                let waits = |watching: &mut Watching| !watching.ended;
                drop(self.bell.wait_timeout_while(watching, RETRY, waits));
            }
        }
    }

    fn write(&self) -> Result<(), CatalogueError> {
        let _writing = lock(&self.writing);
        let (to_say, mut changes) = {
            let mut watching = lock(&self.watching);
            (std::mem::take(&mut watching.to_say), std::mem::take(&mut watching.to_write))
        };
        if let Some(pipeline) = self.pipeline.get() {
            to_say.into_iter().for_each(|remark| pipeline.remark(remark));
        }
        let mut newest = None;
        let mut written = Ok(());
        while let Some(change) = changes.front() {
            written = match change {
                Change::Raised(record) => self.catalogue.add_alert(record),
                Change::More { id, more } => self.catalogue.set_alert_more(*id, *more),
            };
            if written.is_err() {
                break;
            }
            if let Some(Change::Raised(record)) = changes.pop_front() {
                newest = Some(record.id);
            }
        }
        if let Some(newest) = newest {
            self.newest.send_replace(newest);
        }
        if written.is_err() {
            let mut watching = lock(&self.watching);
            changes.append(&mut watching.to_write);
            watching.to_write = changes;
            while watching.to_write.len() > bounds::ALERTS_UNWRITTEN {
                watching.to_write.pop_front();
                warn!("an alert is not in the catalogue: too many wait for it");
            }
        }
        written
    }
}

impl Watching {
    /// Counts what was found, and returns whether there is something to say.
    fn take(&mut self, rule: usize, found: &Found<'_>, now: Time, text: &dyn Fn() -> String) -> bool {
        let rules = Arc::clone(&self.rules);
        let Some(rule_itself) = rules.get(rule) else { return false };
        let limits = limits(rule_itself);
        let key = (rule, found.process.base());
        if !self.watches.contains_key(&key) && !self.has_room(now) {
            return false;
        }
        let watch = self.watches.entry(key).or_default();
        let Taken::Raise { meanwhile } = watch.take(limits, found.time, now) else { return false };
        self.newest += 1;
        let record = AlertRecord {
            id: self.newest,
            name: rule_itself.name.clone(),
            process: found.process.clone(),
            run: found.run,
            seq: found.seq,
            time: found.time,
            level: found.level,
            what: rule_itself.what(),
            text: text(),
            message: rule_itself.message.clone(),
            meanwhile,
            more: 0,
            until: Watch::until(limits, found.time, now),
        };
        let before = watch.raise(limits, record.clone(), now);
        self.to_write.extend(before.map(|before| Change::More { id: before.id, more: before.more }));
        self.to_say.push(remark(&record, now, raised_line(&record)));
        self.to_write.push_back(Change::Raised(record));
        true
    }

    /// Returns whether one more pair of an alert and a process may be looked after.
    fn has_room(&mut self, now: Time) -> bool {
        if self.watches.len() < bounds::ALERT_WATCHED {
            return true;
        }
        self.watches.retain(|_, watch| !watch.is_idle(now));
        let has_room = self.watches.len() < bounds::ALERT_WATCHED;
        if !has_room && !std::mem::replace(&mut self.is_full, true) {
            warn!(most = bounds::ALERT_WATCHED, "too many alerts and processes: some raise nothing");
        }
        has_room
    }

    /// Says what came in windows that are over.
    fn tell_over(&mut self, now: Time) {
        for ((rule, _), watch) in &mut self.watches {
            let Some(over) = watch.over(now) else { continue };
            if let Some(record) = watch.unwritten() {
                self.to_write.push_back(Change::More { id: record.id, more: record.more });
            }
            if over.untold > 0 {
                let window = self.rules.get(*rule).map_or(bounds::ALERT_WINDOW, |rule| rule.window);
                let (name, untold) = (&over.record.name, over.untold);
                let text = format!("alert {name}: {untold} more in the {} after it", short(window));
                self.to_say.push(remark(&over.record, now, text));
            }
        }
    }

    /// Notes how many came so far in windows that are not over.
    fn note_counts(&mut self) {
        let records = self.watches.values_mut().filter_map(Watch::unwritten);
        self.to_write.extend(records.map(|record| Change::More { id: record.id, more: record.more }));
    }

    fn set_rules(&mut self, rules: Rules) {
        self.note_counts();
        let old = std::mem::replace(&mut self.rules, Arc::new(rules));
        for ((rule, process), mut watch) in std::mem::take(&mut self.watches) {
            let Some(before) = old.get(rule) else { continue };
            let Some(place) = self.rules.place_of(&before.name) else { continue };
            if !self.rules.get(place).is_some_and(|now| now.counts_as(before)) {
                watch.forget_times();
            }
            self.watches.insert((place, process), watch);
        }
    }

    /// Takes up what was raised and still keeps quiet; of several the last one counts.
    fn restore(&mut self, raised: Vec<AlertRecord>, now: Time) {
        for record in raised.into_iter().filter(|record| record.until > now) {
            if let Some(rule) = self.rules.place_of(&record.name) {
                self.watches.insert((rule, record.process.base()), Watch::restored(record));
            }
        }
    }
}

fn limits(rule: &AlertRule) -> Limits {
    let count = rule.count.clamp(1, bounds::ALERT_RATE) as usize;
    Limits { count, within: rule.within, window: rule.window }
}

fn remark(record: &AlertRecord, now: Time, text: String) -> Remark {
    let (run, process) = (record.run, record.process.clone());
    Remark { run, process, time: now, level: Level::Warn, text }
}

/// Returns the line that stands in the log for an alert.
fn raised_line(record: &AlertRecord) -> String {
    let AlertRecord { name, what, text, meanwhile, .. } = record;
    let message = record.message.as_ref().map(|message| format!("{message}; ")).unwrap_or_default();
    let since = match meanwhile {
        0 => String::new(),
        more => format!(" ({more} more since the last alert)"),
    };
    format!("alert {name}: {message}{what}{since}: {text}")
}

/// Returns what an event says: what was raised where a trace tells, else its first line.
fn said(event: &Event) -> String {
    let shape = traces::read_structured(&event.text, &event.fields, None);
    match (shape.kind.as_str(), shape.message.as_str()) {
        ("", _) => cut(event.text.lines().next().unwrap_or_default()),
        (kind, "") => cut(kind),
        (kind, message) => cut(&format!("{kind}: {message}")),
    }
}

/// Returns a line without control characters and no longer than is kept.
fn cut(text: &str) -> String {
    let mut kept: String = text.chars().filter(|c| !c.is_control()).take(bounds::ALERT_TEXT + 1).collect();
    if let Some((end, _)) = kept.char_indices().nth(bounds::ALERT_TEXT) {
        kept.truncate(end);
        kept.push('…');
    }
    kept.trim().to_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
