//! Every kind of bad input, and the exact words about it.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::{error, read};

#[test]
fn a_wrong_key_gets_the_one_that_was_meant() {
    assert_snapshot!(error("[process.api]\ncomand = \"x\"\n"), @r#"
    ostler.toml:2:1: unknown key `comand` in [process.api]
      |
    2 | comand = "x"
      | ^^^^^^
    hint: did you mean `command`?
    "#);
    assert_snapshot!(error("[proces.api]\ncommand = \"x\"\n"), @r"
    ostler.toml:1:2: unknown key `proces` at the top level
      |
    1 | [proces.api]
      |  ^^^^^^
    hint: did you mean `process`?
    ");
    assert_snapshot!(error("[process.api]\ncommand = \"x\"\nrestart = { polcy = \"always\" }\n"), @r#"
    ostler.toml:3:13: unknown key `polcy` in `restart` of [process.api]
      |
    3 | restart = { polcy = "always" }
      |             ^^^^^
    hint: did you mean `policy`?
    "#);
    assert_snapshot!(error("[process.api]\ncommand = \"x\"\ncolour = 1\n"), @r"
    ostler.toml:3:1: unknown key `colour` in [process.api]
      |
    3 | colour = 1
      | ^^^^^^
    hint: the keys here are `command`, `shell`, `cwd`, `env`, `env_file`, `inherit_env`, `autostart`, `depends_on`, `restart`, `ready`, `health`, `stop`, `reload`, `limits`, `pty`, `port`, `replicas`, `groups`, `watch`, `schedule` and `logs`
    ");
}

#[test]
fn a_key_of_a_later_version_is_said_to_be_one() {
    assert_snapshot!(error("[process.api]\ncommand = \"x\"\nadapter = \"auto\"\n"), @r#"
    ostler.toml:3:1: `adapter` is not supported by this version
      |
    3 | adapter = "auto"
      | ^^^^^^^
    hint: remove it; `ostler.toml` of this version has no such key
    "#);
    for table in ["daemon", "rules"] {
        let said = error(&format!("[{table}]\nx = 1\n"));
        assert!(said.contains(&format!("`{table}` is not supported by this version")), "{said}");
    }
}

#[test]
fn a_wrong_type_is_told_with_the_right_one() {
    assert_snapshot!(error("[process.api]\ncommand = 5\n"), @r"
    ostler.toml:2:11: `command` must be a string or a list of strings, found an integer
      |
    2 | command = 5
      |           ^
    hint: put the value in quotes
    ");
    assert_snapshot!(error("[process.api]\ncommand = [\"a\", 5]\n"), @r#"
    ostler.toml:2:17: `command[1]` must be a string, found an integer
      |
    2 | command = ["a", 5]
      |                 ^
    hint: put the value in quotes
    "#);
    assert_snapshot!(error("[process.api]\ncommand = \"x\"\nautostart = \"yes\"\n"), @r#"
    ostler.toml:3:13: `autostart` must be a boolean, found a string
      |
    3 | autostart = "yes"
      |             ^^^^^
    "#);
    assert_snapshot!(error("[process]\napi = \"npm start\"\n"), @r#"
    ostler.toml:2:7: [process.api] must be a table, found a string
      |
    2 | api = "npm start"
      |       ^^^^^^^^^^^
    "#);
    assert_snapshot!(error("process = 5\n"), @r"
    ostler.toml:1:11: [process] must be a table, found an integer
      |
    1 | process = 5
      |           ^
    ");
    assert_snapshot!(error("[process.api]\ncommand = \"x\"\nrestart.max = -1\n"), @r"
    ostler.toml:3:15: `restart.max` must be an integer from 0 to 4294967295
      |
    3 | restart.max = -1
      |               ^^
    ");
    assert_snapshot!(error("[process.api]\ncommand = \"x\"\nready = { timeout = 30 }\n"), @r"
    ostler.toml:3:21: `ready.timeout` must be a string, found an integer
      |
    3 | ready = { timeout = 30 }
      |                     ^^
    hint: put the value in quotes
    ");
}

#[test]
fn an_unknown_dependency_gets_the_one_that_was_meant() {
    let shop =
        "[process.api]\ncommand = \"x\"\ndepends_on = { bd = \"ready\" }\n[process.db]\ncommand = \"y\"\n";
    assert_snapshot!(error(shop), @r#"
    ostler.toml:3:16: `api` depends on `bd`, which does not exist
      |
    3 | depends_on = { bd = "ready" }
      |                ^^
    hint: did you mean `db`?
    "#);
    assert_snapshot!(error("[process.api]\ncommand = \"x\"\ndepends_on = [\"postgres\"]\n"), @r#"
    ostler.toml:3:15: `api` depends on `postgres`, which does not exist
      |
    3 | depends_on = ["postgres"]
      |               ^^^^^^^^^^
    hint: there are no other processes
    "#);
    assert_snapshot!(
        error("[process.api]\ncommand = \"x\"\ndepends_on = { db = \"redy\" }\n[process.db]\ncommand = \"y\"\n"),
        @r#"
    ostler.toml:3:21: `redy` is not a condition
      |
    3 | depends_on = { db = "redy" }
      |                     ^^^^^^
    hint: did you mean `ready`?
    "#
    );
}

#[test]
fn a_cycle_is_told_with_its_way() {
    let text = "[process.a]\ncommand = \"x\"\ndepends_on = [\"b\"]\n\
                [process.b]\ncommand = \"x\"\ndepends_on = [\"c\"]\n\
                [process.c]\ncommand = \"x\"\ndepends_on = [\"b\"]\n";
    assert_snapshot!(error(text), @r#"
    ostler.toml:9:15: processes depend on each other in a cycle: b → c → b
      |
    9 | depends_on = ["b"]
      |               ^^^
    hint: remove one of these dependencies
    "#);
    assert_snapshot!(error("[process.a]\ncommand = \"x\"\ndepends_on = [\"a\"]\n"), @r#"
    ostler.toml:3:15: `a` depends on itself
      |
    3 | depends_on = ["a"]
      |               ^^^
    hint: remove one of these dependencies
    "#);
}

#[test]
fn a_duplicate_is_told_with_the_first() {
    assert_snapshot!(error("[process.api]\ncommand = \"x\"\n\n[process.api]\ncommand = \"y\"\n"), @r"
    ostler.toml:4:10: process `api` is defined twice; first at line 1
      |
    4 | [process.api]
      |          ^^^
    ");
    assert_snapshot!(error("[process.api]\ncommand = \"x\"\ncwd = \"a\"\ncommand = \"y\"\n"), @r#"
    ostler.toml:4:1: `command` is set twice; first at line 2
      |
    4 | command = "y"
      | ^^^^^^^
    "#);
    assert_snapshot!(error("[project]\nname = \"a\"\n[project]\n"), @r"
    ostler.toml:3:2: [project] is defined twice; first at line 1
      |
    3 | [project]
      |  ^^^^^^^
    ");
    assert_snapshot!(error("[process.a]\ncommand = \"x\"\nready = { tcp = 1, tcp = 2 }\n"), @r"
    ostler.toml:3:20: `ready.tcp` is set twice; first at line 3
      |
    3 | ready = { tcp = 1, tcp = 2 }
      |                    ^^^
    ");
}

#[test]
fn a_bad_regular_expression_is_refused_when_it_is_read() {
    assert_snapshot!(error("[process.api]\ncommand = \"x\"\nready = { log = \"ready (\" }\n"), @r#"
    ostler.toml:3:17: not a valid regular expression: unclosed group
      |
    3 | ready = { log = "ready (" }
      |                 ^^^^^^^^^
    "#);
    assert_snapshot!(error("[process.api]\ncommand = \"x\"\nready = { log = '(\\w{1000}){1000}' }\n"), @r"
    ostler.toml:3:17: not a valid regular expression: it needs more than 10 MiB when compiled; repeat less
      |
    3 | ready = { log = '(\w{1000}){1000}' }
      |                 ^^^^^^^^^^^^^^^^^^
    ");
}

#[test]
fn a_bad_duration_is_told_with_a_good_one() {
    assert_snapshot!(error("[process.api]\ncommand = \"x\"\nstop = { grace = \"10\" }\n"), @r#"
    ostler.toml:3:18: `10` is not a duration: a unit is missing after `10`
      |
    3 | stop = { grace = "10" }
      |                  ^^^^
    hint: write it like `500ms`, `30s` or `1m30s`
    "#);
    assert_snapshot!(error("[process.api]\ncommand = \"x\"\nrestart = { backoff = \"30s..1s\" }\n"), @r#"
    ostler.toml:3:23: `30s..1s` is not a range of durations: its start is above its end
      |
    3 | restart = { backoff = "30s..1s" }
      |                       ^^^^^^^^^
    hint: write it like `200ms..30s`
    "#);
}

#[test]
fn a_shell_operator_is_pointed_at() {
    assert_snapshot!(error("[process.api]\ncommand = \"npm run build && npm start\"\n"), @r#"
    ostler.toml:2:26: `&&` needs a shell
      |
    2 | command = "npm run build && npm start"
      |                          ^^
    hint: set `shell = true` to run it with /bin/sh, or quote it to pass it on as it is
    "#);
    assert_snapshot!(error("[process.api]\ncommand = \"PORT=80 npm start\"\n"), @r#"
    ostler.toml:2:12: `PORT=…` before a command needs a shell
      |
    2 | command = "PORT=80 npm start"
      |            ^^^^
    hint: move it to `env = { … }`, or set `shell = true`
    "#);
    assert_snapshot!(error("[process.api]\ncommand = [\"a\"]\nshell = true\n"), @r#"
    ostler.toml:2:11: `shell = true` needs `command` to be a string, found a list
      |
    2 | command = ["a"]
      |           ^^^^^
    hint: write the command as one string, or remove `shell = true`
    "#);
    assert_snapshot!(error("[process.api]\ncommand = \"\"\n"), @r#"
    ostler.toml:2:11: the command is empty
      |
    2 | command = ""
      |           ^^
    hint: name the program to run, such as `command = "npm run dev"`
    "#);
}

#[test]
fn bad_toml_is_told_at_its_first_place() {
    assert_snapshot!(error("[process.api\ncommand = \"x\"\n"), @r"
    ostler.toml:1:13: not valid TOML: unclosed table, expected `]`
      |
    1 | [process.api
      |             ^
    ");
    assert_snapshot!(error("[process.api]\ncommand = \"x\n"), @r#"
    ostler.toml:2:13: not valid TOML: invalid basic string, expected `"`
      |
    2 | command = "x
      |             ^
    "#);
    assert_snapshot!(error("[process.api]\ncommand = npm start\n"), @r"
    ostler.toml:2:11: not valid TOML: string values must be quoted, expected literal string
      |
    2 | command = npm start
      |           ^^^^^^^^^
    ");
}

#[test]
fn the_rest_of_what_can_be_wrong_with_a_process() {
    assert_snapshot!(error("[process.api]\ncwd = \"x\"\n"), @r#"
    ostler.toml:1:10: the process has no `command`
      |
    1 | [process.api]
      |          ^^^
    hint: say what to run, such as `command = "npm run dev"`
    "#);
    assert_snapshot!(error("[process.\"a b\"]\ncommand = \"x\"\n"), @r#"
    ostler.toml:1:10: `a b` is not a name
      |
    1 | [process."a b"]
      |          ^^^^^
    hint: use letters, digits, `-`, `_` and `.`, starting with a letter or digit, at most 64
    "#);
    assert_snapshot!(error("[process.a]\ncommand = \"x\"\nrestart = \"on-failur\"\n"), @r#"
    ostler.toml:3:11: `on-failur` is not a restart policy
      |
    3 | restart = "on-failur"
      |           ^^^^^^^^^^^
    hint: did you mean `on-failure`?
    "#);
    assert_snapshot!(error("[process.a]\ncommand = \"x\"\nstop = { signal = \"SIGTREM\" }\n"), @r#"
    ostler.toml:3:19: `SIGTREM` is not a signal
      |
    3 | stop = { signal = "SIGTREM" }
      |                   ^^^^^^^^^
    hint: did you mean `SIGTERM`?
    "#);
    assert_snapshot!(error("[process.a]\ncommand = \"x\"\nready = { tcp = 1, http = \"http://h/\" }\n"), @r#"
    ostler.toml:3:27: `ready` has both `tcp` and `http`
      |
    3 | ready = { tcp = 1, http = "http://h/" }
      |                           ^^^^^^^^^^^
    hint: keep the one that comes last when it starts
    "#);
    assert_snapshot!(error("[process.a]\ncommand = \"x\"\nready = { tcp = \"localhost\" }\n"), @r#"
    ostler.toml:3:17: `ready.tcp` is not an address
      |
    3 | ready = { tcp = "localhost" }
      |                 ^^^^^^^^^^^
    hint: write a host and a port, such as `"127.0.0.1:8000"`, or a port from 1 to 65535
    "#);
    assert_snapshot!(error("[process.a]\ncommand = \"x\"\nready = { http = \"https://localhost/\" }\n"), @r#"
    ostler.toml:3:18: `https` is not supported by this version
      |
    3 | ready = { http = "https://localhost/" }
      |                  ^^^^^^^^^^^^^^^^^^^^
    hint: ask the server over plain `http://`, or use `tcp`
    "#);
    assert_snapshot!(
        error("[process.a]\ncommand = \"x\"\ndepends_on = { b = \"exited-ok\" }\n[process.b]\ncommand = \"y\"\nrestart = \"always\"\n"),
        @r#"
    ostler.toml:3:16: `b` restarts always, so it never counts as `exited-ok`
      |
    3 | depends_on = { b = "exited-ok" }
      |                ^
    hint: give `b` `restart = "on-failure"`
    "#
    );
}

#[test]
fn all_problems_are_told_at_once_and_in_order() {
    let text = "[process.api]\ncomand = \"x\"\nautostart = 3\nstop = { grace = \"1\" }\n\
                depends_on = [\"nobody\"]\n[process.db]\ncommand = 7\n";
    assert_snapshot!(error(text), @r#"
    ostler.toml:2:1: unknown key `comand` in [process.api]
      |
    2 | comand = "x"
      | ^^^^^^
    hint: did you mean `command`?

    ostler.toml:3:13: `autostart` must be a boolean, found an integer
      |
    3 | autostart = 3
      |             ^

    ostler.toml:4:18: `1` is not a duration: a unit is missing after `1`
      |
    4 | stop = { grace = "1" }
      |                  ^^^
    hint: write it like `500ms`, `30s` or `1m30s`

    ostler.toml:5:15: `api` depends on `nobody`, which does not exist
      |
    5 | depends_on = ["nobody"]
      |               ^^^^^^^^
    hint: the only other process is `db`

    ostler.toml:7:11: `command` must be a string or a list of strings, found an integer
      |
    7 | command = 7
      |           ^
    hint: put the value in quotes
    "#);
}

#[test]
fn a_thousand_problems_do_not_flood() {
    let text: String = (0..1000).map(|n| format!("[process.p{n}]\ncommand = 5\n")).collect();
    let error = read(&text).unwrap_err();
    assert_eq!(error.problems().len(), 50);
    assert!(error.to_string().ends_with("there are more than 50 problems; the rest is not listed"));
}

#[test]
fn secrets_are_never_repeated() {
    for text in [
        "[process.a]\ncommand = \"x\"\nenv = { DB = [\"hunter2\"] }\n",
        "[process.a]\ncommand = \"x\"\n[process.a.env]\nDB = \"hunter2\n",
        "[process.a]\ncommand = \"x\"\n[process.a.env]\nDB = { a = \"hunter2\" }\n",
        "[process.a]\ncommand = \"x\"\nenv = \"DB=hunter2\"\n",
        "[process.a]\ncommand = \"DB=hunter2 run\"\nenv.DB = hunter2\n",
        "[process.a]\ncommand = \"run --token hunter2 | tee\"\n",
        "[process.a]\ncommand = \"x\"\nenv.\"a=\" = \"hunter2\"\n",
        "[process.a]\ncommand = \"x\"\nenv.A = \"hunter2\\u0000\"\n",
        "[plugin.a]\nconfig = \"hunter2\"\n",
        "API_TOKEN = \"hunter2\"\n",
        "[process.a]\ncommand = \"x\"\nready = { http = \"http://u:hunter2@h/\" }\n",
    ] {
        let said = error(text);
        assert!(!said.contains("hunter2"), "{text}\n{said}");
    }
}

#[test]
fn foreign_text_cannot_reach_a_terminal_raw() {
    let said = error("[process.a]\ncommand = \"x\"\n\"\\u001b[31m\" = 1\n# \u{7f}");
    assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
}

/// A file is small, but what it asks for need not be: depth, length of chains, products of wrong names.
#[test]
fn a_hostile_file_is_read_in_reasonable_time_and_stack() {
    let dots = "a.".repeat(200_000);
    let chain: String = (0..15_000)
        .map(|n| format!("[process.p{n}]\ncommand = \"x\"\ndepends_on = [\"p{}\"]\n", n + 1))
        .collect();
    let unknown: String =
        (0..15_000).map(|n| format!("[process.p{n}]\ncommand = \"x\"\ndepends_on = [\"q{n}\"]\n")).collect();
    for text in [
        format!("{dots}a = 1\n"),
        format!("[{dots}a]\n"),
        format!("[plugin.p.config]\n{dots}a = 1\n"),
        format!("x = {}", "[".repeat(200_000)),
        format!("x = {}", "{a=".repeat(200_000)),
        format!("{chain}[process.p15000]\ncommand = \"x\"\ndepends_on = [\"p0\"]\n"),
        unknown,
        "x = 1\n".repeat(100_000),
    ] {
        let error = read(&text).expect_err("hostile text was accepted");
        assert!(error.to_string().len() < 100_000);
    }
    let whole = format!("{chain}[process.p15000]\ncommand = \"x\"\n");
    let project = read(&whole).unwrap();
    assert_eq!(project.with_dependencies(&project.order[..1]).len(), 15_001);
}

fn fragment() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "[process.a]\n",
        "[process.b]\n",
        "[process]\n",
        "[[process.a]]\n",
        "[logs]\n",
        "[plugin.x]\n",
        "[project]\n",
        "[process.a.env]\n",
        "command",
        "shell",
        "cwd",
        "env",
        "env_file",
        "depends_on",
        "restart",
        "ready",
        "health",
        "stop",
        "reload",
        "limits",
        "port",
        "replicas",
        "groups",
        "watch",
        "schedule",
        "inherit_env",
        "[group.a]\n",
        "[group.w]\n",
        "processes",
        "status",
        "exec",
        "watchdog",
        "memory",
        "cpu",
        "cron",
        "\"${PORT}\"",
        "\"@daily\"",
        "\"src/**\"",
        "config",
        "enabled",
        "name",
        "a",
        "b",
        "max",
        "tcp",
        "log",
        ".",
        " = ",
        "{ ",
        " }",
        "[",
        "]",
        ", ",
        "\n",
        "\"a\"",
        "\"b\"",
        "\"x | y\"",
        "'''",
        "\"\"\"",
        "5",
        "-1",
        "99999999999999999999",
        "1.5",
        "true",
        "nan",
        "1979-05-27T07:32:00Z",
        "\"always\"",
        "\"1s..2s\"",
        "\"ready\"",
        "\"\\u0000\"",
        "é",
        "#",
        "\"",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn random_text_never_panics(text in "(?s).{0,200}") {
        let _ = read(&text).map_err(|error| error.to_string());
    }

    /// Text that looks like configuration comes further than noise.
    #[test]
    fn random_configuration_never_panics(parts in prop::collection::vec(fragment(), 0..40)) {
        let text = parts.concat();
        if let Err(error) = read(&text) {
            prop_assert!(!error.problems().is_empty());
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
