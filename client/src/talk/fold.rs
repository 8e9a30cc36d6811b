//! A message and all that was done to it, folded into what is shown. Pure, and the same for everybody who has the same
//! annotations, whatever the order in which they came.
//!
//! For each thing that somebody can do to a message there is one slot, and in each slot the newest annotation counts: by
//! its sender's clock, then by the name of the message that carried it. Who may not do something is not listened to.

use sotto_crypto::Address;
use sotto_wire::content::{Body, Content};

use crate::core::clock::is_future;
use crate::store::{Annotation, Mark, MessageState, Placed};
use crate::talk::view::{DeliveryState, MessageView, ViewBody};
use crate::trust::identity::TrustState;

/// What the fold has to know beside the message.
pub(crate) struct Around<'a> {
    /// The user.
    pub(crate) me: &'a Address,
    /// Everybody in the conversation.
    pub(crate) members: &'a [Address],
    /// A room's moderators.
    pub(crate) moderators: &'a [Address],
    /// How far the sender's identity is known.
    pub(crate) sender: Option<TrustState>,
    /// How people call the sender.
    pub(crate) sender_name: Option<&'a str>,
}

/// The message as it is shown.
pub(crate) fn fold(placed: &Placed, annotations: &[Annotation], around: &Around<'_>) -> MessageView {
    let message = &placed.message;
    let key = message.key();
    let allowed =
        |a: &&Annotation| a.target == key && a.conversation == message.conversation && a.is_allowed(around.moderators);
    let own = &message.sender == around.me;
    let content: Option<Content> = minicbor::decode(&message.content).ok().filter(|c: &Content| c.version == 1);
    let sent_at_ms = content.as_ref().map_or(message.stored_at_ms, |c| c.sent_at_ms);
    let mut view = MessageView {
        key: key.clone(),
        sender_name: around.sender_name.map(str::to_owned),
        position: placed.position,
        conversation: message.conversation.clone(),
        own,
        sent_at_ms,
        body: ViewBody::Unknown,
        edited: false,
        reply_to: None,
        mentions: Vec::new(),
        forwarded: None,
        reactions: Vec::new(),
        pinned: false,
        expires_at_ms: message.expires_at_ms,
        state: state(message.state),
        reason: message.reason.clone(),
        delivered_to: Vec::new(),
        read_by: Vec::new(),
        retained: message.retained,
        retained_by: message.retained_by.clone(),
        left_out: message.left_out.clone(),
        retention_missing: message.retention_missing,
        late: message.late,
        sent_in_future: !own && is_future(sent_at_ms, message.stored_at_ms),
        forward_secret: message.forward_secret,
        conflict: message.conflict,
        removed: message.removed,
        conflicts_with: message.conflicts_with,
        verified: own || around.sender == Some(TrustState::Verified),
        identity_changed: matches!(around.sender, Some(TrustState::Replaced | TrustState::Changed)),
    };
    if let Some(missing) = message.missing {
        view.body = ViewBody::Missing(missing);
        return view;
    }
    let marks = newest(annotations.iter().filter(allowed));
    receipts(&mut view, &marks, around);
    if let Some(words) = &message.event {
        view.body = ViewBody::Event(words.clone());
        return view;
    }
    let Some(content) = content else { return view };
    let deleted = marks.iter().any(|a| a.mark == Mark::Delete);
    view.body = match content.body {
        Body::Delete(_) => ViewBody::Deleted,
        _ if deleted => ViewBody::Deleted,
        Body::Text(text) => ViewBody::Text(text),
        Body::File(file) => ViewBody::File(file),
        _ => ViewBody::Unknown,
    };
    if view.body == ViewBody::Deleted {
        return view;
    }
    view.reply_to = content.reply_to;
    view.mentions = content.mentions.unwrap_or_default();
    view.forwarded = content.forwarded;
    for annotation in marks {
        match &annotation.mark {
            Mark::Edit(words) => {
                view.edited = true;
                match &mut view.body {
                    ViewBody::Text(text) => text.clone_from(words),
                    ViewBody::File(file) => file.caption = (!words.is_empty()).then(|| words.clone()),
                    _ => {}
                }
            }
            Mark::React(emoji, true) => match view.reactions.iter_mut().find(|(e, _)| e == emoji) {
                Some((_, people)) => people.push(annotation.by.sender.clone()),
                None => view.reactions.push((emoji.clone(), vec![annotation.by.sender.clone()])),
            },
            Mark::Pin(on) => view.pinned = *on,
            _ => {}
        }
    }
    view.reactions.sort();
    view.reactions.iter_mut().for_each(|(_, people)| people.sort());
    view
}

/// The newest in each slot.
fn newest<'a>(annotations: impl Iterator<Item = &'a Annotation>) -> Vec<&'a Annotation> {
    let mut newest: std::collections::BTreeMap<Vec<Vec<u8>>, &Annotation> = std::collections::BTreeMap::new();
    for annotation in annotations {
        newest
            .entry(annotation.slot())
            .and_modify(|held| {
                if annotation.is_newer_than(held) {
                    *held = annotation;
                }
            })
            .or_insert(annotation);
    }
    newest.into_values().collect()
}

fn receipts(view: &mut MessageView, marks: &[&Annotation], around: &Around<'_>) {
    let others = |mark: &Mark| {
        let by = marks.iter().filter(|a| &a.mark == mark).map(|a| a.by.sender.clone());
        by.filter(|who| who != around.me).collect::<Vec<_>>()
    };
    view.read_by = others(&Mark::Read);
    view.delivered_to = others(&Mark::Delivered);
    view.delivered_to.extend(view.read_by.iter().cloned());
    view.read_by.sort();
    view.delivered_to.sort();
    view.delivered_to.dedup();
    if view.own && view.state == DeliveryState::Uncertain && !view.delivered_to.is_empty() {
        // It did go out.
        (view.state, view.reason) = (DeliveryState::Accepted, None);
    }
    if view.own && view.state == DeliveryState::Accepted {
        let mut others = around.members.iter().filter(|m| *m != around.me).peekable();
        if others.peek().is_some() {
            let all = |who: &[Address]| others.clone().all(|m| who.contains(m));
            if all(&view.read_by) {
                view.state = DeliveryState::Read;
            } else if all(&view.delivered_to) {
                view.state = DeliveryState::Delivered;
            }
        }
    }
}

fn state(state: MessageState) -> DeliveryState {
    match state {
        MessageState::Received => DeliveryState::Received,
        MessageState::Queued => DeliveryState::Queued,
        MessageState::Sending => DeliveryState::Sending,
        MessageState::Accepted => DeliveryState::Accepted,
        MessageState::Refused => DeliveryState::Refused,
        MessageState::Uncertain => DeliveryState::Uncertain,
    }
}

#[cfg(test)]
mod tests;
