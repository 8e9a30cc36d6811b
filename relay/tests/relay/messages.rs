//! Messages from one device to others.

use sotto_crypto::{DeviceId, MessageId, SystemRng, decode_strict, encode};
use sotto_wire::ErrorCode;
use sotto_wire::admin::Role;
use sotto_wire::api::{Accepted, BlobStored, RecipientRole};
use sotto_wire::limits::MAX_SEALED_BODY;
use sotto_wire::policy::Scope;
use tokio_tungstenite::tungstenite::Message;

use crate::common::World;
use crate::common::person::{Device, Person};
use crate::common::socket::Socket;

#[tokio::test]
async fn a_message_reaches_connected_and_offline_devices_and_the_senders_own() {
    let world = World::new().await;
    let alice = Person::join(&world, "alice").await;
    let (laptop, tablet) = (alice.device(&world, 5).await, alice.device(&world, 5).await);
    let bob = Person::join(&world, "bob").await;
    let (online, offline) = (bob.device(&world, 5).await, bob.device(&world, 5).await);
    let mut socket = online.socket(&world).await;
    socket.caught_up().await;

    laptop.send(&world, "hello", &[&bob.address]).await;
    let delivery = socket.delivery().await;
    assert_eq!(online.open(&delivery), "hello");
    assert_eq!(delivery.accepted_at_ms, world.now_ms());
    socket.ack(&[delivery.seq]).await;

    for device in [&offline, &tablet] {
        let mut socket = device.socket(&world).await;
        let delivery = socket.delivery().await;
        assert_eq!(device.open(&delivery), "hello");
        socket.caught_up().await;
        socket.ack(&[delivery.seq]).await;
    }
    let recipients = laptop.recipients(&[&bob.address, &alice.address]).await;
    let roles: Vec<_> =
        recipients.users.iter().map(|user| (user.address.local(), user.role, user.prekeys.len())).collect();
    assert_eq!(roles, [("bob", RecipientRole::Addressed, 2), ("alice", RecipientRole::Own, 1)]);
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_in_order_and_what_is_does_not() {
    let world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let bob = Person::ready(&world, "bob").await;
    for text in ["one", "two", "three"] {
        alice.send(&world, text, &[&bob.address]).await;
    }
    let mut socket = bob.socket(&world).await;
    let first = socket.delivery().await;
    let second = socket.delivery().await;
    assert!(first.seq < second.seq);
    socket.ack(&[first.seq]).await;
    socket.delivery().await;
    socket.caught_up().await;
    wait_for_queue(&world, 2).await;
    socket.vanish();

    let mut socket = bob.socket(&world).await;
    let again = socket.delivery().await;
    assert_eq!((again.seq, bob.open(&again)), (second.seq, "two".to_owned()));
    assert_eq!(bob.open(&socket.delivery().await), "three");
    socket.caught_up().await;
}

/// Waits until so many messages wait in the whole network.
async fn wait_for_queue(world: &World, count: u64) {
    let admin = world.admin();
    for _ in 0..2000 {
        let answer = admin.get("/admin/v1/state").await;
        let state: sotto_wire::admin::AdminState = serde_json::from_slice(&answer.body).unwrap();
        if state.queued_messages == count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the queue never had {count} messages");
}

#[tokio::test]
async fn more_than_a_window_waits_and_all_of_it_arrives() {
    let world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let bob = Person::ready(&world, "bob").await;
    for n in 0..100 {
        alice.send(&world, &n.to_string(), &[&bob.address]).await;
    }
    let mut socket = bob.socket(&world).await;
    let mut held = Vec::new();
    for n in 0..64 {
        let delivery = socket.delivery().await;
        assert_eq!(bob.open(&delivery), n.to_string());
        held.push(delivery.seq);
    }
    socket.ack(&held).await;
    for n in 64..100 {
        let delivery = socket.delivery().await;
        assert_eq!(bob.open(&delivery), n.to_string());
        socket.ack(&[delivery.seq]).await;
    }
    socket.caught_up().await;
    wait_for_queue(&world, 0).await;
}

#[tokio::test]
async fn a_repeat_is_accepted_once_also_when_devices_have_changed_since() {
    let world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let bob = Person::join(&world, "bob").await;
    let device = bob.device(&world, 5).await;
    let envelope = alice.envelope(&world, "once", &[&bob.address]).await;
    let first: Accepted = alice.post(&envelope).await.ok();
    world.clock.advance_ms(1000);
    bob.device(&world, 5).await;
    let second: Accepted = alice.post(&envelope).await.ok();
    assert_eq!(first.accepted_at_ms, second.accepted_at_ms);
    let mut socket = device.socket(&world).await;
    assert_eq!(device.open(&socket.delivery().await), "once");
    socket.caught_up().await;
}

#[tokio::test]
async fn a_stale_device_list_is_refused() {
    let world = World::new().await;
    let alice_person = Person::join(&world, "alice").await;
    let alice = alice_person.device(&world, 5).await;
    let bob_person = Person::join(&world, "bob").await;
    let bob = bob_person.device(&world, 5).await;
    let id = MessageId::generate(&mut SystemRng);

    let before = alice.recipients(&[&bob.address]).await;
    let phone = bob_person.device(&world, 5).await;
    alice.post(&alice.seal(&world, id, "x", &before)).await.refused(ErrorCode::RecipientsChanged);
    let both = alice.recipients(&[&bob.address]).await;
    bob_person.remove(&world, &bob, &[phone.id]).await.done();
    alice.post(&alice.seal(&world, id, "x", &both)).await.refused(ErrorCode::RecipientsChanged);
    let now = alice.recipients(&[&bob.address]).await;
    alice_person.device(&world, 5).await;
    alice.post(&alice.seal(&world, id, "x", &now)).await.refused(ErrorCode::RecipientsChanged);
    let envelope = alice.seal(&world, id, "x", &alice.recipients(&[&bob.address]).await);
    let _: Accepted = alice.post(&envelope).await.ok();
}

#[tokio::test]
async fn the_form_of_an_envelope_is_checked() {
    let world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let bob = Person::ready(&world, "bob").await;
    let good = alice.envelope(&world, "x", &[&bob.address]).await;
    let refused = async |change: &dyn Fn(&mut sotto_wire::api::Envelope), code| {
        let mut envelope = good.clone();
        change(&mut envelope);
        alice.post(&envelope).await.refused(code)
    };
    assert!(refused(&|e| e.header.push(0), ErrorCode::Invalid).await.contains("header"));
    assert!(refused(&|e| e.header.clear(), ErrorCode::Invalid).await.contains("header"));
    let header = |change: &dyn Fn(&mut sotto_crypto::SealedHeader)| {
        let mut header: sotto_crypto::SealedHeader = decode_strict(&good.header).unwrap();
        change(&mut header);
        encode(&header)
    };
    let other_version = header(&|h| h.version = 9);
    assert!(refused(&|e| e.header.clone_from(&other_version), ErrorCode::Invalid).await.contains("version 9"));
    let other_network = header(&|h| h.network = "b.example".parse().unwrap());
    assert!(refused(&|e| e.header.clone_from(&other_network), ErrorCode::Invalid).await.contains("network"));
    let other_sender = header(&|h| h.sender = bob.address.clone());
    assert!(refused(&|e| e.header.clone_from(&other_sender), ErrorCode::Invalid).await.contains("sender"));
    let other_device = header(&|h| h.device = bob.id);
    assert!(refused(&|e| e.header.clone_from(&other_device), ErrorCode::Invalid).await.contains("device"));
    refused(&|e| e.body = vec![0; MAX_SEALED_BODY + 1], ErrorCode::TooLarge).await;
    refused(&|e| e.wraps.clear(), ErrorCode::Invalid).await;
    assert!(refused(&|e| e.wraps.push(e.wraps[0].clone()), ErrorCode::Invalid).await.contains("twice"));
    refused(&|e| e.wraps = vec![e.wraps[0].clone(); 2001], ErrorCode::Invalid).await;
    refused(&|e| e.wraps[0].device = DeviceId::from_bytes([1; 16]), ErrorCode::RecipientsChanged).await;
    refused(&|e| e.wraps[0].address = world.address("nobody"), ErrorCode::RecipientsChanged).await;
    refused(&|e| e.expires_in_s = Some(0), ErrorCode::Invalid).await;
    refused(&|e| e.expires_in_s = Some(31 * 24 * 3600), ErrorCode::Invalid).await;
    let _: Accepted = alice.post(&good).await.ok();
}

#[tokio::test]
async fn messages_expire() {
    let world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let mut bob = Person::ready(&world, "bob").await;
    let mut short = alice.envelope(&world, "short", &[&bob.address]).await;
    short.expires_in_s = Some(60);
    let _: Accepted = alice.post(&short).await.ok();
    alice.send(&world, "long", &[&bob.address]).await;
    world.clock.advance_ms(60_000);
    wait_for_queue(&world, 1).await;
    let mut socket = bob.socket(&world).await;
    assert_eq!(bob.open(&socket.delivery().await), "long");
    socket.caught_up().await;
    socket.vanish();
    world.clock.advance_ms(30 * 24 * 3_600_000);
    wait_for_queue(&world, 0).await;
    bob.open_session(&world).await;
    bob.socket(&world).await.caught_up().await;
}

#[tokio::test]
async fn retention_is_required_where_a_policy_covers_somebody() {
    let world = World::new().await;
    let mut group = world.group("traders");
    group.serial = 1;
    world.put_group(group).await;
    let alice = Person::ready(&world, "alice").await;
    let bob = Person::ready(&world, "bob").await;
    let mut put = world.wanted("trader");
    put.group = "traders".into();
    world.put_user("trader", &put).await;
    let trader = Person::register(&world, "trader", "trader").await.device(&world, 5).await;

    let before = alice.envelope(&world, "x", &[&trader.address]).await;
    let mut put = world.wanted("archive");
    put.role = Role::Retention;
    world.put_user("archive", &put).await;
    let archive = Person::register(&world, "archive", "archive").await;
    let mut network = world.network();
    network.serial = 2;
    let scope = Scope::Groups(vec!["traders".into()]);
    network.retention = vec![world.retention_rule("archive", &archive.identity, scope)];
    world.put_network(network.clone()).await;

    // The process has no device yet: nothing that must be kept can be sent.
    let ask = sotto_wire::api::FetchRecipients { addresses: vec![trader.address.clone()], signal: None };
    let message = alice.http.post("/v1/recipients", &ask).await.refused(ErrorCode::Unavailable);
    assert!(message.contains("records"), "{message}");
    let archive = archive.device(&world, 5).await;

    let message = alice.post(&before).await.refused(ErrorCode::RetentionRequired);
    assert!(message.contains("records") && message.contains("archive@a.example"), "{message}");
    let recipients = alice.recipients(&[&trader.address]).await;
    assert!(recipients.users.iter().any(|u| u.address == archive.address && u.role == RecipientRole::Retention));
    alice.send(&world, "to a trader", &[&trader.address]).await;
    trader.send(&world, "from a trader", &[&alice.address]).await;
    alice.send(&world, "not covered", &[&bob.address]).await;
    let mut socket = archive.socket(&world).await;
    assert_eq!(archive.open(&socket.delivery().await), "to a trader");
    assert_eq!(archive.open(&socket.delivery().await), "from a trader");
    socket.caught_up().await;

    network.serial = 3;
    network.retention[0].enabled = false;
    world.put_network(network).await;
    alice.send(&world, "switched off", &[&trader.address]).await;
}

#[tokio::test]
async fn accepted_messages_outlive_the_process() {
    let mut world = World::new().await;
    let mut alice = Person::ready(&world, "alice").await;
    let mut bob = Person::ready(&world, "bob").await;
    let envelope = alice.send(&world, "still here", &[&bob.address]).await;
    world.stop().await;
    world.start().await;
    bob.open_session(&world).await;
    let mut socket = bob.socket(&world).await;
    let delivery = socket.delivery().await;
    assert_eq!(bob.open(&delivery), "still here");
    alice.open_session(&world).await;
    let _: Accepted = alice.post(&envelope).await.ok();
    socket.caught_up().await;
    alice.send(&world, "next", &[&bob.address]).await;
    assert!(socket.delivery().await.seq > delivery.seq);
}

#[tokio::test]
async fn the_newest_socket_wins_and_bad_frames_close() {
    let world = World::new().await;
    let bob = Person::ready(&world, "bob").await;
    let mut first = bob.socket(&world).await;
    first.caught_up().await;
    let mut second = bob.socket(&world).await;
    assert_eq!(first.closed().await, 4001);
    second.caught_up().await;
    for frame in [Message::text("hello"), Message::binary(vec![0xff]), Message::binary(vec![])] {
        let mut socket = bob.socket(&world).await;
        socket.caught_up().await;
        socket.send(frame).await;
        assert_eq!(socket.closed().await, 4002);
    }
    assert_eq!(Socket::open(world.public_address(), &world.public()).await.err(), Some(401));
    bob.http.get("/v1/socket").await.refused(ErrorCode::Invalid);
}

#[tokio::test]
async fn files_that_do_not_fit_are_refused_before_they_are_read() {
    let mut world = World::new().await;
    world.stop().await;
    world.blob_quota = 250_000;
    world.start().await;
    let alice = Person::ready(&world, "alice").await;
    let bob = Person::ready(&world, "bob").await;
    let post = |device: &Device| device.http.request(reqwest::Method::POST, "/v1/blobs");
    let upload = async |device: &Device, bytes: usize| device.http.send(post(device).body(vec![7u8; bytes])).await;
    // The length is promised and the bytes never come: it is refused all the same.
    let (never, body) = futures::channel::mpsc::unbounded::<Result<Vec<u8>, std::io::Error>>();
    let request = post(&alice).header("content-length", "250001").body(reqwest::Body::wrap_stream(body));
    assert!(alice.http.send(request).await.refused(ErrorCode::TooLarge).contains("together"));
    drop(never);
    upload(&alice, 200_000).await.ok::<BlobStored>();
    assert!(upload(&alice, 50_001).await.refused(ErrorCode::TooLarge).contains("together"));
    upload(&bob, 50_001).await.ok::<BlobStored>();
    // Without a length: read no further than there is room, and nothing is left of it.
    let chunks = futures::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![0u8; 64 * 1024])));
    let request = post(&alice).body(reqwest::Body::wrap_stream(chunks));
    assert!(alice.http.send(request).await.refused(ErrorCode::TooLarge).contains("together"));
    assert_eq!(std::fs::read_dir(world.path("state/blobs/incoming")).unwrap().count(), 0);
    upload(&alice, 50_000).await.ok::<BlobStored>();
    upload(&alice, 1).await.refused(ErrorCode::TooLarge);
}

#[tokio::test]
async fn files_are_stored_fetched_switched_off_and_expire() {
    let world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let mut bob = Person::ready(&world, "bob").await;
    let upload = async || {
        let request = alice.http.request(reqwest::Method::POST, "/v1/blobs").body(vec![7u8; 200_000]);
        alice.http.send(request).await
    };
    let stored: BlobStored = upload().await.ok();
    let path = format!("/v1/blobs/a.example/{}", stored.blob);
    let answer = bob.http.get(&path).await;
    assert_eq!((answer.status, answer.body), (200, vec![7u8; 200_000]));
    world.public().get(&path).await.refused(ErrorCode::Unauthenticated);
    bob.http.get("/v1/blobs/a.example/00000000000000000000000000000000").await.refused(ErrorCode::NotFound);
    bob.http.get("/v1/blobs/a.example/..%2f..%2frelay.sqlite").await.refused(ErrorCode::Invalid);
    bob.http.get(&format!("/v1/blobs/b.example/{}", stored.blob)).await.refused(ErrorCode::FederationDenied);

    let mut group = world.group("staff");
    (group.serial, group.files_enabled) = (2, false);
    world.put_group(group).await;
    upload().await.refused(ErrorCode::Forbidden);
    world.clock.advance_ms(30 * 24 * 3_600_000);
    bob.open_session(&world).await;
    bob.http.get(&path).await.refused(ErrorCode::NotFound);
    let file = world.path("state/blobs").join(&stored.blob.to_string()[..2]).join(stored.blob.to_string());
    for _ in 0..2000 {
        if !file.exists() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the file was never removed");
}
