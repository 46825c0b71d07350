//! What Ostler tells of processes beyond their state: ports, environment, set-up, figures. Through the built programs.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use ostler_tests::project::{Project, eventually};
use serde_json::Value;

const MISBEHAVE: &str = env!("CARGO_BIN_EXE_misbehave");

fn inspect(project: &Project, name: &str) -> Value {
    project.ok(&["inspect", name, "--json"]).json()
}

/// Returns the variable's value and origin as `inspect` tells them.
fn variable(inspection: &Value, name: &str) -> (String, String) {
    let variables = inspection["env"].as_array().expect("a list");
    let found = variables.iter().find(|variable| variable["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no {name} in {variables:?}"));
    let text = |key: &str| found[key].as_str().expect("a text").to_owned();
    (text("value"), text("origin"))
}

#[test]
fn a_taken_port_is_named_with_its_owner_and_nothing_is_started() {
    let squatter = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = squatter.local_addr().unwrap().port();
    let project = Project::new(MISBEHAVE).process("server", "serve ${PORT}", &format!("port = {port}"));
    let refused = project.run(&["start", "server"]).expect_code(1);
    let expected = format!("cannot start `server`: port {port} is taken by pid {} (", std::process::id());
    assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
    assert_eq!(project.view("server").state, "failed");
    assert!(project.pids("server").is_empty(), "it was started");

    drop(squatter);
    project.ok(&["start", "server"]);
    project.wait_log("server", &format!("^listening on http://127.0.0.1:{port}/"));
    assert_eq!((project.view("server").ports, project.view("server").port), (vec![port], Some(port)));
}

#[test]
fn a_port_taken_by_another_project_names_project_and_process() {
    let owner = Project::new(MISBEHAVE).process("web", "serve ${PORT}", "port = \"auto\"");
    owner.ok(&["start", "web"]);
    owner.wait_log("web", "^listening on ");
    let view = owner.view("web");
    let port = view.port.expect("a port was chosen");
    assert_eq!(view.ports, [port]);
    let dir = owner.dir().display().to_string();

    let other = Project::new(MISBEHAVE).process("api", "serve ${PORT}", &format!("port = {port}")).process(
        "probed",
        "serve 0",
        &format!("ready = {{ tcp = {port} }}"),
    );
    let refused = other.run(&["start", "api"]).expect_code(1);
    let expected = format!("process `web` of the project in {dir}; stop it with `ostler -C {dir} stop web`");
    assert!(refused.stderr.contains(&expected), "{}", refused.stderr);

    // Where only readiness is looked for there, the start goes on and says so.
    let warned = other.ok(&["start", "probed"]);
    let expected = format!("port {port}, where its readiness is looked for, is taken by pid ");
    assert!(warned.stderr.contains(&expected), "{}", warned.stderr);
    let inspection = inspect(&other, "probed");
    assert!(inspection["warning"].as_str().is_some_and(|text| text.starts_with(&expected)), "{inspection}");

    // The same within one project, where the owner is one command away.
    let config = owner.dir().join("ostler.toml");
    let text = fs::read_to_string(&config).unwrap();
    let second = text.replace("[process.web]", "[process.twin]").replace("\"auto\"", &port.to_string());
    fs::write(&config, format!("{text}\n{second}")).unwrap();
    owner.kill_daemon();
    let refused = owner.run(&["start", "twin"]).expect_code(1);
    let expected = "process `web` of this project; stop it with `ostler stop web`";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    // The next daemon still knows what the adopted run was given.
    assert_eq!(owner.view("web").port, Some(port));
}

#[test]
fn a_chosen_port_stays_and_reaches_command_environment_and_readiness() {
    let project = Project::new(MISBEHAVE).process(
        "web",
        "serve ${PORT}",
        "port = \"auto\"\nenv = { URL = \"http://localhost:${PORT}/\" }\nready = { log = \"listening\" }",
    );
    project.ok(&["up", "-d"]);
    let port = project.view("web").port.expect("a port was chosen");
    drop(TcpStream::connect(("127.0.0.1", port)).expect("it serves there"));
    let inspection = inspect(&project, "web");
    assert_eq!(variable(&inspection, "URL"), (format!("http://localhost:{port}/"), "config".to_owned()));
    assert_eq!(variable(&inspection, "PORT"), (port.to_string(), "ostler".to_owned()));
    let command = inspection["command"].as_array().expect("words");
    assert_eq!(command.last().expect("a word"), &Value::from(port.to_string()));
    project.ok(&["down"]);

    project.ok(&["up", "-d"]);
    assert_eq!(project.view("web").port, Some(port), "it moved");
    project.ok(&["stop", "web"]);
    let squatter = TcpListener::bind(("127.0.0.1", port)).unwrap();
    project.ok(&["start", "web"]);
    let moved = project.view("web").port.expect("a port was chosen");
    assert_ne!(moved, port);
    drop(squatter);
    project.wait_log("web", &format!("^listening on http://127.0.0.1:{moved}/"));
}

#[test]
fn the_environment_is_shown_as_it_is_with_secrets_masked() {
    let settings = "env_file = \".env\"\ninherit_env = [\"HOME\"]\n\
                    env = { B = \"${A}-${HOME}\", API_TOKEN = \"hunter2\", DB = \"pg://app:hunter2@db/x\" }";
    let project = Project::new(MISBEHAVE).script("shell", "env; exec cat", settings);
    fs::write(project.dir().join(".env"), "A=from file\nSECRET_OF_FILE=hunter2\n").unwrap();
    project.ok(&["start", "shell"]);
    let home = project.dir().join("home");
    project.wait_log("shell", &format!("^B=from file-{}$", home.display()));
    let names: Vec<String> = project
        .lines("shell")
        .iter()
        .filter_map(|line| Some(line.text.split_once('=')?.0.to_owned()))
        .filter(|name| !["PWD", "_", "SHLVL", "OLDPWD"].contains(&name.as_str()))
        .collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "A",
            "API_TOKEN",
            "B",
            "DB",
            "HOME",
            "OSTLER_PROCESS",
            "OSTLER_PROJECT",
            "OSTLER_REPLICA",
            "PATH",
            "PYTHONUNBUFFERED",
            "SECRET_OF_FILE"
        ]
    );

    let inspection = inspect(&project, "shell");
    assert!(!inspection.to_string().contains("hunter2"), "{inspection}");
    assert_eq!(variable(&inspection, "A"), ("from file".to_owned(), "file".to_owned()));
    assert_eq!(variable(&inspection, "API_TOKEN"), ("****".to_owned(), "config".to_owned()));
    assert_eq!(variable(&inspection, "DB").0, "pg://app:****@db/x");
    assert_eq!(variable(&inspection, "HOME"), (home.display().to_string(), "inherited".to_owned()));
    assert_eq!(variable(&inspection, "PATH").1, "ostler");
    assert_eq!(inspection["env_changed"], Value::Array(Vec::new()));

    // A file that is changed concerns the next start; one with an error stops it, and names place and no value.
    fs::write(project.dir().join(".env"), "A=other\nSECRET_OF_FILE=hunter2\n").unwrap();
    assert_eq!(inspect(&project, "shell")["env_changed"], serde_json::json!(["A", "B"]));
    fs::write(project.dir().join(".env"), "A=1\nB='hunter2").unwrap();
    let shown = project.ok(&["inspect", "shell"]);
    assert!(
        shown.stdout.contains(".env:2:1: the quote that opens the value of `B` is not closed"),
        "{}",
        shown.stdout
    );
    assert!(!shown.stdout.contains("hunter2"), "{}", shown.stdout);
    let refused = project.run(&["restart", "shell"]).expect_code(1);
    assert!(refused.stderr.contains(".env:2:1: "), "{}", refused.stderr);
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
}

#[test]
fn a_reference_that_leads_nowhere_stops_the_start_and_names_process_key_and_variable() {
    let project =
        Project::new(MISBEHAVE).process("api", "serve 0", "env = { URL = \"pg://${NO_SUCH_HOST}/x\" }");
    let refused = project.run(&["start", "api"]).expect_code(1);
    let expected = "cannot start `api`: `env.URL` refers to `${NO_SUCH_HOST}`, which is not set";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
}

#[test]
fn secrets_are_not_shown_where_nobody_watches() {
    let project = Project::new(MISBEHAVE).process("api", "serve 0", "env = { TOKEN = \"hunter2\" }");
    let refused = project.run(&["inspect", "api", "--show-secrets"]).expect_code(2);
    assert!(refused.stderr.contains("on a terminal only"), "{}", refused.stderr);
    assert!(!refused.stdout.contains("hunter2"));
    project.run(&["inspect", "nobody", "--json"]).expect_code(3);
}

#[test]
fn a_process_is_shown_with_its_tree_its_shim_and_its_places() {
    let project = Project::new(MISBEHAVE).script("pair", "misbehave serve 0 & echo up; wait", "");
    project.ok(&["start", "pair"]);
    project.wait_log("pair", "^listening on ");
    let pid = project.pid("pair");
    let inspection = inspect(&project, "pair");
    let tree = inspection["tree"].as_array().expect("a list");
    assert_eq!(tree[0]["pid"], pid);
    let server =
        tree.iter().find(|process| process["ports"].as_array().is_some_and(|ports| !ports.is_empty()));
    assert_eq!(server.expect("one listens")["parent"], pid);
    assert_eq!(tree[0]["parent"], inspection["shim_pid"]);
    let run_dir = inspection["paths"]["run"].as_str().expect("a run lives");
    assert!(Path::new(run_dir).join("spec").is_file());

    project.ok(&["stop", "pair"]);
    let inspection = inspect(&project, "pair");
    assert_eq!((&inspection["shim_pid"], &inspection["tree"]), (&Value::Null, &Value::Array(Vec::new())));
}

#[test]
fn figures_are_those_of_the_whole_tree_and_a_history_grows() {
    let project = Project::new(MISBEHAVE)
        .script("busy", "sh -c 'while :; do :; done' & exec cat", "")
        .process("idle", "stdin-deaf", "")
        .process("never", "serve 0", "");
    project.ok(&["start", "busy", "idle"]);
    let stats = |args: &[&str]| -> Value { project.ok(&[&["stats", "--json"], args].concat()).json() };
    let first = stats(&[]);
    let of = |reply: &Value, name: &str| {
        let processes = reply["processes"].as_array().expect("a list").clone();
        processes.into_iter().find(|process| process["name"] == name).expect("it is there")
    };
    let busy = of(&first, "busy");
    assert!(busy["cpu_percent"].as_f64().expect("a number") > 5.0, "{busy}");
    assert_eq!(busy["processes"], 2);
    assert!(busy["rss_bytes"].as_u64() > Some(100_000), "{busy}");
    assert!(of(&first, "never")["cpu_percent"].is_null());
    assert!(first["system"]["cores"].as_u64() > Some(0));
    assert!(first["system"]["memory_bytes"].as_u64() > Some(1 << 20));

    let shown = project.ok(&["stats", "busy", "--pss"]).stdout;
    assert!(shown.contains("PSS") && shown.contains("busy") && !shown.contains("idle"), "{shown}");
    let detailed = stats(&["busy", "--pss"]);
    assert!(of(&detailed, "busy")["pss_bytes"].as_u64() > Some(0), "{detailed}");
    eventually("a history", || {
        let history = of(&stats(&["busy"]), "busy")["cpu_history"].as_array().map_or(0, Vec::len);
        if history >= 2 { Ok(()) } else { Err(format!("{history} values")) }
    });
    project.run(&["stats", "nobody"]).expect_code(3);
}
