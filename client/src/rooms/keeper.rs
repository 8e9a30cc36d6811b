//! The rooms of an account, as a value.

use std::ops::Deref;
use std::sync::Arc;

use super::room::Rooms as Cache;
use crate::send::state::Sending;

/// Keeps the rooms of an account: what the user does to them, and what others do.
pub(crate) struct RoomKeeper {
    pub(super) sending: Arc<Sending>,
    pub(super) rooms: Arc<Cache>,
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
    pub(super) keeper: Arc<RoomKeeper>,
}

impl Rooms {
    pub(crate) fn new(keeper: Arc<RoomKeeper>) -> Self {
        Self { keeper }
    }
}
