//! What a message does to the local store when it has come, or when it is said here: one transaction each, the same on
//! every device that has the same messages, whatever the order in which they came.

use sotto_crypto::Address;
use sotto_wire::content::{Body, Content, MessageRef, ReceiptKind};
use sotto_wire::limits;

use crate::core::error::StoreError;
use crate::store::{
    Annotation, ConversationRecord, Mark, PendingReceipt, Placed, StoredMessage, Tx, Unread, conversation,
};

/// Members of a conversation up to which it is told that messages have come.
pub(crate) const DELIVERED_UP_TO: usize = 20;
/// Longest emoji of a reaction in bytes.
pub(crate) const MAX_EMOJI: usize = 64;
/// What was done to a message that has not come is kept for this long: longer than the message can wait at a relay.
const ORPHAN_MS: u64 = (limits::MAX_QUEUE_SECONDS + 24 * 3600) * 1000;

/// What a body is to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Said: has a place in the history.
    Said,
    /// Done to a message: kept beside it.
    Done,
    /// A receipt: kept beside the messages that it names, and no event for anybody.
    Receipt,
    /// Now or never: not kept.
    Signal,
    /// Of a room's making.
    Room,
    /// About what is missing: between devices, and no event for anybody.
    Chain,
}

/// What this body is.
pub(crate) fn class(body: &Body) -> Class {
    match body {
        Body::Text(_) | Body::File(_) => Class::Said,
        Body::Edit(..) | Body::Delete(_) | Body::React(..) | Body::Pin(..) => Class::Done,
        Body::Receipt(..) => Class::Receipt,
        Body::Typing(_) | Body::Presence(_) => Class::Signal,
        Body::Room(_) | Body::RoomAsk(_) => Class::Room,
        Body::Resend(..)
        | Body::Again(..)
        | Body::Gone(..)
        | Body::Head(_)
        | Body::ResendById(..)
        | Body::GoneById(..) => Class::Chain,
    }
}

/// What this body does to other messages.
pub(crate) fn marks(by: &MessageRef, conversation: &str, at_ms: u64, body: &Body) -> Vec<Annotation> {
    let mark = |target: &MessageRef, mark| Annotation {
        target: target.clone(),
        conversation: conversation.to_owned(),
        by: by.clone(),
        at_ms,
        mark,
    };
    match body {
        Body::Edit(target, words) => vec![mark(target, Mark::Edit(words.clone()))],
        Body::Delete(target) => vec![mark(target, Mark::Delete)],
        Body::React(target, emoji, on) if !emoji.is_empty() && emoji.len() <= MAX_EMOJI => {
            vec![mark(target, Mark::React(emoji.clone(), *on))]
        }
        Body::Pin(target, on) => vec![mark(target, Mark::Pin(*on))],
        Body::Receipt(kind, targets) => {
            let what = match kind {
                ReceiptKind::Delivered => Mark::Delivered,
                ReceiptKind::Read => Mark::Read,
            };
            targets.iter().take(limits::MAX_RECEIPTS).map(|target| mark(target, what.clone())).collect()
        }
        _ => Vec::new(),
    }
}

/// A text or file takes its place in the history, with what was done to it before it came.
pub(crate) fn arrive(
    tx: &Tx<'_>,
    me: &Address,
    mut message: StoredMessage,
    content: &Content,
    now_ms: u64,
) -> Result<(), StoreError> {
    let key = message.key();
    let own = &message.sender == me;
    let record = conversation(tx, &message.conversation)?;
    let record = record.unwrap_or_else(|| ConversationRecord::of(&content.conversation));
    let before: Vec<Annotation> = tx
        .annotations(&key)?
        .into_iter()
        .filter(|a| a.conversation == message.conversation && a.is_allowed(&record.moderators))
        .collect();
    let deleted = before.iter().any(|a| a.mark == Mark::Delete);
    let read = before.iter().any(|a| a.mark == Mark::Read && &a.by.sender == me);
    if let Some(seconds) = content.burn_after_read_s.filter(|_| own || read) {
        burn(&mut message, seconds, now_ms);
    }
    if deleted {
        message.content = tombstone(&message, content);
    }
    let named = content.mentions.as_ref().is_some_and(|m| m.contains(me));
    let unread = match (own || read || deleted, named) {
        (true, _) => Unread::No,
        (false, true) => Unread::Mentioned,
        (false, false) => Unread::Yes,
    };
    tx.add_message(&message, &content.conversation, unread)?;
    tx.adopt_annotations(&key)?;
    if !own && record.members.len() <= DELIVERED_UP_TO {
        let (conversation, kind) = (message.conversation, ReceiptKind::Delivered);
        tx.put(&PendingReceipt { target: key, conversation, kind, own_only: false })?;
    }
    Ok(())
}

/// Something was done to a message, which may not have come yet.
pub(crate) fn annotate(tx: &Tx<'_>, me: &Address, annotation: &Annotation, now_ms: u64) -> Result<(), StoreError> {
    let record = conversation(tx, &annotation.conversation)?;
    let moderators = record.map(|r| r.moderators).unwrap_or_default();
    let allowed = annotation.is_allowed(&moderators);
    // Whether somebody is a moderator may be learned later; everything else is known from the two names.
    if !allowed && annotation.mark != Mark::Delete {
        return Ok(());
    }
    let target = tx.placed_message(&annotation.target)?;
    if target.as_ref().is_some_and(|t| t.message.conversation != annotation.conversation) {
        return Ok(());
    }
    let receipt = matches!(annotation.mark, Mark::Delivered | Mark::Read);
    if receipt && &annotation.target.sender != me && &annotation.by.sender != me {
        return Ok(());
    }
    let gone = || -> Result<bool, StoreError> {
        let deleted = |a: &Annotation| {
            a.mark == Mark::Delete && a.conversation == annotation.conversation && a.is_allowed(&moderators)
        };
        Ok(tx.annotations(&annotation.target)?.iter().any(deleted))
    };
    // Words for a message that was taken back are not kept.
    if !receipt && annotation.mark != Mark::Delete && gone()? {
        return Ok(());
    }
    if !tx.annotate(annotation, now_ms.saturating_add(ORPHAN_MS))? {
        return Ok(());
    }
    match (&annotation.mark, target) {
        (Mark::Delete, target) if allowed => erase(tx, annotation, target, now_ms),
        (Mark::Read, Some(target)) if &annotation.by.sender == me => read(tx, target, now_ms).map(drop),
        _ => Ok(()),
    }
}

/// Deletes what a message said, and what was said about it in its conversation. Where the message has not come yet, the deletion
/// may name another conversation than the message's, and must not touch what was said there.
fn erase(tx: &Tx<'_>, by: &Annotation, target: Option<Placed>, now_ms: u64) -> Result<(), StoreError> {
    for annotation in tx.annotations(&by.target)? {
        let said = matches!(annotation.mark, Mark::Edit(_) | Mark::React(..) | Mark::Pin(_));
        if said && annotation.conversation == by.conversation {
            tx.unannotate(&annotation)?;
        }
    }
    let Some(Placed { mut message, .. }) = target else { return Ok(()) };
    if let Ok(content) = minicbor::decode::<Content>(&message.content) {
        message.content = tombstone(&message, &content);
    }
    // A message that is still to burn or to expire does so.
    message.expires_at_ms = message.expires_at_ms.map(|end| end.max(now_ms));
    tx.put_message(&message)?;
    tx.end_sent_of(&by.target)?;
    tx.set_unread(&by.target, Unread::No)
}

/// What is left of a message that was taken back.
fn tombstone(message: &StoredMessage, content: &Content) -> Vec<u8> {
    sotto_crypto::encode(&Content::new(content.conversation.clone(), content.sent_at_ms, Body::Delete(message.key())))
}

/// Marks everything in a conversation up to a position as read. Returns whether anything was not.
pub(crate) fn read_up_to(
    tx: &Tx<'_>,
    conversation: &str,
    up_to: u64,
    tell_senders: bool,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let unread = tx.unread_messages(conversation, up_to)?;
    let any = !unread.is_empty();
    for placed in unread {
        let target = read(tx, placed, now_ms)?;
        let (conversation, kind) = (conversation.to_owned(), ReceiptKind::Read);
        tx.put(&PendingReceipt { target, conversation, kind, own_only: !tell_senders })?;
    }
    Ok(any)
}

/// A message was read: it is no longer unread, and begins to burn.
fn read(tx: &Tx<'_>, placed: Placed, now_ms: u64) -> Result<MessageRef, StoreError> {
    let mut message = placed.message;
    let key = message.key();
    tx.set_unread(&key, Unread::No)?;
    let content: Option<Content> = minicbor::decode(&message.content).ok();
    if let Some(seconds) = content.and_then(|c| c.burn_after_read_s) {
        burn(&mut message, seconds, now_ms);
        tx.put_message(&message)?;
    }
    Ok(key)
}

/// It ends this much later, or when it would have ended anyway.
pub(crate) fn burn(message: &mut StoredMessage, seconds: u64, now_ms: u64) {
    let end = now_ms.saturating_add(seconds.saturating_mul(1000));
    message.expires_at_ms = Some(message.expires_at_ms.map_or(end, |known| known.min(end)));
}

/// Whether everybody in the conversation gets such a message, or only those whom it concerns.
pub(crate) fn is_for_everybody(body: &Body) -> bool {
    !matches!(class(body), Class::Receipt | Class::Chain)
}

#[cfg(test)]
mod tests;
