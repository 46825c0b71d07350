//! One look at a process: does its check hold just now, and what was seen. A look reports and decides nothing.
//!
//! A socket that should be the process's must be the process's: another server that holds the port must not make this
//! one look well. No look takes longer than it is given, whatever it meets.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::listeners::Lookout;
use super::looks::{Looked, Looks, Purpose, Sight};
use super::printed::LastWords;
use super::{exec, http, procfs};
use crate::config::{Check, Command, Endpoint, HttpCheck, HttpUrl, PortText};
use crate::mask::RulesInForce;
use crate::model::{RunId, Seq, Time};
use crate::shim::{LaunchSpec, Notified};
use crate::store::{LogQuery, Pattern, Store, Take};

/// The run to look at. Cheap to clone.
#[derive(Clone)]
pub struct Subject {
    pub run: RunId,
    pub pid: u32,
    /// The port it was given.
    pub port: Option<u16>,
    /// Its run directory, in whose launch spec its environment and directory stand.
    pub dir: PathBuf,
    pub store: Arc<Store>,
    /// Knows who listens on this machine.
    pub lookout: Arc<Lookout>,
    /// What it says of itself.
    pub notified: watch::Receiver<Notice>,
    /// Where what was seen is remembered.
    pub looks: Looks,
    /// What is masked of what commands print.
    pub secrets: RulesInForce,
}

/// What a run says of itself, with its ages turned into moments.
#[derive(Debug, Clone, Default)]
pub struct Notice {
    pub said: Notified,
    /// When `WATCHDOG=1` was said last.
    pub watchdog: Option<Instant>,
    /// Until when it asked for patience.
    pub extended_to: Option<Instant>,
}

impl Notice {
    /// Takes what a shim reports, which counts from now.
    pub fn new(said: Notified) -> Self {
        let now = Instant::now();
        let watchdog = said.watchdog_age.and_then(|age| now.checked_sub(age));
        let extended_to = Some(said.extended).filter(|more| !more.is_zero()).map(|more| now + more);
        Self { said, watchdog, extended_to }
    }
}

/// Looks once, within `limit`, and remembers what was seen.
pub async fn look(subject: &Subject, check: &Check, purpose: Purpose, limit: Duration) -> Looked {
    let (time, begun) = (Time::now(), Instant::now());
    let sight = match check {
        Check::Log(pattern) => log(subject, pattern).await,
        Check::Tcp(address) => tcp(subject, address, limit).await,
        Check::Http(check) => http(subject, check, limit).await,
        Check::Exec(command) => exec(subject, command, limit).await,
        Check::Notify => notify(&subject.notified.borrow()),
    };
    let looked = Looked { time, purpose, sight, took: begun.elapsed() };
    subject.looks.add(looked.clone());
    looked
}

/// Returns a check in words: `GET http://127.0.0.1:8000/`.
pub fn describe(check: &Check, port: Option<u16>) -> String {
    match check {
        Check::Log(pattern) => format!("a line matches `{pattern}`"),
        Check::Tcp(address) => format!("connect to {}", address.with_port(port)),
        Check::Http(check) => format!("GET {}", check.url.with_port(port)),
        Check::Exec(command) => format!("run `{}`", words_of(command, port).join(" ")),
        Check::Notify => "READY=1 through NOTIFY_SOCKET".to_owned(),
    }
}

async fn tcp(subject: &Subject, address: &PortText, limit: Duration) -> Sight {
    let text = address.with_port(subject.port);
    let Some(endpoint) = Endpoint::parse(&text) else { return no_address(&text) };
    if let Some(alien) = alien(subject, &endpoint).await {
        return alien;
    }
    tcp_answers(&endpoint, limit).await
}

/// Looks whether something accepts connections at `endpoint`.
pub(super) async fn tcp_answers(endpoint: &Endpoint, limit: Duration) -> Sight {
    match timeout(limit, http::connect(endpoint)).await {
        Ok(Ok(_)) => Sight::good(format!("{endpoint} accepts connections")),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Sight::bad(format!("nothing accepts connections at {endpoint}"))
        }
        Ok(Err(error)) => Sight::bad(format!("nothing accepts connections at {endpoint}: {error}")),
        Err(_) => Sight::bad(format!("{endpoint} did not accept a connection within {limit:?}")),
    }
}

async fn http(subject: &Subject, check: &HttpCheck, limit: Duration) -> Sight {
    let text = check.url.with_port(subject.port);
    let Some(url) = HttpUrl::parse(&text) else { return no_address(&text) };
    if let Some(alien) = alien(subject, &url.endpoint).await {
        return alien;
    }
    http_answers(&url, check, limit).await
}

async fn http_answers(url: &HttpUrl, check: &HttpCheck, limit: Duration) -> Sight {
    let (least, most) = check.status;
    match timeout(limit, http::get(url, check.body.is_some())).await {
        Err(_) => Sight::bad(format!("GET {url} was not answered within {limit:?}")),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Sight::bad(format!("GET {url} was not answered: nothing listens there"))
        }
        Ok(Err(error)) => Sight::bad(format!("GET {url} was not answered: {error}")),
        Ok(Ok(answer)) if !(least..=most).contains(&answer.status) => {
            let wanted = match (least, most) {
                HttpCheck::STATUS => String::new(),
                (least, most) if least == most => format!(" and not {least}"),
                (least, most) => format!(", which is not within {least}..{most}"),
            };
            Sight::bad(format!("GET {url} answered {}{wanted}", answer.status))
        }
        Ok(Ok(answer)) => {
            match check.body.as_deref().filter(|pattern| !body_matches(pattern, &answer.body)) {
                Some(pattern) => Sight::bad(format!(
                    "GET {url} answered {}, but its body does not match `{pattern}`",
                    answer.status
                )),
                None => Sight::good(format!("GET {url} answered {}", answer.status)),
            }
        }
    }
}

fn body_matches(pattern: &str, body: &[u8]) -> bool {
    // The configuration's loader has compiled it once already.
    regex::bytes::Regex::new(pattern).is_ok_and(|regex| regex.is_match(body))
}

async fn exec(subject: &Subject, command: &Command, limit: Duration) -> Sight {
    let dir = subject.dir.clone();
    let spec = tokio::task::spawn_blocking(move || LaunchSpec::read(&dir)).await;
    let Ok(Ok(spec)) = spec else { return Sight::bad("its launch spec cannot be read") };
    let rules = subject.secrets.current();
    let masker = rules.masker_with(&rules.secrets_of(spec.env.iter().cloned()));
    let words = words_of(command, subject.port);
    let shown: String =
        masker.mask_text(&words.join(" ")).chars().filter(|c| !c.is_control()).take(120).collect();
    let words = words.into_iter().map(Into::into).collect();
    let task = exec::Task { words, cwd: spec.cwd, env: spec.env };
    let mut last = LastWords::default();
    let ended = match exec::run(&task, limit, |bytes| last.take(bytes)).await {
        Ok(ended) => ended,
        Err(error) => return Sight::bad(format!("`{shown}` cannot be run: {error}")),
    };
    let said = last.told(|line| masker.mask_text(line).into_owned());
    let said = said.map(|words| format!(": {words}")).unwrap_or_default();
    match ended {
        Some(exit) if exit.is_success() => Sight::good(format!("`{shown}` ended with exit code 0{said}")),
        Some(exit) => Sight::bad(format!("`{shown}` ended with {exit}{said}")),
        None => Sight::bad(format!("`{shown}` did not end within {limit:?} and was killed{said}")),
    }
}

fn words_of(command: &Command, port: Option<u16>) -> Vec<String> {
    match command {
        Command::Words(words) => {
            words.iter().map(|word| PortText::new(word).with_port(port).into_owned()).collect()
        }
        // A shell finds `PORT` in its environment.
        Command::Shell(script) => vec!["/bin/sh".to_owned(), "-c".to_owned(), script.clone()],
    }
}

fn notify(notice: &Notice) -> Sight {
    let said = &notice.said;
    match (said.ready, said.stopping, said.reloading) {
        (_, true, _) => Sight::bad("it said STOPPING=1"),
        (true, _, true) => Sight::bad("it said RELOADING=1, and not yet READY=1 again"),
        (true, false, false) => Sight::good("it said READY=1"),
        (false, ..) => Sight::bad("it has not said READY=1 through NOTIFY_SOCKET"),
    }
}

async fn log(subject: &Subject, text: &str) -> Sight {
    let pattern = match Pattern::new(text) {
        Ok(pattern) => pattern,
        Err(error) => return Sight::bad(error.to_string()),
    };
    match line_after(subject, &pattern, Seq(0)).await {
        (true, _) => Sight::good(format!("a line matched `{text}`")),
        (false, _) => Sight::bad(format!("no line matched `{text}`")),
    }
}

/// Returns whether a line of the run after `after` matches, and up to where the lines have been searched now.
pub(super) async fn line_after(subject: &Subject, pattern: &Pattern, after: Seq) -> (bool, Seq) {
    let query = LogQuery {
        run: Some(subject.run),
        after: Some(after),
        pattern: Some(pattern.clone()),
        limit: 1,
        take: Take::Oldest,
        ..LogQuery::default()
    };
    let store = Arc::clone(&subject.store);
    match tokio::task::spawn_blocking(move || store.query(&query)).await {
        Ok(page) => (!page.lines.is_empty(), page.next),
        Err(_) => (false, after),
    }
}

/// Tells who holds the port, when that is not the run itself.
pub(super) async fn alien(subject: &Subject, endpoint: &Endpoint) -> Option<Sight> {
    if !is_local(endpoint) {
        return None;
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
    let (pid, command) = owner.await.ok().flatten()?;
    let command: String = command.chars().filter(|c| !c.is_control()).take(120).collect();
    Some(Sight::bad(format!("port {port} belongs to another process: pid {pid} ({command})")))
}

/// Returns whether whoever listens there must be a process of this machine.
pub(super) fn is_local(endpoint: &Endpoint) -> bool {
    let address = endpoint.host.parse::<std::net::IpAddr>();
    endpoint.host == "localhost" || address.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

fn no_address(text: &str) -> Sight {
    Sight::bad(format!("`{text}` is no address: is `port` set?"))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    async fn answers(answer: &'static str, status: (u16, u16), body: Option<&str>) -> Sight {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let url = HttpUrl::parse(&format!("http://{address}/up")).unwrap();
        let check = HttpCheck { url: PortText::new(url.to_string()), status, body: body.map(str::to_owned) };
        let sight = http_answers(&url, &check, PATIENCE).await;
        Sight { what: sight.what.replace(&address.to_string(), "ADDRESS"), ..sight }
    }

    #[tokio::test]
    async fn status_and_body_decide() {
        let any = HttpCheck::STATUS;
        assert!(answers("HTTP/1.1 200 OK\r\n\r\nhi", any, None).await.ok);
        assert!(answers("HTTP/1.1 302 Found\r\n\r\n", any, None).await.ok);
        assert!(
            answers("HTTP/1.1 200 OK\r\n\r\n{\"status\": \"up\"}", any, Some(r#""status": ?"up""#)).await.ok
        );
        let bad = answers("HTTP/1.1 500 Oops\r\n\r\n", any, None).await;
        assert_eq!(bad, Sight::bad("GET http://ADDRESS/up answered 500"));
        let bad = answers("HTTP/1.1 302 Found\r\n\r\n", (200, 299), None).await;
        assert_eq!(bad, Sight::bad("GET http://ADDRESS/up answered 302, which is not within 200..299"));
        let bad = answers("HTTP/1.1 200 OK\r\n\r\nstarting", any, Some("^up$")).await;
        assert_eq!(bad, Sight::bad("GET http://ADDRESS/up answered 200, but its body does not match `^up$`"));
        let bad = answers("garbage\r\n\r\n", any, None).await;
        assert_eq!(bad, Sight::bad("GET http://ADDRESS/up was not answered: what came back is not HTTP"));
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = HttpUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let check = HttpCheck { url: PortText::new(url.to_string()), status: HttpCheck::STATUS, body: None };
        let sight = http_answers(&url, &check, Duration::from_millis(20)).await;
        assert_eq!(sight, Sight::bad(format!("GET {url} was not answered within 20ms")));
    }

    #[tokio::test]
    async fn a_wildcard_address_is_reached_through_loopback() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = Endpoint { host: "0.0.0.0".into(), port };
        assert!(tcp_answers(&endpoint, PATIENCE).await.ok);
        drop(listener);
        let sight = tcp_answers(&endpoint, PATIENCE).await;
        assert_eq!(sight, Sight::bad(format!("nothing accepts connections at 0.0.0.0:{port}")));
    }

    #[test]
    fn its_own_word_counts_until_it_takes_it_back() {
        let said = |ready, reloading, stopping| {
            notify(&Notice::new(Notified { ready, reloading, stopping, ..Notified::default() })).ok
        };
        assert!(said(true, false, false));
        assert!(!said(false, false, false) && !said(true, true, false) && !said(true, false, true));
    }

    #[test]
    fn checks_are_told_with_the_port_they_look_at() {
        let url = PortText::new("http://127.0.0.1:${PORT}/up");
        let http = Check::Http(HttpCheck { url, status: HttpCheck::STATUS, body: None });
        assert_eq!(describe(&http, Some(81)), "GET http://127.0.0.1:81/up");
        let exec = Check::Exec(Command::Words(vec!["pg_isready".into(), "-p".into(), "${PORT}".into()]));
        assert_eq!(describe(&exec, Some(5432)), "run `pg_isready -p 5432`");
    }
}
