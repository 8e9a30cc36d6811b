//! `sotto up` on the examples, as a person would use it: join, talk, keep records, change manifests, crash, restart, end.
//!
//! No cluster and no root. Every test has a state folder, a copy of the manifests and profiles of its own.

mod chat;
mod devices;
mod hostile;
mod manifests;
mod path;
mod runner;
mod site;
