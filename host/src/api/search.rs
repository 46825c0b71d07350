//! Searching the log: a page of what was found, with what stands around it, and how much there is in all.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Api;
use super::types::{ApiError, Caller, ErrorKind, LogsRequest};
use crate::model::{Level, Line, ProcessName, Seq};
use crate::store::{Buckets, LogQuery, ProcessTally, Runs, Tally};

/// What was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SearchReply {
    /// In order of their sequence numbers: the lines that match, and those around them that were asked for.
    pub lines: Vec<Line>,
    /// Which of them match.
    pub found: Vec<Seq>,
    /// Give it as `since` to read on: nothing twice, nothing skipped.
    pub cursor: String,
    /// Whether more lines match than were returned: after the last one when searching from the oldest on, before the
    /// first one otherwise.
    pub more: bool,
    /// Lines after the cursor that have been deleted since.
    pub missing: u64,
    /// How many lines match in all between `since` and `until`, of each process that has any.
    pub counts: Vec<LineCount>,
    /// There was too much log to count all of it: these are the counts of the newest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counts_are_least: bool,
}

/// How many lines of a process match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineCount {
    pub process: ProcessName,
    pub lines: u64,
    /// Levels without lines are left out.
    pub levels: BTreeMap<Level, u64>,
}

impl Api {
    /// Searches the log; `wait_ms` does not count.
    pub async fn search_logs(&self, _caller: &Caller, request: LogsRequest) -> Result<SearchReply, ApiError> {
        let query = self.query(&request)?;
        // So that page and counts are of the same lines.
        let newest = self.parts.store.newest();
        let before = query.before.unwrap_or(Seq(u64::MAX)).min(Seq(newest.0.saturating_add(1)));
        let query = LogQuery { before: Some(before), ..query };
        let counting = self.tally(query.clone(), Runs::All, Buckets::ONE);
        let (tally, page) = (counting.await?, self.page(query).await);
        let found = page.lines.iter().map(|line| line.seq).collect();
        Ok(SearchReply {
            found,
            cursor: self.parts.store.cursor(page.next).to_string(),
            more: page.more,
            missing: page.missing,
            lines: self.with_context(page.lines, request.before, request.after).await,
            counts: counts(&tally),
            counts_are_least: !tally.is_whole,
        })
    }

    /// Counts lines on the blocking pool.
    pub(super) async fn tally(
        &self,
        query: LogQuery,
        runs: Runs,
        buckets: Buckets,
    ) -> Result<Tally, ApiError> {
        let store = Arc::clone(&self.parts.store);
        let counted = tokio::task::spawn_blocking(move || store.tally(&query, &runs, buckets)).await;
        counted.map_err(|error| ApiError::new(ErrorKind::Failed, error.to_string()))
    }
}

fn counts(tally: &Tally) -> Vec<LineCount> {
    let count = |(process, tally): (&ProcessName, &ProcessTally)| LineCount {
        process: process.clone(),
        lines: tally.lines(),
        levels: levels(&tally.levels),
    };
    tally.processes.iter().map(count).collect()
}

/// Returns how many lines there are of each level that has any.
pub(super) fn levels(counts: &[u64; Level::ALL.len()]) -> BTreeMap<Level, u64> {
    Level::ALL.into_iter().zip(*counts).filter(|(_, count)| *count > 0).collect()
}
