//! The outbox: what waits to be sent, in the order in which it was said.

use rusqlite::OptionalExtension as _;
use sotto_wire::content::MessageRef;
use zeroize::Zeroizing;

use super::cipher::RowKey;
use super::db::{Tx, sealed_row};
use super::erasable::Slot;
use super::messages::clamp;
use super::talk::OutboxRecord;
use crate::core::error::StoreError;

pub(super) const TABLE: &str = "outbox";

impl Tx<'_> {
    fn outbox_row(&self, message: &MessageRef) -> RowKey {
        self.cipher
            .row(TABLE, &[message.sender.as_str().as_bytes(), message.device.as_bytes(), message.message.as_bytes()])
    }

    /// Puts an entry in its place, at the end where it is new.
    pub(crate) fn put_outbox(&self, entry: &OutboxRecord) -> Result<(), StoreError> {
        let row = self.outbox_row(&entry.key);
        let clear = Zeroizing::new(sotto_crypto::encode(entry));
        self.end_outbox_slots(row, false)?;
        let (sealed, slot) = self.seal_ending(TABLE, &row, &clear)?;
        self.sql
            .prepare_cached(
                "INSERT INTO outbox (key, expires_at_ms, value, slot) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (key) DO UPDATE SET expires_at_ms = ?2, value = ?3, slot = ?4",
            )?
            .execute((row, entry.expires_at_ms.map(clamp), sealed, slot))?;
        Ok(())
    }

    /// Everything that waits, oldest first.
    pub(crate) fn outbox(&self) -> Result<Vec<OutboxRecord>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT key, slot, value FROM outbox ORDER BY seq")?;
        let rows = statement.query_map([], sealed_row)?.collect::<Result<Vec<_>, _>>()?;
        rows.iter().map(|row| self.opened(TABLE, row)).collect()
    }

    /// Whether nothing waits.
    pub(crate) fn outbox_is_empty(&self) -> Result<bool, StoreError> {
        Ok(!self.sql.prepare_cached("SELECT 1 FROM outbox LIMIT 1")?.exists([])?)
    }

    /// One entry.
    pub(crate) fn outbox_entry(&self, message: &MessageRef) -> Result<Option<OutboxRecord>, StoreError> {
        let row = self.outbox_row(message);
        let found = self
            .sql
            .prepare_cached("SELECT key, slot, value FROM outbox WHERE key = ?1")?
            .query_row([row], sealed_row)
            .optional()?;
        found.map(|found| self.opened(TABLE, &found)).transpose()
    }

    fn end_outbox_slots(&self, row: RowKey, at_once: bool) -> Result<(), StoreError> {
        let slot: Option<Option<Slot>> = self
            .sql
            .prepare_cached("SELECT slot FROM outbox WHERE key = ?1")?
            .query_row([row], |r| r.get(0))
            .optional()?;
        self.end_slots(slot.flatten(), at_once)
    }

    /// Takes an entry out that the relay need not have got. One that it may have has had its place in the chain.
    pub(crate) fn give_up_outbox(&self, message: &MessageRef) -> Result<(), StoreError> {
        if let Some(entry) = self.outbox_entry(message)?.filter(OutboxRecord::is_frozen) {
            self.move_own_chain(&entry.conversation.id(), &entry.content, None)?;
        }
        self.delete_outbox(message)
    }

    /// The entries whose time is over.
    pub(super) fn expired_outbox(&self, now_ms: u64) -> Result<Vec<OutboxRecord>, StoreError> {
        let mut statement =
            self.sql.prepare_cached("SELECT key, slot, value FROM outbox WHERE expires_at_ms <= ?1 ORDER BY seq")?;
        let rows = statement.query_map([clamp(now_ms)], sealed_row)?.collect::<Result<Vec<_>, _>>()?;
        rows.iter().map(|row| self.opened(TABLE, row)).collect()
    }

    /// Takes an entry out.
    pub(crate) fn delete_outbox(&self, message: &MessageRef) -> Result<(), StoreError> {
        let row = self.outbox_row(message);
        self.end_outbox_slots(row, true)?;
        self.sql.prepare_cached("DELETE FROM outbox WHERE key = ?1")?.execute([row])?;
        Ok(())
    }
}

/// [`Tx::outbox`] for transactions of every lifetime.
pub(crate) fn outbox_all(tx: &Tx<'_>) -> Result<Vec<OutboxRecord>, StoreError> {
    tx.outbox()
}
