//! What has come, as it is given to whoever receives, and what an acknowledgement does.

use std::sync::Arc;

use sotto_crypto::{Address, DeviceId, Fingerprint, MessageId, Opened, PrekeyRef, RecipientList};
use sotto_wire::content::{Body, Content, Conversation, MessageRef};
use sotto_wire::policy::Anchor;
use zeroize::Zeroizing;

use super::gaps::{Around, Came, Gone, Head, Noted};
use super::lost::Lost;
use super::prekeys::{DAY_MS, REPLAY_MS};
use crate::core::clock::is_future;
use crate::core::error::StoreError;
use crate::send::chain::answer;
use crate::send::lost;
use crate::store::account::Account;
use crate::store::{Aside, Exact, PrekeyRecord, RemovedDevices, Seen, StoredMessage, Tx};
use crate::talk::apply::{self, Class};
use crate::talk::view::Target;

/// A message that has come. Holds clear text: no Debug.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each shown by itself")]
#[derive(Clone)]
#[non_exhaustive]
pub struct ReceivedMessage {
    /// Its id; unique for one sender's device.
    pub message: MessageId,
    /// The id that it bears, where that is another message's of the same device: only a device or relay that is not honest makes that.
    /// Then `message` is an id of its own, the same everywhere.
    pub conflicts_with: Option<MessageId>,
    /// Commitment to the key that it was sealed under: tells it from another one of its id.
    pub commitment: [u8; 32],
    /// Who sent it.
    pub sender: Address,
    /// How people call them, as the administrator of their network says: to be shown beside the address.
    pub sender_name: Option<String>,
    /// From which device.
    pub sender_device: DeviceId,
    /// Fingerprint of the sender's identity.
    pub sender_identity: Fingerprint,
    /// Fingerprint of the key of the sender's device.
    pub sender_device_key: Fingerprint,
    /// Where it belongs.
    pub conversation: Conversation,
    /// What was said.
    pub content: Content,
    /// Everybody whom it was sealed to.
    pub recipients: RecipientList,
    /// When the sender's relay accepted it (milliseconds since the epoch).
    pub accepted_at_ms: u64,
    /// When it came here (milliseconds since the epoch).
    pub received_at_ms: u64,
    /// When it is deleted, where it is (milliseconds since the epoch).
    pub expires_at_ms: Option<u64>,
    /// Recipients outside of the conversation: retention processes.
    pub retained_by: Vec<Address>,
    /// Policies of our network that cover us or the sender, and whose process is not among the recipients: somebody has
    /// kept this message from the record.
    pub retention_missing: Vec<String>,
    /// Whether the sender's identity was verified by the user.
    pub verified: bool,
    /// Whether the sender's identity has changed, with this message or before, which the user has not acknowledged.
    pub identity_changed: bool,
    /// Whether it was told as missing before it came.
    pub late: bool,
    /// What devices that were removed have to do with it.
    pub removed: RemovedDevices,
    /// By what it is known that the sender's identity is theirs. Absent of one's own messages.
    pub established_by: Option<Anchor>,
    /// Whether it was sealed to a one-time prekey, whose secret ends with its acknowledgement: then nobody can open it again. Otherwise
    /// it can be opened for as long as the secret of the device's medium-term prekey is kept.
    pub forward_secret: bool,
    /// Whether it has brought events to its room that were not here.
    pub(super) room_grew: bool,
    pub(super) receipt: Receipt,
}

impl ReceivedMessage {
    /// Whether somebody outside of the conversation has it too.
    pub fn retained(&self) -> bool {
        !self.retained_by.is_empty()
    }

    /// Names it: for an answer, a reaction, or to find it in the history.
    pub fn key(&self) -> MessageRef {
        MessageRef { sender: self.sender.clone(), device: self.sender_device, message: self.message }
    }

    /// Where an answer to it goes: to everybody in its conversation.
    pub fn conversation(&self) -> Target {
        match &self.conversation {
            Conversation::Room(_) => Target::Conversation(self.conversation.id()),
            people => Target::People(people.members()),
        }
    }

    /// Whether its sender's clock, or this machine's, is wrong: it says that it was sent later than now.
    pub fn sent_in_future(&self) -> bool {
        is_future(self.content.sent_at_ms, self.received_at_ms)
    }

    /// To acknowledge it with.
    pub fn receipt(&self) -> Receipt {
        self.receipt.clone()
    }

    /// Its id is another message's: it gets one of its own.
    pub(super) fn set_apart(&mut self, exact: &Exact) {
        let ((.., borne), (.., apart)) = (&exact.key, exact.apart());
        (self.message, self.conflicts_with) = (apart, Some(*borne));
    }
}

/// A delivery that is no message that can be shown. It stays at the relay until it is acknowledged.
#[derive(Clone)]
#[non_exhaustive]
pub struct UnopenedMessage {
    /// The id that it bears; unverified where it did not open.
    pub message: Option<MessageId>,
    /// The sender that it names; unverified where it did not open.
    pub sender: Option<Address>,
    /// The sender's device that it names; unverified where it did not open.
    pub sender_device: Option<DeviceId>,
    /// When the sender's relay accepted it (milliseconds since the epoch).
    pub accepted_at_ms: u64,
    /// Why it is not shown.
    pub reason: Unopened,
    /// What is known of it all the same, where it did open.
    pub opened: Option<OpenedAllTheSame>,
    /// The delivery as it came (CBOR of [`sotto_wire::api::Delivery`]).
    pub sealed: Vec<u8>,
    pub(super) receipt: Receipt,
}

impl UnopenedMessage {
    /// To acknowledge it with: then the relay forgets it.
    pub fn receipt(&self) -> Receipt {
        self.receipt.clone()
    }
}

/// A message that opens under its sender's signature and still cannot be shown. Holds clear text: no Debug.
#[derive(Clone)]
#[non_exhaustive]
pub struct OpenedAllTheSame {
    /// Fingerprint of the sender's identity.
    pub sender_identity: Fingerprint,
    /// Fingerprint of the key of the sender's device.
    pub sender_device_key: Fingerprint,
    /// By what it is known that the identity is the sender's, where something says so.
    pub established_by: Option<Anchor>,
    /// The clear content: CBOR, of [`sotto_wire::content::Content`] or of something newer.
    pub content: Zeroizing<Vec<u8>>,
    /// Everybody whom it was sealed to.
    pub recipients: RecipientList,
}

impl OpenedAllTheSame {
    pub(super) fn of(opened: &Opened, established_by: Option<Anchor>) -> Self {
        Self {
            established_by,
            sender_identity: opened.identity.fingerprint(),
            sender_device_key: opened.certificate.key().fingerprint(),
            content: opened.content.clone(),
            recipients: opened.recipients.clone(),
        }
    }
}

/// Why a delivery is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unopened {
    /// No sealed message.
    #[error("it is not a sealed message of a version that this program knows")]
    Form,
    /// The prekey is not here.
    #[error(
        "it is sealed to a key that this device does not have any more; it is asked for again, where you know its sender"
    )]
    NoKey,
    /// It does not open, or the sender's signature is wrong.
    #[error("it does not open: {0}")]
    Sealed(String),
    /// The sender is not who the relay says.
    #[error("its sender is not in the network that it claims to be from")]
    Network,
    /// It claims to be from the own account and is not.
    #[error("it claims to come from one of your own devices, and does not")]
    NotMine,
    /// Nothing vouches for the identity under which it came.
    #[error("its sender's identity is one that neither their network's administrator nor their invite vouches for")]
    NotVouchedFor,
    /// The sender's identity has changed since it was verified. Only where nothing is set aside: by a retention process.
    #[error("the identity of its sender has CHANGED since you verified it")]
    IdentityChanged,
    /// The content is from a newer version. Only where nothing is set aside: by a retention process.
    #[error("it needs a newer version of this program")]
    NewerContent,
    /// The conversation is not one that its sender can speak in, or that this account is in.
    #[error("it claims a conversation that its sender or you are not in")]
    Conversation,
    /// An event of a room is signed under another identity than its author has. It is left out, and asked for again when
    /// somebody builds on it.
    #[error("it says that {0} has changed a room, under another identity than {0} has")]
    RoomAuthor(Address),
}

/// What an acknowledgement needs. Cheap to keep: many may be waiting.
#[derive(Clone)]
pub struct Receipt {
    pub(super) seq: u64,
    pub(super) key: Option<Exact>,
    /// The one-time prekey whose secret ends with the acknowledgement.
    pub(super) one_time: Option<PrekeyRef>,
    /// For the local history, where one is kept.
    pub(super) stored: Option<Arc<Keep>>,
    /// Its place behind what the same device has said before.
    pub(super) noted: Option<Arc<Noted>>,
    /// The message that it says again.
    pub(super) again: Option<MessageId>,
    /// What it says will not come.
    pub(super) gone: Option<Arc<Gone>>,
    /// How far its sender's device has come, as it says.
    pub(super) head: Option<Arc<Head>>,
    /// Messages that could not be opened: this one, or what is said of those that were asked for.
    pub(super) lost: Option<Arc<Lost>>,
    /// When the secret ends that opens it, where that does not end with the acknowledgement.
    pub(super) secret_ends_at_ms: Option<u64>,
}

/// What is kept of a message.
#[derive(Clone)]
pub(super) struct Keep {
    pub(super) account: Arc<Account>,
    pub(super) message: StoredMessage,
    pub(super) content: Content,
}

impl Keep {
    fn set_apart(mut self, exact: &Exact) -> Self {
        let ((.., borne), (.., apart)) = (&exact.key, exact.apart());
        (self.message.id, self.message.conflicts_with) = (apart, Some(*borne));
        self
    }

    fn keep(&self, tx: &Tx<'_>, came: Came, now_ms: u64) -> Result<(), StoreError> {
        let me = &self.account.address;
        match apply::class(&self.content.body) {
            Class::Said => {
                let message = StoredMessage { late: came.late, conflict: came.conflict, ..self.message.clone() };
                apply::arrive(tx, me, message, &self.content, now_ms)
            }
            Class::Done | Class::Receipt => {
                let (key, conversation) = (self.message.key(), &self.message.conversation);
                let marks = apply::marks(&key, conversation, self.content.sent_at_ms, &self.content.body);
                marks.iter().try_for_each(|mark| apply::annotate(tx, me, mark, now_ms))
            }
            Class::Chain => match &self.content.body {
                Body::Resend(id, device, numbers) if *device == self.account.device => {
                    answer(tx, &self.account, &self.message.sender, (id, numbers), now_ms)
                }
                Body::ResendById(device, ids) if *device == self.account.device => {
                    lost::answer(tx, &self.account, &self.message.sender, ids, now_ms)
                }
                _ => Ok(()),
            },
            Class::Signal | Class::Room => Ok(()),
        }
    }
}

impl Receipt {
    /// Of a delivery that leaves nothing but its key, where it has one.
    pub(super) fn new(seq: u64, key: Option<Exact>, one_time: Option<PrekeyRef>) -> Self {
        Self {
            seq,
            key,
            one_time,
            stored: None,
            noted: None,
            again: None,
            gone: None,
            head: None,
            lost: None,
            secret_ends_at_ms: None,
        }
    }

    /// Of one that opens under a secret that ends then, if it does not end with the acknowledgement.
    pub(super) fn sealed_until(self, secret_ends_at_ms: Option<u64>) -> Self {
        Self { secret_ends_at_ms, ..self }
    }

    /// What names its message, where it is one that opened.
    pub(super) fn key(&self) -> Option<&Exact> {
        self.key.as_ref()
    }

    /// Whether something waits in the outbox when it is settled.
    pub(super) fn answers(&self) -> bool {
        self.stored.as_ref().is_some_and(|keep| matches!(keep.content.body, Body::Resend(..) | Body::ResendById(..)))
    }

    /// The conversation that looks different when it is settled.
    pub(crate) fn conversation(&self) -> Option<&str> {
        let stored = self.stored.as_ref().map(|keep| keep.message.conversation.as_str());
        self.lost.as_ref().map(|lost| lost.conversation.as_str()).or(stored)
    }

    /// Keeps the message out of the local history.
    pub(crate) fn forget_content(&mut self) {
        self.stored = None;
    }

    /// What has to be durable before the relay hears of it.
    pub(super) fn settle(&self, tx: &Tx<'_>, around: &Around<'_>) -> Result<(), StoreError> {
        let now_ms = around.now_ms;
        let mut apart = None;
        if let Some(exact) = &self.key {
            let ends = self.secret_ends_at_ms.map_or(0, |end| end.saturating_add(DAY_MS));
            let seen = tx.mark_seen(exact, now_ms.saturating_add(REPLAY_MS).max(ends))?;
            tx.take_aside(&Aside::key_of(exact))?;
            // As an older version set it aside.
            let (sender, device, message) = exact.key.clone();
            tx.take_aside(&MessageRef { sender, device, message })?;
            match seen {
                // Settled before: what has been read, burnt or taken back since must not come again.
                Seen::Same => return Ok(()),
                // It takes the place of none: of what was said under this id nothing is written over.
                Seen::Other => apart = Some(exact),
                Seen::Never => {}
            }
        }
        if self.is_missing(tx, now_ms)? {
            self.take_in(tx, around, apart)?;
        }
        if let Some(prekey) = &self.one_time {
            tx.delete::<PrekeyRecord>(&PrekeyRecord::key_of(prekey))?;
        }
        Ok(())
    }

    /// What is said again counts where it is missing still: it may have come meanwhile. Anything else counts.
    fn is_missing(&self, tx: &Tx<'_>, now_ms: u64) -> Result<bool, StoreError> {
        let (Some(again), Some(exact)) = (self.again, &self.key) else {
            return Ok(self.again.is_none());
        };
        let (sender, device, _) = exact.key.clone();
        let name = MessageRef { sender: sender.clone(), device, message: again };
        let missing = self.noted.as_ref().map(|noted| noted.is_missing(tx)).transpose()?.unwrap_or(false);
        if !tx.find_lost(&name)? && !missing {
            return Ok(false);
        }
        tx.mark_seen_however(&(sender, device, again), now_ms.saturating_add(REPLAY_MS))?;
        Ok(true)
    }

    fn take_in(&self, tx: &Tx<'_>, around: &Around<'_>, apart: Option<&Exact>) -> Result<(), StoreError> {
        // Before it stands in the history: what is missing before it stands there first.
        let came = self.noted.as_ref().map(|noted| noted.note(tx, around)).transpose()?.unwrap_or_default();
        if let Some(stored) = &self.stored {
            match apart {
                None => stored.keep(tx, came, around.now_ms)?,
                Some(exact) => Keep::clone(stored).set_apart(exact).keep(tx, came, around.now_ms)?,
            }
        }
        if let Some(gone) = &self.gone {
            gone.note(tx, around)?;
        }
        if let Some(head) = &self.head {
            head.note(tx, around)?;
        }
        if let Some(lost) = &self.lost {
            lost.note(tx, around)?;
        }
        Ok(())
    }
}
