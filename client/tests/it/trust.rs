//! A change of who somebody is: whatever brings it, it is a state until a person has acknowledged it.

use std::time::Duration;

use crate::common::{Network, accept, address, drain, next, text};
use sotto_client::{Client, Draft, Error, Event, NewRoom, Refusal, SeenIn, Target, TrustError, TrustState, ViewBody};
use sotto_wire::room::RoomChange;

fn to(name: &str) -> Target {
    Target::People(vec![address(name)])
}

/// Bob, with another identity than before.
async fn bob_anew(network: &Network, profile: &str) -> Client {
    network.delete_user("bob").await;
    let invite = network.invite("bob").await;
    Client::join(network.join_options(invite, profile)).await.unwrap()
}

/// Alice and bob, who have talked.
async fn acquainted(network: &Network) -> (Client, Client) {
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    alice.outbox().send_text(&[address("bob")], "hello").await.unwrap();
    bob.outbox().send_text(&[address("alice")], "hello yourself").await.unwrap();
    assert_eq!(drain(&alice).await.len(), 1);
    (alice, bob)
}

/// That alice is told of bob's change, wherever she looks, and until she acknowledges it.
async fn is_told(alice: &Client, seen_in: SeenIn) {
    for _ in 0..2 {
        let bob = &alice.contacts().known(&[address("bob")]).await.unwrap()[0];
        assert_eq!(bob.state, TrustState::Replaced);
        let change = bob.change.as_ref().unwrap();
        assert_eq!((change.new, change.seen_in), (bob.fingerprint, seen_in));
        assert!(change.old != change.new && change.since_ms > 0);
        // Asking the relay does not take it back.
        assert_eq!(alice.contacts().look_up(&address("bob")).await.unwrap().state, TrustState::Replaced);
        let views = alice.conversations().list().await.unwrap();
        assert!(views.iter().all(|view| view.changed == [address("bob")]));
        let sent = alice.outbox().send_text(&[address("bob")], "are you bob?").await.unwrap();
        assert_eq!(sent.changed, [address("bob")]);
    }
    let told = alice.contacts().look_up(&address("bob")).await.unwrap();
    let accepted = accept(alice, &told).await.unwrap();
    assert_eq!((accepted.state, accepted.change), (TrustState::Pinned, None));
    let sent = alice.outbox().send_text(&[address("bob")], "so you are").await.unwrap();
    assert!(sent.changed.is_empty());
    let views = alice.conversations().list().await.unwrap();
    assert!(views.iter().all(|view| view.changed.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_outbox_has_seen_is_told() {
    let network = Network::start(false).await;
    let (alice, _) = acquainted(&network).await;
    bob_anew(&network, "bob2").await;
    alice.outbox().post(to("bob"), Draft::text("by the outbox")).await.unwrap();
    alice.outbox().flush(Duration::from_mins(1)).await.unwrap();
    is_told(&alice, SeenIn::Recipients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lookup_has_seen_is_told() {
    let network = Network::start(false).await;
    let (alice, _) = acquainted(&network).await;
    bob_anew(&network, "bob2").await;
    alice.contacts().look_up(&address("bob")).await.unwrap();
    is_told(&alice, SeenIn::Lookup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_message_that_is_over_has_shown_is_told() {
    let network = Network::start(false).await;
    let (alice, _) = acquainted(&network).await;
    let second = bob_anew(&network, "bob2").await;
    second.outbox().send(to("alice"), Draft::text("gone").expires_in(Duration::from_secs(1))).await.unwrap();
    second.outbox().send_text(&[address("alice")], "what stays").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut receiver = alice.receive(false).unwrap();
    loop {
        match next(&mut receiver).await {
            // Not with the first message only: with each, until it is acknowledged.
            Event::Message(message) => {
                assert_eq!(text(&message), "what stays");
                assert!(message.identity_changed);
                receiver.ack(message.receipt()).await.unwrap();
            }
            Event::CaughtUp => break,
            _ => {}
        }
    }
    receiver.close().await;
    let shown = alice.conversations().all_messages(None, 10).await.unwrap();
    let last = shown.iter().find(|m| m.body == ViewBody::Text("what stays".into())).unwrap();
    assert!(last.identity_changed);
    is_told(&alice, SeenIn::Message).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_cannot_be_written_to_is_named() {
    let network = Network::start(false).await;
    let (alice, bob, _carol) =
        (network.member("alice").await, network.member("bob").await, network.member("carol").await);
    let members = vec![address("bob"), address("carol")];
    let room = alice.rooms().create(NewRoom { title: "Plans".into(), members, ..NewRoom::default() }).await.unwrap();
    alice.outbox().flush(Duration::from_mins(1)).await.unwrap();
    network.delete_user("carol").await;
    let sent = alice.outbox().send(Target::Conversation(room.clone()), Draft::text("without her")).await.unwrap();
    assert_eq!(sent.left_out.iter().map(|left| &left.address).collect::<Vec<_>>(), [&address("carol")]);
    assert!(sent.left_out[0].reason.contains("cannot be written to"));
    let shown = alice.conversations().messages(&room, None, 1).await.unwrap();
    assert_eq!(shown[0].left_out, sent.left_out);
    assert_eq!(drain(&bob).await.iter().map(text).collect::<Vec<_>>(), ["without her"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retention_process_is_no_member_and_is_always_shown() {
    let mut network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    // A member before anybody knows it for what it is, and put out again.
    network.put_user("archive", sotto_wire::admin::Role::Person, false).await;
    let archive = network.member("archive").await;
    let members = vec![address("bob"), address("archive")];
    let room = alice.rooms().create(NewRoom { title: "Plans".into(), members, ..NewRoom::default() }).await.unwrap();
    alice.rooms().change(&room, RoomChange::Remove(vec![address("archive")])).await.unwrap();
    alice.outbox().flush(Duration::from_mins(1)).await.unwrap();
    drop(archive);
    network.delete_user("archive").await;
    let identity = network.retention("archive").await;
    let service = sotto_client::ServiceAccount {
        address: address("archive"),
        endpoint: sotto_client::Endpoint { url: network.url(), tls: sotto_client::Tls::Off },
        policy_key: network.policy.verifying_key().fingerprint(),
        identity,
        password: sotto_client::Password::new("the archive's password".into()),
        registration_code: sotto_client::RegistrationCode::new("retention-code".into()),
        profile: network.profile("archive-service"),
        label: "archive".into(),
    };
    Client::service(service).await.unwrap();
    let sent = alice.outbox().send(Target::Conversation(room.clone()), Draft::text("for the record")).await.unwrap();
    assert_eq!(sent.retained_by, [address("archive")]);
    let got = drain(&bob).await;
    assert_eq!(got.last().unwrap().retained_by, [address("archive")]);
    for client in [&alice, &bob] {
        client.policy().await.unwrap();
        let view = client.conversations().get(&room).await.unwrap().unwrap();
        assert!(view.retained && view.retained_by == [address("archive")]);
        assert!(!view.members.contains(&address("archive")));
    }
    let refused = alice.rooms().change(&room, RoomChange::Add(vec![address("archive")])).await.err().unwrap();
    assert!(refused.to_string().contains("archive@chat.acme.example is a retention process"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_change_that_was_told_is_accepted() {
    let network = Network::start(false).await;
    let (alice, _) = acquainted(&network).await;
    bob_anew(&network, "bob2").await;
    let told = alice.contacts().look_up(&address("bob")).await.unwrap();
    bob_anew(&network, "bob3").await;
    let now = alice.contacts().look_up(&address("bob")).await.unwrap();
    assert_ne!(told.fingerprint, now.fingerprint);
    let refused = accept(&alice, &told).await.err().unwrap();
    assert!(matches!(refused, Error::Trust(TrustError::NotTheCompared(who)) if who == address("bob")));
    let refused = alice.contacts().accept_change(&address("bob"), None).await.err().unwrap();
    assert!(matches!(refused, Error::Trust(TrustError::NotTheCompared(_))), "nothing was told: {refused}");
    assert_eq!(alice.contacts().known(&[address("bob")]).await.unwrap()[0].state, TrustState::Replaced);
    assert_eq!(accept(&alice, &now).await.unwrap().state, TrustState::Pinned);
    // There is none any more; and of somebody who is not known there never was.
    let refused = accept(&alice, &now).await.err().unwrap();
    assert!(matches!(refused, Error::Refused(Refusal::NotChanged(_))), "{refused}");
    let refused = alice.contacts().accept_change(&address("carol"), Some(now.fingerprint)).await.err().unwrap();
    assert!(matches!(refused, Error::Refused(Refusal::NoIdentity(_))), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_twice_comes_once() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let sent = bob.outbox().send_text(&[address("alice")], "once").await.unwrap();
    let mut receiver = alice.receive(false).unwrap();
    let receipt = loop {
        if let Event::Message(message) = next(&mut receiver).await {
            break message.receipt();
        }
    };
    receiver.ack(receipt.clone()).await.unwrap();
    let key = alice.conversations().all_messages(None, 1).await.unwrap()[0].key.clone();
    assert_eq!(key.message, sent.message);
    bob.outbox().delete(&key).await.unwrap();
    bob.outbox().flush(Duration::from_mins(1)).await.unwrap();
    loop {
        if let Event::Message(message) = next(&mut receiver).await {
            receiver.ack(message.receipt()).await.unwrap();
            break;
        }
    }
    let gone = || async { alice.conversations().message(&key).await.unwrap().unwrap().body == ViewBody::Deleted };
    assert!(gone().await);
    // The receipt of before once more: what was taken back stays so.
    receiver.ack(receipt).await.unwrap();
    assert!(gone().await);
}
