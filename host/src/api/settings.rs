//! The settings of a process in force, in the words of `ostler.toml`, defaults included. What is not set and has no
//! default is left out.

use std::time::Duration;

use super::inspect::Setting;
use super::mask;
use crate::config::{
    Check, Command, Condition, HealthLook, InheritEnv, Overlap, PortChoice, ProcessConfig, Reload,
    RestartWhen, Rlimit, RlimitValue, WatchAction,
};
use crate::mask::InForce;
use crate::model::signal_name;

/// Returns the settings in the order of the reference.
pub(super) fn of(config: &ProcessConfig, rules: &InForce) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut set = |key: &str, value: String| settings.push(Setting { key: key.to_owned(), value });
    set("shell", matches!(config.command, Command::Shell(_)).to_string());
    if !config.env_files.is_empty() {
        let file = |file: &crate::config::EnvFile| {
            format!("{}{}", file.path.display(), if file.optional { "?" } else { "" })
        };
        set("env_file", config.env_files.iter().map(file).collect::<Vec<_>>().join(", "));
    }
    set(
        "inherit_env",
        match &config.inherit_env {
            InheritEnv::All => "true".to_owned(),
            InheritEnv::None => "false".to_owned(),
            InheritEnv::Only(names) => names.join(", "),
        },
    );
    set("autostart", config.autostart.to_string());
    if !config.depends_on.is_empty() {
        let dependency = |dependency: &crate::config::DependsOn| {
            format!("{} {}", dependency.process, word(&Condition::WORDS, &dependency.condition))
        };
        set("depends_on", config.depends_on.iter().map(dependency).collect::<Vec<_>>().join(", "));
    }
    set("restart", restart(config));
    set(
        "ready",
        match &config.ready.check {
            Some(check) => format!("{}, timeout {:?}", check_text(check, rules), config.ready.timeout),
            None => "what plugins see in its output, or that it listens".to_owned(),
        },
    );
    if let Some(health) = &config.health {
        let look = match &health.look {
            HealthLook::Probe { check, every, timeout, delay } => {
                format!(
                    "{}, every {every:?}, timeout {timeout:?}, delay {}",
                    check_text(check, rules),
                    duration(*delay)
                )
            }
            HealthLook::Watchdog(every) => format!("watchdog {every:?}"),
        };
        let then = if health.restart { "restart" } else { "only shown" };
        set("health", format!("{look}, failures {}, then {then}", health.failures));
    }
    let first = match &config.stop.command {
        Some(command) => format!("command {}", mask::command(rules, command)),
        None => signal(config.stop.signal),
    };
    set("stop", format!("{first}, SIGKILL after {:?}", config.stop.grace));
    match &config.reload {
        Some(Reload::Signal(number)) => set("reload", signal(*number)),
        Some(Reload::Command(command)) => set("reload", mask::command(rules, command)),
        None => {}
    }
    if let Some(limits) = limits(config) {
        set("limits", limits);
    }
    set("pty", config.pty.to_string());
    match config.port {
        Some(PortChoice::Fixed(port)) => set("port", port.to_string()),
        Some(PortChoice::Auto) => set("port", "auto".to_owned()),
        None => {}
    }
    set("replicas", config.replicas.to_string());
    if let Some(watch) = &config.watch {
        let action = match watch.action {
            WatchAction::Restart => "restart".to_owned(),
            WatchAction::Reload => "reload".to_owned(),
            WatchAction::Signal(number) => signal(number),
        };
        let ignored =
            if watch.ignore.is_empty() { String::new() } else { format!(" but {}", watch.ignore.join(", ")) };
        set(
            "watch",
            format!("{}{ignored}, {:?} after a change: {action}", watch.globs.join(", "), watch.debounce),
        );
    }
    if let Some(schedule) = &config.schedule {
        set("schedule", format!("{}, overlap {}", schedule.cron, word(&Overlap::WORDS, &schedule.overlap)));
    }
    settings
}

fn restart(config: &ProcessConfig) -> String {
    let policy = &config.restart;
    let when = word(&RestartWhen::WORDS, &policy.when);
    match policy.when {
        RestartWhen::Never => when.to_owned(),
        RestartWhen::OnFailure | RestartWhen::Always => format!(
            "{when}, backoff {:?}..{:?} ±{} %, at most {} in {}",
            policy.backoff_first,
            policy.backoff_longest,
            policy.jitter_percent,
            policy.max,
            duration(policy.window),
        ),
    }
}

fn check_text(check: &Check, rules: &InForce) -> String {
    match check {
        Check::Log(pattern) => format!("log `{pattern}`"),
        Check::Tcp(address) => format!("tcp {address}"),
        Check::Http(http) => {
            let (low, high) = http.status;
            let body = http.body.as_ref().map(|body| format!(", body `{body}`")).unwrap_or_default();
            format!("http {}, status {low}..{high}{body}", mask::text(rules, http.url.as_str()))
        }
        Check::Exec(command) => format!("exec {}", mask::command(rules, command)),
        Check::Notify => "notify".to_owned(),
    }
}

fn limits(config: &ProcessConfig) -> Option<String> {
    let limits = &config.limits;
    let mut parts = Vec::new();
    parts.extend(limits.memory.map(|bytes| format!("memory {} MiB", bytes >> 20)));
    parts.extend(limits.cpu_millis.map(|millis| format!("cpu {}.{:03}", millis / 1000, millis % 1000)));
    parts.extend(limits.pids.map(|pids| format!("pids {pids}")));
    parts.extend(limits.rlimits.iter().map(|(limit, value)| {
        let name = word(&Rlimit::WORDS, limit);
        match value {
            RlimitValue::At(value) => format!("{name} {value}"),
            RlimitValue::Unlimited => format!("{name} unlimited"),
        }
    }));
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn signal(number: i32) -> String {
    signal_name(number).map_or_else(|| format!("signal {number}"), str::to_owned)
}

fn word<'w, T: PartialEq>(words: &[(&'w str, T)], wanted: &T) -> &'w str {
    words.iter().find(|(_, known)| known == wanted).map_or("?", |(word, _)| word)
}

/// Shows a duration as it is written in the configuration.
fn duration(duration: Duration) -> String {
    if duration.is_zero() { "0s".to_owned() } else { format!("{duration:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EnvFile, Health, HttpCheck, Limits, PortText, Ready, Schedule, Watch};

    fn shown(config: &ProcessConfig) -> String {
        let rules = crate::mask::RulesInForce::default().current();
        of(config, &rules).iter().map(|setting| format!("{} = {}\n", setting.key, setting.value)).collect()
    }

    #[test]
    fn defaults_are_told_too() {
        let config = ProcessConfig::new(Command::from_line("true").unwrap(), "/".into());
        insta::assert_snapshot!(shown(&config), @r"
        shell = false
        inherit_env = true
        autostart = true
        restart = on-failure, backoff 200ms..30s ±10 %, at most 5 in 60s
        ready = what plugins see in its output, or that it listens
        stop = SIGTERM, SIGKILL after 10s
        pty = false
        replicas = 1
        ");
    }

    #[test]
    fn everything_that_is_set_is_told() {
        let mut config = ProcessConfig::new(Command::from_line("true").unwrap(), "/".into());
        let http = |url: &str| {
            Check::Http(HttpCheck {
                url: PortText::new(url),
                status: (200, 299),
                body: Some("ok".to_owned()),
            })
        };
        config.env_files = vec![EnvFile { path: "/p/.env".into(), optional: true }];
        config.inherit_env = InheritEnv::Only(vec!["HOME".to_owned(), "PATH".to_owned()]);
        config.ready = Ready { check: Some(http("http://u:hunter2@h:${PORT}/")), ..Ready::default() };
        config.health = Some(Health {
            look: HealthLook::Probe {
                check: Check::Exec(Command::from_line("check --token hunter2").unwrap()),
                every: Duration::from_secs(10),
                timeout: Duration::from_secs(5),
                delay: Duration::ZERO,
            },
            failures: 3,
            restart: true,
        });
        config.reload = Some(Reload::Signal(1));
        config.limits = Limits {
            memory: Some(1 << 30),
            cpu_millis: Some(1500),
            pids: Some(512),
            rlimits: vec![(Rlimit::Nofile, RlimitValue::At(4096)), (Rlimit::Core, RlimitValue::Unlimited)],
        };
        config.port = Some(PortChoice::Auto);
        config.watch = Some(Watch {
            globs: vec!["src/**".to_owned()],
            ignore: vec!["*.tmp".to_owned()],
            ignore_files: true,
            debounce: Duration::from_millis(200),
            action: WatchAction::Signal(1),
        });
        config.schedule = Some(Schedule { cron: "@hourly".to_owned(), overlap: Overlap::Skip });
        insta::assert_snapshot!(shown(&config), @r"
        shell = false
        env_file = /p/.env?
        inherit_env = HOME, PATH
        autostart = true
        restart = on-failure, backoff 200ms..30s ±10 %, at most 5 in 60s
        ready = http http://u:****@h:${PORT}/, status 200..299, body `ok`, timeout 30s
        health = exec check --token ****, every 10s, timeout 5s, delay 0s, failures 3, then restart
        stop = SIGTERM, SIGKILL after 10s
        reload = SIGHUP
        limits = memory 1024 MiB, cpu 1.500, pids 512, nofile 4096, core unlimited
        pty = false
        port = auto
        replicas = 1
        watch = src/** but *.tmp, 200ms after a change: SIGHUP
        schedule = @hourly, overlap skip
        ");
    }
}
