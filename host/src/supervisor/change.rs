//! Pure decisions about configuration: what one replica of a process gets of it, and what a change asks for.
//!
//! Never touches a driver; `fleet` acts on what is decided here.

use std::path::PathBuf;

use crate::config::{Check, Command, EnvVars, HealthLook, PortChoice, ProcessConfig};

/// How a replica's number is written in the configuration. After a `$` it is the shell's, or a variable's.
const INDEX: &str = "{index}";

/// Returns what replica `number`, counted from 1, is started with: `{index}` replaced in the command, the working
/// directory and the values of variables, and a fixed port moved up by its place.
pub fn of_replica(config: &ProcessConfig, number: u32) -> ProcessConfig {
    let text = |text: &str| with_index(text, number);
    ProcessConfig {
        command: match &config.command {
            Command::Words(words) => Command::Words(words.iter().map(|word| text(word)).collect()),
            Command::Shell(script) => Command::Shell(text(script)),
        },
        cwd: match config.cwd.to_str() {
            Some(cwd) => PathBuf::from(text(cwd)),
            // What is not UTF-8 was not written in the configuration: it is the project's own directory.
            None => config.cwd.clone(),
        },
        env: EnvVars(config.env.0.iter().map(|(name, value)| (name.clone(), text(value))).collect()),
        port: config.port.map(|port| port_of(port, number)),
        ..config.clone()
    }
}

/// Returns whether every one of `replicas` has a port: a fixed one may be too high for the last of them.
pub fn has_ports_for(config: &ProcessConfig, replicas: u32) -> bool {
    match config.port {
        Some(PortChoice::Fixed(first)) => {
            u32::from(first) + replicas.saturating_sub(1) <= u32::from(u16::MAX)
        }
        Some(PortChoice::Auto) | None => true,
    }
}

/// One that would be too high stays as it is: that it is taken is told at the start.
fn port_of(port: PortChoice, number: u32) -> PortChoice {
    let PortChoice::Fixed(first) = port else { return port };
    let offset = u16::try_from(number.saturating_sub(1)).unwrap_or(u16::MAX);
    PortChoice::Fixed(first.checked_add(offset).unwrap_or(first))
}

fn with_index(text: &str, number: u32) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(INDEX) {
        done.push_str(&rest[..at]);
        if rest[..at].ends_with('$') {
            done.push_str(INDEX);
        } else {
            done.push_str(&number.to_string());
        }
        rest = &rest[at + INDEX.len()..];
    }
    done.push_str(rest);
    done
}

/// Returns whether a process that runs with `old` has to be restarted to run with `new`: what it was started with has
/// changed. All else — checks, policies, order — is the daemon's own business and takes effect at once.
pub fn needs_restart(old: &ProcessConfig, new: &ProcessConfig) -> bool {
    old.command != new.command
        || old.cwd != new.cwd
        || old.env != new.env
        || old.env_files != new.env_files
        || old.inherit_env != new.inherit_env
        || old.limits != new.limits
        || old.pty != new.pty
        || old.port != new.port
        || notify_socket(old) != notify_socket(new)
}

/// What a process is told of its notify socket, which is told by variables: whether there is one, and its watchdog.
fn notify_socket(config: &ProcessConfig) -> (bool, Option<std::time::Duration>) {
    let watchdog = match config.health.as_ref().map(|health| &health.look) {
        Some(HealthLook::Watchdog(every)) => Some(*every),
        _ => None,
    };
    (config.ready.check == Some(Check::Notify) || watchdog.is_some(), watchdog)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Condition, DependsOn, Health, InheritEnv, Reload, RestartWhen, Schedule};
    use crate::model::ProcessName;

    type Change = (&'static str, fn(&mut ProcessConfig));

    fn config() -> ProcessConfig {
        let words = ["serve", "--shard={index}", "${index}"].map(str::to_owned).to_vec();
        let mut config = ProcessConfig::new(Command::Words(words), "/srv/{index}".into());
        config.env.0.insert("NAME".to_owned(), "n{index}of{index}".to_owned());
        config.port = Some(PortChoice::Fixed(8000));
        config
    }

    #[test]
    fn each_replica_has_its_number_and_its_port() {
        let third = of_replica(&config(), 3);
        assert_eq!(
            third.command,
            Command::Words(vec!["serve".into(), "--shard=3".into(), "${index}".into()])
        );
        assert_eq!(third.cwd, PathBuf::from("/srv/3"));
        assert_eq!(third.env.0["NAME"], "n3of3");
        assert_eq!(third.port, Some(PortChoice::Fixed(8002)));
        assert_eq!(of_replica(&config(), 1).port, Some(PortChoice::Fixed(8000)));
    }

    #[test]
    fn a_shells_own_braces_are_left_alone() {
        let mut config = config();
        config.command = Command::Shell("echo ${index} {index}".into());
        assert_eq!(of_replica(&config, 2).command, Command::Shell("echo ${index} 2".into()));
    }

    #[test]
    fn ports_end_where_ports_end() {
        let mut config = config();
        config.port = Some(PortChoice::Fixed(65_535));
        assert!(has_ports_for(&config, 1));
        assert!(!has_ports_for(&config, 2));
        config.port = Some(PortChoice::Auto);
        assert!(has_ports_for(&config, 64));
    }

    #[test]
    fn what_a_process_was_started_with_makes_it_start_anew() {
        let changes: [Change; 8] = [
            ("command", |c| c.command = Command::Shell("serve".into())),
            ("cwd", |c| c.cwd = "/elsewhere".into()),
            ("env", |c| drop(c.env.0.insert("NAME".into(), "other".into()))),
            ("inherit_env", |c| c.inherit_env = InheritEnv::None),
            ("limits", |c| c.limits.pids = Some(5)),
            ("pty", |c| c.pty = true),
            ("port", |c| c.port = None),
            ("notify", |c| c.ready.check = Some(Check::Notify)),
        ];
        for (what, change) in changes {
            let mut changed = config();
            change(&mut changed);
            assert!(needs_restart(&config(), &changed), "{what}");
        }
    }

    #[test]
    fn what_only_the_daemon_goes_by_takes_effect_at_once() {
        let changes: [Change; 9] = [
            ("restart", |c| c.restart.when = RestartWhen::Never),
            ("ready", |c| c.ready.check = Some(Check::Log("up".into()))),
            ("ready timeout", |c| c.ready.timeout = Duration::from_secs(1)),
            ("stop", |c| c.stop.grace = Duration::from_secs(1)),
            ("reload", |c| c.reload = Some(Reload::Signal(1))),
            ("autostart", |c| c.autostart = false),
            ("depends_on", |c| {
                let process = ProcessName::new("db").unwrap();
                c.depends_on = vec![DependsOn { process, condition: Condition::Ready }];
            }),
            ("schedule", |c| {
                c.schedule = Some(Schedule { cron: "@hourly".into(), overlap: Default::default() });
            }),
            ("health", |c| {
                let look = HealthLook::Probe {
                    check: Check::Log("x".into()),
                    every: Duration::from_secs(1),
                    timeout: Duration::from_secs(1),
                    delay: Duration::ZERO,
                };
                c.health = Some(Health { look, failures: 3, restart: true });
            }),
        ];
        for (what, change) in changes {
            let mut changed = config();
            change(&mut changed);
            assert!(!needs_restart(&config(), &changed), "{what}");
        }
    }
}
