//! How processes are just now: makes their checks, and tells what was seen lately.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::types::{ApiError, Caller, ProcessView};
use super::wait::describe;
use super::{Api, mask, view};
use crate::bounds;
use crate::mask::InForce;
use crate::model::Time;
use crate::supervisor::{Checked, Handle, Looked, State};

/// Results shown of one process, the newest ones.
const RECENT: usize = 10;
/// The longest a check may take that somebody waits for; it goes on by itself beyond that.
const WAIT: Duration = bounds::MCP_WAIT.saturating_sub(Duration::from_secs(2));

/// What became of a check that was made because somebody asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The check holds.
    Healthy,
    /// It does not.
    Unhealthy,
    /// The process has no check: what is known of it is its state.
    Unchecked,
    /// The process does not run.
    Down,
}

impl Verdict {
    /// Returns the word used in JSON and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unchecked => "unchecked",
            Self::Down => "down",
        }
    }
}

/// How one process is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HealthView {
    pub process: ProcessView,
    pub verdict: Verdict,
    /// The check in words, such as `GET http://127.0.0.1:8000/health`; absent when none is configured.
    pub check: Option<String>,
    /// What was seen just now, or why nothing could be.
    pub saw: String,
    /// Milliseconds the check took.
    pub latency_ms: Option<f64>,
    /// The last results of its checks, the oldest first.
    pub recent: Vec<CheckView>,
    /// What its output says against it, whatever its check says: a build that failed, requests that end with errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// One result of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckView {
    pub time: Time,
    /// What it was for: `ready` or `health`.
    pub purpose: String,
    pub ok: bool,
    pub saw: String,
    pub latency_ms: f64,
}

impl Api {
    /// Makes the health check of each named process now, or of all; where there is none the readiness check.
    pub async fn health(&self, _caller: &Caller, names: &[String]) -> Result<Vec<HealthView>, ApiError> {
        let handles: Vec<Handle> = if names.is_empty() {
            self.parts.fleet.in_order()
        } else {
            let named: Vec<Vec<Handle>> =
                names.iter().map(|name| self.handles(name)).collect::<Result<_, _>>()?;
            named.concat()
        };
        let mut tasks = JoinSet::new();
        for (place, handle) in handles.into_iter().enumerate() {
            let doubts = self.doubts(&handle.snapshot());
            tasks.spawn(async move { (place, HealthView { doubts, ..check(&handle).await }) });
        }
        let mut views = tasks.join_all().await;
        views.sort_by_key(|(place, _)| *place);
        let rules = self.parts.secrets.current();
        Ok(views.into_iter().map(|(_, view)| masked(&rules, view)).collect())
    }
}

async fn check(handle: &Handle) -> HealthView {
    let checked = match tokio::time::timeout(WAIT, handle.check()).await {
        Ok(checked) => Ok(checked),
        Err(_) => Err(format!("the check was not over within {WAIT:?}")),
    };
    let recent = handle.looks();
    let recent = recent.iter().skip(recent.len().saturating_sub(RECENT)).map(check_view).collect();
    let snapshot = handle.snapshot();
    let state = snapshot.state;
    let described = format!("it {}", describe(&snapshot));
    let process = view::of(snapshot).await;
    let (verdict, check, saw, latency_ms) = match checked {
        Err(why) => (Verdict::Unhealthy, None, why, None),
        Ok(Some(Checked { check, looked: Some(looked), .. })) => {
            let verdict = if looked.sight.ok { Verdict::Healthy } else { Verdict::Unhealthy };
            (verdict, Some(check), looked.sight.what, Some(milliseconds(looked.took)))
        }
        Ok(Some(Checked { check, looked: None, .. })) => (Verdict::Down, Some(check), described, None),
        Ok(None) if !state.is_alive() => (Verdict::Down, None, described, None),
        Ok(None) if state == State::Unhealthy => (Verdict::Unhealthy, None, described, None),
        Ok(None) => {
            let saw = format!("{described}; no `health` or `ready` check is configured");
            (Verdict::Unchecked, None, saw, None)
        }
    };
    HealthView { process, verdict, check, saw, latency_ms, recent, doubts: Vec::new() }
}

/// Masks what checks are and what they saw: commands, and what these printed.
fn masked(rules: &InForce, mut view: HealthView) -> HealthView {
    view.check = view.check.map(|check| mask::text(rules, &check));
    view.saw = rules.mask(&view.saw);
    for look in &mut view.recent {
        look.saw = rules.mask(&look.saw);
    }
    view
}

fn check_view(looked: &Looked) -> CheckView {
    CheckView {
        time: looked.time,
        purpose: looked.purpose.as_str().to_owned(),
        ok: looked.sight.ok,
        saw: looked.sight.what.clone(),
        latency_ms: milliseconds(looked.took),
    }
}

/// Returns milliseconds to the hundredth.
fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 100_000.0).round() / 100.0
}
