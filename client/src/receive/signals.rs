//! Signals that have come: typing and presence. Nothing where one is not good: nobody waits for it, and nothing is kept.

use sotto_crypto::{PrekeySecret, SealedHeader};
use sotto_wire::api::Signal;
use sotto_wire::content::{Body, Content, Conversation};
use std::sync::PoisonError;

use super::event::Event;
use super::place::is_between;
use super::state::Receiving;
use crate::core::clock::now_ms;
use crate::core::error::Error;
use crate::core::task::blocking;
use crate::store::{Pin, PrekeyRecord, conversation};
use crate::trust::identity::TrustState;

/// A signal that was sent so long ago (milliseconds) by its sender's clock says nothing any more.
const STALE_MS: u64 = 120_000;

impl Receiving {
    /// Opens a signal that has come. Nothing where it is not a good one: nobody waits for it, and nothing is kept.
    pub(crate) async fn heard(&self, signal: Signal) -> Result<Option<Event>, Error> {
        let Ok(header) = sotto_crypto::decode_strict::<SealedHeader>(&signal.header) else { return Ok(None) };
        if header.sender == self.account.address || header.network.as_str() != header.sender.domain_str() {
            return Ok(None);
        }
        let lookup = (PrekeyRecord::key_of(&signal.prekey), Pin::key_of(&header.sender));
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
        let Some(opened) = opened.filter(|o| pin.is_known() && o.identity == pin.identity) else { return Ok(None) };
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
                let record = self.store.run(move |tx| conversation(tx, &id)).await?;
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
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let last = newest.entry((header.sender.clone(), header.device)).or_default();
        let news = sent_at_ms > *last && now_ms().abs_diff(sent_at_ms) < STALE_MS;
        if news {
            *last = sent_at_ms;
        }
        news
    }
}
