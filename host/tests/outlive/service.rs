//! The daemon as a service: what it tells its manager, what it starts, and which projects there are.

use std::cell::RefCell;
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::common::PATIENCE;
use crate::harness::{Project, eventually, lives};

const TWO: &str = "[process.web]\ncommand = \"env; echo up; exec sleep 1000\"\nshell = true\n\
                   [process.job]\ncommand = \"sleep 1000\"\n";

/// A service manager that listens.
struct Manager {
    socket: UnixDatagram,
    path: std::path::PathBuf,
    /// The last message with a status.
    last_status: RefCell<String>,
}

impl Manager {
    fn new(project: &Project) -> Self {
        let path = project.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path, last_status: RefCell::default() }
    }

    fn start(&self, project: &Project) -> Child {
        project
            .command(&["daemon", "--up"])
            .env("NOTIFY_SOCKET", &self.path)
            .env("WATCHDOG_USEC", "1500000")
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Waits for a message with a line. A status that was told last, with whatever else, is not told again.
    fn hears(&self, line: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 4096];
        let mut last = self.last_status.borrow_mut();
        if last.lines().any(|told| told == line && told.starts_with("STATUS=")) {
            return last.clone();
        }
        loop {
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{line}: {error}"));
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if message.contains("STATUS=") {
                last.clone_from(&message);
            }
            if message.lines().any(|told| told == line) {
                return message;
            }
            // The watchdog is fed on and on.
            assert!(Instant::now() < deadline, "{line} was never told; the last status: {last}");
        }
    }
}

#[test]
fn a_service_manager_is_told_and_what_it_started_is_brought_up() {
    let project = Project::new(TWO);
    let manager = Manager::new(&project);
    let mut daemon = manager.start(&project);
    let ready = manager.hears("READY=1");
    assert!(ready.contains("STATUS="), "{ready}");
    eventually("everything is up", || project.process("job")["pid"].is_i64().then_some(()));
    manager.hears("STATUS=2 of 2 processes run");
    manager.hears("WATCHDOG=1");
    project.until_logged("up");
    let environment = project.ok(&["logs", "web", "-n", "1000"]);
    for secret in ["NOTIFY_SOCKET", "WATCHDOG", "OSTLER_TAKEOVER"] {
        assert!(!environment.contains(secret), "a child got {secret}");
    }
    // The program that takes its place goes on telling.
    project.ok(&["upgrade"]);
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    project.ok(&["stop", "job"]);

    // One that is started twice has the last word: the service manager watches the second.
    let mut second = manager.start(&project);
    assert!(daemon.wait().unwrap().success(), "it did not make room");
    manager.hears("STOPPING=1");
    manager.hears("READY=1");
    std::mem::swap(&mut daemon, &mut second);

    // After a crash only what ran is taken up.
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let mut daemon = manager.start(&project);
    manager.hears("READY=1");
    manager.hears("STATUS=1 of 2 processes run");
    assert_eq!(project.process("job")["state"], "stopped");

    project.ok(&["down"]);
    manager.hears("STOPPING=1");
    assert!(daemon.wait().unwrap().success());

    // What was taken down on purpose starts from rest.
    let mut daemon = manager.start(&project);
    manager.hears("STATUS=2 of 2 processes run");
    project.ok(&["down"]);
    assert!(daemon.wait().unwrap().success());
}

/// Says what was not tested, past the test runner, which would keep it to itself.
fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

#[test]
fn the_unit_is_one_that_systemd_understands() {
    let project = Project::new(TWO);
    let printed = project.ok(&["systemd"]);
    let installed = project.ok(&["systemd", "--install"]);
    let dir = project.path("config/systemd/user");
    let unit = fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    assert!(installed.contains(unit.to_str().unwrap()), "{installed}");
    assert_eq!(fs::read_to_string(&unit).unwrap(), printed);
    assert!(printed.contains(&format!("OSTLER_STATE_DIR={}", project.path("state").display())), "{printed}");
    match Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(&unit).output() {
        Ok(verified) => {
            let said = String::from_utf8_lossy(&verified.stderr);
            let ours: Vec<_> = said.lines().filter(|line| line.contains("ostler-")).collect();
            assert!(ours.is_empty(), "{said}");
        }
        Err(error) => skip(&format!("the unit was not verified: systemd-analyze cannot run: {error}")),
    }
}

#[test]
fn a_real_systemd_starts_watches_and_stops_the_project() {
    let systemctl = |arguments: &[&str]| {
        let output = Command::new("systemctl").arg("--user").args(arguments).output();
        let output = output.map_err(|error| error.to_string())?;
        let told = |bytes: &[u8]| format!("{arguments:?}: {}", String::from_utf8_lossy(bytes));
        if output.status.success() { Ok(told(&output.stdout)) } else { Err(told(&output.stderr)) }
    };
    if systemctl(&["show-environment"]).is_err() {
        return skip("no systemd user manager runs here");
    }
    // Where it looks for units that last until the next boot.
    let units = std::path::PathBuf::from(std::env::var("XDG_RUNTIME_DIR").unwrap()).join("systemd/user");
    let project = Project::new(TWO);
    let name = format!("ostler-test-{}.service", std::process::id());
    fs::create_dir_all(&units).unwrap();
    // The manager has a runtime directory of its own.
    let runtime = format!("[Service]\nEnvironment=XDG_RUNTIME_DIR={}\n", project.path("run").display());
    let unit = project.ok(&["systemd"]).replacen("[Service]\n", &runtime, 1);
    fs::write(units.join(&name), unit).unwrap();
    let steps = || {
        systemctl(&["daemon-reload"])?;
        systemctl(&["start", &name])?;
        let pid: i64 = eventually("it is up", || project.process("web")["pid"].as_i64());
        systemctl(&["reload", &name])?;
        systemctl(&["kill", "--kill-whom=main", "--signal=KILL", &name])?;
        eventually("the next daemon has the same child", || (project.pid_of("web") == pid).then_some(()));
        // The `ps` above was faster than the manager, whose daemon takes the place of the one it started.
        eventually("the unit is active again", || systemctl(&["is-active", &name]).ok());
        let main = systemctl(&["show", "--property=MainPID", &name])?;
        let daemon = project.daemon().map(|pid| pid.to_string()).unwrap_or_default();
        if !main.contains(&format!("MainPID={daemon}\n")) {
            return Err(format!("not the unit's daemon: {daemon}, {main}"));
        }
        systemctl(&["stop", &name])?;
        if lives(pid) { Err("a process outlived its unit".to_owned()) } else { Ok(()) }
    };
    let done = steps().map_err(|error| {
        let status = systemctl(&["status", "--full", &name]).unwrap_or_else(|status| status);
        let log = fs::read_to_string(project.state().join("daemon.log")).unwrap_or_default();
        format!("{error}\n{status}\n{log}")
    });
    let _ = systemctl(&["stop", &name]);
    let _ = fs::remove_file(units.join(&name));
    let _ = systemctl(&["daemon-reload"]);
    if let Err(error) = done {
        panic!("{error}");
    }
}

#[test]
fn all_projects_are_listed_and_what_is_left_of_vanished_ones_can_be_removed() {
    let project = Project::new(TWO);
    assert_eq!(project.json(&["projects", "--json"]), json!([]));
    project.ok(&["up", "-d"]);
    let other = project.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("ostler.toml"), TWO).unwrap();
    let in_other = |arguments: &[&str]| {
        let mut all = vec!["-C", other.to_str().unwrap()];
        all.extend(arguments);
        project.ok(&all)
    };
    in_other(&["start", "job"]);
    let listed = project.json(&["projects", "--json"]);
    let of = |listed: &Value, name: &str| {
        listed.as_array().unwrap().iter().find(|project| project["name"] == name).cloned().unwrap()
    };
    assert_eq!(of(&listed, "project")["running"], 2, "{listed}");
    let there = of(&listed, "other");
    assert_eq!(
        (&there["running"], &there["processes"], &there["exists"]),
        (&1.into(), &2.into(), &true.into())
    );
    assert_eq!(there["dir"], other.to_str().unwrap());

    // A daemon that died leaves processes, which are counted.
    let pid = there["daemon"]["pid"].as_i64().unwrap();
    crate::harness::kill(pid, rustix::process::Signal::KILL);
    eventually("it is gone", || (!lives(pid)).then_some(()));
    let there = of(&project.json(&["projects", "--json"]), "other");
    assert_eq!((&there["daemon"], &there["left_behind"]), (&Value::Null, &1.into()), "{there}");
    in_other(&["down"]);

    fs::remove_dir_all(&other).unwrap();
    let table = project.ok(&["projects"]);
    assert!(table.contains("(gone)"), "{table}");
    let removed = project.ok(&["projects", "--prune"]);
    assert!(removed.contains(other.to_str().unwrap()), "{removed}");
    assert_eq!(project.json(&["projects", "--json"]).as_array().unwrap().len(), 1);
    assert!(project.ok(&["projects", "--prune"]).contains("nothing to remove"));
    project.pid_of("web");
}
