//! All processes of a project: the table from names to drivers, and the configuration they come from.
//!
//! The only place that makes drivers. Everybody else asks for a handle when it needs one, because the table changes
//! while the daemon runs.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tracing::warn;

use super::{Context, Handle, OpenRun, Past, supervise};
use crate::config::{Command, ProcessConfig, Project, RestartPolicy, RestartWhen};
use crate::model::ProcessName;

/// The processes of one project. Shared; every method may be called from anywhere.
pub struct Fleet {
    context: Arc<Context>,
    table: RwLock<Table>,
}

struct Table {
    project: Arc<Project>,
    handles: BTreeMap<ProcessName, Handle>,
}

impl Fleet {
    /// Makes a driver for each process of the project, and for what runs though the configuration has lost it.
    /// `pasts` is what earlier daemons left. Must be called within the runtime.
    pub fn new(context: Arc<Context>, project: Project, mut pasts: BTreeMap<ProcessName, Past>) -> Self {
        let mut handles = BTreeMap::new();
        for (name, config) in &project.processes {
            let past = pasts.remove(name).unwrap_or_default();
            let handle = supervise(Arc::clone(&context), name.clone(), Arc::new(config.clone()), past);
            handles.insert(name.clone(), handle);
        }
        for (name, past) in pasts {
            let Past::Open(open) = past else { continue };
            warn!(process = %name, "runs, but is not in the configuration any more");
            let config = orphan_config(&open);
            let handle = supervise(Arc::clone(&context), name.clone(), Arc::new(config), Past::Open(open));
            handles.insert(name, handle);
        }
        Self { context, table: RwLock::new(Table { project: Arc::new(project), handles }) }
    }

    /// Returns what every driver works with.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Returns the configuration in force.
    pub fn project(&self) -> Arc<Project> {
        Arc::clone(&self.table().project)
    }

    /// Returns the handle of a process.
    pub fn get(&self, name: &ProcessName) -> Option<Handle> {
        self.table().handles.get(name).cloned()
    }

    /// Returns every process in the order of the configuration; what runs though the configuration has lost it comes
    /// last.
    pub fn in_order(&self) -> Vec<Handle> {
        let table = self.table();
        let Table { project, handles } = &*table;
        let configured = project.order.iter().filter_map(|name| handles.get(name));
        let orphans = handles.iter().filter(|(name, _)| !project.processes.contains_key(name));
        configured.chain(orphans.map(|(_, handle)| handle)).cloned().collect()
    }

    fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn orphan_config(open: &OpenRun) -> ProcessConfig {
    let mut config = ProcessConfig::new(Command::Words(open.command.clone()), open.cwd.clone());
    config.autostart = false;
    config.restart = RestartPolicy { when: RestartWhen::Never, ..RestartPolicy::default() };
    config
}
