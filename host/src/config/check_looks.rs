//! Owns the check of what is looked at to tell how a process is: `ready` and `health`.
//!
//! A check is one of several keys; keys that go with another one are refused, because they would do nothing.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::check::Checker;
use super::endpoint::{Endpoint, HttpUrl, PortText};
use super::file::{HealthTable, ReadyTable};
use super::patterns::text_regex;
use super::process::{Check, Health, HealthLook, HttpCheck, Ready};
use super::shapes::{NumberOrText, StatusValue, TcpValue};
use super::source::shown;

/// Status codes that an answer of HTTP can have.
const STATUSES: std::ops::RangeInclusive<i64> = 100..=599;
/// Shortest time between two looks: more often, looking would be most of the work.
const EVERY_AT_LEAST: Duration = Duration::from_millis(100);
/// Time between two looks when none is given.
const EVERY: Duration = Duration::from_secs(10);
/// Time for one look when none is given.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Failed looks in a row when no number is given.
const FAILURES: u32 = 3;

/// A key with its place, if it is there.
type Key = (&'static str, Option<Range<usize>>);

/// The keys that only go with `http`.
struct HttpKeys {
    status: Option<Spanned<StatusValue>>,
    body: Option<Spanned<String>>,
}

impl Checker<'_, '_> {
    /// Checks readiness; what is wrong has its default.
    pub fn ready(&mut self, table: ReadyTable, has_port: bool) -> Ready {
        let notify = table.notify.filter(|wanted| *wanted.get_ref());
        self.one_of(
            "ready",
            "keep the one that comes last when it starts",
            &[
                ("http", place(&table.http)),
                ("tcp", place(&table.tcp)),
                ("log", place(&table.log)),
                ("exec", place(&table.exec)),
                ("notify", place(&notify)),
            ],
        );
        let keys = HttpKeys { status: table.status, body: table.body };
        let http = self.http("ready", table.http, keys, has_port);
        let tcp = table.tcp.and_then(|value| self.tcp("ready", &value, has_port));
        let log = table.log.and_then(|text| text_regex(self.source, text, self.problems)).map(Check::Log);
        let exec = table.exec.and_then(|command| self.side_command(command)).map(Check::Exec);
        let notify = notify.map(|_| Check::Notify);
        let timeout = table.timeout.and_then(|text| self.duration(&text));
        Ready {
            check: http.or(tcp).or(log).or(exec).or(notify),
            timeout: timeout.unwrap_or(Ready::default().timeout),
        }
    }

    /// Checks liveness; none when there is nothing to look at.
    pub fn health(&mut self, table: Spanned<HealthTable>, has_port: bool) -> Option<Health> {
        let span = table.span();
        let table = table.into_inner();
        let written = self.one_of(
            "health",
            "keep the one that tells most",
            &[
                ("http", place(&table.http)),
                ("tcp", place(&table.tcp)),
                ("exec", place(&table.exec)),
                ("watchdog", place(&table.watchdog)),
            ],
        );
        if !written {
            let hint = "say what to look at: one of `http`, `tcp`, `exec` and `watchdog`";
            self.report_missing(span, "`health` has no check", hint);
        }
        let is_watchdog = table.watchdog.is_some();
        if is_watchdog {
            let hint = "remove it: with `watchdog` the process itself says that it is well";
            for (key, place) in
                [("every", &table.every), ("timeout", &table.timeout), ("delay", &table.delay)]
            {
                if let Some(text) = place {
                    let message = format!("`health.{key}` does nothing with `watchdog`");
                    self.report(text.span(), message, Some(hint));
                }
            }
        }
        let every = self.interval("health.every", table.every).unwrap_or(EVERY);
        let timeout = self.interval("health.timeout", table.timeout).unwrap_or(TIMEOUT);
        let delay = table.delay.and_then(|text| self.duration(&text)).unwrap_or_default();
        let failures = table.failures.and_then(|number| self.failures(&number));
        let keys = HttpKeys { status: table.status, body: table.body };
        let http = self.http("health", table.http, keys, has_port);
        let tcp = table.tcp.and_then(|value| self.tcp("health", &value, has_port));
        let exec = table.exec.and_then(|command| self.side_command(command)).map(Check::Exec);
        let watchdog = self.interval("health.watchdog", table.watchdog).map(HealthLook::Watchdog);
        let probe = http.or(tcp).or(exec);
        let probe = probe.map(|check| HealthLook::Probe { check, every, timeout, delay });
        Some(Health {
            look: probe.or(watchdog)?,
            // What a watchdog is told is already "at least this often".
            failures: failures.unwrap_or(if is_watchdog { 1 } else { FAILURES }),
            restart: table.restart.unwrap_or(true),
        })
    }

    /// Reports the second of several keys of which one may be there; tells whether there is any.
    fn one_of(&mut self, table: &str, hint: &str, keys: &[Key]) -> bool {
        let mut written: Vec<_> = keys.iter().filter_map(|(key, span)| Some((*key, span.clone()?))).collect();
        written.sort_by_key(|(_, span)| span.start);
        if let [(first, _), (second, span), ..] = written.as_slice() {
            self.report(span.clone(), format!("`{table}` has both `{first}` and `{second}`"), Some(hint));
        }
        !written.is_empty()
    }

    fn http(
        &mut self,
        table: &str,
        text: Option<Spanned<String>>,
        keys: HttpKeys,
        has_port: bool,
    ) -> Option<Check> {
        let Some(text) = text else {
            for (key, place) in [("status", place(&keys.status)), ("body", place(&keys.body))] {
                if let Some(place) = place {
                    let message = format!("`{table}.{key}` does nothing without `{table}.http`");
                    self.report(place, message, Some("remove it, or check with `http`"));
                }
            }
            return None;
        };
        let status = keys.status.and_then(|value| self.status(&value));
        let body = keys.body.and_then(|text| text_regex(self.source, text, self.problems));
        let url = self.url(table, &text, has_port)?;
        Some(Check::Http(HttpCheck { url, status: status.unwrap_or(HttpCheck::STATUS), body }))
    }

    fn url(&mut self, table: &str, text: &Spanned<String>, has_port: bool) -> Option<PortText> {
        let templated = PortText::new(text.get_ref());
        if HttpUrl::parse(&templated.with_port(Some(1))).is_some() {
            return self.with_port(templated, text.span(), has_port);
        }
        if text.get_ref().starts_with("https://") {
            let hint = "ask the server over plain `http://`, or use `tcp`";
            self.report(text.span(), "`https` is not supported by this version", Some(hint));
        } else {
            let hint = "write it like `\"http://127.0.0.1:8000/health\"`";
            self.report(text.span(), format!("`{table}.http` is not a URL of plain HTTP"), Some(hint));
        }
        None
    }

    fn tcp(&mut self, table: &str, value: &Spanned<TcpValue>, has_port: bool) -> Option<Check> {
        let text = match &value.get_ref().0 {
            NumberOrText::Number(port) => PortText::new(format!("localhost:{port}")),
            NumberOrText::Text(text) => PortText::new(text),
        };
        if Endpoint::parse(&text.with_port(Some(1))).is_none() {
            let hint = "write a host and a port, such as `\"127.0.0.1:8000\"`, or a port from 1 to 65535";
            self.report(value.span(), format!("`{table}.tcp` is not an address"), Some(hint));
            return None;
        }
        self.with_port(text, value.span(), has_port).map(Check::Tcp)
    }

    fn with_port(&mut self, text: PortText, span: Range<usize>, has_port: bool) -> Option<PortText> {
        if text.needs_port() && !has_port {
            self.no_port(span);
            return None;
        }
        Some(text)
    }

    fn status(&mut self, value: &Spanned<StatusValue>) -> Option<(u16, u16)> {
        let (read, shown) = match &value.get_ref().0 {
            NumberOrText::Number(number) => (Some((*number, *number)), number.to_string()),
            NumberOrText::Text(text) => (status_range(text), shown(text)),
        };
        let Some((from, to)) = read else {
            let message = format!("`{shown}` is not a range of status codes");
            self.report(value.span(), message, Some("write `200` or `\"200..299\"`"));
            return None;
        };
        if !STATUSES.contains(&from) || !STATUSES.contains(&to) || from > to {
            let message = format!("`{shown}` is no range of status codes: they go from 100 to 599");
            self.report(value.span(), message, Some("write `200` or `\"200..299\"`"));
            return None;
        }
        Some((u16::try_from(from).ok()?, u16::try_from(to).ok()?))
    }

    /// Reads a duration that is waited for again and again.
    fn interval(&mut self, key: &str, text: Option<Spanned<String>>) -> Option<Duration> {
        let text = text?;
        let duration = self.duration(&text)?;
        if duration < EVERY_AT_LEAST {
            let hint = "a second or more will do for most processes";
            self.report(text.span(), format!("`{key}` must be at least 100ms"), Some(hint));
            return None;
        }
        Some(duration)
    }

    fn failures(&mut self, number: &Spanned<i64>) -> Option<u32> {
        let failures = u32::try_from(*number.get_ref()).ok().filter(|number| *number > 0);
        if failures.is_none() {
            let hint = "`restart = false` only shows that it is unhealthy";
            self.report(number.span(), "`health.failures` must be at least 1", Some(hint));
        }
        failures
    }
}

fn place<T>(value: &Option<Spanned<T>>) -> Option<Range<usize>> {
    value.as_ref().map(Spanned::span)
}

/// Reads `200..299`, or `200` as both ends.
fn status_range(text: &str) -> Option<(i64, i64)> {
    let number = |text: &str| text.trim().parse::<u16>().ok().map(i64::from);
    match text.split_once("..") {
        Some((from, to)) => Some((number(from)?, number(to)?)),
        None => number(text).map(|both| (both, both)),
    }
}
