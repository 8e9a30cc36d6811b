use std::path::Path;
use std::process::Command;

use rusqlite::Connection;

use sotto_crypto::{Address, DeviceId, IdentityKey, MessageId, SystemRng};
use sotto_wire::content::MessageRef;

use super::key::StoreKey;
use super::*;
use crate::core::error::StoreError;

pub(crate) fn pin(name: &str, verified: bool) -> Pin {
    Pin {
        address: Address::parse(&format!("{name}@x.example")).unwrap(),
        identity: IdentityKey::generate(&mut SystemRng).verifying_key(),
        verified,
        since_ms: 7,
        change: None,
        established: None,
    }
}

fn message(n: u8, expires_at_ms: Option<u64>) -> StoredMessage {
    let sender = Address::parse("alice@x.example").unwrap();
    let name = MessageRef { sender, device: DeviceId::from_bytes([1; 16]), message: MessageId::from_bytes([n; 16]) };
    StoredMessage {
        content: b"needle in the clear".to_vec(),
        accepted_at_ms: 1,
        expires_at_ms,
        ..StoredMessage::bare(&name, if n.is_multiple_of(2) { "even" } else { "odd" }, 2)
    }
}

fn key_of(m: &StoredMessage) -> messages::MessageKey {
    (m.sender.clone(), m.device, m.id)
}

#[test]
fn values_come_back_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
    let (alice, bob) = (pin("alice", true), pin("bob", false));
    store.run_blocking(|tx| tx.put(&alice).and_then(|()| tx.put(&bob))).unwrap();
    let got: Option<Pin> = store.run_blocking(|tx| tx.get(&alice.key())).unwrap();
    assert_eq!(got, Some(alice.clone()));
    assert_eq!(store.run_blocking(list_all::<Pin>).unwrap().len(), 2);
    store.run_blocking(|tx| tx.delete::<Pin>(&alice.key())).unwrap();
    assert_eq!(store.run_blocking(list_all::<Pin>).unwrap(), [bob]);
}

#[test]
fn another_key_opens_nothing_and_nothing_stands_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = Store::open(&path, &StoreKey::generate(&mut SystemRng)).unwrap();
    store.run_blocking(|tx| tx.put(&pin("alice", true)).and_then(|()| tx.put_message(&message(1, None)))).unwrap();
    let other = Store::open(&path, &StoreKey::generate(&mut SystemRng)).unwrap();
    assert!(matches!(other.run_blocking(list_all::<Pin>), Err(StoreError::Sealed { table: "pin" })));
    drop((store, other));
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for clear in [b"alice".as_slice(), b"needle"] {
            assert!(!bytes.windows(clear.len()).any(|w| w == clear));
        }
    }
}

#[test]
fn a_failed_change_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
    let failed: Result<(), _> = store.run_blocking(|tx| {
        tx.put(&pin("alice", true))?;
        Err(StoreError::Newer(9))
    });
    assert!(failed.is_err());
    assert!(store.run_blocking(list_all::<Pin>).unwrap().is_empty());
}

#[test]
fn messages_keep_their_order_and_expire() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
    for n in 1..=6 {
        store.run_blocking(|tx| tx.put_message(&message(n, (n == 3).then_some(100)))).unwrap();
    }
    let ids = |conversation: Option<&'static str>, limit| {
        let found = store.run_blocking(|tx| tx.page(conversation, None, limit)).unwrap();
        found.iter().map(|p| p.message.id.as_bytes()[0]).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 100), [1, 2, 3, 4, 5, 6]);
    assert_eq!(ids(Some("odd"), 2), [3, 5]);
    assert!(store.run_blocking(|tx| tx.expire(99)).unwrap().is_empty());
    assert!(store.run_blocking(|tx| tx.has_expired(100)).unwrap());
    assert_eq!(store.run_blocking(|tx| tx.expire(100)).unwrap(), ["odd"]);
    assert_eq!(ids(Some("odd"), 9), [1, 5]);
    // A change of state keeps the place.
    let mut first = message(1, None);
    first.state = MessageState::Refused;
    store.run_blocking(|tx| tx.put_message(&first)).unwrap();
    assert_eq!(ids(Some("odd"), 9), [1, 5]);
    assert_eq!(store.run_blocking(|tx| tx.message(&key_of(&first))).unwrap().unwrap().state, MessageState::Refused);
}

#[test]
fn the_same_id_of_another_sender_is_another_message() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
    let mine = key_of(&message(1, None));
    let theirs = (Address::parse("mallory@x.example").unwrap(), mine.1, mine.2);
    let (mine, theirs) = (exact(mine, 1), exact(theirs, 1));
    let seen = |message: &Exact| store.run_blocking(|tx| tx.seen(message)).unwrap();
    let mark = |message: &Exact| store.run_blocking(|tx| tx.mark_seen(message, 50)).unwrap();
    assert_eq!((mark(&mine), mark(&mine), seen(&mine)), (Seen::Never, Seen::Same, Seen::Same));
    assert_eq!(seen(&theirs), Seen::Never);
    store.run_blocking(|tx| tx.expire(50)).unwrap();
    assert_eq!(seen(&mine), Seen::Never);
}

fn exact(key: messages::MessageKey, n: u8) -> Exact {
    Exact { key, commitment: [n; 32] }
}

#[test]
fn a_repeat_is_the_same_message_and_another_one_of_its_id_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
    let key = key_of(&message(1, None));
    let [first, second, third] = [1, 2, 3].map(|n| exact(key.clone(), n));
    let seen = |message: &Exact| store.run_blocking(|tx| tx.seen(message)).unwrap();
    let mark = |message: &Exact| store.run_blocking(|tx| tx.mark_seen(message, 50)).unwrap();
    assert_eq!(mark(&first), Seen::Never);
    assert_eq!(
        (seen(&second), mark(&second), mark(&second), seen(&second)),
        (Seen::Other, Seen::Other, Seen::Same, Seen::Same)
    );
    assert_eq!((mark(&third), mark(&first), mark(&second)), (Seen::Other, Seen::Same, Seen::Same));
    // Each has a name of its own, of the same sender and device.
    assert!(
        second.apart() != third.apart() && second.apart() != key && second.apart() == exact(key.clone(), 2).apart()
    );
    assert_eq!((&second.apart().0, second.apart().1), (&key.0, key.1));
    // What came before it was remembered which one it was is a repeat, as it was then.
    store.run_blocking(|tx| Ok(tx.sql.execute("UPDATE seen SET digest = NULL", [])?)).unwrap();
    assert_eq!(seen(&third), Seen::Same);
}

#[test]
fn a_profile_of_form_2_is_brought_forward() {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (dir.path().join("s.db"), StoreKey::generate(&mut SystemRng));
    let first = exact(key_of(&message(1, None)), 1);
    let store = Store::open(&path, &key).unwrap();
    store.run_blocking(|tx| tx.mark_seen(&first, 50)).unwrap();
    store
        .run_blocking(|tx| Ok(tx.sql.execute_batch("ALTER TABLE seen DROP COLUMN digest; PRAGMA user_version = 2")?))
        .unwrap();
    drop(store);
    let store = Store::open(&path, &key).unwrap();
    assert_eq!(store.run_blocking(|tx| tx.seen(&exact(first.key.clone(), 2))).unwrap(), Seen::Same, "as it was then");
    let new = exact(key_of(&message(2, None)), 1);
    assert_eq!(store.run_blocking(|tx| tx.mark_seen(&new, 50)).unwrap(), Seen::Never);
    assert_eq!(store.run_blocking(|tx| tx.seen(&exact(new.key.clone(), 2))).unwrap(), Seen::Other);
    drop(store);
    drop(Store::open(&path, &key).unwrap());
}

#[test]
fn a_newer_form_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let key = StoreKey::generate(&mut SystemRng);
    drop(Store::open(&path, &key).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Store::open(&path, &key), Err(StoreError::Newer(99))));
}

/// What the child processes of the two tests below do: this test binary runs itself with these variables set.
const CHILD_DB: &str = "SOTTO_TEST_CHILD_DB";
const CHILD_JOB: &str = "SOTTO_TEST_CHILD_JOB";
const CHILD_KEY: [u8; 32] = [9; 32];

fn child_key() -> StoreKey {
    StoreKey::from_hex(&data_encoding::HEXLOWER.encode(&CHILD_KEY)).unwrap()
}

fn child(path: &Path, job: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "store::tests::child_process", "--nocapture"]).env(CHILD_DB, path).env(CHILD_JOB, job);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command
}

#[test]
fn child_process() {
    let (Ok(path), Ok(job)) = (std::env::var(CHILD_DB), std::env::var(CHILD_JOB)) else { return };
    let store = Store::open(Path::new(&path), &child_key()).unwrap();
    if job == "abort" {
        store.run_blocking(|tx| tx.put(&pin("kept", false))).unwrap();
        let _ = store.run_blocking::<()>(|tx| {
            tx.put(&pin("lost", false))?;
            std::process::abort();
        });
    } else {
        for n in 0..50 {
            store.run_blocking(|tx| tx.put(&pin(&format!("{job}{n}"), false))).unwrap();
        }
    }
}

#[test]
fn a_killed_process_leaves_what_was_committed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    assert!(!child(&path, "abort").status().unwrap().success());
    let pins = Store::open(&path, &child_key()).unwrap().run_blocking(list_all::<Pin>).unwrap();
    assert_eq!(pins.iter().map(|p| p.address.local()).collect::<Vec<_>>(), ["kept"]);
}

#[test]
fn two_processes_share_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let mut children: Vec<_> = ["a", "b"].iter().map(|job| child(&path, job).spawn().unwrap()).collect();
    assert!(children.iter_mut().all(|c| c.wait().unwrap().success()));
    let store = Store::open(&path, &child_key()).unwrap();
    assert_eq!(store.run_blocking(list_all::<Pin>).unwrap().len(), 100);
    let whole: String =
        store.run_blocking(|tx| Ok(tx.sql.query_row("PRAGMA integrity_check", [], |r| r.get(0))?)).unwrap();
    assert_eq!(whole, "ok");
}
