//! Secrets that a process prints, looked for in everything that is stored and shown of it.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Project, eventually};

/// What the process prints; its variable `SHOP_SECRET` is [`SECRET`].
const SCRIPT: &str = "\
echo \"key is $SHOP_SECRET\"
echo 'GET /?password=hunter2-and-more HTTP/1.1'
echo 'Traceback (most recent call last):' >&2
echo '  File \"shop.py\", line 3, in cart' >&2
echo \"ValueError: cannot reach postgres://shop:$SHOP_SECRET@db/shop\" >&2
echo \"of $CUSTOMER with acme_0815\"
echo done
";
const SECRET: &str = "correct-horse-battery";
/// What nobody would take for a secret, and the user says is one.
const CUSTOMER: &str = "mueller-und-soehne";
/// A secret on the command line, which whoever starts the process again has to know.
const OPTION: &str = "staple-and-more";

/// A plugin that tells Ostler's own log which command it reads the output of.
const TELLTALE: &[u8] = include_bytes!("../../tests/fixtures/contract/0.9.0/make-levels.wasm");

/// Returns every file below the state directory.
fn state_files(project: &Project) -> Vec<PathBuf> {
    let (mut files, mut dirs) = (Vec::new(), vec![project.path("state")]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let list = if entry.file_type().unwrap().is_dir() { &mut dirs } else { &mut files };
            list.push(entry.path());
        }
    }
    files
}

#[test]
fn secrets_are_masked_before_anything_is_stored_or_shown() {
    let project = Project::new(&format!(
        "[secrets]\nenv = [\"CUSTOMER\"]\npatterns = [{{ name = \"acme\", regex = 'acme_[0-9]+' }}]\n[process.api]\n\
         command = \"sh say.sh --token {OPTION}\"\nrestart = \"never\"\n\
         env = {{ SHOP_SECRET = \"{SECRET}\", CUSTOMER = \"{CUSTOMER}\" }}\n"
    ));
    project.write("say.sh", SCRIPT);
    project.ok(&["up", "-d"]);
    project.ok(&["wait", "api", "--log", "done"]);
    project.ok(&["wait", "api", "--exit"]);
    let [logs, errors, latest] = [&["logs", "--json"][..], &["errors", "--json"], &["errors", "latest"]]
        .map(|words| project.ok(words));
    let others = [&["diagnose", "api"][..], &["inspect", "api"]].map(|words| project.ok(words));
    for text in [&logs, &errors, &latest].into_iter().chain(&others) {
        assert!([SECRET, OPTION, "hunter2"].iter().all(|secret| !text.contains(secret)), "{text}");
    }
    assert!(logs.contains("key is [masked:SHOP_SECRET]"), "{logs}");
    assert!(logs.contains("of [masked:CUSTOMER] with [masked:acme]"), "{logs}");
    assert!(errors.contains("ValueError") && latest.contains("[masked:SHOP_SECRET]"), "{errors}{latest}");
    // What people and agents say is masked as well, in the note, and in what is written down of the act.
    let id = serde_json::from_str::<serde_json::Value>(&errors).unwrap()["errors"][0]["id"].clone();
    let note = format!("the token acme_0816 of {CUSTOMER}, or password=hunter2-and-more");
    project.ok(&["errors", "resolve", id.as_str().unwrap(), "--note", &note]);
    let shown = project.ok(&["errors", "show", id.as_str().unwrap()]);
    assert!(shown.contains("the token [masked:acme] of [masked:CUSTOMER], or password=[masked:"), "{shown}");
    project.ok(&["down"]);
    // Neither in the log nor in the catalogue; the spool and the launch spec are gone with the run.
    let files = state_files(&project);
    assert!(
        files.iter().any(|file| file.extension().is_some_and(|extension| extension == "seg")),
        "{files:?}"
    );
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let holds = |secret: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        for secret in [SECRET, "hunter2", CUSTOMER, "acme_081"] {
            assert!(!holds(secret.as_bytes()), "{secret} in {}", file.display());
        }
    }
}

#[test]
fn rules_that_are_added_hold_for_what_runs_from_its_next_lines_on() {
    let check = "[\"sh\", \"-c\", \"echo cannot use $SHOP_SECRET with acme_0816; false\"]";
    let config = format!(
        "[process.api]\ncommand = \"sh -c 'while read line; do echo \\\"$line\\\"; done'\"\nenv = {{ SHOP_SECRET = \"{SECRET}\" }}\n\
         health = {{ exec = {check}, every = \"100ms\", failures = 1, restart = false }}\n"
    );
    let project = Project::new(&config);
    project.ok(&["up", "-d"]);
    project.ok(&["send", "api", "first acme_0815"]);
    project.ok(&["wait", "api", "--log", "first acme_0815"]);
    let rules = "[secrets]\npatterns = [{ name = \"acme\", regex = 'acme_[0-9]+' }]\n";
    project.write("ostler.toml", &format!("{config}{rules}"));
    project.ok(&["reload-config"]);
    project.ok(&["send", "api", "second acme_0815"]);
    project.ok(&["wait", "api", "--log", r"second \[masked:acme\]"]);
    // What a check prints is not of the log, and masked as it is, with the secrets of the run.
    let health = project.run(&["health", "api", "--json"]).stdout;
    assert!(health.contains("cannot use [masked:SHOP_SECRET] with [masked:acme]"), "{health}");
    let diagnosis = project.ok(&["diagnose", "api"]);
    assert!(!health.contains(SECRET) && !diagnosis.contains(SECRET), "{health}{diagnosis}");
    project.ok(&["down"]);
    for file in state_files(&project) {
        let bytes = fs::read(&file).unwrap();
        let holds = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!holds, "{}", file.display());
    }
}

#[test]
fn a_plugin_sees_a_command_without_its_secrets() {
    let project = Project::new(&format!(
        "[process.api]\ncommand = \"sh say.sh --token {OPTION} {SECRET}\"\nrestart = \"never\"\n\
         env = {{ SHOP_SECRET = \"{SECRET}\" }}\n"
    ));
    project.write("say.sh", "echo done\n");
    let plugin = project.file(".ostler/plugins/make-levels.wasm");
    fs::create_dir_all(plugin.parent().unwrap()).unwrap();
    fs::write(plugin, TELLTALE).unwrap();
    project.ok(&["up", "-d"]);
    project.ok(&["wait", "api", "--exit"]);
    let told = "reads api (sh say.sh --token [masked:secret] [masked:SHOP_SECRET])";
    let mut states = fs::read_dir(project.path("state")).unwrap().map(|state| state.unwrap().path());
    let log =
        states.find_map(|state| Some(state.join("daemon.log")).filter(|log| log.is_file())).expect("a log");
    let log = eventually("the plugin tells the command without its secrets", || {
        fs::read_to_string(&log).ok().filter(|log| log.contains(told))
    });
    assert!(!log.contains(OPTION) && !log.contains(SECRET), "{log}");
    project.ok(&["down"]);
}
