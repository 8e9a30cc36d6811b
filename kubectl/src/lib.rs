//! What administrators do with a cluster from outside: `kubectl sotto`, and users by the thousand.
//!
//! What decides is pure and tested on values ([`tree`], [`diff`], [`redact`], the table and the plan of [`import`]); what asks the
//! cluster is thin. Nothing here reads the contents of a Secret but [`invites`], which is asked for them.

mod access;
pub mod bundle;
pub mod change;
pub mod diff;
mod error;
pub mod import;
pub mod invites;
pub mod objects;
pub mod output;
pub mod policy;
pub mod redact;
pub mod status;
pub mod tree;
pub mod workloads;

pub use access::{Access, Cluster};
pub use error::KubeError;
