//! The tables, and how a file made by an older version is brought up to date.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

/// One step a version; a step that has been released is never changed.
const MIGRATIONS: &[&str] = &[V1, V2, V3, V4, V5, V6];

/// Bodies are appended by rowid and mailbox rows are small: measured the fastest layout (reference/stores.md).
/// A body lives as long as `messages.refs`, the number of mailbox and outbox rows that need it; the row in `messages`
/// stays a while longer, so that a repeat is known.
const V1: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('next_seq', 1);

CREATE TABLE network (id INTEGER PRIMARY KEY CHECK (id = 1), document BLOB NOT NULL, serial INTEGER NOT NULL);
CREATE TABLE groups (name TEXT PRIMARY KEY, document BLOB NOT NULL, serial INTEGER NOT NULL);

CREATE TABLE users (
  local TEXT PRIMARY KEY,
  grp TEXT NOT NULL REFERENCES groups (name),
  suspended INTEGER NOT NULL,
  role INTEGER NOT NULL,
  invite_digest TEXT,
  invite_expires_ms INTEGER,
  record BLOB,
  identity BLOB,
  generation INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX users_by_group ON users (grp);
-- Also for names that are no users, so that a lockout tells nobody who exists.
CREATE TABLE logins (local TEXT PRIMARY KEY, failures INTEGER NOT NULL, updated_ms INTEGER NOT NULL);

CREATE TABLE devices (
  id INTEGER PRIMARY KEY,
  device BLOB NOT NULL UNIQUE,
  local TEXT NOT NULL REFERENCES users (local) ON DELETE CASCADE,
  key BLOB NOT NULL,
  certificate BLOB NOT NULL,
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
CREATE TABLE prekeys (
  device BLOB NOT NULL,
  batch BLOB NOT NULL,
  idx INTEGER NOT NULL,
  key BLOB NOT NULL,
  proof BLOB NOT NULL,
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
";

/// Memberships (users of before have none until the operator puts them again), new invites, resets, vaults, links.
const V2: &str = "
ALTER TABLE users ADD COLUMN membership BLOB NOT NULL DEFAULT x'';
ALTER TABLE users ADD COLUMN membership_serial INTEGER NOT NULL DEFAULT 0;
-- To count what waits, and to find what is due for one network.
CREATE INDEX outbox_by_sender ON outbox (sender_device);
CREATE INDEX outbox_by_domain ON outbox (domain, next_ms);
ALTER TABLE users ADD COLUMN used_digest TEXT;
UPDATE users SET used_digest = invite_digest WHERE record IS NOT NULL;
-- The last word of each thing that is done once.
ALTER TABLE users ADD COLUMN reset_devices TEXT;
ALTER TABLE users ADD COLUMN reset_invite TEXT;
ALTER TABLE users ADD COLUMN reset_lockout TEXT;
ALTER TABLE users ADD COLUMN password_vault BLOB;
ALTER TABLE users ADD COLUMN recovery_vault BLOB;

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

/// Failed log-ins by where they come from. Those of before are of nobody known.
const V3: &str = "
ALTER TABLE logins RENAME TO logins_before;
CREATE TABLE logins (
  local TEXT NOT NULL,
  origin TEXT NOT NULL,
  failures INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  PRIMARY KEY (local, origin)
) WITHOUT ROWID;
CREATE INDEX logins_by_time ON logins (updated_ms);
INSERT INTO logins SELECT local, '', failures, updated_ms FROM logins_before;
DROP TABLE logins_before;
";

/// Vouchers. Who has registered before has none, and needs a new invite: nobody would believe the identity.
const V4: &str = "ALTER TABLE users ADD COLUMN voucher BLOB;";

/// Lists of devices, which say all that certificates did.
const V5: &str = "
ALTER TABLE users ADD COLUMN device_list BLOB;
ALTER TABLE users ADD COLUMN device_list_serial INTEGER;
ALTER TABLE devices DROP COLUMN certificate;
";

/// The directory head, and the documents as they were when it was put.
const V6: &str = "
CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), document BLOB NOT NULL, serial INTEGER NOT NULL);
CREATE TABLE listed (
  kind INTEGER NOT NULL,
  name TEXT NOT NULL,
  document BLOB NOT NULL,
  PRIMARY KEY (kind, name)
) WITHOUT ROWID;
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

/// Brings the file to the current version.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if !(0..=known).contains(&found) {
        return Err(StoreError::Newer { found, known });
    }
    for step in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrating_twice_changes_nothing_and_a_newer_file_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = migrate(&mut connection).unwrap_err().to_string();
        assert!(error.contains("schema version 99"), "{error}");
    }
    #[test]
    fn failed_log_ins_of_before_are_of_nobody_known() {
        let mut connection = Connection::open_in_memory().unwrap();
        for step in [V1, V2] {
            connection.execute_batch(step).unwrap();
        }
        connection.pragma_update(None, "user_version", 2).unwrap();
        connection.execute("INSERT INTO logins VALUES ('alice', 7, 1000)", []).unwrap();
        migrate(&mut connection).unwrap();
        let row: (String, String, u32, u64) = connection
            .query_row("SELECT * FROM logins", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap();
        assert_eq!(row, ("alice".to_owned(), String::new(), 7, 1000));
    }
}
