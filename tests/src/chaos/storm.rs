//! The storm: chance decides what is done to the processes of a project, and everything done is written down.
//!
//! Owns the deeds. What should have become of them is the reckoning's business.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::census::{self, Member, Role, members};
use super::chance::Chance;
use super::ledger::{self, Token};
use super::reckoning::Deeds;
use crate::disk::{Disk, Filler};
use crate::project::{Project, eventually};

/// All processes there ever are.
pub const NAMES: [&str; 8] = ["anna", "bert", "carl", "dora", "emil", "fred", "gina", "hans"];
/// Free space below which shims drop output; see `SPOOL_MIN_FREE_BYTES`.
const LITTLE_ROOM: u64 = 100 << 20;
/// Most lines that a child is told to print at once.
const FLOOD: u64 = 6000;

/// What is configured at the moment.
#[derive(Debug, Clone, Copy)]
struct Config {
    has_gina: bool,
    /// What `hans` is started with: a word that means nothing.
    version: u32,
}

/// A project and what is done to it. See the module.
pub struct Storm<'p> {
    pub project: &'p Project,
    disk: Option<&'p Disk>,
    chance: Chance,
    begun: Instant,
    teller: String,
    /// The children's records are in here.
    pub ledgers: PathBuf,
    pub deeds: Deeds,
    /// The directories in which runs have cgroups: with them, what leaves its session is held together with its run.
    pub cgroups: BTreeSet<PathBuf>,
    config: Config,
    filler: Option<Filler>,
    log: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum Deed {
    Look,
    KillDaemon,
    KillChild,
    KillShim,
    KillShimAndDaemon,
    Exit,
    Flood,
    FreezeChild,
    FreezeDaemon,
    Command,
    CommandInterrupted,
    Configure,
    BreakConfig,
    Fill,
}

impl<'p> Storm<'p> {
    /// Makes the processes of `project`, whose state is on `disk` if on any of its own.
    pub fn new(project: &'p Project, disk: Option<&'p Disk>, teller: &str, seed: u64) -> Self {
        let ledgers = project.dir().join("ledgers");
        fs::create_dir(&ledgers).expect("a directory in a new one");
        let deeds = Deeds { deaf: ["fred".to_owned()].into(), ..Deeds::default() };
        let storm = Self {
            project,
            disk,
            chance: Chance::new(seed),
            begun: Instant::now(),
            teller: teller.to_owned(),
            ledgers,
            deeds,
            cgroups: BTreeSet::new(),
            config: Config { has_gina: false, version: 0 },
            filler: None,
            log: Vec::new(),
        };
        storm.configure();
        storm
    }

    /// Does harm until time is over, and leaves the daemon alone for the last fifth of it, so that what one daemon
    /// has gathered can be looked at. Afterwards nothing is frozen, full or broken, and a daemon runs.
    pub fn rage(&mut self, time: Duration) {
        let (begun, spare) = (Instant::now(), time.mul_f64(0.8));
        while begun.elapsed() < time {
            let spares_daemon = begun.elapsed() >= spare;
            let deed = self.choose(spares_daemon);
            self.act(deed, spares_daemon);
            self.expect_no_doubles();
            let pause = self.chance.millis(60);
            thread::sleep(pause);
        }
        self.make_room();
        self.note("the storm is over");
    }

    fn choose(&mut self, spares_daemon: bool) -> Deed {
        let daemon = u64::from(!spares_daemon);
        let disk = u64::from(self.disk.is_some());
        self.chance.weighted(&[
            (8, Deed::Look),
            (6 * daemon, Deed::KillDaemon),
            (8, Deed::KillChild),
            (4, Deed::KillShim),
            (2 * daemon, Deed::KillShimAndDaemon),
            (8, Deed::Exit),
            (6, Deed::Flood),
            (3, Deed::FreezeChild),
            (3, Deed::FreezeDaemon),
            (4, Deed::Command),
            (4 * daemon, Deed::CommandInterrupted),
            (3, Deed::Configure),
            (daemon, Deed::BreakConfig),
            (3 * disk, Deed::Fill),
        ])
    }

    fn act(&mut self, deed: Deed, spares_daemon: bool) {
        match deed {
            Deed::Look => self.look(),
            Deed::KillDaemon => self.kill_daemon(),
            Deed::KillChild => self.kill_child(),
            Deed::KillShim => self.kill_shim(),
            Deed::KillShimAndDaemon if self.chance.below(2) == 0 => {
                self.kill_daemon();
                self.kill_shim();
            }
            Deed::KillShimAndDaemon => {
                self.kill_shim();
                self.kill_daemon();
            }
            Deed::Exit => self.exit(),
            Deed::Flood => self.flood(),
            Deed::FreezeChild => self.freeze_child(),
            Deed::FreezeDaemon => self.freeze_daemon(),
            Deed::Command => self.command(),
            Deed::CommandInterrupted => self.command_interrupted(),
            Deed::Configure => self.change_config(),
            Deed::BreakConfig => self.break_config(),
            // Who is spared needs room to start.
            Deed::Fill if self.filler.is_some() || spares_daemon => self.make_room(),
            Deed::Fill => self.fill(),
        }
    }

    // ---- deeds ----

    /// Any command starts a daemon when there is none.
    fn look(&mut self) {
        let finished = self.project.run(&["ps", "--json"]);
        self.note(&format!("ps: {:?}", finished.code));
        // On a full disk no daemon may be able to start.
        assert!(finished.code == Some(0) || self.filler.is_some(), "{finished:?}");
    }

    /// Kills the daemon, when there is one.
    pub fn kill_daemon(&mut self) {
        for daemon in self.daemons() {
            let killed = census::signal(daemon.token, libc::SIGKILL);
            self.note(&format!("killed daemon {}: {killed}", daemon.token));
        }
    }

    fn kill_child(&mut self) {
        let Some((name, child)) = self.some_child() else { return };
        self.deeds.killed.insert(child);
        let killed = census::signal(child, libc::SIGKILL);
        self.note(&format!("killed {name} {child}: {killed}"));
    }

    fn kill_shim(&mut self) {
        let Some((name, child)) = self.some_child() else { return };
        // Without its shim and a cgroup nobody knows of a descendant that has left its session.
        if name == "bert" && self.cgroups.is_empty() {
            return;
        }
        let Some(shim) = census::parent_of(child.pid).and_then(Token::of) else { return };
        if !members(self.project).iter().any(|member| member.token == shim && member.role == Role::Shim) {
            return;
        }
        self.deeds.bereaved.insert(child);
        let killed = census::signal(shim, libc::SIGKILL);
        self.note(&format!("killed the shim of {name} {child}: {killed}"));
    }

    fn exit(&mut self) {
        let Some((name, child)) = self.some_child() else { return };
        let code = u32::try_from(self.chance.below(60)).unwrap_or(0);
        let sent = census::order(child, libc::SIGRTMIN(), code);
        self.note(&format!("told {name} {child} to exit with {code}: {sent}"));
    }

    fn flood(&mut self) {
        let Some((name, child)) = self.some_child() else { return };
        let lines = u32::try_from(1 + self.chance.below(FLOOD)).unwrap_or(1);
        let sent = census::order(child, libc::SIGRTMIN() + 1, lines);
        self.note(&format!("told {name} {child} to print {lines} lines: {sent}"));
    }

    fn freeze_child(&mut self) {
        let Some((name, child)) = self.some_child() else { return };
        census::signal(child, libc::SIGSTOP);
        self.note(&format!("froze {name} {child}"));
        self.small_deeds();
        census::signal(child, libc::SIGCONT);
        self.note(&format!("thawed {name} {child}"));
    }

    fn freeze_daemon(&mut self) {
        let Some(daemon) = self.daemons().into_iter().next() else { return };
        census::signal(daemon.token, libc::SIGSTOP);
        self.note(&format!("froze daemon {}", daemon.token));
        self.small_deeds();
        census::signal(daemon.token, libc::SIGCONT);
        self.note(&format!("thawed daemon {}", daemon.token));
    }

    /// What can be done without a daemon.
    fn small_deeds(&mut self) {
        for _ in 0..self.chance.below(4) {
            match self.chance.below(4) {
                0 => self.kill_child(),
                1 => self.kill_shim(),
                2 => self.exit(),
                _ => self.flood(),
            }
            let pause = self.chance.millis(150);
            thread::sleep(pause);
        }
    }

    fn command(&mut self) {
        let args = self.some_command();
        let finished = self.project.run(&args);
        self.note(&format!("{}: {:?} {}", finished.line, finished.code, finished.stderr.trim()));
        // A child that is killed while it starts is a reason to fail, and so is a full disk; a daemon that dies is not.
        assert!(matches!(finished.code, Some(0 | 1)) || self.filler.is_some(), "{finished:?}");
    }

    fn command_interrupted(&mut self) {
        let args = self.some_command();
        let mut command = self.project.begin(&args).expect("a command can be started");
        let pause = self.chance.millis(40);
        thread::sleep(pause);
        self.kill_daemon();
        let line = format!("ostler {}", args.join(" "));
        let status = eventually(&line, || match command.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it runs on".to_owned()),
            Err(error) => Err(error.to_string()),
        });
        self.note(&format!("{line}, while the daemon was killed: {:?}", status.code()));
    }

    fn some_command(&mut self) -> Vec<&'static str> {
        let name = self.chance.pick(&NAMES[..6]);
        match self.chance.below(5) {
            0 => vec!["up", "-d"],
            1 => vec!["stop", name],
            2 => vec!["start", name],
            _ => vec!["restart", name],
        }
    }

    fn change_config(&mut self) {
        match self.chance.below(2) {
            0 => self.config.has_gina = !self.config.has_gina,
            _ => self.config.version += 1,
        }
        self.configure();
        self.note(&format!("configured {:?}", self.config));
    }

    /// A daemon must not start with a broken file, and what runs must not suffer from it.
    fn break_config(&mut self) {
        fs::write(self.project.dir().join("ostler.toml"), "[process.anna]\ncommand = \n").expect("a file");
        self.note("broke the configuration");
        self.kill_daemon();
        let gone = |storm: &Self| storm.daemons().is_empty();
        eventually("the daemon is gone", || if gone(self) { Ok(()) } else { Err(String::new()) });
        self.small_deeds();
        let refused = self.project.run(&["ps"]);
        self.note(&format!("ps: {:?}", refused.code));
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("ostler.toml:2"), "{refused:?}");
        self.configure();
        self.note("mended the configuration");
    }

    fn fill(&mut self) {
        let Some(disk) = self.disk else { return };
        let mut filler = disk.filler();
        if self.chance.below(2) == 0 {
            let left = filler.leave(LITTLE_ROOM);
            self.note(&format!("left {LITTLE_ROOM} bytes of the disk: {left:?}"));
        } else {
            filler.grow();
            self.note("filled the disk");
        }
        self.filler = Some(filler);
    }

    fn make_room(&mut self) {
        if self.filler.take().is_some() {
            self.note("made room on the disk");
        }
    }

    // ---- what there is ----

    /// Writes the configuration as it should be.
    fn configure(&self) {
        let path = self.project.dir().join("ostler.toml");
        let written = path.with_extension("new");
        fs::write(&written, self.config_text()).expect("a file in the project");
        fs::rename(written, path).expect("a file in the project");
    }

    fn config_text(&self) -> String {
        let always =
            "restart = { policy = \"always\", backoff = \"10ms..50ms\", max = 100000, window = \"1s\" }\n";
        let on_failure = "restart = { policy = \"on-failure\", backoff = \"10ms..50ms\", max = 100000, window = \"1s\" }\n";
        let table = |name: &str, options: &str, pace: u32, settings: &str| {
            let ledgers = self.ledgers.display();
            format!(
                "[process.{name}]\ncommand = \"{} {options} {ledgers} {name} {pace}\"\n{settings}\n",
                self.teller
            )
        };
        let version = format!("--as v{}", self.config.version);
        let mut text = [
            table("anna", "", 5, always),
            table("bert", "--brood", 20, &format!("{always}stop = {{ grace = \"200ms\" }}\n")),
            table("carl", "", 3, on_failure),
            table("dora", "", 10, "restart = \"never\"\n"),
            table(
                "emil",
                "--notify",
                10,
                &format!("{always}ready = {{ notify = true, timeout = \"80s\" }}\n"),
            ),
            table("fred", "--deaf", 10, &format!("{always}stop = {{ grace = \"200ms\" }}\n")),
            table("hans", &version, 10, &format!("{always}depends_on = {{ anna = \"started\" }}\n")),
        ]
        .concat();
        if self.config.has_gina {
            text.push_str(&table("gina", "", 10, always));
        }
        text
    }

    /// Returns the processes that are configured.
    pub fn configured(&self) -> Vec<&'static str> {
        NAMES.into_iter().filter(|name| *name != "gina" || self.config.has_gina).collect()
    }

    fn some_child(&mut self) -> Option<(&'static str, Token)> {
        let name = self.chance.pick(&NAMES);
        let child = ledger::living(&self.ledgers, name).pop_last();
        child.map(|child| (*NAMES.iter().find(|other| **other == name).unwrap_or(&NAMES[0]), child))
    }

    /// Returns the daemons; more than one is too many.
    pub fn daemons(&self) -> Vec<Member> {
        members(self.project).into_iter().filter(|member| member.role == Role::Daemon).collect()
    }

    /// Asserts that no process is there twice. Who is being killed may be seen once more, but not for long.
    fn expect_no_doubles(&self) {
        for name in NAMES {
            let seen = ledger::living(&self.ledgers, name);
            if seen.len() > 1 {
                let what = format!("of {name} there is one");
                eventually(&what, || match seen.iter().filter(|token| census::lives(**token)).count() {
                    0 | 1 => Ok(()),
                    _ => Err(format!("{seen:?}")),
                });
            }
        }
    }

    // ---- the log ----

    /// Writes down what was done.
    pub fn note(&mut self, what: &str) {
        self.log.push(format!("{:>8.3} {what}", self.begun.elapsed().as_secs_f64()));
    }
}

impl Drop for Storm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("what was done, with seconds since the beginning:\n{}", self.log.join("\n"));
        }
    }
}
