//! Rooms: a room is the set of its signed events, and what it is like is a function of that set alone (docs/protocol.md,
//! "Rooms"; docs/decisions/0007-rooms.md). `event` names, signs and verifies; `log` is the set, as far as it hangs together,
//! and `contest` which events in it could be in conflict; `state` is what one event does; `resolve` puts the events in order
//! and decides which of them count; `words` says it to people. All of these are pure. `room` keeps a room beside the store,
//! `change` is what the user does to rooms, `come` what others do.

mod bits;
mod change;
mod come;
mod contest;
mod event;
mod log;
mod people;
mod resolve;
mod room;
mod state;
mod words;

use std::ops::Deref;
use std::sync::Arc;

use crate::send::Sending;
use room::Rooms as Cache;

pub use change::{NewRoom, RoomView};

/// Keeps the rooms of an account: what the user does to them, and what others do.
pub(crate) struct RoomKeeper {
    sending: Arc<Sending>,
    rooms: Arc<Cache>,
}

impl RoomKeeper {
    pub(crate) fn new(sending: Arc<Sending>) -> Self {
        Self { sending, rooms: Arc::default() }
    }
}

impl Deref for RoomKeeper {
    type Target = Sending;

    fn deref(&self) -> &Sending {
        &self.sending
    }
}

/// The user's rooms. Cheap to clone.
#[derive(Clone)]
pub struct Rooms {
    keeper: Arc<RoomKeeper>,
}

impl Rooms {
    pub(crate) fn new(keeper: Arc<RoomKeeper>) -> Self {
        Self { keeper }
    }
}

#[cfg(test)]
pub(crate) mod tests;
