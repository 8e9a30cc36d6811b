//! Signals that are sent: typing and presence. Sealed and signed like messages, to devices that are connected now, in the own
//! network only; kept nowhere. Best effort: what cannot be sent is not.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sotto_crypto::{Address, MessageId, Recipient, SystemRng};
use sotto_wire::api::Envelope;
use sotto_wire::content::{Body, Content, Conversation, Presence};
use sotto_wire::limits;

use super::state::Sending;
use crate::core::clock::now_ms;
use crate::core::error::{Error, Refusal};
use crate::core::platform::Instant;
use crate::core::task::blocking;
use crate::store::{ConversationRecord, conversation};
use crate::trust::recipients::signalled;

/// Recipients of signals are asked for again after this time.
const KNOWN: Duration = Duration::from_mins(1);
/// That somebody types is said again after this time only.
const SAY_AGAIN: Duration = Duration::from_secs(3);
/// People who hear of a presence: those of the newest direct conversations.
const FRIENDS: usize = 16;

/// Typing and presence. Cheap to clone.
#[derive(Clone)]
pub struct Signals {
    sending: Arc<Sending>,
}

impl Signals {
    pub(crate) fn new(sending: Arc<Sending>) -> Self {
        Self { sending }
    }

    /// Tells those in a conversation that the user types, or has stopped. May be called with every key that is pressed.
    pub async fn typing(&self, id: &str, on: bool) -> Result<(), Error> {
        let sending = &self.sending;
        {
            let mut said = sending.signals.said.lock().unwrap_or_else(PoisonError::into_inner);
            let again = said.get(id).is_none_or(|(was, at)| *was != on || on && at.elapsed() > SAY_AGAIN);
            if !again {
                return Ok(());
            }
            said.insert(id.to_owned(), (on, Instant::now()));
        }
        let known = id.to_owned();
        let record = sending.store.run(move |tx| conversation(tx, &known)).await?;
        let record = record.ok_or_else(|| Refusal::NoConversation(id.to_owned()))?;
        if record.left {
            return Ok(());
        }
        sending.signal(&record.conversation, record.members, Body::Typing(on)).await
    }

    /// Shows the user's presence to those of the newest direct conversations: to each by itself, so that nobody learns of
    /// the others.
    pub async fn presence(&self, state: Presence) -> Result<(), Error> {
        let sending = &self.sending;
        let mut records = sending.store.list::<ConversationRecord>().await?;
        records.retain(|r| matches!(&r.conversation, Conversation::Direct(a, b) if a != b));
        records.sort_by_key(|r| std::cmp::Reverse(r.last));
        for record in records.into_iter().take(FRIENDS) {
            sending.signal(&record.conversation, record.members, Body::Presence(state)).await?;
        }
        Ok(())
    }
}

impl Sending {
    /// Sends a signal, where the group lets it and somebody can get it.
    async fn signal(&self, conversation: &Conversation, mut people: Vec<Address>, body: Body) -> Result<(), Error> {
        let me = &self.account.address;
        people.retain(|who| who != me && who.domain_str() == me.domain_str());
        if people.is_empty() || people.len() > limits::MAX_SIGNAL_DEVICES {
            return Ok(());
        }
        if !self.known_policy().await?.group.presence_enabled {
            return Ok(());
        }
        match self.try_signal(conversation, people, body).await {
            Err(error @ Error::Store(_)) => Err(error),
            Err(error) => {
                tracing::debug!(%error, "a signal was not sent");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn try_signal(&self, conversation: &Conversation, people: Vec<Address>, body: Body) -> Result<(), Error> {
        let recipients = self.signal_recipients(people.clone()).await?;
        if recipients.is_empty() || recipients.len() > limits::MAX_SIGNAL_DEVICES {
            return Ok(());
        }
        let content = sotto_crypto::encode(&Content::new(conversation.clone(), now_ms(), body));
        let account = self.account.clone();
        let sealed = blocking(move || {
            let message = MessageId::generate(&mut SystemRng);
            sotto_crypto::seal(&mut SystemRng, &account.sender(), message, &content, &recipients)
                .map_err(|e| Refusal::Seal(e.to_string()).into())
        })
        .await?;
        let header = sotto_crypto::encode(&sealed.header);
        let envelope = Envelope { header, body: sealed.body, wraps: sealed.wraps, expires_in_s: None };
        let sent = self.api.signal(&envelope).await;
        if sent.is_err() {
            // Perhaps a device has gone: asked for again the next time.
            self.signals.recipients.lock().unwrap_or_else(PoisonError::into_inner).remove(&people);
        }
        sent
    }

    async fn signal_recipients(&self, people: Vec<Address>) -> Result<Vec<Recipient>, Error> {
        {
            let mut known = self.signals.recipients.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, (at, _)| at.elapsed() < KNOWN);
            if let Some((_, recipients)) = known.get(&people) {
                return Ok(recipients.clone());
            }
        }
        let answer = self.api.signal_recipients(people.clone()).await?;
        let (pins, lists) = (self.pins(people.clone()).await?, self.lists(people.clone()).await?);
        let (known, account, wanted) = (self.known.clone(), self.account.clone(), people.clone());
        let recipients =
            blocking(move || Ok(signalled(&account, &mut known.lock(), (&pins, &lists), &wanted, &answer, now_ms())?))
                .await?;
        let mut known = self.signals.recipients.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(people, (Instant::now(), recipients.clone()));
        Ok(recipients)
    }
}
