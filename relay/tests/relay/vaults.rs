//! Vaults and new passwords.

use sotto_crypto::{IdentityKey, SystemRng};
use sotto_wire::ErrorCode;
use sotto_wire::api::{PasswordFinish, PasswordStart, PolicyAnswer, PutVault, VaultKind};
use sotto_wire::limits::MAX_VAULT;

use crate::common::World;
use crate::common::http::Http;
use crate::common::person::{Device, PASSWORD, Person};

type Vaults = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Password vault and recovery vault, as a log-in shows them.
async fn vaults(world: &World, person: &Person, password: &str) -> Vaults {
    let logged_in = person.try_login(&world.public(), password).await.unwrap().expect("the password");
    (logged_in.password_vault, logged_in.recovery_vault)
}

async fn approval(world: &World, serial: u64, wanted: bool) {
    let mut group = world.group("staff");
    (group.serial, group.device_approval) = (serial, wanted);
    world.put_group(group).await;
}

async fn put(device: &Device, kind: VaultKind, vault: Option<Vec<u8>>) -> crate::common::http::Answer {
    device.http.put_cbor("/v1/vault", &PutVault { kind, vault }).await
}

fn new_person(world: &World, local: &str) -> Person {
    Person { address: world.address(local), identity: IdentityKey::generate(&mut SystemRng) }
}

#[tokio::test]
async fn vaults_are_kept_and_shown_to_who_logs_in() {
    let world = World::new().await;
    world.put_user("alice", &world.wanted("code")).await;
    let alice = new_person(&world, "alice");
    alice.register_with(&world.public(), "code", Some(vec![1; 98])).await.unwrap().done();
    assert_eq!(vaults(&world, &alice, PASSWORD).await, (Some(vec![1; 98]), None));
    let device = alice.device(&world, 2).await;
    put(&device, VaultKind::Recovery, Some(vec![2; MAX_VAULT])).await.done();
    put(&device, VaultKind::Password, Some(vec![3])).await.done();
    assert_eq!(vaults(&world, &alice, PASSWORD).await, (Some(vec![3]), Some(vec![2; MAX_VAULT])));
    put(&device, VaultKind::Recovery, Some(vec![2; MAX_VAULT + 1])).await.refused(ErrorCode::TooLarge);
    put(&device, VaultKind::Recovery, Some(Vec::new())).await.refused(ErrorCode::Invalid);
    for _ in 0..2 {
        put(&device, VaultKind::Password, None).await.done();
        put(&device, VaultKind::Recovery, None).await.done();
    }
    assert_eq!(vaults(&world, &alice, PASSWORD).await, (None, None));
    let login = world.public().with_token(&alice.login(&world).await);
    let vault = PutVault { kind: VaultKind::Password, vault: Some(vec![1]) };
    login.put_cbor("/v1/vault", &vault).await.refused(ErrorCode::Unauthenticated);
    world.public().put_cbor("/v1/vault", &vault).await.refused(ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn where_approval_is_wanted_a_password_alone_opens_nothing() {
    let world = World::new().await;
    world.put_user("alice", &world.wanted("code")).await;
    let alice = new_person(&world, "alice");
    alice.register_with(&world.public(), "code", Some(vec![1; 98])).await.unwrap().done();
    let device = alice.device(&world, 2).await;
    put(&device, VaultKind::Recovery, Some(vec![2])).await.done();

    approval(&world, 2, true).await;
    assert_eq!(vaults(&world, &alice, PASSWORD).await, (None, Some(vec![2])));
    assert!(put(&device, VaultKind::Password, Some(vec![1])).await.refused(ErrorCode::Forbidden).contains("approv"));
    put(&device, VaultKind::Recovery, Some(vec![4])).await.done();
    world.put_user("bob", &world.wanted("code")).await;
    let bob = new_person(&world, "bob");
    bob.register_with(&world.public(), "code", Some(vec![1])).await.unwrap().refused(ErrorCode::Forbidden);
    bob.register_with(&world.public(), "code", None).await.unwrap().done();
    let login = world.public().with_token(&alice.login(&world).await);
    alice.change_password(&login, "another", Some(vec![5])).await.unwrap().refused(ErrorCode::Forbidden);
    // Refused, it used nothing up.
    alice.change_password(&login, "another", None).await.unwrap().done();
    assert_eq!(vaults(&world, &alice, "another").await, (None, Some(vec![4])));
    approval(&world, 3, false).await;
    assert_eq!(vaults(&world, &alice, "another").await, (None, Some(vec![4])), "the old one went with its password");
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one_and_devices_stay() {
    let world = World::new().await;
    let alice = Person::join(&world, "alice").await;
    let device = alice.device(&world, 2).await;
    put(&device, VaultKind::Password, Some(vec![1])).await.done();
    let http = world.public();
    // Begun with the old password, ended after it: not any more.
    let late = alice.begin_login(&http, PASSWORD).await.unwrap().unwrap();
    let other_token = alice.login(&world).await;
    let login = world.public().with_token(&alice.login(&world).await);
    alice.change_password(&login, "battery staple", Some(vec![2])).await.unwrap().done();
    http.post("/v1/login/finish", &late).await.refused(ErrorCode::WrongCredentials);
    for token in [login.token().unwrap(), &other_token] {
        let spent = world.public().with_token(token);
        alice.change_password(&spent, "x", None).await.unwrap_err().refused(ErrorCode::Unauthenticated);
        spent.post("/v1/devices", &alice.new_device(&world, 2).1).await.refused(ErrorCode::Unauthenticated);
    }
    assert!(alice.try_login(&http, PASSWORD).await.unwrap().is_none());
    assert_eq!(vaults(&world, &alice, "battery staple").await, (Some(vec![2]), None));
    device.http.get("/v1/policy").await.ok::<PolicyAnswer>();
    device.try_session(&world).await.ok::<sotto_wire::api::Session>();
}

#[tokio::test]
async fn who_may_not_change_a_password() {
    let world = World::new().await;
    let alice = Person::join(&world, "alice").await;
    let device = alice.device(&world, 2).await;
    let refused = async |http: &Http, code| {
        alice.change_password(http, "new", None).await.unwrap_err().refused(code);
        let finish = PasswordFinish { record: vec![1; 192], vault: None };
        http.post("/v1/password/finish", &finish).await.refused(code);
    };
    refused(&world.public(), ErrorCode::Unauthenticated).await;
    refused(&device.http, ErrorCode::Unauthenticated).await;
    let login = world.public().with_token(&alice.login(&world).await);
    let garbage = PasswordStart { request: vec![1, 2, 3] };
    assert!(login.post("/v1/password/start", &garbage).await.refused(ErrorCode::Invalid).contains("request"));
    let garbage = PasswordFinish { record: vec![1, 2, 3], vault: None };
    assert!(login.post("/v1/password/finish", &garbage).await.refused(ErrorCode::Invalid).contains("record"));
    let mut put = world.wanted("alice");
    put.suspended = true;
    world.put_user("alice", &put).await;
    refused(&login, ErrorCode::Suspended).await;
    put.suspended = false;
    world.put_user("alice", &put).await;
    world.clock.advance_ms(301_000);
    refused(&login, ErrorCode::Unauthenticated).await;
    alice.try_login(&world.public(), PASSWORD).await.unwrap().expect("the old password holds");

    // As often as a log-in.
    let login = world.public().with_token(&alice.login(&world).await);
    let limited = async {
        loop {
            if let Err(answer) = alice.change_password(&login, "new", Some(vec![0; MAX_VAULT + 1])).await {
                return answer;
            }
        }
    };
    limited.await.refused(ErrorCode::RateLimited);
}
