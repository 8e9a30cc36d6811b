//! Opening the store: the tables, or an older form of them brought forward.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::cipher::Cipher;
use super::db::{Inner, Store};
use super::erasable::Erasable;
use super::key::StoreKey;
use super::migrate;
use crate::core::error::StoreError;

/// Form of the tables.
const FORM: i64 = 3;

const TABLES: &str = "
CREATE TABLE cells (
    tbl TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, slot INTEGER, PRIMARY KEY (tbl, key)) WITHOUT ROWID;
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, conversation BLOB NOT NULL,
    unread INTEGER NOT NULL DEFAULT 0, expires_at_ms INTEGER, value BLOB NOT NULL, slot INTEGER);
-- What comes by history transfer is older than all that is here, and gets the numbers below.
INSERT INTO sqlite_sequence (name, seq) VALUES ('messages', 1099511627776);
CREATE INDEX messages_conversation ON messages (conversation, seq);
CREATE INDEX messages_unread ON messages (conversation) WHERE unread > 0;
CREATE INDEX messages_expiry ON messages (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
CREATE TABLE annotations (
    key BLOB PRIMARY KEY, target BLOB NOT NULL, expires_at_ms INTEGER, value BLOB NOT NULL, slot INTEGER) WITHOUT ROWID;
CREATE INDEX annotations_target ON annotations (target);
CREATE INDEX annotations_expiry ON annotations (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, expires_at_ms INTEGER, value BLOB NOT NULL,
    slot INTEGER);
CREATE TABLE room_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, room BLOB NOT NULL, value BLOB NOT NULL);
CREATE INDEX room_events_room ON room_events (room, seq);
CREATE TABLE seen (key BLOB PRIMARY KEY, digest BLOB, forget_at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX seen_expiry ON seen (forget_at_ms);
";

/// What form 2 has beside the tables of form 1: made for both.
const ADDED: &str = "
CREATE TABLE aside (
    key BLOB PRIMARY KEY, sender BLOB NOT NULL, network BLOB NOT NULL, reason INTEGER NOT NULL, bytes INTEGER NOT NULL,
    position INTEGER NOT NULL, forget_at_ms INTEGER NOT NULL, value BLOB NOT NULL, slot INTEGER) WITHOUT ROWID;
CREATE INDEX aside_sender ON aside (sender);
CREATE INDEX aside_network ON aside (network);
CREATE INDEX aside_expiry ON aside (forget_at_ms);
CREATE INDEX cells_slot ON cells (slot) WHERE slot IS NOT NULL;
CREATE INDEX messages_slot ON messages (slot) WHERE slot IS NOT NULL;
CREATE INDEX annotations_slot ON annotations (slot) WHERE slot IS NOT NULL;
CREATE INDEX outbox_slot ON outbox (slot) WHERE slot IS NOT NULL;
";

impl Store {
    /// Opens the file, and makes it where it is not there yet.
    pub(crate) fn open(path: &Path, key: &StoreKey) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Deleted secrets are overwritten, not just unlinked.
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        let keys = Erasable::open(&path.with_extension("keys"))?;
        let store = Inner { connection: Mutex::new(connection), cipher: Cipher::new(key), keys };
        store.prepare()?;
        Ok(Self { inner: Arc::new(store) })
    }
}

impl Inner {
    /// Makes the tables, or brings an older form forward; erases keys that a process has left that was ended.
    fn prepare(&self) -> Result<(), StoreError> {
        let brought_forward = self.run(|tx| {
            let form: i64 = tx.sql.pragma_query_value(None, "user_version", |row| row.get(0))?;
            match form {
                0 => tx.sql.execute_batch(TABLES)?,
                1 => migrate::add_columns(tx)?,
                2 | FORM => {}
                newer => return Err(StoreError::Newer(newer)),
            }
            if matches!(form, 1 | 2) {
                migrate::add_digests(tx)?;
            }
            if form < 2 {
                tx.sql.execute_batch(ADDED)?;
            }
            if form < FORM {
                tx.sql.pragma_update(None, "user_version", FORM)?;
            }
            if form == 1 {
                migrate::from_form_1(tx)?;
            }
            tx.begin_slots()?;
            tx.keys.keep_only(&tx.used_slots()?)?;
            Ok(form == 1)
        })?;
        if brought_forward {
            // Old pages hold values under keys that are not erased.
            let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
        }
        Ok(())
    }
}
