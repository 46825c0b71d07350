//! Waiting for lines: a long poll that comes back with a handful, not one by one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Api;
use super::types::{ApiError, Caller, LogsReply, LogsRequest};
use crate::bounds;
use crate::store::{LogPage, Take};

/// Bytes of lines after which no more are waited for.
const ENOUGH_BYTES: usize = 1 << 20;

/// Which lines to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TailRequest {
    /// As for reading, always the oldest lines first; without `since` those from now on. `wait_ms` says how long a first
    /// line is waited for; `before` and `after` do not count.
    pub logs: LogsRequest,
    /// Once a line is there: comes back when none has followed for so many milliseconds, at most 2,000.
    pub linger_ms: u64,
}

impl Api {
    /// Waits for lines and returns them, none when none came: from cursor to cursor nothing is skipped or given twice.
    pub async fn tail_logs(&self, _caller: &Caller, request: TailRequest) -> Result<LogsReply, ApiError> {
        let since = request.logs.since.clone().unwrap_or_else(|| super::logs::NOW.to_owned());
        let wanted =
            LogsRequest { since: Some(since), oldest: true, before: 0, after: 0, ..request.logs.clone() };
        let mut query = self.query(&wanted)?;
        query.take = Take::Oldest;
        let linger = Duration::from_millis(request.linger_ms).min(bounds::TAIL_LINGER);
        let deadline = Instant::now() + Duration::from_millis(wanted.wait_ms).min(bounds::MCP_WAIT);
        // However much goes on being printed, what is there is given in time.
        let mut latest = deadline + linger;
        let mut until = deadline;
        let mut newest = self.parts.store.subscribe();
        let mut got =
            LogPage { lines: Vec::new(), next: query.after.unwrap_or_default(), more: false, missing: 0 };
        let mut bytes = 0;
        loop {
            newest.borrow_and_update();
            let page = self.page(query.clone()).await;
            if !page.lines.is_empty() {
                if got.lines.is_empty() {
                    latest = latest.min(Instant::now() + bounds::TAIL_LINGER);
                }
                until = latest.min(Instant::now() + linger);
            }
            // What was examined need not be looked at again.
            query.after = Some(page.next);
            query.limit -= page.lines.len().min(query.limit);
            bytes += page.lines.iter().map(|line| line.text.len()).sum::<usize>();
            got.lines.extend(page.lines);
            got.missing += page.missing;
            (got.next, got.more) = (page.next, page.more);
            let is_enough = got.more || query.limit == 0 || bytes >= ENOUGH_BYTES || Instant::now() >= until;
            if is_enough || tokio::time::timeout_at(until, newest.changed()).await.is_err() {
                break;
            }
        }
        Ok(LogsReply {
            cursor: self.parts.store.cursor(got.next).to_string(),
            lines: got.lines,
            more: got.more,
            missing: got.missing,
        })
    }
}
