//! Brings the store of an older version forward. Nothing is lost; what must end goes under keys that can be erased.

use minicbor::{Decode, Encode};
use sotto_crypto::{Address, IdentityPublic};
use sotto_wire::content::{Conversation, MessageRef};
use sotto_wire::room::RoomId;

use super::aside::{Aside, Reason};
use super::cipher::RowKey;
use super::db::Tx;
use super::links::{HistoryIn, HistoryOut, PendingLink};
use super::records::{Change, Pin, PrekeyRecord, Record, SeenIn};
use super::talk::ConversationRecord;
use super::{annotations, messages, outbox};
use crate::core::error::StoreError;

/// Form 1 had no keys that can be erased.
pub(super) fn add_columns(tx: &Tx<'_>) -> Result<(), StoreError> {
    for table in ["cells", "messages", "annotations", "outbox"] {
        tx.sql.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN slot INTEGER"))?;
    }
    Ok(())
}

/// Up to form 2 it was not remembered which of the messages of one id had come.
pub(super) fn add_digests(tx: &Tx<'_>) -> Result<(), StoreError> {
    // A start that was cut off may have done it.
    let has = "SELECT 1 FROM pragma_table_info('seen') WHERE name = 'digest'";
    if !tx.sql.prepare(has)?.exists([])? {
        tx.sql.execute_batch("ALTER TABLE seen ADD COLUMN digest BLOB")?;
    }
    Ok(())
}

/// In form 3 what was sent was known by its number only, and could not be asked for by its id: nothing of it can be asked for any more.
pub(super) fn drop_sent_by_number(tx: &Tx<'_>) -> Result<(), StoreError> {
    let has = "SELECT 1 FROM pragma_table_info('sent') WHERE name = 'place'";
    if !tx.sql.prepare(has)?.exists([])? {
        tx.sql.execute_batch("DROP TABLE IF EXISTS sent")?;
    }
    Ok(())
}

/// A pin of form 1.
#[derive(Encode, Decode)]
#[cbor(array)]
struct OldPin {
    #[n(0)]
    address: Address,
    #[n(1)]
    identity: IdentityPublic,
    #[n(2)]
    verified: bool,
    #[n(3)]
    since_ms: u64,
    #[n(4)]
    shown: Option<IdentityPublic>,
}

impl Record for OldPin {
    const TABLE: &'static str = Pin::TABLE;
    fn key(&self) -> Vec<Vec<u8>> {
        Pin::key_of(&self.address).to_vec()
    }
}

/// A message that waited for events of its room in form 1.
#[derive(Encode, Decode)]
#[cbor(array)]
struct OldHeld {
    #[n(0)]
    key: MessageRef,
    #[n(1)]
    room: RoomId,
    #[cbor(n(2), with = "minicbor::bytes")]
    delivery: Vec<u8>,
    #[n(3)]
    order: u64,
}

impl Record for OldHeld {
    const TABLE: &'static str = "room_held";
    fn key(&self) -> Vec<Vec<u8>> {
        super::parts_of(&self.key)
    }
}

/// Writes the values of form 1 as they are in this one.
pub(super) fn from_form_1(tx: &Tx<'_>) -> Result<(), StoreError> {
    for old in tx.list::<OldPin>()? {
        let since_ms = old.since_ms;
        let change = old.shown.map(|other| Change { other, since_ms, seen_in: SeenIn::Recipients, established: None });
        let (address, identity, verified) = (old.address, old.identity, old.verified);
        tx.put(&Pin { address, identity, verified, since_ms, change, established: None })?;
    }
    for old in tx.list::<OldHeld>()? {
        tx.delete::<OldHeld>(&old.key())?;
        let OldHeld { key, room, delivery, order } = old;
        // Kept from now on for as long as anything that is set aside.
        tx.put_aside(
            &Aside { key, reason: Reason::RoomEvents(room), delivery, order, one_time: None },
            crate::core::clock::now_ms(),
        )?;
    }
    again::<PrekeyRecord>(tx)?;
    again::<PendingLink>(tx)?;
    again::<HistoryOut>(tx)?;
    again::<HistoryIn>(tx)?;
    for (table, name) in [(messages::TABLE, "messages"), (annotations::TABLE, "annotations"), (outbox::TABLE, "outbox")]
    {
        under_keys(tx, table, name)?;
    }
    Ok(())
}

/// In form 2 events of rooms that are none of the user's were kept as those of the others are, without end.
pub(super) fn from_form_2(tx: &Tx<'_>) -> Result<(), StoreError> {
    let rooms: Vec<RoomId> = tx
        .list::<ConversationRecord>()?
        .iter()
        .filter_map(|record| match record.conversation {
            Conversation::Room(room) => Some(room),
            _ => None,
        })
        .collect();
    tx.keep_room_events_of(&rooms)
}

fn again<R: Record>(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.list::<R>()?.iter().try_for_each(|record| tx.put(record))
}

/// Seals every value of a table under a key of its own.
fn under_keys(tx: &Tx<'_>, table: &'static str, name: &str) -> Result<(), StoreError> {
    let rows: Vec<RowKey> =
        tx.sql.prepare(&format!("SELECT key FROM {name}"))?.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?;
    let mut read = tx.sql.prepare(&format!("SELECT value FROM {name} WHERE key = ?1"))?;
    let mut write = tx.sql.prepare(&format!("UPDATE {name} SET value = ?2, slot = ?3 WHERE key = ?1"))?;
    for row in rows {
        let sealed: Vec<u8> = read.query_row([row], |r| r.get(0))?;
        // One that does not open is damaged, and stays what it is.
        let Ok(clear) = tx.cipher.open(table, &row, None, &sealed) else { continue };
        let (sealed, slot) = tx.seal_ending(table, &row, &clear)?;
        write.execute((row, sealed, slot))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use sotto_crypto::{BatchId, IdentityKey, MessageId, SystemRng};

    use std::path::Path;

    use sotto_wire::room::{EventId, RoomChange, RoomEvent, SignedRoomEvent};

    use super::super::RoomEventRecord;
    use super::super::cipher::Cipher;
    use super::super::db::Inner;
    use super::super::key::StoreKey;
    use super::super::{MessageState, Store, list_all};
    use super::*;
    use crate::trust::identity::TrustState;

    /// The tables of form 1.
    const FORM_1: &str = "
        CREATE TABLE cells (
            tbl TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (tbl, key)) WITHOUT ROWID;
        CREATE TABLE messages (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, conversation BLOB NOT NULL,
            unread INTEGER NOT NULL DEFAULT 0, expires_at_ms INTEGER, value BLOB NOT NULL);
        CREATE TABLE annotations (
            key BLOB PRIMARY KEY, target BLOB NOT NULL, expires_at_ms INTEGER, value BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE outbox (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, expires_at_ms INTEGER, value BLOB NOT NULL);
        CREATE TABLE room_events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, room BLOB NOT NULL, value BLOB NOT NULL);
        CREATE TABLE seen (key BLOB PRIMARY KEY, forget_at_ms INTEGER NOT NULL) WITHOUT ROWID;
        PRAGMA user_version = 1;";

    fn cell<R: Record>(file: &Connection, cipher: &Cipher, record: &R) {
        let key = record.key();
        let row = cipher.row(R::TABLE, &key.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let sealed = cipher.seal(R::TABLE, &row, None, &sotto_crypto::encode(record)).unwrap();
        file.execute("INSERT INTO cells (tbl, key, value) VALUES (?1, ?2, ?3)", (R::TABLE, row, sealed)).unwrap();
    }

    /// Whether a secret opens under the store's key alone, somewhere in the files of a store, in a row or beside rows.
    fn still_opens(dir: &Path, cipher: &Cipher, secret: &PrekeyRecord) -> bool {
        let row = cipher.row(PrekeyRecord::TABLE, &secret.key().iter().map(Vec::as_slice).collect::<Vec<_>>());
        let length = 12 + 16 + sotto_crypto::encode(secret).len();
        let files = std::fs::read_dir(dir).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.into_iter().any(|bytes| {
            bytes.windows(length).any(|sealed| cipher.open(PrekeyRecord::TABLE, &row, None, sealed).is_ok())
        })
    }

    #[test]
    fn a_start_that_is_cut_off_is_finished_by_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let key = StoreKey::generate(&mut SystemRng);
        let cipher = Cipher::new(&key);
        let secret = |index| PrekeyRecord {
            batch: BatchId::from_bytes([3; 16]),
            index,
            one_time: true,
            secret: b"a secret that must end one day, in clear here".to_vec(),
        };
        {
            let file = Connection::open(&path).unwrap();
            file.execute_batch(FORM_1).unwrap();
            // Larger in the new form, so that old pages are left over.
            (0..200).for_each(|index| cell(&file, &cipher, &secret(index)));
        }
        let form = || Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |r| r.get::<_, i64>(0));
        for _ in 0..2 {
            // Ended after the values were written anew, and before the file was.
            let cut_off = Inner::connect(&path, &key).unwrap();
            assert!(cut_off.bring_forward().unwrap());
            cut_off.run(|tx| tx.delete::<PrekeyRecord>(&secret(7).key())).unwrap();
            drop(cut_off);
            assert_eq!(form().unwrap(), 2, "it is to be vacuumed");
        }
        // What such a process leaves behind: a page that no row is in.
        let row = cipher.row(PrekeyRecord::TABLE, &secret(7).key().iter().map(Vec::as_slice).collect::<Vec<_>>());
        let left = cipher.seal(PrekeyRecord::TABLE, &row, None, &sotto_crypto::encode(&secret(7))).unwrap();
        let file = Connection::open(&path).unwrap();
        file.pragma_update(None, "secure_delete", "OFF").unwrap();
        file.execute_batch("CREATE TABLE gone (value BLOB)").unwrap();
        file.execute("INSERT INTO gone VALUES (?1)", [left]).unwrap();
        file.execute_batch("DROP TABLE gone").unwrap();
        drop(file);
        assert!(still_opens(dir.path(), &cipher, &secret(7)));
        let store = Store::open(&path, &key).unwrap();
        assert_eq!(store.run_blocking(list_all::<PrekeyRecord>).unwrap().len(), 199);
        drop(store);
        assert!(!still_opens(dir.path(), &cipher, &secret(7)) && form().unwrap() == 4);
        // And not every time.
        assert!(!Inner::connect(&path, &key).unwrap().bring_forward().unwrap());
    }

    #[test]
    fn events_of_rooms_that_are_none_of_the_users_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let key = StoreKey::generate(&mut SystemRng);
        let policy = sotto_crypto::PolicyKey::generate(&mut SystemRng);
        let account = crate::store::account::tests::account("alice@x.example", &policy);
        let event = |n: u8| {
            let room = RoomId::from_bytes([n; 32]);
            let event = RoomEvent {
                version: 1,
                room: Some(room),
                parents: vec![EventId::from_bytes([n; 32])],
                author: account.address.clone(),
                device: account.device,
                at_ms: 1,
                change: RoomChange::Leave,
            };
            let signed = SignedRoomEvent {
                event: sotto_crypto::Signed::sign(&event, &account.device_key),
                certificate: account.certificate.clone(),
                identity: account.identity.clone(),
            };
            RoomEventRecord { room, id: EventId::from_bytes([n + 100; 32]), signed }
        };
        let store = Store::open(&path, &key).unwrap();
        store
            .run_blocking(|tx| {
                tx.put(&ConversationRecord::of(&Conversation::Room(RoomId::from_bytes([1; 32]))))?;
                (1..4).try_for_each(|n| tx.add_room_event(&event(n)).map(drop))?;
                Ok(tx.sql.execute_batch("DROP TABLE room_pending; PRAGMA user_version = 2")?)
            })
            .unwrap();
        drop(store);
        let store = Store::open(&path, &key).unwrap();
        let kept = store.run_blocking(|tx| tx.all_room_events(0, 10)).unwrap();
        assert_eq!(kept.iter().map(|(_, kept)| kept.room).collect::<Vec<_>>(), [RoomId::from_bytes([1; 32])]);
        assert!(store.run_blocking(|tx| tx.pending_events(&RoomId::from_bytes([2; 32]))).unwrap().is_empty());
    }

    #[test]
    fn a_profile_of_form_1_is_brought_forward() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let key = StoreKey::generate(&mut SystemRng);
        let cipher = Cipher::new(&key);
        let identity = || IdentityKey::generate(&mut SystemRng).verifying_key();
        let address = |name: &str| Address::parse(&format!("{name}@x.example")).unwrap();
        let pin = |name, verified, shown| OldPin {
            address: address(name),
            identity: identity(),
            verified,
            since_ms: 7,
            shown,
        };
        let message = MessageRef {
            sender: address("bob"),
            device: sotto_crypto::DeviceId::from_bytes([1; 16]),
            message: MessageId::from_bytes([2; 16]),
        };
        let prekey = PrekeyRecord {
            batch: BatchId::from_bytes([3; 16]),
            index: 4,
            one_time: true,
            secret: b"a secret that must end one day, in clear here".to_vec(),
        };
        {
            let file = Connection::open(&path).unwrap();
            file.execute_batch(FORM_1).unwrap();
            cell(&file, &cipher, &pin("alice", false, None));
            cell(&file, &cipher, &pin("bob", true, Some(identity())));
            cell(&file, &cipher, &prekey);
            let held =
                OldHeld { key: message.clone(), room: RoomId::from_bytes([5; 32]), delivery: vec![1, 2, 3], order: 9 };
            cell(&file, &cipher, &held);
            let old = OldMessage::of(&message);
            let row = cipher.row(
                messages::TABLE,
                &[message.sender.as_str().as_bytes(), message.device.as_bytes(), message.message.as_bytes()],
            );
            let sealed = cipher.seal(messages::TABLE, &row, None, &sotto_crypto::encode(&old)).unwrap();
            file.execute("INSERT INTO messages (key, conversation, value) VALUES (?1, ?1, ?2)", (row, sealed)).unwrap();
        }
        let store = Store::open(&path, &key).unwrap();
        let pins = store.run_blocking(list_all::<Pin>).unwrap();
        let state = |name| pins.iter().find(|pin| pin.address == address(name)).unwrap().state();
        assert_eq!((state("alice"), state("bob")), (TrustState::Pinned, TrustState::Changed));
        let (aside, _) = store.run_blocking(|tx| tx.aside(0, 10)).unwrap();
        assert!(aside.len() == 1 && aside[0].delivery == [1, 2, 3]);
        let placed = store.run_blocking(|tx| tx.placed_message(&message)).unwrap().unwrap();
        assert_eq!(
            (placed.message.content.as_slice(), placed.message.state),
            (b"said".as_slice(), MessageState::Received)
        );
        let secrets = store.run_blocking(list_all::<PrekeyRecord>).unwrap();
        assert!(secrets.len() == 1 && secrets[0].secret == prekey.secret);
        // Nothing that must end opens under the store's key alone, neither in a row nor in what the file holds beside rows.
        store
            .run_blocking(|tx| tx.delete::<PrekeyRecord>(&prekey.key()).and_then(|()| tx.delete_message(&message)))
            .unwrap();
        drop(store);
        assert!(!still_opens(dir.path(), &cipher, &prekey));
        // Once more changes nothing.
        assert_eq!(Store::open(&path, &key).unwrap().run_blocking(list_all::<Pin>).unwrap().len(), 2);
    }

    /// A message of form 1.
    #[derive(Encode)]
    #[cbor(array)]
    struct OldMessage {
        #[n(0)]
        id: MessageId,
        #[n(1)]
        sender: Address,
        #[n(2)]
        device: sotto_crypto::DeviceId,
        #[cbor(n(3), with = "minicbor::bytes")]
        content: Vec<u8>,
        #[n(4)]
        conversation: String,
        #[n(5)]
        accepted_at_ms: u64,
        #[n(6)]
        stored_at_ms: u64,
        #[n(7)]
        expires_at_ms: Option<u64>,
        #[n(8)]
        retained: bool,
        #[n(9)]
        state: MessageState,
        #[n(10)]
        reason: Option<String>,
        #[n(11)]
        retention_missing: bool,
        #[n(12)]
        event: Option<String>,
    }

    impl OldMessage {
        fn of(name: &MessageRef) -> Self {
            Self {
                id: name.message,
                sender: name.sender.clone(),
                device: name.device,
                content: b"said".to_vec(),
                conversation: "c".into(),
                accepted_at_ms: 1,
                stored_at_ms: 2,
                expires_at_ms: None,
                retained: false,
                state: MessageState::Received,
                reason: None,
                retention_missing: false,
                event: None,
            }
        }
    }
}
