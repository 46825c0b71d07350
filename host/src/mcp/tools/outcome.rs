//! What several tools have to tell alike: processes as far as there is room, names, and what could not be done.
//!
//! Each list may be as long as a project has processes, and so each is bounded here.

use serde_json::Value;

use crate::api::{self, ProcessView};
use crate::model::ProcessName;

use super::super::budget;
use super::super::reply::{Reply, bounded};
use super::super::text::grouped;
use super::super::view;

/// Failures told; what is wrong is often the same with all.
const FAILURES: usize = 10;
/// Estimated tokens that are kept for an entry which counts what is not shown.
const MORE_TOKENS: usize = 10;

/// Tells what could not be done and why; nothing when there is nothing to tell.
pub fn failures(failed: &[api::Failure]) -> Option<Vec<String>> {
    let told = failed.iter().take(FAILURES);
    let mut told: Vec<String> =
        told.map(|failure| bounded(&format!("{}: {}", failure.name, failure.reason))).collect();
    if failed.len() > FAILURES {
        told.push(format!("and {} more", failed.len() - FAILURES));
    }
    (!told.is_empty()).then_some(told)
}

/// Adds processes: all that fit, or where not all do the first of them whole and the others by name in `others`.
pub fn with_processes(reply: Reply, field: &str, views: &[ProcessView]) -> Reply {
    const HINT_TOKENS: usize = 40;
    let left = reply.left(0);
    let shown = first_of(views, left);
    if shown.len() == views.len() {
        return reply.with(field, shown);
    }
    // Names cost little, and with its name everything is had of a process.
    let shown = first_of(views, left.saturating_sub(HINT_TOKENS) / 2);
    let others: Vec<ProcessName> = views[shown.len()..].iter().map(|view| view.name.clone()).collect();
    let hint = format!(
        "{} more processes are told by name in others: ask for one with diagnose_process",
        grouped(others.len())
    );
    with_names(reply.with(field, shown).with_hint(&hint), "others", &others, 1)
}

/// Returns as many processes as fit into `left` estimated tokens.
fn first_of(views: &[ProcessView], mut left: usize) -> Vec<Value> {
    let mut shown = Vec::new();
    for process in views.iter().map(view::process) {
        let cost = budget::json_tokens(&process) + 1;
        if cost > left {
            break;
        }
        left -= cost;
        shown.push(process);
    }
    shown
}

/// Adds names, as many as fit into one part of `parts` of what is left, and the count of the others; none adds
/// nothing.
pub fn with_names(reply: Reply, field: &str, names: &[ProcessName], parts: usize) -> Reply {
    let mut left = (reply.left(0) / parts).saturating_sub(MORE_TOKENS);
    let mut shown: Vec<String> = Vec::new();
    for name in names {
        let cost = budget::json_string_tokens(name.as_str());
        if cost > left {
            shown.push(format!("and {} more", names.len() - shown.len()));
            break;
        }
        left -= cost;
        shown.push(name.to_string());
    }
    reply.with_some(field, (!shown.is_empty()).then_some(shown))
}
