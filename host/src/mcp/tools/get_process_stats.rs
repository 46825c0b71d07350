//! `get_process_stats`: what processes use, with a short history.

use serde_json::{Map, Value, json};

use crate::api::{Api, Caller, ProcessStats, StatsReply, StatsRequest};

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::reply::{Failure, Reply};
use super::super::{budget, requests, view};
use super::{Effect, Id, Spec, Toolset};

/// Values of a history that are shown; more of them are averaged.
const HISTORY: usize = 15;
/// Routes that are shown of a process that is the only one.
const ROUTES: usize = 10;

pub const SPEC: Spec = Spec {
    id: Id::GetProcessStats,
    name: "get_process_stats",
    title: "Get what processes use",
    description: "Show what a process with its descendants uses: CPU in percent of one core, memory in MiB, threads, \
                  open files, disk traffic, CPU of the last minutes; and the requests its access log tells of: rate, \
                  share of 5xx, p50 and p95, routes (by name only). All processes when name is left out.",
    toolset: Toolset::Processes,
    effect: Effect::Reads,
    arguments: &[
        Argument::optional("name", Kind::Text, "Process name; all when left out"),
        Argument::optional("pss", Kind::Flag { default: false }, "Add proportional memory; slower"),
    ],
    output: || {
        view::object(
            [("processes", json!({"type": "array", "items": {"type": "object"}}))],
            [("hint", view::string())],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let names = arguments.text("name").map(str::to_owned).into_iter().collect();
    let pss = arguments.flag("pss").unwrap_or(false);
    Ok(render(&api.stats(caller, StatsRequest { names, pss }).await?))
}

fn render(reply: &StatsReply) -> Reply {
    const HINT_TOKENS: usize = 60;
    let mut left = Reply::default().left(HINT_TOKENS);
    let mut shown: Vec<Value> = Vec::new();
    let routes = if reply.processes.len() == 1 { ROUTES } else { 0 };
    for process in &reply.processes {
        let process = one(process, reply.history_every_ms, routes);
        let cost = budget::json_tokens(&process) + 1;
        if cost > left {
            break;
        }
        left -= cost;
        shown.push(process);
    }
    let missing = reply.processes.len() - shown.len();
    let hint =
        (missing > 0).then(|| format!("{missing} more processes are not shown; ask for one by its name"));
    Reply::default().with("processes", shown).with_some("hint", hint)
}

/// A process with only what is known of it.
fn one(process: &ProcessStats, every_ms: u64, routes: usize) -> Value {
    let mut object = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            object.insert(name.to_owned(), value);
        }
    };
    add("name", Some(process.name.as_str().into()));
    add("state", Some(process.state.as_str().into()));
    add("cpu_percent", process.cpu_percent.map(Value::from));
    add("cpu_seconds", process.cpu_ms.map(|ms| (ms / 1000).into()));
    add("memory_mib", process.rss_bytes.map(mebibytes));
    add("pss_mib", process.pss_bytes.map(mebibytes));
    add("processes", process.processes.map(Value::from));
    add("threads", process.threads.map(Value::from));
    add("fds", process.fds.map(Value::from));
    add("read_mib", process.read_bytes.map(mebibytes));
    add("written_mib", process.written_bytes.map(mebibytes));
    let (history, step) = thinned(&process.cpu_history);
    let every = every_ms.saturating_mul(step as u64) / 1000;
    add("cpu_history", (history.len() > 1).then(|| json!({"every_s": every, "percent": history})));
    add("requests", process.requests.as_ref().map(|stats| requests::requests(stats, routes)));
    Value::Object(object)
}

pub(super) fn mebibytes(bytes: u64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "one digit of it is shown")]
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    ((mebibytes * 10.0).round() / 10.0).into()
}

/// Returns at most `HISTORY` averages, the newest last, and how many values each is made of.
fn thinned(values: &[f64]) -> (Vec<f64>, usize) {
    let step = values.len().div_ceil(HISTORY).max(1);
    // What does not fill a first step is left out, so that the newest values are all in.
    let values = &values[values.len() % step..];
    let average = |values: &[f64]| {
        #[expect(clippy::cast_precision_loss, reason = "a handful of values")]
        let average = values.iter().sum::<f64>() / values.len() as f64;
        (average * 10.0).round() / 10.0
    };
    (values.chunks(step).map(average).collect(), step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds;

    fn reply(count: usize) -> StatsReply {
        let process = |index: usize| {
            json!({
                "name": format!("api-{index}"), "state": "ready", "pid": 41, "run": 3, "cpu_percent": 12.5,
                "cpu_ms": 62_900, "rss_bytes": 199_229_440, "pss_bytes": null, "processes": 3, "threads": 14,
                "fds": 60, "read_bytes": 12_582_912, "written_bytes": 1000,
                "cpu_history": (0..150).map(f64::from).collect::<Vec<_>>(), "rss_history": [1, 2],
                "requests": if index == 0 { Value::Null } else { json!(requests::tests::stats()) },
            })
        };
        let system = json!({
            "cores": 2, "cpu_percent": 37.4, "load": [0.5, 0.4, 0.3], "memory_bytes": 1, "memory_available_bytes": 1,
            "swap_bytes": 0, "swap_free_bytes": 0, "disk_bytes": 1, "disk_free_bytes": 1, "uptime_s": 1,
        });
        serde_json::from_value(json!({
            "processes": (0..count).map(process).collect::<Vec<_>>(), "system": system, "history_every_ms": 2000,
        }))
        .unwrap()
    }

    #[test]
    fn a_process_has_its_figures_and_a_short_history() {
        insta::assert_snapshot!(
            render(&reply(1)).into_value(),
            @r#"{"processes":[{"cpu_history":{"every_s":20,"percent":[4.5,14.5,24.5,34.5,44.5,54.5,64.5,74.5,84.5,94.5,104.5,114.5,124.5,134.5,144.5]},"cpu_percent":12.5,"cpu_seconds":62,"fds":60,"memory_mib":190.0,"name":"api-0","processes":3,"read_mib":12.0,"state":"ready","threads":14,"written_mib":0.0}]}"#
        );
    }

    #[test]
    fn routes_are_shown_of_one_process_alone() {
        let mut two = reply(2);
        let requests =
            |reply: &StatsReply, at: usize| render(reply).into_value()["processes"][at]["requests"].clone();
        assert_eq!(requests(&two, 1)["last_15_minutes"]["count"], 40);
        assert_eq!(requests(&two, 1)["routes"], Value::Null);
        two.processes.remove(0);
        assert_eq!(requests(&two, 0)["routes"], json!(["GET /: 40, 2 with 4xx"]));
    }

    #[test]
    fn the_newest_values_are_always_in_the_history() {
        assert_eq!(thinned(&[]), (vec![], 1));
        assert_eq!(thinned(&[1.0, 2.0]), (vec![1.0, 2.0], 1));
        let values: Vec<f64> = (0..31).map(f64::from).collect();
        assert_eq!(thinned(&values), ((0..10).map(|third| f64::from(third * 3 + 2)).collect(), 3));
    }

    #[test]
    fn hundreds_of_processes_stay_within_the_budget() {
        let value = render(&reply(600)).into_value();
        assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS);
        assert!(value["hint"].as_str().unwrap().contains("more processes"));
    }
}
