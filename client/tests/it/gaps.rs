//! What is missing is noticed, against a real relay. To "drop" a message here, a copy of a device takes it from the relay: the
//! device itself never sees it.

use std::path::Path;

use crate::common::{Network, address, drain, text};
use sotto_client::{Client, GapEvent, Missing, NewRoom, Target, Unlock, ViewBody};
use sotto_wire::content::{Body, Link};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Somebody's device, and a copy of it.
async fn with_copy(network: &Network, name: &str) -> (Client, Client) {
    // With as many prekeys as it needs: what one of the two makes later, the other does not have.
    assert!(drain(&network.member(name).await).await.is_empty());
    let (original, other) = (network.profile(name), network.profile(&format!("{name} copied")));
    copy(&original, &other);
    (Client::open(original, Unlock::KeyFile).await.unwrap(), Client::open(other, Unlock::KeyFile).await.unwrap())
}

/// What is shown of the conversation with somebody, in order.
async fn shown(client: &Client, with: &str) -> Vec<String> {
    let id = client.conversations().with(&[address(with)]).await.unwrap().id;
    let views = client.conversations().messages(&id, None, 100).await.unwrap();
    views.iter().map(|view| said(&view.body)).collect()
}

fn said(body: &ViewBody) -> String {
    match body {
        ViewBody::Text(text) => text.clone(),
        ViewBody::Missing(Missing { count, gone: 0, .. }) => format!("{count} missing"),
        ViewBody::Missing(Missing { count, gone, .. }) => format!("{count} missing, {gone} gone"),
        _ => "something".into(),
    }
}

async fn missing(client: &Client) -> Vec<(String, u64, u64)> {
    let gaps = client.gaps().list().await.unwrap();
    assert!(gaps.iter().all(|gap| gap.what == GapEvent::Missing), "{gaps:?}");
    gaps.iter().map(|gap| (gap.sender.local().to_owned(), gap.from, gap.to)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_dropped_is_noticed_with_the_next() {
    let network = Network::start(false).await;
    let alice = network.member("alice").await;
    let (bob, dropped) = with_copy(&network, "bob").await;
    let say = async |words: &str| drop(alice.outbox().send_text(&[address("bob")], words).await.unwrap());
    say("one").await;
    assert_eq!(drain(&bob).await.len(), 1);
    assert!(missing(&bob).await.is_empty());
    say("two").await;
    say("three").await;
    assert_eq!(drain(&dropped).await.len(), 2);
    // Nothing can say so before the next.
    assert!(drain(&bob).await.is_empty() && missing(&bob).await.is_empty());
    say("four").await;
    assert_eq!(drain(&bob).await.iter().map(text).collect::<Vec<_>>(), ["four"]);
    assert_eq!(missing(&bob).await, [("alice".to_owned(), 1, 3)]);
    assert_eq!(shown(&bob, "alice").await, ["one", "2 missing", "four"], "where it belongs");
    // It is told once, and stays.
    assert!(drain(&bob).await.is_empty());
    assert_eq!(shown(&bob, "alice").await, ["one", "2 missing", "four"]);
    // The other way round nothing is missing.
    bob.outbox().send_text(&[address("alice")], "what?").await.unwrap();
    drain(&alice).await;
    assert!(missing(&alice).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_of_all_is_missed_too_and_who_comes_later_misses_nothing() {
    let network = Network::start(false).await;
    let alice = network.member("alice").await;
    let (bob, dropped) = with_copy(&network, "bob").await;
    alice.outbox().send_text(&[address("bob")], "the first").await.unwrap();
    drain(&dropped).await;
    alice.outbox().send_text(&[address("bob")], "the second").await.unwrap();
    drain(&bob).await;
    assert_eq!(missing(&bob).await, [("alice".to_owned(), 0, 1)]);
    assert_eq!(shown(&bob, "alice").await, ["1 missing", "the second"]);

    // A device that is new, and somebody who is taken into a room.
    let link = bob.devices().link_url().unwrap().to_url().parse().unwrap();
    let password = sotto_client::Password::new(crate::common::PASSWORD.into());
    let laptop = sotto_client::LinkOptions::new(link, network.profile("laptop"), password);
    let sotto_client::NewDevice::Joined(laptop) = Client::link(laptop).await.unwrap() else { panic!("it waits") };
    alice.outbox().send_text(&[address("bob")], "to both").await.unwrap();
    assert_eq!(drain(&laptop).await.len(), 1);
    assert!(missing(&laptop).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_relay_loses_nothing_whatever_is_done() {
    let network = Network::start(false).await;
    let (alice, bob, carol) =
        (network.member("alice").await, network.member("bob").await, network.member("carol").await);
    let everybody = [&alice, &bob, &carol];
    let bobs = [address("bob")];
    let sent = alice.outbox().send_text(&bobs, "one").await.unwrap();
    let key =
        sotto_wire::content::MessageRef { sender: address("alice"), device: alice.device(), message: sent.message };
    alice.outbox().edit(&key, "one, better".into()).await.unwrap();
    alice.outbox().react(&key, "👍", true).await.unwrap();
    alice.outbox().flush(std::time::Duration::from_mins(1)).await.unwrap();
    alice.outbox().send_text(&bobs, "two").await.unwrap();
    let got = drain(&bob).await;
    let links: Vec<(u64, u64)> = got.iter().map(|m| m.content.link.map(|l| (l.index, l.since)).unwrap()).collect();
    assert_eq!(links, [(0, 0), (1, 0), (2, 0), (3, 0)]);
    let previous = |n: usize| Link::digest_of(&sotto_crypto::encode(&got[n].content));
    assert!((1..4).all(|n| got[n].content.link.unwrap().previous == previous(n - 1)));
    // What goes to some only has no place.
    drain(&alice).await;
    bob.outbox().flush(std::time::Duration::from_mins(1)).await.unwrap();

    let room = NewRoom { title: "Plans".into(), members: vec![address("bob")], ..NewRoom::default() };
    let id = alice.rooms().create(room).await.unwrap();
    let target = || Target::Conversation(id.clone());
    alice.outbox().send(target(), sotto_client::Draft::text("in the room")).await.unwrap();
    for member in everybody {
        drain(member).await;
    }
    let add = sotto_wire::room::RoomChange::Add(vec![address("carol")]);
    alice.rooms().change(&id, add).await.unwrap();
    alice.outbox().send(target(), sotto_client::Draft::text("to carol too")).await.unwrap();
    let carols = drain(&carol).await;
    assert!(matches!(&carols[..], [one] if matches!(one.content.body, Body::Text(_))));
    drain(&bob).await;
    // Put out, and taken in again: nothing of what was said meanwhile is missed.
    let remove = sotto_wire::room::RoomChange::Remove(vec![address("carol")]);
    alice.rooms().change(&id, remove).await.unwrap();
    alice.outbox().send(target(), sotto_client::Draft::text("not to carol")).await.unwrap();
    drain(&carol).await;
    let add = sotto_wire::room::RoomChange::Add(vec![address("carol")]);
    alice.rooms().change(&id, add).await.unwrap();
    alice.outbox().send(target(), sotto_client::Draft::text("to carol again")).await.unwrap();
    for member in everybody {
        drain(member).await;
    }
    bob.outbox().send(target(), sotto_client::Draft::text("bob is here")).await.unwrap();
    for member in everybody {
        drain(member).await;
        assert!(missing(member).await.is_empty(), "{}", member.address());
    }
    // A refusal before anything is posted leaves no gap behind it.
    network.put_user("bob", sotto_wire::admin::Role::Person, true).await;
    alice.outbox().send_text(&bobs, "refused").await.unwrap_err();
    network.put_user("bob", sotto_wire::admin::Role::Person, false).await;
    alice.outbox().send_text(&bobs, "three").await.unwrap();
    let got = drain(&bob).await;
    assert_eq!(got.last().unwrap().content.link.unwrap().index, 4);
    assert!(missing(&bob).await.is_empty());
}

/// Everybody's devices talk about what is missing until there is nothing left to say.
async fn settle(people: &[&Client]) {
    for _ in 0..3 {
        for client in people {
            client.outbox().flush(std::time::Duration::from_secs(20)).await.unwrap();
            assert!(drain(client).await.iter().all(|message| matches!(message.content.body, Body::Text(_))));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_asked_for_and_comes_late() {
    let network = Network::start(false).await;
    let alice = network.member("alice").await;
    let (bob, dropped) = with_copy(&network, "bob").await;
    let say = async |words: &str| alice.outbox().send_text(&[address("bob")], words).await.unwrap().message;
    say("one").await;
    drain(&bob).await;
    let (two, _) = (say("two").await, say("three").await);
    assert_eq!(drain(&dropped).await.len(), 2);
    say("four").await;
    drain(&bob).await;
    assert_eq!(missing(&bob).await, [("alice".to_owned(), 1, 3)]);
    // With what bob's client sends at its end, the question has gone out already.
    drain(&alice).await;
    let late = drain(&bob).await;
    assert_eq!(late.iter().map(|m| (text(m), m.late)).collect::<Vec<_>>(), [("two", true), ("three", true)]);
    assert_eq!(late[0].message, two, "it is the very message");
    assert!(missing(&bob).await.is_empty());
    assert_eq!(shown(&bob, "alice").await, ["one", "four", "two", "three"]);
    let id = bob.conversations().with(&[address("alice")]).await.unwrap().id;
    let views = bob.conversations().messages(&id, None, 10).await.unwrap();
    assert_eq!(views.iter().map(|v| v.late).collect::<Vec<_>>(), [false, false, true, true]);
    // Nothing more is said of it, and what comes next fits.
    settle(&[&alice, &bob]).await;
    say("five").await;
    drain(&bob).await;
    assert!(bob.gaps().list().await.unwrap().is_empty());
    assert_eq!(shown(&bob, "alice").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_sender_does_not_have_any_more_is_said_to_be_gone() {
    let network = Network::start(false).await;
    let alice = network.member("alice").await;
    let (bob, dropped) = with_copy(&network, "bob").await;
    let say = async |words: &str| drop(alice.outbox().send_text(&[address("bob")], words).await.unwrap());
    say("one").await;
    drain(&bob).await;
    let burns = sotto_client::Draft::text("two").expires_in(std::time::Duration::from_secs(1));
    alice.outbox().send(Target::People(vec![address("bob")]), burns).await.unwrap();
    say("three").await;
    drain(&dropped).await;
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    say("four").await;
    drain(&bob).await;
    assert_eq!(missing(&bob).await, [("alice".to_owned(), 1, 3)]);
    drain(&alice).await;
    assert_eq!(drain(&bob).await.iter().map(text).collect::<Vec<_>>(), ["three"]);
    assert!(missing(&bob).await.is_empty(), "it is not asked for any more");
    assert_eq!(shown(&bob, "alice").await, ["one", "1 missing, 1 gone", "four", "three"]);
}
