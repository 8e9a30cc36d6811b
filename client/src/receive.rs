//! The way in, the only one: what comes is opened, its sender is compared with the pin, and it gets its place; then it is
//! acknowledged. What cannot be shown yet is set aside, so that nothing from outside stops what comes after it.

mod again;
mod authenticate;
pub(crate) mod download;
pub(crate) mod event;
mod gaps;
mod line;
mod lost;
pub(crate) mod message;
mod open;
pub(crate) mod place;
pub(crate) mod prekeys;
pub(crate) mod receiver;
pub(crate) mod rooms;
mod signals;
mod socket;
pub(crate) mod state;
mod taking;

#[cfg(test)]
mod tests;
