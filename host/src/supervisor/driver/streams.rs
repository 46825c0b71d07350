//! What goes into a run and comes out of it for those who look on: input, keys that are signals, the terminal's size,
//! and following the output.

use tokio::sync::oneshot;

use super::when::nobody;
use super::{ActiveRun, Driver, Life};
use crate::model::{RunId, TerminalSize};
use crate::shim::control::{Request, Scope};
use crate::supervisor::handle::SendError;
use crate::supervisor::input::Job;
use crate::supervisor::tail::Followed;

type TailReply = oneshot::Sender<Result<(RunId, oneshot::Receiver<Followed>), SendError>>;

impl Driver {
    pub(super) fn send(&mut self, job: Job) {
        match self.speaking() {
            Some(active) => active.input.feed(job),
            None => drop(job.reply.send(Err(SendError::NotRunning))),
        }
    }

    pub(super) fn interrupt(&mut self, signal: i32, reply: oneshot::Sender<Result<(), SendError>>) {
        let result = match self.speaking() {
            Some(active) => active.signal(signal, Scope::Group, nobody()).map_err(|_| SendError::ShimGone),
            None => Err(SendError::NotRunning),
        };
        let _ = reply.send(result);
    }

    pub(super) fn resize(&mut self, size: TerminalSize) {
        if let Some(active) = self.speaking() {
            // A shim that cannot be reached is about to be reported as ended.
            let _ = active.link.send(Request::Resize { size });
        }
    }

    pub(super) fn tail(&mut self, reply: TailReply) {
        let Some(active) = self.speaking() else {
            let _ = reply.send(Err(SendError::NotRunning));
            return;
        };
        let (sender, followed) = oneshot::channel();
        // Expected before it is asked for, because the answer comes by another task.
        active.tails.expect(sender);
        let result = match active.link.send(Request::Tail { on: true }) {
            Ok(()) => Ok((active.run, followed)),
            Err(_) => Err(SendError::ShimGone),
        };
        let _ = reply.send(result);
    }

    pub(super) fn tail_left(&mut self, run: RunId) {
        if let Some(active) = self.active(run)
            && active.tails.is_deserted()
        {
            let _ = active.link.send(Request::Tail { on: false });
        }
    }

    /// Returns the run whose child lives.
    fn speaking(&mut self) -> Option<&mut ActiveRun> {
        match &mut self.life {
            Life::Up(active) if active.pid.is_some() && active.exit.is_none() => Some(active),
            _ => None,
        }
    }
}
