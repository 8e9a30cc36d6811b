//! Signals: typing and presence. Sealed and signed like messages, to devices that are connected now, in the own network
//! only; kept nowhere, here neither. Best effort: what cannot be sent is not.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sotto_crypto::{Address, DeviceId, MessageId, PrekeySecret, Recipient, SealedHeader, SystemRng};
use sotto_wire::api::{Envelope, Signal};
use sotto_wire::content::{Body, Content, Conversation, Presence};
use sotto_wire::limits;
use tokio::time::Instant;

use crate::apply;
use crate::client::{Client, Inner, pin_key};
use crate::clock::now_ms;
use crate::error::{Error, Refusal};
use crate::identity::TrustState;
use crate::inbox::is_between;
use crate::receiver::Event;
use crate::recipients::signalled;
use crate::registration::blocking;
use crate::store::{ConversationRecord, Pin, PrekeyRecord};

/// Recipients of signals are asked for again after this time.
const KNOWN: Duration = Duration::from_mins(1);
/// That somebody types is said again after this time only.
const SAY_AGAIN: Duration = Duration::from_secs(3);
/// People who hear of a presence: those of the newest direct conversations.
const FRIENDS: usize = 16;
/// A signal that was sent so long ago (milliseconds) by its sender's clock says nothing any more.
const STALE_MS: u64 = 120_000;

/// Recipients, and when they were asked for.
type Asked = (Instant, Vec<Recipient>);

/// What is remembered of signals, while the client lives.
#[derive(Default)]
pub(crate) struct Signals {
    recipients: Mutex<HashMap<Vec<Address>, Asked>>,
    /// What was last said of typing in a conversation, and when.
    said: Mutex<HashMap<String, (bool, Instant)>>,
    /// When the newest signal of a device was sent: an older one is a repeat.
    newest: Mutex<HashMap<(Address, DeviceId), u64>>,
}

impl Client {
    /// Tells those in a conversation that the user types, or has stopped. May be called with every key that is pressed.
    pub async fn typing(&self, id: &str, on: bool) -> Result<(), Error> {
        let inner = &self.inner;
        {
            let mut said = inner.signals.said.lock().unwrap_or_else(PoisonError::into_inner);
            let again = said.get(id).is_none_or(|(was, at)| *was != on || on && at.elapsed() > SAY_AGAIN);
            if !again {
                return Ok(());
            }
            said.insert(id.to_owned(), (on, Instant::now()));
        }
        let known = id.to_owned();
        let record = inner.store.run(move |tx| apply::conversation(tx, &known)).await?;
        let record = record.ok_or_else(|| Refusal::NoConversation(id.to_owned()))?;
        if record.left {
            return Ok(());
        }
        inner.signal(&record.conversation, record.members, Body::Typing(on)).await
    }

    /// Shows the user's presence to those of the newest direct conversations: to each by itself, so that nobody learns of
    /// the others.
    pub async fn presence(&self, state: Presence) -> Result<(), Error> {
        let inner = &self.inner;
        let mut records = inner.store.list::<ConversationRecord>().await?;
        records.retain(|r| matches!(&r.conversation, Conversation::Direct(a, b) if a != b));
        records.sort_by_key(|r| std::cmp::Reverse(r.last));
        for record in records.into_iter().take(FRIENDS) {
            inner.signal(&record.conversation, record.members, Body::Presence(state)).await?;
        }
        Ok(())
    }
}

impl Inner {
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
        let pins = self.pins(people.clone()).await?;
        let (known, account, wanted) = (self.known.clone(), self.account.clone(), people.clone());
        let recipients =
            blocking(move || Ok(signalled(&account, &mut known.lock(), &pins, &wanted, &answer, now_ms())?)).await?;
        let mut known = self.signals.recipients.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(people, (Instant::now(), recipients.clone()));
        Ok(recipients)
    }

    /// Opens a signal that has come. Nothing where it is not a good one: nobody waits for it, and nothing is kept.
    pub(crate) async fn heard(&self, signal: Signal) -> Result<Option<Event>, Error> {
        let Ok(header) = sotto_crypto::decode_strict::<SealedHeader>(&signal.header) else { return Ok(None) };
        if header.sender == self.account.address || header.network.as_str() != header.sender.domain_str() {
            return Ok(None);
        }
        let lookup = (PrekeyRecord::key_of(&signal.prekey), pin_key(&header.sender));
        let (secret, pin) =
            self.store.run(move |tx| Ok((tx.get::<PrekeyRecord>(&lookup.0)?, tx.get::<Pin>(&lookup.1)?))).await?;
        // Only of those who have been met, as who they were met.
        let (Some(secret), Some(pin)) = (secret.filter(|s| !s.one_time), pin) else { return Ok(None) };
        if pin.state() == TrustState::Changed {
            return Ok(None);
        }
        let (known, account, head) = (self.known.clone(), self.account.clone(), header.clone());
        let opened = blocking(move || {
            let me = (&account.address, account.device);
            let secret = PrekeySecret::from_bytes(&secret.secret).ok();
            Ok(secret.and_then(|secret| {
                let (body, key) = (&signal.body, &signal.key);
                sotto_crypto::open_with(&mut known.lock(), &head, body, me, signal.prekey, &secret, key).ok()
            }))
        })
        .await?;
        let Some(opened) = opened.filter(|o| o.identity == pin.identity) else { return Ok(None) };
        let Ok(content) = minicbor::decode::<Content>(&opened.content) else { return Ok(None) };
        if content.version != 1 || !self.is_news(&header, content.sent_at_ms) {
            return Ok(None);
        }
        if !self.known_policy().await?.group.presence_enabled {
            return Ok(None);
        }
        let members = match &content.conversation {
            Conversation::Room(_) => {
                let id = content.conversation.id();
                let record = self.store.run(move |tx| apply::conversation(tx, &id)).await?;
                record.map(|r| r.members).unwrap_or_default()
            }
            people if is_between(people) => people.members(),
            _ => Vec::new(),
        };
        if !members.contains(&header.sender) || !members.contains(&self.account.address) {
            return Ok(None);
        }
        Ok(match content.body {
            Body::Typing(on) => Some(Event::Typing { conversation: content.conversation.id(), who: header.sender, on }),
            Body::Presence(state) => Some(Event::Presence { who: header.sender, state }),
            _ => None,
        })
    }

    /// Whether a signal is newer than those before it, and not old.
    fn is_news(&self, header: &SealedHeader, sent_at_ms: u64) -> bool {
        let mut newest = self.signals.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let last = newest.entry((header.sender.clone(), header.device)).or_default();
        let news = sent_at_ms > *last && now_ms().abs_diff(sent_at_ms) < STALE_MS;
        if news {
            *last = sent_at_ms;
        }
        news
    }
}
