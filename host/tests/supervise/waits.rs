//! What the driver waits for, under a clock that stands still: nothing comes a millisecond early, and nothing late.

use std::time::Duration;

use ostler::config::{Check, Ready, RestartPolicy, RestartWhen};
use ostler::supervisor::{Handle, Snapshot, State};

use crate::harness::*;

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn policy(max: u32) -> RestartPolicy {
    RestartPolicy {
        when: RestartWhen::OnFailure,
        backoff_first: milliseconds(200),
        backoff_longest: milliseconds(1000),
        max,
        window: MINUTE,
        jitter_percent: 0,
    }
}

/// Waits until the process has ended for the `restarts`-th time, and is to be started again after `pause`.
async fn until_it_waits(handle: &Handle, restarts: u32, pause: Duration) -> Snapshot {
    let what = format!("it waits for restart {restarts}");
    let is_so = |snapshot: &Snapshot| snapshot.state == State::Backoff && snapshot.restarts == restarts;
    let snapshot = until(handle, &what, is_so).await;
    let reason = snapshot.reason.clone().unwrap();
    assert!(reason.ends_with(&format!("; starting again in {pause:?}")), "{reason}");
    snapshot
}

/// Lets the pause pass, all but a millisecond of it first, and waits until the child runs again.
async fn restart_after(clock: &Clock, handle: &Handle, pause: Duration) -> Snapshot {
    let before = handle.snapshot();
    clock.advance(pause - MILLISECOND, handle).await;
    assert_eq!(handle.snapshot(), before, "it did not wait to the end");
    clock.advance(2 * MILLISECOND, handle).await;
    assert_ne!(handle.snapshot().run, before.run, "it still waits");
    until(handle, "it runs, or has run", |snapshot| {
        snapshot.pid.is_some() || snapshot.restarts > before.restarts || snapshot.state.is_final()
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn the_pause_before_a_restart_doubles_up_to_the_longest_and_is_kept() {
    let clock = Clock::stop();
    let mut config = shell("exit 3");
    config.restart = policy(5);
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    for (restarts, pause) in (1..).zip([200, 400, 800, 1000, 1000].map(milliseconds)) {
        until_it_waits(&handle, restarts, pause).await;
        restart_after(&clock, &handle, pause).await;
    }
    let snapshot = until(&handle, "it is given up", |snapshot| snapshot.state.is_final()).await;
    assert_eq!(snapshot.state, State::Failed);
    let reason = "exit code 3; restarted 5 times within 60s, then ended again";
    assert_eq!(snapshot.reason.as_deref(), Some(reason));
    // Nor does anybody think of it later.
    clock.advance(60 * MINUTE, &handle).await;
    assert_eq!(handle.snapshot(), snapshot);
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_life_longer_than_the_window_forgets_what_was_before() {
    let clock = Clock::stop();
    let mut config = obedient();
    config.restart = policy(2);
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    for restarts in 1..=2 {
        daemon.tell("exit 3").await;
        let pause = milliseconds(100) * 2_u32.pow(restarts);
        until_it_waits(&handle, restarts, pause).await;
        restart_after(&clock, &handle, pause).await;
    }
    clock.advance(MINUTE, &handle).await;
    daemon.tell("exit 3").await;
    // One more is allowed, and after the shortest pause.
    until_it_waits(&handle, 3, milliseconds(200)).await;
    restart_after(&clock, &handle, milliseconds(200)).await;
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn restarts_that_are_longer_ago_than_the_window_do_not_count() {
    let clock = Clock::stop();
    let mut config = obedient();
    config.restart = policy(2);
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    for restarts in 1..=5 {
        clock.advance(MINUTE * 2 / 3, &handle).await;
        daemon.tell("exit 3").await;
        // No life was long enough to be forgiven for.
        let pause = milliseconds(200 << (restarts - 1)).min(milliseconds(1000));
        until_it_waits(&handle, restarts, pause).await;
        restart_after(&clock, &handle, pause).await;
    }
    daemon.tell("exit 3").await;
    let snapshot = until(&handle, "it is given up", |snapshot| snapshot.state.is_final()).await;
    let reason = "exit code 3; restarted 2 times within 60s, then ended again";
    assert_eq!(snapshot.reason.as_deref(), Some(reason));
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_it_waits_is_for_good_and_a_start_does_not_wait() {
    let clock = Clock::stop();
    let mut config = shell("exit 3");
    config.restart = policy(5);
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    until_it_waits(&handle, 1, milliseconds(200)).await;
    assert!(!handle.stop().await.was_running);
    let stopped = handle.snapshot();
    assert_eq!((stopped.state, &stopped.reason), (State::Stopped, &None));
    clock.advance(60 * MINUTE, &handle).await;
    assert_eq!(handle.snapshot(), stopped, "it came back");

    // By hand it begins anew, however far the pauses had grown.
    handle.start("test").await.unwrap();
    until_it_waits(&handle, 1, milliseconds(200)).await;
    restart_after(&clock, &handle, milliseconds(200)).await;
    let waiting = until_it_waits(&handle, 2, milliseconds(400)).await;
    handle.start("test").await.unwrap();
    let again = until_it_waits(&handle, 1, milliseconds(200)).await;
    assert_ne!(again.run, waiting.run);
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_has_its_whole_grace_and_not_more() {
    let clock = Clock::stop();
    let mut config = obedient();
    config.stop.grace = Duration::from_secs(10);
    // It takes no notice of that.
    config.stop.signal = libc::SIGURG;
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    let stopping = {
        let handle = handle.clone();
        tokio::spawn(async move { handle.stop().await })
    };
    until(&handle, "it is being stopped", |snapshot| snapshot.state == State::Stopping).await;
    clock.advance(Duration::from_secs(10) - MILLISECOND, &handle).await;
    // So that a signal would have come by now: this one takes the same way.
    handle.signal(libc::SIGURG, ostler::shim::control::Scope::Main).await.unwrap();
    assert!(handle.snapshot().pid.is_some() && !stopping.is_finished());
    clock.advance(2 * MILLISECOND, &handle).await;
    let stopped = stopping.await.unwrap();
    assert_eq!(stopped.how.as_deref(), Some("killed by SIGKILL (9) after a grace of 10s"));
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ready_in_time_is_unhealthy_and_may_still_become_ready() {
    let clock = Clock::stop();
    let mut config = obedient();
    config.ready = Ready { check: Some(Check::Notify), timeout: MINUTE };
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    clock.advance(MINUTE - MILLISECOND, &handle).await;
    assert_eq!(handle.snapshot().state, State::Starting);
    // It is looked at four times a second.
    clock.advance(milliseconds(260), &handle).await;
    let snapshot = until(&handle, "it is late", |snapshot| snapshot.state == State::Unhealthy).await;
    let reason = "not ready within 60s: it has not said READY=1 through NOTIFY_SOCKET";
    assert_eq!(snapshot.reason.as_deref(), Some(reason));
    daemon.tell("say READY=1").await;
    until(&handle, "it is ready", |snapshot| snapshot.ready).await;
    daemon.end().await;
}
