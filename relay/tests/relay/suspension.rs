//! Users who are suspended, reset or removed.

use sotto_wire::ErrorCode;
use sotto_wire::admin::AdminState;
use sotto_wire::api::{FetchRecipients, PolicyAnswer};

use crate::common::World;
use crate::common::person::{PASSWORD, Person};
use crate::common::socket::Socket;

#[tokio::test]
async fn a_suspended_user_is_out_at_once_and_what_is_queued_stays() {
    let world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let person = Person::join(&world, "bob").await;
    let bob = person.device(&world, 5).await;
    let prepared = bob.envelope(&world, "too late", &[&alice.address]).await;
    let to_bob = alice.envelope(&world, "too late", &[&bob.address]).await;
    alice.send(&world, "in time", &[&bob.address]).await;
    let mut socket = bob.socket(&world).await;
    socket.delivery().await;
    socket.caught_up().await;

    let mut put = world.wanted("bob");
    put.suspended = true;
    world.put_user("bob", &put).await;
    assert_eq!(socket.closed().await, 4003);
    bob.http.get("/v1/policy").await.refused(ErrorCode::Suspended);
    bob.post(&prepared).await.refused(ErrorCode::Suspended);
    assert_eq!(Socket::open(world.public_address(), &bob.http).await.err(), Some(403));
    bob.try_session(&world).await.refused(ErrorCode::Suspended);
    person.try_login(&world.public(), PASSWORD).await.err().unwrap().refused(ErrorCode::Suspended);
    assert!(person.try_login(&world.public(), "wrong").await.ok().unwrap().is_none(), "strangers learn nothing");
    alice.post(&to_bob).await.refused(ErrorCode::RecipientsChanged);
    let ask = FetchRecipients { addresses: vec![bob.address.clone()], signal: None };
    alice.http.post("/v1/recipients", &ask).await.refused(ErrorCode::NotFound);

    world.put_user("bob", &world.wanted("bob")).await;
    bob.http.get("/v1/policy").await.ok::<PolicyAnswer>();
    let mut socket = bob.socket(&world).await;
    assert_eq!(bob.open(&socket.delivery().await), "in time");
}

#[tokio::test]
async fn a_suspended_user_cannot_register() {
    let world = World::new().await;
    let mut put = world.wanted("carol");
    put.suspended = true;
    world.put_user("carol", &put).await;
    let identity = sotto_crypto::IdentityKey::generate(&mut sotto_crypto::SystemRng);
    let carol = Person { address: world.address("carol"), identity };
    carol.try_register(&world.public(), "carol").await.err().unwrap().refused(ErrorCode::Suspended);
}

#[tokio::test]
async fn a_reset_removes_devices_and_tokens_and_the_user_logs_in_again() {
    let world = World::new().await;
    let person = Person::join(&world, "bob").await;
    let bob = person.device(&world, 5).await;
    let mut socket = bob.socket(&world).await;
    socket.caught_up().await;
    let token = person.login(&world).await;
    world.admin().delete("/admin/v1/users/bob/devices").await.done();
    assert_eq!(socket.closed().await, 4004);
    bob.http.get("/v1/policy").await.refused(ErrorCode::Unauthenticated);
    let late = world.public().with_token(&token);
    late.post("/v1/devices", &person.new_device(&world, 2).1).await.refused(ErrorCode::Unauthenticated);
    person.device(&world, 5).await;
    world.admin().delete("/admin/v1/users/bob/devices").await.done();
    world.admin().delete("/admin/v1/users/bob/devices").await.done();
}

#[tokio::test]
async fn a_removed_user_is_gone_with_queue_and_name() {
    let world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let bob = Person::ready(&world, "bob").await;
    alice.send(&world, "x", &[&bob.address]).await;
    let mut socket = bob.socket(&world).await;
    socket.delivery().await;
    socket.caught_up().await;
    world.admin().delete("/admin/v1/users/bob").await.done();
    assert_eq!(socket.closed().await, 4004);
    world.admin().delete("/admin/v1/users/bob").await.done();
    let state: AdminState = serde_json::from_slice(&world.admin().get("/admin/v1/state").await.body).unwrap();
    assert!(!state.users.contains_key("bob"));
    assert_eq!(state.queued_messages, 0);
    bob.http.get("/v1/policy").await.refused(ErrorCode::Unauthenticated);
    // The name is free for somebody else.
    let other = Person::join(&world, "bob").await.device(&world, 5).await;
    other.socket(&world).await.caught_up().await;
}
