//! From snapshots to what `ps` shows: adds what only the kernel knows.

use super::types::ProcessView;
use crate::model::Time;
use crate::supervisor::{Snapshot, procfs};

/// Returns the views of `snapshots`; one look at the kernel's tables serves all.
pub(super) async fn of_many(snapshots: Vec<Snapshot>) -> Vec<ProcessView> {
    let views = tokio::task::spawn_blocking(move || {
        let roots: Vec<u32> = snapshots.iter().filter_map(|snapshot| snapshot.pid).collect();
        let mut ports = procfs::ports_of_trees(&roots);
        snapshots
            .into_iter()
            .map(|snapshot| {
                let ports = snapshot.pid.and_then(|pid| ports.remove(&pid)).unwrap_or_default();
                of_one(snapshot, ports)
            })
            .collect()
    });
    views.await.unwrap_or_default()
}

/// Returns the view of one snapshot.
pub(super) async fn of(snapshot: Snapshot) -> ProcessView {
    let ports = match snapshot.pid {
        Some(pid) => {
            let look = move || procfs::ports_of_trees(&[pid]).remove(&pid).unwrap_or_default();
            tokio::task::spawn_blocking(look).await.unwrap_or_default()
        }
        None => Vec::new(),
    };
    of_one(snapshot, ports)
}

fn of_one(snapshot: Snapshot, ports: Vec<u16>) -> ProcessView {
    let alive = snapshot.state.is_alive();
    let uptime = snapshot.started.filter(|_| alive).map(|started| Time::now().since(started));
    ProcessView {
        name: snapshot.name,
        state: snapshot.state,
        pid: snapshot.pid,
        run: snapshot.run,
        ready: snapshot.ready,
        uptime_ms: uptime.map(|uptime| u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX)),
        restarts: snapshot.restarts,
        exit: snapshot.exit,
        ports,
        status: snapshot.status,
        next: snapshot.next_due,
        port: snapshot.port.filter(|_| alive),
        alerts: Vec::new(),
    }
}
