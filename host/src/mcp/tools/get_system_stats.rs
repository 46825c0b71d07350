//! `get_system_stats`: what the machine uses, and what of it the project's processes do.

use serde_json::json;

use crate::api::{Api, Caller, StatsReply, StatsRequest};

use super::super::reply::{Failure, Reply};
use super::super::view;
use super::get_process_stats::mebibytes;
use super::{Effect, Id, Spec, Toolset};

pub const SPEC: Spec = Spec {
    id: Id::GetSystemStats,
    name: "get_system_stats",
    title: "Get what the system uses",
    description: "Show what the machine has and uses: cores, CPU in percent of all cores, load, memory, swap and disk \
                  in MiB, uptime; and what this project's processes use of it together.",
    toolset: Toolset::Processes,
    effect: Effect::Reads,
    arguments: &[],
    output: || {
        let number = || json!({"type": "number"});
        view::object(
            [
                ("cores", view::integer()),
                ("cpu_percent", number()),
                ("load", json!({"type": "array", "items": {"type": "number"}})),
                ("memory_mib", number()),
                ("memory_available_mib", number()),
                ("swap_mib", number()),
                ("swap_free_mib", number()),
                ("disk_mib", number()),
                ("disk_free_mib", number()),
                ("uptime_s", view::integer()),
                ("project", json!({"type": "object"})),
            ],
            [],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller) -> Result<Reply, Failure> {
    Ok(render(&api.stats(caller, StatsRequest::default()).await?))
}

fn render(reply: &StatsReply) -> Reply {
    let (system, processes) = (&reply.system, &reply.processes);
    let running = processes.iter().filter(|process| process.rss_bytes.is_some()).count();
    // The cores' percent are hundredths of one, as everywhere where processes are concerned.
    let cpu: f64 = processes.iter().filter_map(|process| process.cpu_percent).sum();
    let memory = processes.iter().filter_map(|process| process.rss_bytes).fold(0_u64, u64::saturating_add);
    Reply::default()
        .with("cores", system.cores)
        .with("cpu_percent", system.cpu_percent)
        .with("load", system.load.to_vec())
        .with("memory_mib", mebibytes(system.memory_bytes))
        .with("memory_available_mib", mebibytes(system.memory_available_bytes))
        .with("swap_mib", mebibytes(system.swap_bytes))
        .with("swap_free_mib", mebibytes(system.swap_free_bytes))
        .with("disk_mib", mebibytes(system.disk_bytes))
        .with("disk_free_mib", mebibytes(system.disk_free_bytes))
        .with("uptime_s", system.uptime_s)
        .with(
            "project",
            json!({
                "running": running,
                "cpu_percent_of_one_core": (cpu * 10.0).round() / 10.0,
                "memory_mib": mebibytes(memory),
            }),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_and_the_projects_share_of_it_are_told() {
        let process = |name: &str, cpu: Option<f64>, rss: Option<u64>| {
            json!({
                "name": name, "state": "running", "pid": null, "run": null, "cpu_percent": cpu, "cpu_ms": null,
                "rss_bytes": rss, "pss_bytes": null, "processes": null, "threads": null, "fds": null,
                "read_bytes": null, "written_bytes": null, "cpu_history": [], "rss_history": [],
            })
        };
        let reply: StatsReply = serde_json::from_value(json!({
            "processes": [
                process("a", Some(12.5), Some(1 << 20)), process("b", Some(0.3), Some(3 << 20)), process("c", None, None),
            ],
            "system": {
                "cores": 2, "cpu_percent": 37.4, "load": [0.5, 0.4, 0.3], "memory_bytes": 8_u64 << 30,
                "memory_available_bytes": 5_u64 << 30, "swap_bytes": 0, "swap_free_bytes": 0,
                "disk_bytes": 1_u64 << 30, "disk_free_bytes": 1 << 29, "uptime_s": 60,
            },
            "history_every_ms": 2000,
        }))
        .unwrap();
        insta::assert_snapshot!(
            render(&reply).into_value(),
            @r#"{"cores":2,"cpu_percent":37.4,"disk_free_mib":512.0,"disk_mib":1024.0,"load":[0.5,0.4,0.3],"memory_available_mib":5120.0,"memory_mib":8192.0,"project":{"cpu_percent_of_one_core":12.8,"memory_mib":4.0,"running":2},"swap_free_mib":0.0,"swap_mib":0.0,"uptime_s":60}"#
        );
    }
}
