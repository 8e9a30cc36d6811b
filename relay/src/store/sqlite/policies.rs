//! Documents.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Sqlite, is_foreign_key};
use crate::store::{
    Answer, DeleteGroup, Policies, PutDocument, StoreError, StoredDirectory, StoredDocuments, StoredPolicy,
};

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

    fn documents(&self) -> Answer<'_, StoredDocuments> {
        self.read(|connection| {
            Ok(StoredDocuments {
                network: connection.query_row("SELECT document FROM network", [], |row| row.get(0)).optional()?,
                groups: named(connection, "SELECT name, document FROM groups")?,
                memberships: named(connection, "SELECT local, membership FROM users")?,
            })
        })
    }

    fn put_head(&self, head: Vec<u8>, serial: u64) -> Answer<'_, PutDocument> {
        self.write(move |work| {
            let connection = work.connection();
            let stored = connection
                .query_row("SELECT document, serial FROM head", [], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            if let Some(outcome) = decide(stored.as_ref(), &head, serial) {
                return Ok(outcome);
            }
            connection.execute("INSERT OR REPLACE INTO head VALUES (1, ?1, ?2)", params![head, serial])?;
            for (kind, now) in LISTED {
                // Nearly always only few have changed.
                connection.execute(
                    &format!("DELETE FROM listed WHERE kind = ?1 AND name NOT IN (SELECT n FROM ({now}))"),
                    [kind],
                )?;
                connection.execute(
                    &format!(
                        "INSERT INTO listed (kind, name, document)
                         SELECT ?1, now.n, now.d FROM ({now}) now LEFT JOIN listed l ON l.kind = ?1 AND l.name = now.n
                         WHERE l.document IS NOT now.d
                         ON CONFLICT (kind, name) DO UPDATE SET document = excluded.document"
                    ),
                    [kind],
                )?;
            }
            Ok(PutDocument::Stored)
        })
    }

    fn directory_as_put(&self) -> Answer<'_, Option<StoredDirectory>> {
        self.read(|connection| {
            let head: Option<Vec<u8>> =
                connection.query_row("SELECT document FROM head", [], |row| row.get(0)).optional()?;
            let Some(head) = head else { return Ok(None) };
            let of = |kind| named(connection, &format!("SELECT name, document FROM listed WHERE kind = {kind}"));
            let network = of(NETWORK)?.into_iter().next().map(|(_, document)| document);
            let documents = StoredDocuments { network, groups: of(GROUP)?, memberships: of(MEMBERSHIP)? };
            Ok(Some(StoredDirectory { head, documents }))
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

/// Kinds of documents under a head.
const NETWORK: i64 = 0;
const GROUP: i64 = 1;
const MEMBERSHIP: i64 = 2;
/// Where they are as they were put last: name `n` and document `d`.
const LISTED: [(i64, &str); 3] = [
    (NETWORK, "SELECT '' AS n, document AS d FROM network"),
    (GROUP, "SELECT name AS n, document AS d FROM groups"),
    (MEMBERSHIP, "SELECT local AS n, membership AS d FROM users"),
];

fn named(connection: &Connection, select: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
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
