//! What the daemon does to processes without a caller: files that changed and the clock restart, reload and signal
//! them. It is in the audit log like what callers do.

use super::Api;
use super::gate::Act;
use super::types::{Caller, Surface};
use crate::supervisor::OwnAct;

impl Api {
    /// Writes down an act that was done, or tried. Waits for the disk.
    pub async fn record(&self, act: OwnAct) {
        let OwnAct { actor, verb, process, detail, outcome } = act;
        let caller = Caller { surface: Surface::Daemon, client: actor.as_str().to_owned() };
        self.gate.record(caller, Act { verb, target: process.to_string(), detail }, outcome).await;
    }
}
