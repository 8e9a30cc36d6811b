//! A member who sends what the library would not, against a real relay.

use sotto_crypto::{DeviceCertificate, DeviceKey, IdentityKey, Signed, SystemRng};
use sotto_wire::content::Body;
use sotto_wire::room::{EventId, RoomChange, RoomEvent, RoomId};

use super::super::change::queue;
use super::super::event::sign_as;
use crate::common::{Network, address, next};
use crate::{Client, Event, NewRoom, Target, Unopened};

async fn flush(client: &Client) {
    assert_eq!(client.outbox().flush(std::time::Duration::from_mins(1)).await.unwrap().left, 0);
}

/// Receives all, and gives the reasons of what was not opened.
async fn reasons(client: &Client) -> Vec<Unopened> {
    let mut receiver = client.receive(false).unwrap();
    let mut reasons = Vec::new();
    loop {
        match next(&mut receiver).await {
            Event::Unopened(unopened) => {
                receiver.ack(unopened.receipt()).await.unwrap();
                reasons.push(unopened.reason);
            }
            Event::Message(message) => receiver.ack(message.receipt()).await.unwrap(),
            Event::CaughtUp => break,
            _ => {}
        }
    }
    receiver.close().await;
    reasons
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_under_another_identity_is_left_out() {
    let network = Network::start(false).await;
    let (alice, mallory, bob) =
        (network.member("alice").await, network.member("mallory").await, network.member("bob").await);
    let members = vec![address("bob"), address("mallory")];
    let id = alice.rooms().create(NewRoom { title: "Plans".into(), members, ..NewRoom::default() }).await.unwrap();
    flush(&alice).await;
    assert!(reasons(&mallory).await.is_empty() && reasons(&bob).await.is_empty());
    let room = bob.rooms().get(&id).await.unwrap().unwrap().room;

    // Mallory makes an identity and a device for alice, and has her make mallory a moderator.
    let (identity, key) = (IdentityKey::generate(&mut SystemRng), DeviceKey::generate(&mut SystemRng));
    let device = alice.whoami().device;
    let certificate = DeviceCertificate::new(address("alice"), device, key.verifying_key(), 1);
    let certificate = Signed::sign(&certificate, &identity);
    let keeper = mallory.rooms().keeper.clone();
    let change = RoomChange::Moderator(address("mallory"), true);
    let made = mallory
        .trust
        .store
        .run(move |tx| {
            let event = keeper.rooms.with(tx, room, |held, _| Ok(held.next(address("alice"), device, 1, change)))?;
            let signed = sign_as(&event, &key, certificate, identity.verifying_key());
            queue(tx, &keeper.account, room, Body::Room(vec![signed]), vec![address("bob")], 1)
        })
        .await
        .unwrap();
    made.unwrap();
    flush(&mallory).await;
    assert_eq!(reasons(&bob).await, [Unopened::RoomAuthor(address("alice"))]);
    let view = bob.rooms().get(&id).await.unwrap().unwrap();
    assert_eq!((view.moderators, view.events), (vec![address("alice")], 1));

    // Mallory's own device may sign, but mallory may not do it: the event is kept and does not count.
    let keeper = mallory.rooms().keeper.clone();
    let change = RoomChange::Moderator(address("mallory"), true);
    let made = mallory
        .trust
        .store
        .run(move |tx| {
            let account = &keeper.account;
            let event = keeper
                .rooms
                .with(tx, room, |held, _| Ok(held.next(account.address.clone(), account.device, 1, change)))?;
            let signed = super::super::event::sign(&event, account);
            queue(tx, account, room, Body::Room(vec![signed]), vec![address("bob")], 1)
        })
        .await
        .unwrap();
    made.unwrap();
    flush(&mallory).await;
    assert!(reasons(&bob).await.is_empty());
    let view = bob.rooms().get(&id).await.unwrap().unwrap();
    assert_eq!((view.moderators, view.events), (vec![address("alice")], 2));
    bob.outbox().post(Target::Conversation(id), crate::Draft::text("still fine")).await.unwrap();
    flush(&bob).await;
    assert!(reasons(&alice).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_outside_brings_changes_nothing() {
    let network = Network::start(false).await;
    let (alice, mallory, bob) =
        (network.member("alice").await, network.member("mallory").await, network.member("bob").await);
    let members = vec![address("bob")];
    let id = alice.rooms().create(NewRoom { title: "Plans".into(), members, ..NewRoom::default() }).await.unwrap();
    flush(&alice).await;
    assert!(reasons(&bob).await.is_empty());
    let room = bob.rooms().get(&id).await.unwrap().unwrap().room;

    // Mallory knows the room's name and its newest event, and another room, without bob.
    let keeper = mallory.rooms().keeper.clone();
    let (first, nowhere) = (EventId::from_bytes(*room.as_bytes()), EventId::from_bytes([9; 32]));
    let events = move |room, parents: &[EventId]| {
        let account = &keeper.account;
        let change = |parent: &EventId| RoomEvent {
            version: 1,
            room: Some(room),
            parents: vec![*parent],
            author: account.address.clone(),
            device: account.device,
            at_ms: 1,
            change: RoomChange::Title("mine".into()),
        };
        parents.iter().map(|parent| super::super::event::sign(&change(parent), account)).collect::<Vec<_>>()
    };
    let keeper = mallory.rooms().keeper.clone();
    let other = RoomId::from_bytes([8; 32]);
    mallory
        .trust
        .store
        .run(move |tx| {
            for (room, parents) in [(room, [first, nowhere]), (other, [nowhere, first])] {
                let body = Body::Room(events(room, &parents));
                queue(tx, &keeper.account, room, body, vec![address("bob")], 1)?.unwrap();
            }
            Ok(())
        })
        .await
        .unwrap();
    flush(&mallory).await;
    assert!(reasons(&bob).await.is_empty());
    let view = bob.rooms().get(&id).await.unwrap().unwrap();
    assert_eq!((view.title.as_str(), view.events, view.incomplete), ("Plans", 1, false));
    let kept = bob.trust.store.run(move |tx| {
        let of = |room| {
            Ok::<_, crate::core::error::StoreError>((tx.room_events(room, 0)?.len(), tx.pending_events(room)?.len()))
        };
        Ok((of(&room)?, of(&other)?))
    });
    assert_eq!(kept.await.unwrap(), ((1, 1), (0, 2)));
    assert_eq!(bob.conversations().list().await.unwrap().len(), 1);
    // And the room goes on.
    alice.rooms().change(&id, RoomChange::Title("Further plans".into())).await.unwrap();
    flush(&alice).await;
    assert!(reasons(&bob).await.is_empty());
    assert_eq!(bob.rooms().get(&id).await.unwrap().unwrap().title, "Further plans");
}
