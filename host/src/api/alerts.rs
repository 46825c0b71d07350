//! Alerts that were raised: which there are, waiting for the next one, and what the configuration asks for.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::logs::Since;
use super::types::{ApiError, Caller, ErrorKind, ProcessView, WaitOutcome};
use super::wait::{Ended, describe};
use super::{Api, cursor_at};
use crate::bounds;
use crate::config::Project;
use crate::model::{Level, Line, ProcessName, RunId, Seq, Time};
use crate::pipeline::AlertRule;
use crate::store::{AlertQuery, AlertRecord, AlertsSince, LogQuery, Take};
use crate::supervisor::Handle;

/// Alerts told of when the request does not say how many.
const LIMIT: usize = 50;
/// What a place among alerts begins with.
const PLACE: &str = "alert:";

/// Which alerts to tell of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsRequest {
    /// Processes and groups; none means all.
    pub names: Vec<String>,
    /// The cursor of an earlier reply, such as `alert:7`, or a cursor, a duration or a time as for logs.
    pub since: Option<String>,
    /// At most this many, the newest; after the cursor of an earlier reply the oldest. Default 50.
    pub limit: Option<usize>,
    /// Waits up to this many milliseconds for a first one when there is none yet; at most 50,000.
    pub wait_ms: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AlertsReply {
    /// In the order they were raised. Only the newest are remembered.
    pub alerts: Vec<AlertView>,
    /// Whether there are more than were returned.
    pub more: bool,
    /// Give it as `since` to hear only of those that are raised from now on: each once, none left out.
    pub cursor: String,
}

/// An alert that was raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertView {
    /// Later ones have a higher number.
    pub id: u64,
    /// What the configuration calls it.
    pub name: String,
    /// Whose line raised it.
    pub process: ProcessName,
    pub run: RunId,
    /// When that was written.
    pub time: Time,
    /// The level of the event; absent where lines are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// What was counted: `10 events at error within 1m`.
    pub what: String,
    /// What was said: a line, or what an error says of itself.
    pub text: String,
    /// What the user has to say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many came since the last alert of this name, which nobody was told of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub meanwhile: u64,
    /// How many came while it kept quiet.
    pub more: u64,
    /// It keeps quiet still, until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_until: Option<Time>,
    /// Reads the log from the line on that raised it.
    pub cursor: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Api {
    /// Returns alerts that were raised.
    pub async fn alerts(&self, _caller: &Caller, request: AlertsRequest) -> Result<AlertsReply, ApiError> {
        let limit = request.limit.unwrap_or(LIMIT);
        if !(1..=bounds::ALERTS_KEPT).contains(&limit) {
            let message = format!("a limit is between 1 and {}, not {limit}", bounds::ALERTS_KEPT);
            return Err(ApiError::new(ErrorKind::Invalid, message));
        }
        let mut processes: Vec<ProcessName> = Vec::new();
        for name in &request.names {
            processes.extend(self.handles(name)?.iter().map(Handle::name));
        }
        let since = request.since.as_deref().map(|text| self.alerts_since(text)).transpose()?;
        let query = AlertQuery { processes, since: since.unwrap_or_default(), limit };
        let wait = Duration::from_millis(request.wait_ms).min(bounds::MCP_WAIT);
        let deadline = Instant::now() + wait;
        let mut newest = self.parts.alerts.subscribe();
        loop {
            let last = *newest.borrow_and_update();
            let (records, more) = self.alert_records(query.clone()).await?;
            if records.is_empty()
                && !matches!(timeout_at(deadline, newest.changed()).await, Err(_) | Ok(Err(_)))
            {
                continue;
            }
            let place = match (records.last(), query.since) {
                (Some(record), _) if more && matches!(query.since, AlertsSince::Alert(_)) => record.id,
                (record, AlertsSince::Alert(from)) => record.map_or(from, |record| record.id),
                (record, _) => record.map_or(last, |record| record.id.max(last)),
            };
            let alerts = records.into_iter().map(|record| self.alert_view(record)).collect();
            return Ok(AlertsReply { alerts, more, cursor: format!("{PLACE}{place}") });
        }
    }

    /// Returns the alerts whose window is not over.
    pub(super) fn open_alerts(&self) -> Vec<AlertView> {
        self.parts.alerts.open().into_iter().map(|record| self.alert_view(record)).collect()
    }

    /// Names the open alerts of each process in its view.
    pub(super) fn add_alerts(&self, views: &mut [ProcessView]) {
        for alert in self.parts.alerts.open() {
            if let Some(view) = views.iter_mut().find(|view| view.name == alert.process) {
                view.alerts.push(alert.name);
            }
        }
    }

    /// Reads a place among alerts.
    pub(super) fn alerts_since(&self, text: &str) -> Result<AlertsSince, ApiError> {
        let text = text.trim();
        if let Some(id) = text.strip_prefix(PLACE).and_then(|id| id.parse().ok()) {
            return Ok(AlertsSince::Alert(id));
        }
        match self.since(text) {
            Ok(Since::Cursor(seq)) => Ok(AlertsSince::Line(seq)),
            Ok(Since::Time(time)) => Ok(AlertsSince::Time(time)),
            Err(error) => Err(error.hint(
                "since takes the cursor of an earlier reply such as alert:7, a cursor of the log, a duration such as \
                 10m, or a time such as 2026-11-20T08:00:00Z",
            )),
        }
    }

    /// Says why an alert of this name, or any, cannot be waited for.
    pub(super) fn known_alert(&self, name: Option<&str>) -> Result<(), ApiError> {
        let project = self.parts.fleet.file();
        let names: Vec<&str> = project.alerts.iter().map(|alert| alert.name.as_str()).collect();
        let missing = |message: String| ApiError::new(ErrorKind::NotFound, message);
        match name {
            _ if names.is_empty() => Err(missing("no alert is configured".to_owned())
                .hint("add one to ostler.toml, such as `[alert.errors]` with `level = \"error\"`")),
            Some(name) if !names.contains(&name) => {
                let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
                Err(missing(format!("there is no alert `{shown}`"))
                    .hint(format!("there is {}", names.join(", "))))
            }
            _ => Ok(()),
        }
    }

    /// Waits until an alert about a process is raised: in its present run, or after `since`. Returns it besides.
    pub(super) async fn wait_alert(
        &self,
        handle: &Handle,
        name: Option<&str>,
        since: Option<AlertsSince>,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<(Ended, Option<AlertView>), ApiError> {
        let process = handle.name();
        let mut newest = self.parts.alerts.subscribe();
        let mut snapshots = handle.snapshots();
        loop {
            newest.borrow_and_update();
            let snapshot = snapshots.borrow_and_update().clone();
            if let (false, Some(run)) = (snapshot.state.is_alive(), snapshot.run) {
                self.drained(run).await;
            }
            // A process without a run has printed nothing, whatever its runs before have.
            if let Some(since) = since.or(snapshot.run.map(AlertsSince::Run)) {
                let processes = vec![process.clone()];
                let query = AlertQuery { processes, since, limit: bounds::ALERTS_KEPT };
                let (records, _) = self.alert_records(query).await?;
                let raised = records.into_iter().find(|record| name.is_none_or(|name| record.name == name));
                if let Some(record) = raised {
                    let reason = format!("`{process}` raised the alert `{}`: {}", record.name, record.what);
                    let line = self.alert_line(&record).await;
                    let alert = self.alert_view(record);
                    return Ok(((WaitOutcome::Met, reason, line), Some(alert)));
                }
            }
            if snapshot.state.is_final() {
                let reason = format!("`{process}` {} and raised no such alert", describe(&snapshot));
                return Ok(((WaitOutcome::Impossible, reason, None), None));
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { break },
                changed = snapshots.changed() => if changed.is_err() { break },
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        let reason = format!("`{process}` raised no such alert within {timeout:?}");
        Ok(((WaitOutcome::TimedOut, reason, None), None))
    }

    /// Returns the line that raised an alert, unless it was deleted.
    async fn alert_line(&self, record: &AlertRecord) -> Option<Line> {
        let query = LogQuery {
            run: Some(record.run),
            after: Some(before(record.seq)),
            limit: 1,
            take: Take::Oldest,
            ..LogQuery::default()
        };
        self.page(query).await.lines.into_iter().next().filter(|line| line.seq == record.seq)
    }

    /// Writes down what was raised, so that answers are not older than the question, and reads the catalogue.
    async fn alert_records(&self, query: AlertQuery) -> Result<(Vec<AlertRecord>, bool), ApiError> {
        let (alerts, catalogue) = (self.parts.alerts.clone(), Arc::clone(&self.parts.catalogue));
        let reading = tokio::task::spawn_blocking(move || {
            if let Err(error) = alerts.flush() {
                tracing::warn!(%error, "answers leave out the newest alerts");
            }
            catalogue.alerts(&query)
        });
        let unavailable = |error: String| ApiError::new(ErrorKind::Unavailable, error);
        reading
            .await
            .map_err(|error| unavailable(error.to_string()))?
            .map_err(|error| unavailable(error.to_string()))
    }

    fn alert_view(&self, record: AlertRecord) -> AlertView {
        let cursor = self.parts.store.cursor(self.parts.store.newest()).to_string();
        AlertView {
            id: record.id,
            name: record.name,
            process: record.process,
            run: record.run,
            time: record.time,
            level: (record.level != Level::Unknown).then_some(record.level),
            what: record.what,
            text: record.text,
            message: record.message,
            meanwhile: record.meanwhile,
            more: record.more,
            open_until: (record.until > Time::now()).then_some(record.until),
            cursor: cursor_at(&cursor, before(record.seq)),
        }
    }
}

fn before(seq: Seq) -> Seq {
    Seq(seq.0.saturating_sub(1))
}

/// Returns what a project wants to be told of.
pub fn alert_rules(project: &Project) -> Vec<AlertRule> {
    let rule = |alert: &crate::config::Alert| AlertRule {
        name: alert.name.clone(),
        processes: alert.processes.clone(),
        level: alert.level,
        pattern: alert.pattern.clone(),
        count: alert.rate.map_or(1, |rate| rate.count),
        within: alert.rate.map_or(Duration::ZERO, |rate| rate.within),
        window: alert.window,
        message: alert.message.clone(),
    };
    project.alerts.iter().map(rule).collect()
}
