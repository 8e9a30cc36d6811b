//! A new invite for who has registered, and what the administrator has done once.

use sotto_crypto::{IdentityKey, SystemRng};
use sotto_wire::ErrorCode;
use sotto_wire::admin::{AdminState, PutUser, Resets};
use sotto_wire::api::{FetchIdentities, Identities, PolicyAnswer, PutVault, VaultKind};

use crate::common::person::{PASSWORD, Person};
use crate::common::{LOCKOUT, World};

async fn state(world: &World) -> AdminState {
    serde_json::from_slice(&world.admin().get("/admin/v1/state").await.body).unwrap()
}

#[tokio::test]
async fn a_lost_password_ends_with_a_new_invite() {
    let world = World::new().await;
    let before = Person::join(&world, "alice").await;
    let device = before.device(&world, 3).await;
    let bob = Person::ready(&world, "bob").await;
    bob.send(&world, "waits", &[&device.address]).await;
    let sealed_before = bob.envelope(&world, "x", &[&device.address]).await;
    for kind in [VaultKind::Password, VaultKind::Recovery] {
        device.http.put_cbor("/v1/vault", &PutVault { kind, vault: Some(vec![1]) }).await.done();
    }
    device.http.put_bytes("/v1/links/00112233445566778899aabbccddeeff/0", vec![1]).await.done();
    let mut socket = device.socket(&world).await;
    let delivery = socket.delivery().await;
    assert_eq!(device.open(&delivery), "waits");
    socket.caught_up().await;

    // The new invite is there: nothing changes until it is used.
    world.put_user("alice", &world.wanted("again")).await;
    assert!(state(&world).await.users["alice"].reinvited);
    let late = before.begin_login(&world.public(), PASSWORD).await.unwrap().unwrap();
    let token = before.login(&world).await;
    device.http.get("/v1/policy").await.ok::<PolicyAnswer>();
    let after = Person { address: world.address("alice"), identity: IdentityKey::generate(&mut SystemRng) };
    let refused =
        async |code: &str, error| after.try_register(&world.public(), code).await.err().unwrap().refused(error);
    refused("alice", ErrorCode::InviteInvalid).await;
    after.try_register(&world.public(), "again").await.unwrap().done();
    refused("again", ErrorCode::AlreadyRegistered).await;
    refused("alice", ErrorCode::InviteInvalid).await;

    // Everything of before is over.
    assert_eq!(socket.closed().await, 4004);
    device.http.get("/v1/policy").await.refused(ErrorCode::Unauthenticated);
    device.try_session(&world).await.refused(ErrorCode::Unauthenticated);
    let old = world.public().with_token(&token);
    old.post("/v1/devices", &before.new_device(&world, 2).1).await.refused(ErrorCode::Invalid);
    old.post("/v1/devices", &after.new_device(&world, 2).1).await.refused(ErrorCode::Unauthenticated);
    old.get("/v1/links/00112233445566778899aabbccddeeff/0").await.refused(ErrorCode::Unauthenticated);
    world.public().post("/v1/login/finish", &late).await.refused(ErrorCode::WrongCredentials);
    bob.post(&sealed_before).await.refused(ErrorCode::RecipientsChanged);
    let logged_in = after.try_login(&world.public(), PASSWORD).await.unwrap().unwrap();
    assert_eq!((logged_in.password_vault, logged_in.recovery_vault), (None, None));
    assert_eq!(logged_in.identity, after.identity.verifying_key());
    let user = state(&world).await.users["alice"].clone();
    assert_eq!((user.registered, user.reinvited, user.devices, user.queued_messages), (true, false, 0, 0));

    // And it goes on as with anybody who has joined.
    let device = after.device(&world, 3).await;
    let ask = FetchIdentities { addresses: vec![device.address.clone()] };
    let identities: Identities = bob.http.post("/v1/identities", &ask).await.ok();
    let [found] = identities.identities.as_slice() else { panic!("one identity") };
    assert_eq!((&found.address, &found.identity), (&device.address, &after.identity.verifying_key()));
    let head = identities.head.as_ref().unwrap().verify(&world.policy_key.verifying_key()).unwrap();
    let membership = head.read(found.membership.as_ref().unwrap()).unwrap();
    assert!(membership.establish(&found.identity, found.voucher.as_ref()).is_ok());
    let mut socket = device.socket(&world).await;
    socket.caught_up().await;
    bob.send(&world, "welcome back", &[&device.address]).await;
    assert_eq!(device.open(&socket.delivery().await), "welcome back");
}

#[tokio::test]
async fn a_new_invite_can_be_withdrawn_and_ends() {
    let world = World::new().await;
    let alice = Person::join(&world, "alice").await;
    let put = world.wanted("again");
    world.put_user("alice", &put).await;
    world.put_user("alice", &PutUser { invite: None, ..put.clone() }).await;
    let refused = async |error| alice.try_register(&world.public(), "again").await.err().unwrap().refused(error);
    refused(ErrorCode::InviteInvalid).await;
    assert!(!state(&world).await.users["alice"].reinvited);
    world.put_user("alice", &PutUser { suspended: true, ..put.clone() }).await;
    refused(ErrorCode::Suspended).await;
    world.put_user("alice", &put).await;
    world.clock.advance_ms(3_600_001);
    refused(ErrorCode::InviteInvalid).await;
    alice.login(&world).await;
}

#[tokio::test]
async fn what_a_word_asks_for_is_done_once() {
    let world = World::new().await;
    let some = |text: &str| Some(text.to_owned());
    let put = async |reset: Resets| world.put_user("alice", &PutUser { reset, ..world.wanted("alice") }).await;
    put(Resets { devices: some("first"), ..Resets::default() }).await;
    let alice = Person::register(&world, "alice", "alice").await;
    let device = alice.device(&world, 2).await;
    let mut socket = device.socket(&world).await;
    socket.caught_up().await;
    put(Resets { devices: some("first"), ..Resets::default() }).await;
    put(Resets::default()).await;
    device.http.get("/v1/policy").await.ok::<PolicyAnswer>();
    put(Resets { devices: some("second"), ..Resets::default() }).await;
    assert_eq!(socket.closed().await, 4004);
    device.http.get("/v1/policy").await.refused(ErrorCode::Unauthenticated);
    let device = alice.device(&world, 2).await;
    put(Resets { devices: some("second"), ..Resets::default() }).await;
    device.http.get("/v1/policy").await.ok::<PolicyAnswer>();

    for _ in 0..LOCKOUT {
        alice.try_login(&world.public(), "wrong").await.unwrap();
    }
    alice.try_login(&world.public(), PASSWORD).await.err().unwrap().refused(ErrorCode::Locked);
    put(Resets { lockout: some("x"), ..Resets::default() }).await;
    alice.login(&world).await;
    let stored = state(&world).await.users["alice"].wanted.reset.clone();
    assert_eq!(stored, Resets { devices: some("second"), invite: None, lockout: some("x") });

    for text in [String::new(), "x".repeat(65)] {
        let reset = Resets { invite: Some(text), ..Resets::default() };
        let put = world.signed("alice", &PutUser { reset, ..world.wanted("alice") });
        let said = world.admin().put("/admin/v1/users/alice", &put).await.refused(ErrorCode::Invalid);
        assert!(said.contains("reset.invite"), "{said}");
    }
}
