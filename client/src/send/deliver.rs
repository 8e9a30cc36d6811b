//! One attempt at one message: ask for recipients, believe the answer or not, seal once, post. The message's id was made
//! before and stays, so that a repeat is never a second message.

use sotto_crypto::{Address, SystemRng};
use sotto_wire::api::{Envelope, Recipients};
use sotto_wire::content::{Content, Conversation};
use sotto_wire::{ErrorCode, limits};
use zeroize::Zeroizing;

use super::chain::{Posted, next};
use super::compose::audience;
use super::state::Sending;
use crate::core::clock::now_ms;
use crate::core::error::{Error, Refusal, TrustError};
use crate::core::task::blocking;
use crate::store::{LeftOut, OutboxKind, OutboxRecord, OwnChainRecord, conversation};
use crate::trust::lists::known_list;

/// How often a message is sealed again because the recipients' devices have changed meanwhile.
const ROUNDS: u32 = 3;

/// How an attempt has ended that did not fail.
pub(super) enum Delivered {
    /// The relay has it.
    Accepted(Accepted),
    /// It was taken out of the outbox in the last moment.
    Cancelled,
}

/// A message that the relay has.
#[derive(Default)]
pub(super) struct Accepted {
    /// By the relay's clock (milliseconds since the epoch).
    pub(super) at_ms: u64,
    /// The devices that it was sealed to.
    pub(super) devices: u32,
    pub(super) retained_by: Vec<Address>,
    pub(super) left_out: Vec<LeftOut>,
    /// As it was posted, where it has a place in the chain.
    pub(super) posted: Option<Posted>,
}

/// Whether a relay that answers so does not have the message. Some answers it gives when it has looked whether it has; with
/// others for good it may have turned away a repeat without looking.
fn is_without_it(code: ErrorCode, first: bool) -> bool {
    let has_looked = matches!(
        code,
        ErrorCode::RecipientsChanged
            | ErrorCode::RetentionRequired
            | ErrorCode::FederationDenied
            | ErrorCode::MailboxFull
    );
    has_looked || first && !code.is_retryable()
}

impl Sending {
    /// Seals and posts, again where the recipients' devices or the policy have changed meanwhile.
    pub(super) async fn deliver(&self, entry: &mut OutboxRecord) -> Result<Delivered, Error> {
        for round in 1..=ROUNDS {
            // What the relay may have is posted again as it is.
            let frozen = entry.is_frozen();
            let content = self.content_to_seal(entry).await?;
            let mut asked = self.whom(entry).await?;
            let seen = self.heads().await?;
            let (answer, left_out) = self.recipients(entry, &mut asked).await?;
            let checked = match self.believe(&asked, seen, answer).await {
                // A note to oneself with no other device to go to, and word for devices that there are not.
                Err(Error::Refused(Refusal::NoRecipients)) => {
                    return Ok(Delivered::Accepted(Accepted { at_ms: now_ms(), left_out, ..Accepted::default() }));
                }
                // The relay may know a newer policy than the one at hand.
                Err(Error::Trust(TrustError::Retention { .. })) if round < ROUNDS => {
                    self.forget_policy().await;
                    continue;
                }
                // It shows another list of the own devices: the one that counts is found out, and put right where it must be.
                Err(Error::Trust(TrustError::OwnDevices)) if round < ROUNDS => {
                    self.look_after_devices().await?;
                    continue;
                }
                believed => believed?,
            };
            let mut posted = Posted::new(content, &checked.recipients);
            if !frozen {
                posted.content = self.stamp(entry, &posted).await?;
            }
            let (account, message, recipients) = (self.account.clone(), entry.key.message, checked.recipients);
            let devices = u32::try_from(recipients.len()).unwrap_or(u32::MAX);
            let content = posted.content.clone();
            let sealed = blocking(move || {
                sotto_crypto::seal(&mut SystemRng, &account.sender(), message, &content, &recipients)
                    .map_err(|e| Refusal::Seal(e.to_string()).into())
            })
            .await?;
            let left_s = entry.expires_at_ms.map(|end| end.saturating_sub(now_ms()).div_ceil(1000).max(1));
            let envelope = Envelope {
                header: sotto_crypto::encode(&sealed.header),
                body: sealed.body,
                wraps: sealed.wraps,
                expires_in_s: left_s.map(|s| s.min(limits::MAX_QUEUE_SECONDS)),
            };
            // Before the relay may have a message, the store knows that it may.
            let first = !entry.uncertain;
            if !self.mark_uncertain(entry, Some(&posted.content)).await? {
                return Ok(Delivered::Cancelled);
            }
            let answer = self.api.send(&envelope).await;
            if let Err(Error::Relay(said)) = &answer
                && is_without_it(said.code, first)
                && !self.mark_uncertain(entry, None).await?
            {
                return Ok(Delivered::Cancelled);
            }
            match answer {
                Ok(accepted) => {
                    let at_ms = accepted.accepted_at_ms;
                    let retained_by = checked.retained_by;
                    let posted = entry.linked.then_some(posted);
                    return Ok(Delivered::Accepted(Accepted { at_ms, devices, retained_by, left_out, posted }));
                }
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

    /// The content with what is said of this device: its list, and the place behind what it has said before.
    async fn stamp(&self, entry: &OutboxRecord, posted: &Posted) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (id, linked, devices) = (entry.conversation.id(), entry.linked, posted.devices.clone());
        let (me, identity) = (self.account.address.clone(), self.account.identity.fingerprint());
        let (link, list) = self
            .store
            .run(move |tx| {
                let chain: Option<OwnChainRecord> = if linked { tx.get(&OwnChainRecord::key_of(&id))? } else { None };
                Ok((linked.then(|| next(chain.as_ref(), &devices)), known_list(tx, &me, identity)?))
            })
            .await?;
        let content: Content = minicbor::decode(&posted.content)
            .map_err(|_| Refusal::NotPossible("what waits in the outbox cannot be read"))?;
        Ok(Zeroizing::new(sotto_crypto::encode(&Content { link, devices: Some(list.serial), ..content })))
    }

    /// Asks for recipients. In a room, members who cannot be written to (suspended, not there any more) are left out and
    /// told about: the others shall not be kept from talking.
    async fn recipients(
        &self,
        entry: &OutboxRecord,
        asked: &mut Vec<Address>,
    ) -> Result<(Recipients, Vec<LeftOut>), Error> {
        let mut left_out = Vec::new();
        loop {
            let said = match self.api.recipients(asked.clone()).await {
                Ok(answer) => return Ok((answer, left_out)),
                Err(Error::Relay(said)) => said,
                Err(error) => return Err(error),
            };
            let room = matches!(entry.conversation, Conversation::Room(_)) && said.code == ErrorCode::NotFound;
            let gone: Vec<&Address> = said.addresses.iter().filter(|who| asked.contains(who)).collect();
            if !room || gone.is_empty() {
                return Err(said.into());
            }
            let left = |who: &&Address| LeftOut { address: (*who).clone(), reason: said.message.clone() };
            left_out.extend(gone.iter().map(left));
            asked.retain(|who| !said.addresses.contains(who));
        }
    }

    async fn whom(&self, entry: &OutboxRecord) -> Result<Vec<Address>, Error> {
        let (entry, me) = (entry.clone(), self.account.address.clone());
        self.store.run(move |tx| audience(tx, &me, &entry)).await
    }

    /// The content of an entry as it is sealed: a message to a room says which of its events the sender knows. Only members
    /// write to a room.
    async fn content_to_seal(&self, entry: &OutboxRecord) -> Result<Zeroizing<Vec<u8>>, Error> {
        let id = entry.conversation.id();
        if entry.is_frozen() || !matches!(entry.conversation, Conversation::Room(_)) || entry.kind == OutboxKind::Room {
            return Ok(Zeroizing::new(entry.content.clone()));
        }
        let room = id.clone();
        let record = self.store.run(move |tx| conversation(tx, &room)).await?;
        let heads = record.filter(|record| !record.left).map(|record| record.heads).ok_or(Refusal::Left(id))?;
        let content: Content = minicbor::decode(&entry.content)
            .map_err(|_| Refusal::NotPossible("what waits in the outbox cannot be read"))?;
        Ok(Zeroizing::new(sotto_crypto::encode(&Content { heads: Some(heads), ..content })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_says_of_a_message_that_was_posted_before() {
        for (code, without, without_first) in [
            (ErrorCode::RecipientsChanged, true, true),
            (ErrorCode::FederationDenied, true, true),
            (ErrorCode::MailboxFull, true, true),
            (ErrorCode::Suspended, false, true),
            (ErrorCode::WrongCredentials, false, true),
            (ErrorCode::TooLarge, false, true),
            (ErrorCode::Unavailable, false, false),
            (ErrorCode::Internal, false, false),
        ] {
            assert_eq!((is_without_it(code, false), is_without_it(code, true)), (without, without_first), "{code:?}");
        }
    }
}
