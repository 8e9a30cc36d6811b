//! Links: numbered slots that an account's devices, and one that is about to become a device, write for each other.
//! The store keeps bytes; what is in them is sealed end to end.

use super::Answer;

/// Names a link within its account.
pub(crate) type LinkId = [u8; 16];

/// Bytes for one slot.
#[derive(Clone)]
pub(crate) struct NewSlot {
    /// Whose link.
    pub(crate) local: String,
    /// Which link; it comes into being with its first slot.
    pub(crate) link: LinkId,
    /// Which slot.
    pub(crate) slot: u32,
    /// What.
    pub(crate) bytes: Vec<u8>,
    /// When the link ends, unless it is written to again.
    pub(crate) expires_at_ms: u64,
}

/// What one account may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkBounds {
    /// Links at a time.
    pub(crate) links: u32,
    /// Bytes in all of them.
    pub(crate) bytes: u64,
}

/// What came of writing a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutSlot {
    /// It is there, or was there with these bytes.
    Stored,
    /// There are other bytes in it.
    Taken,
    /// The account has as many links as allowed.
    TooMany,
    /// The account's links would hold more bytes than allowed.
    TooMuch,
    /// There is no such account.
    NoUser,
}

/// Operations on links.
pub(crate) trait Links {
    /// Writes a slot, once.
    fn put_slot(&self, new: NewSlot, bounds: LinkBounds, now_ms: u64) -> Answer<'_, PutSlot>;
    /// What is in a slot of a link that has not ended.
    fn slot(&self, local: String, link: LinkId, slot: u32, now_ms: u64) -> Answer<'_, Option<Vec<u8>>>;
    /// Ends a link.
    fn delete_link(&self, local: String, link: LinkId) -> Answer<'_, ()>;
}
