//! The outbox, as it is used: what is said is durable here before the call returns, and is sent by whoever comes to it
//! first: a receiver that follows, [`Outbox::send`] or [`Outbox::flush`], in this process or in another one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sotto_crypto::Address;
use sotto_wire::content::{Body, Forwarded, MessageRef};

use super::attachments::name_of;
use super::settle::Sent;
use super::state::Sending;
use crate::core::error::{AttachmentError, Error, Refusal};
use crate::core::platform::{Instant, sleep};
use crate::store::outbox_all;
use crate::talk::conversations::Conversations;
use crate::talk::view::{Draft, DraftOptions, FileDraft, Flushed, OutboxEntry, Target, ViewBody};

/// Between two looks at an outbox that another process is sending from.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What this account says and does. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    pub(super) sending: Arc<Sending>,
}

impl Outbox {
    pub(crate) fn new(sending: Arc<Sending>) -> Self {
        Self { sending }
    }

    /// Says something, and waits until the relay has it durably. An error says that it has not, and that nothing of the
    /// message is left; or, [`Error::Unsettled`], that nobody knows and that it stays in the outbox; or, [`Error::Uncertain`],
    /// that nobody knows and that it is not tried again.
    pub async fn send(&self, to: Target, draft: Draft) -> Result<Sent, Error> {
        let sending = &self.sending;
        // As the network says now, not as it was last known: who waits wants to hear of it.
        let policy = sending.policy().await?;
        let record = sending.resolve(to).await?;
        let composed = sending.compose(&record, draft.body, draft.options, &policy)?;
        sending.expect(&composed.entry.key);
        let key = sending.queue(composed, record).await?;
        sending.settle(&key).await
    }

    /// Says a text to these people, and waits as [`send`](Self::send) does.
    pub async fn send_text(&self, to: &[Address], text: &str) -> Result<Sent, Error> {
        self.send(Target::People(to.to_vec()), Draft::text(text)).await
    }

    /// Says something with a file of this machine, and waits as [`send`](Self::send) does.
    pub async fn send_file(
        &self,
        to: Target,
        path: &Path,
        about: FileDraft,
        progress: impl Fn(u64, u64) + Send + Sync + 'static,
    ) -> Result<Sent, Error> {
        self.sending.policy().await?;
        let key = self.queue_file(to, path, about, progress, true).await?;
        self.sending.settle(&key).await
    }

    /// Says something: durable in the outbox when this returns, sent in the order in which it was said within its
    /// conversation, tried for as long as it takes. What comes of it shows in [`Conversations::message`].
    pub async fn post(&self, to: Target, draft: Draft) -> Result<MessageRef, Error> {
        let sending = &self.sending;
        let policy = sending.known_policy().await?;
        let record = sending.resolve(to).await?;
        let composed = sending.compose(&record, draft.body, draft.options, &policy)?;
        sending.queue(composed, record).await
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
        self.queue_file(to, path, about, progress, false).await
    }

    async fn queue_file(
        &self,
        to: Target,
        path: &Path,
        about: FileDraft,
        progress: impl Fn(u64, u64) + Send + Sync + 'static,
        is_waited_for: bool,
    ) -> Result<MessageRef, Error> {
        let sending = &self.sending;
        let policy = sending.known_policy().await?;
        if !policy.group.files_enabled {
            return Err(Refusal::FilesDisabled.into());
        }
        let record = sending.resolve(to).await?;
        let name = name_of(path)?;
        let outgoing = sending.profile.outgoing()?;
        let sealed = sending.seal_outgoing(path, &outgoing).await?;
        let mut file = sealed.file(name, sending.account.domain())?;
        (file.caption, file.kind, file.duration_ms, file.preview) =
            (about.caption, about.kind, about.duration_ms, about.preview);
        let mut composed = sending.compose(&record, Body::File(file), about.options, &policy)?;
        let spooled = sealed.keep().ok_or(AttachmentError::Name)?;
        sending.watch_upload(composed.entry.key.clone(), progress);
        composed.entry.upload = Some(spooled);
        if is_waited_for {
            sending.expect(&composed.entry.key);
        }
        sending.queue(composed, record).await
    }

    /// Sends what waits, until nothing does or the time is over.
    pub async fn flush(&self, within: Duration) -> Result<Flushed, Error> {
        let sending = &self.sending;
        let end = Instant::now() + within;
        let before = sending.waiting().await?;
        let mut sent = Flushed::default();
        sending.forget_backoff();
        loop {
            let round = sending.pump(end, None).await?;
            sent.sent += round.sent;
            sent.refused += round.refused;
            sent.left = sending.waiting().await?;
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
    pub async fn list(&self) -> Result<Vec<OutboxEntry>, Error> {
        let entries = self.sending.store.run(outbox_all).await?;
        Ok(entries
            .iter()
            .filter(|e| !e.kind.is_quiet())
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
        self.sending.withdraw(message).await
    }

    /// Says again elsewhere what a message says, and where it comes from.
    pub async fn forward(&self, message: &MessageRef, to: Target) -> Result<MessageRef, Error> {
        if !self.sending.known_policy().await?.group.forwarding_enabled {
            return Err(Refusal::ForwardingDisabled.into());
        }
        let view = Conversations::new(self.sending.trust.clone()).message(message).await?.ok_or(Refusal::NoMessage)?;
        let body = match view.body {
            ViewBody::Text(text) => Body::Text(text),
            ViewBody::File(file) => Body::File(file),
            _ => return Err(Refusal::NotPossible("only a text or a file can be forwarded").into()),
        };
        let origin = Forwarded { from: view.key.sender, sent_at_ms: view.sent_at_ms };
        let options = DraftOptions { forwarded: Some(view.forwarded.unwrap_or(origin)), ..DraftOptions::default() };
        self.post(to, Draft { body, options }).await
    }
}
