//! From a delivery to a message: open, compare the identity, check the conversation. Nothing is acknowledged and no
//! secret is deleted before the receiver says so ([`Receipt`]).

use sotto_crypto::{
    Address, DeviceId, Fingerprint, MessageId, Opened, PrekeyRef, PrekeySecret, RecipientList, SealedHeader,
};
use sotto_wire::api::Delivery;
use sotto_wire::content::{Content, Conversation, MessageRef};
use zeroize::Zeroizing;

use crate::apply::{self, Class};
use crate::client::{Inner, pin_key, put_pin};
use crate::clock::now_ms;
use crate::error::{Error, StoreError};
use crate::identity::{Verdict, judge};
use crate::policy;
use crate::prekeys::REPLAY_MS;
use crate::registration::blocking;
use crate::rooms::RoomMessage;
use crate::store::{HeldRecord, MessageKey, MessageState, Pin, PrekeyRecord, StoredMessage, Tx, parts_of};
use crate::view::Target;

/// A message that has come. Holds clear text: no Debug.
#[derive(Clone)]
#[non_exhaustive]
pub struct ReceivedMessage {
    /// Its id; unique for one sender's device.
    pub message: MessageId,
    /// Who sent it.
    pub sender: Address,
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
    /// Whether the sender's identity has changed with this message.
    pub identity_changed: bool,
    pub(crate) receipt: Receipt,
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

    /// To acknowledge it with.
    pub fn receipt(&self) -> Receipt {
        self.receipt.clone()
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
    pub(crate) receipt: Receipt,
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
    /// The clear content: CBOR, of [`sotto_wire::content::Content`] or of something newer.
    pub content: Zeroizing<Vec<u8>>,
    /// Everybody whom it was sealed to.
    pub recipients: RecipientList,
}

impl OpenedAllTheSame {
    fn of(opened: &Opened) -> Self {
        Self {
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
    #[error("it is sealed to a key that this device does not have (any more)")]
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
    /// The sender's identity has changed since it was verified. Held until the user accepts the change.
    #[error("the identity of its sender has CHANGED since you verified it")]
    IdentityChanged,
    /// The content is from a newer version. Held until this program is updated.
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

impl Unopened {
    /// Whether the same delivery can become a message later, so that it should not be acknowledged.
    pub fn may_open_later(&self) -> bool {
        matches!(self, Self::IdentityChanged | Self::NewerContent)
    }
}

/// What an acknowledgement needs. Cheap to keep: many may be waiting.
#[derive(Clone)]
pub struct Receipt {
    pub(crate) seq: u64,
    pub(crate) key: Option<MessageKey>,
    /// The one-time prekey whose secret ends with the acknowledgement.
    one_time: Option<PrekeyRef>,
    /// For the local history, where one is kept.
    stored: Option<Box<Keep>>,
}

/// What is kept of a message.
#[derive(Clone)]
struct Keep {
    me: Address,
    message: StoredMessage,
    content: Content,
}

impl Keep {
    fn keep(&self, tx: &Tx<'_>, now_ms: u64) -> Result<(), StoreError> {
        match apply::class(&self.content.body) {
            Class::Said => apply::arrive(tx, &self.me, self.message.clone(), &self.content, now_ms),
            Class::Done | Class::Receipt => {
                let (key, conversation) = (self.message.key(), &self.message.conversation);
                let marks = apply::marks(&key, conversation, self.content.sent_at_ms, &self.content.body);
                marks.iter().try_for_each(|mark| apply::annotate(tx, &self.me, mark, now_ms))
            }
            Class::Signal | Class::Room => Ok(()),
        }
    }
}

impl Receipt {
    /// Of a message that leaves nothing but its key.
    #[cfg(test)]
    pub(crate) fn of(key: MessageKey) -> Self {
        Self { seq: 0, key: Some(key), one_time: None, stored: None }
    }

    /// The conversation that looks different when it is settled.
    pub(crate) fn conversation(&self) -> Option<&str> {
        self.stored.as_ref().map(|keep| keep.message.conversation.as_str())
    }

    /// Keeps the message out of the local history.
    pub(crate) fn forget_content(&mut self) {
        self.stored = None;
    }

    /// What has to be durable before the relay hears of it.
    pub(crate) fn settle(&self, tx: &Tx<'_>, now_ms: u64) -> Result<(), StoreError> {
        if let Some(key) = &self.key {
            tx.mark_seen(key, now_ms.saturating_add(REPLAY_MS))?;
            let (sender, device, message) = key.clone();
            tx.delete::<HeldRecord>(&parts_of(&MessageRef { sender, device, message }))?;
        }
        if let Some(stored) = &self.stored {
            stored.keep(tx, now_ms)?;
        }
        if let Some(prekey) = &self.one_time {
            tx.delete::<PrekeyRecord>(&PrekeyRecord::key_of(prekey))?;
        }
        Ok(())
    }
}

/// What became of a delivery.
pub(crate) enum Outcome {
    Message(Box<ReceivedMessage>),
    Unopened(Box<UnopenedMessage>),
    /// To be kept, and opened again when the events of its room are here that its sender knew.
    Held(Box<HeldRecord>),
    /// Nothing that anybody is told of: to be acknowledged.
    Dropped(Receipt),
    /// Received and acknowledged before.
    Repeat,
}

impl Inner {
    /// Opens a delivery. An error is one of this machine (the store); everything else is an outcome.
    pub(crate) async fn open(&self, delivery: Delivery) -> Result<Outcome, Error> {
        let not_shown = |header: Option<&SealedHeader>, opened: Option<&Opened>, reason| {
            Outcome::Unopened(Box::new(UnopenedMessage {
                message: header.map(|h| h.message),
                sender: header.map(|h| h.sender.clone()),
                sender_device: header.map(|h| h.device),
                accepted_at_ms: delivery.accepted_at_ms,
                reason,
                opened: opened.map(OpenedAllTheSame::of),
                sealed: sotto_crypto::encode(&delivery),
                receipt: Receipt { seq: delivery.seq, key: None, one_time: None, stored: None },
            }))
        };
        let Ok(header) = sotto_crypto::decode_strict::<SealedHeader>(&delivery.header) else {
            return Ok(not_shown(None, None, Unopened::Form));
        };
        let key: MessageKey = (header.sender.clone(), header.device, header.message);
        let prekey = delivery.prekey;
        let lookup = (key.clone(), PrekeyRecord::key_of(&prekey));
        let (seen, secret) =
            self.store.run(move |tx| Ok((tx.has_seen(&lookup.0)?, tx.get::<PrekeyRecord>(&lookup.1)?))).await?;
        if seen {
            return Ok(Outcome::Repeat);
        }
        if header.network.as_str() != header.sender.domain_str() {
            return Ok(not_shown(Some(&header), None, Unopened::Network));
        }
        let Some(record) = secret else { return Ok(not_shown(Some(&header), None, Unopened::NoKey)) };
        let one_time = record.one_time.then_some(prekey);
        let known = self.known.clone();
        let (account, sealed, head) =
            (self.account.clone(), (delivery.body.clone(), delivery.key.clone()), header.clone());
        let opened = blocking(move || {
            let me = (&account.address, account.device);
            Ok(PrekeySecret::from_bytes(&record.secret).map_err(|e| e.to_string()).and_then(|secret| {
                sotto_crypto::open_with(&mut known.lock(), &head, &sealed.0, me, prekey, &secret, &sealed.1)
                    .map_err(|e| e.to_string())
            }))
        })
        .await?;
        let opened = match opened {
            Ok(opened) => opened,
            Err(reason) => return Ok(not_shown(Some(&header), None, Unopened::Sealed(reason))),
        };

        // It did open: acknowledged, its secret ends like that of any message.
        let unopened = |reason| {
            let mut outcome = not_shown(Some(&header), Some(&opened), reason);
            if let Outcome::Unopened(unopened) = &mut outcome {
                unopened.receipt.key = Some(key.clone());
                unopened.receipt.one_time = one_time;
            }
            outcome
        };

        let mine = header.sender == self.account.address;
        if mine && opened.identity != self.account.identity {
            return Ok(unopened(Unopened::NotMine));
        }
        let (verdict, verified) = if mine {
            (Verdict::Same, true)
        } else {
            let (sender, identity, now) = (header.sender.clone(), opened.identity.clone(), now_ms());
            self.store
                .run(move |tx| {
                    let pin: Option<Pin> = tx.get(&pin_key(&sender))?;
                    let judgement = judge(pin.as_ref(), &sender, &identity, now);
                    judgement.pin.iter().try_for_each(|pin| put_pin(tx, pin))?;
                    let verified = judgement.verdict == Verdict::Same && pin.is_some_and(|p| p.verified);
                    Ok((judgement.verdict, verified))
                })
                .await?
        };
        if verdict == Verdict::Blocked {
            return Ok(unopened(Unopened::IdentityChanged));
        }
        let content: Content = match minicbor::decode(&opened.content) {
            Ok(content) => content,
            Err(_) => return Ok(unopened(Unopened::NewerContent)),
        };
        if content.version != 1 {
            return Ok(unopened(Unopened::NewerContent));
        }
        let retained_by = if let Conversation::Room(room) = content.conversation {
            match self.room_message(room, &header.sender, &content, &opened.recipients).await? {
                RoomMessage::Shown(outsiders) => outsiders,
                RoomMessage::Done => Vec::new(),
                RoomMessage::Stranger if apply::class(&content.body) == Class::Said => {
                    return Ok(unopened(Unopened::Conversation));
                }
                // What strangers do to messages, or say of them, concerns nobody.
                RoomMessage::Stranger => {
                    return Ok(Outcome::Dropped(Receipt { seq: delivery.seq, key: Some(key), one_time, stored: None }));
                }
                RoomMessage::Author(who) => return Ok(unopened(Unopened::RoomAuthor(who))),
                RoomMessage::Waits => {
                    let key = MessageRef { sender: header.sender, device: header.device, message: header.message };
                    let (order, delivery) = (delivery.seq, sotto_crypto::encode(&delivery));
                    return Ok(Outcome::Held(Box::new(HeldRecord { key, room, delivery, order })));
                }
            }
        } else {
            let members = content.conversation.members();
            let whole = apply::is_for_everybody(&content.body);
            match outsiders(&header.sender, &self.account.address, &members, &opened.recipients, whole) {
                Some(outsiders) => outsiders,
                None => return Ok(unopened(Unopened::Conversation)),
            }
        };
        let retention_missing =
            self.retention_missing(&header.sender, &opened.recipients, delivery.accepted_at_ms).await?;
        let received_at_ms = now_ms();
        let expires_at_ms = content.ends_at_ms(delivery.accepted_at_ms);
        let stored = self.keep.then(|| {
            let message = StoredMessage {
                id: header.message,
                sender: header.sender.clone(),
                device: header.device,
                content: opened.content.to_vec(),
                conversation: content.conversation.id(),
                accepted_at_ms: delivery.accepted_at_ms,
                stored_at_ms: received_at_ms,
                expires_at_ms,
                retained: !retained_by.is_empty(),
                // From another of the own devices, it is one that the relay has.
                state: if mine { MessageState::Accepted } else { MessageState::Received },
                reason: None,
                retention_missing: !retention_missing.is_empty(),
                event: None,
            };
            Box::new(Keep { me: self.account.address.clone(), message, content: content.clone() })
        });
        Ok(Outcome::Message(Box::new(ReceivedMessage {
            message: header.message,
            sender_identity: opened.identity.fingerprint(),
            sender_device_key: opened.certificate.key().fingerprint(),
            sender: header.sender,
            sender_device: header.device,
            conversation: content.conversation.clone(),
            content,
            recipients: opened.recipients,
            accepted_at_ms: delivery.accepted_at_ms,
            received_at_ms,
            expires_at_ms,
            retained_by,
            retention_missing,
            verified,
            identity_changed: verdict == Verdict::Replaced,
            receipt: Receipt { seq: delivery.seq, key: Some(key), one_time, stored },
        })))
    }
}

impl Inner {
    /// Policies that should have kept this message and did not get it.
    async fn retention_missing(
        &self,
        sender: &Address,
        recipients: &[(Address, Vec<DeviceId>)],
        accepted_at_ms: u64,
    ) -> Result<Vec<String>, Error> {
        let Some(policy) = self.policy_at_hand().await? else { return Ok(Vec::new()) };
        let me = &self.account.address;
        let known = if sender.domain_str() == me.domain_str() && sender != me {
            self.memberships(vec![sender.clone()]).await?
        } else {
            Vec::new()
        };
        let group = known.iter().find(|m| {
            m.policy_key == self.account.policy_key.fingerprint()
                && now_ms() < m.seen_at_ms.saturating_add(policy::GROUP_KNOWN_MS)
        });
        let has = |who: &Address| recipients.iter().any(|(address, _)| address == who);
        Ok(policy::retention_missing(&policy, me, group.map(|m| m.group.as_str()), accepted_at_ms, has))
    }
}

/// Whether a conversation has the one form that [`Conversation::of`] gives.
pub(crate) fn is_between(conversation: &Conversation) -> bool {
    Conversation::of(conversation.members()).as_ref() == Some(conversation)
}

/// The recipients outside of the conversation. `None` where the conversation is not what it must be: its sender is a
/// member, its form is the one that [`Conversation::of`] gives, and every member but the sender got the message, where
/// it is one for everybody (`whole`). Whoever is no member must be there as an outsider: a retention process.
fn outsiders(
    sender: &Address,
    me: &Address,
    members: &[Address],
    recipients: &[(Address, Vec<DeviceId>)],
    whole: bool,
) -> Option<Vec<Address>> {
    let canonical = Conversation::of(members.iter().cloned())?.members() == members;
    let reached = |who: &Address| recipients.iter().any(|(address, _)| address == who);
    let complete = !whole || members.iter().all(|m| m == sender || reached(m));
    if !canonical || !members.contains(sender) || !complete || !reached(me) {
        return None;
    }
    Some(recipients.iter().map(|(address, _)| address).filter(|a| !members.contains(a)).cloned().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sotto_wire::content::Body;

    use super::*;

    fn a(name: &str) -> Address {
        Address::parse(&format!("{name}@x.example")).unwrap()
    }

    fn to(names: &[&str]) -> Vec<(Address, Vec<DeviceId>)> {
        names.iter().map(|n| (a(n), vec![DeviceId::from_bytes([1; 16])])).collect()
    }

    #[test]
    fn a_conversation_is_between_its_members() {
        let pair = [a("alice"), a("bob")];
        assert_eq!(outsiders(&a("alice"), &a("bob"), &pair, &to(&["bob"]), true), Some(vec![]));
        assert_eq!(outsiders(&a("alice"), &a("bob"), &pair, &to(&["bob", "keep"]), true), Some(vec![a("keep")]));
        assert_eq!(outsiders(&a("alice"), &a("keep"), &pair, &to(&["bob", "keep"]), true), Some(vec![a("keep")]));
        // The sender is no member; a member was left out; not in its one form.
        assert_eq!(outsiders(&a("eve"), &a("bob"), &pair, &to(&["bob"]), true), None);
        assert_eq!(outsiders(&a("alice"), &a("keep"), &pair, &to(&["keep"]), true), None);
        assert_eq!(outsiders(&a("alice"), &a("bob"), &[a("bob"), a("alice")], &to(&["bob"]), true), None);
        assert_eq!(outsiders(&a("alice"), &a("bob"), &[], &to(&["bob"]), true), None);
    }

    #[test]
    fn a_clock_that_runs_ahead_does_not_lengthen_a_life() {
        let content = |sent_at_ms| Content {
            expires_in_s: Some(2),
            ..Content::new(Conversation::Direct(a("alice"), a("bob")), sent_at_ms, Body::Text("x".into()))
        };
        assert_eq!(content(1000).ends_at_ms(5000), Some(3000));
        assert_eq!(content(9000).ends_at_ms(5000), Some(7000));
        assert_eq!(content(u64::MAX).ends_at_ms(u64::MAX), Some(u64::MAX));
    }

    #[test]
    fn what_may_open_later_is_held() {
        assert!(Unopened::IdentityChanged.may_open_later() && Unopened::NewerContent.may_open_later());
        assert!(!Unopened::NoKey.may_open_later() && !Unopened::Sealed(String::new()).may_open_later());
    }

    proptest! {
        #[test]
        fn content_from_outside_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = minicbor::decode::<Content>(&bytes);
            let _ = sotto_crypto::decode_strict::<SealedHeader>(&bytes);
            let _ = minicbor::decode::<Delivery>(&bytes);
        }
    }
}
