//! Sending: ask for recipients, check them, seal once, post. The message id is made first and stays, so that a repeat
//! is never a second message.

use std::collections::BTreeMap;
use std::time::Duration;

use sotto_crypto::{Address, MessageId, Sealed, SystemRng};
use sotto_wire::api::{Accepted, Envelope, Recipients};
use sotto_wire::content::{Body, Conversation};
use sotto_wire::{ErrorCode, limits};
use zeroize::Zeroizing;

use crate::client::{Client, Inner, put_membership, put_pin};
use crate::clock::now_ms;
use crate::error::{Error, Refusal, TrustError};
use crate::recipients::{Asker, Checked, check};
use crate::registration::blocking;
use crate::store::{MessageState, OutboxRecord, Serials, Unread};
use crate::view::{Draft, Target};

/// How often a message is sealed again because the recipients' devices have changed meanwhile.
const ROUNDS: u32 = 3;

/// How a message is sent.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SendOptions {
    /// Every copy but a retained one is deleted after this time, counted from sending.
    pub expires_in: Option<Duration>,
}

impl SendOptions {
    /// With this expiry.
    #[must_use]
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.expires_in = Some(time);
        self
    }
}

/// A message that the relay has durably.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sent {
    /// Its id.
    pub message: MessageId,
    /// The conversation that it belongs to.
    pub conversation: Conversation,
    /// When the relay accepted it (milliseconds since the epoch, by the relay's clock).
    pub accepted_at_ms: u64,
    /// When it is deleted, where it is (milliseconds since the epoch).
    pub expires_at_ms: Option<u64>,
    /// The devices that it was sealed to.
    pub devices: usize,
    /// The retention processes that got it too.
    pub retained_by: Vec<Address>,
    /// Whose identity has changed since they were last written to, without having been verified: to be told.
    pub changed: Vec<Address>,
}

/// What has to be durable before the relay may have a message.
pub(crate) trait BeforePost {
    /// Makes it durable.
    async fn before_post(&mut self) -> Result<(), Error>;
}

/// Nothing has to be.
pub(crate) struct Nothing;

impl BeforePost for Nothing {
    async fn before_post(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl Client {
    /// Sends a text. Everybody in `to` is in one conversation with the sender.
    pub async fn send_text(&self, to: &[Address], text: &str, options: SendOptions) -> Result<Sent, Error> {
        self.send(to, Body::Text(text.to_owned()), options).await
    }

    /// Sends a text or a file that a relay holds already. Returns when the relay has the message durably.
    pub async fn send(&self, to: &[Address], body: Body, options: SendOptions) -> Result<Sent, Error> {
        let mut draft = match body {
            Body::Text(text) => Draft::text(text),
            body => Draft { body, options: crate::view::DraftOptions::default() },
        };
        draft.options.expires_in = options.expires_in;
        self.send_draft(Target::People(to.to_vec()), draft).await
    }

    /// Sends a message, after what waits in the outbox for the same conversation. Returns when the relay has it durably;
    /// an error says that it has not, or that nobody knows: it is not tried again. [`Client::post`] does not wait, and
    /// tries for as long as it takes.
    pub async fn send_draft(&self, to: Target, draft: Draft) -> Result<Sent, Error> {
        let inner = &self.inner;
        let policy = inner.policy().await?;
        let record = inner.resolve(to).await?;
        let mut composed = inner.compose(&record, draft.body, draft.options, &policy)?;
        composed.stored.state = MessageState::Sending;
        inner.send_earlier(&record.id).await?;
        if inner.keep {
            let (stored, conversation) = (composed.stored.clone(), record.conversation.clone());
            inner.store.run(move |tx| tx.add_message(&stored, &conversation, Unread::No)).await?;
            inner.changed(&record.id);
        }
        match inner.deliver(&composed.entry, &mut Nothing).await {
            Ok((accepted, checked)) => {
                inner.accepted(&composed.entry, accepted, &checked).await?;
                Ok(Sent {
                    message: composed.entry.key.message,
                    conversation: record.conversation,
                    accepted_at_ms: accepted.accepted_at_ms,
                    expires_at_ms: composed.entry.expires_at_ms,
                    devices: checked.recipients.len(),
                    retained_by: checked.retained_by,
                    changed: checked.replaced,
                })
            }
            Err(error) => {
                // A network that broke may have broken after the relay had it: that one stays `Sending`.
                if !error.is_retryable() {
                    inner.refused(&composed.entry, error.to_string()).await?;
                }
                Err(error)
            }
        }
    }
}

impl Inner {
    /// Seals and posts, again where the recipients' devices or the policy have changed meanwhile.
    pub(crate) async fn deliver<B: BeforePost>(
        &self,
        entry: &OutboxRecord,
        before: &mut B,
    ) -> Result<(Accepted, Checked), Error> {
        for _ in 0..ROUNDS {
            let content = self.content_to_seal(entry).await?;
            let mut asked = self.whom(entry).await?;
            let answer = self.recipients(entry, &mut asked).await?;
            let (sealed, checked) = self.seal(entry.key.message, asked, &content, answer).await?;
            let left_s = entry.expires_at_ms.map(|end| end.saturating_sub(now_ms()).div_ceil(1000).max(1));
            let envelope = Envelope {
                header: sotto_crypto::encode(&sealed.header),
                body: sealed.body,
                wraps: sealed.wraps,
                expires_in_s: left_s.map(|s| s.min(limits::MAX_QUEUE_SECONDS)),
            };
            before.before_post().await?;
            match self.api.send(&envelope).await {
                Ok(accepted) => return Ok((accepted, checked)),
                Err(error)
                    if matches!(error.code(), Some(ErrorCode::RecipientsChanged | ErrorCode::RetentionRequired)) =>
                {
                    tracing::debug!(%error, "sealing again");
                    self.forget_policy().await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Refusal::RecipientsKeepChanging.into())
    }

    /// Asks for recipients. In a room, a member who cannot be written to (suspended, not there any more) is left out: the
    /// others shall not be kept from talking.
    async fn recipients(&self, entry: &OutboxRecord, asked: &mut Vec<Address>) -> Result<Recipients, Error> {
        loop {
            let error = match self.api.recipients(asked.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Error::Relay(said) = &error else { return Err(error) };
            let room = matches!(entry.conversation, Conversation::Room(_)) && said.code == ErrorCode::NotFound;
            // The relay names one at a time, first of all.
            let named = said.message.split_whitespace().next().and_then(|word| Address::parse(word).ok());
            let Some(gone) = named.filter(|who| room && asked.contains(who)) else { return Err(error) };
            tracing::debug!(who = %gone, "a member of a room cannot be written to and is left out");
            asked.retain(|who| *who != gone);
        }
    }

    async fn whom(&self, entry: &OutboxRecord) -> Result<Vec<Address>, Error> {
        let (entry, me) = (entry.clone(), self.account.address.clone());
        self.store.run(move |tx| crate::compose::audience(tx, &me, &entry)).await
    }

    /// Checks the answer to a question for recipients, and seals to them.
    pub(crate) async fn seal(
        &self,
        message: MessageId,
        asked: Vec<Address>,
        content: &Zeroizing<Vec<u8>>,
        answer: Recipients,
    ) -> Result<(Sealed, Checked), Error> {
        let policy = self.policy().await?;
        let pins = self.pins(asked.clone()).await?;
        let serials = self.store.list::<Serials>().await?;
        let memberships = self.memberships(asked.clone()).await?;
        let (account, content, known) = (self.account.clone(), content.clone(), self.known.clone());
        let (checked, sealed) = blocking(move || {
            let pins: BTreeMap<_, _> = pins.into_iter().map(|pin| (pin.address.clone(), pin)).collect();
            let view = Asker {
                address: &account.address,
                device: account.device,
                identity: &account.identity,
                policy_key: &account.policy_key,
                network: &policy.network,
                group: &policy.group.name,
                pins: &pins,
                serials: &serials,
                memberships: &memberships,
                now_ms: now_ms(),
            };
            let checked = check(&view, &mut known.lock(), &asked, &answer)?;
            let sealed = checked.blocked.is_empty().then(|| {
                sotto_crypto::seal(&mut SystemRng, &account.sender(), message, &content, &checked.recipients)
                    .map_err(|e| Error::from(Refusal::Seal(e.to_string())))
            });
            Ok((checked, sealed.transpose()?))
        })
        .await?;
        let (pins, serials, memberships) = (checked.pins.clone(), checked.serials.clone(), checked.memberships.clone());
        self.store
            .run(move |tx| {
                pins.iter().try_for_each(|pin| put_pin(tx, pin))?;
                serials.iter().try_for_each(|s| tx.put(s))?;
                memberships.iter().try_for_each(|m| put_membership(tx, m))
            })
            .await?;
        match (sealed, checked.blocked.first()) {
            (Some(sealed), _) => Ok((sealed, checked)),
            (None, Some(who)) => Err(TrustError::IdentityChanged(who.clone()).into()),
            (None, None) => Err(Error::Internal("nothing was sealed")),
        }
    }
}
