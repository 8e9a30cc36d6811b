//! Messages: the history, and the memory of what has been received, so that repeats are dropped.

use rusqlite::OptionalExtension as _;
use sotto_crypto::{Address, DeviceId, MessageId};
use zeroize::Zeroizing;

use super::cipher::RowKey;
use super::{StoredMessage, Tx, decode};
use crate::error::StoreError;

const TABLE: &str = "messages";
const SEEN: &str = "seen";

/// What names a message: an id alone would let one sender hide another's message by using its id.
pub(crate) type MessageKey = (Address, DeviceId, MessageId);

impl Tx<'_> {
    fn message_row(&self, table: &'static str, (sender, device, id): &MessageKey) -> RowKey {
        self.cipher.row(table, &[sender.as_str().as_bytes(), device.as_bytes(), id.as_bytes()])
    }

    /// Whether this message has been received before.
    pub(crate) fn has_seen(&self, key: &MessageKey) -> Result<bool, StoreError> {
        let row = self.message_row(SEEN, key);
        Ok(self.tx.prepare_cached("SELECT 1 FROM seen WHERE key = ?1")?.exists([row])?)
    }

    /// Remembers that this message has been received, until no repeat of it can come.
    pub(crate) fn mark_seen(&self, key: &MessageKey, forget_at_ms: u64) -> Result<(), StoreError> {
        let row = self.message_row(SEEN, key);
        self.tx
            .prepare_cached("INSERT INTO seen (key, forget_at_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute((row, clamp(forget_at_ms)))?;
        Ok(())
    }

    /// Puts a message in its place in the history, at the end where it is new.
    pub(crate) fn put_message(&self, message: &StoredMessage) -> Result<(), StoreError> {
        let row = self.message_row(TABLE, &(message.sender.clone(), message.device, message.id));
        let conversation = self.cipher.row("conversation", &[message.conversation.as_bytes()]);
        let clear = Zeroizing::new(sotto_crypto::encode(message));
        let sealed = self.cipher.seal(TABLE, &row, &clear)?;
        self.tx
            .prepare_cached(
                "INSERT INTO messages (key, conversation, expires_at_ms, value) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (key) DO UPDATE SET expires_at_ms = ?3, value = ?4",
            )?
            .execute((row, conversation, message.expires_at_ms.map(clamp), sealed))?;
        Ok(())
    }

    /// One message of the history.
    pub(crate) fn message(&self, key: &MessageKey) -> Result<Option<StoredMessage>, StoreError> {
        let row = self.message_row(TABLE, key);
        let sealed: Option<Vec<u8>> = self
            .tx
            .prepare_cached("SELECT value FROM messages WHERE key = ?1")?
            .query_row([row], |r| r.get(0))
            .optional()?;
        sealed.map(|sealed| decode(TABLE, &self.cipher.open(TABLE, &row, &sealed)?)).transpose()
    }

    /// The last `limit` messages of a conversation, or of all, oldest first.
    pub(crate) fn history(&self, conversation: Option<&str>, limit: u32) -> Result<Vec<StoredMessage>, StoreError> {
        let conversation = conversation.map(|id| self.cipher.row("conversation", &[id.as_bytes()]));
        let mut statement = self.tx.prepare_cached(
            "SELECT key, value FROM messages WHERE ?1 IS NULL OR conversation = ?1 ORDER BY seq DESC LIMIT ?2",
        )?;
        let rows =
            statement.query_map((conversation, limit), |r| Ok((r.get::<_, RowKey>(0)?, r.get::<_, Vec<u8>>(1)?)))?;
        let mut messages = rows
            .map(|row| {
                let (row, sealed) = row?;
                decode(TABLE, &self.cipher.open(TABLE, &row, &sealed)?)
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        messages.reverse();
        Ok(messages)
    }

    /// Deletes messages whose time is over, and forgets those of which no repeat can come.
    pub(crate) fn expire(&self, now_ms: u64) -> Result<usize, StoreError> {
        let now = clamp(now_ms);
        self.tx.execute("DELETE FROM seen WHERE forget_at_ms <= ?1", [now])?;
        Ok(self.tx.execute("DELETE FROM messages WHERE expires_at_ms <= ?1", [now])?)
    }
}

/// SQLite's integers are signed.
fn clamp(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
