//! The tables, and how a file made by an older version is brought up to date.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

/// Version of the schema: the first of protocol 2. Those of protocol 1 had 1 to 9.
const SCHEMA: i64 = 10;

/// Bodies are appended by rowid and mailbox rows are small: measured the fastest layout (reference/stores.md).
/// A body lives as long as `messages.refs`, the number of mailbox and outbox rows that need it; the row in `messages`
/// stays a while longer, so that a repeat is known.
const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('next_seq', 1);

CREATE TABLE network (id INTEGER PRIMARY KEY CHECK (id = 1), document BLOB NOT NULL, serial INTEGER NOT NULL);
CREATE TABLE groups (name TEXT PRIMARY KEY, document BLOB NOT NULL, serial INTEGER NOT NULL);
-- The directory head, and the documents as they were when it was put.
CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), document BLOB NOT NULL, serial INTEGER NOT NULL);
CREATE TABLE listed (
  kind INTEGER NOT NULL,
  name TEXT NOT NULL,
  document BLOB NOT NULL,
  PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- The last word of each thing that is done once is in reset_*.
CREATE TABLE users (
  local TEXT PRIMARY KEY,
  grp TEXT NOT NULL REFERENCES groups (name),
  suspended INTEGER NOT NULL,
  role INTEGER NOT NULL,
  invite_digest TEXT,
  invite_expires_ms INTEGER,
  record BLOB,
  identity BLOB,
  generation INTEGER NOT NULL DEFAULT 1,
  membership BLOB NOT NULL,
  membership_serial INTEGER NOT NULL,
  used_digest TEXT,
  reset_devices TEXT,
  reset_invite TEXT,
  reset_lockout TEXT,
  password_vault BLOB,
  recovery_vault BLOB,
  voucher BLOB,
  device_list BLOB,
  device_list_serial INTEGER
);
CREATE INDEX users_by_group ON users (grp);
-- Failed log-ins by where they come from. Also for names that are no users, so that a lockout tells nobody who exists.
CREATE TABLE logins (
  local TEXT NOT NULL,
  origin TEXT NOT NULL,
  failures INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  PRIMARY KEY (local, origin)
) WITHOUT ROWID;
CREATE INDEX logins_by_time ON logins (updated_ms);

CREATE TABLE devices (
  id INTEGER PRIMARY KEY,
  device BLOB NOT NULL UNIQUE,
  local TEXT NOT NULL REFERENCES users (local) ON DELETE CASCADE,
  key BLOB NOT NULL,
  label TEXT NOT NULL,
  last_seen_ms INTEGER
);
CREATE INDEX devices_by_user ON devices (local);

CREATE TABLE prekey_batches (
  device BLOB NOT NULL REFERENCES devices (device) ON DELETE CASCADE,
  batch BLOB NOT NULL,
  kind INTEGER NOT NULL,
  header BLOB NOT NULL,
  expires_ms INTEGER NOT NULL,
  PRIMARY KEY (device, batch)
) WITHOUT ROWID;
-- Each is handed out in its time: a medium-term batch has one for each week.
CREATE TABLE prekeys (
  device BLOB NOT NULL,
  batch BLOB NOT NULL,
  idx INTEGER NOT NULL,
  key BLOB NOT NULL,
  proof BLOB NOT NULL,
  from_ms INTEGER NOT NULL,
  until_ms INTEGER NOT NULL,
  PRIMARY KEY (device, batch, idx),
  FOREIGN KEY (device, batch) REFERENCES prekey_batches (device, batch) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key BLOB UNIQUE,
  accepted_ms INTEGER NOT NULL,
  refs INTEGER NOT NULL
);
CREATE INDEX messages_done ON messages (accepted_ms) WHERE refs = 0;
-- A notice has no header, and the notice as its body. Entry n of devices (16 bytes each) has place first_seq + n.
CREATE TABLE bodies (
  id INTEGER PRIMARY KEY,
  header BLOB,
  body BLOB NOT NULL,
  devices BLOB NOT NULL,
  first_seq INTEGER NOT NULL,
  accepted_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL
);
CREATE INDEX bodies_by_expiry ON bodies (expires_ms);
CREATE TABLE mailbox (
  device BLOB NOT NULL REFERENCES devices (device),
  seq INTEGER NOT NULL,
  message INTEGER NOT NULL,
  batch BLOB,
  idx INTEGER,
  wrap BLOB,
  PRIMARY KEY (device, seq)
) WITHOUT ROWID;

CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  domain TEXT NOT NULL,
  message INTEGER NOT NULL,
  wraps BLOB NOT NULL,
  sender_device BLOB NOT NULL,
  sender_message BLOB NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  next_ms INTEGER NOT NULL
);
CREATE INDEX outbox_by_time ON outbox (next_ms);
CREATE INDEX outbox_by_message ON outbox (message);

CREATE TABLE blobs (
  blob BLOB PRIMARY KEY,
  owner TEXT NOT NULL,
  size INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX blobs_by_owner ON blobs (owner);
CREATE INDEX blobs_by_expiry ON blobs (expires_ms);
-- To count what waits, and to find what is due for one network.
CREATE INDEX outbox_by_sender ON outbox (sender_device);
CREATE INDEX outbox_by_domain ON outbox (domain, next_ms);

CREATE TABLE links (
  local TEXT NOT NULL REFERENCES users (local) ON DELETE CASCADE,
  link BLOB NOT NULL,
  size INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL,
  PRIMARY KEY (local, link)
) WITHOUT ROWID;
CREATE INDEX links_by_expiry ON links (expires_ms);
-- Slots are large: they are kept by rowid.
CREATE TABLE link_slots (
  local TEXT NOT NULL,
  link BLOB NOT NULL,
  slot INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (local, link, slot),
  FOREIGN KEY (local, link) REFERENCES links (local, link) ON DELETE CASCADE
);
";

/// Settings of every connection.
pub(super) fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096; PRAGMA trusted_schema = OFF;",
    )?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// Makes the tables, where there are none.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match transaction.query_row("PRAGMA user_version", [], |row| row.get(0))? {
        0 => transaction.execute_batch(TABLES)?,
        SCHEMA => {}
        found if found < SCHEMA => return Err(StoreError::OldProtocol { found }),
        found => return Err(StoreError::Newer { found, known: SCHEMA }),
    }
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preparing_twice_changes_nothing_and_other_files_are_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        prepare(&mut connection).unwrap();
        prepare(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = prepare(&mut connection).unwrap_err().to_string();
        assert!(error.contains("schema version 99"), "{error}");
        // What protocol 1 has left stays as it is.
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE users (local TEXT); INSERT INTO users VALUES ('alice')").unwrap();
        connection.pragma_update(None, "user_version", 4).unwrap();
        let error = prepare(&mut connection).unwrap_err().to_string();
        assert!(error.contains("version 1 of the protocol") && error.contains("new invite"), "{error}");
        let row: String = connection.query_row("SELECT local FROM users", [], |row| row.get(0)).unwrap();
        assert_eq!(row, "alice");
    }
}
