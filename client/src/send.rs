//! The way out, the only one: what is said or done is composed, put into the outbox, and sent from there by the worker.
//! Who waits for a message waits for its state in the store.

mod act;
mod attachments;
pub(crate) mod chain;
pub(crate) mod compose;
mod deliver;
pub(crate) mod lost;
pub(crate) mod outbox;
pub(crate) mod settle;
pub(crate) mod signals;
pub(crate) mod state;
pub(crate) mod worker;

#[cfg(test)]
mod tests;
