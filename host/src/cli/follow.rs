//! Owns following the log: a long poll after the other, from cursor to cursor, nothing twice and nothing skipped.
//!
//! When the daemon dies the follower starts the next one and reads on, because cursors outlive daemons. When the
//! daemon ends in order, as with `ostler down`, it does not.

use std::time::Duration;

use super::client::{Client, ClientError};
use super::context::Context;
use super::exit::CliError;
use crate::api::{ErrorKind, LogsReply, LogsRequest};

/// Lines asked for at once.
pub const PAGE_LINES: usize = 2000;
/// How long one call waits for a first line.
const POLL: Duration = Duration::from_secs(50);
/// Daemons lost in a row, without a single answer in between, before the follower gives up.
const LOST_IN_A_ROW: usize = 3;

/// Reads a log as it grows.
pub struct Follower {
    context: Context,
    client: Client,
    request: LogsRequest,
}

impl Follower {
    /// Makes a follower that reads on after `cursor` with the filters of `request`.
    pub fn new(context: Context, client: Client, request: LogsRequest, cursor: String) -> Self {
        let request = LogsRequest { since: Some(cursor), limit: Some(PAGE_LINES), wait_ms: 0, ..request };
        Self { context, client, request }
    }

    /// Returns the next lines, waiting for as long as it takes, or `None` when the daemon has ended in order.
    pub async fn next(&mut self) -> Result<Option<LogsReply>, CliError> {
        loop {
            let Some(reply) = self.poll(POLL).await? else { return Ok(None) };
            if !reply.lines.is_empty() || reply.missing > 0 {
                return Ok(Some(reply));
            }
        }
    }

    /// Returns the next lines, waiting at most `wait` for a first one.
    pub async fn poll(&mut self, wait: Duration) -> Result<Option<LogsReply>, CliError> {
        self.request.wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let mut lost = 0;
        loop {
            match self.client.logs(self.request.clone()).await {
                Ok(reply) => {
                    self.request.since = Some(reply.cursor.clone());
                    return Ok(Some(reply));
                }
                Err(ClientError::Refused(error)) if error.kind == ErrorKind::Unavailable => return Ok(None),
                Err(error) if error.is_lost() && lost < LOST_IN_A_ROW => {
                    lost += 1;
                    self.client = self.context.client().await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
