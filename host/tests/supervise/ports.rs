//! A port that somebody has when a process is started again: whoever asked is told, and nobody else gives up.

use std::future::poll_fn;
use std::net::TcpListener;
use std::task::Poll;

use ostler::config::{PortChoice, RestartPolicy, RestartWhen};
use ostler::supervisor::{Snapshot, State};

use crate::harness::*;

/// Returns a process with a fixed port, which it leaves alone, and the one who has the port.
fn squatted(max: u32) -> (ostler::config::ProcessConfig, TcpListener) {
    let squatter = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = obedient();
    config.port = Some(PortChoice::Fixed(squatter.local_addr().unwrap().port()));
    config.restart = RestartPolicy { max, ..restart(RestartWhen::OnFailure) };
    (config, squatter)
}

fn waits_for_its_port(snapshot: &Snapshot) -> bool {
    snapshot.state == State::Backoff
        && snapshot.reason.as_ref().is_some_and(|reason| reason.contains(" is taken by pid "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_waits_until_the_port_is_given_back() {
    let (config, squatter) = squatted(1_000_000);
    let address = squatter.local_addr().unwrap();
    let daemon = Daemon::new(config);
    // Whoever asks for a start is told, and that is all that happens.
    let refused = daemon.handle().start("test").await.unwrap_err().to_string();
    assert!(refused.starts_with(&format!("port {} is taken by pid ", address.port())), "{refused}");
    assert_eq!(daemon.handle().snapshot().state, State::Failed);
    drop(squatter);
    let handle = daemon.start().await.clone();
    let squatter = TcpListener::bind(address).unwrap();
    daemon.tell("exit 1").await;
    until(&handle, "it waits for its port", waits_for_its_port).await;
    let restarts = handle.snapshot().restarts;
    until(&handle, "it has tried again", |snapshot| snapshot.restarts > restarts + 2).await;
    drop(squatter);
    until(&handle, "it runs", |snapshot| snapshot.pid.is_some()).await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_that_a_taken_port_prevents_count_as_restarts() {
    let (config, squatter) = squatted(2);
    let address = squatter.local_addr().unwrap();
    drop(squatter);
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    let _squatter = TcpListener::bind(address).unwrap();
    daemon.tell("exit 1").await;
    let snapshot = until(&handle, "it is given up", |snapshot| snapshot.state.is_final()).await;
    let reason = snapshot.reason.unwrap();
    assert_eq!((snapshot.state, snapshot.restarts, snapshot.run), (State::Failed, 2, None), "{reason}");
    assert!(reason.starts_with(&format!("port {} is taken by pid ", address.port())), "{reason}");
    assert!(reason.ends_with("restarted 2 times within 60s, then ended again"), "{reason}");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_nobody_waits_for_is_tried_again_too() {
    let (config, squatter) = squatted(1_000_000);
    let address = squatter.local_addr().unwrap();
    drop(squatter);
    let daemon = Daemon::new(config);
    let handle = daemon.start().await.clone();
    let squatter = TcpListener::bind(address).unwrap();
    // Asked for, and not waited for; files that change ask like that.
    let mut asking = Box::pin(handle.restart("test"));
    assert!(poll_fn(|context| Poll::Ready(asking.as_mut().poll(context).is_pending())).await);
    drop(asking);
    until(&handle, "it waits for its port", waits_for_its_port).await;
    drop(squatter);
    until(&handle, "it runs", |snapshot| snapshot.pid.is_some()).await;
    daemon.end().await;
}
