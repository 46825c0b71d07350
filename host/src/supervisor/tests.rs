//! What waits in the supervisor, under a clock that nobody has to wait for: it jumps to the next time that something
//! is due as soon as nobody has anything to do.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::health::{self, Finding, Grace};
use super::looks::Looks;
use super::probe::{Notice, Subject};
use super::ready::{self, Readiness, Sign};
use crate::bounds;
use crate::config::{Check, Health, HealthLook, HttpCheck, PortText, Ready};
use crate::model::RunId;
use crate::shim::Notified;
use crate::store::Store;

/// More than a look lets pass by rounding to the timer's milliseconds.
const SLACK: Duration = Duration::from_millis(20);

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A run to be looked at, which is this test program, and what it says of itself.
struct Run {
    subject: Subject,
    said: watch::Sender<Notice>,
    begun: Instant,
    _dir: tempfile::TempDir,
}

impl Run {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (said, notified) = watch::channel(Notice::default());
        let subject = Subject {
            run: RunId(1),
            pid: std::process::id(),
            port: None,
            dir: dir.path().to_owned(),
            store: Arc::new(Store::open(dir.path()).unwrap().0),
            lookout: Arc::default(),
            notified,
            looks: Looks::default(),
            secrets: Default::default(),
        };
        Self { subject, said, begun: Instant::now(), _dir: dir }
    }

    /// Says something at these times.
    fn says<const N: usize>(&self, words: [(f64, Notified); N]) {
        let (said, begun) = (self.said.clone(), self.begun);
        tokio::spawn(async move {
            for (at, word) in words {
                sleep_until(begun + seconds(at)).await;
                said.send_replace(Notice::new(word));
            }
        });
    }

    fn is_healthy(&self, health: Health, age: f64, grace: Grace) -> Found<Finding> {
        let (report, found) = Found::of(self.begun);
        tokio::spawn(health::watch(self.subject.clone(), health, seconds(age), grace, report));
        found
    }

    fn is_ready(&self, check: Check, timeout: f64) -> Found<Readiness> {
        let (report, found) = Found::of(self.begun);
        let ready = Ready { check: Some(check), timeout: seconds(timeout) };
        let (signs, signs_rx) = mpsc::unbounded_channel();
        let subject = self.subject.clone();
        tokio::spawn(async move {
            ready::watch(subject, ready, signs_rx, report).await;
            drop(signs);
        });
        found
    }
}

/// What a task finds, and when.
struct Found<T>(mpsc::UnboundedReceiver<(Duration, T)>);

impl<T: Send + 'static> Found<T> {
    fn of(begun: Instant) -> (impl Fn(T) + Send + Sync, Self) {
        let (sender, found) = mpsc::unbounded_channel();
        (move |what| drop(sender.send((begun.elapsed(), what))), Self(found))
    }

    /// Returns the next finding, which is to come at `at` seconds, or up to `late` after that.
    async fn within(&mut self, at: f64, late: Duration) -> T {
        let (came, found) = self.0.recv().await.unwrap();
        assert!(came >= seconds(at) && came <= seconds(at) + late + SLACK, "came at {came:?}, not at {at} s");
        found
    }

    async fn at(&mut self, at: f64) -> T {
        self.within(at, Duration::ZERO).await
    }
}

fn every(every: f64, failures: u32) -> Health {
    probe(Check::Notify, every, failures, 0.0)
}

fn probe(check: Check, every: f64, failures: u32, delay: f64) -> Health {
    let (every, delay) = (seconds(every), seconds(delay));
    let look = HealthLook::Probe { check, every, timeout: seconds(3.0), delay };
    Health { look, failures, restart: true }
}

fn watchdog(every: f64, failures: u32) -> Health {
    Health { look: HealthLook::Watchdog(seconds(every)), failures, restart: true }
}

/// Failed looks count from now on.
fn no_grace() -> Grace {
    Grace { been_ready: watch::channel(true).1, until: Instant::now() }
}

fn ready() -> Notified {
    Notified { ready: true, ..Notified::default() }
}

fn alive() -> Notified {
    Notified { watchdog_age: Some(Duration::ZERO), ..ready() }
}

fn is_sick(finding: &Finding) -> bool {
    matches!(finding, Finding::Sick(_))
}

#[tokio::test(start_paused = true)]
async fn a_health_check_keeps_its_rhythm() {
    let run = Run::new();
    let mut found = run.is_healthy(every(10.0, 3), 0.0, no_grace());
    run.says([(25.0, ready()), (35.0, Notified::default())]);
    assert!(is_sick(&found.at(20.0).await));
    assert_eq!(found.at(30.0).await, Finding::Well);
    assert!(is_sick(&found.at(60.0).await), "looks at 40, 50 and 60");
    assert_eq!(run.subject.looks.all().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_delay_of_a_health_check_counts_from_the_start_of_the_run() {
    let run = Run::new();
    let mut found = run.is_healthy(probe(Check::Notify, 10.0, 2, 60.0), 45.0, no_grace());
    assert!(is_sick(&found.at(25.0).await));
    let run = Run::new();
    let mut found = run.is_healthy(probe(Check::Notify, 10.0, 2, 60.0), 4500.0, no_grace());
    assert!(is_sick(&found.at(10.0).await));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_starts_is_left_in_peace_until_it_was_ready_or_its_time_is_over() {
    let run = Run::new();
    let (been_ready, been_ready_rx) = watch::channel(false);
    let grace = Grace { been_ready: been_ready_rx, until: run.begun + seconds(60.0) };
    assert!(is_sick(&run.is_healthy(every(10.0, 3), 0.0, grace.clone()).at(80.0).await));

    let run = Run::new();
    let grace = Grace { until: run.begun + seconds(60.0), ..grace };
    let mut found = run.is_healthy(every(10.0, 3), 0.0, grace.clone());
    let mut dogged = run.is_healthy(watchdog(10.0, 1), 0.0, grace);
    sleep_until(run.begun + seconds(15.0)).await;
    been_ready.send_replace(true);
    assert!(is_sick(&dogged.at(25.5).await));
    assert!(is_sick(&found.at(40.0).await));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_hangs_takes_its_time_and_no_more() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = PortText::new(format!("http://{}/", silent.local_addr().unwrap()));
    let check = Check::Http(HttpCheck { url, status: HttpCheck::STATUS, body: None });
    let run = Run::new();
    let mut found = run.is_healthy(probe(check, 1.0, 2, 0.0), 0.0, no_grace());
    let finding = found.within(6.0, seconds(0.05)).await;
    assert!(matches!(finding, Finding::Sick(why) if why.ends_with("was not answered within 3s")));
}

#[tokio::test(start_paused = true)]
async fn a_watchdog_counts_from_the_last_word() {
    let run = Run::new();
    let mut found = run.is_healthy(watchdog(30.0, 2), 0.0, no_grace());
    // Another word in between is no sign of life.
    let other = Notified { watchdog_age: Some(seconds(15.0)), ..ready() };
    run.says([(20.0, alive()), (45.0, alive()), (60.0, other), (110.0, alive())]);
    let slack = 0.5;
    let finding = found.at(105.0 + slack).await;
    assert_eq!(
        finding,
        Finding::Sick("health check failed 2 times: it has not said WATCHDOG=1 for 60s".into())
    );
    assert_eq!(found.at(110.0).await, Finding::Well);
    assert!(is_sick(&found.at(170.0 + slack).await));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ready_in_time_is_told_once_and_waited_for() {
    let run = Run::new();
    let mut found = run.is_ready(Check::Notify, 30.0);
    run.says([(3600.0, ready()), (3700.0, Notified::default())]);
    let late = "not ready within 30s: it has not said READY=1 through NOTIFY_SOCKET";
    assert_eq!(found.within(30.0, seconds(0.25)).await, Readiness::Late(late.into()));
    // By its word at once, and not at the next look.
    assert_eq!(found.at(3600.0).await, Readiness::Ready);
    assert!(matches!(found.at(3700.0).await, Readiness::Withdrawn(_)));
}

#[tokio::test(start_paused = true)]
async fn time_that_is_asked_for_counts_from_when_it_is_asked_for() {
    let run = Run::new();
    let mut found = run.is_ready(Check::Notify, 30.0);
    let more = || Notified { extended: seconds(60.0), ..Notified::default() };
    run.says([(20.0, more()), (70.0, more())]);
    assert!(matches!(found.within(130.0, seconds(0.25)).await, Readiness::Late(_)));
}

#[tokio::test(start_paused = true)]
async fn readiness_is_withdrawn_after_the_third_look_in_vain_and_given_back_at_the_first_good_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let run = Run::new();
    let mut found = run.is_ready(Check::Tcp(PortText::new(address.to_string())), 30.0);
    let (came, readiness) = found.0.recv().await.unwrap();
    assert_eq!(readiness, Readiness::Ready);
    // For a while nobody finds anything.
    let gone = came + 10 * bounds::READY_RECHECK + bounds::READY_RECHECK / 2;
    sleep_until(run.begun + gone).await;
    drop(listener);
    let third = gone + bounds::READY_RECHECK * bounds::READY_FAILURES;
    let readiness = found.within(third.as_secs_f64() - 1.0, bounds::READY_RECHECK).await;
    assert_eq!(readiness, Readiness::Withdrawn(format!("nothing listens at {address} any more")));
    let _listener = TcpListener::bind(address).unwrap();
    let back = run.begun.elapsed();
    assert_eq!(found.within(back.as_secs_f64(), bounds::READY_RECHECK).await, Readiness::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_moves_to_another_port_is_ready_there() {
    let [first, second] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [&first, &second].map(|listener| listener.local_addr().unwrap());
    let listening = |address| Sign { kind: "listening".to_owned(), url: Some(format!("http://{address}/")) };
    let run = Run::new();
    let (report, mut found) = Found::of(run.begun);
    let (signs, signs_rx) = mpsc::unbounded_channel();
    tokio::spawn(ready::watch(run.subject.clone(), Ready::default(), signs_rx, report));
    signs.send(listening(addresses[0])).unwrap();
    assert_eq!(found.0.recv().await.unwrap().1, Readiness::Ready);
    // It says so before it is gone from where it was, and nobody sees it unready.
    signs.send(listening(addresses[1])).unwrap();
    drop(first);
    sleep_until(Instant::now() + 10 * bounds::READY_RECHECK).await;
    assert!(found.0.try_recv().is_err());
    drop(second);
    let expected = format!("nothing listens at {} any more", addresses[1]);
    assert_eq!(found.0.recv().await.unwrap().1, Readiness::Withdrawn(expected));
    // Back where it was at first, which it says again.
    let _first = TcpListener::bind(addresses[0]).unwrap();
    signs.send(listening(addresses[0])).unwrap();
    assert_eq!(found.0.recv().await.unwrap().1, Readiness::Ready);
}
