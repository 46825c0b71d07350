//! All processes of a project: the table from names to drivers, and what they are configured by.
//!
//! The only place that makes drivers and lets them go. Everybody else asks for a handle when it needs one, because
//! the table changes while the daemon runs.
//!
//! # Theory of operation
//!
//! ```text
//!  the file ─────────┐
//!  added processes ──┼─▶ project in force ─▶ one configuration per replica ─▶ settle ─▶ drivers
//!  added groups ─────┤                                                          │
//!  scales ───────────┘                                                          └─▶ Changes
//! ```
//!
//! A change alters one of the inputs on the left and settles the table: drivers are made for what is new, and told of
//! what is different. What follows for the processes — starts, restarts, stops — is returned as [`Changes`], because it
//! takes time and has an order; whoever asked for the change sees to it. Changes take [turns](Fleet::turn), so that what
//! one removes is gone before the next begins. What is not in the file is [written down](Recorder) before a change is
//! answered, so that the next daemon begins with it; it is gone once everything was taken down in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::OwnedMutexGuard;
use tracing::{info, warn};

use super::additions::{AddedProcess, Additions, Scale, add_members};
use super::adopt::Next;
use super::change::{needs_restart, of_replica};
use super::recorder::Recorder;
use super::{Context, Handle, OpenRun, Past, supervise};
use crate::bounds;
use crate::config::{Command, Group, ProcessConfig, Project, RestartPolicy, RestartWhen};
use crate::model::ProcessName;

/// The processes of one project. Shared; every method may be called from anywhere.
pub struct Fleet {
    context: Arc<Context>,
    table: RwLock<Table>,
    turn: Arc<tokio::sync::Mutex<()>>,
    recorder: Recorder,
    /// The whole project was brought up, and not taken down since: what is added to it belongs up.
    is_up: AtomicBool,
}

/// Leave to change the table; see [`Fleet::turn`].
pub type Turn = OwnedMutexGuard<()>;

struct Table {
    inputs: Inputs,
    /// All inputs put together.
    project: Arc<Project>,
    /// What each replica of the project in force is configured with.
    configs: BTreeMap<ProcessName, Arc<ProcessConfig>>,
    /// Besides these: what runs though nothing configures it any more, and what is about to leave.
    handles: BTreeMap<ProcessName, Handle>,
}

struct Inputs {
    file: Arc<Project>,
    additions: Additions,
}

/// Where a process comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `ostler.toml`.
    File,
    /// Added to it, and kept until everything is taken down.
    Added,
    /// It runs, and nothing configures it any more: an earlier daemon's.
    Orphan,
}

/// What a change of the table asks for.
#[derive(Default)]
pub struct Changes {
    /// New processes and replicas, none of which has been started.
    pub added: Vec<Handle>,
    /// Not configured any more: to be [retired](Handle::retire), and then [forgotten](Fleet::forget).
    pub removed: Vec<Handle>,
    /// Configured otherwise than they were started with.
    pub changed: Vec<Handle>,
    /// Configured otherwise in what takes effect at once.
    pub updated: Vec<ProcessName>,
}

impl Changes {
    /// Returns whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty() && self.updated.is_empty()
    }
}

impl Fleet {
    /// Makes a driver for each process of the project, and for what runs though the configuration has lost it.
    /// `additions` and `pasts` are what earlier daemons left. Returns also what is left of a removal that a daemon
    /// died in: to be retired. Must be called within the runtime.
    pub fn new(
        context: Arc<Context>,
        project: Project,
        mut additions: Additions,
        mut pasts: BTreeMap<ProcessName, Past>,
    ) -> (Self, Changes) {
        add_scales_left(&mut additions, &project, &pasts);
        let was_up = pasts.values().any(|past| matches!(past, Past::Open(_)));
        let recorder = Recorder::spawn(Arc::clone(&context.catalogue), additions.rows());
        let file = Arc::new(project);
        let inputs = Inputs { file: Arc::clone(&file), additions };
        let mut table = Table { inputs, project: file, configs: BTreeMap::new(), handles: BTreeMap::new() };
        settle(&context, &mut table, &mut pasts);
        let mut left = Changes::default();
        for (name, past) in pasts {
            let Past::Open(open) = past else { continue };
            // A replica beyond the number, or one that was being removed.
            let leaves = table.project.processes.contains_key(&name.base()) || is_leaving(&open);
            warn!(process = %name, leaves, "runs, but is not in the configuration any more");
            let config = orphan_config(&open);
            let handle = supervise(Arc::clone(&context), name.clone(), Arc::new(config), Past::Open(open));
            left.removed.extend(leaves.then(|| handle.clone()));
            table.handles.insert(name, handle);
        }
        let (table, is_up) = (RwLock::new(table), AtomicBool::new(was_up));
        (Self { context, table, turn: Arc::default(), recorder, is_up }, left)
    }

    /// Returns what every driver works with.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Returns the configuration in force: the file's, and what was added to it.
    pub fn project(&self) -> Arc<Project> {
        Arc::clone(&self.table().project)
    }

    /// Returns what the file says, or said when it was last understood.
    pub fn file(&self) -> Arc<Project> {
        Arc::clone(&self.table().inputs.file)
    }

    /// Returns the handle of a process, or of one of its replicas.
    pub fn get(&self, name: &ProcessName) -> Option<Handle> {
        self.table().handles.get(name).cloned()
    }

    /// Returns all replicas of a process in their order, or nothing when there is no such process.
    pub fn replicas(&self, name: &ProcessName) -> Vec<Handle> {
        let table = self.table();
        let base = name.base();
        let numbered = (1..=bounds::REPLICAS_MAX).map(|number| base.with_replica(number));
        numbered.filter_map(|name| table.handles.get(&name).cloned()).collect()
    }

    /// Returns every process in the order of the configuration; what runs though the configuration has lost it comes
    /// last.
    pub fn in_order(&self) -> Vec<Handle> {
        let table = self.table();
        let replicas = |name: &ProcessName| {
            let last = replicas(&table.inputs, name, &table.project);
            (1..=last).filter_map(|number| table.handles.get(&name.with_replica(number))).collect::<Vec<_>>()
        };
        let configured = table.project.order.iter().flat_map(replicas);
        let others = table.handles.iter().filter(|(name, _)| !table.configs.contains_key(*name));
        configured.chain(others.map(|(_, handle)| handle)).cloned().collect()
    }

    /// Returns where a process comes from.
    pub fn origin(&self, name: &ProcessName) -> Option<Origin> {
        let (table, base) = (self.table(), name.base());
        if table.inputs.file.processes.contains_key(&base) {
            Some(Origin::File)
        } else if table.inputs.additions.processes.iter().any(|added| added.name == base) {
            Some(Origin::Added)
        } else {
            table.handles.contains_key(name).then_some(Origin::Orphan)
        }
    }

    /// Returns how many processes were added.
    pub fn count_added(&self) -> usize {
        self.table().inputs.additions.processes.len()
    }

    /// Returns how many groups were made, or put more into.
    pub fn count_groups(&self) -> usize {
        self.table().inputs.additions.groups.len()
    }

    /// Says what would be lost if the daemon died now, and why, when what was added could not be written down.
    pub fn unrecorded(&self) -> Option<String> {
        let problem = self.recorder.trouble()?;
        Some(format!(
            "what was added, grouped or scaled last is not written down and would be lost with this daemon; it is tried \
             again: {problem}"
        ))
    }

    /// Returns whether the whole project was brought up.
    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// Notes that the whole project was brought up, or taken down.
    pub fn set_up(&self, up: bool) {
        self.is_up.store(up, Ordering::Relaxed);
    }

    /// Waits for leave to change the table. It is kept until what the change removes is gone.
    pub async fn turn(&self) -> Turn {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Puts what the file says now in place of what it said. What was added under a name that it now has is the
    /// file's from then on, and where it says another number of replicas, that is the number.
    pub async fn take_file(&self, _turn: &Turn, project: Project) -> Changes {
        self.change(|inputs| {
            inputs.additions.yield_to(&project);
            inputs.file = Arc::new(project);
        })
        .await
    }

    /// Adds a process, until it is removed or everything is taken down.
    pub async fn add(&self, _turn: &Turn, added: AddedProcess) -> Changes {
        self.change(|inputs| inputs.additions.processes.push(added)).await
    }

    /// Takes an added process away, and out of the groups it was put into.
    pub async fn remove(&self, _turn: &Turn, name: &ProcessName) -> Changes {
        self.change(|inputs| {
            let additions = &mut inputs.additions;
            additions.processes.retain(|added| added.name != *name);
            additions.scales.remove(name);
            for group in additions.groups.values_mut() {
                group.members.retain(|member| member != name);
            }
        })
        .await
    }

    /// Says how many replicas of a process there are, from 1 to [`bounds::REPLICAS_MAX`].
    pub async fn scale(&self, _turn: &Turn, name: &ProcessName, replicas: u32) -> Changes {
        self.change(|inputs| {
            let configured = inputs.additions.configured(name, &inputs.file).unwrap_or(1);
            if configured == replicas {
                inputs.additions.scales.remove(name);
            } else {
                inputs.additions.scales.insert(name.clone(), Scale { replicas, configured });
            }
        })
        .await
    }

    /// Makes a group, or puts members into one that there is, until everything is taken down.
    pub async fn add_group(&self, _turn: &Turn, name: &str, group: Group) {
        self.change(|inputs| {
            let known = inputs
                .additions
                .groups
                .entry(name.to_owned())
                .or_insert_with(|| Group { members: Vec::new(), ..group.clone() });
            add_members(known, &group.members);
        })
        .await;
    }

    /// Lets go of drivers that were retired.
    pub fn forget(&self, _turn: &Turn, names: &[ProcessName]) {
        let mut table = self.table_mut();
        for name in names {
            table.handles.remove(name);
        }
    }

    /// Changes the inputs, which takes effect at once, and writes down what the next daemon has to know of it.
    async fn change(&self, alter: impl FnOnce(&mut Inputs)) -> Changes {
        let (changes, rows) = {
            let mut table = self.table_mut();
            alter(&mut table.inputs);
            let changes = settle(&self.context, &mut table, &mut BTreeMap::new());
            (changes, table.inputs.additions.rows())
        };
        self.recorder.record(rows).await;
        changes
    }

    fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the table what its inputs say, and returns what that asks for.
fn settle(context: &Arc<Context>, table: &mut Table, pasts: &mut BTreeMap<ProcessName, Past>) -> Changes {
    let project = in_force(&table.inputs);
    let mut configs = BTreeMap::new();
    let mut changes = Changes::default();
    let order = project.order.iter().filter_map(|name| Some((name, project.processes.get(name)?)));
    for (base, config) in order {
        for number in 1..=replicas(&table.inputs, base, &project) {
            let name = base.with_replica(number);
            let config = Arc::new(of_replica(config, number));
            configs.insert(name.clone(), Arc::clone(&config));
            let Some(handle) = table.handles.get(&name) else {
                let past = pasts.remove(&name).unwrap_or_default();
                let handle = supervise(Arc::clone(context), name.clone(), config, past);
                table.handles.insert(name, handle.clone());
                changes.added.push(handle);
                continue;
            };
            let old = table.configs.get(&name).cloned().unwrap_or_else(|| handle.config());
            if old == config {
                continue;
            }
            handle.reconfigure(Arc::clone(&config));
            if needs_restart(&old, &config) {
                changes.changed.push(handle.clone());
            } else {
                changes.updated.push(name);
            }
        }
    }
    let gone: BTreeSet<&ProcessName> =
        table.configs.keys().filter(|name| !configs.contains_key(*name)).collect();
    changes.removed = gone.into_iter().filter_map(|name| table.handles.get(name).cloned()).collect();
    if !changes.is_empty() {
        let (added, removed) = (changes.added.len(), changes.removed.len());
        info!(
            added,
            removed,
            changed = changes.changed.len(),
            updated = changes.updated.len(),
            "processes change"
        );
    }
    table.configs = configs;
    table.project = Arc::new(project);
    changes
}

/// Puts the file and what was added to it together.
fn in_force(inputs: &Inputs) -> Project {
    let mut project = (*inputs.file).clone();
    for AddedProcess { name, config, .. } in &inputs.additions.processes {
        if project.processes.insert(name.clone(), config.clone()).is_none() {
            project.order.push(name.clone());
        }
    }
    for (name, added) in &inputs.additions.groups {
        match project.groups.get_mut(name) {
            Some(group) => add_members(group, &added.members),
            None => drop(project.groups.insert(name.clone(), added.clone())),
        }
    }
    for group in project.groups.values_mut() {
        group.members.retain(|member| project.processes.contains_key(member));
    }
    project
}

fn replicas(inputs: &Inputs, base: &ProcessName, project: &Project) -> u32 {
    let configured = project.processes.get(base).map_or(1, |config| config.replicas);
    let scale = inputs.additions.scales.get(base).map(|scale| scale.replicas);
    scale.unwrap_or(configured).clamp(1, bounds::REPLICAS_MAX)
}

/// Adds the scales that an earlier daemon was given and could not write down, as far as replicas that still run, or are
/// wanted up, tell of them.
fn add_scales_left(additions: &mut Additions, file: &Project, pasts: &BTreeMap<ProcessName, Past>) {
    let mut found = BTreeMap::new();
    for (name, past) in pasts {
        let lives = match past {
            Past::Open(open) => !is_leaving(open),
            Past::Ended(last) => matches!(last.next, Next::Policy | Next::Start),
            Past::Nothing => false,
        };
        let base = name.base();
        let Some(configured) = additions.configured(&base, file) else { continue };
        if lives && name.replica() > configured && !additions.scales.contains_key(&base) {
            let scale = found.entry(base).or_insert(Scale { replicas: 1, configured });
            scale.replicas = name.replica().max(scale.replicas);
        }
    }
    additions.scales.extend(found);
    // What was dropped in favour of the file has done its part.
    additions.scales.retain(|_, scale| scale.replicas != scale.configured);
}

/// Returns whether a run was told to stop, and to stay so.
fn is_leaving(open: &OpenRun) -> bool {
    open.stop_asked && !open.wanted
}

fn orphan_config(open: &OpenRun) -> ProcessConfig {
    let mut config = ProcessConfig::new(Command::Words(open.command.clone()), open.cwd.clone());
    config.autostart = false;
    config.restart = RestartPolicy { when: RestartWhen::Never, ..RestartPolicy::default() };
    config
}
