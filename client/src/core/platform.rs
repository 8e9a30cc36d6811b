//! The machine: its clock, tasks, threads and files. The one place that knows whether this is a process with an operating
//! system under it or a page in a browser; everything else is written against what is here, under the same names in both.
//! Sockets are the transport's (`transport.rs`), in the same way.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(not(target_family = "wasm"))]
pub(crate) use native::*;

#[cfg(target_family = "wasm")]
mod web;
#[cfg(target_family = "wasm")]
pub(crate) use web::*;

/// Work in the background did not come to its end: it has panicked, or the program is ending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CutOff;
