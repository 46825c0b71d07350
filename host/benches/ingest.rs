//! From children's output to queryable lines, through shims, pipeline, masking, classifier and store.
//!
//! One flooding child alone, and how long it takes, against writing to a file; fifty children at once, and how equally
//! they are served; how soon a follower sees a line, of a quiet child alone and beside a flood. Ends with the most
//! memory the daemon had during all of it.

mod support;

#[path = "ingest/children.rs"]
mod children;
#[path = "ingest/fifty.rs"]
mod fifty;
#[path = "ingest/flood.rs"]
mod flood;
#[path = "ingest/latency.rs"]
mod latency;

use ostler::api::{LogsRequest, Request, Response};

use support::{Project, figure};

fn main() {
    if children::is_one() {
        return;
    }
    let own = std::env::current_exe().expect("the path of this benchmark").display().to_string();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config =
        [flood::config(&own, dir.path()), fifty::config(&own, dir.path()), latency::config(&own)].concat();
    let mut project = Project::start(&config);
    // The first start of all compiles the classifier; that is not what is measured here.
    project.ask(&Request::Plugins {});
    let mut peak = memory(&project, "start");
    latency::idle(&mut project);
    peak = peak.max(memory(&project, "idle"));
    flood::measure(&mut project, &own, dir.path());
    peak = peak.max(memory(&project, "flood"));
    fifty::measure(&mut project, dir.path());
    peak = peak.max(memory(&project, "fifty"));
    latency::beside_a_flood(&mut project);
    peak = peak.max(memory(&project, "beside_flood"));
    figure("daemon_memory_peak", peak, "MiB");
}

/// Prints and returns the most memory the daemon had since this was asked last.
fn memory(project: &Project, stage: &str) -> f64 {
    let peak = project.take_memory_peak() as f64 / f64::from(1 << 20);
    figure(&format!("daemon_memory_peak_{stage}"), peak, "MiB");
    peak
}

/// Starts a process.
fn start(project: &mut Project, name: &str) {
    let started = project.ask(&Request::Start { name: name.into() });
    assert!(matches!(started, Response::Start(_)), "{started:?}");
}

/// Returns the number that the newest line of a process begins with, as those of the children here do.
fn newest(project: &mut Project, name: &str) -> Option<u64> {
    let request = LogsRequest { names: vec![name.into()], limit: Some(1), ..LogsRequest::default() };
    match project.ask(&Request::Logs(request)) {
        Response::Logs(reply) => reply.lines.last()?.text.split(' ').next()?.parse().ok(),
        other => panic!("{other:?}"),
    }
}
