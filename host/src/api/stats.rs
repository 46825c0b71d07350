//! What processes and the system use, with a short history.

use serde::{Deserialize, Serialize};

use super::Api;
use super::requests::RequestStats;
use super::types::{ApiError, Caller};
use crate::bounds;
use crate::model::{ProcessName, RunId};
use crate::supervisor::{Handle, Sample, Snapshot, State, SystemSample};

/// Which processes to look at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatsRequest {
    /// Processes; none means all.
    pub names: Vec<String>,
    /// Proportional memory too, which costs the kernel milliseconds for a large process.
    pub pss: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatsReply {
    pub processes: Vec<ProcessStats>,
    pub system: SystemStats,
    /// Milliseconds between two values of a history.
    pub history_every_ms: u64,
}

/// What a process and all its descendants use. All but name and state are absent while nothing runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessStats {
    pub name: ProcessName,
    pub state: State,
    pub pid: Option<u32>,
    pub run: Option<RunId>,
    /// Share of one core in hundredths: 250 is two and a half cores.
    pub cpu_percent: Option<f64>,
    /// Processor time so far, of children that have ended too.
    pub cpu_ms: Option<u64>,
    /// Resident memory; what processes share counts for each.
    pub rss_bytes: Option<u64>,
    /// Proportional memory; what processes share counts by share. Only when it was asked for.
    pub pss_bytes: Option<u64>,
    pub processes: Option<u32>,
    pub threads: Option<u32>,
    pub fds: Option<u32>,
    /// Read from and written to disks.
    pub read_bytes: Option<u64>,
    pub written_bytes: Option<u64>,
    /// The oldest first; kept while somebody asks.
    pub cpu_history: Vec<f64>,
    pub rss_history: Vec<u64>,
    /// What requests it has answered, when its output has told of any within the last 15 minutes; also of a process
    /// that does not run any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestStats>,
}

/// What the whole machine, or container, uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SystemStats {
    pub cores: u32,
    /// Share of all cores in hundredths.
    pub cpu_percent: f64,
    /// Load over one, five and fifteen minutes.
    pub load: [f64; 3],
    pub memory_bytes: u64,
    pub memory_available_bytes: u64,
    pub swap_bytes: u64,
    pub swap_free_bytes: u64,
    /// The disk that Ostler's state is on.
    pub disk_bytes: u64,
    pub disk_free_bytes: u64,
    pub uptime_s: u64,
}

impl Api {
    /// Tells what processes and the system use now.
    pub async fn stats(&self, _caller: &Caller, request: StatsRequest) -> Result<StatsReply, ApiError> {
        let handles = if request.names.is_empty() {
            self.parts.fleet.in_order()
        } else {
            request.names.iter().map(|name| self.handle(name)).collect::<Result<_, _>>()?
        };
        let snapshots: Vec<Snapshot> = handles.iter().map(Handle::snapshot).collect();
        let (samples, system) = self.sampler.look(snapshots, request.pss).await;
        Ok(StatsReply {
            processes: samples
                .into_iter()
                .map(|sample| {
                    let requests = self.requests(&sample.snapshot);
                    process(sample, requests)
                })
                .collect(),
            system: of_system(system),
            history_every_ms: bounds::STATS_EVERY.as_millis().try_into().unwrap_or(u64::MAX),
        })
    }
}

fn process(sample: Sample, requests: Option<RequestStats>) -> ProcessStats {
    let Sample { snapshot, usage, cpu_percent, pss, history } = sample;
    ProcessStats {
        name: snapshot.name,
        state: snapshot.state,
        pid: snapshot.pid,
        run: snapshot.run,
        cpu_percent,
        cpu_ms: usage.map(|usage| usage.cpu_ms),
        rss_bytes: usage.map(|usage| usage.rss),
        pss_bytes: pss,
        processes: usage.map(|usage| usage.processes),
        threads: usage.map(|usage| usage.threads),
        fds: usage.map(|usage| usage.fds),
        read_bytes: usage.map(|usage| usage.read),
        written_bytes: usage.map(|usage| usage.written),
        cpu_history: history.iter().map(|point| point.cpu_percent).collect(),
        rss_history: history.iter().map(|point| point.rss).collect(),
        requests,
    }
}

fn of_system(sample: SystemSample) -> SystemStats {
    let usage = sample.usage;
    SystemStats {
        cores: usage.cores,
        cpu_percent: sample.cpu_percent,
        load: usage.load,
        memory_bytes: usage.memory,
        memory_available_bytes: usage.memory_available,
        swap_bytes: usage.swap,
        swap_free_bytes: usage.swap_free,
        disk_bytes: usage.disk,
        disk_free_bytes: usage.disk_free,
        uptime_s: usage.uptime_s,
    }
}
