//! Rooms against a real relay.

use std::time::Duration;

use crate::common::{Network, address, drain, group, text};
use sotto_client::{
    Client, ConversationKind, Draft, Error, LinkOptions, NewDevice, NewRoom, Password, Refusal, RoomView, Target,
    ViewBody,
};
use sotto_crypto::Address;
use sotto_wire::room::RoomChange;

fn all(names: &[&str]) -> Vec<Address> {
    names.iter().map(|name| address(name)).collect()
}

fn new(title: &str, members: &[&str]) -> NewRoom {
    NewRoom { title: title.into(), members: all(members), ..NewRoom::default() }
}

async fn people<const N: usize>(network: &Network, names: [&str; N]) -> [Client; N] {
    let mut clients = Vec::new();
    for name in names {
        clients.push(network.member(name).await);
    }
    clients.try_into().ok().unwrap()
}

/// Sends all that waits.
async fn flush(client: &Client) {
    let done = client.outbox().flush(Duration::from_mins(1)).await.unwrap();
    assert_eq!((done.left, done.refused), (0, 0), "{:?}", client.outbox().list().await.unwrap());
}

async fn say(client: &Client, room: &str, words: &str) {
    client.outbox().post(Target::Conversation(room.to_owned()), Draft::text(words)).await.unwrap();
    flush(client).await;
}

/// The texts that have come.
async fn heard(client: &Client) -> Vec<String> {
    let texts = drain(client).await.iter().map(|message| text(message).to_owned()).collect();
    flush(client).await;
    texts
}

async fn room(client: &Client, id: &str) -> RoomView {
    client.rooms().get(id).await.unwrap().unwrap()
}

/// What the history says has happened.
async fn happened(client: &Client, id: &str) -> Vec<String> {
    let messages = client.conversations().messages(id, None, 100).await.unwrap();
    messages.into_iter().filter_map(|m| if let ViewBody::Event(words) = m.body { Some(words) } else { None }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_talk_and_who_comes_later_reads_nothing_older() {
    let network = Network::start(false).await;
    let [alice, bob, carol, dave] = people(&network, ["alice", "bob", "carol", "dave"]).await;
    let mut wanted = new(" Plans ", &["bob", "alice"]);
    wanted.moderators = all(&["bob"]);
    wanted.expires_in = Some(Duration::from_hours(1));
    let id = alice.rooms().create(wanted).await.unwrap();
    say(&alice, &id, "only us two").await;
    assert_eq!(heard(&bob).await, ["only us two"]);
    let view = bob.conversations().get(&id).await.unwrap().unwrap();
    assert_eq!((view.kind, view.title.as_deref()), (ConversationKind::Room, Some("Plans")));
    assert_eq!((view.members, view.moderators), (all(&["alice", "bob"]), all(&["alice", "bob"])));
    assert_eq!((view.expires_in_s, view.left), (Some(3600), false));
    let said = bob.conversations().messages(&id, None, 9).await.unwrap();
    assert!(said.iter().any(|m| m.body == ViewBody::Text("only us two".into()) && m.expires_at_ms.is_some()));

    bob.rooms().change(&id, RoomChange::Add(all(&["carol"]))).await.unwrap();
    flush(&bob).await;
    say(&bob, &id, "welcome").await;
    assert_eq!(heard(&carol).await, ["welcome"], "nothing older");
    assert_eq!(happened(&carol, &id).await, ["bob added carol"]);
    say(&carol, &id, "thanks").await;
    assert_eq!(heard(&alice).await, ["welcome", "thanks"]);
    assert_eq!(happened(&alice, &id).await, ["alice made the room “Plans”", "bob added carol"]);
    assert_eq!(room(&carol, &id).await.members, all(&["alice", "bob", "carol"]));
    assert!(drain(&dave).await.is_empty() && dave.rooms().get(&id).await.unwrap().is_none());

    // Who is no moderator changes nothing; nor does anybody add who is not there, or what the group does not allow.
    let refused = carol.rooms().change(&id, RoomChange::Add(all(&["dave"]))).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::NotModerator)), "{refused}");
    let refused = alice.rooms().change(&id, RoomChange::Add(all(&["nobody"]))).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::Unregistered(_))), "{refused}");
    let refused = bob.rooms().change(&id, RoomChange::Remove(all(&["alice"]))).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::Senior(_))), "{refused}");
    let refused = bob.rooms().change(&id, RoomChange::Title("a\nb".into())).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::RoomForm(_))), "{refused}");
    let mut tight = group();
    (tight.serial, tight.max_expiry_seconds, tight.max_burn_seconds) = (2, 60, 30);
    network.put_group(tight).await;
    let bob = reopened(&network, bob, "bob").await;
    bob.policy().await.unwrap();
    let refused = bob.rooms().change(&id, RoomChange::Expiry(Some(61))).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::ExpiryTooLong { max_seconds: 60 })), "{refused}");
    let refused = bob.rooms().change(&id, RoomChange::Burn(Some(31))).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::BurnTooLong { max_seconds: 30 })), "{refused}");
    bob.rooms().change(&id, RoomChange::Expiry(Some(60))).await.unwrap();
}

/// The same profile in a new process, as far as the client can tell.
async fn reopened(network: &Network, client: Client, name: &str) -> Client {
    drop(client);
    Client::open(network.profile(name), sotto_client::Unlock::KeyFile).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_gets_the_removal_and_nothing_after() {
    let network = Network::start(false).await;
    let [alice, bob, carol] = people(&network, ["alice", "bob", "carol"]).await;
    let id = alice.rooms().create(new("Plans", &["bob", "carol"])).await.unwrap();
    say(&alice, &id, "one").await;
    assert_eq!((heard(&bob).await, heard(&carol).await), (vec!["one".to_owned()], vec!["one".to_owned()]));
    alice.rooms().change(&id, RoomChange::Remove(all(&["carol"]))).await.unwrap();
    say(&alice, &id, "two").await;
    // Carol still writes: she does not know yet. Those who know do not show it.
    carol.outbox().post(Target::Conversation(id.clone()), Draft::text("still here?")).await.unwrap();
    flush(&carol).await;
    assert!(heard(&carol).await.is_empty());
    let view = carol.conversations().get(&id).await.unwrap().unwrap();
    assert!(view.left && view.members == all(&["alice", "bob"]));
    assert_eq!(happened(&carol, &id).await.last().unwrap(), "alice removed carol");
    let refused = carol.outbox().post(Target::Conversation(id.clone()), Draft::text("me")).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::Left(_))), "{refused}");
    let refused = carol.rooms().change(&id, RoomChange::Leave).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::NotPossible(_))), "{refused}");

    let mut receiver = alice.receive(false).unwrap();
    let unopened = loop {
        match crate::common::next(&mut receiver).await {
            sotto_client::Event::Unopened(unopened) => break unopened,
            sotto_client::Event::Message(message) => panic!("shown: {}", text(&message)),
            _ => {}
        }
    };
    assert_eq!(unopened.reason, sotto_client::Unopened::Conversation);
    receiver.ack(unopened.receipt()).await.unwrap();
    receiver.close().await;

    // Bob has heard nothing yet, and writes to whom he knows: carol does not show it. Then he hears.
    say(&bob, &id, "from before").await;
    let mut receiver = carol.receive(false).unwrap();
    loop {
        match crate::common::next(&mut receiver).await {
            sotto_client::Event::Message(message) => panic!("shown: {}", text(&message)),
            sotto_client::Event::Unopened(unopened) => receiver.ack(unopened.receipt()).await.unwrap(),
            sotto_client::Event::CaughtUp => break,
            _ => {}
        }
    }
    receiver.close().await;
    let mut receiver = bob.receive(false).unwrap();
    let mut texts = Vec::new();
    loop {
        match crate::common::next(&mut receiver).await {
            sotto_client::Event::Message(message) => {
                texts.push(text(&message).to_owned());
                receiver.ack(message.receipt()).await.unwrap();
            }
            sotto_client::Event::Unopened(unopened) => receiver.ack(unopened.receipt()).await.unwrap(),
            sotto_client::Event::CaughtUp => break,
            _ => {}
        }
    }
    receiver.close().await;
    assert_eq!(texts, ["two"], "what carol said came after her removal");
    say(&bob, &id, "three").await;
    assert_eq!(heard(&alice).await, ["from before", "three"]);
    assert!(heard(&carol).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_for_the_events_that_its_sender_knew() {
    let network = Network::start(false).await;
    let [alice, bob, dave] = people(&network, ["alice", "bob", "dave"]).await;
    let id = alice.rooms().create(new("Plans", &["bob"])).await.unwrap();
    flush(&alice).await;
    assert!(heard(&bob).await.is_empty());
    // Dave is welcomed, and bob does not hear of it.
    alice.rooms().change(&id, RoomChange::Add(all(&["dave"]))).await.unwrap();
    let waiting = alice.outbox().list().await.unwrap();
    assert_eq!(waiting.iter().map(|entry| entry.what).collect::<Vec<_>>(), ["room", "room"]);
    assert!(alice.outbox().cancel(&waiting[1].key).await.unwrap());
    flush(&alice).await;
    assert!(heard(&dave).await.is_empty());
    say(&dave, &id, "hello").await;
    say(&dave, &id, "anybody?").await;
    assert!(heard(&bob).await.is_empty(), "bob cannot know that dave is a member");
    // In another process: what waits is durable.
    let bob = reopened(&network, bob, "bob").await;
    assert!(heard(&bob).await.is_empty());
    assert!(heard(&dave).await.is_empty(), "dave answers bob's question");
    assert_eq!(heard(&bob).await, ["hello", "anybody?"]);
    assert_eq!(room(&bob, &id).await.members, all(&["alice", "bob", "dave"]));
    assert!(heard(&bob).await.is_empty(), "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_come_to_the_same_room() {
    let network = Network::start(false).await;
    let [alice, bob, carol, dave, erin] = people(&network, ["alice", "bob", "carol", "dave", "erin"]).await;
    let mut wanted = new("Plans", &["carol"]);
    wanted.moderators = all(&["bob"]);
    let id = alice.rooms().create(wanted).await.unwrap();
    flush(&alice).await;
    for client in [&bob, &carol] {
        assert!(heard(client).await.is_empty());
    }
    // Nobody hears of the other's changes before both are made.
    alice.rooms().change(&id, RoomChange::Add(all(&["dave"]))).await.unwrap();
    alice.rooms().change(&id, RoomChange::Title("alice's".into())).await.unwrap();
    bob.rooms().change(&id, RoomChange::Title("bob's".into())).await.unwrap();
    bob.rooms().change(&id, RoomChange::Add(all(&["erin"]))).await.unwrap();
    bob.rooms().change(&id, RoomChange::Remove(all(&["carol"]))).await.unwrap();
    flush(&alice).await;
    flush(&bob).await;
    let members = [&alice, &bob, &dave, &erin];
    converge(&members).await;
    let first = room(&alice, &id).await;
    assert_eq!(first.members, all(&["alice", "bob", "dave", "erin"]));
    for client in members {
        let view = room(client, &id).await;
        assert_eq!((&view.title, &view.members, view.incomplete), (&first.title, &first.members, false));
        assert_eq!(view.moderators, all(&["alice", "bob"]));
    }
    assert!(heard(&carol).await.is_empty() && room(&carol, &id).await.left);

    // Alice puts bob out, who meanwhile puts everybody else out and takes carol in again.
    alice.rooms().change(&id, RoomChange::Remove(all(&["bob"]))).await.unwrap();
    bob.rooms().change(&id, RoomChange::Remove(all(&["dave", "erin"]))).await.unwrap();
    bob.rooms().change(&id, RoomChange::Add(all(&["carol"]))).await.unwrap();
    flush(&bob).await;
    flush(&alice).await;
    converge(&[&alice, &bob, &dave, &erin]).await;
    for client in [&alice, &dave, &erin] {
        let view = room(client, &id).await;
        assert_eq!((view.members, view.moderators), (all(&["alice", "dave", "erin"]), all(&["alice"])));
    }
    assert!(room(&bob, &id).await.left);
    say(&erin, &id, "all well").await;
    assert_eq!(heard(&dave).await, ["all well"]);
}

/// Lets everybody hear of everything.
async fn converge(clients: &[&Client]) {
    for _ in 0..3 {
        for client in clients {
            assert!(heard(client).await.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_of_one_person_change_a_room() {
    let network = Network::start(false).await;
    let [alice, bob] = people(&network, ["alice", "bob"]).await;
    let id = alice.rooms().create(new("Plans", &["bob"])).await.unwrap();
    say(&alice, &id, "before").await;
    assert_eq!(heard(&bob).await, ["before"]);
    let link = alice.devices().link_url().unwrap().to_url().parse().unwrap();
    let mut options = LinkOptions::new(link, network.profile("laptop"), Password::new(crate::common::PASSWORD.into()));
    options.label = "laptop".into();
    let NewDevice::Joined(laptop) = Client::link(options).await.unwrap() else {
        panic!("the password is enough here");
    };
    // The laptop hears of the room from what is said in it, and asks for the rest.
    say(&bob, &id, "hello both").await;
    assert_eq!(heard(&alice).await, ["hello both"]);
    assert!(heard(&laptop).await.is_empty());
    assert!(heard(&bob).await.is_empty());
    assert_eq!(heard(&laptop).await, ["hello both"]);
    assert_eq!(room(&laptop, &id).await.members, all(&["alice", "bob"]));
    // Both change it at once.
    alice.rooms().change(&id, RoomChange::Title("by the first".into())).await.unwrap();
    laptop.rooms().change(&id, RoomChange::Title("by the laptop".into())).await.unwrap();
    laptop.rooms().change(&id, RoomChange::Description("by the laptop".into())).await.unwrap();
    flush(&alice).await;
    flush(&laptop).await;
    converge(&[&alice, &laptop, &bob]).await;
    let first = room(&alice, &id).await;
    for client in [&laptop, &bob] {
        let view = room(client, &id).await;
        assert_eq!((view.title, view.description, view.events), (first.title.clone(), "by the laptop".into(), 4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_following_deleting_and_closing() {
    let network = Network::start(false).await;
    let [alice, bob, carol] = people(&network, ["alice", "bob", "carol"]).await;
    let id = alice.rooms().create(new("Plans", &["bob", "carol"])).await.unwrap();
    flush(&alice).await;
    assert!(heard(&bob).await.is_empty() && heard(&carol).await.is_empty());
    say(&bob, &id, "rude").await;
    assert_eq!((heard(&alice).await, heard(&carol).await), (vec!["rude".to_owned()], vec!["rude".to_owned()]));
    // A moderator takes back what another member said; a member does not.
    let said = |messages: Vec<sotto_client::MessageView>| {
        messages.into_iter().find(|m| !matches!(m.body, ViewBody::Event(_))).unwrap()
    };
    let rude = said(carol.conversations().messages(&id, None, 9).await.unwrap());
    assert!(matches!(carol.outbox().delete(&rude.key).await.unwrap_err(), Error::Refused(Refusal::NotYours)));
    alice.outbox().delete(&rude.key).await.unwrap();
    flush(&alice).await;
    for client in [&bob, &carol] {
        drain(client).await;
        assert!(said(client.conversations().messages(&id, None, 9).await.unwrap()).body == ViewBody::Deleted);
    }

    alice.rooms().change(&id, RoomChange::Leave).await.unwrap();
    flush(&alice).await;
    converge(&[&bob, &carol]).await;
    assert!(alice.conversations().get(&id).await.unwrap().unwrap().left);
    assert_eq!(room(&carol, &id).await.moderators, all(&["bob"]), "who has been there longest");
    assert_eq!(happened(&carol, &id).await.last().unwrap(), "alice left");
    bob.rooms().change(&id, RoomChange::Moderator(address("carol"), true)).await.unwrap();
    bob.rooms().change(&id, RoomChange::Description("what we do".into())).await.unwrap();
    flush(&bob).await;
    converge(&[&carol]).await;
    assert_eq!(room(&carol, &id).await.description, "what we do");
    // A member who cannot be written to keeps nobody from talking.
    network.delete_user("bob").await;
    let refused = carol.rooms().change(&id, RoomChange::Remove(all(&["bob"]))).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::Senior(_))), "{refused}");
    carol.outbox().post(Target::Conversation(id.clone()), Draft::text("alone")).await.unwrap();
    flush(&carol).await;
    carol.rooms().change(&id, RoomChange::Close).await.unwrap();
    flush(&carol).await;
    assert!(carol.conversations().get(&id).await.unwrap().unwrap().left);
    let refused = carol.outbox().post(Target::Conversation(id.clone()), Draft::text("more")).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::Left(_))), "{refused}");
}
