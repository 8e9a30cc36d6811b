use sotto_crypto::{DeviceId, MessageId, SystemRng};
use sotto_wire::content::Conversation;

use super::*;
use crate::store::Store;
use crate::store::key::StoreKey;

fn a(name: &str) -> Address {
    Address::parse(&format!("{name}@x.example")).unwrap()
}

struct Here {
    _dir: tempfile::TempDir,
    store: Store,
}

fn here() -> Here {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
    Here { _dir: dir, store }
}

fn pair() -> Conversation {
    Conversation::of([a("alice"), a("bob")]).unwrap()
}

fn content(burn: Option<u64>) -> Content {
    Content {
        burn_after_read_s: burn,
        mentions: Some(vec![a("bob")]),
        ..Content::new(pair(), 10, Body::Text("secret words".into()))
    }
}

fn stored(sender: &str, n: u8, content: &Content) -> StoredMessage {
    let name = MessageRef {
        sender: a(sender),
        device: DeviceId::from_bytes([1; 16]),
        message: MessageId::from_bytes([n; 16]),
    };
    StoredMessage { content: sotto_crypto::encode(content), ..StoredMessage::bare(&name, &pair().id(), 10) }
}

#[test]
fn a_message_burns_from_reading_and_the_senders_copy_from_sending() {
    let here = here();
    let content = content(Some(5));
    here.store
        .run_blocking(|tx| {
            arrive(tx, &a("bob"), stored("alice", 1, &content), &content, 1000)?;
            arrive(tx, &a("bob"), stored("bob", 2, &content), &content, 1000)?;
            let end = |n| {
                let key = stored(if n == 1 { "alice" } else { "bob" }, n, &content).key();
                Ok::<_, StoreError>(tx.placed_message(&key)?.unwrap().message.expires_at_ms)
            };
            assert_eq!((end(1)?, end(2)?), (None, Some(6000)));
            assert_eq!(tx.unread(&pair().id())?, (1, true));
            assert!(read_up_to(tx, &pair().id(), u64::MAX, true, 3000)?);
            assert!(!read_up_to(tx, &pair().id(), u64::MAX, true, 4000)?);
            assert_eq!(end(1)?, Some(8000));
            assert_eq!(tx.unread(&pair().id())?, (0, false));
            let receipts = tx.list::<PendingReceipt>()?;
            assert_eq!(receipts.len(), 2, "delivered and read, and none for the own one");
            assert_eq!(tx.expire(7999)?, [pair().id()]);
            assert_eq!(tx.expire(8000)?, [pair().id()]);
            assert!(tx.page(None, None, 9)?.is_empty());
            Ok(())
        })
        .unwrap();
}

#[test]
fn read_on_another_device_is_read_here_whichever_comes_first() {
    let content = content(Some(5));
    let by = |n| stored("bob", n, &content).key();
    let target = stored("alice", 1, &content).key();
    let marks = marks(&by(9), &pair().id(), 20, &Body::Receipt(ReceiptKind::Read, vec![target.clone()]));
    for mark_first in [true, false] {
        here()
            .store
            .run_blocking(|tx| {
                let message = stored("alice", 1, &content);
                if mark_first {
                    annotate(tx, &a("bob"), &marks[0], 1000)?;
                    arrive(tx, &a("bob"), message, &content, 1000)?;
                } else {
                    arrive(tx, &a("bob"), message, &content, 1000)?;
                    annotate(tx, &a("bob"), &marks[0], 1000)?;
                }
                assert_eq!(tx.unread(&pair().id())?, (0, false));
                assert_eq!(tx.placed_message(&target)?.unwrap().message.expires_at_ms, Some(6000));
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn a_message_that_was_taken_back_leaves_no_words_whichever_comes_first() {
    let content = content(None);
    let target = stored("alice", 1, &content).key();
    let done = |body: &Body, n| marks(&stored("alice", n, &content).key(), &pair().id(), 20, body).remove(0);
    let delete = done(&Body::Delete(target.clone()), 8);
    let edit = done(&Body::Edit(target.clone(), "other words".into()), 9);
    for order in [[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 1, 0], [0, 2, 1], [2, 0, 1]] {
        here()
            .store
            .run_blocking(|tx| {
                for step in order {
                    match step {
                        0 => arrive(tx, &a("bob"), stored("alice", 1, &content), &content, 1000)?,
                        1 => annotate(tx, &a("bob"), &delete, 1000)?,
                        _ => annotate(tx, &a("bob"), &edit, 1000)?,
                    }
                }
                let left = tx.placed_message(&target)?.unwrap().message.content;
                assert!(!left.windows(5).any(|w| w == b"words"));
                assert!(tx.annotations(&target)?.iter().all(|a| a.mark == Mark::Delete));
                assert_eq!(tx.unread(&pair().id())?, (0, false));
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn what_was_done_to_a_message_goes_with_it_and_not_for_ever_waits_for_it() {
    let content = content(None);
    let target = stored("alice", 1, &content).key();
    let react =
        |n| marks(&stored("bob", n, &content).key(), &pair().id(), 20, &Body::React(target.clone(), "x".into(), true));
    here()
        .store
        .run_blocking(|tx| {
            annotate(tx, &a("bob"), &react(3)[0], 1000)?;
            tx.expire(1000 + ORPHAN_MS - 1)?;
            assert_eq!(tx.annotations(&target)?.len(), 1);
            let mut message = stored("alice", 1, &content);
            message.expires_at_ms = Some(u64::MAX / 4);
            arrive(tx, &a("bob"), message, &content, 1000)?;
            tx.expire(1000 + ORPHAN_MS)?;
            assert_eq!(tx.annotations(&target)?.len(), 1, "it has come");
            tx.expire(u64::MAX / 4)?;
            assert!(tx.annotations(&target)?.is_empty());
            annotate(tx, &a("bob"), &react(4)[0], 1000)?;
            tx.expire(1000 + ORPHAN_MS)?;
            assert!(tx.annotations(&target)?.is_empty(), "it never came");
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_receipt_names_so_many_messages_and_a_reaction_is_short() {
    let by = stored("bob", 1, &content(None)).key();
    let many = vec![by.clone(); limits::MAX_RECEIPTS + 5];
    assert_eq!(marks(&by, "c", 1, &Body::Receipt(ReceiptKind::Read, many)).len(), limits::MAX_RECEIPTS);
    assert!(marks(&by, "c", 1, &Body::React(by.clone(), "x".repeat(65), true)).is_empty());
    assert!(marks(&by, "c", 1, &Body::React(by.clone(), String::new(), true)).is_empty());
}
