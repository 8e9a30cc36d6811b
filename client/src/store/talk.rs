//! What the store keeps of conversations beside their messages, as values.

use minicbor::{Decode, Encode};
use sotto_crypto::Address;
use sotto_wire::content::{Conversation, MessageRef, ReceiptKind};
use sotto_wire::room::EventId;
use zeroize::Zeroize as _;

use super::db::Tx;
use super::records::Record;
use crate::core::error::StoreError;

/// A conversation that something was sent or received in.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct ConversationRecord {
    /// [`Conversation::id`].
    #[n(0)]
    pub(crate) id: String,
    /// Whether what was last said in it went to a retention process too.
    #[n(1)]
    pub(crate) retained: bool,
    #[n(2)]
    pub(crate) conversation: Conversation,
    /// A room's.
    #[n(3)]
    pub(crate) title: Option<String>,
    /// Everybody in it, the own address too.
    #[n(4)]
    pub(crate) members: Vec<Address>,
    /// A room's.
    #[n(5)]
    pub(crate) moderators: Vec<Address>,
    /// Nothing can be sent any more.
    #[n(6)]
    pub(crate) left: bool,
    /// A room's rule.
    #[n(7)]
    pub(crate) expires_in_s: Option<u64>,
    /// A room's rule.
    #[n(8)]
    pub(crate) burn_after_read_s: Option<u64>,
    /// Position of the newest message that was ever in it; 0 when there was none.
    #[n(9)]
    pub(crate) last: u64,
    /// The newest events of a room that count: what is said in it names them.
    #[cbor(n(10), default)]
    pub(crate) heads: Vec<EventId>,
    /// The retention processes that got what was last said in it.
    #[cbor(n(11), default)]
    pub(crate) retained_by: Vec<Address>,
}

impl ConversationRecord {
    /// Key of the row of this conversation.
    pub(crate) fn key_of(id: &str) -> [Vec<u8>; 1] {
        [id.as_bytes().to_vec()]
    }

    /// A new one. The members of a room are for the room's events to say.
    pub(crate) fn of(conversation: &Conversation) -> Self {
        Self {
            id: conversation.id(),
            retained: false,
            conversation: conversation.clone(),
            title: None,
            members: conversation.members(),
            moderators: Vec::new(),
            left: false,
            expires_in_s: None,
            burn_after_read_s: None,
            last: 0,
            heads: Vec::new(),
            retained_by: Vec::new(),
        }
    }
}

impl Record for ConversationRecord {
    const TABLE: &'static str = "conversation";
    fn key(&self) -> Vec<Vec<u8>> {
        Self::key_of(&self.id).to_vec()
    }
}

/// What the user has chosen. One row.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct SettingsRecord {
    /// Whether senders are told that their messages were read, where the network leaves it to the user.
    #[n(0)]
    pub(crate) read_receipts: bool,
}

impl Default for SettingsRecord {
    fn default() -> Self {
        Self { read_receipts: true }
    }
}

impl Record for SettingsRecord {
    const TABLE: &'static str = "settings";
    fn key(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

/// A receipt that has not been sent yet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct PendingReceipt {
    #[n(0)]
    pub(crate) target: MessageRef,
    #[n(1)]
    pub(crate) conversation: String,
    #[n(2)]
    pub(crate) kind: ReceiptKind,
    /// For the user's own other devices only.
    #[n(3)]
    pub(crate) own_only: bool,
}

impl Record for PendingReceipt {
    const TABLE: &'static str = "receipt";
    fn key(&self) -> Vec<Vec<u8>> {
        let mut key = parts_of(&self.target);
        key.push(vec![u8::from(self.kind == ReceiptKind::Read)]);
        key
    }
}

/// What is known here of a conversation.
pub(crate) fn conversation(tx: &Tx<'_>, id: &str) -> Result<Option<ConversationRecord>, StoreError> {
    tx.get(&ConversationRecord::key_of(id))
}

/// A message's name as parts of a key.
pub(crate) fn parts_of(message: &MessageRef) -> Vec<Vec<u8>> {
    vec![
        message.sender.as_str().as_bytes().to_vec(),
        message.device.as_bytes().to_vec(),
        message.message.as_bytes().to_vec(),
    ]
}

/// Who gets what waits in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Audience {
    /// Everybody who is in the conversation when it is sent.
    #[n(0)]
    Members,
    /// These people; the user's own other devices get everything.
    #[n(1)]
    Only(#[n(0)] Vec<Address>),
}

/// What waits in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(crate) enum OutboxKind {
    #[n(0)]
    Text,
    #[n(1)]
    File,
    #[n(2)]
    Edit,
    #[n(3)]
    Delete,
    #[n(4)]
    Reaction,
    #[n(5)]
    Pin,
    #[n(6)]
    Receipt,
    #[n(7)]
    Room,
    /// Asks for what is missing, or answers.
    #[n(8)]
    Chain,
}

impl OutboxKind {
    /// Whether nobody is shown that it waits, or was sent: devices say it to each other.
    pub(crate) fn is_quiet(self) -> bool {
        matches!(self, Self::Receipt | Self::Chain)
    }

    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::File => "file",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Reaction => "reaction",
            Self::Pin => "pin",
            Self::Receipt => "receipt",
            Self::Room => "room",
            Self::Chain => "chain",
        }
    }
}

/// A message that waits to be sent. Kept apart from the history, since most kinds are not in it.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(crate) struct OutboxRecord {
    #[n(0)]
    pub(crate) key: MessageRef,
    #[n(1)]
    pub(crate) conversation: Conversation,
    #[n(2)]
    pub(crate) audience: Audience,
    #[n(3)]
    pub(crate) kind: OutboxKind,
    /// The clear content: CBOR of [`sotto_wire::content::Content`].
    #[cbor(n(4), with = "minicbor::bytes")]
    pub(crate) content: Vec<u8>,
    #[n(5)]
    pub(crate) queued_at_ms: u64,
    /// When nobody wants it any more.
    #[n(6)]
    pub(crate) expires_at_ms: Option<u64>,
    #[n(7)]
    pub(crate) attempts: u32,
    /// Whether the relay may have it already.
    #[n(8)]
    pub(crate) uncertain: bool,
    #[n(9)]
    pub(crate) reason: Option<String>,
    /// The sealed file to upload first: its name in the folder for outgoing files.
    #[n(10)]
    pub(crate) upload: Option<String>,
    /// Whether it has a place in the chain of what this device says to everybody in the conversation.
    #[cbor(n(11), default)]
    pub(crate) linked: bool,
}

impl OutboxRecord {
    /// Whether the relay may have it with the very content that stands here, its place in the chain with it.
    pub(crate) fn is_frozen(&self) -> bool {
        self.uncertain && self.linked
    }
}

impl Drop for OutboxRecord {
    fn drop(&mut self) {
        self.content.zeroize();
    }
}

/// What somebody has done to a message. Kept beside it, also before it comes.
#[cfg_attr(test, derive(Debug))]
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Annotation {
    #[n(0)]
    pub(crate) target: MessageRef,
    /// Id of the conversation that it was said in.
    #[n(1)]
    pub(crate) conversation: String,
    /// The message that carried it.
    #[n(2)]
    pub(crate) by: MessageRef,
    /// When, by its sender's clock (milliseconds since the epoch).
    #[n(3)]
    pub(crate) at_ms: u64,
    #[n(4)]
    pub(crate) mark: Mark,
}

/// What was done.
#[cfg_attr(test, derive(Debug))]
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub(crate) enum Mark {
    /// New words.
    #[n(0)]
    Edit(#[n(0)] String),
    /// Taken back.
    #[n(1)]
    Delete,
    /// An emoji, on or off.
    #[n(2)]
    React(#[n(0)] String, #[n(1)] bool),
    /// Pinned or not.
    #[n(3)]
    Pin(#[n(0)] bool),
    /// Has come to a device of its sender's.
    #[n(4)]
    Delivered,
    /// Was read by its sender.
    #[n(5)]
    Read,
}

impl Annotation {
    /// Its place: of all annotations in one place, one counts. The conversation is part of it, so that nobody outside of
    /// the message's conversation can displace what was said inside.
    pub(crate) fn slot(&self) -> Vec<Vec<u8>> {
        let mut slot = parts_of(&self.target);
        slot.push(self.conversation.as_bytes().to_vec());
        let by = || self.by.sender.as_str().as_bytes().to_vec();
        match &self.mark {
            Mark::Edit(_) => slot.extend([b"edit".to_vec(), by()]),
            Mark::Delete => slot.extend([b"delete".to_vec(), by()]),
            Mark::React(emoji, _) => slot.extend([b"react".to_vec(), by(), emoji.as_bytes().to_vec()]),
            Mark::Pin(_) => slot.push(b"pin".to_vec()),
            Mark::Delivered => slot.extend([b"delivered".to_vec(), by()]),
            Mark::Read => slot.extend([b"read".to_vec(), by()]),
        }
        slot
    }

    /// Whether it counts, and not the other in the same slot.
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        (self.at_ms, &self.by, &self.mark) > (other.at_ms, &other.by, &other.mark)
    }

    /// Whether its sender may do this to the message that it names.
    pub(crate) fn is_allowed(&self, moderators: &[Address]) -> bool {
        let by_sender = self.by.sender == self.target.sender;
        match self.mark {
            Mark::Edit(_) => by_sender,
            Mark::Delete => by_sender || moderators.contains(&self.by.sender),
            Mark::React(..) | Mark::Pin(_) => true,
            Mark::Delivered | Mark::Read => !by_sender,
        }
    }
}
