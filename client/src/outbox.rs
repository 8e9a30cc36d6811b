//! The outbox, as it is used: what is said is durable here before the call returns, and is sent by whoever comes to it
//! first: a receiver that follows, or [`Client::flush`], in this process or in another one. Sending itself is in `pump.rs`.

use std::path::Path;
use std::time::Duration;

use sotto_wire::content::{Body, Content, Forwarded, MessageRef};
use tokio::time::{Instant, sleep};

use crate::apply::{self, MAX_EMOJI};
use crate::client::Client;
use crate::clock::now_ms;
use crate::compose::is_said;
use crate::error::{AttachmentError, Error, Refusal, StoreError};
use crate::store::{
    Annotation, Audience, ConversationRecord, OutboxKind, OutboxRecord, Placed, Tx, Unread, outbox_all,
};
use crate::view::{Draft, DraftOptions, FileDraft, Flushed, OutboxEntry, Target, ViewBody};

/// Between two looks at an outbox that another process is sending from.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Client {
    /// Says something: durable in the outbox when this returns, sent in the order in which it was said within its
    /// conversation, tried for as long as it takes. What comes of it shows in [`Client::message`].
    pub async fn post(&self, to: Target, draft: Draft) -> Result<MessageRef, Error> {
        let inner = &self.inner;
        let policy = inner.known_policy().await?;
        let record = inner.resolve(to).await?;
        let composed = inner.compose(&record, draft.body, draft.options, &policy)?;
        self.queue(composed, record).await
    }

    async fn queue(&self, composed: crate::compose::Composed, record: ConversationRecord) -> Result<MessageRef, Error> {
        let (key, id) = (composed.entry.key.clone(), record.id.clone());
        self.inner
            .store
            .run(move |tx| {
                tx.add_message(&composed.stored, &record.conversation, Unread::No)?;
                tx.put_outbox(&composed.entry)
            })
            .await?;
        self.inner.changed(&id);
        self.inner.wake();
        Ok(key)
    }

    /// Says something with a file of this machine, which is sealed into the outbox before this returns: the file itself may
    /// go. `progress` hears of uploaded and all bytes while this process uploads it.
    pub async fn post_file(
        &self,
        to: Target,
        path: &Path,
        about: FileDraft,
        progress: impl Fn(u64, u64) + Send + Sync + 'static,
    ) -> Result<MessageRef, Error> {
        let inner = &self.inner;
        let policy = inner.known_policy().await?;
        if !policy.group.files_enabled {
            return Err(Refusal::FilesDisabled.into());
        }
        let record = inner.resolve(to).await?;
        let name = crate::attachments::name_of(path)?;
        let outgoing = inner.profile.outgoing()?;
        let sealed = inner.seal_outgoing(path, &outgoing).await?;
        let mut file = sealed.file(name, inner.account.domain())?;
        (file.caption, file.kind, file.duration_ms, file.preview) =
            (about.caption, about.kind, about.duration_ms, about.preview);
        let mut composed = inner.compose(&record, Body::File(file), about.options, &policy)?;
        let spooled = sealed.keep().ok_or(AttachmentError::Name)?;
        inner.watch_upload(composed.entry.key.clone(), progress);
        composed.entry.upload = Some(spooled);
        self.queue(composed, record).await
    }

    /// Sends what waits, until nothing does or the time is over.
    pub async fn flush(&self, within: Duration) -> Result<Flushed, Error> {
        let inner = &self.inner;
        let end = Instant::now() + within;
        let before = inner.waiting().await?;
        let mut sent = Flushed::default();
        inner.forget_backoff();
        loop {
            let round = inner.pump(end, None).await?;
            sent.sent += round.sent;
            sent.refused += round.refused;
            sent.left = inner.waiting().await?;
            if sent.left == 0 || Instant::now() >= end {
                // Another process may have sent some.
                let gone = before.saturating_sub(sent.left);
                sent.sent = sent.sent.max(gone.saturating_sub(sent.refused));
                return Ok(sent);
            }
            sleep(LOOK_AGAIN.min(end.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// What waits in the outbox, oldest first. Receipts are not shown.
    pub async fn outbox(&self) -> Result<Vec<OutboxEntry>, Error> {
        let entries = self.inner.store.run(outbox_all).await?;
        Ok(entries
            .iter()
            .filter(|e| e.kind != OutboxKind::Receipt)
            .map(|e| OutboxEntry {
                key: e.key.clone(),
                conversation: e.conversation.id(),
                what: e.kind.word(),
                queued_at_ms: e.queued_at_ms,
                attempts: e.attempts,
                uncertain: e.uncertain,
                reason: e.reason.clone(),
            })
            .collect())
    }

    /// Takes a message out of the outbox and out of the history. False when it is too late: the relay has it, or may have
    /// it.
    pub async fn cancel(&self, message: &MessageRef) -> Result<bool, Error> {
        let key = message.clone();
        let cancelled = self
            .inner
            .store
            .run(move |tx| {
                let Some(entry) = tx.outbox_entry(&key)?.filter(|e| !e.uncertain) else { return Ok(None) };
                tx.delete_outbox(&key)?;
                if is_said(entry.kind) {
                    tx.delete_message(&key)?;
                } else {
                    roll_back(tx, &entry)?;
                }
                Ok(Some((entry.conversation.id(), entry.upload.clone())))
            })
            .await?;
        let Some((conversation, upload)) = cancelled else { return Ok(false) };
        if let Some(name) = upload {
            self.inner.forget_outgoing(&name);
        }
        self.inner.changed(&conversation);
        Ok(true)
    }

    /// New words for a message of the user's own, in place of its text or caption.
    pub async fn edit(&self, message: &MessageRef, text: String) -> Result<MessageRef, Error> {
        let target = message.clone();
        self.act(message, OutboxKind::Edit, move |placed, _, me| {
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
        self.act(message, OutboxKind::Delete, move |placed, record, me| {
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
        self.act(message, OutboxKind::Reaction, move |_, _, _| Ok(Body::React(target, emoji, on))).await
    }

    /// Pins a message in its conversation, or takes the pin away.
    pub async fn pin(&self, message: &MessageRef, on: bool) -> Result<MessageRef, Error> {
        let target = message.clone();
        self.act(message, OutboxKind::Pin, move |_, _, _| Ok(Body::Pin(target, on))).await
    }

    /// Says again elsewhere what a message says, and where it comes from.
    pub async fn forward(&self, message: &MessageRef, to: Target) -> Result<MessageRef, Error> {
        if !self.inner.known_policy().await?.group.forwarding_enabled {
            return Err(Refusal::ForwardingDisabled.into());
        }
        let view = self.message(message).await?.ok_or(Refusal::NoMessage)?;
        let body = match view.body {
            ViewBody::Text(text) => Body::Text(text),
            ViewBody::File(file) => Body::File(file),
            _ => return Err(Refusal::NotPossible("only a text or a file can be forwarded").into()),
        };
        let origin = Forwarded { from: view.key.sender, sent_at_ms: view.sent_at_ms };
        let options = DraftOptions { forwarded: Some(view.forwarded.unwrap_or(origin)), ..DraftOptions::default() };
        self.post(to, Draft { body, options }).await
    }

    /// Does something to a message: here at once, and in the outbox for everybody else, in one transaction.
    async fn act<F>(&self, target: &MessageRef, kind: OutboxKind, body: F) -> Result<MessageRef, Error>
    where
        F: FnOnce(&Placed, &ConversationRecord, &sotto_crypto::Address) -> Result<Body, Refusal> + Send + 'static,
    {
        let (target, inner, now) = (target.clone(), self.inner.clone(), now_ms());
        let done = self
            .inner
            .store
            .run(move |tx| {
                let me = &inner.account.address;
                let Some(placed) = tx.placed_message(&target)? else { return Ok(Err(Refusal::NoMessage.into())) };
                let record = apply::conversation(tx, &placed.message.conversation)?;
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
                let entry = match inner.entry(&content, kind, Audience::Members, now) {
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
        self.inner.changed(&conversation);
        self.inner.wake();
        Ok(key)
    }
}

/// What a message says, where it is readable.
fn said(placed: &Placed) -> Option<Body> {
    minicbor::decode::<Content>(&placed.message.content).ok().map(|content| content.body)
}

/// What an entry has done here is taken back: nobody else will hear of it.
pub(crate) fn roll_back(tx: &Tx<'_>, entry: &OutboxRecord) -> Result<(), StoreError> {
    let Ok(content) = minicbor::decode::<Content>(&entry.content) else { return Ok(()) };
    let marks: Vec<Annotation> = apply::marks(&entry.key, &entry.conversation.id(), content.sent_at_ms, &content.body);
    marks.iter().try_for_each(|mark| tx.unannotate(mark))
}
