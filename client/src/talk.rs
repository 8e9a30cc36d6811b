//! What is there: what a message does to the store, and how conversations and messages are shown.

pub(crate) mod apply;
pub(crate) mod chain;
pub(crate) mod conversations;
mod fold;
pub(crate) mod gaps;
pub(crate) mod view;
