//! Messages that have come and could not be opened, since the secret that they were sealed to is gone: asked for again, and told
//! where a person looks.

use minicbor::{Decode, Encode};
use sotto_crypto::{Address, MessageId};
use sotto_wire::content::{Conversation, MessageRef};
use sotto_wire::limits;

use super::db::{Tx, list_all};
use super::records::{Missing, Pin, Record, StoredMessage};
use super::talk::{ConversationRecord, conversation, parts_of};
use crate::core::error::StoreError;

const DAY_MS: u64 = 24 * 3600 * 1000;
/// Messages of one sender that are asked for in a day, so that nobody who writes headers makes this device ask without end.
const MOST_A_DAY: u64 = 64;
/// Of all senders, at a time.
const MOST: usize = 1_000;
/// As long as their sender may have them (milliseconds).
const ASKED_FOR_MS: u64 = (limits::MAX_QUEUE_SECONDS + 24 * 3600) * 1000;

/// A message that could not be opened: as long as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct LostRecord {
    /// As the envelope says: nobody vouches for it.
    #[n(0)]
    pub(crate) key: MessageRef,
    #[n(1)]
    pub(crate) since_ms: u64,
    /// How often it was asked for, and when the next time is.
    #[n(2)]
    pub(crate) asked: u32,
    #[n(3)]
    pub(crate) ask_at_ms: u64,
}

impl Record for LostRecord {
    const TABLE: &'static str = "lost";
    fn key(&self) -> Vec<Vec<u8>> {
        parts_of(&self.key)
    }
}

/// How many of one sender could not be opened in a day.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct LostCount {
    #[n(0)]
    pub(crate) sender: Address,
    #[n(1)]
    pub(crate) since_ms: u64,
    #[n(2)]
    pub(crate) count: u64,
}

impl LostCount {
    fn key_of(sender: &Address) -> [Vec<u8>; 1] {
        [sender.as_str().as_bytes().to_vec()]
    }
}

impl Record for LostCount {
    const TABLE: &'static str = "lost today";
    fn key(&self) -> Vec<Vec<u8>> {
        Self::key_of(&self.sender).to_vec()
    }
}

impl Tx<'_> {
    /// Whether this message is asked for since it could not be opened.
    pub(crate) fn is_lost(&self, key: &MessageRef) -> Result<bool, StoreError> {
        self.has::<LostRecord>(&parts_of(key))
    }

    /// A message could not be opened: it is asked for again from now on, and shown where a history is kept.
    /// Of a stranger nothing is kept: only who is known is asked.
    pub(crate) fn lose(
        &self,
        key: &MessageRef,
        (me, keeps_history): (&Address, bool),
        now_ms: u64,
    ) -> Result<(), StoreError> {
        if self.is_lost(key)? || !(&key.sender == me || self.has::<Pin>(&Pin::key_of(&key.sender))?) {
            return Ok(());
        }
        let known = self.get::<LostCount>(&LostCount::key_of(&key.sender))?;
        let known = known.filter(|known| now_ms < known.since_ms.saturating_add(DAY_MS));
        let LostCount { since_ms, count, .. } =
            known.unwrap_or(LostCount { sender: key.sender.clone(), since_ms: now_ms, count: 0 });
        if count >= MOST_A_DAY || list_all::<LostRecord>(self)?.len() >= MOST {
            return Ok(());
        }
        self.put(&LostCount { sender: key.sender.clone(), since_ms, count: count.saturating_add(1) })?;
        self.put(&LostRecord { key: key.clone(), since_ms: now_ms, asked: 0, ask_at_ms: now_ms })?;
        let Some(between) = between(me, &key.sender).filter(|_| keeps_history) else { return Ok(()) };
        if conversation(self, &between.id())?.is_none() {
            self.put(&ConversationRecord::of(&between))?;
        }
        self.put_message(&StoredMessage {
            missing: Some(Missing { count: 1, gone: 0, unopened: true }),
            ..StoredMessage::bare(&place_of(key), &between.id(), now_ms)
        })
    }

    /// It has come after all, or has said nothing. Whether it was asked for.
    pub(crate) fn find_lost(&self, key: &MessageRef) -> Result<bool, StoreError> {
        let lost = self.is_lost(key)?;
        if lost {
            self.delete::<LostRecord>(&parts_of(key))?;
            self.delete_message(&place_of(key))?;
        }
        Ok(lost)
    }

    /// Its sender does not have it any more: it stays where it is shown.
    pub(crate) fn give_up_lost(&self, key: &MessageRef) -> Result<(), StoreError> {
        if !self.is_lost(key)? {
            return Ok(());
        }
        self.delete::<LostRecord>(&parts_of(key))?;
        let Some(placed) = self.placed_message(&place_of(key))? else { return Ok(()) };
        self.put_message(&StoredMessage {
            missing: Some(Missing { count: 1, gone: 1, unopened: true }),
            ..placed.message
        })
    }

    /// Asks no more for what nobody has any more.
    pub(super) fn end_lost(&self, now_ms: u64) -> Result<(), StoreError> {
        for lost in list_all::<LostRecord>(self)? {
            if lost.since_ms.saturating_add(ASKED_FOR_MS) <= now_ms {
                self.give_up_lost(&lost.key)?;
            }
        }
        for count in list_all::<LostCount>(self)? {
            if count.since_ms.saturating_add(DAY_MS) <= now_ms {
                self.delete::<LostCount>(&count.key())?;
            }
        }
        Ok(())
    }
}

/// Where a person looks for it: what it says of its conversation is sealed.
pub(crate) fn between(me: &Address, sender: &Address) -> Option<Conversation> {
    Conversation::of([me.clone(), sender.clone()])
}

/// What names its place in the history.
fn place_of(key: &MessageRef) -> MessageRef {
    let mut input = b"lost\0".to_vec();
    input.extend_from_slice(&sotto_crypto::encode(key));
    let mut name = [0; 16];
    name.copy_from_slice(sotto_crypto::digest(&input).get(..16).unwrap_or(&[0; 16]));
    MessageRef { message: MessageId::from_bytes(name), ..key.clone() }
}
