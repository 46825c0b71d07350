//! Requests: reads how one ended out of an access line, and keeps a flood of them cheap.
//!
//! The first few of a batch are told one by one. The rest are only counted, by what their pattern knows already, and
//! told together when the batch ends, because a fact costs as much as classifying ten lines. Batches of a flood are
//! large, those of a person trying things out are small, so a person's requests are all told one by one.

use ostler_sdk::{Fact, Level, Line, Verdicts};
use serde_json::Value;

use crate::outcome::Outcome;
use crate::patterns::{Opens, facts};

/// Requests of one batch that are told one by one.
const SINGLE: usize = 4;
/// Longest path told, in bytes.
const PATH_BYTES: usize = 512;
/// How much of a line is looked at, in bytes.
const LINE_BYTES: usize = 2048;
/// How much of a line of JSON is looked at, in bytes: it may have all headers in it.
const JSON_BYTES: usize = 16 << 10;

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// What is known of the requests of one run.
#[derive(Debug, Default)]
pub struct Requests {
    /// Requests of this batch that were told.
    told: usize,
    /// Those that were not, by the first digit of their status: the last line of them, and their count.
    rest: [(usize, usize); 6],
    /// Requests that have begun since the last end, where beginning and end are lines of their own.
    running: usize,
    /// Method and path of the one that runs, as long as it is certain whose the next end is.
    begun: Option<(String, String)>,
    /// A controller of Rails has taken on the one that has begun last, so its end will be told.
    processing: bool,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Request<'l> {
    /// Not known where the end is a line of its own.
    what: Option<(&'l str, &'l str)>,
    status: u16,
    /// What follows the status, where a duration may stand.
    rest: &'l str,
}

impl Requests {
    /// Takes an access line, or one that tells of a request's beginning.
    pub fn take(&mut self, own: Outcome, line: Line<'_>, verdicts: &mut Verdicts) {
        let ends = own.opens == Opens::Alone as u8;
        if line.bytes.starts_with(b"Processing by ") {
            self.processing = true;
            return;
        }
        if self.told == SINGLE && !ends {
            (self.running, self.processing) = (self.running + 1, false);
            return;
        }
        if self.told == SINGLE {
            return self.count(own.level, line.index);
        }
        if own.facts & facts::FIELDS != 0 {
            let Some(fact) = of_json(line.bytes) else { return };
            self.told += 1;
            return verdicts.note(line.index, fact);
        }
        let bytes = &line.bytes[..line.bytes.len().min(LINE_BYTES)];
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        };
        if !ends {
            return self.begin(text);
        }
        let Some(request) = read(text) else { return };
        let begun = match request.what {
            Some(_) => None,
            None => self.end(),
        };
        self.told += 1;
        let owned = |(method, path): (&str, &str)| (method.to_owned(), path.to_owned());
        let mut fact = Fact::new("request");
        if let Some((method, path)) = request.what.map(owned).or(begun) {
            fact = fact.field("method", method).field("path", cut(&path));
        }
        fact = fact.field("status", request.status.to_string());
        if let Some(ms) = milliseconds(request.rest) {
            fact = fact.field("ms", ms);
        }
        verdicts.note(line.index, fact);
    }

    /// Tells what was counted.
    pub fn end_batch(&mut self, verdicts: &mut Verdicts) {
        if std::mem::take(&mut self.told) < SINGLE {
            return;
        }
        for (digit, (line, count)) in std::mem::take(&mut self.rest).into_iter().enumerate() {
            if count > 0 {
                let status = format!("{digit}xx");
                let fact = Fact::new("request").field("status", status).field("count", count.to_string());
                verdicts.note(line, fact);
            }
        }
    }

    /// Counts a request by the level that its status has led to.
    fn count(&mut self, level: u8, line: usize) {
        let digit = match level {
            level if level >= Level::Error.code() => 5,
            level if level >= Level::Warn.code() => 4,
            _ => 2,
        };
        self.rest[digit].0 = line;
        self.rest[digit].1 += 1;
        self.end();
    }

    /// Remembers a request whose end comes in a line of its own, unless another one runs: then either may end first.
    fn begin(&mut self, text: &str) {
        let words = text.split_once("Started ").or_else(|| text.split_once("] ")).map(|(_, rest)| rest);
        let begun = words.and_then(|words| {
            let (method, rest) = words.split_once(' ')?;
            let path = rest.trim_start_matches('"').split(['"', ' ']).next()?;
            (METHODS.contains(&method) && path.starts_with('/')).then(|| (method.to_owned(), cut(path)))
        });
        if begun.is_some() {
            self.processing = false;
            self.running += 1;
            self.begun = begun.filter(|_| self.running == 1);
        }
    }

    /// Returns whether a request has begun that nothing is known to work on: an exception may be its end.
    #[inline]
    pub fn awaits(&self) -> bool {
        self.running > 0 && !self.processing
    }

    /// A request has ended in an exception before a controller took it on, such as one without a route: its end will
    /// not be told.
    pub fn fail(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.begun = None;
    }

    fn end(&mut self) -> Option<(String, String)> {
        // Not every request has an end.
        (self.running, self.processing) = (0, false);
        self.begun.take()
    }
}

fn cut(path: &str) -> String {
    path[..path.floor_char_boundary(PATH_BYTES)].to_owned()
}

/// Reads an access line of any of the known forms.
fn read(text: &str) -> Option<Request<'_>> {
    quoted(text).or_else(|| plain(text)).or_else(|| of_php(text)).or_else(|| ended(text))
}

/// Gives a structured line that tells how a request ended, as pino-http and Fastify write it, the level of its status
/// and the fact. Only the end of other lines is looked at.
#[inline]
pub fn in_json(line: &[u8], own: Outcome) -> Outcome {
    match line.ends_with(b"ed\"}") {
        true => with_status(line, own),
        false => own,
    }
}

#[cold]
fn with_status(line: &[u8], own: Outcome) -> Outcome {
    const KEY: &[u8] = b"\"statusCode\":";
    const ENDS: [&[u8]; 2] = [b"\"msg\":\"request completed\"}", b"\"msg\":\"request errored\"}"];
    if !ENDS.iter().any(|end| line.ends_with(end)) {
        return own;
    }
    let line = &line[line.len().saturating_sub(JSON_BYTES)..];
    let level = match line.windows(KEY.len()).rposition(|window| window == KEY).map(|at| line[at + KEY.len()])
    {
        Some(b'1'..=b'3') => Level::Info,
        Some(b'4') => Level::Warn,
        Some(b'5') => Level::Error,
        _ => return own,
    };
    Outcome { level: level.code(), facts: own.facts | facts::REQUEST, ..own }
}

/// `{…"req":{"method":"GET","url":"/bread"},"res":{"statusCode":200},"responseTime":12…}`; Fastify names the request in
/// a line of its own.
fn of_json(line: &[u8]) -> Option<Fact> {
    let line = Some(line).filter(|line| line.len() <= JSON_BYTES)?;
    let value: Value = serde_json::from_slice(line).ok()?;
    let status =
        value["res"]["statusCode"].as_u64().filter(|status| (100..600).contains(status))?.to_string();
    let (method, path) = (value["req"]["method"].as_str(), value["req"]["url"].as_str());
    let fact = match (method, path) {
        (Some(method), Some(path)) if METHODS.contains(&method) => Fact::request(method, cut(path), status),
        _ => Fact::new("request").field("status", status),
    };
    Some(match &value["responseTime"] {
        Value::Number(ms) => fact.field("ms", ms.to_string()),
        _ => fact,
    })
}

/// `"GET /boom HTTP/1.1" 500 57421`
fn quoted(text: &str) -> Option<Request<'_>> {
    let (_, rest) = text.split_once('"')?;
    let (request, after) = rest.split_once("\" ")?;
    let (method, path) = request.split_once(' ')?;
    let path = path.rsplit_once(" HTTP/").map_or(path, |(path, _)| path);
    let (status, rest) = status(after)?;
    method.bytes().all(|byte| byte.is_ascii_uppercase()).then_some(Request {
        what: Some((method, path)),
        status,
        rest,
    })
}

/// `GET /boom 500 13.5 ms - 1016`, ` GET / 200 in 872ms`
fn plain(text: &str) -> Option<Request<'_>> {
    let (method, rest) = text.trim_ascii_start().split_once(' ')?;
    let (path, rest) = rest.split_once(' ')?;
    let (status, rest) = status(rest)?;
    METHODS.contains(&method).then_some(Request { what: Some((method, path)), status, rest })
}

/// `[Fri Nov 20 08:29:25 2026] 127.0.0.1:52000 [200]: GET /x - No such file or directory`
fn of_php(text: &str) -> Option<Request<'_>> {
    let (before, rest) = text.split_once("]: ")?;
    let (status, _) = status(before.rsplit_once('[')?.1)?;
    let (method, rest) = rest.split_once(' ')?;
    let path = rest.split(' ').next()?;
    METHODS.contains(&method).then_some(Request { what: Some((method, path)), status, rest: "" })
}

/// `Completed 200 OK in 2ms`, `[info] Sent 200 in 12ms`
fn ended(text: &str) -> Option<Request<'_>> {
    let rest =
        text.strip_prefix("Completed ").or_else(|| text.split_once("] Sent ").map(|(_, rest)| rest))?;
    let (status, rest) = status(rest)?;
    Some(Request { what: None, status, rest })
}

/// Returns the status that a text begins with, and what follows.
fn status(text: &str) -> Option<(u16, &str)> {
    let digits = text.get(..3)?;
    let rest = &text[3..];
    let ends = rest.bytes().next().is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let status = digits.parse().ok().filter(|status| (100..600).contains(status))?;
    ends.then_some((status, rest))
}

/// Returns the first duration in a text, in milliseconds: `13.5 ms`, `in 872ms`, `in 1.2s`, `in 2m 03s`, `in 250µs`.
pub fn milliseconds(text: &str) -> Option<String> {
    let mut rest = text;
    let mut minutes = 0.0;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let separate =
            rest[..start].bytes().next_back().is_none_or(|byte| matches!(byte, b' ' | b'(' | b'm'));
        let number = &rest[start..];
        let length = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
        let (number, after) = number.split_at(length);
        rest = after;
        let Some(value) = number.parse::<f64>().ok().filter(|_| separate) else { continue };
        let unit = after.strip_prefix(' ').unwrap_or(after);
        let is = |name: &str| {
            unit.strip_prefix(name)
                .is_some_and(|rest| !rest.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()))
        };
        if is("ms") {
            return Some(if minutes > 0.0 { decimal(minutes + value) } else { number.to_owned() });
        } else if is("s") && !after.starts_with(' ') {
            return Some(decimal(minutes + value * 1e3));
        } else if is("µs") || is("us") {
            return Some(decimal(value / 1e3));
        } else if after
            .strip_prefix('m')
            .is_some_and(|rest| rest.trim_ascii_start().starts_with(|c: char| c.is_ascii_digit()))
        {
            minutes = value * 6e4;
        }
    }
    None
}

/// Returns a number to the thousandth.
fn decimal(number: f64) -> String {
    ((number * 1e3).round() / 1e3).to_string()
}

#[cfg(test)]
mod tests {
    use ostler_sdk::Fact;
    use ostler_sdk::testing::classify;

    use super::*;
    use crate::RegexClassifier;

    fn facts(lines: &[&str]) -> Vec<Fact> {
        classify::<RegexClassifier>(lines).notes.into_iter().map(|note| note.fact).collect()
    }

    #[test]
    fn durations_are_told_in_milliseconds() {
        let ms = |text: &str| milliseconds(text).unwrap_or_default();
        assert_eq!(ms(" 13.5 ms - 1016"), "13.5");
        assert_eq!(ms(" in 872ms (next.js: 1ms)"), "872");
        assert_eq!(ms(" in 0.57s"), "570");
        assert_eq!(ms(" in 2m 03s"), "123000");
        assert_eq!(ms(" in 250µs"), "0.25");
        assert_eq!(ms(" 57421"), "");
        assert_eq!(ms("v5.103.0 done"), "");
    }

    #[test]
    fn an_end_in_a_line_of_its_own_is_that_of_the_one_that_runs() {
        let begin = |path: &str| format!("Started GET \"{path}\" for 127.0.0.1 at 2026-11-20");
        let end = "Completed 200 OK in 2ms (Views: 1.0ms)";
        let known = Fact::request("GET", "/a", "200").field("ms", "2");
        let unknown = Fact::new("request").field("status", "200").field("ms", "2");
        assert_eq!(facts(&[&begin("/a"), end]), std::slice::from_ref(&known));
        assert_eq!(
            facts(&[&begin("/a"), &begin("/b"), end, end, &begin("/a"), end]),
            [unknown.clone(), unknown, known]
        );
    }

    #[test]
    fn a_request_that_no_controller_took_on_ends_in_its_exception() {
        let begin = |path: &str| format!("Started GET \"{path}\" for 127.0.0.1 at 2026-11-20");
        let (processing, end) = ("Processing by A#b as HTML", "Completed 200 OK in 2ms (Views: 1.0ms)");
        let routing = "ActionController::RoutingError (No route matches [GET] \"/nope\"):";
        let known = Fact::request("GET", "/a", "200").field("ms", "2");
        let unknown = Fact::new("request").field("status", "200").field("ms", "2");
        let lines = [&begin("/nope"), routing, &begin("/a"), processing, end];
        assert_eq!(facts(&lines), std::slice::from_ref(&known));
        // An exception of one that a controller has taken on says nothing of the other.
        let lines = [&begin("/nope"), processing, routing, &begin("/a"), processing, end];
        assert_eq!(facts(&lines), [unknown]);
    }

    #[test]
    fn requests_in_json_have_the_level_of_their_status() {
        let line = |status: u16, message: &str| {
            format!(
                r#"{{"level":30,"req":{{"method":"GET","url":"/bread"}},"res":{{"statusCode":{status}}},"responseTime":12.5,"msg":"{message}"}}"#
            )
        };
        let lines =
            [line(200, "request completed"), line(404, "request completed"), line(503, "request errored")];
        let outcome = classify::<RegexClassifier>(&lines.each_ref().map(String::as_str));
        assert_eq!(outcome.levels, "iwe");
        let told: Vec<Fact> =
            outcome.notes.into_iter().map(|note| note.fact).filter(|fact| fact.kind == "request").collect();
        let expected =
            ["200", "404", "503"].map(|status| Fact::request("GET", "/bread", status).field("ms", "12.5"));
        assert_eq!(told, expected);
        // Fastify has named the request before.
        let fastify = r#"{"level":30,"reqId":"req-1","res":{"statusCode":200},"responseTime":3,"msg":"request completed"}"#;
        assert_eq!(facts(&[fastify]), [Fact::new("request").field("status", "200").field("ms", "3")]);
        assert_eq!(facts(&[&line(200, "something completed")]), []);
        assert_eq!(facts(&[r#"{"level":30,"msg":"request completed"}"#]), []);
    }

    #[test]
    fn a_flood_is_counted_by_kind_of_status() {
        let mut lines = vec!["GET /a 200 1.5 ms - 3"; SINGLE];
        lines.extend(["GET /b 200 1 ms - 3", "GET /c 304 3 ms - 3", "GET /d 500 7 ms - 3"]);
        let facts = facts(&lines);
        let counted =
            |status: &str, count: &str| Fact::new("request").field("status", status).field("count", count);
        assert_eq!(facts[..SINGLE], vec![Fact::request("GET", "/a", "200").field("ms", "1.5"); SINGLE]);
        assert_eq!(facts[SINGLE..], [counted("2xx", "2"), counted("5xx", "1")]);
    }

    #[test]
    fn lines_that_only_look_alike_are_no_requests() {
        for line in
            ["GET", "GET /x", "GET /x 2000 y", "\"\" 200", "Completed 20é", "[é]: GET /", "Completed "]
        {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
