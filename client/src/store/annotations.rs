//! What was done to messages, beside them: for each thing that can be done by somebody, the newest that counts.

use rusqlite::OptionalExtension as _;
use sotto_wire::content::MessageRef;
use zeroize::Zeroizing;

use super::cipher::RowKey;
use super::messages::clamp;
use super::{Annotation, Tx, decode};
use crate::error::StoreError;

const TABLE: &str = "annotations";

impl Tx<'_> {
    /// Keeps an annotation, unless a newer one is in its place. Returns whether it is kept. One whose message has not come
    /// is forgotten at `orphan_until_ms`, unless the message comes before.
    pub(crate) fn annotate(&self, annotation: &Annotation, orphan_until_ms: u64) -> Result<bool, StoreError> {
        let slot = annotation.slot();
        let parts: Vec<&[u8]> = slot.iter().map(Vec::as_slice).collect();
        let row = self.cipher.row(TABLE, &parts);
        let held: Option<Vec<u8>> = self
            .tx
            .prepare_cached("SELECT value FROM annotations WHERE key = ?1")?
            .query_row([row], |r| r.get(0))
            .optional()?;
        if let Some(held) = held {
            let held: Annotation = decode(TABLE, &self.cipher.open(TABLE, &row, &held)?)?;
            if !annotation.is_newer_than(&held) {
                return Ok(false);
            }
        }
        let target = self.row_of(&annotation.target);
        let has_target = self.tx.prepare_cached("SELECT 1 FROM messages WHERE key = ?1")?.exists([target])?;
        let clear = Zeroizing::new(sotto_crypto::encode(annotation));
        let sealed = self.cipher.seal(TABLE, &row, &clear)?;
        self.tx
            .prepare_cached(
                "INSERT INTO annotations (key, target, expires_at_ms, value) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (key) DO UPDATE SET expires_at_ms = ?3, value = ?4",
            )?
            .execute((row, target, (!has_target).then_some(clamp(orphan_until_ms)), sealed))?;
        Ok(true)
    }

    /// All that was done to a message.
    pub(crate) fn annotations(&self, target: &MessageRef) -> Result<Vec<Annotation>, StoreError> {
        let mut statement = self.tx.prepare_cached("SELECT key, value FROM annotations WHERE target = ?1")?;
        let rows =
            statement.query_map([self.row_of(target)], |r| Ok((r.get::<_, RowKey>(0)?, r.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (row, sealed) = row?;
            decode(TABLE, &self.cipher.open(TABLE, &row, &sealed)?)
        })
        .collect()
    }

    /// Annotations in the order of their rows, from behind a row; with the last row where there may be more.
    pub(crate) fn annotations_after(
        &self,
        after: Option<&[u8]>,
        limit: u32,
    ) -> Result<(Vec<Annotation>, Option<Vec<u8>>), StoreError> {
        let mut statement =
            self.tx.prepare_cached("SELECT key, value FROM annotations WHERE key > ?1 ORDER BY key LIMIT ?2")?;
        let rows = statement
            .query_map((after.unwrap_or_default(), limit), |r| Ok((r.get::<_, RowKey>(0)?, r.get::<_, Vec<u8>>(1)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        let next = rows.last().filter(|_| rows.len() == limit as usize).map(|(row, _)| row.to_vec());
        let open = |(row, sealed): (RowKey, Vec<u8>)| decode(TABLE, &self.cipher.open(TABLE, &row, &sealed)?);
        Ok((rows.into_iter().map(open).collect::<Result<Vec<_>, _>>()?, next))
    }

    /// The message has come: what was done to it lives as long as it does.
    pub(crate) fn adopt_annotations(&self, target: &MessageRef) -> Result<(), StoreError> {
        self.tx
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
            self.tx.prepare_cached("DELETE FROM annotations WHERE key = ?1")?.execute([row])?;
        }
        Ok(())
    }
}
