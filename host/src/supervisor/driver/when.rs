//! What happens to a process besides starting and stopping: signals, reloads, runs that are made once, files that
//! change, and the clock.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::acts::{Actor, Begun};
use super::{ActiveRun, Driver, Event, Life, Phase, StartReply};
use crate::config::{
    Command, Overlap, ProcessConfig, Reload, RestartPolicy, RestartWhen, Schedule, Watch, WatchAction,
};
use crate::model::{Level, RunId, Time, signal_name};
use crate::shim::control::{Request, Scope};
use crate::supervisor::adopt::ONCE;
use crate::supervisor::commands::{self, Errand, ErrandError};
use crate::supervisor::handle::{ReloadError, Reloaded, SignalError, StartError};
use crate::supervisor::link::ShimGone;
use crate::supervisor::schedule::{self, Tick, Timetable};
use crate::supervisor::snapshot::State;
use crate::supervisor::watch::{self, Changes, LoopGuard, Sight};
use crate::supervisor::{Remark, RunEvent, launch};

/// Why a run was started because files changed, in the catalogue; what changed follows.
const WATCH: &str = "watch: ";
/// Why a run was started by the clock, in the catalogue.
const SCHEDULE: &str = "schedule";
/// Time for a reload command.
const RELOAD: Duration = Duration::from_secs(30);

/// Called with how many processes a signal reached.
pub(super) type OnSignalled = Box<dyn FnOnce(Result<u32, SignalError>) + Send + Sync>;
type ReloadReply = oneshot::Sender<Result<Reloaded, ReloadError>>;

/// Returns a listener for signals that nobody asks after.
pub(super) fn nobody() -> OnSignalled {
    Box::new(|_| {})
}

/// What starts a process besides people and its policy.
#[derive(Default)]
pub(super) struct When {
    watch: Option<(Watch, Task)>,
    schedule: Option<(Schedule, Task)>,
    guard: LoopGuard,
    /// When a change has last led to something.
    acted: Time,
    /// Why changes are passed over until somebody starts the process by hand.
    paused: Option<String>,
    /// Why changes are not seen.
    trouble: Option<String>,
    /// The schedule starts nothing, because the user has stopped the process.
    suspended: bool,
    next: Option<Time>,
    /// A start that one of the two has led to, until it is known how it went.
    pub(super) act: Option<Begun>,
}

/// A task that ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A command that has ended, and what it was run for.
pub(super) enum Ended {
    Reload(Result<(), ErrandError>),
    Stop(Result<(), ErrandError>),
}

/// Returns the configuration of a run of `words` that is made once.
pub(super) fn once(config: &ProcessConfig, words: Vec<String>) -> Arc<ProcessConfig> {
    let mut config = config.clone();
    config.command = Command::Words(words);
    config.restart = RestartPolicy { when: RestartWhen::Never, ..config.restart };
    Arc::new(config)
}

/// Returns the words of `command` with `arguments` behind them. A script gets them as `$1` and so on, if it has a
/// use for them.
fn with_arguments(command: &Command, name: &str, arguments: Vec<String>) -> Result<Vec<String>, String> {
    let mut words = launch::words_of(command);
    if let (Command::Shell(script), false) = (command, arguments.is_empty()) {
        if !["$@", "$*", "$1", "${1"].iter().any(|parameter| script.contains(parameter)) {
            return Err(
                "its command is a shell script that takes no arguments; write \"$@\" in it where they \
                        are to stand"
                    .to_owned(),
            );
        }
        words.push(name.to_owned());
    }
    words.extend(arguments);
    Ok(words)
}

impl ActiveRun {
    /// Sends a signal through the shim. Every signal goes this way, because answers come in the order of requests.
    pub(super) fn signal(
        &mut self,
        signal: i32,
        scope: Scope,
        on_signalled: OnSignalled,
    ) -> Result<(), ShimGone> {
        self.link.send(Request::Signal { signal, scope })?;
        self.signalled.push_back(on_signalled);
        Ok(())
    }
}

impl Driver {
    /// Returns the configuration of the present run, or of the next.
    pub(super) fn run_config(&self) -> &Arc<ProcessConfig> {
        self.once.as_ref().unwrap_or(&self.config)
    }

    /// Watches and waits for what the configuration names now, and for nothing else. To be called whenever it has
    /// changed.
    pub(super) fn follow_config(&mut self) {
        let config = Arc::clone(&self.config);
        if self.when.watch.as_ref().map(|(watch, _)| watch) != config.watch.as_ref() {
            (self.when.trouble, self.when.paused) = (None, None);
            self.when.watch = config.watch.clone().map(|watch| {
                let inner = self.inner.clone();
                let report = move |sight| drop(inner.send(Event::Sight(sight)));
                let watching = watch::follow(self.context.project_dir.clone(), watch.clone(), report);
                (watch, Task(tokio::spawn(watching)))
            });
            self.publish_trouble();
        }
        if self.when.schedule.as_ref().map(|(schedule, _)| schedule) != config.schedule.as_ref() {
            self.when.next = None;
            self.when.schedule = config.schedule.clone().and_then(|schedule| self.wait_for(schedule));
            self.publish_next();
        }
    }

    fn wait_for(&self, schedule: Schedule) -> Option<(Schedule, Task)> {
        let timetable = match Timetable::new(&schedule.cron, TimeZone::system(), Timestamp::now()) {
            Ok(timetable) => timetable,
            // The loader has refused such.
            Err(problem) => {
                warn!(process = %self.name, problem, "cannot read a schedule");
                return None;
            }
        };
        let inner = self.inner.clone();
        let report = move |tick| drop(inner.send(Event::Tick(tick)));
        Some((schedule, Task(tokio::spawn(schedule::follow(timetable, Timestamp::now, report)))))
    }

    /// Adds a line of Ostler's own to the log of a run.
    pub(super) fn remark(&self, run: RunId, level: Level, text: String) {
        info!(process = %self.name, %run, text, "remark");
        let remark = Remark { run, process: self.name.clone(), time: Time::now(), level, text };
        let _ = self.context.events.send(RunEvent::Remark(remark));
    }

    /// Says in the log of a run that has just begun what has changed, if that is why.
    pub(super) fn tell_reason(&self, run: RunId, reason: &str) {
        if let Some(what) = reason.strip_prefix(WATCH) {
            self.remark(run, Level::Info, format!("restarted: {what}"));
        }
    }

    // ---- signals ----

    pub(super) fn signal(
        &mut self,
        signal: i32,
        scope: Scope,
        reply: oneshot::Sender<Result<u32, SignalError>>,
    ) {
        let Some(active) = self.living() else {
            let _ = reply.send(Err(SignalError::NotRunning));
            return;
        };
        // Without a shim the answer is dropped, and with it who waits is told that nothing runs.
        let _ = active.signal(signal, scope, Box::new(move |reached| drop(reply.send(reached))));
    }

    /// Passes on what became of the oldest signal that nobody has heard of yet.
    pub(super) fn signalled(&mut self, reached: u32, errno: i32) {
        let Life::Up(active) = &mut self.life else { return };
        let Some(answer) = active.signalled.pop_front() else { return };
        answer(match (reached, errno) {
            (0, 0 | libc::ESRCH) => Err(SignalError::NotRunning),
            (0, errno) => Err(SignalError::Refused(io::Error::from_raw_os_error(errno).to_string())),
            (reached, _) => Ok(reached),
        });
    }

    /// Returns the run whose child has been started; its descendants at least may live.
    fn living(&mut self) -> Option<&mut ActiveRun> {
        match &mut self.life {
            Life::Up(active) if active.pid.is_some() => Some(active),
            _ => None,
        }
    }

    // ---- reload, and the stop command ----

    pub(super) fn reload(&mut self, reply: ReloadReply) {
        let answer = move |result| drop(reply.send(result));
        let Some(reload) = self.config.reload.clone() else { return answer(Err(ReloadError::NotConfigured)) };
        let Some(active) = self.living().filter(|active| active.exit.is_none()) else {
            return answer(Err(SignalError::NotRunning.into()));
        };
        match reload {
            Reload::Signal(signal) => {
                let answer: OnSignalled = Box::new(move |reached| {
                    answer(reached.map(|_| Reloaded::Signalled(signal)).map_err(ReloadError::from));
                });
                // Without a shim the answer is dropped, and with it who waits is told that nothing runs.
                let _ = active.signal(signal, Scope::Main, answer);
            }
            Reload::Command(_) if active.reloading => answer(Err(ReloadError::Busy)),
            Reload::Command(command) => {
                active.reloading = true;
                let (run, main_pid) = (active.run, active.pid);
                let (inner, tell) = (self.inner.clone(), self.teller(run, "reload"));
                let errand = self.errand(command, main_pid, RELOAD);
                tokio::spawn(async move {
                    let ended = commands::run(errand, tell).await;
                    answer(
                        ended
                            .clone()
                            .map(|()| Reloaded::Ran)
                            .map_err(|e| ReloadError::Command(e.to_string())),
                    );
                    let _ = inner.send(Event::CommandEnded(run, Ended::Reload(ended)));
                });
            }
        }
    }

    /// Runs the stop command in place of the stop signal. The grace runs meanwhile.
    pub(super) fn run_stop_command(&mut self) {
        let stop = self.config.stop.clone();
        let (Some(command), Life::Up(active)) = (stop.command, &self.life) else { return };
        let (run, main_pid) = (active.run, active.pid);
        let (inner, tell) = (self.inner.clone(), self.teller(run, "stop"));
        let errand = self.errand(command, main_pid, stop.grace);
        tokio::spawn(async move {
            let ended = commands::run(errand, tell).await;
            let _ = inner.send(Event::CommandEnded(run, Ended::Stop(ended)));
        });
    }

    pub(super) fn command_ended(&mut self, run: RunId, ended: Ended) {
        match ended {
            Ended::Reload(result) => {
                if let Some(active) = self.active(run) {
                    active.reloading = false;
                }
                match result {
                    Ok(()) => self.remark(run, Level::Info, "reloaded".to_owned()),
                    Err(error) => self.remark(run, Level::Warn, format!("its reload command {error}")),
                }
            }
            Ended::Stop(Ok(())) => {}
            Ended::Stop(Err(error)) => {
                let signal = self.config.stop.signal;
                self.remark(run, Level::Warn, format!("its stop command {error}; it gets the stop signal"));
                if let Some(active) = self.active(run) {
                    // What has ended meanwhile needs none.
                    let _ = active.signal(signal, Scope::Group, nobody());
                }
            }
        }
    }

    fn errand(&self, command: Command, main_pid: Option<u32>, limit: Duration) -> Errand {
        let config = Arc::clone(self.run_config());
        let own = launch::own_variables(&self.context, &self.name, self.snapshots.borrow().port);
        Errand { command, own, config, main_pid, limit }
    }

    /// Returns what puts the output of a command into the log.
    fn teller(&self, run: RunId, what: &'static str) -> impl Fn(String) + Send + use<> {
        let (events, process) = (self.context.events.clone(), self.name.clone());
        move |line| {
            let text = format!("{what}: {line}");
            let (process, time) = (process.clone(), Time::now());
            let remark = Remark { run, process, time, level: Level::Unknown, text };
            let _ = events.send(RunEvent::Remark(remark));
        }
    }

    // ---- once ----

    pub(super) async fn run_once(&mut self, arguments: Vec<String>, reply: StartReply) {
        if !matches!(self.life, Life::Down) {
            let _ = reply.send(Err(StartError::Running));
            return;
        }
        match with_arguments(&self.config.command, self.name.as_str(), arguments) {
            Ok(words) => {
                // Nobody wants it up afterwards, whatever was wanted before.
                self.want(false).await;
                self.once = Some(once(&self.config, words));
                self.history.clear();
                self.publish(|snapshot| snapshot.restarts = 0);
                self.launch(ONCE, vec![reply]).await;
            }
            Err(why) => drop(reply.send(Err(StartError::Arguments(why)))),
        }
    }

    // ---- files that change ----

    pub(super) async fn saw(&mut self, sight: Sight) {
        match sight {
            Sight::Trouble(trouble) => {
                if let Some(trouble) = &trouble {
                    warn!(process = %self.name, trouble, "cannot watch files");
                }
                self.when.trouble = trouble;
                self.publish_trouble();
            }
            Sight::Changed(changes) => self.files_changed(&changes).await,
        }
    }

    async fn files_changed(&mut self, changes: &Changes) {
        let Some(action) = self.config.watch.as_ref().map(|watch| watch.action) else { return };
        // A run that is made once is not made again, and one that is on its way sees the files as they are now.
        if self.when.paused.is_some() || self.once.is_some() || self.is_stopping() {
            return;
        }
        if let Some(run) = self.living().map(|active| active.run)
            && let Some(file) = self.goes_round(action, changes)
        {
            let why = LoopGuard::explain(&file, self.name.as_str());
            self.remark(run, Level::Warn, why.clone());
            self.when.paused = Some(why);
            return self.publish_trouble();
        }
        self.when.acted = Time::now();
        let what = changes.describe();
        match action {
            WatchAction::Restart => self.restart_changed(&what).await,
            WatchAction::Reload => {
                let Some(run) = self.living().map(|active| active.run) else { return };
                self.remark(run, Level::Info, format!("reloading: {what}"));
                let (reply, reloaded) = oneshot::channel();
                self.tell_act("reload", what, reloaded);
                self.reload(reply);
            }
            WatchAction::Signal(signal) => {
                let Some(active) = self.living() else { return };
                let run = active.run;
                let (reply, reached) = oneshot::channel();
                let sent =
                    active.signal(signal, Scope::Main, Box::new(|result| drop(reply.send(result)))).is_ok();
                let signal = signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned);
                self.tell_act("signal", format!("{signal}: {what}"), reached);
                if sent {
                    self.remark(run, Level::Info, format!("{signal} sent: {what}"));
                }
            }
        }
    }

    /// Returns the file that keeps changing because of what its changes lead to.
    fn goes_round(&mut self, action: WatchAction, changes: &Changes) -> Option<String> {
        let led_to = match (&self.life, action) {
            (Life::Up(active), WatchAction::Restart) => active.began,
            _ => self.when.acted,
        };
        self.when.guard.judge(changes, led_to)
    }

    async fn restart_changed(&mut self, what: &str) {
        let is_down = matches!(self.life, Life::Down);
        let state = self.snapshots.borrow().state;
        // What has failed may work now. What nobody has started, or what the clock starts, is left alone.
        if is_down && (!matches!(state, State::Failed | State::Exited) || self.config.schedule.is_some()) {
            return;
        }
        self.begin_act(Actor::Watch, "restart", what);
        let (nobody, _) = oneshot::channel();
        self.restart(format!("{WATCH}{what}"), nobody).await;
    }

    fn is_stopping(&self) -> bool {
        matches!(&self.life, Life::Up(active) if matches!(active.phase, Phase::Stopping { .. }))
    }

    // ---- the clock ----

    pub(super) async fn tick(&mut self, tick: Tick) {
        let (Tick::Next(next) | Tick::Due { next } | Tick::Missed { next, .. }) = tick;
        self.when.next = next;
        self.publish_next();
        let last = self.snapshots.borrow().run;
        match tick {
            Tick::Next(_) => {}
            _ if self.when.suspended => {}
            Tick::Missed { at, .. } => {
                if let Some(run) = last {
                    self.remark(
                        run,
                        Level::Warn,
                        format!("the run due at {at} is left out: this machine slept"),
                    );
                }
            }
            Tick::Due { .. } => self.due().await,
        }
    }

    async fn due(&mut self) {
        let overlap = self.config.schedule.as_ref().map(|schedule| schedule.overlap).unwrap_or_default();
        match &self.life {
            Life::Up(_) if self.is_stopping() => {}
            Life::Up(active) if overlap == Overlap::Skip || self.once.is_some() => {
                let text = "a run that is due now is left out: this one is still going".to_owned();
                self.remark(active.run, Level::Warn, text);
            }
            Life::Up(_) => {
                self.begin_act(
                    Actor::Schedule,
                    "restart",
                    "a run was due while the last one was still going",
                );
                let (nobody, _) = oneshot::channel();
                self.restart(SCHEDULE.to_owned(), nobody).await;
            }
            Life::Down | Life::Backoff { .. } => {
                self.once = None;
                self.history.clear();
                self.publish(|snapshot| snapshot.restarts = 0);
                self.begin_act(Actor::Schedule, "start", "a run was due");
                self.launch(SCHEDULE, Vec::new()).await;
            }
        }
    }

    // ---- both ----

    /// Takes up what was suspended or paused: somebody starts the process by hand.
    pub(super) fn resume(&mut self) {
        self.when.guard.clear();
        (self.when.paused, self.when.suspended) = (None, false);
        self.publish_trouble();
        self.publish_next();
    }

    /// Lets the clock start nothing until somebody starts the process by hand.
    pub(super) fn suspend(&mut self) {
        self.when.suspended = true;
        self.publish_next();
    }

    fn publish_trouble(&self) {
        let trouble = self.when.paused.clone().or_else(|| self.when.trouble.clone());
        if self.snapshots.borrow().watch_trouble != trouble {
            self.publish(|snapshot| snapshot.watch_trouble = trouble);
        }
    }

    fn publish_next(&self) {
        let next = self.when.next.filter(|_| !self.when.suspended);
        if self.snapshots.borrow().next_due != next {
            self.publish(|snapshot| snapshot.next_due = next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command, arguments: &[&str]) -> Result<Vec<String>, String> {
        with_arguments(command, "job", arguments.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn arguments_follow_the_words_of_the_command() {
        let command = Command::Words(vec!["make".into(), "-s".into()]);
        assert_eq!(words(&command, &["a b", "$HOME"]).unwrap(), ["make", "-s", "a b", "$HOME"]);
        assert_eq!(words(&command, &[]).unwrap(), ["make", "-s"]);
    }

    #[test]
    fn a_script_gets_them_where_it_asks_for_them_and_only_there() {
        let asks = Command::Shell("echo \"$@\" | sort".into());
        assert_eq!(words(&asks, &["x"]).unwrap(), ["/bin/sh", "-c", "echo \"$@\" | sort", "job", "x"]);
        let deaf = Command::Shell("make && ./a".into());
        assert!(words(&deaf, &["x"]).unwrap_err().contains("\"$@\""));
        assert_eq!(words(&deaf, &[]).unwrap(), ["/bin/sh", "-c", "make && ./a"]);
    }
}
