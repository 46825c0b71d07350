//! When a run is ready: one task per run that looks until it is, and goes on looking whether it still is.
//!
//! "Ready" means that the sign was seen *and* the socket answers, and that the socket belongs to the run: another
//! server that holds the port must not make this one look ready. The task only reports; the driver decides.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::probe::{http_answers, tcp_answers};
use super::procfs;
use crate::config::{Check, Endpoint, HttpUrl, Ready};
use crate::model::{RunId, Seq};
use crate::store::{LogQuery, Pattern, Store, Take};

/// Pause between two looks at a run that is not ready; it grows to `SLOWEST_LOOK`.
const FIRST_LOOK: Duration = Duration::from_millis(20);
/// See `FIRST_LOOK`.
const SLOWEST_LOOK: Duration = Duration::from_millis(250);
/// Pause between two looks at a run that was not ready in time: it may have nothing to be ready for.
const LATE_LOOK: Duration = Duration::from_secs(3);
/// Pause between two looks at a run that is ready.
const RECHECK: Duration = Duration::from_secs(2);
/// Failed looks in a row after which readiness is withdrawn.
const FAILURES: u32 = 3;
/// How long a tree listens, without any line that says so, before that alone counts as ready.
const LISTENING_ALONE: Duration = Duration::from_secs(2);

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

/// The run to look at.
pub struct Subject {
    pub run: RunId,
    pub pid: u32,
    pub ready: Ready,
    pub store: Arc<Store>,
}

/// Looks at the run until it is dropped. `signs` carries what classifiers see of this run.
pub async fn watch(
    subject: Subject,
    mut signs: mpsc::UnboundedReceiver<Sign>,
    reports: impl Fn(Readiness) + Send,
) {
    let started = Instant::now();
    let mut look = Look::new(&subject);
    let mut pause = FIRST_LOOK;
    let mut late = false;
    while !look.is_ready(&subject, &mut signs).await {
        // Without a configured check there is nothing that could be late.
        if !late && subject.ready.check.is_some() && started.elapsed() >= subject.ready.timeout {
            late = true;
            reports(Readiness::Late(look.why_not(&subject)));
        }
        sleep(pause).await;
        pause =
            if started.elapsed() < subject.ready.timeout { (pause * 2).min(SLOWEST_LOOK) } else { LATE_LOOK };
    }
    reports(Readiness::Ready);

    let Some(endpoint) = look.answered else { return };
    let mut failures = 0;
    let mut ready = true;
    loop {
        sleep(RECHECK).await;
        failures = if still_answers(&endpoint).await { 0 } else { failures + 1 };
        if ready && failures >= FAILURES {
            ready = false;
            reports(Readiness::Withdrawn(format!("nothing listens at {endpoint} any more")));
        } else if !ready && failures == 0 {
            ready = true;
            reports(Readiness::Ready);
        }
    }
}

/// What has been seen so far.
struct Look {
    /// Lines up to here were searched for the configured pattern.
    searched: Seq,
    pattern: Option<Pattern>,
    sign: Option<Sign>,
    listening_since: Option<Instant>,
    /// Where the run answered, for the looks that follow.
    answered: Option<Endpoint>,
    /// Another process listens where this one should.
    alien: Option<String>,
}

impl Look {
    fn new(subject: &Subject) -> Self {
        let pattern = match &subject.ready.check {
            // The configuration's loader has compiled it once already.
            Some(Check::Log(pattern)) => Pattern::new(pattern).ok(),
            _ => None,
        };
        Self { searched: Seq(0), pattern, sign: None, listening_since: None, answered: None, alien: None }
    }

    async fn is_ready(&mut self, subject: &Subject, signs: &mut mpsc::UnboundedReceiver<Sign>) -> bool {
        while let Ok(sign) = signs.try_recv() {
            // A sign with an address is worth more than one without.
            if self.sign.as_ref().is_none_or(|known| known.url.is_none()) {
                self.sign = Some(sign);
            }
        }
        match &subject.ready.check {
            Some(Check::Log(_)) => self.line_was_seen(subject).await,
            Some(Check::Tcp(text)) => {
                let Some(endpoint) = Endpoint::parse(&text.with_port(None)) else { return false };
                self.belongs(subject, &endpoint).await
                    && self.answers(tcp_answers(&endpoint).await, &endpoint)
            }
            Some(Check::Http(check)) => {
                let Some(url) = HttpUrl::parse(&check.url.with_port(None)) else { return false };
                let endpoint = &url.endpoint;
                self.belongs(subject, endpoint).await && self.answers(http_answers(&url).await, endpoint)
            }
            Some(Check::Exec(_) | Check::Notify) => false,
            None => self.looks_ready(subject).await,
        }
    }

    /// Without a configured check: a classifier's sign and an answering socket, or a socket alone for a while.
    async fn looks_ready(&mut self, subject: &Subject) -> bool {
        if let Some(sign) = &self.sign {
            let Some(url) = sign.url.as_deref().and_then(HttpUrl::parse) else { return true };
            return self.belongs(subject, &url.endpoint).await
                && self.answers(tcp_answers(&url.endpoint).await, &url.endpoint);
        }
        let Some(port) = tree_ports(subject.pid).await.into_iter().next() else {
            self.listening_since = None;
            return false;
        };
        let since = *self.listening_since.get_or_insert_with(Instant::now);
        let endpoint = Endpoint { host: "localhost".to_owned(), port };
        since.elapsed() >= LISTENING_ALONE && self.answers(tcp_answers(&endpoint).await, &endpoint)
    }

    fn answers(&mut self, answered: bool, endpoint: &Endpoint) -> bool {
        if answered {
            self.answered = Some(endpoint.clone());
        }
        answered
    }

    /// Returns whether the port is, as far as can be seen, the run's own.
    async fn belongs(&mut self, subject: &Subject, endpoint: &Endpoint) -> bool {
        if !is_local(endpoint) {
            return true;
        }
        let (pid, port) = (subject.pid, endpoint.port);
        let owner = tokio::task::spawn_blocking(move || {
            if procfs::listening_ports(&procfs::tree(pid)).contains(&port) {
                None
            } else {
                // Nobody we may see: a container's proxy, another user's server. The answer decides then.
                procfs::port_owner(port)
            }
        });
        self.alien =
            owner.await.ok().flatten().map(|(pid, command)| {
                format!("port {port} belongs to another process: pid {pid} ({command})")
            });
        self.alien.is_none()
    }

    async fn line_was_seen(&mut self, subject: &Subject) -> bool {
        let newest = subject.store.newest();
        if newest == self.searched {
            return false;
        }
        let query = LogQuery {
            run: Some(subject.run),
            after: Some(self.searched),
            pattern: self.pattern.clone(),
            limit: 1,
            take: Take::Oldest,
            ..LogQuery::default()
        };
        let store = Arc::clone(&subject.store);
        let page = tokio::task::spawn_blocking(move || store.query(&query)).await;
        match page {
            Ok(page) => {
                self.searched = page.next;
                !page.lines.is_empty()
            }
            Err(_) => false,
        }
    }

    fn why_not(&self, subject: &Subject) -> String {
        let within = format!("within {:?}", subject.ready.timeout);
        if let Some(alien) = &self.alien {
            return format!("not ready {within}: {alien}");
        }
        match &subject.ready.check {
            Some(Check::Log(pattern)) => format!("no line matched `{pattern}` {within}"),
            Some(Check::Tcp(endpoint)) => format!("nothing accepted connections at {endpoint} {within}"),
            Some(Check::Http(check)) => {
                format!("{} did not answer with a status below 400 {within}", check.url)
            }
            Some(Check::Exec(_)) => format!("the check's command did not succeed {within}"),
            Some(Check::Notify) => format!("it did not say READY=1 {within}"),
            None => format!("no sign of readiness {within}"),
        }
    }
}

/// Of a server on this machine the kernel is asked and not the server itself: to many a server, a connection
/// without a request is an error worth a line of log.
async fn still_answers(endpoint: &Endpoint) -> bool {
    if !is_local(endpoint) {
        return tcp_answers(endpoint).await;
    }
    let port = endpoint.port;
    tokio::task::spawn_blocking(move || procfs::is_listening(port)).await.unwrap_or(true)
}

/// Returns whether whoever listens there must be a process of this machine.
fn is_local(endpoint: &Endpoint) -> bool {
    let address = endpoint.host.parse::<std::net::IpAddr>();
    endpoint.host == "localhost" || address.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

async fn tree_ports(pid: u32) -> Vec<u16> {
    let look = move || procfs::listening_ports(&procfs::tree(pid)).into_iter().collect();
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}
