//! `schedule`: what the clock starts. The configuration knows minutes; the supervisor is asked for seconds here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ostler::config::{Command, Overlap, ProcessConfig, Project as Config, RestartWhen, Schedule};
use ostler::model::ProcessName;
use ostler::store::{Catalogue, Store};
use ostler::supervisor::{Cgroups, Context, Fleet, Handle, Remark, RunEvent, ShimProgram, Snapshot};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::harness::{PATIENCE, Project};

/// A supervisor without a daemon around it.
struct Supervised {
    handle: Handle,
    catalogue: Arc<Catalogue>,
    events: mpsc::UnboundedReceiver<RunEvent>,
    _dir: tempfile::TempDir,
}

impl Supervised {
    fn new(script: &str, overlap: Overlap) -> Self {
        let dir = tempfile::Builder::new().prefix("ost").tempdir_in("/tmp").unwrap();
        let path = |name: &str| -> PathBuf {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let catalogue = Arc::new(Catalogue::open(&dir.path().join("catalogue.sqlite")).unwrap());
        let (store, _) = Store::open(&path("log")).unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        let context = Context {
            catalogue: Arc::clone(&catalogue),
            store: Arc::new(store),
            runs_dir: path("runs"),
            sockets_dir: path("run"),
            shim: ShimProgram { program: Path::new(env!("CARGO_BIN_EXE_ostler-shim")).to_owned() },
            cgroups: Cgroups::probe(&dir.path().file_name().unwrap().to_string_lossy()),
            project_dir: path("project"),
            boot: None,
            events: sender,
        };
        let mut project = Config::empty(&dir.path().join("project"));
        let name = ProcessName::new("job").unwrap();
        let mut config = ProcessConfig::new(Command::Shell(script.to_owned()), project.dir.clone());
        config.restart.when = RestartWhen::Never;
        config.schedule = Some(Schedule { cron: "* * * * * *".to_owned(), overlap });
        project.order.push(name.clone());
        project.processes.insert(name.clone(), config);
        let fleet = Fleet::new(Arc::new(context), project, BTreeMap::new());
        let handle = fleet.get(&name).unwrap();
        Self { handle, catalogue, events, _dir: dir }
    }

    async fn until(&self, is_so: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let mut snapshots = self.handle.snapshots();
        let seen = timeout(PATIENCE, snapshots.wait_for(|snapshot| is_so(snapshot))).await;
        seen.expect("it becomes so").expect("the driver lives").clone()
    }

    async fn remark(&mut self) -> Remark {
        loop {
            match timeout(PATIENCE, self.events.recv()).await.expect("a remark").expect("the driver lives") {
                RunEvent::Remark(remark) => return remark,
                _ => continue,
            }
        }
    }

    fn reasons(&self) -> Vec<String> {
        let runs = self.catalogue.runs_of(&ProcessName::new("job").unwrap(), 100).unwrap();
        runs.into_iter().map(|run| run.reason).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_runs_and_says_when_it_runs_next_and_a_stop_suspends_it() {
    let supervised = Supervised::new("exit 0", Overlap::Skip);
    let first = supervised.until(|snapshot| snapshot.exit.is_some()).await;
    assert!(first.next_due.is_some());
    let later = supervised.until(|snapshot| snapshot.run > first.run && snapshot.exit.is_some()).await;
    assert_eq!(later.restarts, 0);
    assert!(supervised.reasons().iter().all(|reason| reason == "schedule"), "{:?}", supervised.reasons());

    supervised.handle.stop().await;
    let stopped = supervised.until(|snapshot| !snapshot.state.is_alive()).await;
    assert_eq!(stopped.next_due, None);
    supervised.handle.start("cli").await.unwrap();
    let resumed = supervised.until(|snapshot| snapshot.next_due.is_some()).await;
    assert!(resumed.run > stopped.run);
    supervised.until(|snapshot| snapshot.run > resumed.run).await;
    supervised.handle.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_still_going_is_left_alone_and_that_is_said() {
    let mut supervised = Supervised::new("exec sleep 1000", Overlap::Skip);
    let first = supervised.until(|snapshot| snapshot.pid.is_some()).await;
    let remark = supervised.remark().await;
    assert!(remark.text.contains("left out: this one is still going"), "{remark:?}");
    assert_eq!(Some(remark.run), first.run);
    assert_eq!(supervised.handle.snapshot().pid, first.pid);
    supervised.handle.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_still_going_is_replaced_where_that_is_asked_for() {
    let supervised = Supervised::new("exec sleep 1000", Overlap::Replace);
    let first = supervised.until(|snapshot| snapshot.pid.is_some()).await;
    let second = supervised.until(|snapshot| snapshot.pid.is_some() && snapshot.run > first.run).await;
    assert_ne!(first.pid, second.pid);
    let gone = || !Path::new(&format!("/proc/{}", first.pid.unwrap())).exists();
    assert!(gone(), "the first one still runs");
    supervised.handle.stop().await;
}

#[test]
fn ps_says_when_a_process_is_due() {
    let project = Project::new("[process.clean]\ncommand = \"true\"\nschedule = \"0 4 1 1 *\"\n");
    project.ok(&["up", "-d"]);
    let view = project.until("clean", |view| view["next"].is_string(), || {});
    assert_eq!((view["state"].as_str(), view["pid"].is_null()), (Some("stopped"), true), "{view}");
    let shown = project.ok(&["ps"]);
    assert!(shown.contains("NEXT") && shown.contains("in "), "{shown}");
    // It can be run by hand as well.
    assert_eq!(project.run(&["run", "clean"]).code, 0);
    assert!(project.process("clean")["next"].is_string());
}
