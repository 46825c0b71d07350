//! Owns the daemon's orderly end as a command sees it: asked for, and waited for until the process is gone.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::client::Client;
use super::exit::CliError;
use crate::api::DownReply;

/// How long a daemon may take to end once it has stopped everything.
const END_WAIT: Duration = Duration::from_secs(10);

/// Stops every process and the daemon, and returns once both are gone.
pub async fn shut_down(mut client: Client) -> Result<DownReply, CliError> {
    // Opened before the end, so that it is this process and not one that was given its number.
    let daemon = watch(client.daemon_pid());
    let reply = client.shut_down().await?;
    if let Some(daemon) = daemon
        && tokio::time::timeout(END_WAIT, daemon.readable()).await.is_err()
    {
        let pid = client.daemon_pid();
        return Err(CliError::failed(format!(
            "everything is stopped, but the daemon (pid {pid}) does not end"
        )));
    }
    Ok(reply)
}

/// Returns a descriptor that becomes readable when the process ends; `None` where the kernel has none, or it is gone.
fn watch(pid: u32) -> Option<AsyncFd<OwnedFd>> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // SAFETY: an `OwnedFd` is an open descriptor, always the same, and stays open until the `AsyncFd` that owns it
    // has taken back its registration.
    unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_process_is_noticed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut child =
                std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
            let watch = watch(child.id()).unwrap();
            let early = tokio::time::timeout(Duration::ZERO, watch.readable()).await;
            assert!(early.is_err(), "it is told dead while it lives");
            drop(child.stdin.take());
            drop(watch.readable().await.unwrap());
            assert!(child.wait().unwrap().success());
        });
    }
}
