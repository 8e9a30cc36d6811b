//! Rooms: a room is the set of its signed events, and what it is like is a function of that set alone (docs/protocol.md,
//! "Rooms"; docs/decisions/0007-rooms.md). `event` names, signs and verifies; `log` is the set, as far as it hangs together;
//! `state` is what one event does; `resolve` puts the events in order and decides which of them count. All of these are
//! pure.

mod event;
mod log;
mod resolve;
mod state;

#[cfg(test)]
mod tests;
