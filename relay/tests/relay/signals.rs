//! Signals: to devices that are connected now, and nowhere else.

use sotto_crypto::{Address, DeviceId, MessageId, SystemRng};
use sotto_wire::ErrorCode;
use sotto_wire::admin::Role;
use sotto_wire::api::{Envelope, PrekeyCount, RecipientRole, RecipientUser, Recipients};
use sotto_wire::limits::{MAX_SIGNAL, MAX_SIGNAL_DEVICES};
use sotto_wire::policy::Scope;

use crate::common::World;
use crate::common::http::Answer;
use crate::common::person::{Device, Person};

async fn recipients(from: &Device, to: &[&Address]) -> Recipients {
    from.ask_for_signal(to).await.ok()
}

async fn sealed(world: &World, from: &Device, text: &str, to: &[&Address]) -> Envelope {
    from.seal(world, MessageId::generate(&mut SystemRng), text, &recipients(from, to).await)
}

async fn post(from: &Device, envelope: &Envelope) -> Answer {
    from.http.post("/v1/signals", envelope).await
}

#[tokio::test]
async fn a_signal_reaches_who_is_connected_and_is_not_kept() {
    let world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let person = Person::join(&world, "bob").await;
    let (here, away) = (person.device(&world, 5).await, person.device(&world, 5).await);
    let mut socket = here.socket(&world).await;
    socket.caught_up().await;
    let count: PrekeyCount = here.http.get("/v1/prekeys").await.ok();

    let signal = sealed(&world, &alice, "typing", &[&here.address]).await;
    assert_eq!(signal.wraps.len(), 2);
    for _ in 0..2 {
        post(&alice, &signal).await.done();
    }
    let got = socket.signal().await;
    assert_eq!((here.open_signal(&got).as_str(), got.accepted_at_ms), ("typing", world.now_ms()));
    // Not known by its id, unlike a message: it is passed on again.
    assert_eq!(here.open_signal(&socket.signal().await), "typing");
    let after: PrekeyCount = here.http.get("/v1/prekeys").await.ok();
    assert_eq!(after.one_time, count.one_time, "no one-time prekey was used up");
    // Some of the devices are enough.
    let one = Envelope { wraps: signal.wraps.iter().filter(|w| w.device == here.id).cloned().collect(), ..signal };
    post(&alice, &one).await.done();
    assert_eq!(here.open_signal(&socket.signal().await), "typing");
    // Who was away finds messages only.
    let mut late = away.socket(&world).await;
    late.caught_up().await;
    alice.send(&world, "hello", &[&here.address]).await;
    assert_eq!(away.open(&late.delivery().await), "hello");
    assert_eq!(here.open(&socket.delivery().await), "hello");
}

#[tokio::test]
async fn what_is_asked_for_a_signal_has_no_retention_and_nobody_elsewhere() {
    let world = World::new().await;
    let mut put = world.wanted("archive");
    put.role = Role::Retention;
    world.put_user("archive", &put).await;
    let archive = Person::register(&world, "archive", "archive").await;
    let mut network = world.network();
    (network.serial, network.retention) =
        (2, vec![world.retention_rule("archive", &archive.identity, Scope::AllUsers)]);
    world.put_network(network).await;
    archive.device(&world, 3).await;
    let person = Person::join(&world, "alice").await;
    let (alice, other) = (person.device(&world, 5).await, person.device(&world, 5).await);
    let bob = Person::ready(&world, "bob").await;

    let roles = |answer: &Recipients| answer.users.iter().map(|user| user.role).collect::<Vec<_>>();
    let answer = recipients(&alice, &[&bob.address]).await;
    assert!(!roles(&answer).contains(&RecipientRole::Retention));
    assert!(answer.users.iter().any(|user| user.address == bob.address && user.membership.is_some()));
    // Nobody addressed: the own other devices; with retention where it is a message.
    let own = recipients(&alice, &[]).await;
    assert_eq!(roles(&own), [RecipientRole::Own]);
    assert_eq!(own.users[0].prekeys.len(), 1);
    assert_eq!(own.users[0].prekeys[0].header.unverified().unwrap().device, other.id);
    let own = alice.recipients(&[]).await;
    assert_eq!(roles(&own), [RecipientRole::Own, RecipientRole::Retention]);
    let mut socket = other.socket(&world).await;
    socket.caught_up().await;
    alice.send(&world, "to myself", &[]).await;
    assert_eq!(other.open(&socket.delivery().await), "to myself");
    // Who has no other device is shown the own list, with nobody to seal to.
    for answer in [bob.recipients(&[]).await, recipients(&bob, &[]).await] {
        let alone = |user: &RecipientUser| user.role != RecipientRole::Addressed && user.address != bob.address;
        let own = |user: &RecipientUser| user.role == RecipientRole::Own && user.prekeys.is_empty();
        assert!(answer.users.iter().all(|user| own(user) || alone(user)));
        assert!(answer.users.iter().any(own));
    }

    let abroad: Address = "carol@b.example".parse().unwrap();
    let said = alice.ask_for_signal(&[&abroad]).await.refused(ErrorCode::FederationDenied);
    assert!(said.contains("signals") && said.contains("b.example"), "{said}");
    let mut signal = sealed(&world, &alice, "typing", &[&bob.address]).await;
    signal.wraps[0].address = abroad;
    post(&alice, &signal).await.refused(ErrorCode::FederationDenied);
}

#[tokio::test]
async fn a_signal_is_checked() {
    let world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let bob = Person::ready(&world, "bob").await;
    let good = sealed(&world, &alice, "typing", &[&bob.address]).await;
    let refused = async |envelope: Envelope, code| post(&alice, &envelope).await.refused(code);
    assert!(post(&bob, &good).await.refused(ErrorCode::Invalid).contains("header"), "another's");
    refused(Envelope { body: vec![0; MAX_SIGNAL + 1], ..good.clone() }, ErrorCode::TooLarge).await;
    refused(Envelope { wraps: Vec::new(), ..good.clone() }, ErrorCode::Invalid).await;
    refused(Envelope { header: vec![1], ..good.clone() }, ErrorCode::Invalid).await;
    refused(Envelope { expires_in_s: Some(5), ..good.clone() }, ErrorCode::Invalid).await;
    let twice = [good.wraps.clone(), good.wraps.clone()].concat();
    refused(Envelope { wraps: twice, ..good.clone() }, ErrorCode::Invalid).await;
    let mut wraps = Vec::new();
    for n in 0..=u8::try_from(MAX_SIGNAL_DEVICES).unwrap() {
        let mut wrap = good.wraps[0].clone();
        wrap.device = DeviceId::from_bytes([n; 16]);
        wraps.push(wrap);
    }
    assert!(refused(Envelope { wraps: wraps.clone(), ..good.clone() }, ErrorCode::Invalid).await.contains("64"));
    wraps.truncate(1);
    refused(Envelope { wraps, ..good.clone() }, ErrorCode::RecipientsChanged).await;
    let mut stolen = good.clone();
    stolen.wraps[0].address = alice.address.clone();
    refused(stolen, ErrorCode::RecipientsChanged).await;

    // Who is suspended neither sends nor gets.
    let mut put = world.wanted("bob");
    put.suspended = true;
    world.put_user("bob", &put).await;
    refused(good.clone(), ErrorCode::RecipientsChanged).await;
    post(&bob, &good).await.refused(ErrorCode::Suspended);
    put.suspended = false;
    world.put_user("bob", &put).await;
    post(&alice, &good).await.done();

    // So many a time.
    let limited = async {
        loop {
            let answer = post(&alice, &good).await;
            if answer.status != 204 {
                return answer;
            }
        }
    };
    limited.await.refused(ErrorCode::RateLimited);
    world.clock.advance_ms(5_000);
    post(&alice, &good).await.done();

    let mut group = world.group("staff");
    (group.serial, group.presence_enabled) = (2, false);
    world.put_group(group).await;
    assert!(refused(good, ErrorCode::Forbidden).await.contains("presence"));
    world.public().post_bytes("/v1/signals", vec![1]).await.refused(ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn too_many_devices_for_a_signal() {
    let world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let mut people = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        let person = Person::join(&world, name).await;
        for _ in 0..10 {
            person.device(&world, 1).await;
        }
        people.push(person.address);
    }
    let all: Vec<&Address> = people.iter().collect();
    let said = alice.ask_for_signal(&all).await.refused(ErrorCode::Invalid);
    assert!(said.contains("70") && said.contains("64"), "{said}");
    recipients(&alice, &all[..6]).await;
}
