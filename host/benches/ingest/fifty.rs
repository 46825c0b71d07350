//! Fifty children that print at once: how much in all, and whether one is served worse than another.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::support::{Project, figure, quick};
use super::{newest, start};

const CHILDREN: usize = 50;

fn lines() -> u64 {
    if quick() { 20_000 } else { 100_000 }
}

fn names() -> Vec<String> {
    (0..CHILDREN).map(|number| format!("one-of-fifty-{number}")).collect()
}

fn gate(dir: &Path) -> PathBuf {
    dir.join("fifty.go")
}

pub fn config(own: &str, dir: &Path) -> String {
    let gate = gate(dir).display().to_string();
    let process = |name: &String| {
        format!(
            "[process.{name}]\ncommand = [\"{own}\", \"--flood-after\", \"{gate}\", \"{}\"]\nautostart = false\n",
            lines()
        )
    };
    names().iter().map(process).collect()
}

/// Prints the lines a second of all, and the part of them that the worst served child had while all of them printed.
pub fn measure(project: &mut Project, dir: &Path) {
    let names = names();
    names.iter().for_each(|name| start(project, name));
    let begun = Instant::now();
    std::fs::write(gate(dir), "").expect("a file");
    let mut seen = vec![0; CHILDREN];
    // How far each had come when the first was through, which is as long as all competed.
    let mut at_first = None;
    while seen.iter().any(|seen| *seen < lines()) {
        assert!(begun.elapsed() < Duration::from_secs(300), "not all lines arrived: {seen:?}");
        for (name, seen) in names.iter().zip(&mut seen).filter(|(_, seen)| **seen < lines()) {
            *seen = newest(project, name).unwrap_or(0);
        }
        if at_first.is_none() && seen.contains(&lines()) {
            at_first = Some(seen.clone());
        }
    }
    let elapsed = begun.elapsed().as_secs_f64();
    let at_first = at_first.unwrap_or_default();
    let mean = at_first.iter().sum::<u64>() as f64 / CHILDREN as f64;
    let least = at_first.iter().min().copied().unwrap_or(0) as f64;
    let squares: f64 = at_first.iter().map(|seen| (*seen as f64).powi(2)).sum();

    figure("fifty_lines_per_second", lines() as f64 * CHILDREN as f64 / elapsed, "lines/s");
    // Jain's index: 1 when all are served alike, 1/50 when one has everything.
    figure("fifty_fairness", mean * mean * CHILDREN as f64 / squares, "of 1");
    figure("fifty_worst_to_mean", least / mean, "x");
}
