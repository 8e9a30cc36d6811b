//! What is done to messages: here at once, and for everybody else through the outbox.

use sotto_crypto::Address;
use sotto_wire::content::{Body, Content, MessageRef};

use super::compose::entry;
use super::outbox::Outbox;
use super::state::Sending;
use crate::core::clock::now_ms;
use crate::core::error::{Error, Refusal};
use crate::store::{Audience, ConversationRecord, OutboxKind, Placed, conversation};
use crate::talk::apply::{self, MAX_EMOJI};

impl Outbox {
    /// New words for a message of the user's own, in place of its text or caption.
    pub async fn edit(&self, message: &MessageRef, text: String) -> Result<MessageRef, Error> {
        let target = message.clone();
        self.sending
            .act(message, OutboxKind::Edit, move |placed, _, me| {
                if &placed.message.sender != me {
                    return Err(Refusal::NotYours);
                }
                match said(placed) {
                    Some(Body::Text(_)) if text.is_empty() => Err(Refusal::Empty),
                    Some(Body::Text(_) | Body::File(_)) => Ok(Body::Edit(target, text)),
                    _ => Err(Refusal::NotPossible("only the words of a text or of a file can be edited")),
                }
            })
            .await
    }

    /// Takes a message back: its content is deleted here at once and, when they hear of it, by everybody else.
    pub async fn delete(&self, message: &MessageRef) -> Result<(), Error> {
        self.take_back(message).await.map(drop)
    }

    /// [`delete`](Self::delete), with the name of the message that tells everybody else. One that still waits in the
    /// outbox is never sent, and nobody has to be told: `None`.
    pub async fn take_back(&self, message: &MessageRef) -> Result<Option<MessageRef>, Error> {
        if self.cancel(message).await? {
            return Ok(None);
        }
        let target = message.clone();
        self.sending
            .act(message, OutboxKind::Delete, move |placed, record, me| {
                if &placed.message.sender == me || record.moderators.contains(me) {
                    return Ok(Body::Delete(target));
                }
                Err(Refusal::NotYours)
            })
            .await
            .map(Some)
    }

    /// Puts a reaction on a message, or takes it away.
    pub async fn react(&self, message: &MessageRef, emoji: &str, on: bool) -> Result<MessageRef, Error> {
        let (target, emoji) = (message.clone(), emoji.to_owned());
        if emoji.is_empty() || emoji.len() > MAX_EMOJI || emoji.chars().any(char::is_control) {
            return Err(Refusal::NotPossible("a reaction is one emoji of at most 64 bytes").into());
        }
        self.sending.act(message, OutboxKind::Reaction, move |_, _, _| Ok(Body::React(target, emoji, on))).await
    }

    /// Pins a message in its conversation, or takes the pin away.
    pub async fn pin(&self, message: &MessageRef, on: bool) -> Result<MessageRef, Error> {
        let target = message.clone();
        self.sending.act(message, OutboxKind::Pin, move |_, _, _| Ok(Body::Pin(target, on))).await
    }
}

impl Sending {
    /// Does something to a message: here at once, and in the outbox for everybody else, in one transaction.
    pub(super) async fn act<F>(&self, target: &MessageRef, kind: OutboxKind, body: F) -> Result<MessageRef, Error>
    where
        F: FnOnce(&Placed, &ConversationRecord, &Address) -> Result<Body, Refusal> + Send + 'static,
    {
        let (target, account, now) = (target.clone(), self.account.clone(), now_ms());
        let done = self
            .store
            .run(move |tx| {
                let me = &account.address;
                let Some(placed) = tx.placed_message(&target)? else { return Ok(Err(Refusal::NoMessage.into())) };
                let record = conversation(tx, &placed.message.conversation)?;
                let Some(record) = record else { return Ok(Err(Refusal::NoMessage.into())) };
                if record.left {
                    return Ok(Err(Refusal::Left(record.id).into()));
                }
                if said(&placed).is_none_or(|body| matches!(body, Body::Delete(_))) {
                    return Ok(Err(Refusal::NoMessage.into()));
                }
                let body = match body(&placed, &record, me) {
                    Ok(body) => body,
                    Err(refusal) => return Ok(Err(refusal.into())),
                };
                // Newer than all that is known of the message, though clocks differ.
                let known = tx.annotations(&target)?;
                let sent_at_ms = known.iter().map(|a| a.at_ms.saturating_add(1)).chain([now]).max().unwrap_or(now);
                let ends = placed.message.expires_at_ms.map(|end| end.saturating_sub(now).div_ceil(1000).max(1));
                let content =
                    Content { expires_in_s: ends, ..Content::new(record.conversation.clone(), sent_at_ms, body) };
                let entry = match entry(&account, &content, kind, Audience::Members, now) {
                    Ok(entry) => entry,
                    Err(error) => return Ok(Err(error)),
                };
                for mark in apply::marks(&entry.key, &record.id, sent_at_ms, &content.body) {
                    apply::annotate(tx, me, &mark, now)?;
                }
                tx.put_outbox(&entry)?;
                Ok(Ok((entry.key.clone(), record.id)))
            })
            .await?;
        let (key, conversation) = done?;
        self.changed(&conversation);
        self.wake();
        Ok(key)
    }
}

/// What a message says, where it is readable.
fn said(placed: &Placed) -> Option<Body> {
    minicbor::decode::<Content>(&placed.message.content).ok().map(|content| content.body)
}
