//! The outbox: what waits to be sent, in the order in which it was said.

use rusqlite::OptionalExtension as _;
use sotto_wire::content::MessageRef;
use zeroize::Zeroizing;

use super::cipher::RowKey;
use super::messages::clamp;
use super::{OutboxRecord, Tx, decode};
use crate::error::StoreError;

const TABLE: &str = "outbox";

impl Tx<'_> {
    fn outbox_row(&self, message: &MessageRef) -> RowKey {
        self.cipher
            .row(TABLE, &[message.sender.as_str().as_bytes(), message.device.as_bytes(), message.message.as_bytes()])
    }

    /// Puts an entry in its place, at the end where it is new.
    pub(crate) fn put_outbox(&self, entry: &OutboxRecord) -> Result<(), StoreError> {
        let row = self.outbox_row(&entry.key);
        let clear = Zeroizing::new(sotto_crypto::encode(entry));
        let sealed = self.cipher.seal(TABLE, &row, &clear)?;
        self.tx
            .prepare_cached(
                "INSERT INTO outbox (key, expires_at_ms, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key) DO UPDATE SET expires_at_ms = ?2, value = ?3",
            )?
            .execute((row, entry.expires_at_ms.map(clamp), sealed))?;
        Ok(())
    }

    /// Everything that waits, oldest first.
    pub(crate) fn outbox(&self) -> Result<Vec<OutboxRecord>, StoreError> {
        let mut statement = self.tx.prepare_cached("SELECT key, value FROM outbox ORDER BY seq")?;
        let rows = statement.query_map([], |r| Ok((r.get::<_, RowKey>(0)?, r.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (row, sealed) = row?;
            decode(TABLE, &self.cipher.open(TABLE, &row, &sealed)?)
        })
        .collect()
    }

    /// Whether nothing waits.
    pub(crate) fn outbox_is_empty(&self) -> Result<bool, StoreError> {
        Ok(!self.tx.prepare_cached("SELECT 1 FROM outbox LIMIT 1")?.exists([])?)
    }

    /// One entry.
    pub(crate) fn outbox_entry(&self, message: &MessageRef) -> Result<Option<OutboxRecord>, StoreError> {
        let row = self.outbox_row(message);
        let sealed: Option<Vec<u8>> = self
            .tx
            .prepare_cached("SELECT value FROM outbox WHERE key = ?1")?
            .query_row([row], |r| r.get(0))
            .optional()?;
        sealed.map(|sealed| decode(TABLE, &self.cipher.open(TABLE, &row, &sealed)?)).transpose()
    }

    /// Takes an entry out.
    pub(crate) fn delete_outbox(&self, message: &MessageRef) -> Result<(), StoreError> {
        self.tx.prepare_cached("DELETE FROM outbox WHERE key = ?1")?.execute([self.outbox_row(message)])?;
        Ok(())
    }
}

/// [`Tx::outbox`] for transactions of every lifetime.
pub(crate) fn outbox_all(tx: &Tx<'_>) -> Result<Vec<OutboxRecord>, StoreError> {
    tx.outbox()
}
