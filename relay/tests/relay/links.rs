//! Links between the devices of one account.

use std::time::{Duration, Instant};

use sotto_wire::ErrorCode;
use sotto_wire::api::{OwnDevices, PolicyAnswer};
use sotto_wire::limits::{LINK_SECONDS, MAX_LINK_SLOT, MAX_LINK_SLOTS, MAX_LINKS_A_USER};

use crate::common::World;
use crate::common::http::Http;
use crate::common::person::Person;

const LINK: &str = "/v1/links/00112233445566778899aabbccddeeff";

fn at(slot: u32) -> String {
    format!("{LINK}/{slot}")
}

async fn bytes(http: &Http, path: &str) -> Vec<u8> {
    let answer = http.get(path).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.body
}

#[tokio::test]
async fn a_new_device_and_an_old_one_write_to_each_other() {
    let world = World::new().await;
    let person = Person::join(&world, "alice").await;
    let old = person.device(&world, 2).await;
    let new = world.public().with_token(&person.login(&world).await);
    new.put_bytes(&at(0), b"from the new one".to_vec()).await.done();
    assert_eq!(bytes(&old.http, &at(0)).await, b"from the new one");

    // Who asks first waits, and has it as soon as it is there.
    let begun = Instant::now();
    let one = at(1);
    let (answer, ()) = tokio::join!(new.get(&one), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        old.http.put_bytes(&at(1), vec![7; MAX_LINK_SLOT]).await.done();
    });
    assert_eq!((answer.status, answer.body), (200, vec![7; MAX_LINK_SLOT]));
    assert!(begun.elapsed() < Duration::from_secs(10), "not only when the time was over");
    // A slot is written once; a repeat is no other writing.
    old.http.put_bytes(&at(1), vec![7; MAX_LINK_SLOT]).await.done();
    assert!(old.http.put_bytes(&at(1), vec![8; 3]).await.refused(ErrorCode::Invalid).contains("once"));
    assert_eq!(bytes(&new, &at(1)).await, vec![7; MAX_LINK_SLOT]);

    // The token ends while approval is waited for: the new device logs in again and goes on with the same link.
    world.clock.advance_ms(301_000);
    new.get(&at(0)).await.refused(ErrorCode::Unauthenticated);
    let again = world.public().with_token(&person.login(&world).await);
    assert_eq!(bytes(&again, &at(1)).await.len(), MAX_LINK_SLOT);
    // Registering the device uses the token up, for links too; its session goes on.
    let there: OwnDevices = again.get("/v1/devices").await.ok();
    let (mut device, register) = person.another_device(&world, there.list.as_ref(), 2);
    again.post("/v1/devices", &register).await.done();
    again.get(&at(0)).await.refused(ErrorCode::Unauthenticated);
    again.put_bytes(&at(2), vec![1]).await.refused(ErrorCode::Unauthenticated);
    again.delete(LINK).await.refused(ErrorCode::Unauthenticated);
    device.open_session(&world).await;
    assert_eq!(bytes(&device.http, &at(0)).await, b"from the new one");
}

#[tokio::test]
async fn an_empty_slot_is_not_found_after_a_while() {
    let mut world = World::new().await;
    world.stop().await;
    world.link_wait = Duration::from_millis(50);
    world.start().await;
    let alice = Person::ready(&world, "alice").await;
    let bob = Person::ready(&world, "bob").await;
    assert!(alice.http.get(&at(0)).await.refused(ErrorCode::NotFound).contains("again"));
    bob.http.put_bytes(&at(0), b"bob's".to_vec()).await.done();
    alice.http.get(&at(0)).await.refused(ErrorCode::NotFound);
    alice.http.put_bytes(&at(0), b"alice's".to_vec()).await.done();
    assert_eq!(bytes(&bob.http, &at(0)).await, b"bob's", "the same name is another link in another account");
    alice.http.delete(LINK).await.done();
    alice.http.delete(LINK).await.done();
    alice.http.get(&at(0)).await.refused(ErrorCode::NotFound);
    assert_eq!(bytes(&bob.http, &at(0)).await, b"bob's");
    world.clock.advance_ms(LINK_SECONDS * 1000 / 24);
    let mut bob = bob;
    bob.open_session(&world).await;
    assert_eq!(bytes(&bob.http, &at(0)).await, b"bob's");
    world.clock.advance_ms(LINK_SECONDS * 1000);
    bob.open_session(&world).await;
    bob.http.get(&at(0)).await.refused(ErrorCode::NotFound);
}

#[tokio::test]
async fn bounds_and_bad_names() {
    let world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let http = &alice.http;
    http.put_bytes(&at(0), vec![0; MAX_LINK_SLOT + 1]).await.refused(ErrorCode::TooLarge);
    http.put_bytes(&at(MAX_LINK_SLOTS - 1), Vec::new()).await.done();
    assert!(http.put_bytes(&at(MAX_LINK_SLOTS), vec![1]).await.refused(ErrorCode::Invalid).contains("slot"));
    for slot in ["-1", "x", "4294967296", "1.0"] {
        http.put_bytes(&format!("{LINK}/{slot}"), vec![1]).await.refused(ErrorCode::Invalid);
        http.get(&format!("{LINK}/{slot}")).await.refused(ErrorCode::Invalid);
    }
    for link in ["00", "zz112233445566778899aabbccddeeff", "00112233445566778899AABBCCDDEEFF", &"0".repeat(34)] {
        assert!(
            http.put_bytes(&format!("/v1/links/{link}/0"), vec![1]).await.refused(ErrorCode::Invalid).contains("link")
        );
        http.get(&format!("/v1/links/{link}/0")).await.refused(ErrorCode::Invalid);
        http.delete(&format!("/v1/links/{link}")).await.refused(ErrorCode::Invalid);
    }
    for n in 1..MAX_LINKS_A_USER {
        http.put_bytes(&format!("/v1/links/{n:032x}/0"), vec![1]).await.done();
    }
    let one_more = format!("/v1/links/{:032x}/0", 99);
    http.put_bytes(&one_more, vec![1]).await.refused(ErrorCode::Forbidden);
    http.delete(LINK).await.done();
    http.put_bytes(&one_more, vec![1]).await.done();

    world.public().get(&at(0)).await.refused(ErrorCode::Unauthenticated);
    world.public().put_bytes(&at(0), vec![1]).await.refused(ErrorCode::Unauthenticated);
    world.public().with_token("x").delete(LINK).await.refused(ErrorCode::Unauthenticated);
    let mut put = world.wanted("alice");
    put.suspended = true;
    world.put_user("alice", &put).await;
    http.put_bytes(&at(0), vec![1]).await.refused(ErrorCode::Suspended);
}

#[tokio::test]
async fn a_relay_that_stops_does_not_wait_for_those_who_wait() {
    let mut world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let begun = Instant::now();
    let waiting = tokio::spawn(async move { alice.http.get(&at(0)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.stop().await;
    let answer = waiting.await.unwrap();
    answer.refused(ErrorCode::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn others_are_removed_at_once_and_the_caller_stays() {
    let world = World::new().await;
    let person = Person::join(&world, "alice").await;
    let (stolen, kept, third) =
        (person.device(&world, 2).await, person.device(&world, 2).await, person.device(&world, 2).await);
    let bob = Person::ready(&world, "bob").await;
    let mut socket = stolen.socket(&world).await;
    socket.caught_up().await;
    let thief = world.public().with_token(&person.login(&world).await);
    thief.put_bytes(&at(0), b"let me in".to_vec()).await.done();
    person.remove(&world, &kept, &[stolen.id, third.id]).await.done();
    assert_eq!(socket.closed().await, 4004);
    for gone in [&stolen, &third] {
        gone.http.get("/v1/policy").await.refused(ErrorCode::Unauthenticated);
        gone.try_session(&world).await.refused(ErrorCode::Unauthenticated);
    }
    thief.post("/v1/devices", &person.new_device(&world, 2).1).await.refused(ErrorCode::Unauthenticated);
    thief.get(&at(0)).await.refused(ErrorCode::Unauthenticated);
    kept.http.get("/v1/policy").await.ok::<PolicyAnswer>();
    let recipients = bob.recipients(&[&kept.address]).await;
    assert_eq!(recipients.users[0].prekeys.len(), 1);
    let list = person.list(&world, None, Vec::new());
    world.public().put_cbor("/v1/devices", &list).await.refused(ErrorCode::Unauthenticated);
}
