//! Sending: ask for recipients, check them, seal once, post. The message id is made first and stays, so that a repeat
//! is never a second message.

use std::collections::BTreeMap;
use std::time::Duration;

use sotto_crypto::{Address, MessageId, Sealed, SystemRng};
use sotto_wire::api::{Accepted, Envelope};
use sotto_wire::content::{Body, Content, Conversation};
use sotto_wire::{ErrorCode, limits};
use zeroize::Zeroizing;

use crate::client::{Client, Inner, put_membership, put_pin};
use crate::clock::now_ms;
use crate::error::{Error, Refusal, TrustError};
use crate::policy::{self, Policy};
use crate::recipients::{Asker, Checked, check};
use crate::registration::blocking;
use crate::store::{ConversationRecord, MessageState, Serials, StoredMessage};

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

/// What is sent, while it is sent.
struct Outgoing {
    message: MessageId,
    asked: Vec<Address>,
    content: Zeroizing<Vec<u8>>,
    expires_in_s: Option<u64>,
    stored: StoredMessage,
}

impl Client {
    /// Sends a text. Everybody in `to` is in one conversation with the sender.
    pub async fn send_text(&self, to: &[Address], text: &str, options: SendOptions) -> Result<Sent, Error> {
        self.send(to, Body::Text(text.to_owned()), options).await
    }

    /// Sends a body. Returns when the relay has the message durably.
    pub async fn send(&self, to: &[Address], body: Body, options: SendOptions) -> Result<Sent, Error> {
        let inner = &self.inner;
        let policy = inner.policy().await?;
        let (mut outgoing, conversation) = inner.compose(to, body, options, &policy)?;
        inner.note(&outgoing.stored).await?;
        match inner.deliver(&mut outgoing).await {
            Ok((accepted, checked)) => {
                let retained = !checked.retained_by.is_empty();
                outgoing.stored.state = MessageState::Accepted;
                outgoing.stored.accepted_at_ms = accepted.accepted_at_ms;
                outgoing.stored.retained = retained;
                inner.note(&outgoing.stored).await?;
                let record = ConversationRecord { id: outgoing.stored.conversation.clone(), retained };
                inner.store.run(move |tx| tx.put(&record)).await?;
                Ok(Sent {
                    message: outgoing.message,
                    conversation,
                    accepted_at_ms: accepted.accepted_at_ms,
                    expires_at_ms: outgoing.stored.expires_at_ms,
                    devices: checked.recipients.len(),
                    retained_by: checked.retained_by,
                    changed: checked.replaced,
                })
            }
            Err(error) => {
                // A network that broke may have broken after the relay had it: that one stays `Sending`.
                if !error.is_retryable() {
                    outgoing.stored.state = MessageState::Refused;
                    outgoing.stored.reason = Some(error.to_string());
                    inner.note(&outgoing.stored).await?;
                }
                Err(error)
            }
        }
    }
}

impl Inner {
    /// Makes the message, and checks all that can be checked without asking.
    fn compose(
        &self,
        to: &[Address],
        body: Body,
        options: SendOptions,
        policy: &Policy,
    ) -> Result<(Outgoing, Conversation), Error> {
        let me = &self.account.address;
        let mut asked: Vec<Address> = to.iter().filter(|a| *a != me).cloned().collect();
        asked.sort();
        asked.dedup();
        if to.is_empty() {
            return Err(Refusal::NoRecipients.into());
        }
        if asked.len() > limits::MAX_RECIPIENT_ADDRESSES {
            let (asked, max) = (asked.len(), limits::MAX_RECIPIENT_ADDRESSES);
            return Err(Refusal::TooManyAddresses { asked, max }.into());
        }
        match &body {
            Body::Text(text) if text.is_empty() => return Err(Refusal::Empty.into()),
            Body::File(_) if !policy.group.files_enabled => return Err(Refusal::FilesDisabled.into()),
            _ => {}
        }
        let expires_in_s = policy::expiry(options.expires_in.map(|d| d.as_secs().max(1)), &policy.group)?;
        let conversation = Conversation::of(asked.iter().cloned().chain([me.clone()])).ok_or(Refusal::NoRecipients)?;
        let now = now_ms();
        let content = Content { expires_in_s, ..Content::new(conversation.clone(), now, body) };
        let content = Zeroizing::new(sotto_crypto::encode(&content));
        if content.len() > limits::MAX_CONTENT {
            return Err(Refusal::TooLong { size: content.len(), max: limits::MAX_CONTENT }.into());
        }
        let message = MessageId::generate(&mut SystemRng);
        let stored = StoredMessage {
            id: message,
            sender: me.clone(),
            device: self.account.device,
            content: content.to_vec(),
            conversation: conversation.id(),
            accepted_at_ms: 0,
            stored_at_ms: now,
            expires_at_ms: expires_in_s.map(|s| now.saturating_add(s.saturating_mul(1000))),
            retained: false,
            state: MessageState::Sending,
            reason: None,
        };
        Ok((Outgoing { message, asked, content, expires_in_s, stored }, conversation))
    }

    /// Puts a message's state into the local history, where one is kept.
    async fn note(&self, stored: &StoredMessage) -> Result<(), Error> {
        if !self.keep {
            return Ok(());
        }
        let stored = stored.clone();
        self.store.run(move |tx| tx.put_message(&stored)).await
    }

    /// Seals and posts, again where the recipients' devices or the policy have changed meanwhile.
    async fn deliver(&self, outgoing: &mut Outgoing) -> Result<(Accepted, Checked), Error> {
        for _ in 0..ROUNDS {
            let (sealed, checked) = self.seal(outgoing).await?;
            let envelope = Envelope {
                header: sotto_crypto::encode(&sealed.header),
                body: sealed.body,
                wraps: sealed.wraps,
                expires_in_s: outgoing.expires_in_s.map(|s| s.min(limits::MAX_QUEUE_SECONDS)),
            };
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

    async fn seal(&self, outgoing: &Outgoing) -> Result<(Sealed, Checked), Error> {
        let answer = self.api.recipients(outgoing.asked.clone()).await?;
        let policy = self.policy().await?;
        let pins = self.pins(outgoing.asked.clone()).await?;
        let serials = self.store.list::<Serials>().await?;
        let known = self.known.clone();
        let memberships = self.memberships(outgoing.asked.clone()).await?;
        let (account, asked, content, message) =
            (self.account.clone(), outgoing.asked.clone(), outgoing.content.clone(), outgoing.message);
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
