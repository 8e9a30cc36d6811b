//! Opening the store: the tables, or an older form of them brought forward.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::cipher::Cipher;
use super::db::{Inner, Store};
use super::erasable::Erasable;
use super::key::StoreKey;
use super::migrate;
use crate::core::error::StoreError;

/// Form of the tables.
const FORM: i64 = 4;
/// Their form as long as the file may still hold, beside its rows, what was there before it was brought forward: it is to be
/// vacuumed, by the next start where this one is cut off.
const UNVACUUMED: i64 = 2;

/// What was sent had only a number, and no name.
const BY_NUMBER: i64 = 3;

const TABLES: &str = "
CREATE TABLE cells (
    tbl TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, slot INTEGER, PRIMARY KEY (tbl, key)) WITHOUT ROWID;
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, conversation BLOB NOT NULL,
    unread INTEGER NOT NULL DEFAULT 0, expires_at_ms INTEGER, value BLOB NOT NULL, slot INTEGER);
-- What comes by history transfer is older than all that is here, and gets the numbers below.
INSERT INTO sqlite_sequence (name, seq) VALUES ('messages', 1099511627776);
CREATE INDEX messages_conversation ON messages (conversation, seq);
CREATE INDEX messages_unread ON messages (conversation, unread) WHERE unread > 0;
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

/// What forms since 2 have beside the tables of form 1: made for all.
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

/// What form 4 has beside the tables of form 2: made for all. A row without a value is of a message that has said nothing.
const SENT: &str = "
CREATE TABLE IF NOT EXISTS sent (
    key BLOB PRIMARY KEY, place BLOB UNIQUE, about BLOB NOT NULL, forget_at_ms INTEGER NOT NULL, value BLOB NOT NULL, slot INTEGER)
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sent_about ON sent (about);
CREATE INDEX IF NOT EXISTS sent_expiry ON sent (forget_at_ms);
CREATE INDEX IF NOT EXISTS sent_slot ON sent (slot) WHERE slot IS NOT NULL;
";

/// What form 3 has beside the tables of form 2, too.
const PENDING: &str = "
CREATE TABLE IF NOT EXISTS room_pending (
    key BLOB PRIMARY KEY, room BLOB NOT NULL, sender BLOB NOT NULL, network BLOB NOT NULL, bytes INTEGER NOT NULL,
    forget_at_ms INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS room_pending_room ON room_pending (room);
CREATE INDEX IF NOT EXISTS room_pending_sender ON room_pending (sender, bytes);
CREATE INDEX IF NOT EXISTS room_pending_network ON room_pending (network, bytes);
CREATE INDEX IF NOT EXISTS room_pending_expiry ON room_pending (forget_at_ms);
";

impl Store {
    /// Opens the file, and makes it where it is not there yet.
    pub(crate) fn open(path: &Path, key: &StoreKey) -> Result<Self, StoreError> {
        let store = Inner::connect(path, key)?;
        // Where another process is at it, the old pages are still there: then the next start does it again.
        if store.bring_forward()? && store.vacuum()? {
            store.run(|tx| Ok(tx.sql.pragma_update(None, "user_version", FORM)?))?;
        }
        Ok(Self { inner: Arc::new(store) })
    }
}

impl Inner {
    pub(super) fn connect(path: &Path, key: &StoreKey) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Deleted secrets are overwritten, not just unlinked.
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        let keys = Erasable::open(&path.with_extension("keys"))?;
        Ok(Self { connection: Mutex::new(connection), cipher: Cipher::new(key), keys })
    }

    /// Makes the tables, or brings an older form forward; erases keys that a process has left that was ended. Whether the file
    /// is to be vacuumed then.
    pub(super) fn bring_forward(&self) -> Result<bool, StoreError> {
        self.run(|tx| {
            let form: i64 = tx.sql.pragma_query_value(None, "user_version", |row| row.get(0))?;
            match form {
                0 => tx.sql.execute_batch(TABLES)?,
                1 => migrate::add_columns(tx)?,
                UNVACUUMED | BY_NUMBER | FORM => {}
                newer => return Err(StoreError::Newer(newer)),
            }
            if form < UNVACUUMED {
                tx.sql.execute_batch(ADDED)?;
            }
            if matches!(form, 1 | UNVACUUMED) {
                migrate::add_digests(tx)?;
            }
            if form < FORM {
                migrate::drop_sent_by_number(tx)?;
                tx.sql.execute_batch(PENDING)?;
                tx.sql.execute_batch(SENT)?;
            }
            if form == 1 {
                migrate::from_form_1(tx)?;
            }
            let unvacuumed = form == 1 || form == UNVACUUMED;
            if unvacuumed {
                migrate::from_form_2(tx)?;
            }
            if form < FORM {
                tx.sql.pragma_update(None, "user_version", if unvacuumed { UNVACUUMED } else { FORM })?;
            }
            tx.begin_slots()?;
            tx.keys.keep_only(&tx.used_slots()?)?;
            Ok(unvacuumed)
        })
    }

    /// Old pages hold values under keys that are not erased: writes the file anew. False where another process holds it.
    fn vacuum(&self) -> Result<bool, StoreError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        match connection.execute_batch("VACUUM") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => return Ok(false),
            vacuumed => vacuumed?,
        }
        Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? == 0))?)
    }
}
