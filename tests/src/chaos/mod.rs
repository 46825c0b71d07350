//! What the chaos test needs: children that leave a record of all they have printed, a source of chance that can be
//! repeated, a count of who lives, deeds against them, and the reckoning at the end.
//!
//! Nothing in here asks Ostler about a process while it does something to one: pids come from the children's own
//! records and from `/proc`, so that the deeds do not depend on what is being tested.

pub mod census;
pub mod chance;
pub mod ledger;
pub mod reckoning;
pub mod storm;
