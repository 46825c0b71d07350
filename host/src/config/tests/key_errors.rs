//! Every wrong value of the keys about looking after a process, with the words about it: a row for each.

use super::{error, read};

/// Returns what is said about a bad text without file name and excerpt: `LINE:COLUMN: message` and the hint.
fn said(text: &str) -> Vec<String> {
    let problems = read(text).expect_err(text).problems().to_vec();
    problems
        .iter()
        .map(|problem| {
            let hint = problem.hint.as_ref().map(|hint| format!(" | {hint}")).unwrap_or_default();
            format!("{}:{}: {}{hint}", problem.line, problem.column, problem.message)
        })
        .collect()
}

/// Checks rows of the lines of a process, which start at line 3, and the one problem they have.
fn check(rows: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (lines, expected) in rows {
        let said = said(&format!("[process.p]\ncommand = \"x\"\n{lines}\n")).join("\n");
        if said != *expected {
            wrong.push_str(&format!("{lines}\n   said: {said}\n   not:  {expected}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn what_is_wrong_with_ready_is_told() {
    check(&[
        (
            "ready = { exec = \"a | b\" }",
            "3:21: `|` needs a shell | run it with a shell: `[\"sh\", \"-c\", \"…\"]`",
        ),
        ("ready = { exec = [] }", "3:18: the command is empty | name the program to run"),
        (
            "port = 80\nready = { exec = \"up ${PORT}\" }",
            "4:18: `${PORT}` can stand only in the process's own `command` | run it with a shell: `[\"sh\", \"-c\", \"…\"]`; the variable `PORT` is set there",
        ),
        (
            "ready = { notify = true, log = 'x' }",
            "3:32: `ready` has both `notify` and `log` | keep the one that comes last when it starts",
        ),
        ("ready = { notify = \"yes\" }", "3:20: `ready.notify` must be a boolean, found a string"),
        (
            "ready = { tcp = 80, status = 200 }",
            "3:30: `ready.status` does nothing without `ready.http` | remove it, or check with `http`",
        ),
        (
            "ready = { body = 'x' }",
            "3:18: `ready.body` does nothing without `ready.http` | remove it, or check with `http`",
        ),
        (
            "ready = { http = \"http://h/\", body = '(' }",
            "3:38: not a valid regular expression: unclosed group",
        ),
        (
            "ready = { http = \"http://h/\", status = 99 }",
            "3:40: `99` is no range of status codes: they go from 100 to 599 | write `200` or `\"200..299\"`",
        ),
        (
            "ready = { http = \"http://h/\", status = \"299..200\" }",
            "3:40: `299..200` is no range of status codes: they go from 100 to 599 | write `200` or `\"200..299\"`",
        ),
        (
            "ready = { http = \"http://h/\", status = \"2xx\" }",
            "3:40: `2xx` is not a range of status codes | write `200` or `\"200..299\"`",
        ),
        (
            "ready = { http = \"http://h/\", status = [200, 204] }",
            "3:40: `ready.status` must be an integer or a string such as \"200..299\", found a list",
        ),
        (
            "ready = { http = \"http://h:${PORT}/\" }",
            "3:18: `${PORT}` stands for the process's `port`, and it has none | add `port = 8000`, or `port = \"auto\"` for one that is free",
        ),
    ]);
}

#[test]
fn what_is_wrong_with_health_is_told() {
    check(&[
        (
            "health = { every = \"1s\" }",
            "3:10: `health` has no check | say what to look at: one of `http`, `tcp`, `exec` and `watchdog`",
        ),
        ("health = \"http://h/\"", "3:10: `health` must be a table, found a string"),
        (
            "health = { tcp = 80, watchdog = \"3s\" }",
            "3:33: `health` has both `tcp` and `watchdog` | keep the one that tells most",
        ),
        (
            "health = { log = 'x' }",
            "3:12: unknown key `log` in `health` of [process.p] | the keys here are `http`, `tcp`, `exec`, `watchdog`, `every`, `timeout`, `delay`, `failures`, `restart`, `status` and `body`",
        ),
        (
            "health = { tcp = 80, interval = \"1s\" }",
            "3:22: unknown key `interval` in `health` of [process.p] | did you mean `every`?",
        ),
        (
            "health = { tcp = 80, every = \"0s\" }",
            "3:30: `health.every` must be at least 100ms | a second or more will do for most processes",
        ),
        (
            "health = { tcp = 80, timeout = \"5\" }",
            "3:32: `5` is not a duration: a unit is missing after `5` | write it like `500ms`, `30s` or `1m30s`",
        ),
        (
            "health = { watchdog = \"3s\", delay = \"1s\" }",
            "3:37: `health.delay` does nothing with `watchdog` | remove it: with `watchdog` the process itself says that it is well",
        ),
        (
            "health = { tcp = 80, failures = 0 }",
            "3:33: `health.failures` must be at least 1 | `restart = false` only shows that it is unhealthy",
        ),
        (
            "health = { tcp = \"h\" }",
            "3:18: `health.tcp` is not an address | write a host and a port, such as `\"127.0.0.1:8000\"`, or a port from 1 to 65535",
        ),
        (
            "health = { http = \"h:80\" }",
            "3:19: `health.http` is not a URL of plain HTTP | write it like `\"http://127.0.0.1:8000/health\"`",
        ),
        (
            "health = { tcp = \"127.0.0.1:${PORT}\" }",
            "3:18: `${PORT}` stands for the process's `port`, and it has none | add `port = 8000`, or `port = \"auto\"` for one that is free",
        ),
    ]);
}

#[test]
fn what_is_wrong_with_stop_and_reload_is_told() {
    check(&[
        (
            "stop = { signal = \"INT\", command = \"halt\" }",
            "3:19: `stop` has both `signal` and `command` | keep one: the command runs instead of the signal",
        ),
        (
            "stop = { command = \"A=1 halt\" }",
            "3:21: `A=…` before a command needs a shell | run it with a shell: `[\"sh\", \"-c\", \"…\"]`",
        ),
        ("reload = \"SIGHOP\"", "3:10: `SIGHOP` is not a signal | did you mean `SIGHUP`?"),
        (
            "reload = \"nginx -s reload\"",
            "3:10: `nginx -s reload` is not a signal | for a command write `reload = { command = \"…\" }`",
        ),
        (
            "reload = {}",
            "3:10: `reload` has neither `signal` nor `command` | write `reload = \"SIGHUP\"`, or `reload = { command = \"…\" }`",
        ),
        (
            "reload = { signal = \"HUP\", command = \"x\" }",
            "3:38: `reload` has both `signal` and `command` | keep one; a command can send a signal with `kill -HUP $MAINPID`",
        ),
        ("reload = true", "3:10: `reload` must be a string or a table, found a boolean"),
        (
            "restart = { jitter = 2 }",
            "3:22: `restart.jitter` must be from 0 to 1 | write `0.1` for a tenth, `0` for none",
        ),
        (
            "restart = { jitter = nan }",
            "3:22: `restart.jitter` must be from 0 to 1 | write `0.1` for a tenth, `0` for none",
        ),
        ("restart = { jitter = \"10%\" }", "3:22: `restart.jitter` must be a number, found a string"),
    ]);
}

#[test]
fn limits_that_no_program_can_live_with_are_refused() {
    check(&[
        (
            "limits = { memory = \"1000\" }",
            "3:21: `limits.memory` must be at least 1 MiB | no program starts with less; a number without a unit is bytes",
        ),
        ("limits = { memory = -1 }", "3:21: `limits.memory` may not be negative"),
        (
            "limits = { memory = \"unlimited\" }",
            "3:21: `limits.memory` must be a size | remove the key: without it there is no limit",
        ),
        (
            "limits = { memory = \"1 gig\" }",
            "3:21: `1 gig` is not a size: `gig` is not a unit | write it like `512MiB` or `1GiB`",
        ),
        (
            "limits = { memory = 1.5 }",
            "3:21: `limits.memory` must be an integer or a string such as \"1GiB\", found a float | put the value in quotes",
        ),
        (
            "limits = { cpu = 0 }",
            "3:18: `limits.cpu` must be from 0.01 to 1024 cores | write `1.5` for one and a half cores; no process can run on less than 0.01",
        ),
        (
            "limits = { cpu = -0.5 }",
            "3:18: `limits.cpu` must be from 0.01 to 1024 cores | write `1.5` for one and a half cores; no process can run on less than 0.01",
        ),
        (
            "limits = { cpu = inf }",
            "3:18: `limits.cpu` must be from 0.01 to 1024 cores | write `1.5` for one and a half cores; no process can run on less than 0.01",
        ),
        ("limits = { cpu = \"150%\" }", "3:18: `limits.cpu` must be a number, found a string"),
        (
            "limits = { pids = 0 }",
            "3:19: `limits.pids` must be at least 1 | the process itself is one, and each thread counts; most runtimes need 64 or more",
        ),
        (
            "limits = { nofile = 15 }",
            "3:21: `limits.nofile` must be at least 16 | a runtime opens that many files before the program's first line; write `1024` or more",
        ),
        (
            "limits = { nofile = \"unlimited\" }",
            "3:21: the kernel has no unlimited `nofile` | write a number such as `65536`",
        ),
        (
            "limits = { nofile = \"4096\" }",
            "3:21: `4096` is not a number for `limits.nofile` | write a number without quotes, or `\"unlimited\"`",
        ),
        ("limits = { nproc = -1 }", "3:20: `limits.nproc` must be at least 1"),
        (
            "limits = { stack = \"1KiB\" }",
            "3:20: `limits.stack` must be at least 64 KiB | no program starts with less; a number without a unit is bytes",
        ),
        (
            "limits = { as = 4096 }",
            "3:17: `limits.as` must be at least 1 MiB | no program starts with less; a number without a unit is bytes",
        ),
        (
            "limits = { cpu-time = \"200ms\" }",
            "3:23: `limits.cpu-time` must be at least 1s | the kernel counts whole seconds; write `\"30s\"` or more",
        ),
        (
            "limits = { cpu_time = 1 }",
            "3:12: unknown key `cpu_time` in `limits` of [process.p] | did you mean `cpu-time`?",
        ),
        (
            "limits = { mem = 1 }",
            "3:12: unknown key `mem` in `limits` of [process.p] | did you mean `memory`?",
        ),
        ("limits = 5", "3:10: `limits` must be a table, found an integer"),
    ]);
}

#[test]
fn what_is_wrong_with_ports_and_replicas_is_told() {
    check(&[
        ("port = 0", "3:8: `port` must be from 1 to 65535 | `port = \"auto\"` takes one that is free"),
        ("port = 65536", "3:8: `port` must be from 1 to 65535 | `port = \"auto\"` takes one that is free"),
        ("port = \"8000\"", "3:8: `8000` is not a port | write the number without quotes: `port = 8000`"),
        (
            "port = \"any\"",
            "3:8: `any` is not a port | write a number from 1 to 65535, or `\"auto\"` for one that is free",
        ),
        ("port = true", "3:8: `port` must be an integer or \"auto\", found a boolean"),
        (
            "port = 65534\nreplicas = 3",
            "3:8: 3 replicas from port 65534 on would need port 65536 | the highest port is 65535; start lower",
        ),
        (
            "port = 80\nenv = { PORT = 81 }",
            "4:9: `env` sets `PORT`, and so does `port` | remove it from `env`; `port` hands it over",
        ),
        ("replicas = 65", "3:12: `replicas` must be from 1 to 64"),
        (
            "replicas = 0",
            "3:12: `replicas` must be from 1 to 64 | set `autostart = false` for a process that is not to run",
        ),
        ("replicas = 1.5", "3:12: `replicas` must be an integer, found a float"),
        ("pty = \"yes\"", "3:7: `pty` must be a boolean, found a string"),
        ("tty = true", "3:1: unknown key `tty` in [process.p] | did you mean `pty`?"),
        ("instances = 2", "3:1: unknown key `instances` in [process.p] | did you mean `replicas`?"),
        (
            "inherit_env = \"PATH\"",
            "3:15: `inherit_env` must be a boolean or a list of names, found a string",
        ),
        ("inherit_env = [\"A=1\"]", "3:16: the name of a variable may not be empty or hold `=`"),
    ]);
    assert_eq!(
        said("[process.p]\ncommand = \"serve --port ${PORT}\"\n"),
        [
            "2:11: `${PORT}` stands for the process's `port`, and it has none | add `port = 8000`, or `port = \"auto\"` for one that is free"
        ]
    );
    assert_eq!(
        said("[process.\"p#2\"]\ncommand = \"x\"\n"),
        [
            "1:10: `p#2` is not a name | use letters, digits, `-`, `_` and `.`, starting with a letter or digit, at most 64"
        ]
    );
}

#[test]
fn what_is_wrong_with_watch_is_told() {
    check(&[
        (
            "watch = []",
            "3:9: no files are named here | name files, such as `\"src/**/*.py\"`, or remove the key",
        ),
        (
            "watch = { action = \"restart\" }",
            "3:9: `watch` has no `paths` | say which files: `paths = [\"src/**/*.py\"]`",
        ),
        ("watch = true", "3:9: `watch` must be a string, a list of strings or a table, found a boolean"),
        (
            "watch = [\"src\", \"/etc/*\"]",
            "3:17: `/etc/*` is not a glob: it leads out of the project's directory | start from the directory of `ostler.toml`, without `/` in front and without `..`",
        ),
        (
            "watch = \"!src\"",
            "3:9: `!src` is not a glob: it starts with `!` | what does not count stands in `watch.ignore`, without `!`",
        ),
        (
            "watch = \"src/\"",
            "3:9: `src/` is not a glob: it names a directory | add `**` at the end for all that is in it",
        ),
        (
            "watch = { paths = \"a\", ignore = \"[\" }",
            "3:33: `[` is not a glob: `[` is not closed | write it like `src/**/*.py`; `*` stays within a name, `**` goes to any depth",
        ),
        (
            "watch = { paths = \"a\", debounce = \"2m\" }",
            "3:35: `watch.debounce` must be at most 1m | it is the quiet time after the last change; `200ms` is enough for most editors",
        ),
        (
            "watch = { paths = \"a\", action = \"reload\" }",
            "3:33: the process has no `reload` | add `reload = \"SIGHUP\"` or `reload = { command = \"…\" }` to the process",
        ),
        (
            "watch = { paths = \"a\", action = \"restrat\" }",
            "3:33: `restrat` is not an action | did you mean `restart`?",
        ),
        (
            "watch = { path = \"a\", ignore = \"b\" }",
            "3:11: unknown key `path` in `watch` of [process.p] | did you mean `paths`?",
        ),
    ]);
    let many = vec!["\"a\""; 257].join(", ");
    assert_eq!(
        said(&format!("[process.p]\ncommand = \"x\"\nwatch = [{many}]\n")),
        ["3:9: there are more than 256 globs here | use `**` and `{a,b}` to say more with less"]
    );
}

#[test]
fn what_is_wrong_with_a_schedule_is_told() {
    let form = "write minute, hour, day of the month, month and day of the week, such as `*/5 * * * *`, or `@hourly`";
    check(&[
        (
            "schedule = \"0 0 30 2 *\"",
            "3:12: `0 0 30 2 *` never comes due | no day of the next five years fits all its fields; 30 February is such a day",
        ),
        (
            "schedule = \"0 25 * * *\"",
            &format!(
                "3:12: `0 25 * * *` is not a schedule: `25` is no hour, which goes from 0 to 23 | {form}"
            ),
        ),
        (
            "schedule = { cron = \"every day\" }",
            &format!("3:21: `every day` is not a schedule: it has 2 fields instead of 5 | {form}"),
        ),
        (
            "schedule = { overlap = \"skip\" }",
            "3:12: `schedule` has no `cron` | say when: `cron = \"*/5 * * * *\"` is every five minutes",
        ),
        (
            "schedule = { cron = \"@daily\", overlap = \"skp\" }",
            "3:41: `skp` is not a way to overlap | did you mean `skip`?",
        ),
        ("schedule = 5", "3:12: `schedule` must be a string or a table, found an integer"),
        (
            "schedule = \"@daily\"\nrestart = \"always\"",
            "4:11: a process with a `schedule` cannot be restarted always | remove one of the two; with `restart = \"on-failure\"` only a failed run is repeated",
        ),
        ("cron = \"@daily\"", "3:1: unknown key `cron` in [process.p] | did you mean `schedule`?"),
    ]);
    assert_eq!(
        said(
            "[process.a]\ncommand = \"x\"\ndepends_on = { b = \"exited-ok\" }\n[process.b]\ncommand = \"x\"\nschedule = \"@daily\"\n"
        ),
        [
            "3:16: `b` runs by its schedule, so nobody can wait until it is `exited-ok` | remove this dependency, or the `schedule` of `b`"
        ]
    );
}

#[test]
fn what_is_wrong_with_groups_is_told() {
    let with = |group: &str| said(&format!("[process.api]\ncommand = \"x\"\n{group}\n"));
    assert_eq!(
        with("[group.web]\nprocesses = [\"apo\"]"),
        ["4:14: `web` has the member `apo`, which does not exist | did you mean `api`?"]
    );
    assert_eq!(
        with("[group.web]\nprocesses = [\"api\", \"database\"]"),
        ["4:21: `web` has the member `database`, which does not exist | there is `api`"]
    );
    assert_eq!(with("[group.web]\nprocesses = [\"api\", \"api\"]"), ["4:21: `api` is listed twice"]);
    assert_eq!(with("groups = [\"web\", \"web\"]"), ["3:18: `web` is listed twice"]);
    let taken = "`api` is a process, so a group cannot have this name | commands take both by their names; call the group otherwise";
    assert_eq!(with("[group.api]\nprocesses = [\"api\"]"), [format!("3:8: {taken}")]);
    assert_eq!(with("[group.api]\nprocesses = [\"x\"]").len(), 2);
    assert_eq!(with("groups = [\"api\"]"), [format!("3:11: {taken}")]);
    assert_eq!(
        with("[group.web]"),
        ["3:8: no process belongs to the group `web` | add `processes = [\"…\"]`, or remove the group"]
    );
    assert_eq!(
        with("[group.web]\nprocesses = [\"api\"]\nstop = \"reversed\""),
        ["5:8: `reversed` is not a stop strategy | did you mean `reverse`?"]
    );
    assert_eq!(
        with("[group.web]\nmembers = [\"api\"]"),
        ["4:1: unknown key `members` in [group.web] | did you mean `processes`?"]
    );
    assert_eq!(
        with("[group.\"a b\"]\nprocesses = [\"api\"]"),
        [
            "3:8: `a b` is not a name | use letters, digits, `-`, `_` and `.`, starting with a letter or digit, at most 64"
        ]
    );
    assert_eq!(
        with("depends_on = [\"web\"]\n[process.b]\ncommand = \"x\"\n[group.web]\nprocesses = [\"b\"]"),
        ["3:15: `api` depends on `web`, which is a group | name the processes of the group"]
    );
    assert_eq!(with("groups = \"web\""), ["3:10: `groups` must be a list, found a string"]);
    assert_eq!(
        with("[group.web]\nprocesses = [\"api\"]\n[group.web]"),
        ["5:8: group `web` is defined twice; first at line 3"]
    );
}

#[test]
fn a_process_that_is_wrong_itself_still_counts_as_a_member() {
    let text = "[process.api]\ncommand = 5\n[group.web]\nprocesses = [\"api\"]\n";
    assert_eq!(said(text).len(), 1, "{:?}", said(text));
    let text = "[process.api]\ncommand = \"x\"\ngroups = 5\n[group.web]\n";
    assert_eq!(said(text).len(), 1, "{:?}", said(text));
}

#[test]
fn globs_and_schedules_without_end_are_read_in_reasonable_time() {
    let globs = vec!["\"**/*a?[0-9]{b,c}*\""; 250].join(", ");
    let text: String = (0..150)
        .map(|n| {
            format!("[process.p{n}]\ncommand = \"x\"\nwatch = [{globs}]\nschedule = \"0 0 30 2 +MON\"\n")
        })
        .collect();
    // Every schedule is wrong, and every glob is read before that is known.
    assert_eq!(read(&text).unwrap_err().problems().len(), 50);
}

#[test]
fn a_thousand_wrong_members_do_not_flood() {
    let names: Vec<String> = (0..20_000).map(|n| format!("\"q{n}\"")).collect();
    let text = format!("[process.p]\ncommand = \"x\"\n[group.g]\nprocesses = [{}]\n", names.join(", "));
    assert!(error(&text).len() < 100_000);
}
