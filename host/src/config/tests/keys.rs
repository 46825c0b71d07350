//! What the keys about looking after a process mean: health, limits, ports, replicas, watch, schedule, groups.

use std::time::Duration;

use super::super::*;
use super::read;
use crate::model::ProcessName;

const SECOND: Duration = Duration::from_secs(1);

fn project(text: &str) -> Project {
    read(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Reads the process `p` with `command = "x"` and these lines.
fn process(lines: &str) -> ProcessConfig {
    let project = project(&format!("[process.p]\ncommand = \"x\"\n{lines}\n"));
    project.processes[&ProcessName::new("p").unwrap()].clone()
}

fn words(words: &[&str]) -> Command {
    Command::Words(words.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn nothing_is_looked_after_that_nobody_asked_for() {
    let process = process("");
    assert_eq!(process.inherit_env, InheritEnv::All);
    assert_eq!((process.health, process.reload, process.watch, process.schedule), (None, None, None, None));
    assert_eq!(process.limits, Limits::default());
    assert_eq!((process.pty, process.port, process.replicas), (false, None, 1));
    assert_eq!(process.restart.jitter_percent, 10);
}

#[test]
fn every_way_to_be_ready_is_read() {
    let check = |ready: &str| process(&format!("port = 8000\nready = {{ {ready} }}")).ready.check.unwrap();
    let http = |status, body: Option<&str>| {
        let url = PortText::new("http://127.0.0.1:${PORT}/up");
        Check::Http(HttpCheck { url, status, body: body.map(str::to_owned) })
    };
    let url = "http = \"http://127.0.0.1:${PORT}/up\"";
    assert_eq!(check(url), http((100, 399), None));
    assert_eq!(check(&format!("{url}, status = 204")), http((204, 204), None));
    assert_eq!(
        check(&format!("{url}, status = \"200..299\", body = 'o\\wk'")),
        http((200, 299), Some("o\\wk"))
    );
    assert_eq!(check(&format!("{url}, status = \"503\"")), http((503, 503), None));
    assert_eq!(check("tcp = \"[::1]:${PORT}\""), Check::Tcp(PortText::new("[::1]:${PORT}")));
    assert_eq!(check("exec = \"pg_isready -q\""), Check::Exec(words(&["pg_isready", "-q"])));
    assert_eq!(check("exec = [\"test\", \"-e\", \"a b\"]"), Check::Exec(words(&["test", "-e", "a b"])));
    assert_eq!(
        check("exec = [\"sh\", \"-c\", \"up ${PORT}\"]"),
        Check::Exec(words(&["sh", "-c", "up ${PORT}"]))
    );
    assert_eq!(check("notify = true"), Check::Notify);
    assert_eq!(process("ready = { notify = false }").ready.check, None);
    assert_eq!(check("notify = false, log = 'up'"), Check::Log("up".into()));
}

#[test]
fn health_is_probed_or_told() {
    let health = |lines: &str| process(&format!("health = {{ {lines} }}")).health.unwrap();
    let tcp = Check::Tcp(PortText::new("localhost:80"));
    let look = |check, every, timeout, delay| HealthLook::Probe { check, every, timeout, delay };
    assert_eq!(
        health("tcp = 80"),
        Health { look: look(tcp, 10 * SECOND, 5 * SECOND, Duration::ZERO), failures: 3, restart: true }
    );
    assert_eq!(
        health(
            "exec = \"check --quick\", every = \"2s\", timeout = \"100ms\", delay = \"1m\", failures = 1, \
             restart = false"
        ),
        Health {
            look: look(Check::Exec(words(&["check", "--quick"])), 2 * SECOND, SECOND / 10, 60 * SECOND),
            failures: 1,
            restart: false
        }
    );
    let HealthLook::Probe { check: Check::Http(http), .. } =
        health("http = \"http://h/up\", status = \"200..204\", body = 'fine'").look
    else {
        panic!("not HTTP")
    };
    assert_eq!((http.status, http.body.as_deref()), ((200, 204), Some("fine")));
    assert_eq!(
        health("watchdog = \"30s\""),
        Health { look: HealthLook::Watchdog(30 * SECOND), failures: 1, restart: true }
    );
    assert_eq!(health("watchdog = \"30s\", failures = 2").failures, 2);
}

#[test]
fn health_may_have_a_section_of_its_own() {
    let process = process("[process.p.health]\nexec = \"check\"\nevery = \"1m\"\n");
    assert!(matches!(process.health.unwrap().look, HealthLook::Probe { every, .. } if every == 60 * SECOND));
}

#[test]
fn stopping_and_reloading_take_signals_and_commands() {
    let stop = process("stop = { command = \"redis-cli shutdown\", grace = \"5s\" }").stop;
    assert_eq!(
        stop,
        StopPolicy { signal: 15, grace: 5 * SECOND, command: Some(words(&["redis-cli", "shutdown"])) }
    );
    assert_eq!(process("reload = \"HUP\"").reload, Some(Reload::Signal(1)));
    assert_eq!(process("reload = { signal = \"SIGUSR2\" }").reload, Some(Reload::Signal(12)));
    assert_eq!(
        process("reload = { command = [\"sh\", \"-c\", \"kill -HUP $MAINPID\"] }").reload,
        Some(Reload::Command(words(&["sh", "-c", "kill -HUP $MAINPID"])))
    );
}

#[test]
fn limits_are_read_in_their_units() {
    let limits = process(
        "[process.p.limits]\nmemory = \"1GiB\"\ncpu = 1.5\npids = 512\nnofile = 4096\ncore = \"unlimited\"\n\
         as = 4294967296\nnproc = \"unlimited\"\nstack = \"8MiB\"\ndata = \"2GB\"\nfsize = 0\nmemlock = \"64KiB\"\n\
         cpu-time = \"10m\"\n",
    )
    .limits;
    assert_eq!(
        limits,
        Limits {
            memory: Some(1 << 30),
            cpu_millis: Some(1500),
            pids: Some(512),
            rlimits: vec![
                (Rlimit::Nofile, RlimitValue::At(4096)),
                (Rlimit::Core, RlimitValue::Unlimited),
                (Rlimit::As, RlimitValue::At(1 << 32)),
                (Rlimit::Nproc, RlimitValue::Unlimited),
                (Rlimit::Stack, RlimitValue::At(8 << 20)),
                (Rlimit::Data, RlimitValue::At(2_000_000_000)),
                (Rlimit::Fsize, RlimitValue::At(0)),
                (Rlimit::Memlock, RlimitValue::At(64 << 10)),
                (Rlimit::CpuTime, RlimitValue::At(600)),
            ],
        }
    );
    assert_eq!(process("limits = { cpu = 2 }").limits.cpu_millis, Some(2000));
    assert_eq!(process("limits = { core = 0 }").limits.rlimits, [(Rlimit::Core, RlimitValue::At(0))]);
    assert_eq!(process("limits.cpu-time = 5").limits.rlimits, [(Rlimit::CpuTime, RlimitValue::At(5))]);
}

#[test]
fn every_rlimit_has_the_key_the_words_say() {
    for (key, resource) in Rlimit::WORDS {
        let rlimits = process(&format!("limits = {{ {key} = 16777216 }}")).limits.rlimits;
        assert_eq!(rlimits, [(resource, RlimitValue::At(16 << 20))], "{key}");
    }
}

#[test]
fn ports_and_replicas_are_read() {
    assert_eq!(process("port = 8000").port, Some(PortChoice::Fixed(8000)));
    assert_eq!(process("port = \"auto\"\nreplicas = 64").port, Some(PortChoice::Auto));
    assert_eq!(process("port = 65535").port, Some(PortChoice::Fixed(65535)));
    assert_eq!(process("port = 65533\nreplicas = 3").replicas, 3);
    assert!(process("pty = true").pty);
}

#[test]
fn the_port_may_stand_in_words_of_the_command() {
    let command =
        |text: &str| project(&format!("[process.p]\n{text}\n")).processes.into_values().next().unwrap();
    assert_eq!(
        command("command = \"serve --port ${PORT} {index}\"\nport = 1").command,
        words(&["serve", "--port", "${PORT}", "{index}"])
    );
    // Here it is a variable of the shell, which may come from anywhere.
    command("command = [\"sh\", \"-c\", \"serve ${PORT}\"]\nenv = { PORT = 80 }");
    command("command = \"bash -ec 'serve ${PORT}'\"");
    command("command = \"serve ${PORT}\"\nshell = true");
}

#[test]
fn the_environment_is_inherited_whole_or_by_name() {
    assert_eq!(process("inherit_env = true").inherit_env, InheritEnv::All);
    assert_eq!(process("inherit_env = false").inherit_env, InheritEnv::None);
    assert_eq!(
        process("inherit_env = [\"PATH\", \"HOME\"]").inherit_env,
        InheritEnv::Only(vec!["PATH".into(), "HOME".into()])
    );
    assert_eq!(process("inherit_env = []").inherit_env, InheritEnv::Only(Vec::new()));
}

#[test]
fn a_jitter_is_a_fraction() {
    let jitter = |text: &str| process(&format!("restart = {{ jitter = {text} }}")).restart.jitter_percent;
    assert_eq!([jitter("0"), jitter("0.255"), jitter("1"), jitter("1.0")], [0, 26, 100, 100]);
}

#[test]
fn files_are_watched_by_globs() {
    let defaults = Watch {
        globs: vec!["src/**/*.py".into()],
        ignore: Vec::new(),
        ignore_files: true,
        debounce: Duration::from_millis(200),
        action: WatchAction::Restart,
    };
    let watch = |text: &str| process(text).watch.unwrap();
    assert_eq!(watch("watch = \"src/**/*.py\""), defaults);
    assert_eq!(watch("watch = [\"./src/**/*.py\"]"), defaults);
    assert_eq!(watch("watch = { paths = \"src/**/*.py\", ignore = [] }"), defaults);
    assert_eq!(
        watch(
            "reload = \"HUP\"\nwatch = { paths = [\"a\", \"*.{js,ts}\"], ignore = \"dist/**\", ignore_files = false, \
             debounce = \"1s\", action = \"reload\" }"
        ),
        Watch {
            globs: vec!["a".into(), "*.{js,ts}".into()],
            ignore: vec!["dist/**".into()],
            ignore_files: false,
            debounce: SECOND,
            action: WatchAction::Reload,
        }
    );
    let action = |word: &str| watch(&format!("watch = {{ paths = \"a\", action = \"{word}\" }}")).action;
    assert_eq!(action("restart"), WatchAction::Restart);
    assert_eq!(action("SIGHUP"), WatchAction::Signal(1));
}

#[test]
fn a_scheduled_process_runs_by_the_clock_alone_unless_told_otherwise() {
    let nightly = process("schedule = \"30 4 * * *\"");
    assert_eq!(nightly.schedule, Some(Schedule { cron: "30 4 * * *".into(), overlap: Overlap::Skip }));
    assert!(!nightly.autostart);
    assert_eq!(nightly.restart.when, RestartWhen::Never);
    let other = process(
        "schedule = { cron = \"@hourly\", overlap = \"replace\" }\nautostart = true\nrestart = \"on-failure\"",
    );
    assert_eq!(other.schedule, Some(Schedule { cron: "@hourly".into(), overlap: Overlap::Replace }));
    assert!(other.autostart);
    assert_eq!(other.restart.when, RestartWhen::OnFailure);
    // Details of a policy are not a policy.
    let details = process("schedule = \"@daily\"\nrestart = { max = 3 }");
    assert_eq!((details.restart.when, details.restart.max), (RestartWhen::Never, 3));
}

#[test]
fn groups_are_named_from_either_side() {
    let groups = project(
        "[process.a]\ncommand = \"x\"\ngroups = [\"web\", \"all\"]\n\
         [process.b]\ncommand = \"x\"\ngroups = [\"web\"]\n\
         [process.c]\ncommand = \"x\"\n\
         [group.web]\nprocesses = [\"c\", \"b\"]\nstart_delay = \"2s\"\nstop = \"parallel\"\n\
         [group.rest]\nprocesses = [\"a\"]\nstop = \"sequential\"\n",
    )
    .groups;
    let members = |group: &str| groups[group].members.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(groups.keys().collect::<Vec<_>>(), ["all", "rest", "web"]);
    // Those the group lists come first, in its order.
    assert_eq!(members("web"), ["c", "b", "a"]);
    assert_eq!((groups["web"].start_delay, groups["web"].stop), (2 * SECOND, StopStrategy::Parallel));
    assert_eq!((members("rest"), groups["rest"].stop), (vec!["a".to_owned()], StopStrategy::Sequential));
    assert_eq!(groups["all"], Group { members: vec![ProcessName::new("a").unwrap()], ..Group::default() });
}

#[test]
fn groups_of_all_sizes_are_read_in_reasonable_time() {
    let mut text: String = (0..10_000)
        .map(|n| format!("[process.p{n}]\ncommand = \"x\"\ngroups = [\"all\", \"g{n}\"]\n"))
        .collect();
    let names: Vec<String> = (0..10_000).map(|n| format!("\"p{n}\"")).collect();
    text.push_str(&format!("[group.all]\nprocesses = [{}]\n", names.join(", ")));
    let groups = project(&text).groups;
    assert_eq!((groups.len(), groups["all"].members.len()), (10_001, 10_000));
}

#[test]
fn log_is_kept_by_size_by_age_and_by_process() {
    let keep = project("[process.api]\ncommand = \"x\"\n").keep_logs;
    assert_eq!((keep.bytes, keep.age, keep.of.len()), (2 << 30, Some(SECOND * 14 * 86_400), 0));
    let keep = project(
        "[logs]\nkeep = \"1GiB\"\nkeep_for = \"2d\"\n[process.api]\ncommand = \"x\"\nlogs = { keep = \"200MiB\" }\n",
    )
    .keep_logs;
    assert_eq!((keep.bytes, keep.age), (1 << 30, Some(SECOND * 2 * 86_400)));
    assert_eq!(keep.of[&ProcessName::new("api").unwrap()], 200 << 20);
    assert_eq!(project("[logs]\nkeep_for = \"forever\"\n").keep_logs.age, None);
    let refused = |text: &str| read(text).unwrap_err().to_string();
    assert!(refused("[logs]\nkeep = \"64MiB\"\n").contains("`logs.keep` must be at least 128 MiB"));
    assert!(refused("[logs]\nkeep = -1\n").contains("at least 128 MiB"));
    assert!(refused("[logs]\nkeep_for = \"5m\"\n").contains("at least 1h, found `5m`"));
    assert!(refused("[logs]\nkeep_for = \"14 days\"\n").contains("is not a duration"));
    assert!(
        refused("[process.a]\ncommand = \"x\"\nlogs = { keep = 5 }\n").contains("must be at least 1 MiB")
    );
}
