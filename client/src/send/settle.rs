//! Waiting for a message: the state that the worker writes into the store is what became of it, whichever process sends.

use std::sync::PoisonError;
use std::time::Duration;

use sotto_crypto::{Address, Domain, MessageId};
use sotto_wire::content::{Conversation, MessageRef};

use super::compose::{Composed, is_said, roll_back};
use super::state::Sending;
use crate::core::clock::now_ms;
use crate::core::error::{Error, Refusal};
use crate::core::platform::{Instant, sleep};
use crate::store::{ConversationRecord, LeftOut, MessageState, Pin, Unread, conversation};
use crate::trust::directory::{StaleNetwork, stale};
use crate::trust::identity::TrustState;

/// Between two looks at a message that another task or process sends.
const LOOK: Duration = Duration::from_millis(50);
/// Another process that sends nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_mins(2);

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
    /// Whose identity has changed, which the user has not acknowledged: to be told with every message.
    pub changed: Vec<Address>,
    /// Members of the room whom it could not be sent to.
    pub left_out: Vec<LeftOut>,
    /// Networks in the conversation whose documents are of a time that is over: changes may be held back.
    pub stale: Vec<StaleNetwork>,
}

/// What the store says of a message that is waited for.
enum Look {
    Sent(Box<Sent>),
    Refused(String),
    /// Refused, and nobody knows whether it went out before.
    Uncertain(String),
    /// It waits; whether the relay may have it, and whether something that was said before it waits too.
    Waits {
        uncertain: bool,
        attempted: bool,
    },
    /// It is nowhere: somebody has cancelled it, or its time was over.
    Gone,
}

impl Sending {
    /// Puts a message into the history and into the outbox.
    pub(super) async fn queue(&self, composed: Composed, record: ConversationRecord) -> Result<MessageRef, Error> {
        let (key, id) = (composed.entry.key.clone(), record.id.clone());
        self.store
            .run(move |tx| {
                tx.add_message(&composed.stored, &record.conversation, Unread::No)?;
                tx.put_outbox(&composed.entry)
            })
            .await?;
        self.changed(&id);
        self.wake();
        Ok(key)
    }

    /// Somebody in this process will wait for this message: why it fails is kept for them.
    pub(super) fn expect(&self, key: &MessageRef) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), None);
    }

    /// Tells whoever waits for a message why it has failed.
    pub(super) fn fail(&self, key: &MessageRef, error: Error) {
        if let Some(failure) = self.failures.lock().unwrap_or_else(PoisonError::into_inner).get_mut(key) {
            *failure = Some(error);
        }
    }

    /// Waits until the relay has a message, or an attempt has failed: then it is taken back, where that is still possible.
    pub(super) async fn settle(&self, key: &MessageRef) -> Result<Sent, Error> {
        let settled = self.wait_for(key).await;
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        settled
    }

    async fn wait_for(&self, key: &MessageRef) -> Result<Sent, Error> {
        let conversation = key_conversation(self, key).await?;
        // What has failed before is tried at once: somebody waits for it.
        self.forget_backoff_of(&conversation);
        let mut quiet = Instant::now();
        loop {
            // Whoever is at it in this process, or in another one, sends this one as well.
            if let Ok(round) = self.round.try_lock() {
                let far = Instant::now() + Duration::from_hours(24);
                let done = self.pump_with(&round, far, Some(&conversation)).await?;
                if done.sent + done.refused > 0 {
                    quiet = Instant::now();
                }
            }
            let failed =
                self.failures.lock().unwrap_or_else(PoisonError::into_inner).get_mut(key).and_then(Option::take);
            match (self.look_at(key).await?, failed) {
                (Look::Sent(sent), _) => return Ok(*sent),
                (Look::Refused(_) | Look::Uncertain(_), Some(error)) => return Err(error),
                (Look::Refused(reason), None) => return Err(self.late(key, Refusal::Elsewhere(reason).into()).await),
                (Look::Uncertain(reason), None) => {
                    return Err(self.late(key, uncertain(key, Refusal::Elsewhere(reason).into())).await);
                }
                (Look::Gone, error) => return Err(error.unwrap_or_else(|| Refusal::NoMessage.into())),
                (Look::Waits { uncertain: true, .. }, Some(error)) => {
                    return Err(Error::Unsettled { message: key.message, source: Box::new(error) });
                }
                (Look::Waits { .. }, Some(error)) => return self.give_up(key, error).await,
                (Look::Waits { attempted: false, .. }, None) if self.is_waiting(&conversation) => {
                    return self.give_up(key, Refusal::EarlierWaits.into()).await;
                }
                (Look::Waits { .. }, None) if quiet.elapsed() > PATIENCE => {
                    let (dir, doing) = (self.profile.dir().to_owned(), "sending");
                    let busy = crate::core::error::ProfileError::Busy { dir, doing };
                    return self.give_up(key, busy.into()).await;
                }
                (Look::Waits { .. }, None) => sleep(LOOK).await,
            }
        }
    }

    /// Why a message was refused: the state is written a moment before the reason is told. Or what the store says of it.
    async fn late(&self, key: &MessageRef, otherwise: Error) -> Error {
        sleep(LOOK).await;
        let late = self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(key).flatten();
        late.unwrap_or(otherwise)
    }

    /// Takes a message back that was not sent. Where it is too late, nobody knows.
    async fn give_up(&self, key: &MessageRef, error: Error) -> Result<Sent, Error> {
        match self.look_at(key).await? {
            Look::Sent(sent) => Ok(*sent),
            _ if self.withdraw(key).await? => Err(error),
            _ => Err(Error::Unsettled { message: key.message, source: Box::new(error) }),
        }
    }

    /// Takes a message out of the outbox, with all that it has done here. False when it is too late.
    pub(super) async fn withdraw(&self, key: &MessageRef) -> Result<bool, Error> {
        let key = key.clone();
        let cancelled = self
            .store
            .run(move |tx| {
                let Some(entry) = tx.outbox_entry(&key)?.filter(|entry| !entry.uncertain) else { return Ok(None) };
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
            self.forget_outgoing(&name);
        }
        self.changed(&conversation);
        Ok(true)
    }

    async fn look_at(&self, key: &MessageRef) -> Result<Look, Error> {
        let (key, me) = (key.clone(), self.account.address.clone());
        self.store
            .run(move |tx| {
                if let Some(entry) = tx.outbox_entry(&key)? {
                    return Ok(Look::Waits { uncertain: entry.uncertain, attempted: entry.attempts > 0 });
                }
                let Some(placed) = tx.placed_message(&key)? else { return Ok(Look::Gone) };
                let message = placed.message;
                match message.state {
                    MessageState::Refused => return Ok(Look::Refused(message.reason.unwrap_or_default())),
                    MessageState::Uncertain => return Ok(Look::Uncertain(message.reason.unwrap_or_default())),
                    _ => {}
                }
                let Some(record) = conversation(tx, &message.conversation)? else { return Ok(Look::Gone) };
                let mut changed = Vec::new();
                for who in record.members.iter().filter(|who| **who != me) {
                    let pin = tx.get::<Pin>(&Pin::key_of(who))?;
                    if pin.is_some_and(|pin| pin.state() == TrustState::Replaced) {
                        changed.push(who.clone());
                    }
                }
                let mut domains: Vec<Domain> = record.members.iter().chain([&me]).map(Address::domain).collect();
                domains.sort();
                domains.dedup();
                let stale = stale(tx, &domains, now_ms())?;
                Ok(Look::Sent(Box::new(Sent {
                    message: message.id,
                    conversation: record.conversation,
                    accepted_at_ms: message.accepted_at_ms,
                    expires_at_ms: message.expires_at_ms,
                    devices: usize::try_from(message.devices).unwrap_or(usize::MAX),
                    retained_by: message.retained_by,
                    changed,
                    left_out: message.left_out,
                    stale,
                })))
            })
            .await
    }
}

/// It was refused for this reason, and the relay may have it from before.
pub(super) fn uncertain(key: &MessageRef, reason: Error) -> Error {
    Error::Uncertain { message: key.message, source: Box::new(reason) }
}

async fn key_conversation(sending: &Sending, key: &MessageRef) -> Result<String, Error> {
    let key = key.clone();
    let found =
        sending.store.run(move |tx| Ok(tx.placed_message(&key)?.map(|placed| placed.message.conversation))).await?;
    found.ok_or_else(|| Refusal::NoMessage.into())
}
