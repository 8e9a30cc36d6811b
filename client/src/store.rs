//! The local store: SQLite, every value sealed, every row key hidden. Safe for several processes and for kill -9: each
//! change is one transaction that is on disk when it returns.

mod annotations;
mod cipher;
mod documents;
mod links;
mod messages;
mod outbox;
mod records;
mod rooms;
mod talk;
pub(crate) mod transfer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use zeroize::Zeroizing;

use crate::error::{Error, StoreError};
use crate::keyfile::StoreKey;
use cipher::Cipher;

pub(crate) use documents::{MembershipRecord, PolicyRecord};
pub(crate) use links::{HistoryIn, HistoryOffered, HistoryOut, PendingLink};
pub(crate) use messages::{MessageKey, Placed, Unread};
pub(crate) use outbox::outbox_all;
pub(crate) use records::{AccountRecord, BatchRecord, Pin, PrekeyRecord, Record, Serials};
pub use records::{MessageState, StoredMessage, Tls};
pub(crate) use rooms::{HeldRecord, RoomEventRecord};
pub(crate) use talk::{
    Annotation, Audience, ConversationRecord, Mark, OutboxKind, OutboxRecord, PendingReceipt, SettingsRecord, parts_of,
};

/// Form of the tables.
const FORM: i64 = 1;

const TABLES: &str = "
CREATE TABLE cells (tbl TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (tbl, key)) WITHOUT ROWID;
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, conversation BLOB NOT NULL,
    unread INTEGER NOT NULL DEFAULT 0, expires_at_ms INTEGER, value BLOB NOT NULL);
-- What comes by history transfer is older than all that is here, and gets the numbers below.
INSERT INTO sqlite_sequence (name, seq) VALUES ('messages', 1099511627776);
CREATE INDEX messages_conversation ON messages (conversation, seq);
CREATE INDEX messages_unread ON messages (conversation) WHERE unread > 0;
CREATE INDEX messages_expiry ON messages (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
CREATE TABLE annotations (
    key BLOB PRIMARY KEY, target BLOB NOT NULL, expires_at_ms INTEGER, value BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX annotations_target ON annotations (target);
CREATE INDEX annotations_expiry ON annotations (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, expires_at_ms INTEGER, value BLOB NOT NULL);
CREATE TABLE room_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, room BLOB NOT NULL, value BLOB NOT NULL);
CREATE INDEX room_events_room ON room_events (room, seq);
CREATE TABLE seen (key BLOB PRIMARY KEY, forget_at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX seen_expiry ON seen (forget_at_ms);
";

/// A cheap handle.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Mutex<Connection>,
    cipher: Cipher,
}

impl Store {
    /// Opens the file, and makes it where it is not there yet.
    pub(crate) fn open(path: &Path, key: &StoreKey) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Deleted secrets are overwritten, not just unlinked.
        connection.pragma_update(None, "secure_delete", "ON")?;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match tx.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
            0 => {
                tx.execute_batch(TABLES)?;
                tx.pragma_update(None, "user_version", FORM)?;
            }
            FORM => {}
            newer => return Err(StoreError::Newer(newer)),
        }
        tx.commit()?;
        Ok(Self { inner: Arc::new(Inner { connection: Mutex::new(connection), cipher: Cipher::new(key) }) })
    }

    /// Runs one transaction, all or nothing, off the async threads.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.run_blocking(work))
            .await
            .map_err(|_| Error::Internal("work on the local store was cut off"))?
            .map_err(Error::from)
    }

    /// Every value of a table.
    pub(crate) async fn list<R: Record + Send + 'static>(&self) -> Result<Vec<R>, Error> {
        self.run(list_all).await
    }

    /// Runs one transaction on this thread.
    pub(crate) fn run_blocking<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // A panic while the lock was held has rolled its transaction back: the connection is good.
        let mut connection = self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let tx = Tx { tx, cipher: &self.inner.cipher };
        let value = work(&tx)?;
        tx.tx.commit()?;
        Ok(value)
    }
}

/// One transaction.
pub(crate) struct Tx<'a> {
    tx: Transaction<'a>,
    cipher: &'a Cipher,
}

impl Tx<'_> {
    fn row(&self, table: &'static str, key: &[Vec<u8>]) -> cipher::RowKey {
        let parts: Vec<&[u8]> = key.iter().map(Vec::as_slice).collect();
        self.cipher.row(table, &parts)
    }

    /// The value with this key.
    pub(crate) fn get<R: Record>(&self, key: &[Vec<u8>]) -> Result<Option<R>, StoreError> {
        let row = self.row(R::TABLE, key);
        let sealed: Option<Vec<u8>> = self
            .tx
            .prepare_cached("SELECT value FROM cells WHERE tbl = ?1 AND key = ?2")?
            .query_row((R::TABLE, row), |r| r.get(0))
            .optional()?;
        sealed.map(|sealed| decode(R::TABLE, &self.cipher.open(R::TABLE, &row, &sealed)?)).transpose()
    }

    /// Every value of a table, in no order that means anything.
    pub(crate) fn list<R: Record>(&self) -> Result<Vec<R>, StoreError> {
        let mut statement = self.tx.prepare_cached("SELECT key, value FROM cells WHERE tbl = ?1")?;
        let rows =
            statement.query_map([R::TABLE], |r| Ok((r.get::<_, cipher::RowKey>(0)?, r.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (row, sealed) = row?;
            decode(R::TABLE, &self.cipher.open(R::TABLE, &row, &sealed)?)
        })
        .collect()
    }

    /// Whether a table has no value.
    pub(crate) fn is_empty<R: Record>(&self) -> Result<bool, StoreError> {
        Ok(!self.tx.prepare_cached("SELECT 1 FROM cells WHERE tbl = ?1 LIMIT 1")?.exists([R::TABLE])?)
    }

    /// How many values a table has.
    pub(crate) fn count<R: Record>(&self) -> Result<u64, StoreError> {
        let count: i64 =
            self.tx.prepare_cached("SELECT COUNT(*) FROM cells WHERE tbl = ?1")?.query_row([R::TABLE], |r| r.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Puts a value in its place, over what is there.
    pub(crate) fn put<R: Record>(&self, record: &R) -> Result<(), StoreError> {
        let row = self.row(R::TABLE, &record.key());
        let clear = Zeroizing::new(sotto_crypto::encode(record));
        let sealed = self.cipher.seal(R::TABLE, &row, &clear)?;
        self.tx
            .prepare_cached(
                "INSERT INTO cells (tbl, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = ?3",
            )?
            .execute((R::TABLE, row, sealed))?;
        Ok(())
    }

    /// Removes the value with this key, where there is one.
    pub(crate) fn delete<R: Record>(&self, key: &[Vec<u8>]) -> Result<(), StoreError> {
        let row = self.row(R::TABLE, key);
        self.tx.prepare_cached("DELETE FROM cells WHERE tbl = ?1 AND key = ?2")?.execute((R::TABLE, row))?;
        Ok(())
    }
}

/// [`Tx::list`] for transactions of every lifetime.
pub(crate) fn list_all<R: Record>(tx: &Tx<'_>) -> Result<Vec<R>, StoreError> {
    tx.list()
}

fn decode<T: for<'b> minicbor::Decode<'b, ()>>(table: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    minicbor::decode(bytes).map_err(|e| StoreError::Value { table, reason: e.to_string() })
}

#[cfg(test)]
pub(crate) mod tests;
