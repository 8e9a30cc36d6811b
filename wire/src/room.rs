//! Rooms: events that their authors' devices sign, and that travel sealed like any message. A room *is* its events;
//! who has the same events has the same room, whatever order they came in (docs/protocol.md, rooms).

use std::fmt;

use minicbor::{Decode, Encode};
use sotto_crypto::{Address, Device, DeviceCertificate, DeviceId, Document, IdentityPublic, Signed};

macro_rules! digest_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]);

        impl $name {
            /// From its bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }
    };
}

digest_id! {
    /// Names an event: SHA-512/256 over `"sotto/2 room event\0"` and its payload's bytes.
    EventId
}
digest_id! {
    /// Names a room: the id of the event that created it.
    RoomId
}

impl From<EventId> for RoomId {
    fn from(created_by: EventId) -> Self {
        Self(created_by.0)
    }
}

/// Longest title in characters.
pub const MAX_TITLE: usize = 100;
/// Members of a room.
pub const MAX_MEMBERS: usize = 500;
/// Parents of one event.
pub const MAX_PARENTS: usize = 32;

/// One event of a room.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RoomEvent {
    /// Event version, 1.
    #[n(0)]
    pub version: u8,
    /// The room; absent in the event that creates it.
    #[n(1)]
    pub room: Option<RoomId>,
    /// The newest events that the author knew, in ascending order, no repeats; none in the event that creates it.
    #[n(2)]
    pub parents: Vec<EventId>,
    /// Who does it.
    #[n(3)]
    pub author: Address,
    /// From which device, whose key signs.
    #[n(4)]
    pub device: DeviceId,
    /// When, by the author's clock (milliseconds since the epoch). To show; decides nothing.
    #[n(5)]
    pub at_ms: u64,
    /// What is done.
    #[n(6)]
    pub change: RoomChange,
}

impl Document for RoomEvent {
    const LABEL: &'static str = "sotto/2 room event";
    type Signer = Device;
}

/// What an event does. Moderators may do all of it, but put out and demote only moderators who became it later; other
/// members may leave.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RoomChange {
    /// Makes the room. The author is a member and a moderator.
    #[n(0)]
    Create(#[n(0)] Created),
    /// Takes people in.
    #[n(1)]
    Add(#[n(0)] Vec<Address>),
    /// Puts people out.
    #[n(2)]
    Remove(#[n(0)] Vec<Address>),
    /// The author goes.
    #[n(3)]
    Leave,
    /// Makes a member a moderator, or takes that away.
    #[n(4)]
    Moderator(#[n(0)] Address, #[n(1)] bool),
    /// A new title.
    #[n(5)]
    Title(#[n(0)] String),
    /// A new description.
    #[n(6)]
    Description(#[n(0)] String),
    /// Seconds from sending after which messages are deleted; absent: never.
    #[n(7)]
    Expiry(#[n(0)] Option<u64>),
    /// Seconds from reading after which the reader's copy is deleted; absent: never.
    #[n(8)]
    Burn(#[n(0)] Option<u64>),
    /// Ends the room: nobody may write any more.
    #[n(9)]
    Close,
}

/// A new room.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Created {
    /// Random, so that no two rooms are the same.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub nonce: [u8; 16],
    /// 1 to [`MAX_TITLE`] characters.
    #[n(1)]
    pub title: String,
    /// The first members beside the author, in ascending order, no repeats.
    #[n(2)]
    pub members: Vec<Address>,
    /// Which of them are moderators beside the author, in ascending order, no repeats.
    #[n(3)]
    pub moderators: Vec<Address>,
    /// As [`RoomChange::Expiry`].
    #[n(4)]
    pub expires_in_s: Option<u64>,
    /// As [`RoomChange::Burn`].
    #[n(5)]
    pub burn_after_read_s: Option<u64>,
}

/// An event with all that is needed to check who made it: a new member has never met some of the authors.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SignedRoomEvent {
    /// Signed by the author's device.
    #[n(0)]
    pub event: Signed<RoomEvent>,
    /// The device, certified by the author's identity.
    #[n(1)]
    pub certificate: Signed<DeviceCertificate>,
    /// The author's identity, to be compared with the one that is pinned.
    #[n(2)]
    pub identity: IdentityPublic,
}
