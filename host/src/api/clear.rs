//! Deleting lines of log, how long those are kept that nobody deletes, and what is said of those that are damaged.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Api;
use super::gate::Act;
use super::types::{ApiError, Caller, ErrorKind};
use crate::config::Project;
use crate::model::ProcessName;
use crate::store::{Damage, LogQuery, Retention};

/// What to delete.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClearLogsRequest {
    /// Processes and groups, also such as are not of the project any more; none means everything.
    pub names: Vec<String>,
}

/// What was deleted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClearLogsReply {
    /// Whose lines; none means everybody's.
    pub names: Vec<ProcessName>,
    pub lines: u64,
    /// How many bytes of the disk are free again.
    pub freed_bytes: u64,
    /// Reads what is printed from now on.
    pub cursor: String,
}

impl Api {
    /// Deletes the lines there are of processes, or all, from the disk; what is printed meanwhile stays.
    pub async fn clear_logs(
        &self,
        caller: &Caller,
        request: ClearLogsRequest,
    ) -> Result<ClearLogsReply, ApiError> {
        let mut names = Vec::new();
        for name in &request.names {
            names.extend(self.names_to_clear(name).await?);
        }
        let target = if names.is_empty() { "*".to_owned() } else { request.names.join(",") };
        let act = Act { verb: "clear-logs", target, detail: String::new() };
        let store = Arc::clone(&self.parts.store);
        let clearing = async move {
            let cursor = store.cursor(store.newest()).to_string();
            let before = store.bytes();
            let (log, of) = (Arc::clone(&store), names.clone());
            let cleared =
                tokio::task::spawn_blocking(move || log.clear((!of.is_empty()).then_some(of.as_slice())))
                    .await
                    .map_err(|error| ApiError::new(ErrorKind::Failed, error.to_string()))?;
            let lines = cleared.map_err(|error| {
                ApiError::new(ErrorKind::Failed, format!("not all of the log could be cleared: {error}"))
                    .hint("the same again goes on with what is left")
            })?;
            let freed_bytes = before.saturating_sub(store.bytes());
            Ok(ClearLogsReply { names, lines, freed_bytes, cursor })
        };
        self.gate.pass(caller, act, clearing).await
    }

    /// Returns what a name means; one that means nothing any more is a process's whose lines are still there.
    async fn names_to_clear(&self, name: &str) -> Result<Vec<ProcessName>, ApiError> {
        let error = match self.handles(name) {
            Ok(handles) => return Ok(handles.iter().map(crate::supervisor::Handle::name).collect()),
            Err(error) => error,
        };
        let Ok(process) = ProcessName::parse(name) else { return Err(error) };
        let query = LogQuery { processes: Some(vec![process.clone()]), limit: 1, ..LogQuery::default() };
        if self.page(query).await.lines.is_empty() { Err(error) } else { Ok(vec![process]) }
    }
}

/// Returns what `status` says of damage that was come upon while the log was read.
pub(super) fn damage_warning(damage: &[Damage]) -> Option<String> {
    let first = damage.first()?;
    Some(format!(
        "the log was found damaged in {} places while it was read, the first in {} at byte {}; the lines in them are lost, \
         all others are not",
        damage.len(),
        first.file.display(),
        first.offset
    ))
}

/// Returns how long a project's log is kept.
pub fn retention(project: &Project) -> Retention {
    let keep = &project.keep_logs;
    Retention { bytes: keep.bytes, age: keep.age, of: keep.of.clone() }
}
