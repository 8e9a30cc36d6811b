//! Leader election: of several operator processes one works, the others stand by.
//!
//! - [`elector`] decides, as a function of values: what was seen, when by its own clock, and what to ask the API server next.
//! - [`store`] reads and writes the Kubernetes `Lease`, each write only where it still is as it was read.
//! - [`election`] lets the two talk until leadership is lost or given back.
//! - [`fence`] refuses every write of a process that is not the leader by its own clock *now*.
//!
//! The rules are those of client-go: a leader renews every `retry`; when it could not for `renew_deadline` it is none any more
//! and the process ends; a standby takes over when it has seen no renewal for `lease_duration`. Times of different machines are
//! never compared: a standby measures by its own clock how long the lease has stayed the same. So clocks may be wrong; they only
//! may not run at speeds that differ by a third.
//!
//! A lease is no lock on the objects themselves. A process that is stopped between the check of the fence and the system call
//! that sends the request would send it when it goes on. So the request also tells the API server by when it has to be done
//! (`timeout`), and what replaces an object says which version it has read.

mod clock;
mod election;
mod elector;
mod fence;
mod options;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use clock::BootClock;
pub(crate) use election::{Election, LeaseError};
pub(crate) use fence::Fence;
pub use options::{LeaseOptions, LeaseOptionsError, Timing};
