//! What the way in asks of the rooms, which stand above it.

use crate::core::platform::BoxFuture;
use sotto_crypto::{Address, RecipientList};
use sotto_wire::content::Content;
use sotto_wire::room::RoomId;

use crate::core::error::Error;

/// What a message to a room comes to.
pub(crate) enum RoomMessage {
    /// It is shown, and these recipients are none of the room's members: retention processes.
    Shown(Vec<Address>),
    /// It was of the room's making, and has been done.
    Done {
        /// Whether the room has events that it did not have.
        grew: bool,
    },
    /// Its sender knew events that are not here.
    Waits,
    /// Its sender is no member, or the user is none.
    Stranger,
    /// An event is signed under another identity than this person has.
    Author(Address),
}

/// Says where messages to rooms belong: the rooms, which stand above.
pub(crate) trait Rooms: Send + Sync {
    /// Decides on a message to a room that has come.
    fn place<'a>(
        &'a self,
        room: RoomId,
        sender: &'a Address,
        content: &'a Content,
        recipients: &'a RecipientList,
    ) -> BoxFuture<'a, Result<RoomMessage, Error>>;
}
