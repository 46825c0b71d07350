//! What good texts mean: every key, every default, and the files around `ostler.toml`.

use std::path::Path;
use std::time::Duration;

use insta::assert_snapshot;

use super::super::*;
use super::read;
use crate::model::{Level, ProcessName};

fn process(text: &str) -> ProcessConfig {
    let project = read(&format!("[process.other]\ncommand = \"x\"\n[process.p]\n{text}")).unwrap();
    project.processes[&ProcessName::new("p").unwrap()].clone()
}

#[test]
fn a_command_is_all_a_process_needs() {
    let command = Command::Words(vec!["npm".into(), "run".into(), "dev".into()]);
    assert_eq!(process("command = \"npm run dev\""), ProcessConfig::new(command.clone(), "".into()));
    assert_eq!(process("command = [\"npm\", \"run\", \"dev\"]").command, command);
}

#[test]
fn defaults_are_those_documented() {
    let process = process("command = \"x\"");
    assert!(process.autostart);
    assert_eq!(process.ready, Ready { check: None, timeout: Duration::from_secs(30) });
    assert_eq!(process.stop, StopPolicy { signal: 15, grace: Duration::from_secs(10), command: None });
    let restart = process.restart;
    assert_eq!(restart.when, RestartWhen::OnFailure);
    assert_eq!(
        (restart.backoff_first, restart.backoff_longest),
        (Duration::from_millis(200), Duration::from_secs(30))
    );
    assert_eq!((restart.max, restart.window), (5, Duration::from_secs(60)));
}

#[test]
fn every_key_of_a_process_is_read() {
    let process = process(
        r#"
        command = "a | b"
        shell = true
        cwd = "backend/."
        env = { S = "text", I = 5, B = true }
        env_file = [".env", ".env.local?"]
        autostart = false
        depends_on = { other = "exited-ok" }
        restart = { policy = "never", backoff = "1s..5s", max = 2, window = "1m" }
        ready = { http = "http://localhost:8000/up", timeout = "5s" }
        stop = { signal = "INT", grace = "2s" }
        "#,
    );
    assert_eq!(process.command, Command::Shell("a | b".into()));
    assert_eq!(process.cwd, Path::new("backend"));
    let env: Vec<String> = process.env.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["B=true", "I=5", "S=text"]);
    assert_eq!(
        process.env_files,
        [
            EnvFile { path: ".env".into(), optional: false },
            EnvFile { path: ".env.local".into(), optional: true },
        ]
    );
    assert!(!process.autostart);
    assert_eq!(process.depends_on.len(), 1);
    assert_eq!(process.depends_on[0].condition, Condition::ExitedOk);
    assert_eq!(process.restart.when, RestartWhen::Never);
    assert_eq!((process.restart.max, process.restart.window), (2, Duration::from_secs(60)));
    let Some(Check::Http(url)) = &process.ready.check else { panic!("{:?}", process.ready) };
    assert_eq!(url.url.as_str(), "http://localhost:8000/up");
    assert_eq!(process.stop, StopPolicy { signal: 2, grace: Duration::from_secs(2), command: None });
}

#[test]
fn short_forms_mean_their_long_ones() {
    assert_eq!(process("command = \"x\"\nrestart = \"always\"").restart.when, RestartWhen::Always);
    assert_eq!(
        process("command = \"x\"\ndepends_on = [\"other\"]").depends_on[0].condition,
        Condition::Ready
    );
    let tcp = |value: &str| process(&format!("command = \"x\"\nready.tcp = {value}")).ready.check;
    let at = |address: &str| Some(Check::Tcp(PortText::new(address)));
    assert_eq!(tcp("8000"), at("localhost:8000"));
    assert_eq!(tcp("\"127.0.0.1:8000\""), at("127.0.0.1:8000"));
    let log = process("command = \"x\"\nready.log = 'ready in \\d+'").ready.check;
    assert_eq!(log, Some(Check::Log(r"ready in \d+".into())));
}

#[test]
fn the_order_of_the_file_is_kept() {
    let project =
        read("[process.z]\ncommand = \"x\"\n[process.a]\ncommand = \"x\"\n[process.m]\ncommand = \"x\"\n");
    let order: Vec<String> = project.unwrap().order.iter().map(ToString::to_string).collect();
    assert_eq!(order, ["z", "a", "m"]);
}

#[test]
fn plugins_get_their_configuration_as_json() {
    let text =
        "[plugin.mine]\nenabled = false\nconfig = { a = [1, 2.5], day = 2026-11-20, t = { on = true } }\n";
    let plugins = read(text).unwrap().plugins;
    assert_eq!(read(text).unwrap().plugin_config("other"), None);
    assert!(!plugins["mine"].enabled);
    let json = plugins["mine"].config.as_ref().unwrap().to_string();
    assert_eq!(json, r#"{"a":[1,2.5],"day":"2026-11-20","t":{"on":true}}"#);
}

#[test]
fn the_nearest_file_upwards_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(dir.path().join(FILE_NAME), "").unwrap();
    // A directory of that name is not a file of that name.
    std::fs::create_dir(deep.join(FILE_NAME)).unwrap();
    assert_eq!(find(&deep), Some(dir.path().join(FILE_NAME)));
    let project = load(&find(&deep).unwrap()).unwrap();
    assert_eq!(project.dir, dir.path());
    assert_eq!(project.name, Project::empty(dir.path()).name);
}

fn with_patterns(patterns: &str) -> (tempfile::TempDir, Result<Project, ConfigError>) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    std::fs::write(&file, "[logs]\npatterns = \"log-patterns.toml\"\n").unwrap();
    std::fs::write(dir.path().join("log-patterns.toml"), patterns).unwrap();
    let project = load(&file);
    (dir, project)
}

#[test]
fn patterns_are_read_and_handed_on_as_json() {
    let (_dir, project) = with_patterns(
        "[[pattern]]\nname = \"deadlock\"\nregex = '(?i)deadlock'\nlevel = \"Fatal\"\npriority = 10\ncategory = \"db\"\n\
         [[pattern]]\nname = \"slow\"\nregex = 'slow'\nlevel = \"warning\"\n",
    );
    let project = project.unwrap();
    assert_eq!(project.patterns[1].level, Level::Warn);
    assert_snapshot!(project.default_classifier_config("c").unwrap(), @r#"{"pattern":[{"category":"db","level":"fatal","name":"deadlock","priority":10,"regex":"(?i)deadlock"},{"level":"warn","name":"slow","priority":100,"regex":"slow"}]}"#);
    assert_eq!(read("").unwrap().default_classifier_config("c"), None);
}

#[test]
fn problems_of_patterns_are_told_in_their_file() {
    let (dir, project) = with_patterns(
        "[[pattern]]\nname = \"a\"\nregex = '('\nlevel = \"eror\"\n[[pattern]]\nname = \"a\"\nregex = 'x'\n",
    );
    let said = project.unwrap_err().to_string().replace(dir.path().to_str().unwrap(), "DIR");
    assert_snapshot!(said, @r#"
    DIR/log-patterns.toml:3:9: not a valid regular expression: unclosed group
      |
    3 | regex = '('
      |         ^^^

    DIR/log-patterns.toml:4:9: `eror` is not a level
      |
    4 | level = "eror"
      |         ^^^^^^
    hint: did you mean `error`?

    DIR/log-patterns.toml:5:1: the pattern has no `level`
      |
    5 | [[pattern]]
      | ^^^^^^^^^^^

    DIR/log-patterns.toml:6:8: pattern `a` is defined twice; first at line 2
      |
    6 | name = "a"
      |        ^^^
    "#);
    let (dir, project) = with_patterns("[[pattern]]\nname = \"a\"\nregx = 'x'\nlevel = \"warn\"\n");
    let said = project.unwrap_err().to_string().replace(dir.path().to_str().unwrap(), "DIR");
    assert_snapshot!(said, @r"
    DIR/log-patterns.toml:3:1: unknown key `regx` in [[pattern]]
      |
    3 | regx = 'x'
      | ^^^^
    hint: did you mean `regex`?
    ");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    let said = || load(&file).unwrap_err().to_string().replace(dir.path().to_str().unwrap(), "DIR");
    assert_snapshot!(said(), @r"
    DIR/ostler.toml: cannot be read: No such file or directory (os error 2)
    hint: `ostler init` writes one for what it finds in the directory
    ");
    std::fs::write(&file, "[logs]\npatterns = \"none.toml\"\n").unwrap();
    assert_snapshot!(said(), @r#"
    DIR/ostler.toml:2:12: `DIR/none.toml` cannot be read: No such file or directory (os error 2)
      |
    2 | patterns = "none.toml"
      |            ^^^^^^^^^^^
    "#);
    std::fs::write(&file, b"\n# \xff\n").unwrap();
    assert_snapshot!(said(), @"DIR/ostler.toml: cannot be read: line 2 is not UTF-8");
    std::fs::write(&file, "#".repeat(1 << 21)).unwrap();
    assert_snapshot!(said(), @"DIR/ostler.toml: cannot be read: it is larger than 1024 KiB");
}
