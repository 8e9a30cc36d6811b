//! Chains: what the devices of others have said, by number, so that what is missing is noticed; and what this device has said,
//! for as long as somebody may ask for it again.

use minicbor::{Decode, Encode};
use rusqlite::OptionalExtension as _;
use sotto_crypto::{Address, DeviceId, MessageId};
use sotto_wire::content::{Content, Conversation, Link, MessageRef};
use sotto_wire::limits;
use zeroize::{Zeroize as _, Zeroizing};

use super::cipher::RowKey;
use super::db::{Tx, sealed_row};
use super::erasable::Slot;
use super::messages::clamp;
use super::records::{Missing, Record, StoredMessage};
use crate::core::error::StoreError;

const TABLE: &str = "sent";
/// What was sent can be asked for again for this long (milliseconds): as long as it could have waited at a relay, and a day.
const KEPT_MS: u64 = (limits::MAX_QUEUE_SECONDS + 24 * 3600) * 1000;

/// Names a chain: one device in one conversation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(array)]
pub(crate) struct ChainKey {
    /// Id of the conversation.
    #[n(0)]
    pub(crate) conversation: String,
    #[n(1)]
    pub(crate) sender: Address,
    #[n(2)]
    pub(crate) device: DeviceId,
}

impl ChainKey {
    pub(crate) fn parts(&self) -> [Vec<u8>; 3] {
        [
            self.conversation.as_bytes().to_vec(),
            self.sender.as_str().as_bytes().to_vec(),
            self.device.as_bytes().to_vec(),
        ]
    }
}

/// How far the chain of another device has come.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct ChainRecord {
    #[n(0)]
    pub(crate) key: ChainKey,
    /// The number of the message that is next.
    #[n(1)]
    pub(crate) next: u64,
    /// What that one has to name as its predecessor.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) last: [u8; 32],
}

impl Record for ChainRecord {
    const TABLE: &'static str = "chain";
    fn key(&self) -> Vec<Vec<u8>> {
        self.key.parts().to_vec()
    }
}

/// Messages of a chain that have not come: as long as there are some.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct GapsRecord {
    #[n(0)]
    pub(crate) key: ChainKey,
    /// In ascending order, none beside another.
    #[n(1)]
    pub(crate) gaps: Vec<Gap>,
    /// Messages in gaps beyond those that are kept one by one.
    #[n(2)]
    pub(crate) uncounted: u64,
    /// What has become of gaps, for who keeps records.
    #[n(3)]
    pub(crate) news: Vec<GapNews>,
}

impl Record for GapsRecord {
    const TABLE: &'static str = "gaps";
    fn key(&self) -> Vec<Vec<u8>> {
        self.key.parts().to_vec()
    }
}

/// Messages that follow each other, and have not come.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Gap {
    /// The number of the first.
    #[n(0)]
    pub(crate) from: u64,
    /// The number behind the last.
    #[n(1)]
    pub(crate) to: u64,
    /// The number of the first of the gap that it is what is left of: they share a place in the history.
    #[n(2)]
    pub(crate) place: u64,
    /// When it was noticed.
    #[n(3)]
    pub(crate) since_ms: u64,
    /// What the first has to name as its predecessor, where that is known.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub(crate) before: Option<[u8; 32]>,
    /// The digest of the last, as its successor says, where that has come.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub(crate) end: Option<[u8; 32]>,
    /// Whether it was told. Not yet where some of it is here, and about to be settled.
    #[n(6)]
    pub(crate) told: bool,
    /// How often it was asked for, and when the next time is.
    #[n(7)]
    pub(crate) asked: u32,
    #[n(8)]
    pub(crate) ask_at_ms: u64,
}

impl Gap {
    /// How many messages they are.
    pub(crate) fn count(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }
}

/// Something that has happened to a chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct GapNews {
    /// The number of the first message that it is about.
    #[n(0)]
    pub(crate) from: u64,
    /// The number behind the last.
    #[n(1)]
    pub(crate) to: u64,
    #[n(2)]
    pub(crate) at_ms: u64,
    #[n(3)]
    pub(crate) what: GapEvent,
    /// The message that it happened with.
    #[n(4)]
    pub(crate) message: Option<MessageId>,
}

/// What has happened to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum GapEvent {
    /// Messages are missing.
    #[n(0)]
    Missing,
    /// One that was missing has come.
    #[n(1)]
    Came,
    /// Its sender's device says that it does not have it any more.
    #[n(2)]
    Gone,
    /// Its sender's device says that it was not sent to this account.
    #[n(3)]
    NotForUs,
    /// A message does not follow what the same device has said before: there are two of it, or it was put back.
    #[n(4)]
    Conflict,
}

/// The own chain in a conversation. One row each.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct OwnChainRecord {
    #[n(0)]
    pub(crate) conversation: String,
    /// The number of the message that is next.
    #[n(1)]
    pub(crate) next: u64,
    /// The digest of the last.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) last: [u8; 32],
    /// From this number on, every one of `devices` has been sealed to.
    #[n(3)]
    pub(crate) since: u64,
    /// The devices that the last was sealed to, in order.
    #[n(4)]
    pub(crate) devices: Vec<DeviceId>,
}

impl OwnChainRecord {
    /// Key of the row of this conversation.
    pub(crate) fn key_of(conversation: &str) -> [Vec<u8>; 1] {
        [conversation.as_bytes().to_vec()]
    }
}

impl Record for OwnChainRecord {
    const TABLE: &'static str = "own chain";
    fn key(&self) -> Vec<Vec<u8>> {
        Self::key_of(&self.conversation).to_vec()
    }
}

/// How far the own chain in a conversation has come is to be said: as long as it was not.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct HeadRecord {
    #[n(0)]
    pub(crate) conversation: Conversation,
    #[n(1)]
    pub(crate) due_at_ms: u64,
    /// Whether something was said since it was last said how far.
    #[n(2)]
    pub(crate) news: bool,
}

impl HeadRecord {
    /// Key of the row of this conversation.
    pub(crate) fn key_of(conversation: &str) -> [Vec<u8>; 1] {
        [conversation.as_bytes().to_vec()]
    }
}

impl Record for HeadRecord {
    const TABLE: &'static str = "head";
    fn key(&self) -> Vec<Vec<u8>> {
        Self::key_of(&self.conversation.id()).to_vec()
    }
}

/// How much was sent again to somebody who asked, in an hour.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct AnsweredRecord {
    #[n(0)]
    pub(crate) asker: Address,
    #[n(1)]
    pub(crate) since_ms: u64,
    #[n(2)]
    pub(crate) count: u64,
}

impl Record for AnsweredRecord {
    const TABLE: &'static str = "answered";
    fn key(&self) -> Vec<Vec<u8>> {
        vec![self.asker.as_str().as_bytes().to_vec()]
    }
}

/// What was sent, as it was sealed.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(crate) struct SentRecord {
    #[n(0)]
    pub(crate) message: MessageId,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) content: Vec<u8>,
    /// Everybody whom it was sealed to, in order.
    #[n(2)]
    pub(crate) people: Vec<Address>,
}

/// What was sent with an id.
pub(crate) enum SentById {
    /// It is not here any more, or never was.
    Gone,
    /// It has said nothing to anybody.
    Nothing,
    /// As it was sealed.
    Said(SentRecord),
}

impl Drop for SentRecord {
    fn drop(&mut self) {
        self.content.zeroize();
    }
}

impl Tx<'_> {
    fn sent_place(&self, conversation: &str, index: u64) -> RowKey {
        self.cipher.row(TABLE, &[conversation.as_bytes(), &index.to_be_bytes()])
    }

    fn sent_row(&self, message: MessageId) -> RowKey {
        self.cipher.row(TABLE, &[message.as_bytes()])
    }

    /// Keeps what was sent, with its place where it has one, until the message that it is about ends, or nobody can ask for it any
    /// more.
    pub(crate) fn put_sent(
        &self,
        place: Option<(&str, u64)>,
        about: &MessageRef,
        sent: &SentRecord,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let row = self.sent_row(sent.message);
        let place = place.map(|(conversation, index)| self.sent_place(conversation, index));
        let clear = Zeroizing::new(sotto_crypto::encode(sent));
        let (sealed, slot) = self.seal_ending(TABLE, &row, &clear)?;
        self.end_sent("key = ?1", row)?;
        if let Some(place) = place {
            self.end_sent("place = ?1", place)?;
        }
        self.insert_sent(row, place, self.row_of(about), (&sealed, Some(slot)), now_ms)
    }

    /// Remembers that a message has said nothing to anybody: nobody misses it.
    pub(crate) fn put_sent_nothing(&self, message: &MessageRef, now_ms: u64) -> Result<(), StoreError> {
        let row = self.sent_row(message.message);
        self.end_sent("key = ?1", row)?;
        self.insert_sent(row, None, self.row_of(message), (&[], None), now_ms)
    }

    fn insert_sent(
        &self,
        row: RowKey,
        place: Option<RowKey>,
        about: RowKey,
        (sealed, slot): (&[u8], Option<Slot>),
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO sent (key, place, about, forget_at_ms, value, slot) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((row, place, about, clamp(now_ms.saturating_add(KEPT_MS)), sealed, slot))?;
        Ok(())
    }

    /// What was sent with this number.
    pub(crate) fn sent(&self, conversation: &str, index: u64) -> Result<Option<SentRecord>, StoreError> {
        let found = self
            .sql
            .prepare_cached("SELECT key, slot, value FROM sent WHERE place = ?1")?
            .query_row([self.sent_place(conversation, index)], sealed_row)
            .optional()?;
        found.map(|found| self.opened(TABLE, &found)).transpose()
    }

    /// What was sent with this id.
    pub(crate) fn sent_by_id(&self, message: MessageId) -> Result<SentById, StoreError> {
        let found = self
            .sql
            .prepare_cached("SELECT key, slot, value FROM sent WHERE key = ?1")?
            .query_row([self.sent_row(message)], sealed_row)
            .optional()?;
        match found {
            None => Ok(SentById::Gone),
            Some((.., value)) if value.is_empty() => Ok(SentById::Nothing),
            Some(found) => Ok(SentById::Said(self.opened(TABLE, &found)?)),
        }
    }

    /// What was sent of a message, and about it, can be asked for no more.
    pub(super) fn end_sent_about(&self, message: RowKey) -> Result<(), StoreError> {
        self.end_sent("about = ?1", message)
    }

    /// Forgets what nobody can ask for any more.
    pub(super) fn expire_sent(&self, now_ms: u64) -> Result<(), StoreError> {
        self.end_sent("forget_at_ms <= ?1", clamp(now_ms))
    }

    fn end_sent(&self, which: &'static str, parameter: impl rusqlite::ToSql + Copy) -> Result<(), StoreError> {
        let slots = self
            .sql
            .prepare_cached(&format!("SELECT slot FROM sent WHERE {which}"))?
            .query_map([parameter], |r| r.get::<_, Option<Slot>>(0))?
            .collect::<Result<Vec<_>, _>>()?;
        if !slots.is_empty() {
            self.end_slots(slots.into_iter().flatten(), true)?;
            self.sql.prepare_cached(&format!("DELETE FROM sent WHERE {which}"))?.execute([parameter])?;
        }
        Ok(())
    }

    /// What was sent of a message, and about it, can be asked for no more.
    pub(crate) fn end_sent_of(&self, message: &MessageRef) -> Result<(), StoreError> {
        self.end_sent_about(self.row_of(message))
    }

    /// The own chain goes on behind a message that was sent, or may have been, to these devices where they are known. Gives
    /// the message's place.
    pub(crate) fn move_own_chain(
        &self,
        conversation: &str,
        content: &[u8],
        devices: Option<Vec<DeviceId>>,
    ) -> Result<Option<Link>, StoreError> {
        let Some(link) = minicbor::decode::<Content>(content).ok().and_then(|content| content.link) else {
            return Ok(None);
        };
        let known = self.get::<OwnChainRecord>(&OwnChainRecord::key_of(conversation))?;
        let devices = devices.or_else(|| known.map(|known| known.devices)).unwrap_or_default();
        self.put(&OwnChainRecord {
            conversation: conversation.to_owned(),
            next: link.index.saturating_add(1),
            last: Link::digest_of(content),
            since: link.since,
            devices,
        })?;
        Ok(Some(link))
    }

    /// Forgets what came from whom in a conversation: who is not in it any more is not missing anything.
    pub(crate) fn forget_chains(&self, conversation: &str) -> Result<(), StoreError> {
        for chain in self.list::<ChainRecord>()?.iter().filter(|chain| chain.key.conversation == conversation) {
            self.delete::<ChainRecord>(&chain.key.parts())?;
            self.delete::<GapsRecord>(&chain.key.parts())?;
        }
        Ok(())
    }

    /// Gives a gap its place in the history: so many of it may still come, so many more will not. Where nothing of it is missing
    /// any more, its place goes.
    pub(crate) fn place_gap(
        &self,
        key: &ChainKey,
        place: u64,
        (left, gone): (u64, u64),
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let name = gap_name(key, place);
        let known = self.placed_message(&name)?.map(|placed| placed.message);
        let gone = known.as_ref().and_then(|known| known.missing).map_or(0, |known| known.gone).saturating_add(gone);
        let missing = Missing { count: left.saturating_add(gone), gone, unopened: false };
        if missing.count == 0 {
            return self.delete_message(&name);
        }
        let message = known.unwrap_or_else(|| StoredMessage::bare(&name, &key.conversation, now_ms));
        self.put_message(&StoredMessage { missing: Some(missing), ..message })
    }
}

/// What names the place of a gap in the history.
pub(crate) fn gap_name(key: &ChainKey, place: u64) -> MessageRef {
    let mut input = b"gap\0".to_vec();
    input.extend_from_slice(&sotto_crypto::encode(key));
    input.extend_from_slice(&place.to_be_bytes());
    let mut name = [0; 16];
    name.copy_from_slice(sotto_crypto::digest(&input).get(..16).unwrap_or(&[0; 16]));
    MessageRef { sender: key.sender.clone(), device: key.device, message: MessageId::from_bytes(name) }
}

#[cfg(test)]
mod tests {
    use sotto_crypto::SystemRng;
    use sotto_wire::content::Body;

    use super::super::key::StoreKey;
    use super::super::{Audience, OutboxKind, OutboxRecord, Store, outbox_all};
    use super::*;

    fn name(n: u8) -> MessageRef {
        let sender = Address::parse("alice@x.example").unwrap();
        MessageRef { sender, device: DeviceId::from_bytes([1; 16]), message: MessageId::from_bytes([n; 16]) }
    }

    fn conversation() -> Conversation {
        Conversation::of(["alice@x.example", "bob@x.example"].map(|a| Address::parse(a).unwrap())).unwrap()
    }

    fn entry(n: u8, index: u64, frozen: bool) -> OutboxRecord {
        let link = Some(Link { index, since: 0, previous: [7; 32] });
        let content = Content { link, ..Content::new(conversation(), 1, Body::Text(format!("text {n}"))) };
        OutboxRecord {
            key: name(n),
            conversation: conversation(),
            audience: Audience::Members,
            kind: OutboxKind::Text,
            content: sotto_crypto::encode(&content),
            queued_at_ms: 1,
            expires_at_ms: Some(50),
            attempts: 1,
            uncertain: frozen,
            reason: None,
            upload: None,
            linked: true,
        }
    }

    #[test]
    fn a_number_is_used_again_only_where_the_relay_has_refused_it_for_certain() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
        let id = conversation().id();
        let own = || store.run_blocking(|tx| tx.get::<OwnChainRecord>(&OwnChainRecord::key_of(&id))).unwrap();
        store.run_blocking(|tx| tx.put_outbox(&entry(1, 0, false)).and_then(|()| tx.give_up_outbox(&name(1)))).unwrap();
        assert_eq!(own(), None, "refused: its place is free");
        store.run_blocking(|tx| tx.put_outbox(&entry(2, 0, true)).and_then(|()| tx.give_up_outbox(&name(2)))).unwrap();
        let after = own().unwrap();
        assert_eq!((after.next, after.last), (1, Link::digest_of(&entry(2, 0, true).content)));
        // The same where its time is over while it waits.
        store.run_blocking(|tx| tx.put_outbox(&entry(3, 1, true)).and_then(|()| tx.expire(60).map(drop))).unwrap();
        assert!(store.run_blocking(outbox_all).unwrap().is_empty());
        assert_eq!(own().unwrap().next, 2);
    }

    #[test]
    fn what_was_sent_ends_with_the_message_and_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
        let sent = |n: u8| SentRecord { message: name(n).message, content: vec![n; 9], people: Vec::new() };
        store
            .run_blocking(|tx| {
                tx.put_sent(Some(("c", 0)), &name(1), &sent(1), 100)?;
                // An edit of the first, and something else.
                tx.put_sent(Some(("c", 1)), &name(1), &sent(2), 100)?;
                tx.put_sent(Some(("c", 2)), &name(3), &sent(3), 100)?;
                tx.put_sent(Some(("c", 2)), &name(3), &sent(4), 100)?;
                tx.put_sent_nothing(&name(5), 100)
            })
            .unwrap();
        let there = |n| store.run_blocking(|tx| tx.sent("c", n)).unwrap().map(|sent| sent.content.clone());
        assert_eq!((there(0), there(1), there(2)), (Some(vec![1; 9]), Some(vec![2; 9]), Some(vec![4; 9])));
        let by_id = |n: u8| match store.run_blocking(|tx| tx.sent_by_id(name(n).message)).unwrap() {
            SentById::Gone => "gone".to_owned(),
            SentById::Nothing => "nothing".to_owned(),
            SentById::Said(sent) => format!("said {}", sent.content[0]),
        };
        assert_eq!([2, 3, 5, 6].map(by_id), ["said 2", "gone", "nothing", "gone"]);
        store.run_blocking(|tx| tx.delete_message(&name(1))).unwrap();
        assert_eq!((there(0), there(1), there(2)), (None, None, Some(vec![4; 9])));
        store.run_blocking(|tx| tx.expire(99 + KEPT_MS).map(drop)).unwrap();
        assert!(there(2).is_some());
        store.run_blocking(|tx| tx.expire(100 + KEPT_MS).map(drop)).unwrap();
        assert_eq!((there(2), by_id(4), by_id(5)), (None, "gone".to_owned(), "gone".to_owned()));
        assert!(store.run_blocking(|tx| tx.used_slots().map(|slots| slots.is_empty())).unwrap());
    }
}
