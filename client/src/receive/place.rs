//! Where a message belongs: its conversation, who else has it, and what is kept of it.

use std::collections::VecDeque;
use std::sync::Arc;

use sotto_crypto::{Address, MessageId, Opened, RecipientList, SealedHeader};
use sotto_wire::content::{Body, Content, Conversation, MessageRef};
use sotto_wire::room::RoomId;

use super::authenticate::{Sender, authenticate};
use super::gaps::{Gone, Head, Noted};
use super::lost::{Lost, name_of};
use super::message::{Keep, Receipt, ReceivedMessage, Unopened};
use super::open::{Opening, Outcome, Unsealed};
use super::rooms::RoomMessage;
use super::state::Receiving;
use crate::core::clock::now_ms;
use crate::core::error::{Error, StoreError};
use crate::store::account::Account;
use crate::store::{
    ChainKey, GapEvent, MembershipRecord, MessageState, Reason, RemovedDevices, Seen, StoredMessage, Tx,
};
use crate::talk::apply::{self, Class};
use crate::trust::lists::{hear, known_list};
use crate::trust::policy::{self, Policy};
use crate::trust::state::Purpose;
use zeroize::Zeroizing;

/// The version of the content that this program knows.
pub(super) const CONTENT: u8 = 1;

/// What is decided by, beside the store: the same for all that is taken in together.
#[derive(Clone)]
pub(super) struct Placing {
    account: Arc<Account>,
    purpose: Purpose,
    /// To warn by.
    policy: Option<Policy>,
}

/// A message of an authenticated sender to a room, of which the rooms decide.
pub(super) struct InRoom {
    unsealed: Unsealed,
    sender: Sender,
    content: Content,
    room: RoomId,
}

/// A message for which somebody has to be asked first.
pub(super) enum Pending {
    InRoom(Box<InRoom>),
    /// Of a sender under an identity that nobody has heard of yet.
    Stranger(Box<Unsealed>),
}

/// What has been taken in together.
pub(super) struct Taken {
    /// In the order in which they came.
    pub(super) outcomes: Vec<Outcome>,
    /// The one behind them.
    pub(super) pending: Option<Pending>,
    /// Those behind that one.
    pub(super) rest: VecDeque<Opening>,
}

impl Receiving {
    /// Authenticates the senders of what was opened, and gives it its place: in one transaction, up to the first message that
    /// somebody has to be asked for.
    pub(super) async fn take_in(&self, mut rest: VecDeque<Opening>) -> Result<Taken, Error> {
        let placing = self.placing().await?;
        self.store
            .run(move |tx| {
                let mut outcomes = Vec::with_capacity(rest.len());
                while let Some(opening) = rest.pop_front() {
                    let placed = match opening {
                        Ok(unsealed) => placing.take_in(tx, unsealed)?,
                        Err(outcome) => Ok(outcome),
                    };
                    match placed {
                        Ok(outcome) => outcomes.push(outcome),
                        Err(pending) => return Ok(Taken { outcomes, pending: Some(pending), rest }),
                    }
                }
                Ok(Taken { outcomes, pending: None, rest })
            })
            .await
    }

    /// Gives a message to a room its place.
    pub(super) async fn take_in_room(&self, in_room: InRoom) -> Result<Outcome, Error> {
        let InRoom { unsealed, sender, content, room } = in_room;
        let (from, recipients) = (&unsealed.header.sender, &unsealed.opened.recipients);
        let (retained_by, room_grew) = match self.rooms.place(room, from, &content, recipients).await? {
            RoomMessage::Shown(outsiders) => (outsiders, false),
            RoomMessage::Done { grew } => (Vec::new(), grew),
            RoomMessage::Stranger if apply::class(&content.body) == Class::Said => {
                return Ok(unsealed.not_shown(Unopened::Conversation));
            }
            // What strangers do to messages, or say of them, concerns nobody.
            RoomMessage::Stranger => return Ok(Outcome::Dropped(Box::new(unsealed.receipt()))),
            RoomMessage::Author(who) => return Ok(unsealed.not_shown(Unopened::RoomAuthor(who))),
            RoomMessage::Waits => return Ok(unsealed.aside(Reason::RoomEvents(room))),
        };
        let placing = self.placing().await?;
        let message = self.store.run(move |tx| placing.received(tx, unsealed, sender, content, retained_by)).await?;
        Ok(Outcome::Message(Box::new(ReceivedMessage { room_grew, ..message })))
    }

    async fn placing(&self) -> Result<Placing, Error> {
        let policy = self.policy_at_hand().await?;
        Ok(Placing { account: self.account.clone(), purpose: self.purpose, policy })
    }
}

impl Placing {
    fn take_in(&self, tx: &Tx<'_>, mut unsealed: Unsealed) -> Result<Result<Outcome, Pending>, StoreError> {
        // Acknowledged while it was opened.
        match tx.seen(&unsealed.exact())? {
            Seen::Same => return Ok(Ok(Outcome::Repeat)),
            seen => unsealed.conflict = seen == Seen::Other,
        }
        match authenticate(tx, &self.account, self.purpose, &unsealed)? {
            Some(Ok(sender)) => self.place(tx, unsealed, sender),
            Some(Err(outcome)) => Ok(Ok(outcome)),
            None => Ok(Err(Pending::Stranger(Box::new(unsealed)))),
        }
    }

    /// Gives a message of an authenticated sender its place.
    fn place(
        &self,
        tx: &Tx<'_>,
        mut unsealed: Unsealed,
        sender: Sender,
    ) -> Result<Result<Outcome, Pending>, StoreError> {
        unsealed.established_by = sender.anchor;
        let Some(content) = unsealed.content.take().filter(|content| content.version == CONTENT) else {
            return Ok(Ok(match self.purpose {
                Purpose::Person => unsealed.aside(Reason::Newer(CONTENT)),
                Purpose::Archive => unsealed.not_shown(Unopened::NewerContent),
            }));
        };
        let content = match content.body {
            Body::Again(message, said) => match Self::said_again(tx, &mut unsealed, message, said)? {
                Some(content) => content,
                // It is not missing here: another one's, or one that has come meanwhile.
                None => return Ok(Ok(Outcome::Dropped(Box::new(unsealed.receipt())))),
            },
            _ => content,
        };
        let (from, recipients) = (&unsealed.header.sender, &unsealed.opened.recipients);
        let retained_by = match (&content.conversation, self.purpose) {
            (Conversation::Room(room), Purpose::Person) => {
                let room = *room;
                return Ok(Err(Pending::InRoom(Box::new(InRoom { unsealed, sender, content, room }))));
            }
            // Who keeps records keeps everything, and knows of no rooms.
            (Conversation::Room(_), Purpose::Archive) => vec![self.account.address.clone()],
            (people, _) => {
                let (members, again) = (people.members(), unsealed.again.is_some());
                // What is said again goes to who has asked only.
                let whole = apply::is_for_everybody(&content.body) && !again;
                match outsiders(from, &self.account.address, &members, &names(recipients), whole) {
                    Some(outsiders) if !again || self.is_for_us(&members) => outsiders,
                    _ => return Ok(Ok(unsealed.not_shown(Unopened::Conversation))),
                }
            }
        };
        let message = self.received(tx, unsealed, sender, content, retained_by)?;
        Ok(Ok(Outcome::Message(Box::new(message))))
    }

    /// What a message says again, where it is missing here and was asked for. It takes the place of what it came in.
    fn said_again(
        tx: &Tx<'_>,
        unsealed: &mut Unsealed,
        message: MessageId,
        said: Vec<u8>,
    ) -> Result<Option<Content>, StoreError> {
        let content = sotto_crypto::decode_strict::<Content>(&said).ok().filter(|content| content.version == CONTENT);
        let Some(content) = content else { return Ok(None) };
        let header = SealedHeader { message, ..unsealed.header.clone() };
        let noted = Noted::of(&header, &content, &said);
        let missing = noted.as_ref().map(|noted| noted.is_missing(tx)).transpose()?.unwrap_or(false);
        let says_something = !matches!(apply::class(&content.body), Class::Chain | Class::Signal);
        if !(missing || says_something && tx.is_lost(&name_of(&header, message))?) {
            return Ok(None);
        }
        unsealed.opened.content = Zeroizing::new(said);
        (unsealed.noted, unsealed.again) = (noted, Some(message));
        Ok(Some(content))
    }

    /// Whether who receives here is in such a conversation, or keeps records.
    fn is_for_us(&self, members: &[Address]) -> bool {
        self.purpose == Purpose::Archive || members.contains(&self.account.address)
    }

    /// What is said here to be missing for good.
    fn gone(sender: &SealedHeader, body: &Body) -> Option<Arc<Gone>> {
        let Body::Gone(conversation, gone, not_for) = body else { return None };
        let key = ChainKey { conversation: conversation.clone(), sender: sender.sender.clone(), device: sender.device };
        let numbers = [(GapEvent::Gone, gone.clone()), (GapEvent::NotForUs, not_for.clone())];
        Some(Arc::new(Gone { key, numbers }))
    }

    /// How far its sender's device has come.
    fn head(sender: &SealedHeader, content: &Content) -> Option<Arc<Head>> {
        let Body::Head(head) = content.body else { return None };
        let conversation = content.conversation.id();
        let key = ChainKey { conversation, sender: sender.sender.clone(), device: sender.device };
        Some(Arc::new(Head { key, head }))
    }

    fn received(
        &self,
        tx: &Tx<'_>,
        unsealed: Unsealed,
        sender: Sender,
        content: Content,
        retained_by: Vec<Address>,
    ) -> Result<ReceivedMessage, StoreError> {
        let exact = unsealed.exact();
        let receipt = unsealed.receipt();
        let Unsealed { delivery, header, opened, conflict, one_time, noted, again, .. } = unsealed;
        let (message, gone) = (again.unwrap_or(header.message), Self::gone(&header, &content.body));
        let head = Self::head(&header, &content);
        let missed = noted.as_ref().map(|noted| noted.is_late(tx)).transpose()?.unwrap_or(false);
        let late = missed || tx.is_lost(&name_of(&header, message))?;
        let lost = Lost::answered(&self.account.address, &header, &content.body).map(Arc::new);
        let removed = self.removed(tx, &header, &opened, &content)?;
        let known: Option<MembershipRecord> = tx.get(&MembershipRecord::key_of(&header.sender))?;
        let at_ms = content.sent_at_ms.max(delivery.accepted_at_ms);
        let retention_missing = self.retention_missing(&header.sender, known.as_ref(), &opened.recipients, at_ms);
        let received_at_ms = now_ms();
        let expires_at_ms = content.ends_at_ms(received_at_ms);
        let stored = self.purpose.keeps_history().then(|| {
            let name = MessageRef { sender: header.sender.clone(), device: header.device, message };
            let stored = StoredMessage {
                content: opened.content.to_vec(),
                accepted_at_ms: delivery.accepted_at_ms,
                expires_at_ms,
                retained: !retained_by.is_empty(),
                // From another of the own devices, it is one that the relay has.
                state: if sender.mine { MessageState::Accepted } else { MessageState::Received },
                retention_missing: !retention_missing.is_empty(),
                retained_by: retained_by.clone(),
                forward_secret: Some(one_time.is_some()),
                removed,
                ..StoredMessage::bare(&name, &content.conversation.id(), received_at_ms)
            };
            Arc::new(Keep { account: self.account.clone(), message: stored, content: content.clone() })
        });
        let mut message = ReceivedMessage {
            message,
            conflicts_with: None,
            commitment: header.commitment,
            sender_identity: opened.identity.fingerprint(),
            sender_device_key: opened.certificate.key().fingerprint(),
            sender: header.sender,
            sender_name: known.and_then(|known| known.name),
            sender_device: header.device,
            conversation: content.conversation.clone(),
            content,
            recipients: opened.recipients,
            accepted_at_ms: delivery.accepted_at_ms,
            received_at_ms,
            expires_at_ms,
            retained_by,
            retention_missing,
            verified: sender.verified,
            identity_changed: sender.changed,
            established_by: sender.anchor,
            forward_secret: one_time.is_some(),
            late,
            removed,
            room_grew: false,
            receipt: Receipt { stored, noted, again, gone, head, lost, ..receipt },
        };
        if conflict {
            message.set_apart(&exact);
        }
        Ok(message)
    }

    /// Notes which list of their devices the sender knows, so that the relay shows no older one, and says what removed devices have to
    /// do with the message.
    fn removed(
        &self,
        tx: &Tx<'_>,
        header: &SealedHeader,
        opened: &Opened,
        content: &Content,
    ) -> Result<RemovedDevices, StoreError> {
        let (me, identity) = (&self.account.address, opened.identity.fingerprint());
        if let Some(serial) = content.devices.filter(|_| &header.sender != me) {
            hear(tx, &header.sender, identity, serial, now_ms())?;
        }
        let theirs = known_list(tx, &header.sender, identity)?;
        let mine = known_list(tx, me, self.account.identity.fingerprint())?;
        let user = opened.recipients.users().find(|user| user.as_str() == me.as_str());
        // Who sealed before knew no better. A relay that is honest takes nothing afterwards.
        let was_gone = |device| mine.gone_at_ms(device).is_some_and(|gone| content.sent_at_ms > gone);
        let to = user.is_some_and(|user| user.devices().any(was_gone));
        Ok(RemovedDevices { from: theirs.gone_at_ms(header.device).is_some(), to })
    }

    /// Policies that should have kept this message and did not get it. Of the times that its sender and the relay name, the later counts:
    /// neither of the two alone can make it look as if it came before the policy. `known` is what is
    /// known of the sender's group.
    fn retention_missing(
        &self,
        sender: &Address,
        known: Option<&MembershipRecord>,
        recipients: &RecipientList,
        sent_at_ms: u64,
    ) -> Vec<String> {
        let Some(policy) = &self.policy else { return Vec::new() };
        let me = &self.account.address;
        let known = known.filter(|_| sender.domain_str() == me.domain_str() && sender != me);
        let group = known.filter(|m| {
            m.policy_key == self.account.policy_key.fingerprint()
                && now_ms() < m.seen_at_ms.saturating_add(policy::GROUP_KNOWN_MS)
        });
        let has = |who: &Address| recipients.has(who);
        policy::retention_missing(policy, me, group.map(|m| m.group.as_str()), sent_at_ms, has)
    }
}

/// The names of the recipients, in order.
fn names(recipients: &RecipientList) -> Vec<&str> {
    recipients.users().map(|user| user.as_str()).collect()
}

/// Whether a conversation has the one form that [`Conversation::of`] gives.
pub(crate) fn is_between(conversation: &Conversation) -> bool {
    Conversation::of(conversation.members()).as_ref() == Some(conversation)
}

/// The recipients outside of the conversation. `None` where the conversation is not what it must be: its sender is a
/// member, its form is the one that [`Conversation::of`] gives, and every member but the sender got the message, where
/// it is one for everybody (`whole`). Whoever is no member must be there as an outsider: a retention process. The recipients'
/// names are in order.
fn outsiders(
    sender: &Address,
    me: &Address,
    members: &[Address],
    recipients: &[&str],
    whole: bool,
) -> Option<Vec<Address>> {
    let canonical = Conversation::of(members.iter().cloned())?.members() == members;
    let reached = |who: &Address| recipients.binary_search(&who.as_str()).is_ok();
    let complete = !whole || members.iter().all(|m| m == sender || reached(m));
    if !canonical || !members.contains(sender) || !complete || !reached(me) {
        return None;
    }
    let outside = recipients.iter().filter(|name| members.iter().all(|member| member.as_str() != **name));
    outside.map(|name| Address::parse(name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sotto_crypto::SealedHeader;
    use sotto_wire::api::Delivery;
    use sotto_wire::content::Body;

    use super::*;

    fn a(name: &str) -> Address {
        Address::parse(&format!("{name}@x.example")).unwrap()
    }

    const BOB: &str = "bob@x.example";
    const KEEP: &str = "keep@x.example";

    #[test]
    fn a_conversation_is_between_its_members() {
        let pair = [a("alice"), a("bob")];
        assert_eq!(outsiders(&a("alice"), &a("bob"), &pair, &[BOB], true), Some(vec![]));
        assert_eq!(outsiders(&a("alice"), &a("bob"), &pair, &[BOB, KEEP], true), Some(vec![a("keep")]));
        assert_eq!(outsiders(&a("alice"), &a("keep"), &pair, &[BOB, KEEP], true), Some(vec![a("keep")]));
        // The sender is no member; a member was left out; not in its one form.
        assert_eq!(outsiders(&a("eve"), &a("bob"), &pair, &[BOB], true), None);
        assert_eq!(outsiders(&a("alice"), &a("keep"), &pair, &[KEEP], true), None);
        assert_eq!(outsiders(&a("alice"), &a("bob"), &[a("bob"), a("alice")], &[BOB], true), None);
        assert_eq!(outsiders(&a("alice"), &a("bob"), &[], &[BOB], true), None);
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

    proptest! {
        #[test]
        fn content_from_outside_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = minicbor::decode::<Content>(&bytes);
            let _ = sotto_crypto::decode_strict::<SealedHeader>(&bytes);
            let _ = minicbor::decode::<Delivery>(&bytes);
        }
    }
}
