//! Reading the log.

use std::sync::Arc;
use std::time::Duration;

use super::Api;
use super::types::{ApiError, Caller, ErrorKind, LogsReply, LogsRequest};
use crate::bounds;
use crate::config::parse_duration;
use crate::model::{ProcessName, RunId, Seq, Time};
use crate::store::{Cursor, FieldFilter, LogPage, LogQuery, Pattern, Take};

/// Lines of a reply when the request does not say.
const DEFAULT_LIMIT: usize = 100;

/// The place behind the last line there is.
pub(super) const NOW: &str = "now";

/// Where to read from, as `since` says it.
pub(super) enum Since {
    Cursor(Seq),
    Time(Time),
}

impl Api {
    /// Reads lines: the newest ones, or from a cursor the oldest after it.
    pub async fn logs(&self, _caller: &Caller, request: LogsRequest) -> Result<LogsReply, ApiError> {
        let mut query = self.query(&request)?;
        let wait = Duration::from_millis(request.wait_ms).min(bounds::MCP_WAIT);
        let deadline = tokio::time::Instant::now() + wait;
        let mut newest = self.parts.store.subscribe();
        loop {
            newest.borrow_and_update();
            let page = self.page(query.clone()).await;
            if !page.lines.is_empty() || tokio::time::timeout_at(deadline, newest.changed()).await.is_err() {
                return Ok(LogsReply {
                    cursor: self.parts.store.cursor(page.next).to_string(),
                    more: page.more,
                    missing: page.missing,
                    lines: self.with_context(page.lines, request.before, request.after).await,
                });
            }
            // What was examined without a match need not be looked at again.
            if query.take == Take::Oldest {
                query.after = Some(page.next);
            }
        }
    }

    /// Runs a query on the blocking pool.
    pub(super) async fn page(&self, query: LogQuery) -> LogPage {
        let store = Arc::clone(&self.parts.store);
        let fallback = query.after.unwrap_or_default();
        let page = tokio::task::spawn_blocking(move || store.query(&query)).await;
        page.unwrap_or(LogPage { lines: Vec::new(), next: fallback, more: false, missing: 0 })
    }

    /// Returns the cursor in front of a run's first line, so that reading from it gives all the run printed.
    pub(super) async fn cursor_before_run(&self, run: RunId) -> String {
        let query = LogQuery { run: Some(run), limit: 1, take: Take::Oldest, ..LogQuery::default() };
        let page = self.page(query).await;
        let before = page.lines.first().map_or(page.next, |line| Seq(line.seq.0.saturating_sub(1)));
        self.parts.store.cursor(before).to_string()
    }

    /// Compiles a regular expression of a caller.
    pub(super) fn pattern(text: &str) -> Result<Pattern, ApiError> {
        Pattern::new(text).map_err(|error| {
            ApiError::new(ErrorKind::Invalid, format!("`{text}` is not a regular expression: {error}"))
                .hint("the syntax is that of the Rust crate `regex`; put a backslash before ( [ { . * + ? to mean the character itself")
        })
    }

    /// Makes the query that a request asks for.
    pub(super) fn query(&self, request: &LogsRequest) -> Result<LogQuery, ApiError> {
        let mut names: Vec<ProcessName> = Vec::new();
        for name in &request.names {
            names.extend(self.handles(name)?.iter().map(crate::supervisor::Handle::name));
        }
        let since = request.since.as_deref().map(|text| self.since(text)).transpose()?;
        let limit = request.limit.unwrap_or(DEFAULT_LIMIT);
        if limit == 0 || limit > bounds::QUERY_LINES {
            let most = bounds::QUERY_LINES;
            return Err(ApiError::new(
                ErrorKind::Invalid,
                format!("a limit is between 1 and {most}, not {limit}"),
            ));
        }
        if request.before.max(request.after) > bounds::CONTEXT_LINES {
            let message = format!("at most {} lines are shown around a line", bounds::CONTEXT_LINES);
            return Err(ApiError::new(ErrorKind::Invalid, message));
        }
        let end = if request.oldest { Take::Oldest } else { Take::Newest };
        let (after, time, take) = match since {
            Some(Since::Cursor(seq)) => (Some(seq), None, Take::Oldest),
            Some(Since::Time(time)) => (None, Some(time), end),
            None => (None, None, end),
        };
        let (before, until) = match request.until.as_deref().map(|text| self.since(text)).transpose()? {
            Some(Since::Cursor(seq)) => (Some(Seq(seq.0.saturating_add(1))), None),
            Some(Since::Time(time)) => (None, Some(time)),
            None => (None, None),
        };
        Ok(LogQuery {
            processes: (!names.is_empty()).then_some(names),
            run: request.run,
            min_level: request.level,
            stream: request.stream,
            since: time,
            until,
            after,
            before,
            pattern: Self::wanted_text(request)?,
            fields: filters(&request.fields)?,
            limit,
            take,
        })
    }

    /// Compiles what the text of lines is held against.
    fn wanted_text(request: &LogsRequest) -> Result<Option<Pattern>, ApiError> {
        match (&request.grep, &request.contains) {
            (Some(_), Some(_)) => {
                Err(ApiError::new(ErrorKind::Invalid, "`grep` and `contains` exclude each other")
                    .hint("write both as one regular expression for `grep`"))
            }
            (Some(regex), None) => Self::pattern(regex).map(Some),
            // A pattern without special characters is searched for as the text it is.
            (None, Some(text)) => Self::pattern(&regex_syntax::escape(text)).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Reads a cursor; for waits, which take nothing else.
    pub(super) fn cursor(&self, text: &str) -> Result<Seq, ApiError> {
        let invalid = |error: crate::store::CursorError| ApiError::new(ErrorKind::Invalid, error.to_string());
        let cursor: Cursor = text.parse().map_err(invalid)?;
        self.parts.store.resolve(cursor).map_err(invalid)
    }

    pub(super) fn since(&self, text: &str) -> Result<Since, ApiError> {
        if text == NOW {
            return Ok(Since::Cursor(self.parts.store.newest()));
        }
        if let Ok(duration) = parse_duration(text) {
            return Ok(Since::Time(Time::now().minus(duration)));
        }
        if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
            let nanoseconds = i64::try_from(timestamp.as_nanosecond()).unwrap_or(i64::MAX);
            return Ok(Since::Time(Time(nanoseconds)));
        }
        if text.parse::<Cursor>().is_ok() {
            return self.cursor(text).map(Since::Cursor);
        }
        let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
        Err(ApiError::new(ErrorKind::Invalid, format!("`{shown}` is no place in the log")).hint(
            "since takes a cursor from an earlier reply, now, a duration such as 10m, or a time such as 2026-11-20T08:00:00Z",
        ))
    }
}

/// Reads filters on fields.
fn filters(texts: &[String]) -> Result<Vec<FieldFilter>, ApiError> {
    const HINT: &str = "a filter is the name of a field, or one with an operator and a value: status=500, ms>=200, user.id!=7, path~^/api";
    if texts.len() > bounds::FIELD_FILTERS {
        let message = format!("{} filters where {} are possible", texts.len(), bounds::FIELD_FILTERS);
        return Err(ApiError::new(ErrorKind::Invalid, message));
    }
    let read = |text: &String| {
        FieldFilter::parse(text).map_err(|error| {
            let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
            ApiError::new(ErrorKind::Invalid, format!("`{shown}` is no filter of fields: {error}")).hint(HINT)
        })
    };
    texts.iter().map(read).collect()
}

/// Returns whether `text` has the form of a cursor, as opposed to a duration or a time.
pub fn is_cursor(text: &str) -> bool {
    parse_duration(text).is_err()
        && text.parse::<jiff::Timestamp>().is_err()
        && text.parse::<Cursor>().is_ok()
}

/// Returns the cursor that stands in front of the line `seq`, in the log that `cursor` belongs to.
pub fn cursor_before(cursor: &str, seq: Seq) -> String {
    cursor_at(cursor, Seq(seq.0.saturating_sub(1)))
}

/// Returns the cursor that stands after the line `seq`, in the log that `cursor` belongs to. For surfaces that pass
/// on fewer lines than they were given.
pub fn cursor_at(cursor: &str, seq: Seq) -> String {
    match cursor.parse::<Cursor>() {
        Ok(cursor) => Cursor { seq, ..cursor }.to_string(),
        Err(_) => cursor.to_owned(),
    }
}
