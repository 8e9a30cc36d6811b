//! What is known of attachments.

use rusqlite::{Connection, OptionalExtension as _, params};
use sotto_crypto::BlobId;

use super::{Sqlite, id16};
use crate::store::{Answer, BlobMeta, Blobs, StoreError};

impl Blobs for Sqlite {
    fn add_blob(&self, blob: BlobId, owner: String, meta: BlobMeta, quota: u64) -> Answer<'_, bool> {
        self.write(move |work| {
            if bytes(work.connection(), &owner)?.saturating_add(meta.size) > quota {
                return Ok(false);
            }
            work.connection().execute(
                "INSERT INTO blobs VALUES (?1, ?2, ?3, ?4)",
                params![blob.as_bytes(), owner, meta.size, meta.expires_at_ms],
            )?;
            Ok(true)
        })
    }

    fn blob_bytes(&self, owner: String) -> Answer<'_, u64> {
        self.read(move |connection| bytes(connection, &owner))
    }

    fn blob(&self, blob: BlobId, now_ms: u64) -> Answer<'_, Option<BlobMeta>> {
        self.read(move |connection| {
            Ok(connection
                .prepare_cached("SELECT size, expires_ms FROM blobs WHERE blob = ?1 AND expires_ms > ?2")?
                .query_row(params![blob.as_bytes(), now_ms], |row| {
                    Ok(BlobMeta { size: row.get(0)?, expires_at_ms: row.get(1)? })
                })
                .optional()?)
        })
    }

    fn expired_blobs(&self, now_ms: u64, count: usize) -> Answer<'_, Vec<BlobId>> {
        self.read(move |connection| {
            let raw: Vec<Vec<u8>> = connection
                .prepare_cached("SELECT blob FROM blobs WHERE expires_ms <= ?1 LIMIT ?2")?
                .query_map(params![now_ms, count], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            raw.iter().map(|bytes| id16(bytes).map(BlobId::from_bytes)).collect::<Result<_, StoreError>>()
        })
    }

    fn forget_blobs(&self, blobs: Vec<BlobId>) -> Answer<'_, ()> {
        self.write(move |work| {
            for blob in blobs {
                work.connection().execute("DELETE FROM blobs WHERE blob = ?1", [blob.as_bytes()])?;
            }
            Ok(())
        })
    }
}

fn bytes(connection: &Connection, owner: &str) -> Result<u64, StoreError> {
    Ok(connection
        .prepare_cached("SELECT coalesce(sum(size), 0) FROM blobs WHERE owner = ?1")?
        .query_row([owner], |row| row.get(0))?)
}
