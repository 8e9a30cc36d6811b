//! What the store keeps, as values.

use minicbor::{Decode, Encode};
use sotto_crypto::{
    Address, BatchId, DeviceCertificate, DeviceId, IdentityPublic, MessageId, PolicyPublic, PrekeyKind, PrekeyRef,
    Signed,
};
use sotto_wire::content::MessageRef;
use sotto_wire::policy::Anchor;
use zeroize::Zeroize as _;

use crate::core::endpoint::Tls;

/// A value with a place in the store.
pub(crate) trait Record: Encode<()> + for<'b> Decode<'b, ()> {
    /// Its table.
    const TABLE: &'static str;
    /// Whether it is sealed under a key that is erased when it is removed or put anew.
    const ENDS: bool = false;
    /// Its key there, in parts.
    fn key(&self) -> Vec<Vec<u8>>;
}

/// Who this profile is. One row.
#[derive(Encode, Decode)]
#[cbor(array)]
pub(crate) struct AccountRecord {
    #[n(0)]
    pub(crate) address: Address,
    #[n(1)]
    pub(crate) relay: String,
    #[n(2)]
    pub(crate) tls: Tls,
    #[n(3)]
    pub(crate) policy_key: PolicyPublic,
    #[cbor(n(4), with = "minicbor::bytes")]
    pub(crate) identity: Vec<u8>,
    #[n(5)]
    pub(crate) device: DeviceId,
    #[cbor(n(6), with = "minicbor::bytes")]
    pub(crate) device_key: Vec<u8>,
    #[n(7)]
    pub(crate) certificate: Signed<DeviceCertificate>,
    #[n(8)]
    pub(crate) label: String,
    /// Whether the relay has the device.
    #[n(9)]
    pub(crate) complete: bool,
}

impl Drop for AccountRecord {
    fn drop(&mut self) {
        self.identity.zeroize();
        self.device_key.zeroize();
    }
}

impl Record for AccountRecord {
    const TABLE: &'static str = "account";
    fn key(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

/// The identity of somebody that counts. Moved in one place only: `trust::pins`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Pin {
    #[n(0)]
    pub(crate) address: Address,
    #[n(1)]
    pub(crate) identity: IdentityPublic,
    /// Whether the user has compared the safety number.
    #[n(2)]
    pub(crate) verified: bool,
    #[n(3)]
    pub(crate) since_ms: u64,
    /// Another identity than this one was seen, and no person has acknowledged it yet.
    #[n(4)]
    pub(crate) change: Option<Change>,
    /// How it is known that it is theirs; absent of who was gone from their network when they were first seen, in a room.
    #[n(5)]
    pub(crate) established: Option<Established>,
}

/// How it is known that an identity is somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Established {
    /// By what.
    #[n(0)]
    pub(crate) anchor: Anchor,
    /// When the invite was made by which they came (milliseconds since the epoch).
    #[n(1)]
    pub(crate) invited_at_ms: u64,
}

impl Pin {
    /// Key of the row of this person.
    pub(crate) fn key_of(address: &Address) -> [Vec<u8>; 1] {
        [address.as_str().as_bytes().to_vec()]
    }
}

impl Record for Pin {
    const TABLE: &'static str = "pin";
    fn key(&self) -> Vec<Vec<u8>> {
        Self::key_of(&self.address).to_vec()
    }
}

/// A change of identity that no person has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Change {
    /// Of a verified contact the identity that was shown since, of another one the identity that counted before.
    #[n(0)]
    pub(crate) other: IdentityPublic,
    #[n(1)]
    pub(crate) since_ms: u64,
    #[n(2)]
    pub(crate) seen_in: SeenIn,
    /// Of the other identity, as [`Pin::established`].
    #[n(3)]
    pub(crate) established: Option<Established>,
}

/// Where another identity than the known one was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum SeenIn {
    /// In a message from them.
    #[n(0)]
    Message,
    /// In word of theirs that a message has come or was read.
    #[n(1)]
    Receipt,
    /// In what the relay answered when something was sent to them.
    #[n(2)]
    Recipients,
    /// In a change of a room.
    #[n(3)]
    Room,
    /// In what the relay answered when it was asked who they are.
    #[n(4)]
    Lookup,
    /// On another device of the user.
    #[n(5)]
    OtherDevice,
}

impl SeenIn {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Receipt => "receipt",
            Self::Recipients => "recipients",
            Self::Room => "room",
            Self::Lookup => "lookup",
            Self::OtherDevice => "device",
        }
    }
}

/// The secret half of a prekey.
#[derive(Encode, Decode)]
#[cbor(array)]
pub(crate) struct PrekeyRecord {
    #[n(0)]
    pub(crate) batch: BatchId,
    #[n(1)]
    pub(crate) index: u32,
    #[n(2)]
    pub(crate) one_time: bool,
    #[cbor(n(3), with = "minicbor::bytes")]
    pub(crate) secret: Vec<u8>,
}

impl PrekeyRecord {
    /// Key of the row of this prekey.
    pub(crate) fn key_of(prekey: &PrekeyRef) -> Vec<Vec<u8>> {
        vec![prekey.batch.as_bytes().to_vec(), prekey.index.to_be_bytes().to_vec()]
    }
}

impl Drop for PrekeyRecord {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Record for PrekeyRecord {
    const TABLE: &'static str = "prekey";
    const ENDS: bool = true;
    fn key(&self) -> Vec<Vec<u8>> {
        Self::key_of(&PrekeyRef { batch: self.batch, index: self.index })
    }
}

/// A batch of prekeys whose secrets are kept.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct BatchRecord {
    #[n(0)]
    pub(crate) batch: BatchId,
    #[n(1)]
    pub(crate) kind: PrekeyKind,
    #[n(2)]
    pub(crate) count: u32,
    /// After this, nothing sealed to it can be in a queue any more.
    #[n(3)]
    pub(crate) forget_at_ms: u64,
}

impl Record for BatchRecord {
    const TABLE: &'static str = "batch";
    fn key(&self) -> Vec<Vec<u8>> {
        vec![self.batch.as_bytes().to_vec()]
    }
}

/// What has become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(crate) enum MessageState {
    /// Came from somebody.
    #[n(0)]
    Received,
    /// Is being sent; after a crash nobody knows whether the relay has it.
    #[n(1)]
    Sending,
    /// The relay has it durably.
    #[n(2)]
    Accepted,
    /// Was refused, here or by another network.
    #[n(3)]
    Refused,
    /// Waits in the outbox.
    #[n(4)]
    Queued,
    /// Was refused when it was to go again: nobody knows whether the relay has it from before.
    #[n(5)]
    Uncertain,
}

/// A message in the local history.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each shown by itself")]
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(crate) struct StoredMessage {
    /// Its id; unique for one sender's device.
    #[n(0)]
    pub(crate) id: MessageId,
    /// Who sent it.
    #[n(1)]
    pub(crate) sender: Address,
    /// From which device.
    #[n(2)]
    pub(crate) device: DeviceId,
    /// The clear content: CBOR of [`sotto_wire::content::Content`].
    #[cbor(n(3), with = "minicbor::bytes")]
    pub(crate) content: Vec<u8>,
    /// Id of the conversation.
    #[n(4)]
    pub(crate) conversation: String,
    /// When the relay accepted it (milliseconds since the epoch).
    #[n(5)]
    pub(crate) accepted_at_ms: u64,
    /// When it came or was sent, by this machine's clock (milliseconds since the epoch).
    #[n(6)]
    pub(crate) stored_at_ms: u64,
    /// When it is deleted (milliseconds since the epoch).
    #[n(7)]
    pub(crate) expires_at_ms: Option<u64>,
    /// Whether a retention process has it too.
    #[n(8)]
    pub(crate) retained: bool,
    /// What has become of it.
    #[n(9)]
    pub(crate) state: MessageState,
    /// Why it was refused.
    #[n(10)]
    pub(crate) reason: Option<String>,
    /// Whether a retention process that should have it was left out by its sender.
    #[n(11)]
    pub(crate) retention_missing: bool,
    /// What happened in a room, in words, where that is all that it says.
    #[n(12)]
    pub(crate) event: Option<String>,
    /// The retention processes that have it too, where they are known.
    #[cbor(n(13), default)]
    pub(crate) retained_by: Vec<Address>,
    /// The devices that it was sealed to, of one that was sent from here.
    #[cbor(n(14), default)]
    pub(crate) devices: u32,
    /// Members of its room whom it was not sent to.
    #[cbor(n(15), default)]
    pub(crate) left_out: Vec<LeftOut>,
    /// The id that it bears, where that is another message's: then `id` is one of its own.
    #[n(16)]
    pub(crate) conflicts_with: Option<MessageId>,
    /// Messages that have not come, where it is no message but the place of some that are missing.
    #[n(17)]
    pub(crate) missing: Option<Missing>,
    /// Whether it was missing before it came.
    #[cbor(n(18), default)]
    pub(crate) late: bool,
    /// Whether it does not follow what the same device has said before.
    #[cbor(n(19), default)]
    pub(crate) conflict: bool,
    /// What devices that were removed have to do with it.
    #[cbor(n(20), default)]
    pub(crate) removed: RemovedDevices,
}

/// What stands in the history where messages are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Missing {
    /// How many.
    #[n(0)]
    pub count: u64,
    /// Those of them that their sender's device does not have any more, as it says: they will not come.
    #[n(1)]
    pub gone: u64,
}

/// What devices that were removed have to do with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RemovedDevices {
    /// The device that it is from is none of its sender's any more.
    #[n(0)]
    pub from: bool,
    /// It was sealed to a device that its recipient had removed before: its sender was shown an old list.
    #[n(1)]
    pub to: bool,
}

/// A member of a room who cannot be written to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LeftOut {
    /// Who.
    #[n(0)]
    pub address: Address,
    /// What the relay says.
    #[n(1)]
    pub reason: String,
}

impl StoredMessage {
    /// With this name and in this conversation, and nothing that is special about one: that is put over it.
    pub(crate) fn bare(name: &MessageRef, conversation: &str, now_ms: u64) -> Self {
        Self {
            id: name.message,
            sender: name.sender.clone(),
            device: name.device,
            content: Vec::new(),
            conversation: conversation.to_owned(),
            accepted_at_ms: now_ms,
            stored_at_ms: now_ms,
            expires_at_ms: None,
            retained: false,
            state: MessageState::Received,
            reason: None,
            retention_missing: false,
            event: None,
            retained_by: Vec::new(),
            devices: 0,
            left_out: Vec::new(),
            conflicts_with: None,
            missing: None,
            late: false,
            conflict: false,
            removed: RemovedDevices::default(),
        }
    }

    /// Names it.
    pub(crate) fn key(&self) -> MessageRef {
        MessageRef { sender: self.sender.clone(), device: self.device, message: self.id }
    }
}
