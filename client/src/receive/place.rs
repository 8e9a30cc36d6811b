//! Where a message belongs: its conversation, who else has it, and what is kept of it.

use sotto_crypto::{Address, RecipientList};
use sotto_wire::content::{Content, Conversation};
use sotto_wire::room::RoomId;

use super::authenticate::Sender;
use super::message::{Keep, Receipt, ReceivedMessage, Unopened};
use super::open::{Outcome, Unsealed};
use super::rooms::RoomMessage;
use super::state::Receiving;
use crate::core::clock::now_ms;
use crate::core::error::Error;
use crate::store::{MessageState, Reason, StoredMessage};
use crate::talk::apply::{self, Class};
use crate::trust::policy;
use crate::trust::state::Purpose;

/// The version of the content that this program knows.
pub(super) const CONTENT: u8 = 1;

impl Receiving {
    /// Gives a message of an authenticated sender its place.
    pub(super) async fn place(&self, unsealed: Unsealed, sender: Sender) -> Result<Outcome, Error> {
        let Some(content) =
            minicbor::decode::<Content>(&unsealed.opened.content).ok().filter(|content| content.version == CONTENT)
        else {
            return Ok(match self.purpose {
                Purpose::Person => unsealed.aside(Reason::Newer(CONTENT)),
                Purpose::Archive => unsealed.not_shown(Unopened::NewerContent),
            });
        };
        let from = &unsealed.header.sender;
        let recipients = &unsealed.opened.recipients;
        let mut room_grew = false;
        let retained_by = if let Conversation::Room(room) = content.conversation {
            match self.room_message(room, from, &content, recipients).await? {
                RoomMessage::Shown(outsiders) => outsiders,
                RoomMessage::Done { grew } => {
                    room_grew = grew;
                    Vec::new()
                }
                RoomMessage::Stranger if apply::class(&content.body) == Class::Said => {
                    return Ok(unsealed.not_shown(Unopened::Conversation));
                }
                // What strangers do to messages, or say of them, concerns nobody.
                RoomMessage::Stranger => return Ok(Outcome::Dropped(unsealed.receipt())),
                RoomMessage::Author(who) => return Ok(unsealed.not_shown(Unopened::RoomAuthor(who))),
                RoomMessage::Waits => return Ok(unsealed.aside(Reason::RoomEvents(room))),
            }
        } else {
            let (members, whole) = (content.conversation.members(), apply::is_for_everybody(&content.body));
            match outsiders(from, &self.account.address, &members, &names(recipients), whole) {
                Some(outsiders) => outsiders,
                None => return Ok(unsealed.not_shown(Unopened::Conversation)),
            }
        };
        let retention_missing = self.retention_missing(from, recipients, unsealed.delivery.accepted_at_ms).await?;
        let mut message = self.received(unsealed, sender, content, retained_by, retention_missing);
        message.room_grew = room_grew;
        Ok(Outcome::Message(Box::new(message)))
    }

    async fn room_message(
        &self,
        room: RoomId,
        sender: &Address,
        content: &Content,
        recipients: &RecipientList,
    ) -> Result<RoomMessage, Error> {
        match self.purpose {
            Purpose::Person => self.rooms.place(room, sender, content, recipients).await,
            // Who keeps records keeps everything, and knows of no rooms.
            Purpose::Archive => Ok(RoomMessage::Shown(vec![self.account.address.clone()])),
        }
    }

    fn received(
        &self,
        unsealed: Unsealed,
        sender: Sender,
        content: Content,
        retained_by: Vec<Address>,
        retention_missing: Vec<String>,
    ) -> ReceivedMessage {
        let exact = unsealed.exact();
        let Unsealed { delivery, header, opened, one_time, conflict } = unsealed;
        let received_at_ms = now_ms();
        let expires_at_ms = content.ends_at_ms(delivery.accepted_at_ms);
        let stored = self.purpose.keeps_history().then(|| {
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
                state: if sender.mine { MessageState::Accepted } else { MessageState::Received },
                reason: None,
                retention_missing: !retention_missing.is_empty(),
                event: None,
                retained_by: retained_by.clone(),
                devices: 0,
                left_out: Vec::new(),
                conflicts_with: None,
            };
            Box::new(Keep { me: self.account.address.clone(), message, content: content.clone() })
        });
        let mut message = ReceivedMessage {
            message: header.message,
            conflicts_with: None,
            commitment: header.commitment,
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
            verified: sender.verified,
            identity_changed: sender.changed,
            room_grew: false,
            receipt: Receipt { seq: delivery.seq, key: Some(exact.clone()), one_time, stored },
        };
        if conflict {
            message.set_apart(&exact);
        }
        message
    }

    /// Policies that should have kept this message and did not get it.
    async fn retention_missing(
        &self,
        sender: &Address,
        recipients: &RecipientList,
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
        let has = |who: &Address| recipients.has(who);
        Ok(policy::retention_missing(&policy, me, group.map(|m| m.group.as_str()), accepted_at_ms, has))
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
