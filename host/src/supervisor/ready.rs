//! When a run is ready: one task per run that looks until it is, and goes on looking whether it still is.
//!
//! "Ready" means that the sign was seen *and* the socket answers, and that the socket belongs to the run. The task
//! only reports; the driver decides.
//!
//! Looks at a ready run are of two kinds. Those by the kernel's table of sockets cost the run nothing and come often.
//! Those that ask the run itself — a request, a command — leave traces in its log, and come seldom, until one fails.

use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep_until};

use super::looks::{Purpose, Sight};
use super::probe::{self, Subject, is_local, tcp_answers};
use super::procfs;
use crate::bounds;
use crate::config::{Check, Endpoint, HttpUrl, Ready};
use crate::model::Seq;
use crate::store::Pattern;

/// Pause between two looks at a run that is not ready; it grows to `SLOWEST_LOOK`.
const FIRST_LOOK: Duration = Duration::from_millis(20);
/// See `FIRST_LOOK`.
const SLOWEST_LOOK: Duration = Duration::from_millis(250);
/// Pause between two looks at a run that was not ready in time: it may have nothing to be ready for.
const LATE_LOOK: Duration = Duration::from_secs(3);
/// How long a tree listens, without any line that says so, before that alone counts as ready.
const LISTENING_ALONE: Duration = Duration::from_secs(2);
/// Oldest sighting of the machine's listeners that is good enough for runs that are looked at now and then. One of all
/// runs that pays for a sighting pays for the others.
const SIGHTING_AGE: Duration = Duration::from_secs(1);
/// Looks at a run that listens nowhere that are answered by nothing having changed on the machine. Then its processes
/// are looked at again: a socket can have been handed to one of them.
const LOOKS_ON_TRUST: u32 = 20;
/// Looks at a run that was ready by its own word alone, until it counts as one that listens nowhere.
const LISTENING_LOOKS: u32 = 8;

/// What the task found, for its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// It was ready and is not any more; the text says what was seen.
    Withdrawn(String),
    /// The time-out passed; the task goes on looking.
    Late(String),
}

/// A sign of readiness that a classifier saw in the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// `ready` or `listening`.
    pub kind: String,
    pub url: Option<String>,
}

/// Looks at the run until it is dropped. `signs` carries what classifiers see of this run.
pub async fn watch(
    subject: Subject,
    ready: Ready,
    signs: mpsc::UnboundedReceiver<Sign>,
    reports: impl Fn(Readiness) + Send,
) {
    let mut look = Look::new(subject, ready, signs);
    look.until_ready(&reports).await;
    reports(Readiness::Ready);
    look.while_ready(&reports).await;
}

/// The looking, and what has been seen so far.
struct Look {
    subject: Subject,
    ready: Ready,
    signs: mpsc::UnboundedReceiver<Sign>,
    /// Lines up to here were searched for the configured pattern.
    searched: Seq,
    pattern: Option<Pattern>,
    sign: Option<Sign>,
    /// The last sign with another address than `sign`: a server that begins anew may have to move.
    moved: Option<Sign>,
    listening_since: Option<Instant>,
    /// Where the run answered, for the looks that follow.
    answered: Option<Endpoint>,
    /// Where the run listens that was ready by its own word.
    listens: Vec<u16>,
    /// The machine's listeners when the run was seen to listen nowhere, and how often that was taken on trust since.
    barren: Option<(u64, u32)>,
    /// Oldest sighting that is good enough.
    age: Duration,
}

impl Look {
    fn new(subject: Subject, ready: Ready, signs: mpsc::UnboundedReceiver<Sign>) -> Self {
        let pattern = match &ready.check {
            // The configuration's loader has compiled it once already.
            Some(Check::Log(pattern)) => Pattern::new(pattern).ok(),
            _ => None,
        };
        Self {
            subject,
            ready,
            signs,
            searched: Seq(0),
            pattern,
            sign: None,
            moved: None,
            listening_since: None,
            answered: None,
            listens: Vec::new(),
            barren: None,
            age: Duration::ZERO,
        }
    }

    async fn until_ready(&mut self, reports: &impl Fn(Readiness)) {
        let started = Instant::now();
        let mut pause = FIRST_LOOK;
        let mut late = false;
        loop {
            let sight = self.look().await;
            if sight.ok {
                return;
            }
            let is_over = self.time_is_over(started);
            // Without a configured check there is nothing that could be late.
            if !late && self.ready.check.is_some() && is_over {
                late = true;
                reports(Readiness::Late(format!(
                    "not ready within {:?}: {}",
                    self.ready.timeout, sight.what
                )));
            }
            self.pause(pause).await;
            self.age = (pause / 2).min(SIGHTING_AGE);
            pause = if is_over {
                LATE_LOOK
            } else if self.ready.check.is_none() && self.sign.is_none() {
                // Many a process never listens anywhere: nobody should pay for waiting for it. A sign ends the pause.
                (started.elapsed() / 8).clamp(FIRST_LOOK, LATE_LOOK)
            } else {
                (pause * 2).min(SLOWEST_LOOK)
            };
        }
    }

    async fn while_ready(&mut self, reports: &impl Fn(Readiness)) {
        // Its own word needs no second look.
        let patience = if self.is_by_its_word() { 1 } else { bounds::READY_FAILURES };
        let mut failures: u32 = 0;
        let mut is_ready = true;
        let mut asked = Instant::now();
        for round in 0u32.. {
            self.pause(bounds::READY_RECHECK).await;
            let is_asking = !is_ready || failures > 0 || asked.elapsed() >= bounds::READY_RECHECK_ASKING;
            let mut sight = if is_asking {
                asked = Instant::now();
                self.ask_again().await
            } else {
                self.see_again().await
            };
            if !sight.ok && self.ready.check.is_none() {
                let known = self.answered.clone();
                sight = self.look_elsewhere(known.as_ref()).await.unwrap_or(sight);
            }
            failures = if sight.ok { 0 } else { failures.saturating_add(1) };
            if is_ready && failures >= patience {
                is_ready = false;
                reports(Readiness::Withdrawn(sight.what));
            } else if !is_ready && failures == 0 {
                is_ready = true;
                reports(Readiness::Ready);
            }
            let has_nothing_to_lose =
                self.ready.check.as_ref().is_none_or(|check| matches!(check, Check::Log(_)))
                    && self.answered.is_none()
                    && self.listens.is_empty();
            if has_nothing_to_lose && round >= LISTENING_LOOKS {
                return;
            }
        }
    }

    /// Waits for the next look; what a run says of itself is looked at when it is said, and so is its first sign.
    async fn pause(&mut self, pause: Duration) {
        let by_its_word = self.is_by_its_word();
        let over = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(over) => return,
                Ok(()) = self.subject.notified.changed(), if by_its_word => return,
                // Taken in even when nobody waits for them, so that they do not pile up.
                Some(sign) = self.signs.recv() => {
                    let is_first = self.sign.is_none();
                    self.take(sign);
                    if is_first && self.ready.check.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Takes in a sign. The first one with an address counts, until nobody answers there.
    fn take(&mut self, sign: Sign) {
        match &self.sign {
            None | Some(Sign { url: None, .. }) => self.sign = Some(sign),
            Some(known) if sign.url.is_some() && sign.url != known.url => self.moved = Some(sign),
            Some(_) => {}
        }
    }

    fn is_by_its_word(&self) -> bool {
        self.ready.check == Some(Check::Notify)
    }

    fn time_is_over(&self, started: Instant) -> bool {
        let asked_for = self.subject.notified.borrow().extended_to;
        let now = Instant::now();
        now.duration_since(started) >= self.ready.timeout && asked_for.is_none_or(|until| now >= until)
    }

    /// Looks whether it is ready, after it was not.
    async fn look(&mut self) -> Sight {
        while let Ok(sign) = self.signs.try_recv() {
            self.take(sign);
        }
        let Some(check) = &self.ready.check else { return self.look_for_signs().await };
        if matches!(check, Check::Log(_)) {
            return self.look_for_a_line().await;
        }
        let port = self.subject.port;
        let endpoint = match check {
            Check::Tcp(address) => Endpoint::parse(&address.with_port(port)),
            Check::Http(check) => HttpUrl::parse(&check.url.with_port(port)).map(|url| url.endpoint),
            _ => None,
        };
        let sight = probe::look(&self.subject, check, Purpose::Ready, bounds::READY_LOOK).await.sight;
        if sight.ok {
            self.answered = endpoint;
        }
        sight
    }

    async fn look_for_a_line(&mut self) -> Sight {
        let Some(pattern) = &self.pattern else { return Sight::bad("its pattern cannot be used") };
        let what = format!("no line matched `{}`", pattern.as_str());
        if self.subject.store.newest() == self.searched {
            return Sight::bad(what);
        }
        let (found, searched) = probe::line_after(&self.subject, pattern, self.searched).await;
        self.searched = searched;
        if found { Sight::good("a line matched") } else { Sight::bad(what) }
    }

    /// Without a configured check: a classifier's sign and an answering socket, or a socket alone for a while.
    async fn look_for_signs(&mut self) -> Sight {
        if let Some(sign) = &self.sign {
            let url = sign.url.as_deref().and_then(HttpUrl::parse);
            let Some(url) = url else { return Sight::good("its output says so") };
            let sight = self.own_answers(url.endpoint.clone()).await;
            if sight.ok {
                return sight;
            }
            return self.look_elsewhere(Some(&url.endpoint)).await.unwrap_or(sight);
        }
        let Some(port) = self.own_ports().await.into_iter().next() else {
            self.listening_since = None;
            return Sight::bad("no sign of readiness");
        };
        let since = *self.listening_since.get_or_insert_with(Instant::now);
        if since.elapsed() < LISTENING_ALONE {
            return Sight::bad("no sign of readiness");
        }
        self.answers(Endpoint { host: "localhost".to_owned(), port }).await
    }

    /// Looks where on this machine the run has said to be, other than at `known`; nothing when it is at no such place.
    async fn look_elsewhere(&mut self, known: Option<&Endpoint>) -> Option<Sight> {
        while let Ok(sign) = self.signs.try_recv() {
            self.take(sign);
        }
        for sign in [self.moved.clone(), self.sign.clone()].into_iter().flatten() {
            let Some(url) = sign.url.as_deref().and_then(HttpUrl::parse) else { continue };
            // Where anybody could answer, an answer says nothing of this run.
            if known == Some(&url.endpoint) || !is_local(&url.endpoint) {
                continue;
            }
            let sight = self.own_answers(url.endpoint).await;
            if sight.ok {
                (self.sign, self.moved) = (Some(sign), None);
                return Some(sight);
            }
        }
        None
    }

    /// Looks whether something answers there, and is the run's own.
    async fn own_answers(&mut self, endpoint: Endpoint) -> Sight {
        match probe::alien(&self.subject, &endpoint).await {
            Some(alien) => alien,
            None => self.answers(endpoint).await,
        }
    }

    async fn answers(&mut self, endpoint: Endpoint) -> Sight {
        let sight = tcp_answers(&endpoint, bounds::READY_LOOK).await;
        if sight.ok {
            self.answered = Some(endpoint);
        }
        sight
    }

    /// Looks whether it is still ready, at no cost to it.
    async fn see_again(&mut self) -> Sight {
        if self.is_by_its_word() {
            return self.look().await;
        }
        match &self.answered {
            // Nobody but the server itself can say, and it is asked less often.
            Some(endpoint) if !is_local(endpoint) => Sight::good("it answered before"),
            // To many a server, a connection without a request is an error worth a line of log.
            Some(endpoint) => {
                let what = format!("nothing listens at {endpoint} any more");
                self.still_listens(&[endpoint.port], what).await
            }
            None if matches!(self.ready.check, Some(Check::Exec(_))) => Sight::good("it succeeded before"),
            None => self.listens_still().await,
        }
    }

    /// Looks whether it is still, or again, ready, by asking it where it can be asked.
    async fn ask_again(&mut self) -> Sight {
        match (&self.ready.check, self.answered.clone()) {
            (Some(Check::Http(_) | Check::Exec(_) | Check::Notify), _) => self.look().await,
            (_, Some(endpoint)) if !is_local(&endpoint) => tcp_answers(&endpoint, bounds::READY_LOOK).await,
            // Somebody else may have taken the place meanwhile.
            (_, Some(endpoint)) => match probe::alien(&self.subject, &endpoint).await {
                Some(alien) => alien,
                None => self.see_again().await,
            },
            _ => self.see_again().await,
        }
    }

    /// Of a run that said so itself, and listens somewhere, it is expected that it goes on listening.
    async fn listens_still(&mut self) -> Sight {
        if self.listens.is_empty() {
            self.age = SIGHTING_AGE;
            self.listens = self.own_ports().await;
            return Sight::good("it said so");
        }
        let ports: Vec<String> = self.listens.iter().take(5).map(u16::to_string).collect();
        let what = format!("it listened on port {} and does not any more", ports.join(", "));
        self.still_listens(&self.listens, what).await
    }

    /// Returns where the run listens. As long as nobody on this machine has begun or ceased to listen, a run that
    /// listened nowhere does not either, and its processes need not be looked at.
    async fn own_ports(&mut self) -> Vec<u16> {
        let sighting = self.subject.lookout.sighting(self.age).await;
        if let Some((generation, trusted)) = &mut self.barren
            && *generation == sighting.generation
            && *trusted < LOOKS_ON_TRUST
        {
            *trusted += 1;
            return Vec::new();
        }
        let (pid, generation) = (self.subject.pid, sighting.generation);
        let look = move || sighting.ports_of(&procfs::tree(pid)).into_iter().collect();
        let ports: Vec<u16> = tokio::task::spawn_blocking(look).await.unwrap_or_default();
        self.barren = ports.is_empty().then_some((generation, 0));
        ports
    }

    /// Asks the kernel, and not the server itself, whether any of the ports is still listened on.
    async fn still_listens(&self, ports: &[u16], otherwise: String) -> Sight {
        match self.subject.lookout.sighting(SIGHTING_AGE).await.has_any(ports) {
            true => Sight::good("it listens"),
            false => Sight::bad(otherwise),
        }
    }
}
