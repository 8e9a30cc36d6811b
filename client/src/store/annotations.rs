//! What was done to messages, beside them: for each thing that can be done by somebody, the newest that counts.

use rusqlite::OptionalExtension as _;
use sotto_wire::content::MessageRef;
use zeroize::Zeroizing;

use super::db::{Tx, sealed_row};
use super::erasable::Slot;
use super::messages::clamp;
use super::talk::Annotation;
use crate::core::error::StoreError;

pub(super) const TABLE: &str = "annotations";

impl Tx<'_> {
    /// Keeps an annotation, unless a newer one is in its place. Returns whether it is kept. One whose message has not come
    /// is forgotten at `orphan_until_ms`, unless the message comes before.
    pub(crate) fn annotate(&self, annotation: &Annotation, orphan_until_ms: u64) -> Result<bool, StoreError> {
        let slot = annotation.slot();
        let parts: Vec<&[u8]> = slot.iter().map(Vec::as_slice).collect();
        let row = self.cipher.row(TABLE, &parts);
        let held = self
            .sql
            .prepare_cached("SELECT key, slot, value FROM annotations WHERE key = ?1")?
            .query_row([row], sealed_row)
            .optional()?;
        if let Some(held) = &held {
            if !annotation.is_newer_than(&self.opened(TABLE, held)?) {
                return Ok(false);
            }
            self.end_slots(held.1, true)?;
        }
        let target = self.row_of(&annotation.target);
        let has_target = self.sql.prepare_cached("SELECT 1 FROM messages WHERE key = ?1")?.exists([target])?;
        let clear = Zeroizing::new(sotto_crypto::encode(annotation));
        let (sealed, slot) = self.seal_ending(TABLE, &row, &clear)?;
        self.sql
            .prepare_cached(
                "INSERT INTO annotations (key, target, expires_at_ms, value, slot) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (key) DO UPDATE SET expires_at_ms = ?3, value = ?4, slot = ?5",
            )?
            .execute((row, target, (!has_target).then_some(clamp(orphan_until_ms)), sealed, slot))?;
        Ok(true)
    }

    /// All that was done to a message.
    pub(crate) fn annotations(&self, target: &MessageRef) -> Result<Vec<Annotation>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT key, slot, value FROM annotations WHERE target = ?1")?;
        let rows = statement.query_map([self.row_of(target)], sealed_row)?.collect::<Result<Vec<_>, _>>()?;
        rows.iter().map(|row| self.opened(TABLE, row)).collect()
    }

    /// Annotations in the order of their rows, from behind a row; with the last row where there may be more.
    pub(crate) fn annotations_after(
        &self,
        after: Option<&[u8]>,
        limit: u32,
    ) -> Result<(Vec<Annotation>, Option<Vec<u8>>), StoreError> {
        let mut statement =
            self.sql.prepare_cached("SELECT key, slot, value FROM annotations WHERE key > ?1 ORDER BY key LIMIT ?2")?;
        let rows =
            statement.query_map((after.unwrap_or_default(), limit), sealed_row)?.collect::<Result<Vec<_>, _>>()?;
        let next = rows.last().filter(|_| rows.len() == limit as usize).map(|(row, ..)| row.to_vec());
        Ok((rows.iter().map(|row| self.opened(TABLE, row)).collect::<Result<Vec<_>, _>>()?, next))
    }

    /// The message has come: what was done to it lives as long as it does.
    pub(crate) fn adopt_annotations(&self, target: &MessageRef) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("UPDATE annotations SET expires_at_ms = NULL WHERE target = ?1")?
            .execute([self.row_of(target)])?;
        Ok(())
    }

    /// Takes an annotation away again, where this one is the one that counts.
    pub(crate) fn unannotate(&self, annotation: &Annotation) -> Result<(), StoreError> {
        let held = self.annotations(&annotation.target)?;
        if held.iter().any(|h| h == annotation) {
            let slot = annotation.slot();
            let parts: Vec<&[u8]> = slot.iter().map(Vec::as_slice).collect();
            let row = self.cipher.row(TABLE, &parts);
            self.end_annotations("key = ?1", row)?;
        }
        Ok(())
    }

    /// Removes annotations, with their keys.
    pub(super) fn end_annotations(
        &self,
        which: &'static str,
        parameter: impl rusqlite::ToSql,
    ) -> Result<(), StoreError> {
        let slots = self
            .sql
            .prepare_cached(&format!("DELETE FROM annotations WHERE {which} RETURNING slot"))?
            .query_map([parameter], |r| r.get::<_, Option<Slot>>(0))?
            .collect::<Result<Vec<_>, _>>()?;
        self.end_slots(slots.into_iter().flatten(), true)
    }
}
