//! Messages and queues.

use std::collections::BTreeSet;
use std::sync::Arc;

use sotto_crypto::DeviceId;

use super::fixtures::{LATER, NOW, Person, Recorder, message, up_to, wanted};
use crate::store::{Acceptance, QueueBounds, Queued, QueuedItem, Store};

const LIMIT: QueueBounds = up_to(1000);

async fn queue(store: &impl Store, device: DeviceId) -> Vec<Queued> {
    store.mailbox(device, 0, 1000, usize::MAX, NOW).await.unwrap()
}

async fn waiting(store: &impl Store, device: DeviceId) -> u64 {
    let stats = store.queue_stats().await.unwrap();
    let counted = stats.by_device.get(&device).copied().unwrap_or(0);
    assert_eq!(counted, queue(store, device).await.len() as u64, "the count is right");
    counted
}

pub(super) async fn delivery(store: &impl Store, recorder: &Recorder) {
    let (_, alice) = Person::with_device(store, "mail-a", 1).await;
    let (_, bob) = Person::with_device(store, "mail-b", 1).await;
    let (_, carol) = Person::with_device(store, "mail-c", 1).await;
    recorder.woken();
    assert_eq!(store.mailbox_head(bob).await.unwrap(), 0);
    let first = message(Some(alice), &[bob, carol]);
    assert_eq!(store.accepted(first.key).await.unwrap(), None);
    assert_eq!(store.accept(first.clone(), LIMIT, NOW).await.unwrap(), Acceptance::Accepted);
    assert_eq!(recorder.woken(), [bob, carol]);
    assert_eq!(store.accepted(first.key).await.unwrap(), Some(NOW));
    assert_eq!(store.accept(first.clone(), LIMIT, NOW + 5).await.unwrap(), Acceptance::Repeated(NOW));
    assert!(recorder.woken().is_empty(), "a repeat wakes nobody");
    let second = message(Some(alice), &[bob]);
    store.accept(second.clone(), LIMIT, NOW + 1).await.unwrap();

    let entries = queue(store, bob).await;
    assert_eq!(entries.len(), 2);
    assert!(entries[0].seq < entries[1].seq, "in the order of acceptance");
    assert_eq!(store.mailbox_head(bob).await.unwrap(), entries[1].seq);
    assert_eq!((entries[0].accepted_at_ms, entries[0].expires_at_ms), (NOW, LATER));
    let QueuedItem::Message { header, body, prekey, key } = &entries[0].item else { panic!("not a message") };
    assert_eq!((header, body), (&first.header, &first.body));
    assert_eq!((prekey, key), (&first.local[0].prekey, &first.local[0].key));
    assert_eq!(queue(store, carol).await.len(), 1);

    let after = store.mailbox(bob, entries[0].seq, 10, usize::MAX, NOW).await.unwrap();
    assert_eq!(after.len(), 1);
    assert_eq!(store.mailbox(bob, 0, 1, usize::MAX, NOW).await.unwrap().len(), 1);
    assert_eq!(store.mailbox(bob, 0, 10, 1, NOW).await.unwrap().len(), 1, "one at least");

    assert_eq!(store.ack(carol, vec![entries[0].seq, entries[1].seq]).await.unwrap(), 0, "not hers");
    assert_eq!(store.ack(bob, vec![entries[0].seq, 0, u64::MAX >> 1]).await.unwrap(), 1);
    assert_eq!(store.ack(bob, vec![entries[0].seq]).await.unwrap(), 0, "twice is once");
    assert_eq!(waiting(store, bob).await, 1);
    assert_eq!(waiting(store, carol).await, 1, "the others' copies stay");
    let carols = queue(store, carol).await[0].seq;
    store.ack(carol, vec![carols]).await.unwrap();
    assert_eq!(store.accepted(first.key).await.unwrap(), Some(NOW), "a repeat is known after delivery too");
}

pub(super) async fn refusals_leave_nothing(store: &impl Store) {
    let (person, alice) = Person::with_device(store, "ref-a", 1).await;
    let (_, bob) = Person::with_device(store, "ref-b", 1).await;
    let gone = DeviceId::from_bytes([0; 16]);
    let try_it = |sender, to: Vec<DeviceId>| async move {
        let message = message(Some(sender), &to);
        let outcome = store.accept(message.clone(), LIMIT, NOW).await.unwrap();
        assert_eq!(store.accepted(message.key).await.unwrap(), None, "it may be sent again");
        assert_eq!(waiting(store, bob).await, 0, "all or nothing");
        outcome
    };
    assert_eq!(try_it(alice, vec![bob, gone]).await, Acceptance::DeviceGone);
    assert_eq!(try_it(gone, vec![bob]).await, Acceptance::SenderGone);
    let mut put = wanted("staff");
    put.suspended = true;
    store.put_user(person.address.local().into(), put, 1).await.unwrap();
    assert_eq!(try_it(alice, vec![bob]).await, Acceptance::SenderSuspended);
}

pub(super) async fn bounds(store: &impl Store) {
    let (_, bob) = Person::with_device(store, "full", 1).await;
    let (_, carol) = Person::with_device(store, "roomy", 1).await;
    for _ in 0..2 {
        assert_eq!(store.accept(message(None, &[bob]), up_to(2), NOW).await.unwrap(), Acceptance::Accepted);
    }
    assert_eq!(store.accept(message(None, &[carol, bob]), up_to(2), NOW).await.unwrap(), Acceptance::MailboxFull);
    assert_eq!(waiting(store, carol).await, 0);
    let first = queue(store, bob).await[0].seq;
    store.ack(bob, vec![first]).await.unwrap();
    assert_eq!(store.accept(message(None, &[bob]), up_to(2), NOW).await.unwrap(), Acceptance::Accepted, "room again");
}

pub(super) async fn expiry(store: &impl Store) {
    let (_, bob) = Person::with_device(store, "exp", 1).await;
    let mut short = message(None, &[bob]);
    short.expires_at_ms = NOW + 10;
    store.accept(short.clone(), LIMIT, NOW).await.unwrap();
    store.accept(message(None, &[bob]), LIMIT, NOW).await.unwrap();
    assert_eq!(store.sweep(NOW + 9).await.unwrap().expired, 0);
    assert_eq!(store.mailbox(bob, 0, 10, usize::MAX, NOW + 10).await.unwrap().len(), 1, "not delivered any more");
    let swept = store.sweep(NOW + 10).await.unwrap();
    assert_eq!((swept.expired, swept.more), (1, false));
    assert_eq!(waiting(store, bob).await, 1);
    assert_eq!(store.accepted(short.key).await.unwrap(), Some(NOW), "a late repeat is still known");
    // For as long as any recipient knows it, who may have got it at the end of its time.
    let later = NOW + 68 * 24 * 3_600_000;
    store.sweep(later - 1).await.unwrap();
    assert_eq!(store.accept(short.clone(), LIMIT, later - 1).await.unwrap(), Acceptance::Repeated(NOW));
    store.sweep(later).await.unwrap();
    assert_eq!(store.accepted(short.key).await.unwrap(), None);
}

pub(super) async fn removal(store: &impl Store) {
    let (person, bob) = Person::with_device(store, "rem", 1).await;
    let (_, carol) = Person::with_device(store, "rem-c", 1).await;
    store.accept(message(None, &[bob, carol]), LIMIT, NOW).await.unwrap();
    assert_eq!(store.delete_user(person.address.local().into()).await.unwrap(), [bob]);
    assert_eq!(waiting(store, bob).await, 0);
    assert_eq!(waiting(store, carol).await, 1, "the others' copies stay");
}

pub(super) async fn many_at_once<S: Store + 'static>(store: Arc<S>) {
    let (_, bob) = Person::with_device(&*store, "busy", 1).await;
    let tasks = (0..200).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let message = message(None, &[bob]);
            // The same message twice at the same time is accepted once.
            let (a, b) =
                tokio::join!(store.accept(message.clone(), LIMIT, NOW), store.accept(message.clone(), LIMIT, NOW));
            let outcomes = [a.unwrap(), b.unwrap()];
            assert!(outcomes.contains(&Acceptance::Accepted) && outcomes.contains(&Acceptance::Repeated(NOW)));
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let entries = store.mailbox(bob, 0, 1000, usize::MAX, NOW).await.unwrap();
    let seqs: BTreeSet<u64> = entries.iter().map(|entry| entry.seq).collect();
    assert_eq!((entries.len(), seqs.len()), (200, 200));
    assert_eq!(store.ack(bob, seqs.into_iter().collect()).await.unwrap(), 200);
    assert_eq!(waiting(&*store, bob).await, 0);
}

/// What was there before the store was closed.
pub(crate) struct Left {
    device: DeviceId,
    key: [u8; 32],
    seq: u64,
}

pub(crate) async fn leave_something(store: &impl Store) -> Left {
    let (_, device) = Person::with_device(store, "stay", 3).await;
    let kept = message(None, &[device]);
    let delivered = message(None, &[device]);
    store.accept(kept.clone(), LIMIT, NOW).await.unwrap();
    store.accept(delivered, LIMIT, NOW).await.unwrap();
    let last = store.mailbox_head(device).await.unwrap();
    store.ack(device, vec![last]).await.unwrap();
    Left { device, key: kept.key, seq: last }
}

pub(crate) async fn find_it_again(store: &impl Store, left: Left) {
    assert_eq!(waiting(store, left.device).await, 1, "an accepted message outlives the process");
    assert_eq!(store.accepted(left.key).await.unwrap(), Some(NOW));
    store.accept(message(None, &[left.device]), LIMIT, NOW).await.unwrap();
    let head = store.mailbox_head(left.device).await.unwrap();
    assert!(head > left.seq, "places are never used twice");
    assert_eq!(store.prekey_count(left.device, NOW).await.unwrap().one_time, 3);
}
