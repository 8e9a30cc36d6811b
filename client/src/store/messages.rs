//! Messages: the history, and the memory of what has been received, so that repeats are dropped.

use rusqlite::{OptionalExtension as _, Row};
use sotto_crypto::{Address, DIGEST_LEN, DeviceId, MessageId, SealedHeader, digest};
use sotto_wire::content::MessageRef;
use zeroize::Zeroizing;

use super::cipher::RowKey;
use super::db::{Tx, decode};
use super::erasable::Slot;
use super::records::StoredMessage;
use super::talk::ConversationRecord;
use crate::core::error::StoreError;

pub(super) const TABLE: &str = "messages";
const SEEN: &str = "seen";

/// What names a message: an id alone would let one sender hide another's message by using its id.
pub(crate) type MessageKey = (Address, DeviceId, MessageId);

/// A message as it was sealed once. Who is honest gives an id to one message; two that bear the same one are told apart by the
/// commitment to the key that they are sealed under.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Exact {
    pub(crate) key: MessageKey,
    pub(crate) commitment: [u8; DIGEST_LEN],
}

impl Exact {
    pub(crate) fn of(header: &SealedHeader) -> Self {
        let key = (header.sender.clone(), header.device, header.message);
        Self { key, commitment: header.commitment }
    }

    /// The key that it is kept under where its id is another message's. The same for a repeat, on every device.
    pub(crate) fn apart(&self) -> MessageKey {
        let (sender, device, id) = &self.key;
        let digest = digest(&[b"sotto/2 same id\0", id.as_bytes().as_slice(), &self.commitment].concat());
        let (apart, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
        (sender.clone(), *device, MessageId::from_bytes(*apart))
    }
}

/// What is remembered of a message that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing.
    Never,
    /// It has come before.
    Same,
    /// Another one of the same id has.
    Other,
}

/// Whether a message has been read, in the clear beside the sealed value: to be counted without opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It was read, or is the user's own.
    No,
    /// It was not.
    Yes,
    /// It was not, and names the user.
    Mentioned,
}

impl Unread {
    fn column(self) -> i64 {
        match self {
            Self::No => 0,
            Self::Yes => 1,
            Self::Mentioned => 2,
        }
    }
}

/// A message with its place in the history.
pub(crate) struct Placed {
    pub(crate) position: u64,
    pub(crate) message: StoredMessage,
}

/// Place, row key, slot and sealed value.
type Sealed = (i64, RowKey, Option<Slot>, Vec<u8>);

fn sealed(row: &Row<'_>) -> rusqlite::Result<Sealed> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

impl Tx<'_> {
    fn message_row(&self, table: &'static str, (sender, device, id): &MessageKey) -> RowKey {
        self.cipher.row(table, &[sender.as_str().as_bytes(), device.as_bytes(), id.as_bytes()])
    }

    pub(super) fn row_of(&self, message: &MessageRef) -> RowKey {
        self.message_row(TABLE, &(message.sender.clone(), message.device, message.message))
    }

    pub(super) fn conversation_row(&self, id: &str) -> RowKey {
        self.cipher.row("conversation", &[id.as_bytes()])
    }

    fn placed(&self, (seq, row, slot, sealed): Sealed) -> Result<Placed, StoreError> {
        let message = decode(TABLE, &self.open(TABLE, &row, slot, &sealed)?)?;
        Ok(Placed { position: u64::try_from(seq).unwrap_or(0), message })
    }

    /// What is remembered of this message.
    pub(crate) fn seen(&self, message: &Exact) -> Result<Seen, StoreError> {
        let found = self.seen_row(&message.key)?;
        Ok(match found {
            None => Seen::Never,
            // Of a version that did not remember which one it was.
            Some(digest) if digest.is_empty() => Seen::Same,
            Some(digest) if digest == self.seen_digest(message) => Seen::Same,
            Some(_) if self.seen_row(&message.apart())?.is_some() => Seen::Same,
            Some(_) => Seen::Other,
        })
    }

    fn seen_row(&self, key: &MessageKey) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.message_row(SEEN, key);
        Ok(self
            .sql
            .prepare_cached("SELECT COALESCE(digest, x'') FROM seen WHERE key = ?1")?
            .query_row([row], |r| r.get(0))
            .optional()?)
    }

    /// Keyed: nobody who has the file and recordings finds out which messages these were.
    fn seen_digest(&self, message: &Exact) -> RowKey {
        self.cipher.row("seen commitment", &[&message.commitment])
    }

    /// Remembers that this message has been received, until no repeat of it can come. What was remembered before.
    pub(crate) fn mark_seen(&self, message: &Exact, forget_at_ms: u64) -> Result<Seen, StoreError> {
        let seen = self.seen(message)?;
        let row = match seen {
            Seen::Same => return Ok(seen),
            Seen::Never => self.message_row(SEEN, &message.key),
            Seen::Other => self.message_row(SEEN, &message.apart()),
        };
        self.sql.prepare_cached("INSERT INTO seen (key, digest, forget_at_ms) VALUES (?1, ?2, ?3)")?.execute((
            row,
            self.seen_digest(message),
            clamp(forget_at_ms),
        ))?;
        Ok(seen)
    }

    /// The same of one that came otherwise than sealed under its id: whichever comes under it from now on is taken for it.
    pub(crate) fn mark_seen_however(&self, key: &MessageKey, forget_at_ms: u64) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("INSERT INTO seen (key, digest, forget_at_ms) VALUES (?1, x'', ?2) ON CONFLICT DO NOTHING")?
            .execute((self.message_row(SEEN, key), clamp(forget_at_ms)))?;
        Ok(())
    }

    /// Puts a message in its place in the history, at the end where it is new.
    pub(crate) fn put_message(&self, message: &StoredMessage) -> Result<(), StoreError> {
        let row = self.row_of(&message.key());
        let conversation = self.conversation_row(&message.conversation);
        let clear = Zeroizing::new(sotto_crypto::encode(message));
        // Words that were replaced or taken back must not be opened from an old page of the file.
        self.end_message_slots("SELECT slot FROM messages WHERE key = ?1", row, true)?;
        let (sealed, slot) = self.seal_ending(TABLE, &row, &clear)?;
        self.sql
            .prepare_cached(
                "INSERT INTO messages (key, conversation, expires_at_ms, value, slot) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (key) DO UPDATE SET expires_at_ms = ?3, value = ?4, slot = ?5",
            )?
            .execute((row, conversation, message.expires_at_ms.map(clamp), sealed, slot))?;
        Ok(())
    }

    /// Says whether a message counts as unread.
    pub(crate) fn set_unread(&self, message: &MessageRef, unread: Unread) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("UPDATE messages SET unread = ?2 WHERE key = ?1")?
            .execute((self.row_of(message), unread.column()))?;
        Ok(())
    }

    /// How many messages of a conversation are unread, and whether one of them names the user.
    pub(crate) fn unread(&self, conversation: &str) -> Result<(u32, bool), StoreError> {
        let row = self.conversation_row(conversation);
        Ok(self
            .sql
            .prepare_cached(
                "SELECT COUNT(*), COALESCE(MAX(unread), 0) FROM messages WHERE conversation = ?1 AND unread > 0",
            )?
            .query_row([row], |r| Ok((r.get(0)?, r.get::<_, i64>(1)? > 1)))?)
    }

    /// The unread messages of a conversation up to a position, oldest first.
    pub(crate) fn unread_messages(&self, conversation: &str, up_to: u64) -> Result<Vec<Placed>, StoreError> {
        let row = self.conversation_row(conversation);
        let mut statement = self.sql.prepare_cached(
            "SELECT seq, key, slot, value FROM messages WHERE conversation = ?1 AND unread > 0 AND seq <= ?2 ORDER BY seq",
        )?;
        let rows = statement.query_map((row, clamp(up_to)), sealed)?.collect::<Result<Vec<_>, _>>()?;
        rows.into_iter().map(|row| self.placed(row)).collect()
    }

    /// Puts a message of before into the history: before all that are there. False where it is there already.
    pub(crate) fn put_message_before(&self, message: &StoredMessage) -> Result<bool, StoreError> {
        let key = message.key();
        let row = self.row_of(&key);
        if self.sql.prepare_cached("SELECT 1 FROM messages WHERE key = ?1")?.exists([row])? {
            return Ok(false);
        }
        let conversation = self.conversation_row(&message.conversation);
        let clear = Zeroizing::new(sotto_crypto::encode(message));
        let (sealed, slot) = self.seal_ending(TABLE, &row, &clear)?;
        self.sql
            .prepare_cached(
                "INSERT INTO messages (seq, key, conversation, expires_at_ms, value, slot)
                 SELECT COALESCE(MIN(m.seq) - 1, (SELECT s.seq FROM sqlite_sequence s WHERE s.name = 'messages')),
                 ?1, ?2, ?3, ?4, ?5 FROM messages m",
            )?
            .execute((row, conversation, message.expires_at_ms.map(clamp), sealed, slot))?;
        self.adopt_annotations(&key)?;
        if let Some(mut record) = self.get::<ConversationRecord>(&[message.conversation.as_bytes().to_vec()])?
            && let Some(placed) = self.placed_message(&key)?
            && record.last < placed.position
        {
            record.last = placed.position;
            self.put(&record)?;
        }
        Ok(true)
    }

    /// One message of the history.
    pub(crate) fn message(&self, key: &MessageKey) -> Result<Option<StoredMessage>, StoreError> {
        let (sender, device, message) = key.clone();
        Ok(self.placed_message(&MessageRef { sender, device, message })?.map(|placed| placed.message))
    }

    /// One message of the history with its place.
    pub(crate) fn placed_message(&self, message: &MessageRef) -> Result<Option<Placed>, StoreError> {
        let row = self.row_of(message);
        let found = self
            .sql
            .prepare_cached("SELECT seq, key, slot, value FROM messages WHERE key = ?1")?
            .query_row([row], sealed)
            .optional()?;
        found.map(|row| self.placed(row)).transpose()
    }

    /// The last `limit` messages of a conversation, or of all, that stand before a position; oldest first.
    pub(crate) fn page(
        &self,
        conversation: Option<&str>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Placed>, StoreError> {
        // Two statements: one for both would not use the index, and look through all messages for those of a conversation that is quiet.
        const ALL: &str = "SELECT seq, key, slot, value FROM messages WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2";
        const ONE: &str = "SELECT seq, key, slot, value FROM messages WHERE conversation = ?3 AND seq < ?1 ORDER BY seq DESC LIMIT ?2";
        let before = clamp(before.unwrap_or(u64::MAX));
        let rows = match conversation.map(|id| self.conversation_row(id)) {
            None => self.sql.prepare_cached(ALL)?.query_map((before, limit), sealed)?.collect::<Result<Vec<_>, _>>()?,
            Some(row) => {
                self.sql.prepare_cached(ONE)?.query_map((before, limit, row), sealed)?.collect::<Result<Vec<_>, _>>()?
            }
        };
        rows.into_iter().rev().map(|row| self.placed(row)).collect()
    }

    /// Removes a message with all that was done to it.
    pub(crate) fn delete_message(&self, message: &MessageRef) -> Result<(), StoreError> {
        let row = self.row_of(message);
        self.end_annotations("target = ?1", row)?;
        self.end_sent_about(row)?;
        self.end_message_slots("SELECT slot FROM messages WHERE key = ?1", row, true)?;
        self.sql.prepare_cached("DELETE FROM messages WHERE key = ?1")?.execute([row])?;
        Ok(())
    }

    /// Erases the keys of the messages that a query finds.
    fn end_message_slots(
        &self,
        query: &'static str,
        parameter: impl rusqlite::ToSql,
        at_once: bool,
    ) -> Result<(), StoreError> {
        let slots = self
            .sql
            .prepare_cached(query)?
            .query_map([parameter], |r| r.get::<_, Option<Slot>>(0))?
            .collect::<Result<Vec<_>, _>>()?;
        self.end_slots(slots.into_iter().flatten(), at_once)
    }

    /// Whether something's time is over.
    pub(crate) fn has_expired(&self, now_ms: u64) -> Result<bool, StoreError> {
        Ok(self
            .sql
            .prepare_cached("SELECT 1 FROM messages WHERE expires_at_ms <= ?1 LIMIT 1")?
            .exists([clamp(now_ms)])?)
    }

    /// Deletes messages whose time is over with all that was done to them, and forgets those of which no repeat can come.
    /// Gives the conversations that have changed.
    pub(crate) fn expire(&self, now_ms: u64) -> Result<Vec<String>, StoreError> {
        let now = clamp(now_ms);
        self.sql.prepare_cached("DELETE FROM seen WHERE forget_at_ms <= ?1")?.execute([now])?;
        self.end_annotations("expires_at_ms <= ?1", now)?;
        self.expire_sent(now_ms)?;
        for entry in self.expired_outbox(now_ms)? {
            self.give_up_outbox(&entry.key)?;
        }
        let ended = self
            .sql
            .prepare_cached("SELECT seq, key, slot, value FROM messages WHERE expires_at_ms <= ?1")?
            .query_map([now], sealed)?
            .collect::<Result<Vec<_>, _>>()?;
        let mut conversations = Vec::new();
        for row in ended {
            self.end_annotations("target = ?1", row.1)?;
            self.end_sent_about(row.1)?;
            self.end_slots(row.2, true)?;
            // A value that does not open has no conversation to tell of, and goes all the same.
            conversations.extend(self.placed(row).ok().map(|placed| placed.message.conversation));
        }
        self.sql.prepare_cached("DELETE FROM messages WHERE expires_at_ms <= ?1")?.execute([now])?;
        conversations.sort();
        conversations.dedup();
        Ok(conversations)
    }

    /// Puts a message that is new into the history, with its conversation.
    pub(crate) fn add_message(
        &self,
        message: &StoredMessage,
        conversation: &sotto_wire::content::Conversation,
        unread: Unread,
    ) -> Result<(), StoreError> {
        self.put_message(message)?;
        self.set_unread(&message.key(), unread)?;
        let known = self.get::<ConversationRecord>(&[message.conversation.as_bytes().to_vec()])?;
        let mut record = known.unwrap_or_else(|| ConversationRecord::of(conversation));
        record.retained = message.retained;
        if let Some(placed) = self.placed_message(&message.key())? {
            record.last = record.last.max(placed.position);
        }
        self.put(&record)
    }
}

/// SQLite's integers are signed.
pub(super) fn clamp(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
