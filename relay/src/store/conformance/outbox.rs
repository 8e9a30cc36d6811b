//! The outbox.

use sotto_crypto::{DeviceId, Domain};

use super::fixtures::{LATER, NOW, Person, Recorder, message, up_to};
use crate::store::{Acceptance, NewMessage, QueueBounds, QueuedItem, Refusal, Store};

fn abroad(sender: DeviceId, to: &[&str]) -> NewMessage {
    let mut message = message(Some(sender), &[]);
    message.remote = to.iter().map(|name| (domain(name), name.as_bytes().to_vec())).collect();
    message
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

pub(super) async fn journey(store: &impl Store, recorder: &Recorder) {
    let (_, alice) = Person::with_device(store, "out", 1).await;
    recorder.outbox_woken();
    assert_eq!(store.outbox_next_ms().await.unwrap(), None);
    let first = abroad(alice, &["b.example", "c.example"]);
    assert_eq!(store.accept(first.clone(), up_to(10), NOW).await.unwrap(), Acceptance::Accepted);
    assert_eq!(recorder.outbox_woken(), 1);
    store.accept(abroad(alice, &["b.example"]), up_to(10), NOW + 1).await.unwrap();
    let mut domains = store.outbox_domains(NOW + 1).await.unwrap();
    domains.sort();
    assert_eq!(domains, [domain("b.example"), domain("c.example")]);

    let due = store.outbox_due(domain("b.example"), NOW + 1, 10).await.unwrap();
    assert_eq!(due.len(), 2);
    assert_eq!(
        (&due[0].header, &due[0].body, due[0].wraps.as_slice()),
        (&first.header, &first.body, &b"b.example"[..])
    );
    assert_eq!((due[0].accepted_at_ms, due[0].expires_at_ms, due[0].attempts), (NOW, LATER, 0));
    store.outbox_retry(due[0].id, NOW + 100).await.unwrap();
    assert_eq!(store.outbox_due(domain("b.example"), NOW + 1, 10).await.unwrap().len(), 1, "it waits");
    assert_eq!(store.outbox_due(domain("b.example"), NOW + 100, 10).await.unwrap()[0].attempts, 1);
    store.outbox_done(due[0].id).await.unwrap();
    store.outbox_done(due[1].id).await.unwrap();
    store.outbox_done(due[1].id).await.unwrap();
    let rest = store.outbox_due(domain("c.example"), NOW, 10).await.unwrap();
    assert_eq!(rest.len(), 1, "the body is there for the other network");
    store.outbox_done(rest[0].id).await.unwrap();
    assert_eq!(store.outbox_next_ms().await.unwrap(), None);
    assert_eq!(store.accepted(first.key).await.unwrap(), Some(NOW));
}

pub(super) async fn refusal_and_expiry(store: &impl Store) {
    let (_, alice) = Person::with_device(store, "out-r", 1).await;
    let refused = abroad(alice, &["b.example"]);
    store.accept(refused.clone(), up_to(10), NOW).await.unwrap();
    let id = store.outbox_due(domain("b.example"), NOW, 10).await.unwrap()[0].id;
    let refusal = Refusal { code: "federation_denied".into(), reason: "they said no".into() };
    store.outbox_refused(id, refusal.clone(), NOW + 1).await.unwrap();
    store.outbox_refused(id, refusal, NOW + 1).await.unwrap();

    let mut expired = abroad(alice, &["b.example"]);
    expired.expires_at_ms = NOW + 5;
    store.accept(expired.clone(), up_to(10), NOW).await.unwrap();
    store.sweep(NOW + 5).await.unwrap();
    assert_eq!(store.outbox_next_ms().await.unwrap(), None);

    let entries = store.mailbox(alice, 0, 10, usize::MAX, NOW + 5).await.unwrap();
    let notices: Vec<_> = entries
        .iter()
        .map(|entry| match &entry.item {
            QueuedItem::Notice(notice) => {
                assert_eq!(notice.seq, entry.seq);
                assert_eq!(notice.domain, domain("b.example"));
                (notice.message, notice.code.as_str())
            }
            QueuedItem::Message { .. } => panic!("not a notice"),
        })
        .collect();
    assert_eq!(notices, [(refused.message, "federation_denied"), (expired.message, "peer_unavailable")], "once each");
    let seqs = entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(store.ack(alice, seqs).await.unwrap(), 2);

    // The device may be gone by then.
    let orphan = abroad(alice, &["b.example"]);
    store.accept(orphan, up_to(10), NOW).await.unwrap();
    let id = store.outbox_due(domain("b.example"), NOW, 10).await.unwrap()[0].id;
    store.delete_user("out-r".into()).await.unwrap();
    store.outbox_refused(id, Refusal { code: "x".into(), reason: "y".into() }, NOW).await.unwrap();
    assert_eq!(store.outbox_next_ms().await.unwrap(), None);
}

pub(super) async fn bounded(store: &impl Store) {
    let (_, alice) = Person::with_device(store, "out-a", 1).await;
    let (_, bob) = Person::with_device(store, "out-b", 1).await;
    let limits = QueueBounds { mailbox: 10, sender: 3, network: 4 };
    let send = async |new: NewMessage| store.accept(new, limits, NOW).await.unwrap();
    for to in [&["b.example", "c.example"][..], &["b.example"]] {
        assert_eq!(send(abroad(alice, to)).await, Acceptance::Accepted);
    }
    let refused = abroad(alice, &["d.example"]);
    assert_eq!(send(refused.clone()).await, Acceptance::SenderOutboxFull);
    assert_eq!(store.accepted(refused.key).await.unwrap(), None, "refused, it may be tried again");
    assert_eq!(send(abroad(bob, &["b.example"])).await, Acceptance::Accepted, "each device has its own");
    assert_eq!(send(abroad(bob, &["b.example"])).await, Acceptance::Accepted);
    assert_eq!(send(abroad(bob, &["c.example", "b.example"])).await, Acceptance::SenderOutboxFull, "two at once");
    assert_eq!(send(abroad(bob, &["b.example"])).await, Acceptance::OutboxFull(domain("b.example")));
    assert_eq!(send(message(Some(alice), &[bob])).await, Acceptance::Accepted, "at home nothing is full");
    assert_eq!(send(abroad(bob, &["c.example"])).await, Acceptance::Accepted);
    let due = store.outbox_due(domain("b.example"), NOW, 10).await.unwrap();
    assert_eq!(due.len(), 4);
    for entry in due {
        store.outbox_done(entry.id).await.unwrap();
    }
    assert_eq!(send(refused).await, Acceptance::Accepted, "room again");
    for name in ["c.example", "d.example"] {
        for entry in store.outbox_due(domain(name), NOW, 10).await.unwrap() {
            store.outbox_done(entry.id).await.unwrap();
        }
    }
}
