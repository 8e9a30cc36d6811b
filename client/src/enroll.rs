//! How an account comes to this machine: by an invite, as a new device of a user who has one, in the place of a profile
//! whose password was lost, as a service. The top of the library: everything here gives a [`Client`](crate::Client).

pub(crate) mod join;
pub(crate) mod link;
mod replace;
mod start;
