//! Messages on their way to other networks.

use sotto_crypto::{DeviceId, Domain, MessageId};

use super::Answer;

/// A message for one other network.
#[derive(Clone)]
pub(crate) struct OutboxEntry {
    /// Names the entry.
    pub(crate) id: i64,
    /// The network.
    pub(crate) domain: Domain,
    /// The sealed header's CBOR.
    pub(crate) header: Vec<u8>,
    /// The sealed body.
    pub(crate) body: Vec<u8>,
    /// CBOR of the wraps for that network.
    pub(crate) wraps: Vec<u8>,
    /// When it was accepted.
    pub(crate) accepted_at_ms: u64,
    /// When it is dropped.
    pub(crate) expires_at_ms: u64,
    /// How often it has been tried.
    pub(crate) attempts: u32,
}

/// Why a message will not arrive; becomes a notice to the sending device.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// An error code's text.
    pub(crate) code: String,
    /// For people.
    pub(crate) reason: String,
}

/// Whose message an outbox entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The sending device.
    pub(crate) device: DeviceId,
    /// The message.
    pub(crate) message: MessageId,
}

/// Operations on the outbox.
pub(crate) trait Outbox {
    /// Networks with something due.
    fn outbox_domains(&self, now_ms: u64) -> Answer<'_, Vec<Domain>>;
    /// What is due for one network, oldest first.
    fn outbox_due(&self, domain: Domain, now_ms: u64, count: usize) -> Answer<'_, Vec<OutboxEntry>>;
    /// When something will be due next.
    fn outbox_next_ms(&self) -> Answer<'_, Option<u64>>;
    /// It has arrived.
    fn outbox_done(&self, id: i64) -> Answer<'_, ()>;
    /// It failed and is due again later.
    fn outbox_retry(&self, id: i64, next_ms: u64) -> Answer<'_, ()>;
    /// It will not arrive: the sending device gets a notice.
    fn outbox_refused(&self, id: i64, refusal: Refusal, now_ms: u64) -> Answer<'_, ()>;
}
