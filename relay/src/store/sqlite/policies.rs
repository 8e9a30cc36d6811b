//! Documents.

use rusqlite::{OptionalExtension as _, params};

use super::{Sqlite, is_foreign_key};
use crate::store::{Answer, DeleteGroup, Policies, PutDocument, StoreError, StoredPolicy};

impl Policies for Sqlite {
    fn policy(&self) -> Answer<'_, StoredPolicy> {
        self.read(|connection| {
            let network = connection.query_row("SELECT document FROM network", [], |row| row.get(0)).optional()?;
            let groups = connection
                .prepare_cached("SELECT name, document FROM groups")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            Ok(StoredPolicy { network, groups })
        })
    }

    fn put_network(&self, document: Vec<u8>, serial: u64) -> Answer<'_, PutDocument> {
        self.write(move |work| {
            let connection = work.connection();
            let stored = connection
                .query_row("SELECT document, serial FROM network", [], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            if let Some(outcome) = decide(stored.as_ref(), &document, serial) {
                return Ok(outcome);
            }
            connection.execute("INSERT OR REPLACE INTO network VALUES (1, ?1, ?2)", params![document, serial])?;
            Ok(PutDocument::Stored)
        })
    }

    fn put_group(&self, name: String, document: Vec<u8>, serial: u64) -> Answer<'_, PutDocument> {
        self.write(move |work| {
            let connection = work.connection();
            let stored = connection
                .query_row("SELECT document, serial FROM groups WHERE name = ?1", [&name], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            if let Some(outcome) = decide(stored.as_ref(), &document, serial) {
                return Ok(outcome);
            }
            connection.execute(
                "INSERT INTO groups VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET document = excluded.document, serial = excluded.serial",
                params![name, document, serial],
            )?;
            Ok(PutDocument::Stored)
        })
    }

    fn delete_group(&self, name: String) -> Answer<'_, DeleteGroup> {
        self.write(move |work| match work.connection().execute("DELETE FROM groups WHERE name = ?1", [&name]) {
            Ok(_) => Ok(DeleteGroup::Deleted),
            Err(error) if is_foreign_key(&error) => Ok(DeleteGroup::InUse),
            Err(error) => Err(StoreError::from(error)),
        })
    }
}

/// What to answer without storing: an older document is refused, a repeat is fine.
fn decide(stored: Option<&(Vec<u8>, u64)>, document: &[u8], serial: u64) -> Option<PutDocument> {
    let (bytes, current) = stored?;
    if serial > *current {
        None
    } else if serial == *current && bytes == document {
        Some(PutDocument::Stored)
    } else {
        Some(PutDocument::Stale)
    }
}
