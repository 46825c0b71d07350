//! What is added to the file of a project while it runs — processes, groups, scales — and how that is written down
//! for the next daemon.
//!
//! Pure: from rows of the catalogue to what they mean beside a file, and back. When to write is `fleet`'s business,
//! and how `recorder`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::config::{Group, ProcessConfig, Project, StopStrategy, read_added};
use crate::model::ProcessName;
use crate::store::Addition;

/// Kinds of rows, in the order they are read: the later ones name the earlier.
const KINDS: [&str; 3] = [PROCESS, GROUP, SCALE];
const PROCESS: &str = "process";
const GROUP: &str = "group";
const SCALE: &str = "scale";

/// Longest text of a row that is shown, in characters.
const SHOWN: usize = 200;

/// What was added to a project.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Additions {
    /// In the order they were added.
    pub(super) processes: Vec<AddedProcess>,
    /// Groups that were made, and what was put into those of the file.
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) scales: BTreeMap<ProcessName, Scale>,
}

/// A process that is not in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct AddedProcess {
    pub name: ProcessName,
    pub config: ProcessConfig,
    /// The same as `ostler.toml` would have it, from which it can be [read](read_added) again.
    pub written: String,
}

/// How many replicas of a process there are, where that was said otherwise than by configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scale {
    pub(super) replicas: u32,
    /// What the configuration said then. Once it says something else, that is the number.
    pub(super) configured: u32,
}

/// A group as a row has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupText {
    members: Vec<ProcessName>,
    start_delay_ms: u64,
    /// A word of [`StopStrategy::WORDS`].
    stop: String,
}

impl Additions {
    /// Reads what was written down beside what the file says now. Returns also what cannot be kept, and why, in
    /// sentences for people; one row costs no other.
    pub fn read(rows: &[Addition], file: &Project) -> (Self, Vec<String>) {
        let mut additions = Self::default();
        let mut dropped = Vec::new();
        let known = KINDS.iter().flat_map(|kind| rows.iter().filter(move |row| row.kind == *kind));
        let unknown = rows.iter().filter(|row| !KINDS.contains(&row.kind.as_str()));
        for row in known.chain(unknown) {
            if let Err(why) = additions.take(row, file) {
                dropped.push(format!("{} is forgotten: {}", what(row), shown(&why)));
            }
        }
        (additions, dropped)
    }

    /// Returns all of it as rows.
    pub(super) fn rows(&self) -> Vec<Addition> {
        let row =
            |kind: &str, name: &str, text| Addition { kind: kind.to_owned(), name: name.to_owned(), text };
        let processes =
            self.processes.iter().map(|added| row(PROCESS, added.name.as_str(), added.written.clone()));
        let groups = self.groups.iter().map(|(name, group)| row(GROUP, name, group_text(group)));
        let scales = self.scales.iter().map(|(name, scale)| {
            let text = serde_json::json!({"replicas": scale.replicas, "configured": scale.configured});
            row(SCALE, name.as_str(), text.to_string())
        });
        processes.chain(groups).chain(scales).collect()
    }

    /// Returns how many replicas of a process its configuration asks for, the file's before that of an added one; or
    /// nothing when there is no such process.
    pub(super) fn configured(&self, name: &ProcessName, file: &Project) -> Option<u32> {
        let added = || self.processes.iter().find(|added| added.name == *name).map(|added| &added.config);
        file.processes.get(name).or_else(added).map(|config| config.replicas)
    }

    /// Lets go of what the file has taken over, or has made meaningless: names mean one thing, and a number of
    /// replicas that was written since is the number.
    pub(super) fn yield_to(&mut self, file: &Project) {
        self.processes.retain(|added| {
            !file.processes.contains_key(&added.name) && !file.groups.contains_key(added.name.as_str())
        });
        self.groups.retain(|name, _| !is_process(file, name));
        let mut scales = std::mem::take(&mut self.scales);
        scales.retain(|name, scale| self.configured(name, file) == Some(scale.configured));
        self.scales = scales;
    }

    fn take(&mut self, row: &Addition, file: &Project) -> Result<(), String> {
        let name = ProcessName::new(&row.name).map_err(|_| "that is not a name".to_owned())?;
        match row.kind.as_str() {
            PROCESS => self.take_process(name, row, file),
            GROUP => self.take_group(&name, row, file),
            SCALE => self.take_scale(name, row, file),
            _ => Err("this Ostler does not know such a thing".to_owned()),
        }
    }

    fn take_process(&mut self, name: ProcessName, row: &Addition, file: &Project) -> Result<(), String> {
        if file.processes.contains_key(&name) {
            return Err("ostler.toml has a process of that name now".to_owned());
        }
        if file.groups.contains_key(name.as_str()) {
            return Err("ostler.toml has a group of that name now".to_owned());
        }
        if self.processes.len() >= bounds::ADDED_PROCESSES {
            return Err(format!("there are {} already", bounds::ADDED_PROCESSES));
        }
        let config = read_added(&name, &row.text, &file.dir).map_err(|error| {
            let first = error.problems().first().map(|problem| problem.message.clone());
            first.unwrap_or_else(|| "it cannot be understood any more".to_owned())
        })?;
        self.processes.push(AddedProcess { name, config, written: row.text.clone() });
        Ok(())
    }

    fn take_group(&mut self, name: &ProcessName, row: &Addition, file: &Project) -> Result<(), String> {
        if file.processes.contains_key(name) || self.processes.iter().any(|added| added.name == *name) {
            return Err("there is a process of that name now".to_owned());
        }
        let text: GroupText = serde_json::from_str(&row.text).map_err(not_understood)?;
        let start_delay = Duration::from_millis(text.start_delay_ms).min(bounds::GROUP_DELAY);
        let stop = StopStrategy::WORDS.iter().find(|(word, _)| *word == text.stop);
        let stop = stop.map(|(_, stop)| *stop).ok_or_else(|| format!("nothing stops `{}`", text.stop))?;
        let mut group = Group { members: Vec::new(), start_delay, stop };
        add_members(&mut group, &text.members);
        self.groups.insert(name.as_str().to_owned(), group);
        Ok(())
    }

    fn take_scale(&mut self, name: ProcessName, row: &Addition, file: &Project) -> Result<(), String> {
        let scale: Scale = serde_json::from_str(&row.text).map_err(not_understood)?;
        let configured =
            self.configured(&name, file).ok_or_else(|| "there is no such process any more".to_owned())?;
        if !(1..=bounds::REPLICAS_MAX).contains(&scale.replicas) {
            return Err(format!("{} is no number of replicas", scale.replicas));
        }
        if scale.configured == configured {
            self.scales.insert(name, scale);
            return Ok(());
        }
        // Kept as a number: else those that still run would be taken for what was asked for.
        self.scales.insert(name, Scale { replicas: configured, configured });
        Err(format!("its configuration says {configured} since"))
    }
}

/// Puts members into a group, each once.
pub(super) fn add_members(group: &mut Group, members: &[ProcessName]) {
    for member in members {
        if !group.members.contains(member) {
            group.members.push(member.clone());
        }
    }
}

fn is_process(file: &Project, name: &str) -> bool {
    file.processes.keys().any(|process| process.as_str() == name)
}

fn group_text(group: &Group) -> String {
    let stop = StopStrategy::WORDS.iter().find(|(_, stop)| *stop == group.stop);
    let start_delay_ms = u64::try_from(group.start_delay.as_millis()).unwrap_or(u64::MAX);
    let stop = stop.map_or("reverse", |(word, _)| word);
    serde_json::json!({"members": group.members, "start_delay_ms": start_delay_ms, "stop": stop}).to_string()
}

/// Names a row for people.
fn what(row: &Addition) -> String {
    let name = shown(&row.name);
    match row.kind.as_str() {
        PROCESS => format!("the process `{name}`, which was added,"),
        GROUP => format!("the group `{name}`, or what was put into it,"),
        SCALE => format!("the number that `{name}` was scaled to"),
        kind => format!("`{name}`, which was added as `{}`,", shown(kind)),
    }
}

fn not_understood(error: serde_json::Error) -> String {
    format!("it cannot be understood any more ({error})")
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{NewProcess, load_text};

    fn name(text: &str) -> ProcessName {
        ProcessName::new(text).unwrap()
    }

    fn file(text: &str) -> Project {
        load_text(Path::new("/p/ostler.toml"), text).unwrap()
    }

    fn added(process: &str, command: &str) -> AddedProcess {
        let described = NewProcess {
            command: command.to_owned(),
            cwd: Some("sub".to_owned()),
            env: vec![("A".to_owned(), "b \" c".to_owned())],
            ready: Some("log:up".to_owned()),
            autostart: Some(false),
            ..NewProcess::default()
        };
        let name = name(process);
        let config = described.check(&name, Path::new("/p")).unwrap();
        AddedProcess { written: described.written(&name), name, config }
    }

    /// Two added processes, a group of its own, more for one of the file's, a scale up and one down.
    fn additions() -> Additions {
        let group = |members: &[&str], millis, stop| Group {
            members: members.iter().map(|member| name(member)).collect(),
            start_delay: Duration::from_millis(millis),
            stop,
        };
        Additions {
            processes: vec![added("worker", "work"), added("beat", "beat --fast")],
            groups: [
                ("own".to_owned(), group(&["worker", "api"], 250, StopStrategy::Parallel)),
                ("web".to_owned(), group(&["beat"], 0, StopStrategy::Reverse)),
            ]
            .into(),
            scales: [
                (name("api"), Scale { replicas: 1, configured: 2 }),
                (name("worker"), Scale { replicas: 3, configured: 1 }),
            ]
            .into(),
        }
    }

    const FILE: &str = "[process.api]\ncommand = \"serve\"\nreplicas = 2\ngroups = [\"web\"]\n";

    #[test]
    fn what_is_written_down_is_read_as_it_was() {
        let (read, dropped) = Additions::read(&additions().rows(), &file(FILE));
        assert_eq!((read, dropped), (additions(), Vec::new()));
    }

    #[test]
    fn names_that_the_file_has_by_now_are_the_files() {
        let changed = "[process.worker]\ncommand = \"x\"\n[process.own]\ncommand = \"x\"\ngroups = [\"beat\"]\n\
                       [process.api]\ncommand = \"serve\"\nreplicas = 3\n";
        let (read, dropped) = Additions::read(&additions().rows(), &file(changed));
        assert_eq!(
            (read.processes.len(), read.groups.into_keys().collect::<Vec<_>>()),
            (0, vec!["web".to_owned()])
        );
        insta::assert_snapshot!(dropped.join("\n"), @"
        the process `worker`, which was added, is forgotten: ostler.toml has a process of that name now
        the process `beat`, which was added, is forgotten: ostler.toml has a group of that name now
        the group `own`, or what was put into it, is forgotten: there is a process of that name now
        the number that `api` was scaled to is forgotten: its configuration says 3 since
        ");
        // The file's number, whatever still runs; what was added before goes on with its own, which is the same.
        assert_eq!(read.scales[&name("api")], Scale { replicas: 3, configured: 3 });
        assert_eq!(read.scales[&name("worker")], Scale { replicas: 3, configured: 1 });

        let mut live = additions();
        live.yield_to(&file(changed));
        assert_eq!((live.processes.len(), live.groups.len(), live.scales.len()), (0, 1, 1));
    }

    #[test]
    fn a_broken_row_costs_that_row_alone() {
        let row = |kind: &str, name: &str, text: &str| Addition {
            kind: kind.into(),
            name: name.into(),
            text: text.into(),
        };
        let mut rows = vec![
            row(PROCESS, "../x", "[process.x]\ncommand = \"x\"\n"),
            row(PROCESS, "empty", ""),
            row(PROCESS, "other", "[process.x]\ncommand = \"x\"\n"),
            row(PROCESS, "bad", "[process.bad]\ncomand = \"x\"\n"),
            row(PROCESS, "torn", "[process.torn]\ncommand = \"x"),
            row(GROUP, "torn", "{\"members\": [\"wor"),
            row(GROUP, "odd", "{\"members\": [\"a#b\"], \"start_delay_ms\": 0, \"stop\": \"reverse\"}"),
            row(GROUP, "how", "{\"members\": [], \"start_delay_ms\": 0, \"stop\": \"\u{1b}[2J\"}"),
            row(SCALE, "worker", "many"),
            row(SCALE, "api", "{\"replicas\": 65, \"configured\": 2}"),
            row(SCALE, "nobody", "{\"replicas\": 2, \"configured\": 1}"),
            row("pl\u{7}ugin", "later", ""),
        ];
        let broken = rows.len();
        rows.extend(additions().rows().into_iter().filter(|row| row.kind != SCALE));
        let (read, dropped) = Additions::read(&rows, &file(FILE));
        assert_eq!(read, Additions { scales: BTreeMap::new(), ..additions() });
        assert_eq!(dropped.len(), broken, "{dropped:#?}");
        assert!(dropped.iter().all(|told| !told.contains(char::is_control)), "{dropped:#?}");
    }

    #[test]
    fn there_are_never_more_than_may_be_added() {
        let rows: Vec<Addition> = (0..bounds::ADDED_PROCESSES + 2)
            .flat_map(|number| {
                let processes = vec![added(&format!("p{number}"), "x")];
                Additions { processes, ..Additions::default() }.rows()
            })
            .collect();
        let (read, dropped) = Additions::read(&rows, &file(FILE));
        assert_eq!((read.processes.len(), dropped.len()), (bounds::ADDED_PROCESSES, 2));
    }
}
