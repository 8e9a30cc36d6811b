//! Somebody who sends what this program cannot show, against a real relay.

use sotto_crypto::MessageId;
use sotto_wire::content::{Body, Content, Conversation, Link, MessageRef, ReceiptKind};

use crate::common::{Network, address, next, text};
use crate::core::clock::now_ms;
use crate::send::compose::entry;
use crate::store::{Audience, OutboxKind};
use crate::trust::vouched::Vouched;
use crate::{
    Anchor, Client, Error, Event, MessageView, ReceivedMessage, SeenIn, TrustError, TrustState, Unopened, ViewBody,
    Waiting, WaitsFor,
};

/// Sends as many messages of a version that nobody knows.
async fn send_newer(from: &Client, to: &str, count: u32) {
    let account = from.trust.account.clone();
    let conversation = Conversation::of([account.address.clone(), address(to)]).unwrap();
    from.trust
        .store
        .run(move |tx| {
            for n in 0..count {
                let body = Body::Text(format!("from the future {n}"));
                let content = Content { version: 99, ..Content::new(conversation.clone(), now_ms(), body) };
                let entry = entry(&account, &content, OutboxKind::Text, Audience::Members, now_ms()).unwrap();
                tx.put_outbox(&entry)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let done = from.outbox().flush(std::time::Duration::from_mins(2)).await.unwrap();
    assert_eq!((done.left, done.refused), (0, 0));
}

async fn all(client: &Client) -> (Vec<ReceivedMessage>, Vec<Waiting>) {
    let mut receiver = client.receive(false).unwrap();
    let (mut messages, mut waiting) = (Vec::new(), Vec::new());
    loop {
        match next(&mut receiver).await {
            Event::Message(message) => {
                receiver.ack(message.receipt()).await.unwrap();
                messages.push(*message);
            }
            Event::Unopened(unopened) => panic!("given out: {}", unopened.reason),
            Event::Waiting(told) => waiting = told,
            Event::CaughtUp => break,
            _ => {}
        }
    }
    receiver.close().await;
    (messages, waiting)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_shown_yet_stops_nothing_and_is_told() {
    let network = Network::start(false).await;
    let (bob, carol, mallory) =
        (network.member("bob").await, network.member("carol").await, network.member("mallory").await);
    // More than the relay gives out before the first is acknowledged.
    send_newer(&mallory, "bob", 210).await;
    carol.outbox().send_text(&[address("bob")], "still here").await.unwrap();
    let (messages, waiting) = all(&bob).await;
    assert_eq!(messages.iter().map(text).collect::<Vec<_>>(), ["still here"]);
    assert_eq!(waiting.len(), 1);
    let told = &waiting[0];
    assert_eq!((&told.sender, told.waits_for), (&address("mallory"), WaitsFor::NewerVersion));
    assert_eq!((told.count, told.dropped), (200, 10));
    // The relay has nothing left of it, and it is told again for as long as it waits.
    let (messages, waiting) = all(&bob).await;
    assert!(messages.is_empty() && waiting.len() == 1 && waiting[0].count == 200);
    assert_eq!(bob.waiting().await.unwrap(), waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_another_identity_is_told_though_nothing_is_shown() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let sent = alice.outbox().send_text(&[address("bob")], "hello").await.unwrap();
    bob.outbox().send_text(&[address("alice")], "hello yourself").await.unwrap();
    assert_eq!(all(&alice).await.0.len(), 1);
    network.delete_user("bob").await;
    let invite = network.invite("bob").await;
    let second = Client::join(network.join_options(invite, "bob2")).await.unwrap();
    let (account, now) = (second.trust.account.clone(), now_ms());
    let read = MessageRef { sender: address("alice"), device: alice.device(), message: sent.message };
    let body = Body::Receipt(ReceiptKind::Read, vec![read]);
    let content = Content::new(sent.conversation, now, body);
    let only = Audience::Only(vec![address("alice")]);
    let receipt = entry(&account, &content, OutboxKind::Receipt, only, now).unwrap();
    second.trust.store.run(move |tx| tx.put_outbox(&receipt)).await.unwrap();
    assert_eq!(second.outbox().flush(std::time::Duration::from_mins(1)).await.unwrap().sent, 1);

    let (messages, waiting) = all(&alice).await;
    assert!(messages.is_empty() && waiting.is_empty());
    let bob = &alice.contacts().known(&[address("bob")]).await.unwrap()[0];
    assert_eq!((bob.state, bob.change.as_ref().unwrap().seen_in), (TrustState::Replaced, SeenIn::Receipt));
    assert_eq!(alice.outbox().send_text(&[address("bob")], "who is it?").await.unwrap().changed, [address("bob")]);
}

/// Says something about chains to somebody, as a hostile client may.
async fn say_chain(from: &Client, to: &str, body: Body) {
    let (account, now) = (from.trust.account.clone(), now_ms());
    let between = Conversation::of([account.address.clone(), address(to)]).unwrap();
    let only = Audience::Only(vec![address(to)]);
    let entry = entry(&account, &Content::new(between, now, body), OutboxKind::Chain, only, now).unwrap();
    from.trust.store.run(move |tx| tx.put_outbox(&entry)).await.unwrap();
    assert_eq!(from.outbox().flush(std::time::Duration::from_mins(1)).await.unwrap().sent, 1);
}

/// What waits in somebody's outbox, whether it is shown or not.
async fn waiting_to_go(client: &Client) -> Vec<Body> {
    let entries = client.trust.store.run(crate::store::outbox_all).await.unwrap();
    entries.iter().map(|entry| minicbor::decode::<Content>(&entry.content).unwrap().body).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_what_was_not_said_to_them_and_nobody_is_kept_busy() {
    let network = Network::start(false).await;
    let (alice, bob, mallory) =
        (network.member("alice").await, network.member("bob").await, network.member("mallory").await);
    let sent = alice.outbox().send_text(&[address("bob")], "for bob").await.unwrap();
    let (id, device) = (sent.conversation.id(), alice.device());
    let ask = |numbers: Vec<u64>| Body::Resend(id.clone(), device, numbers);
    // Who is not in the conversation is not answered at all; nor is who asks another device, or for what was never said.
    say_chain(&mallory, "alice", ask(vec![0, 1])).await;
    say_chain(&bob, "alice", Body::Resend(id.clone(), mallory.device(), vec![0])).await;
    say_chain(&bob, "alice", ask(vec![1, 2, u64::MAX])).await;
    say_chain(&bob, "alice", Body::Resend("another".into(), device, vec![0])).await;
    assert!(all(&alice).await.0.is_empty());
    assert!(waiting_to_go(&alice).await.is_empty());
    // Who is, is: but not without end.
    say_chain(&bob, "alice", ask(vec![0])).await;
    let mut receiver = alice.receive(false).unwrap();
    while !matches!(next(&mut receiver).await, Event::CaughtUp) {}
    assert!(matches!(&waiting_to_go(&alice).await[..], [Body::Again(message, _)] if *message == sent.message));
    receiver.close().await;
    let asker = address("bob");
    let exhausted = crate::store::AnsweredRecord { asker, since_ms: now_ms(), count: 256 };
    alice.trust.store.run(move |tx| tx.put(&exhausted)).await.unwrap();
    say_chain(&bob, "alice", ask(vec![0])).await;
    let mut receiver = alice.receive(false).unwrap();
    while !matches!(next(&mut receiver).await, Event::CaughtUp) {}
    assert!(waiting_to_go(&alice).await.is_empty());
    receiver.close().await;
    // Bob has it once, whatever was said again.
    let (messages, _) = all(&bob).await;
    assert_eq!(messages.iter().map(text).collect::<Vec<_>>(), ["for bob"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_asked_for_is_not_taken() {
    let network = Network::start(false).await;
    let (bob, mallory) = (network.member("bob").await, network.member("mallory").await);
    let between = Conversation::of([address("bob"), address("mallory")]).unwrap();
    let linked = |index, words: &str| Content {
        link: Some(Link { index, since: 0, previous: [1; 32] }),
        ..Content::new(between.clone(), now_ms(), Body::Text(words.into()))
    };
    let again = |content: &Content| {
        let message = sotto_crypto::MessageId::generate(&mut sotto_crypto::SystemRng);
        Body::Again(message, sotto_crypto::encode(content))
    };
    mallory.outbox().send_text(&[address("bob")], "hello").await.unwrap();
    say_chain(&mallory, "bob", again(&linked(0, "said again, though it has come"))).await;
    say_chain(&mallory, "bob", again(&linked(7, "never missed"))).await;
    say_chain(&mallory, "bob", again(&Content { link: None, ..linked(0, "without a place") })).await;
    say_chain(&mallory, "bob", Body::Again(sotto_crypto::MessageId::from_bytes([1; 16]), vec![0xff; 40])).await;
    say_chain(&mallory, "bob", Body::Gone(between.id(), vec![0, 1, u64::MAX], vec![5])).await;
    let (messages, _) = all(&bob).await;
    assert_eq!(messages.iter().map(text).collect::<Vec<_>>(), ["hello"]);
    assert!(bob.gaps().list().await.unwrap().is_empty());
    let page = bob.conversations().messages(&between.id(), None, 10).await.unwrap();
    assert_eq!(page.len(), 1, "nothing else stands in the history");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_message_is_missed_too() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    alice.outbox().send_text(&[address("bob")], "one").await.unwrap();
    let id = alice.outbox().send_text(&[address("bob")], "two, and nothing after it").await.unwrap().conversation.id();
    let key = crate::store::ChainKey { conversation: id.clone(), sender: address("alice"), device: alice.device() };
    assert_eq!(all(&bob).await.0.len(), 2);
    // As if the second had not come.
    let (first, forgotten) = (id.clone(), key.clone());
    bob.trust
        .store
        .run(move |tx| {
            let page = tx.page(Some(&first), None, 10)?;
            let last = Link::digest_of(&page[0].message.content);
            tx.delete_message(&page[1].message.key())?;
            tx.put(&crate::store::ChainRecord { key: forgotten, next: 1, last })
        })
        .await
        .unwrap();
    let due = |client: &Client| {
        let store = client.trust.store.clone();
        async move {
            let heads = store.list::<crate::store::HeadRecord>().await.unwrap();
            store
                .run(move |tx| {
                    heads.iter().try_for_each(|head| tx.put(&crate::store::HeadRecord { due_at_ms: 0, ..head.clone() }))
                })
                .await
                .unwrap();
        }
    };
    let minute = std::time::Duration::from_mins(1);
    assert_eq!(alice.outbox().flush(minute).await.unwrap().sent, 0, "not yet");
    due(&alice).await;
    assert_eq!(alice.outbox().flush(minute).await.unwrap().sent, 1);
    assert!(all(&bob).await.0.is_empty(), "nobody is shown that");
    let gaps = bob.gaps().list().await.unwrap();
    assert_eq!(gaps.iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>(), [(1, 2)]);
    // With nothing new there is nothing to say.
    due(&alice).await;
    assert_eq!(alice.outbox().flush(minute).await.unwrap().sent, 0);
    // It is asked for, as any other.
    assert!(all(&alice).await.0.is_empty());
    let (late, _) = all(&bob).await;
    assert_eq!(late.iter().map(text).collect::<Vec<_>>(), ["two, and nothing after it"]);
    assert!(bob.gaps().list().await.unwrap().is_empty());
}

/// Sends a text to bob under this id.
async fn send_as(from: &Client, id: MessageId, text: &str) {
    let account = from.trust.account.clone();
    let conversation = Conversation::of([account.address.clone(), address("bob")]).unwrap();
    let content = Content::new(conversation, now_ms(), Body::Text(text.into()));
    let mut entry = entry(&account, &content, OutboxKind::Text, Audience::Members, now_ms()).unwrap();
    entry.key.message = id;
    from.trust.store.run(move |tx| tx.put_outbox(&entry).map(drop)).await.unwrap();
    let done = from.outbox().flush(std::time::Duration::from_mins(1)).await.unwrap();
    assert_eq!((done.sent, done.left, done.refused), (1, 0, 0));
}

/// The relay forgets which ids it has accepted, as after a time, or because it wants to.
async fn forget_ids(network: &mut Network) {
    network.stop().await;
    let store = rusqlite::Connection::open(network.folder.path().join("state/relay.sqlite")).unwrap();
    assert!(store.execute("UPDATE messages SET key = NULL", []).unwrap() > 0);
    drop(store);
    network.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_message_under_a_used_id_is_kept_and_shown_and_a_repeat_is_not() {
    let mut network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let id = MessageId::from_bytes([7; 16]);
    send_as(&alice, id, "the first").await;
    // While the relay knows the id, it takes this for a repeat.
    send_as(&alice, id, "too early").await;
    let first = all(&bob).await.0;
    assert_eq!(first.iter().map(text).collect::<Vec<_>>(), ["the first"]);
    assert_eq!((first[0].message, first[0].conflicts_with), (id, None));

    forget_ids(&mut network).await;
    send_as(&alice, id, "the second").await;
    let second = all(&bob).await.0;
    assert_eq!(second.iter().map(text).collect::<Vec<_>>(), ["the second"]);
    assert_eq!(second[0].conflicts_with, Some(id));
    assert_ne!(second[0].message, id);

    // Both in one connection, before either is acknowledged.
    let id = MessageId::from_bytes([8; 16]);
    send_as(&alice, id, "the third").await;
    forget_ids(&mut network).await;
    send_as(&alice, id, "the fourth").await;
    let mut receiver = bob.receive(false).unwrap();
    let mut messages = Vec::new();
    loop {
        match next(&mut receiver).await {
            Event::Message(message) => messages.push(*message),
            Event::CaughtUp => break,
            _ => {}
        }
    }
    receiver.acker().ack(messages.iter().map(ReceivedMessage::receipt).collect()).await.unwrap();
    receiver.close().await;
    assert_eq!(messages.iter().map(text).collect::<Vec<_>>(), ["the third", "the fourth"]);
    assert_eq!((messages[0].conflicts_with, messages[1].conflicts_with), (None, Some(id)));

    // The history has all four, each under a name of its own, as it was told, and a mark where the relay took one for a repeat.
    let conversation = messages[0].conversation.id();
    let mut history = bob.conversations().messages(&conversation, None, 10).await.unwrap();
    history.sort_by_key(|view| view.position);
    let is_mark = |view: &MessageView| matches!(view.body, ViewBody::Missing(_));
    assert_eq!(history.iter().map(is_mark).collect::<Vec<_>>(), [false, true, false, false, false]);
    history.retain(|view| !is_mark(view));
    let have: Vec<_> = history.iter().map(|view| (view.key.message, view.conflicts_with)).collect();
    let told: Vec<_> = first.iter().chain(&second).chain(&messages).map(|m| (m.message, m.conflicts_with)).collect();
    assert_eq!(have, told);
}

/// A relay that says that somebody is gone has others believe what they have done in rooms, under the identity that is seen there.
/// That is no way to speak in their name.
#[tokio::test(flavor = "multi_thread")]
async fn who_counts_in_rooms_only_is_not_believed_elsewhere() {
    let network = Network::start(false).await;
    let (bob, carol) = (network.member("bob").await, network.member("carol").await);
    let (who, shown) = (address("carol"), carol.trust.account.identity.clone());
    let seen = move |tx: &crate::store::Tx<'_>| {
        crate::trust::pins::see(tx, &Vouched::gone(who, shown), 1, SeenIn::Room).map(drop)
    };
    bob.trust.store.run(seen).await.unwrap();
    network.vouch_no_more("carol").await;
    carol.outbox().send_text(&[address("bob")], "believe me").await.unwrap();
    let mut receiver = bob.receive(false).unwrap();
    let refused = loop {
        match next(&mut receiver).await {
            Event::Message(message) => panic!("shown: {}", text(&message)),
            Event::Unopened(unopened) => break unopened,
            _ => {}
        }
    };
    assert_eq!(refused.reason, Unopened::NotVouchedFor);
    assert!(refused.opened.as_ref().unwrap().established_by.is_none());
    receiver.ack(refused.receipt()).await.unwrap();
    receiver.close().await;
    let refused = bob.outbox().send_text(&[address("carol")], "is it you?").await.err().unwrap();
    assert!(matches!(refused, Error::Trust(TrustError::NotVouchedFor(who)) if who == address("carol")));

    // With the operator's word she is whom everybody knows.
    network.invite("carol").await;
    network.establish("carol", carol.whoami().fingerprint).await;
    carol.outbox().send_text(&[address("bob")], "it is me").await.unwrap();
    assert_eq!(all(&bob).await.0.iter().map(text).collect::<Vec<_>>(), ["it is me"]);
    let known = &bob.contacts().known(&[address("carol")]).await.unwrap()[0];
    assert_eq!((known.state, known.established_by), (TrustState::Pinned, Some(Anchor::Membership)));
}

/// The secrets of all prekeys are gone, as of those that were used.
async fn use_up(client: &Client) {
    let store = client.trust.store.clone();
    let secrets = store.list::<crate::store::PrekeyRecord>().await.unwrap();
    let delete = move |tx: &crate::store::Tx<'_>| {
        use crate::store::Record as _;
        secrets.iter().try_for_each(|secret| tx.delete::<crate::store::PrekeyRecord>(&secret.key()))
    };
    store.run(delete).await.unwrap();
}

/// Receives what cannot be opened. How many.
async fn unopened(client: &Client) -> usize {
    let mut receiver = client.receive(false).unwrap();
    let mut count = 0;
    loop {
        match next(&mut receiver).await {
            Event::Unopened(unopened) => {
                assert_eq!(unopened.reason, Unopened::NoKey);
                receiver.ack(unopened.receipt()).await.unwrap();
                count += 1;
            }
            Event::CaughtUp => break,
            _ => {}
        }
    }
    receiver.close().await;
    count
}

async fn not_opened(client: &Client, with: &str) -> Vec<(bool, u64)> {
    let id = client.conversations().with(&[address(with)]).await.unwrap().id;
    let page = client.conversations().messages(&id, None, 100).await.unwrap();
    let missing = page.iter().filter_map(|view| match view.body {
        ViewBody::Missing(missing) => Some((missing.unopened, missing.gone)),
        _ => None,
    });
    missing.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_opened_and_its_sender_does_not_have_is_shown_for_good() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    alice.outbox().send_text(&[address("bob")], "hello").await.unwrap();
    assert_eq!(all(&bob).await.0.len(), 1);
    let sent = alice.outbox().send_text(&[address("bob")], "not for long").await.unwrap();
    use_up(&bob).await;
    assert_eq!(unopened(&bob).await, 1);
    assert_eq!(not_opened(&bob, "alice").await, [(true, 0)]);
    let key = MessageRef { sender: address("alice"), device: alice.device(), message: sent.message };
    alice.trust.store.run(move |tx| tx.delete_message(&key)).await.unwrap();
    assert!(all(&alice).await.0.is_empty());
    assert!(all(&bob).await.0.is_empty());
    assert_eq!(not_opened(&bob, "alice").await, [(true, 1)], "its sender does not have it any more");
    assert!(bob.trust.store.list::<crate::store::LostRecord>().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_could_not_be_opened_comes_again_and_what_says_nothing_is_not_missed() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let sent = alice.outbox().send_text(&[address("bob")], "hello").await.unwrap();
    bob.outbox().send_text(&[address("alice")], "here").await.unwrap();
    assert_eq!(all(&alice).await.0.len(), 1);
    // Bob's device says that it has come, and asks for something: neither can be opened.
    assert_eq!(all(&bob).await.0.len(), 1);
    say_chain(&bob, "alice", Body::Resend(sent.conversation.id(), alice.device(), vec![9])).await;
    use_up(&alice).await;
    assert_eq!(unopened(&alice).await, 2);
    assert_eq!(not_opened(&alice, "bob").await, [(true, 0), (true, 0)]);
    assert!(all(&bob).await.0.is_empty());
    assert!(all(&alice).await.0.is_empty());
    assert!(not_opened(&alice, "bob").await.is_empty());
    let id = sent.conversation.id();
    let page = alice.conversations().messages(&id, None, 10).await.unwrap();
    assert!(page.iter().any(|view| view.delivered_to == [address("bob")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_headers_makes_nobody_ask_without_end_and_nobody_ask_strangers() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    alice.outbox().send_text(&[address("bob")], "hello").await.unwrap();
    assert_eq!(all(&bob).await.0.len(), 1);
    let (store, me) = (bob.trust.store.clone(), address("bob"));
    let forged = |who: &str, n: u32| MessageRef {
        sender: address(who),
        device: alice.device(),
        message: MessageId::from_bytes([n.to_be_bytes(), [0; 4], [0; 4], [0; 4]].concat().try_into().unwrap()),
    };
    let names: Vec<MessageRef> = (0..200).map(|n| forged("alice", n)).chain([forged("mallory", 1)]).collect();
    let note = move |tx: &crate::store::Tx<'_>| names.iter().try_for_each(|key| tx.lose(key, (&me, true), now_ms()));
    store.run(note).await.unwrap();
    let lost = store.list::<crate::store::LostRecord>().await.unwrap();
    assert!(lost.len() == 64 && lost.iter().all(|lost| lost.key.sender == address("alice")));
    assert_eq!(not_opened(&bob, "alice").await.len(), 64);
    bob.outbox().flush(std::time::Duration::from_mins(1)).await.unwrap();
    // One question to alice, who has nothing of it.
    assert!(all(&alice).await.0.is_empty());
    assert!(all(&bob).await.0.is_empty());
    assert!(not_opened(&bob, "alice").await.iter().all(|shown| *shown == (true, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_says_that_it_comes_from_the_future_is_shown_as_such() {
    let network = Network::start(false).await;
    let (bob, carol) = (network.member("bob").await, network.member("carol").await);
    let account = carol.trust.account.clone();
    let between = Conversation::of([address("bob"), address("carol")]).unwrap();
    for minutes in [4, 10] {
        let content = Content::new(between.clone(), now_ms() + minutes * 60_000, Body::Text(format!("in {minutes}")));
        let entry = entry(&account, &content, OutboxKind::Text, Audience::Members, now_ms()).unwrap();
        carol.trust.store.run(move |tx| tx.put_outbox(&entry)).await.unwrap();
    }
    assert_eq!(carol.outbox().flush(std::time::Duration::from_mins(1)).await.unwrap().sent, 2);
    let (messages, _) = all(&bob).await;
    let shown: Vec<_> = messages.iter().map(|message| (text(message), message.sent_in_future())).collect();
    assert_eq!(shown, [("in 4", false), ("in 10", true)]);
    let page = bob.conversations().messages(&between.id(), None, 10).await.unwrap();
    assert_eq!(page.iter().map(|view| view.sent_in_future).collect::<Vec<_>>(), [false, true]);
}
