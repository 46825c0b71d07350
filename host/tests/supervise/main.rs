//! Restarts, readiness, health and `sd_notify`, with real shims and children.

mod harness;
mod ports;
mod waits;

use std::time::Duration;

use ostler::config::{
    Check, Command, Health, HealthLook, HttpCheck, PortChoice, PortText, Ready, RestartPolicy, RestartWhen,
};
use ostler::supervisor::{Purpose, State};

use harness::*;

/// Not a test: the child of the others.
#[test]
fn as_a_child() {
    obey();
}

fn words(words: &[&str]) -> Command {
    Command::Words(words.iter().map(|word| (*word).to_owned()).collect())
}

fn ready(check: Check) -> Ready {
    Ready { check: Some(check), timeout: PATIENCE }
}

/// Healthy as long as there is no file at `path`.
fn without(path: &std::path::Path, failures: u32, restart: bool) -> Health {
    let check = Check::Exec(words(&[
        "sh",
        "-c",
        &format!("test ! -e {p} || {{ echo {p} is there; exit 3; }}", p = path.display()),
    ]));
    let (every, timeout, delay) = (Duration::from_millis(20), PATIENCE, Duration::ZERO);
    Health { look: HealthLook::Probe { check, every, timeout, delay }, failures, restart }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_ready_by_its_own_word_and_as_long_as_it_says() {
    let mut config = obedient();
    config.ready = ready(Check::Notify);
    let mut daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    daemon.tell("say STATUS=loading the \u{1b}[31mworld").await;
    let snapshot = until(&handle, "it speaks", |snapshot| snapshot.status.is_some()).await;
    assert_eq!(
        (snapshot.state, snapshot.status.as_deref()),
        (State::Starting, Some("loading the [31mworld"))
    );

    daemon.tell("say READY=1|STATUS=3 clients").await;
    let snapshot = until(&handle, "it is ready", |snapshot| snapshot.ready).await;
    assert_eq!((snapshot.state, snapshot.status.as_deref()), (State::Ready, Some("3 clients")));
    daemon.tell("say RELOADING=1").await;
    let snapshot = until(&handle, "it reloads", |snapshot| !snapshot.ready).await;
    assert_eq!(snapshot.reason.as_deref(), Some("it said RELOADING=1, and not yet READY=1 again"));
    // Said by a process that is gone as soon as it has spoken.
    daemon.tell("send READY=1").await;
    until(&handle, "it is ready again", |snapshot| snapshot.ready).await;

    // The next daemon hears the story from the shim.
    drop(handle);
    let handle = daemon.succeed().await.clone();
    let snapshot = until(&handle, "it is adopted as ready", |snapshot| snapshot.ready).await;
    assert_eq!(snapshot.status.as_deref(), Some("3 clients"));
    daemon.tell("say STOPPING=1").await;
    let snapshot = until(&handle, "it says that it ends", |snapshot| !snapshot.ready).await;
    assert_eq!(snapshot.reason.as_deref(), Some("it said STOPPING=1"));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_words_drowns_neither_the_others_nor_the_connection() {
    let mut config = obedient();
    config.ready = ready(Check::Notify);
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    daemon.tell("flood word").await;
    // A connection that nobody reads is filled by no number of words.
    let run = handle.snapshot().run.unwrap();
    let silent = std::os::unix::net::UnixStream::connect(daemon.context.shim_socket(run)).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let snapshot = until(&handle, "another word is heard", |snapshot| {
            snapshot.status.as_ref().is_some_and(|status| !seen.contains(status))
        });
        seen.insert(snapshot.await.status.unwrap());
    }
    daemon.tell("say READY=1").await;
    until(&handle, "it is ready all the same", |snapshot| snapshot.ready).await;
    drop(silent);
    assert_eq!(handle.snapshot().run, Some(run));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_that_is_asked_for_is_given() {
    let mut config = obedient();
    config.ready = Ready { check: Some(Check::Notify), timeout: Duration::from_secs(4) };
    config.stop.grace = Duration::from_secs(4);
    // Ends by itself once its input is over, and not by the signal.
    config.stop.signal = libc::SIGURG;
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    let begun = std::time::Instant::now();
    daemon.tell("say EXTEND_TIMEOUT_USEC=6000000").await;
    let snapshot = until(&handle, "its time is over", |snapshot| snapshot.state == State::Unhealthy).await;
    assert!(begun.elapsed() >= Duration::from_millis(5000), "{:?} {snapshot:?}", begun.elapsed());
    daemon.tell("say READY=1").await;
    until(&handle, "it is ready", |snapshot| snapshot.ready).await;

    let stopping = {
        let handle = handle.clone();
        tokio::spawn(async move { handle.stop().await })
    };
    until(&handle, "it is being stopped", |snapshot| snapshot.state == State::Stopping).await;
    let begun = std::time::Instant::now();
    daemon.tell("say EXTEND_TIMEOUT_USEC=6000000|STOPPING=1").await;
    let stopped = stopping.await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(5000), "{stopped:?}");
    assert_eq!(stopped.how.as_deref(), Some("killed by SIGKILL (9) after a grace of 4s"));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_watchdog_is_restarted() {
    let mut config = obedient();
    config.ready = ready(Check::Notify);
    let every = Duration::from_millis(100);
    config.health = Some(Health { look: HealthLook::Watchdog(every), failures: 2, restart: true });
    config.restart = restart(RestartWhen::OnFailure);
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    let run = handle.snapshot().run;
    // Its own pid and nobody else's is in its environment.
    let pid = until(&handle, "it runs", |snapshot| snapshot.pid.is_some()).await.pid.unwrap();
    daemon.tell("say STATUS=%PID").await;
    let snapshot = until(&handle, "it has spoken", |snapshot| snapshot.status.is_some()).await;
    assert_eq!(snapshot.status, Some(pid.to_string()));
    let is_counted = handle.looks().iter().any(|looked| looked.purpose == Purpose::Health);
    assert!(!is_counted, "it was not ready, and was not left in peace");

    daemon.tell("say READY=1").await;
    let snapshot = until(&handle, "it is started again", |snapshot| snapshot.run != run).await;
    assert_eq!(snapshot.restarts, 1);
    let record = daemon.context.catalogue.run(run.unwrap()).unwrap().unwrap();
    let note = record.note.unwrap();
    assert_eq!(note, "health check failed 2 times: it has not said WATCHDOG=1 for 200ms");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watchdog_that_asks_for_it_is_restarted_at_once() {
    let mut config = obedient();
    config.ready = ready(Check::Notify);
    let every = Duration::from_secs(3600);
    config.health = Some(Health { look: HealthLook::Watchdog(every), failures: 3, restart: true });
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    daemon.tell("say READY=1|WATCHDOG=1").await;
    until(&handle, "it is ready", |snapshot| snapshot.ready).await;
    let checked = handle.check().await.unwrap();
    assert!(checked.looked.unwrap().sight.ok, "{:?}", checked.check);
    daemon.tell("say WATCHDOG=trigger").await;
    // Its policy restarts nothing, so that it is left as failed.
    let snapshot = until(&handle, "it is given up", |snapshot| snapshot.state.is_final()).await;
    assert_eq!(snapshot.state, State::Failed);
    let reason = snapshot.reason.unwrap();
    assert!(reason.starts_with("health check failed 3 times: it said WATCHDOG=trigger; "), "{reason}");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_health_check_counts_against_the_restart_policy() {
    let sick = tempfile::tempdir().unwrap();
    let file = sick.path().join("sick");
    let mut config = shell("exec sleep 1000");
    config.ready = ready(Check::Exec(words(&["true"])));
    config.health = Some(without(&file, 2, true));
    config.restart = RestartPolicy { max: 2, ..restart(RestartWhen::OnFailure) };
    let mut daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    until(&handle, "it is ready", |snapshot| snapshot.ready).await;
    std::fs::write(&file, "").unwrap();
    let snapshot = until(&handle, "it is given up", |snapshot| snapshot.state.is_final()).await;
    assert_eq!((snapshot.state, snapshot.restarts), (State::Failed, 2));
    let reason = snapshot.reason.unwrap();
    assert!(reason.starts_with("health check failed 2 times: `sh -c test ! -e "), "{reason}");
    assert!(reason.contains("ended with exit code 3"), "{reason}");
    assert!(
        reason.ends_with("killed by SIGTERM (15); restarted 2 times within 60s, then ended again"),
        "{reason}"
    );
    assert!(handle.looks().iter().any(|looked| !looked.sight.ok && looked.purpose == Purpose::Health));

    // What was given up stays so under the next daemon.
    drop(handle);
    let handle = daemon.succeed().await.clone();
    let snapshot = until(&handle, "its past is known", |snapshot| snapshot.run.is_some()).await;
    assert_eq!((snapshot.state, snapshot.restarts), (State::Failed, 2), "{:?}", snapshot.reason);
    // A manual start is a new beginning.
    std::fs::remove_file(&file).unwrap();
    handle.start("test").await.unwrap();
    let snapshot = until(&handle, "it is ready", |snapshot| snapshot.ready).await;
    assert_eq!(snapshot.restarts, 0);
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_may_only_show_what_it_sees() {
    let sick = tempfile::tempdir().unwrap();
    let file = sick.path().join("sick");
    let mut config = shell("exec sleep 1000");
    config.ready = ready(Check::Exec(words(&["true"])));
    config.health = Some(without(&file, 1, false));
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    until(&handle, "it is ready", |snapshot| snapshot.ready).await;
    std::fs::write(&file, "").unwrap();
    let snapshot = until(&handle, "it is sick", |snapshot| snapshot.state == State::Unhealthy).await;
    assert!(!snapshot.ready);
    let checked = handle.check().await.unwrap();
    let sight = checked.looked.unwrap().sight;
    assert!(!sight.ok && sight.what.contains("sick is there"), "{sight:?}");
    std::fs::remove_file(&file).unwrap();
    let snapshot = until(&handle, "it is well", |snapshot| snapshot.ready).await;
    assert_eq!((snapshot.restarts, snapshot.reason), (0, None));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_hangs_blocks_nothing() {
    let mut config = shell("exec sleep 1000");
    config.ready = Ready { check: Some(Check::Exec(words(&["true"]))), timeout: PATIENCE };
    let check = Check::Exec(words(&["sh", "-c", "echo waiting for the moon; trap '' TERM; sleep 1000"]));
    let timeout = Duration::from_secs(3);
    let look = HealthLook::Probe { check, every: Duration::from_millis(1), timeout, delay: Duration::ZERO };
    config.health = Some(Health { look, failures: 1, restart: false });
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    let snapshot =
        until(&handle, "the probe is given up", |snapshot| snapshot.state == State::Unhealthy).await;
    let reason = snapshot.reason.unwrap();
    assert!(reason.contains("did not end within 3s and was killed: waiting for the moon"), "{reason}");
    // While the next one hangs, the process is stopped at once.
    let stopped = tokio::time::timeout(PATIENCE, handle.stop()).await.unwrap();
    assert!(stopped.was_running);
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_ready_says_what_was_seen_last() {
    let mut config = shell("exec sleep 1000");
    config.port = Some(PortChoice::Fixed(1));
    let url = PortText::new("http://127.0.0.1:${PORT}/up");
    let check = Check::Http(HttpCheck { url, status: (200, 200), body: None });
    config.ready = Ready { check: Some(check), timeout: Duration::from_millis(50) };
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    let snapshot = until(&handle, "it is late", |snapshot| snapshot.state == State::Unhealthy).await;
    let expected = "not ready within 50ms: GET http://127.0.0.1:1/up was not answered: nothing listens there";
    assert_eq!(snapshot.reason.as_deref(), Some(expected));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_by_a_command_is_withdrawn_when_it_fails() {
    let broken = tempfile::tempdir().unwrap();
    let file = broken.path().join("broken");
    let mut config = shell("exec sleep 1000");
    let test = format!("test ! -e {}", file.display());
    config.ready = ready(Check::Exec(words(&["sh", "-c", &test])));
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    until(&handle, "it is ready", |snapshot| snapshot.ready).await;
    std::fs::write(&file, "").unwrap();
    let snapshot = until(&handle, "readiness is withdrawn", |snapshot| !snapshot.ready).await;
    let reason = snapshot.reason.unwrap();
    assert!(snapshot.state == State::Unhealthy && reason.ends_with("ended with exit code 1"), "{reason}");
    std::fs::remove_file(&file).unwrap();
    until(&handle, "it is ready again", |snapshot| snapshot.ready).await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pause_before_a_restart_survives_the_daemon() {
    let mut config = shell("exit 3");
    let hour = Duration::from_secs(3600);
    config.restart = RestartPolicy {
        backoff_first: hour,
        backoff_longest: 4 * hour,
        jitter_percent: 0,
        ..restart(RestartWhen::OnFailure)
    };
    let mut daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    let snapshot = until(&handle, "it waits", |snapshot| snapshot.state == State::Backoff).await;
    assert_eq!(snapshot.reason.as_deref(), Some("exit code 3; starting again in 3600s"));
    drop(handle);
    let handle = daemon.succeed().await.clone();
    let snapshot = until(&handle, "it waits", |snapshot| snapshot.state == State::Backoff).await;
    assert_eq!(snapshot.restarts, 1);
    assert_eq!(snapshot.reason.as_deref(), Some("exit code 3; starting again in 3600s"));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_forks_away_is_told_so() {
    let daemon = Daemon::new(shell("sleep 1000 & exit 0"));
    let handle = daemon.start().await.clone();
    let snapshot = until(&handle, "it has ended", |snapshot| snapshot.state.is_final()).await;
    assert_eq!(snapshot.state, State::Exited);
    let reason = snapshot.reason.unwrap();
    assert!(reason.starts_with("exit code 0; it went into the background: "), "{reason}");
    assert!(reason.contains("--foreground"), "{reason}");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_ends_at_once_flaps_and_is_given_up() {
    let mut config = shell("echo no database >&2; exit 1");
    config.restart = RestartPolicy { max: 1, ..restart(RestartWhen::Always) };
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    let snapshot = until(&handle, "it is given up", |snapshot| snapshot.state == State::Failed).await;
    let expected = "exit code 1; restarted once within 60s, then ended again";
    assert_eq!((snapshot.restarts, snapshot.reason.as_deref()), (1, Some(expected)));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_no_command() {
    let mut config = shell("");
    config.command = words(&["/tmp"]);
    config.restart = restart(RestartWhen::Always);
    let daemon = Daemon::new(config);
    let error = daemon.handle().start("test").await.unwrap_err().to_string();
    assert_eq!(error, "program /tmp is a directory; correct `command`");
    let snapshot = daemon.handle().snapshot();
    assert_eq!((snapshot.state, snapshot.reason), (State::Failed, Some(error)));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_the_disk_prevents_is_tried_again() {
    let mut config = obedient();
    config.restart = RestartPolicy { max: 1_000_000, ..restart(RestartWhen::OnFailure) };
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    let (runs, aside) = (daemon.context.runs_dir.clone(), daemon.dir.path().join("aside"));
    std::fs::rename(&runs, &aside).unwrap();
    std::fs::write(&runs, "no directory").unwrap();
    daemon.tell("exit 1").await;
    let is_refused = |reason: &String| reason.contains("the log and run store cannot be written");
    let snapshot = until(&handle, "it cannot be started again", |snapshot| {
        snapshot.state == State::Backoff && snapshot.reason.as_ref().is_some_and(is_refused)
    });
    assert_eq!(snapshot.await.run, None);
    std::fs::remove_file(&runs).unwrap();
    std::fs::rename(&aside, &runs).unwrap();
    until(&handle, "it is started again", |snapshot| snapshot.pid.is_some()).await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_gone_is_not_tried_again() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("once");
    std::fs::write(&program, "#!/bin/sh\nrm \"$0\"\nexit 1\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = shell("");
    config.command = words(&[program.to_str().unwrap()]);
    config.restart = restart(RestartWhen::Always);
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    let snapshot = until(&handle, "it is given up", |snapshot| snapshot.state == State::Failed).await;
    let expected = format!("program {} does not exist; correct `command`", program.display());
    assert_eq!((snapshot.restarts, snapshot.reason), (1, Some(expected)));
    daemon.end().await;
}
