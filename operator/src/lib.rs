//! Custom resources to running networks: plan, apply, controllers, the local runner

pub mod admin;
pub mod cluster;
pub mod documents;
pub mod failpoint;
pub mod invites;
pub mod keys;
pub mod lease;
pub mod local;
pub mod migrate;
mod pace;
pub mod pki;
pub mod plan;
mod probe;
pub mod reasons;
pub mod remote;
pub mod secret;
pub mod sync;
