//! What everything else stands on: errors, the machine, time, waiting times, work in the background, texts. Imports nothing of the
//! other layers.

pub(crate) mod clock;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod platform;
pub(crate) mod retry;
pub(crate) mod secret;
pub(crate) mod spool;
pub(crate) mod task;
pub(crate) mod text;
