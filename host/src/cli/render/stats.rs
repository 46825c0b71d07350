//! Owns how the figures of processes and the system look: one line for the system, a table below.

use std::time::Duration;

use super::duration::duration;
use super::requests::{self, milliseconds, percent, rate};
use super::style::{self, FAINT, Palette};
use super::table::{Cell, table};
use crate::api::{ProcessStats, StatsReply, SystemStats};

/// Most values of a history that are drawn.
const GRAPH: usize = 30;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// What a full bar stands for at least, so that the noise of an idle process does not look like work.
const FULL_BAR: f64 = 10.0;

/// Returns the line of the system and the table of processes; of one process alone, its requests below.
pub fn stats(palette: Palette, reply: &StatsReply) -> String {
    let pss = reply.processes.iter().any(|process| process.pss_bytes.is_some());
    let asked = reply.processes.iter().any(|process| process.requests.is_some());
    let rows: Vec<_> = reply.processes.iter().map(|process| row(process, pss, asked)).collect();
    let headings = [
        "NAME",
        "STATE",
        "CPU",
        "CPU TIME",
        "MEMORY",
        if pss { "PSS" } else { "" },
        "PROCS",
        "THREADS",
        "FDS",
        "READ",
        "WRITTEN",
        if asked { "REQUESTS" } else { "" },
        if asked { "5XX" } else { "" },
        if asked { "P95" } else { "" },
        "CPU HISTORY",
    ];
    let mut shown = format!("{}\n\n{}", system(&reply.system), table(palette, headings, &rows));
    if let [ProcessStats { requests: Some(of_one), .. }] = reply.processes.as_slice() {
        shown.push('\n');
        shown.push_str(&requests::requests(palette, of_one));
    }
    shown
}

fn row(process: &ProcessStats, pss: bool, asked: bool) -> [Cell; 15] {
    let minute = process.requests.as_ref().map(|requests| &requests.last_minute);
    let answered = minute.filter(|minute| minute.count > 0);
    let if_asked = |cell: Option<String>| if asked { or_dash(cell) } else { "".into() };
    [
        process.name.as_str().into(),
        Cell::styled(process.state.as_str(), style::of_state(process.state)),
        or_dash(process.cpu_percent.map(|percent| format!("{percent:.1}%"))),
        or_dash(process.cpu_ms.map(|millis| duration(Duration::from_millis(millis)))),
        or_dash(process.rss_bytes.map(bytes)),
        if pss { or_dash(process.pss_bytes.map(bytes)) } else { "".into() },
        or_dash(process.processes),
        or_dash(process.threads),
        or_dash(process.fds),
        or_dash(process.read_bytes.map(bytes)),
        or_dash(process.written_bytes.map(bytes)),
        if_asked(minute.map(|minute| rate(minute.per_second))),
        if_asked(answered.map(|minute| percent(minute.error_percent))),
        if_asked(answered.and_then(|minute| minute.p95_ms).map(milliseconds)),
        graph(&process.cpu_history).into(),
    ]
}

fn or_dash(value: Option<impl ToString>) -> Cell {
    value.map_or_else(|| Cell::styled("-", FAINT), |value| value.to_string().into())
}

fn system(system: &SystemStats) -> String {
    let cores = if system.cores == 1 { "core" } else { "cores" };
    let [one, five, fifteen] = system.load;
    let swap = match system.swap_bytes {
        0 => String::new(),
        all => format!(", swap {} of {}", bytes(all.saturating_sub(system.swap_free_bytes)), bytes(all)),
    };
    format!(
        "{} {cores} {:.1}% busy, load {one:.2} {five:.2} {fifteen:.2}, memory {} of {}{swap}, disk {} of {} free, up {}",
        system.cores,
        system.cpu_percent,
        bytes(system.memory_bytes.saturating_sub(system.memory_available_bytes)),
        bytes(system.memory_bytes),
        bytes(system.disk_free_bytes),
        bytes(system.disk_bytes),
        duration(Duration::from_secs(system.uptime_s)),
    )
}

/// Returns the last values as bars, the highest of them a full one.
fn graph(values: &[f64]) -> String {
    let values = &values[values.len().saturating_sub(GRAPH)..];
    let full = values.iter().copied().fold(FULL_BAR, f64::max);
    values
        .iter()
        .map(|value| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a cast from float to integer saturates, and stays within the bars"
            )]
            let height = (value / full * 7.0).round() as usize;
            BARS[height.min(BARS.len() - 1)]
        })
        .collect()
}

/// Returns bytes with a unit in which they have at most three digits before the point: `812 B`, `1.5 MiB`, `23 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    #[expect(clippy::cast_precision_loss, reason = "two digits of it are shown")]
    let mut value = bytes as f64;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 10.0);
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ProcessName, RunId};
    use crate::supervisor::State;

    fn reply() -> StatsReply {
        let busy = ProcessStats {
            name: ProcessName::new("api").unwrap(),
            state: State::Ready,
            pid: Some(41),
            run: Some(RunId(3)),
            cpu_percent: Some(112.3),
            cpu_ms: Some(62_000),
            rss_bytes: Some(190 << 20),
            pss_bytes: None,
            processes: Some(3),
            threads: Some(14),
            fds: Some(60),
            read_bytes: Some(12 << 20),
            written_bytes: Some(0),
            cpu_history: vec![0.0, 50.0, 100.0, 112.3],
            rss_history: vec![190 << 20; 4],
            requests: None,
        };
        let idle = ProcessStats {
            name: ProcessName::new("db").unwrap(),
            state: State::Stopped,
            pid: None,
            run: None,
            cpu_percent: None,
            cpu_ms: None,
            rss_bytes: None,
            processes: None,
            threads: None,
            fds: None,
            read_bytes: None,
            written_bytes: None,
            cpu_history: Vec::new(),
            rss_history: Vec::new(),
            ..busy.clone()
        };
        let system = SystemStats {
            cores: 2,
            cpu_percent: 37.4,
            load: [0.52, 0.48, 0.4],
            memory_bytes: 8 << 30,
            memory_available_bytes: 5 << 30,
            swap_bytes: 2 << 30,
            swap_free_bytes: 2 << 30,
            disk_bytes: 100 << 30,
            disk_free_bytes: 41 << 30,
            uptime_s: 273_600,
        };
        StatsReply { processes: vec![busy, idle], system, history_every_ms: 2000 }
    }

    #[test]
    fn the_system_comes_first_and_each_process_has_a_line() {
        insta::assert_snapshot!(stats(Palette::PLAIN, &reply()), @r"
        2 cores 37.4% busy, load 0.52 0.48 0.40, memory 3.0 GiB of 8.0 GiB, swap 0 B of 2.0 GiB, disk 41 GiB of 100 GiB free, up 3d 4h

        NAME  STATE    CPU     CPU TIME  MEMORY   PROCS  THREADS  FDS  READ    WRITTEN  CPU HISTORY
        api   ready    112.3%  1m 2s     190 MiB  3      14       60   12 MiB  0 B      ▁▄▇█
        db    stopped  -       -         -        -      -        -    -       -
        ");
    }

    #[test]
    fn requests_have_columns_once_there_are_any_and_one_process_more_of_them() {
        let mut reply = reply();
        reply.processes[0].requests = Some(super::requests::tests::stats(true));
        let both = stats(Palette::PLAIN, &reply);
        let table = both.split_once("\n\n").map(|(_, table)| table).unwrap();
        insta::assert_snapshot!(table, @r"
        NAME  STATE    CPU     CPU TIME  MEMORY   PROCS  THREADS  FDS  READ    WRITTEN  REQUESTS  5XX  P95   CPU HISTORY
        api   ready    112.3%  1m 2s     190 MiB  3      14       60   12 MiB  0 B      0.6/s     25%  1.2s  ▁▄▇█
        db    stopped  -       -         -        -      -        -    -       -        -         -    -
        ");
        reply.processes.truncate(1);
        assert!(stats(Palette::PLAIN, &reply).contains("\n\nrequests\n  last minute      40 (0.6/s)"));
    }

    #[test]
    fn graphs_are_short_and_do_not_make_work_of_noise() {
        assert_eq!(graph(&[0.0, 0.4, 1.0]), "▁▁▂");
        assert_eq!(graph(&[]), "");
        assert_eq!(graph(&vec![5.0; 100]).chars().count(), GRAPH);
        assert_eq!(graph(&[f64::NAN, -1.0, f64::INFINITY]).chars().count(), 3);
    }

    #[test]
    fn bytes_are_short() {
        let shown = [0, 999, 1000, 1536, 10 << 20, 1023 << 20, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.0 KiB", "1.5 KiB", "10 MiB", "1.0 GiB", "16777216 TiB"]);
    }
}
