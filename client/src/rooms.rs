//! Rooms: a room is the set of its signed events, and what it is like is a function of that set alone (docs/protocol.md,
//! "Rooms"; docs/decisions/0007-rooms.md). `event` names, signs and verifies; `log` is the set, as far as it hangs together,
//! and `contest` which events in it could be in conflict; `state` is what one event does; `resolve` puts the events in order
//! and decides which of them count; `words` says it to people. All of these are pure. `room` keeps a room beside the store,
//! `change` is what the user does to rooms, `come` what others do, and `admit` which of it is kept.

mod admit;
mod bits;
pub(crate) mod change;
mod come;
mod contest;
mod event;
pub(crate) mod keeper;
mod log;
mod people;
mod resolve;
mod room;
mod state;
mod words;

#[cfg(test)]
pub(crate) mod tests;
