//! Messages and the queues of devices.

use std::collections::HashMap;

use sotto_crypto::{DeviceId, Domain, MessageId, PrekeyRef, WrappedKey};
use sotto_wire::api::Notice;

use super::Answer;

/// A checked message.
#[derive(Clone)]
pub(crate) struct NewMessage {
    /// By which repeats are known: digest of sender, device and message id.
    pub(crate) key: [u8; 32],
    /// The message.
    pub(crate) message: MessageId,
    /// The sending device; `None` when it belongs to another network.
    pub(crate) sender: Option<DeviceId>,
    /// The sealed header's CBOR.
    pub(crate) header: Vec<u8>,
    /// The sealed body.
    pub(crate) body: Vec<u8>,
    /// For devices of this network.
    pub(crate) local: Vec<LocalWrap>,
    /// For other networks: the CBOR of their wraps.
    pub(crate) remote: Vec<(Domain, Vec<u8>)>,
    /// When an undelivered copy is dropped.
    pub(crate) expires_at_ms: u64,
}

/// A wrap for a device of this network.
#[derive(Clone)]
pub(crate) struct LocalWrap {
    /// The device.
    pub(crate) device: DeviceId,
    /// Its prekey.
    pub(crate) prekey: PrekeyRef,
    /// The wrapped key.
    pub(crate) key: WrappedKey,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueBounds {
    /// Entries in the queue of one device.
    pub(crate) mailbox: u64,
    /// Messages of one device for other networks.
    pub(crate) sender: u64,
    /// Messages for one other network.
    pub(crate) network: u64,
}

/// What came of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Acceptance {
    /// Durable.
    Accepted,
    /// Was accepted before, at this time.
    Repeated(u64),
    /// A device's queue is full.
    MailboxFull,
    /// Too much of the sender's device waits for other networks.
    SenderOutboxFull,
    /// Too much waits for this network.
    OutboxFull(Domain),
    /// A recipient device is gone.
    DeviceGone,
    /// The sending device is gone.
    SenderGone,
    /// The sender is suspended.
    SenderSuspended,
}

/// Something in a device's queue.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    /// Place in the queue; never used twice.
    pub(crate) seq: u64,
    /// When it was accepted.
    pub(crate) accepted_at_ms: u64,
    /// When it is dropped.
    pub(crate) expires_at_ms: u64,
    /// What.
    pub(crate) item: QueuedItem,
}

/// What waits.
#[derive(Clone, Debug)]
pub(crate) enum QueuedItem {
    /// A message.
    Message {
        /// The sealed header's CBOR.
        header: Vec<u8>,
        /// The sealed body.
        body: Vec<u8>,
        /// The device's prekey.
        prekey: PrekeyRef,
        /// The device's wrap.
        key: WrappedKey,
    },
    /// Word about a message that this device sent (its `seq` is that of the queue).
    Notice(Notice),
}

impl Queued {
    /// Bytes that it takes on the way, about.
    pub(crate) fn size(&self) -> usize {
        match &self.item {
            QueuedItem::Message { header, body, .. } => header.len() + body.len() + 128,
            QueuedItem::Notice(notice) => notice.reason.len() + 128,
        }
    }
}

/// What waits in all queues.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueueStats {
    /// Entries by device; devices with none are left out.
    pub(crate) by_device: HashMap<DeviceId, u64>,
    /// When the oldest was accepted.
    pub(crate) oldest_ms: Option<u64>,
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Entries of queues whose time was over.
    pub(crate) expired: u64,
    /// There is more to do at once.
    pub(crate) more: bool,
}

/// Operations on messages and queues.
pub(crate) trait Mailboxes {
    /// When a message with this key was accepted, if it was.
    fn accepted(&self, key: [u8; 32]) -> Answer<'_, Option<u64>>;
    /// Puts a message into the queues of all its devices and into the outbox, or nowhere.
    fn accept(&self, message: NewMessage, bounds: QueueBounds, now_ms: u64) -> Answer<'_, Acceptance>;
    /// What waits for a device after `after`, in order: at most `count` entries and about `bytes`, but one at least.
    fn mailbox(&self, device: DeviceId, after: u64, count: usize, bytes: usize, now_ms: u64)
    -> Answer<'_, Vec<Queued>>;
    /// The last place in a device's queue; 0 when it is empty.
    fn mailbox_head(&self, device: DeviceId) -> Answer<'_, u64>;
    /// Forgets what a device has made durable; how many entries that were.
    fn ack(&self, device: DeviceId, seqs: Vec<u64>) -> Answer<'_, u64>;
    /// What waits in all queues.
    fn queue_stats(&self) -> Answer<'_, QueueStats>;
    /// Drops what has expired, a bounded amount at a time: queue entries, prekeys, memory of repeats, links.
    fn sweep(&self, now_ms: u64) -> Answer<'_, Swept>;
}
