//! Registration, log-in, lockout, devices, sessions.

use sotto_crypto::{DeviceId, DeviceList, IdentityKey, InviteKey, Signed, SystemRng, Voucher};
use sotto_wire::ErrorCode;
use sotto_wire::admin::AdminState;
use sotto_wire::api::{LoginFinish, LoginStart, NetworkInfo, OpenSession, OwnDevices, PolicyAnswer, PutDevices};

use crate::common::http::{Answer, Http};
use crate::common::person::{PASSWORD, Person};
use crate::common::{LOCKOUT, World, invite_key};

#[tokio::test]
async fn a_person_joins_and_sees_policy_and_devices() {
    let world = World::new().await;
    let info: NetworkInfo = world.public().get("/v1/network").await.ok();
    assert_eq!(info.policy_key, world.policy_key.verifying_key());
    assert_eq!(info.head.verify(&info.policy_key).unwrap().read(&info.document).unwrap().domain, world.domain);

    let alice = Person::join(&world, "alice").await;
    let laptop = alice.device(&world, 5).await;
    let phone = alice.device(&world, 5).await;
    let policy: PolicyAnswer = laptop.http.get("/v1/policy").await.ok();
    let head = policy.head.verify(&info.policy_key).unwrap();
    assert_eq!(head.read(&policy.group).unwrap().name, "staff");
    let list: OwnDevices = phone.http.get("/v1/devices").await.ok();
    let signed = sotto_crypto::verify_devices(&laptop.identity, list.list.as_ref().unwrap()).unwrap();
    assert!(signed.device(laptop.id).is_some() && signed.device(phone.id).is_some());
    assert_eq!(head.read(&list.membership).unwrap().address, alice.address);
    assert_eq!(list.head, policy.head);
    assert_eq!(list.devices.iter().map(|entry| entry.device).collect::<Vec<_>>(), [laptop.id, phone.id]);
    assert_eq!((list.devices[1].label.as_str(), list.devices[1].last_seen_ms), ("laptop", Some(world.now_ms())));

    alice.remove(&world, &phone, &[laptop.id]).await.done();
    laptop.http.get("/v1/policy").await.refused(ErrorCode::Unauthenticated);
    laptop.try_session(&world).await.refused(ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn invites_are_used_once_and_end() {
    let world = World::new().await;
    let alice = Person { address: world.address("alice"), identity: IdentityKey::generate(&mut SystemRng) };
    let http = world.public();
    let refusal = |answer: Result<Answer, Answer>| answer.err().unwrap();
    refusal(alice.try_register(&http, "code").await).refused(ErrorCode::InviteInvalid);
    world.put_user("alice", &world.wanted("code")).await;
    refusal(alice.try_register(&http, "other").await).refused(ErrorCode::InviteInvalid);
    world.clock.advance_ms(3_600_000);
    refusal(alice.try_register(&http, "code").await).refused(ErrorCode::InviteInvalid);
    world.put_user("alice", &world.wanted("code")).await;
    alice.try_register(&http, "code").await.unwrap().done();
    refusal(alice.try_register(&http, "code").await).refused(ErrorCode::AlreadyRegistered);
    refusal(alice.try_register(&http, "other").await).refused(ErrorCode::InviteInvalid);
    let elsewhere = Person { address: "alice@b.example".parse().unwrap(), identity: alice.identity };
    refusal(elsewhere.try_register(&http, "code").await).refused(ErrorCode::InviteInvalid);
}

/// Who has seen the registration code, as the relay does, and not the secret that it comes from: nobody would believe them.
#[tokio::test]
async fn a_person_registers_with_a_voucher_under_the_key_of_the_invite() {
    let world = World::new().await;
    let alice = Person { address: world.address("alice"), identity: IdentityKey::generate(&mut SystemRng) };
    world.put_user("alice", &world.wanted("code")).await;
    let http = world.public();
    let registered = async |voucher| alice.register_by(&http, "code", None, voucher).await.unwrap();
    let refused = async |voucher| assert!(registered(voucher).await.refused(ErrorCode::Invalid).contains("voucher"));
    refused(None).await;
    let other = InviteKey::generate(&mut SystemRng);
    let voucher =
        |who: &str, key| Some(Signed::sign(&Voucher::new(world.address(who), alice.identity.verifying_key()), key));
    refused(voucher("alice", &other)).await;
    refused(voucher("bob", invite_key())).await;
    let somebody = IdentityKey::generate(&mut SystemRng).verifying_key();
    refused(Some(Signed::sign(&Voucher::new(world.address("alice"), somebody), invite_key()))).await;
    registered(voucher("alice", invite_key())).await.done();
    // The operator sees it until it has said the same itself.
    let state = world.admin().get("/admin/v1/state").await;
    let state: AdminState = serde_json::from_slice(&state.body).unwrap();
    let shown = Signed::<Voucher>::from_bytes(state.users["alice"].voucher.as_ref().unwrap()).unwrap();
    assert_eq!(shown.verify(&invite_key().verifying_key()).unwrap().identity, alice.identity.verifying_key());
}

#[tokio::test]
async fn wrong_passwords_lock_and_the_administrator_unlocks() {
    let world = World::new().await;
    let alice = Person::join(&world, "alice").await;
    let http = world.public();
    for _ in 0..LOCKOUT {
        assert!(alice.try_login(&http, "wrong").await.ok().unwrap().is_none());
    }
    alice.try_login(&http, PASSWORD).await.err().unwrap().refused(ErrorCode::Locked);
    let state: AdminState = serde_json::from_slice(&world.admin().get("/admin/v1/state").await.body).unwrap();
    assert!(state.users["alice"].locked);
    let admin = world.admin();
    admin.send(admin.request(reqwest::Method::POST, "/admin/v1/users/alice/unlock")).await.done();
    alice.login(&world).await;
    // A success counts from nought.
    assert!(alice.try_login(&http, "wrong").await.ok().unwrap().is_none());
    alice.login(&world).await;
    for _ in 0..LOCKOUT - 1 {
        assert!(alice.try_login(&http, "wrong").await.ok().unwrap().is_none());
    }
    alice.login(&world).await;
}

#[tokio::test]
async fn unknown_users_are_treated_like_known_ones() {
    let world = World::new().await;
    let alice = Person::join(&world, "alice").await;
    let nobody = Person { address: world.address("nobody"), identity: alice.identity };
    let http = world.public();
    for _ in 0..LOCKOUT {
        assert!(nobody.try_login(&http, PASSWORD).await.ok().unwrap().is_none());
    }
    nobody.try_login(&http, PASSWORD).await.err().unwrap().refused(ErrorCode::Locked);
}

#[tokio::test]
async fn guesses_are_also_limited_by_time() {
    let world = World::new().await;
    let mut group = world.group("staff");
    (group.serial, group.lockout_threshold) = (2, 0);
    world.put_group(group).await;
    let alice = Person::join(&world, "alice").await;
    let http = world.public();
    let limited = async {
        loop {
            if let Err(answer) = alice.try_login(&http, "wrong").await {
                return answer;
            }
        }
    };
    limited.await.refused(ErrorCode::RateLimited);
    world.clock.advance_ms(19_000);
    alice.try_login(&http, PASSWORD).await.err().unwrap().refused(ErrorCode::RateLimited);
    world.clock.advance_ms(2_000);
    // Who knows the password is not held up, however often.
    for _ in 0..20 {
        alice.login(&world).await;
    }
    // Others have their own share.
    Person::join(&world, "bob").await.login(&world).await;
}

#[tokio::test]
async fn a_login_token_registers_one_device_and_ends() {
    let world = World::new().await;
    let alice = Person::join(&world, "alice").await;
    let token = alice.login(&world).await;
    let http = world.public().with_token(&token);
    let (_, first) = alice.new_device(&world, 2);
    http.post("/v1/devices", &first).await.done();
    http.post("/v1/devices", &first).await.done();
    let (_, second) = alice.new_device(&world, 2);
    http.post("/v1/devices", &second).await.refused(ErrorCode::Unauthenticated);
    let token = alice.login(&world).await;
    world.clock.advance_ms(301_000);
    let late = world.public().with_token(&token);
    late.post("/v1/devices", &second).await.refused(ErrorCode::Unauthenticated);
    late.get("/v1/policy").await.refused(ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn what_a_device_brings_is_checked() {
    let world = World::new().await;
    let alice = Person::join(&world, "alice").await;
    let mallory = Person { address: world.address("alice"), identity: IdentityKey::generate(&mut SystemRng) };
    let bob = Person::join(&world, "bob").await;
    let http = world.public().with_token(&alice.login(&world).await);
    let refused = async |register: sotto_wire::api::RegisterDevice| {
        http.post("/v1/devices", &register).await.refused(ErrorCode::Invalid)
    };
    assert!(refused(mallory.new_device(&world, 2).1).await.contains("list"), "another identity");
    assert!(refused(bob.new_device(&world, 2).1).await.contains("list"), "another user");
    let good = || alice.new_device(&world, 2).1;
    let mut wrong = good();
    wrong.label = "x".repeat(61);
    assert!(refused(wrong).await.contains("label"));
    let mut wrong = good();
    std::mem::swap(&mut wrong.one_time, &mut wrong.medium_term);
    assert!(refused(wrong).await.contains("one_time"));
    let mut wrong = good();
    wrong.one_time.keys.pop();
    assert!(refused(wrong).await.contains("one_time"));
    let mut wrong = good();
    wrong.one_time = good().one_time;
    assert!(refused(wrong).await.contains("one_time"), "another device's prekeys");
    let mut wrong = good();
    wrong.device = DeviceId::generate(&mut SystemRng);
    assert!(refused(wrong).await.contains("list.devices"), "not in its own list");
    http.post("/v1/devices", &good()).await.done();
}

#[tokio::test]
async fn a_user_has_so_many_devices() {
    let world = World::new().await;
    let alice = Person::join(&world, "alice").await;
    for _ in 0..sotto_wire::limits::MAX_DEVICES_A_USER {
        alice.device(&world, 1).await;
    }
    let http = world.public().with_token(&alice.login(&world).await);
    let there: OwnDevices = http.get("/v1/devices").await.ok();
    let one_more = alice.another_device(&world, there.list.as_ref(), 1).1;
    let message = http.post("/v1/devices", &one_more).await.refused(ErrorCode::Forbidden);
    assert!(message.contains("10"), "{message}");
}

#[tokio::test]
async fn a_list_of_devices_is_checked() {
    use ErrorCode::{DevicesChanged, Invalid};

    let world = World::new().await;
    let alice = Person::join(&world, "alice").await;
    let (laptop, phone) = (alice.device(&world, 2).await, alice.device(&world, 2).await);
    let there: OwnDevices = phone.http.get("/v1/devices").await.ok();
    let list = there.list.unwrap().unverified().unwrap();
    let put = async |put: &PutDevices| phone.http.put_cbor("/v1/devices", put).await;
    let refused = async |wrong: &PutDevices, code, says: &str| {
        let said = put(wrong).await.refused(code);
        assert!(said.contains(says), "{said}");
    };
    let sign = |list: &DeviceList, by: &Person| Signed::sign(list, &by.identity);
    let good = alice.list(&world, Some(list.serial), list.devices.clone());
    let mallory = Person { address: world.address("alice"), identity: IdentityKey::generate(&mut SystemRng) };
    let edited = |edit: &dyn Fn(&mut DeviceList)| {
        let mut list = good.list.unverified().unwrap();
        edit(&mut list);
        PutDevices { list: sign(&list, &alice), before: good.before }
    };
    let forged = PutDevices { list: sign(&good.list.unverified().unwrap(), &mallory), before: good.before };
    refused(&forged, Invalid, "list").await;
    refused(&edited(&|list| list.address = world.address("bob")), Invalid, "list.address").await;
    refused(&edited(&|list| list.devices.retain(|one| one.device != phone.id)), Invalid, "list.devices").await;
    refused(&edited(&|list| list.serial = there_serial(&good)), Invalid, "list.serial").await;
    refused(&edited(&|list| list.serial = world.now_ms() + 301_000), Invalid, "clock").await;
    refused(&edited(&|list| list.expires_at_ms = world.now_ms()), Invalid, "clock").await;
    for before in [None, Some(list.serial - 1)] {
        refused(&PutDevices { before, ..good.clone() }, DevicesChanged, "before").await;
    }
    laptop.http.get("/v1/policy").await.ok::<PolicyAnswer>();
    put(&good).await.done();
    refused(&good, DevicesChanged, "before").await;
    laptop.http.get("/v1/policy").await.ok::<PolicyAnswer>();
}

/// The serial of the list that another was made from.
fn there_serial(put: &PutDevices) -> u64 {
    put.before.unwrap()
}

#[tokio::test]
async fn sessions_end_and_need_the_right_key() {
    let world = World::new().await;
    let mut alice = Person::ready(&world, "alice").await;
    world.clock.advance_ms(3_600_000);
    alice.http.get("/v1/policy").await.refused(ErrorCode::Unauthenticated);
    alice.open_session(&world).await;
    alice.http.get("/v1/policy").await.ok::<PolicyAnswer>();
    let bob = Person::ready(&world, "bob").await;
    alice.key = bob.key;
    alice.try_session(&world).await.refused(ErrorCode::Unauthenticated);
    alice.id = DeviceId::from_bytes([0; 16]);
    alice.try_session(&world).await.refused(ErrorCode::Unauthenticated);
    let forged = OpenSession { challenge: vec![1; 100], signature: alice.key.sign("x", b"y") };
    world.public().post("/v1/session", &forged).await.refused(ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn garbage_gets_a_clear_answer() {
    let world = World::new().await;
    let http = world.public();
    for path in ["/v1/register/start", "/v1/register/finish", "/v1/login/start", "/v1/session", "/v1/session/challenge"]
    {
        for body in [&b""[..], b"\xff", b"hello", &[0x80], &[0x9f, 0xff]] {
            assert!(http.post_bytes(path, body.to_vec()).await.refused(ErrorCode::Invalid).contains("body"));
        }
    }
    let request = http.request(reqwest::Method::POST, "/v1/login/start").body("x");
    assert!(http.send(request).await.refused(ErrorCode::Invalid).contains("content-type"));
    http.post_bytes("/v1/login/start", vec![0; 2 * 1024 * 1024]).await.refused(ErrorCode::TooLarge);
    let chunks = futures::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![0u8; 64 * 1024])));
    let request = http
        .request(reqwest::Method::POST, "/v1/login/start")
        .header("content-type", sotto_wire::CBOR)
        .body(reqwest::Body::wrap_stream(chunks));
    http.send(request).await.refused(ErrorCode::TooLarge);
    http.get("/v1/nothing").await.refused(ErrorCode::NotFound);
    http.get("/v1/login/start").await.refused(ErrorCode::NotFound);
    http.get("/admin/v1/state").await.refused(ErrorCode::NotFound);
    http.get("/v1/policy").await.refused(ErrorCode::Unauthenticated);
    http.with_token("nonsense").get("/v1/policy").await.refused(ErrorCode::Unauthenticated);

    let http = world.public();
    let start = LoginStart { address: world.address("alice"), request: vec![1, 2, 3] };
    assert!(http.post("/v1/login/start", &start).await.refused(ErrorCode::Invalid).contains("request"));
    let finish = LoginFinish { attempt: vec![1; 50], finalization: vec![2; 64] };
    http.post("/v1/login/finish", &finish).await.refused(ErrorCode::WrongCredentials);
}

/// A source that is nobody's.
fn stranger(world: &World, n: u8) -> Http {
    Http::from(world.public_address(), [127, 0, 1, n], None)
}

#[tokio::test]
async fn strangers_lock_out_themselves_and_nobody_else() {
    let world = World::new().await;
    let alice = Person::join(&world, "alice").await;
    let device = alice.device(&world, 2).await;
    // As many as there are, until nobody unknown may try any more.
    let crowded = async {
        for n in 0..=255 {
            let http = stranger(&world, n);
            for _ in 0..LOCKOUT {
                match alice.try_login(&http, "wrong").await {
                    Ok(opened) => assert!(opened.is_none()),
                    Err(answer) => return (n, answer),
                }
            }
            alice.try_login(&http, PASSWORD).await.err().unwrap().refused(ErrorCode::Locked);
        }
        panic!("strangers may guess for ever");
    };
    let (sources, answer) = crowded.await;
    answer.refused(ErrorCode::RateLimited);
    assert_eq!(sources, 10, "ten times the threshold, whatever the sources");

    // The user, at a device and where one is in use, sees nothing of it.
    let session = world.public().with_token(device.http.token().unwrap());
    let token = alice.try_login(&session, PASSWORD).await.unwrap().unwrap().token;
    alice.try_login(&world.public(), PASSWORD).await.unwrap().expect("a new device at home");
    // Elsewhere it takes a while, or a word of the administrator, or a new password.
    let elsewhere = async |n| alice.try_login(&stranger(&world, n), PASSWORD).await;
    elsewhere(200).await.err().unwrap().refused(ErrorCode::RateLimited);
    world.clock.advance_ms(24 * 3_600_000 / 30);
    elsewhere(200).await.unwrap().expect("a while later");
    elsewhere(0).await.err().unwrap().refused(ErrorCode::Locked);
    let admin = world.admin();
    admin.send(admin.request(reqwest::Method::POST, "/admin/v1/users/alice/unlock")).await.done();
    elsewhere(0).await.unwrap().expect("unlocked");
    alice
        .change_password(&world.public().with_token(&token), "battery staple", None)
        .await
        .unwrap_err()
        .refused(ErrorCode::Unauthenticated);
    let token = alice.login(&world).await;
    alice.change_password(&world.public().with_token(&token), "battery staple", None).await.unwrap().done();
}

#[tokio::test]
async fn a_device_that_guesses_is_locked_out_by_itself() {
    let world = World::new().await;
    let alice = Person::join(&world, "alice").await;
    let thief = alice.device(&world, 2).await;
    let session = world.public().with_token(thief.http.token().unwrap());
    for _ in 0..LOCKOUT {
        assert!(alice.try_login(&session, "wrong").await.unwrap().is_none());
    }
    alice.try_login(&session, PASSWORD).await.err().unwrap().refused(ErrorCode::Locked);
    alice.login(&world).await;
    // A session of somebody else is none here: it counts where it comes from.
    let bob = Person::ready(&world, "bob").await;
    let http = stranger(&world, 1).with_token(bob.http.token().unwrap());
    for _ in 0..LOCKOUT {
        assert!(alice.try_login(&http, "wrong").await.unwrap().is_none());
    }
    alice.try_login(&stranger(&world, 1), PASSWORD).await.err().unwrap().refused(ErrorCode::Locked);
    // One that has ended is refused, so that the device opens another.
    world.clock.advance_ms(3_600_000);
    alice.try_login(&session, PASSWORD).await.err().unwrap().refused(ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn nobody_uses_up_the_sessions_or_the_registration_of_another() {
    let world = World::new().await;
    let alice = Person::ready(&world, "alice").await;
    let http = stranger(&world, 1);
    let challenge = sotto_wire::api::SessionChallenge { address: alice.address.clone(), device: alice.id };
    let sotto_wire::api::Challenge { challenge } = http.post("/v1/session/challenge", &challenge).await.ok();
    let forged = OpenSession { signature: alice.key.sign("x", b"y"), challenge };
    let limited = async |path: &str, body: &OpenSession| {
        loop {
            let answer = http.post(path, body).await;
            if answer.status != ErrorCode::Unauthenticated.status() {
                return answer;
            }
        }
    };
    limited("/v1/session", &forged).await.refused(ErrorCode::RateLimited);
    alice.try_session(&world).await.ok::<sotto_wire::api::Session>();

    world.put_user("bob", &world.wanted("code")).await;
    let bob = Person { address: world.address("bob"), identity: IdentityKey::generate(&mut SystemRng) };
    let limited = async {
        loop {
            let answer = bob.try_register(&http, "guess").await.err().unwrap();
            if answer.status != ErrorCode::InviteInvalid.status() {
                return answer;
            }
        }
    };
    limited.await.refused(ErrorCode::RateLimited);
    bob.try_register(&world.public(), "code").await.unwrap().done();
}

#[tokio::test]
async fn behind_a_trusted_proxy_sources_are_those_that_it_names() {
    let mut world = World::prepared("a.example");
    world.trusted_proxies = vec!["127.0.2.0/24".to_owned()];
    world.start().await;
    world.put_network(world.network()).await;
    world.put_group(world.group("staff")).await;
    let alice = Person::join(&world, "alice").await;
    let by = |proxy, caller: &str| Http::from(world.public_address(), [127, 0, proxy, 1], Some(caller));
    for _ in 0..LOCKOUT {
        assert!(alice.try_login(&by(2, "192.0.2.1"), "wrong").await.unwrap().is_none());
    }
    alice.try_login(&by(2, "192.0.2.1"), PASSWORD).await.err().unwrap().refused(ErrorCode::Locked);
    alice.try_login(&by(2, "192.0.2.2"), PASSWORD).await.unwrap().expect("another source");
    // Who is no proxy is itself, whatever it writes.
    for n in 1..=LOCKOUT {
        assert!(alice.try_login(&by(3, &format!("192.0.2.{n}")), "wrong").await.unwrap().is_none());
    }
    alice.try_login(&by(3, "192.0.2.99"), PASSWORD).await.err().unwrap().refused(ErrorCode::Locked);
}
